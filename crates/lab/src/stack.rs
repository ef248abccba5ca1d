//! Clients of other systems: a TCP client in user space, as small as a handshake allows, with habits to choose.
//!
//! What matters here is what a stack does in SYN-SENT with a SYN-ACK that acknowledges something it never sent (RFC 9293, 3.10.7.3:
//! answer RST with that number, and stay), and when it sends its SYN again. [`Habits`] names both; [`Stacks`] has the raw sockets.
//!
//! Segments leave through a raw socket with a mark, and a rule in the namespace drops whatever the kernel itself would answer from the same
//! ports: it knows no socket there, and would reset everything.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, setsockopt, socket, sockopt,
};

use crate::middle::Rules;
use crate::{Error, Netns, Result};

/// The mark on what these clients send.
const MARK: u32 = 0x5ec1;
/// Their ports: above those that the kernel gives to its own sockets (32768 to 60999).
const PORTS: std::ops::Range<u16> = 61000..65000;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What a stack does with a SYN-ACK that acknowledges something it never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OddSynAck {
    /// RST, and its SYN again when the timer says so, as if nothing had come: most of them.
    Reset,
    /// RST, and its SYN again so much later: Linux since 5.6, lwIP.
    ResetAndResend(Duration),
    /// RST, and the application is told that the connection failed; it tries anew, from another port, so much later: uIP, NuttX.
    ResetAndAbort(Duration),
    /// Nothing.
    Ignore,
}

/// How a stack goes about a handshake.
#[derive(Debug, Clone)]
pub struct Habits {
    name: &'static str,
    odd: OddSynAck,
    reset_has_ack: bool,
    first_timeout: Duration,
    window: u16,
    window_scale: Option<u8>,
    sack: bool,
    timestamps: bool,
    ttl: u8,
}

impl Habits {
    /// A stack that does what RFC 9293 says and sends its SYN again after a second, with a window of 64 KiB and MSS as its only option.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            odd: OddSynAck::Reset,
            reset_has_ack: false,
            first_timeout: Duration::from_secs(1),
            window: 65535,
            window_scale: None,
            sack: false,
            timestamps: false,
            ttl: 64,
        }
    }

    /// What it does with an unexpected SYN-ACK.
    #[must_use]
    pub fn odd(mut self, odd: OddSynAck) -> Self {
        self.odd = odd;
        self
    }

    /// Its RST also acknowledges, as lwIP's and gVisor's do.
    #[must_use]
    pub fn reset_with_ack(mut self) -> Self {
        self.reset_has_ack = true;
        self
    }

    /// How long it waits before its second SYN; twice as long before each later one.
    #[must_use]
    pub fn second_syn_after(mut self, timeout: Duration) -> Self {
        self.first_timeout = timeout;
        self
    }

    /// The window that its SYN announces, and its scale.
    #[must_use]
    pub fn window(mut self, window: u16, scale: Option<u8>) -> Self {
        self.window = window;
        self.window_scale = scale;
        self
    }

    /// It permits SACK.
    #[must_use]
    pub fn sack(mut self) -> Self {
        self.sack = true;
        self
    }

    /// It uses timestamps.
    #[must_use]
    pub fn timestamps(mut self) -> Self {
        self.timestamps = true;
        self
    }

    /// The TTL of its packets.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The options of a segment that was made so many milliseconds after the first: those of a SYN, or the timestamps alone.
    fn options(&self, syn: bool, clock: u32, echo: u32) -> Vec<u8> {
        let mut options = Vec::new();
        if syn {
            options.extend([2, 4, 0x05, 0xb4]);
            if let Some(scale) = self.window_scale {
                options.extend([1, 3, 3, scale]);
            }
            if self.sack {
                options.extend([1, 1, 4, 2]);
            }
        }
        if self.timestamps {
            options.extend([1, 1, 8, 10]);
            options.extend(clock.to_be_bytes());
            options.extend(echo.to_be_bytes());
        }
        options
    }
}

/// How a client fared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempt {
    /// From the first SYN until the first byte from the server; `None` if none came within the deadline.
    pub first_byte: Option<Duration>,
    /// SYNs sent.
    pub syns: u32,
    /// SYN-ACKs that acknowledged something else.
    pub odd: u32,
    /// Connections begun: more than one if it gave up in between.
    pub connections: u32,
}

/// User-space clients of a namespace.
#[derive(Debug)]
pub struct Stacks {
    namespace: Netns,
    next_port: AtomicU16,
    _quiet: Rules,
}

impl Stacks {
    /// Keeps the namespace's kernel from answering for them.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] with nft's own words.
    pub fn new(namespace: &Netns) -> Result<Self> {
        let (first, last) = (PORTS.start, PORTS.end - 1);
        let rule = format!(
            "chain out {{ type filter hook output priority 0; policy accept; tcp sport {first}-{last} meta mark != {MARK} drop; }}"
        );
        let quiet = Rules::add(namespace, "ip stacks", &rule)?;
        // Another start in each process, so that a server's TIME-WAIT of an earlier run is not met.
        let start = PORTS.start + (random() % 2000) as u16;
        Ok(Self { namespace: namespace.clone(), next_port: AtomicU16::new(start), _quiet: quiet })
    }

