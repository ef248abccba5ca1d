//! `sekisho lab` as a whole: nothing is left of it however it ends, and every conversation goes as it must. Needs root.

#![allow(clippy::unwrap_used, reason = "a test")]

mod bpf;
mod interrupted;
mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sekisho_engine::incident::{Incident, Peak, Service, Spread, SpreadShape, Store};
use sekisho_engine::observe::record::Time;
use sekisho_engine::observe::record::state::SourceCount;
use serde_json::Value;

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

/// Kernel, Sekisho with cookies, Sekisho with challenges, and Sekisho's table beside what it stands on; over IPv4 and IPv6.
#[test]
fn every_conversation_goes_as_it_must() {
    const WHO: &str = "kernel,sekisho,challenge,nftables,cookies";
    let _alone = alone();
    let mut said = run(&["conform", "--against", WHO]);
    if !said.status.success() {
        // A machine that stands still for a second loses a segment that no script sends again. What fails twice is wrong.
        println!("{}{}", text(&said.stdout), text(&said.stderr));
        said = run(&["conform", "--against", WHO]);
    }
    assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
    assert!(text(&said.stdout).contains("\npassed "), "{}", text(&said.stdout));
}

/// The table's synproxy is not shown what is no SYN, and the socket behind a gateway is found.
#[test]
fn synproxy_of_the_table_and_on_a_gateway() {
    let _alone = alone();
    let mut arguments = vec!["conform", "--against", "nftables-synproxy,synproxy-gateway"];
    for case in ["all-options", "greeting", "simultaneous-open", "syn-with-fin"] {
        arguments.extend(["--case", case]);
    }
    let said = run(&arguments);
    let (out, errors) = (text(&said.stdout), text(&said.stderr));
    assert!(said.status.success(), "{out}{errors}");
    assert!(errors.contains("nftables-synproxy stands on synproxy: without"), "{errors}");
    let row = |case: &str| {
        let line = out.lines().find(|line| line.split_whitespace().next() == Some(case)).unwrap_or_default();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    for case in ["all-options", "greeting"] {
        assert_eq!(row(case), ["pass", "pass"], "{out}");
    }
    // What the gateway makes of these is the kernel's affair.
    for case in ["simultaneous-open", "syn-with-fin"] {
        assert_eq!(row(case)[0], "pass", "{out}");
    }
}
/// A policy that lets everybody in holds; one that allows a SYN a second in all does not, and says by what.
#[test]
fn a_policy_is_tried() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let tried = |text: &str| {
        fs::write(&policy, text).unwrap();
        let family = if text.contains("capacity6") { "6" } else { "4" };
        run(&["try", policy.to_str().unwrap(), "--rate", "20000", "--seconds", "3", "--family", family])
    };
    let good = tried("[verified]\ncapacity4 = 4096\ncapacity6 = 4096\n");
    assert!(text(&good.stdout).contains("Port 80, over IPv6"), "{}", text(&good.stdout));
    let said = text(&good.stdout);
    assert!(said.contains("newcomers") && said.contains("cookie_sent"), "{said}{}", text(&good.stderr));
    let bad = tried("[limits]\nglobal = 1\nover = \"drop\"\n");
    assert!(!bad.status.success(), "{}", text(&bad.stdout));
    assert!(text(&bad.stdout).contains("While all is calm visitors are turned away"), "{}", text(&bad.stdout));
    let wrong = tried("mood = 1\n");
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

/// An incident that was written down elsewhere: concentrated in one network.
fn written_down(folder: &Path) -> PathBuf {
    let at = Time::from_seconds(1_795_999_000);
    let mut incident = Incident::begin(41, at, BTreeMap::new());
    incident.syns_peak = Some(Peak { at, per_second: 20_000 });
    incident.services.insert(80, Service { backlog: 64, syn_queue_max: 64, ..Service::default() });
    let networks = vec![SourceCount { address: "192.0.2.0".parse().unwrap(), prefix_length: 24, count: 700 }];
    let shape = SpreadShape::Concentrated;
    incident.spread =
        Some(Spread { at, shape, asked: 32_000, samples: 1000, distinct: 300, networks, sources: Vec::new() });
    Store::new(folder).keep(&incident).unwrap();
    folder.join("41.json")
}

/// What hit another host comes once more, here at visitors who share an address and a line, and are far away.
#[test]
fn an_incident_is_drilled() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (incident, policy) = (written_down(folder.path()), folder.path().join("policy.toml"));
    // Twenty visits a second are beyond this limit if they come from one address, and far from it if from twenty.
    fs::write(&policy, "[verified]\ncapacity4 = 4096\ncapacity6 = 4096\n[limits]\nsource = 5\n").unwrap();
    let (incident, policy) = (incident.to_str().unwrap(), policy.to_str().unwrap());
    let asked = ["drill", "--incident", incident, "--config", policy, "--seconds", "1"];
    let drilled = run(&[&asked[..], &["--behind-nat", "--delay", "20ms", "--speed", "4mbit", "--json"]].concat());
    let said = format!("{}{}", text(&drilled.stdout), text(&drilled.stderr));
    let report: Value = serde_json::from_slice(&drilled.stdout).unwrap_or_else(|_| panic!("{said}"));
    println!("{said}");
    assert_eq!((&report["incident"]["number"], &report["incident"]["syns_per_second"]), (&41.into(), &20_000.into()));
    assert_eq!(report["incident"]["survived"], drilled.status.success());
    let [port] = &report["ports"].as_array().unwrap()[..] else { panic!("{said}") };
    assert_eq!(port["port"], 80);
    assert!(port["flood"]["segments"].as_u64().unwrap() > 1000, "{said}");
    assert_eq!(report["way"]["bits_per_second"], 4_000_000);
    let calm = &port["calm"];
    assert!(calm["regulars"]["complete"].as_u64().unwrap() > 0, "{said}");
    let median = calm["regulars"]["first_byte_ms"]["median"].as_f64().unwrap();
    assert!(median >= 80.0, "two round trips: {said}");
    assert!(calm["verdicts"]["limit_asked"].as_u64().is_some_and(|asked| asked > 0), "one address for all: {said}");
}
