//! Our own nftables table, `inet sekisho`, through the program `nft`: read, put in place, removed. Other tables are never named.
//!
//! Every change is one transaction: the kernel takes all of it or nothing, and a packet meets the old rules or the new.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// The table, as nft names it.
pub const TABLE: &str = "inet sekisho";
const PROGRAM: &str = "nft";

/// The table as `nft` prints it; `None` if there is none, or no nft.
pub fn table() -> Option<String> {
    let output = Command::new(PROGRAM).args(["list", "table", "inet", "sekisho"]).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
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
