//! What the daemon writes down for `sekisho status`, which works without it too: a small file in the network namespace's folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sekisho_datapath::{Attached, Pins, XdpMode};
use sekisho_engine::act;
use sekisho_engine::policy::Policy;
use serde::{Deserialize, Serialize};

const FOLDER: &str = "/var/lib/sekisho";

/// The state of the last daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// "guard" or "observe".
    pub mode: String,
    /// Why cookies are completed as they are.
    pub completion_reason: String,
    /// The interfaces that were asked for; empty: that of the default route.
    pub interfaces: Vec<String>,
    /// Why the daemon chose generic mode, for the interfaces (by number) where it did so before any driver was asked.
    pub generic: BTreeMap<u32, String>,
    /// Why an nftables table does the work; absent where programs on XDP do.
    #[serde(default)]
    pub nftables: Option<String>,
    /// The configuration in force, as text: the file may have been edited since.
    pub config: String,
}

impl State {
    /// What was written last, if anything.
    pub fn read(pins: &Pins) -> Option<Self> {
        serde_json::from_slice(&fs::read(file(pins)).ok()?).ok()
    }

    /// Writes it down.
    pub fn write(&self, pins: &Pins) -> io::Result<()> {
        act::replace(&file(pins), &serde_json::to_vec_pretty(self)?)
    }

    /// Puts the daemon's reasons in the place of "it was asked for".
    pub fn explain(&self, attached: &mut [Attached]) {
        for on in attached.iter_mut().filter(|on| on.mode == XdpMode::Generic) {
            if let Some(reason) = self.generic.get(&on.index) {
                on.native_refused = Some(reason.clone());
            }
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        Policy::parse(&self.config, Path::new("the configuration in force")).unwrap_or_default()
    }
}

/// Where what outlives a reboot is kept. Other network namespaces than the host's own do not, so theirs is where the rest of theirs is.
pub fn lasting_folder(pins: &Pins) -> PathBuf {
    if is_hosts_namespace() { PathBuf::from(FOLDER) } else { pins.folder() }
}

/// Whether this is the network namespace of process 1.
pub fn is_hosts_namespace() -> bool {
    let inode = |path: &str| fs::metadata(path).map(|metadata| metadata.ino()).ok();
    let first = inode("/proc/1/ns/net");
    first.is_some() && first == inode("/proc/thread-self/ns/net")
}

/// The file of changes that were made to the host.
pub fn mends_file(pins: &Pins) -> PathBuf {
    pins.folder().join("mends.json")
}

fn file(pins: &Pins) -> PathBuf {
    pins.folder().join("state.json")
}
