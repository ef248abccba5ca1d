//! What was: everything that `doctor` and `explain` judge by, as one value, [`Record`].
//!
//! The same type holds what is seen now ([`Record::live`]) and what files tell of another time or machine ([`Record::from_dir`]).
//! Whatever a source does not tell is absent, never zero: a missing [`Metric`] in a [`Sample`], an empty list, a `None`. And what could
//! not be looked at is data too: [`Unseen`] says what and why, [`Gap`] when. None of it is prose: views translate the enums.
//!
//! - here: the record itself, time, samples, gaps;
//! - [`metric`]: the numbers of a sample, their units; [`event`]: what happened at one moment, and who was turned away;
//! - [`state`]: what is at one moment: listeners, sockets by source and state, interfaces, firewall limits;
//! - [`web`]: web servers' settings, workers and requests; [`packets`]: what a capture shows.
//! - [`live`] and [`dir`] make records: from the running system, from a folder. Below them are the readers: [`log`] (and what the messages
//!   of the [`kernel`], of [`units`], [`mail`] and [`ssh`] mean), [`journal`], [`web_log`], [`web_config`], [`sysstat`], [`packets`];
//! - [`lines`], [`clock`] and [`tally`]: lines, times and counts in bounded memory; [`invariants`]: what fuzzing holds the readers to.
//!
//! Every reader works on streams, line by line or packet by packet, in bounded memory; the bounds stand in [`limits`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub mod clock;
pub mod dir;
pub mod event;
pub mod invariants;
pub mod journal;
pub mod kernel;
pub mod limits;
pub mod lines;
pub mod live;
pub mod log;
pub mod mail;
pub mod metric;
pub mod packets;
pub mod ssh;
pub mod state;
pub mod sysstat;
pub mod tally;
pub mod units;
pub mod web;
pub mod web_config;
pub mod web_log;

pub use event::{Event, EventKind, Service, TurnedAway, TurnedAwayReason};
pub use metric::Metric;
pub use packets::Packets;
pub use state::{Conntrack, FirewallLimit, Interface, Listener, Process, SocketCounts, SourceCount, Sources, TcpState};
pub use web::{Mpm, Server, Setting, WebServer, WebTraffic};

/// The version of a record's JSON. It grows when a field changes its meaning or goes; new fields come without that.
pub const VERSION: u32 = 1;

/// A moment: milliseconds since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// From whole seconds since 1970.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This much later, or earlier.
    #[must_use]
    pub const fn plus_ms(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// How much later this is than `earlier`, in milliseconds.
    pub const fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// From one moment to another, both belonging to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first moment.
    pub from: Time,
    /// The last moment.
    pub until: Time,
}

impl Span {
    /// Whether the moment belongs to it.
    pub fn contains(&self, at: Time) -> bool {
        self.from <= at && at <= self.until
    }

    /// Its length in milliseconds.
    pub const fn length_ms(&self) -> i64 {
        self.until.since_ms(self.from)
    }

    /// The span from the first to the last of these moments.
    pub fn of(times: impl IntoIterator<Item = Time>) -> Option<Self> {
        times.into_iter().fold(None, |span: Option<Self>, at| {
            let span = span.unwrap_or(Self { from: at, until: at });
            Some(Self { from: span.from.min(at), until: span.until.max(at) })
        })
    }
}

/// Where a fact comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The running kernel: /proc, netlink.
    Kernel,
    /// sysstat's files (`sadf -j`).
    Sysstat,
    /// The kernel's log: dmesg, kern.log, or the journal's copy of it.
    KernelLog,
    /// systemd's journal.
    Journal,
    /// /var/log/syslog or messages.
    Syslog,
    /// Settings of Apache.
    ApacheConfig,
    /// Settings of nginx.
    NginxConfig,
    /// Settings of php-fpm.
    PhpFpmConfig,
    /// A web server's access log.
    AccessLog,
    /// A web server's error log, php-fpm's among them.
    ErrorLog,
    /// Postfix's log.
    MailLog,
    /// sshd's log.
    SshLog,
    /// A capture of packets.
    Packets,
    /// Sysctls, live or as files of `sysctl -a`.
    Sysctl,
    /// Processes: who listens, how much memory workers take.
    Processes,
    /// Interfaces: drops, rings, offloads.
    Interfaces,
    /// Firewall rules.
    Firewall,
    /// Connection tracking.
    Conntrack,
    /// Memory pressure (/proc/pressure).
    Pressure,
    /// What Sekisho's daemon wrote down of an incident.
    Sekisho,
}

