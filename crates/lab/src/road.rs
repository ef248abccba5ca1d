//! A long road: a client behind a link with a delay and a rate.
//!
//! ```text
//!   distant eth0 ---- out   road   eth0 ---- road  router ...
//! ```
//!
//! The kernels that this is for have no netem, so a program stands in the road: it takes each frame from one device, keeps it for as long as
//! the road is, and sends it out of the other. It is true to what it is told within limits:
//!
//! - A frame is never early. How late it is depends on the scheduler: some 0.1 ms on an idle machine, several on a busy one.
//! - Frames of one direction keep their order. Delays are constant: there is no jitter but the scheduler's.
//! - A rate holds over many frames, not between two. Who sends more than [`QUEUE`] frames ahead of it loses the rest, as at any router.
//! - A hundred thousand frames a second are about what it carries: it is for visitors, not for floods.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::conform::tap::Tap;
use crate::topology::{CLIENTS, DEVICE, Host, MAC_ROUTER, join, mac, quieten};
use crate::{Netns, Result};

/// Frames that may be on the road in each direction.
pub const QUEUE: usize = 1000;
/// The first address of the client at its far end. All are in 203.0.113.128/25, of which the router's other clients have none.
pub const DISTANT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, FIRST_DISTANT));
const FIRST_DISTANT: u8 = 130;
/// The router's end of the road.
const NEAR4: &str = "203.0.113.254";
const NEAR6: &str = "2001:db8:c::d:0:ffff";
const MAC_DISTANT: [u8; 6] = [2, 0, 0, 0, 0, 0xd];
const MAC_ROAD: [u8; 6] = [2, 0, 0, 0, 0, 0xe];
/// How often the program looks whether the road is torn down.
const LOOK: Duration = Duration::from_millis(100);

/// What a road is like, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// How long a frame is under way.
    pub delay: Duration,
    /// Bytes a second; `None` is as many as come.
    pub rate: Option<u64>,
}

/// The distant client's address number `n` of the family of `target`, counted round: [`CLIENTS`] of each, the IPv6 ones in the /64 of all
/// clients.
pub fn distant_for(target: IpAddr, n: usize) -> IpAddr {
    let n = (n % usize::from(CLIENTS)) as u8;
    if target.is_ipv4() {
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, FIRST_DISTANT + n))
    } else {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0xd, 0, u16::from(n) + 1))
    }
}

/// A client far away. Dropping it tears the road down.
#[derive(Debug)]
pub struct Distant {
    /// Has eth0 with all addresses of [`distant_for`].
    pub client: Netns,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    _road: Netns,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    lost: AtomicU64,
}

impl Distant {
    /// Builds a road from the host's router.
    ///
    /// # Errors
    ///
    /// [`Error::Command`](crate::Error::Command) if a tool refuses.
    pub fn new(host: &Host, length: Length) -> Result<Self> {
        let (road, client) = (Netns::new("road")?, Netns::new("distant")?);
        // The road itself has no addresses, and nothing to say.
        road.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        quieten(&client)?;
        join(&host.router, "road", MAC_ROUTER, &road, MAC_ROAD)?;
        join(&road, "out", MAC_ROAD, &client, MAC_DISTANT)?;
        address(host, &client)?;
        let (near, far) = (Arc::new(Tap::open(&road, DEVICE)?), Arc::new(Tap::open(&road, "out")?));
        let shared = Arc::new(Shared::default());
        let mut threads = one_way(&near, &far, length, &shared);
        threads.extend(one_way(&far, &near, length, &shared));
        Ok(Self { client, shared, threads, _road: road })
    }

    /// Frames that found the road full.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Distant {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Addresses, static neighbours and routes. The prefixes are longer than those of the router's other clients, so they go first.
fn address(host: &Host, client: &Netns) -> Result<()> {
    let (to_client, to_router) = (mac(MAC_DISTANT), mac(MAC_ROUTER));
    let mut near = format!("addr add {NEAR4}/25 dev road\naddr add {NEAR6}/96 dev road nodad\n");
    let mut far = String::new();
    for n in 0..usize::from(CLIENTS) {
        for (family, length) in
            [(IpAddr::V4(Ipv4Addr::UNSPECIFIED), "25"), (IpAddr::V6(Ipv6Addr::UNSPECIFIED), "96 nodad")]
        {
            let one = distant_for(family, n);
            let _ = writeln!(near, "neigh replace {one} lladdr {to_client} nud permanent dev road");
            let _ = writeln!(far, "addr add {one}/{length} dev eth0");
        }
    }
    for gateway in [NEAR4, NEAR6] {
        let _ = writeln!(far, "neigh replace {gateway} lladdr {to_router} nud permanent dev eth0");
    }
    let _ = write!(far, "route add 198.51.100.0/24 via {NEAR4}\nroute add 2001:db8:51::/64 via {NEAR6}");
    host.router.ip(near.trim_end())?;
    client.ip(&far)
}

/// One direction: who takes frames in, and who sends them when their time has come.
fn one_way(from: &Arc<Tap>, to: &Arc<Tap>, length: Length, shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let (put, take) = sync_channel(QUEUE);
    let (from, to, theirs) = (Arc::clone(from), Arc::clone(to), Arc::clone(shared));
    vec![thread::spawn(move || take_in(&from, length, &put, &theirs)), thread::spawn(move || send_out(&to, &take))]
}

fn take_in(from: &Tap, length: Length, put: &SyncSender<(Instant, Vec<u8>)>, shared: &Shared) {
    let mut free = Instant::now();
    while !shared.over.load(Ordering::Relaxed) {
        let Ok(Some(frame)) = from.receive(Instant::now() + LOOK) else { continue };
        let wire =
            length.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(frame.len() as f64 / rate.max(1) as f64));
        let leaves = free.max(Instant::now()) + wire;
        match put.try_send((leaves + length.delay, frame)) {
            Ok(()) => free = leaves,
            Err(_) => drop(shared.lost.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Ends when the other thread does.
fn send_out(to: &Tap, take: &Receiver<(Instant, Vec<u8>)>) {
    // Without it a sleep takes 50 us longer than asked for (PR_SET_TIMERSLACK).
    let _ = nix::sys::prctl::set_timerslack(1);
    while let Ok((due, frame)) = take.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A device that is gone is a road that is torn down.
        let _ = to.send(&frame);
    }
}
