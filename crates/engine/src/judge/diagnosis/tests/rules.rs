//! One record for each rule, on which it fires, and one close to it on which it does not.

use super::*;

/// A rule's cause, the role in which it must be found, a record, and a near miss.
type Case = (Cause, Role, Record, Record);

#[test]
fn each_rule_fires_and_not_on_a_near_miss() {
    let cases: Vec<Case> = vec![
        spoofed_flood(),
        concentrated_flood(),
        syn_flood(),
        connection_flood(),
        connection_flood_in_logs(),
        connection_flood_in_a_capture(),
        slow_readers(),
        reflection_at_us(),
        reflection_through_us(),
        stray_flood(),
        memory_overcommitted(),
        memory_short(),
        workers_exhausted(),
        slow_application(),
        slow_backend(),
        conntrack_full(),
        burst_over_backlog(),
        receive_saturated(),
        firewall_limit(),
        cookies_off(),
        cookies_inert(),
        huge_syn_backlog(),
        synack_retries_high(),
        rp_filter_expected(),
        abort_on_overflow(),
        message_alone(),
        record_gap(),
        clock_doubt(),
    ];
    for cause in Cause::ALL {
        assert!(cases.iter().any(|(of, ..)| of == cause), "no case for {}", cause.name());
    }
    for (cause, role, fires, near_miss) in cases {
        let name = cause.name();
        let diagnosis = judge(&fires);
        let finding = find(&diagnosis, cause).unwrap_or_else(|| panic!("{name} does not fire: {diagnosis:#?}"));
        assert_eq!(finding.role, role, "{name}");
        assert!(!finding.evidence.is_empty() && !finding.refuted_by.is_empty(), "{name}: {finding:#?}");
        let diagnosis = judge(&near_miss);
        let found = find(&diagnosis, cause);
        assert!(
            found.is_none_or(|finding| finding.role == Role::Standing && role != Role::Standing),
            "{name}: {found:#?}"
        );
    }
}

/// The record, and the same changed.
fn and(record: Record, change: impl FnOnce(&mut Record)) -> (Record, Record) {
    let mut other = record.clone();
    change(&mut other);
    (record, other)
}

fn case(cause: Cause, role: Role, (fires, near_miss): (Record, Record)) -> Case {
    (cause, role, fires, near_miss)
}

fn spoofed_flood() -> Case {
    let mut record = past();
    record.packets.push(capture(50_000, 40));
    case(Cause::SpoofedFlood, Role::Main, and(record, |record| record.packets[0] = capture(50_000, 49_000)))
}

fn concentrated_flood() -> Case {
    let mut record = past();
    record.packets.push(capture(50_000, 40));
    record.packets[0].syn_sources = sources(50_000, 250, 0.9);
    // The same many from one network, completed: a carrier's customers.
    let busy = |record: &mut Record| {
        record.packets[0] = Packets { syn_sources: sources(50_000, 250, 0.9), ..capture(50_000, 48_000) };
    };
    case(Cause::ConcentratedFlood, Role::Main, and(record, busy))
}

fn syn_flood() -> Case {
    let mut record = past();
    sar(&mut record, QUIET, &[FLOODED, FLOODED]);
    message(&mut record, Some(at(20)));
    // As many segments, but with the sizes of a download.
    let mut download = past();
    sar(
        &mut download,
        QUIET,
        &[&[
            (Metric::SegmentsIn, 20_000.0),
            (Metric::PacketsIn, 20_000.0),
            (Metric::PacketsOut, 40_000.0),
            (Metric::BytesIn, 1_300_000.0),
            (Metric::BytesOut, 58_000_000.0),
        ]],
    );
    message(&mut download, Some(at(20)));
    case(Cause::SynFlood, Role::Main, (record, download))
}

fn with_sockets(established: u64, change: impl FnOnce(&mut SocketCounts)) -> Record {
    let mut record = now(&[(Metric::PassiveOpens, 20.0)]);
    let mut sockets =
        SocketCounts { established: sources(established, established / 2, 0.1), ..SocketCounts::default() };
    sockets.silent = Some(Sources::default());
    change(&mut sockets);
    record.sockets = Some(sockets);
    record
}

