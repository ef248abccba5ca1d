//! More work than there is room for, without anybody's ill will: bursts, slow applications, workers, packets.

use super::super::facts::{Facts, whole};
use super::super::phrase::{Action, Evidence, Refutation, place};
use super::super::thresholds as at;
use super::super::value::{Milliseconds, Percent, Port, Rate};
use super::super::{Cause, Confidence, Finding, Role, queues};
use super::attacks::workers_message;
use super::memory;
use crate::judge::settings;
use crate::observe::record::{EventKind, Interface, Listener, Metric, Packets, Server, WebServer};

/// Answers that say "overloaded", and their share of all.
const OVERLOADED_MIN: u64 = 20;
const OVERLOADED_SHARE: f64 = 0.1;
/// What waited in vain for a backend; fewer are a hiccup.
const BACKEND_MIN: u64 = 10;
/// The busiest moment of a sample's mean is taken to be so many times as busy.
const WITHIN_SAMPLE: f64 = 10.0;

/// A burst of real clients, larger than a backlog within a round trip.
pub fn burst_over_backlog(facts: &Facts<'_>) -> Option<Finding> {
    let full = queue_full(facts);
    let confidence = burst_confidence(facts).filter(|_| !full.is_empty())?;
    let jammed = jammed(facts) || !memory::harm(facts).is_empty() || workers_message(facts).is_some();
    let role = if jammed { Role::Contributing } else { Role::Main };
    let queue = crowded(facts);
    let port = queue.as_ref().map(|queue| queue.port).or_else(|| facts.message_ports().first().map(|(port, _)| *port));
    let finding = Finding::new(Cause::BurstOverBacklog, role, confidence).on(port).at(facts.span);
    let finding = finding.because(facts.rush.evidence()).because(full);
    let rise_known = facts.rush.completions.is_some();
    let peak = facts.peak(Metric::PassiveOpens).filter(|(_, peak)| !rise_known && *peak >= at::RUSH_RATE);
    let finding = finding.because(peak.map(|(at, rate)| Evidence::CompletionsPeak { rate: Rate(rate), at }));
    let finding = finding.because(queue.as_ref().map(|queue| queue.takes(facts.rush.round_trip_ms)));
    let finding = finding.unless([Refutation::CaptureShowsNone {}, Refutation::CookiesNeverReturned {}]);
    let backlog = queue.and_then(|queue| queue.larger(facts));
    Some(
        finding
            .so(backlog)
            .so((facts.record.sysctl("net.ipv4.tcp_syncookies") != Some(0)).then_some(Action::LeaveCookies {})),
    )
}

/// How sure it is that real clients filled a queue. Full queues alone say nothing about who did it.
fn burst_confidence(facts: &Facts<'_>) -> Option<Confidence> {
    let rush = &facts.rush;
    let flooded = facts.flood.as_ref().is_some_and(|flood| flood.confidence <= Confidence::Likely);
    let rose = rush.completions.is_some() || matches!(rush.requests, Some(Evidence::RequestsRose { .. }));
    if flooded || jammed(facts) {
        // Something else fills queues; real clients came in numbers too if completions or requests rose.
        return (rose || rush.certain()).then_some(Confidence::Likely);
    }
    if rush.certain() {
        return Some(Confidence::Certain);
    }
    let fits = facts.message_ports().first().and_then(|(port, _)| queue(facts, *port)).map(|queue| queue.fits as f64);
    let peak =
        facts.peak(Metric::PassiveOpens).map(|(_, peak)| peak * WITHIN_SAMPLE * rush.round_trip_ms as f64 / 1000.0);
    let plausible = fits.zip(peak).is_none_or(|(fits, peak)| peak >= fits);
    let shown = rose || rush.explained.is_some() && rush.requests.is_some();
    match (shown, plausible, rush.any() || rush.explained.is_some()) {
        (true, true, _) => Some(Confidence::Likely),
        (_, true, true) => Some(Confidence::Possible),
        _ => None,
    }
}

/// The queue that it is about: the message's, the fullest now, else that of the web server.
fn crowded<'f>(facts: &'f Facts<'_>) -> Option<Queue<'f>> {
    let named = facts.message_ports().first().map(|(port, _)| *port).or_else(|| fullest(facts));
    named.and_then(|port| queue(facts, port)).or_else(|| queue(facts, 80)).or_else(|| queue(facts, 443))
}

