//! The daemon where an nftables table does the work. Like the programs on XDP the table outlives it; here it is only kept up to date with
//! the configuration, the interfaces and the services.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Instant;

use sekisho_datapath::Pins;
use sekisho_engine::act::added::Listing;
use sekisho_engine::act::ruleset::{self, Limits, Proxy, Rate, Wish};
use sekisho_engine::act::{LiveHost, Mends, Step, nft};
use sekisho_engine::judge::{CONNTRACK_LOOSE, SYNCOOKIES};
use sekisho_engine::observe::{firewall, listeners, sysctl};
use sekisho_engine::policy::{Mode, Over, Policy};
use sekisho_engine::speaks::{Speaker, SpeakerSource};
use tracing::{error, info, warn};

use super::interfaces::wanted;
use super::notify::{self, notify};
use super::signals::{Signal, Signals};
use super::{Config, SLOW, TICK};
use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::lists::{self, ListsLock, Record};
use crate::lock::Lock;
use crate::reload::Outcome;
use crate::state::{State, mends_file};

/// The MSS that synproxy announces: an Ethernet frame less the headers of IPv4.
const MSS: u16 = 1460;

/// Runs until a signal says stop.
pub fn run(
    args: &RunArgs,
    config: Config,
    pins: Pins,
    _lock: Lock,
    reason: String,
    signals: &Signals,
) -> Result<(), Failure> {
    let mends = Mends::load(&mends_file(&pins))?;
    let anew = mends.steps().is_empty();
    let mut daemon = Daemon {
        args: args.clone(),
        config,
        pins,
        mends,
        reason,
        wish: None,
        record: Record::default(),
        slow_at: Instant::now(),
    };
    if let Err(failure) = daemon.bring_up() {
        // A start that failed leaves the host as it was found, but never takes away what an earlier run left.
        if anew {
            daemon.mends.undo(&mut LiveHost)?;
        }
        return Err(failure);
    }
    daemon.serve(signals);
    Ok(())
}

struct Daemon {
    args: RunArgs,
    config: Config,
    pins: Pins,
    mends: Mends,
    reason: String,
    /// What the table does now.
    wish: Option<Wish>,
    /// Who is on its lists beside the configuration, as this daemon last saw it.
    record: Record,
    slow_at: Instant,
}

impl Daemon {
    fn bring_up(&mut self) -> Result<(), Failure> {
        self.apply()?;
        info!("nftables' table inet sekisho is in place: {}", self.reason);
        self.tell();
        notify("READY=1");
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
        info!("the daemon stops; the table stays (`sekisho off` takes it away, `sekisho run` takes it over)");
    }

    fn tick(&mut self) {
        if self.slow_at.elapsed() >= SLOW {
            self.slow_at = Instant::now();
            if let Err(failure) = self.apply() {
                error!("the table stays as it is: {failure}");
            }
        }
        if notify::watchdog() {
            notify("WATCHDOG=1");
        }
    }

    fn reload(&mut self) {
        notify("RELOADING=1");
        let before = self.config.clone();
        let reloaded = Config::load(&self.args).and_then(|config| {
            self.config = config;
            self.apply()
        });
        match &reloaded {
            Ok(()) => {
                self.tell();
                info!("the configuration was read again and is in force");
            }
            Err(failure) => {
                self.config = before;
                error!("the configuration before stays in force: {failure}");
            }
        }
        let outcome = Outcome { failure: reloaded.err().map(|failure| failure.to_string()) };
        if let Err(error) = outcome.write(&self.pins) {
            warn!("`sekisho reload` will wait in vain: {error}");
        }
        notify("READY=1");
    }

    /// Puts the table in place where it is not there, or what is wished for has changed since. One transaction: a packet meets the old
    /// rules or the new.
    fn apply(&mut self) -> Result<(), Failure> {
        let _lock = ListsLock::take(&self.pins)?;
        let record = super::kept_peers(&self.config.policy, &self.pins)?;
        let wish = wish(&self.config);
        let before = nft::listing();
        let changed = self.wish.as_ref() != Some(&wish) || before.is_none();
        if !changed && self.record == record {
            return Ok(());
        }
        let before = before.as_ref().map(Listing::of).unwrap_or_default();
        if changed {
            self.put_in_place(&wish, &record)?;
        }
        // What was counted of those who were added is kept.
        lists::fill_table(&record, &before)?;
        (self.wish, self.record) = (Some(wish), record);
        self.write_state();
        Ok(())
    }

    /// The whole table anew, with all who were added.
    fn put_in_place(&mut self, wish: &Wish, record: &Record) -> Result<(), Failure> {
        self.settings(wish)?;
        let rules = ruleset::json(wish, &lists::added_of(record));
        let rules = rules.map_err(|error| Failure::from_error("the rules cannot be written", error))?;
        Ok(self.mends.apply(&mut LiveHost, Step::Table { from: None, to: Some(rules) })?)
    }

