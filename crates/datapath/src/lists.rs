//! The lists of sources as user space writes them: prefixes that are blocked or allowed (bpf/lists.h).
//!
//! Programs read while we write, so everything is written in the order in which it is found, last to first: the entry, the filter's bits,
//! the prefix length, and last that there is anything to find.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libbpf_rs::{MapCore, MapFlags};

use crate::abi::{Kind, LENGTHS, LISTED_FORCED, Lengths, List, Listed, ListedKey, PrefixLength};
use crate::maps::{Maps, io_error, mix};
use crate::{Error, sys};

/// The bits of the filter that one family has.
const FILTER_BITS: u32 = 1 << 24;
/// From this length on an IPv6 prefix is in the filter.
const SHORT_V6: u8 = 48;
/// Entries that go to the kernel in one call.
const BATCH: usize = 1 << 16;

/// A prefix on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEntry {
    /// Which list.
    pub list: List,
    /// An address of the prefix; what is behind `length` does not count.
    pub address: IpAddr,
    /// The prefix's length in bits.
    pub length: u8,
    /// The caller's own number: who put it there.
    pub origin: u8,
    /// Whether a block goes before an allowance.
    pub forced: bool,
    /// The tick from which on it no longer holds; 0: it holds for ever.
    pub expires: u32,
    /// Packets that it decided.
    pub hits: u64,
}

impl ListEntry {
    /// A lasting entry that has decided nothing yet.
    #[must_use]
    pub fn new(list: List, address: IpAddr, length: u8) -> Self {
        Self { list, address, length, origin: 0, forced: false, expires: 0, hits: 0 }
    }

    fn key(&self) -> ListedKey {
        key(self.list, self.address, self.length)
    }

    fn value(&self) -> Listed {
        let flags = if self.forced { LISTED_FORCED } else { 0 };
        Listed { hits: self.hits, expires: self.expires, origin: self.origin, flags, ..Listed::default() }
    }

    fn kind(&self) -> Kind {
        match self.address {
            IpAddr::V4(_) => Kind::V4,
            IpAddr::V6(_) if self.length < SHORT_V6 => Kind::V6Short,
            IpAddr::V6(_) => Kind::V6Long,
        }
    }

    /// The length and its mask: the key of the prefix around the address of ones.
    fn prefix_length(&self) -> PrefixLength {
        let ones = if self.address.is_ipv4() { Ipv4Addr::BROADCAST.into() } else { Ipv6Addr::from(u128::MAX).into() };
        let key = key(self.list, ones, self.length);
        PrefixLength { mask: key.address, length: key.length.into() }
    }

    fn of(key: &ListedKey, value: &Listed) -> Self {
        let bytes = octets(&key.address);
        let v4 = || Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]);
        Self {
            list: if key.list == List::Allow as u8 { List::Allow } else { List::Block },
            address: if key.v6 == 0 { v4().into() } else { Ipv6Addr::from(bytes).into() },
            length: key.length,
            origin: value.origin,
            forced: value.flags & LISTED_FORCED != 0,
            expires: value.expires,
            hits: value.hits,
        }
    }
}

/// The key of a prefix, masked.
fn key(list: List, address: IpAddr, length: u8) -> ListedKey {
    let mask = |bits: u8| u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    let (v6, bits, length) = match address {
        IpAddr::V4(v4) => (0, u128::from(v4.to_bits()) << 96, length.min(32)),
        IpAddr::V6(v6) => (1, v6.to_bits(), length.min(128)),
    };
    let bytes = (bits & mask(length)).to_be_bytes();
    let word = |n: usize| u32::from_ne_bytes([bytes[n], bytes[n + 1], bytes[n + 2], bytes[n + 3]]);
    ListedKey { list: list as u8, v6, length, reserved: 0, address: [word(0), word(4), word(8), word(12)] }
}

fn octets(words: &[u32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// The filter's bits that a prefix touches, as `filter_bit` of bpf/lists.h numbers them: the first, and how many.
fn filter_bits(key: &ListedKey, secret: u64) -> (u32, u32) {
    let bytes = octets(&key.address);
    if key.v6 == 0 {
        let first = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        return (first, 1 << (24 - u32::from(key.length.min(24))));
    }
    if key.length < SHORT_V6 {
        return (0, 0);
    }
    let prefix = u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], 0, 0]);
    (FILTER_BITS | mix(prefix, secret) >> 8, 1)
}

