//! Pages of made-up diagnoses, in both languages and at both widths, as they were last looked at and found good.
//!
//! To renew them after a change: `RENEW=1 cargo test -p sekisho`, and look at what changed. With `REPORTS=DIR` the HTML is written there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sekisho_engine::judge::diagnosis::phrase::{Action, Cookies, Distinction, Evidence, Keep, Refutation, Verdict};
use sekisho_engine::judge::diagnosis::timeline::{Mark, Row, Series};
use sekisho_engine::judge::diagnosis::value::Number;
use sekisho_engine::judge::diagnosis::{
    Bytes, Cause, Confidence, Diagnosis, Finding, Milliseconds, Port, QueueRow, Rate, Role, TellApart, Timeline,
    VERSION,
};
use sekisho_engine::judge::settings::Binds;
use sekisho_engine::observe::record::metric::Unit;
use sekisho_engine::observe::record::{
    EventKind, Gap, GapReason, Host, Origin, Server, Source, Span, Time, Unseen, Why,
};

use super::compose::{About, page};
use super::screen::Screen;
use super::{html, layout, terminal};
use crate::words::{Lang, Words, Zone};

/// 2026-11-30 02:00 in Japan.
const FROM: Time = Time(1_795_971_600_000);

fn after(minutes: i64) -> Time {
    FROM.plus_ms(minutes * 60_000)
}

fn span() -> Span {
    Span { from: FROM, until: after(60) }
}

fn series(row: Row, unit: Unit, value: impl Fn(f64) -> f64) -> Series {
    let points: Vec<(Time, f64)> = (0..=60).map(|minute| (after(minute), value(minute as f64).max(0.0))).collect();
    let order = |one: &&(Time, f64), other: &&(Time, f64)| one.1.total_cmp(&other.1);
    let extreme = if row.scarce() { points.iter().min_by(order) } else { points.iter().max_by(order) };
    Series { row, unit, extreme: *extreme.unwrap(), points }
}

fn timeline() -> Timeline {
    let hump = |minute: f64| (-(minute - 25.0).powi(2) / 60.0).exp();
    let mark = |minute, count, event| Mark { at: after(minute), count, event };
    let mut load = series(Row::Load, Unit::Count, |minute| 1.5 + 310.0 * hump(minute - 6.0));
    load.points.retain(|(at, _)| !(after(40)..after(46)).contains(at));
    Timeline {
        span: Some(span()),
        series: vec![
            series(Row::CookiesSent, Unit::PerSecond, |minute| 190.0 * hump(minute) - 3.0),
            series(Row::Completions, Unit::PerSecond, |minute| 22.0 + 340.0 * hump(minute)),
            series(Row::Requests, Unit::Count, |minute| 800.0 + 9000.0 * hump(minute)),
            series(Row::Workers, Unit::Count, |minute| 40.0 + 360.0 * hump(minute - 3.0)),
            series(Row::MemoryAvailable, Unit::Bytes, |minute| 5e9 - 4.9e9 * hump(minute - 4.0)),
            series(Row::SwapUsed, Unit::Bytes, |minute| 2e9 * hump(minute - 8.0)),
            load,
        ],
        marks: vec![
            mark(21, 1, EventKind::SynFloodingMessage { address: None, port: 80, cookies: true }),
            mark(26, 1, EventKind::WorkersExhausted { server: Server::Apache, limit: Some(400) }),
            mark(27, 14, EventKind::ClientTooSlow { server: Server::Apache }),
            mark(
                31,
                3,
                EventKind::OutOfMemoryKill {
                    process: "apache2".into(),
                    pid: Some(811),
                    resident_bytes: Some(61 << 20),
                    in_group: false,
                },
            ),
        ],
        marks_left_out: 0,
    }
}

fn overcommitted() -> Finding {
    let server = Server::Apache;
    Finding {
        cause: Cause::MemoryOvercommitted,
        kind: Cause::MemoryOvercommitted.kind(),
        role: Role::Main,
        confidence: Confidence::Certain,
        port: None,
        span: Some(Span { from: after(20), until: after(38) }),
        evidence: vec![
            Evidence::WorkersDoNotFit {
                server,
                processes: 400,
                each: Bytes(48 << 20),
                needed: Bytes(400 * (48 << 20)),
                memory: Bytes(8 << 30),
            },
            Evidence::WorkersThatFit { processes: 120, spare: Bytes(120 * (48 << 20)) },
            Evidence::WorkersConfigured {
                server,
                workers: 400,
                place: "/etc/apache2/mods-enabled/mpm_prefork.conf:8".into(),
            },
            Evidence::SwapUsed { used: Bytes(2 << 30), at: after(33) },
            Evidence::Load { load: Number(311.4), cpus: 4, at: after(31) },
        ],
        refuted_by: vec![Refutation::WorkersSmaller { server, each: Bytes(15 << 20) }, Refutation::AnotherProcess {}],
        steps: vec![
            Action::ApacheWorkers { workers: 120, place: "/etc/apache2/mods-enabled/mpm_prefork.conf:8".into() },
            Action::ApacheEvent {},
        ],
    }
}

