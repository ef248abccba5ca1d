//! The record as rows over time, for charts: each a series of numbers with its unit, and marks where something happened.

use std::collections::{BTreeMap, HashMap};
use std::mem::{Discriminant, discriminant};

use serde::{Deserialize, Serialize};

use crate::observe::record::metric::Unit;
use crate::observe::record::packets::Step;
use crate::observe::record::{EventKind, Metric, Packets, Record, Span, Time};

/// No series has more points; of those that fall together the largest is kept (for what is scarce when it is low, the smallest).
pub const POINTS_MAX: usize = 240;
/// No more marks than these; the rarest kinds are kept whole, of the others the first.
pub const MARKS_MAX: usize = 120;

/// A row of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// SYNs a second, where a capture or the datapath counts them.
    Syns,
    /// Cookies sent a second.
    CookiesSent,
    /// Connections completed a second.
    Completions,
    /// Half-open connections.
    HalfOpen,
    /// Connections waiting to be accepted.
    AcceptQueue,
    /// Handshakes that a full accept queue turned away, a second.
    Overflows,
    /// TCP segments received a second.
    SegmentsIn,
    /// Requests a minute, from access logs.
    Requests,
    /// Established connections.
    Established,
    /// Memory available.
    MemoryAvailable,
    /// Swap in use.
    SwapUsed,
    /// Load average of one minute.
    Load,
    /// Workers busy.
    Workers,
    /// Entries of connection tracking.
    Conntrack,
    /// Soft interrupts on the busiest CPU.
    Softirq,
}

/// A series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Which row.
    pub row: Row,
    /// What its numbers are.
    pub unit: Unit,
    /// Moments and values.
    pub points: Vec<(Time, f64)>,
    /// The value that matters most, the largest or for scarce things the smallest, and when.
    pub extreme: (Time, f64),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: Time,
    /// How often, within about the width of a point.
    pub count: u64,
    /// What.
    pub event: EventKind,
}

/// All rows over the same time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// From when until when.
    pub span: Option<Span>,
    /// Rows that have anything to show, in the order in which they are to be drawn.
    pub series: Vec<Series>,
    /// What happened, in the order of time.
    pub marks: Vec<Mark>,
    /// Events that found no room among the marks.
    pub marks_left_out: u64,
}

impl Row {
    /// All of them, in the order in which they are drawn.
    pub const ALL: &[Self] = &[
        Self::Syns,
        Self::CookiesSent,
        Self::Completions,
        Self::HalfOpen,
        Self::AcceptQueue,
        Self::Overflows,
        Self::SegmentsIn,
        Self::Requests,
        Self::Established,
        Self::Workers,
        Self::MemoryAvailable,
        Self::SwapUsed,
        Self::Load,
        Self::Conntrack,
        Self::Softirq,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syns => "syns",
            Self::CookiesSent => "cookies-sent",
            Self::Completions => "completions",
            Self::HalfOpen => "half-open",
            Self::AcceptQueue => "accept-queue",
            Self::Overflows => "overflows",
            Self::SegmentsIn => "segments-in",
            Self::Requests => "requests",
            Self::Established => "established",
            Self::Workers => "workers",
            Self::MemoryAvailable => "memory-available",
            Self::SwapUsed => "swap-used",
            Self::Load => "load",
            Self::Conntrack => "conntrack",
            Self::Softirq => "softirq",
        }
    }

    /// Whether little of it is what matters.
    pub const fn scarce(self) -> bool {
        matches!(self, Self::MemoryAvailable)
    }
}

/// Draws it.
pub fn draw(record: &Record, span: Option<Span>) -> Timeline {
    let span = span.filter(|span| span.length_ms() > 0);
    let within = |at: Time| span.is_none_or(|span| span.contains(at));
    let rows = Row::ALL.iter().filter_map(|row| {
        let points: Vec<_> = points(record, *row).into_iter().filter(|(at, _)| within(*at)).collect();
        series(*row, points, span)
    });
    let series = rows.collect();
    let (marks, marks_left_out) = marks(record, span);
    Timeline { span, series, marks, marks_left_out }
}

/// What a row shows, in the order of time.
fn points(record: &Record, row: Row) -> Vec<(Time, f64)> {
    let metric = match row {
        Row::Syns => return syns(record),
        Row::Completions => return completions(record),
        Row::Requests => return requests(record),
        Row::CookiesSent => Metric::CookiesSent,
        Row::HalfOpen => Metric::HalfOpen,
        Row::AcceptQueue => Metric::AcceptQueues,
        Row::Overflows => Metric::ListenOverflows,
        Row::SegmentsIn => Metric::SegmentsIn,
        Row::Established => Metric::Established,
        Row::Workers => Metric::WorkersBusy,
        Row::MemoryAvailable => Metric::MemoryAvailable,
        Row::SwapUsed => Metric::SwapUsed,
        Row::Load => Metric::Load1,
        Row::Conntrack => Metric::ConntrackEntries,
        Row::Softirq => Metric::CpuSoftirqBusiest,
    };
    record.series(metric).collect()
}

