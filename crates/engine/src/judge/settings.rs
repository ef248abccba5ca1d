//! The host's settings against what a flood asks of it: pure, facts in, a [`Plan`] out.
//!
//! Each setting has a function of its own below, in the order in which a SYN meets them; each says what is, what it should be, and why,
//! also where nothing has to change: most advice on the web is about settings that do not bind. Then the listeners: which of the
//! application and `somaxconn` binds, and what to write where. What Sekisho itself can change is a [`Step`]; applications' files are
//! theirs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::act::Step;
use crate::observe::applications::{Application, Configured};
use crate::observe::settings::{Listener, SettingsFacts, lines};

/// The version of the plan's JSON.
pub const VERSION: u32 = 1;
/// Where settings are written for the next boot. The name sorts after Debian's 99-sysctl.conf, so that it counts.
pub const SYSCTL_FILE: &str = "/etc/sysctl.d/99-z-sekisho.conf";

/// A half-open connection in the kernel (slab request_sock_TCP on 64-bit Linux 6), in bytes.
const HALF_OPEN_BYTES: u64 = 320;
/// A finished connection that waits for the application (slab TCPv6 and what hangs on it), in bytes.
const WAITING_BYTES: u64 = 3072;
/// An entry of connection tracking (slab nf_conntrack and its two hash nodes), in bytes.
const TRACKED_BYTES: u64 = 320;
/// The backlog below which a burst within one round trip is soon taken for a flood: a quarter of it, 256, is where Sekisho begins to ask.
pub const BACKLOG_MIN: u64 = 1024;
/// No listener gets more.
const BACKLOG_MAX: u64 = 65_535;
/// The busiest moment is taken to be so many times the average.
const PEAK: u64 = 10;
/// Round trips of far clients last so long, in seconds, as a fraction: 3/10.
const ROUND_TRIP: (u64, u64) = (3, 10);
/// SYN-ACK retransmissions: with 3, a client on a bad line has four chances within 15 s, and a spoofed address gets four packets.
const RETRIES: u64 = 3;
/// Below this, clients on bad lines are lost.
const RETRIES_MIN: u64 = 2;
/// More connection tracking than this share of the memory is not proposed: 1/16.
const TRACKED_SHARE: u64 = 16;

/// One setting of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// What it is.
    pub is: String,
    /// What it should be; absent when it may stay.
    pub wanted: Option<String>,
    /// Whether it limits anything on this host.
    pub binds: bool,
    /// Why, in a sentence or two.
    pub why: String,
    /// What the change costs in memory at the most, in bytes.
    pub memory_bytes: Option<u64>,
}

/// What limits a listener's queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binds {
    /// The backlog that the application asked for.
    Application,
    /// `net.core.somaxconn`, which the application asked more than.
    Somaxconn,
    /// `net.ipv4.tcp_max_syn_backlog`, since SYN cookies are off.
    MaxSynBacklog,
}

impl Binds {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Application => "the application's backlog",
            Self::Somaxconn => "net.core.somaxconn",
            Self::MaxSynBacklog => "net.ipv4.tcp_max_syn_backlog",
        }
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerAdvice {
    /// Where it listens.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The application; absent when it cannot be seen.
    pub application: Option<String>,
    /// The backlog that its configuration asks for; absent when not known.
    pub configured: Option<u64>,
    /// The file that says so; absent: the application's default.
    pub file: Option<PathBuf>,
    /// The backlog in force.
    pub backlog: u64,
    /// Half-open connections that fit.
    pub syn_queue: u64,
    /// What limits that.
    pub binds: Binds,
    /// New connections a second that it takes from clients 100 ms away before the queue is full.
    pub burst_100ms: u64,
    /// What the backlog should be; absent when it may stay.
    pub wanted: Option<u64>,
    /// The memory that both queues can take when full, in bytes, at the backlog wanted.
    pub memory_bytes: u64,
    /// Connections to this port in connection tracking now; absent where that does not stand before it.
    #[serde(default)]
    pub tracked: Option<u64>,
    /// What to do; absent when nothing.
    pub todo: Option<String>,
}

