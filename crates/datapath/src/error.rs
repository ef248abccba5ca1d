//! What can go wrong, with what to do about it. `Display` says what failed and never repeats its source; whoever talks to the
//! user prints the chain and then [`Error::hint`].

use std::io;
use std::path::PathBuf;

use crate::abi::ABI_VERSION;
use crate::kernel::Missing;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel, or our rights in it, lack something without which nothing works.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A folder or file of ours could not be made, read or removed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// The verb: make, read, write, remove, lock.
        doing: &'static str,
        /// Which one.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The BPF file system could not be mounted.
    #[error("cannot mount a BPF file system at {}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A program did not load.
    #[error("the program `{program}` does not load: {}", log_summary(log))]
    Load {
        /// Which one.
        program: &'static str,
        /// Everything that libbpf and the verifier said.
        log: String,
        /// The kernel's answer.
        source: libbpf_rs::Error,
    },
    /// A program could not be attached.
    #[error("cannot attach `{program}` to {to}{}", bracketed(log))]
    Attach {
        /// Which one.
        program: &'static str,
        /// The interface or group.
        to: String,
        /// What the kernel said in words, if it did.
        log: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A program or map could not be pinned, opened from its pin, or detached.
    #[error("cannot {doing} {}", path.display())]
    Pin {
        /// The verb.
        doing: &'static str,
        /// Its path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A map could not be opened, mapped, read or written.
    #[error("cannot {doing} the map `{map}`")]
    Map {
        /// The verb.
        doing: &'static str,
        /// Its name.
        map: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What is pinned was made by another version, whose maps mean something else.
    #[error("the programs in the kernel have ABI {found}, this sekisho has ABI {ABI_VERSION}")]
    Abi {
        /// The version found.
        found: u32,
    },
    /// No random bytes.
    #[error("the kernel gives no random bytes for the keys")]
    Random(#[source] io::Error),
    /// A test run was refused.
    #[error("BPF_PROG_TEST_RUN failed")]
    TestRun(#[source] io::Error),
    /// The network namespace could not be told from others.
    #[error("cannot read the cookie of the network namespace")]
    Namespace(#[source] io::Error),
    /// No such interface in this network namespace.
    #[error("there is no interface {0} in this network namespace")]
    NoInterface(String),
}

impl Error {
    /// What to do about it, where something is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(missing) => Some(missing.hint()),
            Self::Mount { source, .. } => Some(match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => {
                    "mounting needs root with CAP_SYS_ADMIN; in a container run it with --privileged, or on the host".into()
                }
                Some(libc::ENODEV) => "this kernel has no BPF file system: it needs CONFIG_BPF_SYSCALL=y".into(),
                _ => "try `mount -t bpf bpf /run/sekisho/bpf` by hand; dmesg may say more".into(),
            }),
            Self::File { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                Some("/run has to be writable: in a container or a unit with ProtectSystem=strict allow /run/sekisho".into())
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run it as root (sudo)".into())
            }
            Self::Namespace(_) => Some("Linux 5.15 or later is needed".into()),
            Self::Abi { found } if *found > ABI_VERSION => {
                Some("a newer sekisho is protecting this host: use that one, or run its `sekisho off` first".into())
            }
            Self::Abi { .. } => Some("run `sekisho off` and then `sekisho run`".into()),
            Self::Attach { source, .. } if matches!(source.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)) => Some(
                "another XDP program is already there: `ip link show` names it; remove it with `ip link set dev IF xdp off`, \
                 or leave this interface to it"
                    .into(),
            ),
            Self::Map { doing: "write", map: "listed", .. } => Some(
                "the lists have room for what the configuration blocks and allows and for 65536 prefixes more: take some off, or put \
                 them into a file that the configuration names"
                    .into(),
            ),
            Self::Load { log, .. } if log.contains("reuse pinned map") => {
                Some("the maps in the kernel are those of another build: run `sekisho off` and then `sekisho run`".into())
            }
            Self::Load { source, .. } if source.kind() == libbpf_rs::ErrorKind::PermissionDenied => Some(
                "root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed; a kernel in lockdown (see \
                 /sys/kernel/security/lockdown) or a container may refuse even them"
                    .into(),
            ),
            _ => None,
        }
    }

    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    pub(crate) fn pin(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Pin { doing, path, source }
    }

    pub(crate) fn map(doing: &'static str, map: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Map { doing, map, source }
    }
}

/// The verifier's last words: its log is long, and the reason is near the end.
fn log_summary(log: &str) -> String {
    let told = log.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("-- "));
    let mut told = told.filter(|line| !line.starts_with("processed ") && !line.contains("failed to load"));
    told.next_back().unwrap_or("no reason given").to_string()
}

fn bracketed(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!(" ({log})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_verifiers_reason() {
        let log = "libbpf: prog 'gate': BPF program load failed: -EACCES\nlibbpf: prog 'gate': -- BEGIN PROG LOAD LOG --\n\
                   0: R1=ctx() R10=fp0\nR2 invalid mem access 'inv'\nprocessed 7 insns (limit 1000000)\n\
                   -- END PROG LOAD LOG --\nlibbpf: prog 'gate': failed to load: -13\n";
        assert_eq!(log_summary(log), "R2 invalid mem access 'inv'");
        assert_eq!(log_summary(""), "no reason given");
    }

    #[test]
    fn a_newer_abi_is_told_apart_from_an_older_one() {
        let newer = Error::Abi { found: ABI_VERSION + 1 }.hint().unwrap();
        let older = Error::Abi { found: 0 }.hint().unwrap();
        assert!(newer.contains("newer") && older.contains("sekisho off"), "{newer} / {older}");
    }
}