fn connection_flood() -> Case {
    let mut fires = with_sockets(400, |sockets| sockets.silent = Some(sources(380, 20, 0.9)));
    let idle = fires.clone();
    fires.listeners.push(Listener { accept_queue: 100, ..listener(80, 511) });
    // A pool of connections that wait to be used, and nobody waits for them.
    case(Cause::ConnectionFlood, Role::Main, (fires, idle))
}

fn connection_flood_in_logs() -> Case {
    let exhausted = EventKind::WorkersExhausted { server: Server::Nginx, limit: Some(768) };
    let mut record = past();
    sar(&mut record, QUIET, &[&[(Metric::PassiveOpens, 200.0)]]);
    record.event(Some(at(20)), Source::ErrorLog, exhausted);
    (0..21).for_each(|minute| traffic(&mut record, minute, 20));
    let many = |record: &mut Record| record.traffic[20].requests = 11_000;
    case(Cause::ConnectionFlood, Role::Main, and(record, many))
}

fn connection_flood_in_a_capture() -> Case {
    let mut record = past();
    sar(&mut record, QUIET, &[&[(Metric::PassiveOpens, 20.0)]]);
    (0..21).for_each(|minute| traffic(&mut record, minute, 20));
    record.packets.push(Packets { completed_sources: sources(600, 600, 0.01), ..capture(600, 600) });
    record.event(Some(at(20)), Source::ErrorLog, EventKind::WorkersExhausted { server: Server::Apache, limit: None });
    case(Cause::ConnectionFlood, Role::Main, and(record, |record| record.traffic[20].requests = 500))
}

fn slow_readers() -> Case {
    let mut fires = with_sockets(300, |sockets| sockets.stalled = sources(200, 10, 0.9));
    let paused = fires.clone();
    fires.web.push(apache(150, 511));
    // Films that are paused, of a server that does not mind.
    case(Cause::SlowReaders, Role::Main, (fires, paused))
}

fn reflection_at_us() -> Case {
    let mut record = past();
    let unasked = |count| Packets { syns: 100, syn_acks_unasked: count, tcp: 20_000, ..capture(100, 95) };
    record.packets.push(unasked(18_000));
    // A capture that began in the middle of a busy proxy's connections.
    case(Cause::ReflectionAtUs, Role::Main, and(record, |record| record.packets[0] = unasked(150)))
}

fn reflection_through_us() -> Case {
    let half_open = |from_service_ports| {
        with_sockets(100, |sockets| {
            sockets.half_open = sources(120, 10, 0.9);
            sockets.from_service_ports = from_service_ports;
        })
    };
    case(Cause::ReflectionThroughUs, Role::Main, (half_open(118), half_open(3)))
}

fn stray_flood() -> Case {
    let fires = now(&[(Metric::SegmentsIn, 9000.0), (Metric::ResetsSent, 8900.0), (Metric::PassiveOpens, 5.0)]);
    let scan = now(&[(Metric::SegmentsIn, 900.0), (Metric::ResetsSent, 200.0), (Metric::PassiveOpens, 5.0)]);
    case(Cause::StrayFlood, Role::Main, (fires, scan))
}

/// A machine without memory, now.
const SHORT: &[(Metric, f64)] = &[
    (Metric::PassiveOpens, 30.0),
    (Metric::MemoryAvailable, 30.0 * MIB as f64),
    (Metric::PressureMemoryFull, 40.0),
    (Metric::SwapUsed, 900.0 * MIB as f64),
    (Metric::Load1, 208.0),
];

fn memory_overcommitted() -> Case {
    let mut record = now(SHORT);
    let mut web = apache(400, 511);
    web.processes = Some(180);
    web.process_memory_bytes = Some(20 * MIB);
    record.web.push(web);
    case(
        Cause::MemoryOvercommitted,
        Role::Main,
        and(record, |record| {
            record.web[0].processes_max = Some(40);
            record.web[0].processes = Some(5);
        }),
    )
}

