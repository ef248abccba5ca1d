//! Logs in syslog's form: who said what, and what it means.
//!
//! [`Message`] is one message, wherever it was found: in a file (`line`), or in the journal ([`super::journal`]). [`Meaning::of`] says what
//! it tells, by its sender: the kernel, systemd, Postfix, sshd, or a web server.

use std::io::{self, BufRead};
use std::net::IpAddr;
use std::path::Path;

use super::clock::{Clock, Stamp, Zone};
use super::event::{EventKind, Service, TurnedAway, TurnedAwayReason};
use super::lines::Lines;
use super::tally::{Frequent, Minutes, top_sources};
use super::{Gap, GapReason, Record, Source, Span, Time, Why, kernel, limits, mail, ssh, units, web_log};

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'m> {
    /// The sender's name, without its process id: kernel, sshd, postfix/smtpd.
    pub sender: &'m str,
    /// What it says.
    pub text: &'m str,
}

/// What a message means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Something happened.
    Event(EventKind),
    /// Somebody was turned away.
    TurnedAway(Service, TurnedAwayReason, Option<IpAddr>),
}

impl Meaning {
    /// What a message means; `None`: nothing that matters here.
    pub fn of(message: Message<'_>) -> Option<Self> {
        let text = message.text;
        match message.sender {
            "kernel" => kernel::meaning(text).map(Self::Event),
            "systemd" => units::meaning(text).map(Self::Event),
            "sshd" | "sshd-session" => {
                ssh::meaning(text).map(|(reason, source)| Self::TurnedAway(Service::Sshd, reason, source))
            }
            "nginx" | "apache2" | "httpd" => web_log::error(text).map(Self::Event),
            sender if sender.starts_with("php-fpm") || sender.starts_with("php") => {
                web_log::error(text).map(Self::Event)
            }
            sender if sender.starts_with("postfix") => {
                mail::meaning(text).map(|(reason, source)| Self::TurnedAway(Service::Postfix, reason, source))
            }
            "rsyslogd" | "journald" | "systemd-journald" => units::lost(text).map(Self::Event),
            _ => None,
        }
    }
}

/// Takes messages in and counts those who were turned away.
#[derive(Debug, Default)]
pub struct Intake {
    away: Minutes<(Service, TurnedAwayReason), (u64, Frequent<IpAddr>)>,
    /// The first and the last time.
    pub span: Option<Span>,
    /// A zone that stood with some time.
    pub zone: Option<i32>,
    /// Whether some time had none.
    pub zone_assumed: bool,
}

impl Intake {
    /// Notes when a message was written.
    pub fn time(&mut self, stamp: &Stamp) {
        self.zone = self.zone.or(stamp.zone);
        self.zone_assumed |= stamp.zone_assumed;
        self.span = Span::of(self.span.map(|span| [span.from, span.until]).into_iter().flatten().chain(stamp.at));
    }

    /// Takes one message in.
    pub fn take(&mut self, record: &mut Record, at: Option<Time>, source: Source, message: Message<'_>) {
        if message.sender == "kernel" {
            record.group_limit_bytes = kernel::group_limit(message.text).or(record.group_limit_bytes);
        }
        match Meaning::of(message) {
            Some(Meaning::Event(kind)) => {
                if let (EventKind::MessagesLost { .. }, Some(at)) = (&kind, at) {
                    let span = Span { from: at, until: at };
                    record.gap(Gap { source, span, reason: GapReason::Lost });
                }
                record.event(at, source, kind);
            }
            Some(Meaning::TurnedAway(service, reason, address)) => {
                let minute = at.map(|at| at.seconds().div_euclid(60));
                let (count, sources) = self.away.at(minute, (service, reason));
                *count += 1;
                if let Some(address) = address {
                    sources.add(address);
                }
                self.away.trim(|minute, key, counted| close(record, minute, key, &counted));
            }
            None => {}
        }
    }

    /// Puts the last counts into the record.
    pub fn finish(self, record: &mut Record) {
        self.away.finish(|minute, key, counted| close(record, minute, key, &counted));
    }
}

fn close(
    record: &mut Record,
    minute: Option<i64>,
    (service, reason): (Service, TurnedAwayReason),
    (count, sources): &(u64, Frequent<IpAddr>),
) {
    if record.turned_away.len() < limits::MINUTES_MAX {
        let minute = minute.map(|minute| Time::from_seconds(minute * 60));
        let top = top_sources(sources);
        record.turned_away.push(TurnedAway { minute, service, reason, count: *count, top });
    }
}

/// Takes a line apart: time, host, sender, text. The kernel's own lines (dmesg) have no host and no sender.
pub fn line<'l>(clock: &Clock, line: &'l str) -> Option<(Stamp, Message<'l>)> {
    let bare = unprefixed(line);
    let (stamp, rest) = clock.read(bare)?;
    if bare.trim_start().starts_with('[') {
        return Some((stamp, Message { sender: "kernel", text: rest }));
    }
    let (_host, rest) = rest.split_once(' ')?;
    let (tag, text) = rest.split_once(": ").or_else(|| rest.strip_suffix(':').map(|tag| (tag, "")))?;
    let sender = tag.split('[').next().unwrap_or(tag).trim();
    let text = if sender == "kernel" { after_boot_time(text) } else { text };
    Some((stamp, Message { sender, text }))
}

