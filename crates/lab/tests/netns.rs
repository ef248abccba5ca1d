//! Namespaces: what runs inside is inside, and nothing is left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sekisho_lab::{Netns, run, wait};

#[test]
fn closures_and_commands_run_inside() {
    let namespace = Netns::new("inside").unwrap();
    let link = |text: String| text.trim().trim_start_matches("net:[").trim_end_matches(']').parse::<u64>().unwrap();
    let own = link(fs::read_link("/proc/thread-self/ns/net").unwrap().display().to_string());
    let inside =
        link(namespace.run(|| fs::read_link("/proc/thread-self/ns/net").unwrap().display().to_string()).unwrap());
    let command = link(run::output(namespace.command("readlink").arg("/proc/self/ns/net")).unwrap());
    let exec = link(run::output(namespace.exec("readlink").arg("/proc/self/ns/net")).unwrap());
    assert_eq!(namespace.inode().unwrap(), inside);
    assert_eq!((inside, inside), (command, exec));
    assert_ne!(own, inside);
    assert_eq!(
        own,
        link(fs::read_link("/proc/thread-self/ns/net").unwrap().display().to_string()),
        "we are where we were"
    );
}

#[test]
fn only_exec_brings_a_sys_of_its_own() {
    let namespace = Netns::new("mounts").unwrap();
    namespace.ip("link add marker type veth peer name other").unwrap();
    let sees =
        |mut command: Command| run::output(command.args(["-c", "ls /sys/class/net"])).unwrap().contains("marker");
    assert!(sees(namespace.exec("sh")));
    assert!(!sees(namespace.command("sh")), "the caller's /sys shows the caller's devices");
}

#[test]
fn sysctls_belong_to_the_namespace() {
    let namespace = Netns::new("sysctl").unwrap();
    let outside = fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies").unwrap();
    for value in ["0", "2"] {
        namespace.sysctl("net.ipv4.tcp_syncookies", value).unwrap();
        assert_eq!(namespace.sysctl_value("net.ipv4.tcp_syncookies").unwrap(), value);
    }
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies").unwrap(), outside);
    assert!(namespace.sysctl("kernel.printk", "1").is_err());
}

#[test]
fn a_panic_inside_goes_on_outside() {
    let namespace = Netns::new("panic").unwrap();
    let caught = std::panic::catch_unwind(|| namespace.run(|| panic!("inside")));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
}

#[test]
fn loopback_is_up() {
    let namespace = Netns::new("lo").unwrap();
    let answered = namespace.run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(listener.local_addr().unwrap()).is_ok()
    });
    assert!(answered.unwrap());
}

#[test]
fn what_a_killed_process_left_behind_is_swept() {
    // Ourselves, as a process that makes a namespace with a program in it and is killed.
    if std::env::var_os("LAB_LEAVES_A_NAMESPACE").is_some() {
        let namespace = Netns::new("left").unwrap();
        let mut sleeper = namespace.command("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
        println!("left {} {}", namespace.path().display(), sleeper.id());
        kill(Pid::this(), Signal::SIGKILL).unwrap();
        sleeper.wait().unwrap();
    }
    let this_test = ["--exact", "what_a_killed_process_left_behind_is_swept", "--nocapture"];
    let mut child = Command::new(std::env::current_exe().unwrap());
    let left = child.args(this_test).env("LAB_LEAVES_A_NAMESPACE", "1").stderr(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&left.stdout).into_owned();
    let words: Vec<_> = said.split_whitespace().skip_while(|word| *word != "left").collect();
    let (path, sleeper) = (Path::new(words[1]), words[2]);
    assert!(path.exists(), "{said}");
    // Sweeping is once per process, so a second one does it.
    let mut other = Command::new(std::env::current_exe().unwrap());
    assert!(other.args(["--exact", "loopback_is_up"]).stdout(Stdio::null()).status().unwrap().success());
    assert!(!path.exists());
    let runs = || fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    wait::until("the end of the program inside", wait::PATIENCE, || !runs()).unwrap();
}
