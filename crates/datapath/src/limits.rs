//! Limits as user space sets them while the programs run, who is held back, and how a flood is spread.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use libbpf_rs::{MapCore, MapFlags};

use crate::abi::{Held, HeldWhy, LOCAL_MAX, SPREAD_CELLS, SPREAD_REGISTERS, Spread, SpreadCell};
use crate::maps::{Maps, io_error};
use crate::settings::per_tick;
use crate::{Error, sys};

/// A source (an address, or an IPv6 prefix) or a network (/24, /56).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// One source, as the table of verified sources has it.
    Source(IpAddr),
    /// The network that this is the first address of.
    Network(IpAddr),
}

impl Whom {
    /// The network that an address is in.
    #[must_use]
    pub fn network_of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::Network(Ipv4Addr::from(u32::from(v4) & !0xff).into()),
            IpAddr::V6(v6) => Self::Network(Ipv6Addr::from(u128::from(v6) >> 72 << 72).into()),
        }
    }

    fn address(self) -> IpAddr {
        let (Self::Source(address) | Self::Network(address)) = self;
        address
    }

    fn key(self) -> [u8; 16] {
        let network = u8::from(matches!(self, Self::Network(_)));
        let mut bytes = [0; 16];
        match self.address() {
            IpAddr::V4(v4) => bytes[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => bytes[..8].copy_from_slice(&v6.octets()[..8]),
        }
        bytes[8] = network << 1 | u8::from(self.address().is_ipv6());
        bytes
    }

    fn of_key(bytes: &[u8]) -> Option<Self> {
        let (address, kind) = (bytes.first_chunk::<8>()?, *bytes.get(8)?);
        let address = address_of(u64::from_ne_bytes(*address), kind & 1 != 0);
        Some(if kind & 2 == 0 { Self::Source(address) } else { Self::Network(address) })
    }
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(address @ IpAddr::V4(_)) => write!(f, "{address}"),
            Self::Source(address) => write!(f, "{address}/64"),
            Self::Network(address @ IpAddr::V4(_)) => write!(f, "{address}/24"),
            Self::Network(address) => write!(f, "{address}/56"),
        }
    }
}

/// Somebody who is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBack {
    /// Who.
    pub whom: Whom,
    /// Why.
    pub why: HeldWhy,
    /// SYNs a second that still pass, where the reason is a flood.
    pub rate: u32,
    /// Tick until which.
    pub until: u32,
}

/// Somebody who makes a part of a flood, and how much of the samples at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Who.
    pub whom: Whom,
    /// Of the samples, at least so many.
    pub votes: u64,
}

/// How a flood is spread, all CPUs together, since it was last emptied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spreading {
    /// SYNs that met a queue above its calm mark, or a limit.
    pub asked: u64,
    /// Of them looked at.
    pub samples: u64,
    /// How many sources these came from, about: within 7 % two times out of three.
    pub distinct: u64,
    /// The networks and sources that make large parts, the largest first.
    pub parts: Vec<Part>,
}

impl Maps {
    /// A service's own limit in SYNs a second; 0: none. It counts where [`crate::settings::Limits::services`] is set.
    pub fn set_service_limit(&self, port: u16, per_second: u32) {
        let entry = self.service_limits.at(usize::from(port));
        // SAFETY: `entry` is within the mapping, and no program writes this word.
        unsafe { AtomicU32::from_ptr(&raw mut (*entry).rate).store(per_tick(per_second), Ordering::Relaxed) };
    }

    /// How many resets a second the host may send for what belongs to no socket; 0: not bounded.
    pub fn set_closed_budget(&self, per_second: u32) {
        let limiter = self.limiter.at(0);
        // SAFETY: `limiter` is within the mapping, and no program writes this word.
        unsafe {
            AtomicU32::from_ptr(&raw mut (*limiter).closed_budget).store(per_tick(per_second), Ordering::Relaxed);
        }
    }

