//! The defences that are compared, and how each is put up in front of the server: as its own documentation, or the first answer that
//! a search finds, has it.

use std::fmt;
use std::path::Path;

use libbpf_rs::Link;

use super::bound::{self, Bound};
use crate::gateway;
use crate::guard::Guard;
use crate::middle::{self, KernelCookies, Rules};
use crate::topology::{DEVICE, Host, client_for};
use crate::{Netns, Result, run};

use super::{Family, cell};

/// The listen backlog of most programs of some age.
pub const BACKLOG_SMALL: i32 = 128;
/// As long as the kernel's default for net.core.somaxconn allows.
pub const BACKLOG_LARGE: i32 = 4096;

/// What stands in front of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Defence {
    /// Nothing: not even the kernel's cookies.
    None,
    /// The kernel's cookies when a queue is full, which is its default.
    Cookies,
    /// The same, with a long queue.
    CookiesLarge,
    /// The kernel's cookies for every SYN.
    CookiesAlways,
    /// The same, with a long queue.
    CookiesAlwaysLarge,
    /// iptables: so many SYNs a second of whomever.
    Limit,
    /// iptables: so many SYNs a second of each source.
    Hashlimit,
    /// nftables' SYNPROXY on the host.
    Synproxy,
    /// nftables' SYNPROXY on a gateway before the host.
    SynproxyGateway,
    /// Sekisho.
    Sekisho,
    /// Sekisho's nftables table.
    SekishoNftables,
    /// Sekisho, which only looks.
    SekishoObserve,
    /// The bound for whoever answers.
    Bounce,
    /// The bound for anybody.
    Oracle,
}

impl Defence {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::Limit,
        Self::Hashlimit,
        Self::Cookies,
        Self::CookiesLarge,
        Self::CookiesAlways,
        Self::CookiesAlwaysLarge,
        Self::Synproxy,
        Self::SynproxyGateway,
        Self::SekishoObserve,
        Self::SekishoNftables,
        Self::Sekisho,
        Self::Bounce,
        Self::Oracle,
    ];

    /// Its name for the command line and for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cookies => "cookies",
            Self::CookiesLarge => "cookies-large",
            Self::CookiesAlways => "cookies-always",
            Self::CookiesAlwaysLarge => "cookies-always-large",
            Self::Limit => "limit",
            Self::Hashlimit => "hashlimit",
            Self::Synproxy => "synproxy",
            Self::SynproxyGateway => "synproxy-gateway",
            Self::Sekisho => "sekisho",
            Self::SekishoNftables => "sekisho-nftables",
            Self::SekishoObserve => "sekisho-observe",
            Self::Bounce => "bounce",
            Self::Oracle => "oracle",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Cookies => "kernel cookies",
            Self::CookiesLarge => "kernel cookies (long queue)",
            Self::CookiesAlways => "kernel cookies always",
            Self::CookiesAlwaysLarge => "kernel cookies always (long queue)",
            Self::Limit => "iptables limit",
            Self::Hashlimit => "iptables hashlimit",
            Self::Synproxy => "nftables synproxy",
            Self::SynproxyGateway => "nftables synproxy on a gateway",
            Self::Sekisho => "Sekisho",
            Self::SekishoNftables => "Sekisho as nftables",
            Self::SekishoObserve => "Sekisho observing",
            Self::Bounce => "bound: a bare bounce",
            Self::Oracle => "bound: an oracle",
        }
    }

    /// What it is, in a line.
    pub fn note(self) -> &'static str {
        match self {
            Self::None => "tcp_syncookies=0, backlog 128",
            Self::Cookies => "tcp_syncookies=1, backlog 128: Linux as it comes",
            Self::CookiesLarge => "tcp_syncookies=1, backlog 4096",
            Self::CookiesAlways => "tcp_syncookies=2, backlog 128",
            Self::CookiesAlwaysLarge => "tcp_syncookies=2, backlog 4096",
            Self::Limit => "-m limit --limit 1/s --limit-burst 4, then DROP; an admin is exempt",
            Self::Hashlimit => "-m hashlimit --hashlimit-upto 10/s for each source, then DROP; an admin is exempt",
            Self::Synproxy => "notrack and synproxy as nft's manual has them",
            Self::SynproxyGateway => "the same where it forwards, the server behind it",
            Self::Sekisho => "as it comes: programs on XDP, no configuration",
            Self::SekishoNftables => "sekisho run --backend nftables",
            Self::SekishoObserve => "sekisho run --mode observe: the kernel's cookies, and what it costs to look",
            Self::Bounce => "XDP sends the attackers' frames back, addresses swapped: nobody can answer for less",
            Self::Oracle => "XDP knows the attackers' addresses and drops: nobody can do better",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|defence| defence.name() == name)
    }

    /// Whether it is a bound, which nobody can have, and no defence.
    pub fn is_bound(self) -> bool {
        matches!(self, Self::Bounce | Self::Oracle)
    }

    /// The listen backlog of the server behind it.
    pub fn backlog(self) -> i32 {
        match self {
            Self::CookiesLarge | Self::CookiesAlwaysLarge => BACKLOG_LARGE,
            _ => BACKLOG_SMALL,
        }
    }

    fn kernel_cookies(self) -> KernelCookies {
        match self {
            Self::None => KernelCookies::Off,
            Self::CookiesAlways | Self::CookiesAlwaysLarge => KernelCookies::Always,
            _ => KernelCookies::WhenFull,
        }
    }
}

