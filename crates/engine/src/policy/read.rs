//! Reads the configuration, and tells every mistake with its line and what was probably meant.
//!
//! One function a table, each a `match` over its keys; `Reader` has one function a kind of value and collects the mistakes, so
//! that all are told at once. Example of what a user sees:
//!
//! ```text
//! /etc/sekisho.toml:3:1: unknown key `intreface` (did you mean `interface`?)
//! /etc/sekisho.toml:7:8: `calm` must be a share from 0 to 1, not 25 (25 percent is 0.25)
//! ```

mod limits;
mod lists;

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{BackendChoice, CompletionChoice, Marks, MethodChoice, Mode, Policy, Service, VerifiedPolicy};
use crate::speaks::Speaker;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named cannot be read.
    #[error("cannot read the configuration {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has mistakes.
    #[error("{}", lines(file, problems))]
    Mistakes {
        /// The file.
        file: PathBuf,
        /// The mistakes in the order of the file; never empty.
        problems: Vec<Problem>,
    },
}

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was probably meant, as a phrase.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        self.suggestion.as_ref().map_or(Ok(()), |suggestion| write!(f, " ({suggestion})"))
    }
}

fn lines(file: &Path, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}:{problem}", file.display())).collect();
    lines.join("\n")
}

type Value<'i> = Spanned<DeValue<'i>>;
type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

/// The whole file.
pub(super) fn policy(text: &str, file: &Path) -> Result<Policy, ConfigError> {
    let mut reader = Reader { text, problems: Vec::new() };
    let mut policy = Policy::default();
    match DeTable::parse(text) {
        Ok(root) => root_table(&mut reader, root.get_ref(), &mut policy),
        Err(error) => reader.problem(error.span().unwrap_or(0..0), error.message().to_owned(), None),
    }
    if reader.problems.is_empty() {
        return Ok(policy);
    }
    reader.problems.sort_by_key(|problem| (problem.line, problem.column));
    Err(ConfigError::Mistakes { file: file.to_owned(), problems: reader.problems })
}

const ROOT_KEYS: &[&str] = &[
    "mode",
    "interface",
    "linger",
    "mss4",
    "mss6",
    "cookie",
    "marks",
    "verified",
    "answers",
    "admin",
    "block",
    "limits",
    "service",
    "backend",
    "nftables",
];

fn root_table(reader: &mut Reader<'_>, table: &DeTable<'_>, policy: &mut Policy) {
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "mode" => reader.word(key, value, &[("guard", Mode::Guard), ("observe", Mode::Observe)], &mut policy.mode),
            "interface" => policy.interfaces = reader.strings(key, value),
            "backend" => reader.word(key, value, &BACKENDS, &mut policy.backend),
            "nftables" => reader.table(key, value, |reader, table| nftables(reader, table, policy)),
            "linger" => reader.duration(key, value, 1..=3600, &mut policy.linger),
            "mss4" => reader.optional_integer(key, value, 88..=65495, &mut policy.mss4),
            "mss6" => reader.optional_integer(key, value, 1220..=65475, &mut policy.mss6),
            "cookie" => reader.table(key, value, |reader, table| cookie(reader, table, policy)),
            "marks" => reader.table(key, value, |reader, table| marks(reader, table, &mut policy.marks)),
            "verified" => reader.table(key, value, |reader, table| verified(reader, table, &mut policy.verified)),
            "answers" => reader.table(key, value, |reader, table| answers(reader, table, policy)),
            "admin" => reader.table(key, value, |reader, table| lists::admin(reader, table, policy)),
            "block" => reader.table(key, value, |reader, table| lists::block(reader, table, policy)),
            "limits" => reader.table(key, value, |reader, table| limits::limits(reader, table, &mut policy.limits)),
            "service" => {}
            _ => reader.unknown(key, ROOT_KEYS),
        }
    }
    // After the rest, since a service takes the general marks where it has none of its own.
    if let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == "service") {
        services(reader, key, value, policy);
    }
}

const BACKENDS: [(&str, BackendChoice); 3] =
    [("auto", BackendChoice::Auto), ("xdp", BackendChoice::Xdp), ("nftables", BackendChoice::Nftables)];

fn nftables(reader: &mut Reader<'_>, table: &DeTable<'_>, policy: &mut Policy) {
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "synproxy" => reader.boolean(key, value, &mut policy.synproxy),
            _ => reader.unknown(key, &["synproxy"]),
        }
    }
}

