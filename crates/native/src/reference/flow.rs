//! The challenge and the two filters, as what they promise: a set of flows with the time each was last put in.

use super::{Segment, siphash};
use crate::frames::octets;
use crate::types::Key;
use std::collections::HashMap;

/// The name of a flow: a keyed hash of its addresses and ports.
#[must_use]
pub fn flow(key: &Key, segment: &Segment) -> u64 {
    let mut bytes = octets(segment.source);
    bytes.extend(octets(segment.destination));
    bytes.extend(segment.source_port.to_be_bytes());
    bytes.extend(segment.destination_port.to_be_bytes());
    bytes.extend([0, 0, 0xf1, 0]);
    siphash(key, &bytes)
}

/// The acknowledgement number of a challenge.
#[must_use]
pub fn challenge(key: &Key, flow: u64, time: u32) -> u32 {
    let word = flow ^ (0xca11 << 48 | u64::from(time));
    siphash(key, &word.to_le_bytes()) as u32
}

/// Whether a door that was opened in one tick is open in another, not earlier one: for five ticks.
#[must_use]
pub fn door_is_open(opened: u32, tick: u32) -> bool {
    tick - opened < 5
}

/// Flows that were asked, exactly: what the filter in challenge.h may only exceed by chance.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    last: HashMap<(u64, u32), u32>,
}

impl Remembered {
    /// Whether the flow was asked in this time or in the one before; from now on it was.
    pub fn before(&mut self, flow: u64, isn: u32, time: u32) -> bool {
        self.last.insert((flow, isn), time).is_some_and(|last| time - last <= 1)
    }
}
