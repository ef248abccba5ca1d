//! What takes a change back that nobody confirms: a process of its own, which outlives the session that made the change.
//!
//! `apply` starts it before the first step and holds a pipe to it. The pipe's end without a word means that `apply` died half-way: then
//! the change is taken back at once. A byte means that all steps are made: then the time runs.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use sekisho_datapath::Pins;
use sekisho_engine::act::journal::State;

use super::Books;
use crate::failure::Failure;

/// How often it looks whether the change was confirmed or taken back meanwhile.
const LOOK: Duration = Duration::from_millis(200);

/// The watchdog as `apply` holds it. Dropped without [`Watchdog::all_made`], it takes the change back.
pub struct Watchdog {
    word: ChildStdin,
    _child: Child,
}

impl Watchdog {
    /// Starts it and waits until it watches.
    pub fn start(change: u64) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["watchdog", &change.to_string()]).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: setsid is a system call without arguments, allowed between fork and exec; failing (it leads a session) is no harm.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                Ok(())
            })
        };
        let mut child = command.spawn()?;
        let (word, ready) = (child.stdin.take(), child.stdout.take());
        let (Some(word), Some(mut ready)) = (word, ready) else { return Err(io::ErrorKind::BrokenPipe.into()) };
        ready.read_exact(&mut [0])?;
        Ok(Self { word, _child: child })
    }

    /// Tells it that all steps are made.
    pub fn all_made(mut self) -> io::Result<()> {
        self.word.write_all(b"!")
    }
}

/// `sekisho watchdog`: watches over one change.
pub fn watch(change: u64) -> Result<(), Failure> {
    // What ends a session must not end us; a session's manager sends SIGTERM a good while before it kills.
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE] {
        // SAFETY: sets a disposition that has no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let pins = Pins::here()?;
    let failed = |error| Failure::from_error("the watchdog cannot say that it watches", error);
    io::stdout().write_all(b"!").and_then(|()| io::stdout().flush()).map_err(failed)?;
    let made = io::stdin().read_exact(&mut [0]).is_ok();
    if made && settled_in_time(&pins, change)? {
        return Ok(());
    }
    // Whoever holds the books now is about to settle it.
    let mut books = Books::open(&pins)?;
    if books.journal.unsettled().is_some_and(|open| open.id == change) {
        books.roll_back()?;
    }
    Ok(())
}

/// Waits for the end of the trial. `true`: somebody confirmed the change or took it back.
fn settled_in_time(pins: &Pins, change: u64) -> Result<bool, Failure> {
    let begin = Instant::now();
    loop {
        let journal = super::journal(pins)?;
        let open = journal.unsettled().filter(|open| open.id == change && open.state == State::OnTrial);
        let Some(trial) = open.and_then(|open| open.trial.as_ref()) else { return Ok(true) };
        if begin.elapsed() >= Duration::from_secs(trial.within) {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}
