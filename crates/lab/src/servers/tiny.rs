//! A server of a few threads, for tests that need no real one: it can stop accepting, and resume.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

use crate::{Error, Netns, Result};

/// How long the accepting thread waits before it looks whether it should pause or end, in milliseconds.
const LOOK_MS: u16 = 10;
/// How long a silent client is kept.
const PATIENCE: Duration = Duration::from_secs(120);
/// Stack of a connection's thread, in bytes.
const STACK_SIZE: usize = 128 * 1024;

/// What it says to whoever connects.
#[derive(Debug, Clone)]
pub enum Talk {
    /// Reads a request and answers with this body.
    Http(Vec<u8>),
    /// Speaks first, with this line, and then reads until the client is gone.
    Banner(String),
    /// Sends back what it reads, until the client is gone.
    Echo,
}

/// A running tiny server. Dropping it closes the listener; conversations under way go on to their end.
#[derive(Debug)]
pub struct Tiny {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    paused: AtomicBool,
    over: AtomicBool,
    accepted: AtomicU64,
}

impl Tiny {
    /// Listens and answers HTTP with a short body.
    ///
    /// # Errors
    ///
    /// As [`Tiny::start`].
    pub fn http(namespace: &Netns, address: IpAddr, port: u16, backlog: i32) -> Result<Self> {
        Self::start(namespace, SocketAddr::new(address, port), backlog, Talk::Http(b"hello\n".to_vec()))
    }

    /// Listens and speaks first.
    ///
    /// # Errors
    ///
    /// As [`Tiny::start`].
    pub fn banner(namespace: &Netns, address: IpAddr, port: u16, backlog: i32) -> Result<Self> {
        let line = "220 lab.example ready\r\n".to_owned();
        Self::start(namespace, SocketAddr::new(address, port), backlog, Talk::Banner(line))
    }

    /// Listens, with the kernel's queues as long as `backlog` says. An IPv6 listener takes IPv6 alone, except on `::`, which is
    /// dual-stack.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the address is taken or not there.
    pub fn start(namespace: &Netns, address: SocketAddr, backlog: i32, talk: Talk) -> Result<Self> {
        let opened = namespace.run(|| open(address, backlog))?;
        let listener = opened.map_err(Error::io(format!("listen on {address} in {}", namespace.name())))?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || serve(&listener, &talk, &theirs)));
        Ok(Self { address, shared, thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting: connections then pile up in the accept queue.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::Relaxed);
        // Whoever is being accepted now still is.
        thread::sleep(Duration::from_millis(2 * u64::from(LOOK_MS)));
    }

    /// Accepts again.
    pub fn resume(&self) {
        self.shared.paused.store(false, Ordering::Relaxed);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &!address.ip().is_unspecified())?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(backlog)?)?;
    Ok(socket.into())
}

/// Accepts until it is over. The sockets belong to the listener's namespace, so this thread may be anywhere.
fn serve(listener: &TcpListener, talk: &Talk, shared: &Shared) {
    while !shared.over.load(Ordering::Relaxed) {
        if shared.paused.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(LOOK_MS.into()));
            continue;
        }
        let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(LOOK_MS)).unwrap_or(0) > 0 {
            accept_one(listener, talk, shared);
        }
    }
}

fn accept_one(listener: &TcpListener, talk: &Talk, shared: &Shared) {
    // A connection that was reset while it waited is no longer there; the next look finds the next.
    let Ok((stream, _)) = listener.accept() else { return };
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    let talk = talk.clone();
    // Without a thread for it the client sees its connection closed, as from any overloaded server. Its own errors are the client's.
    let _ = thread::Builder::new().stack_size(STACK_SIZE).spawn(move || converse(stream, &talk));
}

fn converse(mut stream: TcpStream, talk: &Talk) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 4096];
    match talk {
        Talk::Http(body) => {
            if stream.read(&mut buffer)? > 0 {
                let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), body].concat())?;
            }
        }
        Talk::Banner(line) => {
            stream.write_all(line.as_bytes())?;
            while stream.read(&mut buffer)? > 0 {}
        }
        Talk::Echo => loop {
            match stream.read(&mut buffer)? {
                0 => break,
                size => stream.write_all(&buffer[..size])?,
            }
        },
    }
    Ok(())
}
