//! `sekisho lab`: the command line, the tables and the pages around `sekisho_lab`, which does the work in network namespaces of its own.
//!
//! Each command is a module here: [`compare`], [`conform`].

mod compare;
mod conform;
mod interrupt;

use clap::Subcommand;

use crate::failure::Failure;

/// What can be done in the lab. All of it needs root, and touches nothing but network namespaces that it makes itself.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Flood a server behind each defence in turn, and show who of its visitors still gets through.
    Compare(compare::CompareArgs),
    /// Play conversations packet by packet against Sekisho, SYN cookies and synproxy, and show who gets which right.
    Conform(conform::ConformArgs),
}

/// Does it.
pub fn lab(command: LabCommand) -> Result<(), Failure> {
    match command {
        LabCommand::Compare(args) => compare::compare(&args),
        LabCommand::Conform(args) => conform::conform(&args),
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
