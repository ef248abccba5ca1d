//! `sekisho lab try`, `lab drill` and `lab replay`: a policy under a flood, and what it does to visitors.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use sekisho_engine::observe::record::packets::{self, Packets};
use sekisho_lab::clients::Seen;
use sekisho_lab::flood::Kind;
use sekisho_lab::trial::{self, Phase, Report, Server, Trial, Wave, Way, origin};
use serde_json::{Value, json};

use super::failed;
use super::kind::KindArg;
use super::past::{self, Past};
use super::way::{self, WayArgs};
use crate::failure::Failure;

/// The configuration that `drill` and `replay` take.
const INSTALLED: &str = "/etc/sekisho.toml";
/// Ports on which servers speak first.
const GREETING: [u16; 9] = [21, 22, 25, 110, 143, 465, 587, 2525, 3306];
/// The share of visits that has to succeed, in percent.
const HOLDS: f64 = 98.0;
/// What the most frequent services are, in the order in which a drill takes them.
const FIRST: [u16; 5] = [443, 80, 25, 22, 587];
/// Segments a second where nothing is said.
const RATE: u32 = 100_000;
/// What a replay needs.
const CAPTURE: &str = "`tcpdump -i eth0 -s 96 -w FILE tcp` writes one that serves, where eth0 is the interface that the flood comes in by";
/// The longest flood that is replayed, and how long its parts are at least.
const REPLAY_MAX: Duration = Duration::from_secs(30);
const PART: Duration = Duration::from_secs(2);

/// The arguments of `lab try`.
#[derive(Debug, Clone, Args)]
pub struct TryArgs {
    /// The configuration to try.
    #[arg(value_name = "POLICY")]
    pub policy: PathBuf,
    /// Your server: a command that listens on the port and stays in the foreground, run by sh in the lab's network namespace [default: a
    /// small server of the lab's own].
    #[arg(long, value_name = "CMD")]
    pub server: Option<String>,
    /// The port.
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// How visitors come.
    #[command(flatten)]
    pub way: WayArgs,
    /// The flood.
    #[command(flatten)]
    pub flood: FloodArgs,
}

/// The arguments of `lab drill`.
#[derive(Debug, Clone, Args)]
pub struct DrillArgs {
    /// Another configuration than the installed one.
    #[arg(long, value_name = "FILE", default_value = INSTALLED)]
    pub config: PathBuf,
    /// A port; may be given several times [default: the incident's, or up to three on which this host listens].
    #[arg(long = "port", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub ports: Vec<u16>,
    /// What hit you then: an incident's number, or the file of one [default: the newest, unless --rate, --kind or --sources describe a
    /// flood].
    #[arg(long, value_name = "N|FILE", conflicts_with_all = ["rate", "kind", "sources"])]
    pub incident: Option<String>,
    /// How visitors come.
    #[command(flatten)]
    pub way: WayArgs,
    /// The flood.
    #[command(flatten)]
    pub flood: FloodArgs,
}

/// The arguments of `lab replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// A capture (pcap or pcapng) of the flood.
    #[arg(value_name = "FILE")]
    pub capture: PathBuf,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = INSTALLED)]
    pub config: PathBuf,
    /// So many times the recorded rate.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = times)]
    pub times: f64,
    /// As JSON (its `version` is 1).
    #[arg(long)]
    pub json: bool,
}

/// A flood.
#[derive(Debug, Clone, Args)]
pub struct FloodArgs {
    /// Segments a second [default: 100000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=6_000_000))]
    pub rate: Option<u32>,
    /// For how many seconds.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    /// What each segment is.
    #[arg(long, value_enum, default_value_t = KindArg::Syn)]
    pub kind: KindArg,
    /// From how many addresses [default: 131072].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub sources: Option<u32>,
    /// As JSON (its `version` is 1).
    #[arg(long)]
    pub json: bool,
}

impl FloodArgs {
    fn waves(&self) -> Vec<Wave> {
        let time = Duration::from_secs(self.seconds);
        let rate = self.rate.unwrap_or(RATE);
        vec![Wave { kind: self.kind.into(), rate, time, sources: self.sources.map(|sources| sources as usize) }]
    }

    /// Whether a flood is described, beyond how long it is.
    fn is_described(&self) -> bool {
        self.rate.is_some() || self.sources.is_some() || self.kind != KindArg::Syn
    }
}

/// Tries a policy.
pub fn try_policy(args: &TryArgs) -> Result<(), Failure> {
    let server = args.server.clone().map_or(Server::Tiny(4096), Server::Command);
    let trial = trial_of(policy_of(&args.policy, false)?, server, args.port, args.flood.waves())?;
    let trial = Trial { way: args.way.way(false), ..trial };
    let report = trial::run(&trial).map_err(failed)?;
    show(&[(args.port, report)], &Shown { json: args.flood.json, way: trial.way, past: None })
}

