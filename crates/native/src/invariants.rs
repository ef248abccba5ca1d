//! What holds for any bytes whatever: the C code and the reference say the same. One function for each fuzz target; the properties
//! in tests/ call them too, with frames that are more often right.
//!
//! Each panics where something does not hold.

use crate::frames::flags;
use crate::reference::{self, Segment, SynAck, TcpOptions};
use crate::types::{Answer, Control, Kept, Key, NO_WINDOW_SCALE, OFFER_ALL, Options, Packet, Parsed};

/// Parsing, options included: reasons and values.
///
/// # Panics
///
/// Where the C code and the reference differ.
pub fn parse(frame: &[u8]) {
    let (parsed, packet) = crate::parse(frame);
    match reference::parse(frame) {
        Ok(segment) => {
            assert_eq!(parsed, Parsed::Tcp, "{segment:?}");
            assert_eq!(Segment::from_packet(&packet), segment);
            assert_eq!(packet, segment.to_packet());
            same_options(frame, &packet, &segment);
        }
        Err(reason) => assert_eq!(parsed, reason),
    }
}

/// Both readings of a segment's options. Where the frame ends within them there are none.
fn same_options(frame: &[u8], packet: &Packet, segment: &Segment) {
    let start = segment.transport + 20;
    let bytes = frame.get(start..start + segment.options_len).unwrap_or_default();
    let options = crate::options(frame, packet);
    assert_eq!(TcpOptions::from_options(&options), reference::tcp_options(bytes));
    if bytes.len() == segment.options_len {
        let walked = Options { window_scale: NO_WINDOW_SCALE, ..Options::default() };
        assert_eq!(crate::options_walk_from(walked, bytes), options, "the short cut and the long way differ");
    }
}

/// Keys and a cookie time out of any bytes, and what is left of these.
#[must_use]
pub fn split_control(bytes: &[u8]) -> Option<(Control, u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<10>()?;
    let key = |n: u8| Key { k0: u64::from(head[0]) << 8 | u64::from(n), k1: u64::from(head[1]) };
    let now = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
    let begins = u32::from_le_bytes([head[6], head[7], head[8], 0]);
    let control = Control {
        key_word: u64::from(begins) << 1 | u64::from(head[9] & 1),
        cookie_key: [key(1), key(2)],
        flow_key: key(3),
        ..Control::default()
    };
    Some((control, now, rest))
}

/// Cookies: the frame as it is, taken for an ACK, and a cookie made for it, taken for a SYN, which comes back.
///
/// # Panics
///
/// Where the C code and the reference differ, or a cookie does not come back with what it kept.
pub fn cookie(bytes: &[u8]) {
    let Some((control, now, frame)) = split_control(bytes) else { return };
    let (Parsed::Tcp, packet) = crate::parse(frame) else { return };
    let options = crate::options(frame, &packet);
    let found = crate::cookie_check(&control, &packet, &options, now);
    let (segment, tcp_options) = (Segment::from_packet(&packet), TcpOptions::from_options(&options));
    assert_eq!(found, reference::check(&control, &segment, &tcp_options, now));
    comes_back(&control, &packet, &options, now);
}

/// A cookie made for a SYN is accepted at its own time and the two that follow, with what it kept.
///
/// # Panics
///
/// Where it is not, or the reference makes another one.
pub fn comes_back(control: &Control, syn: &Packet, options: &Options, time: u32) {
    let kept = crate::cookie_keep(syn, options, OFFER_ALL);
    let segment = Segment::from_packet(syn);
    assert_eq!(kept, reference::kept(&segment, &TcpOptions::from_options(options)));
    let made = make(control, syn, &kept, time);
    assert_eq!(made, reference::cookie(control, &segment, syn.sequence, time, &kept));
    let (ack, echoed) = ack(syn, &kept, made);
    for age in 0..3 {
        assert_eq!(crate::cookie_check(control, &ack, &echoed, time.wrapping_add(age)), Some(kept), "age {age}");
    }
}

/// The two numbers of a cookie, by the C code.
#[must_use]
pub fn make(control: &Control, syn: &Packet, kept: &Kept, time: u32) -> reference::Cookie {
    let hash = crate::cookie_hash(control, syn, syn.sequence, time, kept);
    reference::Cookie {
        sequence: crate::cookie_sequence(hash, time, kept),
        timestamp: crate::cookie_timestamp(hash, kept),
    }
}

