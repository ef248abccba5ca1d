//! Limits, who is held back, resets to nobody and the account of how a flood is spread: single frames through the loaded gate, in a
//! namespace with a listener. Needs root.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use common::in_namespace;
use common::site::{SOURCE, SYN, Site};
use sekisho_datapath::limits::{HeldBack, Whom};
use sekisho_datapath::test_run::{XDP_DROP, XDP_PASS};
use sekisho_datapath::{HeldWhy, Limits, Over, Verdict, time};

const SYNACK: u8 = 0x12;
const ACK: u8 = 0x10;

/// The most that a limit a second lets pass in the ticks since then: a busy machine may take its time in between.
fn most(limit: usize, since: Instant) -> usize {
    (limit * 108 / 100 + 1) * (since.elapsed().as_secs() as usize + 2)
}

fn one(source: u32, times: usize) -> impl Iterator<Item = u32> {
    std::iter::repeat_n(source, times)
}

#[test]
fn a_source_over_its_limit_is_dropped_and_its_neighbours_are_not() {
    in_namespace(|| {
        let site = Site::new(Limits { source: 10, over: Over::Drop, ..Limits::default() });
        let began = Instant::now();
        let [passed, dropped, answered] = site.syns(one(SOURCE, 1000));
        assert!((10..=most(10, began)).contains(&passed) && answered == 0, "{passed} passed, {dropped} dropped");
        assert_eq!(site.count(Verdict::OverSource), dropped as u64);
        assert_eq!(site.syns(SOURCE + 1..SOURCE + 101), [100, 0, 0]);
    });
}

#[test]
fn a_verified_source_has_a_bucket_of_its_own() {
    in_namespace(|| {
        let site = Site::new(Limits { source: 10, network: 10, over: Over::Drop, ..Limits::default() });
        site.verify(SOURCE);
        // Its neighbour floods: the network's limit is not for who is verified.
        let [_, dropped, _] = site.syns(one(SOURCE + 1, 2000));
        assert_eq!(site.count(Verdict::OverSource) + site.count(Verdict::OverPrefix), dropped as u64);
        assert!(dropped > 1000, "{dropped}");
        // Ten at once, and ten a second for the time that this takes.
        let began = Instant::now();
        let [passed, _, _] = site.syns(one(SOURCE, 200));
        assert!((10..=most(10, began)).contains(&passed), "{passed} passed");
    });
}

#[test]
fn a_scattered_flood_does_not_accuse_the_innocent() {
    in_namespace(|| {
        let site = Site::new(Limits { source: 5, network: 20, over: Over::Drop, ..Limits::default() });
        // 120 000 sources in as many networks, spread by a multiplicative hash.
        let flood = (0..120_000_u32).map(|n| n.wrapping_mul(0x9e37_79b1));
        let [passed, dropped, _] = site.syns(flood);
        assert!(dropped * 200 < passed, "{dropped} of {} dropped", passed + dropped);
        let [_, dropped, _] = site.syns(one(SOURCE, 2000));
        assert!(dropped > 1000, "who floods is still found: {dropped}");
    });
}

#[test]
fn over_a_limit_proof_is_asked_for_also_while_calm() {
    in_namespace(|| {
        let site = Site::new(Limits { network: 10, over: Over::Prove, ..Limits::default() });
        let began = Instant::now();
        let [passed, dropped, answered] = site.syns((0..200).map(|n| SOURCE + n % 200));
        assert!((10..=most(10, began)).contains(&passed) && dropped == 0, "{passed} passed, {dropped} dropped");
        assert_eq!(site.count(Verdict::LimitAsked), answered as u64);
        assert!(
            site.gate.maps().port(80).is_armed(time::tick(time::coarse_ns())),
            "answers come back to an armed port"
        );
    });
}

#[test]
fn services_and_the_host_have_limits() {
    in_namespace(|| {
        let site = Site::new(Limits { services: true, global: 100, over: Over::Drop, ..Limits::default() });
        site.gate.maps().set_service_limit(80, 20);
        let began = Instant::now();
        let [passed, ..] = site.syns((0..500).map(|n| SOURCE + n * 256));
        assert!((20..=most(20, began)).contains(&passed), "{passed}");
        site.gate.maps().set_service_limit(80, 0);
        let [passed, ..] = site.syns((0..1000).map(|n| SOURCE + n * 256));
        assert!((60..=most(100, began)).contains(&passed), "{passed}");
        assert!(site.count(Verdict::OverService) > 0 && site.count(Verdict::OverGlobal) > 0);
    });
}