/// What this host has, what it needs, and the steps from one to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// The backlog that this host's services need.
    pub needed_backlog: u64,
    /// How that was reckoned.
    pub needed_because: String,
    /// The kernel's settings.
    pub settings: Vec<Setting>,
    /// The listeners.
    pub listeners: Vec<ListenerAdvice>,
    /// What `sekisho apply` does.
    pub steps: Vec<Step>,
}

/// The file that keeps settings for the next boot, and what it says now.
#[derive(Debug, Clone)]
pub struct BootFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says; `None` if there is none.
    pub text: Option<String>,
}

/// Makes the plan. Without a boot file nothing is written for the next boot.
pub fn plan(facts: &SettingsFacts, boot: Option<&BootFile>) -> Plan {
    let (needed_backlog, needed_because) = needed(facts);
    let mut settings: Vec<Setting> = [
        syncookies(facts),
        somaxconn(facts, needed_backlog),
        max_syn_backlog(facts),
        synack_retries(facts),
        abort_on_overflow(facts),
        rp_filter(facts),
        max_backlog(facts),
        budget(facts),
        conntrack(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    for setting in &mut settings {
        warn_of_boot(setting, facts, boot);
    }
    let listeners = facts.listeners.iter().map(|listener| advice(listener, facts, needed_backlog)).collect();
    let steps = steps(&settings, boot);
    Plan { version: VERSION, needed_backlog, needed_because, settings, listeners, steps }
}

/// A backlog has to hold the handshakes under way: new connections a second times the round trip.
fn needed(facts: &SettingsFacts) -> (u64, String) {
    let average = facts.arrivals.connections.checked_div(facts.arrivals.seconds).unwrap_or(0);
    let under_way = average * PEAK * ROUND_TRIP.0 / ROUND_TRIP.1;
    let needed = backlog_for(under_way);
    let why = if needed == BACKLOG_MIN {
        format!(
            "{BACKLOG_MIN} lets 256 handshakes be under way before anything is asked of anybody; more is not needed here ({average} new connections/s on average)"
        )
    } else {
        format!(
            "{average} new connections/s on average, {PEAK} times that at the peak, 0.3 s to far clients, four times for room"
        )
    };
    (needed, why)
}

fn setting(facts: &SettingsFacts, key: &str) -> Option<(Setting, u64)> {
    let is = facts.values.get(key)?;
    let unchanged =
        Setting { key: key.into(), is: is.clone(), wanted: None, binds: false, why: String::new(), memory_bytes: None };
    Some((unchanged, is.parse().ok()?))
}

fn syncookies(facts: &SettingsFacts) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.ipv4.tcp_syncookies")?;
    let (wanted, why) = match is {
        0 => (
            Some(1),
            "without SYN cookies a full queue turns everybody away, and nobody's cookie is completed, Sekisho's neither",
        ),
        1 => (None, "cookies when a queue is full, and the kernel's whole handshake while it is not"),
        _ => (Some(1), "cookies for everybody all the time: options of TCP are lost although there is room"),
    };
    Some(Setting { wanted: wanted.map(|value: u64| value.to_string()), binds: true, why: why.into(), ..setting })
}

fn somaxconn(facts: &SettingsFacts, needed: u64) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.core.somaxconn")?;
    let asked = facts.listeners.iter().filter_map(|listener| Some(u64::from(listener.configured.as_ref()?.backlog)));
    // Some ask for "as much as there is" with a huge number.
    let asked = asked.filter(|asked| *asked <= BACKLOG_MAX).max().unwrap_or(0);
    let wanted = needed.max(asked);
    let binds = asked > is;
    if is >= wanted {
        let why =
            "the upper bound of every listen(); no application here asks for more, so what binds is theirs".into();
        return Some(Setting { binds, why, ..setting });
    }
    let why = if binds {
        format!("it cuts a listener that asks for {asked}; the application has to be restarted afterwards")
    } else {
        format!(
            "the upper bound of every listen(): the {needed} that this host needs do not fit; applications have to ask for more too"
        )
    };
    let memory = facts.listeners.len() as u64 * (wanted - is) * HALF_OPEN_BYTES;
    Some(Setting { wanted: Some(wanted.to_string()), binds, why, memory_bytes: Some(memory), ..setting })
}

