//! Captures made by hand, read back: every count of a story, damaged files, and how fast it goes.

use std::net::Ipv4Addr;
use std::path::Path;

use super::segment::{ACK, RST, SYN};
use super::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// Linux's order of options.
const OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

#[derive(Clone, Copy)]
struct Sent {
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
    window: u16,
    data: u16,
    plain: bool,
}

fn sent(client: u32, to_server: bool, flags: u8, sequence: u32, acknowledgement: u32) -> Sent {
    let client = (Ipv4Addr::from(0xc633_6400 | (client & 0xff)), 1024 + (client >> 8) as u16);
    let (from, to) = if to_server { (client, (SERVER, 80)) } else { ((SERVER, 80), client) };
    Sent { from, to, flags, sequence, acknowledgement, window: 64_240, data: 0, plain: false }
}

fn frame(sent: &Sent) -> Vec<u8> {
    let options: &[u8] = if sent.flags & SYN != 0 && !sent.plain { &OPTIONS } else { &[] };
    let mut bytes = vec![0; 12];
    bytes.extend([8, 0, 0x45, 0]);
    bytes.extend((40 + options.len() as u16 + sent.data).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 57, 6, 0, 0]);
    bytes.extend(sent.from.0.octets());
    bytes.extend(sent.to.0.octets());
    bytes.extend(sent.from.1.to_be_bytes());
    bytes.extend(sent.to.1.to_be_bytes());
    bytes.extend(sent.sequence.to_be_bytes());
    bytes.extend(sent.acknowledgement.to_be_bytes());
    bytes.extend([(5 + options.len() as u8 / 4) << 4, sent.flags]);
    bytes.extend(sent.window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    bytes
}

/// A classic capture: milliseconds since its beginning, and what was sent.
fn capture(packets: &[(u64, Sent)]) -> Vec<u8> {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    bytes.extend([0; 8]);
    bytes.extend([0, 0, 4, 0, 1, 0, 0, 0]);
    for (at_ms, sent) in packets {
        let frame = frame(sent);
        bytes.extend((1_795_999_091 + (at_ms / 1000) as u32).to_le_bytes());
        bytes.extend(((at_ms % 1000) as u32 * 1000).to_le_bytes());
        bytes.extend((frame.len() as u32).to_le_bytes());
        bytes.extend((frame.len() as u32).to_le_bytes());
        bytes.extend(frame);
    }
    bytes
}

