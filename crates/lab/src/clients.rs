//! Legitimate visitors, and what they experienced.
//!
//! A [`Crowd`] makes visits: it connects from one of several addresses, asks (HTTP) or waits to be spoken to (a banner), checks the
//! answer and says how long each part took. With [`Crowd::rate`] visits begin at fixed times however the earlier ones fare (open loop,
//! as real visitors do); with [`Crowd::parallel`] so many go on at once. SYNs are retransmitted by the kernel as for any client.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, socket, sockopt,
};

use crate::topology::client_for;
use crate::{Error, Netns, Result};

/// How long a visit may take unless said otherwise. A SYN is retransmitted after 1, 3 and 7 s within it.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// The most visits of one crowd.
pub const VISITS_MAX: usize = 50_000;
/// Stack of a visitor's thread, in bytes.
const STACK_SIZE: usize = 256 * 1024;

/// What a visitor does once connected.
#[derive(Debug, Clone)]
enum Ask {
    /// `GET path`, and the body must be this one, if said.
    Http { path: String, body: Option<Arc<[u8]>> },
    /// Read the first line, which must begin so.
    Banner { begins: String },
}

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// As it should.
    Complete,
    /// No connection within the deadline.
    NoConnection,
    /// The connection was refused (RST in answer to SYN).
    Refused,
    /// Another failure to connect, or to bind the source.
    CannotConnect,
    /// Connected, and then not a byte within the deadline.
    Silence,
    /// The connection was reset.
    Reset,
    /// The answer began and did not end within the deadline, or ended too early.
    Cut,
    /// An answer that is not the expected one.
    Wrong,
}

/// One visit.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    /// How it ended.
    pub outcome: Outcome,
    /// From the first SYN until connected.
    pub connect: Option<Duration>,
    /// From the first SYN until the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// From the first SYN to the end.
    pub total: Duration,
}

/// Visitors of one server.
#[derive(Debug, Clone)]
pub struct Crowd {
    namespace: Netns,
    target: SocketAddr,
    ask: Ask,
    sources: Vec<IpAddr>,
    visits: usize,
    rate: Option<u32>,
    parallel: usize,
    deadline: Duration,
}

impl Crowd {
    /// Visitors who fetch a page. One visit, unless [`Crowd::visits`] says otherwise.
    pub fn http(namespace: &Netns, target: SocketAddr, path: &str) -> Self {
        Self::new(namespace, target, Ask::Http { path: path.into(), body: None })
    }

    /// Visitors who wait for the server's first line, which must begin so (`220 `, `SSH-2.0-`, or empty for any).
    pub fn banner(namespace: &Netns, target: SocketAddr, begins: &str) -> Self {
        Self::new(namespace, target, Ask::Banner { begins: begins.into() })
    }

    fn new(namespace: &Netns, target: SocketAddr, ask: Ask) -> Self {
        let sources = (0..20).map(|n| client_for(target.ip(), n)).collect();
        let namespace = namespace.clone();
        Self { namespace, target, ask, sources, visits: 1, rate: None, parallel: 1, deadline: DEADLINE }
    }

    /// How many visits, up to [`VISITS_MAX`].
    #[must_use]
    pub fn visits(mut self, visits: usize) -> Self {
        self.visits = visits.min(VISITS_MAX);
        self
    }

    /// Visits begun per second, whether the earlier ones are over or not.
    #[must_use]
    pub fn rate(mut self, per_second: u32) -> Self {
        self.rate = Some(per_second.max(1));
        self
    }

    /// So many visits at once, each followed by the next.
    #[must_use]
    pub fn parallel(mut self, visitors: usize) -> Self {
        self.rate = None;
        self.parallel = visitors.max(1);
        self
    }

    /// How long a visit may take.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The addresses to come from, in turn. The default are the first 20 of [`client_for`].
    #[must_use]
    pub fn sources(mut self, sources: Vec<IpAddr>) -> Self {
        self.sources = sources;
        self
    }

    /// The body that every answer must have.
    #[must_use]
    pub fn expect(mut self, expected: &[u8]) -> Self {
        if let Ask::Http { body, .. } = &mut self.ask {
            *body = Some(expected.into());
        }
        self
    }

