//! The limits' part of the daemon: tells the programs their bounds, watches how a flood is spread and who has how many connections, and
//! holds back whom the policy says. Everything that it writes ends by itself, so nobody stays held back when the daemon is gone.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use sekisho_datapath::limits::{HeldBack, Part, Spreading, Whom};
use sekisho_datapath::{HeldWhy, Maps, time};
use sekisho_engine::observe::{addresses, listeners};
use sekisho_engine::policy::{LimitPolicy, OnConcentrated, Policy};
use sekisho_engine::spread::{self, Counted, Shape};
use tracing::{info, warn};

use crate::failure::Failure;

/// The account of a flood's spread is begun anew so often.
const WHILE: Duration = Duration::from_secs(10);
/// Ticks for which a source with too many connections is held back; longer than one look at them lasts.
const CONNECTIONS_TICKS: u32 = 10;
/// Ticks for which every segment's socket is looked for after resets were too many.
const STRAYS_TICKS: u32 = 30;
/// SYNs a second that a limited network may send where no limit per prefix is configured.
const LIMITED_RATE: u32 = 50;

/// What the daemon remembers from one second to the next.
#[derive(Debug)]
pub struct Limiting {
    spread_at: Instant,
    connections_at: Instant,
    /// How long the last look at the connections took.
    connections_took: Duration,
    resets: Option<u64>,
    /// When the resets were too many.
    strays_at: Option<Instant>,
    /// Who was told to be held back.
    told: Vec<Whom>,
    shape: Shape,
}

