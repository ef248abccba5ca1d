//! `sekisho lab` as a whole: nothing is left of it however it ends, and every conversation goes as it must. Needs root.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sekisho_lab::{leftover, wait};

/// Long, because a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two that flood at once would disturb each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.arg("lab").args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    lab(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Kernel, Sekisho with cookies, Sekisho with challenges; over IPv4 and IPv6.
#[test]
fn every_conversation_goes_as_it_must() {
    let _alone = alone();
    let mut said = run(&["conform", "--against", "kernel,sekisho,challenge"]);
    if !said.status.success() {
        // A machine that stands still for a second loses a segment that no script sends again. What fails twice is wrong.
        println!("{}{}", text(&said.stdout), text(&said.stderr));
        said = run(&["conform", "--against", "kernel,sekisho,challenge"]);
    }
    assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
    assert!(text(&said.stdout).contains("\npassed "), "{}", text(&said.stdout));
}

/// A lab with everything in it that could be left: namespaces, Sekisho, a flood, servers.
fn begin() -> Child {
    let arguments = ["conform", "--against", "sekisho", "--case", "idle", "--case", "late-ack"];
    lab(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The worker behind a lab's process, as its leftovers are named; as long as there is none, `None`.
fn worker(child: &Child) -> Option<String> {
    let pid = child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let worker = children.split_whitespace().next()?.to_owned();
    let stat = fs::read_to_string(format!("/proc/{worker}/stat")).ok()?;
    let start = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    Some(format!("{worker}-{start}"))
}

/// Where Sekisho keeps what outlives it, one folder a namespace.
fn kept() -> BTreeSet<String> {
    let entries = ["/run/sekisho", "/run/sekisho/bpf"].into_iter().flat_map(fs::read_dir).flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with("net-")).collect()
}

/// A number that differs from run to run; each moment is told, so that one can be tried again.
fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % below
}

#[test]
fn nothing_is_left_at_whatever_moment_it_ends() {
    let _alone = alone();
    let before = kept();
    for round in 0..10 {
        let signal = ["INT", "TERM", "KILL"][round % 3];
        let moment = Duration::from_millis(random(2500));
        let mut child = begin();
        let begun = Instant::now();
        let mut whose = None;
        while begun.elapsed() < moment && child.try_wait().unwrap().is_none() {
            whose = worker(&child).or(whose);
            thread::sleep(Duration::from_millis(5));
        }
        println!("round {round}: SIG{signal} after {moment:?}, {whose:?}");
        let killed = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let ended = wait::until("the lab's end", PATIENCE, || child.try_wait().unwrap().is_some());
        assert!(ended.is_ok(), "it ends");
        let Some(whose) = whose else { continue };
        if signal == "KILL" {
            // The worker dies with its parent, but nobody waits for that.
            let pid = whose.split('-').next().unwrap().to_owned();
            let gone = || fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
            wait::until("the worker's end", PATIENCE, gone).unwrap();
            let said = run(&["clean"]);
            assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
            println!("{}", text(&said.stdout));
        }
        assert!(!leftover::is_anything_left(&whose), "something of {whose} is left");
    }
    // Others on this machine may come and go meanwhile; what is ours would stay.
    let gone = wait::until("the end of what Sekisho kept", PATIENCE, || kept().is_subset(&before));
    assert!(gone.is_ok(), "left: {:?}", kept().difference(&before).collect::<Vec<_>>());
}

#[test]
fn cleaning_leaves_the_living_alone() {
    let _alone = alone();
    let mut child = begin();
    let mut whose = None;
    wait::until("a lab at work", PATIENCE, || {
        whose = worker(&child);
        whose.as_ref().is_some_and(|id| {
            fs::read_dir("/run/netns").is_ok_and(|mut names| {
                names.any(|name| name.unwrap().file_name().to_string_lossy().contains(id.as_str()))
            })
        })
    })
    .unwrap();
    for _ in 0..3 {
        assert!(run(&["clean"]).status.success());
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "it goes on to its end: {status}");
    assert!(!leftover::is_anything_left(&whose.unwrap()));
}

/// A policy that lets everybody in holds; one that allows a SYN a second in all does not, and says by what.
#[test]
fn a_policy_is_tried() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let tried = |text: &str| {
        fs::write(&policy, text).unwrap();
        run(&["try", policy.to_str().unwrap(), "--rate", "20000", "--seconds", "3"])
    };
    let good = tried("[verified]\ncapacity4 = 4096\ncapacity6 = 4096\n");
    let said = text(&good.stdout);
    assert!(said.contains("newcomers") && said.contains("cookie_sent"), "{said}{}", text(&good.stderr));
    let bad = tried("[limits]\nglobal = 1\nover = \"drop\"\n");
    assert!(!bad.status.success(), "{}", text(&bad.stdout));
    assert!(text(&bad.stdout).contains("While all is calm visitors are turned away"), "{}", text(&bad.stdout));
    let wrong = tried("mood = 1\n");
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}
