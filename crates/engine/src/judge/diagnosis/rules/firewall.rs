//! What a firewall does to regular clients: connection tracking that is full, limits that turn them away.

use super::super::facts::{Facts, whole};
use super::super::phrase::{Action, Evidence, Refutation};
use super::super::thresholds as at;
use super::super::value::Rate;
use super::super::{Cause, Confidence, Finding, Role};
use super::overload::unanswered_again;
use crate::observe::record::{EventKind, FirewallLimit, Metric};

/// Packets that a rule logged or dropped; fewer are noise.
const LOGGED_MIN: u64 = 10;

/// Connection tracking has no more room, or soon.
pub fn conntrack_full(facts: &Facts<'_>) -> Option<Finding> {
    let message = facts.happened(|kind| *kind == EventKind::ConntrackFull);
    let message = message.map(|(count, _)| Evidence::ConntrackMessage { count });
    let drops = facts.sum(Metric::ConntrackDrops).filter(|drops| *drops >= 1.0);
    let filled = filled(facts);
    let share = filled.map_or(0.0, |(entries, max)| entries as f64 / max.max(1) as f64);
    let full = share >= at::TABLE_FULL;
    let since_boot = facts.record.conntrack.and_then(|table| table.drops).filter(|drops| *drops > 0 && full);
    let drops = drops.map(whole).or(since_boot).map(|count| Evidence::ConntrackDrops { count });
    let (role, confidence) = if message.is_some() || drops.is_some() {
        (Role::Main, Confidence::Certain)
    } else if full {
        (Role::Main, Confidence::Likely)
    } else if share >= at::TABLE_NEARLY {
        (Role::Standing, Confidence::Likely)
    } else {
        return None;
    };
    let filled_by_flood = facts.flood.as_ref().is_some_and(|flood| flood.confidence <= Confidence::Likely);
    let role = if filled_by_flood && role == Role::Main { Role::Contributing } else { role };
    let said = filled.map(|(entries, max)| Evidence::ConntrackFilled { entries, max });
    let finding = Finding::new(Cause::ConntrackFull, role, confidence).at(facts.span);
    let finding = finding.because(message).because(drops).because(said).unless([Refutation::TableNotFull {}]);
    let max = filled.map(|(_, max)| max).or_else(|| facts.record.sysctl("net.netfilter.nf_conntrack_max"));
    let larger = max.filter(|max| *max > 0).map(|max| Action::SetSysctl {
        key: "net.netfilter.nf_conntrack_max".into(),
        from: max.to_string(),
        to: max.saturating_mul(4).to_string(),
    });
    Some(finding.so(larger).so([Action::LessTracking {}]))
}

/// Entries and room, at the fullest.
fn filled(facts: &Facts<'_>) -> Option<(u64, u64)> {
    let max = facts.record.conntrack.map(|table| table.max);
    let max = max.or_else(|| facts.record.sysctl("net.netfilter.nf_conntrack_max")).filter(|max| *max > 0)?;
    let peak = facts.peak(Metric::ConntrackEntries).map(|(_, entries)| whole(entries));
    Some((peak.or_else(|| facts.record.conntrack.map(|table| table.entries))?, max))
}

/// A limit that counts all sources together turns regular clients away as soon as others use it up.
pub fn limit(facts: &Facts<'_>) -> Option<Finding> {
    let shared = facts.record.firewall_limits.iter().filter(|limit| !limit.per_source && concerns(facts, limit));
    let limit = shared.min_by_key(|limit| limit.rate_milli.unwrap_or(u64::MAX))?;
    let rate = limit.rate_milli? as f64 / 1000.0;
    let signs: Vec<Evidence> =
        [dropped(limit), reached(facts, limit, rate), unanswered_again(facts), logged(facts, limit)]
            .into_iter()
            .flatten()
            .collect();
    let role = if signs.is_empty() { Role::Standing } else { Role::Main };
    let confidence = if signs.len() > 1 { Confidence::Certain } else { Confidence::Likely };
    let rule = Evidence::LimitRule {
        program: limit.program.clone(),
        chain: limit.chain.clone(),
        rule: limit.rule.clone(),
        rate: Rate(rate),
    };
    let finding = Finding::new(Cause::FirewallLimit, role, confidence).on(limit.port).at(facts.span);
    let finding = finding.because([rule]).because(signs).unless([Refutation::LimitNotMet {}]);
    Some(finding.so([Action::LoosenLimit { chain: limit.chain.clone(), rule: limit.rule.clone() }]))
}

/// Whether somebody listens on the rule's port, as far as that is known.
fn concerns(facts: &Facts<'_>, limit: &FirewallLimit) -> bool {
    let listeners = &facts.record.listeners;
    limit.port.is_none_or(|port| listeners.is_empty() || listeners.iter().any(|listener| listener.local.port() == port))
}

/// The rule is one that drops what is over its rate, and it did.
fn dropped(limit: &FirewallLimit) -> Option<Evidence> {
    let drops =
        ["over", "--hashlimit-above"].iter().any(|word| limit.rule.split_whitespace().any(|part| part == *word));
    limit.packets.filter(|packets| drops && *packets >= LOGGED_MIN).map(|packets| Evidence::LimitMet { packets })
}

/// Connections come about as fast as the rule lets them through. A limit that is reached holds them there, so more is not seen.
fn reached(facts: &Facts<'_>, limit: &FirewallLimit, rate: f64) -> Option<Evidence> {
    let (_, peak) = facts.peak(Metric::PassiveOpens)?;
    let need = facts.peak(Metric::Syns).map_or(peak, |(_, syns)| syns.max(peak));
    // What is far above the rate did not meet the rule, and one for a few a minute is not about what comes every second.
    let bound = 1.5 * rate + limit.burst.unwrap_or(0) as f64;
    let held = rate >= 1.0 && need >= at::LIMIT_REACHED * rate && peak <= bound;
    held.then_some(Evidence::LimitBelowNeed { limit: Rate(rate), need: Rate(need) })
}

/// A rule that logs what it drops.
fn logged(facts: &Facts<'_>, limit: &FirewallLimit) -> Option<Evidence> {
    let prefix = facts.events().find_map(|event| match &event.kind {
        EventKind::FirewallLogged { prefix, port } if limit.port.is_none() || *port == limit.port => {
            Some(prefix.clone())
        }
        _ => None,
    })?;
    let of_it = |kind: &EventKind| matches!(kind, EventKind::FirewallLogged { prefix: other, .. } if *other == prefix);
    let (count, _) = facts.happened(of_it)?;
    (count >= LOGGED_MIN).then_some(Evidence::FirewallLogged { prefix, count })
}
