//! The daemon's log, on stderr: with times for people, without where the journal adds its own.

use std::env;
use std::io;

use tracing::Level;
use tracing_subscriber::fmt;

/// Starts it. Called twice, the first call counts.
pub fn init(verbose: bool) {
    let level = if verbose { Level::DEBUG } else { Level::INFO };
    let log = fmt().with_max_level(level).with_target(false).with_ansi(false).with_writer(io::stderr);
    // systemd sets JOURNAL_STREAM where stderr goes to the journal (systemd.exec(5)).
    let _ = if env::var_os("JOURNAL_STREAM").is_some() { log.without_time().try_init() } else { log.try_init() };
}
