//! Signals as values: they are blocked, and the daemon's one loop waits for them instead of sleeping.

use std::time::Duration;

/// A signal that means something to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: end, and leave protection on.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The blocked signals.
#[derive(Debug)]
pub struct Signals {
    set: libc::sigset_t,
}

impl Signals {
    /// Blocks them. Call before any thread is made, so that all inherit it; programs that are run get an empty mask from std.
    pub fn block() -> Self {
        // SAFETY: `set` is made valid by sigemptyset before anything reads it; all pointers are to it.
        let set = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            set
        };
        Self { set }
    }

    /// Waits for one, at most so long.
    pub fn wait(&self, longest: Duration) -> Option<Signal> {
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(longest.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        };
        // SAFETY: the set and the timeout outlive the call; no siginfo is wanted.
        match unsafe { libc::sigtimedwait(&raw const self.set, std::ptr::null_mut(), &raw const timeout) } {
            libc::SIGHUP => Some(Signal::Reload),
            libc::SIGTERM | libc::SIGINT => Some(Signal::Stop),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_value() {
        let signals = Signals::block();
        assert_eq!(signals.wait(Duration::ZERO), None);
        // SAFETY: sends this thread a signal that it has blocked.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGHUP) };
        assert_eq!(signals.wait(Duration::from_secs(10)), Some(Signal::Reload));
    }
}