fn memory_short() -> Case {
    let fires = now(SHORT);
    // Memory full of what can be dropped, and cold pages in swap: that is how it should be.
    let near_miss = now(&[
        (Metric::MemoryAvailable, 400.0 * MIB as f64),
        (Metric::PressureMemoryFull, 0.4),
        (Metric::SwapUsed, 800.0 * MIB as f64),
        (Metric::SwapOut, 3.0),
        (Metric::SwapIn, 2.0),
    ]);
    case(Cause::MemoryShort, Role::Main, (fires, near_miss))
}

fn workers_exhausted() -> Case {
    let mut record = past();
    sar(&mut record, QUIET, &[]);
    record.web.push(apache(150, 511));
    let (quiet, mut fires) = and(record, |_| ());
    let exhausted = EventKind::WorkersExhausted { server: Server::Apache, limit: None };
    fires.event(Some(at(10)), Source::ErrorLog, exhausted);
    case(Cause::WorkersExhausted, Role::Main, (fires, quiet))
}

fn slow_application() -> Case {
    let mut record = now(&[(Metric::ListenOverflows, 60.0), (Metric::PassiveOpens, 3.0)]);
    record.listeners.push(Listener { accept_queue: 129, accept_full: true, ..listener(80, 128) });
    let near_miss = |record: &mut Record| {
        record.samples[0].values.insert(Metric::ListenOverflows, 0.0);
        record.listeners[0] = Listener { accept_queue: 40, ..listener(80, 128) };
    };
    case(Cause::SlowApplication, Role::Main, and(record, near_miss))
}

fn slow_backend() -> Case {
    let mut record = past();
    sar(&mut record, QUIET, &[]);
    traffic(&mut record, 3, 500);
    record.traffic[0].overloaded = 200;
    case(Cause::SlowApplication, Role::Main, and(record, |record| record.traffic[0].overloaded = 12))
}

fn conntrack_full() -> Case {
    let mut record = now(&[(Metric::PassiveOpens, 3.0), (Metric::ConntrackEntries, 65_536.0)]);
    record.conntrack = Some(Conntrack { entries: 65_536, max: 65_536, drops: Some(9), in_use: true });
    case(
        Cause::ConntrackFull,
        Role::Main,
        and(record, |record| {
            record.samples[0].values.insert(Metric::ConntrackEntries, 30_000.0);
            record.conntrack = Some(Conntrack { entries: 30_000, max: 65_536, drops: Some(9), in_use: true });
        }),
    )
}

fn burst_over_backlog() -> Case {
    let mut record = now(&[
        (Metric::CookiesSent, 200.0),
        (Metric::CookiesReceived, 190.0),
        (Metric::SynQueueFullCookies, 200.0),
        (Metric::PassiveOpens, 600.0),
    ]);
    record.listeners.push(listener(80, 128));
    case(
        Cause::BurstOverBacklog,
        Role::Main,
        and(record, |record| {
            for metric in [Metric::CookiesSent, Metric::CookiesReceived, Metric::SynQueueFullCookies] {
                record.samples[0].values.insert(metric, 0.0);
            }
        }),
    )
}

fn receive_saturated() -> Case {
    let fires =
        now(&[(Metric::SoftnetDrops, 4000.0), (Metric::CpuSoftirqBusiest, 100.0), (Metric::PacketsIn, 900_000.0)]);
    let near_miss =
        now(&[(Metric::SoftnetDrops, 0.0), (Metric::CpuSoftirqBusiest, 97.0), (Metric::PacketsIn, 90_000.0)]);
    case(Cause::ReceiveSaturated, Role::Main, (fires, near_miss))
}

