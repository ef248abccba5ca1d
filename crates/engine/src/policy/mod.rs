//! What the user wants: the configuration as plain values, and what follows from it for each port.
//!
//! [`Policy::default`] is a good configuration, so a host needs no file at all. [`Policy::parse`] reads one (TOML; see
//! `read` for how mistakes are told), [`Policy::port`] is the pure function from policy to the settings of one port.

mod limits;
mod lists;
mod prefix;
mod read;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::speaks::{Speaker, SpeakerSource};

pub use limits::{LimitPolicy, OnConcentrated, Over};
pub use lists::{AdminPolicy, BlockPolicy, ConfiguredLists, PREFIXES_MAX};
pub use prefix::{Prefix, PrefixError};
pub use read::{ConfigError, Problem, duration_seconds, duration_text};

/// Where the configuration is looked for unless `--config` names another file. It need not exist.
pub const DEFAULT_PATH: &str = "/etc/sekisho.toml";

/// Whether packets are touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Protect: answer, drop, admit.
    #[default]
    Guard,
    /// Decide and count, but let every packet pass unchanged.
    Observe,
}

impl Mode {
    /// The word used in the configuration and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Observe => "observe",
        }
    }
}

/// What does the work, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendChoice {
    /// Programs on XDP where the kernel can run them, else an nftables table.
    #[default]
    Auto,
    /// Programs on XDP.
    Xdp,
    /// An nftables table.
    Nftables,
}

impl BackendChoice {
    /// The word used in the configuration and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Xdp => "xdp",
            Self::Nftables => "nftables",
        }
    }
}

/// Whose cookie a SYN gets, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompletionChoice {
    /// Our own where the kernel can complete it and nothing on the host stands in its way, else the kernel's.
    #[default]
    Auto,
    /// Always our own (Linux 6.9 and later).
    Own,
    /// Always the kernel's.
    Kernel,
}

impl CompletionChoice {
    /// The word used in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Own => "own",
            Self::Kernel => "kernel",
        }
    }
}

/// Shares of a listener's backlog, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marks {
    /// Below this share nothing is asked of anybody.
    pub calm: f64,
    /// From this share on everybody gets a cookie.
    pub reserve: f64,
}

impl Default for Marks {
    fn default() -> Self {
        Self { calm: 0.25, reserve: 0.75 }
    }
}

/// What is remembered of sources that completed a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedPolicy {
    /// How many IPv4 addresses are remembered.
    pub capacity4: u32,
    /// How many IPv6 prefixes are remembered.
    pub capacity6: u32,
    /// How long after its last completed handshake a source is remembered.
    pub expiry: Duration,
    /// SYNs a second that a verified source may send into the reserve.
    pub rate: u32,
    /// SYNs that it may send at once.
    pub burst: u32,
    /// The length of the IPv6 prefix that counts as one source.
    pub prefix6: u8,
}

impl Default for VerifiedPolicy {
    fn default() -> Self {
        Self {
            capacity4: 1 << 20,
            capacity6: 1 << 18,
            expiry: Duration::from_secs(3600),
            rate: 20,
            burst: 40,
            prefix6: 64,
        }
    }
}

/// How an unproven source is asked, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MethodChoice {
    /// A challenge where the server speaks first, else a cookie.
    #[default]
    Auto,
    /// A cookie.
    Cookie,
    /// A challenge.
    Challenge,
}

/// How an unproven source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A SYN-ACK whose sequence number is a cookie.
    Cookie,
    /// A SYN-ACK whose acknowledgement number only a live host sends back.
    Challenge,
}

impl Method {
    /// The word used in the configuration and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Challenge => "challenge",
        }
    }
}

