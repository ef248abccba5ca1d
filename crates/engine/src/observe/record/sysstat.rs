//! sysstat's numbers, as `sadf -j` prints them.
//!
//! Its layout changes from version to version: names of fields, where `utc` or `tz` stands, which parts there are. So parts are looked
//! up by their names wherever they are, with all the names that they have had, and what is not there is left out. The file is never
//! held as a whole: `pieces` cuts it into its samples, and a file that was cut off gives those before the cut.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use super::clock::{Clock, Zone};
use super::event::{Event, EventKind};
use super::{Host, Metric, Sample, Source, Time};

/// A sample of a machine with hundreds of CPUs and interfaces has some 100 KB.
const PIECE_BYTES_MAX: usize = 4 << 20;
/// How deep brackets may be nested. serde_json has a bound of 128 for itself.
const DEPTH_MAX: usize = 64;

/// What a file of sysstat told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sysstat {
    /// The machine, as far as its header tells.
    pub host: Host,
    /// The samples.
    pub samples: Vec<Sample>,
    /// Boots.
    pub events: Vec<Event>,
    /// Pieces that were not understood.
    pub not_understood: u64,
    /// Whether the file ends before its last bracket.
    pub truncated: bool,
    /// Whether some time stood there without a zone.
    pub zone_assumed: bool,
}

/// Reads what `sadf -j` printed.
///
/// # Errors
/// When reading fails; what was read before is lost with it.
pub fn read(from: impl BufRead, zone: Zone, samples_max: usize) -> io::Result<Sysstat> {
    let mut found = Sysstat::default();
    let whole = pieces(from, |list, bytes| match (list, serde_json::from_slice(bytes)) {
        ("header", Ok(Value::Object(header))) => found.header(&header),
        ("statistics", Ok(Value::Object(statistics))) if found.samples.len() < samples_max => {
            found.sample(&statistics, zone);
        }
        ("restarts", Ok(Value::Object(restart))) => found.restart(&restart, zone),
        ("comments", _) => {}
        _ => found.not_understood += 1,
    })?;
    found.truncated = !whole;
    Ok(found)
}

/// Streams through JSON and gives each object in a list named statistics, restarts or comments, and as "header" the simple fields that
/// stand beside those lists. Returns whether the JSON came to its end.
fn pieces(mut from: impl BufRead, mut give: impl FnMut(&str, &[u8])) -> io::Result<bool> {
    let mut cutter = Cutter::default();
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(cutter.begun && cutter.open.is_empty());
        }
        for byte in bytes {
            cutter.push(*byte, &mut give);
        }
        let used = bytes.len();
        from.consume(used);
    }
}

/// Follows brackets and strings, and keeps the bytes of the piece it is in.
#[derive(Default)]
struct Cutter {
    begun: bool,
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
    string: Vec<u8>,
    key: String,
    /// The list that we are in and how many brackets were open where it began.
    list: Option<(&'static str, usize)>,
    piece: Vec<u8>,
    too_large: bool,
}

impl Cutter {
    fn push(&mut self, byte: u8, give: &mut impl FnMut(&str, &[u8])) {
        let in_piece = self.list.is_some_and(|(_, depth)| self.open.len() > depth);
        if in_piece {
            self.keep(byte);
        }
        if self.in_string {
            self.in_string(byte);
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.string.clear();
            }
            b':' => {
                self.key = String::from_utf8_lossy(&self.string).into_owned();
                self.string.clear();
            }
            b'{' | b'[' => self.opened(byte),
            b'}' | b']' => self.closed(give),
            b',' if self.list.is_none() => self.header(give),
            _ if self.list.is_none() && !byte.is_ascii_whitespace() && self.string.len() < 64 => self.string.push(byte),
            _ => {}
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.piece.len() < PIECE_BYTES_MAX {
            self.piece.push(byte);
        } else {
            self.too_large = true;
        }
    }

    fn in_string(&mut self, byte: u8) {
        match (self.escaped, byte) {
            (false, b'"') => self.in_string = false,
            (false, b'\\') => self.escaped = true,
            _ => {
                self.escaped = false;
                if self.string.len() < 256 {
                    self.string.push(byte);
                }
            }
        }
    }

    fn opened(&mut self, byte: u8) {
        self.begun = true;
        if self.open.len() >= DEPTH_MAX {
            // No file of sysstat is so deep: what follows is not read as one.
            self.list = None;
            return;
        }
        if self.list.is_none() && byte == b'[' {
            let known = ["statistics", "restarts", "comments"].into_iter().find(|list| *list == self.key);
            self.list = known.map(|list| (list, self.open.len() + 1));
        } else if self.list.is_some_and(|(_, depth)| self.open.len() == depth) {
            self.piece.clear();
            self.too_large = false;
            self.piece.push(byte);
        }
        self.open.push(byte);
        self.string.clear();
    }

