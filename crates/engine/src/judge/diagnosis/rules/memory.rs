//! Memory: whether it ran short, and the arithmetic of workers: how many there may be, times what one takes, against what the machine has.

use super::super::facts::{Facts, whole};
use super::super::phrase::{Action, Evidence, Refutation, place};
use super::super::thresholds as at;
use super::super::value::{Bytes, Milliseconds, Number, Percent, Rate};
use super::super::{Cause, Confidence, Finding, Role};
use super::attacks::workers_message;
use crate::observe::record::{EventKind, Metric, Mpm, Record, Server, Time, WebServer};

/// Tasks that must have come before their memory can be reckoned from the machine's.
const TASKS_MIN: f64 = 20.0;
/// Workers that hold less than this part of the memory are not why it ran short.
const WORKERS_PART: f64 = 0.3;
/// A kept connection holds a worker; so long is enough for a browser's next request, in milliseconds.
const KEEP_ALIVE_MS: u64 = 2000;

/// Signs that memory was short, the weightiest first; empty: it was not.
pub fn harm(facts: &Facts<'_>) -> Vec<Evidence> {
    let all = [killed(facts), pressure(facts), low(facts), swapping(facts)];
    let mut signs: Vec<Evidence> = all.into_iter().flatten().collect();
    if !signs.is_empty() {
        signs.extend([swap_used(facts), committed(facts), load(facts), blocked(facts)].into_iter().flatten());
    }
    signs
}

fn killed(facts: &Facts<'_>) -> Option<Evidence> {
    let name = facts.events().find_map(|event| match &event.kind {
        EventKind::OutOfMemoryKill { process, .. } => Some(process.clone()),
        _ => None,
    });
    let counted = facts.record.series(Metric::OutOfMemoryKills).map(|(_, kills)| kills).sum::<f64>();
    match name {
        Some(process) => {
            let of_it = |kind: &EventKind| matches!(kind, EventKind::OutOfMemoryKill { process: other, .. } if *other == process);
            let (count, _) = facts.happened(of_it)?;
            Some(Evidence::OutOfMemoryKills { process, count })
        }
        None => (counted >= 1.0).then(|| Evidence::OutOfMemoryCounted { count: whole(counted) }),
    }
}

fn pressure(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, share) = facts.peak(Metric::PressureMemoryFull)?;
    (share >= at::PRESSURE_FULL).then_some(Evidence::MemoryPressure { share: Percent(share), at: when })
}

/// Little memory is left, and pages go to swap for it or there is no swap.
fn low(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, available) = facts.low(Metric::MemoryAvailable)?;
    let memory = facts.record.host.memory_bytes?;
    let swap = facts.record.host.swap_bytes == Some(0) || swapping(facts).is_some() || swap_grew(facts);
    let low = available < at::MEMORY_LOW * memory as f64 && swap;
    low.then(|| Evidence::MemoryLow { available: Bytes(whole(available)), memory: Bytes(memory), at: when })
}

fn swap_grew(facts: &Facts<'_>) -> bool {
    let least = facts.low(Metric::SwapUsed).map_or(0.0, |(_, used)| used);
    let most = facts.peak(Metric::SwapUsed).map_or(0.0, |(_, used)| used);
    facts.record.host.memory_bytes.is_some_and(|memory| most - least > at::MEMORY_LOW * memory as f64)
}

/// Pages go out and come in again: what is needed does not fit.
fn swapping(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, out) = facts.peak(Metric::SwapOut)?;
    let (_, back) = facts.peak(Metric::SwapIn)?;
    let both = out >= at::SWAP_PAGES && back >= at::SWAP_PAGES;
    both.then_some(Evidence::SwapTraffic { pages: Rate(out + back), at: when })
}

fn swap_used(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, used) = facts.peak(Metric::SwapUsed)?;
    (used > 0.0).then(|| Evidence::SwapUsed { used: Bytes(whole(used)), at: when })
}

/// More was promised than there is.
fn committed(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, share) = facts.peak(Metric::MemoryCommitted)?;
    (share > 100.0).then_some(Evidence::MemoryCommitted { share: Percent(share), at: when })
}

