//! The whole: programs, maps and attachments of one network namespace.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use libbpf_rs::MapCore;

use crate::abi::{ABI_VERSION, Completion};
use crate::attach::{self, Attached, Interface, Programs};
use crate::kernel::{self, Support};
use crate::keys::{self, Keys};
use crate::load::{self, Share};
use crate::maps::{self, Maps, PortPolicy};
use crate::pins::Pins;
use crate::test_run::{Frame, Ran, run};
use crate::{Capacity, Error, Settings, sys};

/// The programs of one network namespace, loaded or found. Dropping it changes nothing: protection outlives the daemon.
#[derive(Debug)]
pub struct Datapath {
    pins: Pins,
    maps: Maps,
}

/// One generation of the programs, with the policy in their maps and settings, that is loaded and can be put on interfaces. Until
/// [`Loaded::attach`] the generation before is in force.
#[derive(Debug)]
pub struct Loaded {
    datapath: Datapath,
    settings: Settings,
    support: Support,
    admit: OwnedFd,
    /// gate, by the MSS over IPv4 and IPv6: all that interfaces differ in.
    gates: RefCell<BTreeMap<(u16, u16), OwnedFd>>,
    adopted: bool,
}

impl Datapath {
    /// What is pinned now, without loading anything; none if nothing is.
    ///
    /// # Errors
    /// [`Error::File`] if this process may not look; [`Error::Abi`] if another version made it; [`Error::Map`] if its maps cannot be
    /// opened.
    pub fn open(pins: &Pins) -> Result<Option<Self>, Error> {
        pins.look()?;
        match pins.abi() {
            None => Ok(None),
            Some(ABI_VERSION) => {
                let maps = match Maps::open(|name| pins.path(name)) {
                    // Made, but not filled: a run that ended in its first moment.
                    Err(Error::Map { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    maps => maps?,
                };
                Ok(Some(Self { pins: pins.clone(), maps }))
            }
            Some(found) => Err(Error::Abi { found }),
        }
    }

    /// Loads the programs and makes or adopts the maps of state, with their counters, keys and verified sources. The maps of policy are
    /// new: every port has [`PortPolicy::default`] and the lists are empty. What is attached already goes on with the programs and the
    /// policy that it has, until [`Loaded::attach`] puts the new ones in.
    ///
    /// # Errors
    /// What is missing in the kernel; [`Error::Abi`] if a newer version's programs are there; failures of mounting and loading.
    pub fn load(pins: &Pins, settings: &Settings, capacity: Capacity) -> Result<Loaded, Error> {
        let support = kernel::supports()?;
        match pins.abi() {
            Some(found) if found > ABI_VERSION => return Err(Error::Abi { found }),
            // An older version's maps mean something else: there is nothing to adopt.
            Some(found) if found < ABI_VERSION => drop(Self::remove(pins)?),
            _ => {}
        }
        pins.make(ABI_VERSION)?;
        let outgrown = set_aside(pins, capacity)?;
        let loaded = load::admit(settings, pins.cookie(), &Share::Pinned(pins, capacity))?;
        for (name, old) in &outgrown {
            maps::copy_entries(name, old, &maps::open_handle(name, &pins.path(name))?)?;
        }
        let fresh = Keys::new(&loaded.maps).install()?;
        if fresh {
            set_completion(&loaded.maps, &support);
        }
        begin_policy(&loaded.maps)?;
        let datapath = Self { pins: pins.clone(), maps: loaded.maps };
        let loaded = Loaded {
            datapath,
            settings: settings.clone(),
            support,
            admit: loaded.program,
            gates: RefCell::default(),
            adopted: !fresh,
        };
        if fresh {
            loaded.pin()?;
        }
        Ok(loaded)
    }

    /// Removes everything from this network namespace, whichever version made it: links, programs, maps, our qdisc, our mount.
    /// False: there was nothing.
    ///
    /// # Errors
    /// [`Error::File`] if this process may not look; [`Error::Pin`] if something could not be removed: the rest is removed all the
    /// same.
    pub fn remove(pins: &Pins) -> Result<bool, Error> {
        pins.look()?;
        let there = pins.exist();
        let programs = pinned_programs(pins);
        let mut first = Ok(());
        for index in attach::known(pins) {
            first = first.and(attach::detach(pins, index));
        }
        let removed = pins.remove();
        wait_until_gone(&programs);
        first.and(removed).map(|()| there)
    }

    /// `sekisho off`: [`Datapath::remove`], which also lets go of the maps held here.
    ///
    /// # Errors
    /// As [`Datapath::remove`].
    pub fn stop(self) -> Result<(), Error> {
        let Self { pins, maps } = self;
        drop(maps);
        Self::remove(&pins).map(drop)
    }

    /// The maps: counters, ports, verified sources.
    #[must_use]
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys::new(&self.maps)
    }

    /// Where it is pinned.
    #[must_use]
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The interfaces it is attached to, by index.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Attached> {
        attach::all(&self.pins)
    }

    /// Takes the programs off one interface, if they are on it.
    ///
    /// # Errors
    /// [`Error::Pin`].
    pub fn detach(&self, index: u32) -> Result<(), Error> {
        attach::detach(&self.pins, index)
    }

    /// Whether `watch` is attached, so that sources get verified and it is learnt who speaks first.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        attach::is_watching(&self.pins)
    }

