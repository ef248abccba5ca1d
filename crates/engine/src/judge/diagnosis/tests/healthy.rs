//! Healthy hosts, quiet and busy: no alarm.

use super::*;

fn is_quiet(record: &Record, what: &str) {
    let diagnosis = judge(record);
    let alarms: Vec<_> = diagnosis.findings.iter().filter(|finding| finding.role != Role::Standing).collect();
    assert!(alarms.is_empty(), "{what}: {alarms:#?}");
    let quiet = matches!(
        diagnosis.verdict,
        Verdict::Healthy {} | Verdict::HealthyWithRisks { .. } | Verdict::NothingRecorded { .. }
    );
    assert!(quiet, "{what}: {:?}", diagnosis.verdict);
}

#[test]
fn a_quiet_host_is_healthy() {
    let mut record = now(&[(Metric::PassiveOpens, 0.0), (Metric::CookiesSent, 0.0), (Metric::SegmentsIn, 40.0)]);
    record.listeners.push(listener(22, 128));
    record.sockets = Some(SocketCounts::default());
    assert_eq!(judge(&record).verdict, Verdict::Healthy {});
    assert_eq!(judge(&record).cookies, Cookies::NotNeeded {});
}

#[test]
fn a_busy_host_raises_no_alarm() {
    let mut record = now(&[
        (Metric::PassiveOpens, 3000.0),
        (Metric::SegmentsIn, 40_000.0),
        (Metric::ResetsSent, 300.0),
        (Metric::CookiesSent, 9.0),
        (Metric::CookiesReceived, 8.0),
        (Metric::SynQueueFullCookies, 9.0),
        (Metric::ListenOverflows, 0.0),
        (Metric::SynRetransmitted, 4.0),
        (Metric::CpuSoftirqBusiest, 70.0),
        (Metric::SoftnetSqueezed, 30.0),
        (Metric::MemoryAvailable, 400.0 * MIB as f64),
        (Metric::SwapUsed, 700.0 * MIB as f64),
        (Metric::PressureMemoryFull, 0.2),
        (Metric::Load1, 5.0),
    ]);
    // A flood long ago left its marks in counters and in the log.
    record.totals.insert(Metric::CookiesSent, 2e6);
    record.totals.insert(Metric::CookiesReceived, 100.0);
    record.totals.insert(Metric::ListenOverflows, 5e4);
    message(&mut record, Some(at(-600)));
    message(&mut record, None);
    record.listeners.push(Listener { syn_queue: 90, accept_queue: 20, ..listener(443, 511) });
    record.sockets = Some(SocketCounts {
        half_open: sources(90, 85, 0.02),
        established: sources(8000, 4000, 0.02),
        silent: Some(sources(500, 480, 0.02)),
        stalled: sources(60, 60, 0.02),
        ..SocketCounts::default()
    });
    record.conntrack = Some(Conntrack { entries: 20_000, max: 65_536, drops: Some(3), in_use: true });
    is_quiet(&record, "busy");
}

#[test]
fn a_day_with_its_noon_is_nothing_special() {
    let mut record = past();
    let noon: &[(Metric, f64)] = &[
        (Metric::PassiveOpens, 120.0),
        (Metric::SegmentsIn, 1500.0),
        (Metric::PacketsIn, 1500.0),
        (Metric::PacketsOut, 1700.0),
        (Metric::BytesIn, 200_000.0),
        (Metric::BytesOut, 1_500_000.0),
    ];
    sar(&mut record, QUIET, &[noon, noon, noon]);
    (0..23).for_each(|minute| traffic(&mut record, minute, if minute < 20 { 240 } else { 7000 }));
    is_quiet(&record, "noon");
}

#[test]
fn a_nightly_backup_is_no_flood() {
    let mut record = past();
    // Sent elsewhere: many small ACKs come back, nobody connects.
    let backup: &[(Metric, f64)] = &[
        (Metric::SegmentsIn, 9000.0),
        (Metric::PacketsIn, 9000.0),
        (Metric::PacketsOut, 30_000.0),
        (Metric::BytesIn, 600_000.0),
        (Metric::BytesOut, 45_000_000.0),
    ];
    sar(&mut record, QUIET, &[backup]);
    is_quiet(&record, "backup");
}

#[test]
fn default_limits_that_would_not_fit_are_a_risk_and_no_alarm() {
    let mut record = now(&[(Metric::PassiveOpens, 2.0), (Metric::MemoryAvailable, 1.6 * GIB as f64)]);
    let mut web = apache(150, 511);
    web.processes = Some(6);
    web.process_memory_bytes = Some(30 * MIB);
    record.web.push(web);
    is_quiet(&record, "defaults");
    let risks = vec![Cause::MemoryOvercommitted];
    assert_eq!(judge(&record).verdict, Verdict::HealthyWithRisks { risks });
}

#[test]
fn a_static_pool_that_is_full_by_nature_is_no_alarm() {
    let mut record = now(&[(Metric::PassiveOpens, 2.0), (Metric::MemoryAvailable, 1.6 * GIB as f64)]);
    let mut web = WebServer::new(Server::PhpFpm);
    web.processes_max = Some(10);
    web.processes = Some(10);
    web.process_memory_bytes = Some(30 * MIB);
    record.web.push(web);
    record.listeners.push(listener(80, 511));
    is_quiet(&record, "static pool");
}

#[test]
fn nothing_recorded_is_not_healthy() {
    let record = Record::empty(Origin::Folder("logs".into()));
    assert_eq!(judge(&record).verdict, Verdict::NoRecord {});
    let mut record = past();
    sar(&mut record, QUIET, &[]);
    assert!(matches!(judge(&record).verdict, Verdict::NothingRecorded { .. }));
    let later = Ask { span: Some(Span { from: at(600), until: at(700) }), ..Ask::default() };
    assert_eq!(diagnose(&record, &later).verdict, Verdict::NoRecord {});
}

#[test]
fn another_namespace_s_message_is_not_ours() {
    let mut record = now(&[(Metric::PassiveOpens, 2.0)]);
    record.totals.insert(Metric::SynQueueFullCookies, 7.0);
    let kind = EventKind::SynFloodingMessage { address: Some([198, 51, 100, 10].into()), port: 80, cookies: true };
    record.event(Some(at(-3)), Source::KernelLog, kind);
    // Nobody listens on this port here, or somebody on another address.
    is_quiet(&record, "nobody listens");
    record.listeners.push(Listener { local: ([127, 0, 0, 1], 80).into(), ..listener(80, 511) });
    is_quiet(&record, "another address");
    record.listeners[0] = listener(80, 511);
    assert_eq!(judge(&record).verdict, Verdict::CannotBeKnown {}, "our own message a few minutes ago");
    record.totals.insert(Metric::SynQueueFullCookies, 0.0);
    is_quiet(&record, "no queue here was ever full");
}