impl Limiting {
    /// Nothing seen yet.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            spread_at: now,
            connections_at: now,
            connections_took: Duration::ZERO,
            resets: None,
            strays_at: None,
            told: Vec::new(),
            shape: Shape::Quiet,
        }
    }

    /// Tells the programs which resets are this host's own. Where addresses are translated before sockets are looked for, a port without a
    /// socket may be a container's, so nothing is bounded there.
    pub fn apply_addresses(limits: &LimitPolicy, maps: &Maps, translated: bool) {
        let found = addresses::local().map_err(|error| Failure::from_error("cannot list this host's addresses", error));
        let known = found.and_then(|found| Ok(maps.set_local_addresses(&found)?));
        let bounded = known.is_ok() && !translated;
        if let Err(failure) = known {
            warn!("resets are not bounded: {failure}");
        }
        maps.set_closed_budget(if bounded { limits.closed_ports } else { 0 });
    }

    /// What happens every second.
    pub fn tick(&mut self, policy: &Policy, maps: &Maps) {
        self.watch_resets(&policy.limits, maps);
        self.watch_connections(&policy.limits, maps);
        self.watch_spread(&policy.limits, maps);
        self.forget(maps);
    }

    /// More resets than the budget are seen by the kernel's own counter: only then is a socket looked for for every segment.
    fn watch_resets(&mut self, limits: &LimitPolicy, maps: &Maps) {
        let Some(now) = addresses::resets_sent() else { return };
        let sent = self.resets.replace(now).map_or(0, |before| now.saturating_sub(before));
        // Where they are bounded already, the budget itself is what is sent.
        let many = u64::from(limits.closed_ports) * 9 / 10;
        if limits.closed_ports == 0 || sent < many.max(1) {
            return;
        }
        if self.strays_at.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
            info!("{sent} resets were sent within a second: segments that belong to no socket are bounded now");
        }
        self.strays_at = Some(Instant::now());
        maps.set_strays_until(time::tick(time::coarse_ns()) + STRAYS_TICKS);
    }

    /// Looks at all connections, but for no more than a tenth of the time.
    fn watch_connections(&mut self, limits: &LimitPolicy, maps: &Maps) {
        let (source, prefix) = (limits.source_connections, limits.prefix_connections);
        if (source == 0 && prefix == 0) || self.connections_at.elapsed() < self.connections_took * 10 {
            return;
        }
        let began = Instant::now();
        match listeners::peers() {
            Ok(peers) => {
                for (whom, count) in crowds(&peers, source, prefix) {
                    let until = time::tick(time::coarse_ns()) + CONNECTIONS_TICKS;
                    self.hold(maps, HeldBack { whom, why: HeldWhy::Connections, rate: 0, until }, || {
                        format!("it has {count} connections open")
                    });
                }
            }
            Err(error) => warn!("connections cannot be counted: {error}"),
        }
        self.connections_took = began.elapsed();
        self.connections_at = Instant::now();
    }

    fn watch_spread(&mut self, limits: &LimitPolicy, maps: &Maps) {
        let Ok(seen) = maps.spreading() else { return };
        let judged = judged(&seen);
        if std::mem::discriminant(&judged.shape) != std::mem::discriminant(&self.shape) && judged.shape != Shape::Quiet
        {
            info!("the flood is {}: {}", judged.shape.word(), judged.evidence);
            self.shape = judged.shape;
        }
        self.act_on(&judged, &seen, limits, maps);
        if self.spread_at.elapsed() >= WHILE {
            self.spread_at = Instant::now();
            self.shape = judged.shape;
            if let Err(error) = maps.empty_spreading() {
                warn!("how a flood is spread cannot be told: {}", Failure::from(error));
            }
        }
    }

    fn act_on(&mut self, judged: &Judged, seen: &Spreading, limits: &LimitPolicy, maps: &Maps) {
        let rate = match limits.concentrated {
            OnConcentrated::Tell => return,
            OnConcentrated::Limit if limits.prefix == 0 => LIMITED_RATE,
            OnConcentrated::Limit => limits.prefix,
            OnConcentrated::Block => 0,
        };
        let Shape::Concentrated(many) = judged.shape else { return };
        let until = time::tick(time::coarse_ns()) + time::ticks(limits.concentrated_for.as_secs());
        for network in &judged.networks[..many] {
            let whom = culprit(network, seen);
            self.hold(maps, HeldBack { whom, why: HeldWhy::Concentrated, rate, until }, || {
                let part = spread::part(network.votes, seen.samples) * 100.0;
                format!("it made {part:.0}% of the flood; {rate} SYN/s of its unverified sources still pass")
            });
        }
    }

    fn hold(&mut self, maps: &Maps, held: HeldBack, why: impl FnOnce() -> String) {
        let new = !self.told.contains(&held.whom);
        match maps.hold(&held) {
            Ok(()) if new => {
                self.told.push(held.whom);
                info!("{} is held back: {}", held.whom, why());
            }
            Ok(()) => {}
            Err(error) => warn!("{} should be held back and is not: {}", held.whom, Failure::from(error)),
        }
    }

    /// Takes out whose time is over.
    fn forget(&mut self, maps: &Maps) {
        if self.told.is_empty() {
            return;
        }
        let tick = time::tick(time::coarse_ns());
        for over in maps.held().unwrap_or_default().iter().filter(|held| (held.until.wrapping_sub(tick) as i32) <= 0) {
            info!("{} is held back no longer", over.whom);
            self.told.retain(|whom| *whom != over.whom);
            if let Err(error) = maps.release(over.whom) {
                warn!("{} stays in the table: {}", over.whom, Failure::from(error));
            }
        }
    }
}

/// How a flood is spread, and the words for it.
pub struct Judged {
    /// The judgement.
    pub shape: Shape,
    /// What it rests on.
    pub evidence: String,
    /// Networks that stand out, the largest first.
    pub networks: Vec<Part>,
}

/// Judges what the datapath counted; for `status` too.
pub fn judged(seen: &Spreading) -> Judged {
    let networks: Vec<Part> = seen.parts.iter().filter(|part| matches!(part.whom, Whom::Network(_))).copied().collect();
    let votes: Vec<u64> = networks.iter().map(|part| part.votes).collect();
    let names: Vec<String> = networks.iter().map(|part| part.whom.to_string()).collect();
    let counted = Counted { asked: seen.asked, samples: seen.samples, distinct: seen.distinct, networks: &votes };
    Judged { shape: spread::judge(counted), evidence: spread::evidence(counted, &names), networks }
}