    /// Makes the visits and waits for the last.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the namespace cannot be entered or a thread cannot be made.
    pub fn run(&self) -> Result<Seen> {
        let visits = Mutex::new(Vec::with_capacity(self.visits));
        let note = |visit| visits.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
        self.namespace.run(|| match self.rate {
            Some(rate) => self.open_loop(rate, &note),
            None => self.closed_loop(&note),
        })??;
        Ok(Seen { visits: visits.into_inner().unwrap_or_else(PoisonError::into_inner) })
    }

    /// Begins a visit every `1 / rate` seconds. Threads inherit the namespace of the thread that makes them.
    fn open_loop(&self, rate: u32, note: &(impl Fn(Visit) + Sync)) -> Result<()> {
        let begin = Instant::now();
        thread::scope(|scope| {
            for n in 0..self.visits {
                let due = Duration::from_secs_f64(n as f64 / f64::from(rate));
                thread::sleep(due.saturating_sub(begin.elapsed()));
                let visitor = thread::Builder::new().stack_size(STACK_SIZE);
                visitor
                    .spawn_scoped(scope, move || note(self.visit(n)))
                    .map_err(Error::io("make a visitor's thread"))?;
            }
            Ok(())
        })
    }

    fn closed_loop(&self, note: &(impl Fn(Visit) + Sync)) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= self.visits {
                    return;
                }
                note(self.visit(n));
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.parallel.min(self.visits) {
                let visitor = thread::Builder::new().stack_size(STACK_SIZE);
                visitor.spawn_scoped(scope, work).map_err(Error::io("make a visitor's thread"))?;
            }
            Ok(())
        })
    }

    /// Visit number `n`, in the calling thread's namespace.
    fn visit(&self, n: usize) -> Visit {
        let begin = Instant::now();
        let mut visit = Visit { outcome: Outcome::Complete, connect: None, first_byte: None, total: Duration::ZERO };
        let source = self.sources.get(n % self.sources.len().max(1)).copied();
        visit.outcome = match connect_from(source, self.target, self.deadline) {
            Ok(stream) => {
                visit.connect = Some(begin.elapsed());
                Talk { stream, begin, deadline: begin + self.deadline, visit: &mut visit }.ask(&self.ask)
            }
            Err(error) => why_no_connection(&error),
        };
        visit.total = begin.elapsed();
        visit
    }
}

/// Connects from an address of the calling thread's namespace. The socket blocks afterwards.
///
/// # Errors
///
/// The kernel's answer; `TimedOut` after `patience`.
pub fn connect_from(source: Option<IpAddr>, target: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    if let Some(source) = source {
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))?;
    }
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS) => wait_connected(&socket, patience)?,
        Err(errno) => return Err(errno.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn wait_connected(socket: &OwnedFd, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Rounded up, or the last fraction of a millisecond would be spent spinning.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    match getsockopt(socket, sockopt::SocketError)? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn why_no_connection(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::TimedOut => Outcome::NoConnection,
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        _ => Outcome::CannotConnect,
    }
}

/// A conversation with a deadline.
struct Talk<'visit> {
    stream: TcpStream,
    begin: Instant,
    deadline: Instant,
    visit: &'visit mut Visit,
}

impl Talk<'_> {
    fn ask(&mut self, ask: &Ask) -> Outcome {
        match ask {
            Ask::Http { path, body } => self.get(path, body.as_deref()),
            Ask::Banner { begins } => self.listen(begins),
        }
    }

    fn get(&mut self, path: &str, expected: Option<&[u8]>) -> Outcome {
        let request = format!("GET {path} HTTP/1.0\r\nHost: lab\r\nConnection: close\r\n\r\n");
        if self.stream.write_all(request.as_bytes()).is_err() {
            return Outcome::Reset;
        }
        let mut answer = Vec::new();
        while let Some(ended) = self.read_into(&mut answer).transpose() {
            match ended {
                Ok(()) => {}
                Err(outcome) => return outcome,
            }
        }
        judge(&answer, expected)
    }

    fn listen(&mut self, begins: &str) -> Outcome {
        let mut line = Vec::new();
        while !line.contains(&b'\n') {
            match self.read_into(&mut line) {
                Ok(Some(())) => {}
                Ok(None) => return Outcome::Cut,
                Err(outcome) => return outcome,
            }
        }
        if line.starts_with(begins.as_bytes()) { Outcome::Complete } else { Outcome::Wrong }
    }

    /// Reads what is there: `None` at the end of the stream.
    fn read_into(&mut self, answer: &mut Vec<u8>) -> std::result::Result<Option<()>, Outcome> {
        let late = if answer.is_empty() { Outcome::Silence } else { Outcome::Cut };
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
            return Err(late);
        }
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => Ok(None),
            Ok(size) => {
                self.visit.first_byte.get_or_insert_with(|| self.begin.elapsed());
                answer.extend_from_slice(&buffer[..size]);
                Ok(Some(()))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(Some(())),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(late),
                _ => Err(Outcome::Reset),
            },
        }
    }
}

