//! A bounded flood of spoofed TCP segments, and of what pretends to be some, which cannot leave the lab.
//!
//! The kernel itself makes the frames: a BPF program (`bpf/flood.bpf.c`) is run with `BPF_PROG_TEST_RUN` and
//! `BPF_F_TEST_XDP_LIVE_FRAMES` (Linux 5.18 and later), which transmits them out of a veth. One core gives several million a second.
//!
//! A [`Shot`] says what to send, a [`Site`] where. [`Flood::new`] checks both, and [`Flood::start`] checks the site again before the
//! first frame: see [`Site`] for what makes a place safe, and [`Refusal`] for every bound.

mod forms;
mod gun;
mod prefix;
mod shape;
mod site;

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use forms::carpet;
use gun::Gun;
pub use prefix::{ALLOWED, Prefix};
pub use site::Site;

use crate::bpf::index_of;
use crate::topology::{spoofed4, spoofed6};
use crate::{Error, Refusal, Result};

/// The highest rate, in frames a second.
pub const RATE_MAX: u32 = 6_000_000;
/// The longest flood.
pub const DURATION_MAX: Duration = Duration::from_secs(60);
/// The longest list of sources.
pub const SOURCES_MAX: usize = 65536;

/// The shortest flood.
const DURATION_MIN: Duration = Duration::from_millis(1);
/// How often a flood is topped up. Each call of `BPF_PROG_TEST_RUN` makes a page pool, which the kernel frees a second later or more, and
/// only some 700 of them a second (measured; at 2000 calls a second their numbers ran out).
const PERIOD: Duration = Duration::from_millis(4);
/// The share of a period in which its frames go out, one by one. The rest is for the clock's own time, for catching up, and for others.
const BUSY_SHARE: f64 = 0.6;
/// The same of a steady flood, which is even enough for a receive ring of 256 frames, and catches up by little.
const STEADY_SHARE: f64 = 0.9;
/// How much more than its rate a steady flood may send to catch up.
const STEADY_MORE: f64 = 1.03;
/// The most frames of one call: at full rate a few milliseconds, so that stopping is prompt.
const BATCH_MAX: u64 = 32768;

/// What each frame is. Of a kind with several forms, each frame has one at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A SYN as Linux sends it: MSS, SACK permitted, timestamps, window scale.
    Syn,
    /// A SYN as Windows sends it: MSS, window scale, SACK permitted.
    WindowsSyn,
    /// A SYN as macOS and iOS send it: MSS, window scale, timestamps, SACK permitted.
    AppleSyn,
    /// A SYN without options and with a small window, as common tools send it.
    BareSyn,
    /// A SYN of one of these four.
    AnySyn,
    /// An ACK with random numbers and no options.
    Ack,
    /// An ACK with random numbers and random timestamps.
    AckTimestamps,
    /// A RST with a random sequence number.
    Rst,
    /// A SYN-ACK with random numbers.
    SynAck,
    /// A FIN with ACK and random numbers.
    Fin,
    /// A first or a last fragment of a SYN. No two of them belong together.
    Fragments,
    /// What no TCP sends: flags that contradict each other, all or none; a header longer or shorter than it can be; a piece of one.
    Malformed,
    /// A SYN as Linux sends it, to 32 addresses and 32 ports, those of the target among them. A lab's [`Host`](crate::topology::Host)
    /// gives its server the addresses.
    Carpet,
    /// All kinds at once, an eighth each: SYNs of the four stacks, ACKs, SYN-ACKs, RSTs, FINs, fragments, malformed ones, a carpet.
    Mixed,
}

/// Where segments claim to come from.
#[derive(Debug, Clone)]
enum Sources {
    Prefix(Prefix),
    List(Vec<IpAddr>),
}

/// What to send. Made by [`Shot::new`] or [`Shot::syn`] and the methods that refine it; checked by [`Flood::new`].
#[derive(Debug, Clone)]
pub struct Shot {
    kind: Kind,
    target: SocketAddr,
    sources: Sources,
    rate: u32,
    duration: Duration,
    frames_max: u64,
    each_twice: bool,
    other_port: Option<u16>,
    steady: bool,
    seed: u64,
}

impl Shot {
    /// 100 000 segments a second for a second, from the whole spoofed range of the target's family.
    pub fn new(kind: Kind, target: SocketAddr) -> Self {
        let prefix = if target.is_ipv4() { spoofed4() } else { spoofed6() };
        Self {
            kind,
            target,
            sources: Sources::Prefix(prefix),
            rate: 100_000,
            duration: Duration::from_secs(1),
            frames_max: u64::MAX,
            each_twice: false,
            other_port: None,
            steady: false,
            seed: fresh_seed(),
        }
    }

