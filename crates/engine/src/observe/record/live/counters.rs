//! The kernel's counters, and what they say of the time between two looks.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::super::Metric;

/// Counters of /proc/net/snmp and netstat, by their group and name.
const TCP: &[(&str, &str, Metric)] = &[
    ("Tcp:", "PassiveOpens", Metric::PassiveOpens),
    ("Tcp:", "ActiveOpens", Metric::ActiveOpens),
    ("Tcp:", "AttemptFails", Metric::AttemptFails),
    ("Tcp:", "EstabResets", Metric::EstablishedResets),
    ("Tcp:", "InSegs", Metric::SegmentsIn),
    ("Tcp:", "OutSegs", Metric::SegmentsOut),
    ("Tcp:", "RetransSegs", Metric::SegmentsRetransmitted),
    ("Tcp:", "InErrs", Metric::SegmentErrors),
    ("Tcp:", "OutRsts", Metric::ResetsSent),
    ("TcpExt:", "ListenOverflows", Metric::ListenOverflows),
    ("TcpExt:", "ListenDrops", Metric::ListenDrops),
    ("TcpExt:", "SyncookiesSent", Metric::CookiesSent),
    ("TcpExt:", "SyncookiesRecv", Metric::CookiesReceived),
    ("TcpExt:", "SyncookiesFailed", Metric::CookiesFailed),
    ("TcpExt:", "TCPReqQFullDoCookies", Metric::SynQueueFullCookies),
    ("TcpExt:", "TCPReqQFullDrop", Metric::SynQueueFullDrops),
    ("TcpExt:", "TCPSynRetrans", Metric::SynRetransmitted),
    ("TcpExt:", "TCPTimeouts", Metric::Timeouts),
    ("TcpExt:", "TCPAbortOnMemory", Metric::AbortsOnMemory),
    ("TcpExt:", "TCPChallengeACK", Metric::ChallengeAcks),
];

/// One look at all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    /// What only grows.
    growing: BTreeMap<Metric, f64>,
    /// What is at the moment.
    moment: BTreeMap<Metric, f64>,
    /// CPU time, all first and then each CPU: user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5)).
    cpus: Vec<[f64; 8]>,
}