/// Signs that a SYN queue was full.
fn queue_full(facts: &Facts<'_>) -> Vec<Evidence> {
    let counted = facts.queue_full().filter(|full| *full >= at::COOKIES_MIN);
    let messages = facts.message_ports().into_iter().map(|(port, at)| match at {
        Some(at) => Evidence::FloodingMessage { port: Port(port), at },
        None => Evidence::FloodingMessageUndated { port: Port(port) },
    });
    let mut signs: Vec<Evidence> =
        counted.map(|full| Evidence::SynQueueFull { count: whole(full) }).into_iter().chain(messages.take(3)).collect();
    if signs.is_empty() {
        signs.extend(more_than_fits(facts));
    }
    if signs.is_empty() && fullest(facts).is_some() {
        let (count, sources) = facts
            .record
            .sockets
            .as_ref()
            .map_or((0, 0), |sockets| (sockets.half_open.total, sockets.half_open.distinct));
        signs.push(Evidence::HalfOpen { count, sources });
    }
    signs
}

/// A capture: within a round trip came more SYNs than fit, by the backlog that the web server's settings tell.
fn more_than_fits(facts: &Facts<'_>) -> Option<Evidence> {
    let busiest = |packets: &Packets| packets.busiest_second.filter(|_| packets.round_trip_us.is_some());
    let (at, syns) = facts.record.packets.iter().find_map(busiest)?;
    let fits = queue(facts, 80).or_else(|| queue(facts, 443))?.fits;
    let takes = queues::takes(fits, facts.rush.round_trip_ms.min(1000));
    (syns > takes).then_some(Evidence::SynRatePeak { rate: Rate(syns as f64), at })
}

/// The port of a listener whose SYN queue is full.
fn fullest(facts: &Facts<'_>) -> Option<u16> {
    let full = |listener: &&Listener| {
        u64::from(listener.syn_queue) >= at::HALF_OPEN_MIN
            && listener.syn_queue >= listener.backlog / listener.sockets.max(1)
    };
    facts
        .record
        .listeners
        .iter()
        .filter(full)
        .max_by_key(|listener| listener.syn_queue)
        .map(|listener| listener.local.port())
}

/// Whether accept queues are in the way.
fn jammed(facts: &Facts<'_>) -> bool {
    facts.overflows() >= at::OVERFLOWS_MIN || facts.record.listeners.iter().any(|listener| full_listener(&listener))
}

fn full_listener(listener: &&Listener) -> bool {
    listener.accept_full && listener.accept_queue >= at::WAITING_MIN
}

/// What is known of a port's queue: of its listener, or of the settings of the web server that has the port.
struct Queue<'f> {
    port: u16,
    backlog: u64,
    fits: u64,
    process: Option<String>,
    web: Option<&'f WebServer>,
}

fn queue<'f>(facts: &'f Facts<'_>, port: u16) -> Option<Queue<'f>> {
    let server = |name: &str| match name {
        "apache2" | "httpd" => Some(Server::Apache),
        "nginx" => Some(Server::Nginx),
        _ => None,
    };
    let web = |of: Server| facts.record.web.iter().find(|web| web.server == of);
    if let Some(row) = facts.queue(port) {
        let web = row.process.as_deref().and_then(server).and_then(web);
        return Some(Queue { port, backlog: row.backlog, fits: row.fits, process: row.process, web });
    }
    // No listener is known: the web server's settings tell, where there is one of them only.
    let mut servers = facts.record.web.iter().filter(|web| web.server != Server::PhpFpm);
    let web = servers.next().filter(|_| matches!(port, 80 | 443 | 8080 | 8443))?;
    if servers.next().is_some() {
        return None;
    }
    let asked = web.backlog.as_ref()?.value;
    let backlog = asked.min(facts.record.sysctl("net.core.somaxconn").unwrap_or(4096));
    let sysctl = |name| facts.record.sysctl(name);
    let (fits, _) = settings::syn_queue(
        backlog,
        Some(asked),
        sysctl("net.ipv4.tcp_syncookies"),
        sysctl("net.ipv4.tcp_max_syn_backlog"),
    );
    Some(Queue { port, backlog, fits, process: None, web: Some(web) })
}

