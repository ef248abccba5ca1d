//! Ctrl-C and `kill` in the lab: what is under way is taken down in order.
//!
//! The first signal only sets a flag, which the lab looks at between two steps. The second one ends the program at once; `sekisho lab
//! clean` then takes away what it left.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

/// From now on a signal is a request.
pub fn watch() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the action is zeroed before it is filled in, and the handler does nothing but store to an atomic.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as *const () as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Whether somebody asked for the end.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