fn burst() -> Finding {
    Finding {
        cause: Cause::BurstOverBacklog,
        kind: Cause::BurstOverBacklog.kind(),
        role: Role::Contributing,
        confidence: Confidence::Likely,
        port: Some(80),
        span: Some(Span { from: after(21), until: after(29) }),
        evidence: vec![
            Evidence::CookiesReturned {
                sent: 41_200,
                returned: 40_870,
                share: sekisho_engine::judge::diagnosis::Percent(99.2),
            },
            Evidence::QueueTakes { port: Port(80), fits: 129, rate: Rate(430.0), round_trip: Milliseconds(300) },
            Evidence::FloodingMessage { port: Port(80), at: after(21) },
        ],
        refuted_by: vec![Refutation::CookiesNeverReturned {}],
        steps: vec![Action::ApacheBacklog { backlog: 1024, place: "/etc/apache2/ports.conf:5".into() }],
    }
}

fn standing() -> Finding {
    let key = "net.ipv4.tcp_synack_retries";
    Finding {
        cause: Cause::SynackRetriesHigh,
        kind: Cause::SynackRetriesHigh.kind(),
        role: Role::Standing,
        confidence: Confidence::Certain,
        port: None,
        span: None,
        evidence: vec![Evidence::Setting { key: key.into(), value: "5".into() }],
        refuted_by: vec![Refutation::SetElsewhere { key: key.into() }],
        steps: vec![Action::SetSysctl { key: key.into(), from: "5".into(), to: "3".into() }],
    }
}

fn queue(local: &str, process: &str, backlog: u64, binds: Binds) -> QueueRow {
    let local: SocketAddr = local.parse().unwrap();
    QueueRow {
        local,
        process: Some(process.into()),
        sockets: 1,
        configured: Some(backlog),
        configured_in: None,
        backlog,
        somaxconn: Some(4096),
        max_syn_backlog: Some(512),
        syncookies: Some(1),
        fits: backlog + 1,
        binds,
        cookies_beyond: Some(true),
        takes: [10, 100, 300].map(|ms| (backlog + 1) * 1000 / ms),
        half_open: None,
        waiting: None,
        wanted: (backlog < 1024).then_some(1024),
        memory_bytes: (backlog + 1) * 3392,
        memory_wanted_bytes: (backlog < 1024).then_some(1025 * 3392),
    }
}

/// The story of a small shop's server.
fn story() -> Diagnosis {
    Diagnosis {
        version: VERSION,
        origin: Origin::Folder(PathBuf::from("/srv/from-the-shop/log")),
        span: Some(span()),
        verdict: Verdict::NoAttackNeeded { causes: vec![Cause::MemoryOvercommitted, Cause::BurstOverBacklog] },
        findings: vec![overcommitted(), burst(), standing()],
        tell_apart: Vec::new(),
        cookies: Cookies::Nothing {},
        keep: vec![Keep::Sysstat {}, Keep::Capture {}, Keep::Longer { source: Source::AccessLog }],
        queues: vec![
            queue("0.0.0.0:80", "apache2", 128, Binds::Application),
            queue("[2001:db8:1234:5678:9abc:def0:1234:5678]:443", "apache2", 4096, Binds::Somaxconn),
        ],
        timeline: timeline(),
        unseen: vec![
            Unseen { source: Source::Conntrack, file: None, why: Why::Missing },
            Unseen {
                source: Source::AccessLog,
                file: Some("apache2/access.log".into()),
                why: Why::LinesTooLong { lines: 3 },
            },
        ],
        gaps: vec![Gap {
            source: Source::Sysstat,
            span: Span { from: after(40), until: after(46) },
            reason: GapReason::NoSamples,
        }],
    }
}

/// Two causes fit, and little is known.
fn doubt() -> Diagnosis {
    Diagnosis {
        origin: Origin::Live,
        verdict: Verdict::TwoFit { one: Cause::SynFlood, other: Cause::BurstOverBacklog },
        findings: vec![
            Finding {
                cause: Cause::SynFlood,
                kind: Cause::SynFlood.kind(),
                confidence: Confidence::Possible,
                role: Role::Main,
                ..burst()
            },
            Finding { confidence: Confidence::Possible, role: Role::Main, ..burst() },
        ],
        tell_apart: vec![TellApart {
            one: Cause::SynFlood,
            other: Cause::BurstOverBacklog,
            by: vec![Distinction::Completions {}, Distinction::CookiesReturn {}],
        }],
        cookies: Cookies::Unknown {},
        ..story()
    }
}

