//! `sekisho run`: loads or adopts the programs and then keeps them company.
//!
//! [`Daemon::start`] reads as what happens at start, [`Daemon::tick`] as what happens every second. Everything that must not stop
//! with the daemon is in the kernel, pinned; so whatever ends the daemon, protection stays on until `sekisho off`.

mod backend;
mod completion;
mod incidents;
mod interfaces;
mod learning;
mod limits;
mod log;
mod nftables;
mod notify;
mod settings;
mod signals;

use std::collections::BTreeSet;
use std::mem;
use std::time::{Duration, Instant};

use sekisho_datapath::{Completion, Datapath, Loaded, Pins, time};
use sekisho_engine::act::{LiveHost, Mends};
use sekisho_engine::judge::{self, Finding, SYNCOOKIES, Severity};
use sekisho_engine::observe::{firewall, links, sessions, sysctl};
use sekisho_engine::policy::{CompletionChoice, ConfiguredLists, Mode, Policy, PortSettings};
use tracing::{error, info, warn};

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::host;
use crate::lists::{self, ListsLock, Record};
use crate::lock::{Busy, Lock};
use crate::reload::Outcome;
use crate::state::{State, mends_file};

use backend::Backend;
use completion::Decision;
use incidents::{Incidents, Second};
use interfaces::{Guards, Means, wanted};
use learning::Learning;
use limits::Limiting;
use notify::notify;
use signals::{Signal, Signals};

pub use learning::{learnt, samples};
pub use limits::judged;

const TICK: Duration = Duration::from_secs(1);
/// How often nat tables and what was learnt are looked at.
const SLOW: Duration = Duration::from_secs(5);
/// How often what was learnt is written down.
const SAVE: Duration = Duration::from_secs(60);

/// Runs until a signal says stop.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let signals = Signals::block();
    log::init(args.verbose);
    let config = Config::load(args)?;
    let backend = backend::choose(config.policy.backend)?;
    let pins = Pins::here()?;
    pins.make_folder()?;
    let lock = take_lock(&pins)?;
    recover(&pins);
    backend::no_other(&backend, &pins)?;
    if let Backend::Nftables { reason } = backend {
        return nftables::run(args, config, pins, lock, reason, &signals);
    }
    let anew = !pins.exist();
    let started = Daemon::start(args.clone(), config, pins.clone(), lock);
    // A start that failed leaves the host as it was found, but never takes away what an earlier run left.
    let mut daemon = started.inspect_err(|_| {
        if anew {
            take_back(&pins)
        }
    })?;
    daemon.serve(&signals);
    Ok(())
}

/// A change that was cut off, or that nobody confirmed before the host went down, is taken back.
fn recover(pins: &Pins) {
    match crate::apply::recover(pins) {
        Ok(None) => {}
        Ok(Some(words)) => warn!("{words}"),
        Err(failure) => error!("a change of the host's settings cannot be settled: {failure}"),
    }
}

fn take_lock(pins: &Pins) -> Result<Lock, Failure> {
    Lock::take(&pins.lock_file()).map_err(|busy| match busy {
        Busy::Daemon(pid) => {
            Failure::new(format!("a daemon is running already in this network namespace (process {pid})"))
                .hint("`sekisho status` shows what it does; SIGHUP makes it read its configuration again")
        }
        Busy::Io(error) => Failure::from_error(format!("cannot lock {}", pins.lock_file().display()), error),
    })
}

/// The configuration with what the command line adds, and the files of prefixes that it names.
#[derive(Debug, Clone)]
struct Config {
    policy: Policy,
    lists: ConfiguredLists,
    text: String,
}

impl Config {
    fn load(args: &RunArgs) -> Result<Self, Failure> {
        let (mut policy, file) = Policy::load(args.config.as_deref())?;
        let text = file.as_ref().map(std::fs::read_to_string).transpose();
        let text =
            text.map_err(|error| Failure::from_error("cannot read the configuration", error))?.unwrap_or_default();
        if let Some(mode) = args.mode {
            policy.mode = mode.into();
        }
        if let Some(backend) = args.backend {
            policy.backend = backend.into();
        }
        if !args.interfaces.is_empty() {
            policy.interfaces.clone_from(&args.interfaces);
        }
        let lists = policy.lists()?;
        Ok(Self { policy, lists, text })
    }
}

