//! rsync over SSH, the longest-lived connection that every administrator has: begun and carried through under a flood.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use sekisho_lab::run;
use sekisho_lab::servers::Sshd;
use sekisho_lab::servers::nginx_files::large;
use sekisho_lab::topology::client4;
use sekisho_tests::Scene;
use tempfile::TempDir;

use crate::{arm, server};

/// Copies, begun so far apart.
const COPIES: usize = 3;
const APART: Duration = Duration::from_secs(5);

/// 50 MB in 50 files.
fn tree(folder: &Path) {
    let content = large();
    for n in 0..50usize {
        let at = folder.join(format!("{}/{}", n % 7, n));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, &content[n * 1000..n * 1000 + 1_000_000]).unwrap();
    }
}

#[test]
fn copies_of_50_mb_never_fail() {
    let scene = Scene::new();
    let sshd = Sshd::start(&scene.server, &[server(22)]).unwrap();
    let folders = TempDir::with_prefix("sekisho-rsync-").unwrap();
    let source = folders.path().join("tree");
    tree(&source);
    let sekisho = scene.protect("");
    let flood = arm(&scene, &sekisho, 22, 200_000);
    let copy = |n: usize| {
        let begin = Instant::now();
        let shell = format!("ssh {} -b {}", sshd.client_options().join(" "), client4(n));
        let (from, to) = (format!("{}/", source.display()), folders.path().join(n.to_string()));
        let mut rsync = scene.client.command("rsync");
        rsync.args(["-a", "-e", &shell, &from]).arg(format!("{}:{}/", server(22).ip(), to.display()));
        let output = rsync.output().unwrap();
        println!("copy {n}: {} after {:.1?}", output.status, begin.elapsed());
        output
    };
    let outputs: Vec<Output> = thread::scope(|scope| {
        let copies: Vec<_> = (0..COPIES)
            .map(|n| {
                if n > 0 {
                    thread::sleep(APART);
                }
                scope.spawn(move || copy(n))
            })
            .collect();
        copies.into_iter().map(|copy| copy.join().unwrap()).collect()
    });
    assert!(!flood.is_over(), "the flood lasted longer than the copies");
    println!("{} SYN/s", flood.stop().unwrap().rate() as u64);
    for (n, output) in outputs.iter().enumerate() {
        assert!(output.status.success(), "copy {n}: {}", String::from_utf8_lossy(&output.stderr));
        run::output(Command::new("diff").arg("-r").arg(&source).arg(folders.path().join(n.to_string()))).unwrap();
    }
}
