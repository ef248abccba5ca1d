//! What a frame costs the receive processor, as bars.

use std::fmt::Write as _;

use sekisho_lab::compare::{Comparison, Defence};

use super::super::findings::saturated;
use super::rows;

/// The section; nothing where no processor was saturated.
pub(super) fn section(out: &mut String, comparison: &Comparison) {
    let costs = comparison.defences.iter().filter_map(|behind| saturated(comparison, behind.defence));
    let most = costs.fold(0.0, f64::max);
    if most <= 0.0 {
        return;
    }
    let bounce = saturated(comparison, Defence::Bounce);
    out.push_str(
        "<h2>What a frame of the flood costs</h2>\n<p class=\"soft\">Nanoseconds of the saturated receive processor, beside the least that \
         any answer costs (a bare bounce): the shorter, the more it can take.</p>\n<table class=\"bars\"><tbody>\n",
    );
    rows(out, comparison, |out, behind| {
        let Some(ns) = saturated(comparison, behind.defence) else {
            out.push_str("<td class=\"soft\">not saturated</td>");
            return;
        };
        let times = bounce.map_or(String::new(), |bounce| format!(" · {:.1}×", ns / bounce));
        // A part of the row is for the words.
        let width = 70.0 * ns / most;
        let _ = write!(
            out,
            "<td><div class=\"bar\"><i style=\"width:{width:.1}%\"></i><b>{ns:.0} ns{times}</b></div></td>"
        );
    });
    out.push_str("</tbody></table>\n");
}
