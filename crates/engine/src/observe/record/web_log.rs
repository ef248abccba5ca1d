//! Logs of web servers: requests by minute (common and combined format, Apache's and nginx's), and what error logs tell.

use std::io::{self, BufRead};
use std::net::IpAddr;
use std::path::Path;

use super::clock::Clock;
use super::event::EventKind;
use super::lines::Lines;
use super::log::{self, Intake};
use super::tally::{Distinct, Frequent, Minutes, top_sources};
use super::{Record, Server, Source, Span, Time, WebTraffic, Why, limits};

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Who asked; `None`: the log has names.
    pub client: Option<IpAddr>,
    /// When; `None`: since a boot of which nothing is known, never in a sound log.
    pub at: Option<Time>,
    /// The zone that stood with the time.
    pub zone: Option<i32>,
    /// The answer's status.
    pub status: u16,
    /// Bytes of its body.
    pub bytes: u64,
}

/// Reads a line of the common format: `client ident user [time] "request" status bytes`, whatever may follow; a virtual host may come
/// first.
pub fn request(clock: &Clock, line: &str) -> Option<Request> {
    let (who, rest) = line.split_once(" [")?;
    let (time, rest) = rest.split_once("] \"")?;
    let (stamp, _) = clock.read(&format!("[{time}]"))?;
    let mut words = after_quote(rest)?.split_whitespace();
    let status = words.next()?.parse().ok().filter(|status| (100..600).contains(status))?;
    let bytes = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let client = who.split_whitespace().take(2).find_map(|word| word.trim_matches(['[', ']']).parse().ok());
    Some(Request { client, at: stamp.at, zone: stamp.zone, status, bytes })
}

/// What follows the closing quote; a backslash takes the next letter with it.
fn after_quote(text: &str) -> Option<&str> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    text.get(end + 1..)
}

#[derive(Debug, Default)]
struct Counted {
    traffic: [u64; 5],
    timeouts: u64,
    given_up: u64,
    overloaded: u64,
    limited: u64,
    bytes: u64,
    clients: Distinct,
    frequent: Frequent<IpAddr>,
}

impl Counted {
    fn add(&mut self, request: &Request) {
        self.traffic[usize::from(request.status / 100 - 1).min(4)] += 1;
        self.timeouts += u64::from(matches!(request.status, 408 | 499));
        self.given_up += u64::from(request.status == 499);
        self.overloaded += u64::from(matches!(request.status, 502..=504));
        self.limited += u64::from(request.status == 429);
        self.bytes = self.bytes.saturating_add(request.bytes);
        if let Some(client) = request.client {
            self.clients.add(&client);
            self.frequent.add(client);
        }
    }

    fn close(self, record: &mut Record, minute: i64, log: &str) {
        if record.traffic.len() >= limits::MINUTES_MAX {
            return;
        }
        let requests = self.traffic.iter().sum();
        record.traffic.push(WebTraffic {
            minute: Time::from_seconds(minute * 60),
            log: log.to_owned(),
            requests,
            by_class: self.traffic,
            timeouts: self.timeouts,
            given_up: self.given_up,
            overloaded: self.overloaded,
            limited: self.limited,
            bytes: self.bytes,
            clients: self.clients.count().min(requests),
            top: top_sources(&self.frequent),
        });
    }
}

/// Reads an access log into the record. `log` names it, without what rotation added.
///
/// # Errors
/// When reading fails; what was read before is in the record.
pub fn read_access(record: &mut Record, from: impl BufRead, clock: &Clock, log: &str, file: &Path) -> io::Result<()> {
    let mut lines = Lines::new(from);
    let mut minutes: Minutes<(), Counted> = Minutes::new();
    let (mut not_understood, mut span) = (0, None::<Span>);
    let end = loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let Some((request, at)) = request(clock, &line).and_then(|request| Some((request, request.at?))) else {
            not_understood += u64::from(!line.trim().is_empty());
            continue;
        };
        record.host.zone_seconds = record.host.zone_seconds.or(request.zone);
        span = Span::of(span.map(|span| [span.from, span.until]).into_iter().flatten().chain([at]));
        minutes.at(Some(at.seconds().div_euclid(60)), ()).add(&request);
        minutes.trim(|minute, (), counted| counted.close(record, minute.unwrap_or(0), log));
    };
    minutes.finish(|minute, (), counted| counted.close(record, minute.unwrap_or(0), log));
    if not_understood > 0 {
        record.unseen(Source::AccessLog, Some(file.to_owned()), Why::NotUnderstood { pieces: not_understood });
    }
    if lines.too_long > 0 {
        record.unseen(Source::AccessLog, Some(file.to_owned()), Why::LinesTooLong { lines: lines.too_long });
    }
    record.covered(Source::AccessLog, span);
    end
}