/// Tries the installed configuration on this host's ports.
pub fn drill(args: &DrillArgs) -> Result<(), Failure> {
    let policy = policy_of(&args.config, true)?;
    let past = match &args.incident {
        Some(name) => Some(past::named(name)?),
        None if args.flood.is_described() => None,
        None => past::newest(),
    };
    let seconds = args.flood.seconds;
    if let Some(past) = past.as_ref().filter(|_| !args.flood.json) {
        crate::print(&past.told(args.incident.is_none(), seconds))?;
    }
    let way = args.way.way(past.as_ref().is_some_and(|past| past.v6));
    let (mut waves, mut origins) = (args.flood.waves(), Vec::new());
    if let Some(past) = &past {
        waves =
            vec![Wave { kind: Kind::Syn, rate: past.rate, time: Duration::from_secs(seconds), sources: past.sources }];
        if !past.parts.is_empty() {
            origins = origin::concentrated(&past.parts, way.v6);
        }
    }
    let mut reports = Vec::new();
    for (port, backlog) in drilled(&args.ports, past.as_ref()) {
        let trial = trial_of(policy.clone(), Server::Tiny(backlog), port, waves.clone())?;
        let trial = Trial { way, origins: origins.clone(), ..trial };
        reports.push((port, trial::run(&trial).map_err(failed)?));
    }
    show(&reports, &Shown { json: args.flood.json, way, past: past.as_ref().map(|past| (past, seconds)) })
}

/// The ports of a drill with their backlogs: those that were asked for, those of the incident, or this host's.
fn drilled(asked: &[u16], past: Option<&Past>) -> Vec<(u16, i32)> {
    let known = past.map_or(&[][..], |past| past.ports.as_slice());
    let backlog = |port: u16| known.iter().find(|(one, _)| *one == port).map_or(128, |(_, backlog)| *backlog);
    match (asked, known) {
        ([], []) => own_ports(),
        ([], known) => known.to_vec(),
        (asked, _) => asked.iter().map(|port| (*port, backlog(*port))).collect(),
    }
}

/// Sends a recorded flood again, against the installed configuration.
pub fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        let no_capture = matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
        let what = if no_capture { "is no capture (pcap or pcapng)" } else { "cannot be read" };
        Failure::from_error(format!("{} {what}", args.capture.display()), error).hint(CAPTURE).usage()
    };
    let file = File::open(&args.capture).map_err(unreadable)?;
    let recorded = packets::read(BufReader::new(file), &args.capture).map_err(unreadable)?;
    let waves = waves_of(&recorded, args.times);
    if waves.is_empty() {
        let what = format!("{} has no SYNs that could be sent again", args.capture.display());
        return Err(Failure::new(what).hint(CAPTURE).usage());
    }
    let port = recorded.syn_sources.by_port.iter().max_by_key(|(_, count)| **count).map_or(80, |(port, _)| *port);
    if !args.json {
        crate::print(&retold(&recorded, &waves, port))?;
    }
    let trial = trial_of(policy_of(&args.config, true)?, Server::Tiny(4096), port, waves)?;
    let report = trial::run(&trial).map_err(failed)?;
    show(&[(port, report)], &Shown { json: args.json, way: trial.way, past: None })
}

/// Reads by how much a recorded rate is multiplied.
fn times(text: &str) -> Result<f64, String> {
    let times = text.parse().ok().filter(|times| (0.01..=1000.0).contains(times));
    times.ok_or_else(|| "between 0.01 and 1000 are wanted".to_owned())
}

fn trial_of(policy: String, server: Server, port: u16, waves: Vec<Wave>) -> Result<Trial, Failure> {
    let program = super::program()?;
    let greets = GREETING.contains(&port);
    let (way, origins) = (Way::default(), Vec::new());
    Ok(Trial { program, policy, server, port, greets, calm: Duration::from_secs(2), visits: 20, waves, way, origins })
}

/// The text of a configuration, which is checked as `run` would. A missing one is an empty one where it need not be there.
fn policy_of(path: &Path, may_be_missing: bool) -> Result<String, Failure> {
    match fs::read_to_string(path) {
        Err(error) if may_be_missing && path == Path::new(INSTALLED) && error.kind() == io::ErrorKind::NotFound => {
            Ok(String::new())
        }
        Err(error) => Err(Failure::from_error(format!("{} cannot be read", path.display()), error)
            .hint("a configuration is wanted, as /etc/sekisho.toml; an empty file is one too: the defaults")
            .usage()),
        Ok(text) => {
            sekisho_engine::policy::Policy::parse(&text, path)?;
            Ok(text)
        }
    }
}

