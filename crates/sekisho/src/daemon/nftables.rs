//! The daemon where an nftables table does the work. Like the programs on XDP the table outlives it; here it is only kept up to date with
//! the configuration, the interfaces and the services.

use std::collections::BTreeSet;
use std::time::Instant;

use sekisho_datapath::Pins;
use sekisho_engine::act::ruleset::{self, Proxy, Wish};
use sekisho_engine::act::{Host, LiveHost, Mends, Step};
use sekisho_engine::judge::{CONNTRACK_LOOSE, SYNCOOKIES};
use sekisho_engine::observe::{firewall, listeners, sysctl};
use sekisho_engine::policy::{Mode, Policy};
use sekisho_engine::speaks::{Speaker, SpeakerSource};
use tracing::{error, info, warn};

use super::interfaces::wanted;
use super::notify::{self, notify};
use super::signals::{Signal, Signals};
use super::{Config, SLOW, TICK};
use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::lock::Lock;
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
    let mut daemon = Daemon { args: args.clone(), config, pins, mends, reason, wish: None, slow_at: Instant::now() };
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
        match reloaded {
            Ok(()) => {
                self.tell();
                info!("the configuration was read again and is in force");
            }
            Err(failure) => {
                self.config = before;
                error!("the configuration before stays in force: {failure}");
            }
        }
        notify("READY=1");
    }

    /// Puts the table in place where it is not there, or what is wished for has changed since. One transaction: a packet meets the old
    /// rules or the new.
    fn apply(&mut self) -> Result<(), Failure> {
        let wish = wish(&self.config.policy);
        if self.wish.as_ref() == Some(&wish) && LiveHost.table().is_some() {
            return Ok(());
        }
        self.settings(&wish)?;
        let rules = ruleset::json(&wish).map_err(|error| Failure::from_error("the rules cannot be written", error))?;
        self.mends.apply(&mut LiveHost, Step::Table { from: None, to: Some(rules) })?;
        self.wish = Some(wish);
        self.write_state();
        Ok(())
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
fn wish(policy: &Policy) -> Wish {
    let unprotected = policy.services.iter().filter(|service| !service.protect).flat_map(|service| &service.ports);
    Wish {
        observe: policy.mode == Mode::Observe,
        interfaces: wanted(&policy.interfaces),
        unprotected: unprotected.map(|range| (*range.start(), *range.end())).collect(),
        proxy: proxy(policy),
        ..Wish::default()
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