/// The load, where it says that the machine was near to stuck.
pub fn load(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, load) = facts.peak(Metric::Load1)?;
    let cpus = u64::from(facts.record.host.cpus?);
    (load >= at::LOAD_PER_CPU * cpus as f64).then_some(Evidence::Load { load: Number(load), cpus, at: when })
}

fn blocked(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, count) = facts.peak(Metric::Blocked)?;
    (count >= at::LOAD_PER_CPU).then(|| Evidence::BlockedTasks { count: whole(count), at: when })
}

/// How many workers there may be, and what that takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Arithmetic {
    /// Whose.
    pub server: Server,
    /// How many processes there may be.
    pub processes: u64,
    /// What one takes, in bytes.
    pub each: u64,
    /// Whether that was seen, not inferred.
    pub measured: bool,
    /// How it is known.
    pub evidence: Evidence,
    /// The machine's memory, or its control group's limit if that is less, in bytes.
    pub memory: u64,
    /// What of it workers can have, in bytes.
    pub spare: u64,
}

impl Arithmetic {
    /// What all of them take.
    pub const fn needed(&self) -> u64 {
        self.processes.saturating_mul(self.each)
    }

    /// How many fit; one at least.
    pub fn fit(&self) -> u64 {
        (self.spare / self.each.max(1)).max(1)
    }
}

/// The arithmetic of a server whose processes are its workers; `None`: something of it is not known.
pub fn arithmetic(facts: &Facts<'_>, web: &WebServer) -> Option<Arithmetic> {
    let processes = web.processes_max.filter(|_| web.server != Server::Nginx)?;
    let limits = [web.memory_limit_bytes, facts.record.host.memory_bytes];
    let memory = limits.into_iter().flatten().min().filter(|memory| *memory > 0)?;
    let server = web.server;
    let measured = web.process_memory_bytes.or(web.process_resident_bytes).filter(|bytes| *bytes > 0);
    let measured = measured.map(|each| (each, Evidence::WorkerMemory { server, each: Bytes(each) }));
    // A worker that is idle is smaller than one at work, and those that were killed were at work.
    let known = [measured, killed_worker(facts, server)].into_iter().flatten().max_by_key(|(each, _)| *each);
    let measured = known.is_some();
    let (each, evidence) = known.or_else(|| reckoned(facts.whole, server, processes))?;
    Some(Arithmetic { server, processes, each, measured, evidence, memory, spare: spare(facts, web, each, memory) })
}

/// Measured now: what is available, and what the workers have. Else a share of all. A control group is for its own processes alone.
fn spare(facts: &Facts<'_>, web: &WebServer, each: u64, memory: u64) -> u64 {
    if web.memory_limit_bytes == Some(memory) {
        return (memory as f64 * (1.0 - at::MEMORY_FREE)) as u64;
    }
    let share = (memory as f64 * (1.0 - at::MEMORY_OTHERS)) as u64;
    let available = facts.record.last(Metric::MemoryAvailable).filter(|_| facts.now);
    let Some((available, processes)) = available.zip(web.processes) else { return share };
    let has = (available as u64).saturating_add(processes.saturating_mul(each));
    has.saturating_sub((memory as f64 * at::MEMORY_FREE) as u64).min(share).max(each)
}

fn is_worker(process: &str, server: Server) -> bool {
    match server {
        Server::Apache => matches!(process, "apache2" | "httpd"),
        Server::Nginx => process == "nginx",
        Server::PhpFpm => process.starts_with("php-fpm"),
    }
}

/// What the kernel said of a worker when it killed it.
fn killed_worker(facts: &Facts<'_>, server: Server) -> Option<(u64, Evidence)> {
    let sizes = facts.whole.events.iter().filter_map(|event| match &event.kind {
        EventKind::OutOfMemoryKill { process, resident_bytes, .. } if is_worker(process, server) => *resident_bytes,
        _ => None,
    });
    let sizes: Vec<u64> = sizes.filter(|bytes| *bytes > 0).collect();
    let each = sizes.iter().sum::<u64>().checked_div(sizes.len() as u64)?;
    Some((each, Evidence::WorkerMemoryKilled { server, each: Bytes(each) }))
}