    /// Runs the gate of an interface on a frame: see [`crate::test_run`].
    ///
    /// # Errors
    /// [`Error::Pin`] if there is none on this interface; [`Error::TestRun`].
    pub fn run_gate(&self, index: u32, frame: &Frame<'_>) -> Result<Ran, Error> {
        let path = self.pins.path(&format!("program_gate_{index}"));
        let program = sys::open_pin(&path).map_err(Error::pin("open", path))?;
        run(program.as_fd(), frame)
    }
}

impl Loaded {
    /// Loads what an interface with these MSS needs, so that [`Loaded::attach`] can hardly fail any more.
    ///
    /// # Errors
    /// [`Error::Load`].
    pub fn prepare(&self, mss4: Option<u16>, mss6: Option<u16>) -> Result<(), Error> {
        let mut settings = self.settings.clone();
        settings.mss4 = mss4.unwrap_or(settings.mss4);
        settings.mss6 = mss6.unwrap_or(settings.mss6);
        let key = (settings.mss4, settings.mss6);
        if !self.gates.borrow().contains_key(&key) {
            let Datapath { pins, maps } = &self.datapath;
            let gate = load::gate(&settings, pins.cookie(), &Share::Of(maps))?;
            self.gates.borrow_mut().insert(key, gate.program);
        }
        Ok(())
    }

    /// Makes this generation the one that is found by its pins.
    fn pin(&self) -> Result<(), Error> {
        let Datapath { pins, maps } = &self.datapath;
        attach::pin_program(pins, "program_admit", self.admit.as_fd())?;
        maps.pin_policy(pins)
    }

    /// Attaches to an interface, or puts the new programs into the links there without a gap: each packet there meets the old policy or
    /// the new.
    ///
    /// # Errors
    /// [`Error::Load`] if gate does not load; [`Error::Attach`] if it is refused, with the kernel's words.
    pub fn attach(&self, interface: &Interface) -> Result<Attached, Error> {
        self.prepare(interface.mss4, interface.mss6)?;
        let key = (interface.mss4.unwrap_or(self.settings.mss4), interface.mss6.unwrap_or(self.settings.mss6));
        let gates = self.gates.borrow();
        let gate = gates.get(&key).ok_or_else(|| Error::NoInterface(interface.name.clone()))?;
        let programs =
            Programs { gate: gate.as_fd(), admit: self.admit.as_fd(), admit_is_needed: self.support.own_cookie };
        let attached = attach::interface(&self.datapath.pins, interface, &programs)?;
        self.pin()?;
        Ok(attached)
    }

    /// Takes the programs off every interface but these.
    ///
    /// # Errors
    /// [`Error::Pin`].
    pub fn keep_only(&self, indices: &[u32]) -> Result<(), Error> {
        let others = attach::known(&self.datapath.pins).into_iter().filter(|index| !indices.contains(index));
        others.map(|index| self.datapath.detach(index)).fold(Ok(()), Result::and)
    }

