//! What a comparison says in sentences, and how figures are written everywhere.

use std::fmt;
use std::time::Duration;

use sekisho_lab::compare::{Behind, Cell, Comparison, Defence, Edge, Edges, Rate, Spread};

/// The rate at which most sentences look.
const HARD: Rate = Rate::PerSecond(1_000_000);

/// The sentences, the most important first.
pub fn sentences(comparison: &Comparison) -> Vec<String> {
    [holds(comparison), against_the_oracle(comparison), cost(comparison), disturbed(comparison)]
        .into_iter()
        .flatten()
        .collect()
}

/// What share of its visitors a defence that holds must keep.
const HOLDS_PERCENT: f64 = 90.0;

/// Up to which rate each defence keeps its visitors, the highest rate first.
fn holds(comparison: &Comparison) -> Option<String> {
    let measured = || {
        let all = comparison.defences.iter().filter(|behind| !behind.defence.is_bound());
        all.filter(|behind| behind.cells.iter().any(|cell| cell.success().is_some()))
    };
    measured().next()?;
    let titles = |held: Option<Rate>| {
        let found = measured().filter(|behind| held_up_to(behind) == held).map(|behind| behind.defence.title());
        found.collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    for rate in comparison.rates.iter().rev().copied().map(Some).chain([None]) {
        let titles = titles(rate);
        let part = match rate {
            _ if titles.is_empty() => continue,
            Some(Rate::Calm) => format!("only without a flood behind {titles}"),
            Some(Rate::Full) => format!("at all that the generator gives behind {titles}"),
            Some(rate) => format!("up to {rate} behind {titles}"),
            None => format!("not even without a flood behind {titles}"),
        };
        parts.push(part);
    }
    Some(format!("Nine of ten visitors or more get through {}.", parts.join("; ")))
}

/// The highest rate up to which a defence keeps its visitors.
fn held_up_to(behind: &Behind) -> Option<Rate> {
    let holds = |cell: &&Cell| cell.success().is_some_and(|success| success.median >= HOLDS_PERCENT);
    behind.cells.iter().take_while(holds).last().map(|cell| cell.rate)
}

fn against_the_oracle(comparison: &Comparison) -> Option<String> {
    let at = |defence| comparison.behind(defence)?.at(HARD)?.success();
    let (ours, bound) = (at(Defence::Sekisho)?, at(Defence::Oracle)?);
    Some(format!(
        "At {HARD}, {} of the visitors complete behind Sekisho, {} behind an oracle that knows the attackers.",
        percent(ours.median),
        percent(bound.median)
    ))
}

fn cost(comparison: &Comparison) -> Option<String> {
    let (ours, bounce) = (at_edge(comparison, Defence::Sekisho)?, at_edge(comparison, Defence::Bounce)?);
    let times = |other: Defence| Some(at_edge(comparison, other)?.ns / bounce.ns);
    let others: Vec<String> = [Defence::Cookies, Defence::Synproxy]
        .into_iter()
        .filter_map(|other| Some(format!("{} {:.1} times", other.title(), times(other)?)))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    Some(format!(
        "Where the receive processor just cannot keep up, a frame costs {:.0} ns with Sekisho: {:.1} times the bare bounce's {:.0} ns{others}.",
        ours.ns,
        ours.ns / bounce.ns,
        bounce.ns
    ))
}

/// What a frame costs at a defence's edge, and where that is: medians of the repeats.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Nanoseconds of the receive processor.
    pub ns: f64,
    /// The flood, in frames a second.
    pub rate: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.0} at {}/s", self.ns, si(self.rate))
    }
}

/// A defence's cost at its edge; `None` if its processor was never saturated.
pub fn cost_of(behind: &Behind) -> Option<Cost> {
    let median = |of: fn(&Edge) -> f64| behind.edges.spread(of).map(|spread| spread.median);
    Some(Cost { ns: median(|edge| edge.ns_per_frame)?, rate: median(|edge| edge.sent_per_second)? })
}

fn at_edge(comparison: &Comparison, defence: Defence) -> Option<Cost> {
    comparison.behind(defence).and_then(cost_of)
}

fn disturbed(comparison: &Comparison) -> Option<String> {
    let (some, all) = comparison.disturbed();
    (some > 0).then(|| {
        format!(
            "{some} of {all} measurements were disturbed by something else on the machine; their cells are marked *."
        )
    })
}

/// A share, exact where it matters: near all and near nothing.
pub fn percent(value: f64) -> String {
    if value > 99.95 {
        "100 %".into()
    } else if value > 90.0 || (value < 10.0 && value > 0.0) {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// A share for a line of progress.
pub fn whole_percent(value: f64) -> String {
    format!("{value:.0} %")
}

/// The range of the repeats, if they differ.
pub fn range(spread: Spread) -> Option<String> {
    let (low, high) = (percent(spread.low), percent(spread.high));
    (low != high).then(|| format!("{}–{high}", low.trim_end_matches(" %")))
}

/// A number with k or M.
pub fn si(value: f64) -> String {
    if value >= 999_500.0 {
        format!("{:.1} M", value / 1e6)
    } else if value >= 999.5 {
        format!("{:.0} k", value / 1e3)
    } else {
        format!("{value:.0}")
    }
}

/// A time in milliseconds, or seconds from one on.
pub fn time(time: Option<Duration>) -> String {
    match time.map(|time| time.as_secs_f64() * 1e3) {
        None => "-".into(),
        Some(ms) if ms >= 1000.0 => format!("{:.1} s", ms / 1e3),
        Some(ms) if ms >= 10.0 => format!("{ms:.0} ms"),
        Some(ms) if ms >= 1.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{ms:.2} ms"),
    }
}

/// What a cell is marked with: `*` if repeats were disturbed.
pub fn mark(cell: &Cell) -> &'static str {
    if cell.disturbed() > 0 { "*" } else { "" }
}

/// The same for the cost at the edge.
pub fn mark_edge(edges: &Edges) -> &'static str {
    if edges.found.iter().any(|edge| !edge.disturbed.is_empty()) { "*" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_exact_as_they_matter() {
        assert_eq!((percent(100.0), percent(99.3), percent(43.4)), ("100 %".into(), "99.3 %".into(), "43 %".into()));
        assert_eq!((percent(0.0), percent(0.3)), ("0 %".into(), "0.3 %".into()));
        assert_eq!((si(4_237_000.0), si(999_900.0), si(99_800.0)), ("4.2 M".into(), "1.0 M".into(), "100 k".into()));
        assert_eq!(Cost { ns: 507.4, rate: 2_014_000.0 }.to_string(), "507 at 2.0 M/s");
        assert_eq!(time(Some(Duration::from_micros(310))), "0.31 ms");
        assert_eq!(time(Some(Duration::from_millis(1030))), "1.0 s");
        assert_eq!(range(Spread { median: 99.0, low: 98.0, high: 100.0 }), Some("98.0–100 %".into()));
        assert_eq!(range(Spread { median: 99.0, low: 99.0, high: 99.0 }), None);
    }
}