/// From the machine's memory while the number of tasks rose: so much more memory for so many more tasks.
fn reckoned(record: &Record, server: Server, processes: u64) -> Option<(u64, Evidence)> {
    let taken = |sample: &crate::observe::record::Sample| {
        let available = sample.values.get(&Metric::MemoryAvailable)?;
        let swap = sample.values.get(&Metric::SwapUsed).unwrap_or(&0.0);
        Some((*sample.values.get(&Metric::Tasks)?, swap - available))
    };
    let points: Vec<(f64, f64)> = record.samples.iter().filter_map(taken).collect();
    let by_tasks = |one: &&(f64, f64), other: &&(f64, f64)| one.0.total_cmp(&other.0);
    let (few, many) = (points.iter().min_by(by_tasks)?, points.iter().max_by(by_tasks)?);
    let (tasks, memory) = (many.0 - few.0, many.1 - few.1);
    // More tasks than there can be workers: something else was started.
    if tasks < TASKS_MIN || tasks > 1.5 * processes as f64 || memory <= 0.0 {
        return None;
    }
    let each = whole(memory / tasks);
    let (tasks, memory) = (whole(tasks), Bytes(whole(memory)));
    Some((each, Evidence::WorkerMemoryReckoned { server, each: Bytes(each), tasks, memory }))
}

/// The server whose workers need most, if that is more than there is.
fn largest<'f>(facts: &'f Facts<'_>) -> Option<(&'f WebServer, Arithmetic)> {
    let all = facts.record.web.iter().filter_map(|web| Some((web, arithmetic(facts, web)?)));
    all.max_by_key(|(_, sum)| sum.needed())
}

/// Workers whose number times their size is more than the memory.
pub fn overcommitted(facts: &Facts<'_>) -> Option<Finding> {
    let (web, sum) = largest(facts)?;
    let harm = harm(facts);
    let too_many = sum.needed() > sum.memory;
    let bound = if harm.is_empty() { sum.memory } else { sum.spare };
    // Few workers now hold little: then others took the memory.
    let hold = web.processes.map(|processes| processes.saturating_mul(sum.each)).filter(|_| facts.now);
    let took = hold.is_none_or(|held| held as f64 >= WORKERS_PART * sum.memory as f64);
    if sum.needed() <= bound || !too_many && !took {
        return None;
    }
    let role = if harm.is_empty() || !took { Role::Standing } else { Role::Main };
    let killed = harm
        .iter()
        .any(|sign| matches!(sign, Evidence::OutOfMemoryKills { process, .. } if is_worker(process, sum.server)));
    let seen = killed || workers_message(facts).is_some_and(|(server, ..)| server == sum.server);
    let certain = too_many && sum.measured && (seen || hold.is_some() || role == Role::Standing);
    let confidence = if certain { Confidence::Certain } else { Confidence::Likely };
    let finding = Finding::new(Cause::MemoryOvercommitted, role, confidence).at(facts.span);
    let finding = finding.because(said(web, &sum)).because(harm);
    let refuted = [
        Refutation::WorkersSmaller { server: sum.server, each: Bytes(sum.memory / sum.processes.max(1)) },
        Refutation::AnotherProcess {},
    ];
    Some(finding.unless(refuted).so(steps(web, &sum)))
}

/// The arithmetic, in the order in which one would do it.
fn said(web: &WebServer, sum: &Arithmetic) -> Vec<Evidence> {
    let (server, processes, each) = (sum.server, sum.processes, Bytes(sum.each));
    let set = web.workers_max.as_ref().and_then(|workers| workers.place.as_ref());
    let configured = match set {
        Some(_) => Evidence::WorkersConfigured { server, workers: processes, place: place(set) },
        None => Evidence::WorkersDefault { server, workers: processes },
    };
    let needed = Bytes(sum.needed());
    let do_not_fit = Evidence::WorkersDoNotFit { server, processes, each, needed, memory: Bytes(sum.memory) };
    let fit = Evidence::WorkersThatFit { processes: sum.fit(), spare: Bytes(sum.spare) };
    let arithmetic = (sum.needed() > sum.memory).then_some(do_not_fit);
    arithmetic.into_iter().chain([configured, sum.evidence.clone(), fit]).collect()
}