    /// Connects and waits for the server's first byte; the connection is then reset.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if raw sockets are not allowed.
    pub fn banner(
        &self,
        habits: &Habits,
        source: Ipv4Addr,
        target: SocketAddrV4,
        patience: Duration,
    ) -> Result<Attempt> {
        let attempt = self.namespace.run(|| {
            let begin = Instant::now();
            let mut attempt = Attempt::default();
            let deadline = begin + patience;
            while Instant::now() < deadline {
                attempt.connections += 1;
                let source = SocketAddrV4::new(source, self.port());
                let mut client = Client::open(habits, source, target, begin, deadline)?;
                match client.connect(&mut attempt)? {
                    End::Spoken => {
                        attempt.first_byte = Some(begin.elapsed());
                        break;
                    }
                    End::Silent => break,
                    End::Aborted(pause) => thread::sleep(pause),
                }
            }
            io::Result::Ok(attempt)
        })?;
        attempt.map_err(Error::io(format!("be a {} client in {}", habits.name, self.namespace.name())))
    }

    fn port(&self) -> u16 {
        let n = self.next_port.fetch_add(1, Ordering::Relaxed);
        if PORTS.contains(&n) { n } else { PORTS.start + n % 1000 }
    }
}

/// How one connection ended.
enum End {
    Spoken,
    Silent,
    Aborted(Duration),
}

/// One connection.
struct Client<'habits> {
    habits: &'habits Habits,
    /// Sends whole packets, as IPPROTO_RAW does (raw(7)).
    out: OwnedFd,
    /// Hears every TCP segment that arrives in the namespace.
    incoming: OwnedFd,
    source: SocketAddrV4,
    target: SocketAddrV4,
    begin: Instant,
    deadline: Instant,
    /// The sequence number of its SYN.
    first: u32,
    /// The server's last timestamp.
    echo: u32,
}