/// One generation: the programs, with all of a configuration's policy in their maps, before any packet meets them.
struct Generation {
    loaded: Loaded,
    decision: Decision,
    ports: Vec<PortSettings>,
}

impl Generation {
    /// Loads and fills it. Whatever is in force stays so. The caller holds the lists' lock until it is attached.
    fn make(config: &Config, pins: &Pins) -> Result<Self, Failure> {
        let policy = &config.policy;
        let first = wanted(&policy.interfaces).into_iter().next();
        let mut settings = settings::settings(policy, first.as_deref());
        settings.listed = lists::room(&config.lists);
        // An older version's maps are removed, and with them what is told of them.
        let before = Datapath::open(pins).ok().flatten();
        let record = kept_peers(policy, pins)?;
        let loaded = Datapath::load(pins, &settings, settings::capacity(policy))?;
        let decision = decide(policy, &loaded)?;
        let maps = loaded.datapath().maps();
        lists::fill(maps, &config.lists, &record, before.as_ref().map(Datapath::maps))?;
        let ports = policy.all_ports(&learnt(maps));
        for (number, port) in (0..=u16::MAX).zip(&ports) {
            maps.set_port(number, settings::port_policy(port));
            maps.set_service_limit(number, policy.service_limit(number));
        }
        for link in links::links().unwrap_or_default() {
            if wanted(&policy.interfaces).contains(&link.name) {
                let (mss4, mss6) = settings::mss(policy, link.mtu);
                loaded.prepare(Some(mss4), Some(mss6))?;
            }
        }
        Ok(Self { loaded, decision, ports })
    }
}

/// What is on the lists beside the configuration, with who is logged in over SSH now.
fn kept_peers(policy: &Policy, pins: &Pins) -> Result<Record, Failure> {
    let mut record = Record::load(pins)?;
    if policy.admin.ssh_peers {
        let new = record.keep_peers(&sessions::sessions());
        for session in &new {
            info!(
                "{} is logged in over SSH from {}: that address is allowed (`sekisho allow list`)",
                session.user, session.peer
            );
        }
        if !new.is_empty() {
            record.save(pins)?;
        }
    }
    Ok(record)
}

struct Daemon {
    args: RunArgs,
    config: Config,
    pins: Pins,
    /// Held for as long as the daemon lives.
    _lock: Lock,
    loaded: Loaded,
    guards: Guards,
    mends: Mends,
    learning: Learning,
    limiting: Limiting,
    incidents: Incidents,
    ports: Vec<PortSettings>,
    decision: Decision,
    armed: BTreeSet<u16>,
    status_line: String,
    slow_at: Instant,
    saved_at: Instant,
    /// Of nftables' rules, when they were last looked at.
    generation: Option<u32>,
    /// What was told already.
    told: Vec<Finding>,
}

impl Daemon {
    fn start(args: RunArgs, config: Config, pins: Pins, lock: Lock) -> Result<Self, Failure> {
        let mends = Mends::load(&mends_file(&pins))?;
        let lists_lock = ListsLock::take(&pins)?;
        let Generation { loaded, decision, ports } = Generation::make(&config, &pins)?;
        let lock = keep_folder(&pins, lock, &mends)?;
        let learning = Learning::resume(&pins, loaded.datapath().maps());
        let incidents = Incidents::resume(&pins, loaded.datapath().maps());
        let now = Instant::now();
        let mut daemon = Self {
            args,
            pins,
            _lock: lock,
            loaded,
            guards: Guards::default(),
            mends,
            learning,
            limiting: Limiting::new(),
            incidents,
            ports,
            decision,
            armed: BTreeSet::new(),
            status_line: String::new(),
            slow_at: now,
            saved_at: now,
            generation: None,
            told: Vec::new(),
            config,
        };
        daemon.bring_up()?;
        drop(lists_lock);
        Ok(daemon)
    }