impl Queue<'_> {
    fn takes(&self, round_trip_ms: u64) -> Evidence {
        Evidence::QueueTakes {
            port: Port(self.port),
            fits: self.fits,
            rate: Rate(queues::takes(self.fits, round_trip_ms) as f64),
            round_trip: Milliseconds(round_trip_ms),
        }
    }

    /// A backlog that holds the busiest moment seen.
    fn larger(&self, facts: &Facts<'_>) -> Option<Action> {
        let peak = facts.peak(Metric::PassiveOpens).map_or(0.0, |(_, peak)| peak);
        let under_way = whole(peak * facts.rush.round_trip_ms as f64 / 1000.0);
        let backlog = settings::backlog_for(under_way);
        if backlog <= self.backlog {
            return None;
        }
        let port = Port(self.port);
        Some(match (self.web.map(|web| (web.server, web)), self.process.as_deref()) {
            (Some((Server::Apache, web)), _) => {
                Action::ApacheBacklog { backlog, place: backlog_place(web, "/etc/apache2/ports.conf") }
            }
            (Some((Server::Nginx, web)), _) => {
                Action::NginxBacklog { port, backlog, place: backlog_place(web, "/etc/nginx/sites-enabled/") }
            }
            (_, Some("systemd")) => Action::SystemdBacklog { port, backlog },
            (_, process) => Action::OtherBacklog { port, backlog, process: process.unwrap_or("-").to_owned() },
        })
    }
}

fn backlog_place(web: &WebServer, default: &str) -> String {
    let set = web.backlog.as_ref().and_then(|backlog| backlog.place.as_ref());
    if set.is_some() { place(set) } else { default.to_owned() }
}

/// All workers of a server are in use.
pub fn workers_exhausted(facts: &Facts<'_>) -> Option<Finding> {
    let (server, evidence, confidence) = workers_said(facts).or_else(|| workers_there(facts))?;
    let web = facts.record.web.iter().find(|web| web.server == server);
    let sum = web.and_then(|web| memory::arithmetic(facts, web));
    let role = if memory::harm(facts).is_empty() { Role::Main } else { Role::Contributing };
    let finding = Finding::new(Cause::WorkersExhausted, role, confidence).at(facts.span).because(evidence);
    let finding = finding.because(accept_overflows(facts)).because(accept_full(facts)).because(overloaded(facts));
    let more = sum.zip(web).and_then(|(sum, web)| {
        let workers = sum.processes.saturating_mul(2).min(sum.fit());
        (workers > sum.processes && memory::is_prefork(web)).then(|| Action::MoreWorkers {
            server,
            workers,
            place: memory::workers_place(web),
        })
    });
    let keep = web.and_then(memory::keep_alive);
    let finding = finding.unless([Refutation::WorkersIdle { server }]).so(keep).so(more);
    Some(finding.so([Action::LookAtBackend { server }]))
}

type Said = (Server, Vec<Evidence>, Confidence);

fn workers_said(facts: &Facts<'_>) -> Option<Said> {
    let (server, count, when) = workers_message(facts)?;
    let message = match when {
        Some(at) => Evidence::WorkersLimitMessage { server, count, at },
        None => Evidence::WorkersLimitMessageUndated { server, count },
    };
    let web = facts.record.web.iter().find(|web| web.server == server);
    let limit = web.and_then(|web| web.workers_max.as_ref()).map(|workers| {
        let set = workers.place.as_ref();
        match set {
            Some(_) => Evidence::WorkersConfigured { server, workers: workers.value, place: place(set) },
            None => Evidence::WorkersDefault { server, workers: workers.value },
        }
    });
    let confidence = if when.is_some() { Confidence::Certain } else { Confidence::Likely };
    Some((server, std::iter::once(message).chain(limit).collect(), confidence))
}

/// As many processes as there may be, while connections wait. A static pool always has as many, so that alone says nothing.
fn workers_there(facts: &Facts<'_>) -> Option<Said> {
    let waits =
        facts.record.listeners.iter().any(|listener| listener.accept_queue >= at::WAITING_MIN || listener.accept_full);
    let all = |web: &&WebServer| {
        let limit = web.processes_max.filter(|_| web.server != Server::Nginx);
        limit.zip(web.processes).is_some_and(|(limit, there)| there >= limit)
    };
    let web = facts.record.web.iter().find(all).filter(|_| waits && facts.now)?;
    let (workers, limit) = (web.processes?, web.processes_max?);
    Some((web.server, vec![Evidence::WorkersInUse { server: web.server, workers, limit }], Confidence::Likely))
}

