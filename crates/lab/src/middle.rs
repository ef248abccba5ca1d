//! What stands between client and server in the field, as nftables rules in a namespace.
//!
//! Each function adds a table of its own and returns a [`Rules`]; dropping that removes the table.

use crate::{Netns, Result, run};

/// A table of rules, in force until dropped.
#[derive(Debug)]
pub struct Rules {
    namespace: Netns,
    table: String,
}

impl Rules {
    /// Adds a table to the namespace: `name` is `family name` (as `inet lossy`), `body` is what stands between its braces.
    ///
    /// # Errors
    ///
    /// [`Error::Command`](crate::Error::Command) with nft's own words.
    pub fn add(namespace: &Netns, name: &str, body: &str) -> Result<Self> {
        run::fed(namespace.command("nft").args(["-f", "-"]), &format!("table {name} {{\n{body}\n}}\n"))?;
        Ok(Self { namespace: namespace.clone(), table: name.into() })
    }

    /// The rules as they are now, with their counters and sets.
    ///
    /// # Errors
    ///
    /// [`Error::Command`](crate::Error::Command) if nft fails.
    pub fn show(&self) -> Result<String> {
        run::output(self.namespace.command("nft").args(["list", "table"]).args(self.table.split(' ')))
    }

    /// How many packets met the rules' counters, added up.
    ///
    /// # Errors
    ///
    /// As [`Rules::show`].
    pub fn hits(&self) -> Result<u64> {
        let shown = self.show()?;
        let words: Vec<_> = shown.split_whitespace().collect();
        let counted = words.windows(3).filter(|three| three[0] == "counter" && three[1] == "packets");
        Ok(counted.filter_map(|three| three[2].parse::<u64>().ok()).sum())
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        // The table also goes with its namespace.
        let _ = run::output(self.namespace.command("nft").args(["delete", "table"]).args(self.table.split(' ')));
    }
}

/// Loses the last segment of each handshake once: the first bare ACK after a SYN that leaves the namespace. Put it in the client's.
///
/// # Errors
///
/// As [`Rules::add`].
pub fn lose_first_ack(client: &Netns) -> Result<Rules> {
    let set = |name: &str, family: &str| {
        let kind = format!("{family} . inet_service . inet_service");
        format!("set {name} {{ type {kind}; flags dynamic,timeout; timeout 60s; size 65536; }}\n")
    };
    let mut body = set("await4", "ipv4_addr") + &set("await6", "ipv6_addr") + "chain out {\n";
    body.push_str("type filter hook output priority 0; policy accept;\n");
    for (set, family) in [("await4", "ip"), ("await6", "ip6")] {
        let flow = format!("{{ {family} daddr . tcp sport . tcp dport }}");
        let key = flow.trim_matches(['{', '}', ' ']);
        body.push_str(&format!(
            "tcp flags & (syn | ack) == syn update @{set} {flow}\n\
             tcp flags & (fin | syn | rst | psh | ack) == ack {key} @{set} delete @{set} {flow} counter drop\n"
        ));
    }
    Rules::add(client, "inet lose_first_ack", &(body + "}"))
}

/// Drops every RST that leaves the namespace, or that it forwards: a middlebox that eats resets.
///
/// # Errors
///
/// As [`Rules::add`].
pub fn drop_resets(namespace: &Netns) -> Result<Rules> {
    let chain = |hook: &str| {
        format!(
            "chain {hook} {{ type filter hook {hook} priority 0; policy accept; tcp flags & rst == rst counter drop; }}\n"
        )
    };
    Rules::add(namespace, "inet drop_resets", &(chain("output") + &chain("forward")))
}

/// Makes the namespace a NAT router that hides everybody behind its address on `device`, and drops what connection tracking calls
/// invalid, as home routers do. An odd SYN-ACK may be such.
///
/// # Errors
///
/// As [`Rules::add`].
pub fn nat(router: &Netns, device: &str) -> Result<Rules> {
    Rules::add(
        router,
        "inet nat_router",
        &format!(
            "chain forward {{ type filter hook forward priority 0; policy accept; ct state invalid counter drop; }}\n\
             chain nat {{ type nat hook postrouting priority 100; policy accept; oifname \"{device}\" masquerade; }}"
        ),
    )
}

/// Drops what arrives at the namespace and is invalid or does not begin a connection with SYN: a strict stateful firewall.
///
/// # Errors
///
/// As [`Rules::add`]; a sysctl that cannot be set.
pub fn strict_firewall(server: &Netns) -> Result<Rules> {
    let rules = Rules::add(
        server,
        "inet strict_firewall",
        "chain input { type filter hook input priority 0; policy accept; ct state invalid counter drop\n\
         ct state new tcp flags & (fin | syn | rst | ack) != syn counter drop; }",
    )?;
    server.sysctl("net.netfilter.nf_conntrack_tcp_loose", "0")?;
    Ok(rules)
}

/// Puts SYNPROXY in front of the namespace's own port, set up as nft's manual has it.
///
/// # Errors
///
/// As [`Rules::add`]; a sysctl that cannot be set.
pub fn synproxy(server: &Netns, port: u16) -> Result<Rules> {
    synproxy_ports(server, &[port])
}

/// The same in front of several ports.
///
/// # Errors
///
/// As [`Rules::add`]; a sysctl that cannot be set.
pub fn synproxy_ports(server: &Netns, ports: &[u16]) -> Result<Rules> {
    synproxy_at("input", server, ports)
}

/// The same on a gateway, before ports of the servers that it forwards to.
///
/// # Errors
///
/// As [`Rules::add`]; a sysctl that cannot be set.
pub fn synproxy_forwarded(gateway: &Netns, ports: &[u16]) -> Result<Rules> {
    synproxy_at("forward", gateway, ports)
}

/// `hook` is the chain's name too: where the packets pass that are meant.
fn synproxy_at(hook: &str, namespace: &Netns, ports: &[u16]) -> Result<Rules> {
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let rules = Rules::add(
        namespace,
        "inet synproxy_front",
        &format!(
            "chain before {{ type filter hook prerouting priority raw; policy accept;\n\
             tcp dport {{ {ports} }} tcp flags & (fin | syn | rst | ack) == syn notrack; }}\n\
             chain {hook} {{ type filter hook {hook} priority 0; policy accept;\n\
             tcp dport {{ {ports} }} ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm\n\
             tcp dport {{ {ports} }} ct state invalid counter drop; }}"
        ),
    )?;
    namespace.sysctl("net.netfilter.nf_conntrack_tcp_loose", "0")?;
    namespace.sysctl("net.ipv4.tcp_syncookies", "1")?;
    Ok(rules)
}

/// When the kernel sends SYN cookies of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelCookies {
    /// Never; a full queue drops.
    Off,
    /// When a listener's queue is full.
    WhenFull,
    /// Always.
    Always,
}

/// Sets `net.ipv4.tcp_syncookies` (for IPv6 too) in the namespace.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) if the kernel refuses.
pub fn kernel_cookies(server: &Netns, when: KernelCookies) -> Result<()> {
    let value = match when {
        KernelCookies::Off => "0",
        KernelCookies::WhenFull => "1",
        KernelCookies::Always => "2",
    };
    server.sysctl("net.ipv4.tcp_syncookies", value)
}
