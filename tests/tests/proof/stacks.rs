//! Clients of other systems than Linux, and roads that swallow what a challenge needs: everybody gets through, by the fallback at the
//! latest. What real stacks do is in docs/operations/clients.md.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::thread;
use std::time::Duration;

use sekisho_lab::clients::Crowd;
use sekisho_lab::middle::{self, Rules};
use sekisho_lab::servers::Tiny;
use sekisho_lab::stack::{Attempt, Habits, OddAck, Stacks};
use sekisho_lab::topology::{SERVER4, client4};
use sekisho_tests::{Scene, Sekisho};

use crate::{arm, clients, ms, server};

const MILLIS: fn(u64) -> Duration = Duration::from_millis;
/// Clients of each kind.
const EACH: usize = 5;

/// Windows, BSD, small devices; each with the longest that it may take when nothing but the challenge is in its way.
fn habits() -> Vec<(Habits, Duration)> {
    let windows = |name| Habits::new(name).window(64240, Some(8)).sack().ttl(128);
    let bsd = |name| Habits::new(name).window(65535, Some(6)).sack().timestamps();
    vec![
        (windows("Windows-like, second SYN after 500 ms").second_syn_after(MILLIS(500)), MILLIS(500)),
        (windows("Windows-like, second SYN after 1 s"), MILLIS(1000)),
        (windows("Windows-like, second SYN after 3 s").second_syn_after(MILLIS(3000)), MILLIS(3000)),
        (bsd("BSD-like, second SYN after 1 s"), MILLIS(1000)),
        (bsd("BSD-like, second SYN after 3 s").second_syn_after(MILLIS(3000)), MILLIS(3000)),
        (
            Habits::new("old BSD without options, second SYN after 3 s")
                .window(16384, None)
                .second_syn_after(MILLIS(3000)),
            MILLIS(3000),
        ),
        (bsd("Linux-like, SYN again at once").odd(OddAck::ResetAndResend(MILLIS(10))), MILLIS(100)),
        (
            Habits::new("lwIP-like, RST with ACK, SYN again at once")
                .window(5840, None)
                .odd(OddAck::ResetAndResend(Duration::ZERO))
                .reset_with_ack(),
            MILLIS(100),
        ),
        (Habits::new("gVisor-like, RST with ACK").window(29184, Some(7)).timestamps().reset_with_ack(), MILLIS(1000)),
        (Habits::new("ignores the odd ACK, second SYN after 1 s").odd(OddAck::Ignore), MILLIS(1000)),
        (
            Habits::new("ignores the odd ACK, second SYN after 3 s").odd(OddAck::Ignore).second_syn_after(MILLIS(3000)),
            MILLIS(3000),
        ),
        (
            Habits::new("uIP-like, aborts, tries anew after 1 s")
                .window(1460, None)
                .odd(OddAck::ResetAndAbort(MILLIS(1000)))
                .reset_with_ack(),
            MILLIS(1000),
        ),
        (Habits::new("aborts, tries anew after 4 s").odd(OddAck::ResetAndAbort(MILLIS(4000))), MILLIS(4000)),
    ]
}

