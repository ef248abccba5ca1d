//! The border to C: declarations of c/pure.c, and a safe function for each. All unsafe code of the crate is in this file.
//!
//! Every structure crosses by pointer to a `repr(C)` type of [`crate::types`], whose layout a test compares with C's. Frames
//! cross as a pointer and a length, and the headers' contract is that nothing outside is read; the fuzz targets hold them to it.

use crate::lists::{self, Lists};
use crate::types::{
    Answer, AnswerLine, Asked, Control, Doors, Kept, Key, Options, Packet, Parsed, SPREAD_REGISTERS, SpreadCell,
};

/// The signatures, as in c/pure.c.
mod raw {
    use super::lists::{Entry, Head};
    use super::{Answer, AnswerLine, Asked, Control, Doors, Kept, Key, Options, Packet, SPREAD_REGISTERS, SpreadCell};

    // SAFETY: each line repeats the prototype of the function of that name in c/pure.c.
    unsafe extern "C" {
        pub fn pure_siphash(key: &Key, words: *const u64, count: u32, seven: u64) -> u64;
        pub fn pure_parse(frame: *const u8, len: usize, packet: &mut Packet) -> u32;
        pub fn pure_options(frame: *const u8, len: usize, packet: &Packet, options: &mut Options);
        pub fn pure_options_walk(bytes: &[u8; 64], len: u32, options: &mut Options);
        pub safe fn pure_mss_value(index: u8, v6: u32) -> u16;
        pub safe fn pure_mss_index(mss: u16, v6: u32) -> u8;
        pub safe fn pure_cookie_keep(packet: &Packet, options: &Options, offers: u32, kept: &mut Kept);
        pub safe fn pure_cookie_hash(control: &Control, packet: &Packet, isn: u32, time: u32, kept: &Kept) -> u64;
        pub safe fn pure_cookie_sequence(hash: u64, time: u32, kept: &Kept) -> u32;
        pub safe fn pure_cookie_timestamp(hash: u64, kept: &Kept) -> u32;
        pub safe fn pure_cookie_check(c: &Control, p: &Packet, o: &Options, now: u32, kept: &mut Kept) -> u32;
        pub safe fn pure_flow_hash(key: &Key, packet: &Packet) -> u64;
        pub safe fn pure_challenge_hash(key: &Key, packet: &Packet, time: u32) -> u64;
        pub safe fn pure_challenge_check(key: &Key, packet: &Packet, now: u32, number: u32) -> u32;
        pub safe fn pure_doors_index(hash: u64) -> u32;
        pub safe fn pure_door_set(cell: &mut Doors, flow: u64, tick: u32);
        pub safe fn pure_door_is_open(cell: &Doors, flow: u64, tick: u32) -> u32;
        pub safe fn pure_asked_index(hash: u64) -> u32;
        pub safe fn pure_asked_note(hash: u64, part: u32) -> u64;
        pub safe fn pure_asked_time(now_ns: u64) -> u32;
        pub safe fn pure_asked_before(cell: &mut Asked, note: u64, time: u32) -> u32;
        pub safe fn pure_fold(sum: u64) -> u16;
        pub safe fn pure_answer_options(a: &mut Answer, k: &Kept, o: &Options, hash: u64, mss: u16, scale: u8);
        pub safe fn pure_answer_len(packet: &Packet, answer: &Answer) -> u32;
        pub fn pure_answer_write(frame: *mut u8, len: usize, packet: &Packet, answer: &Answer) -> u32;
        pub safe fn pure_source_network(packet: &Packet) -> u64;
        pub safe fn pure_mix_whole(x: u64, secret: u64) -> u64;
        pub safe fn pure_mix(x: u64, secret: u64) -> u32;
        pub safe fn pure_answer_line_index(hash: u32) -> u32;
        pub safe fn pure_answer_count(line: &mut AnswerLine, hash: u32, tick: u32) -> u32;
        pub safe fn pure_line_over(line: &AnswerLine, count: u32, limit: u32, tick: u32) -> u32;
        pub safe fn pure_spread_register(registers: &mut [u8; SPREAD_REGISTERS], hash: u32);
        pub safe fn pure_spread_vote(cell: &mut SpreadCell, key: u64, v6: u32);
        pub safe fn pure_trace_index(source: u64, secret: u64) -> u32;
        pub safe fn pure_seen_index(source: u64, secret: u64) -> u32;
        pub safe fn pure_seen_value(tick: u32) -> u8;
        pub safe fn pure_seen_within(cell: u8, tick: u32, ticks: u32) -> u32;
        pub fn pure_standing(
            head: &Head,
            filter: *const u64,
            entries: *mut Entry,
            count: u32,
            now_ns: u64,
            packet: &Packet,
            rate: u32,
            burst: u32,
        ) -> u32;
        pub safe fn pure_layout(index: u32) -> u32;
    }
}

