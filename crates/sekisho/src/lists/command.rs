//! `sekisho allow` and `sekisho block`: they write to what is in force themselves, so they need no daemon.

use std::fmt::Write;

use sekisho_datapath::Pins;
use sekisho_engine::observe::sessions;
use sekisho_engine::policy::{Prefix, duration_text};
use serde::Serialize;

use super::{InForce, ListsLock, Note, Origin, ROOM, Record, Which, now};
use crate::cli::AddArgs;
use crate::failure::Failure;
use crate::status::need_root;

/// Puts a prefix on a list. `force`: also where it cuts somebody off who is allowed or logged in.
pub fn add(which: Which, args: &AddArgs, force: bool) -> Result<String, Failure> {
    need_root()?;
    let (pins, prefix) = (Pins::here()?, args.prefix);
    drop(InForce::open(&pins)?);
    let _lock = ListsLock::take(&pins)?;
    // Opened under the lock: it may be another generation by now.
    let in_force = InForce::open(&pins)?;
    let mut record = Record::load(&pins)?;
    if which == Which::Block && !force {
        refuse_to_cut_off(&in_force, &record, prefix)?;
    }
    let found = in_force.find(which, prefix, &record)?;
    if found.is_some_and(|entry| Origin::of(entry.origin) == Origin::Config) && !force {
        return Ok(format!("{prefix} is {} by the configuration already.\n", which.done()));
    }
    if record.notes.len() >= ROOM as usize {
        return Err(Failure::new(format!("{ROOM} prefixes are on the lists by command already"))
            .hint("take some off, or put them into a file that [block] files names"));
    }
    let expires = args.time.map(|seconds| now() + seconds);
    let why = args.why.clone().unwrap_or_default();
    let note = Note { list: which, prefix, origin: Origin::Command, why, since: now(), expires, forced: force };
    let hits = found.map_or(0, |entry| entry.hits);
    record.put(note.clone());
    in_force.put(&note, hits, &record)?;
    record.save(&pins)?;
    let until =
        args.time.map_or("until `sekisho off` or a reboot".to_owned(), |time| "for ".to_owned() + &duration_text(time));
    Ok(format!("{prefix} is {} {until}.\n", which.done()))
}

/// A block must not cut off who is logged in, or whom the owner named.
fn refuse_to_cut_off(in_force: &InForce, record: &Record, prefix: Prefix) -> Result<(), Failure> {
    let hint = "if you mean it: --force (it then goes before what is allowed)";
    if let Some(session) = sessions::sessions().into_iter().find(|session| prefix.contains(session.peer)) {
        let whom = format!("{} is logged in over SSH from {}", session.user, session.peer);
        return Err(Failure::new(format!("{whom}, which {prefix} would cut off")).hint(hint));
    }
    let mut met = None;
    in_force.each(record, |entry| {
        let allowed = Prefix::new(entry.address, entry.length);
        if entry.list == Which::Allow.list() && allowed.meets(&prefix) {
            met.get_or_insert((allowed, Origin::of(entry.origin)));
        }
    })?;
    match met {
        Some((allowed, origin)) => {
            let what = format!("{allowed} is allowed ({}), which {prefix} would cut off", origin.word());
            Err(Failure::new(what).hint(hint))
        }
        None => Ok(()),
    }
}

/// Takes a prefix off a list.
pub fn del(which: Which, prefix: Prefix) -> Result<String, Failure> {
    need_root()?;
    let pins = Pins::here()?;
    drop(InForce::open(&pins)?);
    let _lock = ListsLock::take(&pins)?;
    let in_force = InForce::open(&pins)?;
    let mut record = Record::load(&pins)?;
    let found = in_force.find(which, prefix, &record)?;
    let noted = record.remove(which, prefix);
    match found {
        Some(entry) if Origin::of(entry.origin) == Origin::Config => {
            return Err(Failure::new(format!("{prefix} is {} by the configuration", which.done()))
                .hint("take it out there, then `sekisho reload`"));
        }
        None if !noted => {
            return Err(Failure::new(format!("{prefix} is not {}", which.done()))
                .hint("the list has it exactly as `list` shows it"));
        }
        _ => in_force.remove(which, prefix, &record)?,
    }
    record.save(&pins)?;
    Ok(format!("{prefix} is no longer {}.\n", which.done()))
}

/// One prefix in `list --json`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    prefix: Prefix,
    origin: Origin,
    why: String,
    /// Seconds since 1970.
    expires: Option<u64>,
    hits: u64,
    forced: bool,
}

/// `list --json`.
#[derive(Debug, Serialize)]
struct Rows {
    version: u32,
    list: Which,
    entries: Vec<Row>,
}

/// Shows a list.
pub fn list(which: Which, json: bool) -> Result<String, Failure> {
    need_root()?;
    let pins = Pins::here()?;
    let record = Record::load(&pins)?;
    let entries = rows(&InForce::open(&pins)?, which, &record)?;
    if !json {
        return Ok(table(&entries, which, now()));
    }
    let json = serde_json::to_string_pretty(&Rows { version: 1, list: which, entries });
    json.map(|text| text + "\n").map_err(|error| Failure::from_error("cannot write JSON", error))
}

fn rows(in_force: &InForce, which: Which, record: &Record) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    in_force.each(record, |entry| {
        let prefix = Prefix::new(entry.address, entry.length);
        let note = (Origin::of(entry.origin) != Origin::Config).then(|| record.find(which, prefix)).flatten();
        // Expired, and not yet taken off.
        if entry.list != which.list() || (entry.expires != 0 && note.is_none()) {
            return;
        }
        rows.push(Row {
            prefix,
            origin: Origin::of(entry.origin),
            why: note.map(|note| note.why.clone()).unwrap_or_default(),
            expires: note.and_then(|note| note.expires),
            hits: entry.hits,
            forced: entry.forced,
        });
    })?;
    rows.sort_by_key(|row| row.prefix);
    Ok(rows)
}

fn table(rows: &[Row], which: Which, now: u64) -> String {
    if rows.is_empty() {
        return format!("Nobody is {}.\n", which.done());
    }
    let mut text = format!("{:<26} {:<8} {:>10} {:>12}  WHY\n", "PREFIX", "ORIGIN", "EXPIRES IN", "HITS");
    for row in rows {
        let left = row.expires.map_or("never".to_owned(), |expires| duration_text(expires.saturating_sub(now)));
        let forced = if row.forced { "(forced) " } else { "" };
        let (prefix, origin) = (row.prefix.to_string(), row.origin.word());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{prefix:<26} {origin:<8} {left:>10} {:>12}  {forced}{}", row.hits, row.why);
    }
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            prefix: "198.51.100.0/24".parse().unwrap(),
            origin: Origin::Config,
            why: String::new(),
            expires: None,
            hits: 7,
            forced: false,
        }
    }

    #[test]
    fn a_list_is_a_table() {
        let ours = Row { origin: Origin::Command, why: "why".into(), expires: Some(4600), forced: true, ..row() };
        let text = table(&[ours], Which::Block, 1000);
        assert!(
            text.ends_with("198.51.100.0/24            command          1h            7  (forced) why\n"),
            "{text}"
        );
        let text = table(&[row()], Which::Block, 0);
        assert!(text.ends_with("config        never            7\n"), "{text}");
        assert_eq!(table(&[], Which::Allow, 0), "Nobody is allowed.\n");
    }
}