/// What [`Crowd`] is for Linux: some clients of each kind at once, none known before, and how they fared.
fn visit(scene: &Scene, kinds: &[(Habits, Duration)], patience: Duration) -> Vec<Vec<Attempt>> {
    let stacks = Stacks::new(&scene.client).unwrap();
    let SocketAddr::V4(target) = server(25) else { unreachable!("the server's IPv4 address") };
    let address = |n: usize| match client4(n) {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let one =
        |habits: &Habits, n: usize, target: SocketAddrV4| stacks.banner(habits, address(n), target, patience).unwrap();
    thread::scope(|scope| {
        let begin = |kind: usize| {
            (0..EACH).map(|n| scope.spawn(move || one(&kinds[kind].0, kind * EACH + n, target))).collect::<Vec<_>>()
        };
        let running: Vec<_> = (0..kinds.len()).map(begin).collect();
        running.into_iter().map(|kind| kind.into_iter().map(|one| one.join().unwrap()).collect()).collect()
    })
}

fn show(name: &str, attempts: &[Attempt]) {
    let times: Vec<String> =
        attempts.iter().map(|one| one.first_byte.map_or("never".into(), |time| format!("{:.0}", ms(time)))).collect();
    let sum = |of: fn(&Attempt) -> u32| attempts.iter().map(of).sum::<u32>();
    println!(
        "  {name}: greeted after {} ms; {} SYNs, {} challenges, {} connections",
        times.join("/"),
        sum(|one| one.syns),
        sum(|one| one.odd),
        sum(|one| one.connections)
    );
}

fn armed() -> (Scene, Tiny, Sekisho) {
    let scene = Scene::new();
    let tiny = Tiny::banner(&scene.server, SERVER4, 25, 128).unwrap();
    let sekisho = scene.protect("");
    (scene, tiny, sekisho)
}

#[test]
fn every_stack_gets_through() {
    let (scene, _tiny, sekisho) = armed();
    let flood = arm(&scene, &sekisho, 25, 20_000);
    let kinds = habits();
    let fared = visit(&scene, &kinds, Duration::from_secs(20));
    flood.stop().unwrap();
    println!("nothing in between:");
    for ((habits, within), attempts) in kinds.iter().zip(&fared) {
        show(habits.name(), attempts);
        // One more retransmission may be needed if the busy lab loses a frame.
        let most = *within * 3 + MILLIS(1000);
        assert!(
            attempts.iter().all(|one| one.first_byte.is_some_and(|time| time <= most)),
            "{}: not within {most:?}: {attempts:?}",
            habits.name()
        );
        assert!(attempts.iter().any(|one| one.odd > 0), "{}: some met a challenge: {attempts:?}", habits.name());
    }
}

#[test]
fn a_road_that_drops_resets() {
    let (scene, _tiny, sekisho) = armed();
    let rules = middle::drop_resets(&scene.router).unwrap();
    let flood = arm(&scene, &sekisho, 25, 20_000);
    println!("a router that drops RST:");
    through(&scene, &sekisho, 9000);
    assert!(rules.hits().unwrap() > 0, "resets were dropped");
    flood.stop().unwrap();
}

/// A firewall on the road, without translation: each client has an address of its own, and so each of them is challenged.
#[test]
fn a_road_that_drops_what_is_invalid() {
    let (scene, _tiny, sekisho) = armed();
    let strict = "chain forward { type filter hook forward priority 0; policy accept; ct state invalid counter drop\n}";
    let _rules = Rules::add(&scene.router, "inet strict_road", strict).unwrap();
    let flood = arm(&scene, &sekisho, 25, 20_000);
    println!("a router that drops what connection tracking calls invalid:");
    through(&scene, &sekisho, 9000);
    assert!(sekisho.verdict("challenge_proved") >= 20, "Linux clients prove themselves across it");
    flood.stop().unwrap();
}

/// Behind a NAT router all clients have one address: the first proves itself, and the others are known by then, or get cookies.
#[test]
fn a_nat_router_that_drops_what_is_invalid() {
    for round in 0..3 {
        let (scene, _tiny, sekisho) = armed();
        let _rules = middle::nat(&scene.router, "server").unwrap();
        let flood = arm(&scene, &sekisho, 25, 20_000);
        println!("a NAT router that drops what connection tracking calls invalid:");
        if round == 0 {
            through(&scene, &sekisho, 9000)
        } else {
            linux(&scene, &sekisho)
        }
        flood.stop().unwrap();
    }
}

/// Linux clients: all of them, within a time that a retransmission or two explain.
fn linux(scene: &Scene, sekisho: &Sekisho) {
    let crowd = Crowd::banner(&scene.client, server(25), "220 ").sources(clients(80..100)).visits(20).parallel(20);
    let challenges = sekisho.verdict("challenge_sent");
    let seen = crowd.deadline(Duration::from_secs(20)).run().unwrap();
    println!("  Linux: {seen}");
    assert_eq!(seen.complete(), 20, "{seen}");
    assert!(sekisho.verdict("challenge_sent") > challenges, "challenges were sent");
    assert!(seen.first_byte_within(100.0).unwrap() < Duration::from_secs(4), "{seen}");
}

/// Linux clients, then the emulated ones.
fn through(scene: &Scene, sekisho: &Sekisho, most_ms: u64) {
    linux(scene, sekisho);
    let kinds = habits();
    let fared = visit(scene, &kinds, Duration::from_secs(20));
    let mut late = Vec::new();
    for ((habits, _), attempts) in kinds.iter().zip(&fared) {
        show(habits.name(), attempts);
        if !attempts.iter().all(|one| one.first_byte.is_some_and(|time| time <= MILLIS(most_ms))) {
            late.push(habits.name());
        }
    }
    assert!(late.is_empty(), "not within {most_ms} ms: {late:?}");
}
