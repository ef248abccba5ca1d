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

use std::iter;
use std::path::PathBuf;

use clap::Subcommand;
use sekisho_lab::Error as Lab;

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
        LabCommand::Conform(args) if args.list => conform::conform(&args),
        _ if !is_root() => {
            Err(Failure::new("the lab makes network namespaces, for which it has to be root")
                .hint("sudo sekisho lab ..."))
        }
        LabCommand::Clean => clean::clean(),
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
    if matches!(error, Lab::Interrupted) {
        return Failure::new("interrupted; everything was taken down");
    }
    let hint = hint(&error);
    let failure = Failure::from_error("the lab cannot go on", error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What to do about a failure of the lab, as far as it can be told from the kernel's and the tools' words.
fn hint(error: &Lab) -> Option<&'static str> {
    const RIGHTS: &str = "root may do less here than the lab needs (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF, CAP_SYS_NICE), as is usual \
                          in a container: run it on the host, or in a virtual machine";
    const TOOLS: &str = "iproute2, ethtool, nftables, iptables and util-linux have to be installed";
    const KERNEL: &str = "the lab needs Linux 5.18 or later with network namespaces, veth, BPF with XDP, nftables and connection tracking";
    const SERVER: &str = "--server takes a command that listens on the port (--port, 80 by default) at 0.0.0.0 or [::], not at \
                          127.0.0.1 alone, and stays in the foreground; it runs in a network namespace without a way out";
    let words = iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let words = words.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let says = |any: &[&str]| any.iter().any(|one| words.contains(one));
    match error {
        Lab::Server(_) => Some(SERVER),
        Lab::Io { .. } | Lab::Command { .. } | Lab::Bpf { .. } if says(&["not permitted", "ermission denied"]) => {
            Some(RIGHTS)
        }
        Lab::Bpf { .. } => Some(KERNEL),
        Lab::Io { what, .. } if what.starts_with("set ") && says(&["No such file"]) => Some(KERNEL),
        Lab::Io { .. } | Lab::Command { .. } if says(&["No such file"]) => Some(TOOLS),
        Lab::Command { .. } if says(&["not supported", "Unknown device type"]) => Some(KERNEL),
        _ => None,
    }
}

/// This program, which the lab runs in its namespaces.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::from_error("cannot tell where this program is", error))
}

fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    fn hinted(error: &Lab) -> &'static str {
        hint(error).unwrap_or_default()
    }

    fn command(stderr: &str) -> Lab {
        Lab::Command { command: "ip netns add x".into(), status: "exit status: 1".into(), stderr: stderr.into() }
    }

    #[test]
    fn a_hint_follows_what_went_wrong() {
        let io = |what: &str, kind: ErrorKind| Lab::Io { what: what.into(), source: Error::from(kind) };
        let missing = Lab::Io { what: "run `ip netns add x`".into(), source: Error::from_raw_os_error(libc::ENOENT) };
        assert!(hinted(&missing).contains("installed"));
        assert!(hinted(&command("exec of \"ethtool\" failed: No such file or directory")).contains("installed"));
        assert!(
            hinted(&command("mount --make-shared /run/netns failed: Operation not permitted")).contains("container")
        );
        assert!(hinted(&io("hold /run/sekisho-lab/1-2", ErrorKind::PermissionDenied)).contains("container"));
        assert!(hinted(&command("Error: Unknown device type.")).contains("5.18"));
        assert!(hinted(&Lab::Server(Box::new(command("")))).contains("--server"));
        assert_eq!(hinted(&command("something else")), "");
    }
}
