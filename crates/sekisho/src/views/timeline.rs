//! The timeline of a diagnosis as a [`Chart`].

use sekisho_engine::judge::diagnosis::timeline::{Mark, Row as Kind, Series};
use sekisho_engine::judge::diagnosis::{Diagnosis, Role};
use sekisho_engine::observe::record::metric::Unit;
use sekisho_engine::observe::record::{Span, Time};

use super::chart::{self, Chart, Row, Subject};
use super::page::{Body, Part};
use crate::words::{Words, args, format};

/// A row with fewer points is no line over time.
const POINTS_MIN: usize = 3;

/// The timeline, where there is anything to draw.
pub fn part(diagnosis: &Diagnosis, words: &Words) -> Option<Part> {
    let timeline = &diagnosis.timeline;
    let span = timeline.span?;
    let rows: Vec<Row> = timeline
        .series
        .iter()
        .filter(|series| series.points.len() >= POINTS_MIN)
        .map(|series| row(series, span, words))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let events: Vec<(Time, String)> = timeline.marks.iter().map(|mark| (mark.at, mark_text(mark, words))).collect();
    let more = |count: usize| words.say("marks-more", &args([("count", count.to_string())]));
    let mut marks = chart::marks(span, &events, more);
    if let Some(last) = marks.last_mut().filter(|_| timeline.marks_left_out > 0) {
        last.texts.push(more(usize::try_from(timeline.marks_left_out).unwrap_or(usize::MAX)));
    }
    let chart = Chart { rows, marks, ticks: chart::ticks(span, words), shades: shades(diagnosis, span) };
    let heading = words.word("head-timeline");
    Some(Part { name: "timeline", heading, intro: words.word("intro-timeline"), body: Body::Chart(chart) })
}

/// When the main findings were.
fn shades(diagnosis: &Diagnosis, span: Span) -> Vec<(f64, f64)> {
    let main = diagnosis.findings.iter().filter(|finding| finding.role == Role::Main);
    let spans = main.filter_map(|finding| finding.span);
    spans.map(|of| (chart::share(span, of.from), chart::share(span, of.until))).collect()
}

fn row(series: &Series, span: Span, words: &Words) -> Row {
    let values = || series.points.iter().map(|point| point.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let label = words.name("row", &series.row);
    let value = |number: f64| value(series.unit, number);
    let extreme = value(series.extreme.1);
    let peak = if series.row.scarce() { words.say("row-least", &args([("value", extreme)])) } else { extreme };
    let summary = [
        ("label", label.clone()),
        ("low", value(low)),
        ("high", value(high)),
        ("extreme", value(series.extreme.1)),
        ("at", words.moment(series.extreme.0)),
    ];
    Row {
        summary: words.say("row-summary", &args(summary)),
        label,
        subject: subject(series.row),
        points: series.points.iter().map(|(at, value)| (chart::share(span, *at), *value)).collect(),
        top: high,
        peak,
    }
}

fn value(unit: Unit, number: f64) -> String {
    match unit {
        Unit::Bytes | Unit::BytesPerSecond => format::bytes(number),
        Unit::Percent => format::percent(number / 100.0),
        Unit::PerSecond | Unit::Count => format::number(number),
    }
}

const fn subject(row: Kind) -> Subject {
    match row {
        Kind::Syns | Kind::CookiesSent | Kind::HalfOpen | Kind::SegmentsIn => Subject::Asked,
        Kind::Completions | Kind::Requests | Kind::Established => Subject::Served,
        Kind::Overflows | Kind::AcceptQueue => Subject::Lost,
        Kind::Workers | Kind::MemoryAvailable | Kind::SwapUsed | Kind::Load | Kind::Conntrack | Kind::Softirq => {
            Subject::Host
        }
    }
}

fn mark_text(mark: &Mark, words: &Words) -> String {
    let what = words.tell("event", &mark.event);
    let at = words.moment(mark.at);
    if mark.count > 1 {
        let count = format::number(mark.count as f64);
        words.say("mark-many", &args([("at", at), ("what", what), ("count", count)]))
    } else {
        words.say("mark", &args([("at", at), ("what", what)]))
    }
}
