//! Addresses and prefixes as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A prefix of IPv4 or IPv6. A single address is a prefix of full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a text is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// What stands before the slash.
    #[error("no IPv4 or IPv6 address")]
    Address,
    /// What stands behind it.
    #[error("the length of a prefix is a whole number, at most {0}")]
    Length(u8),
}

impl Prefix {
    /// The prefix around an address. IPv4 addresses in IPv6's clothes (::ffff:198.51.100.7) are IPv4; a length that is too long is cut.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(v4.to_bits() & mask).into(), length }
            }
            IpAddr::V6(v6) => match v6.to_ipv4_mapped().filter(|_| length >= 96) {
                Some(v4) => Self::new(v4.into(), length - 96),
                None => {
                    let length = length.min(128);
                    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                    Self { address: Ipv6Addr::from_bits(v6.to_bits() & mask).into(), length }
                }
            },
        }
    }

    /// One address alone.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self::new(address, 128)
    }

    /// Its first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Its length in bits.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.covers(&Self::of(address))
    }

    /// Whether all of another prefix is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.address.is_ipv4() == other.address.is_ipv4()
            && self.length <= other.length
            && Self::new(other.address, self.length).address == self.address
    }

    /// Whether they have any address in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// `198.51.100.7`, `198.51.100.0/24`, `2001:db8::/32`. Bits behind the length are cut off, as lists in the field have them.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let Some(length) = length else { return Ok(Self::of(address)) };
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        match length.parse() {
            Ok(length) if digits && length <= most => Ok(Self::new(address, length)),
            _ => Err(PrefixError::Length(most)),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = if self.address.is_ipv4() { 32 } else { 128 };
        write!(f, "{}", self.address)?;
        if self.length == full { Ok(()) } else { write!(f, "/{}", self.length) }
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_are_read_as_they_are_written() {
        for text in ["198.51.100.7", "198.51.100.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "2001:db8::1"] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("198.51.100.7/24").to_string(), "198.51.100.0/24");
        assert_eq!(prefix("::ffff:198.51.100.7").to_string(), "198.51.100.7");
        assert_eq!(prefix("::ffff:0:0/96").to_string(), "0.0.0.0/0");
    }

    #[test]
    fn what_is_none_is_told() {
        for text in ["", "198.51.100", "example.org", "198.51.100.0 /24", "/24"] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError::Address), "{text}");
        }
        for text in ["198.51.100.0/33", "198.51.100.0/", "198.51.100.0/+8", "198.51.100.0/999"] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError::Length(32)), "{text}");
        }
        assert_eq!("2001:db8::/129".parse::<Prefix>(), Err(PrefixError::Length(128)));
    }

    #[test]
    fn covering_and_meeting() {
        assert!(prefix("198.51.100.0/24").contains("198.51.100.200".parse().unwrap()));
        assert!(prefix("198.51.100.0/24").contains("::ffff:198.51.100.200".parse().unwrap()));
        assert!(!prefix("198.51.100.0/25").contains("198.51.100.200".parse().unwrap()));
        assert!(!prefix("0.0.0.0/0").contains("2001:db8::1".parse().unwrap()));
        assert!(prefix("2001:db8::/33").meets(&prefix("2001:db8::/32")));
        assert!(!prefix("2001:db8::/33").covers(&prefix("2001:db8::/32")));
        assert!(!prefix("2001:db8::/33").meets(&prefix("2001:db8:8000::/33")));
    }
}