impl fmt::Display for Defence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A defence that stands, until dropped.
#[derive(Debug)]
pub struct Raised {
    /// Where the server belongs.
    pub server: Netns,
    /// Sekisho, where that is what stands there.
    pub guard: Option<Guard>,
    _rules: Option<Rules>,
    _bound: Option<Link>,
}

/// Puts a defence up before the server of a host.
///
/// # Errors
///
/// What its tool says, if it cannot be had on this machine.
pub fn raise(defence: Defence, host: &Host, family: Family, program: &Path) -> Result<Raised> {
    let server = match defence {
        Defence::SynproxyGateway => gateway::put_behind(host)?,
        _ => host.server.clone(),
    };
    middle::kernel_cookies(&server, defence.kernel_cookies())?;
    let mut raised = Raised { server, guard: None, _rules: None, _bound: None };
    let sekisho = |arguments: &[&str]| Guard::start(&host.server, program, "", arguments).map(Some);
    match defence {
        Defence::Limit => syn_limit(host, family, &["limit", "--limit", "1/second", "--limit-burst", "4"])?,
        Defence::Hashlimit => syn_limit(host, family, &HASHLIMIT)?,
        Defence::Synproxy => raised._rules = Some(synproxy(&host.server, "input")?),
        Defence::SynproxyGateway => raised._rules = Some(synproxy(&host.server, "forward")?),
        Defence::Sekisho => raised.guard = sekisho(&[])?,
        Defence::SekishoNftables => raised.guard = sekisho(&["--backend", "nftables"])?,
        Defence::SekishoObserve => raised.guard = sekisho(&["--mode", "observe"])?,
        Defence::Bounce => raised._bound = Some(bound::attach(&host.server, Bound::Bounce)?),
        Defence::Oracle => raised._bound = Some(bound::attach(&host.server, Bound::Oracle)?),
        Defence::None
        | Defence::Cookies
        | Defence::CookiesLarge
        | Defence::CookiesAlways
        | Defence::CookiesAlwaysLarge => {}
    }
    Ok(raised)
}

const HASHLIMIT: [&str; 9] = [
    "hashlimit",
    "--hashlimit-upto",
    "10/second",
    "--hashlimit-burst",
    "5",
    "--hashlimit-mode",
    "srcip",
    "--hashlimit-name",
    "syn",
];

/// What a search for "iptables SYN flood" finds, with the admin's own address let in before it.
fn syn_limit(host: &Host, family: Family, matcher: &[&str]) -> Result<()> {
    let tool = if family == Family::V4 { "iptables" } else { "ip6tables" };
    let admin = client_for(family.server(), cell::ADMIN).to_string();
    let add =
        |words: &[&str]| run::output(host.server.command(tool).args(["-w", "-A", "INPUT", "-i", DEVICE]).args(words));
    add(&["-s", &admin, "-j", "ACCEPT"])?;
    add(&[&["-p", "tcp", "--syn", "-m"], matcher, &["-j", "ACCEPT"]].concat())?;
    add(&["-p", "tcp", "--syn", "-j", "DROP"])?;
    Ok(())
}

/// SYNPROXY for both services, in the chain that their packets pass.
fn synproxy(namespace: &Netns, hook: &str) -> Result<Rules> {
    let ports = format!("{{ {}, {} }}", cell::WEB, cell::MAIL);
    let rules = Rules::add(
        namespace,
        "inet synproxy_compared",
        &format!(
            "chain before {{ type filter hook prerouting priority raw; policy accept;\n\
             tcp dport {ports} tcp flags & (fin | syn | rst | ack) == syn notrack; }}\n\
             chain {hook} {{ type filter hook {hook} priority 0; policy accept;\n\
             tcp dport {ports} ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm\n\
             ct state invalid counter drop; }}"
        ),
    )?;
    namespace.sysctl("net.netfilter.nf_conntrack_tcp_loose", "0")?;
    namespace.sysctl("net.ipv4.tcp_syncookies", "1")?;
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for defence in Defence::ALL {
            assert_eq!(Defence::named(defence.name()), Some(defence));
        }
        assert_eq!(Defence::named("sysproxy"), None);
    }
}