/// The ACK that a client answers a cookie with, and its options.
#[must_use]
pub fn ack(syn: &Packet, kept: &Kept, cookie: reference::Cookie) -> (Packet, Options) {
    let ack = Packet {
        sequence: syn.sequence.wrapping_add(1),
        acknowledgement: cookie.sequence.wrapping_add(1),
        flags: flags::ACK,
        ..*syn
    };
    let echo = if kept.timestamps != 0 { cookie.timestamp } else { 0 };
    let options = Options {
        timestamp: 1,
        timestamp_echo: echo,
        window_scale: NO_WINDOW_SCALE,
        timestamps: kept.timestamps,
        ..Options::default()
    };
    (ack, options)
}

/// Answers: the frame, taken for a SYN, is answered with a cookie and with a challenge; every byte is the reference's.
///
/// # Panics
///
/// Where the C code and the reference differ, or an answer is longer than it may be.
pub fn answer(bytes: &[u8]) {
    let Some((control, now, frame)) = split_control(bytes) else { return };
    let (Parsed::Tcp, packet) = crate::parse(frame) else { return };
    cookie_answer(frame, &packet, &control, now);
    challenge_answer(frame, &packet, &control, now);
}

const OUR_MSS: u16 = 1460;
const OUR_SCALE: u8 = 7;
const WINDOW: u16 = 65_535;
const TTL: u8 = 64;

fn cookie_answer(frame: &[u8], packet: &Packet, control: &Control, now: u32) {
    let options = crate::options(frame, packet);
    let kept = crate::cookie_keep(packet, &options, OFFER_ALL);
    let hash = crate::cookie_hash(control, packet, packet.sequence, now, &kept);
    let made = make(control, packet, &kept, now);
    let ecn = if kept.ecn != 0 { flags::ECE } else { 0 };
    let mut answer = blank(made.sequence, packet.sequence.wrapping_add(1), flags::SYN | flags::ACK | ecn);
    crate::answer_options(&mut answer, &kept, &options, hash, OUR_MSS, OUR_SCALE);
    let syn_ack = SynAck {
        ecn: kept.ecn != 0,
        options: reference::cookie_options(&kept, OUR_MSS, OUR_SCALE, made.timestamp, options.timestamp),
        ..syn_ack(&answer)
    };
    same_answer(frame, packet, &answer, &syn_ack);
    let required = if options.mss == 0 { 4 } else { 0 };
    assert!(usize::from(answer.words) * 4 <= usize::from(packet.options_len) + required, "{answer:?}");
}

fn challenge_answer(frame: &[u8], packet: &Packet, control: &Control, now: u32) {
    let segment = Segment::from_packet(packet);
    assert_eq!(crate::flow_hash(&control.flow_key, packet), reference::flow(&control.flow_key, &segment));
    let hash = crate::challenge_hash(&control.flow_key, packet, now);
    assert_eq!(hash, reference::challenge(&control.flow_key, &segment, now));
    let answer = blank((hash >> 32) as u32, hash as u32, flags::SYN | flags::ACK);
    same_answer(frame, packet, &answer, &syn_ack(&answer));
}

fn blank(sequence: u32, acknowledgement: u32, flags: u8) -> Answer {
    Answer { sequence, acknowledgement, window: WINDOW, flags, ttl: TTL, ..Answer::default() }
}

/// An answer without options in the reference's form.
fn syn_ack(answer: &Answer) -> SynAck {
    SynAck {
        sequence: answer.sequence,
        acknowledgement: answer.acknowledgement,
        window: answer.window,
        ecn: false,
        ttl: answer.ttl,
        options: Vec::new(),
    }
}

/// Written into a frame of just the right length it equals the reference; one byte less is refused.
fn same_answer(frame: &[u8], packet: &Packet, answer: &Answer, syn_ack: &SynAck) {
    let expected = reference::answer(frame, &Segment::from_packet(packet), syn_ack);
    let len = crate::answer_len(packet, answer);
    let resized = |len: usize| -> Box<[u8]> { frame.iter().copied().chain(core::iter::repeat(0)).take(len).collect() };
    let mut written = resized(len);
    assert!(crate::answer_write(&mut written, packet, answer));
    assert_eq!(&written[..], &expected[..]);
    assert!(!crate::answer_write(&mut resized(len - 1), packet, answer));
}