/// Ports on which this host listens for others, with their backlogs: the most frequent services first, three at most.
fn own_ports() -> Vec<(u16, i32)> {
    let shown = std::process::Command::new("ss").args(["-tlnH"]).output().map(|said| said.stdout).unwrap_or_default();
    let mut found = listening(&String::from_utf8_lossy(&shown));
    let rank = |port: u16| FIRST.iter().position(|first| *first == port).unwrap_or(FIRST.len());
    found.sort_by_key(|(port, _)| (rank(*port), *port));
    found.dedup_by_key(|(port, _)| *port);
    found.truncate(3);
    if found.is_empty() { vec![(80, 128), (25, 128)] } else { found }
}

/// Reads `ss -tln`: state, accept queue, backlog, address and port.
fn listening(shown: &str) -> Vec<(u16, i32)> {
    let one = |line: &str| {
        let mut words = line.split_whitespace().skip(2);
        let backlog = words.next()?.parse().ok()?;
        let (address, port) = words.next()?.rsplit_once(':')?;
        let own = address.starts_with("127.") || address.starts_with("[::1]");
        (!own).then_some((port.parse().ok()?, backlog))
    };
    shown.lines().filter_map(one).collect()
}

/// The part of a recorded flood with the most SYNs, at most [`REPLAY_MAX`] long, in parts of [`PART`] or more.
fn waves_of(recorded: &Packets, times: f64) -> Vec<Wave> {
    let step = Duration::from_millis(recorded.step_ms.max(1));
    let per_wave = PART.as_millis().div_ceil(step.as_millis()).max(1) as usize;
    let counts: Vec<u64> = recorded.steps.iter().map(|step| step.syns).collect();
    let parts: Vec<(u64, usize)> = counts.chunks(per_wave).map(|part| (part.iter().sum(), part.len())).collect();
    let length = ((REPLAY_MAX.as_secs_f64() / (step * per_wave as u32).as_secs_f64()) as usize).max(1);
    let busiest = parts
        .windows(length.min(parts.len()).max(1))
        .max_by_key(|window| window.iter().map(|part| part.0).sum::<u64>());
    let bare = recorded.syn_fingerprints.first().is_some_and(|most| most.options.is_empty());
    let kind = if bare { Kind::BareSyn } else { Kind::Syn };
    let sources = Some(recorded.syn_sources.distinct as usize).filter(|distinct| *distinct <= 65536);
    let wave = |&(syns, steps): &(u64, usize)| {
        let time = (step * steps as u32).min(REPLAY_MAX);
        let rate = (syns as f64 * times / (step * steps as u32).as_secs_f64()).round() as u32;
        (rate > 0).then_some(Wave { kind, rate: rate.min(6_000_000), time, sources })
    };
    busiest.unwrap_or_default().iter().filter_map(wave).collect()
}

fn retold(recorded: &Packets, waves: &[Wave], port: u16) -> String {
    let time: Duration = waves.iter().map(|wave| wave.time).sum();
    let most = waves.iter().map(|wave| wave.rate).max().unwrap_or(0);
    format!(
        "Of {} SYNs from {} addresses, the busiest {} s are sent again, up to {most} a second, to port {port},\nfrom addresses of 198.18.0.0/15 in place of the recorded ones.\n",
        recorded.syns + recorded.syns_again,
        recorded.syn_sources.distinct,
        time.as_secs()
    )
}

/// Whether visitors got through.
fn holds(report: &Report) -> bool {
    let fine = |seen: &Seen| seen.visits.is_empty() || seen.percent() >= HOLDS;
    fine(&report.calm.regulars) && fine(&report.flood.regulars) && fine(&report.flood.newcomers)
}

/// How reports are shown, and what they are about.
struct Shown<'a> {
    json: bool,
    way: Way,
    /// The incident that was sent again, and for how many seconds.
    past: Option<(&'a Past, u64)>,
}

fn show(reports: &[(u16, Report)], shown: &Shown<'_>) -> Result<(), Failure> {
    let all_hold = reports.iter().all(|(_, report)| holds(report));
    let text = if shown.json {
        let list: Vec<_> = reports.iter().map(|(port, report)| value(*port, report)).collect();
        let way = json!({
            "family": if shown.way.v6 { 6 } else { 4 },
            "behind_nat": shown.way.behind_nat,
            "delay_ms": shown.way.delay.as_millis() as u64,
            "bits_per_second": shown.way.speed.map(|bytes| bytes * 8),
        });
        let past = shown.past.map(|(past, seconds)| past.value(all_hold, reports, seconds));
        format!("{:#}\n", json!({"version": 1, "way": way, "incident": past, "ports": list}))
    } else {
        let way = way::told(shown.way);
        let verdict = shown.past.map(|(past, seconds)| past.verdict(all_hold, reports, seconds));
        let told = reports.iter().map(|(port, report)| told(*port, &way, report));
        told.chain(verdict).collect()
    };
    crate::print(&text)?;
    let failing: Vec<_> =
        reports.iter().filter(|(_, report)| !holds(report)).map(|(port, _)| port.to_string()).collect();
    match failing.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("visitors were turned away on port {}", failing.join(", ")))
            .hint("the verdicts above say by what; docs/operations/limits.md says what each limit does")),
    }
}

