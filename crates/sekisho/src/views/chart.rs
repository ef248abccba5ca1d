//! The timeline: rows of numbers over one span of time, marks where something happened, and the times below.
//!
//! Positions are shares of the span, from 0 to 1, so that the terminal's columns and the report's percents come from the same figures.

use std::fmt::Write;

use sekisho_engine::observe::record::{Span, Time};

use crate::words::{Words, format};

/// What a row is about; it chooses its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// What is asked of the host: SYNs, cookies.
    Asked,
    /// What it completed and served.
    Served,
    /// What was refused or lost.
    Lost,
    /// What it has: memory, CPU, queues.
    Host,
}

/// Numbers over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What they are, with their unit.
    pub label: String,
    /// What it is about.
    pub subject: Subject,
    /// Points: where (from 0 to 1) and how much, in the order of time.
    pub points: Vec<(f64, f64)>,
    /// The top of the row; 0: nothing ever was.
    pub top: f64,
    /// The highest value, as it is written.
    pub peak: String,
    /// The same in a sentence, for those who do not see the row.
    pub summary: String,
}

/// Something that happened, or several things close together.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its letter.
    pub letter: char,
    /// Where, from 0 to 1.
    pub at: f64,
    /// What, with their times.
    pub texts: Vec<String>,
}

/// The whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The rows.
    pub rows: Vec<Row>,
    /// What happened.
    pub marks: Vec<Mark>,
    /// Times below the rows: where, and what is written.
    pub ticks: Vec<(f64, String)>,
    /// Times that matter: from where to where.
    pub shades: Vec<(f64, f64)>,
}

/// Points further apart than this many times the usual distance are not connected: nothing is known between.
const GAP: f64 = 3.5;
/// Marks that are closer than this share one letter.
const CLOSE: f64 = 0.03;
/// Of what shares a letter, so many are told.
const TEXTS_MAX: usize = 4;
/// No more letters than there are.
const LETTERS: usize = 26;

/// Where in a span a moment is, from 0 to 1.
pub fn share(span: Span, at: Time) -> f64 {
    let length = span.length_ms().max(1) as f64;
    (at.since_ms(span.from) as f64 / length).clamp(0.0, 1.0)
}

/// Events with letters; `more` says how many of a letter are not told.
pub fn marks(span: Span, events: &[(Time, String)], more: impl Fn(usize) -> String) -> Vec<Mark> {
    let mut groups: Vec<(f64, Vec<String>)> = Vec::new();
    for (at, text) in events {
        let at = share(span, *at);
        match groups.last_mut() {
            // Beyond the alphabet everything joins the last.
            Some((begun, texts)) if at - *begun < CLOSE || begun_last(begun) => texts.push(text.clone()),
            _ => groups.push((at, vec![text.clone()])),
        }
    }
    groups.truncate(LETTERS);
    let mark = |(letter, (at, mut texts)): (char, (f64, Vec<String>))| {
        let left_out = texts.len().saturating_sub(TEXTS_MAX);
        if left_out > 0 {
            texts.truncate(TEXTS_MAX);
            texts.push(more(left_out));
        }
        Mark { letter, at, texts }
    };
    ('A'..='Z').zip(groups).map(mark).collect()
}

/// Close to the end no new letter begins: it would be written outside.
fn begun_last(begun: &f64) -> bool {
    *begun > 1.0 - CLOSE / 2.0
}

/// Lengths between two ticks, in seconds.
const TICKS_S: [i64; 21] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    2_592_000,
];
/// No more ticks than these: a phone has no room.
const TICKS_MAX: i64 = 5;

