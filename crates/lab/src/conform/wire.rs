//! Segments as bytes on the wire, there and back, with both checksums looked at.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::script::Extension;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
pub(super) const URG: u8 = 0x20;
pub(super) const ECE: u8 = 0x40;
pub(super) const CWR: u8 = 0x80;

const ETHERNET: usize = 14;
const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// The hop limit, or TTL, of what is sent.
const HOPS: u8 = 64;

/// The options that a segment carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) mss: Option<u16>,
    pub(super) scale: Option<u8>,
    pub(super) sack: bool,
    /// TSval and TSecr.
    pub(super) timestamps: Option<(u32, u32)>,
    /// The edges of what was received out of order.
    pub(super) blocks: Vec<(u32, u32)>,
    /// The kinds that are none of these.
    pub(super) others: Vec<u8>,
    /// How long the options are, with padding.
    pub(super) size: usize,
}

/// A TCP segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) options: Options,
    pub(super) data: Vec<u8>,
    /// Whether both checksums are right; a segment to send with a wrong one has it wrong on purpose.
    pub(super) sound: bool,
}

impl Segment {
    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// What it takes up in the sequence space.
    pub(super) fn length(&self) -> u32 {
        self.data.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// The frame to send, with `raw` in place of its options if there are any.
    pub(super) fn frame(&self, raw: &[u8], macs: [[u8; 6]; 2], extension: Extension) -> Vec<u8> {
        let tcp = self.tcp(raw);
        let mut frame = [&macs[0][..], &macs[1], if self.from.is_ipv4() { &[8, 0] } else { &[0x86, 0xdd] }].concat();
        frame.extend(packet(self.from.ip(), self.to.ip(), TCP, &tcp, extension));
        frame
    }

    fn tcp(&self, raw: &[u8]) -> Vec<u8> {
        let mut options = if raw.is_empty() { self.options.bytes() } else { raw.to_vec() };
        options.resize(options.len().next_multiple_of(4), 0);
        let mut tcp = [self.from.port().to_be_bytes(), self.to.port().to_be_bytes()].concat();
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([(((20 + options.len()) / 4) << 4) as u8, self.flags]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        tcp.extend(&self.data);
        let sum = sum_with_pseudo(self.from.ip(), self.to.ip(), TCP, &tcp) ^ if self.sound { 0 } else { 0x5555 };
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }

    /// Reads a frame; `None` for what is no whole TCP segment. Extension headers are not read: no server sends them.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let ip = frame.get(ETHERNET..)?;
        let (from, to, header, total, ip_sound) = match (frame.get(12..14)?, ip.first()? >> 4) {
            ([8, 0], 4) if *ip.get(9)? == TCP => {
                let header = usize::from(ip[0] & 15) * 4;
                let sound = checksum(ip.get(..header)?) == 0;
                (address4(ip.get(12..16)?)?, address4(ip.get(16..20)?)?, header, usize::from(word(ip, 2)?), sound)
            }
            ([0x86, 0xdd], 6) if *ip.get(6)? == TCP => {
                (address6(ip.get(8..24)?)?, address6(ip.get(24..40)?)?, 40, 40 + usize::from(word(ip, 4)?), true)
            }
            _ => return None,
        };
        let tcp = ip.get(header..total)?;
        let offset = usize::from(*tcp.get(12)? >> 4) * 4;
        Some(Self {
            from: SocketAddr::new(from, word(tcp, 0)?),
            to: SocketAddr::new(to, word(tcp, 2)?),
            seq: long(tcp, 4)?,
            ack: long(tcp, 8)?,
            flags: *tcp.get(13)?,
            window: word(tcp, 14)?,
            options: Options::parse(tcp.get(20..offset)?),
            data: tcp.get(offset..)?.to_vec(),
            sound: ip_sound && sum_with_pseudo(from, to, TCP, tcp) == 0,
        })
    }
}

impl Options {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(mss) = self.mss {
            bytes.extend([2, 4]);
            bytes.extend(mss.to_be_bytes());
        }
        if self.sack {
            bytes.extend([1, 1, 4, 2]);
        }
        if let Some((value, echo)) = self.timestamps {
            bytes.extend([1, 1, 8, 10]);
            bytes.extend(value.to_be_bytes());
            bytes.extend(echo.to_be_bytes());
        }
        if let Some(scale) = self.scale {
            bytes.extend([1, 3, 3, scale]);
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut options = Self { size: bytes.len(), ..Self::default() };
        let mut rest = bytes;
        while let [kind, after @ ..] = rest {
            match kind {
                0 => break,
                1 => rest = after,
                _ => {
                    let length = usize::from(*after.first().unwrap_or(&0));
                    let Some(value) = rest.get(2..length) else { break };
                    options.take(*kind, value);
                    rest = &rest[length..];
                }
            }
        }
        options
    }