fn told(port: u16, way: &str, report: &Report) -> String {
    let mut text = format!("Port {port}{way}\n");
    for (name, phase) in [("calm", &report.calm), ("flood", &report.flood)] {
        tell(&mut text, name, phase);
    }
    if !report.calm.regulars.visits.is_empty() && report.calm.regulars.percent() < HOLDS {
        text += "  While all is calm visitors are turned away: that is the policy's own doing, or the server's.\n";
    }
    text += if holds(report) { "  It holds.\n" } else { "  It does not hold.\n" };
    text
}

fn tell(text: &mut String, name: &str, phase: &Phase) {
    let ms = |time: Option<Duration>| time.map_or("-".into(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3));
    for (who, seen) in [("regulars", &phase.regulars), ("newcomers", &phase.newcomers)] {
        if seen.visits.is_empty() {
            continue;
        }
        let _ = writeln!(
            text,
            "  {name:5}  {who:9}  {:5.1} % of {} visits; first byte {} (median), {} (99 %)",
            seen.percent(),
            seen.visits.len(),
            ms(seen.first_byte_within(50.0)),
            ms(seen.first_byte_within(99.0))
        );
    }
    if phase.flooded > 0 {
        let _ = writeln!(
            text,
            "         {} segments sent, {} frames found the receive ring full",
            phase.flooded, phase.missed
        );
    }
    let verdicts: Vec<_> = phase.verdicts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let _ = writeln!(text, "         verdicts: {}", verdicts.join(", "));
}

fn value(port: u16, report: &Report) -> Value {
    let seen = |seen: &Seen| {
        let ms = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
        json!({
            "visits": seen.visits.len(),
            "complete": seen.complete(),
            "first_byte_ms": {"median": ms(seen.first_byte_within(50.0)), "p99": ms(seen.first_byte_within(99.0))},
        })
    };
    let phase = |phase: &Phase| {
        let verdicts: serde_json::Map<_, _> =
            phase.verdicts.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
        json!({
            "regulars": seen(&phase.regulars),
            "newcomers": seen(&phase.newcomers),
            "segments": phase.flooded,
            "ring_full": phase.missed,
            "verdicts": verdicts,
        })
    };
    json!({"port": port, "holds": holds(report), "calm": phase(&report.calm), "flood": phase(&report.flood)})
}

#[cfg(test)]
mod tests {
    use sekisho_engine::observe::record::packets::{Fingerprint, Step};

    use super::*;

    #[test]
    fn listeners_for_others_alone() {
        let shown =
            "LISTEN 0 511 0.0.0.0:80 0.0.0.0:*\nLISTEN 0 128 127.0.0.1:5432 0.0.0.0:*\nLISTEN 0 100 [::]:25 [::]:*\n";
        assert_eq!(listening(shown), [(80, 511), (25, 100)]);
    }

    #[test]
    fn a_port_that_was_asked_for_goes_before_the_incident_s() {
        assert_eq!(drilled(&[25, 80], None), [(25, 128), (80, 128)]);
        assert!(!drilled(&[], None).is_empty());
    }

    #[test]
    fn the_busiest_part_of_a_capture_is_sent_again() {
        let mut recorded = Packets { step_ms: 1000, ..Packets::default() };
        recorded.steps =
            (0..100).map(|n| Step { syns: if (60..80).contains(&n) { 5000 } else { 10 }, ..Step::default() }).collect();
        recorded.syn_sources.distinct = 300;
        recorded.syn_fingerprints =
            vec![Fingerprint { options: String::new(), window: 1, mss: None, ttl_begin: 64, count: 9, completed: 0 }];
        let waves = waves_of(&recorded, 2.0);
        assert_eq!(waves.iter().map(|wave| wave.time).sum::<Duration>(), REPLAY_MAX);
        assert_eq!(waves.iter().filter(|wave| wave.rate == 10_000).count(), 10, "{waves:?}");
        assert!(waves.iter().all(|wave| wave.kind == Kind::BareSyn && wave.sources == Some(300)));
        assert!(waves_of(&Packets::default(), 1.0).is_empty());
    }
}
