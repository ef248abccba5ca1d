//! Every table that can fill, full: what happens then is what docs/ARCHITECTURE.md says. Single frames through the loaded gate, in a
//! namespace with a listener. Needs root.
//!
//! Elsewhere: `held` in limits.rs, the sketches by their properties in crates/native/tests, a scattered flood in limits.rs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::site::{SOURCE, SYN, Site};
use common::{SMALL, in_namespace, tcp};
use sekisho_datapath::abi::{LOCAL_MAX, SPREAD_CELLS, Verified};
use sekisho_datapath::limits::Whom;
use sekisho_datapath::test_run::{XDP_DROP, XDP_PASS, XDP_TX};
use sekisho_datapath::{
    Frame, Limits, List, ListEntry, Method, Over, PortPolicy, Settings, Unattached, Verdict, VerifiedSource, time,
};

const ACK: u8 = 0x10;
const SYNACK: u8 = 0x12;

/// Does something within one tick, and again where a new one began meanwhile.
fn in_one_tick<T>(mut act: impl FnMut(u32) -> T) -> T {
    loop {
        let tick = time::tick(time::coarse_ns());
        let done = act(tick);
        if time::tick(time::coarse_ns()) == tick {
            return done;
        }
    }
}

/// A line of a sketch with every cell at this count.
fn line(tick: u32, count: u32) -> Vec<u8> {
    (tick << 24 | count).to_ne_bytes().repeat(16)
}

/// A gate that asks everybody for proof, by challenge.
fn challenging() -> Site {
    let site = Site::new(Limits { global: 1, over: Over::Prove, ..Limits::default() });
    site.gate.maps().set_port(80, PortPolicy { method: Method::Challenge, ..PortPolicy::default() });
    site
}

/// The flags of the answer to a SYN.
fn answer(site: &Site, source: u32) -> Option<u8> {
    let ran = site.run(source, SYN, 80);
    (ran.action == XDP_TX).then(|| ran.bytes[47])
}

#[test]
fn where_everybody_was_asked_already_a_new_source_gets_a_cookie() {
    in_namespace(|| {
        let site = challenging();
        in_one_tick(|_| site.syns((0..10).map(|n| SOURCE + 256 * n)));
        let asked = (0..20).filter(|n| answer(&site, SOURCE + 256 * (100 + n)) == Some(ACK)).count();
        assert!(asked >= 18, "{asked} of 20 are challenged while the filter is nearly empty");
        // Every note of this time and of the three before: a word's upper four bits say which one it is of.
        let now = (time::coarse_ns() * 3) >> 32;
        let word = |place: u64| (((now - (now - place) % 4) / 4) << 60 | ((1 << 60) - 1)).to_ne_bytes();
        site.gate.maps().fill("asked", &[0, 1, 2, 3].map(word).concat()).unwrap();
        for n in 0..100 {
            let flags = answer(&site, SOURCE + 256 * (200 + n));
            // The one SYN of a tick that is within the limit is not asked at all.
            assert!(matches!(flags, None | Some(SYNACK)), "{flags:?}");
        }
        assert!(site.count(Verdict::LimitAsked) >= 90);
    });
}

#[test]
fn where_every_network_has_had_its_answers_nobody_gets_one_until_the_next_tick() {
    in_namespace(|| {
        let site = challenging();
        let (before, full) = in_one_tick(|tick| {
            // The first of a tick are within the limit, and nothing is asked of them.
            site.syns(SOURCE..SOURCE + 10);
            let before = answer(&site, SOURCE);
            site.gate.maps().fill("answers", &line(tick, 0xff_ffff)).unwrap();
            (before, [0, 1, 2].map(|n| site.send(SOURCE + 256 * n, SYN, 80)))
        });
        assert!(before.is_some());
        assert_eq!(full, [XDP_DROP; 3]);
        assert!(site.count(Verdict::AnswerBoundReached) >= 3);
        let tick = time::tick(time::coarse_ns());
        while time::tick(time::coarse_ns()) == tick {
            std::thread::yield_now();
        }
        let answered = in_one_tick(|_| (0..20).filter(|n| answer(&site, SOURCE + 256 * n).is_some()).count());
        assert!(answered >= 17, "{answered}: the bound is of one tick");
    });
}

#[test]
fn full_sketches_of_rates_accuse_nobody_and_who_is_verified_is_counted_all_the_same() {
    in_namespace(|| {
        let site = Site::new(Limits { source: 10, network: 10, over: Over::Drop, ..Limits::default() });
        let (strangers, known) = in_one_tick(|tick| {
            site.verify(SOURCE);
            for name in ["rates_source", "rates_network"] {
                site.gate.maps().fill(name, &line(tick, 1000)).unwrap();
            }
            let strangers = site.syns((1..101).map(|n| SOURCE + 256 * n));
            (strangers, site.syns(std::iter::repeat_n(SOURCE, 100)))
        });
        assert_eq!(strangers, [100, 0, 0]);
        let [passed, dropped, _] = known;
        assert!((10..40).contains(&passed) && dropped > 60, "its bucket holds ten: {known:?}");
    });
}