fn steps(web: &WebServer, sum: &Arithmetic) -> Vec<Action> {
    let place = workers_place(web);
    let mut steps = vec![match web.server {
        Server::Apache => {
            // Of threads the setting counts all, of processes each.
            let threads =
                web.threads_per_child.as_ref().filter(|_| !is_prefork(web)).map_or(1, |threads| threads.value);
            Action::ApacheWorkers { workers: sum.fit().saturating_mul(threads.max(1)), place }
        }
        Server::PhpFpm => Action::PhpChildren { children: sum.fit(), place },
        Server::Nginx => Action::NginxProcesses { processes: sum.fit(), place },
    }];
    steps.extend(keep_alive(web));
    if web.interpreter_inside {
        steps.push(Action::ApacheEvent {});
    }
    steps.push(Action::AddMemory { memory: Bytes((sum.needed() as f64 / (1.0 - at::MEMORY_OTHERS)) as u64) });
    steps
}

/// Whether each worker is a process.
pub fn is_prefork(web: &WebServer) -> bool {
    web.mpm.as_ref().is_some_and(|mpm| mpm.value == Mpm::Prefork)
}

/// Where the number of workers is set, or can be.
pub fn workers_place(web: &WebServer) -> String {
    let set = web.workers_max.as_ref().and_then(|workers| workers.place.as_ref());
    let default = match (web.server, web.mpm.as_ref().map(|mpm| mpm.value)) {
        (Server::Apache, Some(Mpm::Prefork)) => "/etc/apache2/mods-available/mpm_prefork.conf".into(),
        (Server::Apache, Some(Mpm::Worker)) => "/etc/apache2/mods-available/mpm_worker.conf".into(),
        (Server::Apache, _) => "/etc/apache2/mods-available/mpm_event.conf".into(),
        (Server::Nginx, _) => "/etc/nginx/nginx.conf".into(),
        (Server::PhpFpm, _) => format!("pool.d/{}.conf", web.pool.as_deref().unwrap_or("www")),
    };
    if set.is_some() { place(set) } else { default }
}

/// Kept connections hold workers where each worker serves one connection.
pub fn keep_alive(web: &WebServer) -> Option<Action> {
    let kept = web.keep_alive.as_ref().is_none_or(|keep| keep.value) && is_prefork(web);
    let from = web.keep_alive_timeout_ms.as_ref()?.value;
    let (server, to) = (web.server, Milliseconds(KEEP_ALIVE_MS));
    (kept && from > KEEP_ALIVE_MS).then_some(Action::KeepAliveShorter { server, from: Milliseconds(from), to })
}

/// Memory ran short, and the arithmetic of workers does not explain it or is not known.
pub fn short(facts: &Facts<'_>) -> Option<Finding> {
    let harm = harm(facts);
    if harm.is_empty() || overcommitted(facts).is_some_and(|finding| finding.role != Role::Standing) {
        return None;
    }
    let killed =
        harm.iter().any(|sign| matches!(sign, Evidence::OutOfMemoryKills { .. } | Evidence::OutOfMemoryCounted { .. }));
    let confidence = if killed { Confidence::Certain } else { Confidence::Likely };
    let span = harm_time(&harm).map(|at| crate::observe::record::Span { from: at, until: at }).or(facts.span);
    let finding = Finding::new(Cause::MemoryShort, Role::Main, confidence).at(span).because(harm);
    Some(finding.unless([Refutation::DropsGoOn {}]).so([Action::LookAtMemory {}]))
}

fn harm_time(harm: &[Evidence]) -> Option<Time> {
    harm.iter().find_map(|sign| match sign {
        Evidence::MemoryPressure { at, .. } | Evidence::MemoryLow { at, .. } | Evidence::SwapTraffic { at, .. } => {
            Some(*at)
        }
        _ => None,
    })
}
