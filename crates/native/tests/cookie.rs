//! The cookie: accepted for all of its lifetime and no longer, across every change of keys, from the one who got it alone, and with
//! exactly what it kept.

mod common;

use common::{cases, packet_of, syn};
use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_native::reference::{self, Segment, TcpOptions};
use sekisho_native::types::{COOKIE_TIME_SHIFT, NO_WINDOW_SCALE, OFFER_ALL};
use sekisho_native::{
    Control, Kept, Key, Options, Packet, cookie_check, cookie_keep, invariants, mss_index, mss_value,
};

const SECOND: u64 = 1_000_000_000;

/// A SYN as the C code reads it.
fn received() -> impl Strategy<Value = (Packet, Options)> {
    syn().prop_map(|frame| {
        let bytes = frame.build();
        let packet = packet_of(&bytes);
        (packet, sekisho_native::options(&bytes, &packet))
    })
}

/// A cookie for a SYN and the ACK that brings it back.
fn handshake(control: &Control, syn: &Packet, options: &Options, time: u32) -> (Kept, Packet, Options) {
    let kept = cookie_keep(syn, options, OFFER_ALL);
    let (ack, echoed) = invariants::ack(syn, &kept, invariants::make(control, syn, &kept, time));
    (kept, ack, echoed)
}

fn time_at(now_ns: u64) -> u32 {
    (now_ns >> COOKIE_TIME_SHIFT) as u32
}

proptest! {
    #![proptest_config(cases(2000))]

    /// Both implementations make the same numbers, and they come back with what they kept.
    #[test]
    fn comes_back_as_it_was_made((syn, options) in received(), control in common::control(1000), time in 990..1010u32) {
        invariants::comes_back(&control, &syn, &options, time);
    }

    /// To the nanosecond: 68.7 s at least, 103.1 s at most.
    #[test]
    fn lives_two_to_three_times(
        (syn, options) in received(),
        control in common::control(5000),
        made_ns in 170_000 * SECOND..174_000 * SECOND,
        age_ns in 0..300 * SECOND,
    ) {
        let (kept, ack, echoed) = handshake(&control, &syn, &options, time_at(made_ns));
        let found = cookie_check(&control, &ack, &echoed, time_at(made_ns + age_ns));
        let unit = 1u64 << COOKIE_TIME_SHIFT;
        if age_ns <= 2 * unit {
            prop_assert_eq!(found, Some(kept));
        } else if age_ns >= 3 * unit {
            prop_assert_eq!(found, None);
        } else {
            prop_assert!(found.is_none() || found == Some(kept));
        }
    }

    /// Keys change every few minutes, the slots by turns; the change counts from the next cookie time on.
    #[test]
    fn lives_across_changes_of_keys(
        (syn, options) in received(),
        keys in vec(common::key(), 8),
        every in 4..12u32,
        made in 100..160u32,
        age in 0..6u32,
    ) {
        let at_making = keys_at(&keys, every, made);
        let at_checking = keys_at(&keys, every, made + age);
        let (kept, ack, echoed) = handshake(&at_making, &syn, &options, made);
        let found = cookie_check(&at_checking, &ack, &echoed, made + age);
        prop_assert_eq!(found, (age < 3).then_some(kept), "made {}, age {}, change every {}", made, age, every);
    }

    /// Whoever else sends it, from wherever else, is refused.
    #[test]
    fn belongs_to_one_flow((syn, options) in received(), control in common::control(0), time in 5..1000u32, bit in 0..128usize) {
        let (_, ack, echoed) = handshake(&control, &syn, &options, time);
        let word = if syn.v6 != 0 { bit / 32 } else { 0 };
        let turned = 1u32 << (bit % 32);
        let mut others = [ack; 6];
        others[0].source[word] ^= turned;
        others[1].destination[word] ^= turned;
        others[2].source_port ^= 1 << (bit % 16);
        others[3].destination_port ^= 1 << (bit % 16);
        others[4].sequence ^= turned;
        core::mem::swap(&mut others[5].source, &mut others[5].destination);
        for other in others {
            prop_assert_eq!(cookie_check(&control, &other, &echoed, time), None);
        }
    }

    #[test]
    fn no_single_bit_can_be_turned((syn, options) in received(), control in common::control(0), time in 5..1000u32) {
        let (kept, ack, echoed) = handshake(&control, &syn, &options, time);
        for bit in 0..32 {
            let acknowledgement = (ack.acknowledgement.wrapping_sub(1) ^ (1 << bit)).wrapping_add(1);
            let turned = Packet { acknowledgement, ..ack };
            prop_assert_eq!(cookie_check(&control, &turned, &echoed, time), None, "bit {} of the cookie", bit);
            let turned = Packet { sequence: ack.sequence ^ 1 << bit, ..ack };
            prop_assert_eq!(cookie_check(&control, &turned, &echoed, time), None, "bit {} of the sequence number", bit);
            let turned = Options { timestamp_echo: echoed.timestamp_echo ^ 1 << bit, ..echoed };
            let refused = kept.timestamps != 0;
            prop_assert_eq!(cookie_check(&control, &ack, &turned, time).is_none(), refused, "bit {} of TSecr", bit);
        }
    }

    /// A cookie made with timestamps is not taken without them, nor the other way round.
    #[test]
    fn timestamps_cannot_be_left_out((syn, options) in received(), control in common::control(0), time in 5..1000u32) {
        let (kept, ack, echoed) = handshake(&control, &syn, &options, time);
        let other = Options { timestamps: 1 - kept.timestamps, ..echoed };
        prop_assert_eq!(cookie_check(&control, &ack, &other, time), None);
    }

    /// With the keys of another epoch, or at another time whose two bits are the same.
    #[test]
    fn belongs_to_its_keys_and_time(
        (syn, options) in received(),
        control in common::control(0),
        others in common::control(0),
        time in 5..1000u32,
        turns in 1..500u32,
    ) {
        let (_, ack, echoed) = handshake(&control, &syn, &options, time);
        prop_assert_eq!(cookie_check(&others, &ack, &echoed, time), None);
        prop_assert_eq!(cookie_check(&control, &ack, &echoed, time + 4 * turns), None);
        let other_slot = Control { key_word: control.key_word ^ 1, ..control };
        prop_assert_eq!(cookie_check(&other_slot, &ack, &echoed, time), None);
    }

    #[test]
    fn keeps_the_options_exactly(frame in syn(), control in common::control(0), time in 5..1000u32) {
        let bytes = frame.build();
        let packet = packet_of(&bytes);
        let sent = reference::tcp_options(&frame.options);
        let (_, ack, echoed) = handshake(&control, &packet, &sekisho_native::options(&bytes, &packet), time);
        let kept = cookie_check(&control, &ack, &echoed, time);
        prop_assert_eq!(kept.map(|k| (k.window_scale != NO_WINDOW_SCALE).then_some(k.window_scale)), Some(sent.window_scale));
        prop_assert_eq!(kept.map(|k| k.sack != 0), Some(sent.sack));
        prop_assert_eq!(kept.map(|k| k.timestamps != 0), Some(sent.timestamps.is_some()));
        let ecn = sent.timestamps.is_some() && frame.flags & 0xc0 == 0xc0;
        prop_assert_eq!(kept.map(|k| k.ecn != 0), Some(ecn));
    }

    /// What we do not offer ourselves is not kept.
    #[test]
    fn keeps_only_what_is_offered((syn, options) in received(), offers in 0..16u32) {
        let all = reference::kept(&Segment::from_packet(&syn), &TcpOptions::from_options(&options));
        let kept = cookie_keep(&syn, &options, offers);
        prop_assert_eq!(kept.timestamps, if offers & 1 != 0 { all.timestamps } else { 0 });
        prop_assert_eq!(kept.sack, if offers & 2 != 0 { all.sack } else { 0 });
        prop_assert_eq!(kept.window_scale, if offers & 4 != 0 { all.window_scale } else { NO_WINDOW_SCALE });
        prop_assert_eq!(kept.ecn, if offers & 9 == 9 { all.ecn } else { 0 });
    }
}