/// What a line of an error log tells, of Apache, nginx or php-fpm; the time in front of it may be left out.
pub fn error(text: &str) -> Option<EventKind> {
    apache(text).or_else(|| nginx(text)).or_else(|| php_fpm(text))
}

fn apache(text: &str) -> Option<EventKind> {
    let server = Server::Apache;
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "server reached MaxRequestWorkers",
        "server reached MaxClients",
        "scoreboard is full",
        "AH00161",
        "AH00484",
    ]) {
        Some(EventKind::WorkersExhausted { server, limit: None })
    } else if text.contains("(24)Too many open files") {
        Some(EventKind::FilesExhausted { server })
    } else if has(&["AH01382", "AH01383", "header read timeout", "Request body read timeout"]) {
        Some(EventKind::ClientTooSlow { server })
    } else if has(&["(111)Connection refused", "(11)Resource temporarily unavailable"]) {
        Some(EventKind::BackendRefused { server })
    } else if text.contains("The timeout specified has expired") && has(&["AH01075", "AH00898", "AH01102", "proxy"]) {
        Some(EventKind::BackendTimeout { server })
    } else if text.contains("exit signal") && text.contains("child") {
        Some(EventKind::WorkerDied { server })
    } else if text.contains("resuming normal operations") {
        Some(EventKind::ServerRestarted { server })
    } else {
        None
    }
}

fn nginx(text: &str) -> Option<EventKind> {
    let server = Server::Nginx;
    if let Some((before, _)) = text.split_once(" worker_connections are not enough") {
        Some(EventKind::WorkersExhausted {
            server,
            limit: before.rsplit(' ').next().and_then(|word| word.parse().ok()),
        })
    } else if text.contains("(24: Too many open files)") {
        Some(EventKind::FilesExhausted { server })
    } else if text.contains("client timed out (110") {
        Some(EventKind::ClientTooSlow { server })
    } else if text.contains("upstream timed out (110") {
        Some(EventKind::BackendTimeout { server })
    } else if text.contains("upstream") && (text.contains("(111: ") || text.contains("(11: ")) {
        Some(EventKind::BackendRefused { server })
    } else if text.contains("worker process") && text.contains("exited on signal") {
        Some(EventKind::WorkerDied { server })
    } else if text.contains("using the \"epoll\" event method") {
        Some(EventKind::ServerRestarted { server })
    } else {
        None
    }
}

fn php_fpm(text: &str) -> Option<EventKind> {
    let server = Server::PhpFpm;
    if let Some((_, rest)) = text.split_once("reached pm.max_children setting (") {
        Some(EventKind::WorkersExhausted { server, limit: rest.split(')').next().and_then(|word| word.parse().ok()) })
    } else if text.contains("[pool ") && text.contains("exited on signal") {
        Some(EventKind::WorkerDied { server })
    } else if text.contains("execution timed out") {
        Some(EventKind::BackendTimeout { server })
    } else if text.contains("ready to handle connections") {
        Some(EventKind::ServerRestarted { server })
    } else {
        None
    }
}

/// Reads an error log into the record.
///
/// # Errors
/// When reading fails; what was read before is in the record.
pub fn read_error(record: &mut Record, from: impl BufRead, clock: &Clock, file: &Path) -> io::Result<()> {
    let mut lines = Lines::new(from);
    let mut intake = Intake::default();
    let (mut understood, mut passed_over) = (0u64, 0u64);
    let end = loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        // A program's own output may stand between the server's lines; what has no time is passed over.
        let Some((stamp, text)) = clock.read(&line) else {
            passed_over += u64::from(!line.trim().is_empty());
            continue;
        };
        understood += 1;
        intake.time(&stamp);
        if let Some(kind) = error(text) {
            record.event(stamp.at, Source::ErrorLog, kind);
        }
    };
    if understood == 0 && passed_over > 0 {
        record.unseen(Source::ErrorLog, Some(file.to_owned()), Why::NotUnderstood { pieces: passed_over });
    }
    if lines.too_long > 0 {
        record.unseen(Source::ErrorLog, Some(file.to_owned()), Why::LinesTooLong { lines: lines.too_long });
    }
    log::note_zone(record, Source::ErrorLog, file, clock, &intake);
    record.covered(Source::ErrorLog, intake.span);
    end
}

