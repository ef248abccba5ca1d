//! `sekisho lab`: the command line, the tables and the pages around `sekisho_lab`, which does the work in network namespaces of its own.
//!
//! Each command is a module here: [`compare`], [`conform`], [`trial`] (`try`, `drill`, `replay`; with [`past`] and [`way`]), [`clean`].
//! [`supervise`] sees to it that nothing is left of them, however they end.

mod clean;
mod compare;
mod conform;
mod interrupt;
mod kind;
mod past;
mod supervise;
mod trial;
mod way;

use clap::Subcommand;

use crate::failure::Failure;

/// What can be done in the lab. All of it needs root, and touches nothing but network namespaces that it makes itself.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Flood a server behind each defence in turn, and show who of its visitors still gets through.
    Compare(compare::CompareArgs),
    /// Play conversations packet by packet against Sekisho, SYN cookies and synproxy, and show who gets which right.
    Conform(conform::ConformArgs),
    /// Try a configuration with your own server and ports under a flood, before it goes live.
    Try(trial::TryArgs),
    /// Try the installed configuration on this host's ports, in a twin: would it survive?
    Drill(trial::DrillArgs),
    /// Send a recorded flood again, and see what the installed configuration does about it.
    Replay(trial::ReplayArgs),
    /// Take away what labs that were killed left behind. Labs that run are left alone.
    Clean,
}

/// Does it.
pub fn lab(command: LabCommand) -> Result<(), Failure> {
    match command {
        LabCommand::Clean => clean::clean(),
        LabCommand::Conform(args) if args.list => conform::conform(&args),
        other => supervise::supervised(|| work(other)),
    }
}

fn work(command: LabCommand) -> Result<(), Failure> {
    match command {
        LabCommand::Compare(args) => compare::compare(&args),
        LabCommand::Conform(args) => conform::conform(&args),
        LabCommand::Try(args) => trial::try_policy(&args),
        LabCommand::Drill(args) => trial::drill(&args),
        LabCommand::Replay(args) => trial::replay(&args),
        LabCommand::Clean => clean::clean(),
    }
}

/// A failure of the lab, told at the edge.
fn failed(error: sekisho_lab::Error) -> Failure {
    use sekisho_lab::Error as Lab;
    let hint = match &error {
        Lab::Interrupted => return Failure::new("interrupted; everything was taken down"),
        _ if !is_root() => "the lab makes network namespaces, for which it has to be root: sudo sekisho lab ...",
        Lab::Bpf { .. } => "the flood needs Linux 5.18 or later",
        Lab::Command { .. } | Lab::Io { .. } => "iproute2, ethtool, nftables and iptables have to be installed",
        _ => return Failure::from_error("the lab cannot go on", error),
    };
    Failure::from_error("the lab cannot go on", error).hint(hint)
}

fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
