//! Incidents: what the daemon saw from the moment a service was armed until all were calm again. Several services armed at once are one.
//!
//! - here: an [`Incident`] as it is written down, and as a [`Record`], so that `sekisho explain N` judges it by the rules for everything else;
//! - [`course`]: how it grows from second to second;
//! - [`store`]: one small file for each, numbered for ever, bounded in number and bytes.
//!
//! It holds what no log of the host tells: verdicts, the rate of SYNs, how their sources were spread, the queues. For the rest (web
//! servers' logs, sysstat) [`Incident::record`] looks at what the host itself recorded at that time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observe::record::state::SourceCount;
use crate::observe::record::{Metric, Origin, Record, Sample, Source, Sources, Span, Time};

pub mod course;
pub mod store;

pub use store::Store;

/// The version of an incident's JSON. It grows when a field changes its meaning or goes; new fields come without that.
pub const VERSION: u32 = 1;
/// Steps that are kept; then each becomes twice as long.
pub const STEPS_MAX: usize = 120;
/// Services that are told one by one. Sixty-four are more than a host has; the rest is counted in the steps.
pub const SERVICES_MAX: usize = 64;
/// Of the host's own records so much before and after an incident is looked at, in milliseconds: sysstat's samples are ten minutes apart.
const AROUND_MS: i64 = 900_000;

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// [`VERSION`].
    pub version: u32,
    /// Its number, given once and for ever.
    pub number: u64,
    /// When a service was armed.
    pub begun: Time,
    /// When all services were calm; `None`: it goes on.
    pub ended: Option<Time>,
    /// Whether the daemon was gone before its end: `ended` is then when it was seen last.
    pub interrupted: bool,
    /// When it was seen last.
    pub seen: Time,
    /// Whether packets were only counted, not touched.
    pub observed_only: bool,
    /// The machine's CPUs.
    pub cpus: Option<u32>,
    /// The machine's memory in bytes.
    pub memory_bytes: Option<u64>,
    /// The services that were armed, by port.
    pub services: BTreeMap<u16, Service>,
    /// Every verdict's counter at the beginning, by its name; those at zero are left out.
    pub before: BTreeMap<String, u64>,
    /// And when it was seen last.
    pub after: BTreeMap<String, u64>,
    /// The most SYNs within a second.
    pub syns_peak: Option<Peak>,
    /// How the sources of SYNs were spread when most of them were seen.
    pub spread: Option<Spread>,
    /// The length of a step, in milliseconds.
    pub step_ms: u64,
    /// What happened, step by step.
    pub steps: Vec<Step>,
}

/// A service that was armed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// When it was armed first.
    pub since: Time,
    /// When it was armed last.
    pub until: Time,
    /// "cookie" or "challenge".
    pub method: String,
    /// The backlog in force.
    pub backlog: u32,
    /// The most half-open connections.
    pub syn_queue_max: u32,
    /// The most finished handshakes that waited for the application.
    pub accept_queue_max: u32,
    /// Whether the accept queue was full at some time: the application was slow.
    pub accept_full: bool,
}

/// A highest rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// When.
    pub at: Time,
    /// So many each second.
    pub per_second: u64,
}

/// How the sources of SYNs were spread: see [`crate::spread`], by which it was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// When.
    pub at: Time,
    /// Over many sources, or in few networks.
    pub shape: SpreadShape,
    /// SYNs that met a filling queue or a limit, in the seconds before.
    pub asked: u64,
    /// Of them looked at.
    pub samples: u64,
    /// How many sources these came from, about.
    pub distinct: u64,
    /// Networks that made a large part of the samples, the largest first: at least so many each.
    pub networks: Vec<SourceCount>,
    /// Single sources that did.
    pub sources: Vec<SourceCount>,
}

/// [`crate::spread::Shape`], when enough was seen to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpreadShape {
    /// Over many sources, none of which stands out.
    Scattered,
    /// Half of it or more from few networks.
    Concentrated,
}

impl SpreadShape {
    /// The word used in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scattered => "scattered",
            Self::Concentrated => "concentrated",
        }
    }
}

/// A step of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its end.
    pub at: Time,
    /// Its length in milliseconds.
    pub length_ms: u64,
    /// How often each verdict was met within it, by name; those that were not are left out.
    pub verdicts: BTreeMap<String, u64>,
    /// The kernel's counters as rates, and queues, load and memory at its end (of several seconds: the worst).
    pub values: BTreeMap<Metric, f64>,
}

