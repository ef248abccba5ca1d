//! Who gets through, by defence and rate: each cell has its figure and one of five colours, from blue (holds) to red (gone), which can
//! also be told apart by whoever does not see red and green.

use std::fmt::Write as _;

use sekisho_lab::compare::{Cell, Comparison};

use super::super::findings::{mark, percent, range};
use super::{escape, head, rows};

/// Classes of the style sheet, with what each stands for and its lower end in percent.
const STEPS: [(&str, &str, f64); 5] = [
    ("s4", "99–100 %", 99.0),
    ("s3", "90–99", 90.0),
    ("s2", "50–90", 50.0),
    ("s1", "10–50", 10.0),
    ("s0", "below 10", -1.0),
];

/// The section.
pub(super) fn section(out: &mut String, comparison: &Comparison) {
    let _ = writeln!(
        out,
        "<h2>Visitors who get through, by flood rate</h2>\n<p class=\"soft\">Share of visits served within {} s, in percent.</p>\n\
         <table class=\"heat\">",
        comparison.deadline.as_secs_f64()
    );
    head(out, comparison);
    rows(out, comparison, |out, behind| behind.cells.iter().for_each(|one| cell(out, one)));
    out.push_str("</tbody>\n</table>\n<p class=\"key\">");
    for (class, words, _) in STEPS {
        let _ = write!(out, "<span class=\"{class}\">{words}</span>");
    }
    out.push_str("</p>\n");
}

fn cell(out: &mut String, cell: &Cell) {
    let Some(success) = cell.success() else {
        let why = cell.failures.first().map_or("not measured", String::as_str);
        let _ = write!(out, "<td class=\"none\" title=\"{}\">–</td>", escape(why));
        return;
    };
    let figure = percent(success.median);
    let range =
        range(success).map_or(String::new(), |range| format!("<small>{}</small>", range.trim_end_matches(" %")));
    let class = class_of(success.median);
    let _ = write!(out, "<td class=\"{class}\">{}{}{range}</td>", figure.trim_end_matches(" %"), mark(cell));
}

fn class_of(percent: f64) -> &'static str {
    STEPS.iter().find(|(_, _, least)| percent >= *least).map_or("s0", |(class, _, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_an_order() {
        let classes: Vec<_> = [100.0, 99.0, 95.0, 50.0, 10.0, 9.9, 0.0].into_iter().map(class_of).collect();
        assert_eq!(classes, ["s4", "s4", "s3", "s2", "s1", "s0", "s0"]);
    }
}
