//! From findings to one sentence, to what tells two causes apart, to what cookies had to do with it, and to what should be kept.

use std::collections::BTreeSet;

use super::facts::{Facts, whole};
use super::phrase::{Cookies, Distinction, Keep, Verdict};
use super::rules::FOLLOWS;
use super::{Cause, CauseKind, Confidence, Finding, Role, TellApart};
use crate::observe::record::{Metric, Server, Source, Why};

/// Named in a verdict also where they only contribute.
const ALSO_NAMED: &[Cause] = &[Cause::BurstOverBacklog, Cause::WorkersExhausted, Cause::CookiesOff];

/// Pairs that the same facts can speak for, with what tells them apart.
const PAIRS: &[(Cause, Cause, &[Distinction])] = &[
    (Cause::SynFlood, Cause::BurstOverBacklog, BURST),
    (Cause::SpoofedFlood, Cause::BurstOverBacklog, BURST),
    (Cause::ConcentratedFlood, Cause::BurstOverBacklog, BURST),
    (Cause::SynFlood, Cause::StrayFlood, &[Distinction::PacketKinds {}]),
    (Cause::ReflectionAtUs, Cause::StrayFlood, &[Distinction::PacketKinds {}]),
    (Cause::ReflectionThroughUs, Cause::ConcentratedFlood, &[Distinction::PacketKinds {}, Distinction::Sources {}]),
    (Cause::ConnectionFlood, Cause::SlowApplication, &[Distinction::RequestsOnConnections {}]),
    (Cause::WorkersExhausted, Cause::MemoryShort, &[Distinction::MemoryFirst {}]),
];
const BURST: &[Distinction] = &[
    Distinction::Completions {},
    Distinction::CookiesReturn {},
    Distinction::SynAcksAgain {},
    Distinction::Requests {},
];

/// The causes to blame, those that need no other first: an attack, then what hurts without it.
struct Blamed {
    attacks: Vec<Cause>,
    others: Vec<Cause>,
    /// Attacks that are only possible.
    possible: Vec<Cause>,
}

fn blamed(findings: &[Finding]) -> Blamed {
    let blames = |finding: &&Finding| finding.blames();
    let causes = |is: &dyn Fn(&&Finding) -> bool| -> Vec<Cause> {
        findings.iter().filter(is).map(|finding| finding.cause).collect()
    };
    let attacks = causes(&|finding| blames(finding) && finding.kind == CauseKind::Attack);
    // What an attack brings about is no cause beside it; that cookies were off is.
    let follows = |cause: &Cause| {
        let of = |of: &Cause| FOLLOWS.iter().any(|(one, all)| one == of && all.contains(cause));
        *cause != Cause::CookiesOff && attacks.iter().any(of)
    };
    // A sentence names what is to blame, and what the owner asked about; the rest stands in the findings.
    let named = |finding: &&Finding| finding.role == Role::Main || ALSO_NAMED.contains(&finding.cause);
    let kind = |finding: &&Finding| !matches!(finding.kind, CauseKind::Attack | CauseKind::Record);
    let others = causes(&|finding| blames(finding) && kind(finding) && named(finding));
    let others = others.into_iter().filter(|cause| !follows(cause)).collect();
    let possible = |finding: &&Finding| {
        finding.kind == CauseKind::Attack
            && finding.role != Role::Standing
            && finding.confidence == Confidence::Possible
    };
    Blamed { attacks, others, possible: causes(&possible) }
}

/// The verdict.
pub fn verdict(facts: &Facts<'_>, findings: &[Finding]) -> Verdict {
    let Blamed { attacks, others, possible } = blamed(findings);
    match (attacks.is_empty(), others.is_empty(), possible.as_slice()) {
        (false, true, _) => Verdict::Attack { attacks },
        (false, false, _) => Verdict::AttackAndMore { attacks, others },
        (true, false, []) => Verdict::NoAttackNeeded { causes: others },
        (true, false, [first, ..]) => match pair(*first, &others) {
            Some(other) => Verdict::TwoFit { one: other, other: *first },
            None => Verdict::NoAttackNeeded { causes: others },
        },
        (true, true, [first, ..]) => Verdict::TwoFit { one: *first, other: partner(*first, &possible) },
        (true, true, []) => without_cause(facts, findings),
    }
}

