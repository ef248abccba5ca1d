//! What of TCP is in a packet: past the link's header, VLAN tags, IPv4 or IPv6 and its extensions. Bytes are touched here only; what was
//! not captured is left out, and nothing is read outside.

use std::net::IpAddr;

/// FIN, SYN, RST, ACK of the flags (RFC 9293, section 3.1).
pub const FIN: u8 = 0x01;
/// SYN.
pub const SYN: u8 = 0x02;
/// RST.
pub const RST: u8 = 0x04;
/// ACK.
pub const ACK: u8 = 0x10;

/// The longest list of options that is written out.
pub const OPTIONS_MAX: usize = 20;

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// From where.
    pub source: IpAddr,
    /// To where.
    pub destination: IpAddr,
    /// From which port.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
    /// The hop limit with which it was seen.
    pub ttl: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags.
    pub flags: u8,
    /// Window as it stands there.
    pub window: u16,
    /// Bytes of data.
    pub data: u32,
    /// The MSS option.
    pub mss: Option<u16>,
    /// The order of the options, as [`Fingerprint`](super::Fingerprint) writes it; the rest zeros.
    pub options: [u8; OPTIONS_MAX],
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// A TCP segment.
    Tcp(Segment),
    /// Something else, or a later fragment.
    Other,
    /// It is malformed, or too little of it was captured.
    Unreadable,
}

/// Reads a packet of this link type.
pub fn read(link: u16, bytes: &[u8]) -> Read {
    match ip(link, bytes) {
        Some(Some(ip)) => network(ip).unwrap_or(Read::Unreadable),
        Some(None) => Read::Other,
        None => Read::Unreadable,
    }
}

/// The IP packet within; `Some(None)`: it is none.
fn ip(link: u16, bytes: &[u8]) -> Option<Option<&[u8]>> {
    let (kind, rest) = match link {
        // Ethernet, Linux cooked v1 and v2.
        1 => (u16_at(bytes, 12)?, 14),
        113 => (u16_at(bytes, 14)?, 16),
        276 => (u16_at(bytes, 0)?, 20),
        // Raw IP of either version; BSD loopback with four bytes before it.
        12 | 14 | 101 | 228 | 229 => return Some(Some(bytes)),
        0 | 108 => return Some(Some(bytes.get(4..)?)),
        _ => return Some(None),
    };
    let (mut kind, mut rest) = (kind, bytes.get(rest..)?);
    for _ in 0..3 {
        match kind {
            0x8100 | 0x88a8 => (kind, rest) = (u16_at(rest, 2)?, rest.get(4..)?),
            0x0800 | 0x86dd => return Some(Some(rest)),
            _ => return Some(None),
        }
    }
    Some(None)
}

fn network(bytes: &[u8]) -> Option<Read> {
    match bytes.first()? >> 4 {
        4 => ipv4(bytes),
        6 => ipv6(bytes),
        _ => None,
    }
}

fn ipv4(bytes: &[u8]) -> Option<Read> {
    let header = usize::from(bytes[0] & 0x0f) * 4;
    let total = usize::from(u16_at(bytes, 2)?);
    let (fragment, ttl, protocol) = (u16_at(bytes, 6)? & 0x1fff, *bytes.get(8)?, *bytes.get(9)?);
    if header < 20 {
        return None;
    }
    if protocol != 6 || fragment != 0 {
        return Some(Read::Other);
    }
    let source: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
    let destination: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
    // A length of zero comes from segmentation offload: then what was captured counts.
    let length = if total == 0 { bytes.len() } else { total }.checked_sub(header)?;
    tcp(bytes.get(header..)?, length, ttl, IpAddr::from(source), IpAddr::from(destination))
}

fn ipv6(bytes: &[u8]) -> Option<Read> {
    let (payload, mut next, ttl) = (usize::from(u16_at(bytes, 4)?), *bytes.get(6)?, *bytes.get(7)?);
    let source: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
    let destination: [u8; 16] = bytes.get(24..40)?.try_into().ok()?;
    let mut at = 40;
    for _ in 0..8 {
        match next {
            6 => {
                let whole = if payload == 0 { bytes.len() } else { payload + 40 };
                return tcp(bytes.get(at..)?, whole.checked_sub(at)?, ttl, source.into(), destination.into());
            }
            // Hop-by-hop, routing, destination options; a first fragment goes on, a later one does not.
            0 | 43 | 60 => {
                next = *bytes.get(at)?;
                at += (usize::from(*bytes.get(at + 1)?) + 1) * 8;
            }
            44 if u16_at(bytes, at + 2)? & 0xfff8 == 0 => {
                next = *bytes.get(at)?;
                at += 8;
            }
            _ => return Some(Read::Other),
        }
    }
    None
}

fn tcp(bytes: &[u8], length: usize, ttl: u8, source: IpAddr, destination: IpAddr) -> Option<Read> {
    let header = usize::from(bytes.get(12)? >> 4) * 4;
    if header < 20 {
        return None;
    }
    let options = bytes.get(20..header.min(bytes.len())).unwrap_or_default();
    let flags = *bytes.get(13)?;
    let (mss, options) = if flags & SYN != 0 { read_options(options) } else { (None, [0; OPTIONS_MAX]) };
    Some(Read::Tcp(Segment {
        source,
        destination,
        source_port: u16_at(bytes, 0)?,
        destination_port: u16_at(bytes, 2)?,
        ttl,
        sequence: u32_at(bytes, 4)?,
        acknowledgement: u32_at(bytes, 8)?,
        flags,
        window: u16_at(bytes, 14)?,
        data: u32::try_from(length.checked_sub(header)?).ok()?,
        mss,
        options,
    }))
}

fn read_options(mut bytes: &[u8]) -> (Option<u16>, [u8; OPTIONS_MAX]) {
    let (mut mss, mut order) = (None, [0; OPTIONS_MAX]);
    for place in &mut order {
        let Some(kind) = bytes.first() else { break };
        *place = match kind {
            0 => b'E',
            1 => b'N',
            2 => b'M',
            3 => b'W',
            4 => b'S',
            8 => b'T',
            _ => b'?',
        };
        let length = match kind {
            0 => break,
            1 => 1,
            _ => usize::from(bytes.get(1).copied().unwrap_or(0)).max(2),
        };
        if *kind == 2 {
            mss = u16_at(bytes, 2);
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
    (mss, order)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}
