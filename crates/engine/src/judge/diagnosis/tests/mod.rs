//! Records made by hand, and what must be said of them: each rule fires on one and not on its near miss, healthy hosts raise no alarm, and
//! the story that this was built for ends as it should.

mod form;
mod healthy;
mod rules;
mod scenes;
mod time;

use std::collections::BTreeMap;

use super::*;
use crate::observe::record::*;

const MINUTE: u64 = 60_000;
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// A moment: so many minutes after a beginning.
fn at(minute: i64) -> Time {
    Time(1_795_999_980_000).plus_ms(minute * 60_000)
}

/// A record of a machine with two CPUs and 2 GiB, with the kernel's defaults.
fn machine(origin: Origin) -> Record {
    let mut record = Record::empty(origin);
    record.host.cpus = Some(2);
    record.host.memory_bytes = Some(2 * GIB);
    record.host.swap_bytes = Some(GIB);
    for (key, value) in [
        ("net.ipv4.tcp_syncookies", "1"),
        ("net.core.somaxconn", "4096"),
        ("net.ipv4.tcp_max_syn_backlog", "512"),
        ("net.ipv4.tcp_synack_retries", "5"),
        ("net.ipv4.tcp_abort_on_overflow", "0"),
        ("net.ipv4.conf.all.rp_filter", "0"),
    ] {
        record.sysctls.insert(key.into(), value.into());
    }
    record
}

/// The same from files.
fn past() -> Record {
    machine(Origin::Folder("logs".into()))
}

/// The same now, with one sample of half a second.
fn now(values: &[(Metric, f64)]) -> Record {
    let mut record = machine(Origin::Live);
    record.taken = Some(at(0));
    sample(&mut record, Source::Kernel, at(0), 500, values);
    record
}

fn sample(record: &mut Record, source: Source, at: Time, interval_ms: u64, values: &[(Metric, f64)]) {
    record.samples.push(Sample { at, interval_ms, source, values: values.iter().copied().collect() });
    record.covered(source, Some(Span { from: at, until: at }));
}

/// sysstat every minute: so many quiet ones, then what is given.
fn sar(record: &mut Record, quiet: &[(Metric, f64)], then: &[&[(Metric, f64)]]) {
    for minute in 0..20 {
        sample(record, Source::Sysstat, at(minute), MINUTE, quiet);
    }
    for (more, values) in then.iter().enumerate() {
        let mut all: BTreeMap<Metric, f64> = quiet.iter().copied().collect();
        all.extend(values.iter().copied());
        let all: Vec<_> = all.into_iter().collect();
        sample(record, Source::Sysstat, at(20 + more as i64), MINUTE, &all);
    }
}

/// A quiet web server's minute, as sysstat has it.
const QUIET: &[(Metric, f64)] = &[
    (Metric::PassiveOpens, 4.0),
    (Metric::SegmentsIn, 60.0),
    (Metric::SegmentsOut, 70.0),
    (Metric::ResetsSent, 0.5),
    (Metric::PacketsIn, 61.0),
    (Metric::PacketsOut, 72.0),
    (Metric::BytesIn, 9_000.0),
    (Metric::BytesOut, 70_000.0),
    (Metric::Load1, 0.3),
    (Metric::Tasks, 150.0),
    (Metric::MemoryAvailable, 1.5 * GIB as f64),
    (Metric::SwapUsed, 0.0),
    (Metric::SwapIn, 0.0),
    (Metric::SwapOut, 0.0),
];

/// A minute of many bare SYNs.
const FLOODED: &[(Metric, f64)] = &[
    (Metric::SegmentsIn, 20_000.0),
    (Metric::PacketsIn, 20_000.0),
    (Metric::PacketsOut, 20_000.0),
    (Metric::BytesIn, 1_200_000.0),
    (Metric::BytesOut, 1_250_000.0),
];

fn message(record: &mut Record, when: Option<Time>) {
    let kind = EventKind::SynFloodingMessage { address: None, port: 80, cookies: true };
    record.event(when, Source::KernelLog, kind);
}

fn listener(port: u16, backlog: u32) -> Listener {
    Listener {
        local: ([0, 0, 0, 0], port).into(),
        dual_stack: false,
        sockets: 1,
        syn_queue: 0,
        accept_queue: 0,
        backlog,
        accept_full: false,
        process: Some(Process { pid: 1, name: "nginx".into(), unit: None }),
        configured_backlog: Some(backlog),
        configured_in: None,
    }
}

/// So many from so many addresses, and this share of them from one network.
fn sources(total: u64, distinct: u64, largest: f64) -> Sources {
    let count = (total as f64 * largest) as u64;
    let network = SourceCount { address: [198, 51, 100, 0].into(), prefix_length: 24, count };
    Sources { total, distinct, top: Vec::new(), top_prefixes: vec![network], by_port: BTreeMap::from([(80, total)]) }
}

/// A capture in which so many SYNs were completed.
fn capture(syns: u64, completed: u64) -> Packets {
    Packets {
        file: "x.pcap".into(),
        span: Some(Span { from: at(20), until: at(21) }),
        packets: syns * 3,
        tcp: syns * 3,
        syns,
        syn_acks: syns,
        completed,
        half_open: syns - completed,
        syn_sources: sources(syns, syns, 0.001),
        ..Packets::default()
    }
}

fn traffic(record: &mut Record, minute: i64, requests: u64) {
    record.traffic.push(WebTraffic {
        minute: at(minute),
        log: "access.log".into(),
        requests,
        by_class: [0, requests, 0, 0, 0],
        timeouts: 0,
        given_up: 0,
        overloaded: 0,
        limited: 0,
        bytes: requests * 10_000,
        clients: requests / 3,
        top: Vec::new(),
    });
    record.covered(Source::AccessLog, Some(Span { from: at(minute), until: at(minute) }));
}

/// Apache with the prefork MPM and mod_php.
fn apache(workers: u64, backlog: u64) -> WebServer {
    let place = || Some(("/etc/apache2/mods-enabled/mpm_prefork.conf".into(), 11));
    let mut web = WebServer::new(Server::Apache);
    web.mpm = Some(Setting { value: Mpm::Prefork, place: None });
    web.workers_max = Some(Setting { value: workers, place: place() });
    web.processes_max = Some(workers);
    web.backlog = Some(Setting { value: backlog, place: Some(("/etc/apache2/ports.conf".into(), 3)) });
    web.keep_alive = Some(Setting { value: true, place: None });
    web.keep_alive_timeout_ms = Some(Setting { value: 5000, place: None });
    web.interpreter_inside = true;
    web
}

fn judge(record: &Record) -> Diagnosis {
    diagnose(record, &Ask::default())
}

fn find(diagnosis: &Diagnosis, cause: Cause) -> Option<&Finding> {
    diagnosis.findings.iter().find(|finding| finding.cause == cause)
}

/// Whether an attack is blamed, or named as one of two that fit.
fn blames_attack(diagnosis: &Diagnosis) -> bool {
    let attack = |cause: &Cause| cause.kind() == CauseKind::Attack;
    match &diagnosis.verdict {
        Verdict::Attack { .. } | Verdict::AttackAndMore { .. } => true,
        Verdict::TwoFit { one, other } => attack(one) || attack(other),
        _ => false,
    }
}
