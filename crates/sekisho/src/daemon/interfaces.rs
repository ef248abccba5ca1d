//! The interfaces that are protected, and what happens to them: they come, go, are renamed, go down, change their MTU, or turn
//! out to be unable to send answers in native mode.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sekisho_datapath::{Attached, Error, Interface, Loaded, XdpMode, XdpWish};
use sekisho_engine::observe::ethtool::{self, Answers};
use sekisho_engine::observe::links::{self, Link};
use sekisho_engine::observe::routes;
use sekisho_engine::policy::Policy;
use tracing::{error, info, warn};

use super::settings::mss;

/// How long after a refusal an interface is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The protected interfaces of one daemon.
#[derive(Debug, Default)]
pub struct Guards {
    on: BTreeMap<u32, Guard>,
    refused: BTreeMap<String, Instant>,
}

/// One protected interface.
#[derive(Debug, Clone)]
struct Guard {
    name: String,
    mtu: u32,
    up: bool,
    mode: XdpMode,
    /// The driver's counters when it was attached to.
    answers: Answers,
}

/// What the guards need to act.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// The programs.
    pub loaded: &'a Loaded,
    /// The policy in force.
    pub policy: &'a Policy,
}

/// The interfaces that are wanted now: those named, or that of the default route.
pub fn wanted(named: &[String]) -> Vec<String> {
    if named.is_empty() { routes::default_interface().into_iter().collect() } else { named.to_vec() }
}

impl Guards {
    /// Attaches to everything that is wanted and there, and lets go of what an earlier run protected and nobody wants now.
    ///
    /// # Errors
    /// When an interface that is there is refused.
    pub fn bring_up(&mut self, means: Means<'_>, named: &[String]) -> Result<(), Error> {
        let links = links::links().unwrap_or_default();
        let mut names = wanted(named);
        if names.is_empty() {
            // The default route may be just away: what was protected stays so.
            names = means.loaded.datapath().interfaces().into_iter().filter(|on| on.live).map(|on| on.name).collect();
        }
        for name in &names {
            match links.iter().find(|link| link.name == *name) {
                Some(link) => self.attach(means, link, XdpWish::Best)?,
                None => warn!("there is no interface {name} yet; it is protected as soon as it comes"),
            }
        }
        if names.is_empty() {
            warn!(
                "there is no default route yet; its interface is protected as soon as there is one (or name one: --interface)"
            );
        }
        let indices: Vec<u32> = self.on.keys().copied().collect();
        means.loaded.keep_only(&indices)
    }

    /// Looks at what changed. Called about once a second.
    pub fn look(&mut self, means: Means<'_>, named: &[String]) {
        // A dump that fails tells nothing; the next one will.
        let Ok(links) = links::links() else { return };
        self.forget_gone(means, &links);
        for link in &links {
            self.look_at(means, link);
        }
        for name in wanted(named) {
            if let Some(link) = links.iter().find(|link| link.name == name && !self.on.contains_key(&link.index)) {
                self.try_attach(means, link);
            }
        }
    }

    /// The protected interfaces in words, for systemd's status line.
    pub fn words(&self) -> String {
        let words: Vec<String> =
            self.on.values().map(|guard| format!("{} ({})", guard.name, guard.mode.name())).collect();
        if words.is_empty() { "no interface yet".to_owned() } else { words.join(", ") }
    }

    fn forget_gone(&mut self, means: Means<'_>, links: &[Link]) {
        let here = |index: &u32| links.iter().any(|link| link.index == *index);
        let gone: Vec<u32> = self.on.keys().copied().filter(|index| !here(index)).collect();
        for index in gone {
            if let Some(guard) = self.on.remove(&index) {
                warn!("{} is gone; if it comes back it is protected again", guard.name);
            }
            // Only its pins are left.
            if let Err(error) = means.loaded.datapath().detach(index) {
                warn!("what is left of it cannot be removed: {error}");
            }
        }
    }