impl Maps {
    /// Puts entries on the lists, in place of those with the same list and prefix. Each holds from the next packet on.
    ///
    /// # Errors
    /// [`Error::Map`]; also when there is no room left.
    pub fn list_add(&self, entries: &[ListEntry]) -> Result<(), Error> {
        let map = self.get("listed")?;
        for some in entries.chunks(BATCH) {
            let keys: Vec<u8> = some.iter().flat_map(|entry| key_bytes(&entry.key())).collect();
            let values: Vec<u8> = some.iter().flat_map(|entry| value_bytes(&entry.value())).collect();
            let written = map.update_batch(&keys, &values, some.len() as u32, MapFlags::ANY, MapFlags::ANY);
            written.map_err(io_error).map_err(Error::map("write", "listed"))?;
        }
        let secret = self.list_secret().load(Ordering::Relaxed);
        for entry in entries {
            let (first, count) = filter_bits(&entry.key(), secret);
            self.set_filter(first, count);
        }
        for entry in entries {
            self.add_length(entry);
        }
        Ok(())
    }

    /// Takes a prefix off a list. False: it was not on it.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn list_remove(&self, list: List, address: IpAddr, length: u8) -> Result<bool, Error> {
        match self.get("listed")?.delete(&key_bytes(&key(list, address, length))).map_err(io_error) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::map("write", "listed")(error)),
        }
    }

    /// What a list says about exactly this prefix.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn list_find(&self, list: List, address: IpAddr, length: u8) -> Result<Option<ListEntry>, Error> {
        let key = key(list, address, length);
        let found = self.get("listed")?.lookup(&key_bytes(&key), MapFlags::ANY);
        let found = found.map_err(io_error).map_err(Error::map("read", "listed"))?;
        Ok(found.and_then(|bytes| Some(ListEntry::of(&key, &value_of(&bytes)?))))
    }

    /// Walks through both lists, in no order.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn list_each(&self, mut each: impl FnMut(ListEntry)) -> Result<(), Error> {
        let walk = sys::each_entry(self.get("listed")?, |key, value| {
            if let (Some(key), Some(value)) = (key_of(key), value_of(value)) {
                each(ListEntry::of(&key, &value));
            }
        });
        walk.map_err(Error::map("read", "listed"))
    }

    /// How many prefixes the lists have room for.
    #[must_use]
    pub fn list_capacity(&self) -> u32 {
        self.handle("listed").map_or(0, MapCore::max_entries)
    }

    /// Before anything is on the lists.
    pub(crate) fn set_list_secret(&self, secret: u64) {
        self.list_secret().store(secret, Ordering::Relaxed);
    }

    fn list_secret(&self) -> &AtomicU64 {
        let lists = self.lists.at(0);
        // SAFETY: `lists` is within the mapping, which lives as long as `self`.
        unsafe { AtomicU64::from_ptr(&raw mut (*lists).secret) }
    }

    fn set_filter(&self, first: u32, count: u32) {
        let mut bit = first;
        let end = first + count;
        while bit < end {
            let upto = end.min((bit | 63) + 1);
            let mask = (u64::MAX >> (64 - (upto - bit))) << (bit & 63);
            // SAFETY: the word is within the mapping, which lives as long as `self`.
            unsafe { AtomicU64::from_ptr(self.filter.at(bit as usize / 64)).fetch_or(mask, Ordering::Release) };
            bit = upto;
        }
    }

    /// Makes an entry's length one that is asked for. One writer at a time: the caller sees to that.
    fn add_length(&self, entry: &ListEntry) {
        let lists = self.lists.at(0);
        let kind = entry.kind() as usize;
        // SAFETY: `lists` is within the mapping, and `kind` within the array.
        let (lengths, any, blocks) = unsafe {
            let of_list = if entry.list == List::Block { &raw mut (*lists).block } else { &raw mut (*lists).allow };
            let lengths: *mut Lengths = of_list.cast::<Lengths>().add(kind);
            (lengths, AtomicU32::from_ptr(&raw mut (*lists).any), AtomicU32::from_ptr(&raw mut (*lists).blocks))
        };
        // SAFETY: within the mapping. Programs read while this writes, so the count is written atomically, after the length.
        unsafe {
            let count = AtomicU32::from_ptr(&raw mut (*lengths).count);
            let used = (count.load(Ordering::Relaxed) as usize).min(LENGTHS);
            let first: *mut PrefixLength = (&raw mut (*lengths).at).cast();
            let new = entry.prefix_length();
            if !(0..used).any(|n| first.add(n).read_volatile() == new) && used < LENGTHS {
                first.add(used).write_volatile(new);
                count.store(used as u32 + 1, Ordering::Release);
            }
        }
        if entry.list == List::Block {
            blocks.store(1, Ordering::Release);
        }
        any.store(1, Ordering::Release);
    }
}

