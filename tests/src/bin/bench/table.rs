//! How the figures are shown: a table, what was to be reached, and JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::measure::Measured;

/// What is to be reached on the machine of docs/operations/benchmarks.md, in nanoseconds.
const TARGETS: [(&str, f64); 4] = [
    ("established data while calm", 15.0),
    ("established data while armed", 120.0),
    ("SYN to cookie, one flow", 200.0),
    ("SYN to challenge, one flow", 180.0),
];
/// The lookup of a source may cost so much of one hit in a table of the same size.
const LOOKUP_SHARE: f64 = 1.3;

/// Prints everything.
#[expect(clippy::print_stdout, reason = "the benchmark's purpose")]
pub fn print(rows: &[Measured]) {
    print!("{}{}", table(rows), targets(rows));
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
    if let Some(hit) = rows.iter().find(|row| row.name == "one hit in the table of 1 M verified") {
        line("lookup of a source among 1 M verified", hit.ns * LOOKUP_SHARE);
    }
    text
}

/// Writes an array of objects with `name`, `ns` and `floor_ns`.
pub fn write_json(file: &Path, rows: &[Measured]) -> Result<()> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| serde_json::json!({ "name": row.name, "ns": row.ns, "floor_ns": row.floor_ns }))
        .collect();
    let text = serde_json::to_string_pretty(&rows)? + "\n";
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
