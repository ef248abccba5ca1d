//! The constants of a shot: the headers of every form of its frames, with both checksums summed up as far as they are constant.

use std::net::IpAddr;

use super::forms::{ACK, CARPET_PORT_BITS, FORMS_MAX, Form, Piece, carpet_bits};
use super::prefix::words_of;
use super::{Shot, Sources};
use crate::bpf::flood::types::{form as RawForm, shot as RawShot};
use crate::topology::MAC_ROUTER;

const ETHERNET_SIZE: usize = 14;
const TCP_SIZE: usize = 20;
/// The most options of a form.
const OPTIONS_MAX: usize = 24;
/// Each fragment's own header in IPv6 (RFC 8200, section 4.5).
const FRAGMENT_SIZE: usize = 8;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_FRAGMENT: u8 = 44;

/// What the program is told.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) shot: RawShot,
    pub(super) forms: Vec<RawForm>,
}

impl Shape {
    /// The size of the frame that the program is given, in bytes.
    pub(super) fn room(&self) -> usize {
        self.shot.room as usize
    }
}

/// The program's constants for a shot.
pub(super) fn of(shot: &Shot, next_hop: [u8; 6]) -> Shape {
    let v6 = shot.target.is_ipv6();
    let forms: Vec<RawForm> = shot.kind.forms().iter().take(FORMS_MAX).map(|form| raw(form, shot)).collect();
    let mut common = RawShot {
        v6: v6.into(),
        twice: shot.each_twice.into(),
        other_port: shot.other_port.map_or(0, |port| u32::from(port.to_be())),
        forms: forms.len() as u32,
        room: match forms.as_slice() {
            [only] => only.size,
            _ => (ETHERNET_SIZE + ip_size(v6) + TCP_SIZE + OPTIONS_MAX) as u32,
        },
        ..RawShot::default()
    };
    for (word, pair) in common.ethernet.iter_mut().zip(ethernet(next_hop, v6).chunks(2)) {
        *word = u16::from_ne_bytes([pair[0], pair[1]]);
    }
    match &shot.sources {
        Sources::Prefix(prefix) => {
            common.source_base = prefix.words();
            common.source_random = prefix.mask_words().map(|word| !word);
        }
        Sources::List(addresses) => common.sources = addresses.len() as u32,
    }
    Shape { shot: common, forms }
}

fn raw(form: &Form, shot: &Shot) -> RawForm {
    let v6 = shot.target.is_ipv6();
    let payload = payload(form, shot);
    let ip = ip_header(form, shot.target.ip(), payload.len());
    let opaque = v6 && is_fragment(form);
    let acknowledges = if form.flags & ACK != 0 { u32::MAX } else { 0 };
    let carpet = words_of(carpet_bits(shot.target.ip()));
    let mut raw = RawForm {
        ip_sum: if v6 { 0 } else { sum(&ip) },
        tcp_sum: sum(&pseudo_header(shot.target.ip(), payload.len())) + sum(&payload),
        size: (ETHERNET_SIZE + ip_size(v6) + payload.len()) as u32,
        options_size: payload.len().saturating_sub(TCP_SIZE) as u32,
        stamps: if opaque { 0 } else { stamps(form.options) },
        echo: acknowledges,
        acknowledge: acknowledges,
        carpet_address: if form.carpet { carpet[if v6 { 3 } else { 0 }] } else { 0 },
        carpet_port: if form.carpet { u32::from(CARPET_PORT_BITS.to_be()) } else { 0 },
        opaque: opaque.into(),
        ..RawForm::default()
    };
    put_words(&mut raw.ip, &ip);
    let (tcp, options) = payload.split_at(payload.len().min(TCP_SIZE));
    put_words(&mut raw.tcp, tcp);
    put_words(&mut raw.options, options);
    raw
}

fn is_fragment(form: &Form) -> bool {
    matches!(form.piece, Piece::First | Piece::Last)
}

/// Fills words so that they lie in memory as the bytes do.
fn put_words(words: &mut [u32], bytes: &[u8]) {
    for (word, four) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_ne_bytes([four[0], four[1], four[2], four[3]]);
    }
}

