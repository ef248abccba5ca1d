//! Under a flood gate looks at a listener once for each tick of the coarse clock, and not for each SYN. Who has a socket must meet it all the
//! same, and what one listener said must not be taken for another's. Needs root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use common::site::{SOURCE, SYN, Site};
use common::{in_namespace, ip, tcp, veth};
use sekisho_datapath::test_run::{XDP_PASS, XDP_TX};
use sekisho_datapath::{Frame, Limits, Method, PortPolicy, Verdict, netns, time};

const ACK: u8 = 16;
const SERVER: u32 = 0xc633_640a;

/// One half-open connection, and the listener is no longer calm.
fn touchy() -> Site {
    let site = Site::new(Limits::default());
    set_calm_mark(&site, 80, 0);
    site
}

fn set_calm_mark(site: &Site, port: u16, calm_mark: u8) {
    let policy = PortPolicy { method: Method::Cookie, calm_mark, ..PortPolicy::default() };
    site.gate.maps().set_port(port, policy);
}

/// A frame from a port, as [`tcp`] makes them.
fn frame(source: u32, source_port: u16, flags: u8, port: u16) -> Vec<u8> {
    let mut frame = tcp(flags, port);
    frame[26..30].copy_from_slice(&source.to_be_bytes());
    frame[34..36].copy_from_slice(&source_port.to_be_bytes());
    frame
}

/// What became of a frame, and the verdict that counted it.
fn verdict(site: &Site, frame: &[u8]) -> (u32, Verdict) {
    let all = || site.gate.maps().verdicts().unwrap();
    let before = all();
    let lo = netns::interface_index("lo").unwrap();
    let action = site.gate.run_gate(&Frame::new(frame).on(lo)).unwrap().action;
    let after = all();
    let counted =
        Verdict::ALL.iter().copied().find(|one| after[usize::from(one.number())] > before[usize::from(one.number())]);
    (action, counted.unwrap())
}

/// Runs what has to lie within one tick of the coarse clock again and again until it does.
fn in_one_look<T>(mut what: impl FnMut() -> T) -> T {
    loop {
        let begin = time::coarse_ns();
        let result = what();
        if time::coarse_ns() == begin {
            return result;
        }
    }
}

/// Leaves a connection half-open, so that the listener is no longer calm.
fn half_open(source: u32) {
    veth();
    ip("route add 198.18.0.0/15 via inet 203.0.113.1 dev v0 onlink");
    ip("neigh add 203.0.113.1 lladdr 02:00:00:00:00:09 dev v0 nud permanent");
    send_syn(source);
    wait_for_half_open(1);
}

/// From an address that is not here, so that nobody answers the SYN-ACK.
fn send_syn(source: u32) {
    let mut packet = frame(source, 40_000, SYN, 80)[14..54].to_vec();
    // The pseudo header is the addresses, the protocol and TCP's length.
    let words = packet[12..].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum::<u32>() + 6 + 20;
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[36..38].copy_from_slice(&checksum.to_be_bytes());
    // SAFETY: takes numbers only, and returns a new descriptor.
    let raw = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_RAW) };
    assert!(raw >= 0, "this test needs root");
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: an address of zeros is a valid one.
    let mut to: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    to.sin_family = libc::AF_INET as u16;
    to.sin_addr.s_addr = SERVER.to_be();
    let size = size_of_val(&to) as u32;
    // SAFETY: packet and address live until the call returns, and the lengths are theirs.
    let sent = unsafe {
        libc::sendto(socket.as_raw_fd(), packet.as_ptr().cast(), packet.len(), 0, (&raw const to).cast(), size)
    };
    assert_eq!(sent, 40, "{}", std::io::Error::last_os_error());
}

