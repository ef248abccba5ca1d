//! The settings of this host that decide how it stands a flood, and what they are to be judged by.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::applications::{self, Configured};
use super::{addresses, firewall, listeners, sysctl};

/// The settings that are looked at. One that a kernel or a network namespace does not have is left out of the facts.
pub const KEYS: [&str; 11] = [
    "net.ipv4.tcp_syncookies",
    "net.core.somaxconn",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.core.netdev_max_backlog",
    "net.core.netdev_budget",
    "net.core.netdev_budget_usecs",
    "net.netfilter.nf_conntrack_max",
];

/// A listener, and who made it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// What the kernel tells.
    pub service: listeners::Service,
    /// The application, as people call it.
    pub application: Option<applications::Application>,
    /// The backlog that its configuration asks for.
    pub configured: Option<Configured>,
}

/// Connection tracking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conntrack {
    /// Entries now.
    pub count: u64,
    /// How many fit.
    pub max: u64,
    /// Whether packets to this host meet it: some rule asks for it, or there are entries.
    pub in_use: bool,
}

/// How the host received packets since it was started (/proc/net/softnet_stat).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Packets.
    pub packets: u64,
    /// Packets that a full input queue (`netdev_max_backlog`) dropped.
    pub dropped: u64,
    /// Times at which the budget ended before the packets did.
    pub squeezed: u64,
}

/// How connections came in since this network namespace was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Connections accepted by the kernel (TcpPassiveOpens).
    pub connections: u64,
    /// Connections that a full accept queue turned away (TcpExtListenOverflows).
    pub overflows: u64,
    /// For how long the host has been up, in seconds.
    pub seconds: u64,
}

/// Everything that the settings are judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsFacts {
    /// Values of [`KEYS`], as far as there are such settings.
    pub values: BTreeMap<&'static str, String>,
    /// Main memory, in bytes.
    pub memory: u64,
    /// The listeners.
    pub listeners: Vec<Listener>,
    /// Connection tracking, where the kernel has it loaded.
    pub conntrack: Option<Conntrack>,
    /// Its entries for connections to this host, by the port that they were opened to.
    pub tracked: BTreeMap<u16, u64>,
    /// What was received.
    pub received: Received,
    /// What came in.
    pub arrivals: Arrivals,
    /// Settings among [`KEYS`] that files of others set at boot: key, value, file. The last of a key counts.
    pub at_boot: Vec<(String, String, PathBuf)>,
}

impl SettingsFacts {
    /// A setting as a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.values.get(key)?.parse().ok()
    }
}

/// Reads them all.
///
/// # Errors
/// When the listeners cannot be listed.
pub fn facts() -> io::Result<SettingsFacts> {
    let owners = applications::owners();
    let listener = |service: listeners::Service| {
        let port = service.local.port();
        let owner = owners.get(&port);
        Listener {
            configured: owner.and_then(|owner| applications::configured(owner, port)),
            application: owner.map(|owner| owner.application.clone()),
            service,
        }
    };
    Ok(SettingsFacts {
        values: KEYS.iter().filter_map(|key| Some((*key, sysctl::read(key)?))).collect(),
        memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        listeners: listeners::services()?.into_iter().map(listener).collect(),
        conntrack: conntrack(),
        tracked: tracked(),
        received: received(&fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default()),
        arrivals: arrivals(),
        at_boot: at_boot(),
    })
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn memory(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes: u64 = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    kibibytes * 1024
}

fn conntrack() -> Option<Conntrack> {
    let max = sysctl::number("net.netfilter.nf_conntrack_max")?;
    let count = sysctl::number("net.netfilter.nf_conntrack_count").unwrap_or(0);
    Some(Conntrack { count, max, in_use: count > 0 || !firewall::nat().is_empty() || !firewall::rules().is_empty() })
}

/// The kernel's own listing of the table. Where it has none (CONFIG_NF_CONNTRACK_PROCFS), nothing is known.
fn tracked() -> BTreeMap<u16, u64> {
    let Ok(file) = fs::File::open("/proc/thread-self/net/nf_conntrack") else { return BTreeMap::new() };
    let local = addresses::local().unwrap_or_default();
    tracked_of(BufReader::new(file).lines().map_while(Result::ok), &local)
}

/// Entries of TCP to one of these addresses. A line has both directions; the first is that of whoever opened the connection:
/// `ipv4 2 tcp 6 431999 ESTABLISHED src=... dst=... sport=... dport=80 src=...`.
fn tracked_of(lines: impl Iterator<Item = String>, local: &[IpAddr]) -> BTreeMap<u16, u64> {
    let mut ports = BTreeMap::new();
    for line in lines {
        let words = || line.split_whitespace();
        let value = |key: &str| words().find_map(|word| word.strip_prefix(key));
        let (Some("tcp"), Some(to), Some(port)) = (words().nth(2), value("dst="), value("dport=")) else { continue };
        match (to.parse::<IpAddr>(), port.parse::<u16>()) {
            (Ok(to), Ok(port)) if local.contains(&to) => *ports.entry(port).or_default() += 1,
            _ => {}
        }
    }
    ports
}

/// Adds up the CPUs' lines: packets, dropped, squeezed, in hexadecimal.
fn received(text: &str) -> Received {
    let mut all = Received::default();
    for line in text.lines() {
        let number = |at: usize| line.split_whitespace().nth(at).and_then(|word| u64::from_str_radix(word, 16).ok());
        all.packets += number(0).unwrap_or(0);
        all.dropped += number(1).unwrap_or(0);
        all.squeezed += number(2).unwrap_or(0);
    }
    all
}

fn arrivals() -> Arrivals {
    let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = uptime.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    Arrivals {
        connections: counter(&read("snmp"), "Tcp:", "PassiveOpens").unwrap_or(0),
        overflows: counter(&read("netstat"), "TcpExt:", "ListenOverflows").unwrap_or(0),
        seconds: seconds as u64,
    }
}

/// A counter of /proc/net/snmp or netstat: a line of names, then a line of values, with the same first word.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.split_whitespace().next() == Some(group));
    let at = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

/// The files that set sysctls at boot, in the order of systemd-sysctl: by name, whatever their folder.
fn at_boot() -> Vec<(String, String, PathBuf)> {
    let folders = ["/usr/lib/sysctl.d", "/run/sysctl.d", "/etc/sysctl.d"];
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".conf") {
                files.insert(name, entry.path());
            }
        }
    }
    files.into_values().flat_map(|file| assignments(&file)).collect()
}

