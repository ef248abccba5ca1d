//! Who was allowed or blocked by command, where an nftables table does the work: pure, except for what `nft` is given to do.
//!
//! They are in sets of their own, beside those of the configuration, so that a command changes nothing else. A set of intervals takes no
//! overlaps, so prefixes are cut where others begin and end (`pieces`): each piece lasts as long as the longest of the prefixes that it is
//! part of, and counts the packets that met it. What a prefix has decided is the sum over its pieces.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::nft::TABLE;
use crate::policy::Prefix;

/// What is to become of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its SYNs pass, within a rate.
    Allow,
    /// Its packets are dropped, unless it is allowed too.
    Block,
    /// Its packets are dropped in any case.
    Forced,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Block, Self::Forced];

    /// The set's name in the table.
    pub const fn set(self, v6: bool) -> &'static str {
        match (self, v6) {
            (Self::Allow, false) => "added_allow4",
            (Self::Allow, true) => "added_allow6",
            (Self::Block, false) => "added_block4",
            (Self::Block, true) => "added_block6",
            (Self::Forced, false) => "added_forced4",
            (Self::Forced, true) => "added_forced6",
        }
    }
}

/// A prefix that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// What is to become of it.
    pub kind: Kind,
    /// The prefix.
    pub prefix: Prefix,
    /// How long it is to last; none: as long as the table.
    pub seconds: Option<u64>,
}

/// Addresses that follow each other, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    first: u128,
    last: u128,
    seconds: Option<u64>,
    packets: u64,
}

/// The first and the last address of a prefix, as numbers of its family.
fn ends(prefix: &Prefix) -> (u128, u128) {
    let (bits, first) = match prefix.address() {
        IpAddr::V4(v4) => (32, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    };
    let rest = bits - u32::from(prefix.length());
    (first, first | u128::MAX.checked_shr(128 - rest).unwrap_or(0))
}

fn address(number: u128, v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::from(number).into() } else { Ipv4Addr::from(number as u32).into() }
}

/// The longer of two times; none is for ever.
fn longer(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a?.max(b?))
}

/// Cuts prefixes of one family into pieces that do not overlap, each with the longest time of those that it is part of. Of two prefixes
/// either contains the other, or they are apart; so whoever is not over yet lies around the next.
fn pieces(prefixes: impl Iterator<Item = (Prefix, Option<u64>)>) -> Vec<Piece> {
    let mut all: Vec<_> = prefixes.map(|(prefix, seconds)| (ends(&prefix), seconds)).collect();
    all.sort_unstable_by_key(|((first, last), _)| (*first, Reverse(*last)));
    let mut cut = Cut::default();
    for ((first, last), seconds) in all {
        cut.close(Some(first));
        cut.upto(first);
        let around = cut.open.last().map_or(seconds, |(_, around)| longer(*around, seconds));
        cut.open.push((last, around));
    }
    cut.close(None);
    cut.pieces
}

/// Where the cutting is.
#[derive(Default)]
struct Cut {
    pieces: Vec<Piece>,
    /// The prefixes around this place, the narrowest last: where each ends, and how long it lasts.
    open: Vec<(u128, Option<u64>)>,
    /// The first address that is in no piece yet; none: there is none left.
    next: Option<u128>,
}

impl Cut {
    /// Ends the prefixes that end before an address, or all of them.
    fn close(&mut self, before: Option<u128>) {
        while let Some((last, seconds)) = self.open.last().copied() {
            if before.is_some_and(|before| last >= before) {
                break;
            }
            self.open.pop();
            if let Some(first) = self.next.filter(|next| *next <= last) {
                self.pieces.push(Piece { first, last, seconds, packets: 0 });
            }
            self.next = last.checked_add(1);
        }
    }

    /// Makes a piece of what lies before an address, if anything is around it.
    fn upto(&mut self, address: u128) {
        if let (Some((_, seconds)), Some(next)) = (self.open.last(), self.next.filter(|next| *next < address)) {
            self.pieces.push(Piece { first: next, last: address - 1, seconds: *seconds, packets: 0 });
        }
        self.next = Some(address);
    }
}

fn pieces_of(added: &[Added], kind: Kind, v6: bool) -> Vec<Piece> {
    let of = |one: &&Added| one.kind == kind && one.prefix.address().is_ipv6() == v6;
    pieces(added.iter().filter(of).map(|one| (one.prefix, one.seconds)))
}

