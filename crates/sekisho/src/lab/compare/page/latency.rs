//! How long visitors wait until connected: a small drawing in each cell, on one logarithmic scale from 10 us to 2 s. The dot is the
//! median, the line ends where 99 % are connected.

use std::fmt::Write as _;
use std::time::Duration;

use sekisho_lab::compare::{Cell, Comparison};

use super::super::findings::time;
use super::{head, rows};

const SCALE_FROM_US: f64 = 10.0;
const SCALE_TO_US: f64 = 2e6;
/// Fewer connections than this and their 99 % is only the slowest.
const CONNECTED_LEAST: u64 = 5;

/// The section.
pub(super) fn section(out: &mut String, comparison: &Comparison) {
    out.push_str(
        "<h2>How long until connected</h2>\n<p class=\"soft\">Of those who connected: the dot is the median, the line ends where 99 % are. \
         The scale is logarithmic, from 10 µs to 2 s.</p>\n<table class=\"late\">\n",
    );
    head(out, comparison);
    rows(out, comparison, |out, behind| behind.cells.iter().for_each(|one| cell(out, one)));
    out.push_str("</tbody>\n</table>\n");
}

fn cell(out: &mut String, cell: &Cell) {
    let times = cell.times(|visits| &visits.connect);
    let (Some(median), Some(most)) = (times.within(50.0), times.within(99.0)) else {
        out.push_str("<td>–</td>");
        return;
    };
    if times.count() < CONNECTED_LEAST {
        out.push_str("<td>few</td>");
        return;
    }
    let (from, to) = (place(median), place(most));
    let _ = write!(
        out,
        "<td><svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"median {median}, 99 % {most}\">\
         <rect x=\"0\" y=\"5.5\" width=\"100\" height=\"1\"/><line x1=\"{from:.1}\" y1=\"6\" x2=\"{to:.1}\" y2=\"6\"/>\
         <rect class=\"dot\" x=\"{:.1}\" y=\"1\" width=\"4\" height=\"10\"/></svg>{median} – {most}</td>",
        from - 2.0,
        median = unbroken(median),
        most = unbroken(most),
    );
}

/// A time that is not broken before its unit.
fn unbroken(value: Duration) -> String {
    time(Some(value)).replace(' ', "\u{a0}")
}

/// The place of a time on the scale, in percent.
fn place(time: Duration) -> f64 {
    let us = (time.as_micros() as f64).clamp(SCALE_FROM_US, SCALE_TO_US);
    100.0 * (us / SCALE_FROM_US).ln() / (SCALE_TO_US / SCALE_FROM_US).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_where_it_says() {
        assert_eq!(place(Duration::from_micros(10)), 0.0);
        assert!((place(Duration::from_secs(2)) - 100.0).abs() < 0.01);
        assert!(place(Duration::from_millis(1)) < place(Duration::from_millis(2)));
        assert_eq!(place(Duration::ZERO), 0.0);
    }
}
