//! The lists in the real programs: who is blocked, who is allowed, what another generation knows. Needs root.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::{Base, SMALL, count, in_namespace, load, tcp, veth};
use sekisho_datapath::bench::{Bench, Case, Program};
use sekisho_datapath::test_run::{XDP_DROP, XDP_PASS};
use sekisho_datapath::{Datapath, Frame, Interface, List, ListEntry, Maps, Settings, Unattached, Verdict, abi, time};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn entry(list: List, prefix: &str) -> ListEntry {
    let (address, length) = prefix.split_once('/').unwrap();
    ListEntry::new(list, address.parse().unwrap(), length.parse().unwrap())
}

/// A SYN or ACK over IPv6 from 2001:db8:1:2::7.
fn tcp6(flags: u8) -> Vec<u8> {
    let mut frame = vec![0_u8; 74];
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 20, 6, 64]);
    frame[22..30].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2]);
    frame[37] = 7;
    frame[38..46].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 9]);
    frame[53] = 1;
    frame[54..58].copy_from_slice(&[0x9c, 0x40, 0, 80]);
    frame[66] = 0x50;
    frame[67] = flags;
    frame
}

fn blocked(maps: &Maps) -> u64 {
    count(maps, Verdict::Blocked)
}

#[test]
fn a_blocked_source_loses_every_packet() {
    in_namespace(|| {
        let gate = Unattached::load(&Settings::default(), SMALL).unwrap();
        let run = |frame: &[u8]| gate.run_gate(&Frame::new(frame)).unwrap().action;
        assert_eq!(run(&tcp(SYN, 80)), XDP_PASS);
        for prefix in ["203.0.113.7/32", "203.0.113.0/25", "200.0.0.0/5", "0.0.0.0/0"] {
            let entry = entry(List::Block, prefix);
            gate.maps().list_add(&[entry]).unwrap();
            let before = blocked(gate.maps());
            assert_eq!([run(&tcp(SYN, 80)), run(&tcp(ACK, 80))], [XDP_DROP; 2], "{prefix}");
            assert_eq!(blocked(gate.maps()), before + 2);
            let found = gate.maps().list_find(List::Block, entry.address, entry.length).unwrap().unwrap();
            assert_eq!(found.hits, 2, "{prefix}");
            assert_eq!(run(&tcp6(SYN)), XDP_PASS, "another family");
            assert!(gate.maps().list_remove(List::Block, entry.address, entry.length).unwrap());
            assert!(!gate.maps().list_remove(List::Block, entry.address, entry.length).unwrap());
            assert_eq!(run(&tcp(SYN, 80)), XDP_PASS, "{prefix} is off the list");
        }
        for prefix in ["2001:db8:1:2::7/128", "2001:db8:1::/48", "2000::/3"] {
            gate.maps().list_add(&[entry(List::Block, prefix)]).unwrap();
            assert_eq!([run(&tcp6(SYN)), run(&tcp6(ACK))], [XDP_DROP; 2], "{prefix}");
            let entry = entry(List::Block, prefix);
            gate.maps().list_remove(List::Block, entry.address, entry.length).unwrap();
        }
        gate.maps().list_add(&[entry(List::Block, "203.0.113.8/32"), entry(List::Block, "2001:db8:1:3::/64")]).unwrap();
        assert_eq!([run(&tcp(SYN, 80)), run(&tcp6(SYN))], [XDP_PASS; 2], "a neighbour is not on the list");
    });
}

#[test]
fn an_allowance_goes_before_a_block_unless_that_is_forced() {
    in_namespace(|| {
        let gate = Unattached::load(&Settings::default(), SMALL).unwrap();
        let run = |flags| gate.run_gate(&Frame::new(&tcp(flags, 80))).unwrap().action;
        let allow = entry(List::Allow, "203.0.112.0/22");
        gate.maps().list_add(&[entry(List::Block, "203.0.113.7/32"), allow]).unwrap();
        assert_eq!([run(SYN), run(ACK)], [XDP_PASS; 2]);
        assert_eq!((count(gate.maps(), Verdict::Allowed), blocked(gate.maps())), (1, 0));
        gate.maps().list_add(&[ListEntry { forced: true, ..entry(List::Block, "203.0.113.0/24") }]).unwrap();
        assert_eq!([run(SYN), run(ACK)], [XDP_DROP; 2]);
        assert_eq!(count(gate.maps(), Verdict::Allowed), 1);
    });
}

