//! What the host's own firewall does to a handshake whose SYN it never saw.
//!
//! `gate` answers a SYN before netfilter sees it, so the first packet that connection tracking meets is the client's ACK. Two
//! things then matter. *NAT*: where a nat table is in use, the kernel lets go of the socket that `admit` gave to the packet, so
//! only the kernel's own cookie can be completed ([`nat`], cheap enough to be asked every few seconds). *Stateful rules*: a rule
//! that drops new connections without SYN, or what connection tracking calls invalid, drops that ACK ([`rules`], which runs `nft`
//! and `iptables-save` and so is asked at start and by `status`).
//!
//! Asking must change nothing, so nothing is asked of a part of netfilter that is not loaded: asking would load it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::netlink::{self, Message, attribute, text};

const NFT_MSG_NEWCHAIN: u16 = 10 << 8 | 3;
const NFT_MSG_GETCHAIN: u16 = 10 << 8 | 4;
const NFT_MSG_NEWGEN: u16 = 10 << 8 | 15;
const NFT_MSG_GETGEN: u16 = 10 << 8 | 16;
const NFTA_GEN_ID: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_TYPE: u16 = 7;

/// What a rule does to a connection whose SYN connection tracking has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drops {
    /// It drops new connections that do not begin with a SYN.
    NewWithoutSyn,
    /// It drops what connection tracking calls invalid.
    Invalid,
}

/// A rule that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it drops.
    pub drops: Drops,
    /// The program that lists it.
    pub listed_by: &'static str,
    /// The rule as that program prints it.
    pub text: String,
}

/// Where addresses are translated: each nat chain or table, in words. Empty if nowhere.
pub fn nat() -> Vec<String> {
    let mut found = nft_nat_chains().unwrap_or_default();
    for (file, family) in [("ip_tables_names", "IPv4"), ("ip6_tables_names", "IPv6")] {
        if legacy_tables(file).iter().any(|table| table == "nat") {
            found.push(format!("iptables' table nat ({family})"));
        }
    }
    found
}

/// A number that changes with every change of nftables' rules: cheap to ask, so that [`rules`] need not be. `None` without nftables.
/// Rules of the older iptables (iptables-legacy) do not show in it.
pub fn generation() -> Option<u32> {
    if !nf_tables_loaded() {
        return None;
    }
    let id = |message: Message<'_>| {
        let attributes = message.payload.get(4..).filter(|_| message.kind == NFT_MSG_NEWGEN)?;
        Some(u32::from_be_bytes(attribute(attributes, NFTA_GEN_ID)?.try_into().ok()?))
    };
    netlink::ask(netlink::NETFILTER, NFT_MSG_GETGEN, &[0; 4], id).ok().flatten()
}

/// Whether the kernel has the functions by which `admit` enters connections into connection tracking (Linux 6.1). They are in the
/// module nf_conntrack, which is loaded where a stateful rule is.
pub fn conntrack_entries() -> bool {
    // The last of them to come. A symbol's line: address, kind, name, module.
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    symbols.lines().any(|line| line.split_whitespace().nth(2) == Some("bpf_ct_set_status"))
}

/// The rules that drop what `admit` completes.
pub fn rules() -> Vec<Rule> {
    let mut found = Vec::new();
    if nf_tables_loaded() {
        found.extend(output("nft", &["list", "ruleset"]).iter().flat_map(|text| nft_rules(text)));
    }
    for (program, file) in [("iptables-save", "ip_tables_names"), ("ip6tables-save", "ip6_tables_names")] {
        // iptables-save may be either variant; where its tables are nftables', nft above may print them only in part.
        if !legacy_tables(file).is_empty() || nf_tables_loaded() {
            found.extend(output(program, &[]).iter().flat_map(|text| iptables_rules(program, text)));
        }
        if !legacy_tables(file).is_empty() {
            let legacy = if program == "iptables-save" { "iptables-legacy-save" } else { "ip6tables-legacy-save" };
            found.extend(output(legacy, &[]).iter().flat_map(|text| iptables_rules(legacy, text)));
        }
    }
    let mut seen = Vec::new();
    found.retain(|rule| {
        let new = !seen.contains(&(rule.drops, rule.text.clone()));
        seen.push((rule.drops, rule.text.clone()));
        new
    });
    found
}