fn max_syn_backlog(facts: &SettingsFacts) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.ipv4.tcp_max_syn_backlog")?;
    let cookies = facts.number("net.ipv4.tcp_syncookies").unwrap_or(0);
    let why = if cookies == 0 {
        format!(
            "counts only while SYN cookies are off, and then at three quarters ({}); with cookies on, which this plan sees to, it is not used",
            is * 3 / 4
        )
    } else {
        "not used while SYN cookies are on: the SYN queue holds min(listen backlog, somaxconn) + 1. Raising it changes nothing".into()
    };
    Some(Setting { binds: cookies == 0, why, ..setting })
}

fn synack_retries(facts: &SettingsFacts) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.ipv4.tcp_synack_retries")?;
    // The waits double from 1 s: 1 + 2 + 4 ... + 2^retries.
    let seconds = |retries: u64| (1u64 << (retries + 1).min(32)) - 1;
    let (wanted, why) = match is {
        0..RETRIES_MIN => (Some(RETRIES_MIN), "too few: a client that loses two packets is lost itself".to_owned()),
        RETRIES_MIN..=RETRIES => (
            None,
            format!("each spoofed address gets {} packets, each half-open connection stays {} s", is + 1, seconds(is)),
        ),
        _ => (
            Some(RETRIES),
            format!(
                "each spoofed address gets {} packets and each half-open connection stays {} s; {} and {} s do for clients on bad lines too",
                is + 1,
                seconds(is),
                RETRIES + 1,
                seconds(RETRIES)
            ),
        ),
    };
    Some(Setting { wanted: wanted.map(|value| value.to_string()), binds: true, why, ..setting })
}

fn abort_on_overflow(facts: &SettingsFacts) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.ipv4.tcp_abort_on_overflow")?;
    let overflows = facts.arrivals.overflows;
    if is == 0 {
        let why = format!(
            "a client that finds the accept queue full tries again by itself ({overflows} such moments so far)"
        );
        return Some(Setting { binds: overflows > 0, why, ..setting });
    }
    let why = "a full accept queue answers clients with a reset instead of letting them try again".into();
    Some(Setting { wanted: Some("0".into()), binds: true, why, ..setting })
}

fn rp_filter(facts: &SettingsFacts) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.ipv4.conf.all.rp_filter")?;
    let why = match is {
        0 => {
            "no help against a flood: behind one uplink every spoofed address has its way back through that uplink, so nothing would be filtered"
        }
        1 => {
            "strict. No help against a flood (every spoofed address has its way back through the uplink), and with two uplinks it drops good packets"
        }
        _ => "loose. No help against a flood: every spoofed address has a way back",
    };
    Some(Setting { why: why.into(), ..setting })
}

fn max_backlog(facts: &SettingsFacts) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.core.netdev_max_backlog")?;
    let dropped = facts.received.dropped;
    if dropped == 0 {
        let why =
            "the queue before a CPU, used with RPS, tunnels and virtual links; it never was full, so it does not bind";
        return Some(Setting { why: why.into(), ..setting });
    }
    let wanted = (is * 4).min(16_384).max(is);
    let why = format!("the queue before a CPU was full for {dropped} packets of {}", facts.received.packets);
    // A small packet in its buffer, per CPU; reckoned for one CPU.
    let memory = (wanted - is) * 2048;
    let wanted = (wanted > is).then(|| wanted.to_string());
    Some(Setting { memory_bytes: wanted.as_ref().map(|_| memory), wanted, binds: true, why, ..setting })
}

fn budget(facts: &SettingsFacts) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.core.netdev_budget")?;
    let (squeezed, packets) = (facts.received.squeezed, facts.received.packets);
    // A round handles hundreds of packets, so one squeezed round in ten thousand packets is a few per cent of all rounds.
    if squeezed * 10_000 <= packets {
        let why = format!(
            "packets a CPU takes in one round; it ended too early {squeezed} times in {packets} packets, so it does not bind"
        );
        return Some(Setting { why, ..setting });
    }
    let why = format!(
        "a round ended {squeezed} times with packets left (of {packets}): CPUs were busy with packets; a larger round delays others less often"
    );
    let wanted = (is < 600).then(|| "600".to_owned());
    Some(Setting { wanted, binds: true, why, ..setting })
}