/// The control map as the daemon leaves it: key number n is for cookie times from n * every + 1 on, in slot n & 1, and is written at
/// n * every, over the key before last.
fn keys_at(keys: &[Key], every: u32, now: u32) -> Control {
    let newest = now / every;
    let key = |n: u32| keys[n as usize % keys.len()];
    let slot = newest % 2;
    let mut control = Control { key_word: u64::from(newest * every + 1) << 1 | u64::from(slot), ..Control::default() };
    control.cookie_key[slot as usize] = key(newest);
    control.cookie_key[1 - slot as usize] = key(newest - 1);
    control
}

/// For every MSS there is: never above the client's, except where that is below the smallest value; and the nearest one.
#[test]
fn the_mss_is_the_largest_that_fits() {
    for v6 in [false, true] {
        let table = reference::mss_table(v6);
        assert!(table.is_sorted());
        for mss in 0..=u16::MAX {
            let kept = mss_value(mss_index(mss, v6), v6);
            let best = table.into_iter().rfind(|value| *value <= mss).unwrap_or(table[0]);
            assert_eq!(kept, best, "client {mss}, v6 {v6}");
        }
    }
}

/// The bits are where the picture in cookie.h has them: 22 of proof, 53 with timestamps.
#[test]
fn the_fields_are_where_the_picture_has_them() {
    let kept = Kept { mss_index: 5, window_scale: 9, sack: 1, timestamps: 1, ecn: 1 };
    let sequence = sekisho_native::cookie_sequence(u64::MAX, 2, &kept);
    assert_eq!(sequence, 2 << 30 | 5 << 27 | 9 << 23 | 1 << 22 | 0x3f_ffff);
    assert_eq!(sekisho_native::cookie_timestamp(u64::MAX, &Kept { ecn: 0, ..kept }), 0xffff_fffe);
    let hash_bits = |hash: u64| sekisho_native::cookie_sequence(hash, 0, &Kept::default()).count_ones();
    let more_bits = |hash: u64| sekisho_native::cookie_timestamp(hash, &Kept::default()).count_ones();
    let proof: u32 = (0..64).map(|bit| hash_bits(1 << bit) + more_bits(1 << bit)).sum();
    assert_eq!(proof, 53);
    assert_eq!(hash_bits(u64::MAX), 22);
}
