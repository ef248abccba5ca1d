//! The result as one HTML page: no script, nothing fetched, light and dark, for a phone, a desk and a printer.
//!
//! [`heat`] is the table that is read first: who gets through where. Then [`cost`], bars, and [`latency`], one small drawing for each cell.
//! Everything else (losses, disturbances, what each defence is) stands below.

mod cost;
mod heat;
mod latency;

use std::fmt::Write as _;

use sekisho_lab::compare::cell::{SOURCES, VISITS_PER_SECOND};
use sekisho_lab::compare::{Behind, Cell, Comparison, Defence, Edge, Edges, Sample};

use super::findings::{sentences, si};
use super::table::repeats;

/// The page.
pub fn document(comparison: &Comparison, command: &str) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Which defence holds against a SYN flood</title>\n<style>\n{}</style>\n",
        include_str!("style.css")
    );
    opening(&mut out, comparison);
    heat::section(&mut out, comparison);
    cost::section(&mut out, comparison);
    latency::section(&mut out, comparison);
    details(&mut out, comparison);
    notes(&mut out, comparison, command);
    out.push_str("</html>\n");
    out
}

fn opening(out: &mut String, comparison: &Comparison) {
    let _ = writeln!(
        out,
        "<h1>Which defence holds against a SYN flood</h1>\n<p class=\"soft\">{}, {}, on {}.</p>\n<ul class=\"say\">",
        comparison.family,
        repeats(comparison),
        escape(&comparison.machine.to_string())
    );
    for sentence in sentences(comparison) {
        let _ = writeln!(out, "<li>{}</li>", escape(&sentence));
    }
    out.push_str("</ul>\n");
}

/// Rows in the order of the table, with a gap before the bounds.
fn rows(out: &mut String, comparison: &Comparison, mut cells: impl FnMut(&mut String, &Behind)) {
    let mut was_bound = false;
    for behind in &comparison.defences {
        let is_bound = behind.defence.is_bound();
        if is_bound && !was_bound {
            out.push_str("<tr class=\"gap\"><th></th></tr>\n");
        }
        was_bound = is_bound;
        let class = if behind.defence == Defence::Sekisho { " class=\"ours\"" } else { "" };
        let title = escape(behind.defence.title());
        let _ = write!(out, "<tr{class}><th scope=\"row\">{title}<small>{}</small></th>", short(behind.defence));
        cells(out, behind);
        out.push_str("</tr>\n");
    }
}

/// What a row needs to be understood, in a few words.
fn short(defence: Defence) -> &'static str {
    match defence {
        Defence::None => "cookies off",
        Defence::Limit => "1/s, burst 4",
        Defence::Hashlimit => "10/s for each source",
        Defence::Cookies => "=1, backlog 128",
        Defence::CookiesLarge => "=1, backlog 4096",
        Defence::CookiesAlways => "=2, backlog 128",
        Defence::CookiesAlwaysLarge => "=2, backlog 4096",
        Defence::Synproxy => "on the host",
        Defence::SynproxyGateway => "the server behind it",
        Defence::SekishoObserve => "touches nothing",
        Defence::SekishoNftables => "without XDP",
        Defence::Sekisho => "as it comes, XDP",
        Defence::Bounce => "least cost of any answer",
        Defence::Oracle => "knows the attackers, drops",
    }
}

