//! What remains when all files are read: what several of them tell is told once, gaps, clocks that disagree, what is missing.

use std::collections::BTreeMap;

use super::super::event::{Event, EventKind, Service, TurnedAway};
use super::super::{Gap, GapReason, Record, Server, Source, Span, Time, Why};
use super::files::{Found, Kind};

/// A gap is so many usual intervals long, in halves.
const GAP_HALVES: i64 = 5;
/// A log that begins so much later than asked for was rotated away before.
const LATE_MS: i64 = 3_600_000;
/// sysstat notes a boot up to so much later than the kernel.
const BOOT_MS: i64 = 180_000;
/// Two notes of a boot further apart than zones can be are of two boots.
const ZONES_MS: i64 = 14 * 3_600_000;

/// Puts the record into its final form.
pub fn finish(record: &mut Record, span: Option<Span>) {
    record.sort();
    record.samples.dedup_by_key(|sample| (sample.at, sample.source));
    record.events = once(std::mem::take(&mut record.events));
    record.turned_away = once_by_minute(std::mem::take(&mut record.turned_away));
    record.host.booted = record.host.booted.or_else(|| last_boot(record, Time(i64::MAX)));
    group_limits(record);
    sample_gaps(record);
    clocks(record);
    if let Some(span) = span {
        begins_late(record, span);
        record.limit_to(span);
    }
    if record.events_left_out > 0 {
        record.unseen(Source::KernelLog, None, Why::TooMuch { pieces: record.events_left_out });
    }
    record.sort();
}

/// A server whose processes were killed in a control group had that group's limit for its memory.
fn group_limits(record: &mut Record) {
    let Some(limit) = record.group_limit_bytes else { return };
    let killed = |names: &[&str]| {
        record.events.iter().any(|event| match &event.kind {
            EventKind::OutOfMemoryKill { process, in_group: true, .. } => {
                names.iter().any(|name| process.starts_with(name))
            }
            _ => false,
        })
    };
    let known = [
        (Server::Apache, killed(&["apache2", "httpd"])),
        (Server::Nginx, killed(&["nginx"])),
        (Server::PhpFpm, killed(&["php-fpm"])),
    ];
    for server in &mut record.web {
        if known.contains(&(server.server, true)) {
            server.memory_limit_bytes = server.memory_limit_bytes.or(Some(limit));
        }
    }
}

/// The last boot up to this time.
pub fn last_boot(record: &Record, until: Time) -> Option<Time> {
    let boots = record.events.iter().filter(|event| event.kind == EventKind::Boot).filter_map(|event| event.at);
    boots.filter(|at| *at <= until).max()
}

/// kern.log, syslog, dmesg and the journal tell the same: of events alike within a second the one with the largest count is kept.
fn once(events: Vec<Event>) -> Vec<Event> {
    let mut kept: Vec<Event> = Vec::with_capacity(events.len());
    for event in events {
        let alike = |other: &&mut Event| {
            let near = matches!((other.at, event.at), (Some(one), Some(other)) if other.since_ms(one).abs() <= 1000);
            near && other.kind == event.kind && other.source != event.source
        };
        match kept.iter_mut().rev().take(64).find(alike) {
            Some(other) if event.count > other.count => *other = event,
            Some(_) => {}
            None => kept.push(event),
        }
    }
    kept
}

fn once_by_minute(all: Vec<TurnedAway>) -> Vec<TurnedAway> {
    let mut kept: BTreeMap<_, TurnedAway> = BTreeMap::new();
    for some in all {
        let key = (some.minute, some.service, some.reason);
        if kept.get(&key).is_none_or(|other| other.count < some.count) {
            kept.insert(key, some);
        }
    }
    kept.into_values().collect()
}

/// Where samples that come at an interval stop coming.
fn sample_gaps(record: &mut Record) {
    let times: Vec<Time> =
        record.samples.iter().filter(|sample| sample.source == Source::Sysstat).map(|sample| sample.at).collect();
    let steps: Vec<(Time, Time)> = times.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let mut lengths: Vec<i64> = record
        .samples
        .iter()
        .filter(|sample| sample.source == Source::Sysstat)
        .map(|sample| i64::try_from(sample.interval_ms).unwrap_or(0))
        .filter(|length| *length > 0)
        .collect();
    lengths.sort_unstable();
    let Some(usual) = lengths.get(lengths.len() / 2).copied() else { return };
    for (from, until) in steps {
        if until.since_ms(from).saturating_mul(2) > usual.saturating_mul(GAP_HALVES) {
            let restarted = record
                .events
                .iter()
                .any(|event| event.kind == EventKind::Boot && event.at.is_some_and(|at| from <= at && at <= until));
            let reason = if restarted { GapReason::Restart } else { GapReason::NoSamples };
            record.gap(Gap { source: Source::Sysstat, span: Span { from, until }, reason });
        }
    }
}

