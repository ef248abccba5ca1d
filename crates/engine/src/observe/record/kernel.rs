//! What the kernel's messages mean. The texts are those of Linux 3.10 to 6.18; each function names its place in the source.

use super::event::EventKind;

/// What a message of the kernel means, without time and priority.
pub fn meaning(text: &str) -> Option<EventKind> {
    let readers = [syn_flooding, out_of_memory, network, link, stuck, firewall, system];
    readers.into_iter().find_map(|read| read(text))
}

/// `tcp_syn_flood_action`, net/ipv4/tcp_input.c: "TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.", since
/// 6.3 "on port 198.51.100.1:80" or `[2001:db8::1]:80`; before 5.x "possible" and "TCP: TCP:".
fn syn_flooding(text: &str) -> Option<EventKind> {
    let (_, rest) = text.split_once("ossible SYN flooding on port ")?;
    let place = rest.split_whitespace().next()?.trim_end_matches(['.', ',']);
    let (address, port) = match place.rsplit_once([':', '.']) {
        Some((address, port)) => (address.trim_matches(['[', ']']).parse().ok(), port),
        None => (None, place),
    };
    Some(EventKind::SynFloodingMessage { address, port: port.parse().ok()?, cookies: rest.contains("Sending cookies") })
}

/// `__oom_kill_process`, mm/oom_kill.c: "Out of memory: Killed process 4711 (apache2) total-vm:1kB, anon-rss:2kB, file-rss:3kB,
/// shmem-rss:4kB"; "Memory cgroup out of memory: ..." in a group; "Kill process ... score" before 5.0.
fn out_of_memory(text: &str) -> Option<EventKind> {
    let (before, rest) = text.split_once("out of memory: Kill").or_else(|| text.split_once("Out of memory: Kill"))?;
    let rest = rest.strip_prefix("ed").unwrap_or(rest).strip_prefix(" process ")?;
    let (pid, rest) = rest.split_once(' ')?;
    let (process, rest) = rest.strip_prefix('(')?.split_once(')')?;
    let kilobytes = |name: &str| {
        let value = rest.split_once(name)?.1;
        value.split("kB").next()?.parse::<u64>().ok()
    };
    let parts = ["anon-rss:", "file-rss:", "shmem-rss:"].into_iter().filter_map(kilobytes);
    Some(EventKind::OutOfMemoryKill {
        process: process.to_owned(),
        pid: pid.trim_end_matches(',').parse().ok(),
        resident_bytes: parts.reduce(u64::saturating_add).map(|sum| sum.saturating_mul(1024)),
        in_group: before.ends_with("Memory cgroup "),
    })
}