    /// Linux-like SYNs; the rest as [`Shot::new`].
    pub fn syn(target: SocketAddr) -> Self {
        Self::new(Kind::Syn, target)
    }

    /// Frames a second, up to [`RATE_MAX`].
    #[must_use]
    pub fn rate(mut self, frames_per_second: u32) -> Self {
        self.rate = frames_per_second;
        self
    }

    /// How long, up to [`DURATION_MAX`].
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// How long, in whole seconds.
    #[must_use]
    pub fn seconds(self, seconds: u64) -> Self {
        self.duration(Duration::from_secs(seconds))
    }

    /// Stops after so many frames, should they be sent before the time is over.
    #[must_use]
    pub fn at_most(mut self, frames: u64) -> Self {
        self.frames_max = frames;
        self
    }

    /// Sources drawn from a prefix.
    #[must_use]
    pub fn from_prefix(mut self, prefix: Prefix) -> Self {
        self.sources = Sources::Prefix(prefix);
        self
    }

    /// Sources drawn from a list of up to [`SOURCES_MAX`]. A list of one is an attacker who spoofs one address.
    #[must_use]
    pub fn from_list(mut self, addresses: Vec<IpAddr>) -> Self {
        self.sources = Sources::List(addresses);
        self
    }

    /// Sends each frame twice in a row.
    #[must_use]
    pub fn each_twice(mut self) -> Self {
        self.each_twice = true;
        self
    }

    /// Half of the segments, at random, go to this port of the target instead.
    #[must_use]
    pub fn also_to(mut self, port: u16) -> Self {
        self.other_port = Some(port);
        self
    }

    /// Sends as evenly as it can rather than as many as were asked for: what was missed is not made up for by a burst, which would
    /// overflow a receive ring that the rate itself does not.
    #[must_use]
    pub fn steady(mut self) -> Self {
        self.steady = true;
        self
    }

    /// A chosen sequence of pseudo-random numbers: the same seed gives the same frames. Otherwise every shot has its own.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The addresses that it goes to besides its target's.
    pub(crate) fn other_targets(&self) -> Vec<IpAddr> {
        let target = self.target.ip();
        let spreads = matches!(self.kind, Kind::Carpet | Kind::Mixed);
        if spreads { carpet(target).into_iter().filter(|address| *address != target).collect() } else { Vec::new() }
    }

    fn check(&self) -> std::result::Result<(), Refusal> {
        if !(1..=RATE_MAX).contains(&self.rate) {
            return Err(Refusal::Rate(self.rate));
        }
        if self.duration < DURATION_MIN || self.duration > DURATION_MAX {
            return Err(Refusal::Duration(self.duration.as_millis()));
        }
        self.check_address(self.target.ip())?;
        match &self.sources {
            Sources::Prefix(prefix) => self.check_address(prefix.base()),
            Sources::List(list) if list.is_empty() || list.len() > SOURCES_MAX => Err(Refusal::Sources(list.len())),
            Sources::List(list) => list.iter().try_for_each(|address| self.check_address(*address)),
        }
    }

    /// A prefix was checked when it was made, so its base stands for it.
    fn check_address(&self, address: IpAddr) -> std::result::Result<(), Refusal> {
        if !prefix::is_allowed(address) {
            return Err(Refusal::Address(address));
        }
        if address.is_ipv4() != self.target.is_ipv4() {
            return Err(Refusal::Family);
        }
        Ok(())
    }
}

/// A seed that no other shot of this process has.
fn fresh_seed() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The program steps through seeds by a large odd constant, so neighbours would meet only after 2^63 frames or so.
    (u64::from(std::process::id()) << 32) + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A flood that was checked and may be sent.
#[derive(Debug)]
pub struct Flood {
    site: Site,
    shot: Shot,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Frames handed to the device. How many of them arrived, the receiver's counters say: a full ring drops.
    pub sent: u64,
    /// From the first to the last.
    pub elapsed: Duration,
}

