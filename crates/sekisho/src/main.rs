//! `sekisho`: the command line and the daemon.
//!
//! Read [`cli`] for what can be asked; each command is a module of its own: [`daemon`] (`run`), [`status`], [`off`], [`check`] (and
//! `verdicts`), [`lists`] (`allow`, `block`), [`reload`], [`plan`], [`apply`] (also `confirm` and `rollback`), [`incidents`], [`doctor`] and
//! [`explain`] (shown by [`views`], in [`words`] of two languages; [`times`] reads what people type), and [`lab`]. Beside them:
//! [`failure`] (how errors are told), [`lock`] (one daemon a network namespace), [`state`] (what the daemon writes down for `status`),
//! [`host`] (facts for the engine's findings).

mod apply;
mod check;
mod cli;
mod daemon;
mod doctor;
mod explain;
mod failure;
mod host;
mod incidents;
mod lab;
mod lists;
mod lock;
mod off;
mod plan;
mod reload;
mod state;
mod status;
mod times;
mod views;
mod words;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{AllowCommand, BlockCommand, Cli, Command};
use failure::Failure;
use lists::Which;
use views::show::Told;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => daemon::run(&args),
        Command::Status { json } => status::status(json).and_then(|text| print(&text)),
        Command::Off => off::off().and_then(|text| print(&text)),
        Command::Check { config } => check::check(config.as_deref()).and_then(|text| print(&text)),
        Command::Reload => reload::reload().and_then(|text| print(&text)),
        Command::Allow(command) => allow(command).and_then(|text| print(&text)),
        Command::Block(command) => block(command).and_then(|text| print(&text)),
        Command::Verdicts => print(&check::verdicts()),
        Command::Plan { json, boot } => plan::plan(json, &boot).and_then(|text| print(&text)),
        Command::Apply(args) => apply::apply(&args).and_then(|text| print(&text)),
        Command::Confirm { force, crash_at } => apply::confirm(force, crash_at).and_then(|text| print(&text)),
        Command::Rollback { all } => apply::rollback(all).and_then(|text| print(&text)),
        Command::Doctor(view) => return told(doctor::doctor(&view)),
        Command::Explain(args) => return told(explain::explain(&args)),
        Command::Incidents { json } => incidents::incidents(json).and_then(|text| print(&text)),
        Command::Lab(command) => lab::lab(command),
        Command::Watchdog { change } => apply::watchdog::watch(change),
    };
    done.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}

/// A diagnosis ends with a code of its own.
fn told(told: Result<Told, Failure>) -> ExitCode {
    let printed = told.and_then(|told| print(&told.text).map(|()| told.code));
    printed.map_or_else(|failure| failure.report(), ExitCode::from)
}

fn allow(command: AllowCommand) -> Result<String, Failure> {
    match command {
        AllowCommand::Add(args) => lists::add(Which::Allow, &args, false),
        AllowCommand::Del(args) => lists::del(Which::Allow, args.prefix),
        AllowCommand::List(args) => lists::list(Which::Allow, args.json),
    }
}

fn block(command: BlockCommand) -> Result<String, Failure> {
    match command {
        BlockCommand::Add { what, force } => lists::add(Which::Block, &what, force),
        BlockCommand::Del(args) => lists::del(Which::Block, args.prefix),
        BlockCommand::List(args) => lists::list(Which::Block, args.json),
    }
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
