//! The SYN-ACK that belongs to a SYN, built header by header.

use super::Segment;
use crate::frames::{Frame, flags, option};
use crate::types::{Kept, NO_WINDOW_SCALE};

/// What is in a SYN-ACK besides what follows from the SYN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynAck {
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledgement number.
    pub acknowledgement: u32,
    /// The window, unscaled.
    pub window: u16,
    /// ECE besides SYN and ACK.
    pub ecn: bool,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The TCP options.
    pub options: Vec<u8>,
}

/// The options of a cookie's SYN-ACK: our MSS and window scale, and our timestamp beside the client's.
#[must_use]
pub fn cookie_options(kept: &Kept, mss: u16, scale: u8, timestamp: u32, echo: u32) -> Vec<u8> {
    let nops = || [option::nop(), option::nop()].concat();
    let mut list = vec![option::mss(mss)];
    match (kept.timestamps != 0, kept.sack != 0) {
        (true, true) => list.extend([option::sack(), option::timestamps(timestamp, echo)]),
        (true, false) => list.extend([nops(), option::timestamps(timestamp, echo)]),
        (false, true) => list.extend([nops(), option::sack()]),
        (false, false) => {}
    }
    if kept.window_scale != NO_WINDOW_SCALE {
        list.extend([option::nop(), option::window_scale(scale)]);
    }
    option::list(&list)
}

/// The frame that answers the SYN in `frame`: both ends change places, the VLAN tags stay, IP options and extension headers go.
#[must_use]
pub fn answer(frame: &[u8], syn: &Segment, with: &SynAck) -> Vec<u8> {
    let mut answer = Frame::syn(syn.destination, syn.source);
    answer.hardware[..6].copy_from_slice(&frame[6..12]);
    answer.hardware[6..].copy_from_slice(&frame[..6]);
    answer.tags = tags(&frame[12..syn.network - 2]);
    answer.ttl = with.ttl;
    answer.source_port = syn.destination_port;
    answer.destination_port = syn.source_port;
    answer.sequence = with.sequence;
    answer.acknowledgement = with.acknowledgement;
    answer.flags = flags::SYN | flags::ACK | if with.ecn { flags::ECE } else { 0 };
    answer.window = with.window;
    answer.options.clone_from(&with.options);
    answer.build()
}

fn tags(bytes: &[u8]) -> Vec<(u16, u16)> {
    let be = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    bytes.chunks_exact(4).map(|tag| (be(tag[0], tag[1]), be(tag[2], tag[3]))).collect()
}
