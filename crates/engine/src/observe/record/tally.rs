//! Counting what is many, in memory that does not grow: the most frequent, the number of different ones, and minutes.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use super::limits::TOP_MAX;
use super::state::{SourceCount, Sources};

/// Sets of [`Frequent`], and how many are counted at once in each.
const SETS: usize = 256;
const SET_MAX: usize = 8;
/// Registers of [`Distinct`]: its error is about 1.04 / sqrt(4096) = 1.6 %.
const REGISTERS_LOG2: u32 = 12;
/// Minutes that may be open at once.
const MINUTES_OPEN_MAX: usize = 64;

/// A fast hash. Whoever chose the input could make it collide; the tables here have few entries and lose only speed.
#[derive(Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // The finalizer of splitmix64.
        let mut mixed = (self.0 ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u128(&mut self, value: u128) {
        self.write_u64((value >> 64) as u64);
        self.write_u64(value as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }
}

/// An address as a number, which hashes faster than its bytes; IPv4 as the addresses of RFC 4291, section 2.5.5.2.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => 0xffff_0000_0000 | u128::from(u32::from(address)),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(number: u128) -> IpAddr {
    Ipv6Addr::from(number).to_canonical()
}

/// One value's hash.
pub fn hash(value: &impl Hash) -> u64 {
    let mut mix = Mix::default();
    value.hash(&mut mix);
    mix.finish()
}

/// The most frequent of many, by Misra and Gries in each of `SETS` small sets: a count is too low by at most the number of others in its
/// set, about a 256th of all. A flood of new keys touches one set for each and moves nothing else.
#[derive(Debug, Clone)]
pub struct Frequent<K> {
    sets: Vec<Vec<(K, u64)>>,
}

impl<K> Default for Frequent<K> {
    fn default() -> Self {
        Self { sets: Vec::new() }
    }
}

impl<K: Hash + Eq + Clone + Ord> Frequent<K> {
    /// Counts one.
    pub fn add(&mut self, key: K) {
        if self.sets.is_empty() {
            self.sets.resize_with(SETS, Vec::new);
        }
        let set = &mut self.sets[(hash(&key) >> 32) as usize % SETS];
        if let Some((_, count)) = set.iter_mut().find(|(known, _)| *known == key) {
            *count += 1;
        } else if set.len() < SET_MAX {
            set.push((key, 1));
        } else {
            set.iter_mut().for_each(|(_, count)| *count -= 1);
            set.retain(|(_, count)| *count > 0);
        }
    }

    /// The most frequent, most frequent first, at most `most`.
    pub fn top(&self, most: usize) -> Vec<(K, u64)> {
        let mut all: Vec<(K, u64)> = self.sets.iter().flatten().cloned().collect();
        all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        all.truncate(most);
        all
    }
}

/// How many different ones there are, by HyperLogLog (Flajolet et al. 2007), nearly exact while there are few.
#[derive(Debug, Clone)]
pub struct Distinct {
    registers: Vec<u8>,
}

impl Default for Distinct {
    fn default() -> Self {
        Self { registers: vec![0; 1 << REGISTERS_LOG2] }
    }
}

impl Distinct {
    /// Counts one.
    pub fn add(&mut self, value: &impl Hash) {
        let hash = hash(value);
        let rank = ((hash << REGISTERS_LOG2) | 1 << (REGISTERS_LOG2 - 1)).leading_zeros() as u8 + 1;
        let register = &mut self.registers[(hash >> (64 - REGISTERS_LOG2)) as usize];
        *register = (*register).max(rank);
    }

    /// The estimate.
    pub fn count(&self) -> u64 {
        let registers = self.registers.len() as f64;
        let sum: f64 = self.registers.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let raw = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        let empty = self.registers.iter().filter(|rank| **rank == 0).count() as f64;
        let linear = registers * (registers / empty).ln();
        if empty > 0.0 && raw <= 2.5 * registers { linear.round() as u64 } else { raw.round() as u64 }
    }
}

/// Counts by source.
#[derive(Debug, Clone, Default)]
pub struct BySource {
    total: u64,
    distinct: Distinct,
    addresses: Frequent<u128>,
    prefixes: Frequent<u128>,
    ports: Frequent<u16>,
}

impl BySource {
    /// Counts one from this address to this port of ours.
    pub fn add(&mut self, address: IpAddr, port: u16) {
        let number = number(address.to_canonical());
        self.total += 1;
        self.distinct.add(&number);
        self.addresses.add(number);
        self.prefixes.add(prefix(number));
        self.ports.add(port);
    }