/// The same in pcapng, with nanoseconds, big-endian, and drops told at its end.
fn blocks(packets: &[(u64, Sent)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let length = (12 + body.len().next_multiple_of(4)) as u32;
        bytes.extend(kind.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(length.to_be_bytes());
    };
    block(0x0a0d_0d0a, &[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    block(1, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0]);
    for (at_ms, sent) in packets {
        let frame = frame(sent);
        let ticks = (1_795_999_091_000 + at_ms) * 1_000_000;
        let mut body = vec![0; 4];
        body.extend(ticks.to_be_bytes());
        body.extend((frame.len() as u32).to_be_bytes());
        body.extend((frame.len() as u32).to_be_bytes());
        body.extend(frame);
        block(6, &body);
    }
    let mut statistics = vec![0; 12];
    statistics.extend([0, 5, 0, 8, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 0]);
    block(5, &statistics);
    bytes
}

fn parse(bytes: &[u8]) -> Packets {
    read_with(bytes, Path::new("x.pcap"), follow::Follower::with_flows(8)).unwrap()
}

/// One whole handshake with data sent twice, one that stays half-open, one refused, one unanswered, one SYN-ACK that nobody asked for.
fn story() -> Vec<(u64, Sent)> {
    let data = |sent: Sent| Sent { data: 100, ..sent };
    vec![
        (0, sent(1, true, SYN, 100, 0)),
        (1, sent(1, false, SYN | ACK, 900, 101)),
        (151, sent(1, true, ACK, 101, 901)),
        (152, data(sent(1, true, ACK, 101, 901))),
        (400, data(sent(1, true, ACK, 101, 901))),
        (401, Sent { window: 0, ..sent(1, false, ACK, 901, 201) }),
        (500, Sent { plain: true, ..sent(2, true, SYN, 100, 0) }),
        (501, sent(2, false, SYN | ACK, 900, 101)),
        (1501, sent(2, false, SYN | ACK, 900, 101)),
        (2000, sent(3, true, SYN, 100, 0)),
        (2001, sent(3, false, RST | ACK, 0, 101)),
        (3000, sent(4, true, SYN, 100, 0)),
        (4000, sent(4, true, SYN, 100, 0)),
        (5000, sent(5, false, SYN | ACK, 900, 101)),
    ]
}

fn check(found: &Packets) {
    assert_eq!((found.packets, found.tcp, found.unreadable), (14, 14, 0));
    assert_eq!((found.syns, found.syns_again), (4, 1));
    assert_eq!((found.syn_acks, found.syn_acks_again, found.syn_acks_unasked), (3, 1, 1));
    assert_eq!((found.completed, found.half_open, found.reset, found.unanswered), (1, 1, 1, 1));
    assert_eq!((found.data_again, found.zero_windows), (1, 1));
    assert_eq!(found.syn_ttl, BTreeMap::from([(57, 4)]));
    assert_eq!((found.syn_sources.total, found.syn_sources.distinct), (4, 4));
    assert_eq!(found.completed_sources.top[0].address, Ipv4Addr::new(198, 51, 100, 1));
    let round_trip = found.round_trip_us.unwrap()[1];
    assert!((140_000..160_000).contains(&round_trip), "{round_trip}");
    let fingerprint = &found.syn_fingerprints[0];
    assert_eq!((fingerprint.options.as_str(), fingerprint.mss, fingerprint.ttl_begin), ("MSTNW", Some(1460), 64));
    assert_eq!((fingerprint.count, fingerprint.completed), (3, 1));
    assert_eq!((found.syn_fingerprints[1].options.as_str(), found.syn_fingerprints[1].count), ("", 1));
    assert_eq!(found.steps.iter().map(|step| step.syns).collect::<Vec<_>>(), [2, 0, 1, 1, 1, 0]);
    assert_eq!(found.span.unwrap(), Span { from: Time(1_795_999_091_000), until: Time(1_795_999_096_000) });
    assert_eq!(found.busiest_second, Some((Time(1_795_999_091_000), 2)));
}

#[test]
fn a_story_in_both_formats() {
    let classic = parse(&capture(&story()));
    check(&classic);
    assert_eq!((classic.truncated, classic.lost), (false, None));
    let blocks = parse(&blocks(&story()));
    check(&blocks);
    assert_eq!((blocks.truncated, blocks.lost), (false, Some(42)));
}

#[test]
fn cut_anywhere_it_tells_what_came_before() {
    for whole in [capture(&story()), blocks(&story())] {
        let mut least = 0;
        for length in 28..whole.len() {
            let found = parse(&whole[..length]);
            assert!(found.packets >= least, "more bytes, fewer packets");
            least = found.packets;
        }
        assert_eq!(least, 14 - u64::from(parse(&whole).lost.is_none()));
        assert!(parse(&whole[..whole.len() - 1]).truncated);
    }
    for bytes in [&b""[..], b"no capture at all", &[0x0a, 0x0d, 0x0d, 0x0a]] {
        assert!(read(bytes, Path::new("x")).is_err());
    }
}

#[test]
fn a_flood_is_counted_in_a_table_that_does_not_grow() {
    let flood: Vec<(u64, Sent)> =
        (0..60_000u32).map(|number| (u64::from(number / 100), sent(number, true, SYN, number, 0))).collect();
    let mut follower = follow::Follower::with_flows(14);
    for (at_ms, sent) in &flood {
        let bytes = frame(sent);
        follower.packet(&file::Packet {
            at_us: *at_ms as i64 * 1000,
            link: 1,
            bytes: &bytes,
            length: bytes.len() as u32,
        });
    }
    let found = follower.finish();
    assert_eq!((found.syns, found.unanswered, found.completed), (60_000, 60_000, 0));
    assert!(found.flows_forgotten > 40_000, "{}", found.flows_forgotten);
    assert_eq!(found.syn_fingerprints.len(), 1, "all written alike");
    assert!((250..=256).contains(&found.syn_sources.distinct), "{}", found.syn_sources.distinct);
}

#[test]
fn a_wrong_time_makes_steps_longer_not_more() {
    let late = vec![
        (0, sent(1, true, SYN, 1, 0)),
        (2_000_000_000_000, sent(2, true, SYN, 1, 0)),
        (5, sent(3, true, SYN, 1, 0)),
    ];
    let found = parse(&capture(&late));
    assert!(found.steps.len() <= STEPS_MAX && found.step_ms > 1000);
    assert_eq!(found.steps.iter().map(|step| step.syns).sum::<u64>(), 3);
}

#[test]
fn times_far_apart_give_a_round_trip_all_the_same() {
    // One handshake, whose ACK is as late as a time can tell, and one whose times go backwards.
    for (syn_ack_us, ack_us) in [(1, i64::MAX), (1, i64::MAX / 4), (i64::MAX, 1)] {
        let mut follower = follow::Follower::with_flows(8);
        let handshake = [
            (0, sent(1, true, SYN, 100, 0)),
            (syn_ack_us, sent(1, false, SYN | ACK, 900, 101)),
            (ack_us, sent(1, true, ACK, 101, 901)),
        ];
        for (at_us, sent) in handshake {
            let bytes = frame(&sent);
            follower.packet(&file::Packet { at_us, link: 1, bytes: &bytes, length: bytes.len() as u32 });
        }
        let found = follower.finish();
        assert_eq!(found.completed, 1);
        let [_, middle, _] = found.round_trip_us.unwrap();
        let truth = (ack_us - syn_ack_us).max(8) as u64;
        assert!(middle.abs_diff(truth) <= truth / 8, "{middle} instead of {truth}");
    }
}
