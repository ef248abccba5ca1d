//! systemd's journal, as `journalctl -o json` and `-o export` print it (systemd's "Journal Export Formats").

use std::io::{self, BufRead};
use std::path::Path;

use serde_json::{Map, Value};

use super::clock::Stamp;
use super::lines::Lines;
use super::log::{Intake, Message};
use super::{Record, Source, Time, Why};

/// An entry as JSON may be long: every field is in it.
const ENTRY_BYTES_MAX: usize = 256 * 1024;

/// What matters of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// When it was received.
    pub at: Option<Time>,
    /// From the kernel.
    pub kernel: bool,
    /// The sender's name.
    pub sender: String,
    /// What it says.
    pub text: String,
    /// The machine's name.
    pub host: Option<String>,
}

impl Entry {
    /// Reads one line of `-o json`.
    pub fn from_json(line: &str) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        let mut entry = Self::default();
        for (name, value) in &fields {
            entry.field(name, &text(value)?);
        }
        entry.at.is_some().then_some(entry)
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "__REALTIME_TIMESTAMP" => self.at = value.parse::<i64>().ok().map(|us| Time(us.div_euclid(1000))),
            "_TRANSPORT" => self.kernel = value == "kernel",
            "SYSLOG_IDENTIFIER" => value.clone_into(&mut self.sender),
            "_COMM" if self.sender.is_empty() => value.clone_into(&mut self.sender),
            "MESSAGE" => value.clone_into(&mut self.text),
            "_HOSTNAME" => self.host = Some(value.to_owned()),
            _ => {}
        }
    }

    fn take(&self, record: &mut Record, intake: &mut Intake) {
        let sender = if self.kernel { "kernel" } else { &self.sender };
        let source = if self.kernel { Source::KernelLog } else { Source::Journal };
        intake.time(&Stamp { at: self.at, zone: None, zone_assumed: false });
        intake.take(record, self.at, source, Message { sender, text: &self.text });
        record.host.name = record.host.name.take().or_else(|| self.host.clone());
    }
}

/// A field's text: bytes that are not UTF-8 are printed as numbers, several values as a list, and what is too large as null.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(bytes) if bytes.iter().all(Value::is_number) => {
            let bytes: Vec<u8> = bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        Value::Array(values) => values.first().map_or(Some(String::new()), |first| first.as_str().map(str::to_owned)),
        Value::Null => Some(String::new()),
        other => Some(other.to_string()),
    }
}

/// Reads `-o json` or `-o export`, whichever it is.
///
/// # Errors
/// When reading fails; what was read before is in the record.
pub fn read(record: &mut Record, from: impl BufRead, file: Option<&Path>) -> io::Result<()> {
    let mut intake = Intake::default();
    let mut lines = Lines::with_bound(from, ENTRY_BYTES_MAX);
    let (mut entry, mut not_understood) = (Entry::default(), 0);
    let end = loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        if line.starts_with('{') {
            match Entry::from_json(&line) {
                Some(entry) => entry.take(record, &mut intake),
                None => not_understood += 1,
            }
        } else if line.is_empty() {
            finished(&mut entry, record, &mut intake);
        } else if let Some((name, value)) = line.split_once('=') {
            entry.field(name, value);
        } else if is_name(&line) {
            // A field with bytes in it: its name alone, a length of 64 bits, so many bytes, and an end of line.
            match binary(&mut lines) {
                Ok(value) => entry.field(&line, &value),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break Ok(()),
                Err(error) => break Err(error),
            }
        } else {
            not_understood += 1;
        }
    };
    finished(&mut entry, record, &mut intake);
    if not_understood > 0 {
        record.unseen(Source::Journal, file.map(Path::to_owned), Why::NotUnderstood { pieces: not_understood });
    }
    if lines.too_long > 0 {
        record.unseen(Source::Journal, file.map(Path::to_owned), Why::LinesTooLong { lines: lines.too_long });
    }
    record.covered(Source::Journal, intake.span);
    intake.finish(record);
    end
}

fn finished(entry: &mut Entry, record: &mut Record, intake: &mut Intake) {
    let entry = std::mem::take(entry);
    if entry.at.is_some() {
        entry.take(record, intake);
    }
}

fn is_name(line: &str) -> bool {
    line.len() <= 64 && line.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn binary(lines: &mut Lines<impl BufRead>) -> io::Result<String> {
    let length = lines.next_bytes(8)?;
    let length = u64::from_le_bytes(length.try_into().unwrap_or([0; 8]));
    let value = lines.next_bytes(length)?;
    lines.next_bytes(1)?;
    Ok(String::from_utf8_lossy(&value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{EventKind, Origin, Service, TurnedAwayReason};
    use super::*;

    fn parse(bytes: &[u8]) -> Record {
        let mut record = Record::empty(Origin::Past);
        read(&mut record, bytes, None).unwrap();
        record
    }

    #[test]
    fn json() {
        let record = parse(
            br#"{"__REALTIME_TIMESTAMP":"1795999091500000","_TRANSPORT":"kernel","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.","_HOSTNAME":"web1"}
{"__REALTIME_TIMESTAMP":"1795999092500000","SYSLOG_IDENTIFIER":"sshd","MESSAGE":[70,97,105,108,101,100,32,112,97,115,115,119,111,114,100,32,102,111,114,32,114,111,111,116,32,102,114,111,109,32,49,57,56,46,53,49,46,49,48,48,46,49]}
{"__REALTIME_TIMESTAMP":"1795999093500000","SYSLOG_IDENTIFIER":"large","MESSAGE":null}
{"broken
"#,
        );
        assert_eq!(record.events[0].at, Some(Time(1_795_999_091_500)));
        assert_eq!(record.events[0].source, Source::KernelLog);
        assert!(matches!(record.events[0].kind, EventKind::SynFloodingMessage { port: 80, .. }));
        let away = &record.turned_away[0];
        assert_eq!((away.service, away.reason, away.count), (Service::Sshd, TurnedAwayReason::Authentication, 1));
        assert_eq!(away.top[0].address, "198.51.100.1".parse::<std::net::IpAddr>().unwrap());
        assert_eq!(record.host.name.as_deref(), Some("web1"));
        assert_eq!(record.unseen[0].why, Why::NotUnderstood { pieces: 1 });
    }

    #[test]
    fn export_with_binary_fields_and_cut_off() {
        let mut bytes = b"__REALTIME_TIMESTAMP=1795999091500000\n_TRANSPORT=kernel\nMESSAGE\n".to_vec();
        let text = b"Out of memory: Killed process 7 (apache2) anon-rss:4kB\n\nsecond line";
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text);
        bytes.extend(b"\n\n__REALTIME_TIMESTAMP=1795999092500000\n");
        let record = parse(&bytes);
        assert_eq!(record.events.len(), 1);
        assert!(matches!(&record.events[0].kind, EventKind::OutOfMemoryKill { process, .. } if process == "apache2"));
        for length in 0..bytes.len() {
            parse(&bytes[..length]);
        }
    }
}
