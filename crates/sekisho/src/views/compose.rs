//! A diagnosis as a [`Page`] in a language: which parts it has, in which order, and what stands in each.
//!
//! The order is that of a reader in a hurry: the verdict, why, what to do now, what to keep for next time; then what it rests on.

use fluent_bundle::FluentArgs;
use sekisho_engine::judge::diagnosis::queues::ROUND_TRIPS_MS;
use sekisho_engine::judge::diagnosis::{
    Action, Cookies, Diagnosis, Finding as Found, QueueRow, Role, TellApart, Verdict,
};
use sekisho_engine::observe::record::{Gap, Host, Origin, Time, Unseen};

use super::layout::Table;
use super::page::{Body, Finding, Page, Part, Point, Tone};
use super::{commands, timeline};
use crate::words::{Phrase, Words, args, arguments, format};

/// What the page is about beside the diagnosis.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The machine.
    pub host: &'a Host,
    /// When it was looked at, if it was.
    pub taken: Option<Time>,
    /// The incident that it is about.
    pub incident: Option<u64>,
}

/// Of a finding's evidence, so much is told where the reader asks why; all of it stands further below.
const WHY_EVIDENCE: usize = 2;

/// The page.
pub fn page(diagnosis: &Diagnosis, about: About<'_>, words: &Words) -> Page {
    let title = if diagnosis.origin == Origin::Live { "title-now" } else { "title-then" };
    let parts = [
        why(diagnosis, words),
        cookies(diagnosis, words),
        apart(&diagnosis.tell_apart, words),
        now(diagnosis, words),
        later(diagnosis, words),
        keep(diagnosis, words),
        timeline::part(diagnosis, words),
        evidence(diagnosis, words),
        queues(&diagnosis.queues, words),
        unseen(diagnosis, words),
    ];
    Page {
        title: words.word(title),
        about: about_lines(diagnosis, about, words),
        tone: tone(&diagnosis.verdict),
        verdict: words.phrase(&diagnosis.verdict),
        parts: parts.into_iter().flatten().collect(),
    }
}

/// How good or bad a verdict is.
pub const fn tone(verdict: &Verdict) -> Tone {
    match verdict {
        Verdict::Healthy {} | Verdict::HealthyWithRisks { .. } | Verdict::NothingRecorded { .. } => Tone::Well,
        Verdict::CannotBeKnown {} | Verdict::NoRecord {} => Tone::Unknown,
        Verdict::Attack { .. }
        | Verdict::AttackAndMore { .. }
        | Verdict::NoAttackNeeded { .. }
        | Verdict::TwoFit { .. } => Tone::Bad,
    }
}

fn about_lines(diagnosis: &Diagnosis, about: About<'_>, words: &Words) -> Vec<String> {
    let host = about.host.name.clone().unwrap_or_else(|| words.word("about-some-host"));
    let at = about.taken.or(diagnosis.span.map(|span| span.until)).unwrap_or_default();
    let zone = format::zone(words.zone(), at);
    let span = diagnosis.span.map_or_else(|| words.word("about-no-time"), |span| words.dated_span(span));
    vec![match (&diagnosis.origin, about.incident) {
        (Origin::Live, _) => {
            words.say("about-now", &args([("host", host), ("at", words.date_and_time(at)), ("zone", zone)]))
        }
        (_, Some(number)) => {
            let number = number.to_string();
            words.say("about-incident", &args([("host", host), ("span", span), ("zone", zone), ("number", number)]))
        }
        (Origin::Folder(folder), None) => {
            let folder = folder.display().to_string();
            words.say("about-folder", &args([("host", host), ("span", span), ("zone", zone), ("folder", folder)]))
        }
        (Origin::Past, None) => words.say("about-past", &args([("host", host), ("span", span), ("zone", zone)])),
    }]
}