/// Whether an HTTP answer is a whole 200 with the expected body.
fn judge(answer: &[u8], expected: Option<&[u8]>) -> Outcome {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Outcome::Cut };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = &answer[end + 4..];
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    if head.split_whitespace().nth(1) != Some("200") {
        return Outcome::Wrong;
    }
    if announced.is_some_and(|length: usize| body.len() < length) {
        return Outcome::Cut;
    }
    if expected.is_some_and(|expected| expected != body) { Outcome::Wrong } else { Outcome::Complete }
}

/// What a crowd experienced.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Every visit, in the order of their ends.
    pub visits: Vec<Visit>,
}

impl Seen {
    /// Visits that went as they should.
    pub fn complete(&self) -> usize {
        self.visits.iter().filter(|visit| visit.outcome == Outcome::Complete).count()
    }

    /// Their share, in percent; 0 if there were no visits.
    pub fn percent(&self) -> f64 {
        100.0 * self.complete() as f64 / self.visits.len().max(1) as f64
    }

    /// How many visits ended in which way.
    pub fn outcomes(&self) -> BTreeMap<Outcome, usize> {
        let mut outcomes = BTreeMap::new();
        for visit in &self.visits {
            *outcomes.entry(visit.outcome).or_default() += 1;
        }
        outcomes
    }

    /// The time to connect that `percent` of those who connected stayed within; `None` if nobody did.
    pub fn connect_within(&self, percent: f64) -> Option<Duration> {
        percentile(self.visits.iter().filter_map(|visit| visit.connect), percent)
    }

    /// The same for the first byte of the answer.
    pub fn first_byte_within(&self, percent: f64) -> Option<Duration> {
        percentile(self.visits.iter().filter_map(|visit| visit.first_byte), percent)
    }
}

/// The smallest value that at least `percent` of the values do not exceed.
fn percentile(values: impl Iterator<Item = Duration>, percent: f64) -> Option<Duration> {
    let mut sorted: Vec<_> = values.collect();
    sorted.sort_unstable();
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |found: Option<Duration>| found.map_or("-".into(), |d| format!("{:.1}", d.as_secs_f64() * 1e3));
        write!(
            formatter,
            "{} of {} visits complete ({:.1} %); connected within {}/{}/{} ms, first byte within {}/{}/{} ms (50/95/99 %)",
            self.complete(),
            self.visits.len(),
            self.percent(),
            millis(self.connect_within(50.0)),
            millis(self.connect_within(95.0)),
            millis(self.connect_within(99.0)),
            millis(self.first_byte_within(50.0)),
            millis(self.first_byte_within(95.0)),
            millis(self.first_byte_within(99.0)),
        )?;
        for (outcome, count) in self.outcomes().iter().filter(|(outcome, _)| **outcome != Outcome::Complete) {
            write!(formatter, "; {outcome:?}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_an_answer() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(judge(whole, None), Outcome::Complete);
        assert_eq!(judge(whole, Some(b"hello")), Outcome::Complete);
        assert_eq!(judge(whole, Some(b"hullo")), Outcome::Wrong);
        assert_eq!(judge(&whole[..whole.len() - 1], None), Outcome::Cut);
        assert_eq!(judge(&whole[..20], None), Outcome::Cut);
        assert_eq!(judge(b"HTTP/1.1 404 Not Found\r\n\r\n", None), Outcome::Wrong);
    }

    #[test]
    fn ranks() {
        let of = |percent| percentile((1..=200).map(Duration::from_millis), percent).unwrap();
        assert_eq!(of(50.0), Duration::from_millis(100));
        assert_eq!(of(99.0), Duration::from_millis(198));
        assert_eq!(of(100.0), Duration::from_millis(200));
        assert_eq!(of(0.0), Duration::from_millis(1));
        assert_eq!(percentile(std::iter::empty(), 50.0), None);
    }
}
