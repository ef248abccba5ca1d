//! The tables in the terminal.

use std::fmt::Write as _;

use sekisho_lab::compare::{Behind, Cell, Comparison};

use super::findings::{cost_of, mark, mark_edge, percent, range, sentences, si, time};

/// What came out, for people.
pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "Visits that completed within {} s, by flood rate ({}, {} each, {})\n",
        comparison.deadline.as_secs_f64(),
        comparison.family,
        repeats(comparison),
        comparison.machine
    );
    out.push_str(&lined(&success_rows(comparison)));
    out.push_str("\nConnected, median and 99 % of those who did\n\n");
    out.push_str(&lined(&latency_rows(comparison)));
    out.push('\n');
    for behind in &comparison.defences {
        for why in behind.cells.iter().flat_map(|cell| &cell.failures).chain(&behind.edges.failures).take(1) {
            let _ = writeln!(out, "{}: not measured: {why}", behind.defence.title());
        }
    }
    for sentence in sentences(comparison) {
        let _ = writeln!(out, "{sentence}");
    }
    out
}

/// How often each cell was measured.
pub fn repeats(comparison: &Comparison) -> String {
    match comparison.rounds {
        1 => "measured once".into(),
        rounds => format!("median of {rounds} repeats"),
    }
}

fn header(comparison: &Comparison, more: &[&str]) -> Vec<String> {
    let rates = comparison.rates.iter().map(ToString::to_string);
    std::iter::once(String::new()).chain(rates).chain(more.iter().map(|word| (*word).into())).collect()
}

fn success_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let mut rows = vec![header(comparison, &["ns/frame", "lost in ring"])];
    for behind in &comparison.defences {
        let mut row = vec![behind.defence.title().to_owned()];
        row.extend(behind.cells.iter().map(success));
        row.push(cost_of(behind).map_or("-".into(), |cost| format!("{cost}{}", mark_edge(&behind.edges))));
        row.push(lost(behind));
        rows.push(row);
    }
    rows
}

fn success(cell: &Cell) -> String {
    let Some(success) = cell.success() else { return "-".into() };
    let range = range(success).map_or(String::new(), |range| format!(" ({range})"));
    format!("{}{range}{}", percent(success.median), mark(cell))
}

/// What the ring lost at the highest rate, and what that was.
pub fn lost(behind: &Behind) -> String {
    let Some(cell) = behind.cells.last() else { return "-".into() };
    let (lost, sent) = (cell.spread(|one| Some(one.lost_percent)), cell.spread(|one| Some(one.sent_per_second)));
    match (lost, sent) {
        (Some(lost), Some(sent)) if sent.median > 0.0 => {
            format!("{:.0} % of {}/s", lost.median, si(sent.median))
        }
        _ => "-".into(),
    }
}

fn latency_rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let mut rows = vec![header(comparison, &[])];
    for behind in &comparison.defences {
        let times = |cell: &Cell| {
            let times = cell.times(|visits| &visits.connect);
            match times.count() {
                0 => "-".into(),
                _ => format!("{} {}", time(times.within(50.0)), time(times.within(99.0))),
            }
        };
        let cells = behind.cells.iter().map(times);
        rows.push(std::iter::once(behind.defence.title().to_owned()).chain(cells).collect());
    }
    rows
}

/// Columns of equal width: the first to the left, figures to the right.
fn lined(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width_of(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let _ = if column == 0 { write!(line, "{cell}{pad}") } else { write!(line, "  {pad}{cell}") };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}
