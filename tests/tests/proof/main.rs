//! Proof without side effects, end to end: challenges, verified sources, services that speak first.
//!
//! One module a promise. Each test builds a lab of its own and prints the figures that it judges:
//! `cargo test --release -p sekisho-tests --test proof -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod botnet;
mod challenge;
mod lost_ack;
mod reflector;
mod resets;
mod rsync;
mod speaks;
mod spoofed;
mod stacks;
mod verified;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sekisho_lab::clients::Crowd;
use sekisho_lab::flood::{Prefix, Running, Shot};
use sekisho_lab::topology::{SERVER4, client4, live4};
use sekisho_tests::{Scene, Sekisho};

/// The server's address with a port.
fn server(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER4, port)
}

/// A range of the clients' addresses: an address that no test has used before is one that nobody knows.
fn clients(range: std::ops::Range<usize>) -> Vec<IpAddr> {
    range.map(client4).collect()
}

/// 198.19.0.0/16: spoofed, and nobody lives there. What goes to it disappears in the lab's sink.
fn nobody() -> Prefix {
    Prefix::new("198.19.0.0".parse().unwrap(), 16).unwrap()
}

/// A flood of SYNs from where nobody lives, for a minute unless it is stopped before; begun once the port is armed.
fn arm(scene: &Scene, sekisho: &Sekisho, port: u16, rate: u32) -> Running {
    let flood = scene.start(Shot::syn(server(port)).from_prefix(nobody()).rate(rate).seconds(60));
    sekisho.await_state(port, "armed");
    flood
}

/// How much a verdict's count grew while something was done.
fn grown<T>(sekisho: &Sekisho, name: &str, work: impl FnOnce() -> T) -> (u64, T) {
    let before = sekisho.verdict(name);
    let done = work();
    (sekisho.verdict(name) - before, done)
}

/// How many IPv4 sources are verified.
fn verified4(sekisho: &Sekisho) -> u64 {
    sekisho.status()["verified"]["ipv4"].as_u64().unwrap()
}

/// Makes an address known: one visit while all is calm.
fn introduce(scene: &Scene, port: u16, sources: Vec<IpAddr>) {
    let visits = sources.len();
    let seen =
        Crowd::banner(&scene.client, server(port), "").sources(sources).visits(visits).parallel(8).run().unwrap();
    assert_eq!(seen.complete(), visits, "visits while all is calm: {seen}");
}

/// Milliseconds, for the eye.
fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The live part of the spoofed range, of which each address is a host of the attacker's namespace.
fn live(scene: &Scene) -> Prefix {
    scene.make_live(live4()).unwrap();
    live4()
}
