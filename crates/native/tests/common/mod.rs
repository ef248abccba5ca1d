//! Random packets: valid ones of every kind, to be cut, changed or sent as they are. Also the settings that make each run the same.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use sekisho_native::frames::{Frame, flags, option};
use sekisho_native::{Control, Key, Packet, Parsed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The same cases in every run: what can be found by chance is found when the code changes, and not some day in CI.
pub fn cases(count: u32) -> Config {
    Config { cases: count, failure_persistence: None, rng_seed: RngSeed::Fixed(0x5e_c1), ..Config::default() }
}

pub fn v4() -> impl Strategy<Value = IpAddr> {
    any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into())
}

pub fn v6() -> impl Strategy<Value = IpAddr> {
    any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into())
}

/// Two addresses of one family, not the same.
pub fn ends() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![(v4(), v4()), (v6(), v6())].prop_filter("two hosts", |(source, destination)| source != destination)
}

/// Each kind of option with any value, and some that nobody knows.
pub fn one_option() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<u16>().prop_map(option::mss),
        any::<u8>().prop_map(option::window_scale),
        Just(option::sack()),
        (any::<u32>(), any::<u32>()).prop_map(|(value, echo)| option::timestamps(value, echo)),
        Just(option::nop()),
        vec(any::<u8>(), 0..6).prop_map(|body| [vec![254, body.len() as u8 + 2], body].concat()),
    ]
}

/// Options in any order with any padding, as many as there is room for.
pub fn option_list() -> impl Strategy<Value = Vec<u8>> {
    vec(one_option(), 0..8).prop_map(|mut options| {
        while options.iter().map(Vec::len).sum::<usize>() > 40 {
            options.pop();
        }
        option::list(&options)
    })
}

/// What common systems send: Linux, Windows, the BSDs and macOS, and a bare stack.
pub fn usual_list() -> impl Strategy<Value = Vec<u8>> {
    (any::<u16>(), 0..15u8, any::<u32>(), 0..5).prop_map(|(mss, scale, now, system)| {
        let (mss, scale, sack) = (option::mss(mss), option::window_scale(scale), option::sack());
        let (timestamps, nop) = (option::timestamps(now, 0), option::nop());
        option::list(&match system {
            0 => vec![mss, sack, timestamps, nop, scale],
            1 => vec![mss, nop.clone(), scale, nop.clone(), nop, sack],
            2 => vec![mss, nop, scale, sack, timestamps],
            3 => vec![mss, nop.clone(), scale, nop.clone(), nop, timestamps, sack],
            _ => vec![mss],
        })
    })
}

fn tags() -> impl Strategy<Value = Vec<(u16, u16)>> {
    vec((prop_oneof![Just(0x8100), Just(0x88a8)], any::<u16>()), 0..=2)
}

/// IPv4 options: NOPs, which is what matters here is their length.
fn ip_options() -> impl Strategy<Value = Vec<u8>> {
    (0..=10usize).prop_map(|words| vec![1; words * 4])
}

/// Hop-by-hop, routing with no segment left, and destination options.
fn extensions() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let one = (prop_oneof![Just(0u8), Just(43), Just(60)], 0..4u8).prop_map(|(number, length)| {
        let mut body = vec![0; usize::from(length) * 8 + 7];
        body[0] = length;
        (number, body)
    });
    vec(one, 0..=4)
}

/// A SYN of any kind: family, tags, IP options or extension headers, TCP options.
pub fn syn() -> impl Strategy<Value = Frame> {
    syn_between(ends())
}

/// A SYN of any kind between two ends.
pub fn syn_between(ends: impl Strategy<Value = (IpAddr, IpAddr)>) -> impl Strategy<Value = Frame> {
    let ecn = prop_oneof![3 => Just(0), 1 => Just(flags::ECE | flags::CWR), 1 => Just(flags::ECE)];
    let options = prop_oneof![option_list(), usual_list()];
    (ends, tags(), ip_options(), extensions(), any::<[u16; 2]>(), any::<u32>(), ecn, options).prop_map(
        |(ends, tags, ip_options, extensions, ports, sequence, ecn, options)| {
            let [source_port, destination_port] = ports;
            let flags = flags::SYN | ecn;
            let frame = Frame::syn(ends.0, ends.1);
            Frame { tags, ip_options, extensions, source_port, destination_port, sequence, flags, options, ..frame }
        },
    )
}

/// A segment of any kind: a SYN's shape with any flags and some data.
pub fn segment() -> impl Strategy<Value = Frame> {
    (syn(), any::<u8>(), any::<u32>(), vec(any::<u8>(), 0..40))
        .prop_map(|(frame, flags, acknowledgement, payload)| Frame { flags, acknowledgement, payload, ..frame })
}

pub fn key() -> impl Strategy<Value = Key> {
    any::<(u64, u64)>().prop_map(|(k0, k1)| Key { k0, k1 })
}

/// Three keys, of which the newer cookie key began at `begins`.
pub fn control(begins: u32) -> impl Strategy<Value = Control> {
    (key(), key(), key(), 0..2u64).prop_map(move |(a, b, flow_key, slot)| Control {
        key_word: u64::from(begins) << 1 | slot,
        cookie_key: [a, b],
        flow_key,
        ..Control::default()
    })
}

/// The C code's reading of a frame that is TCP.
pub fn packet_of(frame: &[u8]) -> Packet {
    let (parsed, packet) = sekisho_native::parse(frame);
    assert_eq!(parsed, Parsed::Tcp, "{frame:x?}");
    packet
}

/// A generator for loops that are too long for proptest (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn next32(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }
}
