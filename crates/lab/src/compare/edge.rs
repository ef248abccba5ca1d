//! A defence's edge: the rate at which its receive processor just cannot keep up. What a frame costs there compares one defence with
//! another, as RFC 2544 measures what forwards packets: below it the processor also sleeps and wakes, and far beyond it the lab charges
//! for the losses, since ring and frames are shared with the generator, and both wait for each other when most frames are given back.
//!
//! The sample of the highest rate says where the edge must be: a flood of a quarter more than the processor could take there. If it lost
//! little, it is the edge itself.

use super::cell::Stage;
use super::values::{Rate, Sample, Spread};
use super::{Defence, Plan};
use crate::Result;
use crate::flood::RATE_MAX;

/// A flood at the edge is so many times what the processor can take: it cannot keep up, and loses a fifth.
const ABOVE: f64 = 1.25;
/// A sample that lost more than this is beyond the edge (percent).
const LOST_MOST: f64 = 10.0;
/// How often the edge is looked for: what can be told far beyond it, and what can be told below it.
const TRIES: usize = 2;

/// What the receive processor did at the edge.
#[derive(Debug, Clone)]
pub struct Edge {
    /// What the flood reached, in frames a second.
    pub sent_per_second: f64,
    /// Frames a second that the receive processor took from its ring.
    pub taken_per_second: f64,
    /// The share of all frames that found the ring full.
    pub lost_percent: f64,
    /// Nanoseconds for each frame that it took.
    pub ns_per_frame: f64,
    /// The share of its time that it was busy with it.
    pub busy_percent: f64,
    /// What a hypervisor took, in percent of all processors' time.
    pub steal_percent: f64,
    /// What other programs took, in percent of all processors' time.
    pub foreign_percent: f64,
    /// What made it worth less, in words.
    pub disturbed: Vec<String>,
    /// Whether it was measured by itself; otherwise it is the sample of the highest rate.
    pub is_apart: bool,
}

impl Edge {
    /// `None` where the receive processor's time cannot be told.
    fn of(sample: &Sample, is_apart: bool) -> Option<Self> {
        let receive = sample.receive?;
        Some(Self {
            sent_per_second: sample.sent_per_second,
            taken_per_second: sample.taken_per_second,
            lost_percent: sample.lost_percent,
            ns_per_frame: receive.ns_per_frame,
            busy_percent: receive.busy_percent,
            steal_percent: sample.steal_percent,
            foreign_percent: sample.foreign_percent,
            disturbed: sample.disturbed.clone(),
            is_apart,
        })
    }
}

/// The repeats of a defence's edge.
#[derive(Debug, Clone, Default)]
pub struct Edges {
    /// One for each round in which the processor was saturated.
    pub found: Vec<Edge>,
    /// Why a repeat came to nothing.
    pub failures: Vec<String>,
}

impl Edges {
    /// Of all repeats, whatever is asked of each; `None` if the processor was never saturated.
    pub fn spread(&self, of: impl Fn(&Edge) -> f64) -> Option<Spread> {
        Spread::of(self.found.iter().map(of))
    }

    /// Those that were measured by themselves.
    pub fn apart(&self) -> impl Iterator<Item = &Edge> {
        self.found.iter().filter(|edge| edge.is_apart)
    }
}

/// Looks for the edge, from what came out at the highest rate. `None` if the processor could keep up even there.
///
/// # Errors
///
/// As [`super::cell::measure`].
pub fn find(plan: &Plan, defence: Defence, rate: Rate, highest: &Sample) -> Result<Option<Edge>> {
    if !highest.is_saturated() || highest.receive.is_none() {
        return Ok(None);
    }
    if highest.lost_percent <= LOST_MOST {
        return Ok(Edge::of(highest, false));
    }
    let most = if rate == Rate::Full { highest.sent_per_second } else { RATE_MAX.into() };
    let stage = Stage::set(plan, defence)?;
    search(highest, most, |per_second| stage.without_visitors(per_second)).map(|sample| Edge::of(&sample, true))
}

/// Measures at what seems to be the edge, and once more if that was still below it.
fn search(highest: &Sample, most: f64, mut measure: impl FnMut(u32) -> Result<Sample>) -> Result<Sample> {
    let mut sample = measure(above(highest, most))?;
    for _ in 1..TRIES {
        if sample.is_saturated() {
            break;
        }
        sample = measure(above(&sample, most))?;
    }
    Ok(sample)
}

/// The rate of a flood that is a quarter more than the receive processor can take, in frames a second: it takes what it took, or, if it
/// was not busy all the time, what it could take if it were.
fn above(sample: &Sample, most: f64) -> u32 {
    let could = sample.receive.map_or(0.0, |receive| 1e9 / receive.ns_per_frame);
    (ABOVE * sample.taken_per_second.max(could)).min(most).min(RATE_MAX.into()).max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::values::{Receive, Visits};

    /// A processor that takes frames at this cost, under a flood of this rate.
    fn under(rate: f64, ns_per_frame: f64) -> Sample {
        let taken = rate.min(1e9 / ns_per_frame);
        let visits = Visits::of(&crate::clients::Seen::default());
        Sample {
            sent_per_second: rate,
            taken_per_second: taken,
            lost_percent: 100.0 * (rate - taken) / rate,
            web: visits.clone(),
            mail: visits,
            receive: Some(Receive { ns_per_frame, busy_percent: taken * ns_per_frame / 1e7 }),
            steal_percent: 0.0,
            foreign_percent: 0.0,
            disturbed: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    #[test]
    fn the_edge_is_a_quarter_above_what_can_be_taken() {
        assert_eq!(above(&under(5e6, 1000.0), 5e6), 1_250_000, "what was taken, where all was");
        assert_eq!(above(&under(1e6, 500.0), 5e6), 2_500_000, "what could have been taken, where half was");
        assert_eq!(above(&under(5e6, 250.0), 4.2e6), 4_200_000, "no more than the generator gave");
        assert_eq!(above(&under(5e6, 100.0), 9e6), RATE_MAX);
    }

    #[test]
    fn a_second_try_ends_above_the_edge() {
        // Far beyond it a frame costs 1000 ns, a half of that where little is lost.
        let mut rates = Vec::new();
        let found = search(&under(5e6, 1000.0), 5e6, |rate| {
            rates.push(rate);
            Ok(under(rate.into(), 500.0))
        });
        assert_eq!(rates, [1_250_000, 2_500_000]);
        let edge = Edge::of(&found.unwrap(), true).unwrap();
        assert!((edge.lost_percent - 20.0).abs() < 0.1 && edge.busy_percent > 99.0, "{edge:?}");
        assert_eq!((edge.ns_per_frame, edge.sent_per_second), (500.0, 2.5e6));
    }

    #[test]
    fn one_try_is_enough_where_it_loses() {
        let mut tries = 0;
        let found = search(&under(5e6, 2000.0), 5e6, |rate| {
            tries += 1;
            Ok(under(rate.into(), 1900.0))
        });
        assert!(tries == 1 && found.unwrap().is_saturated());
    }

    #[test]
    fn what_comes_is_taken() {
        let mut tries = 0;
        let found = search(&under(5e6, 400.0), 2e6, |rate| {
            tries += 1;
            Ok(under(rate.into(), 100.0))
        });
        assert!(tries == TRIES && !found.unwrap().is_saturated());
    }
}
