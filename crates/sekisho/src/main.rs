//! `sekisho`: the command line and the daemon.
//!
//! Read [`cli`] for what can be asked; each command is a module of its own: [`daemon`] (`run`), [`status`], [`off`], [`check`] (and
//! `verdicts`), [`plan`], [`apply`] (also `confirm` and `rollback`). Beside them: [`failure`] (how errors are told), [`lock`] (one daemon a network namespace), [`state`] (what the
//! daemon writes down for `status`), [`host`] (facts for the engine's findings).

mod apply;
mod check;
mod cli;
mod daemon;
mod failure;
mod host;
mod lock;
mod off;
mod plan;
mod state;
mod status;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => daemon::run(&args),
        Command::Status { json } => status::status(json).and_then(|text| print(&text)),
        Command::Off => off::off().and_then(|text| print(&text)),
        Command::Check { config } => check::check(config.as_deref()).and_then(|text| print(&text)),
        Command::Verdicts => print(&check::verdicts()),
        Command::Plan { json, boot } => plan::plan(json, &boot).and_then(|text| print(&text)),
        Command::Apply(args) => apply::apply(&args).and_then(|text| print(&text)),
        Command::Confirm { force, crash_at } => apply::confirm(force, crash_at).and_then(|text| print(&text)),
        Command::Rollback { all } => apply::rollback(all).and_then(|text| print(&text)),
        Command::Watchdog { change } => apply::watchdog::watch(change),
    };
    done.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}

/// Data goes to stdout. A reader who has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::from_error("cannot write to stdout", error))
        }
        _ => Ok(()),
    }
}
