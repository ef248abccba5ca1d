//! What `sekisho status` shows: one set of types, from which the text and `--json` are both made.
//!
//! [`StatusReport`] is the JSON's shape. Its `version` grows when a field changes its meaning or goes; new fields come without that.

use serde::Serialize;

use crate::judge::Finding;
use crate::observe::listeners;
use crate::policy::PortSettings;
use crate::speaks::{Sample, SpeakerSource};

/// The version of the JSON.
pub const VERSION: u32 = 1;

/// What there is to know now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// [`VERSION`].
    pub version: u32,
    /// Whether the programs are in the kernel, with or without a daemon.
    pub protected: bool,
    /// Whether packets are touched: "guard" or "observe"; absent when nothing runs.
    pub mode: Option<&'static str>,
    /// The process id of the daemon; absent when none runs.
    pub daemon: Option<u32>,
    /// The interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// Whose cookie is in use; absent when nothing runs.
    pub completion: Option<CompletionStatus>,
    /// The nftables table; absent where programs on XDP do the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nftables: Option<TableStatus>,
    /// The listening services.
    pub services: Vec<ServiceStatus>,
    /// Verified sources; absent when nothing runs.
    pub verified: Option<VerifiedStatus>,
    /// The lists; absent when nothing runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lists: Option<ListsStatus>,
    /// How the flood of the last seconds is spread; absent when nothing runs.
    pub flood: Option<FloodStatus>,
    /// Every verdict, in the order of their numbers.
    pub verdicts: Vec<VerdictStatus>,
    /// What was found on the host, the gravest first.
    pub findings: Vec<Finding>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// "native" or "generic".
    pub attached: &'static str,
    /// Why not native; absent when it is.
    pub reason: Option<String>,
    /// Whether it is up.
    pub up: bool,
}

/// Whose cookie is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompletionStatus {
    /// "own" or "kernel".
    pub method: &'static str,
    /// Why.
    pub reason: String,
}

/// Our nftables table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableStatus {
    /// Why it does the work.
    pub reason: String,
    /// Its rules that count.
    pub rules: Vec<RuleStatus>,
}

/// A rule that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleStatus {
    /// What it is for.
    pub comment: String,
    /// Packets that met it, since the rules last changed.
    pub packets: u64,
}

/// Both lists: what is on them, and how often it was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListsStatus {
    /// Who is allowed.
    pub allowed: ListStatus,
    /// Who is blocked.
    pub blocked: ListStatus,
}

/// One list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ListStatus {
    /// Prefixes on it.
    pub prefixes: u64,
    /// Packets that they have decided.
    pub hits: u64,
}

/// A service's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing is asked of anybody.
    Calm,
    /// Its SYN queue passed the calm mark, or did so lately.
    Armed,
    /// Nothing looks after it: the configuration leaves it alone, or no interface is protected.
    Unprotected,
}

impl State {
    /// The word used in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Armed => "armed",
            Self::Unprotected => "unprotected",
        }
    }
}

/// One listening service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// The address it listens on.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Whether an IPv6 listener takes IPv4 too.
    pub dual_stack: bool,
    /// How many listeners share it.
    pub listeners: u32,
    /// Calm, armed or unprotected.
    pub state: State,
    /// Half-open connections.
    pub syn_queue: u32,
    /// Finished handshakes that wait for the application.
    pub accept_queue: u32,
    /// Whether the accept queue is full: the application is slow, and SYNs are dropped so that nothing is promised in its name.
    pub accept_full: bool,
    /// How many of either fit.
    pub backlog: u32,
    /// "cookie" or "challenge".
    pub method: &'static str,
    /// "server" or "client".
    pub speaks_first: &'static str,
    /// "configured", "table", "learnt" or "default".
    pub speaks_first_source: &'static str,
    /// Connections on which the server was seen to speak first.
    pub seen_server_first: u32,
    /// Connections on which the client was seen to speak first.
    pub seen_client_first: u32,
}

impl ServiceStatus {
    /// Puts together what the kernel, the datapath and the policy know of a service.
    /// `protected`: whether any interface is.
    pub fn new(
        facts: &listeners::Service,
        settings: PortSettings,
        protected: bool,
        armed: bool,
        sample: Sample,
    ) -> Self {
        let state = match (protected && settings.protect, armed) {
            (false, _) => State::Unprotected,
            (true, true) => State::Armed,
            (true, false) => State::Calm,
        };
        Self {
            address: facts.local.ip().to_string(),
            port: facts.local.port(),
            dual_stack: facts.dual_stack,
            listeners: facts.listeners,
            state,
            syn_queue: facts.syn_queue,
            accept_queue: facts.accept_queue,
            accept_full: facts.accept_full,
            backlog: facts.backlog,
            method: settings.method.word(),
            speaks_first: settings.speaker.word(),
            speaks_first_source: settings.speaker_source.word(),
            seen_server_first: sample.server,
            seen_client_first: sample.client,
        }
    }

    /// Whether it is only known by assumption who speaks first.
    pub fn speaker_is_assumed(&self) -> bool {
        self.speaks_first_source == SpeakerSource::Default.word()
    }
}

/// Verified sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VerifiedStatus {
    /// IPv4 addresses remembered.
    pub ipv4: u64,
    /// How many fit.
    pub ipv4_capacity: u32,
    /// IPv6 prefixes remembered.
    pub ipv6: u64,
    /// How many fit.
    pub ipv6_capacity: u32,
    /// The memory of both tables, taken when they were made.
    pub memory_bytes: u64,
}

/// How a flood is spread, and who is held back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FloodStatus {
    /// "quiet", "scattered" or "concentrated": see [`crate::spread`].
    pub shape: &'static str,
    /// What that rests on.
    pub evidence: String,
    /// SYNs that met a filling queue or a limit in the last seconds.
    pub asked: u64,
    /// Of them looked at.
    pub samples: u64,
    /// How many sources these came from, about.
    pub distinct_sources: u64,
    /// Networks and sources that make a large part of it, the largest first.
    pub parts: Vec<FloodPart>,
    /// Who is held back.
    pub held: Vec<HeldStatus>,
}

/// A network's or source's part of a flood.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FloodPart {
    /// The address or prefix.
    pub prefix: String,
    /// At least so many percent.
    pub percent: u64,
}

/// Somebody who is held back for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldStatus {
    /// The address or prefix.
    pub prefix: String,
    /// "connections" or "concentrated".
    pub why: &'static str,
    /// For how many seconds more.
    pub seconds: u64,
}

/// One verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictStatus {
    /// Its number, given for ever.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// "pass", "drop" or "answer".
    pub action: &'static str,
    /// Packets since protection began.
    pub count: u64,
    /// One sentence.
    pub help: &'static str,
}