    /// Attaches `watch`. Without it everything else works, but no source gets verified and nobody learns who speaks first.
    ///
    /// # Errors
    /// [`Error::Load`] or [`Error::Attach`].
    pub fn watch(&self) -> Result<(), Error> {
        let Datapath { pins, maps } = &self.datapath;
        let watch = load::watch(&self.settings, pins.cookie(), &Share::Of(maps))?;
        attach::watch(pins, watch.program.as_fd())
    }

    /// What the kernel offers.
    #[must_use]
    pub fn support(&self) -> &Support {
        &self.support
    }

    /// Whether the maps were there already.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// The maps, pins and interfaces.
    #[must_use]
    pub fn datapath(&self) -> &Datapath {
        &self.datapath
    }

    /// Only those, once nothing has to be attached any more.
    #[must_use]
    pub fn into_datapath(self) -> Datapath {
        self.datapath
    }
}

/// gate and admit with maps of their own, attached to nothing: for tests and benchmarks.
#[derive(Debug)]
pub struct Unattached {
    gate: OwnedFd,
    admit: OwnedFd,
    maps: Maps,
}

impl Unattached {
    /// Loads both, with fresh keys and every port at [`PortPolicy::default`].
    ///
    /// # Errors
    /// What is missing in the kernel; [`Error::Load`].
    pub fn load(settings: &Settings, capacity: Capacity) -> Result<Self, Error> {
        let support = kernel::supports()?;
        let gate = load::gate(settings, 0, &Share::Fresh(capacity))?;
        let admit = load::admit(settings, 0, &Share::Of(&gate.maps))?;
        Keys::new(&gate.maps).install()?;
        set_completion(&gate.maps, &support);
        begin_policy(&gate.maps)?;
        Ok(Self { gate: gate.program, admit: admit.program, maps: gate.maps })
    }

    /// The maps.
    #[must_use]
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys::new(&self.maps)
    }

    /// Runs gate on a frame: see [`crate::test_run`].
    ///
    /// # Errors
    /// [`Error::TestRun`].
    pub fn run_gate(&self, frame: &Frame<'_>) -> Result<Ran, Error> {
        run(self.gate.as_fd(), frame)
    }

    /// Runs admit on a frame.
    ///
    /// # Errors
    /// [`Error::TestRun`].
    pub fn run_admit(&self, frame: &Frame<'_>) -> Result<Ran, Error> {
        run(self.admit.as_fd(), frame)
    }
}

fn set_completion(maps: &Maps, support: &Support) {
    maps.set_completion(if support.own_cookie { Completion::Own } else { Completion::Kernel });
}

/// What the maps of policy hold before anything else does.
pub(crate) fn begin_policy(maps: &Maps) -> Result<(), Error> {
    for number in 0..=u16::MAX {
        maps.set_port(number, PortPolicy::default());
    }
    maps.set_list_secret(keys::random_u64()?);
    Ok(())
}

/// Tables of verified sources whose capacity changes: their pins go, so that new ones are made; what is in them is copied later.
fn set_aside(pins: &Pins, capacity: Capacity) -> Result<Vec<(&'static str, libbpf_rs::MapHandle)>, Error> {
    let mut outgrown = Vec::new();
    for (name, entries) in [("verified4", capacity.verified4), ("verified6", capacity.verified6)] {
        let path = pins.path(name);
        let Ok(old) = maps::open_handle(name, &path) else { continue };
        if old.max_entries() != entries.max(1) {
            std::fs::remove_file(&path).map_err(Error::pin("remove", path))?;
            outgrown.push((name, old));
        }
    }
    Ok(outgrown)
}

fn pinned_programs(pins: &Pins) -> Vec<u32> {
    let programs = pins.named("program_").into_iter().filter_map(|(name, _)| sys::open_pin(&pins.path(&name)).ok());
    programs.filter_map(|program| sys::program_id(program.as_fd()).ok()).collect()
}

/// The kernel frees a program a moment after its last use. Whoever looks after `off` should find nothing; but somebody else may hold
/// one (a debugger), so the wait is bounded.
fn wait_until_gone(programs: &[u32]) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline && programs.iter().any(|id| sys::program_exists(*id)) {
        sleep(Duration::from_millis(5));
    }
}
