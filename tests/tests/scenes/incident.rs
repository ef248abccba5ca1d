//! An incident, end to end: a flood, a daemon that is killed meanwhile, and what is told of it afterwards.

use std::time::Duration;

use sekisho_lab::flood::Shot;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::SERVER4;
use sekisho_lab::wait;
use sekisho_tests::{PATIENCE, Scene, Sekisho, program};
use serde_json::Value;

fn json(sekisho: &Sekisho, arguments: &[&str], codes: &[i32]) -> Value {
    let said = sekisho.command(arguments);
    assert!(said.code.is_some_and(|code| codes.contains(&code)), "{arguments:?}: {said:?}");
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{arguments:?} is no JSON ({error}): {said:?}"))
}

fn incidents(sekisho: &Sekisho) -> Vec<Value> {
    json(sekisho, &["incidents", "--json"], &[0])["incidents"].as_array().unwrap().clone()
}

#[test]
fn an_incident_outlives_the_daemon_and_is_explained() {
    let scene = Scene::new();
    let tiny = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let mut sekisho = scene.protect("linger = \"2s\"");
    assert!(incidents(&sekisho).is_empty());
    let flood = scene.start(Shot::syn(tiny.address()).rate(20_000).seconds(60));
    let seen = |sekisho: &Sekisho, check: &dyn Fn(&Value) -> bool| incidents(sekisho).first().is_some_and(check);
    let grows = |one: &Value| one["ended"].is_null() && one["steps"].as_array().is_some_and(|steps| !steps.is_empty());
    wait::until("an incident on disk", PATIENCE, || seen(&sekisho, &grows)).unwrap();
    // The programs go on, and so does the incident when a daemon is back.
    sekisho.kill();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(incidents(&sekisho).len(), 1, "what was seen is on disk");
    sekisho.restart();
    sekisho.await_state(80, "armed");
    std::thread::sleep(Duration::from_secs(3));
    flood.stop().unwrap();
    let over = |one: &Value| !one["ended"].is_null();
    wait::until("its end", PATIENCE, || seen(&sekisho, &over)).unwrap();

    let all = incidents(&sekisho);
    let one = &all[0];
    assert_eq!((all.len(), one["number"].as_u64(), one["interrupted"].as_bool()), (1, Some(1), Some(false)), "{all:?}");
    let service = &one["services"]["80"];
    assert!(service["backlog"] == 128 && service["syn_queue_max"].as_u64() > Some(16), "{service}");
    let peak = one["syns_peak"]["per_second"].as_u64().unwrap();
    assert!((5_000..100_000).contains(&peak), "20 000 SYNs a second were sent: {peak}");
    assert_eq!(one["spread"]["shape"], "scattered", "{}", one["spread"]);
    // The first second of each daemon has no earlier one to compare with.
    let steps = one["steps"].as_array().unwrap();
    assert!(steps.iter().filter(|step| step["values"]["load1"].is_number()).count() >= 2, "{one}");
    let cookies = |when: &str| one[when]["cookie_sent"].as_u64().unwrap_or(0);
    assert!(cookies("after") > cookies("before") + 1000, "{} {}", one["before"], one["after"]);

    let table = sekisho.command(&["incidents"]).stdout;
    assert!(table.contains("scattered") && table.contains("sekisho explain"), "{table}");
    // In a mount namespace of its own, too, as `ip netns exec` makes one.
    let inside = std::process::Command::new("ip")
        .args(["netns", "exec", scene.server.name()])
        .arg(program())
        .arg("incidents")
        .output()
        .unwrap();
    let inside = String::from_utf8_lossy(&inside.stdout).into_owned();
    assert!(inside.contains("scattered") && !inside.contains("/proc/self"), "{inside}");
    let explained = json(&sekisho, &["explain", "1", "--json", "--lang", "en"], &[3]);
    println!("{table}\n{}", explained["sentence"]);
    assert_eq!(explained["incident"], 1);
    assert_eq!(explained["findings"][0]["cause"], "spoofed-flood", "{}", explained["findings"]);
    assert_eq!(sekisho.command(&["explain", "2"]).code, Some(1));
    println!("{}", sekisho.command(&["explain", "1"]).stdout);
}
