//! What is known to break Sekisho in the field, looked for in plain facts: pure, facts in, findings out.
//!
//! A [`Finding`] says what is, why it matters and what to do. Where Sekisho can put it right by itself there is a [`Step`] with it,
//! which the daemon applies (see [`crate::act`]) and `sekisho off` takes back.
//!
//! [`settings`] judges the host's settings beyond what Sekisho itself needs, for `sekisho plan`. [`diagnosis`] judges trouble: what is wrong
//! now, or what happened then.

pub mod diagnosis;
pub mod settings;

use serde::Serialize;

use crate::act::Step;
use crate::observe::ethtool::{self, Answers};
use crate::observe::firewall::{Drops, Rule};
use crate::observe::links::Link;
use crate::policy::CompletionChoice;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; nothing has to be done.
    Note,
    /// Protection works less well than it could.
    Warning,
    /// Protection does not work as long as this is so.
    Problem,
}

impl Severity {
    /// The word used in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// Something found on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A name for ever, for scripts.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do; empty if nothing.
    pub todo: String,
    /// How Sekisho can put it right itself.
    #[serde(skip)]
    pub mend: Option<Step>,
}

/// How `gate` is attached to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// Not at all.
    None,
    /// In the driver.
    Native,
    /// In the kernel's generic hook, with the reason for it.
    Generic(String),
}

/// Facts about one interface that is to be protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// What rtnetlink tells; `None` while there is no such interface.
    pub link: Option<Link>,
    /// Its driver.
    pub driver: Option<String>,
    /// Its offloads ([`ethtool::flags`]), where the driver tells.
    pub offloads: Option<u32>,
    /// Names of the VLAN interfaces on it.
    pub vlans: Vec<String>,
    /// How `gate` is attached.
    pub attachment: Attachment,
    /// What became of answers, where the driver counts them.
    pub answers: Answers,
}

/// Facts about the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// `net.ipv4.tcp_syncookies`; `None` if the kernel has no SYN cookies (`CONFIG_SYN_COOKIES`).
    pub syncookies: Option<u8>,
    /// `net.netfilter.nf_conntrack_tcp_loose`; `None` without connection tracking.
    pub conntrack_loose: Option<u8>,
    /// `net.netfilter.nf_conntrack_tcp_be_liberal`; `None` without connection tracking.
    pub conntrack_be_liberal: Option<u8>,
    /// Whether `admit` can enter the connections that it makes into connection tracking (Linux 6.1).
    pub conntrack_entries: bool,
    /// Whether IPv6 is switched off.
    pub ipv6_off: bool,
    /// Firewall rules that stand in the way.
    pub rules: Vec<Rule>,
    /// Where addresses are translated.
    pub nat: Vec<String>,
    /// Whose cookie the configuration wants.
    pub completion: CompletionChoice,
    /// Why the kernel cannot complete our own cookie, if it cannot.
    pub own_cookie_missing: Option<String>,
    /// Changes that Sekisho made and that are in force.
    pub mended: Vec<Step>,
    /// The interfaces.
    pub interfaces: Vec<InterfaceFacts>,
}

/// The sysctl without which the kernel completes no cookie.
pub const SYNCOOKIES: &str = "net.ipv4.tcp_syncookies";
/// The sysctl that lets connection tracking take up a connection whose SYN it has not seen.
pub const CONNTRACK_LOOSE: &str = "net.netfilter.nf_conntrack_tcp_loose";

/// The sysctl that lets a connection's segments be outside the window that connection tracking believes in.
pub const CONNTRACK_BE_LIBERAL: &str = "net.netfilter.nf_conntrack_tcp_be_liberal";