#[test]
fn full_lists_refuse_one_more_and_hold_what_they_have() {
    in_namespace(|| {
        let gate = Unattached::load(&Settings { listed: 2000, ..Settings::default() }, SMALL).unwrap();
        let entry = |n: u32| ListEntry::new(List::Block, Ipv4Addr::from(0xcb00_7100 + n).into(), 32);
        gate.maps().list_add(&(0..2000).map(entry).collect::<Vec<_>>()).unwrap();
        let refused = gate.maps().list_add(&[entry(2000)]).unwrap_err();
        assert!(refused.hint().unwrap().contains("65536 prefixes more"), "{refused}");
        let run = |n: u32| {
            let mut frame = tcp(SYN, 80);
            frame[26..30].copy_from_slice(&(0xcb00_7100 + n).to_be_bytes());
            gate.run_gate(&Frame::new(&frame)).unwrap().action
        };
        assert_eq!([0, 1000, 1999, 2000].map(run), [XDP_DROP, XDP_DROP, XDP_DROP, XDP_PASS]);
        // What is on it may change, and whoever goes makes room.
        gate.maps().list_add(&[ListEntry { hits: 7, ..entry(5) }]).unwrap();
        assert!(gate.maps().list_remove(List::Block, entry(0).address, 32).unwrap());
        gate.maps().list_add(&[entry(2000)]).unwrap();
        assert_eq!([0, 2000].map(run), [XDP_PASS, XDP_DROP]);
    });
}

#[test]
fn of_the_verified_those_longest_away_are_forgotten_and_are_counted_like_anybody() {
    in_namespace(|| {
        let site = Site::new(Limits { source: 1, over: Over::Drop, ..Limits::default() });
        let seen = time::tick(time::coarse_ns());
        let entry = Verified { seen, handshakes: 1, limit_tokens: 2 * 1024, ..Verified::default() };
        let entry = Verified { limit_filled: (time::coarse_ns() >> 20) as u32, ..entry };
        let source = |n: u32| VerifiedSource { address: Ipv4Addr::from(SOURCE + n).into(), entry };
        // Ten times as many as the table holds.
        let (room, all) = (SMALL.verified4 as usize, 10 * SMALL.verified4);
        site.gate.maps().add_verified(&(0..all).map(source).collect::<Vec<_>>()).unwrap();
        let there = site.gate.maps().verified_sources(usize::MAX).unwrap();
        assert!((room / 2..=room).contains(&there.len()), "{}", there.len());
        let is_there = |n: &u32| there.iter().any(|one| one.address == IpAddr::from(Ipv4Addr::from(SOURCE + n)));
        let (first, last) = ((0..100).filter(is_there).count(), (all - 100..all).filter(is_there).count());
        assert!(first < 50 && last > 50, "of the first hundred {first} are there, of the last {last}");
        let forgotten = (0..100).find(|n| !is_there(n)).unwrap();
        let [passed, dropped, _] = in_one_tick(|_| site.syns(std::iter::repeat_n(SOURCE + forgotten, 100)));
        assert!(passed <= 2 && dropped >= 98, "{passed} passed: it is in the sketch, as everybody is");
    });
}

#[test]
fn local_addresses_beyond_the_bound_are_not_bounded() {
    in_namespace(|| {
        let site = Site::new(Limits::default());
        let maps = site.gate.maps();
        let many: Vec<IpAddr> = (0..2000).map(|n| IpAddr::from(Ipv4Addr::from(0xc633_6400 + n))).collect();
        assert_eq!(maps.set_local_addresses(&many).unwrap(), LOCAL_MAX);
        maps.set_closed_budget(1);
        let dropped = |last: u32| {
            let mut frame = tcp(SYN, 81);
            frame[30..34].copy_from_slice(&(0xc633_6400 + last).to_be_bytes());
            (0..100).filter(|_| site.gate.run_gate(&Frame::new(&frame)).unwrap().action == XDP_DROP).count()
        };
        assert!(dropped(10) > 90);
        assert_eq!(dropped(1500), 0);
    });
}

#[test]
fn more_networks_than_cells_hide_nobody_who_makes_a_large_part() {
    in_namespace(|| {
        let site = Site::new(Limits { global: 1, over: Over::Drop, ..Limits::default() });
        let networks = 20 * SPREAD_CELLS as u32;
        // One network sends a fifth, the others the rest between them.
        let flood = (0..96_000_u32)
            .map(|n| if n / 32 % 5 == 0 { SOURCE + n % 50 } else { (n / 32 * 7919 % networks) << 8 | 9 });
        site.syns(flood);
        let seen = site.gate.maps().spreading().unwrap();
        let first = seen.parts.iter().find(|part| matches!(part.whom, Whom::Network(_))).unwrap();
        assert_eq!(first.whom, Whom::network_of(Ipv4Addr::from(SOURCE).into()));
        let share = first.votes * 100 / seen.samples;
        assert!((10..=20).contains(&share), "{share} %: never more than it sent");
    });
}