/// Round times within a span.
pub fn ticks(span: Span, words: &Words) -> Vec<(f64, String)> {
    let length = span.length_ms() / 1000;
    let step = TICKS_S.into_iter().find(|step| length / step <= TICKS_MAX).unwrap_or(31_536_000);
    let ahead = words.zone().ahead(span.from);
    let first = (span.from.seconds() + ahead).div_euclid(step) + 1;
    let moments = (first..first + TICKS_MAX + 1).map(|at| Time::from_seconds(at * step - ahead));
    let label = |at: Time| match step {
        ..60 => format::clock(words.zone(), at),
        60..86_400 => format::minute(words.zone(), at),
        _ => format::day(words.lang(), words.zone(), at),
    };
    moments.filter(|at| span.contains(*at)).map(|at| (share(span, at), label(at))).collect()
}

impl Row {
    /// The usual distance between two points, or more where there are few.
    fn distance(&self) -> f64 {
        let mut distances: Vec<f64> = self.points.windows(2).map(|two| two[1].0 - two[0].0).collect();
        distances.sort_by(f64::total_cmp);
        distances.get(distances.len() / 2).copied().unwrap_or(1.0).max(0.002)
    }

    /// Points that belong together: between these pieces nothing is known.
    fn pieces(&self) -> Vec<&[(f64, f64)]> {
        let far = self.distance() * GAP;
        self.points.chunk_by(|one, other| other.0 - one.0 <= far).collect()
    }

    /// The row in so many steps: the highest value in each, `None` where nothing is known.
    pub fn steps(&self, steps: usize) -> Vec<Option<f64>> {
        let mut values = vec![None; steps];
        let step_of = |at: f64| ((at * steps as f64) as usize).min(steps.saturating_sub(1));
        for piece in self.pieces() {
            for (at, value) in piece {
                let held: &mut Option<f64> = &mut values[step_of(*at)];
                *held = Some(held.map_or(*value, |held: f64| held.max(*value)));
            }
            // Where there are more steps than points, a value holds until the next.
            for two in piece.windows(2) {
                for value in &mut values[step_of(two[0].0)..step_of(two[1].0)] {
                    value.get_or_insert(two[0].1);
                }
            }
        }
        values
    }

    /// The row as blocks of characters, so many columns wide.
    pub fn blocks(&self, columns: usize) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let block = |value: Option<f64>| match value {
            None => ' ',
            Some(value) if self.top > 0.0 => BLOCKS[((value / self.top * 8.0).ceil() as usize).clamp(1, 8) - 1],
            Some(_) => BLOCKS[0],
        };
        self.steps(columns).into_iter().map(block).collect()
    }

    /// The row as a picture that may be stretched in either direction.
    pub fn svg(&self, marks: &[Mark], shades: &[(f64, f64)], label: &str) -> String {
        let mut shapes = String::new();
        for (from, until) in shades {
            let width = ((until - from) * 1000.0).max(4.0);
            let _ = write!(
                shapes,
                "<rect class=\"shade\" x=\"{:.1}\" y=\"0\" width=\"{width:.1}\" height=\"100\"/>",
                from * 1000.0
            );
        }
        for piece in self.pieces() {
            shapes += &self.piece_svg(piece);
        }
        for mark in marks {
            let x = mark.at * 1000.0;
            let _ = write!(shapes, "<path class=\"mark\" d=\"M{x:.1} 0V100\"/>");
        }
        format!(
            "<svg viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\" class=\"{}\">{shapes}</svg>",
            self.subject.class()
        )
    }

    fn piece_svg(&self, piece: &[(f64, f64)]) -> String {
        let top = if self.top > 0.0 { self.top } else { 1.0 };
        // Four of a hundred stay free above the highest value, so that its line is seen whole.
        let point = |(at, value): &(f64, f64)| {
            format!("{:.1} {:.1}", at * 1000.0, 100.0 - 96.0 * (value / top).clamp(0.0, 1.0))
        };
        let line = piece.iter().map(point).collect::<Vec<_>>().join("L");
        let (Some(first), Some(last)) = (piece.first(), piece.last()) else { return String::new() };
        if piece.len() == 1 {
            // A single point is no line: it gets a bar.
            let x = first.0 * 1000.0;
            return format!(
                "<path class=\"line\" d=\"M{x:.1} 100V{}\"/>",
                point(first).split(' ').next_back().unwrap_or("0")
            );
        }
        format!(
            "<path class=\"area\" d=\"M{line}L{:.1} 100L{:.1} 100Z\"/><path class=\"line\" d=\"M{line}\"/>",
            last.0 * 1000.0,
            first.0 * 1000.0
        )
    }
}

