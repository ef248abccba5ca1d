//! The machine: name, memory, sysctls, listeners, interfaces, connection tracking.

use std::fs;
use std::path::Path;

use super::super::super::{applications, ethtool, links, listeners, settings, sysctl};
use super::super::{Conntrack, Host, Interface, Listener, Process, Record, Source, Time, Why, clock};
use super::{counters, is_root, now};

/// Sysctls that are looked at besides those of [`settings::KEYS`].
const MORE: [&str; 12] = [
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.tcp_sack",
    "vm.overcommit_memory",
    "vm.swappiness",
    "kernel.dmesg_restrict",
];

/// Looks at all of it.
pub fn look(record: &mut Record) {
    record.host = host();
    let keys = settings::KEYS.iter().chain(&MORE);
    record.sysctls = keys.filter_map(|key| Some(((*key).to_owned(), sysctl::read(key)?))).collect();
    match listeners::services() {
        Ok(services) => record.listeners = named(services),
        Err(error) => record.unseen(Source::Kernel, None, Why::Failed(error.to_string())),
    }
    if !is_root() {
        record.unseen(Source::Processes, None, Why::NotPermitted);
    }
    record.conntrack = conntrack();
    match links::links() {
        Ok(links) => record.interfaces = links.iter().map(interface).collect(),
        Err(error) => record.unseen(Source::Interfaces, None, Why::Failed(error.to_string())),
    }
}

/// What the machine is.
pub fn host() -> Host {
    let read = |path: &str| fs::read_to_string(path).ok();
    let line = |path: &str| read(path).map(|text| text.trim().to_owned());
    let memory = read("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| Some(counters::kibibytes(&memory, name)? * 1024);
    let stat = read("/proc/stat").unwrap_or_default();
    let is_cpu =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let booted = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    Host {
        name: line("/proc/sys/kernel/hostname"),
        kernel: line("/proc/sys/kernel/osrelease"),
        cpus: u32::try_from(stat.lines().filter(is_cpu).count()).ok().filter(|cpus| *cpus > 0),
        memory_bytes: bytes("MemTotal"),
        swap_bytes: bytes("SwapTotal"),
        zone_seconds: clock::offset(now().seconds()),
        booted: booted.map(Time::from_seconds),
    }
}

fn named(services: Vec<listeners::Service>) -> Vec<Listener> {
    let owners = applications::owners();
    let listener = |service: listeners::Service| {
        let port = service.local.port();
        let owner = owners.get(&port);
        let configured = owner.and_then(|owner| applications::configured(owner, port));
        Listener {
            local: service.local,
            dual_stack: service.dual_stack,
            sockets: service.listeners,
            syn_queue: service.syn_queue,
            accept_queue: service.accept_queue,
            backlog: service.backlog,
            accept_full: service.accept_full,
            process: owner.map(|owner| process(owner.pid, owner.application.word())),
            configured_backlog: configured.as_ref().map(|configured| configured.backlog),
            configured_in: configured.and_then(|configured| configured.file),
        }
    };
    services.into_iter().map(listener).collect()
}

fn process(pid: u32, application: &str) -> Process {
    let name =
        fs::read_to_string(format!("/proc/{pid}/comm")).map_or(application.to_owned(), |name| name.trim().to_owned());
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    Process { pid, name, unit: unit(&groups) }
}

/// The unit in a line like `0::/system.slice/apache2.service`.
fn unit(groups: &str) -> Option<String> {
    let is_unit = |part: &&str| [".service", ".scope", ".socket"].iter().any(|kind| part.ends_with(kind));
    groups.lines().find_map(|line| line.rsplit('/').find(is_unit)).map(str::to_owned)
}

fn conntrack() -> Option<Conntrack> {
    let max = sysctl::number("net.netfilter.nf_conntrack_max")?;
    let entries = sysctl::number("net.netfilter.nf_conntrack_count").unwrap_or(0);
    let stat = fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack").unwrap_or_default();
    Some(Conntrack { entries, max, drops: conntrack_drops(&stat), in_use: entries > 0 })
}

/// A line of names, then one line of hexadecimal numbers for each CPU.
fn conntrack_drops(stat: &str) -> Option<u64> {
    let mut lines = stat.lines();
    let at = lines.next()?.split_whitespace().position(|name| name == "drop")?;
    let drops = lines.filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(at)?, 16).ok());
    Some(drops.sum())
}

fn interface(link: &links::Link) -> Interface {
    let name = &link.name;
    let folder = Path::new("/sys/class/net").join(name);
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<i64>().ok();
    let counter = |file: &str| u64::try_from(number(&format!("statistics/{file}"))?).ok();
    let flags = ethtool::flags(name).ok();
    let ring = ethtool::receive_ring(name);
    let queues = ethtool::receive_queues(name);
    let listed = fs::read_dir(folder.join("queues")).into_iter().flatten().flatten();
    let receiving = listed.filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count();
    let rps = fs::read_to_string(folder.join("queues/rx-0/rps_cpus")).ok();
    Interface {
        name: name.clone(),
        driver: ethtool::driver(name),
        up: link.up,
        speed_mbit: number("speed").and_then(|speed| u32::try_from(speed).ok()).filter(|speed| *speed > 0),
        packets_in: counter("rx_packets"),
        drops_in: counter("rx_dropped"),
        overruns_in: counter("rx_missed_errors").map(|missed| missed + counter("rx_fifo_errors").unwrap_or(0)),
        ring_in: ring.map(|(now, _)| now),
        ring_in_max: ring.map(|(_, max)| max),
        queues_in: queues.map(|(now, _)| now).or_else(|| u32::try_from(receiving).ok().filter(|count| *count > 0)),
        queues_in_max: queues.map(|(_, max)| max),
        rps_cpus: rps.map(|mask| mask_bits(&mask)),
        lro: flags.map(|flags| flags & ethtool::LRO != 0),
        vlan_offload: flags.map(|flags| flags & ethtool::RX_VLAN != 0),
    }
}

/// How many bits a mask like `ff,00000003` has.
fn mask_bits(mask: &str) -> u32 {
    mask.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_readers() {
        assert_eq!(unit("0::/system.slice/apache2.service\n").as_deref(), Some("apache2.service"));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-1.scope\n").as_deref(), Some("session-1.scope"));
        assert_eq!(unit("0::/\n"), None);
        assert_eq!(mask_bits("ff,00000003\n"), 10);
        assert_eq!(conntrack_drops("entries drop early_drop\n00000005 0000000a 0\n00000005 00000006 0\n"), Some(16));
        assert_eq!(conntrack_drops(""), None);
    }
}
