//! Server, clients and attacker, joined the way a real host sees them: everything arrives over one link.
//!
//! ```text
//!   client  eth0 ----- client   router   server ----- eth0  server
//!   203.0.113.0/24              (forwards)            198.51.100.10
//!   attacker eth0 ---- attacker    ^
//!   198.18.0.0/16 if made live     '-- the flood is injected here, into the link to the server
//! ```
//!
//! The flood leaves the router's end of the server's link by `ndo_xdp_xmit`, so it lands in the receive ring of the server's eth0 like
//! frames of a network card, and clients' frames share that ring. What the server answers to spoofed addresses is swallowed quietly at
//! the router's end (`bpf/sink.bpf.c`).
//!
//! Offloads of checksums and segmentation are off on every device, so each frame is one that could be seen on a wire. Neighbours are
//! static and IPv6 addresses skip duplicate detection: nothing in here waits for a protocol. There is no default route unless asked for
//! ([`Host::default_route`]), and then it ends in the router, which has none.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use libbpf_rs::Link;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::flood::{Flood, Prefix, Shot, Site};
use crate::sink::{self, Sink};
use crate::{Error, Netns, Result, run, wait};

/// The server's IPv4 address.
pub const SERVER4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
/// The server's IPv6 address.
pub const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 0x10));
/// How many addresses of each family the clients have.
pub const CLIENTS: u8 = 100;
/// The device of server, client and attacker.
pub const DEVICE: &str = "eth0";

/// The first client address ends in this number.
const FIRST_CLIENT: u8 = 10;
/// Hardware addresses: locally administered, the last byte says whose.
pub(crate) const MAC_SERVER: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
pub(crate) const MAC_ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0xc];
const MAC_ATTACKER: [u8; 6] = [2, 0, 0, 0, 0, 0xa];

/// The client's IPv4 address number `n`, counted round.
pub fn client4(n: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, FIRST_CLIENT + (n % usize::from(CLIENTS)) as u8))
}

/// The client's IPv6 address number `n`, counted round. All are in one /64.
pub fn client6(n: usize) -> IpAddr {
    let last = u16::from(FIRST_CLIENT) + (n % usize::from(CLIENTS)) as u16;
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, last))
}

/// The client's address number `n` of the family of `target`.
pub fn client_for(target: IpAddr, n: usize) -> IpAddr {
    if target.is_ipv4() { client4(n) } else { client6(n) }
}

/// Where IPv4 floods come from unless a shot says otherwise: 198.18.0.0/15.
pub fn spoofed4() -> Prefix {
    Prefix::fixed(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)), 15)
}

/// Where IPv6 floods come from unless a shot says otherwise: 2001:db8:bad::/48.
pub fn spoofed6() -> Prefix {
    Prefix::fixed(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0)), 48)
}

/// The part of the spoofed IPv4 range that the attacker's namespace can answer for: 198.18.0.0/16.
pub fn live4() -> Prefix {
    Prefix::fixed(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)), 16)
}

/// A whole server with its surroundings. Dropping it removes everything.
#[derive(Debug)]
pub struct Host {
    /// Has eth0 with [`SERVER4`] and [`SERVER6`].
    pub server: Netns,
    /// Forwards between the three others; its devices are called `server`, `client` and `attacker`.
    pub router: Netns,
    /// Has eth0 with [`CLIENTS`] addresses of each family.
    pub client: Netns,
    /// Has eth0; answers for the live part of the spoofed range once [`Host::make_live`] was called.
    pub attacker: Netns,
    sink: Sink,
    /// The kernel thread that does the receive work of the server's link. Several if another lab made a link at the same moment.
    receive_threads: Vec<i32>,
}

impl Host {
    /// Builds the four namespaces and waits until a client's packets reach the server over IPv4 and IPv6.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] if a tool refuses (usually: not root), [`Error::Bpf`] if the sink cannot be loaded.
    pub fn new() -> Result<Self> {
        let [server, router, client, attacker] = ["server", "router", "client", "attacker"].map(Netns::new);
        let (server, router, client, attacker) = (server?, router?, client?, attacker?);
        for namespace in [&server, &router, &client, &attacker] {
            quieten(namespace)?;
        }
        join(&router, "server", MAC_ROUTER, &server, MAC_SERVER)?;
        join(&router, "client", MAC_ROUTER, &client, MAC_CLIENT)?;
        join(&router, "attacker", MAC_ROUTER, &attacker, MAC_ATTACKER)?;
        address(&server, &router, &client, &attacker)?;
        // With GRO the server's receive ring is in use from the start, with and without an XDP program of its own.
        run::output(server.exec("ethtool").args(["-K", DEVICE, "gro", "on"]))?;
        let receive_threads = own_receive_thread(&server)?;
        let sink = Sink::attach(&router, "server", [spoofed4(), spoofed6()])?;
        let host = Self { server, router, client, attacker, sink, receive_threads };
        host.settle()?;
        Ok(host)
    }