pub(super) fn legacy_tables(file: &str) -> Vec<String> {
    let names = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    names.lines().map(str::to_owned).collect()
}

/// Whether nf_tables is loaded or built in. On a kernel without loadable modules asking can load nothing.
pub(super) fn nf_tables_loaded() -> bool {
    let Ok(modules) = fs::read_to_string("/proc/modules") else { return true };
    modules.lines().any(|line| line.starts_with("nf_tables ")) || built_in("nf_tables")
}

fn built_in(module: &str) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let list = Path::new("/lib/modules").join(release.trim()).join("modules.builtin");
    fs::read_to_string(list).is_ok_and(|list| list.contains(&format!("/{module}.ko")))
}

fn nft_nat_chains() -> io::Result<Vec<String>> {
    if !nf_tables_loaded() {
        return Ok(Vec::new());
    }
    // struct nfgenmsg: every family, version 0.
    netlink::collect(netlink::NETFILTER, NFT_MSG_GETCHAIN, &[0; 4], nat_chain)
}

fn nat_chain(message: Message<'_>) -> Option<String> {
    let attributes = message.payload.get(4..)?;
    if message.kind != NFT_MSG_NEWCHAIN || text(attribute(attributes, NFTA_CHAIN_TYPE)?) != "nat" {
        return None;
    }
    let table = text(attribute(attributes, NFTA_CHAIN_TABLE)?);
    let chain = text(attribute(attributes, NFTA_CHAIN_NAME)?);
    Some(format!("nftables' chain {table} {chain}"))
}

/// What a program prints, or nothing if it is not there or fails.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The rules in the output of `nft list ruleset`.
fn nft_rules(ruleset: &str) -> Vec<Rule> {
    let drops = |rule: &str| -> Option<Drops> {
        if !rule.contains("ct state") || !(rule.contains("drop") || rule.contains("reject")) {
            return None;
        }
        let state = rule.split("ct state").nth(1)?;
        let verdict_of = |state_name: &str| {
            let mapped = state.split_once('{').is_some_and(|(_, map)| {
                let entries = map.split('}').next().unwrap_or(map).split(',');
                entries
                    .filter_map(|entry| entry.split_once(':'))
                    .any(|(name, verdict)| name.trim() == state_name && matches!(verdict.trim(), "drop" | "reject"))
            });
            let listed = !state.trim_start().starts_with("vmap")
                && state.split([' ', ',', '{', '}']).any(|word| word == state_name)
                && state.split_whitespace().any(|word| matches!(word, "drop" | "reject"));
            mapped || listed
        };
        let without_syn = rule.contains("tcp flags") && rule.contains("!= syn");
        match (verdict_of("invalid"), verdict_of("new") && without_syn) {
            (_, true) => Some(Drops::NewWithoutSyn),
            (true, false) => Some(Drops::Invalid),
            _ => None,
        }
    };
    let rule = |line: &str| Some(Rule { drops: drops(line)?, listed_by: "nft", text: line.to_owned() });
    ruleset.lines().map(str::trim).filter_map(rule).collect()
}

