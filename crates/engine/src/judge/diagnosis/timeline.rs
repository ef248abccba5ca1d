//! The record as rows over time, for charts: each a series of numbers with its unit, and marks where something happened.

use serde::{Deserialize, Serialize};

use crate::observe::record::metric::Unit;
use crate::observe::record::{EventKind, Record, Span, Time};

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
pub const fn draw(_record: &Record, span: Option<Span>) -> Timeline {
    Timeline { span, series: Vec::new(), marks: Vec::new(), marks_left_out: 0 }
}
