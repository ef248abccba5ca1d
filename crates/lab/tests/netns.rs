//! Namespaces: what runs inside is inside, and nothing is left behind.

use std::fs;
use std::process::Command;

use sekisho_lab::{Netns, run};

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