/// An application that accepts, or answers, more slowly than clients come.
pub fn slow_application(facts: &Facts<'_>) -> Option<Finding> {
    if workers_exhausted(facts).is_some() {
        return None;
    }
    let full = facts.record.listeners.iter().find(full_listener).map(|listener| listener.local.port());
    let mut evidence: Vec<Evidence> = accept_full(facts).into_iter().chain(accept_overflows(facts)).collect();
    let certain = evidence.len() == 2;
    evidence.extend(accept_peak(facts).filter(|_| !evidence.is_empty()));
    evidence.extend(backend(facts));
    evidence.extend(overloaded(facts));
    if evidence.is_empty() {
        evidence.extend(unanswered(facts));
    }
    if evidence.is_empty() {
        return None;
    }
    let confidence = if certain { Confidence::Certain } else { Confidence::Likely };
    let finding = Finding::new(Cause::SlowApplication, Role::Main, confidence).on(full).at(facts.span);
    let server = backend_server(facts).map(|(server, _)| Action::LookAtBackend { server });
    let look = full.map_or(Action::LookAtApplications {}, |port| Action::LookAtApplication { port: Port(port) });
    let finding = finding.because(evidence).because(memory::load(facts));
    let empty = full.map(|port| Refutation::AcceptQueueStaysEmpty { port: Port(port) });
    let finding = finding.unless(empty.into_iter().chain([Refutation::AnswersQuick {}]));
    Some(finding.so(server).so([look]))
}

fn accept_full(facts: &Facts<'_>) -> Option<Evidence> {
    let listener = facts.record.listeners.iter().find(full_listener)?;
    let (waiting, backlog) = (u64::from(listener.accept_queue), u64::from(listener.backlog));
    Some(Evidence::AcceptQueueFull { port: Port(listener.local.port()), waiting, backlog })
}

/// Over time, the most that waited.
fn accept_peak(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, count) = facts.peak(Metric::AcceptQueues).filter(|_| !facts.now)?;
    (count >= f64::from(at::WAITING_MIN)).then(|| Evidence::AcceptQueuePeak { count: whole(count), at: when })
}

fn accept_overflows(facts: &Facts<'_>) -> Option<Evidence> {
    let count = facts.overflows();
    let (at, peak) = facts.peak(Metric::ListenOverflows)?;
    (count >= at::OVERFLOWS_MIN).then(|| Evidence::AcceptOverflows { count: whole(count), peak: Rate(peak), at })
}

fn backend_server(facts: &Facts<'_>) -> Option<(Server, u64)> {
    let of = |kind: &EventKind| match kind {
        EventKind::BackendTimeout { server } | EventKind::BackendRefused { server } => Some(*server),
        _ => None,
    };
    let server = facts.events().find_map(|event| of(&event.kind))?;
    let (count, _) = facts.happened(|kind| of(kind) == Some(server))?;
    (count >= BACKEND_MIN).then_some((server, count))
}

fn backend(facts: &Facts<'_>) -> Option<Evidence> {
    backend_server(facts).map(|(server, count)| Evidence::BackendFailed { server, count })
}

fn overloaded(facts: &Facts<'_>) -> Option<Evidence> {
    let (count, requests) = facts.bad_minutes(OVERLOADED_SHARE, |some| some.overloaded + some.given_up);
    (count >= OVERLOADED_MIN).then_some(Evidence::AnswersOverloaded { count, requests })
}

/// A capture: real clients, who send their SYNs again, got no answer, and others did; no firewall limit and no switched-off cookies explain it.
fn unanswered(facts: &Facts<'_>) -> Option<Evidence> {
    let others = !facts.record.firewall_limits.is_empty() || facts.record.sysctl("net.ipv4.tcp_syncookies") == Some(0);
    unanswered_again(facts).filter(|_| !others)
}

