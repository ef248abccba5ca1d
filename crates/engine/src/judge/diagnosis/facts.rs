//! The record as rules ask for it: sums, peaks, what is usual, and the events of the time in question.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::flood::{self, Flood};
use super::rush::Rush;
use super::thresholds::{BAD_A_MINUTE, EPISODE_SECONDS, RECENT_MS, USUAL_VALUES};
use super::{Ask, queues};
use crate::observe::record::{
    Event, EventKind, Listener, Metric, Origin, Record, Sample, Source, Span, Time, WebTraffic,
};

/// A record with what several rules ask of it.
#[derive(Debug)]
pub struct Facts<'r> {
    /// All of the record: what is usual is learned from it.
    pub whole: &'r Record,
    /// What of it is about the time asked for.
    pub record: Cow<'r, Record>,
    /// What is asked.
    pub ask: Ask,
    /// Whether it is about now.
    pub now: bool,
    /// The time that is judged.
    pub span: Option<Span>,
    /// Signs that real clients came in numbers.
    pub rush: Rush,
    /// Signs of a flood of SYNs.
    pub flood: Option<Flood>,
}

impl<'r> Facts<'r> {
    /// Looks at a record.
    pub fn new(record: &'r Record, ask: &Ask) -> Self {
        let limited = match ask.span {
            Some(span) => {
                let mut limited = record.clone();
                limited.limit_to(span);
                Cow::Owned(limited)
            }
            None => Cow::Borrowed(record),
        };
        let now = record.origin == Origin::Live && ask.span.is_none();
        let span = ask.span.or_else(|| if now { recent(record) } else { record.span() });
        let mut facts =
            Self { whole: record, record: limited, ask: *ask, now, span, rush: Rush::default(), flood: None };
        facts.rush = Rush::look(&facts);
        facts.flood = flood::look(&facts);
        facts
    }

    /// How many there were of a metric that is a rate, over the time in question. Samples of several sources may tell of the same time, so the
    /// source that tells most counts. `None`: not measured.
    pub fn sum(&self, metric: Metric) -> Option<f64> {
        let mut sums: BTreeMap<Source, f64> = BTreeMap::new();
        for sample in &self.record.samples {
            let Some(value) = sample.values.get(&metric) else { continue };
            *sums.entry(sample.source).or_default() += value * seconds(sample);
        }
        sums.into_values().max_by(f64::total_cmp)
    }

    /// For how long a metric was looked at, in milliseconds.
    pub fn looked_ms(&self, metric: Metric) -> f64 {
        let with = self.record.samples.iter().filter(|sample| sample.values.contains_key(&metric));
        with.map(seconds).sum::<f64>() * 1000.0
    }

    /// What the kernel counted since it was started, of a metric that is a rate. Only where it counts no faster than now for [`EPISODE_SECONDS`], so
    /// that all of it belongs to the trouble of now; `None`: some of it is old, or it has only just begun.
    pub fn episode(&self, by: Metric) -> Option<impl Fn(Metric) -> f64> {
        let rate = self.record.last(by).filter(|rate| self.now && *rate > 0.0)?;
        let lasts = self.record.totals.get(&by)? / rate;
        let total = |metric| self.record.totals.get(&metric).copied().unwrap_or(0.0);
        EPISODE_SECONDS.contains(&lasts).then_some(total)
    }

    /// The largest value, and when.
    pub fn peak(&self, metric: Metric) -> Option<(Time, f64)> {
        self.record.peak(metric)
    }

    /// The smallest value, and when.
    pub fn low(&self, metric: Metric) -> Option<(Time, f64)> {
        self.record.series(metric).min_by(|one, other| one.1.total_cmp(&other.1))
    }

    /// What is usual: the lower quartile of all that is recorded, so that trouble of up to three quarters of the time does not become usual.
    pub fn usual(&self, metric: Metric) -> Option<f64> {
        quartile(self.whole.series(metric).map(|(_, value)| value).collect())
    }

