//! The structures of bpf/abi.h and of the pure headers, laid out as C has them, and the numbers that go with them.

/// abi.h: a cookie time is 2^35 ns = 34.4 s.
pub const COOKIE_TIME_SHIFT: u32 = 35;
/// abi.h: a challenge time is 2^32 ns = 4.3 s.
pub const CHALLENGE_TIME_SHIFT: u32 = 32;
/// abi.h: a tick is 2^30 ns = 1.07 s.
pub const TICK_SHIFT: u32 = 30;
/// abi.h: for how many ticks a door stays open.
pub const DOOR_TICKS: u32 = 5;
/// abi.h: cells of two doors each.
pub const DOOR_CELLS: u32 = 1 << 19;
/// abi.h: cells of the filter of those who were asked.
pub const ASKED_CELLS: u32 = 3 << 14;
/// asked.h: bits for notes in each word of a cell.
pub const ASKED_BITS: u32 = 60;
/// asked.h: words of a cell, one for each time that is remembered.
pub const ASKED_TIMES: usize = 4;
/// abi.h: cache lines of the sketch of answers.
pub const ANSWER_LINES: u32 = 8192;
/// sketch.h: counters in one cache line of the sketch.
pub const ANSWER_CELLS: usize = 16;
/// abi.h: two to this power are the cells of the small filter of known sources.
pub const TRACES_SHIFT: u32 = 17;
/// abi.h: cells of the table of sources seen.
pub const SEEN_SOURCES: u32 = 1 << 20;
/// sketch.h: a time of that table is 2^10 ticks = 18 min.
pub const SEEN_SHIFT: u32 = 10;
/// abi.h: registers for distinct sources.
pub const SPREAD_REGISTERS: usize = 1024;
/// cookie.h: how many cookie times are accepted.
pub const COOKIE_TIMES: u32 = 3;
/// challenge.h: how many challenge times are accepted.
pub const CHALLENGE_TIMES: u32 = 2;
/// packet.h: the window scale of a client that did not offer one.
pub const NO_WINDOW_SCALE: u8 = 15;
/// cookie.h: everything is offered.
pub const OFFER_ALL: u32 = 15;

/// What a frame turned out to be (`enum parsed`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A TCP segment.
    Tcp,
    /// Something else, or something that was not followed so far.
    Other,
    /// A fragment.
    Fragment,
    /// TCP with lengths, flags or addresses that contradict each other.
    Malformed,
}

impl Parsed {
    /// From the number in packet.h.
    ///
    /// # Panics
    ///
    /// On a number that packet.h does not have.
    pub(crate) fn from_c(number: u32) -> Self {
        match number {
            0 => Self::Tcp,
            1 => Self::Other,
            2 => Self::Fragment,
            3 => Self::Malformed,
            _ => unreachable!("packet.h's enum parsed has no {number}"),
        }
    }
}

/// One SipHash key (`struct key`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The first eight bytes, little-endian.
    pub k0: u64,
    /// The last eight bytes, little-endian.
    pub k1: u64,
}

/// The keys and which of them is for what (`struct control`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    /// Bit 0: the slot for cookie times from `key_word >> 1` on; before it, the other slot.
    pub key_word: u64,
    /// Who completes cookies; the pure code does not read it.
    pub completion: u32,
    /// Zero.
    pub reserved: u32,
    /// The two cookie keys.
    pub cookie_key: [Key; 2],
    /// The key of challenges, doors and sketches.
    pub flow_key: Key,
}

/// A TCP segment as values (`struct packet`). Addresses and ports are in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// The source address; IPv4 in the first word.
    pub source: [u32; 4],
    /// The destination address.
    pub destination: [u32; 4],
    /// The source port, network order.
    pub source_port: u16,
    /// The destination port, network order.
    pub destination_port: u16,
    /// The sequence number, host order.
    pub sequence: u32,
    /// The acknowledgement number, host order.
    pub acknowledgement: u32,
    /// Offset of the IP header in the frame, bytes.
    pub network: u16,
    /// Offset of the TCP header in the frame, bytes.
    pub transport: u16,
    /// Length of the TCP options, bytes.
    pub options_len: u8,
    /// The TCP flags.
    pub flags: u8,
    /// 1: IPv6.
    pub v6: u8,
}

/// The TCP options that a cookie keeps (`struct options`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `TSval`.
    pub timestamp: u32,
    /// `TSecr`.
    pub timestamp_echo: u32,
    /// The MSS in bytes, 0: not given.
    pub mss: u16,
    /// The window scale, 0 to 14; [`NO_WINDOW_SCALE`]: not given.
    pub window_scale: u8,
    /// 1: SACK permitted.
    pub sack: u8,
    /// 1: the timestamp option is there.
    pub timestamps: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// What a cookie keeps of a SYN (`struct kept`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The MSS, as an index into cookie.h's table.
    pub mss_index: u8,
    /// The client's window scale; [`NO_WINDOW_SCALE`]: none.
    pub window_scale: u8,
    /// 1: SACK.
    pub sack: u8,
    /// 1: timestamps.
    pub timestamps: u8,
    /// 1: ECN.
    pub ecn: u8,
}

