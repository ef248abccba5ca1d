//! `sekisho lab compare`: defences side by side.
//!
//! [`plan`] makes of the arguments what the lab shall do; [`progress`] tells what it does; [`table`], [`markdown`], [`page`] and [`json`] show
//! what came out, with the sentences of [`findings`].

mod findings;
mod json;
mod markdown;
mod page;
mod plan;
mod progress;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use sekisho_lab::compare::{Comparison, Defence, Rate};

use super::{failed, interrupt};
use crate::failure::Failure;
use crate::print;

/// The arguments of `lab compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// One defence of each kind, at four rates, once each: less than 90 seconds.
    #[arg(long, conflicts_with_all = ["minutes", "rounds"])]
    pub quick: bool,
    /// As many rounds as fit into this time; at least one.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=240))]
    pub minutes: u16,
    /// At most so many rounds.
    #[arg(long, value_name = "N", default_value_t = plan::ROUNDS, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub rounds: u8,
    /// Only this defence; may be given several times. A wrong name lists them all.
    #[arg(long = "defence", value_name = "NAME", value_parser = plan::defence)]
    pub defences: Vec<Defence>,
    /// Only this rate, in SYNs a second, as 0, 100k, 1M or full; may be given several times.
    #[arg(long = "rate", value_name = "RATE", value_parser = plan::rate)]
    pub rates: Vec<Rate>,
    /// IPv4 or IPv6.
    #[arg(long, value_name = "4|6", default_value_t = 4, value_parser = super::conform::family)]
    pub family: u8,
    /// Visitors begin for so long in each cell, in seconds.
    #[arg(long, value_name = "N", default_value_t = plan::SECONDS, value_parser = plan::seconds)]
    pub seconds: f64,
    /// Also write a page with charts (.html) or a table (.md); may be given several times.
    #[arg(long = "report", value_name = "FILE", value_parser = plan::report)]
    pub reports: Vec<PathBuf>,
    /// Write what was measured as JSON (its `version` is 2), into a file, or to stdout in place of the table.
    #[arg(long, value_name = "FILE|-", value_parser = plan::destination)]
    pub json: Option<PathBuf>,
}

/// Compares, and shows what came out.
pub fn compare(args: &CompareArgs) -> Result<(), Failure> {
    let plan = plan::of(args)?;
    interrupt::watch();
    let mut progress = progress::Progress::new(plan.rounds);
    let compared = sekisho_lab::compare::run(&plan, &mut |step| progress.tell(step), &interrupt::asked);
    progress.end();
    let comparison = compared.map_err(failed)?;
    write_all(args, &comparison)?;
    measured(&comparison)
}

/// A table in which nothing stands is a failure. A row in which nothing stands says why, and the others are worth having.
fn measured(comparison: &Comparison) -> Result<(), Failure> {
    let cells = || comparison.defences.iter().flat_map(|behind| &behind.cells);
    if cells().any(|cell| !cell.samples.is_empty()) {
        return Ok(());
    }
    let why = cells().find_map(|cell| cell.failures.first()).map_or("no reason is known", String::as_str);
    Err(Failure::new(format!("nothing could be measured: {why}"))
        .hint("docs/operations/lab.md says what the lab needs"))
}

fn write_all(args: &CompareArgs, comparison: &Comparison) -> Result<(), Failure> {
    let command = plan::command_line(args);
    for report in &args.reports {
        let text = match report.extension().and_then(|extension| extension.to_str()) {
            Some("md") => markdown::document(comparison, &command),
            _ => page::document(comparison, &command),
        };
        write(report, &text)?;
    }
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => print(&json::document(comparison, &command)),
        Some(path) => write(path, &json::document(comparison, &command)).and_then(|()| print(&table::text(comparison))),
        None => print(&table::text(comparison)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::from_error(format!("cannot write {}", path.display()), error))
}
