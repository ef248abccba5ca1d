//! One cell: a new host, a defence, visitors, and a flood.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::cpu::{Look, Spent};
use super::defence::{self, Defence, Raised};
use super::fate::Fate;
use super::values::{Rate, Receive, Sample, Visits};
use super::{Plan, has_three_processors, nice};
use crate::clients::{Crowd, Seen};
use crate::counters::{self, Frames};
use crate::flood::{DURATION_MAX, RATE_MAX, Running, Shot};
use crate::servers::Tiny;
use crate::topology::{DEVICE, Host, client_for};
use crate::{Error, Result, wait};

/// The port of the service whose clients speak first.
pub const WEB: u16 = 80;
/// The port of the service that speaks first.
pub const MAIL: u16 = 25;
/// Visits begun per second, at each service.
pub const VISITS_PER_SECOND: u32 = 100;
/// Visitors come from so many addresses, so each of them connects five times a second.
pub const SOURCES: usize = 40;
/// The client address that the iptables rules exempt, and that no visitor has.
pub const ADMIN: usize = 99;
/// How long a flood lasts before the first visitor comes: queues and tables are full by then.
pub const WARM_UP: Duration = Duration::from_millis(250);

/// More of all processors' time than this, taken by others, and the sample counts as disturbed (percent).
const OTHERS_MAX: f64 = 4.0;
/// The same of time that a hypervisor took.
const STEAL_MAX: f64 = 2.0;
/// A flood of less than this share of what was asked for counts as disturbed.
const REACHED_LEAST: f64 = 0.85;

/// How long a flood at the edge lasts before it is measured: nobody's patience is measured there, and the ring is full at once.
const EDGE_WARM_UP: Duration = Duration::from_millis(150);
/// How long a flood at the edge is measured.
const EDGE_WINDOW: Duration = Duration::from_millis(500);

/// Measures.
///
/// # Errors
///
/// Whatever keeps the lab from working, or the defence from being put up.
pub fn measure(plan: &Plan, defence: Defence, rate: Rate) -> Result<Sample> {
    let stage = Stage::set(plan, defence)?;
    let _losses = if has_three_processors() { None } else { Some(Fate::share(&stage.host)?) };
    let (web, mail) = (stage.web.address(), stage.mail.address());
    stage.measure(rate, WARM_UP, || visit(plan, &stage.host, web, mail))
}

/// A new server with its defence, before anything comes.
pub(super) struct Stage {
    // What is in the namespaces goes before them.
    web: Tiny,
    mail: Tiny,
    raised: Raised,
    host: Host,
}

impl Stage {
    /// Sets it.
    pub(super) fn set(plan: &Plan, defence: Defence) -> Result<Self> {
        let host = Host::new()?;
        let raised = defence::raise(defence, &host, plan.family, &plan.program)?;
        let address = plan.family.server();
        let web = Tiny::http(&raised.server, address, WEB, defence.backlog())?;
        let mail = Tiny::banner(&raised.server, address, MAIL, defence.backlog())?;
        Ok(Self { web, mail, raised, host })
    }

    /// A short flood that no visitor meets: only what the receive processor does.
    pub(super) fn without_visitors(&self, per_second: u32) -> Result<Sample> {
        self.measure(Rate::PerSecond(per_second), EDGE_WARM_UP, || {
            thread::sleep(EDGE_WINDOW);
            Ok((Seen::default(), Seen::default()))
        })
    }

    fn measure(&self, rate: Rate, warm_up: Duration, visits: impl FnOnce() -> Result<(Seen, Seen)>) -> Result<Sample> {
        let flood = start(&self.host, rate, self.web.address(), warm_up)?;
        let before = Reading::take(&self.host, flood.as_ref())?;
        let (web, mail) = visits()?;
        let after = Reading::take(&self.host, flood.as_ref())?;
        if let Some(flood) = flood {
            flood.stop()?;
        }
        Ok(sample(rate, &before, &after, self, (&web, &mail)))
    }
}

/// Starts the flood, and waits until it has done its first harm.
fn start(host: &Host, rate: Rate, target: SocketAddr, warm_up: Duration) -> Result<Option<Running>> {
    let per_second = match rate {
        Rate::Calm => return Ok(None),
        Rate::PerSecond(rate) => rate,
        Rate::Full => RATE_MAX,
    };
    let shot = Shot::syn(target).also_to(MAIL).rate(per_second).duration(DURATION_MAX).steady();
    let flood = host.flood(shot)?;
    // Threads inherit how nice their maker is.
    let started = thread::scope(|scope| {
        let maker = scope.spawn(|| nice(0).and_then(|()| flood.start()));
        maker.join().unwrap_or_else(|_| Err(Error::parse("the flood's start", "its thread died")))
    })?;
    wait::until("the first frames of the flood", wait::PATIENCE, || started.sent() > 0)?;
    thread::sleep(warm_up);
    Ok(Some(started))
}

