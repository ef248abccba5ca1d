//! Who is tried: names, what each is in a line, how it is armed, and whose faults it cannot help.

use super::script::Service;

/// Who is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The kernel's own handshake, with no flood: what the others are measured by. A case that fails here is a mistake of the case.
    Kernel,
    /// Sekisho as it comes: a cookie where the client speaks first, a challenge where the server does.
    Sekisho,
    /// Sekisho with a challenge for every service.
    Challenge,
    /// Sekisho's nftables table as it comes, with which the kernel's SYN cookies answer when a queue is full.
    Nftables,
    /// The same with its synproxy before the services where the client speaks first.
    NftablesSynproxy,
    /// The kernel's SYN cookies for every SYN (`tcp_syncookies=2`).
    Cookies,
    /// nftables' synproxy on the host.
    Synproxy,
    /// nftables' synproxy on a gateway, with the server behind it.
    SynproxyGateway,
}

impl Subject {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 8] = [
        Self::Kernel,
        Self::Sekisho,
        Self::Challenge,
        Self::Nftables,
        Self::NftablesSynproxy,
        Self::Cookies,
        Self::Synproxy,
        Self::SynproxyGateway,
    ];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Sekisho => "sekisho",
            Self::Challenge => "challenge",
            Self::Nftables => "nftables",
            Self::NftablesSynproxy => "nftables-synproxy",
            Self::Cookies => "cookies",
            Self::Synproxy => "synproxy",
            Self::SynproxyGateway => "synproxy-gateway",
        }
    }

    /// What it is, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Kernel => "the kernel's own handshake, without a flood",
            Self::Sekisho => {
                "Sekisho as it comes: cookies where the client speaks first, challenges where the server does"
            }
            Self::Challenge => "Sekisho with challenges for all services",
            Self::Nftables => "Sekisho's nftables table as it comes: the kernel's SYN cookies when a queue is full",
            Self::NftablesSynproxy => "the same with its synproxy before services where the client speaks first",
            Self::Cookies => "the kernel's SYN cookies for every SYN",
            Self::Synproxy => "nftables' synproxy on the host",
            Self::SynproxyGateway => "nftables' synproxy on a gateway, with the server behind it",
        }
    }

    /// Whose answers it gives, where those are not its own: Sekisho's table only says when the kernel answers, and by which means. What that
    /// means gets wrong, it gets wrong too; what that means gets right, it must.
    pub fn stands_on(self, service: Service) -> Option<Self> {
        match (self, service) {
            (Self::Nftables, _) | (Self::NftablesSynproxy, Service::Greet) => Some(Self::Cookies),
            (Self::NftablesSynproxy, _) => Some(Self::Synproxy),
            _ => None,
        }
    }

    /// Whether everything must go right: what is Sekisho's own, and the kernel, or the cases are wrong.
    pub fn must_pass(self) -> bool {
        matches!(self, Self::Kernel | Self::Sekisho | Self::Challenge)
    }

    /// What arms it; `None` if it always is.
    pub(super) fn arming(self) -> Option<Arming> {
        const ALL: &[Service] = &[Service::Echo, Service::Greet, Service::Answer];
        match self {
            Self::Sekisho | Self::Challenge => Some(Arming { services: ALL, rate: 300, filled: BACKLOG / 4 + 1 }),
            Self::Nftables => Some(Arming { services: ALL, rate: 4000, filled: BACKLOG }),
            // Its synproxy answers always, but not where the server speaks first.
            Self::NftablesSynproxy => Some(Arming { services: &[Service::Greet], rate: 4000, filled: BACKLOG }),
            Self::Kernel | Self::Cookies | Self::Synproxy | Self::SynproxyGateway => None,
        }
    }
}

/// The listeners' backlog.
pub(super) const BACKLOG: usize = 128;

/// A flood that keeps queues filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arming {
    /// Whose queues.
    pub(super) services: &'static [Service],
    /// SYNs a second and service. For Sekisho a few are enough, since it is armed above the calm mark, a quarter of the backlog. The
    /// kernel's cookies come only while a queue is full, and it forgets half-open connections after some seconds, many at once: the place
    /// of those has to be taken before a conversation finds it.
    pub(super) rate: u32,
    /// Half-open connections of a listener that is armed.
    pub(super) filled: usize,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Subject::ALL.iter().map(|subject| subject.name()).collect();
        assert_eq!(names.len(), Subject::ALL.len());
    }

    #[test]
    fn nobody_stands_on_who_must_pass_or_on_somebody_who_stands_on_another() {
        for service in [Service::Echo, Service::Greet, Service::Answer] {
            for subject in Subject::ALL {
                let Some(base) = subject.stands_on(service) else { continue };
                assert!(!subject.must_pass() && !base.must_pass() && base.stands_on(service).is_none());
            }
        }
    }
}