/// One cell of doors (`struct doors`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doors {
    /// Two of them.
    pub door: [u64; 2],
}

/// One cell of the filter of those who were asked (`struct asked`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// One word for each time that is remembered.
    pub word: [u64; ASKED_TIMES],
}

/// One cache line of the sketch (`struct answer_line`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerLine {
    /// Two rows of eight.
    pub cell: [u32; ANSWER_CELLS],
}

/// Who holds the majority of what falls on a cell (`struct spread_cell`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpreadCell {
    /// The source or network.
    pub key: u64,
    /// At most what it sent.
    pub votes: u32,
    /// 1: IPv6.
    pub v6: u32,
}

/// A SYN-ACK as values (`struct answer`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The sequence number, host order.
    pub sequence: u32,
    /// The acknowledgement number, host order.
    pub acknowledgement: u32,
    /// The window, host order, unscaled.
    pub window: u16,
    /// The TCP flags.
    pub flags: u8,
    /// How many words of options there are, 0 to 5.
    pub words: u8,
    /// The options, as they lie in memory.
    pub option: [u32; 5],
    /// TTL or hop limit.
    pub ttl: u8,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Entry, FILTER_WORDS, Head, LENGTHS, Lengths, Listed, ListedKey, PrefixLength};
    use core::mem::{offset_of, size_of};

    #[test]
    fn every_structure_lies_in_memory_as_in_c() {
        let types = [
            size_of::<Key>(),
            offset_of!(Key, k1),
            size_of::<Control>(),
            offset_of!(Control, completion),
            offset_of!(Control, cookie_key),
            offset_of!(Control, flow_key),
            size_of::<Packet>(),
            offset_of!(Packet, destination),
            offset_of!(Packet, source_port),
            offset_of!(Packet, destination_port),
            offset_of!(Packet, sequence),
            offset_of!(Packet, acknowledgement),
            offset_of!(Packet, network),
            offset_of!(Packet, transport),
            offset_of!(Packet, options_len),
            offset_of!(Packet, flags),
            offset_of!(Packet, v6),
            size_of::<Options>(),
            offset_of!(Options, timestamp_echo),
            offset_of!(Options, mss),
            offset_of!(Options, window_scale),
            offset_of!(Options, sack),
            offset_of!(Options, timestamps),
            size_of::<Kept>(),
            offset_of!(Kept, window_scale),
            offset_of!(Kept, sack),
            offset_of!(Kept, timestamps),
            offset_of!(Kept, ecn),
            size_of::<Doors>(),
            size_of::<Asked>(),
            size_of::<AnswerLine>(),
            size_of::<Answer>(),
            offset_of!(Answer, acknowledgement),
            offset_of!(Answer, window),
            offset_of!(Answer, flags),
            offset_of!(Answer, words),
            offset_of!(Answer, option),
            offset_of!(Answer, ttl),
            size_of::<ListedKey>(),
            offset_of!(ListedKey, address),
            size_of::<Listed>(),
            offset_of!(Listed, expires),
            offset_of!(Listed, filled),
            offset_of!(Listed, tokens),
            offset_of!(Listed, origin),
            offset_of!(Listed, flags),
            size_of::<Entry>(),
            offset_of!(Entry, value),
            size_of::<Lengths>(),
            size_of::<PrefixLength>(),
            size_of::<Head>(),
            offset_of!(Head, block),
            offset_of!(Head, allow),
            size_of::<SpreadCell>(),
            offset_of!(SpreadCell, votes),
            offset_of!(SpreadCell, v6),
        ];
        let numbers = [
            COOKIE_TIME_SHIFT,
            CHALLENGE_TIME_SHIFT,
            TICK_SHIFT,
            DOOR_TICKS,
            DOOR_CELLS,
            ASKED_CELLS,
            ASKED_BITS,
            ASKED_TIMES as u32,
            ANSWER_LINES,
            ANSWER_CELLS as u32,
            TRACES_SHIFT,
            SEEN_SOURCES,
            SEEN_SHIFT,
            COOKIE_TIMES,
            CHALLENGE_TIMES,
            FILTER_WORDS as u32,
            LENGTHS as u32,
            SPREAD_REGISTERS as u32,
        ];
        let here: Vec<u32> = types.iter().map(|n| *n as u32).chain(numbers).collect();
        assert_eq!(crate::layout().collect::<Vec<_>>(), here);
    }
}
