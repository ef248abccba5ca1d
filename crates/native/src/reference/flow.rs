//! The challenge and the two filters, as what they promise: a set of flows with the time each was last put in.

use super::{Segment, siphash};
use crate::frames::octets;
use crate::types::Key;
use std::collections::HashMap;

/// A keyed hash of addresses and ports, for a purpose (4 bits) and a time (20 bits).
fn hash(key: &Key, segment: &Segment, purpose: u32, time: u32) -> u64 {
    let mut bytes = octets(segment.source);
    bytes.extend(octets(segment.destination));
    bytes.extend(segment.source_port.to_be_bytes());
    bytes.extend(segment.destination_port.to_be_bytes());
    bytes.extend(&((purpose << 20) | (time % (1 << 20))).to_le_bytes()[..3]);
    siphash(key, &bytes)
}

/// The name of a flow.
#[must_use]
pub fn flow(key: &Key, segment: &Segment) -> u64 {
    hash(key, segment, 1, 0)
}

/// What a challenge is made of: its acknowledgement number is the lower half.
#[must_use]
pub fn challenge(key: &Key, segment: &Segment, time: u32) -> u64 {
    hash(key, segment, 2, time)
}

/// Whether a door that was opened in one tick is open in another, not earlier one: for five ticks.
#[must_use]
pub fn door_is_open(opened: u32, tick: u32) -> bool {
    tick - opened < 5
}

/// Who was asked, exactly: what the filter in asked.h may only exceed by chance.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    last: HashMap<(u64, u32), u32>,
}

impl Remembered {
    /// Whether it was noted in this time or in one of the three before.
    #[must_use]
    pub fn knows(&self, hash: u64, part: u32, time: u32) -> bool {
        self.last.get(&(hash, part)).is_some_and(|last| time - last < 4)
    }

    /// Notes it.
    pub fn note(&mut self, hash: u64, part: u32, time: u32) {
        self.last.insert((hash, part), time);
    }
}