/// SYNs a second: counted by the datapath, else of captures.
fn syns(record: &Record) -> Vec<(Time, f64)> {
    let counted: Vec<_> = record.series(Metric::Syns).collect();
    if counted.is_empty() { captured(record, |step| step.syns) } else { counted }
}

/// Completed connections a second: of the kernel's counters, else of captures.
fn completions(record: &Record) -> Vec<(Time, f64)> {
    let counted: Vec<_> = record.series(Metric::PassiveOpens).collect();
    if counted.is_empty() { captured(record, |step| step.completed) } else { counted }
}

fn captured(record: &Record, count: impl Fn(&Step) -> u64) -> Vec<(Time, f64)> {
    let of = |packets: &Packets| {
        let seconds = packets.step_ms.max(1) as f64 / 1000.0;
        packets.steps.iter().map(|step| (step.at, count(step) as f64 / seconds)).collect::<Vec<_>>()
    };
    let mut points: Vec<_> = record.packets.iter().flat_map(of).collect();
    points.sort_by_key(|(at, _)| *at);
    points
}

fn requests(record: &Record) -> Vec<(Time, f64)> {
    let mut minutes: BTreeMap<Time, f64> = BTreeMap::new();
    for traffic in &record.traffic {
        *minutes.entry(traffic.minute).or_default() += traffic.requests as f64;
    }
    minutes.into_iter().collect()
}

const fn unit(row: Row) -> Unit {
    match row {
        Row::Syns | Row::CookiesSent | Row::Completions | Row::Overflows | Row::SegmentsIn => Unit::PerSecond,
        Row::MemoryAvailable | Row::SwapUsed => Unit::Bytes,
        Row::Softirq => Unit::Percent,
        _ => Unit::Count,
    }
}

/// A row; `None`: nothing to show, or nothing but zero.
fn series(row: Row, points: Vec<(Time, f64)>, span: Option<Span>) -> Option<Series> {
    let worse = |one: f64, other: f64| if row.scarce() { one < other } else { one > other };
    let extreme = points.iter().copied().reduce(|worst, point| if worse(point.1, worst.1) { point } else { worst })?;
    let nothing = points.iter().all(|(_, value)| *value == 0.0);
    (!nothing).then(|| Series { row, unit: unit(row), points: thin(points, span, worse), extreme })
}

/// At most [`POINTS_MAX`] points: time in as many equal parts, and of each the worst.
fn thin(points: Vec<(Time, f64)>, span: Option<Span>, worse: impl Fn(f64, f64) -> bool) -> Vec<(Time, f64)> {
    let Some(span) = span.or_else(|| Span::of(points.iter().map(|(at, _)| *at))) else { return points };
    if points.len() <= POINTS_MAX {
        return points;
    }
    let mut parts: BTreeMap<usize, (Time, f64)> = BTreeMap::new();
    for point in points {
        let kept = parts.entry(part(point.0, span)).or_insert(point);
        if worse(point.1, kept.1) {
            *kept = point;
        }
    }
    parts.into_values().collect()
}

/// Into which of [`POINTS_MAX`] parts of the time a moment falls.
fn part(at: Time, span: Span) -> usize {
    let since = at.since_ms(span.from).clamp(0, span.length_ms());
    let part = since as i128 * POINTS_MAX as i128 / i128::from(span.length_ms().max(1));
    (part as usize).min(POINTS_MAX - 1)
}

/// Events as marks: like ones within a part of the time are one mark, and rare kinds come before frequent ones.
fn marks(record: &Record, span: Option<Span>) -> (Vec<Mark>, u64) {
    let Some(span) = span else { return (Vec::new(), 0) };
    let mut marks: Vec<Mark> = Vec::new();
    for event in &record.events {
        let Some(at) = event.at.filter(|at| span.contains(*at)) else { continue };
        let near = marks.iter_mut().rev().take_while(|mark| part(mark.at, span) == part(at, span));
        match near.into_iter().find(|mark| mark.event == event.kind) {
            Some(mark) => mark.count += event.count,
            None => marks.push(Mark { at, count: event.count, event: event.kind.clone() }),
        }
    }
    let left_out = marks.len().saturating_sub(MARKS_MAX);
    if left_out > 0 {
        let mut of_kind: HashMap<Discriminant<EventKind>, usize> = HashMap::new();
        for mark in &marks {
            *of_kind.entry(discriminant(&mark.event)).or_default() += 1;
        }
        marks.sort_by_key(|mark| (of_kind[&discriminant(&mark.event)], mark.at));
        marks.truncate(MARKS_MAX);
        marks.sort_by_key(|mark| mark.at);
    }
    (marks, left_out as u64)
}