/// SipHash-2-4 over whole words, and seven bytes at the end.
///
/// # Panics
///
/// Beyond 2^32 words.
#[must_use]
pub fn siphash(key: &Key, words: &[u64], seven: u64) -> u64 {
    assert!(u32::try_from(words.len()).is_ok(), "the count crosses as 32 bits");
    // SAFETY: the pointer and the count are one slice's, and C only reads.
    unsafe { raw::pure_siphash(key, words.as_ptr(), words.len() as u32, seven) }
}

/// What a frame is, and its values where it is TCP. In other cases the packet's fields say nothing.
#[must_use]
pub fn parse(frame: &[u8]) -> (Parsed, Packet) {
    let mut packet = Packet::default();
    // SAFETY: the pointer and the length are one slice's, and C only reads.
    let parsed = unsafe { raw::pure_parse(frame.as_ptr(), frame.len(), &mut packet) };
    (Parsed::from_c(parsed), packet)
}

/// The TCP options of a frame that [`parse`] found to be TCP.
#[must_use]
pub fn options(frame: &[u8], packet: &Packet) -> Options {
    let mut options = Options::default();
    // SAFETY: as in `parse`; C checks the offset in `packet` against the frame's end before it reads.
    unsafe { raw::pure_options(frame.as_ptr(), frame.len(), packet, &mut options) };
    options
}