#[test]
fn an_allowance_has_a_rate() {
    in_namespace(|| {
        let settings = Settings { allowed_rate: 1, allowed_burst: 5, ..Settings::default() };
        let gate = Unattached::load(&settings, SMALL).unwrap();
        gate.maps().list_add(&[entry(List::Allow, "203.0.113.7/32")]).unwrap();
        gate.run_gate(&Frame::new(&tcp(SYN, 80)).times(100)).unwrap();
        let allowed = count(gate.maps(), Verdict::Allowed);
        assert!((5..=20).contains(&allowed), "{allowed} of 100 within the rate");
        assert_eq!(count(gate.maps(), Verdict::SynElsewhere), 100 - allowed, "beyond it like anybody");
    });
}

#[test]
fn what_has_expired_does_not_hold() {
    in_namespace(|| {
        let gate = Unattached::load(&Settings::default(), SMALL).unwrap();
        let now = time::tick(time::coarse_ns());
        let run = || gate.run_gate(&Frame::new(&tcp(SYN, 80))).unwrap().action;
        gate.maps().list_add(&[ListEntry { expires: now, ..entry(List::Block, "203.0.113.7/32") }]).unwrap();
        assert_eq!(run(), XDP_PASS);
        gate.maps().list_add(&[ListEntry { expires: now + 1000, ..entry(List::Block, "203.0.113.7/32") }]).unwrap();
        assert_eq!(run(), XDP_DROP);
    });
}

/// The new generation's policy is in force only where it is attached, and what is pinned is what is in force.
#[test]
fn policy_changes_with_the_generation() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        let pins = base.pins();
        let interface = Interface::by_name("v0").unwrap();
        let block = entry(List::Block, "203.0.113.7/32");
        let first = load(&pins);
        first.datapath().maps().list_add(&[block]).unwrap();
        first.attach(&interface).unwrap();
        let found = || Datapath::open(&pins).unwrap().unwrap();
        let run = || found().run_gate(interface.index, &Frame::new(&tcp(SYN, 80))).unwrap().action;
        let listed = || found().maps().list_find(List::Block, block.address, 32).unwrap();
        assert_eq!((run(), listed().map(|entry| entry.hits)), (XDP_DROP, Some(1)));
        first.datapath().maps().set_armed_until(80, 5);

        let second = load(&pins);
        second.prepare(interface.mss4, interface.mss6).unwrap();
        assert_eq!((run(), listed().is_some()), (XDP_DROP, true), "the old one is in force");
        second.attach(&interface).unwrap();
        assert_eq!((run(), listed()), (XDP_PASS, None));
        assert_eq!(found().maps().port(80).armed_until, 5, "state is not policy");
        first.attach(&interface).unwrap();
        assert_eq!((run(), listed().is_some()), (XDP_DROP, true), "and back again");
        first.into_datapath().stop().unwrap();
        drop(second);
    });
}

/// A million prefixes: loaded, found and missed. How fast is the benchmark's to tell.
#[test]
fn a_million_prefixes_fit() {
    in_namespace(|| {
        let bench = Bench::load(&Settings { listed: 1 << 20, ..Settings::default() }, SMALL).unwrap();
        let source = |n: u32| ListEntry::new(List::Block, Ipv4Addr::from(n.wrapping_mul(0x9e37_79b1)).into(), 32);
        let entries: Vec<ListEntry> = (0..1_000_000).map(source).collect();
        bench.maps().list_add(&entries).unwrap();
        assert_eq!(bench.maps().list_capacity(), 1 << 20);
        let run = |address: IpAddr| {
            let mut frame = tcp(SYN, 80);
            let IpAddr::V4(v4) = address else { panic!("IPv4") };
            frame[26..30].copy_from_slice(&v4.octets());
            bench.run(Program::Lists, &Case::of(frame), 1, 1).unwrap().action
        };
        for entry in entries.iter().step_by(9973) {
            assert_eq!(run(entry.address), XDP_DROP, "{}", entry.address);
        }
        let listed: std::collections::HashSet<IpAddr> = entries.iter().map(|entry| entry.address).collect();
        let misses = (0..200_u32).map(|n| IpAddr::from(Ipv4Addr::from((n << 24) | (n * 977))));
        for address in misses.filter(|address| !listed.contains(address)) {
            assert_eq!(run(address), XDP_PASS, "{address}");
        }
        assert_eq!(abi::LENGTHS, 84);
    });
}
