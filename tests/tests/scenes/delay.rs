//! Visitors from far away: what is sent to them is held for a while in user space. So every handshake takes that long, as over a satellite,
//! and a half-open connection stays in the queue for that long.
//!
//! ```text
//!   faraway  eth0 ----- far   mid   near ----- eth0  router
//!   203.0.113.130 and up      (a thread)             203.0.113.129
//! ```
//!
//! A thread with a packet socket on either device of `mid` hands frames on, those to the visitors after a while. All devices are veths, so a
//! flood may be sent in the same lab.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sekisho_lab::Netns;
use sekisho_lab::topology::{join, mac};

/// `ETH_P_ALL`, as it stands in a frame.
const ALL: u16 = 3u16.to_be();
/// `PACKET_IGNORE_OUTGOING` of linux/if_packet.h, since 4.20: what this thread sends is not to be handed on again.
const IGNORE_OUTGOING: libc::c_int = 23;
/// Hardware addresses: locally administered.
const ROUTER: [u8; 6] = [2, 0, 0, 0, 1, 1];
const VISITORS: [u8; 6] = [2, 0, 0, 0, 1, 2];
const MID: [u8; 6] = [2, 0, 0, 0, 1, 3];

/// Visitors far away, until dropped.
pub struct Faraway {
    /// Where they live.
    pub namespace: Netns,
    _mid: Netns,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Faraway {
    /// So many addresses there are.
    pub const ADDRESSES: u8 = 100;

    /// Joins them to the router, by a way that takes so long to them, and no time back.
    pub fn new(router: &Netns, delay: Duration) -> Self {
        let [mid, namespace] = ["mid", "faraway"].map(|label| Netns::new(label).unwrap());
        for quiet in [&mid, &namespace] {
            quiet.sysctl("net.ipv6.conf.default.disable_ipv6", "1").unwrap();
        }
        join(&mid, "near", MID, router, ROUTER).unwrap();
        join(&mid, "far", MID, &namespace, VISITORS).unwrap();
        address(router, &namespace);
        let open = |device: &str| mid.run(|| packet_socket(device)).unwrap().expect("a packet socket");
        let (near, far) = (open("near"), open("far"));
        let over = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&over);
        let thread = Some(thread::spawn(move || hand_on(near, far, delay, &theirs)));
        Self { namespace, _mid: mid, over, thread }
    }

    /// The addresses of the visitors.
    pub fn addresses() -> Vec<IpAddr> {
        (0..Self::ADDRESSES).map(|n| Ipv4Addr::new(203, 0, 113, 130 + n).into()).collect()
    }
}

impl Drop for Faraway {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn address(router: &Netns, faraway: &Netns) {
    let mut lines = "addr add 203.0.113.129/25 dev eth0\n".to_owned();
    let mut theirs = String::new();
    for address in Faraway::addresses() {
        lines += &format!("neigh replace {address} lladdr {} nud permanent dev eth0\n", mac(VISITORS));
        theirs += &format!("addr add {address}/25 dev eth0\n");
    }
    theirs += &format!("neigh replace 203.0.113.129 lladdr {} nud permanent dev eth0\n", mac(ROUTER));
    theirs += "route add 198.51.100.0/24 via 203.0.113.129\n";
    router.ip(&lines).unwrap();
    faraway.ip(&theirs).unwrap();
}

/// Everything that arrives at a device of this thread's namespace.
fn packet_socket(device: &str) -> io::Result<File> {
    let index = interface_index(device)?;
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes numbers and gives a new descriptor.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, ALL.into()) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let one: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer and size describe `one`.
    let ignores = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, IGNORE_OUTGOING, (&raw const one).cast(), size)
    };
    // SAFETY: all zeros is a valid address of this kind.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    (to.sll_family, to.sll_protocol, to.sll_ifindex) = (libc::AF_PACKET as u16, ALL, index);
    let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer and size describe `to`.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const to).cast(), size) };
    if ignores < 0 || bound < 0 { Err(io::Error::last_os_error()) } else { Ok(socket.into()) }
}

fn interface_index(device: &str) -> io::Result<i32> {
    let name = std::ffi::CString::new(device)?;
    // SAFETY: the name ends with a zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    i32::try_from(index).ok().filter(|index| *index > 0).ok_or_else(io::Error::last_os_error)
}

/// Hands frames on: from far at once, from near when their time has come.
fn hand_on(mut near: File, mut far: File, delay: Duration, over: &AtomicBool) {
    let mut way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        let wait = if way.is_empty() { 50u8 } else { 1 };
        let mut ready = [near.as_fd(), far.as_fd()].map(|device| PollFd::new(device, PollFlags::POLLIN));
        let _ = poll(&mut ready, PollTimeout::from(wait));
        while let Ok(size) = near.read(&mut buffer) {
            way.push_back((Instant::now() + delay, buffer[..size].to_vec()));
        }
        // A frame that finds no room is lost, as on any way.
        while let Ok(size) = far.read(&mut buffer) {
            let _ = near.write(&buffer[..size]);
        }
        while way.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            let _ = way.pop_front().map(|(_, frame)| far.write(&frame));
        }
    }
}