    fn look_at(&mut self, means: Means<'_>, link: &Link) {
        let Some(guard) = self.on.get_mut(&link.index) else { return };
        if guard.name != link.name {
            info!("{} is now called {}; it stays protected", guard.name, link.name);
            guard.name.clone_from(&link.name);
        }
        if guard.up != link.up {
            info!("{} is {}", link.name, if link.up { "up again" } else { "down; it stays protected" });
            guard.up = link.up;
        }
        let (mtu_before, native, before) = (guard.mtu, guard.mode == XdpMode::Native, guard.answers);
        if mtu_before != link.mtu {
            info!("the MTU of {} is now {}: answers carry another MSS", link.name, link.mtu);
            self.attach_or_tell(means, link, XdpWish::Best);
        } else if native && ethtool::answers(&link.name).is_some_and(|now| no_answer_gets_out(before, now)) {
            self.go_generic(means, link);
        }
    }

    /// A veth whose other end polls without NAPI takes native XDP, but has nowhere to send answers. Nothing tells so before.
    fn go_generic(&mut self, means: Means<'_>, link: &Link) {
        warn!(
            "{} cannot send answers in native mode (its driver has no queue for them): going over to generic mode",
            link.name
        );
        if let Err(error) = means.loaded.datapath().detach(link.index) {
            error!("{} cannot be detached from: {error}", link.name);
            return;
        }
        self.attach_or_tell(means, link, XdpWish::Generic);
    }

    fn try_attach(&mut self, means: Means<'_>, link: &Link) {
        if self.refused.get(&link.name).is_some_and(|at| at.elapsed() < RETRY) {
            return;
        }
        self.attach_or_tell(means, link, XdpWish::Best);
    }

    fn attach_or_tell(&mut self, means: Means<'_>, link: &Link, wish: XdpWish) {
        if let Err(error) = self.attach(means, link, wish) {
            // Told once; it is tried again in silence.
            if self.refused.insert(link.name.clone(), Instant::now()).is_none() {
                let failure = crate::failure::Failure::from(error);
                error!("{} is not protected: {failure}", link.name);
            }
        }
    }

    fn attach(&mut self, means: Means<'_>, link: &Link, wish: XdpWish) -> Result<(), Error> {
        let (mss4, mss6) = mss(means.policy, link.mtu);
        let interface =
            Interface { index: link.index, name: link.name.clone(), mss4: Some(mss4), mss6: Some(mss6), wish };
        let attached = means.loaded.attach(&interface)?;
        self.refused.remove(&link.name);
        if !self.on.contains_key(&link.index) {
            tell(&attached);
        }
        let answers = ethtool::answers(&link.name).unwrap_or_default();
        let guard = Guard { name: link.name.clone(), mtu: link.mtu, up: link.up, mode: attached.mode, answers };
        self.on.insert(link.index, guard);
        Ok(())
    }
}

fn tell(attached: &Attached) {
    let Attached { name, mode, native_refused, .. } = attached;
    match native_refused {
        None => info!("protecting {name} ({} XDP)", mode.name()),
        Some(reason) => warn!("protecting {name} in {} mode, which costs more under a flood: {reason}", mode.name()),
    }
}

/// Losses beside successes are a full queue; only losses are a missing one.
fn no_answer_gets_out(before: Answers, now: Answers) -> bool {
    now.sent == before.sent && now.lost > before.lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_alone_mean_that_there_is_no_queue() {
        let before = Answers { sent: 5, lost: 5 };
        assert!(no_answer_gets_out(before, Answers { sent: 5, lost: 6 }));
        assert!(!no_answer_gets_out(before, Answers { sent: 6, lost: 100 }));
        assert!(!no_answer_gets_out(before, before));
    }

    #[test]
    fn named_interfaces_are_wanted_as_they_are() {
        assert_eq!(wanted(&["a".to_owned(), "b".to_owned()]), ["a", "b"]);
    }
}
