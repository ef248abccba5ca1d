//! What all frames of a shot have in common: the headers, with both checksums summed up as far as they are constant.

use std::net::{IpAddr, SocketAddr};

use super::gun::skeleton::types::shape as RawShape;
use super::prefix::words_of;
use super::{Kind, Shot, Sources};
use crate::topology::MAC_ROUTER;

const ETHERNET_SIZE: usize = 14;
const TCP_SIZE: usize = 20;
const PROTOCOL_TCP: u8 = 6;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The options of a Linux SYN over Ethernet: MSS 1460 (1440 with IPv6), SACK permitted, timestamps, no-operation, window scale 7.
const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7];
/// No-operation twice and timestamps, as on every later segment (RFC 7323, appendix A).
const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0];

impl Kind {
    fn flags(self) -> u8 {
        match self {
            Self::Syn | Self::BareSyn => SYN,
            Self::Ack | Self::AckTimestamps => ACK,
            Self::Rst => RST,
            Self::SynAck => SYN | ACK,
            Self::Fin => FIN | ACK,
        }
    }

    fn options(self, v6: bool) -> Vec<u8> {
        match self {
            Self::Syn => {
                let mut options = SYN_OPTIONS;
                if v6 {
                    options[3] = 160;
                }
                options.into()
            }
            Self::AckTimestamps => TIMESTAMPS.into(),
            _ => Vec::new(),
        }
    }
}

/// The program's constants for a shot.
pub(super) fn of(shot: &Shot, next_hop: [u8; 6]) -> RawShape {
    let v6 = shot.target.is_ipv6();
    let options = shot.kind.options(v6);
    let tcp = tcp_header(shot, options.len());
    let ip = ip_header(shot.target, TCP_SIZE + options.len());
    let mut shape = RawShape {
        ip_sum: if v6 { 0 } else { sum(&ip) },
        tcp_sum: sum(&pseudo_header(shot.target, TCP_SIZE + options.len())) + sum(&tcp) + sum(&options),
        options_size: options.len() as u32,
        echo: (shot.kind == Kind::AckTimestamps).into(),
        acknowledge: (shot.kind.flags() & ACK != 0).into(),
        v6: v6.into(),
        twice: shot.each_twice.into(),
        other_port: shot.other_port.map_or(0, |port| u32::from(port.to_be())),
        ..RawShape::default()
    };
    put_words(&mut shape.ip, &ip);
    put_words(&mut shape.tcp, &tcp);
    put_words(&mut shape.options, &options);
    for (word, pair) in shape.ethernet.iter_mut().zip(ethernet(next_hop, v6).chunks(2)) {
        *word = u16::from_ne_bytes([pair[0], pair[1]]);
    }
    match &shot.sources {
        Sources::Prefix(prefix) => {
            shape.source_base = prefix.words();
            shape.source_random = prefix.mask_words().map(|word| !word);
        }
        Sources::List(addresses) => shape.sources = addresses.len() as u32,
    }
    shape
}

/// The size of a frame of the shot, in bytes.
pub(super) fn frame_size(shot: &Shot) -> usize {
    let v6 = shot.target.is_ipv6();
    ETHERNET_SIZE + if v6 { 40 } else { 20 } + TCP_SIZE + shot.kind.options(v6).len()
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

fn ip_header(target: SocketAddr, payload: usize) -> Vec<u8> {
    let size = |extra: usize| ((payload + extra) as u16).to_be_bytes();
    match target.ip() {
        IpAddr::V4(address) => {
            let [high, low] = size(20);
            let mut header = vec![0x45, 0, high, low, 0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0, 0, 0, 0, 0];
            header.extend(address.octets());
            header
        }
        IpAddr::V6(address) => {
            let [high, low] = size(0);
            let mut header = vec![0x60, 0, 0, 0, high, low, PROTOCOL_TCP, 64];
            header.extend([0; 16]);
            header.extend(address.octets());
            header
        }
    }
}

/// What TCP's checksum covers besides the segment (RFC 9293, section 3.1; RFC 8200, section 8.1), without the source.
fn pseudo_header(target: SocketAddr, segment: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = words_of(target.ip()).iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend((segment as u32).to_be_bytes());
    bytes.extend([0, 0, 0, PROTOCOL_TCP]);
    bytes
}

fn tcp_header(shot: &Shot, options: usize) -> [u8; TCP_SIZE] {
    let mut header = [0; TCP_SIZE];
    header[2..4].copy_from_slice(&shot.target.port().to_be_bytes());
    header[12] = (((TCP_SIZE + options) / 4) << 4) as u8;
    header[13] = shot.kind.flags();
    header[14..16].copy_from_slice(&64240u16.to_be_bytes());
    header
}

/// The sum of 16-bit words as they lie in memory.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum()
}
