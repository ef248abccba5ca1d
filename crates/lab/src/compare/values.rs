//! What a comparison comes to, as plain values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::defence::Defence;
use super::edge::{Edge, Edges};
use super::machine::Machine;
use super::{Found, Plan};
use crate::clients::{Outcome, Seen};
use crate::topology::{SERVER4, SERVER6};

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The server's address.
    pub fn server(self) -> IpAddr {
        match self {
            Self::V4 => SERVER4,
            Self::V6 => SERVER6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if *self == Self::V4 { "IPv4" } else { "IPv6" })
    }
}

/// What the flood is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rate {
    /// No flood.
    Calm,
    /// SYNs a second.
    PerSecond(u32),
    /// All that the generator gives.
    Full,
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Calm => formatter.write_str("no flood"),
            Self::PerSecond(rate) if rate % 1_000_000 == 0 => write!(formatter, "{} M/s", rate / 1_000_000),
            Self::PerSecond(rate) if rate % 1000 == 0 => write!(formatter, "{} k/s", rate / 1000),
            Self::PerSecond(rate) => write!(formatter, "{rate}/s"),
            Self::Full => formatter.write_str("full"),
        }
    }
}

/// Median and range of the repeats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

impl Spread {
    /// Of some values; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, low, high })
    }
}

/// Times of visits in microseconds, with three digits that count.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Times {
    fn new() -> Self {
        // No visit takes longer than a minute. The only errors are bounds and digits out of range.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3);
        Self(histogram.unwrap_or_else(|_| unreachable!("bounds and digits are constants")))
    }

    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut all = Self::new();
        for time in times {
            all.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
        all
    }

    fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `percent` of them stayed within; `None` if there are none.
    pub fn within(&self, percent: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.value_at_percentile(percent)))
    }
}

/// What the visitors of one service experienced.
#[derive(Debug, Clone)]
pub struct Visits {
    /// Visits begun.
    pub begun: usize,
    /// Visits that were over, as they should be, within the deadline.
    pub complete: usize,
    /// How they ended.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// From the first SYN until connected, of those who connected.
    pub connect: Times,
    /// From the first SYN until the first byte, of those who got one.
    pub first_byte: Times,
}

impl Visits {
    /// Of what a crowd saw.
    pub fn of(seen: &Seen) -> Self {
        Self {
            begun: seen.visits.len(),
            complete: seen.complete(),
            outcomes: seen.outcomes(),
            connect: Times::of(seen.visits.iter().filter_map(|visit| visit.connect)),
            first_byte: Times::of(seen.visits.iter().filter_map(|visit| visit.first_byte)),
        }
    }

    /// The share that completed, in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.complete as f64 / self.begun.max(1) as f64
    }
}

/// The receive processor's work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Receive {
    /// Nanoseconds for each frame that it took from the ring.
    pub ns_per_frame: f64,
    /// The share of its time that it was busy with it.
    pub busy_percent: f64,
}

/// One repeat of a cell.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What the flood reached, in frames a second.
    pub sent_per_second: f64,
    /// Frames a second that the receive processor took from its ring, of visitors and flood.
    pub taken_per_second: f64,
    /// The share of all frames that found the ring full.
    pub lost_percent: f64,
    /// Visitors who speak first.
    pub web: Visits,
    /// Visitors who are spoken to first.
    pub mail: Visits,
    /// What the receive processor did; `None` without a flood, or where it cannot be told.
    pub receive: Option<Receive>,
    /// What a hypervisor took, in percent of all processors' time.
    pub steal_percent: f64,
    /// What other programs took, in percent of all processors' time.
    pub foreign_percent: f64,
    /// What made this sample worth less, in words.
    pub disturbed: Vec<String>,
    /// Sekisho's verdicts, where it was there.
    pub verdicts: Vec<(String, u64)>,
}

impl Sample {
    /// The share of visits to both services that completed, in percent.
    pub fn percent(&self) -> f64 {
        let (begun, complete) = (self.web.begun + self.mail.begun, self.web.complete + self.mail.complete);
        100.0 * complete as f64 / begun.max(1) as f64
    }

    /// Whether the receive processor had no time left, or its ring overflowed.
    pub fn is_saturated(&self) -> bool {
        self.lost_percent > 1.0 || self.receive.is_some_and(|receive| receive.busy_percent > 90.0)
    }
}

/// One defence at one rate.
#[derive(Debug, Clone)]
pub struct Cell {
    /// What the flood was asked for.
    pub rate: Rate,
    /// The repeats.
    pub samples: Vec<Sample>,
    /// Why a repeat came to nothing.
    pub failures: Vec<String>,
}

