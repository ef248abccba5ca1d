//! `sekisho reload`: tells the daemon to read its configuration again, and says what became of it.
//!
//! The daemon is told by SIGHUP, as by everybody else, and leaves its answer in a file.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sekisho_datapath::Pins;
use sekisho_engine::act;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::lock;
use crate::status::need_root;

/// A million prefixes take some seconds, and the host may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of a reload.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why the configuration before stays in force; none: the new one is.
    pub failure: Option<String>,
}

impl Outcome {
    /// Leaves it for whoever asked.
    pub fn write(&self, pins: &Pins) -> io::Result<()> {
        act::replace(&file(pins), &serde_json::to_vec(self)?)
    }
}

fn file(pins: &Pins) -> PathBuf {
    pins.folder().join("reload.json")
}

/// Tells the daemon, and waits for its answer.
pub fn reload() -> Result<String, Failure> {
    need_root()?;
    let pins = Pins::here()?;
    match fs::remove_file(file(&pins)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::from_error(format!("cannot remove {}", file(&pins).display()), error));
        }
        _ => {}
    }
    let told = lock::signal_holder(&pins.lock_file(), libc::SIGHUP);
    if !told.map_err(|error| Failure::from_error("the daemon cannot be told", error))? {
        return Err(Failure::new("no daemon runs in this network namespace").hint(
            "`sekisho run` starts one, which takes over what is protected, with the configuration as it is now",
        ));
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(outcome) = fs::read(file(&pins)).ok().and_then(|json| serde_json::from_slice::<Outcome>(&json).ok())
        {
            return match outcome.failure {
                None => Ok("The configuration was read again and is in force.\n".to_owned()),
                Some(failure) => Err(Failure::new(format!("the configuration before stays in force: {failure}"))),
            };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Failure::new("the daemon does not answer").hint("its log says more (`journalctl -u sekisho`)"))
}
