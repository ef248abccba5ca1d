//! Builds Ethernet frames, header by header and with correct checksums, from values: what the properties start from, and what
//! answers are compared with byte for byte.
//!
//! Every field that a test may want to be wrong can be set; [`Frame::build`] fills in what follows from the others.

use std::net::IpAddr;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// TCP flag bits (RFC 9293, 3.1).
pub mod flags {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// ECN echo.
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced.
    pub const CWR: u8 = 0x80;
}

/// One frame of TCP over IP over Ethernet, as values in host order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Destination and source hardware address.
    pub hardware: [u8; 12],
    /// VLAN tags: EtherType and tag control information, outermost first.
    pub tags: Vec<(u16, u16)>,
    /// The source address, of the same family as the destination.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The IPv4 options, a multiple of four bytes.
    pub ip_options: Vec<u8>,
    /// The IPv4 fragment word: flags and offset.
    pub fragment: u16,
    /// The IPv6 extension headers: each one's number, and its bytes from the second on (the first is the next header's number).
    pub extensions: Vec<(u8, Vec<u8>)>,
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
    /// The window.
    pub window: u16,
    /// The TCP options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// What follows the TCP header.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A SYN between two addresses, without options.
    ///
    /// # Panics
    ///
    /// If one address is IPv4 and the other IPv6.
    #[must_use]
    pub fn syn(source: IpAddr, destination: IpAddr) -> Self {
        assert_eq!(source.is_ipv6(), destination.is_ipv6(), "two families in one packet");
        Self {
            hardware: [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
            tags: Vec::new(),
            source,
            destination,
            ttl: 64,
            ip_options: Vec::new(),
            fragment: if source.is_ipv6() { 0 } else { 0x4000 },
            extensions: Vec::new(),
            source_port: 40_000,
            destination_port: 80,
            sequence: 1,
            acknowledgement: 0,
            flags: flags::SYN,
            window: 64_240,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// The bytes on the wire.
    ///
    /// # Panics
    ///
    /// If the two addresses are of two families.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let mut bytes = self.ethernet();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend(self.ipv4(source.octets(), destination.octets(), tcp.len()));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                bytes.extend(self.ipv6(source.octets(), destination.octets(), tcp.len()));
            }
            _ => unreachable!("two families in one packet"),
        }
        bytes.extend(tcp);
        bytes
    }

    fn ethernet(&self) -> Vec<u8> {
        let mut bytes = self.hardware.to_vec();
        for (ethertype, information) in &self.tags {
            bytes.extend(ethertype.to_be_bytes());
            bytes.extend(information.to_be_bytes());
        }
        let ethertype = if self.source.is_ipv6() { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        bytes.extend(ethertype.to_be_bytes());
        bytes
    }

    /// RFC 791, 3.1.
    fn ipv4(&self, source: [u8; 4], destination: [u8; 4], tcp_len: usize) -> Vec<u8> {
        let header_len = 20 + self.ip_options.len();
        let mut bytes = vec![0x40 | (header_len / 4) as u8, 0];
        bytes.extend(((header_len + tcp_len) as u16).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.ttl, 6, 0, 0]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(&self.ip_options);
        let sum = checksum(&[&bytes]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// RFC 8200, 3 and 4.
    fn ipv6(&self, source: [u8; 16], destination: [u8; 16], tcp_len: usize) -> Vec<u8> {
        let numbers: Vec<u8> = self.extensions.iter().map(|(number, _)| *number).chain([6]).collect();
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .zip(&numbers[1..])
            .flat_map(|((_, body), next)| [*next].into_iter().chain(body.iter().copied()))
            .collect();
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((extensions.len() + tcp_len) as u16).to_be_bytes());
        bytes.extend([numbers[0], self.ttl]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(extensions);
        bytes
    }

    /// RFC 9293, 3.1.
    fn tcp(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgement.to_be_bytes());
        bytes.extend([(((20 + self.options.len()) / 4) << 4) as u8, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.options);
        bytes.extend(&self.payload);
        let sum = checksum(&[&self.pseudo_header(bytes.len()), &bytes]);
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn pseudo_header(&self, tcp_len: usize) -> Vec<u8> {
        let mut bytes = octets(self.source);
        bytes.extend(octets(self.destination));
        bytes.extend((tcp_len as u32).to_be_bytes());
        bytes.extend([0, 0, 0, 6]);
        bytes
    }
}

/// An address's bytes, four or sixteen.
#[must_use]
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) over several pieces, each but the last of even length.
#[must_use]
pub fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// TCP options as bytes, padded with NOPs in front to whole words where a layout wants it, and with zeros behind.
pub mod option {
    /// Maximum segment size (RFC 9293, 3.7.1).
    #[must_use]
    pub fn mss(mss: u16) -> Vec<u8> {
        let [high, low] = mss.to_be_bytes();
        vec![2, 4, high, low]
    }

    /// Window scale (RFC 7323, 2.2).
    #[must_use]
    pub fn window_scale(shift: u8) -> Vec<u8> {
        vec![3, 3, shift]
    }

    /// SACK permitted (RFC 2018, 2).
    #[must_use]
    pub fn sack() -> Vec<u8> {
        vec![4, 2]
    }

    /// Timestamps (RFC 7323, 3.2).
    #[must_use]
    pub fn timestamps(value: u32, echo: u32) -> Vec<u8> {
        let mut bytes = vec![8, 10];
        bytes.extend(value.to_be_bytes());
        bytes.extend(echo.to_be_bytes());
        bytes
    }

    /// No operation.
    #[must_use]
    pub fn nop() -> Vec<u8> {
        vec![1]
    }

    /// Joins options, and fills up to whole words with the end of the list.
    #[must_use]
    pub fn list(options: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = options.concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}
