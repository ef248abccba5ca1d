//! How one row is measured: in rounds, each of which runs the floor and then the row on the same frames. The figure is the median of
//! the differences, so that a neighbour's busy moment does not count; and every run has to have gone the way that its row names.

use sekisho_datapath::bench::{Bench, Case, Program};
use sekisho_datapath::{Method, PortPolicy, Verdict, time};

use crate::Result;
use crate::place::{PORT, Place};

/// Rounds that count; one more before them warms the caches.
const ROUNDS: u64 = 21;

/// Makes a row's packet, anew in each round, since cookies and challenges grow old.
pub type Maker = Box<dyn Fn(&Place, &Bench) -> Result<Case>>;

/// The way that a row's packets must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// gate comes to this verdict.
    Verdict(Verdict),
    /// The program, which comes to no verdict, returns this.
    Returns(u32),
    /// Any: a floor, or packets of which each goes another.
    Any,
}

/// A row of the table: what is run, in which state, and which way it must go.
pub struct Row {
    /// What is measured.
    pub name: String,
    /// The state of the port.
    pub state: State,
    /// The packet.
    pub packet: Maker,
    /// What is run.
    pub program: Program,
    /// What is run beside it; none for a row that is itself a floor.
    pub floor: Option<Program>,
    /// Where it must end.
    pub way: Way,
    /// No source has left a trace, as in a flood: rows before it, whose SYNs were let through, may have filled all.
    pub untraced: bool,
    /// Packets in one round.
    pub repeat: u32,
}

/// What gate finds in its map of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The queue is below the calm mark, the port not armed.
    Calm,
    /// The queue is between the marks, the port armed, and clients prove themselves by this.
    Between(Method),
    /// The queue is above the reserve mark.
    Above,
}

/// A row with its figures, in nanoseconds for each packet.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What was measured.
    pub name: String,
    /// What it costs above the floor: the median.
    pub ns: f64,
    /// The lowest of all rounds.
    pub lowest_ns: f64,
    /// The floor that was taken off.
    pub floor_ns: f64,
}

/// Measures rows. Every round goes over all of them, so that a busy time of the machine meets all alike.
pub fn measure(bench: &Bench, place: &Place, rows: &[Row]) -> Result<Vec<Measured>> {
    let mut rounds = vec![Rounds::default(); rows.len()];
    for round in 0..=ROUNDS {
        for (row, rounds) in rows.iter().zip(&mut rounds) {
            let floor = run_floor(bench, place, row, round)?;
            let ns = run_once(bench, place, row, round)?;
            if round > 0 {
                rounds.add(f64::from(ns), f64::from(floor));
            }
        }
    }
    Ok(rows.iter().zip(rounds).map(|(row, rounds)| rounds.measured(&row.name)).collect())
}

/// One row's figures so far.
#[derive(Debug, Clone, Default)]
struct Rounds {
    differences: Vec<f64>,
    floors: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, ns: f64, floor: f64) {
        self.differences.push(ns - floor);
        self.floors.push(floor);
    }

    fn measured(self, name: &str) -> Measured {
        let lowest_ns = self.differences.iter().copied().fold(f64::INFINITY, f64::min);
        Measured { name: name.into(), ns: median(self.differences), lowest_ns, floor_ns: median(self.floors) }
    }
}

/// The floor under the same packet; nothing under a floor.
fn run_floor(bench: &Bench, place: &Place, row: &Row, round: u64) -> Result<u32> {
    let Some(program) = row.floor else { return Ok(0) };
    Ok(bench.run(program, &(row.packet)(place, bench)?, round, row.repeat)?.ns)
}

/// One round, in the row's state; an error if it did not go the row's way.
fn run_once(bench: &Bench, place: &Place, row: &Row, round: u64) -> Result<u32> {
    place.refresh()?;
    row.state.set(bench);
    if row.untraced {
        bench.maps().forget_traces()?;
    }
    let case = (row.packet)(place, bench)?;
    let before = bench.maps().verdicts()?;
    let ran = bench.run(row.program, &case, round, row.repeat)?;
    match row.way {
        Way::Verdict(verdict) => came_to(bench, row, verdict, &before)?,
        Way::Returns(action) if ran.action != action => Err(strayed(row, &format!("action {}", ran.action)))?,
        Way::Returns(_) | Way::Any => {}
    }
    Ok(ran.ns)
}

/// Whether nearly all packets since `before` came to the verdict.
fn came_to(bench: &Bench, row: &Row, verdict: Verdict, before: &[u64]) -> Result<()> {
    let after = bench.maps().verdicts()?;
    let count = |v: Verdict| after[usize::from(v.number())] - before[usize::from(v.number())];
    // A question that falls on a bit already set is answered with a cookie, and the coarse clock may step between two runs.
    if count(verdict) >= u64::from(row.repeat) * 9 / 10 {
        return Ok(());
    }
    let others = Verdict::ALL.iter().filter(|v| count(**v) > 0).map(|v| format!("{} {v}", count(*v)));
    Err(strayed(row, &others.collect::<Vec<_>>().join(", ")).into())
}

fn strayed(row: &Row, found: &str) -> String {
    let expected = match row.way {
        Way::Verdict(verdict) => verdict.name().to_owned(),
        Way::Returns(action) => format!("action {action}"),
        Way::Any => "any".to_owned(),
    };
    format!(
        "the packets of the row \"{}\" did not go its way: expected {} {expected}, found {found}",
        row.name, row.repeat
    )
}

impl State {
    fn set(self, bench: &Bench) {
        let (method, calm_mark, reserve_mark) = match self {
            Self::Calm => (Method::Cookie, 255, 255),
            Self::Between(method) => (method, 0, 255),
            Self::Above => (Method::Cookie, 0, 0),
        };
        bench.maps().set_port(PORT, PortPolicy { method, protect: true, calm_mark, reserve_mark });
        let armed_until = if self == Self::Calm { 0 } else { time::tick(time::coarse_ns()) + 60 };
        bench.maps().set_armed_until(PORT, armed_until);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_moment_does_not_move_the_median() {
        assert_eq!(median(vec![3.0, 900.0, 1.0, 2.0, 2.5]), 2.5);
    }
}
