//! `sekisho plan`, `apply` and `rollback` on a host with real servers. Needs root, nginx, Postfix and OpenSSH.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::Output;

use sekisho_lab::Netns;
use sekisho_lab::middle::Rules;
use sekisho_lab::servers::{Nginx, Postfix, Sshd};
use sekisho_tests::{alone, program};
use serde_json::Value;
use tempfile::TempDir;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
const COOKIES: &str = "net.ipv4.tcp_syncookies";
const RETRIES: &str = "net.ipv4.tcp_synack_retries";

struct Server {
    namespace: Netns,
    folder: TempDir,
}

impl Server {
    fn new() -> Self {
        let namespace = Netns::new("settings").unwrap();
        namespace.ip(&format!("addr add {ADDRESS}/32 dev lo")).unwrap();
        Self { namespace, folder: tempfile::tempdir().unwrap() }
    }

    fn run(&self, words: &[&str]) -> Output {
        self.namespace.command(program()).args(words).output().unwrap()
    }

    /// A command that has to succeed; what it printed.
    fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn plan(&self) -> Value {
        serde_json::from_str(&self.done(&["plan", "--json"])).unwrap()
    }

    fn sysctl(&self, key: &str) -> String {
        self.namespace.sysctl_value(key).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.run(&["off"]);
    }
}

fn by<'v>(list: &'v Value, key: &str, value: impl Into<Value>) -> &'v Value {
    let value = value.into();
    list.as_array()
        .unwrap()
        .iter()
        .find(|one| one[key] == value)
        .unwrap_or_else(|| panic!("no {key} {value}: {list:#}"))
}

#[test]
fn what_binds_each_listener_is_told_in_its_applications_words() {
    let _alone = alone();
    let server = Server::new();
    let at = |port| SocketAddr::new(ADDRESS, port);
    server.namespace.sysctl("net.core.somaxconn", "512").unwrap();
    let short = Nginx::new().unwrap().listen(at(80)).backlog(64).start(&server.namespace).unwrap();
    let long = Nginx::new().unwrap().listen(at(8080)).backlog(2000).start(&server.namespace).unwrap();
    let postfix = Postfix::start(&server.namespace, &[at(25)], 50).unwrap();
    let sshd = Sshd::start(&server.namespace, &[at(22)]).unwrap();

    let plan = server.plan();
    assert_eq!((&plan["version"], &plan["needed_backlog"]), (&1.into(), &1024.into()));
    for (port, application, configured, backlog, binds) in [
        (80, "nginx", 64, 64, "application"),
        (8080, "nginx", 2000, 512, "somaxconn"),
        (25, "Postfix", 50, 50, "application"),
        (22, "sshd", 128, 128, "application"),
    ] {
        let told = by(&plan["listeners"], "port", port);
        assert_eq!(told["application"], application, "{told:#}");
        assert_eq!((&told["configured"], &told["backlog"]), (&configured.into(), &backlog.into()), "{told:#}");
        assert_eq!((&told["syn_queue"], &told["binds"]), (&(backlog + 1).into(), &binds.into()), "{told:#}");
    }
    let nginx = by(&plan["listeners"], "port", 80);
    assert!(nginx["todo"].as_str().unwrap().contains("listen 80 backlog=1024;"), "{nginx:#}");
    assert_eq!(nginx["file"], short.folder().join("nginx.conf").display().to_string());
    let somaxconn = by(&plan["settings"], "key", "net.core.somaxconn");
    assert_eq!((&somaxconn["wanted"], &somaxconn["binds"]), (&"2000".into(), &true.into()), "{somaxconn:#}");
    let unused = by(&plan["settings"], "key", "net.ipv4.tcp_max_syn_backlog");
    assert_eq!((&unused["wanted"], &unused["binds"]), (&Value::Null, &false.into()), "{unused:#}");

    // Where a stateful rule stands before the ports, how many entries each has.
    assert_eq!(nginx["tracked"], Value::Null, "{nginx:#}");
    let _rules = Rules::add(
        &server.namespace,
        "inet states",
        "chain in { type filter hook input priority 0; ct state invalid drop; }",
    );
    let _connection = server.namespace.run(|| TcpStream::connect(at(80))).unwrap().unwrap();
    let plan = server.plan();
    assert_eq!(by(&plan["listeners"], "port", 80)["tracked"], 1, "{plan:#}");
    assert_eq!(by(&plan["listeners"], "port", 25)["tracked"], 0, "{plan:#}");
    drop((short, long, postfix, sshd));
}