/// The options in `bytes`, by the general way alone: without the short cuts for usual layouts. `options` is what is found before.
///
/// # Panics
///
/// Beyond 40 bytes, which TCP has no room for.
#[must_use]
pub fn options_walk_from(mut options: Options, bytes: &[u8]) -> Options {
    let mut room = [0; 64];
    assert!(bytes.len() <= 40, "TCP has room for 40 bytes of options");
    room[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: C masks each index to 64 bytes, which `room` has.
    unsafe { raw::pure_options_walk(&room, bytes.len() as u32, &mut options) };
    options
}

/// The MSS that a cookie's index stands for, in bytes.
#[must_use]
pub fn mss_value(index: u8, v6: bool) -> u16 {
    raw::pure_mss_value(index, v6.into())
}

/// The index of the largest MSS that is not above the given one.
#[must_use]
pub fn mss_index(mss: u16, v6: bool) -> u8 {
    raw::pure_mss_index(mss, v6.into())
}

/// What a cookie keeps of a SYN; `offers` is what we offer ourselves (`OFFER_*` of cookie.h).
#[must_use]
pub fn cookie_keep(packet: &Packet, options: &Options, offers: u32) -> Kept {
    let mut kept = Kept::default();
    raw::pure_cookie_keep(packet, options, offers, &mut kept);
    kept
}

/// The cookie's hash, by the key that belongs to `time`; `isn` is the client's initial sequence number.
#[must_use]
pub fn cookie_hash(control: &Control, packet: &Packet, isn: u32, time: u32, kept: &Kept) -> u64 {
    raw::pure_cookie_hash(control, packet, isn, time, kept)
}

/// The sequence number of a cookie's SYN-ACK.
#[must_use]
pub fn cookie_sequence(hash: u64, time: u32, kept: &Kept) -> u32 {
    raw::pure_cookie_sequence(hash, time, kept)
}

/// The TSval of a cookie's SYN-ACK.
#[must_use]
pub fn cookie_timestamp(hash: u64, kept: &Kept) -> u32 {
    raw::pure_cookie_timestamp(hash, kept)
}

/// What a cookie kept, if an ACK carries a valid one. `now` is the cookie time.
#[must_use]
pub fn cookie_check(control: &Control, packet: &Packet, options: &Options, now: u32) -> Option<Kept> {
    let mut kept = Kept::default();
    (raw::pure_cookie_check(control, packet, options, now, &mut kept) != 0).then_some(kept)
}

/// The name of a flow in the challenge's filters.
#[must_use]
pub fn flow_hash(key: &Key, packet: &Packet) -> u64 {
    raw::pure_flow_hash(key, packet)
}

/// What a challenge is made of: its acknowledgement number is the lower half. `time` is the challenge time.
#[must_use]
pub fn challenge_hash(key: &Key, packet: &Packet, time: u32) -> u64 {
    raw::pure_challenge_hash(key, packet, time)
}

/// Whether an RST's sequence number proves a challenge of its flow.
#[must_use]
pub fn challenge_check(key: &Key, packet: &Packet, now: u32, number: u32) -> bool {
    raw::pure_challenge_check(key, packet, now, number) != 0
}

/// A source's cell of doors.
#[must_use]
pub fn doors_index(hash: u64) -> u32 {
    raw::pure_doors_index(hash)
}

/// Opens the door for a flow, in its cell.
pub fn door_set(cell: &mut Doors, flow: u64, tick: u32) {
    raw::pure_door_set(cell, flow, tick);
}

/// Whether a cell says that this flow's door is open.
#[must_use]
pub fn door_is_open(cell: &Doors, flow: u64, tick: u32) -> bool {
    raw::pure_door_is_open(cell, flow, tick) != 0
}

/// A question's cell in the filter of those who were asked.
#[must_use]
pub fn asked_index(hash: u64) -> u32 {
    raw::pure_asked_index(hash)
}

/// A question's note in its cell.
#[must_use]
pub fn asked_note(hash: u64, part: u32) -> u64 {
    raw::pure_asked_note(hash, part)
}

/// The time of a note, from the clock's nanoseconds.
#[must_use]
pub fn asked_time(now_ns: u64) -> u32 {
    raw::pure_asked_time(now_ns)
}

/// Whether the note was made before; if not, it is now.
pub fn asked_before(cell: &mut Asked, note: u64, time: u32) -> bool {
    raw::pure_asked_before(cell, note, time) != 0
}

/// A sum of words as an Internet checksum (RFC 1071).
#[must_use]
pub fn fold(sum: u64) -> u16 {
    raw::pure_fold(sum)
}

/// Fills in the options of a cookie's SYN-ACK; `mss` and `scale` are our own.
pub fn answer_options(answer: &mut Answer, kept: &Kept, options: &Options, hash: u64, mss: u16, scale: u8) {
    raw::pure_answer_options(answer, kept, options, hash, mss, scale);
}

/// The length of an answer's frame, in bytes.
#[must_use]
pub fn answer_len(packet: &Packet, answer: &Answer) -> usize {
    raw::pure_answer_len(packet, answer) as usize
}

/// Writes an answer over the SYN in `frame`, which has [`answer_len`] bytes already. False: the frame is too short.
pub fn answer_write(frame: &mut [u8], packet: &Packet, answer: &Answer) -> bool {
    // SAFETY: the pointer and the length are one slice's, borrowed for writing; C checks each header against its end.
    unsafe { raw::pure_answer_write(frame.as_mut_ptr(), frame.len(), packet, answer) != 0 }
}

/// The network that a source belongs to: /24 or /56.
#[must_use]
pub fn source_network(packet: &Packet) -> u64 {
    raw::pure_source_network(packet)
}

/// A keyed hash of 64 bits, of which all may be used.
pub fn mix_whole(x: u64, secret: u64) -> u64 {
    raw::pure_mix_whole(x, secret)
}

/// The sketch's hash.
#[must_use]
pub fn mix(x: u64, secret: u64) -> u32 {
    raw::pure_mix(x, secret)
}

/// A network's cache line in the sketch, by its hash.
#[must_use]
pub fn answer_line_index(hash: u32) -> u32 {
    raw::pure_answer_line_index(hash)
}

/// Counts one more answer for a network, and returns how many there were at most in this tick.
pub fn answer_count(line: &mut AnswerLine, hash: u32, tick: u32) -> u32 {
    raw::pure_answer_count(line, hash, tick)
}

/// Whether a count of [`answer_count`] is over a limit, and that by its own doing.
#[must_use]
pub fn line_over(line: &AnswerLine, count: u32, limit: u32, tick: u32) -> bool {
    raw::pure_line_over(line, count, limit, tick) != 0
}

/// Takes a source, by its hash, into the account of distinct ones.
pub fn spread_register(registers: &mut [u8; SPREAD_REGISTERS], hash: u32) {
    raw::pure_spread_register(registers, hash);
}

/// One more vote in a cell for the majority of what falls on it.
pub fn spread_vote(cell: &mut SpreadCell, key: u64, v6: bool) {
    raw::pure_spread_vote(cell, key, v6.into());
}

/// A source's cell in the small filter of known sources.
#[must_use]
pub fn trace_index(source: u64, secret: u64) -> u32 {
    raw::pure_trace_index(source, secret)
}

/// A source's cell in the large filter of known sources.
#[must_use]
pub fn seen_index(source: u64, secret: u64) -> u32 {
    raw::pure_seen_index(source, secret)
}

/// What a handshake at `tick` leaves in its source's cell.
#[must_use]
pub fn seen_value(tick: u32) -> u8 {
    raw::pure_seen_value(tick)
}

/// Whether a cell may hold a handshake of the last `ticks`.
#[must_use]
pub fn seen_within(cell: u8, tick: u32, ticks: u32) -> bool {
    raw::pure_seen_within(cell, tick, ticks) != 0
}

/// How a packet's source stands: see [`Lists::standing`].
///
/// # Panics
///
/// If the filter is too short.
#[must_use]
pub fn standing(lists: &mut Lists, packet: &Packet, now_ns: u64, rate: u32, burst: u32) -> u32 {
    assert_eq!(lists.filter.len(), lists::FILTER_WORDS, "C reads any word of it");
    let (filter, entries) = (lists.filter.as_ptr(), lists.entries.as_mut_ptr());
    let count = lists.entries.len() as u32;
    // SAFETY: the filter has every word that C reads, `entries` has `count` entries, and C keeps no pointer it uses after the call.
    unsafe { raw::pure_standing(&lists.head, filter, entries, count, now_ns, packet, rate, burst) }
}

/// The sizes, offsets and constants as the C compiler sees them, in the order of c/pure.c.
pub fn layout() -> impl Iterator<Item = u32> {
    (0..).map(|index| raw::pure_layout(index)).take_while(|number| *number != u32::MAX)
}
