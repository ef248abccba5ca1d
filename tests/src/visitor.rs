//! Visitors that the lab's crowds do not have: one who stays, and one who notices every byte.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sekisho_lab::clients::connect_from;
use sekisho_lab::counters::{self, Connection};
use sekisho_lab::{Netns, wait};

use crate::{PATIENCE, Scene};

/// Connects to an HTTP server, fetches something and stays connected: what `ss -ti` then shows at the server.
///
/// # Panics
///
/// If it does not get in, or the server does not answer.
pub fn held(scene: &Scene, source: IpAddr, target: SocketAddr) -> (TcpStream, Connection) {
    let connected = scene.client.run(|| connect_from(Some(source), target, PATIENCE)).unwrap();
    let mut stream = connected.unwrap_or_else(|error| panic!("{source} does not reach {target}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n").unwrap();
    let mut answer = [0; 1024];
    assert!(stream.read(&mut answer).expect("an answer") > 0, "{target} closed the connection");
    let ours = stream.local_addr().unwrap();
    let find = || counters::connections(&scene.server, target.port()).unwrap().into_iter().find(|one| one.peer == ours);
    let seen = wait::value("the connection at the server", PATIENCE, find).unwrap();
    (stream, seen)
}

/// A conversation with an echo server that goes on until it is told to stop. Every byte that comes back is compared.
pub struct Conversation {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    bytes: AtomicU64,
    longest_us: AtomicU64,
}

/// The size of what is said before an answer is awaited, in bytes: several segments.
const SENTENCE: usize = 4096;

impl Conversation {
    /// Connects and begins.
    ///
    /// # Panics
    ///
    /// If it does not get in.
    pub fn begin(namespace: &Netns, source: IpAddr, target: SocketAddr) -> Self {
        let stream = namespace.run(|| connect_from(Some(source), target, PATIENCE)).unwrap().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let conversation = Self { shared, thread: Some(thread::spawn(move || talk(stream, &theirs))) };
        conversation.goes_on();
        conversation
    }

    /// Waits until more was said and answered, which shows that it did not break.
    ///
    /// # Panics
    ///
    /// If it broke, with how.
    pub fn goes_on(&self) {
        let before = self.bytes();
        let ended = || self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let waited = wait::until("more bytes", PATIENCE, || ended() || self.bytes() > before + 10 * SENTENCE as u64);
        assert!(waited.is_ok() && !ended(), "the conversation broke after {} bytes", self.bytes());
    }

    /// Bytes that came back as they should.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// The longest that an answer was waited for.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_micros(self.shared.longest_us.load(Ordering::Relaxed))
    }

    /// Ends it.
    ///
    /// # Panics
    ///
    /// If it broke before, with how.
    pub fn end(mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let outcome = self.thread.take().map(JoinHandle::join).expect("a thread").expect("no panic");
        assert_eq!(outcome, Ok(()), "after {} bytes", self.bytes());
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn talk(mut stream: TcpStream, shared: &Shared) -> Result<(), String> {
    let mut next = 0u8;
    while !shared.over.load(Ordering::Relaxed) {
        // 251 is a prime, so that a lost, doubled or swapped segment shows.
        let sentence: Vec<u8> = (0..SENTENCE).map(|at| next.wrapping_add((at % 251) as u8)).collect();
        let begin = Instant::now();
        stream.write_all(&sentence).map_err(|error| format!("sending: {error}"))?;
        let mut echo = vec![0; SENTENCE];
        stream.read_exact(&mut echo).map_err(|error| format!("receiving: {error}"))?;
        if echo != sentence {
            return Err("another sentence came back".into());
        }
        shared.longest_us.fetch_max(begin.elapsed().as_micros() as u64, Ordering::Relaxed);
        shared.bytes.fetch_add(SENTENCE as u64, Ordering::Relaxed);
        next = next.wrapping_add(1);
        // Slow enough to leave the machine to the flood.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