impl<'habits> Client<'habits> {
    fn open(
        habits: &'habits Habits,
        source: SocketAddrV4,
        target: SocketAddrV4,
        begin: Instant,
        deadline: Instant,
    ) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let out = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Raw)?;
        let incoming = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Tcp)?;
        setsockopt(&out, sockopt::Mark, &MARK)?;
        Ok(Self { habits, out, incoming, source, target, begin, deadline, first: random(), echo: 0 })
    }

    /// SYN-SENT, until the server acknowledges the SYN.
    fn connect(&mut self, attempt: &mut Attempt) -> io::Result<End> {
        let mut timeout = self.habits.first_timeout;
        let mut next_syn = Instant::now();
        loop {
            if Instant::now() >= next_syn {
                self.send(SYN, self.first, 0)?;
                attempt.syns += 1;
                next_syn = Instant::now() + timeout;
                timeout *= 2;
            }
            let Some(segment) = self.receive(next_syn)? else {
                if Instant::now() >= self.deadline {
                    return Ok(End::Silent);
                }
                continue;
            };
            if segment.flags & (SYN | ACK) != SYN | ACK {
                continue;
            }
            if segment.acknowledgement == self.first.wrapping_add(1) {
                return self.listen(segment.sequence.wrapping_add(1));
            }
            attempt.odd += 1;
            match self.meet_odd(&segment)? {
                Some(End::Aborted(pause)) => return Ok(End::Aborted(pause)),
                Some(_) => next_syn = Instant::now(),
                None => {}
            }
        }
    }

    /// What the habit is: nothing more, an end, or the SYN at once (any other `Some`).
    fn meet_odd(&self, segment: &Segment) -> io::Result<Option<End>> {
        if self.habits.odd == OddSynAck::Ignore {
            return Ok(None);
        }
        let (flags, acknowledges) =
            if self.habits.reset_has_ack { (RST | ACK, segment.sequence.wrapping_add(1)) } else { (RST, 0) };
        self.send(flags, segment.acknowledgement, acknowledges)?;
        Ok(match self.habits.odd {
            OddSynAck::ResetAndAbort(pause) => Some(End::Aborted(pause)),
            OddSynAck::ResetAndResend(pause) => {
                thread::sleep(pause);
                Some(End::Silent)
            }
            OddSynAck::Reset | OddSynAck::Ignore => None,
        })
    }

    /// ESTABLISHED, until the server says something.
    fn listen(&mut self, mut expected: u32) -> io::Result<End> {
        let own = self.first.wrapping_add(1);
        self.send(ACK, own, expected)?;
        while Instant::now() < self.deadline {
            let Some(segment) = self.receive(self.deadline)? else { break };
            if segment.flags & RST != 0 {
                return Ok(End::Silent);
            }
            if segment.payload > 0 && segment.sequence == expected {
                expected = expected.wrapping_add(segment.payload);
                self.send(RST | ACK, own, expected)?;
                return Ok(End::Spoken);
            }
            // Its SYN-ACK again, or something out of order.
            self.send(ACK, own, expected)?;
        }
        Ok(End::Silent)
    }

    /// The next segment of this connection, if one comes by then or by the deadline.
    fn receive(&mut self, until: Instant) -> io::Result<Option<Segment>> {
        let until = until.min(self.deadline);
        let mut buffer = [0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.incoming.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let size = match recv(self.incoming.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(size) => size,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let ours = |segment: &Segment| segment.from == self.target && segment.to == self.source;
            if let Some(segment) = Segment::parse(&buffer[..size]).filter(ours) {
                self.echo = segment.timestamp.unwrap_or(self.echo);
                return Ok(Some(segment));
            }
        }
    }

    fn send(&self, flags: u8, sequence: u32, acknowledgement: u32) -> io::Result<()> {
        let clock = 1 + self.begin.elapsed().as_millis() as u32;
        // A reset carries no options in any of these stacks.
        let options =
            if flags & RST == 0 { self.habits.options(flags & SYN != 0, clock, self.echo) } else { Vec::new() };
        let header = 20 + options.len();
        let mut tcp = Vec::with_capacity(header);
        tcp.extend(self.source.port().to_be_bytes());
        tcp.extend(self.target.port().to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(acknowledgement.to_be_bytes());
        tcp.extend([((header / 4) << 4) as u8, flags]);
        tcp.extend(if flags & RST == 0 { self.habits.window } else { 0 }.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        let checksum = checksum(*self.source.ip(), *self.target.ip(), &tcp);
        tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
        let packet = [&ip_header(self, tcp.len())[..], &tcp].concat();
        let to = SockaddrIn::from(SocketAddrV4::new(*self.target.ip(), 0));
        sendto(self.out.as_raw_fd(), &packet, &to, MsgFlags::empty())?;
        Ok(())
    }
}

/// An IPv4 header; the kernel fills in its checksum and, where it is 0, the identification (raw(7)).
fn ip_header(client: &Client<'_>, payload: usize) -> [u8; 20] {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&((20 + payload) as u16).to_be_bytes());
    header[6] = 0x40; // don't fragment
    header[8] = client.habits.ttl;
    header[9] = 6;
    header[12..16].copy_from_slice(&client.source.ip().octets());
    header[16..20].copy_from_slice(&client.target.ip().octets());
    header
}

/// The checksum of a TCP segment over IPv4 (RFC 9293, 3.1) whose own field is zero.
fn checksum(source: Ipv4Addr, destination: Ipv4Addr, tcp: &[u8]) -> u16 {
    let pseudo = [&source.octets()[..], &destination.octets(), &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
    let words = pseudo.chunks(2).chain(tcp.chunks(2));
    let sum: u32 = words.map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// What a client looks at in a segment.
#[derive(Debug)]
struct Segment {
    from: SocketAddrV4,
    to: SocketAddrV4,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    payload: u32,
    timestamp: Option<u32>,
}

impl Segment {
    /// `None` for what is not a whole TCP segment over IPv4.
    fn parse(packet: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
        let ip = usize::from(packet.first()? & 15) * 4;
        let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
        let tcp = usize::from(packet.get(ip + 12)? >> 4) * 4;
        let payload = total.checked_sub(ip + tcp)? as u32;
        let ports = word(ip)?;
        let flags = *packet.get(ip + 13)? & (FIN | SYN | RST | ACK);
        Some(Self {
            from: SocketAddrV4::new(word(12)?.into(), (ports >> 16) as u16),
            to: SocketAddrV4::new(word(16)?.into(), ports as u16),
            sequence: word(ip + 4)?,
            acknowledgement: word(ip + 8)?,
            flags,
            payload,
            timestamp: timestamp(packet.get(ip + 20..ip + tcp)?),
        })
    }
}

/// The value of the timestamp option, if there is one.
fn timestamp(mut options: &[u8]) -> Option<u32> {
    loop {
        match options {
            [] | [0, ..] => return None,
            [1, rest @ ..] => options = rest,
            [8, 10, value @ ..] => return Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?)),
            [_, length, ..] => options = options.get(usize::from(*length).max(2)..)?,
            [_] => return None,
        }
    }
}

fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_whole_words() {
        let habits = Habits::new("all").window(8192, Some(8)).sack().timestamps();
        assert_eq!(habits.options(true, 1, 0).len(), 4 + 4 + 4 + 12);
        assert_eq!(habits.options(false, 1, 7), [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 7]);
        assert_eq!(timestamp(&habits.options(true, 5, 0)), Some(5));
        assert_eq!(timestamp(&Habits::new("none").options(true, 5, 0)), None);
        assert_eq!(timestamp(&[8]), None);
    }

    #[test]
    fn a_segment_with_its_checksum_sums_to_zero() {
        let (source, destination) = (Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 51, 100, 10));
        let mut tcp = vec![0xf0, 0, 0, 25, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
        let sum = checksum(source, destination, &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(source, destination, &tcp), 0);
    }
}