    /// A flood at the server: checked here, sent by [`Flood::start`] or [`Flood::run`]. The server is given the addresses of a carpet.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the shot is out of bounds, [`Error::Command`] if the addresses of a carpet cannot be given.
    pub fn flood(&self, shot: Shot) -> Result<Flood> {
        let others = shot.other_targets();
        let flood = Flood::new(Site::new(&self.router, "server", MAC_SERVER), shot)?;
        if !others.is_empty() {
            let line = |address: &IpAddr| format!("route replace local {address} dev lo");
            self.server.ip(&others.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        }
        Ok(flood)
    }

    /// Puts real hosts behind a part of the spoofed range: the server's answers to it pass, and the attacker's namespace, which then
    /// owns every address of it, answers an unexpected SYN-ACK with RST as any live host does. At most [`live4`], or any part of
    /// [`spoofed6`].
    ///
    /// # Errors
    ///
    /// [`Error::Command`] if a route cannot be made.
    pub fn make_live(&self, part: Prefix) -> Result<()> {
        let via = if part.base().is_ipv4() { "198.19.255.2" } else { "2001:db8:a::2" };
        self.attacker.ip(&format!("route replace local {part} dev lo"))?;
        self.router.ip(&format!("route replace {part} via {via} dev attacker"))?;
        self.sink.set_live(part)
    }

    /// Gives the server a default route through the router, for programs that look for one. The router has none, so it leads nowhere.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] if the route cannot be made.
    pub fn default_route(&self) -> Result<()> {
        self.server
            .ip("route replace default via 198.51.100.1 dev eth0\nroute replace default via 2001:db8:51::1 dev eth0")
    }

    /// Whether the server's receive work runs on a kernel thread of its own, so that it is not charged to the generator.
    pub fn has_receive_thread(&self) -> bool {
        !self.receive_threads.is_empty()
    }

    /// The kernel thread that does the receive work of the server's link; several if another lab made a link at the same moment, none
    /// on kernels that cannot.
    pub fn receive_threads(&self) -> &[i32] {
        &self.receive_threads
    }

    /// How many answers to spoofed addresses were swallowed.
    ///
    /// # Errors
    ///
    /// [`Error::Bpf`] if the counter cannot be read.
    pub fn swallowed(&self) -> Result<u64> {
        self.sink.swallowed()
    }

    /// Waits until frames from client and attacker reach the server: a refused connection is an answer.
    fn settle(&self) -> Result<()> {
        for target in [SERVER4, SERVER6] {
            let what = format!("the path from the client to {target}");
            wait::until(&what, wait::PATIENCE, || self.client.run(|| answers(target)).unwrap_or(false))?;
        }
        Ok(())
    }
}

/// Whether the host answers at all. Port 1 has no listener, so the answer is RST.
fn answers(target: IpAddr) -> bool {
    let tried = TcpStream::connect_timeout(&SocketAddr::new(target, 1), Duration::from_millis(500));
    tried.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Switches off what would send packets by itself, before any device is there.
pub(crate) fn quieten(namespace: &Netns) -> Result<()> {
    for (key, value) in [
        ("net.ipv6.conf.default.accept_dad", "0"),
        ("net.ipv6.conf.default.accept_ra", "0"),
        ("net.ipv6.conf.default.router_solicitations", "0"),
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.default.rp_filter", "0"),
    ] {
        namespace.sysctl(key, value)?;
    }
    Ok(())
}

/// Makes a link between two namespaces: `device` in the first, eth0 in the second; up, with all offloads off.
///
/// # Errors
///
/// [`Error::Command`] if `ip` or `ethtool` refuses.
pub fn join(near: &Netns, device: &str, near_mac: [u8; 6], far: &Netns, far_mac: [u8; 6]) -> Result<()> {
    near.ip(&format!(
        "link add {device} address {} numtxqueues 1 numrxqueues 1 type veth peer name {DEVICE} netns {} address {} \
         numtxqueues 1 numrxqueues 1\nlink set {device} up",
        mac(near_mac),
        far.name(),
        mac(far_mac)
    ))?;
    far.ip(&format!("link set {DEVICE} up"))?;
    plain_frames(near, device)?;
    plain_frames(far, DEVICE)
}

/// Switches off what lets a veth carry frames that no wire could: checksums left open, and segments of 64 KiB.
fn plain_frames(namespace: &Netns, device: &str) -> Result<()> {
    let off = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"];
    run::output(namespace.exec("ethtool").args(["-K", device]).args(off)).map(drop)
}

/// A hardware address as `ip` writes it.
pub fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// Gives every device its addresses, static neighbours and routes.
fn address(server: &Netns, router: &Netns, client: &Netns, attacker: &Netns) -> Result<()> {
    router.sysctl("net.ipv4.ip_forward", "1")?;
    router.sysctl("net.ipv4.conf.all.send_redirects", "0")?;
    router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    let to_router = mac(MAC_ROUTER);
    router.ip(&router_lines())?;
    server.ip(&format!(
        "addr add {SERVER4}/24 dev eth0\naddr add {SERVER6}/64 dev eth0 nodad\n\
         neigh replace 198.51.100.1 lladdr {to_router} nud permanent dev eth0\n\
         neigh replace 2001:db8:51::1 lladdr {to_router} nud permanent dev eth0\n\
         route add 203.0.113.0/24 via 198.51.100.1\nroute add {} via 198.51.100.1\n\
         route add 2001:db8:c::/64 via 2001:db8:51::1\nroute add {} via 2001:db8:51::1\n\
         route add 2001:db8:a::/64 via 2001:db8:51::1",
        spoofed4(),
        spoofed6()
    ))?;
    client.ip(&client_lines())?;
    attacker.ip(&format!(
        "addr add 198.19.255.2/30 dev eth0\naddr add 2001:db8:a::2/64 dev eth0 nodad\n\
         neigh replace 198.19.255.1 lladdr {to_router} nud permanent dev eth0\n\
         neigh replace 2001:db8:a::1 lladdr {to_router} nud permanent dev eth0\n\
         route add 198.51.100.0/24 via 198.19.255.1\nroute add 2001:db8:51::/64 via 2001:db8:a::1"
    ))
}

fn router_lines() -> String {
    let (to_server, to_client, to_attacker) = (mac(MAC_SERVER), mac(MAC_CLIENT), mac(MAC_ATTACKER));
    let mut lines = format!(
        "addr add 198.51.100.1/24 dev server\naddr add 2001:db8:51::1/64 dev server nodad\n\
         addr add 203.0.113.1/24 dev client\naddr add 2001:db8:c::1/64 dev client nodad\n\
         addr add 198.19.255.1/30 dev attacker\naddr add 2001:db8:a::1/64 dev attacker nodad\n\
         neigh replace {SERVER4} lladdr {to_server} nud permanent dev server\n\
         neigh replace {SERVER6} lladdr {to_server} nud permanent dev server\n\
         neigh replace 198.19.255.2 lladdr {to_attacker} nud permanent dev attacker\n\
         neigh replace 2001:db8:a::2 lladdr {to_attacker} nud permanent dev attacker\n"
    );
    for n in 0..usize::from(CLIENTS) {
        for address in [client4(n), client6(n)] {
            let _ = writeln!(lines, "neigh replace {address} lladdr {to_client} nud permanent dev client");
        }
    }
    lines
}

fn client_lines() -> String {
    let to_router = mac(MAC_ROUTER);
    let mut lines = String::new();
    for n in 0..usize::from(CLIENTS) {
        let _ = writeln!(lines, "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad", client4(n), client6(n));
    }
    let _ = write!(
        lines,
        "neigh replace 203.0.113.1 lladdr {to_router} nud permanent dev eth0\n\
         neigh replace 2001:db8:c::1 lladdr {to_router} nud permanent dev eth0\n\
         route add 198.51.100.0/24 via 203.0.113.1\nroute add 2001:db8:51::/64 via 2001:db8:c::1"
    );
    lines
}

/// Moves the receive work of the server's eth0 to a kernel thread on the first CPU, if the kernel can (5.12 and later). Otherwise it
/// would run as a soft interrupt of whoever sends, which is the generator. The thread goes before everything else on its CPU, as a soft
/// interrupt would: it must not lose frames because the machine compiles something. Being less nice is not enough for that, since the
/// fair scheduler lets whoever runs finish its slice, some milliseconds, while a full ring is a fraction of one.
fn own_receive_thread(server: &Netns) -> Result<Vec<i32>> {
    let before = receive_threads();
    let file = format!("/sys/class/net/{DEVICE}/threaded");
    let asked = run::output(server.exec("sh").args(["-c", &format!("test -w {file} && echo 1 > {file}")]));
    if asked.is_err() {
        return Ok(Vec::new());
    }
    let mut first = CpuSet::new();
    first.set(0).map_err(Error::os("name the first CPU"))?;
    let threads: Vec<i32> = receive_threads().difference(&before).copied().collect();
    for thread in &threads {
        // A thread that ended meanwhile belongs to somebody else's namespace.
        let _ = sched_setaffinity(Pid::from_raw(*thread), &first);
        let thread = thread.to_string();
        let _ = run::output(Command::new("chrt").args(["--fifo", "--pid", "1", &thread]))
            .or_else(|_| run::output(Command::new("renice").args(["-n", "-20", "-p", &thread])));
    }
    Ok(threads)
}

/// The kernel threads that poll an eth0, of all namespaces.
fn receive_threads() -> HashSet<i32> {
    let name = format!("napi/{DEVICE}-");
    let Ok(entries) = fs::read_dir("/proc") else { return HashSet::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with(&name)))
        .collect()
}

/// Lets the far end of a link transmit in XDP, for links that a test makes itself with [`join`]. Detached when dropped.
///
/// # Errors
///
/// [`Error::Bpf`] if the program cannot be attached.
pub fn open_receive_ring(namespace: &Netns, device: &str) -> Result<Link> {
    sink::attach_pass(namespace, device)
}
