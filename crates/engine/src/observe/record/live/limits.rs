//! Firewall rules that let only so many new connections through.

use super::super::super::firewall;
use super::super::{FirewallLimit, Record, Source, Why};
use super::is_root;

/// Looks at nftables' and iptables' rules, where they are loaded: asking must load nothing.
pub fn look(record: &mut Record) {
    let nft = firewall::nf_tables_loaded();
    let legacy = [("iptables-save", "ip_tables_names"), ("ip6tables-save", "ip6_tables_names")];
    if !is_root() {
        record.unseen(Source::Firewall, None, Why::NotPermitted);
        return;
    }
    if nft {
        match firewall::output("nft", &["list", "ruleset"]) {
            Some(text) => record.firewall_limits.extend(nftables(&text)),
            None => record.unseen(Source::Firewall, None, Why::NotInstalled("nft".into())),
        }
    }
    for (program, tables) in legacy {
        if !nft && firewall::legacy_tables(tables).is_empty() {
            continue;
        }
        let Some(text) = firewall::output(program, &["-c"]) else { continue };
        for limit in iptables(&text) {
            // iptables' rules may be nftables', and then both list them.
            let known = |other: &FirewallLimit| (other.rate_milli, other.port) == (limit.rate_milli, limit.port);
            if !record.firewall_limits.iter().any(known) {
                record.firewall_limits.push(limit);
            }
        }
    }
}

/// The limits in the output of `nft list ruleset`.
pub fn nftables(text: &str) -> Vec<FirewallLimit> {
    let (mut table, mut chain, mut found) = (String::new(), String::new(), Vec::new());
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("table ") {
            name.trim_end_matches('{').trim().clone_into(&mut table);
        } else if let Some(name) = line.strip_prefix("chain ") {
            name.trim_end_matches('{').trim().clone_into(&mut chain);
        } else if let Some((before, after)) = line.split_once("limit rate ") {
            let opens =
                line.contains("tcp flags") && line.contains("syn") || line.contains("ct state") && line.contains("new");
            if !opens && !line.contains("tcp dport") {
                continue;
            }
            let after = after.strip_prefix("over ").unwrap_or(after);
            found.push(FirewallLimit {
                program: "nftables".into(),
                chain: format!("{table} {chain}"),
                rule: line.to_owned(),
                per_source: before.contains("saddr") && before.contains('{') || before.contains("meter"),
                rate_milli: after.split_whitespace().next().and_then(rate_milli),
                burst: word_after(after, "burst"),
                packets: word_after(line, "packets"),
                port: word_after(line, "dport"),
            });
        }
    }
    found
}

/// The limits in the output of `iptables-save -c`.
pub fn iptables(text: &str) -> Vec<FirewallLimit> {
    let (mut table, mut found) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.trim().clone_into(&mut table);
        }
        let Some((counters, rule)) = line.split_once("-A ") else { continue };
        let opens = ["--syn", "--tcp-flags", "NEW"].iter().any(|word| rule.contains(word)) || rule.contains("-p tcp");
        let flags = ["--limit", "--hashlimit-upto", "--hashlimit-above", "--hashlimit"];
        let Some(rate) = flags.iter().find_map(|flag| word_after::<String>(rule, flag)).filter(|_| opens) else {
            continue;
        };
        let burst = word_after(rule, "--limit-burst").or_else(|| word_after(rule, "--hashlimit-burst"));
        let packets = counters.strip_prefix('[').and_then(|inner| inner.split(':').next()?.parse().ok());
        found.push(FirewallLimit {
            program: "iptables".into(),
            chain: format!("{table} {}", rule.split_whitespace().next().unwrap_or_default()),
            rule: format!("-A {rule}"),
            per_source: word_after::<String>(rule, "--hashlimit-mode").is_some_and(|mode| mode.contains("srcip")),
            rate_milli: rate_milli(&rate),
            // 5 is the default (libxt_limit.c).
            burst: burst.or(Some(5)),
            packets,
            port: word_after(rule, "--dport"),
        });
    }
    found
}

fn word_after<T: std::str::FromStr>(text: &str, before: &str) -> Option<T> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == before)?;
    words.next()?.parse().ok()
}

/// `10/second`, `600/min`: packets a second, in thousandths.
fn rate_milli(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once('/')?;
    let seconds = match unit.as_bytes().first()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86_400,
        b'w' => 604_800,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()?.checked_mul(1000)? / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_both_programs() {
        let text = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\
                    \t\ttcp dport 80 tcp flags syn limit rate 10/second burst 4 packets counter packets 77 bytes 1 accept\n\
                    \t\ttcp dport 22 ct state new add @seen { ip saddr limit rate over 6/minute burst 5 packets } drop\n\
                    \t\ticmp type echo-request limit rate 1/second accept\n\t}\n}\n";
        let found = nftables(text);
        assert_eq!(found.len(), 2, "pings are no connections: {found:?}");
        assert_eq!((found[0].rate_milli, found[0].burst, found[0].port), (Some(10_000), Some(4), Some(80)));
        assert_eq!((found[0].chain.as_str(), found[0].per_source), ("inet filter input", false));
        assert_eq!((found[1].rate_milli, found[1].per_source), (Some(100), true));

        let text = "*filter\n:INPUT ACCEPT [0:0]\n[12:640] -A INPUT -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -m limit --limit 1/sec --limit-burst 4 -j ACCEPT\n\
                    [3:180] -A INPUT -p tcp --dport 443 -m hashlimit --hashlimit-upto 10/sec --hashlimit-burst 20 --hashlimit-mode srcip --hashlimit-name x -j ACCEPT\n\
                    -A INPUT -p icmp -m limit --limit 1/sec -j ACCEPT\nCOMMIT\n";
        let found = iptables(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].rate_milli, found[0].burst, found[0].packets), (Some(1000), Some(4), Some(12)));
        assert_eq!((found[1].rate_milli, found[1].burst, found[1].per_source), (Some(10_000), Some(20), true));
        assert_eq!(found[1].chain, "filter INPUT");
    }
}