    /// From loaded to protecting. All policy is set before anything is attached, so no packet meets another policy.
    fn bring_up(&mut self) -> Result<(), Failure> {
        let observing = self.config.policy.mode == Mode::Observe;
        if self.loaded.is_adopted() {
            info!("took over what was running: counters, keys and verified sources are kept");
        }
        self.put_in_force()?;
        if observing {
            info!("observing: packets are judged and counted, none is touched");
        }
        self.say_status();
        notify("READY=1");
        Ok(())
    }

    /// Attaches the generation to every interface.
    fn put_in_force(&mut self) -> Result<(), Failure> {
        self.mend_host();
        self.apply_completion();
        self.apply_ports();
        self.apply_addresses();
        let means = Means { loaded: &self.loaded, policy: &self.config.policy };
        self.guards.bring_up(means, &self.config.policy.interfaces)?;
        self.watch();
        self.write_state();
        Ok(())
    }

    fn serve(&mut self, signals: &Signals) {
        loop {
            match signals.wait(TICK) {
                Some(Signal::Stop) => break,
                Some(Signal::Reload) => self.reload(),
                None => {}
            }
            self.tick();
        }
        notify("STOPPING=1");
        self.save_learnt();
        self.incidents.save();
        info!("the daemon stops; protection stays on (`sekisho off` takes it away, `sekisho run` takes it over)");
    }

    /// What happens every second.
    fn tick(&mut self) {
        self.rotate_keys();
        self.look_at_interfaces();
        self.tell_armed();
        self.note_incident();
        self.limiting.tick(&self.config.policy, self.loaded.datapath().maps());
        if self.slow_at.elapsed() >= SLOW {
            self.slow_at = Instant::now();
            self.apply_ports();
            self.look_for_nat();
            self.apply_addresses();
            self.look_at_firewall();
            if let Err(failure) = lists::expire(&self.pins, self.loaded.datapath().maps()) {
                warn!("what has expired stays on the lists, without effect: {failure}");
            }
        }
        if self.saved_at.elapsed() >= SAVE {
            self.saved_at = Instant::now();
            self.save_learnt();
        }
        self.say_status();
        if notify::watchdog() {
            notify("WATCHDOG=1");
        }
    }

    fn look_at_interfaces(&mut self) {
        let means = Means { loaded: &self.loaded, policy: &self.config.policy };
        let before = self.guards.generic().clone();
        if self.guards.look(means, &self.config.policy.interfaces) {
            self.mend_host();
        }
        if *self.guards.generic() != before {
            self.write_state();
        }
    }

    /// Looks for what breaks Sekisho in the field, puts right what it can and tells the rest.
    fn mend_host(&mut self) {
        let names = wanted(&self.config.policy.interfaces);
        let attached = self.loaded.datapath().interfaces();
        let missing = self.loaded.support().own_cookie_missing.clone();
        let facts = host::facts(&self.config.policy, &names, &attached, &[], missing);
        self.loaded.datapath().maps().set_conntrack(judge::wants_conntrack_entries(&facts));
        self.generation = firewall::generation();
        let findings = judge::judge(&facts);
        // How an interface is attached to is told when that happens.
        let new = |finding: &&Finding| finding.id != "generic-xdp" && !self.told.contains(finding);
        let news: Vec<Finding> = findings.iter().filter(new).cloned().collect();
        self.told = findings;
        for finding in news {
            self.mend_or_tell(finding);
        }
    }

    fn mend_or_tell(&mut self, finding: Finding) {
        let mend = finding.mend.clone().filter(|_| self.config.policy.mode == Mode::Guard);
        match mend.map(|step| (step.describe(), self.mends.apply(&mut LiveHost, step))) {
            Some((what, Ok(()))) => info!("{what}: {}: {} (`sekisho off` puts it back)", finding.what, finding.why),
            Some((_, Err(error))) => {
                tell(&finding);
                error!("it could not be put right: {}", Failure::from(error).line());
            }
            None => tell(&finding),
        }
    }