    fn closed(&mut self, give: &mut impl FnMut(&str, &[u8])) {
        self.open.pop();
        match self.list {
            Some((list, depth)) if self.open.len() == depth => {
                give(list, if self.too_large { b"" } else { &self.piece });
                self.piece.clear();
            }
            Some((_, depth)) if self.open.len() < depth => self.list = None,
            _ => {}
        }
        self.key.clear();
        self.string.clear();
    }

    /// A simple field beside the lists, as an object of its own.
    fn header(&mut self, give: &mut impl FnMut(&str, &[u8])) {
        if !self.key.is_empty() {
            let mut field = Map::new();
            field.insert(std::mem::take(&mut self.key), String::from_utf8_lossy(&self.string).into());
            give("header", Value::Object(field).to_string().as_bytes());
        }
        self.string.clear();
    }
}

impl Sysstat {
    fn header(&mut self, field: &Map<String, Value>) {
        let text = |name: &str| field.get(name).and_then(Value::as_str).map(str::to_owned);
        self.host.name = self.host.name.take().or_else(|| text("nodename"));
        self.host.kernel = self.host.kernel.take().or_else(|| text("release"));
        self.host.cpus = self.host.cpus.or_else(|| text("number-of-cpus")?.parse().ok());
    }

    fn sample(&mut self, statistics: &Map<String, Value>, zone: Zone) {
        let Some(at) = statistics.get("timestamp").and_then(|stamp| self.time(stamp, zone)) else {
            self.not_understood += 1;
            return;
        };
        let interval = statistics.get("timestamp").and_then(|stamp| stamp.get("interval")).and_then(Value::as_f64);
        let values = values(statistics);
        self.memory(statistics);
        self.samples.push(Sample {
            at,
            interval_ms: (interval.unwrap_or(0.0).max(0.0) * 1000.0) as u64,
            source: Source::Sysstat,
            values,
        });
    }

    /// Main memory is not told as such, but what is used is, and its share (to a hundredth of a percent).
    fn memory(&mut self, statistics: &Map<String, Value>) {
        let Some(memory) = part(statistics, &["memory"]) else { return };
        let kibibytes = |name: &str| number(memory, &[name]);
        let share = kibibytes("memused-percent").filter(|share| *share > 1.0);
        if let (None, Some(used), Some(share)) = (self.host.memory_bytes, kibibytes("memused"), share) {
            self.host.memory_bytes = Some((used * 100.0 / share * 1024.0) as u64);
        }
        if let (None, Some(free), Some(used)) = (self.host.swap_bytes, kibibytes("swpfree"), kibibytes("swpused")) {
            self.host.swap_bytes = Some(((free + used) * 1024.0) as u64);
        }
    }

    fn restart(&mut self, restart: &Map<String, Value>, zone: Zone) {
        let at = restart.get("boot").unwrap_or(&Value::Null);
        let at = self.time(at, zone).or_else(|| self.time(&Value::Object(restart.clone()), zone));
        if at.is_some() {
            self.events.push(Event { at, last: None, count: 1, source: Source::Sysstat, kind: EventKind::Boot });
        }
    }

    /// `{"date": .., "time": .., "utc": 1}`, since 12.7 `"tz": "UTC"` instead; local times without a zone come from `sadf -t`.
    fn time(&mut self, stamp: &Value, zone: Zone) -> Option<Time> {
        let text = |name: &str| stamp.get(name).and_then(Value::as_str);
        let utc = stamp.get("utc").is_some_and(|utc| utc.as_u64() == Some(1) || utc.as_str() == Some("1"));
        let utc = utc || matches!(text("tz"), Some("UTC" | "GMT" | "Z"));
        let clock = Clock { zone: if utc { Zone::Fixed(0) } else { zone }, written: Time(0), booted: None };
        let (stamp, _) = clock.read(&format!("{} {}", text("date")?, text("time")?))?;
        self.zone_assumed |= !utc;
        stamp.at
    }
}

/// Looks for an object or list of one of these names, at any depth of objects.
fn part<'v>(within: &'v Map<String, Value>, names: &[&str]) -> Option<&'v Value> {
    let direct = names.iter().find_map(|name| within.get(*name));
    direct.or_else(|| within.values().filter_map(Value::as_object).find_map(|inner| part(inner, names)))
}