/// One `[[service]]` of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The ports it is about. No port is in two services.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Who speaks first; `None` is `auto`.
    pub speaks_first: Option<Speaker>,
    /// How an unproven source is asked.
    pub method: MethodChoice,
    /// Whether it is protected at all.
    pub protect: bool,
    /// Marks of its own.
    pub marks: Marks,
    /// SYNs a second of its own; `None`: the general limit per service.
    pub limit: Option<u32>,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whether packets are touched.
    pub mode: Mode,
    /// Interfaces to protect; empty means that of the default route.
    pub interfaces: Vec<String>,
    /// What does the work.
    pub backend: BackendChoice,
    /// Whether the nftables table puts synproxy before services where the client speaks first.
    pub synproxy: bool,
    /// Whose cookie a SYN gets.
    pub completion: CompletionChoice,
    /// Marks of every service that has none of its own.
    pub marks: Marks,
    /// How long a port stays armed after its last answer.
    pub linger: Duration,
    /// What is remembered of sources that completed a handshake.
    pub verified: VerifiedPolicy,
    /// How many answers a second one network of unproven sources (/24, /56) gets.
    pub answers_per_network: u32,
    /// The MSS that IPv4 answers carry; `None` derives it from the interface's MTU.
    pub mss4: Option<u16>,
    /// The same for IPv6.
    pub mss6: Option<u16>,
    /// Who must never be locked out.
    pub admin: AdminPolicy,
    /// Who is not wanted.
    pub block: BlockPolicy,
    /// What is bounded.
    pub limits: LimitPolicy,
    /// What differs for some ports.
    pub services: Vec<Service>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            interfaces: Vec::new(),
            backend: BackendChoice::default(),
            synproxy: false,
            completion: CompletionChoice::default(),
            marks: Marks::default(),
            linger: Duration::from_secs(60),
            verified: VerifiedPolicy::default(),
            answers_per_network: 4096,
            mss4: None,
            mss6: None,
            admin: AdminPolicy::default(),
            block: BlockPolicy::default(),
            limits: LimitPolicy::default(),
            services: Vec::new(),
        }
    }
}

/// What the datapath is told about one port, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortSettings {
    /// Whether the port is protected.
    pub protect: bool,
    /// How an unproven source is asked.
    pub method: Method,
    /// Who speaks first.
    pub speaker: Speaker,
    /// How that is known.
    pub speaker_source: SpeakerSource,
    /// The calm mark in 1/256 of the backlog.
    pub calm_mark: u8,
    /// The reserve mark in 1/256 of the backlog.
    pub reserve_mark: u8,
}

impl Policy {
    /// Reads a configuration from its text. `file` is only named in errors.
    ///
    /// # Errors
    /// Every mistake in it, each with its line and, where one is near, the word that was probably meant.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        read::policy(text, file)
    }

    /// Reads the configuration from `file`, or from [`DEFAULT_PATH`] if that exists, or takes the defaults.
    /// Returns the policy and the file it came from.
    ///
    /// # Errors
    /// When a named file cannot be read, or a file has mistakes.
    pub fn load(file: Option<&Path>) -> Result<(Self, Option<PathBuf>), ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_PATH));
        match std::fs::read_to_string(path) {
            Ok(text) => Ok((Self::parse(&text, path)?, Some(path.to_owned()))),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok((Self::default(), None)),
            Err(source) => Err(ConfigError::Unreadable { file: path.to_owned(), source }),
        }
    }

    /// The service that names `port`, if any.
    pub fn service(&self, port: u16) -> Option<&Service> {
        self.services.iter().find(|service| service.ports.iter().any(|range| range.contains(&port)))
    }

    /// How many SYNs a second `port` takes; 0: no limit.
    pub fn service_limit(&self, port: u16) -> u32 {
        self.service(port).and_then(|service| service.limit).unwrap_or(self.limits.service)
    }

    /// What the datapath is told about `port`. `learnt` is who was seen to speak first there.
    pub fn port(&self, port: u16, learnt: Option<Speaker>) -> PortSettings {
        self.settings(self.service(port), port, learnt)
    }

    /// The settings of all 65536 ports; index is port number. `learnt` has the ports on which enough was seen.
    pub fn all_ports(&self, learnt: &BTreeMap<u16, Speaker>) -> Vec<PortSettings> {
        let mut service_of: Vec<Option<&Service>> = vec![None; 65536];
        for service in &self.services {
            for range in &service.ports {
                service_of[usize::from(*range.start())..=usize::from(*range.end())].fill(Some(service));
            }
        }
        (0..=u16::MAX)
            .map(|port| self.settings(service_of[usize::from(port)], port, learnt.get(&port).copied()))
            .collect()
    }

    fn settings(&self, service: Option<&Service>, port: u16, learnt: Option<Speaker>) -> PortSettings {
        let configured = service.and_then(|service| service.speaks_first);
        let (speaker, speaker_source) = crate::speaks::resolve(port, configured, learnt);
        let marks = service.map_or(self.marks, |service| service.marks);
        PortSettings {
            protect: service.is_none_or(|service| service.protect),
            method: method(service.map_or(MethodChoice::Auto, |service| service.method), speaker),
            speaker,
            speaker_source,
            calm_mark: share(marks.calm),
            reserve_mark: share(marks.reserve),
        }
    }
}