    /// Rules may come and go while the daemon runs.
    fn look_at_firewall(&mut self) {
        if firewall::generation() == self.generation {
            return;
        }
        let maps = self.loaded.datapath().maps();
        let before = maps.conntrack();
        self.mend_host();
        if !before && self.loaded.datapath().maps().conntrack() {
            // Connection tracking may have been loaded since, and only programs that are loaded after it can enter anything.
            self.reload();
        }
    }

    fn apply_completion(&self) {
        let Decision { completion, reason } = &self.decision;
        self.loaded.datapath().maps().set_completion(*completion);
        let whose = if *completion == Completion::Own { "our own" } else { "the kernel's" };
        info!("cookies are {whose}: {reason}");
    }

    fn look_for_nat(&mut self) {
        let Ok(decision) = decide(&self.config.policy, &self.loaded) else { return };
        if decision != self.decision {
            let changed = decision.completion != self.decision.completion;
            self.decision = decision;
            self.write_state();
            if changed {
                self.apply_completion();
            }
        }
    }

    /// Tells the programs what changed for any port.
    fn apply_ports(&mut self) {
        let maps = self.loaded.datapath().maps();
        let ports = self.config.policy.all_ports(&learnt(maps));
        for (number, settings) in (0..=u16::MAX).zip(&ports) {
            let before = self.ports.get(usize::from(number));
            if before == Some(settings) {
                continue;
            }
            if let Some(before) = before.filter(|before| before.method != settings.method) {
                let (speaker, from, to) = (settings.speaker.word(), before.method.word(), settings.method.word());
                info!("port {number}: the {speaker} speaks first, so unproven sources get a {to} instead of a {from}");
            }
            maps.set_port(number, settings::port_policy(settings));
        }
        self.ports = ports;
    }

    fn apply_addresses(&self) {
        let translated = !firewall::nat().is_empty();
        Limiting::apply_addresses(&self.config.policy.limits, self.loaded.datapath().maps(), translated);
    }

    fn watch(&self) {
        if let Err(error) = self.loaded.watch() {
            warn!(
                "sources cannot be verified and nobody learns who speaks first; everything else works: {}",
                Failure::from(error).line()
            );
        }
    }

    fn rotate_keys(&self) {
        let (keys, now) = (self.loaded.datapath().keys(), time::coarse_ns());
        if keys.is_due(now) {
            if let Err(error) = keys.rotate(now) {
                warn!("the keys stay as they are: {error}");
            }
        }
    }

    fn tell_armed(&mut self) {
        let tick = time::tick(time::coarse_ns());
        let armed: BTreeSet<u16> = self.loaded.datapath().maps().armed_ports(tick).into_iter().collect();
        for port in armed.difference(&self.armed) {
            info!("port {port} is armed: a SYN queue of its passed the calm mark");
        }
        for port in self.armed.difference(&armed) {
            info!("port {port} is calm again");
        }
        self.armed = armed;
    }

    /// Before the account of a flood's spread is begun anew, which is a part of it.
    fn note_incident(&mut self) {
        let (maps, mode) = (self.loaded.datapath().maps(), self.config.policy.mode);
        self.incidents.tick(&Second { maps, armed: &self.armed, ports: &self.ports, mode });
    }

    fn say_status(&mut self) {
        let armed: Vec<String> = self.armed.iter().take(10).map(u16::to_string).collect();
        let state = if armed.is_empty() { "calm".to_owned() } else { format!("armed: {}", armed.join(", ")) };
        let line = format!("{} {}; {state}", self.config.policy.mode.word(), self.guards.words());
        if line != self.status_line {
            notify(&format!("STATUS={line}"));
            self.status_line = line;
        }
    }

    /// SIGHUP. A configuration with mistakes leaves the one before in force.
    fn reload(&mut self) {
        notify("RELOADING=1");
        let done = self.try_reload();
        match &done {
            Ok(()) => info!("the configuration was read again and is in force"),
            Err(failure) => error!("the configuration before stays in force: {}", failure.line()),
        }
        let outcome = Outcome { failure: done.err().map(|failure| failure.to_string()) };
        if let Err(error) = outcome.write(&self.pins) {
            warn!("`sekisho reload` will wait in vain: {error}");
        }
        notify("READY=1");
    }

