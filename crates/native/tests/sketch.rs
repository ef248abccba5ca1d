//! The sketch of answers never counts too few, and seldom too many; the table of sources seen never denies one that was.

mod common;

use common::{Random, cases, packet_of, syn};
use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_native::frames::octets;
use sekisho_native::reference::Segment;
use sekisho_native::types::{ANSWER_LINES, SEEN_SHIFT, SEEN_SOURCES, TRACES_SHIFT};
use sekisho_native::{
    AnswerLine, answer_count, answer_line_index, mix, seen_index, seen_value, seen_within, source_network, trace_index,
};
use std::collections::HashMap;

/// The whole sketch, with its secret.
struct Sketch {
    lines: Vec<AnswerLine>,
    secret: u64,
}

impl Sketch {
    fn new(secret: u64) -> Self {
        Self { lines: vec![AnswerLine::default(); ANSWER_LINES as usize], secret }
    }

    fn count(&mut self, network: u64, tick: u32) -> u32 {
        let hash = mix(network, self.secret);
        answer_count(&mut self.lines[answer_line_index(hash) as usize], hash, tick)
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    /// A network is the first 24 bits of an IPv4 address, the first 56 of an IPv6 address, and nothing else.
    #[test]
    fn networks_are_prefixes(frame in syn()) {
        let packet = packet_of(&frame.build());
        let bytes = octets(Segment::from_packet(&packet).source);
        let prefix = &bytes[..if packet.v6 != 0 { 7 } else { 3 }];
        let network = source_network(&packet).to_le_bytes();
        prop_assert_eq!(&network[..prefix.len()], prefix);
        prop_assert!(network[prefix.len()..].iter().all(|byte| *byte == 0));
    }

    /// Whatever else is counted in between, and however many ticks pass.
    #[test]
    fn never_counts_too_few(steps in vec((0..30u64, 0..50u32), 1..300), secret: u64, first in 0..u32::MAX / 2) {
        let mut sketch = Sketch::new(secret);
        let mut truth: HashMap<u64, u32> = HashMap::new();
        let mut tick = first;
        for (network, chance) in steps {
            if chance == 0 {
                tick += 1;
                truth.clear();
            }
            let exact = truth.entry(network).or_default();
            *exact += 1;
            prop_assert!(sketch.count(network, tick) >= *exact);
        }
    }

    /// A source that was seen is known for as long as it was asked for, to the tick; and not for ever.
    #[test]
    fn who_was_seen_is_not_denied(seen in 0..u32::MAX / 2, age in 0..300_000u32, ticks in 0..200_000u32) {
        let cell = seen_value(seen);
        prop_assert!(cell != 0, "0 is for nobody");
        let known = seen_within(cell, seen + age, ticks);
        prop_assert!(age > ticks || known, "denied too early");
        let just_before = seen + ticks.saturating_sub(age % 1024);
        prop_assert!(seen_within(cell, just_before, ticks), "denied just before the end");
        // Rounded up by two units at most; the times come round after 255.
        let (unit, round) = (1 << SEEN_SHIFT, 254 << SEEN_SHIFT);
        prop_assert!(age < ticks + 2 * unit || age >= round || !known, "known for too long");
        prop_assert!(!seen_within(0, seen, ticks), "an empty cell");
    }

    #[test]
    fn every_index_is_in_its_table(source: u64, secret: u64) {
        prop_assert!(seen_index(source, secret) < SEEN_SOURCES);
        prop_assert!(trace_index(source, secret) < 1 << TRACES_SHIFT);
        prop_assert!(answer_line_index(mix(source, secret)) < ANSWER_LINES);
    }
}

/// A count belongs to its tick.
#[test]
fn a_new_tick_begins_at_one() {
    let mut sketch = Sketch::new(3);
    for tick in [0, 1, 2, 255, 256, 1000] {
        for expected in 1..=100 {
            assert_eq!(sketch.count(5, tick), expected, "tick {tick}");
        }
    }
}

/// The counter stops at its largest value instead of beginning anew.
#[test]
fn the_counter_saturates() {
    let mut line = AnswerLine { cell: [7 << 24 | 0xff_fffe; 16] };
    for _ in 0..3 {
        assert_eq!(answer_count(&mut line, 0, 7), 0xff_ffff);
    }
}

/// One cell in common with a flooded network is not enough, whichever of the two it is.
#[test]
fn both_cells_must_be_full() {
    let mut line = AnswerLine::default();
    for _ in 0..100 {
        answer_count(&mut line, 0, 1);
    }
    assert_eq!(answer_count(&mut line, 1 << 16, 1), 1, "the first cell in common");
    assert_eq!(answer_count(&mut line, 1 << 13, 1), 1, "the second cell in common");
    assert!(answer_count(&mut line, 0, 1) >= 101);
}

/// While 300 000 answers a tick go to scattered networks and one network is flooded beyond its bound, hardly any other network is
/// taken for it: it would have to share both of its cells, in the same line.
#[test]
fn few_networks_share_both_cells_with_a_flooded_one() {
    let bound = 4096;
    let mut sketch = Sketch::new(0x1234_5678_9abc_def0);
    let mut random = Random(5);
    let flooded = 0x0071_33c6;
    let others: Vec<u64> = (0..100_000).map(|_| random.next() >> 40).filter(|network| *network != flooded).collect();
    for n in 0..10_000 {
        sketch.count(flooded, 1);
        for network in others.iter().skip(n * 10).take(10) {
            sketch.count(*network, 1);
        }
    }
    assert!(sketch.count(flooded, 1) > bound);
    let taken = others.iter().filter(|network| sketch.count(**network, 1) > bound).count();
    // One line of 8192, one of 64 pairs of cells: 100 000 / 2^19 = 0.2 expected.
    assert!(taken <= 6, "{taken} of {} networks", others.len());
}
