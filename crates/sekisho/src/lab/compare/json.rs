//! What was measured, as JSON. `version` changes when a name goes or changes its meaning; new names may come at any time.
//!
//! Since version 2 a defence has `edge`: what a frame costs where its receive processor just cannot keep up, and at which flood
//! (`sent_per_second`) that was. A sample of it is `apart` if it was measured by itself, and that of the highest rate otherwise.
//! `ns_per_frame_saturated` of version 1 is gone: it was of the highest rate, far beyond the edge. `ns_per_frame` of a cell is what it was.

use std::fmt::Write as _;

use sekisho_lab::compare::values::Times;
use sekisho_lab::compare::{Behind, Cell, Comparison, Edge, Edges, Rate, Sample, Spread, Visits};
use serde_json::{Value, json};

use super::findings::sentences;
use super::plan::word;

/// The version of the document.
const VERSION: u32 = 2;

/// The document, with a line feed at its end.
pub fn document(comparison: &Comparison, command: &str) -> String {
    let machine = &comparison.machine;
    let defences: Vec<Value> = comparison.defences.iter().map(behind).collect();
    let value = json!({
        "version": VERSION,
        "command": command,
        "machine": {
            "processor": machine.processor,
            "processors": machine.processors,
            "memory_gib": machine.memory_gib,
            "kernel": machine.kernel,
            "virtual": machine.is_virtual,
        },
        "family": comparison.family.to_string(),
        "rounds": comparison.rounds,
        "window_ms": comparison.window.as_millis() as u64,
        "deadline_ms": comparison.deadline.as_millis() as u64,
        "elapsed_s": comparison.elapsed.as_secs(),
        "findings": sentences(comparison),
        "defences": defences,
    });
    let mut out = String::new();
    write_open(&mut out, &value, 0);
    out.push('\n');
    out
}

/// Writes a value so that a person can page through it: what has a list of objects in it is opened, one line for each of its parts, and
/// everything else, as a sample, is one line. What is short comes first.
fn write_open(out: &mut String, value: &Value, depth: usize) {
    if !is_open(value) {
        let _ = write!(out, "{value}");
        return;
    }
    let (parts, ends) = match value {
        Value::Object(map) => {
            let mut parts: Vec<_> = map.iter().map(|(name, one)| (Some(name), one)).collect();
            parts.sort_by_key(|(_, one)| is_open(one));
            (parts, ('{', '}'))
        }
        _ => (value.as_array().into_iter().flatten().map(|one| (None, one)).collect(), ('[', ']')),
    };
    let inner = " ".repeat(2 * (depth + 1));
    out.push(ends.0);
    for (index, (name, one)) in parts.into_iter().enumerate() {
        let _ = write!(out, "{}\n{inner}", if index == 0 { "" } else { "," });
        if let Some(name) = name {
            let _ = write!(out, "{}: ", json!(name));
        }
        write_open(out, one, depth + 1);
    }
    let _ = write!(out, "\n{}{}", " ".repeat(2 * depth), ends.1);
}

/// A list of strings that is longer than this in all has a line for each: the findings, but not what disturbed a sample.
const LIST_LENGTH_MOST: usize = 250;

/// Whether there is a list of objects, or a long one, anywhere in it.
fn is_open(value: &Value) -> bool {
    match value {
        Value::Array(list) => {
            let length: usize = list.iter().filter_map(Value::as_str).map(str::len).sum();
            list.iter().any(Value::is_object) || length > LIST_LENGTH_MOST
        }
        Value::Object(map) => map.values().any(is_open),
        _ => false,
    }
}

fn behind(behind: &Behind) -> Value {
    json!({
        "name": behind.defence.name(),
        "title": behind.defence.title(),
        "note": behind.defence.note(),
        "bound": behind.defence.is_bound(),
        "edge": edges(&behind.edges),
        "cells": behind.cells.iter().map(cell).collect::<Vec<_>>(),
    })
}

