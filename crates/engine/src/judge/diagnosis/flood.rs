//! Whether SYNs came that never became connections: the one thing that every rule about SYN floods needs.
//!
//! Each source of facts is asked by itself, and says how sure it is; [`look`] puts their answers together. None of them counts the
//! kernel's message, none takes a full queue for a flood: real clients fill queues too.

use super::Confidence;
use super::facts::{Facts, whole};
use super::phrase::Evidence;
use super::thresholds as at;
use super::value::{Bytes, Network, Percent, Rate};
use super::{queues, rush};
use crate::observe::record::{Listener, Metric, Packets, Sample, Sources, Span};
use crate::spread::{self, Counted, Shape};

/// SYNs that never became connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Flood {
    /// How sure that is.
    pub confidence: Confidence,
    /// When, as far as it is known.
    pub span: Option<Span>,
    /// The port that most of them were for, where it is known.
    pub port: Option<u16>,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// Where they came from.
    pub spread: Option<Spread>,
}

/// How the sources are spread.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// Whether few networks make most of it.
    pub concentrated: bool,
    /// The networks that do, the largest first.
    pub networks: Vec<Network>,
    /// In evidence.
    pub evidence: Evidence,
}

struct Vote {
    confidence: Confidence,
    evidence: Vec<Evidence>,
    span: Option<Span>,
}

/// Looks for it.
pub fn look(facts: &Facts<'_>) -> Option<Flood> {
    let mut votes: Vec<Vote> = facts.record.packets.iter().filter_map(captured).collect();
    votes.extend([cookies(facts), above_completions(facts), half_open(facts)].into_iter().flatten());
    // Rates of segments are the weakest sign: where handshakes themselves were seen, they decide.
    if !facts.rush.certain() {
        votes.extend(segments(facts));
    }
    votes.sort_by_key(|vote| vote.confidence);
    let best = votes.first()?.confidence;
    let agree = votes.iter().filter(|vote| vote.confidence <= Confidence::Likely).count() >= 2;
    let sources = sources(facts);
    Some(Flood {
        confidence: if agree { Confidence::Certain } else { best },
        span: votes.iter().find_map(|vote| vote.span),
        port: port(facts, sources),
        evidence: told_once(votes.into_iter().flat_map(|vote| vote.evidence).chain(beside(facts))),
        spread: sources.and_then(spread),
    })
}

/// What goes with a flood and proves nothing by itself: queues that filled, requests that did not rise.
fn beside(facts: &Facts<'_>) -> impl Iterator<Item = Evidence> {
    let peak = facts.peak(Metric::HalfOpen).filter(|(_, count)| !facts.now && *count >= at::HALF_OPEN_MIN as f64);
    let peak = peak.map(|(at, count)| Evidence::HalfOpenPeak { count: whole(count), at });
    peak.into_iter().chain(rush::requests_usual(facts))
}

fn told_once(all: impl Iterator<Item = Evidence>) -> Vec<Evidence> {
    all.fold(Vec::new(), |mut told, evidence| {
        if !told.contains(&evidence) {
            told.push(evidence);
        }
        told
    })
}

/// SYNs of a capture that nobody wanted to complete: answered and not completed, or not answered and not sent again, as real clients do.
pub fn never_completed(packets: &Packets) -> f64 {
    let again = packets.syns_again as f64 >= at::SENT_AGAIN_REAL * packets.unanswered as f64;
    let unanswered = if again { 0 } else { packets.unanswered };
    (unanswered + packets.half_open.max(packets.flows_forgotten)) as f64
}

/// A capture of nothing but SYNs and SYN-ACKs, as by `tcpdump 'tcp[tcpflags] & tcp-syn != 0'`, cannot show that a handshake was completed.
const fn only_opening(packets: &Packets) -> bool {
    let opening = packets.syns + packets.syns_again + packets.syn_acks + packets.syn_acks_again;
    packets.completed == 0 && packets.reset == 0 && opening >= packets.tcp
}

