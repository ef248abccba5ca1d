//! The parser and the reader of options against the reference: the same reason and the same values for every frame, whole, cut
//! anywhere, or changed anywhere.

mod common;

use common::{cases, option_list, segment, syn, syn_between, usual_list, v4, v6};
use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_native::frames::{Frame, flags, option};
use sekisho_native::reference::{self, Segment, TcpOptions};
use sekisho_native::{Parsed, invariants, siphash};
use std::net::Ipv6Addr;

/// The whole length, cut, and with each byte changed to a few values: for a frame of any kind.
fn every_way_to_break(frame: &Frame) {
    let bytes = frame.build();
    invariants::parse(&bytes);
    for len in 0..bytes.len() {
        // A heap buffer of exactly this length, so that a tool that watches memory sees every byte too many.
        invariants::parse(&bytes[..len].to_vec().into_boxed_slice());
    }
    let mut changed = bytes.clone();
    for at in 12..bytes.len() {
        for value in [0, 1, 4, 6, 44, 0x44, 0x45, 0x60, 0xff, bytes[at] ^ 0x20] {
            changed[at] = value;
            invariants::parse(&changed);
        }
        changed[at] = bytes[at];
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn siphash_is_siphash(key in common::key(), words in vec(any::<u64>(), 0..9), seven in 0..1u64 << 56) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(&seven.to_le_bytes()[..7]);
        prop_assert_eq!(siphash(&key, &words, seven), reference::siphash(&key, &bytes));
    }

    /// What was put in comes out.
    #[test]
    fn a_syn_is_read_as_it_was_built(frame in syn()) {
        let bytes = frame.build();
        let packet = common::packet_of(&bytes);
        let read = Segment::from_packet(&packet);
        prop_assert_eq!(read.source, frame.source);
        prop_assert_eq!(read.destination, frame.destination);
        prop_assert_eq!((read.source_port, read.destination_port), (frame.source_port, frame.destination_port));
        prop_assert_eq!((read.sequence, read.flags), (frame.sequence, frame.flags));
        prop_assert_eq!(read.transport + 20 + frame.options.len(), bytes.len());
        invariants::parse(&bytes);
    }

    #[test]
    fn any_flags_and_data(frame in segment()) {
        invariants::parse(&frame.build());
    }

    #[test]
    fn fragments_are_fragments(frame in syn_between((v4(), v4())), fragment in 1..0x4000u16) {
        let bytes = Frame { fragment, ..frame }.build();
        prop_assert_eq!(sekisho_native::parse(&bytes).0, Parsed::Fragment);
    }

    /// Options in any order, also such that the list is cut or a length is wrong.
    #[test]
    fn options_in_any_order(list in prop_oneof![option_list(), usual_list()], at in 0..40usize, value: u8) {
        let mut frame = Frame::syn("198.51.100.1".parse()?, "203.0.113.1".parse()?);
        frame.options.clone_from(&list);
        invariants::parse(&frame.build());
        if let Some(byte) = frame.options.get_mut(at) {
            *byte = value;
        }
        invariants::parse(&frame.build());
    }

    #[test]
    fn random_options(mut list in vec(0..11u8, 0..=40)) {
        list.truncate(list.len() / 4 * 4);
        let mut frame = Frame::syn("198.51.100.1".parse()?, "203.0.113.1".parse()?);
        frame.options = list;
        invariants::parse(&frame.build());
    }

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..120)) {
        invariants::parse(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn broken_in_every_way(frame in segment()) {
        every_way_to_break(&frame);
    }

    /// Deeper chains than are followed, and headers longer than the part of the frame that is looked at.
    #[test]
    fn long_chains_of_extension_headers(frame in syn_between((v6(), v6())), lengths in vec(0..80u8, 0..7), odd in 0..140u8) {
        let extension = |length: &u8| {
            let mut body = vec![0; usize::from(*length) * 8 + 7];
            body[0] = *length;
            (if *length == odd { 44 } else { 60 }, body)
        };
        let extensions: Vec<_> = lengths.iter().map(extension).collect();
        invariants::parse(&Frame { extensions, ..frame }.build());
    }
}

/// One frame of each kind that a reader would name, so that a wrong reason shows by itself and not only as a difference.
#[test]
fn each_reason_by_its_name() -> Result<(), Box<dyn std::error::Error>> {
    let four = Frame::syn("198.51.100.1".parse()?, "203.0.113.1".parse()?);
    let six = Frame::syn("2001:db8::1".parse()?, "2001:db8::2".parse()?);
    let reason = |bytes: &[u8]| sekisho_native::parse(bytes).0;
    let routing = |segments_left: u8| vec![(43, vec![0, 0, segments_left, 0, 0, 0, 0])];
    let tagged = |count: usize| Frame { tags: vec![(0x8100, 7); count], ..four.clone() }.build();

    assert_eq!(reason(&four.build()), Parsed::Tcp);
    assert_eq!(reason(&six.build()), Parsed::Tcp);
    assert_eq!(reason(&tagged(2)), Parsed::Tcp);
    assert_eq!(reason(&tagged(3)), Parsed::Other);
    assert_eq!(reason(&four.build()[..53]), Parsed::Malformed);
    assert_eq!(reason(&four.build()[..33]), Parsed::Other);
    assert_eq!(reason(&[]), Parsed::Other);
    assert_eq!(reason(&Frame { extensions: routing(0), ..six.clone() }.build()), Parsed::Tcp);
    assert_eq!(reason(&Frame { extensions: routing(1), ..six.clone() }.build()), Parsed::Other);
    assert_eq!(reason(&Frame { extensions: vec![(44, vec![0; 7])], ..six.clone() }.build()), Parsed::Fragment);
    assert_eq!(reason(&Frame { extensions: vec![(51, vec![0; 7])], ..six.clone() }.build()), Parsed::Other);
    assert_eq!(reason(&Frame { fragment: 0x2000, ..four.clone() }.build()), Parsed::Fragment);
    for flags in [0, flags::SYN | flags::FIN, flags::SYN | flags::RST, flags::ECE] {
        assert_eq!(reason(&Frame { flags, ..four.clone() }.build()), Parsed::Malformed, "flags {flags:#x}");
    }
    let itself = Frame { destination: four.source, destination_port: four.source_port, ..four.clone() };
    assert_eq!(reason(&itself.build()), Parsed::Malformed);
    Ok(())
}

/// A header shorter than five words, and one longer than what IP says. The acknowledgement number looks like a length and flags, so
/// that a header that begins four bytes too early would be taken for one.
#[test]
fn lengths_that_contradict_each_other() -> Result<(), Box<dyn std::error::Error>> {
    let syn = Frame::syn("198.51.100.1".parse()?, "203.0.113.1".parse()?);
    let frame = Frame { acknowledgement: 0x5002_0000, ..syn }.build();
    for (at, value) in [(14, 0x44), (17, 39), (46, 0x40), (46, 0x60)] {
        let mut bytes = frame.clone();
        bytes[at] = value;
        assert_eq!(sekisho_native::parse(&bytes).0, Parsed::Malformed, "byte {at} = {value:#x}");
    }
    Ok(())
}

/// Neighbours whose addresses differ in one bit anywhere, with the same port, are two hosts.
#[test]
fn neighbours_are_not_one_host() {
    let address = 0x2001_0db8_0000_0000_0000_0000_0000_0001u128;
    for bit in 0..128 {
        let (source, destination) = (Ipv6Addr::from(address), Ipv6Addr::from(address ^ 1 << bit));
        let frame = Frame { source_port: 179, destination_port: 179, ..Frame::syn(source.into(), destination.into()) };
        assert_eq!(sekisho_native::parse(&frame.build()).0, Parsed::Tcp, "bit {bit}");
    }
}

#[test]
fn options_that_mean_the_same_in_another_order() {
    let all = [option::mss(1400), option::sack(), option::timestamps(9, 8), option::window_scale(20)];
    let expected = TcpOptions { mss: Some(1400), window_scale: Some(14), sack: true, timestamps: Some((9, 8)) };
    for first in 0..4 {
        let order: Vec<_> = (0..4).map(|i| all[(first + i) % 4].clone()).collect();
        assert_eq!(reference::tcp_options(&option::list(&order)), expected);
    }
}
