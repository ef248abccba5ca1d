//! Puts loaded programs where packets pass: gate into XDP, admit at tc ingress, watch at the root of the control groups.
//!
//! Each attachment is a link with a pin, so it stays when the daemon goes, and a later run puts its own program into the same link:
//! there is no packet that neither the old nor the new program sees. What a link cannot tell (why native XDP was refused, whether
//! the qdisc was ours) is in a small file for each interface.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use libbpf_rs::libbpf_sys as raw;

use crate::pins::{Pins, detach_and_unpin};
use crate::{Error, messages, netns, sys, tc};

/// An interface to protect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its index in this network namespace.
    pub index: u32,
    /// Its name, for messages: it may change.
    pub name: String,
    /// Its own MSS over IPv4, in bytes, in place of the settings'.
    pub mss4: Option<u16>,
    /// Its own MSS over IPv6, in bytes.
    pub mss6: Option<u16>,
    /// Which kind of XDP to try.
    pub wish: XdpWish,
}

impl Interface {
    /// The interface with this name, with the settings' MSS and native XDP where its driver has it.
    ///
    /// # Errors
    /// [`Error::NoInterface`].
    pub fn by_name(name: &str) -> Result<Self, Error> {
        let index = netns::interface_index(name)?;
        Ok(Self { index, name: name.to_string(), mss4: None, mss6: None, wish: XdpWish::Best })
    }
}

/// Which kind of XDP to try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum XdpWish {
    /// Native, or generic if the driver refuses that.
    #[default]
    Best,
    /// Native or nothing.
    Native,
    /// Generic, even if native would do.
    Generic,
}

impl XdpWish {
    fn allows(self, mode: XdpMode) -> bool {
        match self {
            Self::Best => true,
            Self::Native => mode == XdpMode::Native,
            Self::Generic => mode == XdpMode::Generic,
        }
    }
}

/// Where XDP runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, before the kernel makes anything of the packet.
    Native,
    /// In the kernel's receive path: works everywhere, and costs more.
    Generic,
}

impl XdpMode {
    /// The word used in text and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// How admit is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmitHook {
    /// By a tcx link (Linux 6.6 and later).
    Tcx,
    /// By a filter on a clsact qdisc that was there before.
    Clsact,
    /// By a filter on a clsact qdisc that we made, and take away again.
    ClsactOurs,
    /// Not at all: this kernel completes its own cookies, and refused admit.
    None,
}

impl AdmitHook {
    /// The word used in text, JSON and our own file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::ClsactOurs => "clsact-ours",
            Self::None => "none",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Tcx, Self::Clsact, Self::ClsactOurs, Self::None].into_iter().find(|hook| hook.name() == name)
    }
}

/// An interface that the programs are attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its index.
    pub index: u32,
    /// Its name now, or the one it had.
    pub name: String,
    /// Where gate runs.
    pub mode: XdpMode,
    /// Why it is not native, in the driver's or kernel's words.
    pub native_refused: Option<String>,
    /// How admit is attached.
    pub admit: AdmitHook,
    /// False once the interface is gone, or somebody took the program off.
    pub live: bool,
}

/// What the file of an interface keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Notes {
    name: String,
    native_refused: Option<String>,
    admit: AdmitHook,
}

impl Notes {
    fn text(&self) -> String {
        let refused = self.native_refused.as_deref().unwrap_or_default().replace('\n', " ");
        format!("name={}\nadmit={}\nnative_refused={refused}\n", self.name, self.admit.name())
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
        Self {
            name: value("name").to_string(),
            native_refused: Some(value("native_refused")).filter(|words| !words.is_empty()).map(Into::into),
            admit: AdmitHook::from_name(value("admit")).unwrap_or(AdmitHook::None),
        }
    }

    fn path(pins: &Pins, index: u32) -> PathBuf {
        pins.folder().join(format!("interface-{index}"))
    }

    fn read(pins: &Pins, index: u32) -> Self {
        Self::parse(&fs::read_to_string(Self::path(pins, index)).unwrap_or_default())
    }

    fn write(&self, pins: &Pins, index: u32) -> Result<(), Error> {
        let path = Self::path(pins, index);
        fs::write(&path, self.text()).map_err(Error::file("write", path))
    }
}