/// A cookie is lost for good with the client's one ACK, unless the client has something to send after it. So it is for services
/// where the client speaks first; a challenge leads to the kernel's own handshake, which repeats what was lost.
const fn method(choice: MethodChoice, speaker: Speaker) -> Method {
    match (choice, speaker) {
        (MethodChoice::Cookie, _) | (MethodChoice::Auto, Speaker::Client) => Method::Cookie,
        (MethodChoice::Challenge, _) | (MethodChoice::Auto, Speaker::Server) => Method::Challenge,
    }
}

/// A share from 0 to 1 in 1/256, as the datapath holds it. The largest is 255/256.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte's range just before")]
fn share(share: f64) -> u8 {
    (share * 256.0).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        Policy::parse(text, Path::new("test.toml")).unwrap()
    }

    #[test]
    fn the_defaults_protect_every_port_with_the_method_that_suits_it() {
        let policy = Policy::default();
        let web = policy.port(443, None);
        assert!(web.protect);
        assert_eq!((web.method, web.speaker_source), (Method::Cookie, SpeakerSource::Table));
        let mail = policy.port(25, None);
        assert_eq!((mail.method, mail.speaker), (Method::Challenge, Speaker::Server));
        assert_eq!((web.calm_mark, web.reserve_mark), (64, 192));
    }

    #[test]
    fn what_was_learnt_decides_where_nothing_else_is_known() {
        let policy = Policy::default();
        assert_eq!(policy.port(12345, None).speaker_source, SpeakerSource::Default);
        let learnt = policy.port(12345, Some(Speaker::Server));
        assert_eq!((learnt.method, learnt.speaker_source), (Method::Challenge, SpeakerSource::Learnt));
        assert_eq!(policy.port(25, Some(Speaker::Client)).speaker, Speaker::Server, "the table goes first");
    }

    #[test]
    fn a_service_may_differ_in_everything() {
        let policy = policy(
            "[[service]]\nports = [2525, \"8000-8010\"]\nspeaks_first = \"server\"\ncalm = 0.5\nreserve = 1.0\n\
             [[service]]\nports = [22]\nprotect = false\nmethod = \"cookie\"\n",
        );
        assert_eq!(policy.port(8005, None).method, Method::Challenge);
        assert_eq!(policy.port(8005, None).speaker_source, SpeakerSource::Configured);
        assert_eq!((policy.port(2525, None).calm_mark, policy.port(2525, None).reserve_mark), (128, 255));
        assert!(!policy.port(22, None).protect);
        assert_eq!(policy.port(22, None).method, Method::Cookie);
    }

    #[test]
    fn all_ports_agrees_with_port() {
        let policy = policy("[[service]]\nports = [\"100-200\", 65535]\nprotect = false\n");
        let learnt = BTreeMap::from([(7777, Speaker::Server)]);
        let all = policy.all_ports(&learnt);
        assert_eq!(all.len(), 65536);
        for port in [0, 22, 99, 100, 200, 201, 7777, 65535] {
            assert_eq!(all[usize::from(port)], policy.port(port, learnt.get(&port).copied()), "port {port}");
        }
    }
}