/// The network itself, or the one source in it that makes nearly all of its part.
fn culprit(network: &Part, seen: &Spreading) -> Whom {
    let inside = |part: &&Part| match part.whom {
        Whom::Source(address) => Whom::network_of(address) == network.whom,
        Whom::Network(_) => false,
    };
    let first = seen.parts.iter().find(inside);
    first.filter(|source| spread::stands_for(source.votes, network.votes)).map_or(network.whom, |source| source.whom)
}

/// Who has as many connections as it may have: sources first, and networks whose count goes beyond theirs.
fn crowds(peers: &[IpAddr], source: u32, prefix: u32) -> Vec<(Whom, u32)> {
    let mut counts = BTreeMap::<Whom, u32>::new();
    for peer in peers {
        *counts.entry(source_of(*peer)).or_default() += 1;
        *counts.entry(Whom::network_of(*peer)).or_default() += 1;
    }
    let bound = |whom: &Whom| if matches!(whom, Whom::Source(_)) { source } else { prefix };
    let mut crowds: Vec<_> =
        counts.into_iter().filter(|(whom, count)| bound(whom) > 0 && *count >= bound(whom)).collect();
    // The heaviest first: they are in when the table is full.
    crowds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    crowds
}

/// A source as the table of verified sources has it: an IPv4 address, an IPv6 /64.
fn source_of(address: IpAddr) -> Whom {
    match address {
        IpAddr::V4(_) => Whom::Source(address),
        IpAddr::V6(v6) => Whom::Source(Ipv6Addr::from(u128::from(v6) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn sources_and_networks_are_counted_apart() {
        let peers = addresses(&["198.18.0.1", "198.18.0.1", "198.18.0.2", "203.0.113.1", "2001:db8::1", "2001:db8::2"]);
        let names = |source, prefix| -> Vec<_> {
            crowds(&peers, source, prefix).iter().map(|(whom, count)| (whom.to_string(), *count)).collect()
        };
        assert_eq!(names(2, 0), [("198.18.0.1".to_owned(), 2), ("2001:db8::/64".to_owned(), 2)]);
        assert_eq!(names(0, 3), [("198.18.0.0/24".to_owned(), 3)]);
        assert!(names(0, 0).is_empty());
    }

    /// The table of those who are held has room for fewer than that.
    #[test]
    fn of_more_than_there_is_room_for_the_heaviest_come_first() {
        let many = (0..20_000_u32).flat_map(|n| {
            let address = IpAddr::from(std::net::Ipv4Addr::from(0xc612_0000 + n));
            std::iter::repeat_n(address, if n == 19_999 { 9 } else { 2 + n as usize % 3 })
        });
        let crowds = crowds(&many.collect::<Vec<_>>(), 2, 0);
        assert_eq!(crowds.len(), 20_000);
        assert_eq!((crowds[0].0.to_string(), crowds[0].1), ("198.18.78.31".to_owned(), 9));
        assert!(crowds.windows(2).all(|two| two[0].1 >= two[1].1));
    }

    #[test]
    fn one_source_is_held_instead_of_its_network_where_it_makes_it() {
        let network = Part { whom: Whom::Network("198.18.0.0".parse().unwrap()), votes: 100 };
        let source = |text: &str, votes| Part { whom: Whom::Source(text.parse().unwrap()), votes };
        let mut seen = Spreading { parts: vec![network, source("198.18.1.5", 99)], ..Spreading::default() };
        assert_eq!(culprit(&network, &seen), network.whom);
        seen.parts.push(source("198.18.0.7", 95));
        assert_eq!(culprit(&network, &seen).to_string(), "198.18.0.7");
    }
}