impl Counters {
    /// Looks.
    pub fn read() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let net = |name: &str| file(&format!("/proc/thread-self/net/{name}"));
        let mut counters = Self::default();
        counters.tcp(&net("snmp"));
        counters.tcp(&net("netstat"));
        counters.sockstat(&net("sockstat"));
        counters.interfaces(&net("dev"));
        counters.softnet(&file("/proc/net/softnet_stat"));
        counters.stat(&file("/proc/stat"));
        counters.vmstat(&file("/proc/vmstat"));
        counters.memory(&file("/proc/meminfo"));
        counters.load(&file("/proc/loadavg"));
        counters.pressure("memory", &file("/proc/pressure/memory"));
        counters.pressure("cpu", &file("/proc/pressure/cpu"));
        counters.pressure("io", &file("/proc/pressure/io"));
        counters
    }

    /// Rates between an earlier look and this one, and what is at the moment.
    pub fn since(&self, before: &Self, between: Duration) -> BTreeMap<Metric, f64> {
        let seconds = between.as_secs_f64().max(0.001);
        let mut values = self.moment.clone();
        for (metric, value) in &self.growing {
            let grown = (value - before.growing.get(metric).unwrap_or(value)).max(0.0);
            let kills = *metric == Metric::OutOfMemoryKills;
            values.insert(*metric, if kills { grown } else { grown / seconds });
        }
        let shares: Vec<[f64; 8]> = self.cpus.iter().zip(&before.cpus).map(|(now, then)| percent(now, then)).collect();
        if let Some((all, each)) = shares.split_first() {
            let named = [
                (Metric::CpuUser, all[0] + all[1]),
                (Metric::CpuSystem, all[2]),
                (Metric::CpuIdle, all[3]),
                (Metric::CpuWait, all[4]),
                (Metric::CpuSoftirq, all[6]),
                (Metric::CpuSteal, all[7]),
            ];
            values.extend(named);
            let busiest = each.iter().map(|cpu| cpu[6]).max_by(f64::total_cmp);
            values.extend(busiest.map(|share| (Metric::CpuSoftirqBusiest, share)));
        }
        values
    }

    /// What was counted since the start.
    pub fn totals(&self) -> BTreeMap<Metric, f64> {
        self.growing.clone()
    }

    /// A line of names, then a line of values, with the same first word.
    fn tcp(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let names = pair[0].split_whitespace();
            let group = pair[0].split_whitespace().next().unwrap_or_default();
            for (name, value) in names.zip(pair[1].split_whitespace()).skip(1) {
                let known = TCP.iter().find(|(of, counter, _)| *of == group && *counter == name);
                let Ok(value) = value.parse::<f64>() else { continue };
                if let Some((_, _, metric)) = known {
                    self.growing.insert(*metric, value);
                } else if (group, name) == ("Tcp:", "CurrEstab") {
                    self.moment.insert(Metric::Established, value);
                }
            }
        }
    }

    fn sockstat(&mut self, text: &str) {
        let Some(line) = text.lines().find_map(|line| line.strip_prefix("TCP:")) else { return };
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.chunks_exact(2) {
            let Ok(value) = pair[1].parse::<f64>() else { continue };
            match pair[0] {
                "orphan" => self.moment.insert(Metric::Orphans, value),
                "tw" => self.moment.insert(Metric::TimeWait, value),
                "mem" => self.moment.insert(Metric::TcpMemory, value * page_bytes()),
                _ => None,
            };
        }
    }

    /// All interfaces but loopback, added up.
    fn interfaces(&mut self, text: &str) {
        let columns = [
            (Metric::BytesIn, 0),
            (Metric::PacketsIn, 1),
            (Metric::InterfaceDropsIn, 3),
            (Metric::InterfaceOverruns, 4),
            (Metric::BytesOut, 8),
            (Metric::PacketsOut, 9),
        ];
        for (name, rest) in text.lines().filter_map(|line| line.split_once(':')) {
            let values: Vec<f64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            if name.trim() == "lo" {
                continue;
            }
            for (metric, column) in columns {
                *self.growing.entry(metric).or_default() += values.get(column).copied().unwrap_or(0.0);
            }
        }
    }

    fn softnet(&mut self, text: &str) {
        for line in text.lines() {
            let column = |at| u64::from_str_radix(line.split_whitespace().nth(at)?, 16).ok();
            for (metric, at) in [(Metric::SoftnetDrops, 1), (Metric::SoftnetSqueezed, 2)] {
                *self.growing.entry(metric).or_default() += column(at).unwrap_or(0) as f64;
            }
        }
    }

    fn stat(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let mut numbers = words.map(|word| word.parse::<f64>().unwrap_or(0.0));
            match name {
                "procs_running" => {
                    // Without the one that asks.
                    self.moment.insert(Metric::RunQueue, (numbers.next().unwrap_or(1.0) - 1.0).max(0.0));
                }
                "procs_blocked" => {
                    self.moment.insert(Metric::Blocked, numbers.next().unwrap_or(0.0));
                }
                name if name.starts_with("cpu") => {
                    self.cpus.push(std::array::from_fn(|_| numbers.next().unwrap_or(0.0)));
                }
                _ => {}
            }
        }
    }

    fn vmstat(&mut self, text: &str) {
        let known = [
            ("pswpin", Metric::SwapIn),
            ("pswpout", Metric::SwapOut),
            ("pgmajfault", Metric::MajorFaults),
            ("oom_kill", Metric::OutOfMemoryKills),
        ];
        for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            let metric = known.iter().find(|(known, _)| *known == name).map(|(_, metric)| *metric);
            self.growing.extend(metric.zip(value.trim().parse().ok()));
        }
    }

    fn memory(&mut self, text: &str) {
        let number = |name: &str| kibibytes(text, name).map(|number| number as f64);
        let total = number("MemTotal").filter(|total| *total > 0.0);
        let (available, committed) = (number("MemAvailable"), number("Committed_AS"));
        let swap = number("SwapTotal").unwrap_or(0.0);
        let swap_used = swap - number("SwapFree").unwrap_or(swap);
        let share = |of: f64, part: f64| if of > 0.0 { part * 100.0 / of } else { 0.0 };
        self.moment.extend(available.map(|available| (Metric::MemoryAvailable, available * 1024.0)));
        if let (Some(total), Some(available)) = (total, available) {
            self.moment.insert(Metric::MemoryUsed, share(total, total - available));
        }
        if let (Some(total), Some(committed)) = (total, committed) {
            self.moment.insert(Metric::MemoryCommitted, share(total + swap, committed));
        }
        self.moment.insert(Metric::SwapUsed, swap_used * 1024.0);
        self.moment.insert(Metric::SwapUsedShare, share(swap, swap_used));
    }

    /// `0.50 0.40 0.30 1/183 4711`.
    fn load(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let tasks = words.get(3).and_then(|word| word.split_once('/')?.1.parse().ok());
        for (metric, at) in [(Metric::Load1, 0), (Metric::Load5, 1), (Metric::Load15, 2)] {
            self.moment.extend(words.get(at).and_then(|word| Some((metric, word.parse().ok()?))));
        }
        self.moment.extend(tasks.map(|tasks| (Metric::Tasks, tasks)));
    }

    /// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` (Documentation/accounting/psi.rst).
    fn pressure(&mut self, of: &str, text: &str) {
        for line in text.lines() {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix("avg10=")?.parse().ok());
            let metric = match (of, line.split_whitespace().next()) {
                ("memory", Some("some")) => Metric::PressureMemorySome,
                ("memory", Some("full")) => Metric::PressureMemoryFull,
                ("cpu", Some("some")) => Metric::PressureCpuSome,
                ("io", Some("some")) => Metric::PressureIoSome,
                _ => continue,
            };
            self.moment.extend(value.map(|value| (metric, value)));
        }
    }
}

