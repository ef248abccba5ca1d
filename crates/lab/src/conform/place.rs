//! The server that conversations are played against, with one defence, armed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use super::script::Service;
use super::subject::{BACKLOG, Subject};
use super::tap::Tap;
use crate::counters::{self, Connection};
use crate::flood::Shot;
use crate::gateway;
use crate::guard::Guard;
use crate::middle::{self, KernelCookies, Rules};
use crate::servers::{Talk, Tiny};
use crate::topology::{Host, SERVER4, SERVER6};
use crate::{Netns, Result, wait};

/// The ports of the services. Well-known ones, so that Sekisho treats each as it would in the field.
const PORTS: [(Service, u16); 3] = [(Service::Echo, 80), (Service::Greet, 25), (Service::Answer, 8080)];
/// Both marks at the same place: whoever is asked gets a cookie, also a source that is known by now.
const COOKIES: &str = "[[service]]\nports = [80, 8080]\ncalm = 0.25\nreserve = 0.251\n";
/// A challenge for everybody.
const CHALLENGES: &str = "[[service]]\nports = [25, 80, 8080]\nmethod = \"challenge\"\n";
/// The table with everything that it can do.
const PROXY: &str = "[nftables]\nsynproxy = true\n";
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
    /// Where the services are: the host's server, or what stands behind it.
    server: Netns,
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
        let server = match subject {
            Subject::SynproxyGateway => gateway::put_behind(&host)?,
            _ => host.server.clone(),
        };
        host.server.ip("route add 2001:db8:c::/48 via 2001:db8:51::1")?;
        if subject == Subject::SynproxyGateway {
            server.ip("route add 2001:db8:c::/48 via 2001:db8:51::2 dev eth0 onlink")?;
        }
        // Before the defence: Sekisho's table is about the services that it finds.
        let services = PORTS.into_iter().map(|(service, port)| serve(&server, service, port)).collect::<Result<_>>()?;
        let (mut rules, mut guard) = (Vec::new(), None);
        let ports = PORTS.map(|(_, port)| port);
        let sekisho =
            |config: &str, arguments: &[&str]| Guard::start(&host.server, program, config, arguments).map(Some);
        match subject {
            Subject::Kernel => middle::kernel_cookies(&server, KernelCookies::Off)?,
            Subject::Cookies => middle::kernel_cookies(&server, KernelCookies::Always)?,
            Subject::Synproxy => rules.push(middle::synproxy_ports(&host.server, &ports)?),
            Subject::SynproxyGateway => rules.push(middle::synproxy_forwarded(&host.server, &ports)?),
            Subject::Sekisho => guard = sekisho(&format!("{TABLES}{COOKIES}"), &[])?,
            Subject::Challenge => guard = sekisho(&format!("{TABLES}{CHALLENGES}"), &[])?,
            Subject::Nftables => guard = sekisho("", &["--backend", "nftables"])?,
            Subject::NftablesSynproxy => guard = sekisho(PROXY, &["--backend", "nftables"])?,
        }
        let (next, over) = (AtomicU16::new(0), AtomicBool::new(false));
        Ok(Self { _guard: guard, _rules: rules, _services: services, host, server, subject, next, over })
    }

    /// Keeps the queues filled until [`Place::end`]. To be called on a thread of its own.
    pub(super) fn keep_armed(&self) -> Result<()> {
        let Some(arming) = self.subject.arming() else { return Ok(()) };
        while !self.over.load(Ordering::Relaxed) {
            // Steady: a burst that makes up for what was missed would fill the ring that the conversations' frames need.
            let shot = |service| Shot::syn(self.server(service, 4)).rate(arming.rate).seconds(20).steady();
            let begin = |service: &Service| self.host.flood(shot(*service))?.start();
            let floods = arming.services.iter().map(begin).collect::<Result<Vec<_>>>()?;
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
        let Some(arming) = self.subject.arming() else { return Ok(()) };
        let filled = |service: &Service| {
            counters::queues(&self.server, port_of(*service)).is_ok_and(|queues| queues.syn >= arming.filled)
        };
        wait::until("filled SYN queues", wait::PATIENCE, || arming.services.iter().all(filled))
    }

    /// Where a service listens.
    pub(super) fn server(&self, service: Service, family: u8) -> SocketAddr {
        SocketAddr::new(if family == 4 { SERVER4 } else { SERVER6 }, port_of(service))
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

    /// The address on that link of the router at its other end.
    pub(super) fn router(&self, server: IpAddr) -> IpAddr {
        match server {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 1)),
        }
    }

    /// Ears and mouth at the other end of the server's link, or of the gateway's where there is one.
    pub(super) fn tap(&self) -> Result<Tap> {
        Tap::open(&self.host.router, "server")
    }

    /// The server's connection with a peer.
    pub(super) fn connection(&self, port: u16, peer: SocketAddr) -> Result<Option<Connection>> {
        Ok(counters::connections(&self.server, port)?.into_iter().find(|one| one.peer == peer))
    }
}

/// Starts a service for both families.
fn serve(server: &Netns, service: Service, port: u16) -> Result<Tiny> {
    let talk = match service {
        Service::Echo => Talk::Echo,
        Service::Greet => Talk::Banner("220 lab.example ready\r\n".into()),
        Service::Answer => Talk::Http(b"hello\n".into()),
    };
    Tiny::start(server, SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port), BACKLOG as i32, talk)
}

fn port_of(service: Service) -> u16 {
    PORTS.into_iter().find(|(one, _)| *one == service).map_or(0, |(_, port)| port)
}