fn number(within: &Value, names: &[&str]) -> Option<f64> {
    let value = names.iter().find_map(|name| within.get(*name))?;
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite())
}

type Values = std::collections::BTreeMap<Metric, f64>;

/// Parts that are one object: names of the part, then metric, names of the field, and factor.
type Fields = &'static [(Metric, &'static [&'static str], f64)];
const PARTS: &[(&[&str], Fields)] = &[
    (&["swap-pages"], &[(Metric::SwapIn, &["pswpin"], 1.0), (Metric::SwapOut, &["pswpout"], 1.0)]),
    (&["paging"], &[(Metric::MajorFaults, &["majflt"], 1.0)]),
    (
        &["memory"],
        &[
            (Metric::MemoryAvailable, &["avail"], 1024.0),
            (Metric::MemoryUsed, &["memused-percent"], 1.0),
            (Metric::MemoryCommitted, &["commit-percent"], 1.0),
            (Metric::SwapUsed, &["swpused"], 1024.0),
            (Metric::SwapUsedShare, &["swpused-percent"], 1.0),
        ],
    ),
    (
        &["queue"],
        &[
            (Metric::RunQueue, &["runq-sz"], 1.0),
            (Metric::Tasks, &["plist-sz"], 1.0),
            (Metric::Load1, &["ldavg-1"], 1.0),
            (Metric::Load5, &["ldavg-5"], 1.0),
            (Metric::Load15, &["ldavg-15"], 1.0),
            (Metric::Blocked, &["blocked"], 1.0),
        ],
    ),
    (&["net-sock"], &[(Metric::TimeWait, &["tcp-tw"], 1.0)]),
    (
        &["net-tcp"],
        &[
            (Metric::ActiveOpens, &["active"], 1.0),
            (Metric::PassiveOpens, &["passive"], 1.0),
            (Metric::SegmentsIn, &["iseg"], 1.0),
            (Metric::SegmentsOut, &["oseg"], 1.0),
        ],
    ),
    (
        &["net-etcp"],
        &[
            (Metric::AttemptFails, &["atmptf"], 1.0),
            (Metric::EstablishedResets, &["estres"], 1.0),
            (Metric::SegmentsRetransmitted, &["retrans"], 1.0),
            (Metric::SegmentErrors, &["isegerr"], 1.0),
            (Metric::ResetsSent, &["orsts"], 1.0),
        ],
    ),
    (&["psi-cpu"], &[(Metric::PressureCpuSome, &["some_avg", "some", "some_avg10"], 1.0)]),
    (&["psi-io"], &[(Metric::PressureIoSome, &["some_avg", "some", "some_avg10"], 1.0)]),
    (
        &["psi-mem", "psi-memory"],
        &[
            (Metric::PressureMemorySome, &["some_avg", "some", "some_avg10"], 1.0),
            (Metric::PressureMemoryFull, &["full_avg", "full", "full_avg10"], 1.0),
        ],
    ),
];

fn values(statistics: &Map<String, Value>) -> Values {
    let mut values = Values::new();
    for (names, fields) in PARTS {
        let Some(part) = part(statistics, names) else { continue };
        for (metric, names, factor) in *fields {
            if let Some(value) = number(part, names) {
                values.insert(*metric, value * factor);
            }
        }
    }
    cpus(statistics, &mut values);
    interfaces(statistics, &mut values);
    softnet(statistics, &mut values);
    values
}

fn list<'v>(statistics: &'v Map<String, Value>, names: &[&str]) -> &'v [Value] {
    part(statistics, names).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_all(entry: &Value) -> bool {
    entry.get("cpu").is_some_and(|cpu| cpu.as_str() == Some("all") || cpu.as_i64() == Some(-1))
}

fn cpus(statistics: &Map<String, Value>, values: &mut Values) {
    let cpus = list(statistics, &["cpu-load", "cpu-load-all"]);
    let fields: Fields = &[
        (Metric::CpuUser, &["usr", "user"], 1.0),
        (Metric::CpuSystem, &["sys", "system"], 1.0),
        (Metric::CpuWait, &["iowait"], 1.0),
        (Metric::CpuSteal, &["steal"], 1.0),
        (Metric::CpuSoftirq, &["soft"], 1.0),
        (Metric::CpuIdle, &["idle"], 1.0),
    ];
    for all in cpus.iter().filter(|entry| is_all(entry)) {
        values.extend(fields.iter().filter_map(|(metric, names, _)| Some((*metric, number(all, names)?))));
    }
    let each = cpus.iter().filter(|entry| !is_all(entry)).filter_map(|entry| number(entry, &["soft"]));
    values.extend(each.max_by(f64::total_cmp).map(|busiest| (Metric::CpuSoftirqBusiest, busiest)));
}

