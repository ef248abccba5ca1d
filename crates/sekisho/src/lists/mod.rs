//! Who is allowed and who is blocked: what the configuration says, what was added by command, and who was logged in over SSH.
//!
//! All of it is in the kernel: in a map that belongs to one generation of the programs, or in sets of the nftables table ([`InForce`]). What
//! the configuration does not know is also in a [`Record`], with who put it there and why, from which every generation gets it anew; so it ends with `sekisho off` or a reboot.
//! Whoever writes to either holds [`ListsLock`]: the daemon while it changes generations, a command for a moment.

mod command;
mod in_force;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sekisho_datapath::{List, ListEntry, Maps, Pins, time};
use sekisho_engine::act;
use sekisho_engine::observe::sessions::Session;
use sekisho_engine::policy::{ConfiguredLists, Prefix};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

pub use command::{add, del, list};
pub use in_force::{InForce, added_of, fill_table};

/// Prefixes that there is room for beside the configuration's.
pub const ROOM: u32 = 1 << 16;
/// Peers of SSH sessions that are kept at most: who logs in from everywhere knows what he does.
const PEERS_MAX: usize = 256;

/// Who put a prefix on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The configuration.
    Config = 1,
    /// `sekisho allow add`, `sekisho block add`.
    Command = 2,
    /// Somebody was logged in from there when the daemon started.
    Ssh = 3,
}

impl Origin {
    /// The word in `list`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Command => "command",
            Self::Ssh => "ssh",
        }
    }

    /// By its number in the kernel's table.
    fn of(number: u8) -> Self {
        match number {
            2 => Self::Command,
            3 => Self::Ssh,
            _ => Self::Config,
        }
    }
}

/// [`List`] with words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// Who is allowed.
    Allow,
    /// Who is blocked.
    Block,
}

impl Which {
    /// The list in the kernel.
    pub const fn list(self) -> List {
        match self {
            Self::Allow => List::Allow,
            Self::Block => List::Block,
        }
    }

    /// "allowed" or "blocked".
    pub const fn done(self) -> &'static str {
        match self {
            Self::Allow => "allowed",
            Self::Block => "blocked",
        }
    }
}

/// What is known of a prefix that the configuration does not name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which list it is on.
    pub list: Which,
    /// The prefix.
    pub prefix: Prefix,
    /// Who put it there.
    pub origin: Origin,
    /// Why, in the user's words.
    pub why: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Until when; none: until `sekisho off` or a reboot.
    pub expires: Option<u64>,
    /// A block that goes before an allowance.
    pub forced: bool,
}

impl Note {
    fn has_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// As the kernel's table has it.
    fn entry(&self, now: u64) -> ListEntry {
        // One tick more, so that nothing ends too early.
        let ticks = |expires: u64| {
            time::tick(time::coarse_ns()).wrapping_add(time::ticks(expires.saturating_sub(now))).wrapping_add(1).max(1)
        };
        ListEntry {
            origin: self.origin as u8,
            forced: self.forced,
            expires: self.expires.map_or(0, ticks),
            ..ListEntry::new(self.list.list(), self.prefix.address(), self.prefix.length())
        }
    }
}

/// Everything that the configuration does not name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    notes: Vec<Note>,
}

impl Record {
    /// What was written last; without what has expired.
    pub fn load(pins: &Pins) -> Result<Self, Failure> {
        let path = file(pins);
        let mut record: Self = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Failure::from_error(format!("{} is damaged", path.display()), error)
                    .hint("remove it: what was allowed and blocked by command is forgotten then")
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(Failure::from_error(format!("cannot read {}", path.display()), error)),
        };
        let now = now();
        record.notes.retain(|note| !note.has_expired(now));
        Ok(record)
    }

    /// Writes it down.
    pub fn save(&self, pins: &Pins) -> Result<(), Failure> {
        let path = file(pins);
        let written = serde_json::to_vec(self).map_err(io::Error::other).and_then(|json| act::replace(&path, &json));
        written.map_err(|error| Failure::from_error(format!("cannot write {}", path.display()), error))
    }

    /// Puts a note in place of one about the same prefix.
    fn put(&mut self, note: Note) {
        self.remove(note.list, note.prefix);
        self.notes.push(note);
    }

    fn remove(&mut self, list: Which, prefix: Prefix) -> bool {
        let before = self.notes.len();
        self.notes.retain(|note| note.list != list || note.prefix != prefix);
        self.notes.len() != before
    }

    fn find(&self, list: Which, prefix: Prefix) -> Option<&Note> {
        self.notes.iter().find(|note| note.list == list && note.prefix == prefix)
    }

    /// Allows where somebody is logged in from. Returns who is new.
    pub fn keep_peers(&mut self, sessions: &[Session]) -> Vec<Session> {
        let mut new = Vec::new();
        for session in sessions {
            let prefix = Prefix::of(session.peer);
            let peers = self.notes.iter().filter(|note| note.origin == Origin::Ssh).count();
            if self.find(Which::Allow, prefix).is_some() || peers >= PEERS_MAX {
                continue;
            }
            let why = format!("{} was logged in from there", session.user);
            let (list, origin) = (Which::Allow, Origin::Ssh);
            self.put(Note { list, prefix, origin, why, since: now(), expires: None, forced: false });
            new.push(session.clone());
        }
        new
    }
}

