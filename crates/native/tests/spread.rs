//! The limits' sketch accuses who stands out of chance and nobody else; the account of a flood's spread depends on who came and not in which
//! order, and never gives anybody more than he sent.

mod common;

use common::{Random, cases};
use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_native::types::{ANSWER_CELLS, ANSWER_LINES, SPREAD_REGISTERS, SpreadCell};
use sekisho_native::{AnswerLine, answer_count, answer_line_index, line_over, mix, spread_register, spread_vote};

const TICK: u32 = 7;
const COUNT: u32 = 0xff_ffff;

/// What a line of the sketch holds of one tick, cell by cell; a cell of another tick is empty.
fn current(line: &AnswerLine) -> [u64; ANSWER_CELLS] {
    line.cell.map(|cell| if cell >> 24 == TICK { u64::from(cell & COUNT) } else { 0 })
}

/// A line that chance and an older tick have filled.
fn line() -> impl Strategy<Value = AnswerLine> {
    let cell = prop_oneof![Just(0), (0..5000u32).prop_map(|n| TICK << 24 | n), (0..5000u32).prop_map(|n| 3 << 24 | n)];
    vec(cell, ANSWER_CELLS).prop_map(|cells| AnswerLine { cell: std::array::from_fn(|n| cells[n]) })
}

proptest! {
    #![proptest_config(cases(1000))]

    /// Alone in its line, a source is over its limit from the first SYN beyond it on, and not one earlier.
    #[test]
    fn who_is_alone_is_counted_exactly(hash: u32, limit in 1..200u32, sent in 1..400u32) {
        let mut line = AnswerLine::default();
        for n in 1..=sent {
            let count = answer_count(&mut line, hash, TICK);
            prop_assert_eq!(line_over(&line, count, limit, TICK), n > limit, "SYN {} of {}", n, limit);
        }
    }

    /// In whatever line: nobody within the limit is accused, and whoever sends the limit and twice the mean of the other cells beside is.
    #[test]
    fn who_stands_out_is_found_and_nobody_within(mut line in line(), hash: u32, limit in 1..200u32, sent in 1..20_000u32) {
        let mut count = 0;
        for _ in 0..sent {
            count = answer_count(&mut line, hash, TICK);
        }
        let over = line_over(&line, count, limit, TICK);
        prop_assert!(!over || count > limit);
        let rest = current(&line).iter().sum::<u64>() - 2 * u64::from(count);
        prop_assert!(over || u64::from(sent) <= u64::from(limit) + rest / 7, "{} SYNs beside {}", sent, rest);
    }

    /// Cells of another tick say nothing.
    #[test]
    fn an_older_tick_says_nothing(line in line(), count in 0..10_000u32, limit in 1..200u32) {
        let now = AnswerLine { cell: current(&line).map(|n| if n == 0 { 0 } else { TICK << 24 | n as u32 }) };
        // `count` is what both of its cells hold at least, so it cannot be more than the two fullest.
        let count = count.min(current(&line).into_iter().max().unwrap_or(0) as u32);
        prop_assert_eq!(line_over(&line, count, limit, TICK), line_over(&now, count, limit, TICK));
    }

    /// The registers depend on which sources came: not on their order, and not on how often.
    #[test]
    fn distinct_sources_are_a_set(mut hashes in vec(any::<u32>(), 1..300), again in vec(any::<prop::sample::Index>(), 0..300)) {
        let registers = |hashes: &[u32]| {
            let mut registers = [0; SPREAD_REGISTERS];
            hashes.iter().for_each(|hash| spread_register(&mut registers, *hash));
            registers
        };
        let once = registers(&hashes);
        hashes.extend(again.iter().map(|index| *index.get(&hashes)).collect::<Vec<_>>());
        hashes.reverse();
        prop_assert_eq!(registers(&hashes), once);
        // Told by other means: the longest run of zeros above the register's own ten bits.
        for hash in hashes {
            let rank = (hash >> 10 | 1 << 22).trailing_zeros() as u8 + 1;
            prop_assert!(once[hash as usize % SPREAD_REGISTERS] >= rank && rank <= 23);
        }
    }

    /// A cell's holder has no more votes than he sent; and who sent more than half of all holds it, with what he is ahead of the others.
    #[test]
    fn votes_are_a_lower_bound_and_a_majority_wins(sent in vec((0..4u64, any::<bool>()), 1..200), bias in 0..200usize) {
        let mut cell = SpreadCell::default();
        let sent: Vec<_> = sent.into_iter().chain((0..bias).map(|_| (2, false))).collect();
        for (key, v6) in &sent {
            spread_vote(&mut cell, *key, *v6);
        }
        let made = |key, v6| sent.iter().filter(|one| **one == (key, v6)).count() as u32;
        prop_assert!(cell.votes <= made(cell.key, cell.v6 != 0));
        for (key, v6) in &sent {
            let others = sent.len() as u32 - made(*key, *v6);
            if made(*key, *v6) > others {
                prop_assert_eq!((cell.key, cell.v6 != 0), (*key, *v6));
                prop_assert!(cell.votes >= made(*key, *v6) - others);
            }
        }
    }
}

/// A flood of sources that send one SYN each fills every cell of the sketch far beyond the limit, and hardly anybody is accused; whoever
/// floods by himself in the midst of it is.
#[test]
fn a_full_sketch_accuses_hardly_anybody_but_who_floods() {
    let (limit, flooder) = (20, 0x1234_5678);
    let mut lines = vec![AnswerLine::default(); ANSWER_LINES as usize];
    let mut random = Random(11);
    let mut over = |source: u64| {
        let hash = mix(source, 99);
        let line = &mut lines[answer_line_index(hash) as usize];
        let count = answer_count(line, hash, TICK);
        line_over(line, count, limit, TICK)
    };
    // Two million SYNs in 65 536 pairs of cells: 30 in each cell on the average.
    let accused = (0..2_000_000).filter(|_| over(random.next())).count();
    assert!(accused < 2_000, "{accused} of two millions");
    let accused = (0..1000).filter(|_| over(flooder)).count();
    assert!(accused > 800, "{accused} of 1000");
}
