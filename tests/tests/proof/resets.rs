//! Forged resets: they open no door and break no connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sekisho_lab::clients::connect_from;
use sekisho_lab::flood::{Kind, Shot};
use sekisho_lab::servers::{Talk, Tiny};
use sekisho_lab::topology::client4;
use sekisho_lab::wait;
use sekisho_tests::Scene;

use crate::{arm, clients, nobody, server};

/// Resets that reach the program. The number that proves a challenge has 32 bits, of which two are right at a time, so of two
/// million random ones 0.001 are expected to hit: once in a thousand runs. What the program itself does with ten million
/// is tested without a network, in crates/native.
const RESETS: u64 = 2_000_000;

/// Sends a line and reads it back.
fn echoes(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut back = [0; 5];
    stream.write_all(b"ping\n").is_ok() && stream.read_exact(&mut back).is_ok() && &back == b"ping\n"
}

#[test]
fn two_million_forged_resets() {
    let scene = Scene::new();
    let _tiny = Tiny::start(&scene.server, server(25), 128, Talk::Echo).unwrap();
    let sekisho = scene.protect("");
    let patience = Duration::from_secs(10);
    let open = |n: usize| connect_from(Some(client4(n)), server(25), patience).unwrap();
    let held: Vec<TcpStream> = scene.client.run(|| (0..20).map(open).collect()).unwrap();
    let flood = arm(&scene, &sekisho, 25, 20_000);
    let before = sekisho.verdict("stray_rst");
    // From those who are connected, and from those who are being asked.
    let resets = Shot::new(Kind::Rst, server(25)).rate(300_000).seconds(60);
    let from = [resets.clone().from_list(clients(0..20)), resets.from_prefix(nobody())];
    let running = from.map(|shot| scene.start(shot));
    let arrived =
        wait::until("two million resets", Duration::from_secs(50), || sekisho.verdict("stray_rst") - before >= RESETS);
    assert!(held.iter().all(echoes), "connections live on under the resets");
    let sent: u64 = running.map(|flood| flood.stop().unwrap().sent).iter().sum();
    let stray = sekisho.verdict("stray_rst") - before;
    println!("{sent} resets sent, {stray} dropped as strays, {} proved something", sekisho.verdict("challenge_proved"));
    arrived.unwrap();
    assert_eq!(sekisho.verdict("challenge_proved"), 0, "none opened a door");
    assert_eq!(sekisho.verdict("syn_door"), 0, "none was used");
    assert!(held.iter().all(echoes), "no connection broke");
    flood.stop().unwrap();
}
