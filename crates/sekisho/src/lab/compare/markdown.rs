//! The result as Markdown, for docs/results.

use std::fmt::Write as _;

use sekisho_lab::compare::cell::{SOURCES, VISITS_PER_SECOND};
use sekisho_lab::compare::{Cell, Comparison};

use super::findings::{mark, percent, range, saturated, sentences, si, time};
use super::table::repeats;

/// The document.
pub fn document(comparison: &Comparison, command: &str) -> String {
    let mut out = format!(
        "# Defences side by side, {}\n\nMade by `{command}` on {}, in {:.0} min. [What is measured, and what carries over to other machines]\
         (../operations/lab.md).\n\n",
        comparison.family,
        comparison.machine,
        comparison.elapsed.as_secs_f64() / 60.0
    );
    for sentence in sentences(comparison) {
        let _ = writeln!(out, "- {sentence}");
    }
    success(&mut out, comparison);
    latency(&mut out, comparison);
    cost(&mut out, comparison);
    out.push_str("\n## The defences\n\n");
    for behind in &comparison.defences {
        let _ = writeln!(out, "- **{}**: {}", behind.defence.title(), behind.defence.note());
    }
    out
}

fn head(out: &mut String, first: &str, columns: impl Iterator<Item = String>) {
    let columns: Vec<_> = columns.collect();
    let _ = writeln!(out, "| {first} | {} |", columns.join(" | "));
    let _ = writeln!(out, "|---|{}", "---:|".repeat(columns.len()));
}

fn row(out: &mut String, comparison: &Comparison, of: impl Fn(&Cell) -> String) {
    head(out, "defence", comparison.rates.iter().map(ToString::to_string));
    for behind in &comparison.defences {
        let cells: Vec<_> = behind.cells.iter().map(&of).collect();
        let _ = writeln!(out, "| {} | {} |", behind.defence.title(), cells.join(" | "));
    }
}

fn success(out: &mut String, comparison: &Comparison) {
    let _ = write!(
        out,
        "\n## Visits that completed\n\nWithin {} s, of {VISITS_PER_SECOND} a second to a web server and as many to one that greets first, from \
         {SOURCES} addresses; {}{}.\n\n",
        comparison.deadline.as_secs(),
        repeats(comparison),
        if comparison.rounds > 1 { ", range in brackets" } else { "" }
    );
    row(out, comparison, |cell| {
        let Some(success) = cell.success() else { return "-".into() };
        let range = range(success).map_or(String::new(), |range| format!(" ({range})"));
        format!("{}{range}{}", percent(success.median), if mark(cell).is_empty() { "" } else { "\\*" })
    });
}

fn latency(out: &mut String, comparison: &Comparison) {
    out.push_str("\n## Time to connect\n\nMedian and 99 %, of those who connected.\n\n");
    row(out, comparison, |cell| {
        let times = cell.times(|visits| &visits.connect);
        if times.count() == 0 {
            return "-".into();
        }
        format!("{}, {}", time(times.within(50.0)), time(times.within(99.0)))
    });
}

fn cost(out: &mut String, comparison: &Comparison) {
    out.push_str("\n## What a frame costs\n\nOn the receive processor, where it had no time left.\n\n");
    let columns = ["ns a frame", "flood sent", "lost in the ring", "taken by others", "steal"];
    head(out, "defence", columns.iter().map(|word| (*word).into()));
    for behind in &comparison.defences {
        let Some(cell) = behind.cells.last() else { continue };
        let median = |of: fn(&sekisho_lab::compare::Sample) -> f64| cell.spread(|one| Some(of(one)));
        let word = |value: Option<f64>, unit: &str| value.map_or("-".into(), |value| format!("{value:.1}{unit}"));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            behind.defence.title(),
            saturated(comparison, behind.defence).map_or("-".into(), |ns| format!("{ns:.0}")),
            median(|one| one.sent_per_second).map_or("-".into(), |sent| format!("{}/s", si(sent.median))),
            word(median(|one| one.lost_percent).map(|one| one.median), " %"),
            word(median(|one| one.foreign_percent).map(|one| one.high), " %"),
            word(median(|one| one.steal_percent).map(|one| one.high), " %"),
        );
    }
}
