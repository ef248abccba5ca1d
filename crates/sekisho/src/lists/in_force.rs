//! Where the lists are in force: in the programs' maps, or in the nftables table. For commands and `status`, which do not care which.

use std::io;

use sekisho_datapath::{Datapath, List, ListEntry, Pins};
use sekisho_engine::act::added::{self, Added, Kind, Listing};
use sekisho_engine::act::nft;
use sekisho_engine::policy::Prefix;

use super::{Note, Origin, Record, Which, now};
use crate::failure::Failure;
use crate::state::State;

/// What has the lists.
#[derive(Debug)]
pub enum InForce {
    /// The programs on XDP.
    Programs(Datapath),
    /// The table, as it is now.
    Table(Listing),
}

impl InForce {
    /// What is in force in this network namespace.
    pub fn open(pins: &Pins) -> Result<Self, Failure> {
        Self::find_one(pins)?.ok_or_else(|| {
            Failure::new("nothing is protected in this network namespace, so there are no lists")
                .hint("`sekisho run` protects this host; lasting lists are in its configuration, [admin] and [block]")
        })
    }

    /// The same; none where nothing is.
    pub fn find_one(pins: &Pins) -> Result<Option<Self>, Failure> {
        if let Some(datapath) = Datapath::open(pins)? {
            return Ok(Some(Self::Programs(datapath)));
        }
        let table = State::read(pins).is_some_and(|state| state.nftables.is_some());
        Ok(nft::listing().filter(|_| table).map(|listing| Self::Table(Listing::of(&listing))))
    }

    /// Walks through both lists, in no order. `record`: what the configuration does not know.
    pub fn each(&self, record: &Record, mut each: impl FnMut(ListEntry)) -> Result<(), Failure> {
        let listing = match self {
            Self::Programs(datapath) => return Ok(datapath.maps().list_each(each)?),
            Self::Table(listing) => listing,
        };
        for which in [Which::Allow, Which::Block] {
            for (prefix, hits) in listing.configured(which == Which::Allow) {
                let entry = ListEntry::new(which.list(), prefix.address(), prefix.length());
                each(ListEntry { hits, origin: Origin::Config as u8, ..entry });
            }
        }
        let now = now();
        for note in record.notes.iter().filter(|note| !note.has_expired(now)) {
            each(ListEntry { hits: listing.packets(note.kind(), &note.prefix), ..note.entry(now) });
        }
        Ok(())
    }

    /// What a list says about exactly this prefix.
    pub fn find(&self, which: Which, prefix: Prefix, record: &Record) -> Result<Option<ListEntry>, Failure> {
        if let Self::Programs(datapath) = self {
            return Ok(datapath.maps().list_find(which.list(), prefix.address(), prefix.length())?);
        }
        let mut found = None;
        self.each(record, |entry| {
            if entry.list == which.list() && Prefix::new(entry.address, entry.length) == prefix {
                found.get_or_insert(entry);
            }
        })?;
        Ok(found)
    }

    /// Puts a note on its list; `record` has it already. `hits`: what was counted before.
    pub fn put(&self, note: &Note, hits: u64, record: &Record) -> Result<(), Failure> {
        match self {
            Self::Programs(datapath) => Ok(datapath.maps().list_add(&[ListEntry { hits, ..note.entry(now()) }])?),
            Self::Table(listing) => fill_table(record, listing),
        }
    }

    /// Takes a prefix off a list; `record` does not have it any more.
    pub fn remove(&self, which: Which, prefix: Prefix, record: &Record) -> Result<(), Failure> {
        match self {
            Self::Programs(datapath) => {
                datapath.maps().list_remove(which.list(), prefix.address(), prefix.length())?;
                Ok(())
            }
            Self::Table(listing) => fill_table(record, listing),
        }
    }

    /// How many entries each list has, and how many packets they have decided: of the allowed and of the blocked.
    pub fn totals(&self, record: &Record) -> Result<[(u64, u64); 2], Failure> {
        let mut totals = [(0, 0); 2];
        self.each(record, |entry| {
            let total = &mut totals[usize::from(entry.list == List::Block)];
            *total = (total.0 + 1, total.1 + entry.hits);
        })?;
        Ok(totals)
    }
}

/// Has the table's sets have exactly what the record says, with what they counted before.
pub fn fill_table(record: &Record, before: &Listing) -> Result<(), Failure> {
    nft::change(&added::commands(&added_of(record), before)).map_err(refused)
}

fn refused(error: io::Error) -> Failure {
    Failure::from_error("the lists in the nftables table cannot be changed", error)
}

/// What the record says, as the table takes it.
pub fn added_of(record: &Record) -> Vec<Added> {
    let now = now();
    let notes = record.notes.iter().filter(|note| !note.has_expired(now));
    let seconds = |note: &Note| note.expires.map(|expires| expires.saturating_sub(now));
    notes.map(|note| Added { kind: note.kind(), prefix: note.prefix, seconds: seconds(note) }).collect()
}

impl Note {
    fn kind(&self) -> Kind {
        match (self.list, self.forced) {
            (Which::Allow, _) => Kind::Allow,
            (Which::Block, false) => Kind::Block,
            (Which::Block, true) => Kind::Forced,
        }
    }
}
