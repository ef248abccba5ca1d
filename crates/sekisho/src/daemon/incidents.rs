//! Writes incidents down: from the first armed service until all are calm again. See [`sekisho_engine::incident`].
//!
//! While all is calm this reads the verdicts' counters once a second, so that an incident's first second is not lost, and nothing else.
//! A record is a convenience: whatever fails here is told once and stops nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sekisho_datapath::limits::{Spreading, Whom};
use sekisho_datapath::{Maps, Pins, Verdict};
use sekisho_engine::incident::course::ServiceNow;
use sekisho_engine::incident::{Incident, Spread, SpreadShape, Store};
use sekisho_engine::observe::listeners;
use sekisho_engine::observe::record::live::counters::Counters;
use sekisho_engine::observe::record::live::{host, now};
use sekisho_engine::observe::record::{Metric, SourceCount, Time};
use sekisho_engine::policy::{Mode, PortSettings};
use sekisho_engine::spread::Shape;
use tracing::{info, warn};

use super::limits::judged;
use crate::failure::Failure;
use crate::incidents::store;

/// How often an incident that goes on is written.
const SAVE: Duration = Duration::from_secs(10);
/// An incident that a daemon before left open is taken up again if it was seen so lately, in milliseconds: a restart takes a moment.
const RESUME_MS: i64 = 120_000;
/// Networks and sources of a spread that are kept.
const PARTS_MAX: usize = 10;

/// What is known from one second to the next.
#[derive(Debug)]
pub struct Incidents {
    store: Store,
    open: Option<Incident>,
    /// The verdicts a moment ago.
    before: Option<(Time, BTreeMap<String, u64>)>,
    /// The kernel's counters a moment ago, during an incident.
    counters: Option<(Instant, Counters)>,
    saved_at: Instant,
    /// When queues were looked at, and how long that took.
    queues_at: Instant,
    queues_took: Duration,
    told: bool,
}

/// What the daemon knows in this second.
pub struct Second<'a> {
    /// The programs' maps.
    pub maps: &'a Maps,
    /// The ports that are armed.
    pub armed: &'a BTreeSet<u16>,
    /// Every port's settings.
    pub ports: &'a [PortSettings],
    /// Whether packets are touched.
    pub mode: Mode,
}

impl Incidents {
    /// Takes up an incident that a daemon before left open, if that was a moment ago; an older one was broken off.
    pub fn resume(pins: &Pins, maps: &Maps) -> Self {
        let began = Instant::now();
        let mut incidents = Self {
            store: store(pins),
            open: None,
            before: verdicts(maps).ok().map(|verdicts| (now(), verdicts)),
            counters: None,
            saved_at: began,
            queues_at: began,
            queues_took: Duration::ZERO,
            told: false,
        };
        if let Some(mut incident) = incidents.store.unfinished() {
            if (0..RESUME_MS).contains(&now().since_ms(incident.seen)) {
                incidents.open = Some(incident);
            } else {
                incident.break_off();
                let kept = incidents.store.keep(&incident);
                incidents.tell(kept);
            }
        }
        incidents
    }

    /// What happens every second.
    pub fn tick(&mut self, second: &Second<'_>) {
        let Ok(verdicts) = verdicts(second.maps) else { return };
        let at = now();
        if second.armed.is_empty() {
            self.end(at, &verdicts);
        } else {
            self.go_on(at, &verdicts, second);
        }
        self.before = Some((at, verdicts));
    }

    fn go_on(&mut self, at: Time, verdicts: &BTreeMap<String, u64>, second: &Second<'_>) {
        if self.open.is_none() {
            self.open = self.begin(at, verdicts, second.mode);
        }
        let queues = self.queues();
        let values = self.values(queues.as_deref());
        let Some(incident) = &mut self.open else { return };
        incident.step(at, verdicts.clone(), &values);
        for port in second.armed {
            let mut seen = queues.as_deref().map_or_else(ServiceNow::default, |queues| service(queues, *port));
            seen.method = second.ports.get(usize::from(*port)).map_or("", |port| port.method.word()).to_owned();
            incident.see_service(at, *port, &seen);
        }
        if let Some(spread) = second.maps.spreading().ok().and_then(|seen| spread(at, &seen)) {
            incident.see_spread(spread);
        }
        if self.saved_at.elapsed() >= SAVE || incident.steps.len() == 1 {
            self.saved_at = Instant::now();
            let noted = self.store.note(incident);
            self.tell(noted);
        }
    }

    fn begin(&mut self, at: Time, verdicts: &BTreeMap<String, u64>, mode: Mode) -> Option<Incident> {
        let number = match self.store.next_number() {
            Ok(number) => number,
            Err(error) => {
                self.tell(Err(error));
                return None;
            }
        };
        info!("incident {number} begins (`sekisho incidents`)");
        let (begun, before) = self.before.clone().unwrap_or_else(|| (at, verdicts.clone()));
        // Of a counter that was reset, by a new generation of the programs, there is no before.
        let is_earlier = (0..5000).contains(&at.since_ms(begun));
        let mut incident = if is_earlier {
            Incident::begin(number, begun, before)
        } else {
            Incident::begin(number, at, verdicts.clone())
        };
        let machine = host::host();
        (incident.cpus, incident.memory_bytes) = (machine.cpus, machine.memory_bytes);
        incident.observed_only = mode == Mode::Observe;
        self.counters = Some((Instant::now(), Counters::read()));
        Some(incident)
    }