/// Lets visitors of both services come.
fn visit(plan: &Plan, host: &Host, web: SocketAddr, mail: SocketAddr) -> Result<(Seen, Seen)> {
    let sources: Vec<_> = (0..SOURCES).map(|n| client_for(web.ip(), n)).collect();
    let visits = (plan.window.as_secs_f64() * f64::from(VISITS_PER_SECOND)).ceil() as usize;
    let of = |crowd: Crowd| {
        crowd.sources(sources.clone()).visits(visits).rate(VISITS_PER_SECOND).deadline(plan.deadline).run()
    };
    let (web, mail) = (Crowd::http(&host.client, web, "/"), Crowd::banner(&host.client, mail, "220 "));
    thread::scope(|scope| {
        let mail = scope.spawn(|| of(mail));
        let web = of(web)?;
        let mail = mail.join().unwrap_or_else(|_| Err(Error::parse("the visitors", "their thread died")))?;
        Ok((web, mail))
    })
}

/// All counters at one moment.
struct Reading {
    look: Look,
    frames: Frames,
    sent: u64,
}

impl Reading {
    fn take(host: &Host, flood: Option<&Running>) -> Result<Self> {
        let look = Look::now(host.receive_threads())?;
        let frames = counters::frames(&host.server, DEVICE)?;
        Ok(Self { look, frames, sent: flood.map_or(0, Running::sent) })
    }
}

fn sample(rate: Rate, before: &Reading, after: &Reading, stage: &Stage, (web, mail): (&Seen, &Seen)) -> Sample {
    let spent = after.look.since(&before.look, stage.host.receive_threads());
    let received = after.frames.received.saturating_sub(before.frames.received);
    let missed = after.frames.missed.saturating_sub(before.frames.missed);
    let sent_per_second = after.sent.saturating_sub(before.sent) as f64 / spent.seconds;
    let took = spent.receive_ns.filter(|_| rate != Rate::Calm && received > 0).map(|ns| Receive {
        ns_per_frame: ns as f64 / received as f64,
        busy_percent: ns as f64 / (spent.seconds * 1e7),
    });
    Sample {
        sent_per_second,
        taken_per_second: received as f64 / spent.seconds,
        lost_percent: 100.0 * missed as f64 / (received + missed).max(1) as f64,
        web: Visits::of(web),
        mail: Visits::of(mail),
        receive: took,
        steal_percent: spent.steal_percent,
        foreign_percent: spent.foreign_percent,
        disturbed: disturbances(rate, sent_per_second, &spent),
        // Only told: a daemon that does not answer shows in everything else.
        verdicts: stage.raised.guard.as_ref().and_then(|guard| guard.verdicts().ok()).unwrap_or_default(),
    }
}

/// What made a sample worth less, in words.
fn disturbances(rate: Rate, sent_per_second: f64, spent: &Spent) -> Vec<String> {
    let mut found = Vec::new();
    if spent.steal_percent > STEAL_MAX {
        found.push(format!("the hypervisor took {:.0} % of the processors", spent.steal_percent));
    }
    if spent.foreign_percent > OTHERS_MAX {
        found.push(format!("other programs took {:.0} % of the processors", spent.foreign_percent));
    }
    if let Rate::PerSecond(asked) = rate {
        let share = sent_per_second / f64::from(asked);
        if share < REACHED_LEAST {
            found.push(format!("the generator reached {:.0} % of the rate", 100.0 * share));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_sample_says_so() {
        let quiet = Spent { seconds: 1.0, receive_ns: None, steal_percent: 0.0, foreign_percent: 1.0 };
        assert!(disturbances(Rate::PerSecond(1000), 990.0, &quiet).is_empty());
        assert_eq!(disturbances(Rate::PerSecond(1000), 500.0, &quiet).len(), 1);
        let busy = Spent { steal_percent: 9.0, foreign_percent: 30.0, ..quiet };
        assert_eq!(disturbances(Rate::Full, 500.0, &busy).len(), 2);
    }
}
