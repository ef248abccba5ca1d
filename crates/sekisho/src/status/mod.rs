//! `sekisho status`: puts the report together, from the kernel, the pinned maps and what the daemon wrote down. It needs no daemon.

mod flood;
mod text;

use sekisho_datapath::{Attached, Completion, Datapath, Pins, Verdict, abi, kernel, time};
use sekisho_engine::act::{Mends, Step, nft};
use sekisho_engine::judge;
use sekisho_engine::observe::{links, listeners};
use sekisho_engine::policy::{Mode, Policy};
use sekisho_engine::report::{
    CompletionStatus, InterfaceStatus, ListStatus, ListsStatus, RuleStatus, ServiceStatus, StatusReport, TableStatus,
    VERSION, VerdictStatus, VerifiedStatus,
};

use crate::daemon::{learnt, samples};
use crate::failure::Failure;
use crate::lists::{InForce, Record};
use crate::state::{State, mends_file};
use crate::{host, lock};

/// The status as text or JSON.
pub fn status(json: bool) -> Result<String, Failure> {
    let report = collect()?;
    if !json {
        return Ok(text::render(&report));
    }
    let json = serde_json::to_string_pretty(&report);
    json.map(|text| text + "\n").map_err(|error| Failure::from_error("cannot write JSON", error))
}

/// Pinned maps are root's alone.
pub fn need_root() -> Result<(), Failure> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        return Ok(());
    }
    Err(Failure::new("only root can look at the programs in the kernel").hint("run it with sudo"))
}

fn collect() -> Result<StatusReport, Failure> {
    need_root()?;
    let pins = Pins::here()?;
    let state = State::read(&pins);
    let policy = state.as_ref().map(State::policy).unwrap_or_default();
    let datapath = Datapath::open(&pins)?;
    let mut attached = datapath.as_ref().map(Datapath::interfaces).unwrap_or_default();
    if let Some(state) = &state {
        state.explain(&mut attached);
    }
    let nftables = state.as_ref().and_then(table);
    let protected = attached.iter().any(|on| on.live) || nftables.is_some();
    let wanted = state.as_ref().map(|state| state.interfaces.clone()).unwrap_or_default();
    let mends = Mends::load(&mends_file(&pins))?;
    let missing = kernel::supports().ok().and_then(|support| support.own_cookie_missing);
    // The table has its own place in the report.
    let changed: Vec<Step> = mends.steps().iter().filter(|step| !matches!(step, Step::Table { .. })).cloned().collect();
    let facts = host::facts(&policy, &wanted, &attached, &changed, missing);
    Ok(StatusReport {
        version: VERSION,
        protected,
        mode: (datapath.is_some() || nftables.is_some()).then(|| mode(state.as_ref())),
        daemon: lock::holder(&pins.lock_file()),
        interfaces: interfaces(&attached),
        completion: datapath.as_ref().map(|datapath| completion(datapath, state.as_ref())),
        nftables,
        services: services(&policy, datapath.as_ref(), protected)?,
        verified: datapath.as_ref().map(verified).transpose()?,
        lists: lists(&pins)?,
        flood: datapath.as_ref().map(flood::flood).transpose()?,
        verdicts: verdicts(datapath.as_ref())?,
        findings: judge::judge(&facts),
    })
}

/// The table, where it does the work.
fn table(state: &State) -> Option<TableStatus> {
    let reason = state.nftables.clone()?;
    let rules = nft::counts(&nft::listing()?).into_iter().map(|(comment, packets)| RuleStatus { comment, packets });
    Some(TableStatus { reason, rules: rules.collect() })
}

/// Reads all of them, which for a million prefixes takes a moment.
fn lists(pins: &Pins) -> Result<Option<ListsStatus>, Failure> {
    let Some(in_force) = InForce::find_one(pins)? else { return Ok(None) };
    // A record that is damaged is told by whoever wants to change it.
    let totals = in_force.totals(&Record::load(pins).unwrap_or_default())?;
    let [allowed, blocked] = totals.map(|(prefixes, hits)| ListStatus { prefixes, hits });
    Ok(Some(ListsStatus { allowed, blocked }))
}

fn mode(state: Option<&State>) -> &'static str {
    let observing = state.is_some_and(|state| state.mode == Mode::Observe.word());
    if observing { Mode::Observe.word() } else { Mode::Guard.word() }
}

fn interfaces(attached: &[Attached]) -> Vec<InterfaceStatus> {
    let links = links::links().unwrap_or_default();
    let up = |index| links.iter().any(|link| link.index == index && link.up);
    let status = |on: &Attached| InterfaceStatus {
        name: on.name.clone(),
        index: on.index,
        attached: on.mode.name(),
        reason: on.native_refused.clone(),
        up: up(on.index),
    };
    attached.iter().filter(|on| on.live).map(status).collect()
}

fn completion(datapath: &Datapath, state: Option<&State>) -> CompletionStatus {
    let method = match datapath.maps().completion() {
        Completion::Own => "own",
        Completion::Kernel => "kernel",
    };
    CompletionStatus { method, reason: state.map(|state| state.completion_reason.clone()).unwrap_or_default() }
}

fn services(policy: &Policy, datapath: Option<&Datapath>, protected: bool) -> Result<Vec<ServiceStatus>, Failure> {
    let facts = listeners::services().map_err(|error| {
        Failure::from_error("cannot list the listening sockets", error)
            .hint("the kernel needs CONFIG_INET_DIAG (module tcp_diag)")
    })?;
    let learnt = datapath.map(|datapath| learnt(datapath.maps())).unwrap_or_default();
    let samples = datapath.map(|datapath| samples(datapath.maps())).unwrap_or_default();
    let tick = time::tick(time::coarse_ns());
    let status = |service: &listeners::Service| {
        let port = service.local.port();
        let armed = datapath.is_some_and(|datapath| datapath.maps().port(port).is_armed(tick));
        let settings = policy.port(port, learnt.get(&port).copied());
        ServiceStatus::new(service, settings, protected, armed, samples.get(&port).copied().unwrap_or_default())
    };
    Ok(facts.iter().map(status).collect())
}

fn verified(datapath: &Datapath) -> Result<VerifiedStatus, Failure> {
    let (ipv4, ipv6) = datapath.maps().verified_count()?;
    let capacity = datapath.maps().capacity();
    Ok(VerifiedStatus {
        ipv4,
        ipv4_capacity: capacity.verified4,
        ipv6,
        ipv6_capacity: capacity.verified6,
        memory_bytes: capacity.memory_bytes(),
    })
}

fn verdicts(datapath: Option<&Datapath>) -> Result<Vec<VerdictStatus>, Failure> {
    let counts = datapath.map(|datapath| datapath.maps().verdicts()).transpose()?.unwrap_or([0; abi::VERDICT_SLOTS]);
    let status = |verdict: &Verdict| VerdictStatus {
        number: verdict.number().into(),
        name: verdict.name(),
        action: verdict.action().name(),
        count: counts[usize::from(verdict.number())],
        help: verdict.help(),
    };
    Ok(Verdict::ALL.iter().map(status).collect())
}
