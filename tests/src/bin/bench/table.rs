//! How the figures are shown: a table, what was to be reached, and JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sekisho_datapath::memory::MapMemory;

use crate::Result;
use crate::lists::Loading;
use crate::measure::Measured;

/// Everything that was measured.
pub struct Figures {
    /// Each kind of packet.
    pub rows: Vec<Measured>,
    /// How long lists take to load.
    pub loading: Vec<Loading>,
    /// The maps, with the longest lists in them.
    pub memory: Vec<MapMemory>,
}

/// Maps of the benchmark alone.
const OWN_MAPS: [&str; 2] = ["bench_case", "lpm"];

/// What is to be reached on the machine of docs/operations/benchmarks.md, in nanoseconds.
const TARGETS: [(&str, f64); 4] = [
    ("established data while calm", 15.0),
    ("established data while armed", 120.0),
    ("SYN to cookie, one flow", 200.0),
    ("SYN to challenge, one flow", 180.0),
];
/// The lookup of a source may cost so much of one hit in a table of the same size.
const LOOKUP_SHARE: f64 = 1.3;

/// A source on a list of a million may cost so much of what one on a list of a thousand costs.
const LISTS_SHARE: f64 = 1.5;

/// Prints everything.
#[expect(clippy::print_stdout, reason = "the benchmark's purpose")]
pub fn print(figures: &Figures) {
    print!("{}{}{}", table(&figures.rows), sizes(figures), targets(&figures.rows));
}

/// What the maps take, and how long lists take to load.
fn sizes(figures: &Figures) -> String {
    let mut text = format!("\n{:<16} {:>9} {:>12}\n", "map", "entries", "bytes");
    for MapMemory { name, entries, bytes } in ours(&figures.memory) {
        let _ = writeln!(text, "{name:<16} {entries:>9} {bytes:>12}");
    }
    let all: u64 = ours(&figures.memory).map(|map| map.bytes).sum();
    let _ = writeln!(text, "{:<16} {:>9} {all:>12}\n", "all", "");
    for Loading { prefixes, lists, trie } in &figures.loading {
        let (lists, trie) = (lists.as_secs_f64(), trie.as_secs_f64());
        let _ = writeln!(text, "loading {prefixes} blocked prefixes: lists {lists:.2} s, LPM trie {trie:.2} s");
    }
    text
}

fn ours(memory: &[MapMemory]) -> impl Iterator<Item = &MapMemory> {
    memory.iter().filter(|map| !OWN_MAPS.contains(&map.name.as_str()))
}

fn table(rows: &[Measured]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text =
        format!("{:width$}  {:>7}  {:>7}  {:>7}\n", "ns per packet, floor taken off", "median", "lowest", "floor");
    for Measured { name, ns, lowest_ns, floor_ns } in rows {
        let _ = writeln!(text, "{name:width$}  {ns:7.0}  {lowest_ns:7.0}  {floor_ns:7.0}");
    }
    text
}

fn targets(rows: &[Measured]) -> String {
    let mut text = String::from("\nto reach\n");
    let mut line = |name: &str, most: f64| {
        if let Some(row) = rows.iter().find(|row| row.name == name) {
            let mark = if row.ns <= most { "reached" } else { "missed" };
            let (ns, lowest) = (row.ns, row.lowest_ns);
            let _ = writeln!(text, "  {mark}: {name}, {ns:.0} ns (lowest {lowest:.0}) of at most {most:.0}");
        }
    };
    TARGETS.iter().for_each(|(name, most)| line(name, *most));
    let of = |name: &str| rows.iter().find(|row| row.name == name);
    if let Some(hit) = of("one hit in the table of 1 M verified") {
        line("lookup of a source among 1 M verified", hit.ns * LOOKUP_SHARE);
    }
    for which in ["on none, always the same", "blocked address, always the same", "blocked by a /24, always the same"] {
        if let Some(few) = of(&format!("lists, 1 k: {which}")) {
            line(&format!("lists, 1 M: {which}"), few.ns * LISTS_SHARE);
        }
    }
    text
}

/// Writes an array of objects: `name`, `ns`, `lowest_ns` and `floor_ns` of each row, then `map`, `entries` and `bytes` of each map.
pub fn write_json(file: &Path, figures: &Figures) -> Result<()> {
    let row = |row: &Measured| serde_json::json!({ "name": row.name, "ns": row.ns, "lowest_ns": row.lowest_ns, "floor_ns": row.floor_ns });
    let map = |map: &MapMemory| serde_json::json!({ "map": map.name, "entries": map.entries, "bytes": map.bytes });
    let all: Vec<_> = figures.rows.iter().map(row).chain(ours(&figures.memory).map(map)).collect();
    let text = serde_json::to_string_pretty(&all)? + "\n";
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_is_compared_with_a_hit_of_the_same_run() {
        let row = |name: &str, ns| Measured { name: name.into(), ns, lowest_ns: ns, floor_ns: 30.0 };
        let hit = row("one hit in the table of 1 M verified", 100.0);
        let lookup = |ns| row("lookup of a source among 1 M verified", ns);
        assert!(targets(&[hit.clone(), lookup(129.0)]).contains("reached: lookup"));
        assert!(targets(&[hit, lookup(131.0)]).contains("missed: lookup"));
    }
}