impl Subject {
    /// Its name in the report's style sheet.
    const fn class(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Served => "served",
            Self::Lost => "lost",
            Self::Host => "host",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Lang, Zone};

    fn row(points: &[(f64, f64)]) -> Row {
        let top = points.iter().map(|point| point.1).fold(0.0, f64::max);
        let (label, peak, summary) = (String::new(), String::new(), String::new());
        Row { label, subject: Subject::Asked, points: points.to_vec(), top, peak, summary }
    }

    #[test]
    fn blocks_show_the_highest_of_each_step() {
        let every = |step: f64, values: &[f64]| -> Vec<(f64, f64)> {
            values.iter().enumerate().map(|(at, value)| (at as f64 * step, *value)).collect()
        };
        assert_eq!(row(&every(0.25, &[0.0, 4.0, 8.0, 2.0])).blocks(4), "▁▄█▂");
        assert_eq!(row(&every(0.125, &[0.0, 4.0, 8.0, 2.0, 1.0, 8.0, 0.0, 0.0])).blocks(4), "▄██▁");
        assert_eq!(row(&every(0.25, &[8.0, 4.0, 8.0, 8.0])).blocks(8), "██▄▄███ ", "a value holds until the next");
        assert_eq!(row(&[(0.0, 0.0), (0.9, 0.0)]).blocks(2), "▁▁");
    }

    #[test]
    fn where_nothing_is_known_nothing_is_drawn() {
        let points: Vec<(f64, f64)> = (0..10).chain(50..60).map(|at| (f64::from(at) / 60.0, 1.0)).collect();
        let row = row(&points);
        assert_eq!(row.blocks(6), "█    █");
        assert_eq!(row.svg(&[], &[], "x").matches("class=\"area\"").count(), 2);
    }

    #[test]
    fn events_close_together_share_a_letter() {
        let span = Span { from: Time(0), until: Time(100_000) };
        let events: Vec<(Time, String)> =
            [0, 1000, 50_000, 50_100, 50_200, 50_300, 50_400, 50_500].map(|at| (Time(at), at.to_string())).into();
        let marks = marks(span, &events, |more| format!("+{more}"));
        assert_eq!(marks.len(), 2);
        assert_eq!((marks[0].letter, marks[0].texts.join(" ")), ('A', "0 1000".into()));
        assert_eq!((marks[1].at, marks[1].texts.join(" ")), (0.5, "50000 50100 50200 50300 +2".into()));
        let many: Vec<(Time, String)> = (0..1000).map(|at| (Time(at * 100), String::new())).collect();
        assert!(super::marks(span, &many, |_| String::new()).len() <= LETTERS + 8);
    }

    #[test]
    fn ticks_are_round_times_of_the_zone() {
        let words = Words::new(Lang::En, Zone::Fixed(19_800));
        // 2026-11-30 00:38:11 UTC is 06:08:11 there.
        let from = Time(1_795_999_091_000);
        let labels = |length_s: i64| -> Vec<String> {
            let span = Span { from, until: from.plus_ms(length_s * 1000) };
            ticks(span, &words).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(3600), ["06:15", "06:30", "06:45", "07:00"]);
        assert_eq!(labels(60), ["06:08:15", "06:08:30", "06:08:45", "06:09:00"]);
        for length in [1, 7, 100, 86_400, 1_000_000, 100_000_000] {
            assert!((1..=6).contains(&labels(length).len()), "{length}: {:?}", labels(length));
        }
    }
}
