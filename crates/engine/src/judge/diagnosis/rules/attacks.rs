//! Attacks. Each needs positive evidence: SYNs that never become connections, connections that stay silent, answers nobody asked for.

use super::super::facts::{Facts, whole};
use super::super::flood::Flood;
use super::super::phrase::{Action, Evidence, Refutation};
use super::super::thresholds as at;
use super::super::value::{Network, Percent, Rate};
use super::super::{Cause, Confidence, Finding, Role};
use crate::observe::record::{EventKind, Metric, Server, Sources, TurnedAwayReason, WebServer};
use crate::speaks::{self, Speaker};

/// Networks that are proposed to be blocked, at most.
const BLOCKED_MAX: usize = 5;
/// Where web servers listen.
const WEB_PORTS: [u16; 4] = [80, 443, 8080, 8443];

/// SYNs that are never completed, from scattered sources: spoofed.
pub fn spoofed_flood(facts: &Facts<'_>) -> Option<Finding> {
    let flood = facts.flood.as_ref()?;
    let spread = flood.spread.as_ref().filter(|spread| !spread.concentrated)?;
    let finding = of_flood(facts, Cause::SpoofedFlood, flood).because([spread.evidence.clone()]);
    Some(finding.unless([Refutation::CompletionsRoseToo {}, Refutation::CaptureShowsCompletions {}]))
}

/// SYNs that are never completed, most of them from few networks.
pub fn concentrated_flood(facts: &Facts<'_>) -> Option<Finding> {
    let flood = facts.flood.as_ref()?;
    let spread = flood.spread.as_ref().filter(|spread| spread.concentrated)?;
    if through_us(facts).is_some() {
        return None;
    }
    let finding = of_flood(facts, Cause::ConcentratedFlood, flood).because([spread.evidence.clone()]);
    let block = spread.networks.iter().take(BLOCKED_MAX).map(|network| Action::BlockNetwork { network: *network });
    Some(finding.unless([Refutation::NetworksAreCustomers {}, Refutation::SourcesAreScattered {}]).so(block))
}

/// SYNs that are never completed; where they came from was not recorded.
pub fn syn_flood(facts: &Facts<'_>) -> Option<Finding> {
    let flood = facts.flood.as_ref().filter(|flood| flood.spread.is_none())?;
    let finding = of_flood(facts, Cause::SynFlood, flood);
    Some(finding.unless([Refutation::CompletionsRoseToo {}, Refutation::CaptureShowsCompletions {}]))
}

fn of_flood(facts: &Facts<'_>, cause: Cause, flood: &Flood) -> Finding {
    let finding = Finding::new(cause, Role::Main, flood.confidence).on(flood.port).at(flood.span);
    let finding = finding.because(flood.evidence.iter().cloned());
    let cookies = (facts.record.sysctl("net.ipv4.tcp_syncookies") == Some(0)).then(|| Action::SetSysctl {
        key: "net.ipv4.tcp_syncookies".into(),
        from: "0".into(),
        to: "1".into(),
    });
    let run = (facts.ask.protected != Some(true)).then_some(Action::RunSekisho {});
    finding.so(cookies.into_iter().chain(run))
}

/// Connections that are completed and then stay silent.
pub fn connection_flood(facts: &Facts<'_>) -> Option<Finding> {
    silent(facts).or_else(|| few_requests(facts)).or_else(|| timed_out(facts))
}

fn with_advice(facts: &Facts<'_>, finding: Finding) -> Finding {
    let servers = facts.record.web.iter().map(|web| Action::RequestTimeouts { server: web.server });
    finding.unless([Refutation::RequestsCome {}]).so(servers).so([Action::LimitConnections {}])
}

/// Now: established connections on which no byte came.
fn silent(facts: &Facts<'_>) -> Option<Finding> {
    let sockets = facts.record.sockets.as_ref()?;
    let silent = sockets.silent.as_ref()?;
    let share = silent.total as f64 / sockets.established.total.max(1) as f64;
    let port = silent.by_port.iter().max_by_key(|(_, count)| **count).map(|(port, _)| *port);
    // Clients of a service that speaks first are silent while they wait for it, those of a slow one too.
    let waits = port.is_some_and(|port| speaks::resolve(port, None, None).0 == Speaker::Server);
    if silent.total < at::SILENT_MIN || share < at::SILENT_SHARE || !holds(facts, silent.total) || waits && !few(silent)
    {
        return None;
    }
    let confidence = if few(silent) { Confidence::Certain } else { Confidence::Likely };
    let established = &sockets.established;
    let evidence = [
        Evidence::SilentConnections { count: silent.total, share: Percent(share * 100.0) },
        Evidence::Established { count: established.total, sources: established.distinct },
    ];
    let finding = Finding::new(Cause::ConnectionFlood, Role::Main, confidence).on(port).at(facts.span);
    Some(with_advice(facts, finding.because(evidence).because(concentrated(silent))))
}

