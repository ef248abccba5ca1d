//! From bytes to values, by slices: a read outside the frame is a `None`, never a fault.

use crate::frames::flags;
use crate::types::{Packet, Parsed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A TCP segment, as far as the datapath looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it.
    pub source: IpAddr,
    /// Whom to.
    pub destination: IpAddr,
    /// The source port.
    pub source_port: u16,
    /// The destination port.
    pub destination_port: u16,
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledgement number.
    pub acknowledgement: u32,
    /// The TCP flags.
    pub flags: u8,
    /// Where the IP header starts in the frame.
    pub network: usize,
    /// Where the TCP header starts in the frame.
    pub transport: usize,
    /// How many bytes of options the TCP header has.
    pub options_len: usize,
}

impl Segment {
    /// From the C code's form.
    #[must_use]
    pub fn from_packet(packet: &Packet) -> Self {
        Self {
            source: address(packet.source, packet.v6 != 0),
            destination: address(packet.destination, packet.v6 != 0),
            source_port: u16::from_be(packet.source_port),
            destination_port: u16::from_be(packet.destination_port),
            sequence: packet.sequence,
            acknowledgement: packet.acknowledgement,
            flags: packet.flags,
            network: packet.network.into(),
            transport: packet.transport.into(),
            options_len: packet.options_len.into(),
        }
    }

    /// Into the C code's form.
    #[must_use]
    pub fn to_packet(&self) -> Packet {
        Packet {
            source: words(self.source),
            destination: words(self.destination),
            source_port: self.source_port.to_be(),
            destination_port: self.destination_port.to_be(),
            sequence: self.sequence,
            acknowledgement: self.acknowledgement,
            network: self.network as u16,
            transport: self.transport as u16,
            options_len: self.options_len as u8,
            flags: self.flags,
            v6: self.source.is_ipv6().into(),
        }
    }
}

/// An address out of words in network order.
fn address(words: [u32; 4], v6: bool) -> IpAddr {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    if v6 {
        let mut octets = [0; 16];
        octets.copy_from_slice(&bytes);
        Ipv6Addr::from(octets).into()
    } else {
        Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()
    }
}