/// Without the priority that the kernel (`<4>`) and network syslog put first.
fn unprefixed(line: &str) -> &str {
    let inner = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    inner.filter(|(priority, _)| priority.len() <= 3).map_or(line, |(_, rest)| rest)
}

/// kern.log repeats the kernel's own time: `[ 1234.567890] TCP: ...`.
fn after_boot_time(text: &str) -> &str {
    let bracket = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let is_time = |inner: &str| inner.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b' ');
    bracket.filter(|(inner, _)| is_time(inner)).map_or(text, |(_, rest)| rest.trim_start())
}

/// Reads a file of syslog or dmesg into the record. Binary pieces and unknown lines are counted and passed over.
///
/// # Errors
/// When reading fails; what was read before is in the record.
pub fn read(record: &mut Record, from: impl BufRead, clock: &Clock, source: Source, path: &Path) -> io::Result<()> {
    let mut intake = Intake::default();
    let mut lines = Lines::new(from);
    let (mut understood, mut not_understood) = (0u64, 0u64);
    let end = loop {
        let text = match lines.next_line() {
            Ok(Some(text)) => text,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        match line(clock, &text) {
            Some((stamp, message)) => {
                understood += 1;
                intake.time(&stamp);
                let of = if message.sender == "kernel" { Source::KernelLog } else { source };
                intake.take(record, stamp.at, of, message);
            }
            None => not_understood += u64::from(!text.trim().is_empty()),
        }
    };
    let file = || Some(path.to_owned());
    // Continued lines begin with blanks and are few; more than that is another format.
    if not_understood > understood / 10 {
        record.unseen(source, file(), Why::NotUnderstood { pieces: not_understood });
    }
    if lines.too_long > 0 {
        record.unseen(source, file(), Why::LinesTooLong { lines: lines.too_long });
    }
    if understood > 0 && intake.span.is_none() {
        record.unseen(source, file(), Why::NoTimes);
    }
    note_zone(record, source, path, clock, &intake);
    record.covered(source, intake.span);
    intake.finish(record);
    end
}

/// Notes the zone that stood with the times, or that one had to be assumed. This machine's own zone is no assumption.
pub fn note_zone(record: &mut Record, source: Source, file: &Path, clock: &Clock, intake: &Intake) {
    if let (true, Zone::Fixed(zone_seconds)) = (intake.zone_assumed, clock.zone) {
        record.unseen(source, Some(file.to_owned()), Why::ZoneAssumed { zone_seconds });
    }
    record.host.zone_seconds = record.host.zone_seconds.or(intake.zone);
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;

    fn clock() -> Clock {
        Clock { zone: Zone::Fixed(0), written: Time(1_795_999_091_000), booted: Some(Time(1_795_999_000_000)) }
    }

    fn parse(text: &str) -> Record {
        let mut record = Record::empty(Origin::Past);
        read(&mut record, text.as_bytes(), &clock(), Source::Syslog, Path::new("syslog")).unwrap();
        record
    }

    #[test]
    fn lines_of_three_forms() {
        for text in [
            "Nov 30 00:37:00 web1 kernel: [  120.500000] nf_conntrack: table full, dropping packet",
            "2026-11-30T09:37:00+09:00 web1 kernel: nf_conntrack: table full, dropping packet",
            "<4>[   20.000000] nf_conntrack: table full, dropping packet",
        ] {
            let (stamp, message) = line(&clock(), text).unwrap_or_else(|| panic!("{text}"));
            let expected = Message { sender: "kernel", text: "nf_conntrack: table full, dropping packet" };
            assert_eq!((stamp.at, message), (Some(Time(1_795_999_020_000)), expected), "{text}");
        }
        let (_, message) = line(&clock(), "Nov 30 00:37:00 web1 postfix/smtpd[77]: connect from x: y").unwrap();
        assert_eq!(message, Message { sender: "postfix/smtpd", text: "connect from x: y" });
    }

    #[test]
    fn a_log_with_much_of_everything() {
        let mut text = String::new();
        for second in 0..50 {
            text += &format!("Nov 30 00:37:{second:02} web1 kernel: nf_conntrack: table full, dropping packet\n");
            text += &format!(
                "Nov 30 00:37:{second:02} web1 sshd[7]: Failed password for root from 198.51.100.{} port 1 ssh2\n",
                second % 2
            );
        }
        text += "Nov 30 00:38:10 web1 systemd[1]: apache2.service: Failed with result 'oom-kill'.\n";
        text += "\u{0}\u{1}\u{2}\n";
        let record = parse(&text);
        assert_eq!((record.events.len(), record.events[0].count), (2, 50), "alike within a minute: counted as one");
        assert_eq!(record.turned_away.len(), 1);
        assert_eq!((record.turned_away[0].count, record.turned_away[0].top[1].count), (50, 25));
        let span = record.coverage[&Source::Syslog];
        assert_eq!(span.length_ms(), 70_000);
        assert_eq!(record.unseen.len(), 1, "one line of garbage is not worth a word, the zone is: {:?}", record.unseen);
    }

    #[test]
    fn garbage_is_told() {
        let record = parse("PNG\u{fffd}\nIHDR\n");
        assert_eq!(record.unseen[0].why, Why::NotUnderstood { pieces: 2 });
    }
}