/// The elements of a set, for nft's JSON.
pub fn elements(added: &[Added], kind: Kind, v6: bool) -> Vec<Value> {
    let element = |piece: &Piece| {
        let [first, last] = [piece.first, piece.last].map(|number| address(number, v6).to_string());
        let val = if first == last { json!(first) } else { json!({ "range": [first, last] }) };
        match piece.seconds {
            Some(seconds) => json!({ "elem": { "val": val, "timeout": seconds.max(1) } }),
            None => val,
        }
    };
    pieces_of(added, kind, v6).iter().map(element).collect()
}

/// What `nft` has to do so that the sets have exactly these, with what was counted before: one transaction.
pub fn commands(added: &[Added], before: &Listing) -> String {
    let mut text = String::new();
    for (kind, v6) in Kind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let set = kind.set(v6);
        let mut pieces = pieces_of(added, kind, v6);
        before.carry(set, &mut pieces);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "flush set {TABLE} {set}");
        if !pieces.is_empty() {
            let words: Vec<String> = pieces.iter().map(|piece| piece.words(v6)).collect();
            let _ = writeln!(text, "add element {TABLE} {set} {{ {} }}", words.join(", "));
        }
    }
    text
}

impl Piece {
    /// As nft's own language has it. JSON has no place for what was counted.
    fn words(&self, v6: bool) -> String {
        let [first, last] = [self.first, self.last].map(|number| address(number, v6));
        let end = if first == last { String::new() } else { format!("-{last}") };
        let timeout = self.seconds.map(|seconds| format!(" timeout {}s", seconds.max(1))).unwrap_or_default();
        format!("{first}{end} counter packets {} bytes 0{timeout}", self.packets)
    }
}

/// The table's sets as they are now, with what each element counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    sets: BTreeMap<String, Vec<Counted>>,
}

/// An element of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    first: u128,
    last: u128,
    packets: u64,
}

impl Listing {
    /// What `nft -j list table` said.
    pub fn of(table: &Value) -> Self {
        let sets = table["nftables"].as_array().into_iter().flatten().map(|object| &object["set"]);
        let set = |set: &Value| {
            let elements = set["elem"].as_array().into_iter().flatten().filter_map(counted);
            Some((set["name"].as_str()?.to_owned(), elements.collect()))
        };
        Self { sets: sets.filter_map(set).collect() }
    }

    fn set(&self, name: &str) -> &[Counted] {
        self.sets.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many packets a prefix that was added has decided.
    pub fn packets(&self, kind: Kind, prefix: &Prefix) -> u64 {
        let (first, last) = ends(prefix);
        let inside = |one: &&Counted| one.first >= first && one.last <= last;
        self.set(kind.set(prefix.address().is_ipv6())).iter().filter(inside).map(|one| one.packets).sum()
    }

    /// The prefixes of the configuration that the table has, with their packets.
    pub fn configured(&self, allow: bool) -> Vec<(Prefix, u64)> {
        let names = if allow { ["allowed4", "allowed6"] } else { ["blocked4", "blocked6"] };
        let of_set = |(name, v6): (&str, bool)| -> Vec<(Prefix, u64)> {
            let bits = if v6 { 128 } else { 32 };
            let length = |one: &Counted| bits - (128 - (one.first ^ one.last).leading_zeros()) as u8;
            self.set(name).iter().map(|one| (Prefix::new(address(one.first, v6), length(one)), one.packets)).collect()
        };
        names.into_iter().zip([false, true]).flat_map(of_set).collect()
    }

    /// Gives new pieces what the old ones had counted: to the piece in which an old one begins.
    fn carry(&self, set: &str, pieces: &mut [Piece]) {
        for old in self.set(set) {
            let at = pieces.partition_point(|piece| piece.last < old.first);
            if let Some(piece) = pieces.get_mut(at).filter(|piece| piece.first <= old.first) {
                piece.packets += old.packets;
            }
        }
    }
}

/// An element as nft's JSON has it: an address, a prefix or a range, with or without more about it.
fn counted(element: &Value) -> Option<Counted> {
    let (value, packets) = match element.get("elem") {
        Some(elem) => (&elem["val"], elem["counter"]["packets"].as_u64().unwrap_or(0)),
        None => (element, 0),
    };
    let parsed = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    let (first, last) = if let Some(prefix) = value.get("prefix") {
        ends(&Prefix::new(parsed(&prefix["addr"])?, prefix["len"].as_u64()?.try_into().ok()?))
    } else if let Some([first, last]) = value["range"].as_array().map(Vec::as_slice) {
        (ends(&Prefix::of(parsed(first)?)).0, ends(&Prefix::of(parsed(last)?)).0)
    } else {
        ends(&Prefix::of(parsed(value)?))
    };
    Some(Counted { first, last, packets })
}

#[cfg(test)]
mod tests;