fn cell(cell: &Cell) -> Value {
    json!({
        "rate": word(cell.rate),
        "asked_per_second": match cell.rate { Rate::Calm => Some(0), Rate::PerSecond(rate) => Some(rate), Rate::Full => None },
        "complete_percent": cell.success().map(spread),
        "complete_web_percent": cell.spread(|one| Some(one.web.percent())).map(spread),
        "complete_mail_percent": cell.spread(|one| Some(one.mail.percent())).map(spread),
        "ns_per_frame": cell.ns_per_frame().map(spread),
        "lost_percent": cell.spread(|one| Some(one.lost_percent)).map(spread),
        "connect_us": times(&cell.times(|visits| &visits.connect)),
        "first_byte_us": times(&cell.times(|visits| &visits.first_byte)),
        "samples": cell.samples.iter().map(sample).collect::<Vec<_>>(),
        "failures": cell.failures,
    })
}

fn edges(edges: &Edges) -> Value {
    json!({
        "ns_per_frame": edges.spread(|one| one.ns_per_frame).map(spread),
        "sent_per_second": edges.spread(|one| one.sent_per_second).map(spread),
        "lost_percent": edges.spread(|one| one.lost_percent).map(spread),
        "samples": edges.found.iter().map(edge).collect::<Vec<_>>(),
        "failures": edges.failures,
    })
}

fn edge(edge: &Edge) -> Value {
    json!({
        "apart": edge.is_apart,
        "sent_per_second": round(edge.sent_per_second),
        "taken_per_second": round(edge.taken_per_second),
        "lost_percent": round(edge.lost_percent),
        "ns_per_frame": round(edge.ns_per_frame),
        "receive_busy_percent": round(edge.busy_percent),
        "steal_percent": round(edge.steal_percent),
        "foreign_percent": round(edge.foreign_percent),
        "disturbed": edge.disturbed,
    })
}

fn sample(sample: &Sample) -> Value {
    json!({
        "sent_per_second": round(sample.sent_per_second),
        "taken_per_second": round(sample.taken_per_second),
        "lost_percent": round(sample.lost_percent),
        "web": visits(&sample.web),
        "mail": visits(&sample.mail),
        "ns_per_frame": sample.receive.map(|receive| round(receive.ns_per_frame)),
        "receive_busy_percent": sample.receive.map(|receive| round(receive.busy_percent)),
        "steal_percent": round(sample.steal_percent),
        "foreign_percent": round(sample.foreign_percent),
        "disturbed": sample.disturbed,
        "verdicts": sample.verdicts.iter().map(|(name, count)| (name.clone(), (*count).into())).collect::<serde_json::Map<_, _>>(),
    })
}

fn visits(visits: &Visits) -> Value {
    let outcomes = visits.outcomes.iter().map(|(outcome, count)| (format!("{outcome:?}"), (*count).into()));
    json!({
        "begun": visits.begun,
        "complete": visits.complete,
        "outcomes": outcomes.collect::<serde_json::Map<_, _>>(),
        "connect_us": times(&visits.connect),
        "first_byte_us": times(&visits.first_byte),
    })
}

fn times(times: &Times) -> Value {
    let within = |percent| times.within(percent).map(|time| time.as_micros() as u64);
    json!({ "count": times.count(), "p50": within(50.0), "p90": within(90.0), "p99": within(99.0), "max": within(100.0) })
}

fn spread(spread: Spread) -> Value {
    json!({ "median": round(spread.median), "low": round(spread.low), "high": round(spread.high) })
}

/// Three digits after the point are more than was measured.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_one_line() {
        let value = json!({
            "samples": [{ "web": { "begun": 1 }, "disturbed": ["a", "b"] }, { "web": { "begun": 2 }, "disturbed": [] }],
            "version": 2,
            "none": [],
        });
        let mut out = String::new();
        write_open(&mut out, &value, 0);
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[1..4], ["  \"none\": [],", "  \"version\": 2,", "  \"samples\": ["]);
        assert_eq!(lines[4], "    {\"disturbed\":[\"a\",\"b\"],\"web\":{\"begun\":1}},");
        assert_eq!(lines.len(), 8, "{out}");
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), value, "nothing is lost");
    }
}
