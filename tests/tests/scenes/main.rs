//! Scenes: trouble of fourteen kinds, produced for real in network namespaces, and what is said of each.
//!
//! Every scene is judged twice: by a look at the host while it happens (`sekisho doctor`), and afterwards from files alone (`sekisho explain`).
//! The right cause has to be named first, and an attack may never be blamed where there was none. [`stage`] records, [`cases`] are the scenes,
//! [`web`], [`delay`], [`group`] and [`track`] what they are made of. Beside them: a [`healthy`] host, records with [`holes`], and an [`incident`]. The matrix of what was expected and what was named is printed also
//! when all is well. One scene by its name: `SCENE=slow_readers cargo test --release -p sekisho-tests --test scenes`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod cases;
mod delay;
mod group;
mod healthy;
mod holes;
mod incident;
mod stage;
mod track;
mod web;

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use sekisho_engine::judge::diagnosis::{Cause, CauseKind, Diagnosis, Role};

use stage::{Judged, Stage};

/// One scene, and what has to be said of it.
struct Case {
    name: &'static str,
    play: fn(&mut Stage),
    /// One of these first; empty: nothing may be named.
    first: &'static [Cause],
    /// These too, when looked at while it happens.
    also: &'static [Cause],
    /// And these afterwards, from files.
    also_after: &'static [Cause],
    /// Whether there is an attack.
    attack: bool,
}

const CASES: &[Case] = &[
    attack("scattered_flood", cases::scattered_flood, &[Cause::SpoofedFlood]),
    attack("flood_of_one_network", cases::flood_of_one_network, &[Cause::ConcentratedFlood]),
    Case {
        also: &[Cause::CookiesOff],
        also_after: &[Cause::CookiesOff],
        ..attack("flood_without_cookies", cases::flood_without_cookies, &[Cause::SpoofedFlood, Cause::CookiesOff])
    },
    trouble("rush_over_backlog", cases::rush_over_backlog, &[Cause::BurstOverBacklog]),
    trouble("slow_application", cases::slow_application, &[Cause::SlowApplication]),
    trouble("workers_that_do_not_fit", cases::workers_that_do_not_fit, &[Cause::MemoryOvercommitted]),
    attack("connection_flood", cases::connection_flood, &[Cause::ConnectionFlood]),
    attack("slow_readers", cases::slow_readers, &[Cause::SlowReaders]),
    trouble("conntrack_full", cases::conntrack_full, &[Cause::ConntrackFull]),
    trouble("firewall_limit", cases::firewall_limit, &[Cause::FirewallLimit]),
    attack("reflection_at_us", cases::reflection_at_us, &[Cause::ReflectionAtUs]),
    trouble("healthy_and_busy", cases::healthy_and_busy, &[]),
    Case {
        also_after: &[Cause::BurstOverBacklog],
        ..trouble("the_owners_story", cases::the_owners_story, &[Cause::MemoryOvercommitted])
    },
    Case {
        also: &[Cause::MemoryOvercommitted],
        also_after: &[Cause::MemoryOvercommitted],
        ..attack("the_story_with_a_flood", cases::the_story_with_a_flood, &[Cause::SpoofedFlood])
    },
];

const fn attack(name: &'static str, play: fn(&mut Stage), first: &'static [Cause]) -> Case {
    Case { name, play, first, also: &[], also_after: &[], attack: true }
}

const fn trouble(name: &'static str, play: fn(&mut Stage), first: &'static [Cause]) -> Case {
    Case { attack: false, ..attack(name, play, first) }
}

/// What was said of one scene at one time.
struct Said {
    /// The causes to blame, the first first; standing risks are left out.
    named: Vec<Cause>,
    verdict: &'static str,
    wrong: Vec<String>,
}

impl Said {
    fn of(case: &Case, also: &[Cause], diagnosis: &Diagnosis) -> Self {
        let blamed = diagnosis.findings.iter().filter(|finding| finding.role != Role::Standing);
        let named: Vec<Cause> = blamed.map(|finding| finding.cause).collect();
        let mut wrong = Vec::new();
        if named.first().is_some_and(|first| !case.first.contains(first)) || named.is_empty() != case.first.is_empty() {
            wrong.push("another cause first".to_owned());
        }
        for missing in also.iter().filter(|cause| !named.contains(cause)) {
            wrong.push(format!("{} is missing", missing.name()));
        }
        if !case.attack && named.iter().any(|cause| cause.kind() == CauseKind::Attack) {
            wrong.push("AN ATTACK IS BLAMED, AND THERE WAS NONE".to_owned());
        }
        Self { named, verdict: diagnosis.verdict.kind(), wrong }
    }

    fn words(&self) -> String {
        let named: Vec<&str> = self.named.iter().map(|cause| cause.name()).collect();
        format!("{} [{}]", if named.is_empty() { "nothing".into() } else { named.join(", ") }, self.verdict)
    }
}

#[test]
fn the_right_cause_is_named_first_and_no_attack_where_there_was_none() {
    let wanted = std::env::var("SCENE").ok();
    let mut matrix =
        String::from("\nscene, and the cause expected: while it happens / afterwards, from files [verdict]\n");
    let mut wrong = Vec::new();
    for case in CASES.iter().filter(|case| wanted.as_deref().is_none_or(|name| case.name == name)) {
        let begun = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let mut stage = Stage::new();
            (case.play)(&mut stage);
            stage.end()
        }));
        let seconds = begun.elapsed().as_secs_f64();
        let expected: Vec<&str> = case.first.iter().map(|cause| cause.name()).collect();
        let expected = if expected.is_empty() { "nothing".to_owned() } else { expected.join(" or ") };
        let _ = writeln!(matrix, "{} ({expected}), {seconds:.1} s", case.name);
        let Ok((during, after)) = judged else {
            wrong.push(format!("{}: the scene could not be played", case.name));
            continue;
        };
        for (when, judged, also) in [("during", &during, case.also), ("after", &after, case.also_after)] {
            let said = Said::of(case, also, &judged.diagnosis);
            let mark = if said.wrong.is_empty() { "   " } else { "!! " };
            let _ = writeln!(matrix, "{mark} {when:<7} {}", said.words());
            wrong.extend(said.wrong.iter().map(|what| format!("{}, {when}: {what}: {}", case.name, said.words())));
            keep(case.name, when, judged, !said.wrong.is_empty());
        }
    }
    // Past the test runner, which keeps what a test prints that passes.
    let _ = std::io::stderr().write_all(matrix.as_bytes());
    assert!(wrong.is_empty(), "{matrix}\n{}", wrong.join("\n"));
}

/// Writes record and diagnosis to the folder in `SCENES_TO`, for whoever mends a rule; without it, those that were judged wrongly are
/// printed.
fn keep(name: &str, when: &str, judged: &Judged, is_wrong: bool) {
    let json = |value: serde_json::Result<String>| value.unwrap();
    let diagnosis = json(serde_json::to_string_pretty(&judged.diagnosis));
    if let Some(folder) = std::env::var_os("SCENES_TO").map(PathBuf::from) {
        std::fs::create_dir_all(&folder).unwrap();
        let record = json(serde_json::to_string_pretty(&judged.record));
        std::fs::write(folder.join(format!("{name}-{when}.record.json")), record).unwrap();
        std::fs::write(folder.join(format!("{name}-{when}.diagnosis.json")), diagnosis).unwrap();
    } else if is_wrong {
        println!("{name}, {when}: {diagnosis}");
    }
}