fn key_bytes(key: &ListedKey) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&[key.list, key.v6, key.length, key.reserved]);
    bytes[4..].copy_from_slice(&octets(&key.address));
    bytes
}

fn key_of(bytes: &[u8]) -> Option<ListedKey> {
    let (&[list, v6, length, reserved], rest) = bytes.split_first_chunk()?;
    let mut words = rest.chunks_exact(4).filter_map(|word| word.first_chunk().map(|w| u32::from_ne_bytes(*w)));
    let address = [words.next()?, words.next()?, words.next()?, words.next()?];
    Some(ListedKey { list, v6, length, reserved, address })
}

fn value_bytes(value: &Listed) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&value.hits.to_ne_bytes());
    bytes[8..12].copy_from_slice(&value.expires.to_ne_bytes());
    bytes[12..16].copy_from_slice(&value.filled.to_ne_bytes());
    bytes[16..20].copy_from_slice(&value.tokens.to_ne_bytes());
    bytes[20..22].copy_from_slice(&[value.origin, value.flags]);
    bytes
}

fn value_of(bytes: &[u8]) -> Option<Listed> {
    let (hits, rest) = bytes.split_first_chunk()?;
    let (expires, rest) = rest.split_first_chunk()?;
    let (filled, rest) = rest.split_first_chunk()?;
    let (tokens, rest) = rest.split_first_chunk()?;
    let &[origin, flags, ..] = rest else { return None };
    Some(Listed {
        hits: u64::from_ne_bytes(*hits),
        expires: u32::from_ne_bytes(*expires),
        filled: u32::from_ne_bytes(*filled),
        tokens: u32::from_ne_bytes(*tokens),
        origin,
        flags,
        reserved: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str, length: u8) -> ListEntry {
        ListEntry::new(List::Block, address.parse().unwrap(), length)
    }

    #[test]
    fn an_entry_survives_its_bytes() {
        let wrote = ListEntry { origin: 3, forced: true, expires: 9, hits: 7, ..entry("198.51.100.0", 22) };
        let key = key_of(&key_bytes(&wrote.key())).unwrap();
        let value = value_of(&value_bytes(&wrote.value())).unwrap();
        assert_eq!(ListEntry::of(&key, &value), wrote);
        assert_eq!(key_of(&[0; 19]), None);
        assert_eq!(value_of(&[0; 20]), None);
    }

    #[test]
    fn keys_are_masked() {
        let masked = |address, length| {
            let entry = entry(address, length);
            ListEntry::of(&entry.key(), &entry.value()).address.to_string()
        };
        assert_eq!(masked("198.51.100.255", 25), "198.51.100.128");
        assert_eq!(masked("198.51.100.255", 0), "0.0.0.0");
        assert_eq!(masked("2001:db8:ffff::1", 33), "2001:db8:8000::");
        assert_eq!(masked("2001:db8::1", 128), "2001:db8::1");
    }

    #[test]
    fn the_filter_has_a_bit_for_each_network_of_24_that_is_touched() {
        let bits = |address, length| filter_bits(&entry(address, length).key(), 5);
        assert_eq!(bits("0.0.1.7", 32), (1, 1));
        assert_eq!(bits("0.1.0.0", 16), (256, 256));
        assert_eq!(bits("203.0.113.9", 0), (0, FILTER_BITS));
        assert_eq!(bits("2001:db8::", 47), (0, 0));
        let (first, count) = bits("2001:db8:1::", 48);
        assert!((FILTER_BITS..2 * FILTER_BITS).contains(&first) && count == 1);
        assert_eq!(bits("2001:db8:1:ffff::1", 128), (first, 1), "the same /48");
    }
}