#[test]
fn who_is_held_back_is_dropped_until_the_time_is_over() {
    in_namespace(|| {
        let site = Site::new(Limits::default());
        let maps = site.gate.maps();
        let until = time::tick(time::coarse_ns()) + 100;
        let network = Whom::network_of(Ipv4Addr::from(SOURCE).into());
        let concentrated = HeldBack { whom: network, why: HeldWhy::Concentrated, rate: 0, until };
        maps.hold(&concentrated).unwrap();
        assert_eq!(maps.held().unwrap(), [concentrated]);
        site.verify(SOURCE + 7);
        assert_eq!(site.syns(one(SOURCE, 10)), [0, 10, 0]);
        assert_eq!(site.syns(one(SOURCE + 7, 5)), [5, 0, 0], "a verified neighbour is not held");
        assert_eq!(site.count(Verdict::Concentrated), 10);

        let source = Whom::Source(IpAddr::V4(Ipv4Addr::from(SOURCE + 7)));
        maps.hold(&HeldBack { whom: source, why: HeldWhy::Connections, rate: 0, until }).unwrap();
        assert_eq!(site.syns(one(SOURCE + 7, 5)), [0, 5, 0], "too many connections are for the verified too");
        maps.hold(&HeldBack { until: until - 101, ..concentrated }).unwrap();
        maps.release(source).unwrap();
        assert_eq!(site.syns(one(SOURCE, 10)), [10, 0, 0]);
        maps.release(network).unwrap();
        maps.release(network).unwrap();
        assert_eq!(maps.held().unwrap(), []);
    });
}

#[test]
fn a_full_table_of_the_held_says_so_and_holds_the_rest() {
    in_namespace(|| {
        let site = Site::new(Limits::default());
        let until = time::tick(time::coarse_ns()) + 100;
        let held = |n: u32| HeldBack {
            whom: Whom::Source(Ipv4Addr::from(SOURCE + n).into()),
            why: HeldWhy::Connections,
            rate: 0,
            until,
        };
        let fitted = (0..10_000).take_while(|n| site.gate.maps().hold(&held(*n)).is_ok()).count();
        assert!((8192..=8192 + 256).contains(&fitted), "{fitted}");
        assert_eq!(site.syns(SOURCE..SOURCE + 100), [0, 100, 0]);
    });
}

#[test]
fn resets_to_nobody_are_bounded_for_local_addresses_only() {
    in_namespace(|| {
        let site = Site::new(Limits::default());
        let maps = site.gate.maps();
        for flags in [SYN, SYNACK, ACK] {
            (0..100).for_each(|_| assert_eq!(site.send(SOURCE, flags, 81), XDP_PASS, "no budget, no bound"));
        }
        maps.set_closed_budget(10);
        (0..100).for_each(|_| assert_eq!(site.send(SOURCE, SYN, 81), XDP_PASS, "not known to be local"));
        assert_eq!(maps.set_local_addresses(&["198.51.100.10".parse().unwrap()]).unwrap(), 1);
        let dropped = |flags| (0..1000).filter(|_| site.send(SOURCE, flags, 81) == XDP_DROP).count() as u64;
        let syns = dropped(SYN);
        assert!(syns > 500 && site.count(Verdict::ClosedPort) == syns, "{syns}");
        let answers = dropped(SYNACK);
        assert!(answers > 500 && site.count(Verdict::NoSocket) == answers, "{answers}");
        assert_eq!(dropped(ACK), 0, "calm: no socket is looked for");
        maps.set_strays_until(time::tick(time::coarse_ns()) + 100);
        assert!(dropped(ACK) > 500);
        assert_eq!(dropped(4), 0, "a reset is answered by nobody");
        maps.set_local_addresses(&[]).unwrap();
        (0..100).for_each(|_| assert_eq!(site.send(SOURCE, ACK, 81), XDP_PASS));
    });
}

#[test]
fn the_spread_of_a_flood_is_seen() {
    in_namespace(|| {
        let site = Site::new(Limits { global: 1, over: Over::Drop, ..Limits::default() });
        let maps = site.gate.maps();
        site.syns((0..32_000_u32).map(|n| n.wrapping_mul(0x9e37_79b1)));
        let scattered = maps.spreading().unwrap();
        assert!((900..=1000).contains(&scattered.samples), "{scattered:?}");
        assert!(scattered.distinct * 100 > scattered.samples * 85, "{scattered:?}");
        assert!(scattered.parts.first().is_none_or(|part| part.votes * 20 < scattered.samples), "{scattered:?}");
        maps.empty_spreading().unwrap();
        assert_eq!(maps.spreading().unwrap().asked, 0);
        // Three of four SYNs from one network.
        site.syns(
            (0..32_000_u32).map(|n| if n % 128 < 96 { SOURCE + n / 128 % 50 } else { n.wrapping_mul(0x9e37_79b1) }),
        );
        let concentrated = maps.spreading().unwrap();
        let first = concentrated.parts.first().unwrap();
        assert_eq!(first.whom.to_string(), "198.18.1.0/24");
        let share = first.votes * 100 / concentrated.samples;
        assert!((65..=76).contains(&share), "{share} %");
    });
}