/// Verdicts that are about a SYN to a listener here.
const SYNS: &[&str] = &[
    "syn_calm",
    "syn_known",
    "syn_unprotected",
    "syn_verified",
    "syn_door",
    "syn_queue",
    "cookie_sent",
    "challenge_sent",
    "accept_full",
    "answer_bound_reached",
    "answer_failed",
    "allowed",
    "over_source",
    "over_prefix",
    "over_service",
    "over_global",
    "limit_asked",
    "over_connections",
    "concentrated",
];
/// A SYN that was answered by asking for proof.
const ASKED: &[&str] = &["cookie_sent", "challenge_sent", "limit_asked"];
/// A proof.
const PROVED: &[&str] = &["cookie_valid", "challenge_proved"];

/// How many verdicts of these names there are.
fn count(verdicts: &BTreeMap<String, u64>, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| verdicts.get(*name)).sum()
}

/// How many SYNs to listeners these verdicts are.
pub fn syns(verdicts: &BTreeMap<String, u64>) -> u64 {
    count(verdicts, SYNS)
}

impl Step {
    /// As a sample. Whoever was asked for proof counts as a cookie sent, whoever gave it as one received: what the kernel's counters of
    /// those names tell of a host without Sekisho, and the kernel's own come on top.
    pub fn sample(&self) -> Sample {
        let seconds = (self.length_ms as f64 / 1000.0).max(0.001);
        let rate = |names: &[&str]| count(&self.verdicts, names) as f64 / seconds;
        let kernel = |metric: Metric| self.values.get(&metric).copied().unwrap_or(0.0);
        let mut values = self.values.clone();
        values.insert(Metric::Syns, rate(SYNS));
        values.insert(Metric::CookiesSent, rate(ASKED) + kernel(Metric::CookiesSent));
        // Where the kernel completes cookies it counts the same ones.
        values.insert(Metric::CookiesReceived, rate(PROVED).max(kernel(Metric::CookiesReceived)));
        Sample { at: self.at, interval_ms: self.length_ms, source: Source::Sekisho, values }
    }
}

impl Incident {
    /// From its beginning to its end, or to when it was seen last.
    pub fn span(&self) -> Span {
        Span { from: self.begun, until: self.ended.unwrap_or(self.seen).max(self.begun) }
    }

    /// How often each verdict was met, by name.
    pub fn verdicts(&self) -> BTreeMap<String, u64> {
        let grown = |(name, after): (&String, &u64)| {
            let grown = after.saturating_sub(self.before.get(name).copied().unwrap_or(0));
            (grown > 0).then(|| (name.clone(), grown))
        };
        self.after.iter().filter_map(grown).collect()
    }

    /// What Sekisho itself saw, and nothing else.
    pub fn facts(&self) -> Record {
        let mut record = Record::empty(Origin::Past);
        self.add_to(&mut record);
        record
    }

    /// The host's own records of that time, with what Sekisho saw: what `sekisho explain N` judges.
    pub fn record(&self) -> Record {
        let span = self.span();
        let around = Span { from: span.from.plus_ms(-AROUND_MS), until: span.until.plus_ms(AROUND_MS) };
        let mut record = Record::of_past(around);
        self.add_to(&mut record);
        record
    }

    /// Adds what Sekisho saw to a record.
    pub fn add_to(&self, record: &mut Record) {
        record.samples.extend(self.steps.iter().map(Step::sample));
        record.covered(Source::Sekisho, Some(self.span()));
        record.host.cpus = record.host.cpus.or(self.cpus);
        record.host.memory_bytes = record.host.memory_bytes.or(self.memory_bytes);
        record.asked = self.spread.as_ref().map(Spread::sources).or(record.asked.take());
        for (port, service) in &self.services {
            // A listener that is still there has its queues of now; those of then are what matters.
            for listener in record.listeners.iter_mut().filter(|listener| listener.local.port() == *port) {
                listener.syn_queue = service.syn_queue_max;
                listener.accept_queue = service.accept_queue_max;
                listener.accept_full = service.accept_full;
            }
        }
        record.sort();
    }
}

impl Spread {
    /// As counts by source. `total` is the number of samples, one of 32 SYNs; counts are lower bounds.
    pub fn sources(&self) -> Sources {
        Sources {
            total: self.samples,
            // An estimate, and so it may be above what it was made of.
            distinct: self.distinct.min(self.samples),
            top: self.sources.clone(),
            top_prefixes: self.networks.clone(),
            by_port: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
