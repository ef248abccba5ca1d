//! Floods under names of others: of a source that is known, and of hosts that live.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use sekisho_lab::clients::Crowd;
use sekisho_lab::counters;
use sekisho_lab::flood::Shot;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{SERVER4, client4};
use sekisho_lab::wait;
use sekisho_tests::{PATIENCE, Scene};

use crate::{arm, clients, introduce, live, server, verified4};

/// Visitors of a part of the net that the flood has nothing to do with, whom nobody knows: hosts behind the attacker's router.
fn elsewhere(n: u8) -> Vec<IpAddr> {
    (0..20).map(|host| IpAddr::from([198, 18, 200 + n, 10 + host])).collect()
}

/// The spoofer knows one address, and the server knows it too.
fn a_known_address_is_spoofed(rate: u32) {
    let scene = Scene::new();
    let _tiny = Tiny::banner(&scene.server, SERVER4, 25, 128).unwrap();
    let sekisho = scene.protect("");
    live(&scene);
    let owner = vec![client4(0)];
    introduce(&scene, 25, clients(0..20));
    let nobody = arm(&scene, &sekisho, 25, 20_000);
    let before = sekisho.verdicts();
    let spoofer = scene.start(Shot::syn(server(25)).from_list(owner.clone()).rate(rate).seconds(60));
    // By then the address has used up its rate.
    wait::until("that address is asked again", PATIENCE, || sekisho.verdict("challenge_proved") > 0).unwrap();
    thread::sleep(Duration::from_millis(500));
    let crowd = |sources: Vec<IpAddr>| {
        Crowd::banner(&scene.client, server(25), "220 ").sources(sources).deadline(Duration::from_secs(20))
    };
    let far = Crowd::banner(&scene.attacker, server(25), "220 ").sources(elsewhere(0)).visits(100).rate(40);
    let (owners, known, far) = thread::scope(|scope| {
        let owners = scope.spawn(|| crowd(owner.clone()).visits(10).rate(2).run().unwrap());
        let known = scope.spawn(|| crowd(clients(1..20)).visits(100).rate(40).run().unwrap());
        (far.run().unwrap(), known.join().unwrap(), owners.join().unwrap())
    });
    let (far, known, owners) = (owners, known, far);
    println!("spoofed {rate}/s. its owner: {owners}\nknown neighbours: {known}\nstrangers elsewhere: {far}");
    println!("{before:?}\n{:?}", sekisho.verdicts());
    spoofer.stop().unwrap();
    nobody.stop().unwrap();
    assert_eq!(owners.complete(), 10, "its owner gets through: {owners}");
    assert!(known.percent() >= 99.0, "{known}");
    assert!(known.first_byte_within(95.0).unwrap() < Duration::from_millis(500), "neighbours do not notice: {known}");
    assert!(far.percent() >= 99.0, "{far}");
    assert!(far.first_byte_within(80.0).unwrap() < Duration::from_millis(500), "others do not notice: {far}");
}

/// Below the bound on answers to its network.
#[test]
fn a_known_address_is_spoofed_a_little() {
    a_known_address_is_spoofed(2_000);
}

/// Far above it: its network gets no more answers than it may, and yet its owner gets one.
#[test]
fn a_known_address_is_spoofed_a_lot() {
    a_known_address_is_spoofed(50_000);
}

/// Hosts that live answer an unexpected SYN-ACK with RST, and so prove a challenge that they never asked for.
#[test]
fn live_hosts_are_spoofed() {
    let scene = Scene::new();
    let _tiny = Tiny::banner(&scene.server, SERVER4, 25, 128).unwrap();
    let sekisho = scene.protect("");
    let live = live(&scene);
    introduce(&scene, 25, clients(0..20));
    let nobody = arm(&scene, &sekisho, 25, 20_000);
    let known = verified4(&sekisho);
    let before = counters::queues(&scene.server, 25).unwrap().syn;
    let shot = Shot::syn(server(25)).from_prefix(live).rate(10_000).seconds(4);
    let flood = scene.start(shot.clone().each_twice());
    let seen = Crowd::banner(&scene.client, server(25), "220 ").sources(clients(0..20)).visits(150).rate(50).run();
    let sent = flood.join().unwrap();
    let proved = sekisho.verdict("challenge_proved");
    // The same SYNs once more when their hosts have opened doors for them: the spoofer walks in, and the hosts' RSTs throw it out.
    let doors = sekisho.verdict("syn_door");
    let first = shot.seconds(1).seed(7);
    scene.start(first.clone()).join().unwrap();
    thread::sleep(Duration::from_millis(500));
    scene.start(first).join().unwrap();
    let doors = sekisho.verdict("syn_door") - doors;
    nobody.stop().unwrap();
    let seen = seen.unwrap();
    println!("{} SYNs of live hosts, {proved} challenges proved, {doors} doors used; visitors: {seen}", sent.sent);
    assert!(proved > 1000, "the hosts do prove challenges: {proved}");
    assert!(doors > 100, "and their doors are used: {doors}");
    assert_eq!(verified4(&sekisho), known, "nobody became known by that");
    assert!(seen.percent() >= 99.0, "{seen}");
    // What the flood from where nobody lives had put into the queue, up to the calm mark, is all that may be left.
    let left = || counters::queues(&scene.server, 25).unwrap().syn;
    let waited = wait::until("half-open entries vanish", PATIENCE, || left() <= before + 2);
    println!("{before} half-open before, {} after", left());
    waited.unwrap();
}
