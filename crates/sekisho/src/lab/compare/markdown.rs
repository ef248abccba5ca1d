//! The result as Markdown, for docs/results.

use std::fmt::Write as _;

use sekisho_lab::compare::cell::{SOURCES, VISITS_PER_SECOND};
use sekisho_lab::compare::{Cell, Comparison, Edge, Spread};

use super::findings::{cost_of, mark, mark_edge, percent, range, sentences, si, time};
use super::table::{lost, repeats};

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
        comparison.deadline.as_secs_f64(),
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
    out.push_str(
        "\n## What a frame costs\n\nAt each defence's edge: on the receive processor, under a flood of about a quarter more than it can take, \
         or the highest rate if it can take nearly all of that.\n\n",
    );
    let columns =
        ["ns a frame", "flood sent", "lost in the ring", "taken by others", "steal", "lost at the highest rate"];
    head(out, "defence", columns.iter().map(|word| (*word).into()));
    for behind in &comparison.defences {
        let spread = |of: fn(&Edge) -> f64| behind.edges.spread(of);
        let word = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1} %"));
        let (median, worst) = (|spread: Spread| spread.median, |spread: Spread| spread.high);
        let star = if mark_edge(&behind.edges).is_empty() { "" } else { "\\*" };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            behind.defence.title(),
            cost_of(behind).map_or("-".into(), |cost| format!("{:.0}{star}", cost.ns)),
            cost_of(behind).map_or("-".into(), |cost| format!("{}/s", si(cost.rate))),
            word(spread(|edge| edge.lost_percent).map(median)),
            word(spread(|edge| edge.foreign_percent).map(worst)),
            word(spread(|edge| edge.steal_percent).map(worst)),
            lost(behind),
        );
    }
}
