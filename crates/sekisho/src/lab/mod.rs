//! `sekisho lab`: the command line, the tables and the pages around `sekisho_lab`, which does the work in network namespaces of its own.
//!
//! Each command is a module here: [`compare`].

mod compare;

use clap::Subcommand;

use crate::failure::Failure;

/// What can be done in the lab. All of it needs root, and touches nothing but network namespaces that it makes itself.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Flood a server behind each defence in turn, and show who of its visitors still gets through.
    Compare(compare::CompareArgs),
}

/// Does it.
pub fn lab(command: LabCommand) -> Result<(), Failure> {
    match command {
        LabCommand::Compare(args) => compare::compare(&args),
    }
}