impl Cell {
    /// Of all repeats, whatever is asked of each.
    pub fn spread(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(of))
    }

    /// The share of visits that completed.
    pub fn success(&self) -> Option<Spread> {
        self.spread(|sample| Some(sample.percent()))
    }

    /// Nanoseconds for each frame on the receive processor.
    pub fn ns_per_frame(&self) -> Option<Spread> {
        self.spread(|sample| Some(sample.receive?.ns_per_frame))
    }

    /// Times of all visits of all repeats.
    pub fn times(&self, of: impl Fn(&Visits) -> &Times) -> Times {
        let mut all = Times::new();
        for visits in self.samples.iter().flat_map(|sample| [&sample.web, &sample.mail]) {
            all.add(of(visits));
        }
        all
    }

    /// How many of the repeats were disturbed.
    pub fn disturbed(&self) -> usize {
        self.samples.iter().filter(|sample| !sample.disturbed.is_empty()).count()
    }
}

/// All cells of a defence.
#[derive(Debug, Clone)]
pub struct Behind {
    /// Which.
    pub defence: Defence,
    /// By rising rate.
    pub cells: Vec<Cell>,
    /// Where its receive processor just cannot keep up.
    pub edges: Edges,
}

impl Behind {
    /// The cell of a rate.
    pub fn at(&self, rate: Rate) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.rate == rate)
    }

    /// Keeps what came out at a rate, or at the edge.
    pub(super) fn keep(&mut self, rate: Option<Rate>, found: Found) {
        let cell = self.cells.iter_mut().find(|cell| Some(cell.rate) == rate);
        match (found, cell) {
            (Found::Sample(sample), Some(cell)) => cell.samples.push(*sample),
            (Found::Failed(why), Some(cell)) => cell.failures.push(why),
            (Found::Failed(why), None) => self.edges.failures.push(why),
            (Found::Edge(edge), _) => self.edges.found.extend(edge),
            (Found::Sample(_), None) => {}
        }
    }
}

/// A whole comparison.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Where it was made.
    pub machine: Machine,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The rates, rising.
    pub rates: Vec<Rate>,
    /// One for each defence.
    pub defences: Vec<Behind>,
    /// Rounds over the whole matrix: the repeats of each cell.
    pub rounds: usize,
    /// How long visitors begin in each cell.
    pub window: Duration,
    /// A visit that took longer has failed.
    pub deadline: Duration,
    /// How long it all took.
    pub elapsed: Duration,
}

impl Comparison {
    /// One in which nothing was measured yet.
    pub fn new(plan: &Plan) -> Self {
        let empty = |rate: &Rate| Cell { rate: *rate, samples: Vec::new(), failures: Vec::new() };
        let behind = |defence: &Defence| Behind {
            defence: *defence,
            cells: plan.rates.iter().map(empty).collect(),
            edges: Edges::default(),
        };
        Self {
            machine: Machine::here(),
            family: plan.family,
            rates: plan.rates.clone(),
            defences: plan.defences.iter().map(behind).collect(),
            rounds: 0,
            window: plan.window,
            deadline: plan.deadline,
            elapsed: Duration::ZERO,
        }
    }

    /// The row of a defence.
    pub fn behind(&self, defence: Defence) -> Option<&Behind> {
        self.defences.iter().find(|behind| behind.defence == defence)
    }

    /// How many measurements were disturbed, and of how many.
    pub fn disturbed(&self) -> (usize, usize) {
        let of_cells = self.defences.iter().flat_map(|behind| &behind.cells).flat_map(|cell| &cell.samples);
        let of_edges = self.defences.iter().flat_map(|behind| behind.edges.apart());
        let all: Vec<bool> = of_cells
            .map(|sample| !sample.disturbed.is_empty())
            .chain(of_edges.map(|edge: &Edge| !edge.disturbed.is_empty()))
            .collect();
        (all.iter().filter(|disturbed| **disturbed).count(), all.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_range() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.low, spread.high), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn times_are_kept_to_a_thousandth() {
        let times = Times::of((1..=1000).map(Duration::from_millis));
        let median = times.within(50.0).unwrap().as_millis();
        assert!((499..=501).contains(&median), "{median}");
        assert_eq!(Times::new().within(50.0), None);
    }

    #[test]
    fn rates_read_well() {
        let words: Vec<_> = [Rate::Calm, Rate::PerSecond(30_000), Rate::PerSecond(1_000_000), Rate::PerSecond(1500)]
            .iter()
            .map(Rate::to_string)
            .collect();
        assert_eq!(words, ["no flood", "30 k/s", "1 M/s", "1500/s"]);
        assert!(Rate::Calm < Rate::PerSecond(1) && Rate::PerSecond(1) < Rate::Full);
    }
}
