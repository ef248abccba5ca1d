//! What is wrong with the records themselves: holes, clocks, a message that proves nothing.

use super::super::facts::Facts;
use super::super::phrase::{Action, Evidence, Refutation};
use super::super::thresholds as at;
use super::super::value::{Milliseconds, Port};
use super::super::{Cause, Confidence, Finding, Role};
use super::overload::burst_over_backlog;
use crate::observe::record::{Gap, GapReason, Span, Why};

/// Gaps and clocks that are told, at most.
const TOLD_MAX: usize = 4;
/// What is lost for a shorter time is not worth a word.
const LOST_MS: i64 = 60_000;

/// The kernel's message, and neither a flood nor a burst to go with it.
pub fn message_alone(facts: &Facts<'_>) -> Option<Finding> {
    let ports = facts.message_ports();
    let (port, at) = *ports.first()?;
    let explained = facts.flood.is_some() || burst_over_backlog(facts).is_some_and(|finding| finding.blames());
    if explained {
        return None;
    }
    let messages = ports.iter().take(TOLD_MAX).map(|(port, at)| match at {
        Some(at) => Evidence::FloodingMessage { port: Port(*port), at: *at },
        None => Evidence::FloodingMessageUndated { port: Port(*port) },
    });
    let span = at.map(|at| Span { from: at, until: at });
    let finding = Finding::new(Cause::MessageAlone, Role::Contributing, Confidence::Certain).on(Some(port)).at(span);
    Some(finding.because(messages).unless([Refutation::OtherRecords {}]))
}

/// A source tells nothing of a part of the time asked for.
pub fn gap(facts: &Facts<'_>) -> Option<Finding> {
    let asked = facts.ask.span;
    // A message that was suppressed is a hole of a moment, and kernels suppress every day.
    let moment = |gap: &Gap| gap.reason == GapReason::Lost && gap.span.length_ms() < LOST_MS;
    // That older files were rotated away matters only to who asks for that time.
    let matters = |gap: &&Gap| match (gap.reason, asked) {
        (GapReason::Rotated, Some(asked)) => asked.from < gap.span.until,
        (GapReason::Rotated, None) => false,
        (_, Some(asked)) => gap.span.from <= asked.until && gap.span.until >= asked.from,
        (_, None) => !facts.now,
    };
    let mut gaps: Vec<&Gap> = facts.record.gaps.iter().filter(matters).filter(|gap| !moment(gap)).collect();
    gaps.sort_by_key(|gap| -gap.span.length_ms());
    let span = gaps.first()?.span;
    let told =
        gaps.iter().take(TOLD_MAX).map(|gap| Evidence::Gap { source: gap.source, span: gap.span, reason: gap.reason });
    let count = facts.record.events_left_out;
    let left_out = (count > 0).then_some(Evidence::EventsLeftOut { count });
    let finding = Finding::new(Cause::RecordGap, Role::Standing, Confidence::Certain).at(Some(span));
    Some(finding.because(told).because(left_out).unless([Refutation::OtherRecords {}]))
}

/// Clocks or zones disagree, so that what happened together may not look so.
pub fn clock_doubt(facts: &Facts<'_>) -> Option<Finding> {
    let told = facts.record.unseen.iter().filter_map(|unseen| match unseen.why {
        Why::ClockAhead { seconds } if seconds.abs() >= at::CLOCK_SECONDS => {
            let by = Milliseconds(seconds.unsigned_abs() * 1000);
            let source = unseen.source;
            Some(if seconds > 0 {
                Evidence::ClockAhead { source, ahead: by }
            } else {
                Evidence::ClockBehind { source, behind: by }
            })
        }
        Why::ZoneAssumed { zone_seconds } => {
            Some(Evidence::ZoneAssumed { source: unseen.source, zone: zone(zone_seconds) })
        }
        _ => None,
    });
    let told: Vec<Evidence> = told.take(TOLD_MAX).collect();
    if told.is_empty() {
        return None;
    }
    let clocks = told.iter().any(|evidence| !matches!(evidence, Evidence::ZoneAssumed { .. }));
    let finding = Finding::new(Cause::ClockDoubt, Role::Standing, Confidence::Likely).because(told);
    Some(finding.unless([Refutation::OtherRecords {}]).so(clocks.then_some(Action::SetClock {})))
}

/// `UTC+09:00`.
fn zone(seconds: i32) -> String {
    let minutes = seconds.abs() / 60;
    let sign = if seconds < 0 { '-' } else { '+' };
    format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