/// Adds up all interfaces but loopback.
fn interfaces(statistics: &Map<String, Value>, values: &mut Values) {
    let sum = |names: &[&str], field: &[&str]| {
        let real = list(statistics, names)
            .iter()
            .filter(|entry| entry.get("iface").and_then(Value::as_str).is_some_and(|name| name != "lo"));
        real.filter_map(|entry| number(entry, field)).reduce(|one, other| one + other)
    };
    let sums = [
        (Metric::PacketsIn, sum(&["net-dev"], &["rxpck"])),
        (Metric::PacketsOut, sum(&["net-dev"], &["txpck"])),
        (Metric::BytesIn, sum(&["net-dev"], &["rxkB"]).map(|kilobytes| kilobytes * 1024.0)),
        (Metric::BytesOut, sum(&["net-dev"], &["txkB"]).map(|kilobytes| kilobytes * 1024.0)),
        (Metric::InterfaceDropsIn, sum(&["net-edev"], &["rxdrop"])),
        (Metric::InterfaceOverruns, sum(&["net-edev"], &["rxfifo"])),
    ];
    values.extend(sums.into_iter().filter_map(|(metric, value)| Some((metric, value?))));
    let used = list(statistics, &["net-dev"]).iter().filter_map(|entry| number(entry, &["ifutil-percent"]));
    values.extend(used.max_by(f64::total_cmp).map(|most| (Metric::InterfaceUse, most)));
}

