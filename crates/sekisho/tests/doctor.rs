//! `doctor` and `explain` as they are typed: what they print, how they end, and that a mistake is told kindly, in both languages.
//!
//! Nothing here floods anything; that the right cause is named is tested in the package sekisho-tests.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn sekisho(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command
        .args(arguments)
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES")
        .env("LANG", "C.UTF-8")
        .env("TZ", "Asia/Tokyo");
    command
}

fn said(arguments: &[&str]) -> (Option<i32>, String, String) {
    parts(sekisho(arguments).output().unwrap())
}

fn parts(output: Output) -> (Option<i32>, String, String) {
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A night on which something was logged.
fn night(folder: &Path) {
    let log = "2026-11-29T17:02:11+09:00 shop kernel: TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.\n\
               2026-11-29T17:04:00+09:00 shop kernel: eth0: NIC Link is Up\n";
    fs::write(folder.join("kern.log"), log).unwrap();
    fs::write(folder.join("sysctl.txt"), "net.ipv4.tcp_syncookies = 1\nnet.core.somaxconn = 4096\n").unwrap();
}

#[test]
fn what_cannot_be_done_is_told_with_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let nowhere = empty.path().join("nowhere");
    let (empty, nowhere) = (empty.path().to_str().unwrap(), nowhere.to_str().unwrap());
    let noon_first: &[&str] = &["explain", "--since", "2026-11-01 12:00", "--until", "2026-11-01 11:00"];
    for (arguments, code, english, japanese) in [
        (&["explain", "--from", nowhere][..], 1, "cannot be read", "読めません"),
        (&["explain", "--from", empty], 1, "could be read as a record", "読めるものがありません"),
        (noon_first, 2, "the end (2026-11-01 11:00:00)", "終わり（2026年11月1日 11:00:00）"),
        (&["explain", "--since", "soon"], 2, "“soon”", "「soon」"),
        (&["explain", "--since", "2999-01-01"], 2, "still to come", "まだ来ていません"),
    ] {
        let (ended, stdout, stderr) = said(arguments);
        assert_eq!((ended, stdout.as_str()), (Some(code), ""), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(english) && stderr.contains("\nhint: "), "{stderr}");
        let (ended, _, stderr) = said(&[arguments, &["--lang", "ja"]].concat());
        assert!(ended == Some(code) && stderr.contains(japanese), "{stderr}");
    }
}

#[test]
fn a_folder_is_explained_as_text_json_and_report() {
    let folder = tempfile::tempdir().unwrap();
    night(folder.path());
    let report = folder.path().join("report.html");
    let from = folder.path().to_str().unwrap();
    let (code, text, stderr) = said(&["explain", "--from", from, "--report", report.to_str().unwrap()]);
    // The kernel's message is all there is, and it proves nothing.
    assert_eq!((code, stderr.as_str()), (Some(4), ""), "{text}");
    assert!(text.contains("possible SYN flooding") && text.contains("What to keep for next time"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80 || line.starts_with("      ")), "{text}");
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("<html lang=\"en\">") && !report.contains("http:"), "{report}");

    let (code, json, _) = said(&["explain", "--from", from, "--json", "--lang", "ja"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json["version"].as_u64(), json["lang"].as_str()), (Some(4), Some(1), Some("ja")));
    assert_eq!(json["verdict"]["kind"], "cannot-be-known", "{json:#}");
    assert!(json["sentence"].as_str().unwrap().ends_with('。'), "{json:#}");
}

#[test]
fn a_time_without_zone_is_that_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    night(folder.path());
    let from = folder.path().to_str().unwrap();
    let night = |since: &str, until: &str| {
        let (_, json, stderr) = said(&["explain", "--from", from, "--json", "--since", since, "--until", until]);
        let json: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{stderr}"));
        json["verdict"]["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(night("2026-11-29 17:00", "2026-11-29 18:00"), "cannot-be-known");
    assert_ne!(night("2026-11-29 08:00", "2026-11-29 09:00"), "cannot-be-known");
}

#[test]
fn a_doctor_who_is_not_root_looks_at_what_he_may() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("sekisho");
    fs::copy(env!("CARGO_BIN_EXE_sekisho"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["doctor", "--json", "--lang", "en"]);
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        command.uid(65_534).gid(65_534).current_dir("/");
    }
    let (code, json, stderr) = parts(command.output().unwrap());
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{stderr}"));
    // What is wrong with the machine that the tests run on is not known; that something could not be looked at is.
    assert!([0, 3, 4].map(Some).contains(&code), "{json:#}");
    let unseen = json["unseen"].as_array().unwrap();
    assert!(unseen.iter().any(|unseen| unseen["why"] == "not_permitted"), "{unseen:#?}");
    assert_eq!(json["origin"], "live");
}
