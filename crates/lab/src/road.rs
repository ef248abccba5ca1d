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

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::conform::tap::Tap;
use crate::topology::{DEVICE, Host, MAC_ROUTER, join, mac};
use crate::{Netns, Result};

/// Frames that may be on the road in each direction.
pub const QUEUE: usize = 1000;
/// The client at its far end.
pub const DISTANT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 241));
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

/// A client far away. Dropping it tears the road down.
#[derive(Debug)]
pub struct Distant {
    /// Has eth0 with [`DISTANT`].
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
        for namespace in [&road, &client] {
            namespace.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        }
        join(&host.router, "road", MAC_ROUTER, &road, MAC_ROAD)?;
        join(&road, "out", MAC_ROAD, &client, MAC_DISTANT)?;
        host.router.ip(&format!(
            "addr add 203.0.113.242/28 dev road\nneigh replace {DISTANT} lladdr {} nud permanent dev road",
            mac(MAC_DISTANT)
        ))?;
        client.ip(&format!(
            "addr add {DISTANT}/28 dev eth0\nneigh replace 203.0.113.242 lladdr {} nud permanent dev eth0\n\
             route add 198.51.100.0/24 via 203.0.113.242",
            mac(MAC_ROUTER)
        ))?;
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