/// How the record was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// From the running system.
    Live,
    /// From this system's own records of a time that is past.
    Past,
    /// From files in this folder.
    Folder(PathBuf),
}

/// The machine that the record is about, as far as it tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: Option<String>,
    /// Its kernel's release.
    pub kernel: Option<String>,
    /// How many CPUs it has.
    pub cpus: Option<u32>,
    /// Main memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Swap, in bytes.
    pub swap_bytes: Option<u64>,
    /// Seconds that its local time is ahead of UTC, where the record tells.
    pub zone_seconds: Option<i32>,
    /// When it was started last.
    pub booted: Option<Time>,
}

/// The numbers of one moment. Rates are means over the `interval_ms` that ends at `at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The end of the interval.
    pub at: Time,
    /// Its length; 0: unknown, or only values of the moment.
    pub interval_ms: u64,
    /// Where it comes from. Samples of several sources may interleave.
    pub source: Source,
    /// What was measured. A metric that is not here was not measured.
    pub values: BTreeMap<Metric, f64>,
}

/// A time that a source should tell of and does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Whose gap.
    pub source: Source,
    /// The last and the first moment that it tells of, before and after.
    pub span: Span,
    /// Why, if that is known.
    pub reason: GapReason,
}

/// Why a source has a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Samples that come at an interval stopped coming.
    NoSamples,
    /// The machine was started anew in between.
    Restart,
    /// Older files were rotated away: nothing before this.
    Rotated,
    /// The source itself says that it lost something (suppressed or missed messages, dropped packets).
    Lost,
}

/// Something that could not be looked at, or only in part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unseen {
    /// What it would have told.
    pub source: Source,
    /// Which file, where it is about one.
    pub file: Option<PathBuf>,
    /// Why.
    pub why: Why,
}

/// Why something could not be looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is no such file or folder.
    Missing,
    /// Only root may.
    NotPermitted,
    /// The program that could read it is not installed.
    NotInstalled(String),
    /// This kernel does not tell.
    NotSupported,
    /// The system's words, untranslated.
    Failed(String),
    /// It is not in a form that is known: so many lines or pieces were passed over. The rest was read.
    NotUnderstood {
        /// How many.
        pieces: u64,
    },
    /// So many lines were longer than [`limits::LINE_BYTES_MAX`]; of each only the beginning was read.
    LinesTooLong {
        /// How many.
        lines: u64,
    },
    /// The file ends in the middle of something: cut off, or still being written.
    Truncated {
        /// How many bytes were read.
        bytes: u64,
    },
    /// It has more than the bounds allow: this is what was left out.
    TooMuch {
        /// How many pieces.
        pieces: u64,
    },
    /// Local times without a zone: read as if this zone were theirs.
    ZoneAssumed {
        /// Seconds ahead of UTC.
        zone_seconds: i32,
    },
    /// Its clock disagrees with the others': by so much its times seem to be ahead.
    ClockAhead {
        /// Seconds; negative: behind.
        seconds: i64,
    },
    /// Its lines bear no date, so they cannot be placed in time.
    NoTimes,
}

