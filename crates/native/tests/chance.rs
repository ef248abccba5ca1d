//! Ten million random ACKs: how many are taken for cookies by chance.

mod common;

use common::Random;
use sekisho_native::types::NO_WINDOW_SCALE;
use sekisho_native::{Control, Key, Options, Packet, cookie_check};

const ACKS: u32 = 10_000_000;

/// How many random ACKs are accepted, with the timestamp option or without.
fn accepted(timestamps: u8, seed: u64) -> u32 {
    let mut random = Random(seed);
    let mut key = || Key { k0: random.next(), k1: random.next() };
    let control = Control { key_word: 1000 << 1, cookie_key: [key(), key()], ..Control::default() };
    let mut found = 0;
    for _ in 0..ACKS {
        let packet = Packet {
            source: [random.next32(), 0, 0, 0],
            destination: [1, 0, 0, 0],
            source_port: random.next32() as u16,
            sequence: random.next32(),
            acknowledgement: random.next32(),
            flags: 0x10,
            ..Packet::default()
        };
        let options = Options {
            timestamp_echo: random.next32(),
            timestamps,
            window_scale: NO_WINDOW_SCALE,
            ..Options::default()
        };
        found += u32::from(cookie_check(&control, &packet, &options, 1001).is_some());
    }
    found
}

/// The smallest count that chance reaches less than once in 10^9 (Poisson).
fn beyond_chance(expected: f64) -> u32 {
    let mut term = (-expected).exp();
    let mut below = 0.0;
    for count in 0.. {
        if 1.0 - below < 1e-9 {
            return count;
        }
        below += term;
        term *= expected / f64::from(count + 1);
    }
    unreachable!("the sum grows to one")
}

#[test]
fn random_acks_with_timestamps_are_never_cookies() {
    // 53 bits of proof: one run in a thousand million would find one.
    assert_eq!(accepted(1, 1), 0);
}

#[test]
fn random_acks_without_timestamps_are_cookies_by_chance_alone() {
    // Three of four values of the time are accepted, and 22 bits must be right.
    let expected = f64::from(ACKS) * 0.75 / f64::from(1u32 << 22);
    let found = accepted(0, 2);
    println!("of {ACKS} random ACKs without timestamps {found} were accepted; expected {expected:.1}");
    assert!(found < beyond_chance(expected), "{found} accepted, {expected:.1} expected");
}

#[test]
fn the_bound_is_far_from_the_expectation_but_not_too_far() {
    let bound = beyond_chance(1.79);
    assert!((10..20).contains(&bound), "{bound}");
}