    fn end(&mut self, at: Time, verdicts: &BTreeMap<String, u64>) {
        let Some(mut incident) = self.open.take() else { return };
        let values = self.values(None);
        incident.step(at, verdicts.clone(), &values);
        incident.end(at);
        self.counters = None;
        let seconds = incident.span().length_ms() / 1000;
        info!("incident {0} is over after {seconds} s (`sekisho explain {0}`)", incident.number);
        let kept = self.store.keep(&incident);
        self.tell(kept);
    }

    /// The daemon stops: what was seen so far is on disk.
    pub fn save(&mut self) {
        if let Some(incident) = &self.open {
            let noted = self.store.note(incident);
            self.tell(noted);
        }
    }

    /// All queues, but for no more than a tenth of the time: many thousand half-open connections take a while to list.
    fn queues(&mut self) -> Option<Vec<listeners::Service>> {
        if self.queues_at.elapsed() < self.queues_took * 10 {
            return None;
        }
        self.queues_at = Instant::now();
        let queues = listeners::services().ok();
        self.queues_took = self.queues_at.elapsed();
        queues
    }

    /// The kernel's numbers since the last look.
    fn values(&mut self, queues: Option<&[listeners::Service]>) -> BTreeMap<Metric, f64> {
        let (at, read) = (Instant::now(), Counters::read());
        let since = self.counters.as_ref().map(|(then, before)| read.since(before, at.duration_since(*then)));
        self.counters = Some((at, read));
        let mut values = since.unwrap_or_default();
        if let Some(queues) = queues {
            let sum = |of: fn(&listeners::Service) -> u32| queues.iter().map(|queue| f64::from(of(queue))).sum();
            values.insert(Metric::HalfOpen, sum(|queue| queue.syn_queue));
            values.insert(Metric::AcceptQueues, sum(|queue| queue.accept_queue));
        }
        values
    }

    /// A disk that is full stays so: that is told once.
    fn tell(&mut self, done: std::io::Result<()>) {
        match done {
            Ok(()) => self.told = false,
            Err(error) if !self.told => {
                self.told = true;
                let what = format!("incidents cannot be written down in {}", self.store.folder().display());
                warn!("{}", Failure::from_error(what, error).line());
            }
            Err(_) => {}
        }
    }
}

/// The counters of the verdicts that were met, by name.
fn verdicts(maps: &Maps) -> Result<BTreeMap<String, u64>, sekisho_datapath::Error> {
    let counts = maps.verdicts()?;
    let met = Verdict::ALL.iter().map(|verdict| (verdict.name().to_owned(), counts[usize::from(verdict.number())]));
    Ok(met.filter(|(_, count)| *count > 0).collect())
}

/// The service on a port; on several addresses, all together.
fn service(queues: &[listeners::Service], port: u16) -> ServiceNow {
    let here = queues.iter().filter(|queue| queue.local.port() == port);
    here.fold(ServiceNow::default(), |sum, queue| ServiceNow {
        backlog: sum.backlog.max(queue.backlog),
        syn_queue: sum.syn_queue + queue.syn_queue,
        accept_queue: sum.accept_queue + queue.accept_queue,
        accept_full: sum.accept_full || queue.accept_full,
        ..sum
    })
}

/// What the datapath counted of sources, if that is enough to say anything.
fn spread(at: Time, seen: &Spreading) -> Option<Spread> {
    let shape = match judged(seen).shape {
        Shape::Quiet => return None,
        Shape::Scattered => SpreadShape::Scattered,
        Shape::Concentrated(_) => SpreadShape::Concentrated,
    };
    let mut spread = Spread {
        at,
        shape,
        asked: seen.asked,
        samples: seen.samples,
        distinct: seen.distinct,
        networks: Vec::new(),
        sources: Vec::new(),
    };
    for part in &seen.parts {
        let (list, address, length4, length6) = match part.whom {
            Whom::Network(address) => (&mut spread.networks, address, 24, 56),
            Whom::Source(address) => (&mut spread.sources, address, 32, 64),
        };
        let prefix_length = if address.is_ipv4() { length4 } else { length6 };
        if list.len() < PARTS_MAX {
            list.push(SourceCount { address, prefix_length, count: part.votes });
        }
    }
    Some(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_networks_and_sources_apart() {
        let part = |whom, votes| sekisho_datapath::limits::Part { whom, votes };
        let parts = vec![
            part(Whom::Network("198.18.7.0".parse().unwrap()), 900),
            part(Whom::Source("2001:db8:7::".parse().unwrap()), 60),
        ];
        let seen = Spreading { asked: 32_000, samples: 1000, distinct: 200, parts };
        let found = spread(Time(5), &seen).unwrap();
        assert_eq!((found.shape, found.networks[0].prefix_length), (SpreadShape::Concentrated, 24));
        assert_eq!((found.sources[0].prefix_length, found.sources[0].count), (64, 60));
        assert_eq!(spread(Time(5), &Spreading { samples: 99, ..seen }), None, "too few to say");
    }

    #[test]
    fn a_service_on_several_addresses_is_one() {
        let queue = |local: &str, syn_queue, accept_full| listeners::Service {
            local: local.parse().unwrap(),
            dual_stack: false,
            listeners: 1,
            syn_queue,
            accept_queue: 1,
            backlog: 128,
            accept_full,
        };
        let queues = [queue("0.0.0.0:80", 3, false), queue("[::1]:80", 4, true), queue("0.0.0.0:81", 9, false)];
        let seen = service(&queues, 80);
        assert_eq!((seen.syn_queue, seen.accept_queue, seen.backlog, seen.accept_full), (7, 2, 128, true));
    }
}
