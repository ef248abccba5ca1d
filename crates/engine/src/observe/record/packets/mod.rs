//! What a capture of packets shows (pcap and pcapng), in bounded memory.
//!
//! Three steps, each packet by itself: `file` gives bytes and their time, `segment` what of TCP is in them, and `follow` what that
//! means for the handshake it belongs to.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::Sources;
use super::{Span, Time};

pub mod file;
pub mod follow;
pub mod segment;

/// Reads a capture from its beginning to its end, or to where it was cut off.
///
/// # Errors
/// When it is no capture (`InvalidData`), or reading fails.
pub fn read(from: impl BufRead, path: &Path) -> io::Result<Packets> {
    read_with(from, path, follow::Follower::new())
}

/// Like [`read`], with a table of flows of another size.
///
/// # Errors
/// As for [`read`].
pub fn read_with(from: impl BufRead, path: &Path, mut follower: follow::Follower) -> io::Result<Packets> {
    let mut capture = file::Capture::open(from)?;
    while let Some(packet) = capture.next_packet()? {
        follower.packet(&packet);
    }
    let mut packets = follower.finish();
    path.clone_into(&mut packets.file);
    packets.truncated = capture.truncated;
    packets.unreadable += capture.unreadable;
    packets.lost = capture.lost;
    Ok(packets)
}

/// What one capture shows of TCP handshakes.
///
/// Flows are kept in a table of fixed size: [`Self::flows_forgotten`] says how many half-open handshakes had to make room, and `half_open`
/// counts them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Packets {
    /// The file.
    pub file: PathBuf,
    /// From the first packet to the last; `None`: there is none.
    pub span: Option<Span>,
    /// All packets.
    pub packets: u64,
    /// Their length on the wire, in bytes.
    pub bytes: u64,
    /// TCP packets among them.
    pub tcp: u64,
    /// Packets of which too little was captured, or that are malformed.
    pub unreadable: u64,
    /// Whether the file ends in the middle of a packet.
    pub truncated: bool,
    /// Packets that the capturing program says it lost (pcapng's interface statistics).
    pub lost: Option<u64>,
    /// SYNs, without those sent again.
    pub syns: u64,
    /// SYNs sent again.
    pub syns_again: u64,
    /// SYN-ACKs, without those sent again.
    pub syn_acks: u64,
    /// SYN-ACKs sent again: each is a client that did not answer.
    pub syn_acks_again: u64,
    /// SYN-ACKs for which the capture has no SYN: if there are many, somebody uses others to reflect at us.
    pub syn_acks_unasked: u64,
    /// Handshakes that were completed.
    pub completed: u64,
    /// Handshakes that the other end refused or gave up with RST.
    pub reset: u64,
    /// SYNs that were never answered.
    pub unanswered: u64,
    /// Answered handshakes that were not completed.
    pub half_open: u64,
    /// Half-open handshakes that the table of flows had no more room for.
    pub flows_forgotten: u64,
    /// Data segments sent again (those that begin before what was seen already).
    pub data_again: u64,
    /// Segments with a window of zero, which say "do not send": slow readers.
    pub zero_windows: u64,
    /// Where SYNs come from.
    pub syn_sources: Sources,
    /// Where completed handshakes come from.
    pub completed_sources: Sources,
    /// Round-trip times, from the SYN-ACK to the ACK, in microseconds: tenth, fiftieth, ninetieth hundredth of those measured (to a
    /// tenth of their value).
    pub round_trip_us: Option<[u64; 3]>,
    /// SYNs by the hop limit with which they arrived.
    pub syn_ttl: BTreeMap<u8, u64>,
    /// The most frequent ways of writing a SYN (see [`Fingerprint`]).
    pub syn_fingerprints: Vec<Fingerprint>,
    /// Over time, in steps of `step_ms`.
    pub steps: Vec<Step>,
    /// The length of a step: a second, or as many as keep [`STEPS_MAX`].
    pub step_ms: u64,
    /// The most SYNs to one listener's port within a second, and when.
    pub busiest_second: Option<(Time, u64)>,
}

/// No more steps than these; then each becomes twice as long.
pub const STEPS_MAX: usize = 4096;

/// How a SYN was written. Programs that flood often write all alike, and unlike any operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The order of its options: M mss, N nop, W window scale, S sack permitted, T timestamps, E end, ? other; empty: none.
    pub options: String,
    /// Its window.
    pub window: u16,
    /// Its MSS.
    pub mss: Option<u16>,
    /// The hop limit that its sender began with, as far as that can be told: 64, 128 or 255.
    pub ttl_begin: u8,
    /// How many SYNs.
    pub count: u64,
    /// How many of these were completed.
    pub completed: u64,
}

/// A step of time in a capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its beginning.
    pub at: Time,
    /// SYNs, those sent again among them.
    pub syns: u64,
    /// SYN-ACKs, those sent again among them.
    pub syn_acks: u64,
    /// Handshakes completed.
    pub completed: u64,
    /// Resets.
    pub resets: u64,
    /// All packets.
    pub packets: u64,
}

#[cfg(test)]
mod tests;
