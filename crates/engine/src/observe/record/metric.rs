//! The numbers of a sample.

use serde::{Deserialize, Serialize};

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// So many each second.
    PerSecond,
    /// So many.
    Count,
    /// Of 100.
    Percent,
    /// Bytes.
    Bytes,
    /// Bytes each second.
    BytesPerSecond,
}

macro_rules! metrics {
    ($($(#[$meta:meta])* $name:ident: $unit:ident,)*) => {
        /// A number of a [`Sample`](super::Sample). Those of TCP are the kernel's counters of the same names (/proc/net/snmp and
        /// netstat), as rates.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Metric {
            $($(#[$meta])* $name,)*
        }

        impl Metric {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What the number is.
            pub const fn unit(self) -> Unit {
                match self {
                    $(Self::$name => Unit::$unit,)*
                }
            }
        }
    };
}

metrics! {
    /// Connections that clients opened: handshakes completed, with the accept queue having room (TcpPassiveOpens).
    PassiveOpens: PerSecond,
    /// Connections that this host opened.
    ActiveOpens: PerSecond,
    /// Handshakes that failed (TcpAttemptFails).
    AttemptFails: PerSecond,
    /// Established connections that were reset.
    EstablishedResets: PerSecond,
    /// TCP segments received.
    SegmentsIn: PerSecond,
    /// TCP segments sent.
    SegmentsOut: PerSecond,
    /// Segments sent again.
    SegmentsRetransmitted: PerSecond,
    /// Bad segments received (TcpInErrs).
    SegmentErrors: PerSecond,
    /// Resets sent.
    ResetsSent: PerSecond,
    /// Established connections.
    Established: Count,
    /// Handshakes that a full accept queue turned away (ListenOverflows).
    ListenOverflows: PerSecond,
    /// All SYNs and handshakes that a listener dropped, overflows among them (ListenDrops).
    ListenDrops: PerSecond,
    /// Cookies sent, each in answer to a SYN that a full SYN queue had no room for (SyncookiesSent).
    CookiesSent: PerSecond,
    /// Cookies that came back and were right (SyncookiesRecv).
    CookiesReceived: PerSecond,
    /// ACKs that were no valid cookie (SyncookiesFailed).
    CookiesFailed: PerSecond,
    /// SYNs that met a full SYN queue and were answered with a cookie (TCPReqQFullDoCookies).
    SynQueueFullCookies: PerSecond,
    /// SYNs that met a full SYN queue and were dropped (TCPReqQFullDrop).
    SynQueueFullDrops: PerSecond,
    /// SYN and SYN-ACK sent again (TCPSynRetrans).
    SynRetransmitted: PerSecond,
    /// Retransmission timers that ran out (TCPTimeouts).
    Timeouts: PerSecond,
    /// Connections aborted for lack of memory (TCPAbortOnMemory).
    AbortsOnMemory: PerSecond,
    /// Connections to this host's closed ports or in wrong states: challenge ACKs sent (TCPChallengeACK).
    ChallengeAcks: PerSecond,
    /// SYNs received, where a capture or the datapath counts them.
    Syns: PerSecond,
    /// Half-open connections.
    HalfOpen: Count,
    /// Connections waiting to be accepted, all listeners together.
    AcceptQueues: Count,
    /// TCP sockets in TIME_WAIT.
    TimeWait: Count,
    /// Orphaned TCP sockets.
    Orphans: Count,
    /// Memory in use by TCP's buffers.
    TcpMemory: Bytes,
    /// Memory that can be had without swapping (MemAvailable).
    MemoryAvailable: Bytes,
    /// Memory in use.
    MemoryUsed: Percent,
    /// Memory promised to processes, of memory and swap together; may be above 100.
    MemoryCommitted: Percent,
    /// Swap in use.
    SwapUsed: Bytes,
    /// Swap in use.
    SwapUsedShare: Percent,
    /// Pages read in from swap.
    SwapIn: PerSecond,
    /// Pages written out to swap.
    SwapOut: PerSecond,
    /// Page faults that needed the disk.
    MajorFaults: PerSecond,
    /// Processes killed for want of memory since the sample before (oom_kill).
    OutOfMemoryKills: Count,
    /// Time in which some task waited for memory (PSI, mean of 10 s or of the interval).
    PressureMemorySome: Percent,
    /// Time in which all tasks waited for memory.
    PressureMemoryFull: Percent,
    /// Time in which some task waited for a CPU.
    PressureCpuSome: Percent,
    /// Time in which some task waited for input or output.
    PressureIoSome: Percent,
    /// Load average of one minute.
    Load1: Count,
    /// Load average of five minutes.
    Load5: Count,
    /// Load average of fifteen minutes.
    Load15: Count,
    /// Tasks that run or could.
    RunQueue: Count,
    /// Tasks that wait for the disk.
    Blocked: Count,
    /// All tasks.
    Tasks: Count,
    /// CPU time of programs, all CPUs being 100.
    CpuUser: Percent,
    /// CPU time of the kernel, without interrupts.
    CpuSystem: Percent,
    /// CPU time idle while something waited for the disk.
    CpuWait: Percent,
    /// CPU time that the hypervisor gave to others.
    CpuSteal: Percent,
    /// CPU time of soft interrupts: where packets are received.
    CpuSoftirq: Percent,
    /// CPU time idle.
    CpuIdle: Percent,
    /// The largest share of soft interrupts on any one CPU.
    CpuSoftirqBusiest: Percent,
    /// Packets received, all interfaces but loopback.
    PacketsIn: PerSecond,
    /// Packets sent.
    PacketsOut: PerSecond,
    /// Received.
    BytesIn: BytesPerSecond,
    /// Sent.
    BytesOut: BytesPerSecond,
    /// Packets that interfaces dropped on receipt.
    InterfaceDropsIn: PerSecond,
    /// Packets that found no room in the NIC (FIFO errors, missed).
    InterfaceOverruns: PerSecond,
    /// The busiest interface's use of its speed (sysstat's %ifutil).
    InterfaceUse: Percent,
    /// Packets that a full input queue of a CPU dropped (softnet).
    SoftnetDrops: PerSecond,
    /// Times that a CPU's budget for packets ended before the packets did (softnet).
    SoftnetSqueezed: PerSecond,
    /// Entries of connection tracking.
    ConntrackEntries: Count,
    /// Connections dropped since the table of connection tracking was full.
    ConntrackDrops: PerSecond,
    /// Workers busy serving requests.
    WorkersBusy: Count,
    /// Workers there are.
    Workers: Count,
}