fn words(address: IpAddr) -> [u32; 4] {
    let mut bytes = crate::frames::octets(address);
    bytes.resize(16, 0);
    core::array::from_fn(|i| u32::from_ne_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The frame as a segment, or what it is instead.
///
/// # Errors
///
/// [`Parsed::Other`], [`Parsed::Fragment`] or [`Parsed::Malformed`].
pub fn parse(frame: &[u8]) -> Result<Segment, Parsed> {
    let (ethertype, network) = ethernet(frame).ok_or(Parsed::Other)?;
    let ip = match ethertype {
        0x0800 => ipv4(frame, network)?,
        0x86dd => ipv6(frame, network)?,
        _ => return Err(Parsed::Other),
    };
    tcp(frame, network, &ip).filter(is_plausible).ok_or(Parsed::Malformed)
}

/// The EtherType behind at most two VLAN tags, and where what it names begins.
fn ethernet(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    for _ in 0..2 {
        if !matches!(be16(frame, at)?, 0x8100 | 0x88a8) {
            break;
        }
        at += 4;
    }
    Some((be16(frame, at)?, at + 2))
}

/// What an IP header says about the TCP segment in it.
struct Ip {
    source: IpAddr,
    destination: IpAddr,
    transport: usize,
    tcp_len: usize,
}

/// RFC 791, 3.1.
fn ipv4(frame: &[u8], network: usize) -> Result<Ip, Parsed> {
    let header = frame.get(network..network + 20).ok_or(Parsed::Other)?;
    if header[0] >> 4 != 4 || header[9] != 6 {
        return Err(Parsed::Other);
    }
    let more_or_offset = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    if more_or_offset != 0 {
        return Err(Parsed::Fragment);
    }
    let header_len = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header_len < 20 || total < header_len + 20 {
        return Err(Parsed::Malformed);
    }
    Ok(Ip {
        source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
        destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        transport: network + header_len,
        tcp_len: total - header_len,
    })
}

/// RFC 8200, 3.
fn ipv6(frame: &[u8], network: usize) -> Result<Ip, Parsed> {
    let header = frame.get(network..network + 40).ok_or(Parsed::Other)?;
    if header[0] >> 4 != 6 {
        return Err(Parsed::Other);
    }
    let transport = behind_extensions(frame, network + 40, header[6])?;
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let extensions = transport - network - 40;
    if payload < extensions + 20 {
        return Err(Parsed::Malformed);
    }
    let octets = |at: usize| -> [u8; 16] { core::array::from_fn(|i| header[at + i]) };
    Ok(Ip {
        source: Ipv6Addr::from(octets(8)).into(),
        destination: Ipv6Addr::from(octets(24)).into(),
        transport,
        tcp_len: payload - extensions,
    })
}

/// Where TCP begins behind a chain of at most four extension headers (RFC 8200, 4), within the frame's first 1024 bytes.
fn behind_extensions(frame: &[u8], mut at: usize, mut next: u8) -> Result<usize, Parsed> {
    for _ in 0..4 {
        match next {
            6 => break,
            44 => return Err(Parsed::Fragment),
            0 | 43 | 60 if at < 1024 => {}
            _ => return Err(Parsed::Other),
        }
        let header = frame.get(at..at + 8).ok_or(Parsed::Other)?;
        let segments_left = header[3];
        if next == 43 && segments_left != 0 {
            return Err(Parsed::Other);
        }
        next = header[0];
        at += (usize::from(header[1]) + 1) * 8;
    }
    if next == 6 && at < 1024 { Ok(at) } else { Err(Parsed::Other) }
}

/// RFC 9293, 3.1; `None` where lengths contradict each other.
fn tcp(frame: &[u8], network: usize, ip: &Ip) -> Option<Segment> {
    let header = frame.get(ip.transport..ip.transport + 20)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < 20 || header_len > ip.tcp_len {
        return None;
    }
    Some(Segment {
        source: ip.source,
        destination: ip.destination,
        source_port: be16(header, 0)?,
        destination_port: be16(header, 2)?,
        sequence: be32(header, 4)?,
        acknowledgement: be32(header, 8)?,
        flags: header[13],
        network,
        transport: ip.transport,
        options_len: header_len - 20,
    })
}

/// Flags and ends that a TCP sends.
fn is_plausible(segment: &Segment) -> bool {
    let set = |flag: u8| segment.flags & flag != 0;
    let no_flags = segment.flags & 0x3f == 0;
    let contradiction = set(flags::SYN) && (set(flags::FIN) || set(flags::RST));
    let to_itself = segment.source == segment.destination && segment.source_port == segment.destination_port;
    !no_flags && !contradiction && !to_itself
}

/// The options that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum segment size, bytes.
    pub mss: Option<u16>,
    /// Window scale, at most 14 (RFC 7323, 2.3).
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack: bool,
    /// `TSval` and `TSecr`.
    pub timestamps: Option<(u32, u32)>,
}

impl TcpOptions {
    /// From the C code's form, where an MSS of zero is none.
    #[must_use]
    pub fn from_options(options: &crate::types::Options) -> Self {
        Self {
            mss: (options.mss != 0).then_some(options.mss),
            window_scale: (options.window_scale != crate::types::NO_WINDOW_SCALE).then_some(options.window_scale),
            sack: options.sack != 0,
            timestamps: (options.timestamps != 0).then_some((options.timestamp, options.timestamp_echo)),
        }
    }
}

/// Reads a list of options; what stands before a wrong length counts.
#[must_use]
pub fn tcp_options(bytes: &[u8]) -> TcpOptions {
    let mut found = TcpOptions::default();
    let mut rest = bytes;
    while let Some((option, behind)) = split_option(rest) {
        match *option {
            [2, 4, high, low] => found.mss = Some(u16::from_be_bytes([high, low])).filter(|mss| *mss != 0),
            [3, 3, shift] => found.window_scale = Some(shift.min(14)),
            [4, 2] => found.sack = true,
            [8, 10, a, b, c, d, e, f, g, h] => {
                found.timestamps = Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])));
            }
            _ => {}
        }
        rest = behind;
    }
    found
}

/// The first option and what is behind it; `None` at the end, or where a length is wrong.
fn split_option(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = match *bytes.first()? {
        0 => return None,
        1 => 1,
        _ => usize::from(*bytes.get(1)?).max(1),
    };
    if bytes[0] != 1 && len < 2 {
        return None;
    }
    bytes.split_at_checked(len)
}
