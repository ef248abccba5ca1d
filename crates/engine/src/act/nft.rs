//! Our own nftables table, `inet sekisho`, through the program `nft`: read, put in place, removed. Other tables are never named.
//!
//! Every change is one transaction: the kernel takes all of it or nothing, and a packet meets the old rules or the new.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The table, as nft names it.
pub const TABLE: &str = "inet sekisho";
const PROGRAM: &str = "nft";

/// The table as `nft` prints it; `None` if there is none, or no nft.
pub fn table() -> Option<String> {
    let output = Command::new(PROGRAM).args(["list", "table", "inet", "sekisho"]).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The table with all that it counted, as nft's JSON has it; `None` if there is none, or no nft.
pub fn listing() -> Option<Value> {
    let arguments = ["-j", "list", "table", "inet", "sekisho"];
    let output = Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().ok()?;
    if output.status.success() { serde_json::from_slice(&output.stdout).ok() } else { None }
}

/// The comments of a table's rules that count, each with its packets; rules of one comment are added up.
pub fn counts(list: &Value) -> Vec<(String, u64)> {
    let mut counts: Vec<(String, u64)> = Vec::new();
    for rule in list["nftables"].as_array().into_iter().flatten().map(|object| &object["rule"]) {
        let statements = rule["expr"].as_array().into_iter().flatten();
        let packets = statements.filter_map(|statement| statement["counter"]["packets"].as_u64()).next();
        let (Some(comment), Some(packets)) = (rule["comment"].as_str(), packets) else { continue };
        match counts.iter_mut().find(|(known, _)| known == comment) {
            Some((_, sum)) => *sum += packets,
            None => counts.push((comment.to_owned(), packets)),
        }
    }
    counts
}

/// Whether there is a program nft.
pub fn is_there() -> bool {
    Command::new(PROGRAM).arg("-v").stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// Puts the table in place, or removes it.
///
/// # Errors
/// What `nft` said; nothing is then changed.
pub fn set_table(rules: Option<&str>) -> io::Result<()> {
    match rules {
        None => feed(&["-f", "-"], &format!("add table {TABLE}\ndelete table {TABLE}\n")),
        Some(json) if is_json(json) => feed(&["-j", "-f", "-"], json),
        Some(text) => feed(&["-f", "-"], &format!("add table {TABLE}\ndelete table {TABLE}\n{text}")),
    }
}

/// Has nft do what these commands say, all of it or nothing.
///
/// # Errors
/// What `nft` said; nothing is then changed.
pub fn change(commands: &str) -> io::Result<()> {
    feed(&["-f", "-"], commands)
}

/// Whether nft would take these rules, without putting them in place.
///
/// # Errors
/// What `nft` said.
pub fn check(rules: &str) -> io::Result<()> {
    if is_json(rules) { feed(&["-c", "-j", "-f", "-"], rules) } else { feed(&["-c", "-f", "-"], rules) }
}

fn is_json(rules: &str) -> bool {
    rules.trim_start().starts_with('{')
}

fn feed(arguments: &[&str], rules: &str) -> io::Result<()> {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends early closes its end; its own words then say more than the broken pipe.
        let _ = stdin.write_all(rules.as_bytes());
    }
    said(&child.wait_with_output()?)
}

fn missing(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "there is no program nft (package nftables)"),
        _ => error,
    }
}

fn said(output: &Output) -> io::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let first: Vec<&str> = words.lines().take(3).collect();
    Err(io::Error::other(format!("nft says: {}", first.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_up_by_comment() {
        let json = br#"{"nftables": [{"table": {"name": "sekisho"}},
            {"rule": {"comment": "a", "expr": [{"match": {}}, {"counter": {"packets": 3, "bytes": 9}}, {"drop": null}]}},
            {"rule": {"comment": "b", "expr": [{"return": null}]}},
            {"rule": {"comment": "a", "expr": [{"counter": {"packets": 4, "bytes": 9}}]}}]}"#;
        assert_eq!(counts(&serde_json::from_slice(json).unwrap()), [("a".to_owned(), 7)]);
        assert!(counts(&Value::Null).is_empty());
    }
}