/// Whether so many connections hold what others need: others wait for the application, or half of a server's workers is theirs. Idle pools and
/// paused films hold nothing.
fn holds(facts: &Facts<'_>, connections: u64) -> bool {
    let waiting = facts.record.listeners.iter().any(|listener| listener.accept_queue >= at::WAITING_MIN);
    let is_half = |web: &WebServer| {
        let workers = web.processes_max.filter(|_| web.server != Server::Nginx);
        workers.is_some_and(|workers| connections as f64 >= at::WORKERS_HELD * workers as f64)
    };
    waiting || facts.overflows() >= 1.0 || workers_message(facts).is_some() || facts.record.web.iter().any(is_half)
}

/// Whether ten connections or more come from each source.
const fn few(sources: &Sources) -> bool {
    sources.distinct > 0 && sources.total / sources.distinct >= 10
}

fn concentrated(sources: &Sources) -> Option<Evidence> {
    let largest = sources.top_prefixes.first()?;
    let share = largest.count as f64 / sources.total.max(1) as f64;
    let share = (share >= at::FLOOD_SHARE).then_some(Percent(share * 100.0))?;
    Some(Evidence::SourcesConcentrated { networks: 1, share, largest: Network::from(largest) })
}

/// Then: far more connections than requests, and a server that ran out of workers. A capture tells the connections to web servers by themselves;
/// the kernel's count has those to other services and within the host too. Without the server's word other logs may have the requests.
fn few_requests(facts: &Facts<'_>) -> Option<Finding> {
    let (server, count, when) = workers_message(facts)?;
    let (connections, requests) = captured_connections(facts).or_else(|| counted_connections(facts))?;
    let finding = Finding::new(Cause::ConnectionFlood, Role::Main, Confidence::Likely).at(facts.span);
    let finding = finding.because([Evidence::FewRequests { connections, requests }]).because(established_peak(facts));
    let message = match when {
        Some(at) => Evidence::WorkersLimitMessage { server, count, at },
        None => Evidence::WorkersLimitMessageUndated { server, count },
    };
    Some(with_advice(facts, finding.because([message])))
}

/// Established connections that rose far above what is usual.
fn established_peak(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, peak) = facts.peak(Metric::Established)?;
    let usual = facts.usual(Metric::Established)?;
    let (usual, rose) = (whole(usual), peak >= at::RISE * usual.max(1.0));
    rose.then(|| Evidence::EstablishedPeak { usual, peak: whole(peak), at: when })
}

fn are_many(connections: f64, requests: u64, for_each: f64) -> bool {
    connections >= at::FLOOD_SYNS && connections >= for_each * requests as f64
}

fn counted_connections(facts: &Facts<'_>) -> Option<(u64, u64)> {
    let (completed, requests) = (facts.sum(Metric::PassiveOpens)?, facts.requests()?);
    are_many(completed, requests, at::ALL_CONNECTIONS_PER_REQUEST).then(|| (whole(completed), requests))
}

/// Connections completed to web servers' ports in a capture, and the requests of its minutes.
fn captured_connections(facts: &Facts<'_>) -> Option<(u64, u64)> {
    facts.requests()?;
    facts.record.packets.iter().find_map(|packets| {
        let span = packets.span?;
        let to_web = packets.completed_sources.by_port.iter().filter(|(port, _)| WEB_PORTS.contains(port));
        let connections: u64 = to_web.map(|(_, count)| count).sum();
        let minutes = facts.record.traffic.iter();
        let within = minutes.filter(|some| some.minute <= span.until && some.minute.plus_ms(59_999) >= span.from);
        let requests = within.map(|some| some.requests - some.timeouts.min(some.requests)).sum();
        are_many(connections as f64, requests, at::CONNECTIONS_PER_REQUEST).then_some((connections, requests))
    })
}