/// Everything that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// How it was made.
    pub origin: Origin,
    /// The moment of `listeners`, `sockets`, `interfaces` and the other facts of one moment; for files: when they were written, if known.
    pub taken: Option<Time>,
    /// The machine.
    pub host: Host,
    /// Numbers over time, in the order of their time.
    pub samples: Vec<Sample>,
    /// Counters since the network namespace, or for the machine's own since it, was started: of metrics that are rates. Live only.
    pub totals: BTreeMap<Metric, f64>,
    /// Who listens, with queues as of `taken`.
    pub listeners: Vec<Listener>,
    /// TCP sockets by state and source, as of `taken`; `None`: not seen.
    pub sockets: Option<SocketCounts>,
    /// SYNs that met a filling queue or a limit of Sekisho's, by source: samples, one of 32. `None`: it was not there, or saw too few.
    #[serde(default)]
    pub asked: Option<Sources>,
    /// The limit of the control group in which processes were killed last for want of memory, in bytes, as the kernel's log tells it.
    #[serde(default)]
    pub group_limit_bytes: Option<u64>,
    /// Connection tracking as of `taken`; `None`: not seen, or not loaded.
    pub conntrack: Option<Conntrack>,
    /// Interfaces as of `taken`.
    pub interfaces: Vec<Interface>,
    /// Sysctls by name (`net.ipv4.tcp_syncookies`).
    pub sysctls: BTreeMap<String, String>,
    /// Firewall rules that let only so many new connections through.
    pub firewall_limits: Vec<FirewallLimit>,
    /// What happened, in the order of time; those without a time come first.
    pub events: Vec<Event>,
    /// Events for which there was no more room ([`limits::EVENTS_MAX`]).
    pub events_left_out: u64,
    /// Who was turned away by Postfix and sshd, by minute and reason.
    pub turned_away: Vec<TurnedAway>,
    /// Web servers and php-fpm: settings and workers.
    pub web: Vec<WebServer>,
    /// Requests by minute, from access logs, in the order of time.
    pub traffic: Vec<WebTraffic>,
    /// What captures show, one for each file.
    pub packets: Vec<Packets>,
    /// From when until when each source tells something; gaps may lie within.
    pub coverage: BTreeMap<Source, Span>,
    /// When a source tells nothing.
    pub gaps: Vec<Gap>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

impl Record {
    /// A record of nothing.
    pub const fn empty(origin: Origin) -> Self {
        Self {
            version: VERSION,
            origin,
            taken: None,
            host: Host {
                name: None,
                kernel: None,
                cpus: None,
                memory_bytes: None,
                swap_bytes: None,
                zone_seconds: None,
                booted: None,
            },
            samples: Vec::new(),
            totals: BTreeMap::new(),
            listeners: Vec::new(),
            sockets: None,
            asked: None,
            group_limit_bytes: None,
            conntrack: None,
            interfaces: Vec::new(),
            sysctls: BTreeMap::new(),
            firewall_limits: Vec::new(),
            events: Vec::new(),
            events_left_out: 0,
            turned_away: Vec::new(),
            web: Vec::new(),
            traffic: Vec::new(),
            packets: Vec::new(),
            coverage: BTreeMap::new(),
            gaps: Vec::new(),
            unseen: Vec::new(),
        }
    }

    /// From the first to the last moment that anything here tells of; `None`: nothing has a time.
    pub fn span(&self) -> Option<Span> {
        let samples = self.samples.iter().map(|sample| sample.at);
        let events = self.events.iter().filter_map(|event| event.at);
        let events = events.chain(self.events.iter().filter_map(|event| event.last));
        let turned_away = self.turned_away.iter().filter_map(|some| some.minute);
        let traffic = self.traffic.iter().map(|minute| minute.minute);
        let packets = self.packets.iter().filter_map(|packets| packets.span).flat_map(|span| [span.from, span.until]);
        Span::of(samples.chain(events).chain(turned_away).chain(traffic).chain(packets).chain(self.taken))
    }

