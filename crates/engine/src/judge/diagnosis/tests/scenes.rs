//! Whole stories: what must be said first, and what must never be said.

use super::*;

/// A rush of real clients with a long round trip meets a backlog of 128 and an Apache whose 400 workers do not fit into 2 GiB.
fn story() -> Record {
    let mut record = past();
    let rush: &[(Metric, f64)] = &[
        (Metric::PassiveOpens, 90.0),
        (Metric::SegmentsIn, 1100.0),
        (Metric::PacketsIn, 1100.0),
        (Metric::PacketsOut, 1200.0),
        (Metric::BytesIn, 180_000.0),
        (Metric::BytesOut, 1_900_000.0),
        (Metric::Tasks, 330.0),
        (Metric::MemoryAvailable, 50.0 * MIB as f64),
        (Metric::SwapUsed, 900.0 * MIB as f64),
        (Metric::SwapIn, 900.0),
        (Metric::SwapOut, 1500.0),
        (Metric::Load1, 310.0),
        (Metric::Blocked, 200.0),
    ];
    sar(&mut record, QUIET, &[rush, rush, rush]);
    (0..23).for_each(|minute| traffic(&mut record, minute, if minute < 20 { 240 } else { 5000 }));
    message(&mut record, Some(at(20)));
    let exhausted = EventKind::WorkersExhausted { server: Server::Apache, limit: None };
    record.event(Some(at(21)), Source::ErrorLog, exhausted);
    let killed = EventKind::OutOfMemoryKill {
        process: "apache2".into(),
        pid: None,
        resident_bytes: Some(22 * MIB),
        in_group: false,
    };
    record.event(Some(at(22)), Source::KernelLog, killed);
    record.web.push(apache(400, 128));
    record
}

#[test]
fn the_story_needs_no_attack() {
    let diagnosis = judge(&story());
    let causes = match &diagnosis.verdict {
        Verdict::NoAttackNeeded { causes } => causes,
        other => panic!("{other:?}: {:#?}", diagnosis.findings),
    };
    assert_eq!(causes[0], Cause::MemoryOvercommitted);
    assert!(causes.contains(&Cause::BurstOverBacklog) && causes.contains(&Cause::WorkersExhausted), "{causes:?}");
    assert_eq!(diagnosis.cookies, Cookies::Nothing {});

    let memory = find(&diagnosis, Cause::MemoryOvercommitted).unwrap();
    let needed = Bytes(400 * 22 * MIB);
    let arithmetic = Evidence::WorkersDoNotFit {
        server: Server::Apache,
        processes: 400,
        each: Bytes(22 * MIB),
        needed,
        memory: Bytes(2 * GIB),
    };
    assert_eq!(memory.evidence[0], arithmetic);
    // 85 of a hundred parts of 2 GiB, by 22 MiB.
    let place = "/etc/apache2/mods-enabled/mpm_prefork.conf:11".to_owned();
    assert_eq!(memory.steps[0], Action::ApacheWorkers { workers: 79, place });

    let burst = find(&diagnosis, Cause::BurstOverBacklog).unwrap();
    let message = Evidence::FloodingMessage { port: Port(80), at: at(20) };
    assert!(burst.evidence.contains(&message), "{burst:#?}");
    let place = "/etc/apache2/ports.conf:3".to_owned();
    assert_eq!(burst.steps[0], Action::ApacheBacklog { backlog: 1024, place });
    assert!(!blames_attack(&diagnosis));
}

#[test]
fn the_story_with_a_flood_names_both() {
    let mut record = story();
    for sample in &mut record.samples[20..] {
        for (metric, more) in FLOODED {
            *sample.values.entry(*metric).or_default() += more;
        }
    }
    let diagnosis = judge(&record);
    let Verdict::AttackAndMore { attacks, others } = &diagnosis.verdict else {
        panic!("{:?}: {:#?}", diagnosis.verdict, diagnosis.findings)
    };
    assert_eq!((attacks.as_slice(), others[0]), ([Cause::SynFlood].as_slice(), Cause::MemoryOvercommitted));
    assert!(others.contains(&Cause::BurstOverBacklog), "the requests rose too: {others:?}");
    assert!(matches!(diagnosis.cookies, Cookies::HeldFlood { .. }));

    // With a capture beside it, its sources are known and nothing is left to doubt.
    record.packets.push(capture(900_000, 5000));
    let diagnosis = judge(&record);
    let flood = find(&diagnosis, Cause::SpoofedFlood).unwrap();
    assert_eq!(flood.confidence, Confidence::Certain);
}