/// The programs for an interface.
pub(crate) struct Programs<'a> {
    pub gate: BorrowedFd<'a>,
    pub admit: BorrowedFd<'a>,
    /// Whether nothing works without admit. Otherwise the kernel completes its own cookies, and admit only serves connection tracking.
    pub admit_is_needed: bool,
}

/// Attaches gate and admit to an interface, or puts them into the links that are there.
pub(crate) fn interface(pins: &Pins, interface: &Interface, programs: &Programs<'_>) -> Result<Attached, Error> {
    let index = interface.index;
    let before = Notes::read(pins, index);
    // admit first: what it makes sockets of exists only once gate has answered.
    let hook = match attach_admit(pins, interface, programs.admit, before.admit) {
        Err(_) if !programs.admit_is_needed => AdmitHook::None,
        hook => hook?,
    };
    // Written before gate is attached, so that `off` knows of the qdisc even if we end here.
    let mut notes = Notes { name: interface.name.clone(), native_refused: before.native_refused, admit: hook };
    notes.write(pins, index)?;
    if let Some(refused) = attach_gate(pins, interface, programs.gate)? {
        notes.native_refused = refused;
        notes.write(pins, index)?;
    }
    pin_program(pins, &format!("program_gate_{index}"), programs.gate)?;
    attached(pins, index).ok_or_else(|| Error::NoInterface(interface.name.clone()))
}

/// Every interface that gate was attached to.
pub(crate) fn all(pins: &Pins) -> Vec<Attached> {
    let mut indices: Vec<u32> = pins.named("link_gate_").iter().filter_map(|(_, index)| index.parse().ok()).collect();
    indices.sort_unstable();
    indices.into_iter().filter_map(|index| attached(pins, index)).collect()
}

fn attached(pins: &Pins, index: u32) -> Option<Attached> {
    let link = sys::open_pin(&gate_pin(pins, index)).ok()?;
    let info = sys::link_info(link.as_fd()).ok()?;
    let notes = Notes::read(pins, index);
    let on_interface = sys::xdp_query(index).unwrap_or_default();
    let generic = on_interface.generic == info.program_id && on_interface.generic != 0;
    Some(Attached {
        index,
        name: netns::interface_name(index).unwrap_or(notes.name),
        mode: if generic { XdpMode::Generic } else { XdpMode::Native },
        native_refused: notes.native_refused.filter(|_| generic),
        admit: notes.admit,
        live: info.ifindex == index,
    })
}

/// Takes everything off an interface.
pub(crate) fn detach(pins: &Pins, index: u32) -> Result<(), Error> {
    let gate = detach_and_unpin(&gate_pin(pins, index));
    let admit = detach_and_unpin(&admit_pin(pins, index));
    detach_clsact(index, Notes::read(pins, index).admit);
    let _ = fs::remove_file(Notes::path(pins, index));
    let _ = fs::remove_file(pins.path(&format!("program_gate_{index}")));
    gate.and(admit)
}

/// The indices of all interfaces of which anything is known.
pub(crate) fn known(pins: &Pins) -> Vec<u32> {
    let files = fs::read_dir(pins.folder()).into_iter().flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let noted = names.filter_map(|name| name.strip_prefix("interface-").and_then(|index| index.parse().ok()));
    let pinned = pins.named("link_gate_").into_iter().chain(pins.named("link_admit_"));
    let mut indices: Vec<u32> = noted.chain(pinned.filter_map(|(_, index)| index.parse().ok())).collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}

fn gate_pin(pins: &Pins, index: u32) -> PathBuf {
    pins.path(&format!("link_gate_{index}"))
}

fn admit_pin(pins: &Pins, index: u32) -> PathBuf {
    pins.path(&format!("link_admit_{index}"))
}

/// None: the link was there, with its mode. Otherwise why native XDP was refused, if it was.
fn attach_gate(pins: &Pins, to: &Interface, gate: BorrowedFd<'_>) -> Result<Option<Option<String>>, Error> {
    let pin = gate_pin(pins, to.index);
    // A link keeps its kind for life, so another wish than before needs another link, and costs a gap.
    let wished = attached(pins, to.index).is_none_or(|now| to.wish.allows(now.mode));
    if !wished {
        detach_and_unpin(&pin)?;
    } else if update_link(&pin, Some(to.index), gate)? {
        return Ok(None);
    }
    let (link, refused) = create_xdp_link(to, gate)?;
    sys::pin(link.as_fd(), &pin).map_err(Error::pin("pin", &pin))?;
    Ok(Some(refused))
}

