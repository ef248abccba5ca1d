//! `sekisho lab compare`: defences side by side.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;

/// The arguments of `lab compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// Three rates and one round, in less than 90 seconds.
    #[arg(long)]
    pub quick: bool,
    /// Also write a page with charts (.html) or a table (.md); may be given several times.
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,
}

/// Compares.
pub fn compare(_args: &CompareArgs) -> Result<(), Failure> {
    Err(Failure::new("`lab compare` is not there yet"))
}