    /// Until which tick the socket of every segment is looked for, also on calm ports; 0: not.
    pub fn set_strays_until(&self, tick: u32) {
        let limiter = self.limiter.at(0);
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(&raw mut (*limiter).strays_until).store(tick, Ordering::Relaxed) };
    }

    /// Tells gate which addresses are this host's; at most [`LOCAL_MAX`], the rest is not bounded. Returns how many fit.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn set_local_addresses(&self, addresses: &[IpAddr]) -> Result<usize, Error> {
        let map = self.get("local_addresses")?;
        let fail = |error| Error::map("write", "local_addresses")(io_error(error));
        let wanted: Vec<[u8; 16]> = addresses.iter().take(LOCAL_MAX).map(|address| address_key(*address)).collect();
        for key in map.keys().filter(|key| !wanted.iter().any(|wanted| key == wanted)).collect::<Vec<_>>() {
            map.delete(&key).map_err(fail)?;
        }
        for key in &wanted {
            map.update(key, &1_u32.to_ne_bytes(), MapFlags::ANY).map_err(fail)?;
        }
        Ok(wanted.len())
    }

    /// Who is held back, those whose time is over too.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn held(&self) -> Result<Vec<HeldBack>, Error> {
        let mut all = Vec::new();
        let walk = sys::each_entry(self.get("held")?, |key, value| all.extend(held_back(key, value)));
        walk.map_err(Error::map("read", "held")).map(|()| all)
    }

    /// Holds somebody back, or longer. The programs look at it from the next SYN on.
    ///
    /// # Errors
    /// [`Error::Map`], when the table is full among others.
    pub fn hold(&self, held: &HeldBack) -> Result<(), Error> {
        let value = Held { until: held.until, why: held.why as u32, rate: per_tick(held.rate), cell: 0 };
        let value = [value.until, value.why, value.rate, value.cell].map(u32::to_ne_bytes).concat();
        let updated = self.get("held")?.update(&held.whom.key(), &value, MapFlags::ANY);
        updated.map_err(io_error).map_err(Error::map("write", "held"))?;
        self.count_held()
    }

    /// Lets somebody go.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn release(&self, whom: Whom) -> Result<(), Error> {
        match self.get("held")?.delete(&whom.key()) {
            Err(error) if error.kind() != libbpf_rs::ErrorKind::NotFound => {
                Err(Error::map("write", "held")(io_error(error)))
            }
            _ => self.count_held(),
        }
    }

    fn count_held(&self) -> Result<(), Error> {
        let count = u32::from(self.get("held")?.keys().next().is_some());
        let limiter = self.limiter.at(0);
        // SAFETY: `limiter` is within the mapping, and no program writes this word.
        unsafe { AtomicU32::from_ptr(&raw mut (*limiter).held).store(count, Ordering::Relaxed) };
        Ok(())
    }

    /// How the flood of this while is spread.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn spreading(&self) -> Result<Spreading, Error> {
        let found = self.get("spread")?.lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY);
        let values = found.map_err(io_error).map_err(Error::map("read", "spread"))?.unwrap_or_default();
        let all: Vec<Spread> = values.iter().filter_map(|value| spread_of(value)).collect();
        Ok(merged(&all))
    }

    /// Begins a new while.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn empty_spreading(&self) -> Result<(), Error> {
        let cpus = libbpf_rs::num_possible_cpus().map_err(io_error).map_err(Error::map("write", "spread"))?;
        let zeros = vec![vec![0; size_of::<Spread>()]; cpus];
        let emptied = self.get("spread")?.update_percpu(&0_u32.to_ne_bytes(), &zeros, MapFlags::ANY);
        emptied.map_err(io_error).map_err(Error::map("write", "spread"))
    }
}

fn address_key(address: IpAddr) -> [u8; 16] {
    let mut key = [0; 16];
    match address {
        IpAddr::V4(v4) => key[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => key = v6.octets(),
    }
    key
}

/// An address of its first eight bytes, as the programs load them.
fn address_of(key: u64, v6: bool) -> IpAddr {
    let bytes = key.to_ne_bytes();
    if v6 {
        Ipv6Addr::from(u128::from(u64::from_be_bytes(bytes)) << 64).into()
    } else {
        Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()
    }
}

fn held_back(key: &[u8], value: &[u8]) -> Option<HeldBack> {
    let word = |at: usize| value.get(4 * at..4 * at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let why = if word(1)? == HeldWhy::Connections as u32 { HeldWhy::Connections } else { HeldWhy::Concentrated };
    Some(HeldBack { whom: Whom::of_key(key)?, why, rate: word(2)?, until: word(0)? })
}

fn spread_of(bytes: &[u8]) -> Option<Spread> {
    let mut cells = bytes.get(16 + SPREAD_REGISTERS..)?.chunks_exact(16).map(|cell| {
        let (key, votes, v6) = (cell.first_chunk::<8>(), cell[8..].first_chunk::<4>(), cell[12..].first_chunk::<4>());
        SpreadCell {
            key: key.map(|k| u64::from_ne_bytes(*k)).unwrap_or_default(),
            votes: votes.map(|v| u32::from_ne_bytes(*v)).unwrap_or_default(),
            v6: v6.map(|v| u32::from_ne_bytes(*v)).unwrap_or_default(),
        }
    });
    let mut take = || -> [SpreadCell; SPREAD_CELLS] { std::array::from_fn(|_| cells.next().unwrap_or_default()) };
    Some(Spread {
        asked: u64::from_ne_bytes(*bytes.first_chunk()?),
        samples: u64::from_ne_bytes(*bytes.get(8..)?.first_chunk()?),
        registers: bytes.get(16..16 + SPREAD_REGISTERS)?.try_into().ok()?,
        source: take(),
        network: take(),
    })
}

fn merged(all: &[Spread]) -> Spreading {
    let mut registers = [0; SPREAD_REGISTERS];
    let mut votes = std::collections::BTreeMap::<Whom, u64>::new();
    for spread in all {
        registers.iter_mut().zip(spread.registers).for_each(|(most, one)| *most = one.max(*most));
        let sources = spread.source.iter().map(|cell| (Whom::Source(address_of(cell.key, cell.v6 != 0)), cell.votes));
        let networks =
            spread.network.iter().map(|cell| (Whom::Network(address_of(cell.key, cell.v6 != 0)), cell.votes));
        for (whom, count) in sources.chain(networks).filter(|(_, count)| *count > 0) {
            *votes.entry(whom).or_default() += u64::from(count);
        }
    }
    let mut parts: Vec<Part> = votes.into_iter().map(|(whom, votes)| Part { whom, votes }).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.votes));
    let sum = |of: fn(&Spread) -> u64| all.iter().map(of).sum();
    Spreading { asked: sum(|s| s.asked), samples: sum(|s| s.samples), distinct: distinct(&registers), parts }
}