#[test]
fn the_memory_of_workers_is_reckoned_where_nobody_measured_it() {
    let mut record = story();
    record.events.retain(|event| !matches!(event.kind, EventKind::OutOfMemoryKill { .. }));
    let diagnosis = judge(&record);
    let memory = find(&diagnosis, Cause::MemoryOvercommitted).unwrap();
    // 1486 MiB and 900 MiB of swap for 180 tasks.
    let reckoned =
        memory.evidence.iter().any(|evidence| matches!(evidence, Evidence::WorkerMemoryReckoned { tasks: 180, .. }));
    assert!(reckoned && memory.confidence == Confidence::Likely, "{memory:#?}");
}

#[test]
fn the_message_alone_proves_nothing() {
    let mut record = past();
    for minute in 0..50 {
        message(&mut record, Some(at(minute * 3)));
    }
    let diagnosis = judge(&record);
    assert_eq!(diagnosis.verdict, Verdict::CannotBeKnown {});
    assert!(!diagnosis.tell_apart.is_empty() && diagnosis.keep.contains(&Keep::Sysstat {}));
    assert!(diagnosis.keep.contains(&Keep::Capture {}));
}

#[test]
fn a_rush_in_its_first_round_trip_is_not_called_a_flood() {
    // Nobody's cookie has come back yet, since nobody's could.
    let record = now(&[
        (Metric::CookiesSent, 1200.0),
        (Metric::CookiesReceived, 0.0),
        (Metric::SynQueueFullCookies, 1200.0),
        (Metric::PassiveOpens, 30.0),
    ]);
    let diagnosis = judge(&record);
    assert!(!matches!(diagnosis.verdict, Verdict::Attack { .. } | Verdict::AttackAndMore { .. }), "{diagnosis:#?}");
    let Verdict::TwoFit { one, other } = diagnosis.verdict else { panic!("{:?}", diagnosis.verdict) };
    assert!([one, other].contains(&Cause::BurstOverBacklog));
    assert!(!diagnosis.tell_apart.is_empty());
}

#[test]
fn a_flood_that_goes_on_is_seen_in_half_a_second() {
    let mut record = now(&[
        (Metric::CookiesSent, 50_000.0),
        (Metric::CookiesReceived, 3.0),
        (Metric::PassiveOpens, 3.0),
        (Metric::SynRetransmitted, 30.0),
    ]);
    record.samples[0].values.insert(Metric::SynQueueFullCookies, 50_000.0);
    record.totals.insert(Metric::SynQueueFullCookies, 4e5);
    record.totals.insert(Metric::CookiesSent, 4e5);
    record.totals.insert(Metric::CookiesReceived, 40.0);
    record.listeners.push(Listener { syn_queue: 512, ..listener(80, 511) });
    let half_open = sources(512, 512, 0.01);
    record.sockets = Some(SocketCounts { half_open, half_open_unanswered: Some(400), ..SocketCounts::default() });
    let diagnosis = judge(&record);
    let attacks = vec![Cause::SpoofedFlood];
    assert_eq!(diagnosis.verdict, Verdict::Attack { attacks }, "{:#?}", diagnosis.findings);
    assert!(matches!(diagnosis.cookies, Cookies::HeldFlood { sent: 25_000, .. }));
}

#[test]
fn real_clients_whose_syns_are_dropped_are_no_flood() {
    // A capture: most SYNs got no answer and came again, as only real clients' do.
    let mut record = past();
    record.packets.push(Packets { syns_again: 1400, unanswered: 700, half_open: 0, ..capture(1000, 300) });
    let diagnosis = judge(&record);
    assert!(!blames_attack(&diagnosis), "{:#?}", diagnosis.findings);
    assert!(find(&diagnosis, Cause::SlowApplication).is_some());
    record.firewall_limits.push(FirewallLimit {
        program: "nftables".into(),
        chain: "inet filter input".into(),
        rule: "tcp dport 80 limit rate 10/second accept".into(),
        per_source: false,
        rate_milli: Some(10_000),
        burst: Some(4),
        packets: None,
        port: Some(80),
    });
    assert_eq!(judge(&record).findings[0].cause, Cause::FirewallLimit);
}

