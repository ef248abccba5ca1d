//! The page in a terminal: plain text that says all without colours.

use super::chart::Chart;
use super::layout::{behind, pad, pad_left, width, wrap};
use super::page::{Body, Finding, Page, Part, Point, Tone};
use super::screen::Screen;
use crate::words::format::NARROW;

/// The page as text.
pub fn render(page: &Page, screen: Screen) -> String {
    let verdict = |line: &String| match page.tone {
        Tone::Well => screen.good(line),
        Tone::Bad => screen.bad(line),
        Tone::Unknown => screen.doubtful(line),
    };
    let mut text: String = wrap(&page.verdict, screen.columns).iter().map(|line| verdict(line) + "\n").collect();
    for line in &page.about {
        text += &behind("", line, screen.columns);
    }
    for part in &page.parts {
        text.push('\n');
        text += &part_text(part, screen);
    }
    // Who copies or searches the text expects usual blanks.
    text.replace(NARROW, " ")
}

fn part_text(part: &Part, screen: Screen) -> String {
    let mut text = screen.bold(&part.heading) + "\n";
    if !part.intro.is_empty() {
        text += &behind("  ", &part.intro, screen.columns);
    }
    text + &match &part.body {
        Body::Points(points) => points.iter().map(|point| point_text("  - ", point, screen)).collect(),
        Body::Steps(points) => {
            let numbered = points.iter().enumerate();
            numbered.map(|(at, point)| point_text(&format!("{:>3}. ", at + 1), point, screen)).collect()
        }
        Body::Findings(findings) => {
            findings.iter().map(|finding| finding_text(finding, screen)).collect::<Vec<_>>().join("\n")
        }
        Body::Chart(chart) => chart_text(chart, screen),
        Body::Table(table, points) => {
            let table = table.render(screen.columns - 2);
            let lines: String = table.lines().map(|line| format!("  {line}\n")).collect();
            lines + &points.iter().map(|point| point_text("  - ", point, screen)).collect::<String>()
        }
    }
}

fn point_text(start: &str, point: &Point, screen: Screen) -> String {
    let indent = " ".repeat(width(start) + 2);
    // A command is never broken: it is to be copied.
    let commands: String = point.commands.iter().map(|command| format!("{indent}{command}\n")).collect();
    behind(start, &point.text, screen.columns) + &commands
}

fn finding_text(finding: &Finding, screen: Screen) -> String {
    let mut text: String =
        wrap(&finding.title, screen.columns - 2).iter().map(|line| format!("  {}\n", screen.bold(line))).collect();
    if !finding.notes.is_empty() {
        text += &behind("  ", &finding.notes.join("; "), screen.columns);
    }
    if !finding.meaning.is_empty() {
        text += &behind("    ", &finding.meaning, screen.columns);
    }
    for evidence in &finding.evidence {
        text += &behind("    - ", evidence, screen.columns);
    }
    if !finding.refuted.is_empty() {
        text += &behind("    ", &finding.refuted_heading, screen.columns);
        for refuted in &finding.refuted {
            text += &behind("      - ", refuted, screen.columns);
        }
    }
    text
}

/// A row's label is cut beyond this.
const LABEL_MAX: usize = 30;

fn chart_text(chart: &Chart, screen: Screen) -> String {
    let label = chart.rows.iter().map(|row| width(&row.label)).max().unwrap_or(0).min(LABEL_MAX);
    let peak = chart.rows.iter().map(|row| width(&row.peak)).max().unwrap_or(0);
    let columns = screen.columns.saturating_sub(2 + label + 1 + 1 + peak).max(20);
    let start = " ".repeat(2 + label + 1);
    let mut text = String::new();
    if !chart.marks.is_empty() {
        let letters = chart.marks.iter().map(|mark| (mark.at, mark.letter.to_string()));
        text += &format!("{start}{}\n", placed(letters, columns));
    }
    for row in &chart.rows {
        let mut name = wrap(&row.label, label).into_iter();
        let first = name.next().unwrap_or_default();
        text += &format!("  {} {} {}\n", pad(&first, label), row.blocks(columns), pad_left(&row.peak, peak));
        // What a long label has left stands below.
        text += &name.map(|line| format!("  {line}\n")).collect::<String>();
    }
    text += &format!("{start}{}\n", placed(chart.ticks.iter().cloned(), columns));
    for mark in &chart.marks {
        for (at, said) in mark.texts.iter().enumerate() {
            let start = if at == 0 { format!("  {} ", mark.letter) } else { "    ".to_owned() };
            text += &behind(&start, said, screen.columns);
        }
    }
    text
}

/// Texts at their places in a line of so many columns; one for which there is no room is left out.
fn placed(texts: impl Iterator<Item = (f64, String)>, columns: usize) -> String {
    let mut line = String::new();
    for (at, text) in texts {
        let at = ((at * columns as f64) as usize).min(columns.saturating_sub(width(&text)));
        if line.is_empty() || at > width(&line) {
            line = pad(&line, at) + &text;
        }
    }
    line
}
