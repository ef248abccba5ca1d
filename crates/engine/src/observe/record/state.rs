//! What is at one moment: listeners, sockets, interfaces, firewall limits.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// The systemd unit that it belongs to.
    pub unit: Option<String>,
}

/// Listeners on one address and port (several with `SO_REUSEPORT`), their queues added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Address and port.
    pub local: SocketAddr,
    /// Whether an IPv6 listener takes IPv4 too.
    pub dual_stack: bool,
    /// How many sockets share it.
    pub sockets: u32,
    /// Half-open connections.
    pub syn_queue: u32,
    /// Finished handshakes that the application has not accepted yet.
    pub accept_queue: u32,
    /// The backlog in force: what `listen` was given, cut to somaxconn; the sockets' added up.
    pub backlog: u32,
    /// Whether some socket's accept queue is full.
    pub accept_full: bool,
    /// Who listens; `None`: may not be seen.
    pub process: Option<Process>,
    /// The backlog that its settings ask for, or its application's default.
    pub configured_backlog: Option<u32>,
    /// The file that says so; `None` with a `configured_backlog`: the application's default.
    pub configured_in: Option<PathBuf>,
}

/// States of a TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of RFC 9293, section 3.3.2")]
pub enum TcpState {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

/// A source and how often it occurs. An address, or a prefix: /24 of IPv4, /64 of IPv6 (then its lowest address).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    /// The address, or the prefix's lowest.
    pub address: IpAddr,
    /// 32 or 128 for one address.
    pub prefix_length: u8,
    /// How often.
    pub count: u64,
}

/// By source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// All together.
    pub total: u64,
    /// How many different addresses (an estimate where there are very many).
    pub distinct: u64,
    /// The most frequent addresses.
    pub top: Vec<SourceCount>,
    /// The most frequent prefixes.
    pub top_prefixes: Vec<SourceCount>,
    /// By the local port.
    pub by_port: BTreeMap<u16, u64>,
}

impl Sources {
    /// The share of the most frequent address, from 0 to 1.
    pub fn top_share(&self) -> f64 {
        let first = self.top.iter().map(|source| source.count).max().unwrap_or(0);
        if self.total == 0 { 0.0 } else { first as f64 / self.total as f64 }
    }
}

/// TCP sockets of this network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketCounts {
    /// By state. Half-open connections are `SynReceived`.
    pub by_state: BTreeMap<TcpState, u64>,
    /// Half-open connections by source.
    pub half_open: Sources,
    /// Those of the half-open whose SYN-ACK had to be sent again: nobody answered for a second or more. The kernel does not count those whose
    /// answer came and found the accept queue full. Of real clients, also from far away, there are few.
    #[serde(default)]
    pub half_open_unanswered: Option<u64>,
    /// Established connections to listeners here, by source.
    pub established: Sources,
    /// Those of the established with data to send whose client has closed its window (a zero-window probe is running), by source:
    /// clients that read slowly or not at all.
    pub stalled: Sources,
    /// Those of the established from which no byte has come: nothing sent since the handshake.
    pub silent: Option<Sources>,
    /// SYN-SENT and half-open connections whose other end is on a well-known port (53, 80, 123, 443 ...): SYN-ACKs or SYNs that make us
    /// a reflector or are reflected at us.
    pub from_service_ports: u64,
}

/// Connection tracking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conntrack {
    /// Entries.
    pub entries: u64,
    /// How many fit.
    pub max: u64,
    /// Packets dropped since the table was full, since boot (early_drop not counted).
    pub drops: Option<u64>,
    /// Whether packets to this host meet it.
    pub in_use: bool,
}

/// An interface. Counters are since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: Option<String>,
    /// Whether it is up.
    pub up: bool,
    /// Its speed in Mbit/s.
    pub speed_mbit: Option<u32>,
    /// Packets received.
    pub packets_in: Option<u64>,
    /// Packets dropped on receipt (rx_dropped).
    pub drops_in: Option<u64>,
    /// Packets that found no room in the NIC's ring (rx_missed and rx_fifo errors).
    pub overruns_in: Option<u64>,
    /// The ring for received packets: its length now.
    pub ring_in: Option<u32>,
    /// The longest that it can be.
    pub ring_in_max: Option<u32>,
    /// Receive queues: over how many CPUs RSS can spread.
    pub queues_in: Option<u32>,
    /// The most receive queues that it can have.
    pub queues_in_max: Option<u32>,
    /// CPUs among which RPS spreads, if it is set.
    pub rps_cpus: Option<u32>,
    /// Whether LRO is on.
    pub lro: Option<bool>,
    /// Whether VLAN tags are taken out by the NIC.
    pub vlan_offload: Option<bool>,
}

/// A firewall rule that lets only so many new connections through: beyond its rate, regular clients are turned away too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallLimit {
    /// "nftables" or "iptables".
    pub program: String,
    /// Table and chain, as their program names them.
    pub chain: String,
    /// The rule, in its program's language.
    pub rule: String,
    /// Whether the limit counts each source by itself.
    pub per_source: bool,
    /// Packets let through each second, in thousandths.
    pub rate_milli: Option<u64>,
    /// Packets let through at once.
    pub burst: Option<u64>,
    /// Packets that met the rule (the counter), if it counts.
    pub packets: Option<u64>,
    /// The destination port, if it is about one.
    pub port: Option<u16>,
}