#[test]
fn a_full_accept_queue_makes_no_attackers_of_its_clients() {
    // The kernel sends SYN-ACKs again to clients whose last ACK it had no room for.
    let mut record = now(&[
        (Metric::ListenOverflows, 300.0),
        (Metric::ListenDrops, 300.0),
        (Metric::PassiveOpens, 5.0),
        (Metric::SynRetransmitted, 60.0),
        (Metric::SynQueueFullCookies, 200.0),
        (Metric::CookiesSent, 0.0),
        (Metric::CookiesReceived, 0.0),
    ]);
    record.listeners.push(Listener { syn_queue: 129, accept_queue: 129, accept_full: true, ..listener(80, 128) });
    record.sockets = Some(SocketCounts { half_open: sources(129, 120, 0.02), ..SocketCounts::default() });
    let diagnosis = judge(&record);
    assert!(!blames_attack(&diagnosis), "{:#?}", diagnosis.findings);
    assert_eq!(diagnosis.findings[0].cause, Cause::SlowApplication);
    assert!(find(&diagnosis, Cause::CookiesInert).is_some());
    assert_eq!(diagnosis.cookies, Cookies::Nothing {});
}

#[test]
fn stray_packets_are_not_told_apart_without_a_capture() {
    let record = now(&[(Metric::SegmentsIn, 9000.0), (Metric::ResetsSent, 8900.0), (Metric::PassiveOpens, 5.0)]);
    let diagnosis = judge(&record);
    let both = Verdict::TwoFit { one: Cause::ReflectionAtUs, other: Cause::StrayFlood };
    assert_eq!(diagnosis.verdict, both);
    assert_eq!(diagnosis.tell_apart.len(), 1);
    assert!(diagnosis.keep.contains(&Keep::Capture {}));
}

#[test]
fn what_sekisho_recorded_is_enough() {
    let mut record = machine(Origin::Past);
    for second in 0..40 {
        let values = [
            (Metric::Syns, 30_000.0),
            (Metric::CookiesSent, 29_000.0),
            (Metric::CookiesReceived, 12.0),
            (Metric::PassiveOpens, 12.0),
        ];
        sample(&mut record, Source::Sekisho, at(0).plus_ms(second * 1000), 1000, &values);
    }
    record.asked = Some(sources(40_000, 200, 0.95));
    let diagnosis = judge(&record);
    let attacks = vec![Cause::ConcentratedFlood];
    assert_eq!(diagnosis.verdict, Verdict::Attack { attacks });
    let network = Network { address: [198, 51, 100, 0].into(), prefix_length: 24 };
    assert!(diagnosis.findings[0].steps.contains(&Action::BlockNetwork { network }));
}

#[test]
fn a_group_s_limit_is_the_memory_of_what_runs_in_it() {
    let mut record = past();
    sar(&mut record, QUIET, &[]);
    let killed = EventKind::OutOfMemoryKill {
        process: "apache2".into(),
        pid: None,
        resident_bytes: Some(10 * MIB),
        in_group: true,
    };
    record.event(Some(at(5)), Source::KernelLog, killed);
    let mut web = apache(40, 511);
    web.memory_limit_bytes = Some(200 * MIB);
    record.web.push(web);
    let diagnosis = judge(&record);
    let memory = find(&diagnosis, Cause::MemoryOvercommitted).unwrap();
    assert_eq!(diagnosis.findings[0].cause, Cause::MemoryOvercommitted);
    assert!(matches!(&memory.steps[0], Action::ApacheWorkers { workers: 19, .. }), "{memory:#?}");
}

