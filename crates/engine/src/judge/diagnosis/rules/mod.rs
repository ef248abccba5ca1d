//! The rules: one small function for each cause, and the table of them all.
//!
//! A rule gets [`Facts`] and says whether its cause is there, how sure that is, what it rests on, what would prove it wrong and what to
//! do. No rule knows the others' answers; what several of them need (a flood, a rush, short memory, workers that do not fit) is reckoned
//! once and asked for. `docs/operations/rules.md` tells the same for readers, and a test holds it to this table.

use super::facts::Facts;
use super::phrase::{Action, Evidence, Refutation};
use super::{Cause, CauseKind, Confidence, Finding, Role};
use crate::observe::record::Span;

pub mod attacks;
pub mod firewall;
pub mod memory;
pub mod overload;
pub mod records;
pub mod settings;

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What it may find.
    pub cause: Cause,
    /// Looks for it.
    pub judge: fn(&Facts<'_>) -> Option<Finding>,
}

/// All of them, in the order of [`Cause::ALL`].
pub const RULES: &[Rule] = &[
    Rule { cause: Cause::SpoofedFlood, judge: attacks::spoofed_flood },
    Rule { cause: Cause::ConcentratedFlood, judge: attacks::concentrated_flood },
    Rule { cause: Cause::SynFlood, judge: attacks::syn_flood },
    Rule { cause: Cause::ConnectionFlood, judge: attacks::connection_flood },
    Rule { cause: Cause::SlowReaders, judge: attacks::slow_readers },
    Rule { cause: Cause::ReflectionAtUs, judge: attacks::reflection_at_us },
    Rule { cause: Cause::ReflectionThroughUs, judge: attacks::reflection_through_us },
    Rule { cause: Cause::StrayFlood, judge: attacks::stray_flood },
    Rule { cause: Cause::MemoryOvercommitted, judge: memory::overcommitted },
    Rule { cause: Cause::MemoryShort, judge: memory::short },
    Rule { cause: Cause::WorkersExhausted, judge: overload::workers_exhausted },
    Rule { cause: Cause::SlowApplication, judge: overload::slow_application },
    Rule { cause: Cause::ConntrackFull, judge: firewall::conntrack_full },
    Rule { cause: Cause::BurstOverBacklog, judge: overload::burst_over_backlog },
    Rule { cause: Cause::ReceiveSaturated, judge: overload::receive_saturated },
    Rule { cause: Cause::FirewallLimit, judge: firewall::limit },
    Rule { cause: Cause::CookiesOff, judge: settings::cookies_off },
    Rule { cause: Cause::CookiesInert, judge: settings::cookies_inert },
    Rule { cause: Cause::HugeSynBacklog, judge: settings::huge_syn_backlog },
    Rule { cause: Cause::SynackRetriesHigh, judge: settings::synack_retries_high },
    Rule { cause: Cause::RpFilterExpected, judge: settings::rp_filter_expected },
    Rule { cause: Cause::AbortOnOverflow, judge: settings::abort_on_overflow },
    Rule { cause: Cause::MessageAlone, judge: records::message_alone },
    Rule { cause: Cause::RecordGap, judge: records::gap },
    Rule { cause: Cause::ClockDoubt, judge: records::clock_doubt },
];

/// What each cause brings about by itself: where both are found, the second only contributes.
pub const FOLLOWS: &[(Cause, &[Cause])] = &[
    (Cause::SpoofedFlood, OF_A_FLOOD),
    (Cause::ConcentratedFlood, OF_A_FLOOD),
    (Cause::SynFlood, OF_A_FLOOD),
    (Cause::ConnectionFlood, OF_HELD_CONNECTIONS),
    (Cause::SlowReaders, OF_HELD_CONNECTIONS),
    (Cause::MemoryOvercommitted, OF_A_JAM),
    (Cause::MemoryShort, OF_A_JAM),
    (Cause::WorkersExhausted, OF_A_JAM),
    (Cause::SlowApplication, &[Cause::BurstOverBacklog, Cause::CookiesInert]),
    (Cause::ConntrackFull, &[Cause::SlowApplication]),
    (Cause::FirewallLimit, &[Cause::SlowApplication]),
    (Cause::CookiesOff, &[Cause::SlowApplication]),
];
const OF_A_FLOOD: &[Cause] =
    &[Cause::ConntrackFull, Cause::ReceiveSaturated, Cause::CookiesOff, Cause::CookiesInert, Cause::SynackRetriesHigh];
const OF_HELD_CONNECTIONS: &[Cause] =
    &[Cause::WorkersExhausted, Cause::SlowApplication, Cause::BurstOverBacklog, Cause::CookiesInert];
const OF_A_JAM: &[Cause] =
    &[Cause::WorkersExhausted, Cause::SlowApplication, Cause::BurstOverBacklog, Cause::CookiesInert];

/// What the rules find: those to blame first, among them attacks, then the surer ones, then in the order of [`Cause`].
pub fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().filter_map(|rule| (rule.judge)(facts)).collect();
    settle(&mut findings);
    findings.sort_by_key(|finding| {
        let open = finding.confidence == Confidence::Possible;
        (finding.role, open, finding.kind != CauseKind::Attack, finding.confidence, finding.cause)
    });
    findings
}

/// Puts what follows from something else behind it, and takes away that a message is all there is where it is not.
fn settle(findings: &mut Vec<Finding>) {
    let main = |finding: &&Finding| finding.blames() && finding.role == Role::Main;
    let causes: Vec<Cause> = findings.iter().filter(main).map(|finding| finding.cause).collect();
    let follows =
        |cause: Cause, of: &Cause| *of != cause && FOLLOWS.iter().any(|(one, all)| one == of && all.contains(&cause));
    for finding in findings.iter_mut().filter(|finding| finding.role == Role::Main) {
        if causes.iter().any(|of| follows(finding.cause, of)) {
            finding.role = Role::Contributing;
        }
    }
    findings.retain(|finding| finding.cause != Cause::MessageAlone || causes.is_empty());
}

impl Finding {
    /// A finding with nothing to say yet.
    pub const fn new(cause: Cause, role: Role, confidence: Confidence) -> Self {
        Self {
            cause,
            kind: cause.kind(),
            role,
            confidence,
            port: None,
            span: None,
            evidence: Vec::new(),
            refuted_by: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// With its port, if it is known.
    #[must_use]
    pub const fn on(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// With its time, if it is known.
    #[must_use]
    pub const fn at(mut self, span: Option<Span>) -> Self {
        self.span = span;
        self
    }

    /// With what it rests on.
    #[must_use]
    pub fn because(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// With what would prove it wrong.
    #[must_use]
    pub fn unless(mut self, refuted_by: impl IntoIterator<Item = Refutation>) -> Self {
        self.refuted_by.extend(refuted_by);
        self
    }

    /// With what to do.
    #[must_use]
    pub fn so(mut self, steps: impl IntoIterator<Item = Action>) -> Self {
        for step in steps {
            if !self.steps.contains(&step) {
                self.steps.push(step);
            }
        }
        self
    }

    /// Whether it is about trouble that was seen, and likely at least.
    pub fn blames(&self) -> bool {
        self.role != Role::Standing && self.confidence <= Confidence::Likely
    }
}