fn assignments(file: &Path) -> Vec<(String, String, PathBuf)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let known = |(key, value): (String, String)| KEYS.contains(&key.as_str()).then(|| (key, value, file.to_owned()));
    lines(&text).into_iter().filter_map(known).collect()
}

/// Keys and values of a file in sysctl.d(5).
pub fn lines(text: &str) -> Vec<(String, String)> {
    let assignment = |line: &str| {
        let line = line.trim();
        let (key, value) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))?;
        // A leading - says that a failure does not matter, and either separator may stand between the parts.
        let key = key.trim().trim_start_matches('-').replace('/', ".");
        Some((key, value.trim().to_owned()))
    };
    text.lines().filter_map(assignment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_hosts_facts_are_read() {
        let facts = facts().unwrap();
        assert!(facts.memory > 1 << 20 && facts.arrivals.seconds > 0);
        assert!(facts.number("net.core.somaxconn").is_some());
    }

    #[test]
    fn counters_are_found_by_name() {
        let text = "Tcp: ActiveOpens PassiveOpens\nTcp: 3 4\nUdp: In\nUdp: 9\n";
        assert_eq!(counter(text, "Tcp:", "PassiveOpens"), Some(4));
        assert_eq!(counter(text, "Tcp:", "None"), None);
        assert_eq!(counter("", "Tcp:", "PassiveOpens"), None);
    }

    #[test]
    fn tracked_connections_are_counted_by_the_port_they_were_opened_to() {
        let text = "ipv4 2 tcp 6 431999 ESTABLISHED src=203.0.113.9 dst=198.51.100.10 sport=4711 dport=80 src=198.51.100.10 dst=203.0.113.9 sport=80 dport=4711 [ASSURED] mark=0 use=1\n\
            ipv4 2 tcp 6 55 SYN_RECV src=203.0.113.8 dst=198.51.100.10 sport=4712 dport=80 src=198.51.100.10 dst=203.0.113.8 sport=80 dport=4712 mark=0 use=1\n\
            ipv4 2 tcp 6 5 SYN_SENT src=198.51.100.10 dst=203.0.113.8 sport=80 dport=443 [UNREPLIED] src=203.0.113.8 dst=198.51.100.10 sport=443 dport=80 mark=0 use=1\n\
            ipv6 10 tcp 6 431999 ESTABLISHED src=2001:db8::9 dst=2001:db8::10 sport=1 dport=22 src=2001:db8::10 dst=2001:db8::9 sport=22 dport=1 use=1\n\
            ipv4 2 udp 17 29 src=203.0.113.9 dst=198.51.100.10 sport=5 dport=53 src=198.51.100.10 dst=203.0.113.9 sport=53 dport=5 use=1\nnonsense\n";
        let local = ["198.51.100.10", "2001:db8::10"].map(|address| address.parse().unwrap());
        let found = tracked_of(text.lines().map(|line| line.trim().to_owned()), &local);
        assert_eq!(found, BTreeMap::from([(80, 2), (22, 1)]));
    }

    #[test]
    fn cpus_are_added_up() {
        let received = received("0000000a 00000001 00000002 0\n00000010 00000000 00000001 0\n");
        assert_eq!((received.packets, received.dropped, received.squeezed), (26, 1, 3));
    }

    #[test]
    fn sysctl_files_are_read_as_their_manual_says() {
        let text = "# a = 1\n; b = 2\n net.core.somaxconn = 128 \n-net/ipv4/tcp_syncookies=1\nnonsense\n";
        let expected = [("net.core.somaxconn", "128"), ("net.ipv4.tcp_syncookies", "1")];
        assert_eq!(lines(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(memory("MemTotal:       2048 kB\n"), 2 << 20);
    }
}
