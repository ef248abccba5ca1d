//! What breaks Sekisho in the field: each trap is set in a network namespace, and the built program is run into it. Without floods; what
//! it does under those is tested in the package sekisho-tests.
//!
//! Read [`Site`] first: a server's namespace with a neighbour, a configuration, and the program's commands in it. Needs root.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sekisho_engine::observe::ethtool;
use sekisho_lab::{Netns, middle::Rules, topology, wait};
use serde_json::Value;
use tempfile::TempDir;

/// Long, because a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(30);
const SYNCOOKIES: &str = "net.ipv4.tcp_syncookies";
const LOOSE: &str = "net.netfilter.nf_conntrack_tcp_loose";
const LIBERAL: &str = "net.netfilter.nf_conntrack_tcp_be_liberal";
/// Small tables, which are made faster.
const SMALL: &str = "[verified]\ncapacity4 = 1024\ncapacity6 = 1024\n";
const WITHOUT_SYN: &str = "chain in { type filter hook input priority 0; tcp flags != syn ct state new drop; }";

/// A server with eth0, joined to a neighbour's eth0.
struct Site {
    server: Netns,
    neighbour: Netns,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            server: Netns::new("field").unwrap(),
            neighbour: Netns::new("next").unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        site.configure(SMALL);
        site.join();
        site
    }

    /// Makes eth0 on both sides.
    fn join(&self) {
        topology::join(&self.server, "eth0", [2, 0, 0, 0, 0, 1], &self.neighbour, [2, 0, 0, 0, 0, 2]).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("sekisho.toml")
    }

    fn configure(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.server.command(env!("CARGO_BIN_EXE_sekisho"));
        command.args(arguments);
        command
    }

    /// Runs a command that ends by itself.
    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// `run` on eth0 with this site's configuration, and more arguments.
    fn run_command(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["run", "--interface", "eth0", "--config"]);
        command.arg(self.config()).args(more);
        command
    }

    /// Starts the daemon and waits until its status holds.
    fn start(&self, more: &[&str], ready: impl Fn(&Value) -> bool) -> Daemon<'_> {
        let log = self.folder.path().join("log");
        let file = File::create(&log).unwrap();
        let child = self.run_command(more).stderr(file).stdin(Stdio::null()).spawn().unwrap();
        let daemon = Daemon { site: self, child, log };
        daemon.until("it is ready", |status| status["daemon"] == daemon.child.id() && ready(status));
        daemon
    }

    fn protecting(&self) -> Daemon<'_> {
        self.start(&[], |status| status["protected"] == true)
    }

    fn status(&self) -> Value {
        let output = self.output(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
    }

    fn sysctl(&self, key: &str) -> String {
        self.server.sysctl_value(key).unwrap()
    }

    /// `off`, after which nothing is left.
    fn off(&self) -> String {
        let output = self.output(&["off"]);
        assert!(output.status.success(), "{}", text(&output));
        let status = self.status();
        assert_eq!((&status["protected"], &status["mode"]), (&Value::Bool(false), &Value::Null));
        text(&output)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What a failing test leaves.
        let _ = self.command(&["off"]).output();
    }
}

/// The running daemon. Dropped, it is killed, and what it pinned stays.
struct Daemon<'s> {
    site: &'s Site,
    child: Child,
    log: PathBuf,
}