/// sysstat and the kernel's log both note boots: where the nearest are minutes or hours apart, one of their clocks or zones is wrong.
fn clocks(record: &mut Record) {
    let boots = |record: &Record, sysstat: bool| -> Vec<(Source, Time)> {
        let boots = record.events.iter().filter(|event| event.kind == EventKind::Boot);
        boots
            .filter(|event| (event.source == Source::Sysstat) == sysstat)
            .filter_map(|event| Some((event.source, event.at?)))
            .collect()
    };
    let (of_log, of_sysstat) = (boots(record, false), boots(record, true));
    let mut ahead: BTreeMap<Source, i64> = BTreeMap::new();
    for (source, at) in of_log {
        let apart = of_sysstat.iter().map(|(_, other)| at.since_ms(*other)).min_by_key(|apart| apart.abs());
        if let Some(apart) = apart.filter(|apart| apart.abs() <= ZONES_MS) {
            let least = ahead.entry(source).or_insert(apart);
            if apart.abs() < least.abs() {
                *least = apart;
            }
        }
    }
    for (source, apart) in ahead {
        if !(-BOOT_MS..=5000).contains(&apart) {
            record.unseen(source, None, Why::ClockAhead { seconds: apart / 1000 });
        }
    }
}

/// Sources that begin later than asked for.
fn begins_late(record: &mut Record, span: Span) {
    let late: Vec<Gap> = record
        .coverage
        .iter()
        .filter(|(_, covered)| covered.from.since_ms(span.from) > LATE_MS && covered.from <= span.until)
        .map(|(source, covered)| Gap {
            source: *source,
            span: Span { from: span.from, until: covered.from },
            reason: GapReason::Rotated,
        })
        .collect();
    late.into_iter().for_each(|gap| record.gap(gap));
}

/// Which sources that would matter are not there at all. A journal or syslog holds what the single logs do.
pub fn missing(record: &mut Record, found: &[Found]) {
    let has = |kinds: &[Kind]| found.iter().any(|file| kinds.contains(&file.kind));
    let general = has(&[Kind::Journal, Kind::Syslog]) || record.coverage.contains_key(&Source::Journal);
    let by_postfix = record.turned_away.iter().any(|some| some.service == Service::Postfix);
    let expected = [
        (Source::Sysstat, has(&[Kind::Sysstat, Kind::SysstatJson])),
        (Source::KernelLog, general || has(&[Kind::Kernel, Kind::Dmesg])),
        (Source::AccessLog, has(&[Kind::Access])),
        (Source::ErrorLog, has(&[Kind::Error])),
        (Source::MailLog, has(&[Kind::Mail]) || (general && by_postfix)),
        (Source::SshLog, has(&[Kind::Ssh]) || general),
        (Source::Packets, has(&[Kind::Packets])),
        (Source::Sysctl, !record.sysctls.is_empty()),
    ];
    for (source, there) in expected {
        let told = record.unseen.iter().any(|unseen| unseen.source == source && unseen.why == Why::NotPermitted);
        if !there && !told {
            record.unseen(source, None, Why::Missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Origin;
    use super::*;

    #[test]
    fn a_group_that_ran_out_of_memory_limits_its_server() {
        let mut record = Record::empty(Origin::Past);
        record.web = [Server::Apache, Server::Nginx].map(super::super::super::WebServer::new).into();
        record.group_limit_bytes = Some(200 << 20);
        let kill = |process: &str, in_group| EventKind::OutOfMemoryKill {
            process: process.into(),
            pid: Some(4711),
            resident_bytes: None,
            in_group,
        };
        record.event(None, Source::KernelLog, kill("nginx", false));
        record.event(None, Source::KernelLog, kill("apache2", true));
        finish(&mut record, None);
        assert_eq!(record.web[0].memory_limit_bytes, Some(200 << 20));
        assert_eq!(record.web[1].memory_limit_bytes, None);
    }

    #[test]
    fn a_log_in_another_zone_is_found_by_its_boots() {
        let boot = |seconds: i64, source| Event {
            at: Some(Time::from_seconds(seconds)),
            last: None,
            count: 1,
            source,
            kind: EventKind::Boot,
        };
        let mut record = Record::empty(Origin::Past);
        record.events = vec![boot(100_000, Source::KernelLog), boot(100_020 - 32_400, Source::Sysstat)];
        finish(&mut record, None);
        assert_eq!(record.unseen[0].why, Why::ClockAhead { seconds: 32_380 });

        let mut record = Record::empty(Origin::Past);
        record.events = vec![boot(100_000, Source::KernelLog), boot(100_020, Source::Sysstat)];
        finish(&mut record, None);
        assert_eq!(record.unseen, [], "sysstat starts a little after the kernel");
    }
}
