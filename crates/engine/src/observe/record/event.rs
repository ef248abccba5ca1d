//! What happened at one moment, and who was turned away.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::state::SourceCount;
use super::web::Server;
use super::{Source, Time};

/// Something that happened, once or several times within a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When (for the first time); `None`: the line has no time.
    pub at: Option<Time>,
    /// When for the last time, if `count` is more than one.
    pub last: Option<Time>,
    /// How often within a minute of `at`.
    pub count: u64,
    /// Who says so.
    pub source: Source,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// "possible SYN flooding on port": printed once for each listening socket, ever, and by a legitimate burst as well
    /// (`tcp_syn_flood_action`, net/ipv4/tcp_input.c). So neither its time nor its number says much about an attack.
    SynFloodingMessage {
        /// The listener's address, where the kernel says it (6.3 and later).
        address: Option<IpAddr>,
        /// The listener's port.
        port: u16,
        /// "Sending cookies", not "Dropping request".
        cookies: bool,
    },
    /// The kernel killed a process for want of memory.
    OutOfMemoryKill {
        /// The process's name.
        process: String,
        /// Its process id.
        pid: Option<u32>,
        /// Its resident memory (anonymous, file and shared) when killed, in bytes.
        resident_bytes: Option<u64>,
        /// Whether a control group's limit was reached, not the machine's memory.
        in_group: bool,
    },
    /// "nf_conntrack: table full, dropping packet".
    ConntrackFull,
    /// "TCP: out of memory" or "too many orphaned sockets".
    TcpMemoryFull,
    /// "page allocation failure".
    AllocationFailure,
    /// A task hung for minutes, a CPU was stuck in the kernel.
    Stuck,
    /// An interface's transmit queue stood still (NETDEV WATCHDOG).
    TransmitTimeout {
        /// The interface, where it is named.
        interface: Option<String>,
    },
    /// An interface lost its link.
    LinkDown {
        /// The interface.
        interface: String,
    },
    /// An interface got its link.
    LinkUp {
        /// The interface.
        interface: String,
    },
    /// The neighbour table (ARP) was full.
    NeighbourTableFull,
    /// A firewall's rule logged a packet to or from this port.
    FirewallLogged {
        /// The rule's prefix, as its author wrote it.
        prefix: String,
        /// The destination port.
        port: Option<u16>,
    },
    /// The machine started.
    Boot,
    /// The clock was set.
    ClockSet,
    /// Messages were left out by whoever wrote the log.
    MessagesLost {
        /// How many, where it is told.
        messages: Option<u64>,
    },
    /// A unit was started.
    UnitStarted {
        /// The unit.
        unit: String,
    },
    /// A unit was stopped.
    UnitStopped {
        /// The unit.
        unit: String,
    },
    /// A unit failed.
    UnitFailed {
        /// The unit.
        unit: String,
        /// systemd's word for it: oom-kill, signal, timeout, exit-code.
        result: Option<String>,
    },
    /// All workers are in use: `MaxRequestWorkers`, `worker_connections`, `pm.max_children`.
    WorkersExhausted {
        /// Whose.
        server: Server,
        /// The limit, where it is told.
        limit: Option<u64>,
    },
    /// A server has no more file descriptors.
    FilesExhausted {
        /// Whose.
        server: Server,
    },
    /// A server waited in vain for what is behind it (an application, a database).
    BackendTimeout {
        /// Whose.
        server: Server,
    },
    /// What is behind a server refused (its own queue is full, or it is not there).
    BackendRefused {
        /// Whose.
        server: Server,
    },
    /// A client sent its request too slowly, or read the answer too slowly, and was given up.
    ClientTooSlow {
        /// By whom.
        server: Server,
    },
    /// A server's worker died.
    WorkerDied {
        /// Whose.
        server: Server,
    },
    /// A server started or read its settings anew.
    ServerRestarted {
        /// Which.
        server: Server,
    },
}

/// A service whose log tells whom it turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Postfix.
    Postfix,
    /// OpenSSH.
    Sshd,
}

/// Why somebody was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnedAwayReason {
    /// Too many connections at once, of one client or of all (anvil, MaxStartups).
    TooMany,
    /// Too many in a short time.
    TooFast,
    /// The client went away before it had done anything.
    Lost,
    /// The client did nothing for too long.
    Timeout,
    /// The policy says no (relay denied, blocked, unknown user).
    Rejected,
    /// A wrong password or key.
    Authentication,
}

/// How many a service turned away within a minute, and who most often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedAway {
    /// The beginning of the minute; `None`: the lines have no time.
    pub minute: Option<Time>,
    /// Who turned them away.
    pub service: Service,
    /// Why.
    pub reason: TurnedAwayReason,
    /// How many times.
    pub count: u64,
    /// From where most often, at most [`limits::TOP_MAX`](super::limits::TOP_MAX).
    pub top: Vec<SourceCount>,
}