    /// The events of the time in question. Of now: those of the last minutes.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        let since = self.record.taken.filter(|_| self.now).map(|taken| taken.plus_ms(-RECENT_MS));
        self.record.events.iter().filter(move |event| match (since, event.last.or(event.at)) {
            (Some(since), Some(at)) => at >= since,
            (Some(_), None) => false,
            (None, _) => true,
        })
    }

    /// How often something happened, and when first; `None`: never.
    pub fn happened(&self, is: impl Fn(&EventKind) -> bool) -> Option<(u64, Option<Time>)> {
        let events = self.events().filter(|event| is(&event.kind));
        events.fold(None, |sum, event| {
            let (count, at) = sum.unwrap_or((0, None));
            Some((count + event.count, at.or(event.at)))
        })
    }

    /// The ports that the kernel's message named, of listeners here.
    pub fn message_ports(&self) -> Vec<(u16, Option<Time>)> {
        let port = |event: &Event| match event.kind {
            EventKind::SynFloodingMessage { address, port, .. } if self.is_here(address, port) => {
                Some((port, event.at))
            }
            _ => None,
        };
        let mut ports: Vec<_> = self.events().filter_map(port).collect();
        ports.sort_by_key(|(port, at)| (*port, *at));
        ports.dedup_by_key(|(port, _)| *port);
        ports
    }

    /// Whether the kernel said that a queue here was full and it sends cookies, or drops.
    pub fn message_said(&self, cookies: bool) -> bool {
        self.events().any(|event| match event.kind {
            EventKind::SynFloodingMessage { address, port, cookies: sent } => {
                sent == cookies && self.is_here(address, port)
            }
            _ => false,
        })
    }

    /// Whether a message of the kernel is about a listener here. The kernel's log is the machine's, also of containers and other network
    /// namespaces; now it is known who listens, and whether a queue here was ever full (each message goes with one of these counts).
    fn is_here(&self, address: Option<IpAddr>, port: u16) -> bool {
        let is_it = |listener: &Listener| {
            let ip = listener.local.ip();
            let same = address.is_none_or(|address| ip.is_unspecified() || ip.to_canonical() == address.to_canonical());
            listener.local.port() == port && same
        };
        let counted = |metric| self.record.totals.get(&metric);
        let counts: Vec<_> =
            [Metric::SynQueueFullCookies, Metric::SynQueueFullDrops].into_iter().filter_map(counted).collect();
        let never = !counts.is_empty() && counts.iter().all(|count| **count == 0.0);
        !self.now || self.record.listeners.iter().any(is_it) && !never
    }

    /// The listener on a port with the shortest queue.
    pub fn listener(&self, port: u16) -> Option<&Listener> {
        let on_port = self.record.listeners.iter().filter(|listener| listener.local.port() == port);
        on_port.min_by_key(|listener| listener.backlog / listener.sockets.max(1))
    }

    /// The row of the queue table for a port.
    pub fn queue(&self, port: u16) -> Option<queues::QueueRow> {
        self.listener(port).map(|listener| queues::row(listener, &self.record))
    }

    /// Handshakes that full accept queues turned away.
    pub fn overflows(&self) -> f64 {
        self.sum(Metric::ListenOverflows).unwrap_or(0.0)
    }

    /// SYNs that a full queue dropped since cookies are off; `None`: none, or they are on. Where `tcp_max_syn_backlog` stops the queue the
    /// kernel counts them among all that listeners dropped only.
    pub fn dropped_for_no_cookies(&self) -> Option<f64> {
        let counted = self.sum(Metric::SynQueueFullDrops).unwrap_or(0.0);
        let off = self.record.sysctl("net.ipv4.tcp_syncookies") == Some(0);
        let all = self.sum(Metric::ListenDrops).filter(|_| off).unwrap_or(0.0);
        Some(counted.max(all - self.overflows())).filter(|dropped| *dropped >= 1.0)
    }

    /// SYNs that met a full SYN queue; `None`: not measured.
    pub fn queue_full(&self) -> Option<f64> {
        let full = [Metric::SynQueueFullCookies, Metric::CookiesSent].map(|metric| self.sum(metric));
        full.into_iter().chain([self.dropped_for_no_cookies()]).flatten().max_by(f64::total_cmp)
    }

    /// Requests and answers of all access logs together, by minute.
    pub fn requests_by_minute(record: &Record) -> BTreeMap<Time, (u64, u64)> {
        let mut minutes: BTreeMap<Time, (u64, u64)> = BTreeMap::new();
        for traffic in &record.traffic {
            let minute = minutes.entry(traffic.minute).or_default();
            minute.0 += traffic.requests;
            minute.1 += traffic.clients;
        }
        minutes
    }

    /// Of those minutes in which at least this share of the requests was of a sort: how many of the sort, and all requests. A bad hour does not
    /// drown in a good week.
    pub fn bad_minutes(&self, share: f64, of: impl Fn(&WebTraffic) -> u64) -> (u64, u64) {
        let is_bad = |some: &&WebTraffic| of(some) >= BAD_A_MINUTE && of(some) as f64 >= share * some.requests as f64;
        let bad = self.record.traffic.iter().filter(is_bad);
        bad.fold((0, 0), |(bad, all), some| (bad + of(some), all + some.requests))
    }

    /// All requests in the time in question; `None`: no access log tells.
    pub fn requests(&self) -> Option<u64> {
        let all = self.record.traffic.iter().map(|traffic| traffic.requests);
        (!self.record.traffic.is_empty()).then(|| all.sum())
    }
}

/// The lower quartile; `None`: too few values.
pub fn quartile(mut values: Vec<f64>) -> Option<f64> {
    if values.len() < USUAL_VALUES {
        return None;
    }
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 4).copied()
}

fn seconds(sample: &Sample) -> f64 {
    sample.interval_ms as f64 / 1000.0
}

/// What of a live record is about now.
fn recent(record: &Record) -> Option<Span> {
    record.taken.map(|taken| Span { from: taken.plus_ms(-RECENT_MS), until: taken })
}

/// A number of things, from a sum of rates.
pub fn whole(sum: f64) -> u64 {
    sum.round().max(0.0) as u64
}