/// The first message that a server's workers are all in use.
pub fn workers_message(facts: &Facts<'_>) -> Option<(Server, u64, Option<crate::observe::record::Time>)> {
    let servers = facts.events().filter_map(|event| match event.kind {
        EventKind::WorkersExhausted { server, .. } => Some(server),
        _ => None,
    });
    let server = servers.into_iter().next()?;
    let of_it =
        |kind: &EventKind| matches!(kind, EventKind::WorkersExhausted { server: other, .. } if *other == server);
    let (count, when) = facts.happened(of_it)?;
    Some((server, count, when))
}

/// Then: requests that never became complete.
fn timed_out(facts: &Facts<'_>) -> Option<Finding> {
    let (timeouts, requests) =
        facts.bad_minutes(at::TIMEOUTS_SHARE, |some| some.timeouts.saturating_sub(some.given_up));
    if timeouts < at::TIMEOUTS_MIN {
        return None;
    }
    let away = |reason| matches!(reason, TurnedAwayReason::Timeout | TurnedAwayReason::TooMany);
    let others = facts.record.turned_away.iter().filter(|some| away(some.reason) && some.count >= at::TIMEOUTS_MIN);
    let others = others.map(|some| Evidence::TurnedAway { service: some.service, count: some.count }).take(2);
    let finding = Finding::new(Cause::ConnectionFlood, Role::Main, Confidence::Likely).at(facts.span);
    let evidence = [Evidence::RequestTimeouts { count: timeouts, requests }];
    Some(with_advice(facts, finding.because(evidence).because(others)))
}

/// Clients that keep their window closed while data waits for them.
pub fn slow_readers(facts: &Facts<'_>) -> Option<Finding> {
    let (evidence, confidence) = stalled(facts).or_else(|| zero_windows(facts)).or_else(|| given_up(facts))?;
    let servers = facts.record.web.iter().map(|web| Action::RequestTimeouts { server: web.server });
    let finding = Finding::new(Cause::SlowReaders, Role::Main, confidence).at(facts.span).because(evidence);
    Some(finding.unless([Refutation::BadLines {}]).so(servers).so([Action::LimitConnections {}]))
}

fn stalled(facts: &Facts<'_>) -> Option<(Vec<Evidence>, Confidence)> {
    let sockets = facts.record.sockets.as_ref()?;
    let (stalled, all) = (&sockets.stalled, sockets.established.total.max(1) as f64);
    let share = stalled.total as f64 / all;
    let many = stalled.total >= at::STALLED_MIN && share >= at::STALLED_SHARE;
    let first = Evidence::StalledConnections { count: stalled.total, share: Percent(share * 100.0) };
    let confidence = if few(stalled) { Confidence::Certain } else { Confidence::Likely };
    (many && holds(facts, stalled.total))
        .then(|| (std::iter::once(first).chain(concentrated(stalled)).collect(), confidence))
}

fn zero_windows(facts: &Facts<'_>) -> Option<(Vec<Evidence>, Confidence)> {
    let many = |count: u64, segments: u64| {
        count >= at::ZERO_WINDOWS_MIN && count as f64 >= at::ZERO_WINDOWS_SHARE * segments as f64
    };
    let packets = facts.record.packets.iter().find(|packets| many(packets.zero_windows, packets.tcp))?;
    let evidence = Evidence::ZeroWindows { count: packets.zero_windows, segments: packets.tcp };
    holds(facts, 0).then_some((vec![evidence], Confidence::Likely))
}

fn given_up(facts: &Facts<'_>) -> Option<(Vec<Evidence>, Confidence)> {
    let server = facts.events().find_map(|event| match event.kind {
        EventKind::ClientTooSlow { server } => Some(server),
        _ => None,
    })?;
    let (count, _) = facts.happened(|kind| *kind == EventKind::ClientTooSlow { server })?;
    // Over weeks, phones in tunnels make as many.
    let many = count >= at::TIMEOUTS_MIN && count as f64 >= at::STALLED_SHARE * facts.requests()? as f64;
    many.then(|| (vec![Evidence::ClientsTooSlow { server, count }], Confidence::Likely))
}

