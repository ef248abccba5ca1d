//! Address prefixes, and the only ones that the lab uses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Refusal;

/// Every address of the lab is in one of these: benchmarking (RFC 2544) and documentation (RFC 5737, RFC 3849) ranges, which nobody
/// routes.
pub const ALLOWED: [Prefix; 4] = [
    Prefix { base: IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)), length: 15 },
    Prefix { base: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 0)), length: 24 },
    Prefix { base: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0)), length: 24 },
    Prefix { base: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)), length: 32 },
];

/// An address prefix. The bits beyond its length are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    base: IpAddr,
    length: u8,
}

impl Prefix {
    /// A prefix within the lab's own.
    ///
    /// # Errors
    ///
    /// [`Refusal::Prefix`] for a length that the family has not, [`Refusal::Address`] if it reaches outside [`ALLOWED`].
    pub fn new(base: IpAddr, length: u8) -> Result<Self, Refusal> {
        if length > bits(base) {
            return Err(Refusal::Prefix(length));
        }
        let prefix = Self::fixed(base, length);
        let inside = ALLOWED.iter().any(|allowed| allowed.contains(prefix.base) && allowed.length <= length);
        if inside { Ok(prefix) } else { Err(Refusal::Address(base)) }
    }

    /// One address.
    ///
    /// # Errors
    ///
    /// [`Refusal::Address`] if it is outside [`ALLOWED`].
    pub fn one(address: IpAddr) -> Result<Self, Refusal> {
        Self::new(address, bits(address))
    }

    /// A prefix known to be sound.
    pub(crate) fn fixed(base: IpAddr, length: u8) -> Self {
        let base = match base {
            IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & mask4(length)).into()),
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & mask6(length)).into()),
        };
        Self { base, length }
    }

    /// Its first address.
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => u32::from(address) & mask4(self.length) == u32::from(base),
            (IpAddr::V6(base), IpAddr::V6(address)) => u128::from(address) & mask6(self.length) == u128::from(base),
            _ => false,
        }
    }

    /// The base as words that lie in memory in network order; IPv4 uses the first alone.
    pub(crate) fn words(&self) -> [u32; 4] {
        words_of(self.base)
    }

    /// The bits that count, as [`Prefix::words`].
    pub(crate) fn mask_words(&self) -> [u32; 4] {
        match self.base {
            IpAddr::V4(_) => words_of(IpAddr::V4(mask4(self.length).into())),
            IpAddr::V6(_) => words_of(IpAddr::V6(mask6(self.length).into())),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.base, self.length)
    }
}

/// Whether the lab uses the address at all.
pub(crate) fn is_allowed(address: IpAddr) -> bool {
    ALLOWED.iter().any(|prefix| prefix.contains(address))
}

/// An address as words that lie in memory in network order.
pub(crate) fn words_of(address: IpAddr) -> [u32; 4] {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(v4) => bytes[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes = v6.octets(),
    }
    let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    [word(0), word(4), word(8), word(12)]
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_outside_the_four() {
        assert!(Prefix::new(v4("198.18.0.0"), 15).is_ok());
        assert!(Prefix::new(v4("198.19.7.0"), 24).is_ok());
        assert_eq!(Prefix::new(v4("198.18.0.0"), 14), Err(Refusal::Address(v4("198.18.0.0"))));
        assert_eq!(Prefix::new(v4("0.0.0.0"), 0), Err(Refusal::Address(v4("0.0.0.0"))));
        assert_eq!(Prefix::one(v4("192.0.2.1")), Err(Refusal::Address(v4("192.0.2.1"))));
        assert_eq!(Prefix::one(v4("2001:db9::1")), Err(Refusal::Address(v4("2001:db9::1"))));
        assert_eq!(Prefix::new(v4("198.18.0.0"), 33), Err(Refusal::Prefix(33)));
    }

    #[test]
    fn bits_beyond_the_length_are_cleared() {
        let prefix = Prefix::new(v4("198.18.3.77"), 24).unwrap();
        assert_eq!(prefix.to_string(), "198.18.3.0/24");
        assert_eq!(prefix.mask_words()[0], u32::from_ne_bytes([255, 255, 255, 0]));
        let prefix = Prefix::new(v4("2001:db8:bad:1::7"), 48).unwrap();
        assert_eq!(prefix.to_string(), "2001:db8:bad::/48");
        assert!(prefix.contains(v4("2001:db8:bad:ffff::1")) && !prefix.contains(v4("2001:db8:bae::1")));
    }
}