fn conntrack(facts: &SettingsFacts) -> Option<Setting> {
    let (setting, is) = setting(facts, "net.netfilter.nf_conntrack_max")?;
    let table = facts.conntrack?;
    if !table.in_use {
        let why =
            "connection tracking is loaded, but no rule asks for it here: it does not stand before any port".into();
        return Some(Setting { why, ..setting });
    }
    let used = format!("{} of {} entries are in use", table.count, table.max);
    let bound = facts.memory / TRACKED_SHARE / TRACKED_BYTES;
    if table.count * 4 < table.max * 3 || is * 4 > bound {
        let why = format!(
            "{used}. It stands before this host's ports: a flood that reaches it fills it, and then new connections of everybody are dropped. \
             Sekisho on XDP answers floods before it"
        );
        return Some(Setting { binds: true, why, ..setting });
    }
    let why = format!("{used}: when it is full, new connections of everybody are dropped");
    let memory = is * 3 * TRACKED_BYTES;
    Some(Setting { wanted: Some((is * 4).to_string()), binds: true, why, memory_bytes: Some(memory), ..setting })
}

/// Somebody else's file may set it back at the next boot.
fn warn_of_boot(setting: &mut Setting, facts: &SettingsFacts, boot: Option<&BootFile>) {
    let Some(wanted) = &setting.wanted else { return };
    let name = |path: &Path| path.file_name().map(ToOwned::to_owned);
    let ours = name(boot.map_or(Path::new(SYSCTL_FILE), |boot| &boot.path));
    let later =
        |(key, value, file): &&(String, String, PathBuf)| *key == setting.key && value != wanted && name(file) > ours;
    if let Some((_, value, file)) = facts.at_boot.iter().rev().find(later) {
        let _ = write!(setting.why, ". {} sets it to {value} at boot, after ours: change it there too", file.display());
    }
}

fn advice(listener: &Listener, facts: &SettingsFacts, needed: u64) -> ListenerAdvice {
    let service = &listener.service;
    // Several listeners share a port by SO_REUSEPORT; the kernel's queue is each one's own.
    let backlog = u64::from(service.backlog / service.listeners.max(1));
    let configured = listener.configured.as_ref().map(|configured| u64::from(configured.backlog));
    let number = |key| facts.number(key);
    let (syn_queue, binds) =
        syn_queue(backlog, configured, number("net.ipv4.tcp_syncookies"), number("net.ipv4.tcp_max_syn_backlog"));
    let wanted = backlog_wanted(backlog, service.local.ip(), needed);
    let most = wanted.unwrap_or(backlog);
    let tracked = facts.tracked.get(&service.local.port()).copied().unwrap_or(0);
    ListenerAdvice {
        address: service.local.ip().to_string(),
        port: service.local.port(),
        application: listener.application.as_ref().map(|application| application.word().to_owned()),
        configured,
        file: listener.configured.as_ref().and_then(|configured| configured.file.clone()),
        backlog,
        syn_queue,
        binds,
        burst_100ms: syn_queue * 10,
        wanted,
        memory_bytes: queue_bytes(service.listeners.into(), most),
        tracked: facts.conntrack.filter(|table| table.in_use).map(|_| tracked),
        todo: wanted.map(|wanted| todo(listener, wanted)),
    }
}

/// How many half-open connections fit into one socket's SYN queue, and what limits that: from the backlog in force, the one that the
/// application asks for, and the sysctls `tcp_syncookies` and `tcp_max_syn_backlog`. Cookies that are not known are taken to be on, as they are
/// by default.
pub fn syn_queue(
    backlog: u64,
    configured: Option<u64>,
    syncookies: Option<u64>,
    max_syn_backlog: Option<u64>,
) -> (u64, Binds) {
    let binds = if configured.is_some_and(|asked| asked > backlog) { Binds::Somaxconn } else { Binds::Application };
    let three_quarters = max_syn_backlog.unwrap_or(u64::MAX) / 4 * 3;
    if syncookies == Some(0) && three_quarters < backlog + 1 {
        (three_quarters, Binds::MaxSynBacklog)
    } else {
        (backlog + 1, binds)
    }
}

