//! The daemon's promises, kept under flood: protection outlives it, a restart leaves no gap, `off` breaks nothing and leaves nothing.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::fs;
use std::net::SocketAddr;

use sekisho_lab::clients::Crowd;
use sekisho_lab::counters::Counters;
use sekisho_lab::flood::{Running, Shot};
use sekisho_lab::servers::{Talk, Tiny};
use sekisho_lab::topology::{Host, SERVER4, SERVER6, client4};
use sekisho_lab::wait;
use sekisho_tests::{Conversation, Launch, PATIENCE, Scene, Sekisho, Traces, alone, snapshot, xdp_program};

const WEB: SocketAddr = SocketAddr::new(SERVER4, 80);
const ECHO: SocketAddr = SocketAddr::new(SERVER4, 7);
/// Small tables are made faster.
const SMALL: &str = "[verified]\ncapacity4 = 4096\ncapacity6 = 1024\n";

fn storm(scene: &Scene, sekisho: &Sekisho, target: SocketAddr) -> Running {
    let flood = scene.start(Shot::syn(target).rate(100_000).seconds(60));
    sekisho.await_state(target.port(), "armed");
    flood
}

/// 20 visits, all of which complete.
fn visits(scene: &Scene, when: &str) {
    let seen = Crowd::http(&scene.client, WEB, "/").visits(20).parallel(2).run().unwrap();
    println!("{when}: {seen}");
    assert_eq!(seen.complete(), 20, "{when}: {seen}");
}

/// How often the kernel found a SYN queue full. With gate in front of it that never happens under a flood; without it at once.
fn full_queues(scene: &Scene) -> u64 {
    let counters = Counters::read(&scene.server).unwrap();
    counters.get("TCPReqQFullDoCookies") + counters.get("TCPReqQFullDrop")
}

#[test]
fn nothing_breaks_when_it_is_killed_restarted_stopped_and_taken_away_under_a_flood() {
    let scene = Scene::new();
    let _web = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let _echo = Tiny::start(&scene.server, ECHO, 128, Talk::Echo).unwrap();
    let mut sekisho = scene.protect(SMALL);
    let before = Conversation::begin(&scene.client, client4(70), ECHO);
    let flood = storm(&scene, &sekisho, WEB);
    let storm_on_echo = storm(&scene, &sekisho, ECHO);
    let during = Conversation::begin(&scene.client, client4(71), ECHO);
    let go_on = || [&before, &during].map(Conversation::goes_on);

    sekisho.kill();
    let answered = sekisho.verdict("cookie_sent");
    assert!(sekisho.status()["daemon"].is_null());
    visits(&scene, "after SIGKILL");
    go_on();
    assert!(sekisho.verdict("cookie_sent") > answered, "the programs go on");

    let counted = sekisho.verdicts();
    let program = xdp_program(&scene.server, "eth0");
    sekisho.restart();
    assert_ne!(xdp_program(&scene.server, "eth0"), program, "its own program in the same place");
    assert!(sekisho.log().contains("took over what was running"), "{}", sekisho.log());
    for (name, count) in counted {
        assert!(sekisho.verdict(&name) >= count, "the counter of {name} was kept");
    }
    visits(&scene, "after a restart");
    go_on();

    assert!(sekisho.stop().success(), "{}", sekisho.log());
    assert!(sekisho.log().contains("protection stays on"), "{}", sekisho.log());
    visits(&scene, "after SIGTERM");
    go_on();
    assert_eq!(full_queues(&scene), 0, "not for a moment did the flood reach the kernel");

    sekisho.restart();
    assert!(!flood.is_over() && !storm_on_echo.is_over());
    sekisho.off();
    go_on();
    wait::until("the flood at the kernel", PATIENCE, || full_queues(&scene) > 0).unwrap();
    go_on();
    println!(
        "echoed {} and {} bytes; the longest waits were {:.0?} and {:.0?}",
        before.bytes(),
        during.bytes(),
        before.longest_wait(),
        during.longest_wait()
    );
    before.end();
    during.end();
}

#[test]
fn off_under_a_flood_leaves_nothing() {
    let scene = Scene::new();
    scene.server.sysctl("net.ipv4.tcp_syncookies", "0").unwrap();
    let _web = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let found = snapshot(&scene.server);
    let mut sekisho = scene.protect(SMALL);
    let traces = Traces::of(&sekisho, "eth0");
    println!("programs and maps: {:?}", traces.count());
    assert!(traces.count().0 >= 3 && traces.count().1 >= 10, "{traces:?}");
    let flood = storm(&scene, &sekisho, WEB);
    assert_ne!(snapshot(&scene.server), found, "a snapshot that sees it");
    let said = sekisho.off();
    assert!(said.contains("The daemon is stopped.") && said.contains("put back"), "{said}");
    flood.stop().unwrap();
    assert_eq!(snapshot(&scene.server), found);
    // The kernel frees programs and maps a moment after the last reference.
    let gone = wait::until("the end of programs and maps", PATIENCE, || traces.left().is_empty());
    assert!(gone.is_ok(), "left behind: {:?}", traces.left());
    assert_eq!(sekisho.off(), "Nothing was on.\n", "asking twice does no harm");
}

