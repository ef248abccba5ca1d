//! The lists of bpf/lists.h as user space fills them: entries, filter, and the prefix lengths in use. A table of a handful of entries,
//! which C searches one by one, stands for the kernel's hash.

use std::net::IpAddr;

use crate::ffi;
use crate::types::Packet;

/// abi.h: words of the filter.
pub const FILTER_WORDS: usize = 1 << 19;
/// abi.h: prefix lengths of one kind.
pub const LENGTHS: usize = 84;

/// `struct listed_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ListedKey {
    /// 0: blocked, 1: allowed.
    pub list: u8,
    /// Whether it is IPv6.
    pub v6: u8,
    /// In bits.
    pub length: u8,
    /// Zero.
    pub reserved: u8,
    /// In network order, masked.
    pub address: [u32; 4],
}

/// `struct listed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Listed {
    /// Packets that it decided.
    pub hits: u64,
    /// The tick from which on it no longer holds; 0: never.
    pub expires: u32,
    /// Time of `tokens`, in 2^20 ns.
    pub filled: u32,
    /// SYNs times 1024.
    pub tokens: u32,
    /// User space's own.
    pub origin: u8,
    /// 1: forced.
    pub flags: u8,
    /// Zero.
    pub reserved: u16,
}

/// An entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    /// Which.
    pub key: ListedKey,
    /// What of it.
    pub value: Listed,
    /// Zero.
    pub reserved: u32,
}

/// `struct prefix_length`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PrefixLength {
    /// In network order.
    pub mask: [u32; 4],
    /// In bits.
    pub length: u32,
}

/// `struct lengths`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Lengths {
    /// How many count.
    pub count: u32,
    /// They.
    pub at: [PrefixLength; LENGTHS],
}

/// `struct lists`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Head {
    /// Of the filter's hash.
    pub secret: u64,
    /// Whether there is anything.
    pub any: u32,
    /// Whether anything is blocked.
    pub blocks: u32,
    /// IPv4, short IPv6, long IPv6.
    pub block: [Lengths; 3],
    /// The same for the allowed.
    pub allow: [Lengths; 3],
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Lists {
    /// The head.
    pub head: Head,
    /// The filter.
    pub filter: Vec<u64>,
    /// The table.
    pub entries: Vec<Entry>,
}

/// What becomes of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is like any other.
    None,
    /// Its packet is dropped.
    Blocked,
    /// Its SYN passes.
    Allowed,
}

/// The octets of an address's prefix, and zeros.
fn masked(address: IpAddr, length: u8) -> [u8; 16] {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    (bits & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)).to_be_bytes()
}

fn words(bytes: [u8; 16]) -> [u32; 4] {
    [0, 4, 8, 12].map(|n| u32::from_ne_bytes([bytes[n], bytes[n + 1], bytes[n + 2], bytes[n + 3]]))
}

/// The filter's bit for a prefix's first address: an IPv4 address's first 24 bits, or a hash of an IPv6 address's first 48.
fn first_bit(key: &ListedKey, secret: u64) -> u32 {
    let [a, b] = [key.address[0].to_ne_bytes(), key.address[1].to_ne_bytes()];
    if key.v6 == 0 {
        return u32::from_be_bytes([0, a[0], a[1], a[2]]);
    }
    let prefix = u64::from_le_bytes([a[0], a[1], a[2], a[3], b[0], b[1], 0, 0]);
    (1 << 24) + (ffi::mix(prefix, secret) >> 8)
}

impl Lists {
    /// Empty ones.
    #[must_use]
    pub fn new(secret: u64) -> Self {
        let none = [Lengths { count: 0, at: [PrefixLength::default(); LENGTHS] }; 3];
        let head = Head { secret, any: 0, blocks: 0, block: none, allow: none };
        Self { head, filter: vec![0; FILTER_WORDS], entries: Vec::new() }
    }

    /// Puts a prefix on one of them.
    pub fn add(&mut self, allow: bool, address: IpAddr, length: u8, value: Listed) {
        let v6 = address.is_ipv6();
        let bytes = masked(address, length);
        let key = ListedKey { list: allow.into(), v6: v6.into(), length, reserved: 0, address: words(bytes) };
        if self.entries.iter().any(|entry| entry.key == key) {
            return;
        }
        self.entries.push(Entry { key, value, reserved: 0 });
        self.set_filter(&key);
        let kind = if !v6 { 0 } else { 1 + usize::from(length >= 48) };
        let of_list = if allow { &mut self.head.allow } else { &mut self.head.block };
        let lengths = &mut of_list[kind];
        let used = lengths.count as usize;
        if !lengths.at[..used].iter().any(|at| at.length == u32::from(length)) {
            let ones = if v6 { IpAddr::from([255; 16]) } else { IpAddr::from([255; 4]) };
            lengths.at[used] = PrefixLength { mask: words(masked(ones, length)), length: length.into() };
            lengths.count += 1;
        }
        self.head.any = 1;
        self.head.blocks |= u32::from(!allow);
    }

    fn set_filter(&mut self, key: &ListedKey) {
        let first = first_bit(key, self.head.secret);
        let count = match (key.v6, key.length) {
            (0, length) => 1_u32 << 24_u8.saturating_sub(length),
            (_, 48..) => 1,
            _ => 0,
        };
        for bit in first..first + count {
            self.filter[bit as usize / 64] |= 1 << (bit % 64);
        }
    }

    /// How the source of a packet stands at this time. `rate` in tokens for each 2^20 ns, `burst` in tokens.
    pub fn standing(&mut self, packet: &Packet, now_ns: u64, rate: u32, burst: u32) -> Standing {
        match ffi::standing(self, packet, now_ns, rate, burst) {
            1 => Standing::Blocked,
            2 => Standing::Allowed,
            _ => Standing::None,
        }
    }
}
