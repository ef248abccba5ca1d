//! An incident as the flood of a drill: what hit this host, or another one, comes once more.
//!
//! Of what the daemon wrote down this takes the highest rate of SYNs, the ports with their backlogs, and how the sources were spread.
//! Their addresses become the lab's own.

use std::path::Path;

use sekisho_datapath::Pins;
use sekisho_engine::incident::{Incident, Spread, SpreadShape, Store};
use sekisho_engine::observe::record::clock;
use sekisho_engine::observe::record::state::SourceCount;
use sekisho_lab::flood::{RATE_MAX, SOURCES_MAX};
use sekisho_lab::trial::Report;
use sekisho_lab::trial::origin::Part;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::incidents;

/// Ports that are drilled, one after the other.
const PORTS_MAX: usize = 3;
/// Addresses of a network in which none stands out.
const NEIGHBOURS: usize = 200;
/// Below this share of the rate the flood was not what it should have been.
const REACHED: f64 = 0.85;

/// What is taken of an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Its number.
    pub number: u64,
    /// When it began, in local time.
    began: String,
    /// Its most SYNs within a second.
    recorded: u64,
    /// As many of them as the generator may send.
    pub rate: u32,
    /// Ports with their backlogs, the fullest first.
    pub ports: Vec<(u16, i32)>,
    /// Networks that made a large part of it; none if it was scattered.
    pub parts: Vec<Part>,
    /// From how many addresses it came, where those were few enough to be counted.
    pub sources: Option<usize>,
    /// Whether it came over IPv6, as far as was seen.
    pub v6: bool,
}

/// What `--incident` names: the number of one that was written down here, or the file of one, also from another machine.
pub fn named(name: &str) -> Result<Past, Failure> {
    let incident = match name.parse() {
        Ok(number) => incidents::load(number).map_err(Failure::usage)?,
        Err(_) => Store::load(Path::new(name)).map_err(|error| {
            Failure::from_error(format!("{name} cannot be read as an incident"), error)
                .hint("--incident takes a number of `sekisho incidents`, or a file of those that it lists")
                .usage()
        })?,
    };
    let none = || Failure::new(format!("in incident {} no SYN was counted", incident.number)).usage();
    Past::of(&incident).ok_or_else(none)
}

/// The newest that was written down here, if there is one.
pub fn newest() -> Option<Past> {
    newest_of(&incidents::store(&Pins::here().ok()?))
}

fn newest_of(store: &Store) -> Option<Past> {
    store.list().ok()?.incidents.iter().find_map(Past::of)
}

impl Past {
    /// `None` if too little of it was seen to repeat it.
    fn of(incident: &Incident) -> Option<Self> {
        let recorded = incident.syns_peak.map(|peak| peak.per_second).filter(|rate| *rate > 0)?;
        let spread = incident.spread.as_ref();
        let (parts, sources) = spread.map_or((Vec::new(), None), origin);
        let first = spread.and_then(|spread| spread.networks.first().or(spread.sources.first()));
        Some(Self {
            number: incident.number,
            began: clock::local_text(incident.begun),
            recorded,
            rate: u32::try_from(recorded).unwrap_or(RATE_MAX).min(RATE_MAX),
            ports: ports(incident),
            parts,
            sources,
            v6: first.is_some_and(|first| first.address.is_ipv6()),
        })
    }

    /// What will be sent, in words. `newest` is whether nobody asked for this one.
    pub fn told(&self, newest: bool, seconds: u64) -> String {
        let mut text = if newest { "The newest incident, " } else { "Incident " }.to_owned();
        let from = match (self.parts.len(), self.sources) {
            (0, None) => "scattered sources".to_owned(),
            (0, Some(sources)) => format!("some {sources} sources"),
            (1, _) => "one network above all".to_owned(),
            (networks, _) => format!("{networks} networks above all"),
        };
        text += &format!(
            "{} of {}, had up to {} SYNs a second, from {from}.\nFor {seconds} s as many are sent again",
            self.number, self.began, self.recorded
        );
        if u64::from(self.rate) < self.recorded {
            text += &format!(" as the generator may send, {}", self.rate);
        }
        text += ", from the lab's addresses in place of the recorded ones.\n";
        if newest {
            text += "--incident N takes another one; --rate, --kind or --sources a flood that you choose.\n";
        }
        text
    }

    /// Whether it would be survived, in words.
    pub fn verdict(&self, holds: bool, reports: &[(u16, Report)], seconds: u64) -> String {
        let would = if holds { "would" } else { "would not" };
        let mut text = format!("You {would} survive incident {}.", self.number);
        let reached = reached(reports, seconds);
        if reached < REACHED * self.recorded as f64 {
            text += &format!(
                " That is as far as it could be tried: the generator sent {reached:.0} of {} SYNs a second.",
                self.recorded
            );
        }
        text + "\n"
    }

    /// The same as JSON.
    pub fn value(&self, holds: bool, reports: &[(u16, Report)], seconds: u64) -> Value {
        json!({
            "number": self.number,
            "syns_per_second": self.recorded,
            "sent_per_second": reached(reports, seconds).round(),
            "networks": self.parts.len(),
            "sources": self.sources,
            "survived": holds,
        })
    }
}

/// The rate that was reached at every port.
fn reached(reports: &[(u16, Report)], seconds: u64) -> f64 {
    let least = reports.iter().map(|(_, report)| report.flood.flooded).min().unwrap_or(0);
    least as f64 / seconds.max(1) as f64
}

