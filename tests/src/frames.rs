//! Single odd frames, made byte by byte and sent out of the router's end of the server's link: what no TCP sends, and the floods that the
//! generator of the lab does not know. A few thousand of them are enough to see what becomes of each.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use sekisho_lab::topology::Host;

/// The hardware address of the server's eth0 in the lab, and the router's.
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The flags of TCP.
pub mod flag {
    /// The sender is done.
    pub const FIN: u8 = 1;
    /// Begins a connection.
    pub const SYN: u8 = 2;
    /// Ends it at once.
    pub const RST: u8 = 4;
    /// Hands data over at once.
    pub const PSH: u8 = 8;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;
}

/// A TCP segment in an Ethernet frame.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Where it claims to come from.
    pub source: IpAddr,
    /// Where it goes.
    pub target: IpAddr,
    /// Its source port.
    pub source_port: u16,
    /// Its port.
    pub port: u16,
    /// Its sequence number.
    pub sequence: u32,
    /// TCP's flags.
    pub flags: u8,
    /// What it carries.
    pub data: Vec<u8>,
    /// Whether TCP's checksum is right.
    pub checksum: bool,
    /// The header's length in words of four bytes, as it claims.
    pub data_offset: u8,
    /// IPv4's flags and fragment offset.
    pub fragment: u16,
    /// What IP's length claims beyond what there is.
    pub longer: i16,
}

impl Segment {
    /// A whole one with these flags.
    pub fn new(source: IpAddr, target: IpAddr, port: u16, flags: u8) -> Self {
        Self {
            source,
            target,
            source_port: 40_000,
            port,
            sequence: 1,
            flags,
            data: Vec::new(),
            checksum: true,
            data_offset: 5,
            fragment: 0x4000,
            longer: 0,
        }
    }

    /// Its bytes, from the Ethernet header on.
    pub fn bytes(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let mut bytes = [SERVER_MAC, ROUTER_MAC].concat();
        let length = (tcp.len() as i16 + self.longer) as u16;
        match (self.source, self.target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let mut header = vec![0x45, 0];
                header.extend((length + 20).to_be_bytes());
                header.extend([0, 1]);
                header.extend(self.fragment.to_be_bytes());
                header.extend([64, 6, 0, 0]);
                header.extend(source.octets());
                header.extend(target.octets());
                let sum = checksum(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                bytes.extend([8, 0]);
                bytes.extend(header);
            }
            (source, target) => {
                bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                bytes.extend(length.to_be_bytes());
                bytes.extend([6, 64]);
                bytes.extend(octets(source));
                bytes.extend(octets(target));
            }
        }
        bytes.extend(tcp);
        bytes
    }

    fn tcp(&self) -> Vec<u8> {
        let mut tcp = [self.source_port.to_be_bytes(), self.port.to_be_bytes()].concat();
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(0x1234_5678_u32.to_be_bytes());
        tcp.extend([self.data_offset << 4, self.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        tcp.extend(&self.data);
        let mut covered = [octets(self.source), octets(self.target)].concat();
        covered.extend((tcp.len() as u32 + 6).to_be_bytes());
        covered.extend(&tcp);
        let sum = checksum(&covered) ^ if self.checksum { 0 } else { 0x5555 };
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().into(),
        IpAddr::V6(v6) => v6.octets().into(),
    }
}

/// RFC 1071. The protocol's number and the length are added as one number where they stand in the pseudo header, which gives the same sum.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Sends `count` frames to the server, `rate` a second, the n-th as `make` has it.
///
/// # Panics
///
/// If the router's device refuses.
pub fn send(host: &Host, count: usize, rate: u32, make: impl Fn(usize) -> Vec<u8> + Send) {
    host.router.run(|| send_here(count, rate, make)).expect("the router's namespace");
}

fn send_here(count: usize, rate: u32, make: impl Fn(usize) -> Vec<u8>) {
    let index = nix::net::if_::if_nametoindex("server").expect("the link to the server");
    // SAFETY: takes numbers only, and returns a new descriptor or -1.
    let socket = unsafe { nix::libc::socket(nix::libc::AF_PACKET, nix::libc::SOCK_RAW | nix::libc::SOCK_CLOEXEC, 0) };
    assert!(socket >= 0, "a packet socket: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the struct is plain data for which zero is valid.
    let mut to: nix::libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = nix::libc::AF_PACKET as u16;
    to.sll_ifindex = index as i32;
    to.sll_halen = 6;
    let began = Instant::now();
    for n in 0..count {
        let due = Duration::from_secs_f64(n as f64 / f64::from(rate));
        if n % 16 == 0 {
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        send_one(&socket, &to, &make(n));
    }
}

/// Waits where the device's queue is full: the sender is faster than the machine.
fn send_one(socket: &OwnedFd, to: &nix::libc::sockaddr_ll, frame: &[u8]) {
    let size = size_of::<nix::libc::sockaddr_ll>() as u32;
    loop {
        // SAFETY: `frame` and `to` outlive the call and have the lengths that are given.
        let sent = unsafe {
            nix::libc::sendto(
                socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                std::ptr::from_ref(to).cast(),
                size,
            )
        };
        if sent == frame.len() as isize {
            return;
        }
        let error = std::io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOBUFS), "{error}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_right() {
        let segment = Segment::new("198.18.0.1".parse().unwrap(), "198.51.100.10".parse().unwrap(), 80, flag::SYN);
        let bytes = segment.bytes();
        assert_eq!(bytes.len(), 54);
        assert_eq!(checksum(&bytes[14..34]), 0);
        let mut covered = bytes[26..34].to_vec();
        covered.extend([0, 6, 0, 20]);
        covered.extend(&bytes[34..]);
        assert_eq!(checksum(&covered), 0);
        assert_eq!(checksum(&[1, 2, 3]), !0x0402);
    }
}