/// A number of /proc/meminfo.
pub fn kibibytes(meminfo: &str, name: &str) -> Option<u64> {
    let mut lines = meminfo.lines();
    let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn percent(now: &[f64; 8], then: &[f64; 8]) -> [f64; 8] {
    let grown: [f64; 8] = std::array::from_fn(|at| (now[at] - then[at]).max(0.0));
    let all: f64 = grown.iter().sum();
    grown.map(|part| if all > 0.0 { part * 100.0 / all } else { 0.0 })
}

/// The size of a page, in bytes.
pub fn page_bytes() -> f64 {
    // SAFETY: plain numbers.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    if bytes > 0 { bytes as f64 } else { 4096.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_shares_and_moments() {
        let (mut before, mut after) = (Counters::default(), Counters::default());
        before.tcp(
            "Tcp: RtoMin PassiveOpens CurrEstab\nTcp: 200 10 3\nTcpExt: SyncookiesSent ListenDrops\nTcpExt: 5 7\n",
        );
        after.tcp(
            "Tcp: RtoMin PassiveOpens CurrEstab\nTcp: 200 30 4\nTcpExt: SyncookiesSent ListenDrops\nTcpExt: 5 7\n",
        );
        before.stat("cpu  10 0 0 90 0 0 0 0\ncpu0 5 0 0 45 0 0 0 0\nprocs_running 3\n");
        after.stat("cpu  10 0 0 140 0 0 50 0\ncpu0 5 0 0 45 0 0 50 0\nprocs_running 3\nprocs_blocked 9\n");
        after.memory(
            "MemTotal: 1000 kB\nMemAvailable: 100 kB\nSwapTotal: 1000 kB\nSwapFree: 250 kB\nCommitted_AS: 3000 kB\n",
        );
        after.load("208.50 0.40 0.30 9/183 4711\n");
        after.pressure(
            "memory",
            "some avg10=41.00 avg60=1.00 avg300=0.00 total=9\nfull avg10=22.50 avg60=0 avg300=0 total=1\n",
        );
        let values = after.since(&before, Duration::from_secs(2));
        for (metric, value) in [
            (Metric::PassiveOpens, 10.0),
            (Metric::CookiesSent, 0.0),
            (Metric::Established, 4.0),
            (Metric::CpuSoftirq, 50.0),
            (Metric::CpuSoftirqBusiest, 100.0),
            (Metric::RunQueue, 2.0),
            (Metric::Blocked, 9.0),
            (Metric::MemoryUsed, 90.0),
            (Metric::MemoryCommitted, 150.0),
            (Metric::SwapUsedShare, 75.0),
            (Metric::Load1, 208.5),
            (Metric::Tasks, 183.0),
            (Metric::PressureMemoryFull, 22.5),
        ] {
            assert_eq!(values.get(&metric), Some(&value), "{metric:?}");
        }
        assert_eq!(values.get(&Metric::Orphans), None);
        assert_eq!(after.totals()[&Metric::PassiveOpens], 30.0);
    }
}