fn cookie(reader: &mut Reader<'_>, table: &DeTable<'_>, policy: &mut Policy) {
    let words =
        [("auto", CompletionChoice::Auto), ("own", CompletionChoice::Own), ("kernel", CompletionChoice::Kernel)];
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "completion" => reader.word(key, value, &words, &mut policy.completion),
            _ => reader.unknown(key, &["completion"]),
        }
    }
}

fn marks(reader: &mut Reader<'_>, table: &DeTable<'_>, marks: &mut Marks) {
    let mut at = None;
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "calm" => reader.share(key, value, &mut marks.calm),
            "reserve" => reader.share(key, value, &mut marks.reserve),
            _ => reader.unknown(key, &["calm", "reserve"]),
        }
        at = at.or(Some(key));
    }
    if let Some(key) = at {
        reader.marks_in_order(key, *marks);
    }
}

fn verified(reader: &mut Reader<'_>, table: &DeTable<'_>, verified: &mut VerifiedPolicy) {
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "capacity4" => reader.integer(key, value, 1..=1 << 26, &mut verified.capacity4),
            "capacity6" => reader.integer(key, value, 1..=1 << 26, &mut verified.capacity6),
            "expiry" => reader.duration(key, value, 1..=30 * 86400, &mut verified.expiry),
            "rate" => reader.integer(key, value, 1..=100_000, &mut verified.rate),
            "burst" => reader.integer(key, value, 1..=100_000, &mut verified.burst),
            "prefix6" => reader.integer(key, value, 16..=64, &mut verified.prefix6),
            _ => reader.unknown(key, &["capacity4", "capacity6", "expiry", "rate", "burst", "prefix6"]),
        }
    }
}

fn answers(reader: &mut Reader<'_>, table: &DeTable<'_>, policy: &mut Policy) {
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "per_network" => reader.integer(key, value, 1..=100_000_000, &mut policy.answers_per_network),
            _ => reader.unknown(key, &["per_network"]),
        }
    }
}

fn services(reader: &mut Reader<'_>, key: &Key<'_>, value: &Value<'_>, policy: &mut Policy) {
    let DeValue::Array(array) = value.get_ref() else {
        return reader.wrong(key, value, "a list of tables: write [[service]], with two brackets");
    };
    for entry in array {
        let mut service = None;
        reader.table(key, entry, |reader, table| service = Some(one_service(reader, entry, table, policy)));
        policy.services.extend(service);
    }
}

const SERVICE_KEYS: &[&str] = &["ports", "speaks_first", "method", "protect", "calm", "reserve", "limit"];

