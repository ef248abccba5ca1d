//! Real hosts that prove themselves and then keep silent: what they may take is bounded for each of them.

use std::thread;
use std::time::{Duration, Instant};

use sekisho_lab::bots::Bots;
use sekisho_lab::clients::Crowd;
use sekisho_lab::flood::Prefix;
use sekisho_lab::servers::Nginx;
use sekisho_lab::wait;
use sekisho_tests::{PATIENCE, Scene};

use crate::{arm, clients, live, server, verified4};

/// nginx holds ten thousand silent connections; that it greets is only said, so that its port gets challenges.
const CONFIG: &str = "[[service]]\nports = [2525]\nspeaks_first = \"server\"\n[verified]\nrate = 20\nburst = 40\n";

#[test]
fn ten_thousand_addresses_that_answer() {
    let scene = Scene::new();
    let _nginx = Nginx::new().unwrap().listen(server(2525)).backlog(1024).start(&scene.server).unwrap();
    let sekisho = scene.protect(CONFIG);
    let bots_live = live(&scene);
    let flood = arm(&scene, &sekisho, 2525, 50_000);
    let bots = Bots::start(&scene.attacker, server(2525), bots_live, 10_000, 2000).unwrap();
    // Visitors from the first to the last of the ten thousand.
    let seen =
        Crowd::http(&scene.client, server(2525), "/").sources(clients(0..50)).visits(500).rate(80).run().unwrap();
    let waited = wait::until("10 000 bots", PATIENCE, || bots.connected() >= 10_000);
    println!("{bots:?}; verified: {}; visitors: {seen}", verified4(&sekisho));
    waited.unwrap();
    assert!(verified4(&sekisho) >= 10_000, "each of them proved itself");
    assert!(seen.percent() >= 99.0, "{seen}");
    drop(bots);
    flood.stop().unwrap();
}

/// Four bots of one machine each, as fast as they can: the reserve takes no more from each than its rate, and others come through.
#[test]
fn the_rate_of_a_source_holds() {
    const BOTS: u64 = 3;
    let scene = Scene::new();
    let _nginx = Nginx::new().unwrap().listen(server(2525)).backlog(1024).start(&scene.server).unwrap();
    let sekisho = scene.protect(CONFIG);
    live(&scene);
    let few = Prefix::new("198.18.0.0".parse().unwrap(), 30).unwrap();
    let flood = arm(&scene, &sekisho, 2525, 50_000);
    let (before, begin) = (sekisho.verdict("syn_verified"), Instant::now());
    let bots = Bots::start(&scene.attacker, server(2525), few, 2000, 600).unwrap();
    thread::sleep(Duration::from_secs(5));
    let (taken, begun) = (sekisho.verdict("syn_verified") - before, bots.begun());
    let most = BOTS * (40 + (21.0 * begin.elapsed().as_secs_f64()).ceil() as u64);
    println!("{BOTS} bots began {begun} connections ({bots:?}); {taken} went the way of known sources, {most} may");
    assert!(begun > 2 * most, "the bots ask for more than their rate: {begun} and {most}");
    assert!(taken <= most, "{taken} went the way of known sources, {most} may");
    assert!(taken >= BOTS * 40, "and what they may, they got: {taken}");
    let seen =
        Crowd::http(&scene.client, server(2525), "/").sources(clients(0..50)).visits(200).rate(80).run().unwrap();
    println!("others: {seen}");
    assert!(seen.percent() >= 99.0, "{seen}");
    drop(bots);
    flood.stop().unwrap();
}
