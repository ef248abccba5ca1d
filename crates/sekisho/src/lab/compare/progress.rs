//! What is told while it runs, on stderr: on a terminal one line that is written anew, elsewhere one line for each cell.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

use sekisho_lab::compare::{Edge, Found, Sample, Step};

use super::findings::{si, whole_percent};

/// The teller.
#[derive(Debug)]
pub struct Progress {
    begin: Instant,
    is_terminal: bool,
    rounds: usize,
}

impl Progress {
    /// For at most so many rounds.
    pub fn new(rounds: usize) -> Self {
        Self { begin: Instant::now(), is_terminal: stderr().is_terminal(), rounds }
    }

    /// Tells of a cell.
    pub fn tell(&mut self, step: &Step<'_>) {
        let line = match step.found {
            None if self.is_terminal => format!("\r\x1b[2K{}", self.ahead(step)),
            Some(_) if !self.is_terminal => format!("{}\n", behind(step)),
            _ => return,
        };
        // Progress that cannot be told is no reason to stop.
        let _ = stderr().write_all(line.as_bytes());
    }

    /// Leaves the line to others.
    pub fn end(&self) {
        if self.is_terminal {
            let _ = stderr().write_all(b"\r\x1b[2K");
        }
    }

    fn ahead(&self, step: &Step<'_>) -> String {
        const WIDTH: usize = 20;
        let full = WIDTH * step.done / step.cells.max(1);
        let bar = format!("{}{}", "#".repeat(full), "-".repeat(WIDTH - full));
        let round = if self.rounds > 1 { format!("round {}, ", step.round) } else { String::new() };
        let title = step.defence.title();
        format!("{bar} {round}{} of {}: {title}, {}{}", step.done + 1, step.cells, place(step), self.left(step))
    }

    /// How long this round will still take, once that can be told.
    fn left(&self, step: &Step<'_>) -> String {
        let done = step.done + (step.round - 1) * step.cells;
        if done < 3 {
            return String::new();
        }
        let each = self.begin.elapsed().as_secs_f64() / done as f64;
        format!("; {:.0} s left", each * (step.cells - step.done) as f64)
    }
}

/// The rate, or the edge.
fn place(step: &Step<'_>) -> String {
    step.rate.map_or("edge".into(), |rate| rate.to_string())
}

fn behind(step: &Step<'_>) -> String {
    let found = match step.found {
        Some(Found::Sample(sample)) => of_sample(sample),
        Some(Found::Edge(Some(edge))) => of_edge(edge),
        Some(Found::Edge(None)) => "not reached".into(),
        Some(Found::Failed(why)) => why.clone(),
        None => String::new(),
    };
    let Step { round, done, cells, defence, .. } = step;
    format!("round {round}, {done:>2} of {cells}: {defence}, {}: {found}", place(step))
}

fn of_sample(sample: &Sample) -> String {
    let cost = sample.receive.map_or(String::new(), |receive| {
        format!(", {:.0} ns a frame at {:.0} % busy", receive.ns_per_frame, receive.busy_percent)
    });
    format!(
        "{} complete (web {}, mail {}), flood {}/s, {:.1} % lost in the ring{cost}{}",
        whole_percent(sample.percent()),
        whole_percent(sample.web.percent()),
        whole_percent(sample.mail.percent()),
        si(sample.sent_per_second),
        sample.lost_percent,
        whys(&sample.disturbed),
    )
}

fn of_edge(edge: &Edge) -> String {
    if !edge.is_apart {
        return format!("the highest rate, {:.0} ns a frame", edge.ns_per_frame);
    }
    format!(
        "flood {}/s, {:.1} % lost in the ring, {:.0} ns a frame at {:.0} % busy{}",
        si(edge.sent_per_second),
        edge.lost_percent,
        edge.ns_per_frame,
        edge.busy_percent,
        whys(&edge.disturbed),
    )
}

fn whys(disturbed: &[String]) -> String {
    disturbed.iter().map(|why| format!("; {why}")).collect()
}
