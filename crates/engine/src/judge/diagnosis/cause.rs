//! The causes that a diagnosis can name, each with a name for ever.

use serde::{Deserialize, Serialize};

/// What sort of thing a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// Somebody means harm.
    Attack,
    /// More work than there is room for.
    Overload,
    /// A setting that does harm, or none of the good that is expected of it.
    Setting,
    /// Something about the records themselves.
    Record,
}

impl CauseKind {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Attack, Self::Overload, Self::Setting, Self::Record];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attack => "attack",
            Self::Overload => "overload",
            Self::Setting => "setting",
            Self::Record => "record",
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal: $kind:ident,)*) => {
        /// A cause. The order is that in which equals are named.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Cause {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Cause {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, for ever.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What sort of thing it is.
            pub const fn kind(self) -> CauseKind {
                match self {
                    $(Self::$variant => CauseKind::$kind,)*
                }
            }
        }
    };
}

causes! {
    /// SYNs from scattered, surely spoofed addresses, that are never completed.
    SpoofedFlood = "spoofed-flood": Attack,
    /// SYNs that are never completed, most of them from few networks.
    ConcentratedFlood = "concentrated-flood": Attack,
    /// SYNs that are never completed; where they came from was not recorded.
    SynFlood = "syn-flood": Attack,
    /// Connections that real addresses complete and then leave idle.
    ConnectionFlood = "connection-flood": Attack,
    /// Clients that read so slowly that they hold what serves them.
    SlowReaders = "slow-readers": Attack,
    /// Answers to SYNs that somebody sent elsewhere with our address.
    ReflectionAtUs = "reflection-at-us": Attack,
    /// SYNs with a victim's address, so that our answers hit it.
    ReflectionThroughUs = "reflection-through-us": Attack,
    /// Packets that belong to no connection: ACKs, SYN-ACKs, or SYNs to closed ports.
    StrayFlood = "stray-flood": Attack,
    /// Workers whose number times their size is more than the memory.
    MemoryOvercommitted = "memory-overcommitted": Overload,
    /// Memory ran short; what took it was not recorded.
    MemoryShort = "memory-short": Overload,
    /// All workers of a server are in use.
    WorkersExhausted = "workers-exhausted": Overload,
    /// An application that accepts more slowly than clients come.
    SlowApplication = "slow-application": Overload,
    /// Connection tracking has no more room.
    ConntrackFull = "conntrack-full": Overload,
    /// A burst of real clients, larger than the backlog within a round trip.
    BurstOverBacklog = "burst-over-backlog": Overload,
    /// NIC, ring or CPUs cannot take in the packets that come.
    ReceiveSaturated = "receive-saturated": Overload,
    /// A firewall rule's limit that turns away regular clients.
    FirewallLimit = "firewall-limit": Setting,
    /// SYN cookies are switched off.
    CookiesOff = "cookies-off": Setting,
    /// SYN cookies are on and do nothing.
    CookiesInert = "cookies-inert": Setting,
    /// `tcp_max_syn_backlog` is large and not used.
    HugeSynBacklog = "huge-syn-backlog": Setting,
    /// `tcp_synack_retries` is high: floods are amplified and half-open connections stay long.
    SynackRetriesHigh = "synack-retries-high": Setting,
    /// `rp_filter` is on; it does not keep spoofed addresses out.
    RpFilterExpected = "rp-filter-expected": Setting,
    /// `tcp_abort_on_overflow` is on: a short jam resets clients.
    AbortOnOverflow = "abort-on-overflow": Setting,
    /// The kernel's message is all there is, and it proves nothing.
    MessageAlone = "message-alone": Record,
    /// A source tells nothing of a part of the time.
    RecordGap = "record-gap": Record,
    /// Clocks or zones disagree.
    ClockDoubt = "clock-doubt": Record,
}
