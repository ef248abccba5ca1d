//! A policy tried before it goes live: Sekisho with that policy in front of a server, while all is calm and under a flood.
//!
//! There are two kinds of visitors. Regulars come while all is calm and again under the flood, so Sekisho knows them by then; newcomers
//! come under the flood alone. Both begin their visits at fixed times, however the earlier ones fare. [`way`] is how they come to the
//! server, [`origin`] where the flood comes from.

pub mod origin;
pub mod way;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::clients::{Crowd, Seen};
use crate::counters;
use crate::flood::{Kind, SOURCES_MAX, Shot};
use crate::guard::Guard;
use crate::servers::{Process, Talk, Tiny};
use crate::topology::{CLIENTS, DEVICE, Host};
use crate::{Error, Result, leftover, wait};

use way::Visitors;
pub use way::Way;

/// How long a visitor waits: two retransmissions of its SYN, and a little.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a server that listens may take to be reached.
const REACHED_WITHIN: Duration = Duration::from_secs(3);
/// Addresses of regulars; the other clients are newcomers.
const REGULARS: usize = 20;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Sekisho.
    pub program: PathBuf,
    /// Its configuration (TOML).
    pub policy: String,
    /// What listens.
    pub server: Server,
    /// Where.
    pub port: u16,
    /// Whether the server speaks first.
    pub greets: bool,
    /// How long the calm before the flood is watched.
    pub calm: Duration,
    /// Visits of regulars, and of newcomers, a second.
    pub visits: u32,
    /// The flood, one part after the other.
    pub waves: Vec<Wave>,
    /// How visitors come.
    pub way: Way,
    /// Where the whole flood comes from, whatever its parts say; empty is where they say. See [`origin::concentrated`].
    pub origins: Vec<IpAddr>,
}

/// What listens in the server's namespace.
#[derive(Debug, Clone)]
pub enum Server {
    /// A small server of the lab's own, with this backlog.
    Tiny(i32),
    /// A command of the user's, which has to listen on the port and stay in the foreground.
    Command(String),
}

/// A part of a flood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wave {
    /// What each segment is.
    pub kind: Kind,
    /// Segments a second.
    pub rate: u32,
    /// For how long.
    pub time: Duration,
    /// From how many addresses; `None` is the whole range.
    pub sources: Option<usize>,
}

/// What was seen in one phase.
#[derive(Debug, Clone, Default)]
pub struct Phase {
    /// Who comes often.
    pub regulars: Seen,
    /// Who comes for the first time.
    pub newcomers: Seen,
    /// Segments of the flood that were sent.
    pub flooded: u64,
    /// Frames for the server that found its receive ring full.
    pub missed: u64,
    /// What Sekisho did, by verdict.
    pub verdicts: Vec<(String, u64)>,
}

/// What came out.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Before the flood.
    pub calm: Phase,
    /// Under it.
    pub flood: Phase,
    /// The daemon's log.
    pub log: String,
}

/// The server, for as long as it is wanted.
enum Listening {
    Tiny { _server: Tiny },
    Command { _process: Process, _folder: TempDir },
}

/// Tries it.
///
/// # Errors
///
/// [`Error::Server`] if the server does not come up, [`Error::Ended`] if Sekisho does not, with what they said; what keeps the lab from
/// working.
pub fn run(trial: &Trial) -> Result<Report> {
    let host = Host::new()?;
    let visitors = trial.way.build(&host)?;
    let _listening = listen(&host, trial).map_err(|error| Error::Server(Box::new(error)))?;
    let guard = Guard::start(&host.server, &trial.program, &trial.policy, &[])?;
    let calm = watched(&host, &guard, || {
        let regulars = crowd(&visitors, trial, 0..REGULARS, trial.calm).run()?;
        Ok(Phase { regulars, ..Phase::default() })
    })?;
    let time: Duration = trial.waves.iter().map(|wave| wave.time).sum();
    let flood = watched(&host, &guard, || {
        thread::scope(|scope| {
            let regulars = scope.spawn(|| crowd(&visitors, trial, 0..REGULARS, time).run());
            let newcomers = scope.spawn(|| crowd(&visitors, trial, REGULARS..usize::from(CLIENTS), time).run());
            let flooded = pour(&host, trial)?;
            let seen = |crowd: thread::ScopedJoinHandle<'_, Result<Seen>>| {
                crowd.join().unwrap_or_else(|_| Err(Error::parse("what visitors saw", "their thread died")))
            };
            Ok(Phase { regulars: seen(regulars)?, newcomers: seen(newcomers)?, flooded, ..Phase::default() })
        })
    })?;
    Ok(Report { calm, flood, log: guard.log() })
}