/// Fills a new generation's lists: with the configuration's, and with the record's, which keep the hits that `before` counted.
pub fn fill(
    maps: &Maps,
    configured: &ConfiguredLists,
    record: &Record,
    before: Option<&Maps>,
) -> Result<(), sekisho_datapath::Error> {
    let configured_entry = |list: List| {
        move |prefix: &Prefix| {
            let entry = ListEntry::new(list, prefix.address(), prefix.length());
            ListEntry { origin: Origin::Config as u8, ..entry }
        }
    };
    let mut entries: Vec<ListEntry> = configured.allow.iter().map(configured_entry(List::Allow)).collect();
    entries.extend(configured.block.iter().map(configured_entry(List::Block)));
    let now = now();
    for note in &record.notes {
        let named = match note.list {
            Which::Allow => configured.allow.binary_search(&note.prefix),
            Which::Block => configured.block.binary_search(&note.prefix),
        };
        if named.is_err() || note.forced {
            let entry = note.entry(now);
            let counted =
                before.and_then(|maps| maps.list_find(entry.list, entry.address, entry.length).ok().flatten());
            entries.push(ListEntry { hits: counted.map_or(0, |entry| entry.hits), ..entry });
        }
    }
    maps.list_add(&entries)
}

/// How much room a generation's table needs.
pub fn room(configured: &ConfiguredLists) -> u32 {
    u32::try_from(configured.allow.len() + configured.block.len()).unwrap_or(u32::MAX).saturating_add(ROOM)
}

/// Takes what has expired off the lists. The programs do not heed it any more; this only makes room.
pub fn expire(pins: &Pins, maps: &Maps) -> Result<(), Failure> {
    let Some(_lock) = ListsLock::try_take(pins)? else { return Ok(()) };
    let text = fs::read(file(pins)).unwrap_or_default();
    let Ok(all) = serde_json::from_slice::<Record>(&text) else { return Ok(()) };
    let now = now();
    let (gone, kept): (Vec<Note>, Vec<Note>) = all.notes.into_iter().partition(|note| note.has_expired(now));
    if gone.is_empty() {
        return Ok(());
    }
    for note in &gone {
        maps.list_remove(note.list.list(), note.prefix.address(), note.prefix.length())?;
    }
    Record { notes: kept }.save(pins)
}

/// Held by whoever writes to the lists.
#[derive(Debug)]
pub struct ListsLock {
    // Held by being open.
    _file: File,
}

impl ListsLock {
    /// Waits for it: a daemon that loads a million prefixes holds it for seconds.
    pub fn take(pins: &Pins) -> Result<Self, Failure> {
        Self::lock(pins, libc::LOCK_EX).and_then(|lock| lock.ok_or_else(|| Failure::new("the lists cannot be locked")))
    }

    fn try_take(pins: &Pins) -> Result<Option<Self>, Failure> {
        Self::lock(pins, libc::LOCK_EX | libc::LOCK_NB)
    }

    fn lock(pins: &Pins, how: i32) -> Result<Option<Self>, Failure> {
        let path = pins.folder().join("lists.lock");
        let fail = |error| Failure::from_error(format!("cannot lock {}", path.display()), error);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        loop {
            // SAFETY: takes a descriptor and a number.
            if unsafe { libc::flock(file.as_raw_fd(), how) } == 0 {
                return Ok(Some(Self { _file: file }));
            }
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(fail(error)),
            }
        }
    }
}

fn file(pins: &Pins) -> PathBuf {
    Path::new(&pins.folder()).join("lists.json")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(prefix: &str, expires: Option<u64>) -> Note {
        Note {
            list: Which::Block,
            prefix: prefix.parse().unwrap(),
            origin: Origin::Command,
            why: String::new(),
            since: 1,
            expires,
            forced: false,
        }
    }

    #[test]
    fn a_record_survives_its_file() {
        let record = Record { notes: vec![note("198.51.100.0/24", Some(9)), note("2001:db8::1", None)] };
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(r#""prefix":"198.51.100.0/24","origin":"command""#), "{text}");
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn a_note_takes_the_place_of_one_about_the_same_prefix() {
        let mut record = Record::default();
        record.put(note("198.51.100.0/24", None));
        record.put(note("198.51.100.0/24", Some(5)));
        record.put(Note { list: Which::Allow, ..note("198.51.100.0/24", None) });
        assert_eq!(record.notes.len(), 2);
        assert!(record.remove(Which::Block, "198.51.100.0/24".parse().unwrap()));
        assert!(!record.remove(Which::Block, "198.51.100.0/24".parse().unwrap()));
    }

    #[test]
    fn peers_are_kept_once_and_bounded() {
        let mut record = Record::default();
        let session = |n: u32| Session { peer: std::net::Ipv4Addr::from(n).into(), user: "ann".into() };
        let sessions: Vec<Session> = (0..1000).map(session).collect();
        assert_eq!(record.keep_peers(&sessions).len(), PEERS_MAX);
        assert_eq!(record.keep_peers(&sessions), []);
    }

    #[test]
    fn times_become_ticks_that_do_not_end_early() {
        let now_tick = time::tick(time::coarse_ns());
        let entry = note("198.51.100.7", Some(1060)).entry(1000);
        assert!((now_tick + 57..now_tick + 60).contains(&entry.expires), "{} ticks", entry.expires - now_tick);
        assert_eq!(note("198.51.100.7", None).entry(1000).expires, 0);
    }
}