/// Nothing is wrong.
fn healthy() -> Diagnosis {
    Diagnosis {
        origin: Origin::Live,
        verdict: Verdict::Healthy {},
        findings: Vec::new(),
        cookies: Cookies::NotNeeded {},
        keep: Vec::new(),
        timeline: Timeline { series: Vec::new(), ..timeline() },
        unseen: vec![Unseen { source: Source::Firewall, file: None, why: Why::NotPermitted }],
        gaps: Vec::new(),
        ..story()
    }
}

fn host() -> Host {
    Host { name: Some("shop".into()), cpus: Some(4), memory_bytes: Some(8 << 30), ..Host::default() }
}

fn words(lang: Lang) -> Words {
    Words::new(lang, Zone::Fixed(9 * 3600)).about(Some(span()))
}

fn text(diagnosis: &Diagnosis, lang: Lang, columns: usize) -> String {
    let about = About { host: &host(), taken: None, incident: None };
    terminal::render(&page(diagnosis, about, &words(lang)), Screen { columns, colours: false })
}

fn report(diagnosis: &Diagnosis, lang: Lang) -> String {
    let about = About { host: &host(), taken: None, incident: None };
    let words = words(lang);
    html::render(&page(diagnosis, about, &words), "Sekisho", &words)
}

fn all() -> [(&'static str, Diagnosis); 3] {
    [("story", story()), ("doubt", doubt()), ("healthy", healthy())]
}

/// The text as it was last looked at and found good.
fn compare(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/views/snapshots").join(name);
    if std::env::var_os("RENEW").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, found).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, expected, "differs from {}:\n{found}", file.display());
}

#[test]
fn the_story_is_as_last_looked_at() {
    for lang in Lang::ALL {
        for columns in [80, 140] {
            compare(&format!("story.{}.{columns}.txt", lang.tag()), &text(&story(), lang, columns));
        }
    }
}

#[test]
fn doubt_and_health_are_as_last_looked_at() {
    for lang in Lang::ALL {
        compare(&format!("doubt.{}.80.txt", lang.tag()), &text(&doubt(), lang, 80));
        compare(&format!("healthy.{}.80.txt", lang.tag()), &text(&healthy(), lang, 80));
    }
}

#[test]
fn no_line_is_wider_than_the_terminal_and_nothing_is_unsaid() {
    for (name, diagnosis) in all() {
        for lang in Lang::ALL {
            for columns in [80, 100, 140] {
                let text = text(&diagnosis, lang, columns);
                for line in text.lines() {
                    // What is to be typed is not broken, nor is one long word.
                    let typed = line.starts_with("      ") || line.trim().split(' ').count() == 1;
                    assert!(typed || layout::width(line) <= columns, "{name} {columns}: {line}");
                }
                // A message that is missing is its own name in brackets, an argument that is missing its name in braces.
                let unsaid =
                    text.split('[').skip(1).filter(|after| after.starts_with(|first: char| first.is_lowercase()));
                let unsaid: Vec<&str> = unsaid.filter_map(|after| after.split(']').next()).collect();
                assert!(unsaid.is_empty() && !text.contains("{$"), "{unsaid:?}\n{text}");
            }
        }
    }
}

#[test]
fn rows_of_the_timeline_begin_and_end_alike() {
    for lang in Lang::ALL {
        let text = text(&story(), lang, 80);
        let rows: Vec<&str> = text.lines().filter(|line| line.contains('█')).collect();
        assert_eq!(rows.len(), 7, "{text}");
        let starts: Vec<usize> = rows
            .iter()
            .map(|row| layout::width(&row[..row.find(|block| "▁▂▃▄▅▆▇█".contains(block)).unwrap()]))
            .collect();
        assert!(starts.iter().all(|start| *start == starts[0]), "{starts:?}\n{text}");
        assert!(rows.iter().all(|row| layout::width(row) == 80), "{text}");
    }
}

#[test]
fn a_report_fetches_nothing_and_runs_nothing() {
    for (name, diagnosis) in all() {
        for lang in Lang::ALL {
            let html = report(&diagnosis, lang);
            if let Some(folder) = std::env::var_os("REPORTS") {
                std::fs::write(Path::new(&folder).join(format!("{name}.{}.html", lang.tag())), &html).unwrap();
            }
            assert!(html.starts_with("<!DOCTYPE html>") && html.contains(&format!("<html lang=\"{}\">", lang.tag())));
            for outside in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link", "onload"] {
                assert!(!html.contains(outside), "{name}: {outside}");
            }
            for tag in ["section", "svg", "ul", "table", "div"] {
                let count = |text: &str| html.matches(text).count();
                assert_eq!(count(&format!("<{tag}")), count(&format!("</{tag}>")), "{name}: {tag}");
            }
        }
    }
}

#[test]
fn every_row_of_the_chart_is_told_in_words() {
    let html = report(&story(), Lang::En);
    assert!(html.contains("aria-label=\"Load average: between 1.5 and 312; 312 at 02:31:00\""), "{html}");
    assert_eq!(html.matches("role=\"img\"").count(), 7);
}