/// `mem_cgroup_print_oom_meminfo`, mm/memcontrol.c: "memory: usage 204800kB, limit 204800kB, failcnt 91", in the report before a process of a
/// control group is killed. The limit in bytes.
pub fn group_limit(text: &str) -> Option<u64> {
    let (_, rest) = text.strip_prefix("memory: usage ")?.split_once("limit ")?;
    rest.split("kB").next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// nf_conntrack_core.c, tcp.c (`tcp_check_oom`), neighbour.c.
fn network(text: &str) -> Option<EventKind> {
    if text.contains("conntrack: table full") {
        Some(EventKind::ConntrackFull)
    } else if text.starts_with("TCP: out of memory") || text.starts_with("TCP: too many orphaned sockets") {
        Some(EventKind::TcpMemoryFull)
    } else if text.contains("eighbour table overflow") || text.contains("neighbor table overflow") {
        Some(EventKind::NeighbourTableFull)
    } else if text.contains("NETDEV WATCHDOG") {
        let interface = text.split_once("WATCHDOG: ").and_then(|(_, rest)| rest.split_whitespace().next());
        Some(EventKind::TransmitTimeout { interface: interface.map(|name| name.trim_end_matches(':').to_owned()) })
    } else {
        None
    }
}

/// Drivers: "e1000e 0000:00:1f.6 eth0: NIC Link is Down", "virtio_net virtio0 eth0: ..."; "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link
/// becomes ready".
fn link(text: &str) -> Option<EventKind> {
    let lower = text.to_ascii_lowercase();
    let down = lower.contains("link is down") || lower.contains("link down");
    let up = lower.contains("link is up") || lower.contains("link up") || lower.contains("link becomes ready");
    if !(down || up) {
        return None;
    }
    let words = text.split_whitespace().take_while(|word| !word.eq_ignore_ascii_case("link"));
    let named = words.filter_map(|word| word.strip_suffix(':')).filter(|word| !word.contains([':', '(', '.']));
    let interface = named.last()?.to_owned();
    Some(if down { EventKind::LinkDown { interface } } else { EventKind::LinkUp { interface } })
}

/// kernel/hung_task.c, kernel/watchdog.c, kernel/rcu/tree_stall.h.
fn stuck(text: &str) -> Option<EventKind> {
    let hung = text.contains("blocked for more than") && text.contains("task");
    let stuck = hung
        || text.contains("soft lockup")
        || text.contains("detected stalls on")
        || text.contains("self-detected stall");
    stuck.then_some(EventKind::Stuck)
}

/// nf_log_syslog.c: "PREFIX IN=eth0 OUT= MAC=.. SRC=198.51.100.1 DST=.. PROTO=TCP SPT=1 DPT=80 ... SYN".
fn firewall(text: &str) -> Option<EventKind> {
    let (prefix, rest) = text.split_once("IN=")?;
    if !rest.contains(" SRC=") || !rest.contains("OUT=") {
        return None;
    }
    let port = rest.split_whitespace().find_map(|word| word.strip_prefix("DPT=")?.parse().ok());
    let prefix: String = prefix.trim().chars().take(64).collect();
    Some(EventKind::FirewallLogged { prefix, port })
}

/// init/version.c, mm/page_alloc.c, kernel/printk.
fn system(text: &str) -> Option<EventKind> {
    if text.starts_with("Linux version ") {
        Some(EventKind::Boot)
    } else if text.contains("page allocation failure") {
        Some(EventKind::AllocationFailure)
    } else if let Some(before) = text.strip_suffix("callbacks suppressed") {
        let number = before.trim_end().rsplit(' ').next().and_then(|word| word.parse().ok());
        Some(EventKind::MessagesLost { messages: number })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_a_group_that_ran_out_of_memory() {
        assert_eq!(group_limit("memory: usage 204800kB, limit 204800kB, failcnt 91"), Some(200 << 20));
        assert_eq!(group_limit("swap: usage 0kB, limit 9007199254740988kB, failcnt 0"), None);
        assert_eq!(group_limit("memory: usage 1kB, limit many"), None);
    }

    #[test]
    fn the_flooding_message_of_every_kernel() {
        for (text, address, port, cookies) in [
            (
                "TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.  Check SNMP counters.",
                None,
                80,
                true,
            ),
            ("TCP: TCP: Possible SYN flooding on port 443. Dropping request.  Check SNMP counters.", None, 443, false),
            ("possible SYN flooding on port 25. Sending cookies.", None, 25, true),
            (
                "TCP: request_sock_TCP: Possible SYN flooding on port 198.51.100.1:80. Sending cookies.",
                Some("198.51.100.1"),
                80,
                true,
            ),
            (
                "TCP: request_sock_TCPv6: Possible SYN flooding on port [2001:db8::1]:80. Sending cookies.",
                Some("2001:db8::1"),
                80,
                true,
            ),
            (
                "TCP: request_sock_TCPv6: Possible SYN flooding on port [::]:8080. Dropping request.",
                Some("::"),
                8080,
                false,
            ),
        ] {
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!(meaning(text), Some(EventKind::SynFloodingMessage { address, port, cookies }), "{text}");
        }
        assert_eq!(meaning("Possible SYN flooding on port "), None);
        assert_eq!(meaning("Possible SYN flooding on port 99999."), None);
    }

    #[test]
    fn kills_with_the_memory_that_they_freed() {
        let text = "Out of memory: Killed process 4711 (apache2) total-vm:312344kB, anon-rss:40960kB, file-rss:1024kB, shmem-rss:0kB, UID:33";
        let kill = |in_group| EventKind::OutOfMemoryKill {
            process: "apache2".into(),
            pid: Some(4711),
            resident_bytes: Some(41_984 * 1024),
            in_group,
        };
        assert_eq!(meaning(text), Some(kill(false)));
        assert_eq!(meaning(&text.replace("Out of", "Memory cgroup out of")), Some(kill(true)));
        let old = "Out of memory: Kill process 12 (mysqld) score 512 or sacrifice child";
        assert!(matches!(meaning(old), Some(EventKind::OutOfMemoryKill { resident_bytes: None, .. })));
    }

    #[test]
    fn other_messages() {
        let eth0 = || "eth0".to_owned();
        for (text, kind) in [
            ("nf_conntrack: nf_conntrack: table full, dropping packet", EventKind::ConntrackFull),
            ("TCP: out of memory -- consider tuning tcp_mem", EventKind::TcpMemoryFull),
            ("e1000e 0000:00:1f.6 eth0: NIC Link is Down", EventKind::LinkDown { interface: eth0() }),
            ("IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready", EventKind::LinkUp { interface: eth0() }),
            (
                "NETDEV WATCHDOG: eth0 (e1000): transmit queue 0 timed out",
                EventKind::TransmitTimeout { interface: Some(eth0()) },
            ),
            ("INFO: task mysqld:812 blocked for more than 120 seconds.", EventKind::Stuck),
            ("Linux version 6.1.0-28-amd64 (debian-kernel@lists.debian.org)", EventKind::Boot),
            ("net_ratelimit: 1412 callbacks suppressed", EventKind::MessagesLost { messages: Some(1412) }),
            (
                "SYNDROP: IN=eth0 OUT= MAC=00 SRC=198.51.100.1 DST=203.0.113.1 PROTO=TCP SPT=1024 DPT=80 SYN URGP=0",
                EventKind::FirewallLogged { prefix: "SYNDROP:".into(), port: Some(80) },
            ),
        ] {
            assert_eq!(meaning(text), Some(kind), "{text}");
        }
        assert_eq!(meaning("usb 1-1: new high-speed USB device"), None);
    }
}
