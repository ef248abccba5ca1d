//! The command line: what can be asked, in one table from which the help is made too.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sekisho_engine::policy::{BackendChoice, Mode, Prefix, duration_seconds};

use crate::lab::LabCommand;
use crate::times;
use crate::words::Lang;

const EXIT_CODES: &str = "\
Exit codes:
  0  done (for `off`: also when there was nothing to take away)
  1  failed; what, where and a hint are on stderr
  2  the command line or the configuration is wrong
  3  `doctor` and `explain`: something is, or was, wrong
  4  `doctor` and `explain`: it cannot be told";

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
    /// Read the configuration again and put it into force without a gap; one with mistakes changes nothing.
    Reload,
    /// Sources that are never asked for proof.
    #[command(subcommand)]
    Allow(AllowCommand),
    /// Sources whose packets are dropped.
    #[command(subcommand)]
    Block(BlockCommand),
    /// List every verdict that a packet can meet.
    Verdicts,
    /// Compare the host's settings with what it needs, and show what `apply` would change. Changes nothing.
    Plan {
        /// As JSON, for programs and for `apply --plan` (its `version` is 1).
        #[arg(long)]
        json: bool,
        /// What it is about.
        #[command(flatten)]
        boot: BootArgs,
    },
    /// Make the changes that `plan` shows. `rollback` takes them back.
    Apply(ApplyArgs),
    /// Keep the change that is on trial. Say it from a new connection: that shows that the host can still be reached.
    Confirm {
        /// Also from the connection that made the change, or from a console.
        #[arg(long)]
        force: bool,
        /// Be killed at this moment, for drills.
        #[arg(long, hide = true)]
        crash_at: Option<usize>,
    },
    /// Take back the last change that `apply` made, also one that was cut off half-way.
    Rollback {
        /// Take back all of them.
        #[arg(long)]
        all: bool,
    },
    /// Say what is wrong now: an attack, a small queue, too little memory, or nothing.
    Doctor(ViewArgs),
    /// Say what happened: last night, in an incident, or on another machine by its logs [default: the last 24 hours here].
    Explain(ExplainArgs),
    /// List the incidents that the daemon wrote down: from the first service armed until all were calm again.
    Incidents {
        /// As JSON, for programs (its `version` is 1).
        #[arg(long)]
        json: bool,
    },
    /// See what defences do, ours and others, in network namespaces on this machine, under a bounded flood that cannot leave them.
    #[command(subcommand)]
    Lab(LabCommand),
    /// What `apply` leaves behind to take a change back that nobody confirms.
    #[command(hide = true)]
    Watchdog {
        /// The change's number.
        change: u64,
    },
}

/// How a diagnosis is shown.
#[derive(Debug, Clone, Args)]
pub struct ViewArgs {
    /// As JSON, for programs (its `version` is 1).
    #[arg(long)]
    pub json: bool,
    /// Also write a report for a browser or a printer: one file of HTML that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The language [default: that of LC_ALL, LC_MESSAGES or LANG].
    #[arg(long)]
    pub lang: Option<Lang>,
}

/// The arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The number of an incident, as `sekisho incidents` lists it.
    #[arg(value_name = "N", conflicts_with_all = ["since", "until", "from"])]
    pub incident: Option<u64>,
    /// From when on: "2026-11-30 02:00", 02:00, "yesterday 22:00", -3h, or RFC 3339.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Until when, in the same forms [default: now].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, requires = "since")]
    pub until: Option<String>,
    /// By the files in this folder, of any machine: logs, sysstat's files, captures, settings; named as in /var/log or not.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// The zone of times without one, as +09:00 [default: the files' own, else this machine's].
    #[arg(long, value_name = "ZONE", value_parser = zone, allow_hyphen_values = true)]
    pub zone: Option<i32>,
    /// How it is shown.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// A zone in seconds ahead of UTC.
fn zone(text: &str) -> Result<i32, String> {
    times::zone(text).ok_or_else(|| "a distance from UTC is wanted, as +09:00, -3 or UTC".to_owned())
}

/// Where settings are kept for the next boot.
#[derive(Debug, Clone, Args)]
pub struct BootArgs {
    /// The file with settings for the next boot [default: /etc/sysctl.d/99-z-sekisho.conf; none in other network namespaces than the
    /// host's own].
    #[arg(long, value_name = "FILE")]
    pub sysctl_file: Option<PathBuf>,
}