fn softnet(statistics: &Map<String, Value>, values: &mut Values) {
    let Some(all) = list(statistics, &["softnet"]).iter().find(|entry| is_all(entry)) else { return };
    let fields: Fields =
        &[(Metric::SoftnetDrops, &["dropd"], 1.0), (Metric::SoftnetSqueezed, &["squeezd", "sqeezd"], 1.0)];
    values.extend(fields.iter().filter_map(|(metric, names, _)| Some((*metric, number(all, names)?))));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As sysstat 12.6 prints it, shortened.
    const RECENT: &str = r#"{"sysstat": {
	"hosts": [
		{
			"nodename": "web1",
			"sysname": "Linux",
			"release": "6.1.0-28-amd64",
			"machine": "x86_64",
			"number-of-cpus": 2,
			"file-date": "2026-11-30",
			"file-utc-time": "00:00:00",
			"timezone": "JST",
			"statistics": [
				{
					"timestamp": {"date": "2026-11-30", "time": "00:10:01", "utc": 1, "interval": 600},
					"cpu-load": [
						{"cpu": "all", "usr": 30.00, "sys": 11.00, "iowait": 3.5, "steal": 0.50, "soft": 7.00, "idle": 0.00},
						{"cpu": "0", "usr": 5.10, "sys": 8.16, "soft": 14.00, "idle": 0.00},
						{"cpu": "1", "usr": 5.10, "sys": 8.16, "soft": 0.00, "idle": 0.00}
					],
					"swap-pages": {"pswpin": 812.00, "pswpout": 411.00},
					"memory": {"memfree": 5107136, "avail": 1000, "memused": 985100, "memused-percent": 98.51, "commit-percent": 182.08, "swpfree": 48, "swpused": 2000, "swpused-percent": 95.00},
					"queue": {"runq-sz": 9, "plist-sz": 183, "ldavg-1": 208.02, "ldavg-5": 8.03, "ldavg-15": 7.64, "blocked": 120},
					"network": {
						"net-dev": [
							{"iface": "lo", "rxpck": 1000.00, "rxkB": 0.00, "ifutil-percent": 0.00},
							{"iface": "eth0", "rxpck": 5.00, "txpck": 6.00, "rxkB": 2.00, "txkB": 0.00, "ifutil-percent": 3.00},
							{"iface": "eth1", "rxpck": 7.00, "txpck": 6.00, "rxkB": 1.00, "txkB": 0.00, "ifutil-percent": 1.00}
						],
						"net-edev": [{"iface": "eth0", "rxdrop": 4.00, "rxfifo": 1.00}],
						"net-tcp": {"active": 0.00, "passive": 61.50, "iseg": 0.00, "oseg": 0.00},
						"net-etcp": {"atmptf": 2.00, "estres": 0.00, "retrans": 33.00, "isegerr": 0.00, "orsts": 0.00},
						"softnet": [{"cpu": "all", "total": 10.00, "dropd": 2.00, "squeezd": 1.00}]
					},
					"psi": {"psi-mem": {"some_avg10": 0.00, "some_avg": 41.00, "full_avg": 22.00}}
				},
				{
					"timestamp": {"date": "2026-11-30", "time": "00:20:01", "tz": "UTC", "interval": 600},
					"network": {"net-tcp": {"passive": 1.00}}
				}
			],
			"restarts": [
				{"boot": {"date": "2026-11-30", "time": "00:05:00", "utc": 1, "cpu_count": 2}}
			],
			"comments": []
		}
	]
}}"#;

    fn parse(text: &str) -> Sysstat {
        read(io::BufReader::with_capacity(7, text.as_bytes()), Zone::Fixed(9 * 3600), 100).unwrap()
    }

    #[test]
    fn a_recent_layout() {
        let found = parse(RECENT);
        assert_eq!((found.truncated, found.not_understood, found.zone_assumed), (false, 0, false));
        assert_eq!(found.host.name.as_deref(), Some("web1"));
        assert_eq!((found.host.kernel.as_deref(), found.host.cpus), (Some("6.1.0-28-amd64"), Some(2)));
        assert_eq!((found.host.memory_bytes, found.host.swap_bytes), (Some(1_024_000_000), Some(2048 * 1024)));
        assert_eq!(found.samples.len(), 2);
        let sample = &found.samples[0];
        assert_eq!((sample.at, sample.interval_ms), (Time(1_795_997_401_000), 600_000));
        for (metric, value) in [
            (Metric::CpuUser, 30.0),
            (Metric::CpuSoftirqBusiest, 14.0),
            (Metric::MemoryAvailable, 1_024_000.0),
            (Metric::MemoryCommitted, 182.08),
            (Metric::Load1, 208.02),
            (Metric::Blocked, 120.0),
            (Metric::PacketsIn, 12.0),
            (Metric::BytesIn, 3072.0),
            (Metric::InterfaceUse, 3.0),
            (Metric::PassiveOpens, 61.5),
            (Metric::SegmentsRetransmitted, 33.0),
            (Metric::SoftnetDrops, 2.0),
            (Metric::PressureMemoryFull, 22.0),
            (Metric::SwapOut, 411.0),
        ] {
            assert_eq!(sample.values.get(&metric), Some(&value), "{metric:?}");
        }
        assert_eq!(sample.values.get(&Metric::PressureCpuSome), None, "what is not there is absent, not zero");
        assert_eq!(found.samples[1].at.since_ms(sample.at), 600_000);
        assert_eq!((found.events.len(), &found.events[0].kind), (1, &EventKind::Boot));
    }

    #[test]
    fn an_old_layout_in_local_time() {
        // sysstat 11: user and system, softnet without "all" in the network part, sadf -t.
        let text = r#"{"sysstat": {"sysdata-version": 2.15, "hosts": [{"nodename": "old", "number-of-cpus": 4, "statistics": [
            {"timestamp": {"date": "2026-11-30", "time": "09:10:01", "utc": 0, "interval": 600},
             "cpu-load": [{"cpu": "all", "user": 12.5, "nice": 0.0, "system": 2.5, "iowait": 0.0, "steal": 0.0, "idle": 85.0}],
             "network": {"net-tcp": {"active": 0.1, "passive": 2.0}}}], "restarts": []}]}}"#;
        let found = parse(text);
        assert!(found.zone_assumed);
        assert_eq!(found.samples[0].at, Time(1_795_997_401_000));
        assert_eq!(found.samples[0].values.get(&Metric::CpuUser), Some(&12.5));
        assert_eq!(found.samples[0].values.get(&Metric::CpuSoftirq), None);
    }

    #[test]
    fn a_cut_file_gives_what_came_before_and_garbage_gives_nothing() {
        let at = RECENT.find("00:20:01").unwrap();
        let found = parse(&RECENT[..at]);
        assert_eq!((found.samples.len(), found.truncated), (1, true));
        for text in ["", "{", "]]]]}}", "\"statistics\": [{{{", "nonsense", &"[".repeat(100_000)] {
            let found = parse(text);
            assert!(found.samples.is_empty() && found.truncated, "{}", &text[..text.len().min(20)]);
        }
        let found =
            parse("{\"statistics\": [{\"timestamp\": 7}, 5, {\"timestamp\": {\"date\": \"é\", \"time\": \"\"}}]}");
        assert_eq!((found.samples.len(), found.not_understood), (0, 2));
    }
}