fn ports(incident: &Incident) -> Vec<(u16, i32)> {
    let mut services: Vec<_> = incident.services.iter().collect();
    services.sort_by_key(|(port, service)| (std::cmp::Reverse(service.syn_queue_max), **port));
    let backlog = |backlog: u32| i32::try_from(backlog.clamp(1, 65535)).unwrap_or(128);
    services.iter().take(PORTS_MAX).map(|(port, service)| (**port, backlog(service.backlog))).collect()
}

/// Networks that made a large part of it, or from how many sources it came.
fn origin(spread: &Spread) -> (Vec<Part>, Option<usize>) {
    let samples = spread.samples.max(1);
    if spread.shape == SpreadShape::Concentrated {
        let part = |network: &SourceCount| {
            // Where one source makes four fifths of its network's part, it is that one alone.
            let one = |source: &SourceCount| within(network, source) && source.count * 5 >= network.count * 4;
            let addresses = if spread.sources.iter().any(one) { 1 } else { NEIGHBOURS };
            Part { share: network.count as f64 / samples as f64, addresses }
        };
        return (spread.networks.iter().map(part).collect(), None);
    }
    // Where most sources were seen once, there are many more than were seen.
    let few = spread.distinct > 0 && spread.distinct * 2 <= samples && spread.distinct <= SOURCES_MAX as u64;
    (Vec::new(), few.then_some(spread.distinct as usize))
}

/// Whether the source belongs to the network.
fn within(network: &SourceCount, source: &SourceCount) -> bool {
    let high = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        std::net::IpAddr::V6(v6) => u128::from(v6),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(network.prefix_length.min(128))).unwrap_or(0);
    network.address.is_ipv4() == source.address.is_ipv4() && high(network.address) & mask == high(source.address) & mask
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sekisho_engine::incident::{Peak, Service};
    use sekisho_engine::observe::record::Time;

    use super::*;

    fn counted(address: &str, prefix_length: u8, count: u64) -> SourceCount {
        SourceCount { address: address.parse().unwrap(), prefix_length, count }
    }

    fn spread(shape: SpreadShape, distinct: u64) -> Spread {
        let (networks, sources) = (Vec::new(), Vec::new());
        Spread { at: Time(0), shape, asked: 32_000, samples: 1000, distinct, networks, sources }
    }

    fn incident(number: u64, per_second: u64, spread: Option<Spread>) -> Incident {
        let mut incident = Incident::begin(number, Time::from_seconds(1_795_999_000), BTreeMap::new());
        incident.syns_peak = Some(Peak { at: Time(0), per_second });
        incident.spread = spread;
        for (port, syn_queue_max) in [(22, 5), (25, 60), (80, 90), (443, 60)] {
            incident.services.insert(port, Service { syn_queue_max, backlog: 128, ..Service::default() });
        }
        incident
    }

    #[test]
    fn a_scattered_one_comes_from_everywhere_or_from_as_many_as_there_were() {
        let past = Past::of(&incident(7, 311_842, Some(spread(SpreadShape::Scattered, 990)))).unwrap();
        assert_eq!((past.rate, past.sources, past.v6), (311_842, None, false));
        assert_eq!(past.ports, [(80, 128), (25, 128), (443, 128)], "the fullest first");
        assert!(past.told(true, 8).contains("311842 SYNs a second, from scattered sources"), "{}", past.told(true, 8));
        let few = Past::of(&incident(7, 5000, Some(spread(SpreadShape::Scattered, 300)))).unwrap();
        assert_eq!(few.sources, Some(300));
        assert_eq!(Past::of(&incident(7, 5000, None)).unwrap().sources, None, "too little seen");
    }

    #[test]
    fn a_concentrated_one_keeps_its_networks() {
        let mut spread = spread(SpreadShape::Concentrated, 40);
        spread.networks = vec![counted("192.0.2.0", 24, 500), counted("203.0.113.0", 24, 100)];
        spread.sources = vec![counted("192.0.2.9", 32, 450), counted("203.0.113.5", 32, 50)];
        let past = Past::of(&incident(8, 900, Some(spread.clone()))).unwrap();
        assert_eq!(past.parts, [Part { share: 0.5, addresses: 1 }, Part { share: 0.1, addresses: NEIGHBOURS }]);
        assert!(past.told(false, 1).contains("2 networks"), "{}", past.told(false, 1));
        spread.networks = vec![counted("2001:db8:0:100::", 56, 700)];
        spread.sources = vec![counted("2001:db8:0:17f::", 64, 700)];
        let past = Past::of(&incident(8, 900, Some(spread))).unwrap();
        assert!(past.v6 && past.parts == [Part { share: 0.7, addresses: 1 }], "{past:?}");
    }

    #[test]
    fn more_than_the_generator_gives_is_said_so() {
        let past = Past::of(&incident(9, 20_000_000, None)).unwrap();
        assert_eq!(past.rate, RATE_MAX);
        assert!(past.told(false, 8).contains("as the generator may send, 6000000"), "{}", past.told(false, 8));
        let mut report = Report::default();
        report.flood.flooded = 8_000_000;
        let said = past.verdict(true, &[(80, report)], 8);
        assert!(said.starts_with("You would survive incident 9. That is as far"), "{said}");
        assert!(said.contains("sent 1000000 of 20000000"), "{said}");
    }

    #[test]
    fn the_newest_that_says_something_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert_eq!(newest_of(&store), None);
        for (number, rate) in [(1, 100), (2, 200), (3, 0)] {
            store.keep(&incident(number, rate, None)).unwrap();
        }
        assert_eq!(newest_of(&store).unwrap().number, 2);
        let file = folder.path().join("1.json");
        assert_eq!(named(file.to_str().unwrap()).unwrap().recorded, 100);
        assert!(named(folder.path().join("3.json").to_str().unwrap()).is_err());
        assert!(named("/nowhere/4.json").is_err());
    }
}