    /// A metric over time: moments and values, of those samples that have it.
    pub fn series(&self, metric: Metric) -> impl Iterator<Item = (Time, f64)> + '_ {
        self.samples.iter().filter_map(move |sample| Some((sample.at, *sample.values.get(&metric)?)))
    }

    /// The largest value of a metric, and when.
    pub fn peak(&self, metric: Metric) -> Option<(Time, f64)> {
        self.series(metric).max_by(|one, other| one.1.total_cmp(&other.1))
    }

    /// The last value of a metric.
    pub fn last(&self, metric: Metric) -> Option<f64> {
        self.series(metric).last().map(|(_, value)| value)
    }

    /// A sysctl as a number.
    pub fn sysctl(&self, name: &str) -> Option<u64> {
        self.sysctls.get(name)?.split_whitespace().next()?.parse().ok()
    }

    /// Leaves only what is about this span of time. Facts without a time, settings and counters of the moment, stay.
    pub fn limit_to(&mut self, span: Span) {
        let overlaps = |from: Time, until: Time| from <= span.until && until >= span.from;
        self.samples.retain(|sample| span.contains(sample.at));
        self.events.retain(|event| event.at.is_none_or(|at| overlaps(at, event.last.unwrap_or(at))));
        self.turned_away.retain(|some| some.minute.is_none_or(|minute| overlaps(minute, minute.plus_ms(59_999))));
        self.traffic.retain(|some| overlaps(some.minute, some.minute.plus_ms(59_999)));
        self.packets.retain(|packets| packets.span.is_none_or(|of| overlaps(of.from, of.until)));
        self.gaps.retain(|gap| overlaps(gap.span.from, gap.span.until));
    }

    /// Notes that something could not be looked at.
    pub fn unseen(&mut self, source: Source, file: Option<PathBuf>, why: Why) {
        let unseen = Unseen { source, file, why };
        if self.unseen.len() < limits::UNSEEN_MAX && !self.unseen.contains(&unseen) {
            self.unseen.push(unseen);
        }
    }

    /// Adds an event. One like another of less than a minute before, from the same source, is counted there.
    pub fn event(&mut self, at: Option<Time>, source: Source, kind: EventKind) {
        let recent = self.events.iter_mut().rev().take(limits::FOLD_LOOK_BACK);
        let same = |event: &&mut Event| {
            let near = match (event.at, at) {
                (Some(first), Some(at)) => (0..60_000).contains(&at.since_ms(first)),
                (first, at) => first == at,
            };
            near && event.source == source && event.kind == kind
        };
        if let Some(event) = recent.into_iter().find(same) {
            event.count += 1;
            event.last = at.max(event.last);
        } else if self.events.len() < limits::EVENTS_MAX {
            self.events.push(Event { at, last: None, count: 1, source, kind });
        } else {
            self.events_left_out += 1;
        }
    }

    /// Adds a gap. One of the same source and reason that begins within a minute of it is made longer.
    pub fn gap(&mut self, gap: Gap) {
        let near = |other: &&mut Gap| {
            let alike = other.source == gap.source && other.reason == gap.reason;
            alike && (0..60_000).contains(&gap.span.from.since_ms(other.span.until))
        };
        if let Some(other) = self.gaps.iter_mut().rev().take(limits::FOLD_LOOK_BACK).find(near) {
            other.span.until = other.span.until.max(gap.span.until);
        } else if self.gaps.len() < limits::GAPS_MAX {
            self.gaps.push(gap);
        }
    }

    /// Notes that a source tells of this time.
    pub fn covered(&mut self, source: Source, span: Option<Span>) {
        let Some(span) = span else { return };
        let known = self.coverage.entry(source).or_insert(span);
        *known = Span { from: known.from.min(span.from), until: known.until.max(span.until) };
    }

    /// Puts everything in the order of time. Readers append as they go; whoever made the record calls this once.
    pub fn sort(&mut self) {
        self.samples.sort_by_key(|sample| sample.at);
        self.events.sort_by_key(|event| event.at);
        self.turned_away.sort_by_key(|some| some.minute);
        self.traffic.sort_by_key(|some| some.minute);
        self.gaps.sort_by_key(|gap| gap.span.from);
    }
}