    /// What the table counts on: the kernel's SYN cookies, and for synproxy a connection tracking that calls an ACK without a SYN invalid.
    fn settings(&mut self, wish: &Wish) -> Result<(), Failure> {
        if wish.observe {
            return Ok(());
        }
        self.set(SYNCOOKIES, "0", "1")?;
        if wish.proxy.is_some() {
            self.set(CONNTRACK_LOOSE, "1", "0")?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, from: &str, to: &str) -> Result<(), Failure> {
        if sysctl::read(key).as_deref() == Some(from) {
            let step = Step::Sysctl { key: key.into(), from: from.into(), to: to.into() };
            info!("{} (`sekisho off` puts it back)", step.describe());
            self.mends.apply(&mut LiveHost, step)?;
        }
        Ok(())
    }

    fn tell(&self) {
        if self.config.policy.mode == Mode::Observe {
            info!("observing: packets are counted, none is dropped");
        }
        let limits = &self.config.policy.limits;
        let wished = [limits.source, limits.prefix, limits.service, limits.global].iter().any(|limit| *limit > 0);
        if wished && limits.over == Over::Prove {
            warn!("limits are left out: a table cannot ask for proof; with over = \"drop\" it drops what is over them");
        }
        if self.config.policy.synproxy && !firewall::nat().is_empty() {
            warn!("synproxy is left out: addresses are translated here, and it would keep connections from that");
        }
    }

    fn write_state(&self) {
        let state = State {
            mode: self.config.policy.mode.word().to_owned(),
            completion_reason: String::new(),
            interfaces: self.config.policy.interfaces.clone(),
            generic: Default::default(),
            nftables: Some(self.reason.clone()),
            config: self.config.text.clone(),
        };
        if let Err(error) = state.write(&self.pins) {
            warn!("`sekisho status` will know less: {error}");
        }
    }
}

/// What the policy means for the table, with the services and interfaces that there are now.
fn wish(config: &Config) -> Wish {
    let policy = &config.policy;
    let unprotected = policy.services.iter().filter(|service| !service.protect).flat_map(|service| &service.ports);
    Wish {
        observe: policy.mode == Mode::Observe,
        interfaces: wanted(&policy.interfaces),
        unprotected: unprotected.map(range).collect(),
        allow: config.lists.allow.clone(),
        admin_rate: Some(Rate { per_second: policy.admin.rate, burst: policy.admin.burst }),
        block: config.lists.block.clone(),
        limits: limits(policy),
        proxy: proxy(policy),
    }
}

fn range(range: &RangeInclusive<u16>) -> (u16, u16) {
    (*range.start(), *range.end())
}

/// A table cannot ask for proof, so a limit over which that is wished for is none here: dropping would turn regular clients away.
fn limits(policy: &Policy) -> Limits {
    let limits = &policy.limits;
    if limits.over == Over::Prove {
        return Limits::default();
    }
    let rate = |limit: u32| (limit > 0).then_some(Rate { per_second: limit, burst: limit.saturating_mul(2) });
    let own = policy.services.iter().filter(|service| service.protect);
    let own = own.filter_map(|service| Some((service.ports.iter().map(range).collect(), rate(service.limit?))));
    Limits {
        source: rate(limits.source),
        network: rate(limits.prefix),
        service: rate(limits.service),
        services: own.collect(),
        global: rate(limits.global),
    }
}

/// Synproxy before the services that listen here now, where that is safe: the client is known to speak first, and no address is
/// translated on the way.
fn proxy(policy: &Policy) -> Option<Proxy> {
    if !policy.synproxy || !firewall::nat().is_empty() {
        return None;
    }
    let services = listeners::services().unwrap_or_default();
    let reached = services.iter().filter(|service| !service.local.ip().is_loopback());
    let ports: BTreeSet<u16> = reached.map(|service| service.local.port()).filter(|port| safe(policy, *port)).collect();
    let window_scale = sysctl::receive_window_scale();
    (!ports.is_empty()).then_some(Proxy { ports, mss: policy.mss4.unwrap_or(MSS), window_scale })
}

fn safe(policy: &Policy, port: u16) -> bool {
    let settings = policy.port(port, None);
    settings.protect && settings.speaker == Speaker::Client && settings.speaker_source != SpeakerSource::Default
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn synproxy_is_only_for_clients_that_are_known_to_speak_first() {
        let policy = Policy::parse("[[service]]\nports = [8443]\nprotect = false\n", Path::new("x")).unwrap();
        let safe = |port| safe(&policy, port);
        assert!(safe(80) && safe(443));
        assert!(!safe(25) && !safe(22) && !safe(12_345) && !safe(8443));
    }

    #[test]
    fn without_a_word_the_table_has_no_synproxy() {
        assert_eq!(proxy(&Policy::default()), None);
    }
}
