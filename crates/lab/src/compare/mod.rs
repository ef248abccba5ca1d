//! Defences side by side: the same flood, the same visitors, the same server, and one defence after another in front of it.
//!
//! Reading order:
//!
//! - [`Plan`] says what is compared; [`run`] does it, one [`Cell`] after another, and tells each as a [`Step`].
//! - [`defence`] is the list of defences and how each is put up.
//! - [`cell`] measures one defence at one rate: a new host, visitors, a flood.
//! - [`edge`] measures what a frame costs where the receive processor just cannot keep up.
//! - [`cpu`] is where the processor's time went; [`values`] what comes out.
//!
//! Every cell begins with namespaces that were just made, so no table of an earlier one is full. Rounds go over the whole matrix again,
//! so the repeats of a cell are minutes apart, and what disturbs the machine for a while disturbs one repeat of each.
//!
//! The receive work of the server's link has the first processor for itself (threaded NAPI, see [`crate::topology`]), the generator has
//! the second; visitors, server and whatever is started here have the others. Where there are but two, they share the second with the
//! generator, go before it, and share the flood's losses by other means (`fate.rs`).

pub mod bound;
pub mod cell;
pub mod cpu;
pub mod defence;
pub mod edge;
mod fate;
pub mod machine;
pub mod values;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};

pub use defence::Defence;
pub use edge::{Edge, Edges};
pub use values::{Behind, Cell, Comparison, Family, Rate, Sample, Spread, Visits};

use crate::{Error, Result, run as tool};

/// The most rounds: more would not make a median better.
pub const ROUNDS_MAX: usize = 9;

/// What is compared, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program that the rows of Sekisho run.
    pub program: PathBuf,
    /// The defences, in the order of the table.
    pub defences: Vec<Defence>,
    /// The rates, rising.
    pub rates: Vec<Rate>,
    /// IPv4 or IPv6.
    pub family: Family,
    /// How long visitors begin, in each cell.
    pub window: Duration,
    /// A visit that takes longer has failed.
    pub deadline: Duration,
    /// No further round is begun that would not end within this time.
    pub budget: Duration,
    /// The most rounds.
    pub rounds: usize,
}

/// A cell that is about to be measured, or has just been.
#[derive(Debug, Clone, Copy)]
pub struct Step<'step> {
    /// In front of the server.
    pub defence: Defence,
    /// What the flood was asked for; `None` at the defence's edge, which is counted as a cell.
    pub rate: Option<Rate>,
    /// Cells of this round that are over.
    pub done: usize,
    /// Cells of a round.
    pub cells: usize,
    /// The round, counted from 1.
    pub round: usize,
    /// What came out; `None` before it is measured.
    pub found: Option<&'step Found>,
}

/// What came out of a cell.
#[derive(Debug)]
pub enum Found {
    /// Of a rate.
    Sample(Box<Sample>),
    /// Of the edge; `None` if the processor could keep up at the highest rate.
    Edge(Option<Edge>),
    /// Nothing, and why.
    Failed(String),
}