#[cfg(test)]
mod tests {
    use super::super::clock::Zone;
    use super::super::{Origin, Record};
    use super::*;

    fn clock() -> Clock {
        Clock { zone: Zone::Fixed(0), written: Time(1_795_999_091_000), booted: None }
    }

    #[test]
    fn common_combined_and_with_a_virtual_host() {
        for line in [
            r#"198.51.100.1 - - [30/Nov/2026:09:38:11 +0900] "GET / HTTP/1.1" 503 299"#,
            r#"198.51.100.1 - bob [30/Nov/2026:09:38:11 +0900] "GET /a\"b HTTP/1.1" 503 299 "-" "curl/8""#,
            r#"www.example.org:80 198.51.100.1 - - [30/Nov/2026:09:38:11 +0900] "\x16\x03" 503 299 "-" "-""#,
        ] {
            let found = request(&clock(), line).unwrap();
            assert_eq!(found.client, "198.51.100.1".parse().ok(), "{line}");
            assert_eq!((found.status, found.bytes, found.at), (503, 299, Some(Time(1_795_999_091_000))));
            assert_eq!(found.zone, Some(9 * 3600));
        }
        for line in [
            "",
            "x [y] \"z",
            r#"a - - [30/Nov/2026:09:38:11 +0900] "x" 999 1"#,
            "] \" [",
            "\u{fffd} [\u{fffd}] \"\u{fffd}\" 200",
        ] {
            assert_eq!(request(&clock(), line), None, "{line}");
        }
    }

    #[test]
    fn requests_are_counted_by_minute() {
        let line = |client: u8, second: u8, status: u16| {
            format!("198.51.100.{client} - - [30/Nov/2026:00:38:{second:02} +0000] \"GET / HTTP/1.1\" {status} 10\n")
        };
        let mut text: String = (0..50).map(|number| line(number % 10, number, 200)).collect();
        text += &line(99, 59, 408);
        text += &line(99, 59, 503);
        text += "garbage\n";
        text += &line(1, 0, 499).replace("00:38:", "00:40:");
        let mut record = Record::empty(Origin::Past);
        read_access(&mut record, text.as_bytes(), &clock(), "access.log", Path::new("access.log")).unwrap();
        assert_eq!(record.traffic.len(), 2);
        let first = &record.traffic[0];
        assert_eq!((first.requests, first.by_class, first.clients), (52, [0, 50, 0, 1, 1], 11));
        assert_eq!((first.timeouts, first.overloaded, first.bytes), (1, 1, 520));
        assert_eq!((record.traffic[1].given_up, record.traffic[1].timeouts), (1, 1));
        assert_eq!(record.unseen[0].why, Why::NotUnderstood { pieces: 1 });
    }

    #[test]
    fn error_logs_of_three_servers() {
        use Server::{Apache, Nginx, PhpFpm};
        let text = "\
[Mon Nov 30 00:38:11.123456 2026] [mpm_prefork:error] [pid 7] AH00161: server reached MaxRequestWorkers setting, consider raising the MaxRequestWorkers setting
[Mon Nov 30 00:39:11.123456 2026] [reqtimeout:info] [pid 7] [client 198.51.100.1:4711] AH01382: Request header read timeout
2026/11/30 00:38:12 [alert] 7#7: 768 worker_connections are not enough
2026/11/30 00:38:13 [error] 7#7: *9 upstream timed out (110: Connection timed out) while reading response header from upstream
2026/11/30 00:38:14 [error] 7#7: *9 connect() to unix:/run/php.sock failed (11: Resource temporarily unavailable) while connecting to upstream
PHP Warning: something
[30-Nov-2026 00:38:15] WARNING: [pool www] server reached pm.max_children setting (5), consider raising it
";
        let mut record = Record::empty(Origin::Past);
        read_error(&mut record, text.as_bytes(), &clock(), Path::new("error.log")).unwrap();
        let kinds: Vec<_> = record.events.iter().map(|event| event.kind.clone()).collect();
        assert_eq!(
            kinds,
            [
                EventKind::WorkersExhausted { server: Apache, limit: None },
                EventKind::ClientTooSlow { server: Apache },
                EventKind::WorkersExhausted { server: Nginx, limit: Some(768) },
                EventKind::BackendTimeout { server: Nginx },
                EventKind::BackendRefused { server: Nginx },
                EventKind::WorkersExhausted { server: PhpFpm, limit: Some(5) },
            ]
        );
        assert_eq!(record.unseen[0].why, Why::ZoneAssumed { zone_seconds: 0 });
    }
}
