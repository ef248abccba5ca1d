//! `sekisho lab compare`, as small as it can be: two defences whose order cannot be in doubt, at two rates, and the edge of one that cannot
//! keep up. What it measures is judged with much slack; that it measures, tells and writes is what is tested. Needs root.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::fs;
use std::process::{Command, Stdio};

use sekisho_tests::{alone, program};
use serde_json::Value;

/// The share of visits that completed behind a defence at a rate, in percent.
fn complete(document: &Value, defence: &str, rate: &str) -> f64 {
    let of = |list: &Value, key: &str, name: &str| {
        let found = list.as_array().unwrap().iter().find(|one| one[key] == name);
        found.unwrap_or_else(|| panic!("no {name} in {document:#}")).clone()
    };
    let behind = of(&document["defences"], "name", defence);
    of(&behind["cells"], "rate", rate)["complete_percent"]["median"].as_f64().unwrap_or_else(|| panic!("{behind:#}"))
}

#[test]
fn nothing_gives_way_where_sekisho_holds() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (page, table) = (folder.path().join("a.html"), folder.path().join("a.md"));
    let mut command = Command::new(program());
    command.args(["lab", "compare", "--rounds", "1", "--json", "-"]);
    command.args(["--defence", "sekisho", "--defence", "none", "--rate", "100k", "--rate", "0"]);
    let output = command.arg("--report").arg(&page).arg("--report").arg(&table).stdin(Stdio::null()).output().unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{told}");
    println!("{told}");
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&document["version"], &document["rounds"]), (&2.into(), &1.into()));

    for defence in ["none", "sekisho"] {
        assert!(complete(&document, defence, "0") > 90.0, "{defence} without a flood: {document:#}");
    }
    let (none, ours) = (complete(&document, "none", "100k"), complete(&document, "sekisho", "100k"));
    assert!(ours > none + 30.0, "nothing {none}, Sekisho {ours}: {document:#}");

    assert_eq!(
        told.lines().filter(|line| line.starts_with("round 1,")).count(),
        6,
        "a line for each cell and edge: {told}"
    );
    let (page, table) = (fs::read_to_string(page).unwrap(), fs::read_to_string(table).unwrap());
    assert!(page.contains("Sekisho") && !page.contains("<script") && !page.contains("://"), "it fetches nothing");
    assert!(table.contains("| Sekisho |") && table.contains("--defence none"), "{table}");
}

/// The kernel's cookies cost microseconds, so all that the generator gives is far beyond their edge on every machine.
#[test]
fn the_edge_is_measured_where_saturation_begins() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (folder.path().join("a.json"), folder.path().join("a.html"));
    let mut command = Command::new(program());
    command.args(["lab", "compare", "--rounds", "1", "--seconds", "0.5", "--defence", "cookies", "--rate", "full"]);
    let output = command.arg("--json").arg(&file).arg("--report").arg(&page).stdin(Stdio::null()).output().unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{told}");
    println!("{told}");
    let document: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let behind = &document["defences"][0];
    let (full, edge) = (&behind["cells"][0]["samples"][0], &behind["edge"]["samples"][0]);
    let figure = |of: &Value, name: &str| of[name].as_f64().unwrap_or_else(|| panic!("no {name} in {behind:#}"));

    assert_eq!(edge["apart"], true, "{behind:#}");
    let (sent, lost) = (figure(edge, "sent_per_second"), figure(edge, "lost_percent"));
    assert!(sent < 0.7 * figure(full, "sent_per_second"), "far below all that the generator gives: {behind:#}");
    assert!(lost < figure(full, "lost_percent"), "{behind:#}");
    let is_saturated = lost > 1.0 || figure(edge, "receive_busy_percent") > 90.0;
    // Where other programs take the generator's processor, it may not reach the edge; it says so then.
    assert!(is_saturated || edge["disturbed"] != Value::Array(Vec::new()), "{behind:#}");
    assert_eq!(behind["edge"]["ns_per_frame"]["median"], edge["ns_per_frame"], "{behind:#}");

    let places: Vec<_> = told.lines().filter_map(|line| line.split_once(": ")).map(|(place, _)| place).collect();
    assert_eq!(places, ["round 1,  1 of 2", "round 1,  2 of 2"], "{told}");
    let cost = format!("{:.0} at ", figure(edge, "ns_per_frame"));
    assert!(said.contains(&cost), "the table says at which rate it was: {cost} in {said}");
    assert!(fs::read_to_string(page).unwrap().contains("<small>at "), "so does the chart");
}

#[test]
fn a_wrong_name_is_told_with_the_right_ones() {
    let output = Command::new(program()).args(["lab", "compare", "--defence", "sysproxy"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("synproxy-gateway"), "{told}");
}