    /// What was counted.
    pub fn sources(&self) -> Sources {
        Sources {
            total: self.total,
            distinct: self.distinct.count().min(self.total),
            top: self.addresses.top(TOP_MAX).into_iter().map(of_address).collect(),
            top_prefixes: self.prefixes.top(TOP_MAX).into_iter().map(of_prefix).collect(),
            by_port: self.ports.top(TOP_MAX).into_iter().collect(),
        }
    }
}

/// The most frequent addresses.
pub fn top_sources(addresses: &Frequent<IpAddr>) -> Vec<SourceCount> {
    addresses.top(TOP_MAX).into_iter().map(|(address, count)| of_address((number(address), count))).collect()
}

fn of_address((number, count): (u128, u64)) -> SourceCount {
    let address = address(number);
    SourceCount { prefix_length: if address.is_ipv4() { 32 } else { 128 }, address, count }
}

fn of_prefix((number, count): (u128, u64)) -> SourceCount {
    let address = address(number);
    SourceCount { prefix_length: if address.is_ipv4() { 24 } else { 64 }, address, count }
}

/// The lowest address of the /24 or /64.
fn prefix(number: u128) -> u128 {
    if number >> 32 == 0xffff { number & !0xff } else { number >> 64 << 64 }
}

/// Counts by minute and something else. Logs are nearly in the order of time, so only the latest minutes are kept open; `close` makes of
/// the others what remains.
#[derive(Debug)]
pub struct Minutes<K, V> {
    open: BTreeMap<(Option<i64>, K), V>,
}

impl<K: Ord + Clone, V: Default> Minutes<K, V> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { open: BTreeMap::new() }
    }

    /// The counts of this minute (since 1970; `None`: lines without a time).
    pub fn at(&mut self, minute: Option<i64>, key: K) -> &mut V {
        self.open.entry((minute, key)).or_default()
    }

    /// Closes the oldest minutes if too many are open.
    pub fn trim(&mut self, mut close: impl FnMut(Option<i64>, K, V)) {
        while self.open.len() > MINUTES_OPEN_MAX {
            // Lines without a time stay together until the end.
            let Some(oldest) = self.open.keys().find(|(minute, _)| minute.is_some()).cloned() else { return };
            if let Some(value) = self.open.remove(&oldest) {
                close(oldest.0, oldest.1, value);
            }
        }
    }

    /// Closes all.
    pub fn finish(self, mut close: impl FnMut(Option<i64>, K, V)) {
        for ((minute, key), value) in self.open {
            close(minute, key, value);
        }
    }
}

impl<K: Ord + Clone, V: Default> Default for Minutes<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn different_ones_are_estimated_within_a_few_hundredths() {
        for count in [0u32, 1, 10, 1000, 10_000, 100_000, 1_000_000] {
            let mut distinct = Distinct::default();
            for value in (0..count).chain(0..count.min(1000)) {
                distinct.add(&IpAddr::V4(Ipv4Addr::from(value.wrapping_mul(0x9e37_79b9))));
            }
            let error = (distinct.count() as f64 - f64::from(count)).abs() / f64::from(count.max(1));
            assert!(error < 0.06, "{count}: {}", distinct.count());
        }
    }

    #[test]
    fn the_frequent_are_found_among_a_flood_of_others() {
        let mut sources = BySource::default();
        for number in 0..300_000u32 {
            sources.add(IpAddr::V4(number.wrapping_mul(2_654_435_761).into()), 80);
            if number % 10 == 0 {
                sources.add(Ipv4Addr::new(198, 51, 100, 7).into(), 443);
            }
        }
        let found = sources.sources();
        assert_eq!((found.total, found.top[0].address), (330_000, Ipv4Addr::new(198, 51, 100, 7).into()));
        assert!((28_500..=30_000).contains(&found.top[0].count), "{:?}", found.top[0]);
        assert_eq!((found.top_prefixes[0].prefix_length, found.by_port[&443]), (24, 30_000));
        assert!(sources.addresses.sets.iter().all(|set| set.len() <= SET_MAX));
    }

    #[test]
    fn minutes_close_in_order_and_lines_without_a_time_stay() {
        let mut minutes: Minutes<(), u64> = Minutes::new();
        *minutes.at(None, ()) += 1;
        let mut closed = Vec::new();
        for minute in 0..100 {
            *minutes.at(Some(minute), ()) += 1;
            minutes.trim(|minute, (), count| closed.push((minute, count)));
        }
        assert_eq!(closed.len(), 101 - MINUTES_OPEN_MAX);
        assert_eq!(closed[0], (Some(0), 1));
        minutes.finish(|minute, (), count| closed.push((minute, count)));
        assert_eq!(closed.len(), 101);
    }
}
