//! The interface of the default route: IPv4's, else IPv6's.

use std::fs;

const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;

/// The interface of the default route of this network namespace, if there is one.
pub fn default_interface() -> Option<String> {
    // /proc/net is that of the process; the thread's own may differ.
    let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    default4(&read("route")).or_else(|| default6(&read("ipv6_route")))
}

/// /proc/net/route: interface, destination, gateway, flags, ..., metric (7th), mask (8th column), numbers in hex but the metric.
fn default4(table: &str) -> Option<String> {
    let default = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [interface, "00000000", _, flags, _, _, metric, "00000000", ..] = columns[..] else { return None };
        usable(flags, interface).then(|| Some((metric.parse::<u32>().ok()?, interface.to_owned())))?
    };
    table.lines().filter_map(default).min().map(|(_, interface)| interface)
}

/// /proc/net/ipv6_route: destination, its length, source, its length, next hop, metric, references, uses, flags, interface.
fn default6(table: &str) -> Option<String> {
    let default = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [_, "00", _, "00", _, metric, _, _, flags, interface] = columns[..] else { return None };
        usable(flags, interface).then(|| Some((u32::from_str_radix(metric, 16).ok()?, interface.to_owned())))?
    };
    table.lines().filter_map(default).min().map(|(_, interface)| interface)
}

fn usable(flags: &str, interface: &str) -> bool {
    let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
    flags & RTF_UP != 0 && flags & RTF_REJECT == 0 && interface != "lo"
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let table = format!(
            "{HEAD}eth1 00000000 0101A8C0 0003 0 0 200 00000000 0 0 0\neth0 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0\n\
             eth2 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        );
        assert_eq!(default4(&table).as_deref(), Some("eth0"));
        assert_eq!(default4(HEAD), None);
    }

    #[test]
    fn reject_routes_on_loopback_are_no_default() {
        let zero = "0".repeat(32);
        let reject = format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n");
        assert_eq!(default6(&reject), None);
        let route =
            format!("{zero} 00 {zero} 00 fe80{} 00000400 00000001 00000000 00000003     eth0\n", "0".repeat(28));
        assert_eq!(default6(&format!("{reject}{route}")).as_deref(), Some("eth0"));
    }
}