/// The backlog for so many handshakes under way at the busiest moment: Sekisho begins to ask at a quarter of it, and that should be above
/// what is usual.
pub fn backlog_for(under_way: u64) -> u64 {
    under_way.saturating_mul(4).min(BACKLOG_MAX).next_power_of_two().clamp(BACKLOG_MIN, BACKLOG_MAX)
}

/// What a listener's backlog should be; `None`: it may stay. No flood comes to a loopback address.
pub fn backlog_wanted(backlog: u64, address: IpAddr, needed: u64) -> Option<u64> {
    (backlog < needed && !address.is_loopback()).then_some(needed)
}

/// The memory that both queues of so many sockets take when full, in bytes.
pub const fn queue_bytes(sockets: u64, backlog: u64) -> u64 {
    sockets * (backlog + 1) * (HALF_OPEN_BYTES + WAITING_BYTES)
}

/// What to write where.
fn todo(listener: &Listener, wanted: u64) -> String {
    let port = listener.service.local.port();
    let file = |default: &str| {
        let file = listener.configured.as_ref().and_then(|Configured { file, .. }| file.clone());
        file.map_or_else(|| default.to_owned(), |file| file.display().to_string())
    };
    match &listener.application {
        Some(Application::Nginx) => {
            format!("in {}: `listen {port} backlog={wanted};`, then restart nginx", file("its server block"))
        }
        Some(Application::Apache) => {
            format!("in {}: `ListenBacklog {wanted}`, then restart Apache", file("/etc/apache2/ports.conf"))
        }
        Some(Application::Systemd) => {
            format!("a drop-in for its socket unit: `[Socket]`, `Backlog={wanted}`, then restart the socket")
        }
        Some(Application::Postfix) => format!(
            "Postfix's backlog is its process limit: give the service in master.cf a larger one only if the memory allows so many \
             processes, else leave it: Sekisho guards a short queue too (port {port})"
        ),
        Some(Application::Sshd) => {
            format!("sshd's 128 is compiled in: leave it, Sekisho guards a short queue too (port {port})")
        }
        Some(Application::Other(_)) | None => {
            format!("raise the backlog that the application on port {port} gives to listen() to {wanted}")
        }
    }
}

/// Values first, then the file for the next boot.
fn steps(settings: &[Setting], boot: Option<&BootFile>) -> Vec<Step> {
    let change = |setting: &Setting| {
        let to = setting.wanted.clone()?;
        Some(Step::Sysctl { key: setting.key.clone(), from: setting.is.clone(), to })
    };
    let mut steps: Vec<Step> = settings.iter().filter_map(change).collect();
    if let Some(BootFile { path, text }) = boot.filter(|_| !steps.is_empty()) {
        let to = Some(boot_text(text.as_deref(), settings));
        steps.push(Step::File { path: path.clone(), from: text.clone(), to });
    }
    steps
}

/// The text of the boot file: what it had, and what is set now.
fn boot_text(before: Option<&str>, settings: &[Setting]) -> String {
    let mut values: BTreeMap<String, String> = lines(before.unwrap_or_default()).into_iter().collect();
    let mut text = "# Written by `sekisho apply`; `sekisho rollback` takes it away again.\n".to_owned();
    let changed = settings.iter().filter_map(|setting| Some((setting, setting.wanted.as_ref()?)));
    for (setting, wanted) in changed {
        values.remove(&setting.key);
        let _ = write!(text, "\n# It was {}: {}.\n{} = {wanted}\n", setting.is, setting.why, setting.key);
    }
    if !values.is_empty() {
        text += "\n# From before.\n";
    }
    for (key, value) in values {
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}

#[cfg(test)]
mod tests;
