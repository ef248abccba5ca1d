//! The interfaces that are protected, and what happens to them: they come, go, are renamed, go down, change their MTU, or turn
//! out to be unable to send answers in native mode.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sekisho_datapath::{Attached, Error, Interface, Loaded, XdpMode, XdpWish};
use sekisho_engine::observe::ethtool::{self, Answers};
use sekisho_engine::observe::links::{self, Link};
use sekisho_engine::observe::routes;
use sekisho_engine::policy::Policy;
use tracing::{error, info, warn};

use super::settings::mss;
use crate::failure::Failure;

/// How long after a refusal an interface is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The protected interfaces of one daemon.
#[derive(Debug, Default)]
pub struct Guards {
    on: BTreeMap<u32, Guard>,
    refused: BTreeMap<String, Instant>,
    /// Interfaces (by number) that refused native mode once; they are not asked again.
    never_native: BTreeSet<u32>,
    /// Why generic mode was chosen where it was (by number).
    generic: BTreeMap<u32, String>,
    /// The interfaces and VLANs at the last look.
    shape: BTreeSet<u32>,
}

/// One protected interface.
#[derive(Debug, Clone)]
struct Guard {
    name: String,
    mtu: u32,
    up: bool,
    veth: bool,
    mode: XdpMode,
    /// The driver's counters when it was attached to.
    answers: Answers,
}

/// How an interface is to be attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    /// Native where the driver has it.
    Best,
    /// Generic, and why.
    Generic(&'static str),
}