/// HyperLogLog's estimate, with linear counting where registers are empty (Flajolet and others, 2007, figure 3).
fn distinct(registers: &[u8; SPREAD_REGISTERS]) -> u64 {
    let m = SPREAD_REGISTERS as f64;
    let sum: f64 = registers.iter().map(|rank| 0.5_f64.powi((*rank).into())).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let empty = registers.iter().filter(|rank| **rank == 0).count();
    let estimate = if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw };
    estimate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Spread {
        Spread {
            asked: 0,
            samples: 0,
            registers: [0; SPREAD_REGISTERS],
            source: [SpreadCell::default(); SPREAD_CELLS],
            network: [SpreadCell::default(); SPREAD_CELLS],
        }
    }

    /// `spread_register` of bpf/sketch.h, with a good hash.
    fn count(spread: &mut Spread, n: u64) {
        let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let hash = (x >> 32) as u32;
        let rank = ((hash >> 10) | 1 << 22).trailing_zeros() as u8 + 1;
        let register = &mut spread.registers[hash as usize & (SPREAD_REGISTERS - 1)];
        *register = rank.max(*register);
    }

    #[test]
    fn distinct_sources_are_counted_within_a_tenth() {
        for sources in [1_u64, 10, 100, 1000, 10_000, 100_000] {
            let mut halves = [empty(), empty()];
            for n in 0..sources {
                count(&mut halves[(n % 2) as usize], n);
                count(&mut halves[0], n);
            }
            let found = merged(&halves).distinct;
            assert!(found.abs_diff(sources) <= sources / 10 + 1, "{found} instead of {sources}");
        }
        assert_eq!(merged(&[]), Spreading::default());
    }

    #[test]
    fn parts_are_added_over_the_cpus_and_the_largest_comes_first() {
        let mut halves = [empty(), empty()];
        let v4 = u64::from(u32::from_ne_bytes([198, 18, 7, 0]));
        let v6 = u64::from_ne_bytes([0x20, 1, 0xd, 0xb8, 0, 0xc, 1, 0]);
        halves[0].network[3] = SpreadCell { key: v4, votes: 10, v6: 0 };
        halves[1].network[3] = SpreadCell { key: v4, votes: 5, v6: 0 };
        halves[1].network[9] = SpreadCell { key: v6, votes: 20, v6: 1 };
        let parts: Vec<_> = merged(&halves).parts.iter().map(|part| (part.whom.to_string(), part.votes)).collect();
        assert_eq!(parts, [("2001:db8:c:100::/56".to_owned(), 20), ("198.18.7.0/24".to_owned(), 15)]);
    }

    #[test]
    fn keys_are_the_programs_and_come_back() {
        let address = "2001:db8:c:1ff::".parse().unwrap();
        for whom in [Whom::Source("203.0.113.9".parse().unwrap()), Whom::Source(address), Whom::network_of(address)] {
            assert_eq!(Whom::of_key(&whom.key()), Some(whom));
        }
        assert_eq!(Whom::network_of(address).to_string(), "2001:db8:c:100::/56");
        assert_eq!(Whom::network_of("203.0.113.9".parse().unwrap()).key()[..9], [203, 0, 113, 0, 0, 0, 0, 0, 2]);
    }
}
