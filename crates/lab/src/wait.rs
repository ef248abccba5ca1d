//! Waiting for a state instead of for a time.

use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How long the lab waits for something that normally takes milliseconds. Long, because a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `ready` every few milliseconds until it says yes; `what` names the state in the error.
///
/// # Errors
///
/// [`Error::Timeout`] after `patience`.
pub fn until(what: &str, patience: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        if ready() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::Timeout { what: what.into(), seconds: patience.as_secs(), detail: String::new() });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks `ready` every few milliseconds until it has a value, and returns it.
///
/// # Errors
///
/// [`Error::Timeout`] after `patience`.
pub fn value<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
    let mut found = None;
    until(what, patience, || {
        found = ready();
        found.is_some()
    })?;
    found.ok_or_else(|| Error::parse(what, "nothing"))
}
