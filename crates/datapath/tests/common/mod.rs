//! What the tests in the kernel share: namespaces of their own, a folder in place of /run/sekisho, frames. Everything needs root.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod site;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, thread};

use libbpf_rs::ProgramHandle;
use sekisho_datapath::{Capacity, Datapath, Loaded, Maps, Pins, Settings, Verdict, netns};

/// Small tables: what is tested does not depend on their size.
pub const SMALL: Capacity = Capacity { verified4: 1024, verified6: 512 };

/// A folder in place of /run/sekisho, emptied at the end, also when the test fails.
pub struct Base(pub PathBuf);

impl Base {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sekisho-datapath-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    pub fn pins(&self) -> Pins {
        Pins::at(&self.0).unwrap()
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // A test that failed may have left it mounted; that the pins go with the mount is all that is needed.
        let _ = Command::new("umount").arg("-l").arg(self.0.join("bpf")).stderr(std::process::Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` in a new network namespace, in which loopback is up, on a thread of its own.
pub fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: takes a flag only, and concerns this new thread alone.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "this test needs root");
            ip("link set lo up");
            test()
        });
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Runs `ip` in this thread's network namespace.
pub fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

pub fn ip_link(name: &str) -> String {
    let output = Command::new("ip").args(["-details", "link", "show", "dev", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A pair of interfaces, both in this namespace, both up.
pub fn veth() {
    ip("link add v0 type veth peer name v1");
    ip("link set v0 up");
    ip("link set v1 up");
}

pub fn load(pins: &Pins) -> Loaded {
    Datapath::load(pins, &Settings::default(), SMALL).unwrap()
}

pub fn program_id(base: &Base, pins: &Pins, name: &str) -> u32 {
    let path = base.0.join("bpf").join(format!("net-{}", pins.cookie())).join(name);
    ProgramHandle::from_pinned_path(path).unwrap().id()
}

/// An Ethernet frame that is not TCP: ARP, as far as gate reads.
pub fn arp() -> Vec<u8> {
    let mut frame = vec![0_u8; 60];
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    frame
}

/// IPv4 and TCP to 198.51.100.10, with these flags; without checksums, which gate does not look at on the way in.
pub fn tcp(flags: u8, port: u16) -> Vec<u8> {
    let mut frame = vec![0_u8; 60];
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
    frame[26..30].copy_from_slice(&[203, 0, 113, 7]);
    frame[30..34].copy_from_slice(&[198, 51, 100, 10]);
    frame[34..36].copy_from_slice(&40000_u16.to_be_bytes());
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame[46] = 0x50;
    frame[47] = flags;
    frame
}

pub fn count(maps: &Maps, verdict: Verdict) -> u64 {
    maps.verdicts().unwrap()[usize::from(verdict.number())]
}

/// How many frames an interface of this namespace has received.
pub fn received(name: &str) -> u64 {
    let output = Command::new("ip").args(["-s", "link", "show", "dev", name]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with("RX:")).skip(1);
    lines.next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends frames of no protocol in particular out of an interface, `count` of them at some 20 000 a second.
pub fn send_frames(name: &str, count: u32) {
    let protocol = 0x88b5_u16.to_be();
    // SAFETY: takes numbers only, and returns a new descriptor.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol.into()) };
    assert!(socket >= 0, "this test needs root");
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the struct is plain data for which zero is valid.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = netns::interface_index(name).unwrap() as i32;
    to.sll_halen = 6;
    let mut frame = [0xff_u8; 60];
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    for n in 0..count {
        let (bytes, size) = (frame.as_ptr().cast(), size_of::<libc::sockaddr_ll>() as u32);
        // SAFETY: `frame` and `to` outlive the call and have the lengths that are given.
        let sent = unsafe { libc::sendto(socket.as_raw_fd(), bytes, frame.len(), 0, (&raw const to).cast(), size) };
        assert_eq!(sent, 60, "{}", std::io::Error::last_os_error());
        if n % 20 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
