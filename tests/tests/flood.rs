//! A spoofed flood at a listener with backlog 128, and 500 visitors who connect meanwhile. The same without Sekisho and with the
//! kernel's own cookies runs beside it; its figures are printed.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::{IpAddr, SocketAddr};

use sekisho_lab::clients::{Crowd, Seen};
use sekisho_lab::counters::{self, Frames};
use sekisho_lab::flood::Shot;
use sekisho_lab::middle::{self, KernelCookies};
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{SERVER4, SERVER6};
use sekisho_lab::wait;
use sekisho_tests::{PATIENCE, Scene};

/// What has to be reached, in SYN/s. The generator is asked for a tenth more, since it waits now and then.
const RATE: u32 = 300_000;
/// Below this a run says little. A machine that is busy with something else gets a second chance.
const RATE_LEAST: f64 = 200_000.0;
const VISITS: usize = 500;
/// The visits take 5 s to begin, so the flood is at least that long.
const VISITS_PER_SECOND: u32 = 100;

/// What one flood did to the visitors.
struct Run {
    seen: Seen,
    rate: f64,
    arrived: Frames,
}

/// Floods the server for as long as the visits take.
fn run(scene: &Scene, target: SocketAddr) -> Run {
    let before = counters::frames(&scene.server, "eth0").unwrap();
    let flood = scene.start(Shot::syn(target).rate(RATE / 10 * 11).seconds(60));
    wait::until("a flood under way", PATIENCE, || flood.sent() > u64::from(RATE) / 10).unwrap();
    let crowd = Crowd::http(&scene.client, target, "/").visits(VISITS).rate(VISITS_PER_SECOND);
    let seen = crowd.run().unwrap();
    let rate = flood.stop().unwrap().rate();
    let after = counters::frames(&scene.server, "eth0").unwrap();
    let arrived =
        Frames { received: after.received - before.received, missed: after.missed - before.missed, sent: after.sent };
    Run { seen, rate, arrived }
}

fn print(name: &str, run: &Run) {
    let Run { seen, rate, arrived } = run;
    println!(
        "{name}: {rate:.0} SYN/s ({} of {} frames found no room in the receive ring); {seen}",
        arrived.missed,
        arrived.arrived()
    );
}

fn at_least_99_5_percent_complete(server: IpAddr) {
    let scene = Scene::new();
    let target = SocketAddr::new(server, 80);
    let _server = Tiny::http(&scene.server, server, 80, 128).unwrap();
    let sekisho = scene.protect("");
    let name = format!("with Sekisho, {server}");
    let mut outcome = run(&scene, target);
    print(&name, &outcome);
    if outcome.rate < RATE_LEAST {
        println!("the machine was busy: once more");
        outcome = run(&scene, target);
        print(&name, &outcome);
    }
    println!("verdicts: {:?}", sekisho.verdicts());
    assert!(outcome.seen.percent() >= 99.5, "{}", outcome.seen);
    assert!(sekisho.verdict("cookie_sent") > 100_000, "there was a flood, and it was answered");
    assert!(sekisho.verdict("admitted") > 0, "visitors came in by a cookie");
}

#[test]
fn visitors_complete_over_ipv4() {
    at_least_99_5_percent_complete(SERVER4);
}

#[test]
fn visitors_complete_over_ipv6() {
    at_least_99_5_percent_complete(SERVER6);
}

/// Not a demand on the kernel; but without a flood that hurts the tests above would show nothing.
#[test]
fn without_sekisho_they_do_not() {
    let scene = Scene::new();
    let target = SocketAddr::new(SERVER4, 80);
    let _server = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    for (name, cookies) in [("nothing", KernelCookies::Off), ("kernel SYN cookies", KernelCookies::WhenFull)] {
        middle::kernel_cookies(&scene.server, cookies).unwrap();
        let outcome = run(&scene, target);
        print(&format!("with {name}"), &outcome);
        if cookies == KernelCookies::Off {
            assert!(outcome.seen.percent() < 50.0, "the flood does no harm: {}", outcome.seen);
        }
    }
}
