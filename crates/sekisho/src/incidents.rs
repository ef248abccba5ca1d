//! `sekisho incidents`: the incidents that the daemon wrote down. It needs no daemon.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use sekisho_datapath::Pins;
use sekisho_engine::incident::{Incident, Store, store::Listed};
use sekisho_engine::observe::record::clock;
use sekisho_engine::policy::duration_text;
use serde::Serialize;

use crate::failure::Failure;
use crate::state::lasting_folder;

/// The version of `--json`. It grows when a field changes its meaning or goes; new fields come without that.
const VERSION: u32 = 1;

/// Where this network namespace's are kept. The path may lead through a folder that `pins` keeps open, so it is good for as long as they live.
pub fn store(pins: &Pins) -> Store {
    Store::new(lasting_folder(pins).join("incidents"))
}

/// One of them, for `sekisho explain N`.
pub fn load(number: u64) -> Result<Incident, Failure> {
    let pins = Pins::here()?;
    let store = store(&pins);
    let hint = "`sekisho incidents` lists those there are";
    match store.read(number) {
        Ok(Some(incident)) => Ok(incident),
        Ok(None) => Err(Failure::new(format!("there is no incident {number}")).hint(hint)),
        Err(error) => Err(Failure::from_error(format!("incident {number} cannot be read"), error).hint(hint)),
    }
}

/// `--json`.
#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    incidents: &'a [Incident],
    /// Files that are damaged or of a newer version.
    unreadable: Vec<String>,
}

/// Lists them, the newest first.
pub fn incidents(json: bool) -> Result<String, Failure> {
    let pins = Pins::here()?;
    let store = store(&pins);
    let listed = store.list().map_err(|error| {
        let what = format!("cannot list {}", store.folder().display());
        Failure::from_error(what, error).hint("they are root's: run it with sudo")
    })?;
    if !json {
        return Ok(text(&listed, &store));
    }
    let unreadable = listed.unreadable.iter().map(|path| path.display().to_string()).collect();
    let report = Report { version: VERSION, incidents: &listed.incidents, unreadable };
    let json = serde_json::to_string_pretty(&report);
    json.map(|text| text + "\n").map_err(|error| Failure::from_error("cannot write JSON", error))
}

fn text(listed: &Listed, store: &Store) -> String {
    let mut text = String::new();
    if listed.incidents.is_empty() {
        text.push_str("No incident was written down: no service has been armed.\n");
    } else {
        let head = ["NUMBER", "BEGAN", "LASTED", "SERVICES", "SYN/S", "SPREAD"];
        let _ = writeln!(
            text,
            "{:<7} {:<19} {:>10}  {:<16} {:>8}  {}",
            head[0], head[1], head[2], head[3], head[4], head[5]
        );
        listed.incidents.iter().for_each(|incident| line(&mut text, incident));
        text.push_str("\n`sekisho explain NUMBER` says what it was. Times are local; SYN/S is the highest rate.\n");
    }
    for path in &listed.unreadable {
        let _ = writeln!(text, "cannot be read, and is left alone: {}", path.display());
    }
    let _ = writeln!(text, "They are kept in {}.", named(store.folder()).display());
    text
}

/// A folder by its own name, where it was reached through an open one: in another mount namespace, as `ip netns exec` makes one.
fn named(folder: &Path) -> PathBuf {
    let open: PathBuf = folder.components().take(5).collect();
    let rest = folder.components().skip(5);
    let known = open.starts_with("/proc/self/fd").then(|| fs::read_link(&open).ok()).flatten();
    known.map_or_else(|| folder.to_owned(), |open| open.join(rest.collect::<PathBuf>()))
}

fn line(text: &mut String, incident: &Incident) {
    let seconds = u64::try_from(incident.span().length_ms() / 1000).unwrap_or(0);
    let lasted = match (incident.ended, incident.interrupted) {
        (None, _) => "goes on".to_owned(),
        (Some(_), false) => duration_text(seconds),
        // The daemon did not see its end.
        (Some(_), true) => format!("{}+", duration_text(seconds)),
    };
    let mut ports: Vec<String> = incident.services.keys().take(3).map(u16::to_string).collect();
    if incident.services.len() > ports.len() {
        ports.push(format!("+{}", incident.services.len() - ports.len()));
    }
    let peak = incident.syns_peak.map_or("-".to_owned(), |peak| peak.per_second.to_string());
    let spread = incident.spread.as_ref().map_or("too little seen", |spread| spread.shape.word());
    let began = clock::local_text(incident.begun);
    let _ =
        writeln!(text, "{:<7} {began:<19} {lasted:>10}  {:<16} {peak:>8}  {spread}", incident.number, ports.join(", "));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sekisho_engine::incident::{Peak, Service, Spread, SpreadShape};
    use sekisho_engine::observe::record::Time;

    use super::*;

    #[test]
    fn a_list_is_a_table() {
        let store = Store::new("/somewhere");
        let none = text(&Listed::default(), &store);
        assert!(none.starts_with("No incident") && none.contains("/somewhere"), "{none}");
        let mut incident = Incident::begin(12, Time::from_seconds(1_795_999_000), BTreeMap::new());
        incident.services = [80, 443, 25, 22].map(|port| (port, Service::default())).into();
        incident.syns_peak = Some(Peak { at: Time(0), per_second: 123_456 });
        incident.spread = Some(Spread {
            at: Time(0),
            shape: SpreadShape::Scattered,
            asked: 0,
            samples: 0,
            distinct: 0,
            networks: Vec::new(),
            sources: Vec::new(),
        });
        incident.end(Time::from_seconds(1_795_999_090));
        let listed = Listed { incidents: vec![incident], unreadable: vec!["/somewhere/3.json".into()] };
        let words = text(&listed, &store);
        let row = words.lines().nth(1).unwrap();
        assert!(row.starts_with("12      2026-11-") && row.contains("22, 25, 80, +1"), "{words}");
        assert!(row.ends_with("123456  scattered") && words.contains("3.json"), "{words}");
    }
}
