//! Hosts that complete a handshake and then keep silent: a botnet that answers challenges.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, setsockopt, socket, sockopt,
};

use crate::flood::Prefix;
use crate::{Error, Netns, Result};

/// The most connections at once.
pub const BOTS_MAX: usize = 20_000;

/// Bots at work. Dropping it closes all their connections.
pub struct Bots {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    begun: AtomicU64,
    connected: AtomicU64,
    failed: AtomicU64,
}

impl Bots {
    /// Connects `count` times, `rate` times a second, each time from the next address of the prefix, and holds what it has. Afterwards
    /// the oldest connection is given up for each new one, until dropped.
    ///
    /// The namespace must own the prefix: see [`Host::make_live`](crate::topology::Host::make_live).
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the namespace cannot be entered or so many sockets are not allowed.
    pub fn start(namespace: &Netns, target: SocketAddr, sources: Prefix, count: usize, rate: u32) -> Result<Self> {
        let count = count.clamp(1, BOTS_MAX);
        allow_descriptors(count as u64 + 1000)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let namespace = namespace.clone();
        let (entered, waits) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let inside = namespace.enter();
            let may_work = inside.is_ok();
            let _ = entered.send(inside);
            if may_work {
                work(target, sources, count, rate.max(1), &theirs);
            }
        });
        waits.recv().unwrap_or_else(|_| Err(Error::parse("the bots' thread", "it died")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Connections begun so far.
    pub fn begun(&self) -> u64 {
        self.shared.begun.load(Ordering::Relaxed)
    }

    /// Connections that were completed, as far as the bots' kernel knows.
    pub fn connected(&self) -> u64 {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Connections that were refused, reset or timed out, or whose source could not be bound.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Bots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Bots {{ begun: {}, connected: {}, failed: {} }}",
            self.begun(),
            self.connected(),
            self.failed()
        )
    }
}

impl Drop for Bots {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One socket, and whether its outcome was counted.
struct Bot {
    socket: OwnedFd,
    counted: bool,
}

fn work(target: SocketAddr, sources: Prefix, count: usize, rate: u32, shared: &Shared) {
    let begin = Instant::now();
    let mut bots: Vec<Option<Bot>> = Vec::new();
    bots.resize_with(count, || None);
    let mut begun = 0;
    while !shared.over.load(Ordering::Relaxed) {
        let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while begun < due && !shared.over.load(Ordering::Relaxed) {
            let place = &mut bots[(begun % count as u64) as usize];
            *place = begin_one(nth(sources, begun), target).map(|socket| Bot { socket, counted: false }).ok();
            let counter = if place.is_some() { &shared.begun } else { &shared.failed };
            counter.fetch_add(1, Ordering::Relaxed);
            begun += 1;
        }
        settle(&mut bots, shared);
        thread::sleep(Duration::from_millis(10));
    }
}

/// Address number `n` of a prefix, counted round, without its first (a network's own address).
fn nth(prefix: Prefix, n: u64) -> IpAddr {
    let mask = prefix.mask_words();
    match prefix.base() {
        IpAddr::V4(base) => {
            let span = u64::from(!u32::from_be(mask[0]));
            IpAddr::V4(Ipv4Addr::from(u32::from(base) | (1 + n % span.max(1)).min(span) as u32))
        }
        // A /64 each, since IPv6 sources are counted by /64: the number goes into the upper half as far as the prefix allows.
        IpAddr::V6(base) => {
            let span = !(u64::from(u32::from_be(mask[0])) << 32 | u64::from(u32::from_be(mask[1])));
            let upper = if span == 0 { 0 } else { u128::from(n % span) << 64 };
            IpAddr::V6(Ipv6Addr::from(u128::from(base) | upper | 1))
        }
    }
}

fn begin_one(source: IpAddr, target: SocketAddr) -> io::Result<OwnedFd> {
    let family = if target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    // The address is the namespace's by a route alone (`ip route add local`), which IPv6's bind does not look at.
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// Counts the connections whose outcome has become known.
fn settle(bots: &mut [Option<Bot>], shared: &Shared) {
    for bot in bots.iter_mut().flatten().filter(|bot| !bot.counted) {
        let mut ready = [PollFd::new(bot.socket.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut ready, PollTimeout::ZERO).unwrap_or(0) == 0 {
            continue;
        }
        let connected = getsockopt(&bot.socket, sockopt::SocketError) == Ok(0);
        let counter = if connected { &shared.connected } else { &shared.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        bot.counted = true;
    }
}

/// Raises this process's limit on open files, within what root may.
fn allow_descriptors(needed: u64) -> Result<()> {
    let failed = || Error::os("raise the limit on open files");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed())?;
    if soft >= needed {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)).map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_prefix() {
        let prefix = Prefix::new("198.18.0.0".parse().unwrap(), 16).unwrap();
        assert_eq!(nth(prefix, 0), "198.18.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(nth(prefix, 255), "198.18.1.0".parse::<IpAddr>().unwrap());
        let prefix = Prefix::new("2001:db8:bad::".parse().unwrap(), 48).unwrap();
        assert_eq!(nth(prefix, 3), "2001:db8:bad:3::1".parse::<IpAddr>().unwrap());
    }
}