/// Of the causes to blame, the one for which the facts of a possible attack could speak as well.
fn pair(attack: Cause, others: &[Cause]) -> Option<Cause> {
    let fits = |other: &&Cause| PAIRS.iter().any(|(one, two, _)| (*one, *two) == (attack, **other));
    others.iter().find(fits).copied()
}

/// What a possible attack is taken for, if it is none.
fn partner(attack: Cause, possible: &[Cause]) -> Cause {
    let partners = PAIRS.iter().filter(|(one, ..)| *one == attack).map(|(_, other, _)| *other);
    let other = partners.clone().find(|other| possible.contains(other)).or_else(|| partners.clone().next());
    let first = PAIRS.iter().find(|(_, other, _)| *other == attack).map(|(one, ..)| *one);
    other.or(first).unwrap_or(Cause::BurstOverBacklog)
}

fn without_cause(facts: &Facts<'_>, findings: &[Finding]) -> Verdict {
    let trouble = |finding: &Finding| finding.role != Role::Standing;
    let risks: Vec<Cause> = findings
        .iter()
        .filter(|finding| finding.role == Role::Standing && finding.kind != CauseKind::Record)
        .map(|finding| finding.cause)
        .collect();
    let nothing = facts.record.samples.is_empty()
        && facts.record.events.is_empty()
        && facts.record.traffic.is_empty()
        && facts.record.turned_away.is_empty()
        && facts.record.packets.is_empty();
    match facts.span {
        _ if findings.iter().any(trouble) => Verdict::CannotBeKnown {},
        _ if facts.now && risks.is_empty() => Verdict::Healthy {},
        _ if facts.now => Verdict::HealthyWithRisks { risks },
        Some(span) if !nothing => Verdict::NothingRecorded { span },
        _ => Verdict::NoRecord {},
    }
}

/// Where two causes fit: both, and what tells them apart. Only where an attack is not settled, and for what the verdict names.
pub fn tell_apart(findings: &[Finding], verdict: &Verdict) -> Vec<TellApart> {
    let found = |cause: Cause| findings.iter().find(|finding| finding.cause == cause && finding.role != Role::Standing);
    let named = |one: Cause, other: Cause| match verdict {
        Verdict::TwoFit { one: first, other: second } => {
            (one, other) == (*first, *second) || (other, one) == (*first, *second)
        }
        _ => false,
    };
    let open = |one: Cause, other: Cause| {
        let (Some(one), Some(other)) = (found(one), found(other)) else { return false };
        one.confidence != Confidence::Certain && other.confidence != Confidence::Certain
    };
    let pairs = PAIRS.iter().filter(|(one, other, _)| named(*one, *other) || open(*one, *other));
    let mut apart: Vec<TellApart> =
        pairs.map(|(one, other, by)| TellApart { one: *one, other: *other, by: by.to_vec() }).collect();
    if *verdict == (Verdict::CannotBeKnown {}) && apart.is_empty() {
        apart.push(TellApart { one: Cause::SynFlood, other: Cause::BurstOverBacklog, by: BURST.to_vec() });
    }
    apart
}

