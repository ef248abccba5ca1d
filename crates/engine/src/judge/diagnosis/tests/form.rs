//! The form of a diagnosis: names that stay, lists that are whole, JSON that can be read back, a guide that tells of every rule.

use std::collections::BTreeSet;

use super::*;
use crate::judge::diagnosis::rules::RULES;

#[test]
fn every_cause_has_one_rule_and_a_name_of_its_own() {
    let of_rules: Vec<Cause> = RULES.iter().map(|rule| rule.cause).collect();
    assert_eq!(of_rules, Cause::ALL);
    let names: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
    assert_eq!(names.len(), Cause::ALL.len());
}

#[test]
fn kinds_are_named_once_and_as_in_json() {
    for kinds in [
        Verdict::KINDS,
        Evidence::KINDS,
        Refutation::KINDS,
        Action::KINDS,
        Keep::KINDS,
        Distinction::KINDS,
        Cookies::KINDS,
    ] {
        let names: BTreeSet<&str> = kinds.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), kinds.len());
        let kebab = |name: &&str| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
        assert!(names.iter().all(kebab), "{names:?}");
    }
    let step = Action::ApacheWorkers { workers: 79, place: "x:1".into() };
    let json = serde_json::to_value(&step).unwrap();
    assert_eq!(json["kind"], "apache-workers");
    let arguments = [("workers", Value::Count(79)), ("place", Value::Text("x:1".into()))];
    assert_eq!(step.arguments(), arguments);
    assert_eq!(step.step(), None);
}

#[test]
fn a_diagnosis_can_be_read_back() {
    let mut record = past();
    sar(&mut record, QUIET, &[FLOODED]);
    message(&mut record, Some(at(20)));
    record.packets.push(capture(50_000, 40));
    record.web.push(apache(400, 128));
    let diagnosis = judge(&record);
    let json = serde_json::to_string(&diagnosis).unwrap();
    let again: Diagnosis = serde_json::from_str(&json).unwrap();
    assert_eq!(again.findings, diagnosis.findings);
    assert_eq!(again.verdict, diagnosis.verdict);
}

#[test]
fn a_sysctl_is_a_step_that_apply_can_make() {
    let mut record = now(&[(Metric::SynQueueFullDrops, 80.0)]);
    record.sysctls.insert("net.ipv4.tcp_syncookies".into(), "0".into());
    let diagnosis = judge(&record);
    let steps: Vec<_> = diagnosis.findings.iter().flat_map(|finding| &finding.steps).filter_map(Action::step).collect();
    let step = crate::act::Step::Sysctl { key: "net.ipv4.tcp_syncookies".into(), from: "0".into(), to: "1".into() };
    assert!(steps.contains(&step), "{diagnosis:#?}");
}

#[test]
fn the_guide_tells_of_every_rule() {
    let guide = include_str!("../../../../../../docs/operations/rules.md");
    for cause in Cause::ALL {
        let row = format!("| `{}` | {} |", cause.name(), cause.kind().name());
        assert!(guide.contains(&row), "docs/operations/rules.md has no row beginning with {row}");
    }
    let rows = guide.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, Cause::ALL.len(), "the guide tells of rules that are not there");
}

#[test]
fn nonsense_is_judged_without_a_panic() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e300] {
        for origin in [Origin::Live, Origin::Past] {
            let mut record = machine(origin);
            record.taken = Some(Time(i64::MAX));
            let values: Vec<_> = Metric::ALL.iter().map(|metric| (*metric, value)).collect();
            for moment in [i64::MIN, 0, 0, i64::MAX] {
                sample(&mut record, Source::Kernel, Time(moment), u64::MAX, &values);
            }
            record.totals = values.into_iter().collect();
            record.sysctls.values_mut().for_each(|value| *value = u64::MAX.to_string());
            record.host.memory_bytes = Some(u64::MAX);
            let mut web = apache(u64::MAX, u64::MAX);
            (web.processes, web.process_memory_bytes) = (Some(u64::MAX), Some(u64::MAX));
            record.web.push(web);
            record.listeners.push(Listener { sockets: 0, backlog: u32::MAX, syn_queue: u32::MAX, ..listener(80, 0) });
            record.packets.push(Packets { syns: u64::MAX, ..Packets::default() });
            record.sockets = Some(SocketCounts { silent: Some(Sources::default()), ..SocketCounts::default() });
            message(&mut record, Some(Time(i64::MIN)));
            judge(&record);
            let span = Span { from: Time(i64::MAX), until: Time(i64::MIN) };
            diagnose(&record, &Ask { span: Some(span), ..Ask::default() });
        }
    }
}
