//! What was measured, as JSON. `version` changes when a name goes or changes its meaning; new names may come at any time.

use sekisho_lab::compare::values::Times;
use sekisho_lab::compare::{Behind, Cell, Comparison, Rate, Sample, Spread, Visits};
use serde_json::{Value, json};

use super::findings::{saturated, sentences};
use super::plan::word;

/// The version of the document.
const VERSION: u32 = 1;

/// The document, with a line feed at its end.
pub fn document(comparison: &Comparison, command: &str) -> String {
    let machine = &comparison.machine;
    let defences: Vec<Value> = comparison.defences.iter().map(|one| behind(comparison, one)).collect();
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
    format!("{value:#}\n")
}

fn behind(comparison: &Comparison, behind: &Behind) -> Value {
    json!({
        "name": behind.defence.name(),
        "title": behind.defence.title(),
        "note": behind.defence.note(),
        "bound": behind.defence.is_bound(),
        "ns_per_frame_saturated": saturated(comparison, behind.defence).map(round),
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