fn one_service(reader: &mut Reader<'_>, entry: &Value<'_>, table: &DeTable<'_>, policy: &Policy) -> Service {
    let speakers = [("server", Some(Speaker::Server)), ("client", Some(Speaker::Client)), ("auto", None)];
    let methods =
        [("auto", MethodChoice::Auto), ("cookie", MethodChoice::Cookie), ("challenge", MethodChoice::Challenge)];
    let mut service = Service {
        ports: Vec::new(),
        speaks_first: None,
        method: MethodChoice::Auto,
        protect: true,
        marks: policy.marks,
        limit: None,
    };
    let mut marks_at = None;
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "ports" => service.ports = reader.ports(key, value, &policy.services),
            "speaks_first" => reader.word(key, value, &speakers, &mut service.speaks_first),
            "method" => reader.word(key, value, &methods, &mut service.method),
            "protect" => reader.boolean(key, value, &mut service.protect),
            "calm" => reader.share(key, value, &mut service.marks.calm),
            "reserve" => reader.share(key, value, &mut service.marks.reserve),
            "limit" => {
                let mut limit = 0;
                reader.integer(key, value, 0..=limits::RATE_MAX, &mut limit);
                service.limit = Some(limit);
            }
            _ => reader.unknown(key, SERVICE_KEYS),
        }
        if matches!(key.get_ref().as_ref(), "calm" | "reserve") {
            marks_at = Some(key);
        }
    }
    if !table.contains_key("ports") {
        reader.problem(entry.span(), "a service needs `ports`".to_owned(), Some("e.g. ports = [25, 587]".to_owned()));
    }
    if let Some(key) = marks_at {
        reader.marks_in_order(key, service.marks);
    }
    service
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, at: Range<usize>, message: String, suggestion: Option<String>) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
        self.problems.push(Problem { line, column, message, suggestion });
    }

    fn unknown(&mut self, key: &Key<'_>, known: &[&str]) {
        let suggestion = nearest(key.get_ref(), known)
            .map_or_else(|| format!("known here: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        self.problem(key.span(), format!("unknown key `{}`", key.get_ref()), Some(suggestion));
    }

    fn wrong(&mut self, key: &Key<'_>, value: &Value<'_>, wanted: &str) {
        let found = &self.text[value.span()];
        let found = if found.lines().count() == 1 { found } else { value.get_ref().type_str() };
        self.problem(value.span(), format!("`{}` must be {wanted}, not {found}", key.get_ref()), None);
    }

    fn table(&mut self, key: &Key<'_>, value: &Value<'_>, read: impl FnOnce(&mut Self, &DeTable<'_>)) {
        match value.get_ref() {
            DeValue::Table(table) => read(self, table),
            _ => self.wrong(key, value, &format!("a table: write [{}]", key.get_ref())),
        }
    }

    fn word<T: Copy>(&mut self, key: &Key<'_>, value: &Value<'_>, words: &[(&str, T)], into: &mut T) {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let wanted = format!("one of \"{}\"", known.join("\", \""));
        let DeValue::String(found) = value.get_ref() else {
            return self.wrong(key, value, &wanted);
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| word == found) {
            *into = *meaning;
        } else {
            let near = nearest(found, &known).map(|near| format!("did you mean \"{near}\"?"));
            let message = format!("`{}` must be {wanted}, not \"{found}\"", key.get_ref());
            self.problem(value.span(), message, near);
        }
    }

    fn strings(&mut self, key: &Key<'_>, value: &Value<'_>) -> Vec<String> {
        let wanted = "a list of interface names, e.g. [\"eth0\"]";
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(key, value, wanted);
            return Vec::new();
        };
        let mut strings = Vec::new();
        for entry in array {
            match entry.get_ref().as_str() {
                Some(string) if (1..=15).contains(&string.len()) => strings.push(string.to_owned()),
                _ => self.wrong(key, entry, wanted),
            }
        }
        strings
    }

    fn boolean(&mut self, key: &Key<'_>, value: &Value<'_>, into: &mut bool) {
        match value.get_ref().as_bool() {
            Some(found) => *into = found,
            None => self.wrong(key, value, "true or false"),
        }
    }

    fn integer<T: TryFrom<i64>>(&mut self, key: &Key<'_>, value: &Value<'_>, range: RangeInclusive<i64>, into: &mut T) {
        let found = whole(value.get_ref()).filter(|number| range.contains(number));
        match found.and_then(|number| T::try_from(number).ok()) {
            Some(number) => *into = number,
            None => self.wrong(key, value, &format!("a whole number from {} to {}", range.start(), range.end())),
        }
    }

    fn optional_integer(
        &mut self,
        key: &Key<'_>,
        value: &Value<'_>,
        range: RangeInclusive<i64>,
        into: &mut Option<u16>,
    ) {
        let mut number = 0;
        self.integer(key, value, range, &mut number);
        *into = Some(number);
    }

    fn share(&mut self, key: &Key<'_>, value: &Value<'_>, into: &mut f64) {
        let found = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => integer.as_str().parse().ok(),
            _ => None,
        };
        match found {
            Some(share) if (0.0..=1.0).contains(&share) => *into = share,
            Some(percent) if percent > 1.0 && percent <= 100.0 => {
                let message = format!("`{}` must be a share from 0 to 1, not {percent}", key.get_ref());
                let suggestion = format!("{percent} percent is {}", percent / 100.0);
                self.problem(value.span(), message, Some(suggestion));
            }
            _ => self.wrong(key, value, "a share from 0 to 1, e.g. 0.25"),
        }
    }

    fn marks_in_order(&mut self, key: &Key<'_>, marks: Marks) {
        if marks.calm >= marks.reserve {
            let message = format!(
                "the calm mark ({}) must be below the reserve mark ({}): between them is the room for verified sources",
                marks.calm, marks.reserve
            );
            self.problem(key.span(), message, None);
        }
    }

    fn duration(&mut self, key: &Key<'_>, value: &Value<'_>, seconds: RangeInclusive<u64>, into: &mut Duration) {
        let found = match value.get_ref() {
            DeValue::String(text) => duration_seconds(text),
            number => whole(number).and_then(|number| u64::try_from(number).ok()),
        };
        match found {
            Some(found) if seconds.contains(&found) => *into = Duration::from_secs(found),
            _ => {
                let wanted = format!(
                    "a time from {} to {}, e.g. \"60s\", \"5m\", \"1h\"",
                    duration_text(*seconds.start()),
                    duration_text(*seconds.end())
                );
                self.wrong(key, value, &wanted);
            }
        }
    }

    fn ports(&mut self, key: &Key<'_>, value: &Value<'_>, others: &[Service]) -> Vec<RangeInclusive<u16>> {
        let wanted = "a list of ports and ranges, e.g. [25, \"8000-8010\"]";
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(key, value, wanted);
            return Vec::new();
        };
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for entry in array {
            let Some(range) = port_range(entry.get_ref()) else {
                self.wrong(key, entry, wanted);
                continue;
            };
            let taken = others.iter().flat_map(|other| &other.ports).chain(&ranges);
            if let Some(port) = taken.filter_map(|other| overlap(other, &range)).next() {
                self.problem(entry.span(), format!("port {port} is named twice"), None);
            }
            ranges.push(range);
        }
        ranges
    }
}

