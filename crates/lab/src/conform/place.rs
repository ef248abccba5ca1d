//! The server that conversations are played against, with one defence, armed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use super::script::Service;
use super::tap::Tap;
use crate::counters::{self, Connection};
use crate::flood::Shot;
use crate::guard::Guard;
use crate::middle::{self, KernelCookies, Rules};
use crate::servers::{Talk, Tiny};
use crate::topology::{Host, SERVER4, SERVER6};
use crate::{Result, wait};

/// Who is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The kernel's own handshake, with no flood: what the others are measured by. A case that fails here is a mistake of the case.
    Kernel,
    /// Sekisho as it comes: a cookie where the client speaks first, a challenge where the server does.
    Sekisho,
    /// Sekisho with a challenge for every service.
    Challenge,
    /// The kernel's SYN cookies for every SYN (`tcp_syncookies=2`).
    Cookies,
    /// nftables' synproxy on the host.
    Synproxy,
}

impl Subject {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 5] = [Self::Kernel, Self::Sekisho, Self::Challenge, Self::Cookies, Self::Synproxy];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Sekisho => "sekisho",
            Self::Challenge => "challenge",
            Self::Cookies => "cookies",
            Self::Synproxy => "synproxy",
        }
    }
}

/// The ports of the services. Well-known ones, so that Sekisho treats each as it would in the field.
const PORTS: [(Service, u16); 3] = [(Service::Echo, 80), (Service::Greet, 25), (Service::Answer, 8080)];
/// The listeners' backlog.
const BACKLOG: i32 = 128;
/// Half-open connections of a listener that is armed: above Sekisho's calm mark, a quarter of the backlog.
const ARMED: usize = 33;
/// What keeps the queues filled, in SYNs a second and service.
const RATE: u32 = 300;
/// Both marks at the same place: whoever is asked gets a cookie, also a source that is known by now.
const COOKIES: &str = "[[service]]\nports = [80, 8080]\ncalm = 0.25\nreserve = 0.251\n";
/// A challenge for everybody.
const CHALLENGES: &str = "[[service]]\nports = [25, 80, 8080]\nmethod = \"challenge\"\n";
/// Small tables are made faster.
const TABLES: &str = "[verified]\ncapacity4 = 4096\ncapacity6 = 4096\n";

/// The server.
#[derive(Debug)]
pub(super) struct Place {
    // Goes first, so that Sekisho still finds its namespace.
    _guard: Option<Guard>,
    _rules: Vec<Rules>,
    _services: Vec<Tiny>,
    host: Host,
    subject: Subject,
    next: AtomicU16,
    over: AtomicBool,
}

impl Place {
    /// Builds it. `program` is Sekisho.
    pub(super) fn new(subject: Subject, program: &Path) -> Result<Self> {
        let host = Host::new()?;
        // The peers' addresses are nobody's: the router must neither look for them nor complain.
        host.router.ip("route add blackhole 203.0.113.128/25\nroute add blackhole 2001:db8:c:0::/48")?;
        host.server.ip("route add 2001:db8:c::/48 via 2001:db8:51::1")?;
        let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let serve = |(service, port)| {
            let talk = match service {
                Service::Echo => Talk::Echo,
                Service::Greet => Talk::Banner("220 lab.example ready\r\n".into()),
                Service::Answer => Talk::Http(b"hello\n".into()),
            };
            Tiny::start(&host.server, SocketAddr::new(everywhere, port), BACKLOG, talk)
        };
        let services = PORTS.into_iter().map(serve).collect::<Result<_>>()?;
        let mut rules = Vec::new();
        let mut guard = None;
        match subject {
            Subject::Kernel => middle::kernel_cookies(&host.server, KernelCookies::Off)?,
            Subject::Cookies => middle::kernel_cookies(&host.server, KernelCookies::Always)?,
            Subject::Synproxy => rules.push(middle::synproxy_ports(&host.server, &PORTS.map(|(_, port)| port))?),
            Subject::Sekisho => guard = Some(Guard::start(&host.server, program, &format!("{TABLES}{COOKIES}"), &[])?),
            Subject::Challenge => {
                guard = Some(Guard::start(&host.server, program, &format!("{TABLES}{CHALLENGES}"), &[])?)
            }
        }
        let (next, over) = (AtomicU16::new(0), AtomicBool::new(false));
        Ok(Self { _guard: guard, _rules: rules, _services: services, host, subject, next, over })
    }

    /// Whether it is the flood that arms it.
    fn needs_flood(&self) -> bool {
        matches!(self.subject, Subject::Sekisho | Subject::Challenge)
    }

    /// Keeps the queues filled until [`Place::end`]. To be called on a thread of its own.
    pub(super) fn keep_armed(&self) -> Result<()> {
        while self.needs_flood() && !self.over.load(Ordering::Relaxed) {
            let begin =
                |(_, port)| self.host.flood(Shot::syn(SocketAddr::new(SERVER4, port)).rate(RATE).seconds(20))?.start();
            let floods = PORTS.into_iter().map(begin).collect::<Result<Vec<_>>>()?;
            while !self.over.load(Ordering::Relaxed) && !floods.iter().all(crate::flood::Running::is_over) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Ends the flood.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Waits until it is armed.
    pub(super) fn await_armed(&self) -> Result<()> {
        let filled = |port| counters::queues(&self.host.server, port).is_ok_and(|queues| queues.syn >= ARMED);
        wait::until("filled SYN queues", wait::PATIENCE, || {
            !self.needs_flood() || PORTS.into_iter().all(|(_, port)| filled(port))
        })
    }

    /// Where a service listens.
    pub(super) fn server(&self, service: Service, family: u8) -> SocketAddr {
        let port = PORTS.into_iter().find(|(one, _)| *one == service).map_or(0, |(_, port)| port);
        SocketAddr::new(if family == 4 { SERVER4 } else { SERVER6 }, port)
    }

    /// An address that nobody has used yet, as long as there are some, and a port. IPv6 sources are told apart by /64.
    pub(super) fn address(&self, family: u8) -> SocketAddr {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let address = if family == 4 {
            IpAddr::V4(Ipv4Addr::new(203, 0, 113, 129 + (n % 125) as u8))
        } else {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0x100 + n, 0, 0, 0, 1))
        };
        SocketAddr::new(address, 40_000 + n * 17)
    }

    /// The router's address on the server's link.
    pub(super) fn router(&self, server: IpAddr) -> IpAddr {
        match server {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 1)),
        }
    }

    /// Ears and mouth at the other end of the server's link.
    pub(super) fn tap(&self) -> Result<Tap> {
        Tap::open(&self.host.router, "server")
    }

    /// The server's connection with a peer.
    pub(super) fn connection(&self, port: u16, peer: SocketAddr) -> Result<Option<Connection>> {
        Ok(counters::connections(&self.host.server, port)?.into_iter().find(|one| one.peer == peer))
    }
}