#[test]
fn a_plan_is_applied_and_taken_back() {
    let _alone = alone();
    let server = Server::new();
    server.namespace.sysctl(COOKIES, "0").unwrap();
    let file = server.folder.path().join("sysctl.d/99-z-sekisho.conf");
    let place = ["--sysctl-file", file.to_str().unwrap()];
    let before = server.plan();

    let said = server.done(&[&["apply"], &place[..]].concat());
    assert!(said.contains(&format!("{COOKIES} set from 0 to 1")) && said.contains("sekisho rollback"), "{said}");
    assert_eq!((server.sysctl(COOKIES).as_str(), server.sysctl(RETRIES).as_str()), ("1", "3"));
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains(&format!("\n{COOKIES} = 1\n")) && written.contains("It was 0"), "{written}");
    assert!(server.done(&["apply"]).contains("Nothing has to be changed"));

    // A second change on top of the first, and both taken back by what takes everything back.
    server.namespace.sysctl("net.ipv4.tcp_abort_on_overflow", "1").unwrap();
    server.done(&[&["apply"], &place[..]].concat());
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("tcp_abort_on_overflow = 0") && written.contains(COOKIES), "{written}");
    let said = server.done(&["off"]);
    assert!(said.contains("put back") && !file.exists(), "{said}");
    assert_eq!(server.sysctl("net.ipv4.tcp_abort_on_overflow"), "1");
    server.namespace.sysctl("net.ipv4.tcp_abort_on_overflow", "0").unwrap();
    assert_eq!(server.plan(), before);
}

#[test]
fn a_plan_from_a_file_is_checked_against_the_host_as_it_is() {
    let _alone = alone();
    let server = Server::new();
    let file = server.folder.path().join("plan.json");
    let apply = |text: &str| {
        fs::write(&file, text).unwrap();
        let output = server.run(&["apply", "--plan", file.to_str().unwrap()]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (text, told) in [
        ("{", "cannot use the plan"),
        (r#"{"version": 2, "steps": []}"#, "its version is 2"),
        (
            r#"{"version": 1, "steps": [{"step": "sysctl", "key": "net.ipv4.tcp_synack_retries", "from": "7", "to": "3"}]}"#,
            "is 5 now",
        ),
        (
            r#"{"version": 1, "steps": [{"step": "sysctl", "key": "kernel.panic", "from": "0", "to": "3"}]}"#,
            "no setting",
        ),
        (
            r#"{"version": 1, "steps": [{"step": "file", "path": "/etc/passwd", "from": null, "to": null}]}"#,
            "not the file",
        ),
        (r#"{"version": 1, "steps": [{"step": "table", "from": null, "to": "table inet sekisho { nonsense"}]}"#, "nft"),
    ] {
        let (code, said) = apply(text);
        assert!(code == Some(1) && said.contains(told), "{text}: {said}");
    }
    assert_eq!(server.sysctl(RETRIES), "5");
    assert!(server.done(&["rollback"]).contains("nothing to take back"));

    fs::write(&file, server.done(&["plan", "--json"])).unwrap();
    server.done(&["apply", "--plan", file.to_str().unwrap()]);
    assert_eq!(server.sysctl(RETRIES), "3");
    assert!(server.done(&["rollback"]).contains("put back"));
}
