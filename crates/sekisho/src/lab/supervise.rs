//! Whatever ends a command of the lab, nothing of it is left.
//!
//! The command's work is done by a child, the worker: this program again, with the same words. The parent does nothing but wait. On SIGINT,
//! SIGTERM or SIGHUP it kills the worker and everything that the worker started, and then takes away what is left: so the same few lines
//! clean up after a signal, a crash and a panic, and no moment is the wrong one. If the parent itself is killed the worker dies with it, and
//! `sekisho lab clean`, or the next lab, does the rest.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use sekisho_lab::leftover;

use crate::failure::Failure;

/// What tells the worker that it is one.
const WORKER: &str = "SEKISHO_LAB_WORKER";
/// How often the parent looks.
const LOOK: Duration = Duration::from_millis(50);
/// How long killed programs may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does `work` in a child, and cleans up after it.
pub fn supervised(work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    if std::env::var_os(WORKER).is_some() {
        return work();
    }
    let failed = |error: io::Error| Failure::from_error("the lab cannot be started", error);
    let signals = Signals::block();
    adopt_orphans();
    let mut worker = spawn().map_err(failed)?;
    let (status, signal) = wait(&mut worker, &signals).map_err(failed)?;
    end_orphans();
    let cleaned = leftover::clean().unwrap_or_default();
    if let Some(signal) = signal {
        return Err(Failure::new(format!("interrupted by {signal}; {}", told(&cleaned))));
    }
    if !cleaned.left.is_empty() {
        return Err(Failure::new(format!("not everything could be taken away: {}", cleaned.left.join("; "))));
    }
    match status.code() {
        Some(0) => Ok(()),
        // It has said why.
        Some(code) => std::process::exit(code),
        None => Err(Failure::new(format!("the lab was killed ({status}); {}", told(&cleaned)))),
    }
}

fn told(cleaned: &leftover::Cleaned) -> String {
    let left = if cleaned.left.is_empty() { String::new() } else { format!("; left: {}", cleaned.left.join("; ")) };
    match cleaned.removed.len() {
        0 => format!("there was nothing to take away{left}"),
        _ => format!("what was there was taken away{left}"),
    }
}

fn spawn() -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(WORKER, "1");
    // SAFETY: between fork and exec it makes two system calls that take numbers, and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            // Signals mean to the worker what they mean to any program.
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    command.spawn()
}

/// Waits for the worker's end, or for a signal, at which it is killed.
fn wait(worker: &mut Child, signals: &Signals) -> io::Result<(ExitStatus, Option<&'static str>)> {
    loop {
        if let Some(status) = worker.try_wait()? {
            // A terminal sends its signal to both.
            let signal = signals.wait(Duration::ZERO).filter(|_| status.signal().is_some() || status.code() != Some(0));
            return Ok((status, signal));
        }
        if let Some(signal) = signals.wait(LOOK) {
            worker.kill()?;
            return Ok((worker.wait()?, Some(signal)));
        }
    }
}

/// From now on, what the worker leaves behind becomes this process's child.
fn adopt_orphans() {
    // SAFETY: takes numbers only. Where the kernel refuses, `leftover::clean` still finds what carries the lab's mark.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// Ends everything that the worker left running, and what that leaves.
fn end_orphans() {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let pid = std::process::id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            // SAFETY: takes numbers only; the process is a child of ours that nobody has waited for, so the number is still its own.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        // SAFETY: takes numbers and a null pointer, which is allowed.
        let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        match waited {
            -1 => return,
            0 => std::thread::sleep(Duration::from_millis(5)),
            _ => {}
        }
    }
}

/// The signals that end the lab, blocked.
struct Signals(libc::sigset_t);

impl Signals {
    fn block() -> Self {
        // SAFETY: `set` is made valid by sigemptyset before anything reads it; all pointers are to it.
        let set = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            set
        };
        Self(set)
    }

    fn wait(&self, longest: Duration) -> Option<&'static str> {
        let timeout = libc::timespec { tv_sec: 0, tv_nsec: longest.subsec_nanos().into() };
        // SAFETY: the set and the timeout outlive the call; no siginfo is wanted.
        match unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const timeout) } {
            libc::SIGINT => Some("SIGINT"),
            libc::SIGTERM => Some("SIGTERM"),
            libc::SIGHUP => Some("SIGHUP"),
            _ => None,
        }
    }
}