    /// Everything that can fail comes before anything changes. Should attaching fail after all, the generation before is put back.
    fn try_reload(&mut self) -> Result<(), Failure> {
        let mut config = Config::load(&self.args)?;
        let _lists_lock = ListsLock::take(&self.pins)?;
        let mut generation = Generation::make(&config, &self.pins)?;
        self.exchange(&mut config, &mut generation);
        let done = self.put_in_force();
        if done.is_err() {
            self.exchange(&mut config, &mut generation);
            self.put_in_force()?;
        }
        done
    }

    /// Changes places: what was in force comes back in the arguments.
    fn exchange(&mut self, config: &mut Config, generation: &mut Generation) {
        mem::swap(&mut self.config, config);
        mem::swap(&mut self.loaded, &mut generation.loaded);
        mem::swap(&mut self.decision, &mut generation.decision);
        mem::swap(&mut self.ports, &mut generation.ports);
        self.guards = Guards::default();
    }

    fn save_learnt(&mut self) {
        if let Err(error) = self.learning.save(self.loaded.datapath().maps()) {
            warn!("what was learnt cannot be written down: {error}");
        }
    }

    fn write_state(&self) {
        let state = State {
            mode: self.config.policy.mode.word().to_owned(),
            completion_reason: self.decision.reason.clone(),
            interfaces: self.config.policy.interfaces.clone(),
            generic: self.guards.generic().clone(),
            nftables: None,
            config: self.config.text.clone(),
        };
        if let Err(error) = state.write(&self.pins) {
            warn!("`sekisho status` will know less: {error}");
        }
    }
}

fn take_back(pins: &Pins) {
    let undone = Mends::load(&mends_file(pins)).and_then(|mut mends| mends.undo(&mut LiveHost));
    let removed = Datapath::remove(pins);
    for failure in [undone.err().map(Failure::from), removed.err().map(Failure::from)].into_iter().flatten() {
        error!("something is left behind; `sekisho off` tries again: {}", failure.line());
    }
}

/// Whose cookie is used, by the configuration, the kernel and the nat tables there are.
fn decide(policy: &Policy, loaded: &Loaded) -> Result<Decision, Failure> {
    let missing = loaded.support().own_cookie_missing.as_deref();
    if let (CompletionChoice::Own, Some(missing)) = (policy.completion, missing) {
        return Err(Failure::new(format!("the configuration wants cookies of our own, but {missing}"))
            .hint("set completion = \"auto\" in [cookie], or boot Linux 6.9 or later"));
    }
    if missing.is_some() && sysctl::read(SYNCOOKIES).is_none() {
        return Err(Failure::new(
            "this kernel can complete no cookie: it has neither bpf_sk_assign_tcp_reqsk nor SYN cookies of its own",
        )
        .hint("boot a kernel with CONFIG_SYN_COOKIES=y; every Debian kernel has it"));
    }
    let links = links::links().unwrap_or_default();
    let obstacles = completion::obstacles(&firewall::nat(), &wanted(&policy.interfaces), &links);
    Ok(completion::decide(policy.completion, missing, &obstacles))
}

/// An older version's programs are removed at load, and our folder with them: then it is made again, with lock and record.
fn keep_folder(pins: &Pins, lock: Lock, mends: &Mends) -> Result<Lock, Failure> {
    if pins.lock_file().exists() {
        return Ok(lock);
    }
    pins.make_folder()?;
    mends.save()?;
    take_lock(pins)
}

fn tell(finding: &Finding) {
    let Finding { what, why, todo, .. } = finding;
    let todo = if todo.is_empty() { String::new() } else { format!(". What to do: {todo}") };
    match finding.severity {
        Severity::Note => info!("{what}: {why}{todo}"),
        Severity::Warning => warn!("{what}: {why}{todo}"),
        Severity::Problem => error!("{what}: {why}{todo}"),
    }
}