fn ethernet(next_hop: [u8; 6], v6: bool) -> [u8; ETHERNET_SIZE] {
    let mut header = [0; ETHERNET_SIZE];
    header[..6].copy_from_slice(&next_hop);
    // From the router itself, so that it takes in what is sent back to where a frame came from.
    header[6..12].copy_from_slice(&MAC_ROUTER);
    header[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
    header
}

fn ip_size(v6: bool) -> usize {
    if v6 { 40 } else { 20 }
}

fn ip_header(form: &Form, target: IpAddr, payload: usize) -> Vec<u8> {
    let size = |extra: usize| ((payload + extra) as u16).to_be_bytes();
    match target {
        IpAddr::V4(address) => {
            let [high, low] = size(20);
            let [flags, offset] = match form.piece {
                Piece::First => [0x20, 0],
                Piece::Last => [0, 1],
                _ if form.unbroken => [0x40, 0],
                _ => [0, 0],
            };
            let mut header = vec![0x45, 0, high, low, 0, 0, flags, offset, form.hops, PROTOCOL_TCP, 0, 0, 0, 0, 0, 0];
            header.extend(address.octets());
            header
        }
        IpAddr::V6(address) => {
            let [high, low] = size(0);
            let next = if is_fragment(form) { PROTOCOL_FRAGMENT } else { PROTOCOL_TCP };
            let mut header = vec![0x60, 0, 0, 0, high, low, next, form.hops];
            header.extend([0; 16]);
            header.extend(address.octets());
            header
        }
    }
}

/// What stands behind the IP header.
///
/// IPv4's fragments are tiny, the first 8 bytes of TCP's header and 8 that would follow. IPv6 wants the whole header in the first one
/// (RFC 7112); without it the kernel does not even begin to wait for the rest.
fn payload(form: &Form, shot: &Shot) -> Vec<u8> {
    let v6 = shot.target.is_ipv6();
    let segment = segment(form, shot);
    match form.piece {
        Piece::Whole => segment,
        Piece::First if v6 => [&fragment_header(0, true)[..], &segment, &[0; 4]].concat(),
        Piece::Last if v6 => [&fragment_header(24, false)[..], &segment[..8]].concat(),
        Piece::First | Piece::Last | Piece::CutShort => segment[..8].into(),
    }
}

/// Its identification is zero.
fn fragment_header(offset: u16, more: bool) -> [u8; FRAGMENT_SIZE] {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    [PROTOCOL_TCP, 0, high, low, 0, 0, 0, 0]
}

/// TCP's header with its options.
fn segment(form: &Form, shot: &Shot) -> Vec<u8> {
    let mut bytes = vec![0; TCP_SIZE];
    bytes[2..4].copy_from_slice(&shot.target.port().to_be_bytes());
    bytes[12] = form.claimed_words.unwrap_or(((TCP_SIZE + form.options.len()) / 4) as u8) << 4;
    bytes[13] = form.flags;
    bytes[14..16].copy_from_slice(&form.window.to_be_bytes());
    bytes.extend(form.options);
    if shot.target.is_ipv6() && form.options.first() == Some(&2) {
        // The MSS: IPv6's header is 20 bytes longer.
        bytes[TCP_SIZE + 3] -= 20;
    }
    bytes
}

/// The word of the options where the timestamps' values begin; 0: there are none.
fn stamps(options: &[u8]) -> u32 {
    options.windows(2).position(|two| two == [8, 10]).map_or(0, |at| (at + 2) as u32 / 4)
}

/// What TCP's checksum covers besides the segment (RFC 9293, section 3.1; RFC 8200, section 8.1), without the source.
fn pseudo_header(target: IpAddr, segment: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = words_of(target).iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend((segment as u32).to_be_bytes());
    bytes.extend([0, 0, 0, PROTOCOL_TCP]);
    bytes
}

/// The sum of 16-bit words as they lie in memory.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::Kind;
    use super::*;

    const KINDS: [Kind; 14] = [
        Kind::Syn,
        Kind::WindowsSyn,
        Kind::AppleSyn,
        Kind::BareSyn,
        Kind::AnySyn,
        Kind::Ack,
        Kind::AckTimestamps,
        Kind::Rst,
        Kind::SynAck,
        Kind::Fin,
        Kind::Fragments,
        Kind::Malformed,
        Kind::Carpet,
        Kind::Mixed,
    ];

    fn shape(kind: Kind, target: &str) -> Shape {
        let target: SocketAddr = target.parse().unwrap();
        of(&Shot::new(kind, target), [2, 0, 0, 0, 0, 9])
    }

    #[test]
    fn every_form_fits_the_frame_that_is_given() {
        for kind in KINDS {
            for target in ["198.51.100.10:80", "[2001:db8:51::10]:80"] {
                let shape = shape(kind, target);
                assert!((1..=FORMS_MAX).contains(&shape.forms.len()), "{kind:?}");
                assert!(shape.forms.iter().all(|form| form.size as usize <= shape.room()), "{kind:?}");
                assert!(shape.forms.iter().all(|form| form.options_size as usize <= OPTIONS_MAX), "{kind:?}");
            }
        }
    }

    #[test]
    fn timestamps_are_found_where_there_are_some() {
        let stamps = |kind| shape(kind, "198.51.100.10:80").forms[0].stamps;
        let found = [Kind::Syn, Kind::WindowsSyn, Kind::AppleSyn, Kind::BareSyn, Kind::AckTimestamps].map(stamps);
        assert_eq!(found, [2, 0, 3, 0, 1]);
    }
}