/// SYN-ACKs that nobody here asked for.
pub fn reflection_at_us(facts: &Facts<'_>) -> Option<Finding> {
    let many = |count: u64, all: u64| count >= at::UNASKED_MIN && count as f64 >= at::UNASKED_SHARE * all as f64;
    let captured = facts.record.packets.iter().find(|packets| many(packets.syn_acks_unasked, packets.tcp));
    let (evidence, confidence, span) = match captured {
        Some(packets) => {
            let count = packets.syn_acks_unasked;
            let own = packets.syns as f64 >= at::FLOOD_SHARE * count as f64;
            let confidence = if own { Confidence::Possible } else { Confidence::Certain };
            (vec![Evidence::SynAcksUnasked { count, packets: packets.tcp }], confidence, packets.span)
        }
        None => (vec![resets(facts)?], Confidence::Possible, facts.span),
    };
    let run = (facts.ask.protected != Some(true)).then_some(Action::RunSekisho {});
    let finding = Finding::new(Cause::ReflectionAtUs, Role::Main, confidence).at(span).because(evidence);
    Some(finding.unless([Refutation::OwnConnections {}]).so(run).so([Action::TellProvider {}]))
}

/// Resets nearly as many as the segments that came: what came belonged to nothing here. Whether these were SYN-ACKs, ACKs or SYNs to closed
/// ports, counters do not tell.
fn resets(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, resets) = facts.peak(Metric::ResetsSent)?;
    let sample = facts.record.samples.iter().find(|sample| sample.at == when)?;
    let segments = *sample.values.get(&Metric::SegmentsIn)?;
    let many = resets >= at::RESETS_MIN && resets >= at::RESETS_SHARE * segments;
    many.then_some(Evidence::ResetsSent { resets: Rate(resets), segments: Rate(segments), at: when })
}

fn through_us(facts: &Facts<'_>) -> Option<Evidence> {
    let sockets = facts.record.sockets.as_ref()?;
    let (count, half_open) = (sockets.from_service_ports, sockets.half_open.total);
    let many = count >= at::HALF_OPEN_MIN && count as f64 >= at::SERVICE_PORTS_SHARE * half_open as f64;
    many.then_some(Evidence::FromServicePorts { count, half_open })
}

/// SYNs with the addresses of victims: half-open connections whose other end is a server's port.
pub fn reflection_through_us(facts: &Facts<'_>) -> Option<Finding> {
    let evidence = through_us(facts)?;
    let spread = facts.flood.as_ref().and_then(|flood| flood.spread.as_ref());
    let retries = facts.record.sysctl("net.ipv4.tcp_synack_retries").filter(|retries| *retries > at::RETRIES_WANTED);
    let fewer = retries.map(|retries| Action::SetSysctl {
        key: "net.ipv4.tcp_synack_retries".into(),
        from: retries.to_string(),
        to: at::RETRIES_WANTED.to_string(),
    });
    let run = (facts.ask.protected != Some(true)).then_some(Action::RunSekisho {});
    let finding = Finding::new(Cause::ReflectionThroughUs, Role::Main, Confidence::Likely).at(facts.span);
    let finding = finding.because([evidence]).because(spread.map(|spread| spread.evidence.clone()));
    Some(finding.unless([Refutation::NatUsesLowPorts {}]).so(run.into_iter().chain(fewer)))
}

/// Packets that belong to no connection.
pub fn stray_flood(facts: &Facts<'_>) -> Option<Finding> {
    if facts.record.packets.iter().any(|packets| packets.syn_acks_unasked >= at::UNASKED_MIN) {
        return None;
    }
    let failed = facts.sum(Metric::CookiesFailed).unwrap_or(0.0);
    let returned = facts.sum(Metric::CookiesReceived).unwrap_or(0.0);
    let sent = facts.sum(Metric::CookiesSent).unwrap_or(0.0);
    // ACKs are only taken for cookies while a queue overflows or did a moment ago.
    let acks = failed >= at::FLOOD_SYNS && failed >= 2.0 * sent.max(returned);
    let acks = acks.then(|| Evidence::CookiesFailed { failed: whole(failed), returned: whole(returned) });
    let confidence = if acks.is_some() { Confidence::Likely } else { Confidence::Possible };
    let evidence: Vec<Evidence> = acks.into_iter().chain(resets(facts)).collect();
    if evidence.is_empty() {
        return None;
    }
    let run = (facts.ask.protected != Some(true)).then_some(Action::RunSekisho {});
    let finding = Finding::new(Cause::StrayFlood, Role::Main, confidence).at(facts.span).because(evidence);
    Some(finding.unless([Refutation::OwnConnections {}]).so(run))
}