impl Daemon<'_> {
    fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        // A status costs several processes: not asked more often than it takes.
        let waited = wait::until(what, PATIENCE, || {
            let held = holds(&self.site.status());
            if !held {
                std::thread::sleep(Duration::from_millis(100));
            }
            held
        });
        assert!(waited.is_ok(), "never: {what}\n{}\n{:#}", self.log(), self.site.status());
    }

    fn until_logged(&self, words: &str) {
        let waited = wait::until(words, PATIENCE, || self.log().contains(words));
        assert!(waited.is_ok(), "never logged: {words}\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn finding<'v>(status: &'v Value, id: &str) -> Option<&'v Value> {
    status["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == id)
}

fn interface(status: &Value) -> &Value {
    &status["interfaces"][0]
}

#[test]
fn protection_outlives_the_daemon_is_taken_over_and_taken_away() {
    let site = Site::new();
    assert!(site.off().contains("Nothing was on"));
    let mut daemon = site.protecting();

    let second = site.run_command(&[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains(&format!("process {}", daemon.child.id())), "{}", text(&second));

    daemon.signal("-TERM");
    assert!(daemon.child.wait().unwrap().success());
    assert!(daemon.log().contains("protection stays on"));
    let status = site.status();
    assert_eq!((&status["protected"], &status["daemon"]), (&Value::Bool(true), &Value::Null));

    let again = site.protecting();
    again.until_logged("took over");
    assert!(site.off().contains("Protection is off"));
    assert!(site.off().contains("Nothing was on"));
}

#[test]
fn cookies_that_are_switched_off_are_switched_on_and_put_back() {
    let site = Site::new();
    site.server.sysctl(SYNCOOKIES, "0").unwrap();
    let daemon = site.protecting();
    assert_eq!(site.sysctl(SYNCOOKIES), "1");
    assert!(finding(&site.status(), "changed").is_some());
    drop(daemon);
    // Also by a run that takes over: the first record counts.
    drop(site.protecting());
    assert!(site.off().contains("put back"));
    assert_eq!(site.sysctl(SYNCOOKIES), "0");
}

#[test]
fn observing_changes_nothing_on_the_host() {
    let site = Site::new();
    site.server.sysctl(SYNCOOKIES, "0").unwrap();
    let daemon =
        site.start(&["--mode", "observe"], |status| status["mode"] == "observe" && status["protected"] == true);
    assert_eq!(site.sysctl(SYNCOOKIES), "0");
    assert_eq!(finding(&site.status(), "syncookies-off").unwrap()["severity"], "problem");
    drop(daemon);
    site.off();
}

#[test]
fn a_firewall_against_connections_without_syn_does_no_harm_and_is_told() {
    let site = Site::new();
    let rules = Rules::add(&site.server, "inet f", WITHOUT_SYN).unwrap();
    let daemon = site.protecting();
    let status = site.status();
    let told = finding(&status, "firewall-new-without-syn").unwrap();
    assert!(told["what"].as_str().unwrap().contains("ct state new"), "{told}");
    if told["severity"] == "problem" {
        // A kernel before 6.1: it is explained.
        assert!(!told["todo"].as_str().unwrap().is_empty());
    } else {
        assert_eq!(site.sysctl(LIBERAL), "1");
        site.off();
        assert_eq!(site.sysctl(LIBERAL), "0");
    }
    drop((daemon, rules));
}

#[test]
fn the_same_rule_of_iptables_is_found() {
    let site = Site::new();
    let rule = ["-A", "INPUT", "-p", "tcp", "!", "--syn", "-m", "state", "--state", "NEW", "-j", "DROP"];
    assert!(site.server.command("iptables").args(rule).status().unwrap().success());
    assert!(finding(&site.status(), "firewall-new-without-syn").is_some(), "{:#}", site.status());
}

#[test]
fn invalid_segments_dropped_by_strict_connection_tracking_are_seen_to() {
    let site = Site::new();
    let rules =
        Rules::add(&site.server, "inet f", "chain in { type filter hook input priority 0; ct state invalid drop; }");
    site.server.sysctl(LOOSE, "0").unwrap();
    let daemon = site.protecting();
    assert!(finding(&site.status(), "firewall-invalid").is_some() || site.sysctl(LOOSE) == "1");
    assert!(site.sysctl(LIBERAL) == "1" || site.sysctl(LOOSE) == "1", "one of both lets the ACK through");
    site.off();
    assert_eq!((site.sysctl(LIBERAL).as_str(), site.sysctl(LOOSE).as_str()), ("0", "0"));
    drop((daemon, rules));
}

#[test]
fn rules_that_come_later_are_found_too() {
    let site = Site::new();
    let daemon = site.protecting();
    let rules = Rules::add(&site.server, "inet f", WITHOUT_SYN).unwrap();
    daemon.until_logged("drops new connections without SYN");
    drop(rules);
}

#[test]
fn with_nat_the_kernels_cookie_is_used_while_it_lasts() {
    let site = Site::new();
    let daemon = site.protecting();
    let before = site.status()["completion"]["method"].clone();
    let nat = Rules::add(&site.server, "ip n", "chain post { type nat hook postrouting priority 100; }").unwrap();
    daemon.until("the kernel's cookie", |status| status["completion"]["method"] == "kernel");
    drop(nat);
    daemon.until("the cookie of before", |status| status["completion"]["method"] == before);
}

#[test]
fn another_xdp_program_is_named_and_nothing_is_left_of_the_try() {
    let site = Site::new();
    let other = topology::open_receive_ring(&site.server, "eth0").unwrap();
    let tried = site.run_command(&[]).output().unwrap();
    assert_eq!(tried.status.code(), Some(1));
    let said = text(&tried);
    assert!(said.contains("another XDP program") && said.contains("hint:"), "{said}");
    assert!(site.off().contains("Nothing was on"));
    drop(other);
}

#[test]
fn an_mtu_too_large_for_native_mode_is_told_with_the_reason() {
    let site = Site::new();
    // The driver looks at the other end's MTU.
    let ring = topology::open_receive_ring(&site.neighbour, "eth0").unwrap();
    site.neighbour.ip("link set eth0 mtu 9000").unwrap();
    let daemon = site.protecting();
    let status = site.status();
    assert_eq!(interface(&status)["attached"], "generic", "{status:#}");
    assert!(interface(&status)["reason"].as_str().unwrap().to_lowercase().contains("mtu"), "{status:#}");
    assert!(finding(&status, "generic-xdp").is_some());
    drop((daemon, ring));
}

#[test]
fn native_mode_is_used_where_answers_arrive_and_only_there() {
    let site = Site::new();
    let daemon = site.protecting();
    let status = site.status();
    assert_eq!(interface(&status)["attached"], "generic", "the other end of the veth runs no XDP program");
    assert!(interface(&status)["reason"].as_str().unwrap().contains("other end"), "{status:#}");
    let ring = topology::open_receive_ring(&site.neighbour, "eth0").unwrap();
    daemon.until("native mode", |status| interface(status)["attached"] == "native");
    drop(ring);
    daemon.until("generic mode", |status| interface(status)["attached"] == "generic");
}

#[test]
fn interfaces_come_later_go_down_are_renamed_and_go() {
    let site = Site::new();
    site.server.ip("link del eth0").unwrap();
    let daemon = site.start(&[], |status| finding(status, "interface-absent").is_some());
    assert_eq!(site.status()["protected"], false);
    site.join();
    daemon.until("it is protected", |status| status["protected"] == true);

    site.server.ip("link set eth0 down").unwrap();
    daemon.until_logged("eth0 is down");
    assert!(finding(&site.status(), "interface-down").is_some());
    site.server.ip("link set eth0 name wan0\nlink set wan0 up").unwrap();
    daemon.until_logged("now called wan0");
    daemon.until("it is up", |status| interface(status)["up"] == true && interface(status)["name"] == "wan0");

    site.server.ip("link del wan0").unwrap();
    daemon.until_logged("wan0 is gone");
    assert_eq!(site.status()["protected"], false);
}

#[test]
fn without_a_name_the_interface_of_the_default_route_is_protected_when_there_is_one() {
    let site = Site::new();
    let mut command = site.command(&["run", "--config"]);
    let log = site.folder.path().join("log");
    let child = command.arg(site.config()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let daemon = Daemon { site: &site, child, log };
    daemon.until_logged("no default route yet");
    site.server.ip("addr add 198.51.100.10/24 dev eth0\nroute add default via 198.51.100.1").unwrap();
    daemon.until("eth0 is protected", |status| interface(status)["name"] == "eth0");
}

#[test]
fn ipv6_switched_off_is_no_obstacle() {
    let site = Site::new();
    site.server.sysctl("net.ipv6.conf.all.disable_ipv6", "1").unwrap();
    let daemon = site.protecting();
    assert_eq!(finding(&site.status(), "ipv6-off").unwrap()["severity"], "note");
    drop(daemon);
}

#[test]
fn missing_capabilities_are_named() {
    let site = Site::new();
    let mut command = site.server.command("setpriv");
    command.args(["--bounding-set", "-sys_admin", env!("CARGO_BIN_EXE_sekisho"), "run", "--interface", "eth0"]);
    let tried = command.output().unwrap();
    assert_eq!(tried.status.code(), Some(1));
    let said = text(&tried);
    assert!(said.contains("CAP_SYS_ADMIN") && said.contains("hint:"), "{said}");
    assert!(site.off().contains("Nothing was on"));
}

#[test]
fn a_mistake_in_the_configuration_ends_a_start_but_not_a_running_daemon() {
    let site = Site::new();
    let daemon = site.protecting();
    site.configure("mode = \"gard\"\n");
    daemon.signal("-HUP");
    daemon.until_logged("the configuration before stays in force");
    assert!(daemon.log().contains(":1:8:") && daemon.log().contains("did you mean \"guard\"?"), "{}", daemon.log());
    site.configure(&format!("mode = \"observe\"\n{SMALL}"));
    daemon.signal("-HUP");
    daemon.until("it observes", |status| status["mode"] == "observe" && status["protected"] == true);
    drop(daemon);
    site.off();

    site.configure("moode = \"guard\"\n");
    let tried = site.run_command(&[]).output().unwrap();
    assert_eq!(tried.status.code(), Some(2));
    assert!(text(&tried).contains("did you mean `mode`?"), "{}", text(&tried));
}

#[test]
fn offloads_are_switched_one_by_one() {
    let site = Site::new();
    let vlan = || ethtool::flags("eth0").unwrap() & ethtool::RX_VLAN;
    site.server
        .run(|| {
            let before = ethtool::flags("eth0").unwrap();
            assert_ne!(vlan(), 0, "a veth takes tags out");
            ethtool::set_flags("eth0", before & !ethtool::RX_VLAN).unwrap();
            assert_eq!(vlan(), 0);
            ethtool::set_flags("eth0", before).unwrap();
            assert_eq!(ethtool::flags("eth0").unwrap(), before);
            assert_eq!(ethtool::driver("eth0").as_deref(), Some("veth"));
        })
        .unwrap();
}
