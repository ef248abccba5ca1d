//! The command line: what can be asked, in one table from which the help is made too.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sekisho_engine::policy::Mode;

const EXIT_CODES: &str = "\
Exit codes:
  0  done (for `off`: also when there was nothing to take away)
  1  failed; what, where and a hint are on stderr
  2  the command line or the configuration is wrong";

/// Sekisho keeps a server reachable through a SYN flood: it asks for proof when, and only when, a listener's own queue fills.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Protect this host, or take over what a daemon before left running. Ending it leaves protection on.
    Run(RunArgs),
    /// Show what is protected and how it is, with or without a daemon.
    Status {
        /// As JSON, for programs (its `version` is 1).
        #[arg(long)]
        json: bool,
    },
    /// Stop the daemon, take everything away and put back what was changed on the host.
    Off,
    /// Check a configuration and explain it in plain words.
    Check {
        /// The configuration [default: /etc/sekisho.toml, if it exists].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List every verdict that a packet can meet.
    Verdicts,
}

/// The arguments of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The configuration [default: /etc/sekisho.toml, if it exists].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An interface to protect; may be given several times [default: that of the default route].
    #[arg(long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// Whether packets are touched [default: as configured, else guard].
    #[arg(long)]
    pub mode: Option<ModeArg>,
    /// Log more.
    #[arg(long, short)]
    pub verbose: bool,
}

/// [`Mode`] as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ModeArg {
    /// Protect.
    Guard,
    /// Decide and count, but let every packet pass unchanged.
    Observe,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Guard => Self::Guard,
            ModeArg::Observe => Self::Observe,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn interfaces_may_be_given_several_times() {
        let cli = Cli::try_parse_from(["sekisho", "run", "--interface", "a", "--interface", "b", "--mode", "observe"]);
        let Command::Run(args) = cli.unwrap().command else { panic!("not run") };
        assert_eq!(args.interfaces, ["a", "b"]);
        assert_eq!(args.mode.map(Mode::from), Some(Mode::Observe));
    }
}
