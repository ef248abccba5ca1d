//! How an incident grows. Pure: the daemon looks once a second and tells what it saw.

use std::collections::BTreeMap;

use super::{Incident, Peak, SERVICES_MAX, STEPS_MAX, Service, Spread, Step, VERSION, syns};
use crate::observe::record::metric::Unit;
use crate::observe::record::{Metric, Time};

/// The kernel's numbers that are kept; the others say little about handshakes and would make files large.
pub const KEPT: &[Metric] = &[
    Metric::PassiveOpens,
    Metric::AttemptFails,
    Metric::SegmentsIn,
    Metric::SegmentsRetransmitted,
    Metric::ResetsSent,
    Metric::Established,
    Metric::ListenOverflows,
    Metric::ListenDrops,
    Metric::CookiesSent,
    Metric::CookiesReceived,
    Metric::CookiesFailed,
    Metric::SynQueueFullDrops,
    Metric::HalfOpen,
    Metric::AcceptQueues,
    Metric::MemoryAvailable,
    Metric::MemoryUsed,
    Metric::MemoryCommitted,
    Metric::SwapUsed,
    Metric::SwapUsedShare,
    Metric::SwapIn,
    Metric::SwapOut,
    Metric::OutOfMemoryKills,
    Metric::PressureMemorySome,
    Metric::PressureMemoryFull,
    Metric::PressureCpuSome,
    Metric::Load1,
    Metric::RunQueue,
    Metric::CpuIdle,
    Metric::CpuSoftirq,
    Metric::CpuSoftirqBusiest,
    Metric::PacketsIn,
    Metric::BytesIn,
    Metric::BytesOut,
    Metric::InterfaceDropsIn,
    Metric::InterfaceOverruns,
    Metric::SoftnetDrops,
    Metric::ConntrackEntries,
];

/// The daemon looks so often.
const STEP_MS: u64 = 1000;

/// A service as it is in this second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceNow {
    /// "cookie" or "challenge".
    pub method: String,
    /// The backlog in force.
    pub backlog: u32,
    /// Half-open connections.
    pub syn_queue: u32,
    /// Finished handshakes that wait.
    pub accept_queue: u32,
    /// Whether the accept queue is full.
    pub accept_full: bool,
}

impl Incident {
    /// Begins. `before` are the verdicts' counters a moment ago.
    pub fn begin(number: u64, at: Time, before: BTreeMap<String, u64>) -> Self {
        Self {
            version: VERSION,
            number,
            begun: at,
            ended: None,
            interrupted: false,
            seen: at,
            observed_only: false,
            cpus: None,
            memory_bytes: None,
            services: BTreeMap::new(),
            after: before.clone(),
            before,
            syns_peak: None,
            spread: None,
            step_ms: STEP_MS,
            steps: Vec::new(),
        }
    }

    /// A further second: the verdicts' counters now, and the kernel's numbers.
    pub fn step(&mut self, at: Time, counters: BTreeMap<String, u64>, values: &BTreeMap<Metric, f64>) {
        let from = self.steps.last().map_or(self.begun, |step| step.at);
        // A clock that was set back tells no length: then it was what it is usually.
        let length_ms = u64::try_from(at.since_ms(from)).ok().filter(|length| *length > 0).unwrap_or(STEP_MS);
        let grown = |(name, now): (&String, &u64)| {
            let grown = now.saturating_sub(self.after.get(name).copied().unwrap_or(0));
            (grown > 0).then(|| (name.clone(), grown))
        };
        let verdicts: BTreeMap<String, u64> = counters.iter().filter_map(grown).collect();
        let per_second = syns(&verdicts) * 1000 / length_ms;
        if per_second > self.syns_peak.map_or(0, |peak| peak.per_second) {
            self.syns_peak = Some(Peak { at, per_second });
        }
        let values = values.iter().filter(|(metric, _)| KEPT.contains(metric));
        let values = values.map(|(metric, value)| (*metric, *value)).collect();
        self.put(Step { at, length_ms, verdicts, values });
        self.after = counters;
        self.seen = at.max(self.seen);
    }

    /// Puts a second into the last step while that is not as long as a step is now, and makes steps longer when there are too many.
    fn put(&mut self, step: Step) {
        match self.steps.last_mut() {
            Some(last) if last.length_ms + step.length_ms / 2 <= self.step_ms => *last = joined(&[last.clone(), step]),
            _ => self.steps.push(step),
        }
        if self.steps.len() > STEPS_MAX {
            self.steps = self.steps.chunks(2).map(joined).collect();
            self.step_ms *= 2;
        }
    }

    /// An armed service, seen in this second.
    pub fn see_service(&mut self, at: Time, port: u16, now: &ServiceNow) {
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(&port) {
            return;
        }
        let service = self.services.entry(port).or_insert_with(|| Service { since: at, ..Service::default() });
        service.until = at;
        service.method.clone_from(&now.method);
        service.backlog = now.backlog;
        service.syn_queue_max = service.syn_queue_max.max(now.syn_queue);
        service.accept_queue_max = service.accept_queue_max.max(now.accept_queue);
        service.accept_full |= now.accept_full;
    }

    /// How sources are spread in these seconds; what rests on most samples is kept.
    pub fn see_spread(&mut self, spread: Spread) {
        if spread.samples >= self.spread.as_ref().map_or(0, |known| known.samples) {
            self.spread = Some(spread);
        }
    }

    /// All is calm.
    pub fn end(&mut self, at: Time) {
        self.ended = Some(at.max(self.begun));
    }

    /// Nobody looked at its end.
    pub fn break_off(&mut self) {
        self.ended = Some(self.seen);
        self.interrupted = true;
    }
}

/// Several steps as one.
fn joined(steps: &[Step]) -> Step {
    let mut sum = Step { at: Time(0), length_ms: 0, verdicts: BTreeMap::new(), values: BTreeMap::new() };
    for step in steps {
        for (name, count) in &step.verdicts {
            *sum.verdicts.entry(name.clone()).or_default() += count;
        }
        for (metric, value) in &step.values {
            let (before, lengths) = (sum.length_ms as f64, step.length_ms as f64);
            let known = sum.values.entry(*metric).or_insert(*value);
            *known = match metric.unit() {
                Unit::PerSecond | Unit::BytesPerSecond => {
                    (*known * before + value * lengths) / (before + lengths).max(1.0)
                }
                _ if matches!(metric, Metric::MemoryAvailable | Metric::CpuIdle) => known.min(*value),
                _ => known.max(*value),
            };
        }
        sum.length_ms += step.length_ms;
        sum.at = step.at;
    }
    sum
}