/// Everything that is found, the gravest first.
pub fn judge(facts: &HostFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(syncookies(facts));
    findings.extend(conntrack(facts));
    findings.extend(nat(facts));
    findings.extend(ipv6(facts));
    for interface in &facts.interfaces {
        findings.extend(interface_findings(interface));
    }
    findings.extend(facts.mended.iter().map(mended));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn syncookies(facts: &HostFacts) -> Option<Finding> {
    let (what, todo, mend) = match facts.syncookies {
        Some(0) => (
            format!("{SYNCOOKIES} is 0"),
            format!("sysctl -w {SYNCOOKIES}=1"),
            Some(Step::Sysctl { key: SYNCOOKIES.into(), from: "0".into(), to: "1".into() }),
        ),
        None => (
            "the kernel has no SYN cookies".to_owned(),
            "boot a kernel with CONFIG_SYN_COOKIES=y (every Debian kernel has it)".to_owned(),
            None,
        ),
        Some(_) => return None,
    };
    Some(Finding {
        id: "syncookies-off",
        severity: Severity::Problem,
        what,
        why: "with it the kernel refuses every connection that a cookie proves, its own and ours".into(),
        todo,
        mend,
    })
}

/// The rule that drops the ACK of a proven client, if there is one.
fn rule_in_the_way(facts: &HostFacts) -> Option<&Rule> {
    let matters = |rule: &&Rule| match rule.drops {
        Drops::NewWithoutSyn => true,
        // Connection tracking that is loose takes the ACK for a new connection, not for an invalid one.
        Drops::Invalid => facts.conntrack_loose == Some(0),
    };
    facts.rules.iter().find(matters)
}

/// Whether `admit` has to enter connections into connection tracking.
pub fn wants_conntrack_entries(facts: &HostFacts) -> bool {
    facts.conntrack_entries && rule_in_the_way(facts).is_some()
}

fn conntrack(facts: &HostFacts) -> Option<Finding> {
    let rule = rule_in_the_way(facts)?;
    let (id, what, todo, mend) = match rule.drops {
        Drops::NewWithoutSyn => (
            "firewall-new-without-syn",
            format!("a firewall rule ({}) drops new connections without SYN: {}", rule.listed_by, rule.text),
            "remove the rule, which gate makes needless: while a service is armed, segments that belong to no connection are \
             dropped earlier and cheaper"
                .to_owned(),
            None,
        ),
        Drops::Invalid => (
            "firewall-invalid",
            format!("{CONNTRACK_LOOSE} is 0 and a firewall rule ({}) drops what is invalid: {}", rule.listed_by, rule.text),
            format!("sysctl -w {CONNTRACK_LOOSE}=1 (the kernel's default)"),
            Some(Step::Sysctl { key: CONNTRACK_LOOSE.into(), from: "0".into(), to: "1".into() }),
        ),
    };
    let why = "gate answers the SYN before the firewall sees it, so a proven client's ACK is the first that connection tracking meets";
    Some(if facts.conntrack_entries {
        entered(facts, id, what, why)
    } else {
        let why = format!("{why}, and this rule drops it");
        Finding { id, severity: Severity::Problem, what, why, todo, mend }
    })
}

/// The rule stays, since `admit` makes the entry that the handshake would have made. What that entry cannot know is the window scale, so
/// connection tracking must not judge by the window.
fn entered(facts: &HostFacts, id: &'static str, what: String, why: &str) -> Finding {
    let strict = facts.conntrack_be_liberal.filter(|liberal| *liberal == 0);
    Finding {
        id,
        severity: if strict.is_some() { Severity::Warning } else { Severity::Note },
        what,
        why: format!(
            "{why}; so admit enters each connection that it makes into connection tracking, and the rule does no harm"
        ),
        todo: strict.map(|_| format!("sysctl -w {CONNTRACK_BE_LIBERAL}=1")).unwrap_or_default(),
        mend: strict.map(|_| Step::Sysctl { key: CONNTRACK_BE_LIBERAL.into(), from: "0".into(), to: "1".into() }),
    }
}

fn nat(facts: &HostFacts) -> Option<Finding> {
    // Where the kernel's cookie is used anyway, nat changes nothing.
    if facts.nat.is_empty() || facts.own_cookie_missing.is_some() || facts.completion == CompletionChoice::Kernel {
        return None;
    }
    let forced = facts.completion == CompletionChoice::Own;
    let why = "address translation lets go of the socket that a cookie of our own was completed with";
    Some(Finding {
        id: "nat",
        severity: if forced { Severity::Problem } else { Severity::Note },
        what: format!("addresses are translated here: {}", facts.nat.join(", ")),
        why: if forced {
            format!("{why}, so every client that was given one is reset")
        } else {
            format!("{why}, so the kernel's cookie is used")
        },
        todo: if forced {
            "set completion = \"auto\" in [cookie], or remove the nat table".into()
        } else {
            String::new()
        },
        mend: None,
    })
}

fn ipv6(facts: &HostFacts) -> Option<Finding> {
    facts.ipv6_off.then(|| Finding {
        id: "ipv6-off",
        severity: Severity::Note,
        what: "IPv6 is switched off".into(),
        why: "so only IPv4 is protected, and nothing else has to be".into(),
        todo: String::new(),
        mend: None,
    })
}

fn interface_findings(interface: &InterfaceFacts) -> Vec<Finding> {
    let Some(link) = &interface.link else {
        return vec![absent(&interface.name)];
    };
    let checks = [
        no_ethernet(interface, link),
        down(interface, link),
        other_program(interface, link),
        rx_vlan(interface),
        lro(interface),
        generic(interface, link),
        answers_lost(interface),
    ];
    checks.into_iter().flatten().collect()
}

fn absent(name: &str) -> Finding {
    Finding {
        id: "interface-absent",
        severity: Severity::Warning,
        what: format!("there is no interface {name}"),
        why: "nothing is protected there until it comes; it is then attached to by itself".into(),
        todo: "if it was renamed, name it in `interface` or with --interface; `ip link` lists them".into(),
        mend: None,
    }
}

fn no_ethernet(interface: &InterfaceFacts, link: &Link) -> Option<Finding> {
    (!link.ethernet).then(|| Finding {
        id: "no-ethernet",
        severity: Severity::Problem,
        what: format!("{} has no Ethernet header (it is a tunnel or the like)", interface.name),
        why: "gate reads packets from their Ethernet header on, so it cannot protect this interface".into(),
        todo: "name the interface below it, through which the floods arrive".into(),
        mend: None,
    })
}

fn down(interface: &InterfaceFacts, link: &Link) -> Option<Finding> {
    (!link.up).then(|| Finding {
        id: "interface-down",
        severity: Severity::Note,
        what: format!("{} is down", interface.name),
        why: "nothing arrives there; it stays protected and goes on when it comes up".into(),
        todo: String::new(),
        mend: None,
    })
}

fn other_program(interface: &InterfaceFacts, link: &Link) -> Option<Finding> {
    let program = link.xdp_program.filter(|_| interface.attachment == Attachment::None)?;
    let name = &interface.name;
    Some(Finding {
        id: "other-xdp-program",
        severity: Severity::Problem,
        what: format!("another XDP program (id {program}) is attached to {name}"),
        why: "an interface holds one, so gate cannot be attached beside it".into(),
        todo: format!(
            "`bpftool prog show id {program}` says what it is; to let Sekisho have the interface: ip link set dev {name} xdp off"
        ),
        mend: None,
    })
}

fn rx_vlan(interface: &InterfaceFacts) -> Option<Finding> {
    if interface.vlans.is_empty() || interface.offloads? & ethtool::RX_VLAN == 0 {
        return None;
    }
    let name = &interface.name;
    Some(Finding {
        id: "rx-vlan-offload",
        severity: Severity::Problem,
        what: format!("{name} takes VLAN tags out of received frames, and carries {}", interface.vlans.join(", ")),
        why: "gate then does not see which VLAN a SYN came from, and its answer would go to the wrong one".into(),
        todo: format!("ethtool -K {name} rxvlan off"),
        mend: Some(Step::OffloadOff { interface: name.clone(), flags: ethtool::RX_VLAN }),
    })
}

fn lro(interface: &InterfaceFacts) -> Option<Finding> {
    if interface.offloads? & ethtool::LRO == 0 {
        return None;
    }
    let name = &interface.name;
    Some(Finding {
        id: "lro",
        severity: Severity::Warning,
        what: format!("{name} joins received segments (large receive offload)"),
        why: "most drivers refuse native XDP with it, and joined frames are longer than gate may see".into(),
        todo: format!("ethtool -K {name} lro off"),
        mend: Some(Step::OffloadOff { interface: name.clone(), flags: ethtool::LRO }),
    })
}

/// A page less headroom and tail: the longest frame that most drivers take in native mode without multi-buffer XDP.
const NATIVE_MTU_MAX: u32 = 3498;

fn generic(interface: &InterfaceFacts, link: &Link) -> Option<Finding> {
    let Attachment::Generic(reason) = &interface.attachment else { return None };
    let name = &interface.name;
    let todo = if link.kind.as_deref() == Some("veth") {
        String::new()
    } else if link.mtu > NATIVE_MTU_MAX {
        format!("its MTU is {}; most drivers want at most {NATIVE_MTU_MAX}: ip link set dev {name} mtu 1500", link.mtu)
    } else if reason.contains("queue") || reason.contains("ring") {
        format!(
            "its driver wants a transmit queue for each CPU: `ethtool -l {name}` shows, `ethtool -L {name} combined N` lowers them"
        )
    } else {
        String::new()
    };
    Some(Finding {
        id: "generic-xdp",
        severity: Severity::Warning,
        what: format!("gate runs in generic mode on {name}: {reason}"),
        why: "it protects as well, but each packet costs the kernel a buffer first, so a flood costs several times as much".into(),
        todo,
        mend: None,
    })
}

fn answers_lost(interface: &InterfaceFacts) -> Option<Finding> {
    let Answers { sent, lost } = interface.answers;
    // Losses beside successes are a full queue; only losses are a missing one.
    (lost > 0 && sent == 0 && interface.attachment == Attachment::Native).then(|| Finding {
        id: "answers-lost",
        severity: Severity::Problem,
        what: format!("{} lost every one of {lost} answers: its driver has no queue to send them from", interface.name),
        why: "a client that gets no answer cannot prove anything; the daemon goes over to generic mode by itself"
            .into(),
        todo: "`ethtool -S` has its counters; `ethtool -l` and `-L` show and set its queues".into(),
        mend: None,
    })
}

fn mended(step: &Step) -> Finding {
    Finding {
        id: "changed",
        severity: Severity::Note,
        what: step.describe(),
        why: "changed by Sekisho at start, because it does not work otherwise; `sekisho off` puts it back".into(),
        todo: String::new(),
        mend: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> HostFacts {
        HostFacts {
            syncookies: Some(1),
            conntrack_loose: Some(1),
            interfaces: vec![interface()],
            ..HostFacts::default()
        }
    }

    fn interface() -> InterfaceFacts {
        InterfaceFacts {
            name: "eth0".into(),
            link: Some(Link {
                index: 2,
                name: "eth0".into(),
                kind: None,
                up: true,
                mtu: 1500,
                below: None,
                below_namespace: None,
                master: None,
                ethernet: true,
                xdp_program: None,
            }),
            driver: Some("virtio_net".into()),
            offloads: Some(0),
            vlans: Vec::new(),
            attachment: Attachment::Native,
            answers: Answers::default(),
        }
    }

    fn ids(facts: &HostFacts) -> Vec<&'static str> {
        judge(facts).iter().map(|finding| finding.id).collect()
    }

    fn with(change: impl FnOnce(&mut InterfaceFacts)) -> HostFacts {
        let mut facts = healthy();
        change(&mut facts.interfaces[0]);
        facts
    }

    #[test]
    fn a_healthy_host_has_no_findings() {
        assert_eq!(judge(&healthy()), []);
    }

    #[test]
    fn cookies_switched_off_are_switched_on() {
        let findings = judge(&HostFacts { syncookies: Some(0), ..healthy() });
        assert_eq!(findings[0].id, "syncookies-off");
        assert!(matches!(&findings[0].mend, Some(Step::Sysctl { key, to, .. }) if key == SYNCOOKIES && to == "1"));
        let findings = judge(&HostFacts { syncookies: None, ..healthy() });
        assert_eq!((findings[0].id, findings[0].mend.is_none()), ("syncookies-off", true));
    }

    #[test]
    fn an_invalid_rule_matters_only_where_connection_tracking_is_strict() {
        let rule = Rule { drops: Drops::Invalid, listed_by: "nft", text: "ct state invalid drop".into() };
        let loose = HostFacts { rules: vec![rule], ..healthy() };
        assert!(ids(&loose).is_empty());
        let strict = HostFacts { conntrack_loose: Some(0), ..loose };
        let findings = judge(&strict);
        assert_eq!(findings[0].id, "firewall-invalid");
        assert!(findings[0].mend.is_some());
    }

    #[test]
    fn a_rule_against_new_connections_without_syn_is_explained_with_its_text() {
        let rule = Rule { drops: Drops::NewWithoutSyn, listed_by: "iptables-save", text: "-A INPUT ! --syn".into() };
        let findings = judge(&HostFacts { rules: vec![rule], ..healthy() });
        assert_eq!(findings[0].id, "firewall-new-without-syn");
        assert!(findings[0].what.contains("-A INPUT ! --syn") && !findings[0].todo.is_empty());
    }

    #[test]
    fn where_admit_can_enter_connections_a_rule_does_no_harm() {
        let rule =
            Rule { drops: Drops::NewWithoutSyn, listed_by: "nft", text: "tcp flags != syn ct state new drop".into() };
        let strict =
            HostFacts { rules: vec![rule], conntrack_entries: true, conntrack_be_liberal: Some(0), ..healthy() };
        assert!(wants_conntrack_entries(&strict) && !wants_conntrack_entries(&healthy()));
        let finding = &judge(&strict)[0];
        assert_eq!(finding.severity, Severity::Warning);
        assert!(matches!(&finding.mend, Some(Step::Sysctl { key, .. }) if key == CONNTRACK_BE_LIBERAL));
        let finding = &judge(&HostFacts { conntrack_be_liberal: Some(1), ..strict.clone() })[0];
        assert_eq!((finding.severity, finding.mend.is_none()), (Severity::Note, true));
        assert!(!wants_conntrack_entries(&HostFacts { conntrack_entries: false, ..strict }));
    }

    #[test]
    fn an_interface_without_ethernet_is_told() {
        assert_eq!(ids(&with(|interface| interface.link.as_mut().unwrap().ethernet = false)), ["no-ethernet"]);
    }

    #[test]
    fn nat_matters_only_where_our_own_cookie_would_be_used() {
        let facts = HostFacts { nat: vec!["nftables' chain nat pre".into()], ..healthy() };
        assert_eq!(ids(&facts), ["nat"]);
        assert_eq!(judge(&facts)[0].severity, Severity::Note);
        let forced = HostFacts { completion: CompletionChoice::Own, ..facts.clone() };
        assert_eq!(judge(&forced)[0].severity, Severity::Problem);
        assert!(ids(&HostFacts { own_cookie_missing: Some("Linux 6.1".into()), ..facts }).is_empty());
    }

    #[test]
    fn vlan_and_lro_offloads_are_switched_off_where_they_matter() {
        let tags = with(|interface| interface.offloads = Some(ethtool::RX_VLAN));
        assert!(ids(&tags).is_empty(), "no VLAN interface stands on it");
        let vlan = with(|interface| {
            interface.offloads = Some(ethtool::RX_VLAN);
            interface.vlans = vec!["eth0.5".into()];
        });
        assert_eq!(ids(&vlan), ["rx-vlan-offload"]);
        assert!(judge(&vlan)[0].mend.is_some());
        assert_eq!(ids(&with(|interface| interface.offloads = Some(ethtool::LRO))), ["lro"]);
    }

    #[test]
    fn another_program_is_named_but_ours_is_not() {
        let other = with(|interface| {
            interface.attachment = Attachment::None;
            interface.link.as_mut().unwrap().xdp_program = Some(77);
        });
        let findings = judge(&other);
        assert_eq!(findings[0].id, "other-xdp-program");
        assert!(findings[0].what.contains("77"));
        assert!(ids(&with(|interface| interface.link.as_mut().unwrap().xdp_program = Some(77))).is_empty());
    }

    #[test]
    fn generic_mode_is_told_with_what_may_help() {
        let generic = |mtu, reason: &str| {
            with(|interface| {
                interface.attachment = Attachment::Generic(reason.into());
                interface.link.as_mut().unwrap().mtu = mtu;
            })
        };
        assert!(judge(&generic(9000, "MTU too large"))[0].todo.contains("mtu 1500"));
        assert!(judge(&generic(1500, "not enough queues"))[0].todo.contains("ethtool -L"));
        assert!(judge(&generic(1500, "not supported"))[0].what.contains("not supported"));
    }

    #[test]
    fn interfaces_that_are_down_or_absent_are_told() {
        assert_eq!(ids(&with(|interface| interface.link = None)), ["interface-absent"]);
        assert_eq!(ids(&with(|interface| interface.link.as_mut().unwrap().up = false)), ["interface-down"]);
        assert_eq!(ids(&with(|interface| interface.answers.lost = 3)), ["answers-lost"]);
        assert!(ids(&with(|interface| interface.answers = Answers { sent: 1, lost: 3 })).is_empty());
    }

    #[test]
    fn the_gravest_comes_first_and_changes_are_told() {
        let step = Step::Sysctl { key: SYNCOOKIES.into(), from: "0".into(), to: "1".into() };
        let facts = HostFacts { syncookies: Some(0), ipv6_off: true, mended: vec![step], ..healthy() };
        assert_eq!(ids(&facts), ["syncookies-off", "ipv6-off", "changed"]);
    }
}
