//! Settings that do harm, or none of the good that is expected of them. Without harm seen they are risks, never alarms.

use super::super::facts::{Facts, whole};
use super::super::phrase::{Action, Evidence, Refutation};
use super::super::thresholds as at;
use super::super::value::Milliseconds;
use super::super::{Cause, Confidence, Finding, Role};
use crate::observe::record::Metric;

fn said(facts: &Facts<'_>, key: &str) -> Option<(u64, Evidence)> {
    let value = facts.record.sysctl(key)?;
    Some((value, Evidence::Setting { key: key.into(), value: value.to_string() }))
}

fn set(key: &str, from: u64, to: u64) -> Action {
    Action::SetSysctl { key: key.into(), from: from.to_string(), to: to.to_string() }
}

/// SYN cookies are switched off: a full queue turns everybody away.
pub fn cookies_off(facts: &Facts<'_>) -> Option<Finding> {
    const KEY: &str = "net.ipv4.tcp_syncookies";
    let (value, setting) = said(facts, KEY).filter(|(value, _)| *value == 0)?;
    let dropped = facts.dropped_for_no_cookies();
    let message = facts.message_said(false);
    // Without cookies a flood shuts the port: that needs no counter to be known.
    let flood = facts.flood.as_ref().is_some_and(|flood| flood.confidence <= Confidence::Likely);
    let role = if dropped.is_some() || message || flood { Role::Main } else { Role::Standing };
    let dropped = dropped.map(|dropped| Evidence::SynsDropped { count: whole(dropped) });
    let finding = Finding::new(Cause::CookiesOff, role, Confidence::Certain).because(dropped).because([setting]);
    Some(finding.unless([Refutation::SetElsewhere { key: KEY.into() }]).so([set(KEY, value, 1)]))
}

/// SYN cookies are on, and none goes out or none comes back right.
pub fn cookies_inert(facts: &Facts<'_>) -> Option<Finding> {
    facts.record.sysctl("net.ipv4.tcp_syncookies").filter(|value| *value > 0)?;
    let sum = |metric| facts.sum(metric).unwrap_or(0.0);
    let (asked, sent) = (sum(Metric::SynQueueFullCookies), sum(Metric::CookiesSent));
    let (failed, returned) = (sum(Metric::CookiesFailed), sum(Metric::CookiesReceived));
    // A full accept queue drops the SYN after a cookie was asked for (tcp_conn_request).
    let not_sent = asked >= at::COOKIES_MIN && sent < 0.1 * asked;
    let failing = sent >= at::COOKIES_MIN && failed >= 0.5 * sent && failed <= 2.0 * sent && returned < 0.1 * failed;
    let evidence = match (not_sent, failing) {
        (true, _) => Evidence::CookiesAskedNotSent { asked: whole(asked), sent: whole(sent) },
        (_, true) => Evidence::CookiesFailed { failed: whole(failed), returned: whole(returned) },
        _ => return None,
    };
    let finding = Finding::new(Cause::CookiesInert, Role::Contributing, Confidence::Likely).at(facts.span);
    let overflows = facts.peak(Metric::ListenOverflows).filter(|(_, peak)| *peak > 0.0).map(|(at, peak)| {
        Evidence::AcceptOverflows { count: whole(facts.overflows()), peak: super::super::value::Rate(peak), at }
    });
    let look = not_sent.then_some(Action::LookAtApplications {});
    Some(finding.because([evidence]).because(overflows).unless([Refutation::DropsGoOn {}]).so(look))
}

/// `tcp_max_syn_backlog` is large and not used while cookies are on.
pub fn huge_syn_backlog(facts: &Facts<'_>) -> Option<Finding> {
    const KEY: &str = "net.ipv4.tcp_max_syn_backlog";
    let value = facts.record.sysctl(KEY).filter(|value| *value >= at::SYN_BACKLOG_HUGE)?;
    let cookies = facts.record.sysctl("net.ipv4.tcp_syncookies").filter(|cookies| *cookies > 0)?;
    let evidence = Evidence::SettingWithoutEffect {
        key: KEY.into(),
        value: value.to_string(),
        because: format!("net.ipv4.tcp_syncookies = {cookies}"),
    };
    let finding = Finding::new(Cause::HugeSynBacklog, Role::Standing, Confidence::Certain).because([evidence]);
    Some(finding.unless([Refutation::SetElsewhere { key: KEY.into() }]).so([Action::LeaveSetting { key: KEY.into() }]))
}

/// `tcp_synack_retries` amplifies floods. The kernel's default is told only where there is one.
pub fn synack_retries_high(facts: &Facts<'_>) -> Option<Finding> {
    const KEY: &str = "net.ipv4.tcp_synack_retries";
    let (value, setting) = said(facts, KEY)?;
    let flood = facts.flood.as_ref().is_some_and(|flood| flood.confidence <= Confidence::Likely);
    let high = value > at::RETRIES_DEFAULT || flood && value > at::RETRIES_WANTED;
    if !high {
        return None;
    }
    let role = if flood { Role::Contributing } else { Role::Standing };
    // The waits double from 1 s: 1 + 2 + 4 ... + 2^retries.
    let stays = Milliseconds(((1u64 << value.saturating_add(1).min(32)) - 1) * 1000);
    let finding = Finding::new(Cause::SynackRetriesHigh, role, Confidence::Certain);
    let finding = finding.because([setting, Evidence::Amplification { packets: value.saturating_add(1), stays }]);
    Some(finding.unless([Refutation::SetElsewhere { key: KEY.into() }]).so([set(KEY, value, at::RETRIES_WANTED)]))
}

/// `rp_filter` is on and a flood came in all the same: behind one uplink every spoofed address has its way back through it.
pub fn rp_filter_expected(facts: &Facts<'_>) -> Option<Finding> {
    const KEY: &str = "net.ipv4.conf.all.rp_filter";
    let (_, setting) = said(facts, KEY).filter(|(value, _)| *value > 0)?;
    let flood = facts.flood.as_ref().filter(|flood| flood.confidence <= Confidence::Likely)?;
    let scattered = flood.spread.as_ref().filter(|spread| !spread.concentrated)?;
    let finding = Finding::new(Cause::RpFilterExpected, Role::Standing, Confidence::Certain);
    let finding = finding.because([setting, scattered.evidence.clone()]);
    Some(finding.unless([Refutation::SetElsewhere { key: KEY.into() }]).so([Action::LeaveSetting { key: KEY.into() }]))
}

/// `tcp_abort_on_overflow` is on: a short jam resets clients instead of letting them try again.
pub fn abort_on_overflow(facts: &Facts<'_>) -> Option<Finding> {
    const KEY: &str = "net.ipv4.tcp_abort_on_overflow";
    let (value, setting) = said(facts, KEY).filter(|(value, _)| *value > 0)?;
    let overflows = facts.overflows();
    let peak = facts.peak(Metric::ListenOverflows).filter(|_| overflows >= 1.0);
    let jam = peak.map(|(at, peak)| Evidence::AcceptOverflows {
        count: whole(overflows),
        peak: super::super::value::Rate(peak),
        at,
    });
    let role = if jam.is_some() { Role::Contributing } else { Role::Standing };
    let finding = Finding::new(Cause::AbortOnOverflow, role, Confidence::Certain).because([setting]).because(jam);
    Some(finding.unless([Refutation::SetElsewhere { key: KEY.into() }]).so([set(KEY, value, 0)]))
}