/// A capture: SYNs that were sent again and stayed without an answer.
pub fn unanswered_again(facts: &Facts<'_>) -> Option<Evidence> {
    facts.record.packets.iter().find_map(|packets| {
        let (unanswered, syns) = (packets.unanswered, packets.syns);
        let again = packets.syns_again as f64 >= at::SENT_AGAIN_REAL * unanswered.max(1) as f64;
        let many = packets.syns_again as f64 >= at::COOKIES_MIN && packets.syns_again as f64 >= 0.3 * syns as f64;
        (again && many && packets.completed > 0).then_some(Evidence::SynsUnanswered { unanswered, syns })
    })
}

/// NIC, ring or CPUs cannot take in the packets that come.
pub fn receive_saturated(facts: &Facts<'_>) -> Option<Finding> {
    let lost = [
        over(facts, Metric::SoftnetDrops, at::PACKETS_LOST, |rate, at| Evidence::SoftnetDrops { rate: Rate(rate), at }),
        over(facts, Metric::InterfaceOverruns, at::PACKETS_LOST, |rate, at| Evidence::InterfaceOverruns {
            rate: Rate(rate),
            at,
        }),
        over(facts, Metric::InterfaceUse, at::INTERFACE_FULL, |share, at| Evidence::InterfaceUse {
            share: Percent(share),
            at,
        }),
    ];
    let cpus = u64::from(facts.record.host.cpus.unwrap_or(1));
    let busy = over(facts, Metric::CpuSoftirqBusiest, at::SOFTIRQ_FULL, |share, at| Evidence::SoftirqBusiest {
        share: Percent(share),
        cpus,
        at,
    });
    let squeezed = facts.peak(Metric::SoftnetSqueezed).is_some_and(|(_, rate)| rate >= at::SQUEEZED);
    let mut evidence: Vec<Evidence> = lost.into_iter().flatten().collect();
    let certain = !evidence.is_empty();
    evidence.extend(busy.filter(|_| certain || squeezed));
    if evidence.is_empty() {
        return None;
    }
    evidence
        .extend(facts.peak(Metric::CpuSoftirq).map(|(at, share)| Evidence::SoftirqAll { share: Percent(share), at }));
    evidence.extend(facts.peak(Metric::PacketsIn).map(|(at, rate)| Evidence::PacketsPeak { rate: Rate(rate), at }));
    let confidence = if certain { Confidence::Certain } else { Confidence::Likely };
    let (mut steps, short) = (Vec::new(), interfaces(facts));
    for (interface, said) in short {
        match &said {
            Evidence::RingShort { max, .. } => steps.push(Action::RingLonger { interface, ring: *max }),
            _ => steps.push(Action::SpreadReceive { interface }),
        }
        evidence.push(said);
    }
    steps.push(Action::LookAtReceive {});
    let role = if facts.flood.is_some() { Role::Contributing } else { Role::Main };
    let finding = Finding::new(Cause::ReceiveSaturated, role, confidence).at(facts.span).because(evidence);
    Some(finding.unless([Refutation::DropsGoOn {}]).so(steps))
}

fn over(
    facts: &Facts<'_>,
    metric: Metric,
    bound: f64,
    say: impl Fn(f64, crate::observe::record::Time) -> Evidence,
) -> Option<Evidence> {
    facts.peak(metric).filter(|(_, value)| *value >= bound).map(|(at, value)| say(value, at))
}

/// What interfaces could do better.
fn interfaces(facts: &Facts<'_>) -> Vec<(String, Evidence)> {
    let ring = |interface: &Interface| {
        let (ring, max) = interface.ring_in.zip(interface.ring_in_max)?;
        let said = Evidence::RingShort { interface: interface.name.clone(), ring: ring.into(), max: max.into() };
        (ring < max).then(|| (interface.name.clone(), said))
    };
    let cpus = facts.record.host.cpus.unwrap_or(1);
    let queue = |interface: &Interface| {
        let one = interface.queues_in == Some(1) && interface.rps_cpus.unwrap_or(0) < 2 && cpus > 1;
        let said = Evidence::OneReceiveQueue { interface: interface.name.clone(), cpus: cpus.into() };
        one.then(|| (interface.name.clone(), said))
    };
    let real = facts.record.interfaces.iter().filter(|interface| interface.up && interface.driver.is_some());
    real.flat_map(|interface| [ring(interface), queue(interface)]).flatten().take(4).collect()
}
