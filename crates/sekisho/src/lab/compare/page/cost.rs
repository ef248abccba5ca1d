//! What a frame costs the receive processor, as bars.

use std::fmt::Write as _;

use sekisho_lab::compare::{Comparison, Defence};

use super::super::findings::{cost_of, mark_edge, si};
use super::rows;

/// The section; nothing where no processor was saturated.
pub(super) fn section(out: &mut String, comparison: &Comparison) {
    let most = comparison.defences.iter().filter_map(cost_of).map(|cost| cost.ns).fold(0.0, f64::max);
    if most <= 0.0 {
        return;
    }
    let bounce = comparison.behind(Defence::Bounce).and_then(cost_of);
    out.push_str(
        "<h2>What a frame of the flood costs</h2>\n<p class=\"soft\">Nanoseconds of the receive processor where it just cannot keep up, and \
         at which rate that was. × is against the least that any answer costs, a bare bounce. The shorter, the more it can take.</p>\n\
         <table class=\"bars\"><tbody>\n",
    );
    rows(out, comparison, |out, behind| {
        let Some(cost) = cost_of(behind) else {
            out.push_str("<td class=\"soft\">kept up with the highest rate</td>");
            return;
        };
        let times = bounce.map_or(String::new(), |bounce| format!(" · {:.1}×", cost.ns / bounce.ns));
        let width = 100.0 * cost.ns / most;
        let _ = write!(
            out,
            "<td><div class=\"bar\"><i style=\"--width:{width:.1}%\"></i><b>{:.0} ns{}{times}<small>at {}/s</small></b></div></td>",
            cost.ns,
            mark_edge(&behind.edges),
            si(cost.rate),
        );
    });
    out.push_str("</tbody></table>\n");
}