/// Puts the program into a pinned link. False: there is none that is still attached, and nothing is in the way of a new one.
fn update_link(pin: &PathBuf, interface: Option<u32>, program: BorrowedFd<'_>) -> Result<bool, Error> {
    let Ok(link) = sys::open_pin(pin) else { return Ok(false) };
    let info = sys::link_info(link.as_fd()).map_err(Error::pin("read", pin))?;
    let live = interface.is_none_or(|index| info.ifindex == index);
    if live && sys::link_update(link.as_fd(), program).is_ok() {
        return Ok(true);
    }
    detach_and_unpin(pin)?;
    Ok(false)
}

fn create_xdp_link(to: &Interface, gate: BorrowedFd<'_>) -> Result<(OwnedFd, Option<String>), Error> {
    let create = |flags| sys::link_create(gate, to.index as i32, raw::BPF_XDP, flags);
    let fail = |log: String| {
        let to = to.name.clone();
        move |source| Error::Attach { program: "gate", to, log, source }
    };
    if to.wish == XdpWish::Generic {
        let link = create(raw::XDP_FLAGS_SKB_MODE).map_err(fail(String::new()))?;
        return Ok((link, Some("generic was asked for".into())));
    }
    let error = match create(raw::XDP_FLAGS_DRV_MODE) {
        Ok(link) => return Ok((link, None)),
        Err(error) => error,
    };
    let words = refusal(to.index, gate, &error);
    // Another XDP program is there: generic beside it would be refused, too, or run after it.
    if to.wish == XdpWish::Native || error.raw_os_error() == Some(libc::EBUSY) {
        return Err(fail(words)(error));
    }
    let link = create(raw::XDP_FLAGS_SKB_MODE).map_err(fail(words.clone()))?;
    Ok((link, Some(words)))
}

/// Why native XDP was refused: in the kernel's own words if it has any for us, which only netlink carries.
fn refusal(index: u32, gate: BorrowedFd<'_>, error: &io::Error) -> String {
    let flags = raw::XDP_FLAGS_DRV_MODE;
    let ((), printed) = messages::catch(|| sys::xdp_attach_for_its_words(index, gate, flags));
    messages::kernel_words(&printed).unwrap_or_else(|| error.to_string())
}

fn attach_admit(pins: &Pins, to: &Interface, admit: BorrowedFd<'_>, before: AdmitHook) -> Result<AdmitHook, Error> {
    let pin = admit_pin(pins, to.index);
    if update_link(&pin, Some(to.index), admit)? {
        return Ok(AdmitHook::Tcx);
    }
    // Before all others, so that nothing takes the packet away first.
    match sys::link_create(admit, to.index as i32, raw::BPF_TCX_INGRESS, raw::BPF_F_BEFORE) {
        Ok(link) => {
            sys::pin(link.as_fd(), &pin).map_err(Error::pin("pin", &pin))?;
            Ok(AdmitHook::Tcx)
        }
        // Before Linux 6.6 this kind of link is not known.
        Err(_) => attach_clsact(to, admit, before),
    }
}

fn attach_clsact(to: &Interface, admit: BorrowedFd<'_>, before: AdmitHook) -> Result<AdmitHook, Error> {
    let (result, log) = messages::catch(|| {
        let made = tc::create(to.index)?;
        tc::attach(to.index, admit)?;
        Ok(made)
    });
    let fail = |source| Error::Attach {
        program: "admit",
        to: to.name.clone(),
        log: messages::kernel_words(&log).unwrap_or_default(),
        source,
    };
    let made = result.map_err(fail)?;
    Ok(if made || before == AdmitHook::ClsactOurs { AdmitHook::ClsactOurs } else { AdmitHook::Clsact })
}

fn detach_clsact(index: u32, hook: AdmitHook) {
    // The interface may be gone, and the filter with it; libbpf's messages about that are of no use.
    let _ = messages::catch(|| match hook {
        AdmitHook::Clsact => tc::detach(index),
        AdmitHook::ClsactOurs => tc::detach(index).and_then(|()| tc::destroy_if_unused(index)),
        AdmitHook::Tcx | AdmitHook::None => Ok(()),
    });
}