/// A jam now, whose accept queue is full most of the time, with what the kernel counted since it began.
fn jam(sent: f64, returned: f64) -> Record {
    let mut record = now(&[
        (Metric::ListenOverflows, 4000.0),
        (Metric::PassiveOpens, 10.0),
        (Metric::SynQueueFullCookies, 3800.0),
        (Metric::CookiesSent, 200.0),
        (Metric::CookiesReceived, 700.0),
    ]);
    record.totals.insert(Metric::SynQueueFullCookies, 17_000.0);
    record.totals.insert(Metric::CookiesSent, sent);
    record.totals.insert(Metric::CookiesReceived, returned);
    record.listeners.push(Listener { syn_queue: 129, accept_queue: 129, accept_full: true, ..listener(80, 128) });
    record.sockets = Some(SocketCounts { half_open: sources(129, 129, 0.02), ..SocketCounts::default() });
    record
}

#[test]
fn a_flood_within_a_jam_is_seen_by_its_cookies_since_it_began() {
    let diagnosis = judge(&jam(6000.0, 1900.0));
    assert!(find(&diagnosis, Cause::SpoofedFlood).is_some_and(Finding::blames), "{:#?}", diagnosis.findings);
    assert!(find(&diagnosis, Cause::SlowApplication).is_some());
    // The same jam without one: cookies came back.
    assert!(!blames_attack(&judge(&jam(1500.0, 1900.0))));
    // And with the marks of a flood of long ago, which prove nothing about now.
    let mut old = jam(6e6, 1900.0);
    old.totals.insert(Metric::SynQueueFullCookies, 17e6);
    assert!(!blames_attack(&judge(&old)));
}

#[test]
fn a_capture_of_syns_alone_cannot_show_a_flood() {
    // tcpdump 'tcp[tcpflags] & tcp-syn != 0' on a healthy host.
    let mut record = past();
    record.packets.push(Packets { tcp: 10_000, ..capture(5000, 0) });
    let diagnosis = judge(&record);
    assert!(!matches!(diagnosis.verdict, Verdict::Attack { .. }), "{:#?}", diagnosis.findings);
    assert!(!diagnosis.tell_apart.is_empty());
}

#[test]
fn without_cookies_a_flood_shuts_the_port() {
    // Where tcp_max_syn_backlog stops the queue, the kernel counts its drops among all that listeners dropped.
    let mut record = now(&[
        (Metric::ListenDrops, 3000.0),
        (Metric::ListenOverflows, 0.0),
        (Metric::SynQueueFullDrops, 0.0),
        (Metric::PassiveOpens, 0.0),
        (Metric::SynRetransmitted, 240.0),
    ]);
    record.sysctls.insert("net.ipv4.tcp_syncookies".into(), "0".into());
    record.sysctls.insert("net.ipv4.tcp_max_syn_backlog".into(), "256".into());
    record.listeners.push(Listener { syn_queue: 193, ..listener(80, 511) });
    let half_open = sources(193, 193, 0.02);
    record.sockets = Some(SocketCounts { half_open, half_open_unanswered: Some(190), ..SocketCounts::default() });
    let diagnosis = judge(&record);
    let (attacks, others) = (vec![Cause::SpoofedFlood], vec![Cause::CookiesOff]);
    assert_eq!(diagnosis.verdict, Verdict::AttackAndMore { attacks, others }, "{:#?}", diagnosis.findings);
    assert_eq!(diagnosis.cookies, Cookies::OffAndMissed { dropped: 1500 });
    // A burst of real clients without cookies: they answer.
    record.sockets.as_mut().unwrap().half_open_unanswered = Some(3);
    let diagnosis = judge(&record);
    assert!(!blames_attack(&diagnosis), "{:#?}", diagnosis.findings);
    assert_eq!(diagnosis.findings[0].cause, Cause::CookiesOff);
}

#[test]
fn clients_who_proved_themselves_are_no_flood() {
    // A rush to a mail server: challenged, each client sends its SYN again.
    let mut record = machine(Origin::Past);
    for second in 0..40 {
        let values = [
            (Metric::Syns, 600.0),
            (Metric::CookiesSent, 300.0),
            (Metric::CookiesReceived, 295.0),
            (Metric::PassiveOpens, 296.0),
        ];
        sample(&mut record, Source::Sekisho, at(0).plus_ms(second * 1000), 1000, &values);
    }
    let diagnosis = judge(&record);
    assert!(!blames_attack(&diagnosis), "{:#?}", diagnosis.findings);
    assert_eq!(diagnosis.findings[0].cause, Cause::BurstOverBacklog);
    assert!(matches!(diagnosis.cookies, Cookies::Helped { .. }));
}