/// A veth takes native XDP, but answers sent in it arrive at the other end only if that runs XDP too.
fn wish(link: &Link) -> Wish {
    if link.kind.as_deref() != Some("veth") {
        return Wish::Best;
    }
    match links::other_end_has_xdp(link) {
        Some(true) => Wish::Best,
        Some(false) => {
            Wish::Generic("the other end of this veth runs no XDP program, so native answers would not arrive there")
        }
        None => Wish::Generic("it cannot be seen whether the other end of this veth runs XDP, as native answers need"),
    }
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
    /// The first interface that is there and refused; the others are attached to all the same.
    pub fn bring_up(&mut self, means: Means<'_>, named: &[String]) -> Result<(), Error> {
        let links = links::links().unwrap_or_default();
        let mut names = wanted(named);
        if names.is_empty() {
            // The default route may be just away: what was protected stays so.
            names = means.loaded.datapath().interfaces().into_iter().filter(|on| on.live).map(|on| on.name).collect();
        }
        let attached = names.iter().map(|name| self.attach_first(means, &links, name)).fold(Ok(()), Result::and);
        if names.is_empty() {
            warn!(
                "there is no default route yet; its interface is protected as soon as there is one (or name one: --interface)"
            );
        }
        self.shape = self.shape_of(&links);
        let indices: Vec<u32> = self.on.keys().copied().collect();
        attached.and_then(|()| means.loaded.keep_only(&indices))
    }

    fn attach_first(&mut self, means: Means<'_>, links: &[Link], name: &str) -> Result<(), Error> {
        match links.iter().find(|link| link.name == name) {
            // Told among the findings.
            Some(link) if !link.ethernet => Ok(()),
            Some(link) => self.attach(means, link, &wish(link)),
            None => {
                warn!("there is no interface {name} yet; it is protected as soon as it comes");
                Ok(())
            }
        }
    }

    /// Looks at what changed. Called about once a second. `true`: there are other interfaces, or other VLANs on them, than before, so
    /// that offloads may stand in the way now.
    pub fn look(&mut self, means: Means<'_>, named: &[String]) -> bool {
        // A dump that fails tells nothing; the next one will.
        let Ok(links) = links::links() else { return false };
        let before = self.shape.clone();
        self.forget_gone(means, &links);
        self.forget_detached(means);
        for link in &links {
            self.look_at(means, link);
        }
        for name in wanted(named) {
            let fits = |link: &&Link| link.name == name && link.ethernet && !self.on.contains_key(&link.index);
            if let Some(link) = links.iter().find(fits) {
                self.try_attach(means, link);
            }
        }
        self.shape = self.shape_of(&links);
        self.shape != before
    }

    /// The protected interfaces and the VLANs on them.
    fn shape_of(&self, links: &[Link]) -> BTreeSet<u32> {
        let vlan = |link: &&Link| {
            link.kind.as_deref() == Some("vlan") && link.below.is_some_and(|on| self.on.contains_key(&on))
        };
        links.iter().filter(vlan).map(|link| link.index).chain(self.on.keys().copied()).collect()
    }

    /// Somebody may have taken the program off; what is forgotten is attached to again.
    fn forget_detached(&mut self, means: Means<'_>) {
        for on in means.loaded.datapath().interfaces().iter().filter(|on| !on.live) {
            if self.on.remove(&on.index).is_some() {
                warn!("somebody took gate off {}; it is put back", on.name);
            }
        }
    }

    /// Why generic mode was chosen, by number of interface: for `sekisho status`.
    pub fn generic(&self) -> &BTreeMap<u32, String> {
        &self.generic
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
            self.generic.remove(&index);
            self.never_native.remove(&index);
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
        let guard = guard.clone();
        let native = guard.mode == XdpMode::Native;
        if guard.mtu != link.mtu {
            info!("the MTU of {} is now {}: answers carry another MSS", link.name, link.mtu);
            self.attach_or_tell(means, link, &wish(link));
        } else if native && ethtool::answers(&link.name).is_some_and(|now| no_answer_gets_out(guard.answers, now)) {
            let why = "its driver has no queue to send native answers from";
            self.never_native.insert(link.index);
            self.go_generic(means, link, why);
        } else if guard.veth {
            self.look_at_other_end(means, link, native);
        }
    }

    /// The other end of a veth may begin or cease to run XDP.
    fn look_at_other_end(&mut self, means: Means<'_>, link: &Link, native: bool) {
        match (wish(link), native) {
            (Wish::Generic(why), true) => self.go_generic(means, link, why),
            (Wish::Best, false) if !self.never_native.contains(&link.index) => self.go_native(means, link),
            _ => {}
        }
    }

    fn go_generic(&mut self, means: Means<'_>, link: &Link, why: &'static str) {
        warn!("{}: going over to generic mode: {why}", link.name);
        self.attach_or_tell(means, link, &Wish::Generic(why));
    }

    fn go_native(&mut self, means: Means<'_>, link: &Link) {
        info!("{}: going over to native mode, since its other end runs XDP now", link.name);
        if let Err(error) = self.attach_as(means, link, XdpWish::Native, None) {
            warn!("{} stays in generic mode: {error}", link.name);
            self.never_native.insert(link.index);
            self.attach_or_tell(means, link, &Wish::Best);
        }
    }

    fn try_attach(&mut self, means: Means<'_>, link: &Link) {
        if self.refused.get(&link.name).is_none_or(|at| at.elapsed() >= RETRY) {
            self.attach_or_tell(means, link, &wish(link));
        }
    }

    fn attach_or_tell(&mut self, means: Means<'_>, link: &Link, wish: &Wish) {
        if let Err(error) = self.attach(means, link, wish) {
            self.on.remove(&link.index);
            // Told once; it is tried again in silence.
            if self.refused.insert(link.name.clone(), Instant::now()).is_none() {
                error!("{} is not protected: {}", link.name, Failure::from(error).line());
            }
        }
    }

    fn attach(&mut self, means: Means<'_>, link: &Link, wish: &Wish) -> Result<(), Error> {
        match wish {
            Wish::Best => self.attach_as(means, link, XdpWish::Best, None),
            Wish::Generic(why) => self.attach_as(means, link, XdpWish::Generic, Some(why)),
        }
    }

    fn attach_as(&mut self, means: Means<'_>, link: &Link, wish: XdpWish, why: Option<&str>) -> Result<(), Error> {
        let (mss4, mss6) = mss(means.policy, link.mtu);
        let interface =
            Interface { index: link.index, name: link.name.clone(), mss4: Some(mss4), mss6: Some(mss6), wish };
        let mut attached = means.loaded.attach(&interface)?;
        self.refused.remove(&link.name);
        match why {
            Some(why) => {
                self.generic.insert(link.index, why.to_owned());
                attached.native_refused = Some(why.to_owned());
            }
            None => drop(self.generic.remove(&link.index)),
        }
        // A change of mode is told by whoever makes it, with the reason.
        if !self.on.contains_key(&link.index) {
            tell(&attached);
        }
        let guard = Guard {
            name: link.name.clone(),
            mtu: link.mtu,
            up: link.up,
            veth: link.kind.as_deref() == Some("veth"),
            mode: attached.mode,
            answers: ethtool::answers(&link.name).unwrap_or_default(),
        };
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