#[test]
fn a_second_daemon_is_refused_and_takes_nothing_away() {
    let scene = Scene::new();
    let sekisho = scene.protect(SMALL);
    let Err(said) = Launch::new(&scene.server).try_start() else { panic!("two daemons") };
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("a daemon is running already"), "{said:?}");
    assert!(said.stderr.contains(&sekisho.id().to_string()), "it is named: {said:?}");
    let status = sekisho.status();
    assert_eq!((&status["protected"], &status["daemon"]), (&true.into(), &sekisho.id().into()));
}

#[test]
fn observing_counts_and_touches_nothing() {
    let scene = Scene::new();
    let web = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let sekisho = scene.protect(&format!("mode = \"observe\"\n{SMALL}"));
    let status = sekisho.status();
    assert_eq!((&status["mode"], &status["protected"]), (&"observe".into(), &true.into()));
    let before = Counters::read(&scene.server).unwrap();
    let sent = scene.flood(Shot::syn(web.address()).rate(20_000).seconds(2)).unwrap().run().unwrap();
    let kernel = || Counters::read(&scene.server).unwrap().since(&before);
    let counted = || sekisho.verdict("cookie_sent") + sekisho.verdict("syn_calm");
    wait::until("every SYN counted", PATIENCE, || counted() > sent.sent / 2).unwrap();
    println!("{} sent; {:?}; kernel: {} SYN cookies", sent.sent, sekisho.verdicts(), kernel().get("SyncookiesSent"));
    assert!(sekisho.verdict("cookie_sent") > sent.sent / 2, "what would have been done");
    assert!(kernel().get("Tcp.InSegs") >= counted(), "every SYN that was judged went on to the kernel");
    assert!(kernel().get("SyncookiesSent") > sent.sent / 2, "who answered by itself");
    let seen = Crowd::http(&scene.client, web.address(), "/").visits(20).parallel(2).run().unwrap();
    assert_eq!(seen.complete(), 20, "{seen}");
    assert_eq!(sekisho.verdict("admitted"), 0);
}

#[test]
fn a_mistake_is_named_and_the_configuration_before_stays_in_force() {
    let scene = Scene::new();
    let _web = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let mistake = "mode = \"guard\"\nlingr = \"10s\"\n";
    let Err(said) = Launch::new(&scene.server).config(mistake).try_start() else { panic!("a mistake was accepted") };
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("sekisho.toml:2:1") && said.stderr.contains("`linger`"), "{said:?}");
    assert_eq!(xdp_program(&scene.server, "eth0"), None);

    let sekisho = scene.protect(SMALL);
    fs::write(sekisho.config_file(), mistake).unwrap();
    sekisho.reload();
    sekisho.await_log("the configuration before stays in force");
    assert_eq!(sekisho.service(80)["state"], "calm");
    fs::write(sekisho.config_file(), format!("{SMALL}[[service]]\nports = [80]\nprotect = false\n")).unwrap();
    sekisho.reload();
    sekisho.await_log("was read again and is in force");
    assert_eq!(sekisho.service(80)["state"], "unprotected");
}

#[test]
fn two_namespaces_have_one_each() {
    let _alone = alone();
    let hosts = [Host::new().unwrap(), Host::new().unwrap()];
    let webs = hosts.each_ref().map(|host| Tiny::http(&host.server, SERVER4, 80, 128).unwrap());
    let [mut first, second] = hosts.each_ref().map(|host| Sekisho::run(&host.server, SMALL));
    let flood = hosts[0].flood(Shot::syn(webs[0].address()).rate(50_000).seconds(60)).unwrap().start().unwrap();
    first.await_state(80, "armed");
    wait::until("cookies", PATIENCE, || first.verdict("cookie_sent") > 0).unwrap();
    assert_eq!((second.verdict("cookie_sent"), &second.service(80)["state"]), (0, &"calm".into()));
    assert_ne!(first.id(), second.id());
    first.off();
    let status = second.status();
    assert_eq!((&status["protected"], &status["daemon"]), (&true.into(), &second.id().into()));
    let flood_here = hosts[1].flood(Shot::syn(webs[1].address()).rate(50_000).seconds(60)).unwrap().start().unwrap();
    second.await_state(80, "armed");
    let seen = Crowd::http(&hosts[1].client, webs[1].address(), "/").visits(20).parallel(2).run().unwrap();
    assert_eq!(seen.complete(), 20, "{seen}");
    flood.stop().unwrap();
    flood_here.stop().unwrap();
}

#[test]
fn through_ip_netns_exec_it_is_found_from_everywhere() {
    let scene = Scene::new();
    let _web = Tiny::http(&scene.server, SERVER6, 80, 128).unwrap();
    let mut sekisho = Launch::new(&scene.server).config(SMALL).through_ip().start();
    let traces = Traces::of(&sekisho, "eth0");
    sekisho.kill();
    // `ip netns exec` gives each process mounts of its own, so this one sees none of the daemon's.
    assert_eq!(sekisho.status()["protected"], true);
    // And this one has the mounts of whoever calls it.
    let plain = scene.server.command(sekisho_tests::program()).args(["status", "--json"]).output().unwrap();
    assert!(String::from_utf8_lossy(&plain.stdout).contains("\"protected\": true"), "{plain:?}");
    let flood = storm(&scene, &sekisho, SocketAddr::new(SERVER6, 80));
    flood.stop().unwrap();
    assert!(sekisho.verdict("cookie_sent") > 0, "it protects");
    let off = sekisho.off();
    assert!(off.contains("Protection is off"), "{off}");
    let gone = wait::until("the end of programs and maps", PATIENCE, || traces.left().is_empty());
    assert!(gone.is_ok(), "left behind: {:?}", traces.left());
}
