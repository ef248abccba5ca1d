//! The SYN-ACK: every byte and both checksums as built independently, and never longer than it may be.

mod common;

use common::{cases, control, packet_of, segment, syn};
use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_native::frames::{checksum, octets};
use sekisho_native::reference::{self, Segment, SynAck};
use sekisho_native::types::OFFER_ALL;
use sekisho_native::{Answer, answer_len, answer_options, answer_write, cookie_keep, fold, invariants};

proptest! {
    #![proptest_config(cases(2000))]

    /// A cookie and a challenge for the same SYN, compared by `invariants::answer`.
    #[test]
    fn equals_the_reference(frame in prop_oneof![syn(), segment()], head: [u8; 10]) {
        invariants::answer(&[&head[..], &frame.build()].concat());
        invariants::cookie(&[&head[..], &frame.build()].concat());
    }

    /// Every field with any value, so that each of them is in the checksum.
    #[test]
    fn any_values(frame in syn(), options in vec(any::<u32>(), 0..=5), numbers: [u32; 2], window: u16, ttl in 1..=255u8, ecn: bool) {
        let bytes = frame.build();
        let packet = packet_of(&bytes);
        let mut option = [0; 5];
        option[..options.len()].copy_from_slice(&options);
        let answer = Answer {
            sequence: numbers[0],
            acknowledgement: numbers[1],
            window,
            flags: if ecn { 0x52 } else { 0x12 },
            words: options.len() as u8,
            option,
            ttl,
        };
        let mut written = bytes.clone();
        written.resize(answer_len(&packet, &answer), 0xaa);
        prop_assert!(answer_write(&mut written, &packet, &answer));
        let with = SynAck {
            sequence: numbers[0],
            acknowledgement: numbers[1],
            window,
            ecn,
            ttl,
            options: options.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        };
        prop_assert_eq!(written, reference::answer(&bytes, &Segment::from_packet(&packet), &with));
    }

    /// No longer than the SYN, beyond the MSS option that RFC 9293 (3.7.1) asks for where the SYN had none.
    #[test]
    fn never_longer_than_the_syn(frame in syn(), control in control(0)) {
        let bytes = frame.build();
        let packet = packet_of(&bytes);
        let options = sekisho_native::options(&bytes, &packet);
        let kept = cookie_keep(&packet, &options, OFFER_ALL);
        let made = invariants::make(&control, &packet, &kept, 9);
        let mut answer = Answer { sequence: made.sequence, flags: 0x12, ..Answer::default() };
        answer_options(&mut answer, &kept, &options, u64::MAX, 1460, 7);
        let required = if options.mss == 0 { 4 } else { 0 };
        prop_assert!(answer_len(&packet, &answer) <= bytes.len() + required);
        answer.words = 0;
        prop_assert!(answer_len(&packet, &answer) <= bytes.len());
    }

    /// A frame that was not made long enough is refused, and nothing behind its end is touched.
    #[test]
    fn short_frames_are_refused(frame in syn(), cut in 1..200usize) {
        let bytes = frame.build();
        let packet = packet_of(&bytes);
        let answer = Answer { words: 5, ..Answer::default() };
        let len = answer_len(&packet, &answer).saturating_sub(cut);
        let mut short = bytes.clone();
        short.resize(len, 0);
        prop_assert!(!answer_write(&mut short.into_boxed_slice(), &packet, &answer));
    }
}

/// Every carry counts, also the rare ones: a sum is folded as if it were taken modulo 2^16 - 1, where 0 is for a sum of nothing alone.
#[test]
fn carries_are_never_lost() {
    let edges = [0, 1, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, 0x9_ffff_fff7, 0xf_ffff_ffff, u64::MAX];
    for sum in edges.into_iter().flat_map(|edge| (0..20).map(move |less| edge.saturating_sub(less))) {
        let folded = if sum == 0 { 0 } else { (sum - 1) % 0xffff + 1 };
        assert_eq!(fold(sum), !(folded as u16), "{sum:#x}");
    }
}

/// The checksums, once more by their definition: summed over what was written they give zero.
#[test]
fn checksums_add_up() -> Result<(), Box<dyn std::error::Error>> {
    for (source, destination) in [("198.51.100.1", "203.0.113.1"), ("2001:db8::1", "2001:db8::2")] {
        let frame = sekisho_native::frames::Frame::syn(source.parse()?, destination.parse()?).build();
        let packet = packet_of(&frame);
        let answer = Answer {
            sequence: 0xffff_ffff,
            acknowledgement: 2,
            window: 65_535,
            flags: 0x12,
            ttl: 64,
            ..Answer::default()
        };
        let mut written = frame.clone();
        assert!(answer_write(&mut written, &packet, &answer));
        let (transport, tcp_len) = (usize::from(packet.transport), written.len() - usize::from(packet.transport));
        let ends = [octets(source.parse()?), octets(destination.parse()?)].concat();
        assert_eq!(checksum(&[&ends, &[0, 6, 0, tcp_len as u8], &written[transport..]]), 0);
        if packet.v6 == 0 {
            assert_eq!(checksum(&[&written[14..34]]), 0);
        }
    }
    Ok(())
}
