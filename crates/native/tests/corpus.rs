//! The fuzz targets' corpus, replayed by an ordinary compiler: what a target once found stays found, also where nobody fuzzes.

use sekisho_native::{Parsed, cookie_check, invariants, options, parse};
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn files(target: &str) -> Result<Vec<Box<[u8]>>, Box<dyn Error>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        found.push(fs::read(entry?.path())?.into_boxed_slice());
    }
    assert!(found.len() >= 20, "{} has {} files only", folder.display(), found.len());
    Ok(found)
}

#[test]
fn parse_holds() -> Result<(), Box<dyn Error>> {
    files("parse")?.iter().for_each(|bytes| invariants::parse(bytes));
    Ok(())
}

#[test]
fn cookie_holds() -> Result<(), Box<dyn Error>> {
    files("cookie")?.iter().for_each(|bytes| invariants::cookie(bytes));
    Ok(())
}

#[test]
fn answer_holds() -> Result<(), Box<dyn Error>> {
    files("answer")?.iter().for_each(|bytes| invariants::answer(bytes));
    Ok(())
}

/// A corpus without valid cookies would leave the fuzzer outside: it cannot guess one.
#[test]
fn some_files_carry_valid_cookies() -> Result<(), Box<dyn Error>> {
    let carries_cookie = |bytes: &[u8]| {
        let (control, now, frame) = invariants::split_control(bytes)?;
        let (Parsed::Tcp, packet) = parse(frame) else { return None };
        cookie_check(&control, &packet, &options(frame, &packet), now)
    };
    let valid = files("cookie")?.iter().filter(|bytes| carries_cookie(bytes).is_some()).count();
    assert!(valid >= 10, "{valid} valid cookies");
    Ok(())
}