fn part(name: &'static str, body: Body, words: &Words) -> Option<Part> {
    let empty = match &body {
        Body::Points(points) | Body::Steps(points) => points.is_empty(),
        Body::Findings(findings) => findings.is_empty(),
        Body::Chart(chart) => chart.rows.is_empty(),
        Body::Table(table, _) => table.rows.is_empty(),
    };
    let heading = words.word(&arguments::id("head", name));
    (!empty).then_some(Part { name, heading, intro: String::new(), body })
}

fn with_intro(part: Option<Part>, id: &str, words: &Words) -> Option<Part> {
    part.map(|part| Part { intro: words.word(id), ..part })
}

/// Findings that have to do with the trouble.
fn to_blame(diagnosis: &Diagnosis) -> impl Iterator<Item = &Found> {
    diagnosis.findings.iter().filter(|finding| finding.role != Role::Standing)
}

fn why(diagnosis: &Diagnosis, words: &Words) -> Option<Part> {
    let short = |found: &Found| {
        let mut finding = finding(found, words);
        finding.evidence.truncate(WHY_EVIDENCE);
        finding.refuted.clear();
        finding.meaning = words.word(&arguments::id("meaning", found.cause.name()));
        finding
    };
    part("why", Body::Findings(to_blame(diagnosis).map(short).collect()), words)
}

/// What cookies had to do with it; nothing needs to be said of them where nothing is wrong.
fn cookies(diagnosis: &Diagnosis, words: &Words) -> Option<Part> {
    let well = tone(&diagnosis.verdict) == Tone::Well;
    let dull = matches!(diagnosis.cookies, Cookies::NotNeeded {} | Cookies::Nothing {} | Cookies::Unknown {});
    let said = (!(well && dull)).then(|| Point::plain(words.phrase(&diagnosis.cookies)));
    part("cookies", Body::Points(said.into_iter().collect()), words)
}

fn apart(both: &[TellApart], words: &Words) -> Option<Part> {
    let point = |both: &TellApart| {
        let names = args([("one", words.cause(both.one)), ("other", words.cause(both.other))]);
        let by: Vec<String> = both.by.iter().map(|by| words.phrase(by)).collect();
        Point::plain(
            words.say("apart", &names) + &words.word("sentence-space") + &by.join(&words.word("sentence-space")),
        )
    };
    part("apart", Body::Points(both.iter().map(point).collect()), words)
}

/// Steps of these findings, each once, in their order.
fn steps<'a>(findings: impl Iterator<Item = &'a Found>, words: &Words) -> Vec<Point> {
    let mut told: Vec<&Action> = Vec::new();
    for action in findings.flat_map(|finding| &finding.steps) {
        if !told.contains(&action) {
            told.push(action);
        }
    }
    told.into_iter().map(|action| said(action, commands::action(action), words)).collect()
}

fn said<P: Phrase>(phrase: &P, commands: Vec<String>, words: &Words) -> Point {
    Point { text: words.phrase(phrase), commands }
}

fn now(diagnosis: &Diagnosis, words: &Words) -> Option<Part> {
    part("now", Body::Steps(steps(to_blame(diagnosis), words)), words)
}

fn later(diagnosis: &Diagnosis, words: &Words) -> Option<Part> {
    let now = steps(to_blame(diagnosis), words);
    let standing = diagnosis.findings.iter().filter(|finding| finding.role == Role::Standing);
    let steps = steps(standing, words).into_iter().filter(|step| !now.contains(step)).collect();
    part("later", Body::Steps(steps), words)
}

fn keep(diagnosis: &Diagnosis, words: &Words) -> Option<Part> {
    let points = diagnosis.keep.iter().map(|keep| said(keep, commands::keep(keep), words)).collect();
    part("keep", Body::Points(points), words)
}

fn evidence(diagnosis: &Diagnosis, words: &Words) -> Option<Part> {
    let whole = |found: &Found| {
        let mut finding = finding(found, words);
        if found.role == Role::Standing {
            finding.meaning = words.word(&arguments::id("meaning", found.cause.name()));
        }
        finding
    };
    part("evidence", Body::Findings(diagnosis.findings.iter().map(whole).collect()), words)
}