fn listen(host: &Host, trial: &Trial) -> Result<Listening> {
    match &trial.server {
        Server::Tiny(backlog) => {
            let talk = if trial.greets {
                Talk::Banner("220 lab.example ready\r\n".into())
            } else {
                Talk::Http(b"hello\n".into())
            };
            let server = Tiny::start(&host.server, SocketAddr::new(trial.way.server(), trial.port), *backlog, talk)?;
            Ok(Listening::Tiny { _server: server })
        }
        Server::Command(line) => {
            let folder = leftover::folder("server")?;
            let log = folder.path().join("log");
            let mut command = host.server.command("sh");
            command.args(["-c", line]);
            let mut process = Process::start(command, &log)?;
            process.listens(&host.server, &[trial.port], &log)?;
            is_open(host, SocketAddr::new(trial.way.server(), trial.port))?;
            Ok(Listening::Command { _process: process, _folder: folder })
        }
    }
}

/// Waits until visitors can connect: who listens on 127.0.0.1 alone, or over the other family, is not there for them.
fn is_open(host: &Host, target: SocketAddr) -> Result<()> {
    let open = || TcpStream::connect_timeout(&target, REACHED_WITHIN).is_ok();
    wait::until(&format!("a connection to {target}"), REACHED_WITHIN, || host.client.run(open).unwrap_or(false))
}

fn crowd(visitors: &Visitors, trial: &Trial, who: std::ops::Range<usize>, time: Duration) -> Crowd {
    let target = SocketAddr::new(trial.way.server(), trial.port);
    let namespace = &visitors.namespace;
    let crowd = if trial.greets { Crowd::banner(namespace, target, "") } else { Crowd::http(namespace, target, "/") };
    let visits = (f64::from(trial.visits) * time.as_secs_f64()).ceil() as usize;
    // A visit that is asked for proof takes four round trips at most.
    let patience = PATIENCE + 8 * trial.way.delay;
    let addresses = who.map(|n| visitors.address(n)).collect();
    crowd.sources(addresses).visits(visits.max(1)).rate(trial.visits).deadline(patience)
}

/// What was counted meanwhile.
fn watched(host: &Host, guard: &Guard, meanwhile: impl FnOnce() -> Result<Phase>) -> Result<Phase> {
    let (before, frames) = (guard.verdicts()?, counters::frames(&host.server, DEVICE)?);
    let mut phase = meanwhile()?;
    phase.missed = counters::frames(&host.server, DEVICE)?.missed.saturating_sub(frames.missed);
    let earlier = |name: &str| before.iter().find(|(one, _)| one == name).map_or(0, |(_, count)| *count);
    let grown = guard.verdicts()?.into_iter().map(|(name, count)| {
        let more = count.saturating_sub(earlier(&name));
        (name, more)
    });
    phase.verdicts = grown.filter(|(_, more)| *more > 0).collect();
    Ok(phase)
}

/// Sends the flood and says how much of it there was. A part that begins late, because the one before took long to end, is shorter.
fn pour(host: &Host, trial: &Trial) -> Result<u64> {
    let begin = Instant::now();
    let (mut sent, mut until) = (0, Duration::ZERO);
    for wave in &trial.waves {
        until += wave.time;
        let left = until.saturating_sub(begin.elapsed());
        if left < Duration::from_millis(10) {
            continue;
        }
        let target = SocketAddr::new(trial.way.server(), trial.port);
        let shot = Shot::new(wave.kind, target).rate(wave.rate.max(1)).duration(left);
        let shot = match wave.sources {
            _ if !trial.origins.is_empty() => shot.from_list(trial.origins.clone()),
            Some(sources) if sources <= SOURCES_MAX => shot.from_list(origin::scattered(sources, trial.way.v6)),
            _ => shot,
        };
        sent += host.flood(shot)?.run()?.sent;
    }
    Ok(sent)
}