/// Waits until so many connections of this namespace are half-open (state 03, SYN_RECV).
fn wait_for_half_open(count: usize) {
    let begin = Instant::now();
    let found = || {
        fs::read_to_string("/proc/thread-self/net/tcp").unwrap().lines().filter(|line| line.contains(" 03 ")).count()
    };
    while found() != count {
        assert!(begin.elapsed() < Duration::from_secs(100), "{} half-open, not {count}", found());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_flood_is_answered_whether_the_listener_is_looked_for_or_not() {
    in_namespace(|| {
        let site = touchy();
        half_open(SOURCE);
        for n in 0..1000 {
            assert_eq!(site.send(SOURCE + 256 * (n + 1), SYN, 80), XDP_TX, "SYN {n}");
        }
        assert_eq!(site.count(Verdict::CookieSent), 1000);
    });
}

#[test]
fn whose_syn_was_let_through_meets_his_own_half_open_connection() {
    in_namespace(|| {
        let site = touchy();
        let syn = frame(SOURCE, 40_000, SYN, 80);
        assert_eq!(verdict(&site, &syn), (XDP_PASS, Verdict::SynCalm));
        half_open(SOURCE);
        let again = in_one_look(|| {
            let flood = [1, 2].map(|n| verdict(&site, &frame(SOURCE + 256 * n, 40_000, SYN, 80)));
            assert_eq!(flood, [(XDP_TX, Verdict::CookieSent); 2]);
            verdict(&site, &syn)
        });
        assert_eq!(again, (XDP_PASS, Verdict::SynKnown));
    });
}

#[test]
fn whose_connection_is_older_than_sekisho_meets_it_after_its_next_segment() {
    in_namespace(|| {
        let site = touchy();
        let stream = TcpStream::connect("198.51.100.10:80").unwrap();
        let port = stream.local_addr().unwrap().port();
        half_open(SOURCE);
        let flood = |n: u32| verdict(&site, &frame(SOURCE + 256 * n, 40_000, SYN, 80));
        assert_eq!(flood(1), (XDP_TX, Verdict::CookieSent), "armed");
        assert_eq!(verdict(&site, &frame(SERVER, port, ACK, 80)), (XDP_PASS, Verdict::SegmentSocket));
        let syn = in_one_look(|| {
            assert_eq!(flood(2), (XDP_TX, Verdict::CookieSent));
            verdict(&site, &frame(SERVER, port, SYN, 80))
        });
        assert_eq!(syn, (XDP_PASS, Verdict::SynKnown));
    });
}

#[test]
fn the_verified_are_let_through_in_the_midst_of_a_flood() {
    in_namespace(|| {
        let site = touchy();
        half_open(SOURCE);
        site.verify(SOURCE + 99);
        let verified = in_one_look(|| {
            let flood = [1, 2].map(|n| site.send(SOURCE + 256 * n, SYN, 80));
            assert_eq!(flood, [XDP_TX; 2]);
            verdict(&site, &frame(SOURCE + 99, 40_000, SYN, 80))
        });
        assert_eq!(verified, (XDP_PASS, Verdict::SynVerified));
    });
}

/// Ports 80 and 96 have one place for their last look.
#[test]
fn another_listener_is_another_one() {
    in_namespace(|| {
        let site = touchy();
        set_calm_mark(&site, 96, 0);
        let _calm = TcpListener::bind("198.51.100.10:96").unwrap();
        half_open(SOURCE);
        // Armed as well, so that only the queue of each decides.
        let tick = time::tick(time::coarse_ns());
        site.gate.maps().set_armed_until(96, tick + 50);
        let both = in_one_look(|| {
            let busy = verdict(&site, &frame(SOURCE + 256, 40_000, SYN, 80));
            (busy, verdict(&site, &frame(SOURCE + 512, 40_000, SYN, 96)))
        });
        assert_eq!(both, ((XDP_TX, Verdict::CookieSent), (XDP_PASS, Verdict::SynCalm)));
    });
}

/// Nobody is asked for longer than the clock's next tick once the queue is empty.
#[test]
fn a_look_is_soon_over() {
    in_namespace(|| {
        fs::write("/proc/sys/net/ipv4/tcp_synack_retries", "0").unwrap();
        let site = touchy();
        half_open(SOURCE);
        assert_eq!(site.send(SOURCE + 256, SYN, 80), XDP_TX);
        wait_for_half_open(0);
        let moment = time::coarse_ns();
        while time::coarse_ns() == moment {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(verdict(&site, &frame(SOURCE + 512, 40_000, SYN, 80)), (XDP_PASS, Verdict::SynCalm));
    });
}