fn head(out: &mut String, comparison: &Comparison) {
    out.push_str("<thead><tr><th></th>");
    for rate in &comparison.rates {
        let _ = write!(out, "<th scope=\"col\">{rate}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
}

/// What is needed to judge whether a figure can be trusted.
fn details(out: &mut String, comparison: &Comparison) {
    out.push_str(
        "<details>\n<summary>Each cell: losses and disturbances</summary>\n\
         <p>Medians of the repeats; taken by others and steal: the worst. Web visitors speak first, mail visitors are spoken to first. \
         At its edge a defence has no visitors, and about a quarter more frames than it can take.</p>\n\
         <div class=\"scroll\"><table class=\"plain\">\n<thead><tr><th>defence</th><th>rate</th><th>sent/s</th><th>lost in the ring</th>\
         <th>web</th><th>mail</th><th>ns a frame</th><th>busy</th><th>others</th><th>steal</th><th>disturbed by</th></tr></thead>\n<tbody>\n",
    );
    for behind in &comparison.defences {
        for cell in &behind.cells {
            detail(out, behind.defence, cell);
        }
        edge(out, behind.defence, &behind.edges);
    }
    out.push_str("</tbody>\n</table></div>\n</details>\n");
}

fn detail(out: &mut String, defence: Defence, cell: &Cell) {
    let median = |of: fn(&Sample) -> Option<f64>| cell.spread(of).map(|spread| spread.median);
    let worst = |of: fn(&Sample) -> Option<f64>| cell.spread(of).map(|spread| spread.high);
    let figures = [
        median(|one| Some(one.sent_per_second)).map_or("-".into(), si),
        share(median(|one| Some(one.lost_percent))),
        share(median(|one| Some(one.web.percent()))),
        share(median(|one| Some(one.mail.percent()))),
        cell.ns_per_frame().map_or("-".into(), |ns| format!("{:.0}", ns.median)),
        share(median(|one| Some(one.receive?.busy_percent))),
        share(worst(|one| Some(one.foreign_percent))),
        share(worst(|one| Some(one.steal_percent))),
    ];
    let whys = cell.samples.iter().flat_map(|one| &one.disturbed).chain(&cell.failures);
    line(out, defence, &cell.rate.to_string(), &figures, whys);
}

/// The edge, if it was measured by itself.
fn edge(out: &mut String, defence: Defence, edges: &Edges) {
    if edges.apart().next().is_none() && edges.failures.is_empty() {
        return;
    }
    let median = |of: fn(&Edge) -> f64| edges.spread(of).map(|spread| spread.median);
    let worst = |of: fn(&Edge) -> f64| edges.spread(of).map(|spread| spread.high);
    let figures = [
        median(|one| one.sent_per_second).map_or("-".into(), si),
        share(median(|one| one.lost_percent)),
        "-".into(),
        "-".into(),
        median(|one| one.ns_per_frame).map_or("-".into(), |ns| format!("{ns:.0}")),
        share(median(|one| one.busy_percent)),
        share(worst(|one| one.foreign_percent)),
        share(worst(|one| one.steal_percent)),
    ];
    let whys = edges.found.iter().flat_map(|one| &one.disturbed).chain(&edges.failures);
    line(out, defence, "edge", &figures, whys);
}

fn share(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.1} %"))
}

/// A line of the details, with what disturbed it.
fn line<'a>(
    out: &mut String,
    defence: Defence,
    place: &str,
    figures: &[String],
    whys: impl Iterator<Item = &'a String>,
) {
    let mut whys: Vec<&str> = whys.map(String::as_str).collect();
    whys.dedup();
    let _ = writeln!(
        out,
        "<tr><th scope=\"row\">{}</th><td>{place}</td><td>{}</td><td class=\"text\">{}</td></tr>",
        defence.name(),
        figures.join("</td><td>"),
        escape(&whys.join("; ")),
    );
}

fn notes(out: &mut String, comparison: &Comparison, command: &str) {
    let _ = writeln!(
        out,
        "<h2>How it was measured</h2>\n<p>SYNs as Linux sends them, with scattered spoofed sources, half to a web server and half to a server \
         that greets first. Meanwhile {VISITS_PER_SECOND} visitors a second begin at each, from {SOURCES} addresses, whether those before \
         them are done or not; one who is not served within {} s has failed. Everything arrives over one link, whose receive work has one \
         processor for itself. Each cell is a server that was just made. Costs are measured without visitors, under a flood of about a quarter \
         more than the processor can take; or at the highest rate, if it can take nearly all of that.</p>\n\
         <p>Ratios and the order of the rows carry over to other machines, nanoseconds and the rates at which a defence gives way do not.</p>\n\
         <p>Made in {:.0} min by <code>{}</code>; an asterisk marks cells that something else on the machine disturbed.</p>\n<dl>",
        comparison.deadline.as_secs_f64(),
        (comparison.elapsed.as_secs_f64() / 60.0).max(1.0),
        escape(command)
    );
    for behind in &comparison.defences {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(behind.defence.title()), escape(behind.defence.note()));
    }
    out.push_str("</dl>\n");
}

/// Text within HTML, also within quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_machine_becomes_markup() {
        assert_eq!(escape("a <b> & \"c\""), "a &lt;b&gt; &amp; &quot;c&quot;");
    }
}