fn whole(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn port_range(value: &DeValue<'_>) -> Option<RangeInclusive<u16>> {
    let (first, last) = match value {
        DeValue::String(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            (first.trim().parse().ok()?, last.trim().parse().ok()?)
        }
        number => {
            let port = u16::try_from(whole(number)?).ok()?;
            (port, port)
        }
    };
    (1 <= first && first <= last).then_some(first..=last)
}

fn overlap(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> Option<u16> {
    let first = *one.start().max(other.start());
    (first <= *one.end().min(other.end())).then_some(first)
}

/// Seconds of "90", "90s", "5m", "1h", "2d".
pub fn duration_seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().ok()?;
    let unit = match text[split..].trim() {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The shortest way to write a time, as the configuration takes it.
pub fn duration_text(seconds: u64) -> String {
    match seconds {
        0 => "0s".to_owned(),
        s if s % 86400 == 0 => format!("{}d", s / 86400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// The known word that was probably meant. Two slips at most, and never more than a third of the word.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let slips = |candidate: &str| strsim::damerau_levenshtein(&word.to_lowercase(), candidate);
    let near = known.iter().min_by_key(|candidate| slips(candidate))?;
    let prefix = word.len() >= 3 && known.iter().filter(|candidate| candidate.starts_with(word)).count() == 1;
    if prefix {
        return known.iter().find(|candidate| candidate.starts_with(word)).copied();
    }
    (slips(near) <= 2.min(near.len() / 3).max(1)).then_some(*near)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        match policy(text, Path::new("sekisho.toml")) {
            Err(ConfigError::Mistakes { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
            other => panic!("expected mistakes, got {other:?}"),
        }
    }

    #[test]
    fn nothing_is_a_good_configuration() {
        assert_eq!(policy("", Path::new("x")).unwrap(), Policy::default());
        assert_eq!(policy("# nothing\n[marks]\n[verified]\n", Path::new("x")).unwrap(), Policy::default());
    }

    #[test]
    fn everything_can_be_set() {
        let text = r#"
            mode = "observe"
            interface = ["eth0", "eth1"]
            linger = "2m"
            mss4 = 1400
            mss6 = 1380
            [cookie]
            completion = "kernel"
            [marks]
            calm = 0.1
            reserve = 0.9
            [verified]
            capacity4 = 1000
            capacity6 = 0x100
            expiry = "2h"
            rate = 5
            burst = 10
            prefix6 = 56
            [answers]
            per_network = 100
            [[service]]
            ports = [25, "8000-8010"]
            speaks_first = "client"
            method = "challenge"
            protect = false
            calm = 0.2
            reserve = 1
        "#;
        let read = policy(text, Path::new("x")).unwrap();
        let expected = Policy {
            mode: Mode::Observe,
            interfaces: vec!["eth0".into(), "eth1".into()],
            completion: CompletionChoice::Kernel,
            marks: Marks { calm: 0.1, reserve: 0.9 },
            linger: Duration::from_secs(120),
            verified: VerifiedPolicy {
                capacity4: 1000,
                capacity6: 256,
                expiry: Duration::from_secs(7200),
                rate: 5,
                burst: 10,
                prefix6: 56,
            },
            answers_per_network: 100,
            mss4: Some(1400),
            mss6: Some(1380),
            limits: crate::policy::LimitPolicy::default(),
            services: vec![Service {
                ports: vec![25..=25, 8000..=8010],
                speaks_first: Some(Speaker::Client),
                method: MethodChoice::Challenge,
                protect: false,
                marks: Marks { calm: 0.2, reserve: 1.0 },
                limit: None,
            }],
            ..Policy::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line_and_what_was_meant() {
        assert_eq!(
            mistakes("mode = \"guard\"\n\nintreface = [\"eth0\"]\n"),
            ["3:1: unknown key `intreface` (did you mean `interface`?)"]
        );
        assert_eq!(mistakes("[verified]\ncapacity = 5\n").len(), 1);
        assert_eq!(
            mistakes("[[service]]\nports = [1]\nspeaks = \"server\"\n"),
            ["3:1: unknown key `speaks` (did you mean `speaks_first`?)"]
        );
        assert_eq!(mistakes("[marks]\nfull = 1\n"), ["2:1: unknown key `full` (known here: calm, reserve)"]);
    }

    #[test]
    fn a_bad_value_is_told_with_its_place_and_what_is_allowed() {
        assert_eq!(
            mistakes("mode = \"gard\""),
            ["1:8: `mode` must be one of \"guard\", \"observe\", not \"gard\" (did you mean \"guard\"?)"]
        );
        assert_eq!(
            mistakes("[marks]\n  calm = 25\n"),
            ["2:10: `calm` must be a share from 0 to 1, not 25 (25 percent is 0.25)"]
        );
        assert_eq!(mistakes("linger = \"soon\"").len(), 1);
        assert_eq!(mistakes("[verified]\nrate = 0"), ["2:8: `rate` must be a whole number from 1 to 100000, not 0"]);
        assert_eq!(
            mistakes("interface = \"eth0\""),
            ["1:13: `interface` must be a list of interface names, e.g. [\"eth0\"], not \"eth0\""]
        );
        assert_eq!(
            mistakes("[service]\nports = [1]"),
            ["1:1: `service` must be a list of tables: write [[service]], with two brackets, not [service]"]
        );
    }

    #[test]
    fn ports_are_checked() {
        let wanted = "must be a list of ports and ranges, e.g. [25, \"8000-8010\"]";
        assert_eq!(
            mistakes("[[service]]\nports = [0, 70000, \"9-5\", \"x\"]\n"),
            [
                format!("2:10: `ports` {wanted}, not 0"),
                format!("2:13: `ports` {wanted}, not 70000"),
                format!("2:20: `ports` {wanted}, not \"9-5\""),
                format!("2:27: `ports` {wanted}, not \"x\""),
            ]
        );
        assert_eq!(
            mistakes("[[service]]\nports = [\"20-30\"]\n[[service]]\nports = [25]\n"),
            ["4:10: port 25 is named twice"]
        );
        assert_eq!(mistakes("[[service]]\n"), ["1:1: a service needs `ports` (e.g. ports = [25, 587])"]);
    }

    #[test]
    fn marks_must_leave_room_between_them() {
        assert_eq!(mistakes("[marks]\ncalm = 0.8\n").len(), 1, "the default reserve mark is 0.75");
        assert_eq!(mistakes("[[service]]\nports = [1]\ncalm = 0.5\nreserve = 0.5\n").len(), 1);
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let found = mistakes("mode = \"guard\"\ninterface = [\n");
        assert!(found[0].starts_with("2:") || found[0].starts_with("3:"), "{found:?}");
    }

    #[test]
    fn all_mistakes_are_told_at_once_in_order() {
        let found = mistakes("mood = 1\nlinger = \"x\"\n[marks]\ncalm = -1\n");
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with("1:") && found[1].starts_with("2:") && found[2].starts_with("4:"), "{found:?}");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration_seconds("90"), Some(90));
        assert_eq!(duration_seconds("5m"), Some(300));
        assert_eq!(duration_seconds("2 h"), Some(7200));
        assert_eq!(duration_seconds("1d"), Some(86400));
        assert_eq!(duration_seconds("5 parsecs"), None);
        assert_eq!(duration_text(3600), "1h");
        assert_eq!(duration_text(90), "90s");
    }
}