/// The arguments of `apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// Make the steps of this plan, as `plan --json` wrote it, instead of those that `plan` would show now.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Take everything back unless `sekisho confirm` comes from a new connection within this time, as 60s or 5m.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub confirm_within: Option<u64>,
    /// Where.
    #[command(flatten)]
    pub boot: BootArgs,
    /// Be killed at this moment, for drills.
    #[arg(long, hide = true)]
    pub crash_at: Option<usize>,
}

/// A time in seconds, between five seconds and an hour: shorter is no time to log in, longer is no help to somebody locked out.
fn time(text: &str) -> Result<u64, String> {
    let seconds = duration_seconds(text).filter(|seconds| (5..=3600).contains(seconds));
    seconds.ok_or_else(|| "a time between 5s and 1h is wanted".to_owned())
}

/// What can be done with the allow list.
#[derive(Debug, Subcommand)]
pub enum AllowCommand {
    /// Allow an address or prefix: its SYNs pass without proof, within a rate.
    Add(AddArgs),
    /// Take one off the list.
    Del(PrefixArgs),
    /// Show the list.
    List(ListArgs),
}

/// What can be done with the block list.
#[derive(Debug, Subcommand)]
pub enum BlockCommand {
    /// Block an address or prefix: all its packets are dropped.
    Add {
        /// What.
        #[command(flatten)]
        what: AddArgs,
        /// Also where it cuts off who is allowed or logged in over SSH.
        #[arg(long)]
        force: bool,
    },
    /// Take one off the list.
    Del(PrefixArgs),
    /// Show the list.
    List(ListArgs),
}

/// What to put on a list.
#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// An address or prefix, as 198.51.100.7 or 2001:db8::/32.
    pub prefix: Prefix,
    /// For how long, as 90s, 5m, 1h, 2d [default: until `sekisho off` or a reboot].
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub time: Option<u64>,
    /// Why: shown in the list.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
}

/// One prefix.
#[derive(Debug, Clone, Args)]
pub struct PrefixArgs {
    /// The address or prefix, as the list shows it.
    pub prefix: Prefix,
}

/// How a list is shown.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// As JSON, for programs (its `version` is 1).
    #[arg(long)]
    pub json: bool,
}

/// A time in seconds, at most ten years.
fn duration(text: &str) -> Result<u64, String> {
    let seconds = duration_seconds(text).filter(|seconds| (1..=3650 * 86400).contains(seconds));
    seconds.ok_or_else(|| "a time is wanted, as 90s, 5m, 1h or 2d".to_owned())
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
    /// What does the work [default: as configured, else auto].
    #[arg(long)]
    pub backend: Option<BackendArg>,
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

/// [`BackendChoice`] as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum BackendArg {
    /// Programs on XDP where the kernel can run them, else an nftables table.
    Auto,
    /// Programs on XDP.
    Xdp,
    /// An nftables table.
    Nftables,
}

impl From<BackendArg> for BackendChoice {
    fn from(backend: BackendArg) -> Self {
        match backend {
            BackendArg::Auto => Self::Auto,
            BackendArg::Xdp => Self::Xdp,
            BackendArg::Nftables => Self::Nftables,
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
    fn a_time_to_confirm_is_bounded() {
        let within = |text| Cli::try_parse_from(["sekisho", "apply", "--confirm-within", text]);
        let Command::Apply(args) = within("2m").unwrap().command else { panic!("not apply") };
        assert_eq!(args.confirm_within, Some(120));
        assert!(within("1s").is_err() && within("2h").is_err() && within("soon").is_err());
    }

    #[test]
    fn what_is_to_be_explained_is_named_in_one_way() {
        let explain = |words: &[&str]| Cli::try_parse_from([&["sekisho", "explain"], words].concat());
        let Command::Explain(args) = explain(&["--since", "-3h", "--zone", "-03:30"]).unwrap().command else {
            panic!("not explain")
        };
        assert_eq!((args.since.as_deref(), args.zone), (Some("-3h"), Some(-12_600)));
        assert!(explain(&["7", "--lang", "ja"]).is_ok());
        assert!(explain(&["7", "--since", "-3h"]).is_err());
        assert!(explain(&["--until", "now"]).is_err());
        assert!(explain(&["--zone", "Tokyo"]).is_err() && explain(&["--lang", "fr"]).is_err());
    }

    #[test]
    fn interfaces_may_be_given_several_times() {
        let cli = Cli::try_parse_from(["sekisho", "run", "--interface", "a", "--interface", "b", "--mode", "observe"]);
        let Command::Run(args) = cli.unwrap().command else { panic!("not run") };
        assert_eq!(args.interfaces, ["a", "b"]);
        assert_eq!(args.mode.map(Mode::from), Some(Mode::Observe));
    }
}