/// What SYN cookies had to do with it.
pub fn cookies(facts: &Facts<'_>, findings: &[Finding]) -> Cookies {
    let found = |cause: Cause| findings.iter().any(|finding| finding.cause == cause && finding.blames());
    let sent = facts.sum(Metric::CookiesSent);
    let counts = || (whole(sent.unwrap_or(0.0)), whole(facts.sum(Metric::CookiesReceived).unwrap_or(0.0)));
    let message = facts.message_said(true);
    let flood = [Cause::SpoofedFlood, Cause::ConcentratedFlood, Cause::SynFlood].into_iter().any(found);
    let elsewhere = findings.iter().any(|finding| {
        finding.blames() && finding.role == Role::Main && !matches!(finding.cause, Cause::BurstOverBacklog)
    });
    match facts.record.sysctl("net.ipv4.tcp_syncookies") {
        Some(0) => {
            // Where no counter tells, a capture of the flood does.
            let unanswered: u64 = facts.record.packets.iter().map(|packets| packets.unanswered).sum();
            let captured = (flood && unanswered > 0).then_some(unanswered);
            let dropped = facts.dropped_for_no_cookies().map(whole).or(captured);
            dropped.map_or(Cookies::Off {}, |dropped| Cookies::OffAndMissed { dropped })
        }
        Some(2) => Cookies::Always {},
        _ if !flood && elsewhere => Cookies::Nothing {},
        _ if found(Cause::CookiesInert) => Cookies::Inert {},
        _ if flood && (message || counts().0 > 0) => {
            let (sent, returned) = counts();
            Cookies::HeldFlood { sent, returned }
        }
        _ if found(Cause::BurstOverBacklog) && counts().1 > 0 => {
            let (sent, returned) = counts();
            Cookies::Helped { sent, returned }
        }
        _ if sent == Some(0.0) => Cookies::NotNeeded {},
        _ => Cookies::Unknown {},
    }
}

/// What to record, so that more can be told next time: what is missing, and would have helped.
pub fn keep(facts: &Facts<'_>, findings: &[Finding], verdict: &Verdict) -> Vec<Keep> {
    let record = &facts.record;
    let has = |source: Source| record.coverage.contains_key(&source);
    let quiet = matches!(verdict, Verdict::Healthy {} | Verdict::HealthyWithRisks { .. });
    let unsure = matches!(verdict, Verdict::TwoFit { .. } | Verdict::CannotBeKnown {} | Verdict::NoRecord {});
    let sampled = record.samples.iter().any(|sample| matches!(sample.source, Source::Sysstat | Source::Sekisho));
    let forks = record.web.iter().filter(|web| web.server != Server::Nginx);
    let sizes = forks.clone().all(|web| web.process_memory_bytes.or(web.process_resident_bytes).is_some());
    let hidden = record.unseen.iter().any(|unseen| unseen.why == Why::NotPermitted);
    let flood = findings.iter().any(|finding| finding.kind == CauseKind::Attack && finding.role != Role::Standing);
    let clock = findings.iter().any(|finding| finding.cause == Cause::ClockDoubt);
    let rotated: BTreeSet<Source> = record.gaps.iter().map(|gap| gap.source).collect();
    let web = !record.web.is_empty() || !record.traffic.is_empty();
    let wanted = [
        (facts.now && hidden, Keep::DoctorAsRoot {}),
        (!(sampled || facts.now && has_sysstat(facts)), Keep::Sysstat {}),
        (facts.ask.protected != Some(true) && !has(Source::Sekisho), Keep::Incidents {}),
        (!quiet && (flood || unsure) && record.packets.is_empty(), Keep::Capture {}),
        (!facts.now && !has(Source::KernelLog) && !has(Source::Journal) && !has(Source::Syslog), Keep::KernelLog {}),
        (!facts.now && web && record.traffic.is_empty(), Keep::AccessLog {}),
        (!facts.now && web && !has(Source::ErrorLog), Keep::ErrorLog {}),
        (!sizes, Keep::WorkerMemory {}),
        (!facts.now && record.sysctls.is_empty(), Keep::Settings {}),
        (clock, Keep::Clock {}),
    ];
    let mut keep: Vec<Keep> = wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, keep)| keep).collect();
    let gap = findings.iter().any(|finding| finding.cause == Cause::RecordGap);
    keep.extend(rotated.into_iter().filter(|_| gap).take(3).map(|source| Keep::Longer { source }));
    keep
}

/// Of now nothing of sysstat is read; whether it is missing is told as something unseen.
fn has_sysstat(facts: &Facts<'_>) -> bool {
    !facts.record.unseen.iter().any(|unseen| unseen.source == Source::Sysstat)
}