fn limit(rule: &str, per_source: bool, rate_milli: u64) -> FirewallLimit {
    FirewallLimit {
        program: "nftables".into(),
        chain: "inet filter input".into(),
        rule: rule.into(),
        per_source,
        rate_milli: Some(rate_milli),
        burst: Some(4),
        packets: Some(900),
        port: Some(80),
    }
}

fn firewall_limit() -> Case {
    let mut record = now(&[(Metric::PassiveOpens, 10.0)]);
    record.firewall_limits.push(limit("tcp dport 80 ct state new limit rate 10/second accept", false, 10_000));
    case(Cause::FirewallLimit, Role::Main, and(record, |record| record.firewall_limits[0].per_source = true))
}

fn set(record: &mut Record, key: &str, value: &str) {
    record.sysctls.insert(key.into(), value.into());
}

fn cookies_off() -> Case {
    let mut record = now(&[(Metric::SynQueueFullDrops, 80.0), (Metric::PassiveOpens, 10.0)]);
    set(&mut record, "net.ipv4.tcp_syncookies", "0");
    case(
        Cause::CookiesOff,
        Role::Main,
        and(record, |record| {
            record.samples[0].values.insert(Metric::SynQueueFullDrops, 0.0);
        }),
    )
}

fn cookies_inert() -> Case {
    let mut record =
        now(&[(Metric::SynQueueFullCookies, 400.0), (Metric::CookiesSent, 4.0), (Metric::ListenOverflows, 400.0)]);
    record.listeners.push(listener(80, 128));
    case(
        Cause::CookiesInert,
        Role::Contributing,
        and(record, |record| {
            record.samples[0].values.insert(Metric::CookiesSent, 400.0);
        }),
    )
}

fn huge_syn_backlog() -> Case {
    let mut record = now(&[]);
    set(&mut record, "net.ipv4.tcp_max_syn_backlog", "262144");
    case(
        Cause::HugeSynBacklog,
        Role::Standing,
        and(record, |record| {
            set(record, "net.ipv4.tcp_max_syn_backlog", "4096");
        }),
    )
}

fn synack_retries_high() -> Case {
    let mut record = now(&[]);
    set(&mut record, "net.ipv4.tcp_synack_retries", "8");
    case(
        Cause::SynackRetriesHigh,
        Role::Standing,
        and(record, |record| {
            set(record, "net.ipv4.tcp_synack_retries", "5");
        }),
    )
}

fn rp_filter_expected() -> Case {
    let (_, _, mut record, mut quiet) = spoofed_flood();
    set(&mut record, "net.ipv4.conf.all.rp_filter", "1");
    set(&mut quiet, "net.ipv4.conf.all.rp_filter", "1");
    case(Cause::RpFilterExpected, Role::Standing, (record, quiet))
}

fn abort_on_overflow() -> Case {
    let mut record = now(&[]);
    set(&mut record, "net.ipv4.tcp_abort_on_overflow", "1");
    case(
        Cause::AbortOnOverflow,
        Role::Standing,
        and(record, |record| {
            set(record, "net.ipv4.tcp_abort_on_overflow", "0");
        }),
    )
}

fn message_alone() -> Case {
    let mut record = past();
    message(&mut record, Some(at(3)));
    case(Cause::MessageAlone, Role::Contributing, and(record, |record| record.packets.push(capture(50_000, 40))))
}

fn record_gap() -> Case {
    let mut record = past();
    sar(&mut record, QUIET, &[]);
    let span = Span { from: at(3), until: at(9) };
    record.gap(Gap { source: Source::Sysstat, span, reason: GapReason::NoSamples });
    // That older files are gone matters only to who asks for that time.
    case(Cause::RecordGap, Role::Standing, and(record, |record| record.gaps[0].reason = GapReason::Rotated))
}

fn clock_doubt() -> Case {
    let mut record = past();
    sar(&mut record, QUIET, &[]);
    record.unseen(Source::Syslog, None, Why::ClockAhead { seconds: 3600 });
    case(Cause::ClockDoubt, Role::Standing, and(record, |record| record.unseen[0].why = Why::ClockAhead { seconds: 3 }))
}
