//! The lists of sources, with few prefixes and with many, beside the kernel's own trie of prefixes (BPF_MAP_TYPE_LPM_TRIE) with the same
//! ones.
//!
//! Half of the blocked prefixes are addresses one after the other, so that bits drawn at random always meet one of them. The other half is
//! spread over all of IPv4, as lists in the field are: six in ten are single addresses, two are /24, one is a /28, one a /22.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use sekisho_datapath::bench::{Bench, Program};
use sekisho_datapath::memory::MapMemory;
use sekisho_datapath::test_run::{XDP_DROP, XDP_PASS};
use sekisho_datapath::{Capacity, List, ListEntry, Settings, Verdict};

use crate::Result;
use crate::measure::{Measured, Row, State, Way, measure};
use crate::place::Place;
use crate::rows::{self, row, syn_from};

/// How many prefixes are blocked, one after the other. Powers of two.
const BLOCKED: [u32; 2] = [1 << 10, 1 << 20];
/// How many are allowed beside them.
const ALLOWED: u32 = 10_000;
/// Of the allowed, as many as these bits are met in turn.
const ALLOWED_BITS: u32 = 0x1fff;
const LENGTHS: [u8; 10] = [32, 32, 32, 32, 32, 32, 24, 24, 28, 22];
/// The first of the blocked addresses that follow each other, and of the allowed ones.
const BLOCKED_FROM: u32 = u32::from_be_bytes([10, 0, 0, 0]);
const ALLOWED_FROM: u32 = u32::from_be_bytes([198, 18, 0, 0]);

/// How long it took to load a list, both ways.
#[derive(Debug, Clone, PartialEq)]
pub struct Loading {
    /// Blocked prefixes.
    pub prefixes: u32,
    /// Into the lists, with those that are allowed.
    pub lists: Duration,
    /// Into the kernel's trie, without them.
    pub trie: Duration,
}

/// What is known of the lists.
pub struct Lists {
    /// Each kind of packet.
    pub rows: Vec<Measured>,
    /// Each length.
    pub loading: Vec<Loading>,
    /// All maps, with the longest lists in them.
    pub memory: Vec<MapMemory>,
}

/// Measures them, one length after the other.
pub fn measure_all(place: &Place, settings: &Settings) -> Result<Lists> {
    let mut lists = Lists { rows: Vec::new(), loading: Vec::new(), memory: Vec::new() };
    for count in BLOCKED {
        let settings = Settings { listed: count + ALLOWED, ..settings.clone() };
        let bench = Bench::load(&settings, Capacity::default())?;
        lists.loading.push(load(&bench, count)?);
        lists.rows.extend(measure(&bench, place, &rows_of(count))?);
        lists.memory = bench.maps().memory()?;
    }
    Ok(lists)
}

fn load(bench: &Bench, count: u32) -> Result<Loading> {
    let blocked = blocked(count);
    let of = |list| move |(address, length): &(Ipv4Addr, u8)| ListEntry::new(list, IpAddr::V4(*address), *length);
    let allowed = (0..ALLOWED).map(|n| (Ipv4Addr::from(ALLOWED_FROM + n), 32));
    let entries: Vec<ListEntry> =
        blocked.iter().map(of(List::Block)).chain(allowed.map(|p| of(List::Allow)(&p))).collect();
    let began = Instant::now();
    bench.maps().list_add(&entries)?;
    let lists = began.elapsed();
    let began = Instant::now();
    bench.add_lpm(blocked)?;
    Ok(Loading { prefixes: count, lists, trie: began.elapsed() })
}

/// The same each time.
fn blocked(count: u32) -> Vec<(Ipv4Addr, u8)> {
    let in_turn = (0..count / 2).map(|n| (Ipv4Addr::from(BLOCKED_FROM + n), 32));
    in_turn.chain(spread(count - count / 2)).collect()
}

/// Random prefixes (SplitMix64), masked.
fn spread(count: u32) -> Vec<(Ipv4Addr, u8)> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 32) as u32
    };
    let prefix = |length: &u8| (Ipv4Addr::from(next() & (u32::MAX << (32 - u32::from(*length)))), *length);
    LENGTHS.iter().cycle().take(count as usize).map(prefix).collect()
}

fn rows_of(count: u32) -> Vec<Row> {
    let name = rows::size(count);
    let mut all = Vec::new();
    for (what, program) in [("lists", Program::Lists), ("LPM trie", Program::Lpm)] {
        let alone = |which: &str, packet, way| Row {
            program,
            way,
            ..row(&format!("{what}, {name}: {which}"), State::Calm, packet, Verdict::Blocked)
        };
        let single = spread(8)[0].0;
        let network = spread(8)[7].0;
        let none = Ipv4Addr::new(203, 0, 113, 7);
        all.push(alone("on none, always the same", syn_from(none, 0), Way::Returns(XDP_PASS)));
        all.push(alone("any source, always another", syn_from(Ipv4Addr::UNSPECIFIED, u32::MAX), Way::Any));
        all.push(alone("blocked address, always the same", syn_from(single, 0), Way::Returns(XDP_DROP)));
        all.push(alone("blocked by a /24, always the same", syn_from(network, 0), Way::Returns(XDP_DROP)));
        all.push(alone(
            "blocked addresses in turn",
            syn_from(BLOCKED_FROM.into(), count / 2 - 1),
            Way::Returns(XDP_DROP),
        ));
    }
    let allowed = syn_from(ALLOWED_FROM.into(), ALLOWED_BITS);
    all.push(row(
        &format!("SYN of a blocked source, {name} blocked"),
        State::Calm,
        syn_from(BLOCKED_FROM.into(), 0),
        Verdict::Blocked,
    ));
    all.push(row(&format!("SYN of 10 k allowed in turn, {name} blocked"), State::Calm, allowed, Verdict::Allowed));
    all.push(row(
        &format!("established data while calm, {name} blocked"),
        State::Calm,
        Box::new(rows::data),
        Verdict::SegmentCalm,
    ));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_as_many_prefixes_as_it_says_and_all_are_masked() {
        let list = blocked(1 << 10);
        assert_eq!(list.len(), 1 << 10);
        let masked =
            |(address, length): &(Ipv4Addr, u8)| u32::from(*address).trailing_zeros() >= 32 - u32::from(*length);
        assert!(list.iter().all(masked));
        assert_eq!(list[511].0, Ipv4Addr::new(10, 0, 1, 255));
        assert_eq!((spread(8)[0].1, spread(8)[7].1), (32, 24));
    }
}