/// Attaches watch at the root of the control groups.
pub(crate) fn watch(pins: &Pins, program: BorrowedFd<'_>) -> Result<(), Error> {
    let pin = watch_pin(pins);
    pin_program(pins, "program_watch", program)?;
    if update_link(&pin, None, program)? {
        return Ok(());
    }
    let link =
        sys::cgroup_root().and_then(|root| sys::link_create(program, root.as_raw_fd(), raw::BPF_CGROUP_SOCK_OPS, 0));
    let fail = |source| Error::Attach {
        program: "watch",
        to: "the root of the control groups (cgroup2)".into(),
        log: String::new(),
        source,
    };
    sys::pin(link.map_err(fail)?.as_fd(), &pin).map_err(Error::pin("pin", pin))
}

pub(crate) fn is_watching(pins: &Pins) -> bool {
    sys::open_pin(&watch_pin(pins)).is_ok()
}

fn watch_pin(pins: &Pins) -> PathBuf {
    pins.path("link_watch")
}

/// Pins a program under a name, in place of an earlier one.
pub(crate) fn pin_program(pins: &Pins, name: &str, program: BorrowedFd<'_>) -> Result<(), Error> {
    let path = pins.path(name);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::pin("remove", path)(e)),
        _ => {}
    }
    sys::pin(program, &path).map_err(Error::pin("pin", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{self, Share};
    use crate::{Capacity, Settings};

    #[test]
    fn notes_survive_their_file() {
        for (refused, admit) in [(None, AdmitHook::Tcx), (Some("MTU too large".to_string()), AdmitHook::ClsactOurs)] {
            let notes = Notes { name: "eth0".into(), native_refused: refused, admit };
            assert_eq!(Notes::parse(&notes.text()), notes);
        }
        let none = Notes { name: String::new(), native_refused: None, admit: AdmitHook::None };
        assert_eq!(Notes::parse(""), none);
    }

    /// The way of kernels before 6.6, which newer ones still have: otherwise only old kernels would try it.
    #[test]
    fn without_tcx_a_filter_is_replaced_and_taken_away() {
        let lo = Interface { index: 1, name: "lo".into(), mss4: None, mss6: None, wish: XdpWish::Best };
        let test = move || {
            // SAFETY: takes a flag only, and concerns this new thread alone.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "this test needs root");
            let share = Share::Fresh(Capacity { verified4: 8, verified6: 8 });
            let [first, second] = [0, 1].map(|_| load::admit(&Settings::default(), 0, &share).unwrap().program);
            let id = |program: &OwnedFd| sys::program_id(program.as_fd()).unwrap();

            let hook = attach_clsact(&lo, first.as_fd(), AdmitHook::None).unwrap();
            assert_eq!(hook, AdmitHook::ClsactOurs);
            assert_eq!(tc::query(1).unwrap(), id(&first));
            assert_eq!(attach_clsact(&lo, second.as_fd(), hook).unwrap(), AdmitHook::ClsactOurs);
            assert_eq!(tc::query(1).unwrap(), id(&second));
            detach_clsact(1, hook);
            assert!(tc::create(1).unwrap(), "the qdisc was taken away");

            // Now it is somebody else's, and stays; so does one of ours with somebody else's filter on it.
            let hook = attach_clsact(&lo, first.as_fd(), AdmitHook::None).unwrap();
            assert_eq!(hook, AdmitHook::Clsact);
            detach_clsact(1, hook);
            assert!(messages::catch(|| tc::query(1)).0.is_err(), "the filter was taken away");
            assert!(!messages::catch(|| tc::create(1)).0.unwrap(), "the qdisc is still there");
            tc::attach_at(1, raw::BPF_TC_EGRESS, second.as_fd()).unwrap();
            attach_clsact(&lo, first.as_fd(), AdmitHook::ClsactOurs).unwrap();
            detach_clsact(1, AdmitHook::ClsactOurs);
            assert!(!messages::catch(|| tc::create(1)).0.unwrap(), "the qdisc with the other filter is still there");
        };
        std::thread::spawn(test).join().unwrap();
    }
}