fn finding(found: &Found, words: &Words) -> Finding {
    let port = found.port.map(|port| words.say("note-port", &args([("port", port.to_string())])));
    let span = found.span.map(|span| words.span(span));
    let notes = [Some(words.name("confidence", &found.confidence)), Some(words.name("role", &found.role)), port, span];
    Finding {
        title: words.cause_title(found.cause),
        notes: notes.into_iter().flatten().collect(),
        meaning: String::new(),
        evidence: found.evidence.iter().map(|evidence| words.phrase(evidence)).collect(),
        refuted_heading: words.word("head-refuted"),
        refuted: found.refuted_by.iter().map(|refutation| words.phrase(refutation)).collect(),
    }
}

fn queues(rows: &[QueueRow], words: &Words) -> Option<Part> {
    let round_trips = ROUND_TRIPS_MS.map(|ms| format!("{ms}{}ms", format::NARROW));
    let names = ["listener", "fits", "binds", "beyond"].map(|name| words.word(&arguments::id("column", name)));
    let head = names.into_iter().chain(round_trips).chain([words.word("column-memory")]).collect();
    let table = Table {
        head,
        numbers: vec![false, true, false, false, true, true, true, true],
        rows: rows.iter().map(|row| queue_cells(row, words)).collect(),
    };
    let advice = rows.iter().filter_map(|row| queue_advice(row, words)).collect();
    with_intro(part("queues", Body::Table(table, advice), words), "intro-queues", words)
}

fn queue_name(row: &QueueRow) -> String {
    let many = if row.sockets > 1 { format!(" ×{}", row.sockets) } else { String::new() };
    let process = row.process.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{}{many}{process}", row.local)
}

fn queue_cells(row: &QueueRow, words: &Words) -> Vec<String> {
    let beyond = match row.cookies_beyond {
        Some(true) => "beyond-cookies",
        Some(false) => "beyond-lost",
        None => "beyond-unknown",
    };
    let takes = row.takes.map(|takes| format::number(takes as f64));
    let texts = [queue_name(row), format::number(row.fits as f64), words.name("binds", &row.binds), words.word(beyond)];
    texts.into_iter().chain(takes).chain([format::bytes(row.memory_bytes as f64)]).collect()
}

fn queue_advice(row: &QueueRow, words: &Words) -> Option<Point> {
    let (wanted, memory) = (row.wanted?, row.memory_wanted_bytes?);
    let of = [
        ("listener", queue_name(row)),
        ("wanted", format::number(wanted as f64)),
        ("memory", format::bytes(memory as f64)),
    ];
    Some(Point::plain(words.say("queue-wanted", &args(of))))
}

fn unseen(diagnosis: &Diagnosis, words: &Words) -> Option<Part> {
    let unseen = diagnosis.unseen.iter().map(|unseen| Point::plain(unseen_text(unseen, words)));
    let gaps = diagnosis.gaps.iter().map(|gap| Point::plain(gap_text(gap, words)));
    part("unseen", Body::Points(unseen.chain(gaps).collect()), words)
}

fn unseen_text(unseen: &Unseen, words: &Words) -> String {
    let source = format::capital(&words.name("source", &unseen.source));
    let why = words.tell("why", &unseen.why);
    match &unseen.file {
        Some(file) => {
            let file = file.display().to_string();
            words.say("unseen-file", &args([("source", source), ("file", file), ("why", why)]))
        }
        None => words.say("unseen", &args([("source", source), ("why", why)])),
    }
}

fn gap_text(gap: &Gap, words: &Words) -> String {
    let of: FluentArgs<'_> = args([
        ("source", format::capital(&words.name("source", &gap.source))),
        ("span", words.span(gap.span)),
        ("reason", words.name("gap", &gap.reason)),
    ]);
    // A moment is no span in which nothing came: something is missing there.
    words.say(if gap.span.length_ms() == 0 { "gap-moment" } else { "gap" }, &of)
}