impl Sent {
    /// The rate reached, in frames a second.
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl Flood {
    /// Checks the shot and the site.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the bound that was crossed.
    pub fn new(site: Site, shot: Shot) -> Result<Self> {
        shot.check()?;
        site.check()?;
        Ok(Self { site, shot })
    }

    /// Sends it from a thread of its own, on the second CPU where there is one. Returns once the program is loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the site changed meanwhile, [`Error::Bpf`] if the program cannot be loaded.
    pub fn start(self) -> Result<Running> {
        self.site.check()?;
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let (ready, loaded) = mpsc::channel();
        let thread = thread::spawn(move || {
            let outcome = self.send(&shared, &ready);
            shared.over.store(true, Ordering::Relaxed);
            outcome
        });
        let running = Running { thread: Some(thread), progress };
        // A thread that ended before it was ready has the reason.
        if loaded.recv().is_err() { Err(running.join().err().unwrap_or_else(thread_died)) } else { Ok(running) }
    }

    /// Sends it and waits for its end.
    ///
    /// # Errors
    ///
    /// As [`Flood::start`].
    pub fn run(self) -> Result<Sent> {
        self.start()?.join()
    }

    /// The sending thread.
    fn send(&self, progress: &Progress, ready: &Sender<()>) -> Result<Sent> {
        let constants = shape::of(&self.shot, self.site.next_hop());
        let mut object = MaybeUninit::uninit();
        let mut gun = Gun::load(&mut object, &self.shot, &constants)?;
        self.site.enter()?;
        settle_down();
        let device = index_of(self.site.device())?;
        // A sender whose receiver is gone is no concern here: the loaded flood is what counts.
        let _ = ready.send(());
        pace(&self.shot, progress, |frames, gap_ns| gun.fire(device, frames, gap_ns))
    }
}

/// The distance between two frames of one period, in nanoseconds: the more are owed, the shorter.
fn gap_ns(owed: u64, share: f64) -> u64 {
    let gap = share * PERIOD.as_nanos() as f64 / owed as f64;
    // Below this the frame itself takes as long, and looking at the clock would only slow it down.
    if gap < 200.0 { 0 } else { gap as u64 }
}

/// Calls `fire` so that the shot's rate holds until its end, or until it is told to stop.
fn pace(shot: &Shot, progress: &Progress, mut fire: impl FnMut(u64, u64) -> Result<()>) -> Result<Sent> {
    let step = 1 + u64::from(shot.each_twice);
    let (share, most) = if shot.steady {
        (STEADY_SHARE, (f64::from(shot.rate) * PERIOD.as_secs_f64() * STEADY_MORE) as u64 + 1)
    } else {
        (BUSY_SHARE, BATCH_MAX)
    };
    let begin = Instant::now();
    let mut sent = 0;
    loop {
        let elapsed = begin.elapsed();
        let over = elapsed >= shot.duration || sent + step > shot.frames_max || progress.stop.load(Ordering::Relaxed);
        if over {
            return Ok(Sent { sent, elapsed });
        }
        // What is due until the end of this period.
        let until = (elapsed + PERIOD).min(shot.duration);
        let due = ((f64::from(shot.rate) * until.as_secs_f64()) as u64).min(shot.frames_max);
        let owed = due.saturating_sub(sent).min(most.min(BATCH_MAX)) / step * step;
        if owed > 0 {
            fire(owed, gap_ns(owed, share))?;
            sent += owed;
            progress.sent.store(sent, Ordering::Relaxed);
        }
        thread::sleep((elapsed + PERIOD).saturating_sub(begin.elapsed()));
    }
}

/// What the sending thread and its owner share.
#[derive(Debug, Default)]
struct Progress {
    stop: AtomicBool,
    over: AtomicBool,
    sent: AtomicU64,
}

/// A flood under way. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    thread: Option<JoinHandle<Result<Sent>>>,
    progress: Arc<Progress>,
}

impl Running {
    /// Frames sent so far.
    pub fn sent(&self) -> u64 {
        self.progress.sent.load(Ordering::Relaxed)
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.progress.over.load(Ordering::Relaxed)
    }

    /// Ends it now and says what was sent.
    ///
    /// # Errors
    ///
    /// As [`Running::join`].
    pub fn stop(self) -> Result<Sent> {
        self.progress.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits for its end and says what was sent.
    ///
    /// # Errors
    ///
    /// [`Error::Bpf`] if the kernel refused to send.
    pub fn join(mut self) -> Result<Sent> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            _ => Err(thread_died()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn thread_died() -> Error {
    Error::parse("the flood's outcome", "its thread died")
}

/// Pins the thread to the second CPU, since the receive work is on the first, and lets it sleep for microseconds.
fn settle_down() {
    // Without it a sleep takes 50 us longer than asked for (PR_SET_TIMERSLACK); the flood is then a little less even.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut second = CpuSet::new();
    if second.set(1).is_ok() {
        // With one CPU there is no second, and the scheduler decides.
        let _ = sched_setaffinity(Pid::from_raw(0), &second);
    }
}