/// The rules in the output of `iptables-save`.
fn iptables_rules(program: &'static str, saved: &str) -> Vec<Rule> {
    let drops = |rule: &str| -> Option<Drops> {
        if !rule.starts_with("-A") || !(rule.contains("-j DROP") || rule.contains("-j REJECT")) {
            return None;
        }
        let states = rule.split_once("--state ").or_else(|| rule.split_once("--ctstate "))?.1.split(' ').next()?;
        let has = |state: &str| states.split(',').any(|listed| listed == state);
        let without_syn = rule.contains("! --syn") || rule.contains("! --tcp-flags FIN,SYN,RST,ACK SYN");
        match (has("NEW") && without_syn, has("INVALID")) {
            (true, _) => Some(Drops::NewWithoutSyn),
            (false, true) => Some(Drops::Invalid),
            _ => None,
        }
    };
    let rule = |line: &str| Some(Rule { drops: drops(line)?, listed_by: program, text: line.to_owned() });
    saved.lines().map(str::trim).filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nft(rule: &str) -> Option<Drops> {
        nft_rules(&format!("table inet filter {{\n\tchain input {{\n\t\t{rule}\n\t}}\n}}\n"))
            .first()
            .map(|rule| rule.drops)
    }

    fn iptables(rule: &str) -> Option<Drops> {
        iptables_rules("iptables-save", &format!("*filter\n{rule}\nCOMMIT\n")).first().map(|rule| rule.drops)
    }

    #[test]
    fn nft_rules_that_stand_in_the_way_are_found() {
        assert_eq!(nft("tcp flags != syn ct state new drop"), Some(Drops::NewWithoutSyn));
        assert_eq!(
            nft("tcp flags & (fin | syn | rst | ack) != syn ct state new counter packets 0 bytes 0 drop"),
            Some(Drops::NewWithoutSyn)
        );
        assert_eq!(nft("tcp flags != syn / fin,syn,rst,ack ct state new reject"), Some(Drops::NewWithoutSyn));
        assert_eq!(nft("ct state invalid drop"), Some(Drops::Invalid));
        assert_eq!(nft("ct state { invalid, untracked } drop"), Some(Drops::Invalid));
        assert_eq!(
            nft("ct state vmap { invalid : drop, established : accept, related : accept }"),
            Some(Drops::Invalid)
        );
    }

    #[test]
    fn other_nft_rules_are_not() {
        assert_eq!(nft("ct state established,related accept"), None);
        assert_eq!(nft("ct state new tcp dport 22 accept"), None);
        assert_eq!(nft("ct state vmap { established : accept, new : drop }"), None);
        assert_eq!(nft("tcp dport 23 drop"), None);
        assert_eq!(nft("ct state new limit rate over 10/second drop"), None);
    }

    #[test]
    fn iptables_rules_that_stand_in_the_way_are_found() {
        let rule = "-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j DROP";
        assert_eq!(iptables(rule), Some(Drops::NewWithoutSyn));
        assert_eq!(iptables("-A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -j DROP"), Some(Drops::NewWithoutSyn));
        assert_eq!(iptables("-A INPUT -m conntrack --ctstate INVALID -j DROP"), Some(Drops::Invalid));
        assert_eq!(iptables("-A INPUT -m state --state INVALID,UNTRACKED -j REJECT"), Some(Drops::Invalid));
    }

    #[test]
    fn other_iptables_rules_are_not() {
        assert_eq!(iptables("-A INPUT -m state --state NEW -m tcp -p tcp --dport 22 -j ACCEPT"), None);
        assert_eq!(iptables("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"), None);
        assert_eq!(iptables("-A INPUT -j DROP"), None);
        assert_eq!(iptables(":INPUT DROP [0:0]"), None);
    }

    #[test]
    fn the_generation_can_be_asked_again() {
        assert_eq!(generation().is_some(), generation().is_some());
    }

    #[test]
    fn a_nat_chain_is_told_from_others() {
        let chain = |kind: &[u8]| {
            let mut bytes = vec![2, 0, 0, 0];
            for (attribute, value) in
                [(NFTA_CHAIN_TABLE, &b"t\0"[..]), (NFTA_CHAIN_NAME, b"pre\0"), (NFTA_CHAIN_TYPE, kind)]
            {
                bytes.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
                bytes.extend_from_slice(&attribute.to_ne_bytes());
                bytes.extend_from_slice(value);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let read = |bytes: &[u8]| nat_chain(Message { kind: NFT_MSG_NEWCHAIN, flags: 0, payload: bytes });
        assert_eq!(read(&chain(b"nat\0")).as_deref(), Some("nftables' chain t pre"));
        assert_eq!(read(&chain(b"filter\0")), None);
        assert_eq!(read(&[]), None);
    }
}
