//! Forged segments through the real path: ACKs with random numbers make no connection, but for those that chance allows.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::{IpAddr, SocketAddr};

use sekisho_lab::clients::Crowd;
use sekisho_lab::counters::Counters;
use sekisho_lab::flood::{Kind, Shot};
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{SERVER4, SERVER6};
use sekisho_tests::{Scene, Sekisho};

/// What is sent of each kind. The pure check is tried with ten million in crates/native.
const SEGMENTS: u64 = 2_000_000;
/// Of 32 random bits 22 have to be right, and the two of the time must not be those of the one time that is too old.
const CHANCE: f64 = 0.75 / 4_194_304.0;

/// What came of a flood of one kind.
struct Outcome {
    judged: u64,
    valid: u64,
    made: u64,
}

fn shoot(scene: &Scene, sekisho: &Sekisho, server: &Tiny, kind: Kind) -> Outcome {
    let counts = || {
        let made = Counters::read(&scene.server).unwrap().get("Tcp.PassiveOpens") + sekisho.verdict("admitted");
        [sekisho.verdict("stray_ack"), sekisho.verdict("cookie_valid"), made + server.accepted()]
    };
    let before = counts();
    let shot = Shot::new(kind, server.address()).rate(500_000).seconds(60).at_most(SEGMENTS);
    let sent = scene.flood(shot).unwrap().run().unwrap();
    let [strays, valid, made] = counts();
    let outcome = Outcome { judged: strays - before[0], valid: valid - before[1], made: made - before[2] };
    println!(
        "{kind:?} at {}: {} sent, {} judged, {} taken for a cookie, {} traces of a connection; expected of chance: {:.2}",
        server.address(),
        sent.sent,
        outcome.judged,
        outcome.valid,
        outcome.made,
        if kind == Kind::Ack { outcome.judged as f64 * CHANCE } else { 0.0 },
    );
    // The receive ring of a busy machine drops some of them.
    assert!(outcome.judged > SEGMENTS / 10, "few arrived");
    outcome
}

fn forged_acks_make_nothing(address: IpAddr) {
    let scene = Scene::new();
    let server = Tiny::http(&scene.server, address, 80, 128).unwrap();
    let sekisho = scene.protect("");
    // Armed, and it stays so for a minute.
    scene.flood(Shot::syn(SocketAddr::new(address, 80)).rate(50_000).seconds(1)).unwrap().run().unwrap();
    sekisho.await_state(80, "armed");

    let with_timestamps = shoot(&scene, &sekisho, &server, Kind::AckTimestamps);
    assert_eq!((with_timestamps.valid, with_timestamps.made), (0, 0));
    let without = shoot(&scene, &sekisho, &server, Kind::Ack);
    // Poisson: with a mean of 0.4, eight or more happen once in some ten million runs.
    assert!(without.valid < 8, "more than chance allows");
    let seen = Crowd::http(&scene.client, server.address(), "/").visits(20).parallel(2).run().unwrap();
    assert_eq!(seen.complete(), 20, "{seen}");
}

#[test]
fn forged_acks_over_ipv4() {
    forged_acks_make_nothing(SERVER4);
}

#[test]
fn forged_acks_over_ipv6() {
    forged_acks_make_nothing(SERVER6);
}

/// Strays that no listener asked for are dropped while armed, each by its name, and a connection under way does not mind.
#[test]
fn strays_have_names() {
    let scene = Scene::new();
    let server = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let sekisho = scene.protect("");
    scene.flood(Shot::syn(server.address()).rate(50_000).seconds(1)).unwrap().run().unwrap();
    sekisho.await_state(80, "armed");
    let names = [(Kind::Ack, "stray_ack"), (Kind::Rst, "stray_rst"), (Kind::SynAck, "stray_synack")];
    for (kind, name) in names.into_iter().chain([(Kind::Fin, "stray_ack")]) {
        let (before, resets) = (sekisho.verdict(name), Counters::read(&scene.server).unwrap().get("Tcp.OutRsts"));
        let shot = Shot::new(kind, server.address()).rate(10_000).at_most(5_000).seconds(20);
        scene.flood(shot).unwrap().run().unwrap();
        let (strays, answered) =
            (sekisho.verdict(name) - before, Counters::read(&scene.server).unwrap().get("Tcp.OutRsts") - resets);
        println!("{kind:?}: {strays} counted as {name}, {answered} answered by the kernel");
        assert!(strays > 2_500 && answered < 10, "{kind:?}");
    }
}