/// A capture sees each handshake. One that saw no answers at all saw one direction only, or a server that was not there.
fn captured(packets: &Packets) -> Option<Vote> {
    let (syns, never) = (packets.syns as f64, never_completed(packets));
    let share = never / syns.max(1.0);
    if never < at::FLOOD_SYNS || share < at::FLOOD_SHARE {
        return None;
    }
    let short = packets.span.is_some_and(|span| (span.length_ms() as f64) < at::LOOK_SHORT_MS);
    let one_sided = packets.syn_acks == 0 || only_opening(packets);
    let confidence = if one_sided || short && never < at::FLOOD_SYNS_CERTAIN {
        Confidence::Possible
    } else if share >= at::FLOOD_SHARE_CERTAIN && never >= at::FLOOD_SYNS_CERTAIN {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    let share = Percent((share * 100.0).min(100.0));
    let mut evidence = vec![Evidence::SynsNeverCompleted {
        syns: packets.syns,
        completed: packets.completed.min(packets.syns),
        share,
    }];
    evidence.extend(packets.busiest_second.map(|(at, syns)| Evidence::SynRatePeak { rate: Rate(syns as f64), at }));
    let alike = packets.syn_fingerprints.iter().max_by_key(|written| written.count);
    evidence.extend(
        alike.filter(|written| written.count > packets.syns / 2 && written.completed < written.count / 10).map(
            |written| Evidence::WrittenAlike {
                count: written.count,
                completed: written.completed,
                options: if written.options.is_empty() { "-".into() } else { written.options.clone() },
            },
        ),
    );
    if packets.syn_acks_again > 0 {
        evidence.push(Evidence::SynAcksSentAgainCaptured { count: packets.syn_acks_again });
    }
    Some(Vote { confidence, evidence, span: packets.span })
}

/// Cookies that never came back. In a short look real clients' may still be under way, so that alone is not enough there; what was counted since
/// the trouble began is, and SYN-ACKs sent again are.
fn cookies(facts: &Facts<'_>) -> Option<Vote> {
    let since_begun = since_begun(facts);
    let (sent, returned) = (facts.sum(Metric::CookiesSent)?, facts.sum(Metric::CookiesReceived)?);
    let lost = sent - returned >= at::COOKIES_MIN && returned <= at::COOKIES_LOST * sent;
    let share = Percent((1.0 - returned / sent.max(1.0)) * 100.0);
    let looked = Evidence::CookiesNotReturned { sent: whole(sent), returned: whole(returned), share };
    let again = again(facts);
    let short = facts.looked_ms(Metric::CookiesSent) < at::LOOK_SHORT_MS;
    let confidence = match (&since_begun, lost) {
        (None, false) => return None,
        (Some(_), _) => Confidence::Likely,
        (None, true) if short && again.is_none() || sent < at::FLOOD_SYNS => Confidence::Possible,
        (None, true) if !short && sent >= at::FLOOD_SYNS_CERTAIN => Confidence::Certain,
        (None, true) => Confidence::Likely,
    };
    let evidence = lost.then_some(looked).into_iter().chain(since_begun).chain(again).collect();
    Some(Vote { confidence, evidence, span: None })
}

/// Of the cookies sent since the trouble began, most never came back. Clients whose connection finds no room send theirs more than once, so what
/// came back is counted too high rather than too low.
fn since_begun(facts: &Facts<'_>) -> Option<Evidence> {
    let total = facts.episode(Metric::SynQueueFullCookies)?;
    let (sent, returned) = (total(Metric::CookiesSent), total(Metric::CookiesReceived));
    let lost = sent - returned >= at::FLOOD_SYNS && sent - returned >= at::FLOOD_SHARE * sent;
    lost.then(|| Evidence::CookiesNotReturnedSinceBoot { sent: whole(sent), returned: whole(returned) })
}

/// SYNs, where they are counted, beside connections. Who proved to a challenge that he is there sends his SYN twice, and clients that a full
/// accept queue turned away send theirs again.
fn above_completions(facts: &Facts<'_>) -> Option<Vote> {
    let (syns, completed) = (facts.sum(Metric::Syns)?, facts.sum(Metric::PassiveOpens)?);
    let sum = |metric| facts.sum(metric).unwrap_or(0.0);
    let (cookies, proved) = (sum(Metric::CookiesSent), sum(Metric::CookiesReceived));
    // What was dropped for a full SYN queue counts as never completed, what an accept queue turned away does not.
    let turned_away = if facts.overflows() > 0.0 { sum(Metric::ListenDrops).max(facts.overflows()) } else { 0.0 };
    let never = syns - completed - proved - turned_away;
    if never < at::FLOOD_SYNS || never < at::FLOOD_SHARE * syns {
        return None;
    }
    let (when, peak) = facts.peak(Metric::Syns)?;
    let beside = facts.record.samples.iter().find(|sample| sample.at == when);
    let completions = beside.and_then(|sample| sample.values.get(&Metric::PassiveOpens)).copied().unwrap_or(0.0);
    let certain = never >= at::FLOOD_SYNS_CERTAIN && never >= at::FLOOD_SHARE_CERTAIN * syns && cookies > 0.0;
    Some(Vote {
        confidence: if certain { Confidence::Certain } else { Confidence::Likely },
        evidence: vec![Evidence::SynsAboveCompletions { syns: Rate(peak), completed: Rate(completions), at: when }],
        span: None,
    })
}

/// SYN-ACKs sent again say that whoever is half-open does not answer. A full accept queue makes the kernel do the same to real clients.
fn again(facts: &Facts<'_>) -> Option<Evidence> {
    let sockets = facts.record.sockets.as_ref()?;
    let half_open = sockets.half_open.total;
    let jammed = facts.overflows() > 0.0 || facts.record.listeners.iter().any(|listener| listener.accept_full);
    if jammed || half_open < at::HALF_OPEN_MIN {
        return None;
    }
    if let Some(count) = sockets.half_open_unanswered {
        let many = count as f64 >= at::FLOOD_SHARE * half_open as f64;
        return many.then_some(Evidence::HalfOpenUnanswered { count, half_open });
    }
    let rate = facts.record.last(Metric::SynRetransmitted)?;
    let many = rate >= (at::AGAIN_PER_HALF_OPEN * half_open as f64).max(2.0);
    many.then_some(Evidence::SynAcksSentAgain { rate: Rate(rate) })
}

/// A queue full of half-open connections that do not answer.
fn half_open(facts: &Facts<'_>) -> Option<Vote> {
    let again = again(facts)?;
    let full = |listener: &Listener| {
        let fits = queues::row(listener, &facts.record).fits * u64::from(listener.sockets.max(1));
        let half_open = u64::from(listener.syn_queue);
        half_open >= at::HALF_OPEN_MIN && half_open >= fits / 4 * 3
    };
    if !facts.record.listeners.iter().any(full) {
        return None;
    }
    let sockets = facts.record.sockets.as_ref()?;
    let half_open = Evidence::HalfOpen { count: sockets.half_open.total, sources: sockets.half_open.distinct };
    let dropped = facts.dropped_for_no_cookies().map(|dropped| Evidence::SynsDropped { count: whole(dropped) });
    let evidence = [half_open, again].into_iter().chain(dropped).collect();
    Some(Vote { confidence: Confidence::Likely, evidence, span: None })
}

/// From rates alone: many more small segments than the completed connections need, and no resets for them.
fn segments(facts: &Facts<'_>) -> Option<Vote> {
    let usual = facts.usual(Metric::SegmentsIn);
    let peak = facts
        .record
        .samples
        .iter()
        .filter_map(|sample| unexplained(sample, usual))
        .max_by(|one, other| one.0.total_cmp(&other.0))?;
    let (_, sample) = peak;
    let value = |metric| sample.values.get(&metric).copied();
    let segments = value(Metric::SegmentsIn)?;
    let mean = |bytes, packets| Some(value(bytes)? / value(packets)?.max(1.0));
    let received = mean(Metric::BytesIn, Metric::PacketsIn)?;
    let sent = mean(Metric::BytesOut, Metric::PacketsOut)?;
    // The message says only that a queue was full at some time. With such segments beside it, both have one cause; without it, nothing but bare
    // SYNs and their answers is taken for them.
    let message = facts.message_ports().iter().any(|(_, at)| at.is_some());
    let (small_in, small_out) =
        if message { (at::SMALL_IN_BYTES, at::SMALL_OUT_BYTES) } else { (at::BARE_BYTES, at::BARE_BYTES) };
    if received > small_in || sent > small_out {
        return None;
    }
    let then = value(Metric::PassiveOpens)?;
    let mut evidence =
        vec![Evidence::SegmentsRose { usual: Rate(usual.unwrap_or(0.0)), peak: Rate(segments), at: sample.at }];
    let usual_completions = facts.usual(Metric::PassiveOpens).unwrap_or(0.0);
    evidence.push(Evidence::CompletionsFlat { usual: Rate(usual_completions), then: Rate(then), at: sample.at });
    evidence.push(Evidence::SmallPackets { received: Bytes(whole(received)), sent: Bytes(whole(sent)) });
    let confidence = if message { Confidence::Likely } else { Confidence::Possible };
    let from = sample.at.plus_ms(-i64::try_from(sample.interval_ms).unwrap_or(0));
    Some(Vote { confidence, evidence, span: Some(Span { from, until: sample.at }) })
}

/// How many segments a second are more than connections explain, where that is most of them.
fn unexplained(sample: &Sample, usual: Option<f64>) -> Option<(f64, &Sample)> {
    let value = |metric| sample.values.get(&metric).copied();
    let segments = value(Metric::SegmentsIn)?;
    let connections = value(Metric::PassiveOpens)? + value(Metric::ActiveOpens).unwrap_or(0.0);
    let needed = connections * at::SEGMENTS_PER_CONNECTION;
    let resets = value(Metric::ResetsSent).unwrap_or(0.0);
    let more = segments - needed - usual.unwrap_or(0.0);
    let many = segments >= at::SEGMENTS_MIN && segments >= at::SEGMENTS_RISE * usual?;
    (many && more >= at::FLOOD_SHARE * segments && resets < at::RESETS_SHARE * segments).then_some((more, sample))
}

/// Where SYNs came from, by the best that is known.
fn sources<'f>(facts: &'f Facts<'_>) -> Option<&'f Sources> {
    let captured = facts.record.packets.iter().map(|packets| &packets.syn_sources).max_by_key(|sources| sources.total);
    let half_open = facts.record.sockets.as_ref().map(|sockets| &sockets.half_open);
    let known = [captured, facts.record.asked.as_ref(), half_open];
    known.into_iter().flatten().find(|sources| sources.total >= at::HALF_OPEN_MIN)
}

/// As the daemon judges it: see [`crate::spread`].
fn spread(sources: &Sources) -> Option<Spread> {
    let networks: Vec<u64> = sources.top_prefixes.iter().map(|network| network.count).collect();
    // Few samples say nothing of a stream; of a queue that is full, they are all there is.
    let samples = sources.total.max(spread::SAMPLES_MIN);
    let shape =
        spread::judge(Counted { asked: sources.total, samples, distinct: sources.distinct, networks: &networks });
    let part = |votes: u64| Percent(spread::part(votes, sources.total) * 100.0);
    match shape {
        Shape::Quiet => None,
        Shape::Scattered => Some(Spread {
            concentrated: false,
            networks: Vec::new(),
            evidence: Evidence::SourcesScattered {
                seen: sources.total,
                sources: sources.distinct,
                largest: part(networks.first().copied().unwrap_or(0)),
            },
        }),
        Shape::Concentrated(many) => {
            let first: Vec<Network> = sources.top_prefixes.iter().take(many).map(Network::from).collect();
            let share = part(networks.iter().take(many).sum());
            let evidence = Evidence::SourcesConcentrated { networks: many as u64, share, largest: *first.first()? };
            Some(Spread { concentrated: true, networks: first, evidence })
        }
    }
}

fn port(facts: &Facts<'_>, sources: Option<&Sources>) -> Option<u16> {
    let most = sources.and_then(|sources| sources.by_port.iter().max_by_key(|(_, count)| **count));
    most.map(|(port, _)| *port).or_else(|| match facts.message_ports().as_slice() {
        [(port, _)] => Some(*port),
        _ => None,
    })
}
