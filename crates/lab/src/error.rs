//! What can go wrong in the lab. [`Refusal`] is apart: it is the flood's answer to a place or a shot that is not allowed.

use std::io;
use std::net::IpAddr;

/// The lab's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed, with enough to mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the kernel or to a file failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried, as "open /run/netns/x".
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A command ended with a failure.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// A BPF program could not be loaded, attached or run.
    #[error("cannot {what}")]
    Bpf {
        /// What was tried.
        what: String,
        /// libbpf's answer.
        source: libbpf_rs::Error,
    },
    /// A program that was to stay ended.
    #[error("`{command}` ended ({status}) before {what}{said}")]
    Ended {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// What it was waited for, as "it listened on port 80".
        what: String,
        /// What it said last; empty, or beginning with a separator.
        said: String,
    },
    /// The server of a trial is not there for its visitors.
    #[error("the server does not come up")]
    Server(#[source] Box<Error>),
    /// A state did not come about in time.
    #[error("{what}: not within {seconds} s{detail}")]
    Timeout {
        /// The state waited for.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// What was seen instead; empty, or beginning with a separator.
        detail: String,
    },
    /// Something that a program printed, or a file of the kernel, was not as expected.
    #[error("cannot read {what}: {found:?}")]
    Parse {
        /// What was read.
        what: String,
        /// The part that was not understood.
        found: String,
    },
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// The flood refuses.
    #[error("the flood refuses: {0}")]
    Refused(#[from] Refusal),
}

impl Error {
    /// A function for `map_err` that says what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The same for calls through nix.
    pub fn os(what: impl Into<String>) -> impl FnOnce(nix::errno::Errno) -> Self {
        let what = what.into();
        move |errno| Self::Io { what, source: errno.into() }
    }

    /// The same for libbpf.
    pub fn bpf(what: impl Into<String>) -> impl FnOnce(libbpf_rs::Error) -> Self {
        let what = what.into();
        move |source| Self::Bpf { what, source }
    }

    /// Something read was not as expected.
    pub fn parse(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Parse { what: what.into(), found: found.into() }
    }
}

/// Why a flood is not sent. Each is checked when the flood is made, before anything is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The namespace was not made by this process's lab.
    #[error("the network namespace was not made by this lab")]
    NotALabNamespace,
    /// A default route is there.
    #[error("{namespace} has a default route")]
    DefaultRoute {
        /// The namespace.
        namespace: String,
    },
    /// A device could lead out of the lab.
    #[error("{namespace} has the device {device}, which is neither lo nor a veth between namespaces of this lab")]
    WayOut {
        /// The namespace.
        namespace: String,
        /// The device.
        device: String,
    },
    /// The device to send on is not there.
    #[error("there is no veth {device} in {namespace}")]
    NoDevice {
        /// The namespace.
        namespace: String,
        /// The device.
        device: String,
    },
    /// An address outside the lab's prefixes.
    #[error("{0} is outside 198.18.0.0/15, 198.51.100.0/24, 203.0.113.0/24 and 2001:db8::/32")]
    Address(IpAddr),
    /// IPv4 and IPv6 mixed in one shot.
    #[error("the target and the sources must be of one family")]
    Family,
    /// A list of sources that is empty or too long.
    #[error("{0} sources: between 1 and 65536 are allowed")]
    Sources(usize),
    /// A prefix length that does not exist.
    #[error("/{0} is not a prefix length")]
    Prefix(u8),
    /// Too many frames a second, or none.
    #[error("{0} frames a second: between 1 and 6000000 are allowed")]
    Rate(u32),
    /// Too long, or no time at all.
    #[error("{0} ms: between 1 ms and 60 s are allowed")]
    Duration(u128),
}