/// Compares. `told` hears of each cell before and after it is measured; `stop` is asked before each whether to go on.
///
/// # Errors
///
/// [`Error::Interrupted`] if `stop` says so, anything that keeps the lab itself from working. A defence that cannot be put up on this
/// machine is no error: its row says why.
pub fn run(
    plan: &Plan,
    told: &mut (dyn FnMut(&Step<'_>) + Send),
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Comparison> {
    // A thread of its own, since it is bound to a processor and hands that on to all that it starts.
    thread::scope(|scope| {
        let work = scope.spawn(|| {
            stay_apart()?;
            matrix(plan, told, stop)
        });
        work.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
    })
}

/// Leaves the first processor to the receive thread and the second to the generator, or goes before it where there is no third: the
/// generator stands for hosts elsewhere, and what it takes of a processor must not be taken from the visitors.
fn stay_apart() -> Result<()> {
    let mut others = CpuSet::new();
    let first = if has_three_processors() { 2 } else { 1 };
    for cpu in first..cpu::processors() {
        others.set(cpu).map_err(Error::os("name a CPU"))?;
    }
    // With one CPU there is no second, and the scheduler decides.
    let _ = sched_setaffinity(Pid::from_raw(0), &others);
    nice(-10)
}

/// Whether generator and visitors need not share a processor.
pub(crate) fn has_three_processors() -> bool {
    cpu::processors() > 2
}

/// Sets how nice the calling thread is, and what it will start.
pub(crate) fn nice(level: i32) -> Result<()> {
    let thread = gettid().to_string();
    let mut command = std::process::Command::new("renice");
    tool::output(command.args(["-n", &level.to_string(), "-p", &thread])).map(drop)
}

fn matrix(
    plan: &Plan,
    told: &mut (dyn FnMut(&Step<'_>) + Send),
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Comparison> {
    let begin = Instant::now();
    let mut comparison = Comparison::new(plan);
    for round in 1..=plan.rounds.clamp(1, ROUNDS_MAX) {
        one_round(plan, round, &mut comparison, told, stop)?;
        comparison.rounds = round;
        comparison.elapsed = begin.elapsed();
        let another = begin.elapsed().mul_f64((round + 1) as f64 / round as f64);
        if another > plan.budget {
            break;
        }
    }
    Ok(comparison)
}

fn one_round(
    plan: &Plan,
    round: usize,
    comparison: &mut Comparison,
    told: &mut (dyn FnMut(&Step<'_>) + Send),
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<()> {
    let places = places(plan);
    let cells = plan.defences.len() * places.len();
    let mut done = 0;
    for behind in &mut comparison.defences {
        let repeats = behind.cells.last().map_or(0, |cell| cell.samples.len());
        for rate in places.iter().copied() {
            if stop() {
                return Err(Error::Interrupted);
            }
            let step = Step { defence: behind.defence, rate, done, cells, round, found: None };
            told(&step);
            let found = match rate {
                Some(rate) => cell::measure(plan, behind.defence, rate).map(|sample| Found::Sample(Box::new(sample))),
                None => edge_of(plan, behind, repeats).map(Found::Edge),
            };
            let found = found.unwrap_or_else(|error| Found::Failed(told_whole(&error)));
            done += 1;
            told(&Step { done, found: Some(&found), ..step });
            behind.keep(rate, found);
        }
    }
    Ok(())
}

/// The cells of a defence: its rates, and, where there is a flood, its edge.
fn places(plan: &Plan) -> Vec<Option<Rate>> {
    let has_edge = plan.rates.iter().any(|rate| *rate != Rate::Calm);
    plan.rates.iter().copied().map(Some).chain(has_edge.then_some(None)).collect()
}

/// Looks for the edge of this round, which begins with so many repeats of the highest rate. Without one more there is nothing to go by.
fn edge_of(plan: &Plan, behind: &Behind, repeats: usize) -> Result<Option<Edge>> {
    let highest = behind.cells.last().and_then(|cell| Some((cell.rate, cell.samples.get(repeats)?)));
    highest.map_or(Ok(None), |(rate, sample)| edge::find(plan, behind.defence, rate, sample))
}

/// An error with what it comes from, in one line.
fn told_whole(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        line.push_str(&format!(": {source}"));
        cause = source.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_a_cell_where_there_is_a_flood() {
        let mut plan = Plan {
            program: PathBuf::new(),
            defences: vec![Defence::None],
            rates: vec![Rate::Calm],
            family: Family::V4,
            window: Duration::ZERO,
            deadline: Duration::ZERO,
            budget: Duration::ZERO,
            rounds: 1,
        };
        assert_eq!(places(&plan), [Some(Rate::Calm)]);
        plan.rates.push(Rate::Full);
        assert_eq!(places(&plan), [Some(Rate::Calm), Some(Rate::Full), None]);
    }
}
