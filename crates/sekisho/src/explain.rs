//! `sekisho explain`: what happened then, by this machine's own records, by an incident that the daemon wrote down, or by files of any
//! machine.

use std::path::Path;

use sekisho_engine::judge::diagnosis::Ask;
use sekisho_engine::observe::record::dir::Options;
use sekisho_engine::observe::record::{Record, Span, live};

use crate::cli::ExplainArgs;
use crate::doctor::protected;
use crate::failure::Failure;
use crate::incidents;
use crate::times::{Mistake, Present};
use crate::views::show::{Told, show};
use crate::words::{Lang, Words, Zone, args};

/// Without a word, the last day is explained.
const USUALLY: &str = "-24h";
/// No zone is further from UTC, in milliseconds.
const ZONES_MS: i64 = 14 * 3_600_000;

/// Reads, judges, tells.
pub fn explain(asked: &ExplainArgs) -> Result<Told, Failure> {
    let lang = Lang::wanted(asked.view.lang);
    match (asked.incident, &asked.from) {
        (Some(number), _) => incident(number, asked, lang),
        (None, Some(folder)) => files(folder, asked, lang),
        (None, None) => past(asked, lang),
    }
}

fn incident(number: u64, asked: &ExplainArgs, lang: Lang) -> Result<Told, Failure> {
    let incident = incidents::load(number)?;
    let ask = Ask { span: Some(incident.span()), protected: Some(!incident.observed_only) };
    show(&incident.record(), &ask, Some(number), &asked.view, Words::new(lang, zone(asked)))
}

fn past(asked: &ExplainArgs, lang: Lang) -> Result<Told, Failure> {
    let words = Words::new(lang, zone(asked));
    let span = span(asked, zone(asked), &words)?;
    let span = span.map_or_else(|| Present { now: live::now(), zone: zone(asked) }.span(USUALLY, None), Ok);
    let span = span.map_err(|mistake| told(&mistake, &words))?;
    show(&Record::of_past(span), &Ask { span: Some(span), protected: protected() }, None, &asked.view, words)
}

/// The files' own zone decides what a time means that is typed without one; it is known only after they are read.
fn files(folder: &Path, asked: &ExplainArgs, lang: Lang) -> Result<Told, Failure> {
    let words = Words::new(lang, zone(asked));
    let around = span(asked, Zone::Fixed(asked.zone.unwrap_or(0)), &words)?
        .map(|span| Span { from: span.from.plus_ms(-ZONES_MS), until: span.until.plus_ms(ZONES_MS) });
    let mut record =
        Record::from_dir(folder, &Options { zone_seconds: asked.zone, span: around }).map_err(|error| {
            let what = words.say("error-folder", &args([("folder", folder.display().to_string())]));
            Failure::from_error(what, error).hint(words.word("hint-folder"))
        })?;
    if holds_nothing(&record) {
        let what = words.say("error-folder-empty", &args([("folder", folder.display().to_string())]));
        return Err(Failure::new(what).hint(words.word("hint-folder")));
    }
    let zone = Zone::Fixed(asked.zone.or(record.host.zone_seconds).unwrap_or(0));
    let span = span(asked, zone, &words)?;
    if let Some(span) = span {
        record.limit_to(span);
    }
    show(&record, &Ask { span, protected: None }, None, &asked.view, Words::new(lang, zone))
}

/// Whether no file told anything at all.
fn holds_nothing(record: &Record) -> bool {
    record.span().is_none()
        && record.events.is_empty()
        && record.listeners.is_empty()
        && record.sysctls.is_empty()
        && record.web.is_empty()
}

/// The zone that is asked for, else this machine's.
fn zone(asked: &ExplainArgs) -> Zone {
    asked.zone.map_or(Zone::Here, Zone::Fixed)
}

/// The time that is asked about; `None`: none is named.
fn span(asked: &ExplainArgs, zone: Zone, words: &Words) -> Result<Option<Span>, Failure> {
    let Some(since) = &asked.since else { return Ok(None) };
    let present = Present { now: live::now(), zone };
    let span = present.span(since, asked.until.as_deref()).map(Some);
    span.map_err(|mistake| told(&mistake, words))
}

fn told(mistake: &Mistake, words: &Words) -> Failure {
    let (what, hint) = match mistake {
        Mistake::NoTime(text) => (words.say("error-no-time", &args([("text", text.clone())])), "hint-no-time"),
        Mistake::WrongOrder(span) => {
            let of = [("from", words.date_and_time(span.from)), ("until", words.date_and_time(span.until))];
            (words.say("error-wrong-order", &args(of)), "hint-wrong-order")
        }
        Mistake::Future(from) => {
            (words.say("error-future", &args([("from", words.date_and_time(*from))])), "hint-future")
        }
    };
    Failure::new(what).hint(words.word(hint)).usage()
}