    fn take(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (2, [a, b]) => self.mss = Some(u16::from_be_bytes([*a, *b])),
            (3, [scale]) => self.scale = Some(*scale),
            (4, []) => self.sack = true,
            (5, edges) => {
                let pair = |eight: &[u8]| Some((long(eight, 0)?, long(eight, 4)?));
                self.blocks = edges.chunks_exact(8).filter_map(pair).collect();
            }
            (8, eight) if eight.len() == 8 => self.timestamps = long(eight, 0).zip(long(eight, 4)),
            _ => self.others.push(kind),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (ACK, "ACK"), (URG, "URG"), (ECE, "ECE"), (CWR, "CWR")];
        let flags: Vec<_> = names.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| *name).collect();
        write!(f, "{}", if flags.is_empty() { "no flags".into() } else { flags.join(",") })?;
        write!(f, " win={}", self.window)?;
        if !self.data.is_empty() {
            write!(f, " {} bytes", self.data.len())?;
        }
        let options = &self.options;
        if let Some(mss) = options.mss {
            write!(f, " mss={mss}")?;
        }
        if let Some(scale) = options.scale {
            write!(f, " wscale={scale}")?;
        }
        if options.sack {
            write!(f, " sack")?;
        }
        if let Some((value, echo)) = options.timestamps {
            write!(f, " ts={value}/{echo}")?;
        }
        if !options.blocks.is_empty() {
            write!(f, " sack-blocks={}", options.blocks.len())?;
        }
        if !self.sound { write!(f, " bad-checksum") } else { Ok(()) }
    }
}

/// A router's word that a packet did not fit (RFC 792 with RFC 1191; RFC 4443, 3.2), from `router` to the packet's sender.
pub(super) fn too_big(router: IpAddr, sent: &Segment, mtu: u16, macs: [[u8; 6]; 2]) -> Vec<u8> {
    let quoted = packet(sent.from.ip(), sent.to.ip(), TCP, &sent.tcp(&[]), Extension::None);
    let quoted = &quoted[..quoted.len().min(576 - 48)];
    let [high, low] = mtu.to_be_bytes();
    let (protocol, kind, ether) =
        if router.is_ipv4() { (ICMP, [3, 4], [8, 0]) } else { (ICMPV6, [2, 0], [0x86, 0xdd]) };
    let mut icmp = [&kind[..], &[0, 0, 0, 0, high, low], quoted].concat();
    let sum = if router.is_ipv4() { checksum(&icmp) } else { sum_with_pseudo(router, sent.from.ip(), protocol, &icmp) };
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [&macs[0][..], &macs[1], &ether].concat();
    frame.extend(packet(router, sent.from.ip(), protocol, &icmp, Extension::None));
    frame
}

/// IP's header, what stands between it and the payload, and the payload.
fn packet(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8], extension: Extension) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let options: &[u8] = if extension == Extension::Ipv4Options { &[1, 1, 1, 0] } else { &[] };
            let header_len = 20 + options.len();
            let [high, low] = ((header_len + payload.len()) as u16).to_be_bytes();
            let mut header = vec![0x40 | (header_len / 4) as u8, 0, high, low, 0, 0, 0x40, 0, HOPS, protocol, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            header.extend(options);
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            [&header, payload].concat()
        }
        (from, to) => {
            let (first, between) = extensions(extension, protocol);
            let [high, low] = ((between.len() + payload.len()) as u16).to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, high, low, first, HOPS];
            header.extend(octets(from));
            header.extend(octets(to));
            [&header, &between[..], payload].concat()
        }
    }
}

/// The extension headers of IPv6, each with the number of what follows it, and the number of the first (RFC 8200, 4).
fn extensions(extension: Extension, protocol: u8) -> (u8, Vec<u8>) {
    // Next header, length in eights beyond the first, and one option PadN that fills the six bytes.
    let padded = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    match extension {
        Extension::HopByHop => (0, padded(protocol).into()),
        Extension::Destination => (60, padded(protocol).into()),
        Extension::Both => (0, [padded(60), padded(protocol)].concat()),
        Extension::AtomicFragment => (44, vec![protocol, 0, 0, 0, 0x5e, 0xc1, 0x5e, 0xc1]),
        Extension::None | Extension::Ipv4Options => (protocol, Vec::new()),
    }
}

fn sum_with_pseudo(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let mut covered = [octets(from), octets(to)].concat();
    covered.extend((payload.len() as u32).to_be_bytes());
    covered.extend([0, 0, 0, protocol]);
    covered.extend(payload);
    checksum(&covered)
}

/// RFC 1071. Over bytes that hold their own checksum it is 0.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().into(),
        IpAddr::V6(v6) => v6.octets().into(),
    }
}

fn address4(bytes: &[u8]) -> Option<IpAddr> {
    Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?))
}

fn address6(bytes: &[u8]) -> Option<IpAddr> {
    Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(from: &str, to: &str) -> Segment {
        let options =
            Options { mss: Some(1460), scale: Some(7), sack: true, timestamps: Some((5, 6)), ..Options::default() };
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        Segment { from, to, seq: 1, ack: 2, flags: SYN | ACK, window: 3, options, data: b"odd".into(), sound: true }
    }

    #[test]
    fn there_and_back() {
        for (from, to) in [("198.51.100.10:80", "203.0.113.200:999"), ("[2001:db8::1]:80", "[2001:db8::2]:9")] {
            let sent = segment(from, to);
            let frame = sent.frame(&[], [[2; 6], [4; 6]], Extension::None);
            let mut read = Segment::parse(&frame).unwrap();
            assert_eq!(read.options.size, 24);
            read.options.size = 0;
            assert_eq!(read, sent);
            let wrong = Segment { sound: false, ..sent }.frame(&[], [[2; 6], [4; 6]], Extension::None);
            assert!(!Segment::parse(&wrong).unwrap().sound);
        }
    }

    #[test]
    fn options_end_where_they_say() {
        let options = Options::parse(&[1, 3, 3, 9, 254, 4, 1, 2, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 2]);
        assert_eq!((options.scale, &options.others[..], &options.blocks[..]), (Some(9), &[254][..], &[(1, 2)][..]));
        assert_eq!(Options::parse(&[2, 4, 5]).mss, None);
    }
}
