//! `sekisho off`: stops the daemon, takes everything away and puts back what was changed. Asking twice does no harm.

use std::fmt::Write;
use std::time::Duration;

use sekisho_datapath::{Datapath, Pins};
use sekisho_engine::act::{LiveHost, Mends, Step, Undone};

use crate::failure::Failure;
use crate::state::mends_file;
use crate::{apply, lock};

/// How long the daemon may take to stop: it looks for signals all the time, but may be loading programs.
const PATIENCE: Duration = Duration::from_secs(15);

/// Takes everything away. Returns what was done, in words.
pub fn off() -> Result<String, Failure> {
    crate::status::need_root()?;
    let pins = Pins::here()?;
    let mut text = String::new();
    let stopped = lock::stop_holder(&pins.lock_file(), PATIENCE).map_err(|error| {
        Failure::from_error("the daemon cannot be stopped", error).hint("stop it by hand, then try again")
    })?;
    if stopped {
        text += "The daemon is stopped.\n";
    }
    // Before the programs go: with them goes the folder that the records are in.
    let taken_back = apply::take_back_all(&pins)?;
    let restored = restore(&pins, &mut text)? || !taken_back.is_empty();
    text += &taken_back;
    let removed = Datapath::remove(&pins)?;
    if removed {
        text += "Protection is off: no program, map or setting of Sekisho's is left.\n";
    } else if !stopped && !restored {
        text += "Nothing was on.\n";
    }
    Ok(text)
}

fn restore(pins: &Pins, text: &mut String) -> Result<bool, Failure> {
    let mut mends = Mends::load(&mends_file(pins))?;
    let undone = mends.undo(&mut LiveHost)?;
    *text += &tell(&undone);
    Ok(!undone.is_empty())
}

/// What became of steps that were taken back, a line each.
pub fn tell(undone: &[(Step, Undone)]) -> String {
    let mut text = String::new();
    for (step, outcome) in undone {
        let became = match outcome {
            Undone::Restored => "put back",
            Undone::LeftAlone => "left as it is: somebody else changed it since",
            Undone::Failed => "could not be put back: it is gone, or the system refused",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {became}.", step.describe());
    }
    text
}
