//! What `doctor` and `explain` have in common: a record is judged, and shown as was asked.

use std::path::Path;

use sekisho_engine::judge::diagnosis::{Ask, Diagnosis, Verdict, diagnose};
use sekisho_engine::observe::record::{Record, Time, live};
use serde::Serialize;

use super::compose::{self, About};
use super::page::Page;
use super::screen::Screen;
use super::{html, terminal};
use crate::cli::ViewArgs;
use crate::failure::Failure;
use crate::words::{Words, args, format};

/// What a command prints, and how it ends.
#[derive(Debug)]
pub struct Told {
    /// For stdout.
    pub text: String,
    /// The exit code.
    pub code: u8,
}

/// The exit code where something is, or was, wrong.
const FOUND: u8 = 3;
/// The exit code where it cannot be told.
const NOT_KNOWN: u8 = 4;

/// JSON: the diagnosis, and what the reader of a message wants first.
#[derive(Serialize)]
struct Json<'a> {
    /// The verdict in words.
    sentence: String,
    /// Their language.
    lang: &'static str,
    /// The machine's name, where it is known.
    host: Option<&'a str>,
    /// The incident that was asked about.
    incident: Option<u64>,
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
}

/// Judges the record and shows what comes of it.
pub fn show(record: &Record, ask: &Ask, incident: Option<u64>, view: &ViewArgs, words: Words) -> Result<Told, Failure> {
    let diagnosis = diagnose(record, ask);
    let words = words.about(diagnosis.span);
    let about = About { host: &record.host, taken: record.taken, incident };
    let page = compose::page(&diagnosis, about, &words);
    let mut text =
        if view.json { json(&page, &diagnosis, about, &words)? } else { terminal::render(&page, Screen::of_stdout()) };
    if let Some(file) = &view.report {
        write_report(file, &page, &words)?;
        if !view.json {
            text += &format!("\n{}\n", words.say("note-report", &args([("file", file.display().to_string())])));
        }
    }
    Ok(Told { text, code: code(&diagnosis.verdict) })
}

const fn code(verdict: &Verdict) -> u8 {
    match compose::tone(verdict) {
        super::page::Tone::Well => 0,
        super::page::Tone::Bad => FOUND,
        super::page::Tone::Unknown => NOT_KNOWN,
    }
}

fn json(page: &Page, diagnosis: &Diagnosis, about: About<'_>, words: &Words) -> Result<String, Failure> {
    let json = Json {
        sentence: page.verdict.replace(format::NARROW, " "),
        lang: words.lang().tag(),
        host: about.host.name.as_deref(),
        incident: about.incident,
        diagnosis,
    };
    let json = serde_json::to_string_pretty(&json);
    json.map(|text| text + "\n").map_err(|error| Failure::from_error("cannot write JSON", error))
}

fn write_report(file: &Path, page: &Page, words: &Words) -> Result<(), Failure> {
    let text = html::render(page, &made(words, live::now()), words);
    std::fs::write(file, text).map_err(|error| {
        let what = words.say("error-report", &args([("file", file.display().to_string())]));
        Failure::from_error(what, error).hint(words.word("hint-report"))
    })
}

/// With what and when a report was made.
fn made(words: &Words, now: Time) -> String {
    let at = format!("{} {}", words.date_and_time(now), format::zone(words.zone(), now));
    words.say("report-made", &args([("version", env!("CARGO_PKG_VERSION").to_owned()), ("at", at)]))
}
