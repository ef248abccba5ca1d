//! The few changes that Sekisho makes to a host, each with its inverse.
//!
//! A change is a [`Step`]: data that can be shown, applied and taken back. [`Mends`] is the list of those in force, in a file that is
//! written *before* the change is made: whatever happens in between, `sekisho off` knows what may have been changed. A step is
//! taken back only where the value is still the one that it set; what somebody else set since is left alone, and told.
//!
//! [`Mends`] are what the daemon needs to protect at all, for as long as it protects. What the owner of the host asked for by `sekisho
//! apply` is kept by [`journal`], which outlives a reboot and knows changes that are on trial.

pub mod added;
pub mod files;
pub mod journal;
pub mod nft;
pub mod ruleset;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::observe::{ethtool, sysctl};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A sysctl is set.
    Sysctl {
        /// Its name.
        key: String,
        /// What it was.
        from: String,
        /// What it is set to.
        to: String,
    },
    /// Offloads of an interface are switched off.
    OffloadOff {
        /// Its name.
        interface: String,
        /// Flags as in [`ethtool::flags`].
        flags: u32,
    },
    /// A file of our own is written, which matters from the next boot on.
    File {
        /// Where.
        path: PathBuf,
        /// What it said; `None`: there was none.
        from: Option<String>,
        /// What it says; `None`: it is removed.
        to: Option<String>,
    },
    /// Our own nftables table is put in place, in one transaction.
    Table {
        /// Its rules as `nft` printed them; `None`: there was none.
        from: Option<String>,
        /// Its rules, in nft's language or in its JSON; `None`: it is removed.
        to: Option<String>,
    },
}

impl Step {
    /// What it does, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Sysctl { key, from, to } => format!("{key} set from {from} to {to}"),
            Self::OffloadOff { interface, flags } => {
                format!("{} switched off on {interface}", offload_names(*flags).join(" and "))
            }
            Self::File { path, to: Some(_), .. } => format!("{} written", path.display()),
            Self::File { path, to: None, .. } => format!("{} removed", path.display()),
            Self::Table { to: Some(_), .. } => "nftables' table inet sekisho put in place".into(),
            Self::Table { to: None, .. } => "nftables' table inet sekisho removed".into(),
        }
    }
}

/// The names that `ethtool -k` has for offload flags.
fn offload_names(flags: u32) -> Vec<&'static str> {
    let known = [(ethtool::RX_VLAN, "rx-vlan-offload"), (ethtool::LRO, "large-receive-offload")];
    known.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| name).collect()
}

/// What steps change. The one real host is [`LiveHost`]; tests have another.
pub trait Host {
    /// The value of a sysctl.
    fn sysctl(&self, key: &str) -> Option<String>;
    /// Sets a sysctl.
    ///
    /// # Errors
    /// When the system refuses.
    fn set_sysctl(&mut self, key: &str, value: &str) -> io::Result<()>;
    /// The offloads of an interface.
    ///
    /// # Errors
    /// When there is no such interface.
    fn offloads(&self, interface: &str) -> io::Result<u32>;
    /// Sets the offloads of an interface.
    ///
    /// # Errors
    /// When the driver refuses.
    fn set_offloads(&mut self, interface: &str, flags: u32) -> io::Result<()>;
    /// The text of a file; `None` if there is none.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    fn file(&self, path: &Path) -> io::Result<Option<String>>;
    /// Writes a file, or removes it, so that it is on disk when this returns.
    ///
    /// # Errors
    /// When the system refuses.
    fn set_file(&mut self, path: &Path, text: Option<&str>) -> io::Result<()>;
    /// Our own nftables table as `nft` prints it; `None` if there is none.
    fn table(&self) -> Option<String>;
    /// Puts our own nftables table in place, or removes it, in one transaction.
    ///
    /// # Errors
    /// What `nft` said.
    fn set_table(&mut self, rules: Option<&str>) -> io::Result<()>;
}

/// The host that this process runs on.
#[derive(Debug, Default, Clone, Copy)]
pub struct LiveHost;

impl Host for LiveHost {
    fn sysctl(&self, key: &str) -> Option<String> {
        sysctl::read(key)
    }
    fn set_sysctl(&mut self, key: &str, value: &str) -> io::Result<()> {
        sysctl::write(key, value)
    }
    fn offloads(&self, interface: &str) -> io::Result<u32> {
        ethtool::flags(interface)
    }
    fn set_offloads(&mut self, interface: &str, flags: u32) -> io::Result<()> {
        ethtool::set_flags(interface, flags)
    }
    fn file(&self, path: &Path) -> io::Result<Option<String>> {
        files::read(path)
    }
    fn set_file(&mut self, path: &Path, text: Option<&str>) -> io::Result<()> {
        files::set(path, text)
    }
    fn table(&self) -> Option<String> {
        nft::table()
    }
    fn set_table(&mut self, rules: Option<&str>) -> io::Result<()> {
        nft::set_table(rules)
    }
}

/// What became of a step that was to be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// The value is again what it was.
    Restored,
    /// Somebody else set another value since: left alone.
    LeftAlone,
    /// The interface or setting is gone, or the system refused.
    Failed,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// The record could not be written, so nothing was changed.
    #[error("cannot write {}", file.display())]
    Record {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record cannot be read, so it is unknown what was changed.
    #[error("{} is not a record of changes", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The system refused the change.
    #[error("this change was refused: {what}")]
    Refused {
        /// The change.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The changes in force.
#[derive(Debug)]
pub struct Mends {
    file: PathBuf,
    steps: Vec<Step>,
}

impl Mends {
    /// Those that `file` has; none if there is no such file.
    ///
    /// # Errors
    /// [`MendError::Damaged`].
    pub fn load(file: &Path) -> Result<Self, MendError> {
        let steps = match fs::read(file) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| MendError::Damaged { file: file.to_owned(), source })?
            }
            Err(_) => Vec::new(),
        };
        Ok(Self { file: file.to_owned(), steps })
    }

    /// The changes in force.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether this sysctl was set.
    pub fn sysctl(&self, key: &str) -> Option<&Step> {
        self.steps.iter().find(|step| matches!(step, Step::Sysctl { key: set, .. } if set == key))
    }

    /// Makes a change, after writing it down.
    ///
    /// # Errors
    /// [`MendError::Record`] and [`MendError::Refused`]; nothing is then changed, and nothing remembered.
    pub fn apply(&mut self, host: &mut impl Host, step: Step) -> Result<(), MendError> {
        // One made before and made again keeps its first record: that knows the host as it was found.
        let known = self.steps.iter().any(|old| same_target(old, &step));
        if !known {
            self.steps.push(step.clone());
            self.save()?;
        }
        let done = make(host, &step);
        let refused = |source| MendError::Refused { what: step.describe(), source };
        if done.is_err() && !known {
            self.steps.pop();
            self.save()?;
        }
        done.map_err(refused)
    }

    /// Takes everything back, the last change first, and forgets it.
    ///
    /// # Errors
    /// [`MendError::Record`] when the empty record cannot be written.
    pub fn undo(&mut self, host: &mut impl Host) -> Result<Vec<(Step, Undone)>, MendError> {
        let steps = std::mem::take(&mut self.steps);
        let undone = steps.into_iter().rev().map(|step| {
            let outcome = undo(host, &step);
            (step, outcome)
        });
        let undone = undone.collect();
        self.save()?;
        Ok(undone)
    }

    /// Writes the record: only needed where its file may have been removed.
    ///
    /// # Errors
    /// [`MendError::Record`].
    pub fn save(&self) -> Result<(), MendError> {
        let error = |source| MendError::Record { file: self.file.clone(), source };
        if self.steps.is_empty() {
            return match fs::remove_file(&self.file) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => Err(error(source)),
                _ => Ok(()),
            };
        }
        let bytes = serde_json::to_vec_pretty(&self.steps).map_err(|source| error(source.into()))?;
        replace(&self.file, &bytes).map_err(error)
    }
}

/// Writes a file so that a reader, or a crash, meets the old text or the new, never half of one.
///
/// # Errors
/// What the system said.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::rename(beside, file)
}

fn same_target(one: &Step, other: &Step) -> bool {
    match (one, other) {
        (Step::Sysctl { key: one, .. }, Step::Sysctl { key: other, .. }) => one == other,
        (Step::File { path: one, .. }, Step::File { path: other, .. }) => one == other,
        (Step::Table { .. }, Step::Table { .. }) => true,
        (one, other) => one == other,
    }
}

/// Makes the change of a step.
pub(crate) fn make(host: &mut impl Host, step: &Step) -> io::Result<()> {
    match step {
        Step::Sysctl { key, to, .. } => host.set_sysctl(key, to),
        Step::OffloadOff { interface, flags } => {
            host.offloads(interface).and_then(|now| host.set_offloads(interface, now & !flags))
        }
        Step::File { path, to, .. } => host.set_file(path, to.as_deref()),
        Step::Table { to, .. } => host.set_table(to.as_deref()),
    }
}

/// Takes a step back, whether or not it was made: what is already as it was stays so.
pub(crate) fn undo(host: &mut impl Host, step: &Step) -> Undone {
    let done = match step {
        Step::Sysctl { key, from, to } => match host.sysctl(key) {
            Some(now) if now == *to => host.set_sysctl(key, from),
            Some(now) if now == *from => Ok(()),
            Some(_) => return Undone::LeftAlone,
            None => return Undone::Failed,
        },
        Step::OffloadOff { interface, flags } => {
            host.offloads(interface).and_then(|now| host.set_offloads(interface, now | flags))
        }
        Step::File { path, from, to } => match host.file(path) {
            Ok(now) if now == *to => host.set_file(path, from.as_deref()),
            Ok(now) if now == *from => Ok(()),
            Ok(_) => return Undone::LeftAlone,
            Err(error) => Err(error),
        },
        // The table bears our name, and what is counted in it changes by itself: there is nothing to compare.
        Step::Table { from, .. } if from.is_none() && host.table().is_none() => Ok(()),
        Step::Table { from, .. } => host.set_table(from.as_deref()),
    };
    if done.is_ok() { Undone::Restored } else { Undone::Failed }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Fake {
        sysctls: BTreeMap<String, String>,
        offloads: BTreeMap<String, u32>,
        read_only: bool,
    }

    impl Host for Fake {
        fn sysctl(&self, key: &str) -> Option<String> {
            self.sysctls.get(key).cloned()
        }
        fn set_sysctl(&mut self, key: &str, value: &str) -> io::Result<()> {
            if self.read_only {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            self.sysctls.insert(key.to_owned(), value.to_owned());
            Ok(())
        }
        fn offloads(&self, interface: &str) -> io::Result<u32> {
            self.offloads.get(interface).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        fn set_offloads(&mut self, interface: &str, flags: u32) -> io::Result<()> {
            self.offloads.insert(interface.to_owned(), flags);
            Ok(())
        }
        fn file(&self, _: &Path) -> io::Result<Option<String>> {
            Ok(None)
        }
        fn set_file(&mut self, _: &Path, _: Option<&str>) -> io::Result<()> {
            Ok(())
        }
        fn table(&self) -> Option<String> {
            None
        }
        fn set_table(&mut self, _: Option<&str>) -> io::Result<()> {
            Ok(())
        }
    }

    const KEY: &str = "net.ipv4.tcp_syncookies";

    fn step() -> Step {
        Step::Sysctl { key: KEY.into(), from: "0".into(), to: "1".into() }
    }

    fn host() -> Fake {
        Fake {
            sysctls: BTreeMap::from([(KEY.to_owned(), "0".to_owned())]),
            offloads: BTreeMap::from([("eth0".to_owned(), ethtool::RX_VLAN | 1)]),
            read_only: false,
        }
    }

    #[test]
    fn what_was_changed_is_remembered_across_runs_and_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mends.json");
        let mut host = host();
        let mut mends = Mends::load(&file).unwrap();
        mends.apply(&mut host, step()).unwrap();
        mends.apply(&mut host, Step::OffloadOff { interface: "eth0".into(), flags: ethtool::RX_VLAN }).unwrap();
        assert_eq!((host.sysctls[KEY].as_str(), host.offloads["eth0"]), ("1", 1));

        let mut again = Mends::load(&file).unwrap();
        assert_eq!(again.steps().len(), 2);
        assert!(again.sysctl(KEY).is_some());
        let undone = again.undo(&mut host).unwrap();
        assert!(undone.iter().all(|(_, outcome)| *outcome == Undone::Restored), "{undone:?}");
        assert_eq!((host.sysctls[KEY].as_str(), host.offloads["eth0"]), ("0", ethtool::RX_VLAN | 1));
        assert!(!file.exists());
    }

    #[test]
    fn what_somebody_else_set_since_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut mends = Mends::load(&folder.path().join("mends.json")).unwrap();
        let mut host = host();
        mends.apply(&mut host, step()).unwrap();
        host.sysctls.insert(KEY.into(), "2".into());
        assert_eq!(mends.undo(&mut host).unwrap()[0].1, Undone::LeftAlone);
        assert_eq!(host.sysctls[KEY], "2");
    }

    #[test]
    fn a_step_made_again_keeps_its_first_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut mends = Mends::load(&folder.path().join("mends.json")).unwrap();
        let mut host = host();
        mends.apply(&mut host, step()).unwrap();
        let again = Step::Sysctl { key: KEY.into(), from: "2".into(), to: "1".into() };
        mends.apply(&mut host, again).unwrap();
        assert_eq!(mends.steps(), [step()]);
    }

    #[test]
    fn a_refused_step_is_forgotten_and_a_step_without_record_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mends.json");
        let mut host = Fake { read_only: true, ..host() };
        let mut mends = Mends::load(&file).unwrap();
        assert!(matches!(mends.apply(&mut host, step()), Err(MendError::Refused { .. })));
        assert!(mends.steps().is_empty() && !file.exists());

        host.read_only = false;
        let mut nowhere = Mends::load(&folder.path().join("missing/mends.json")).unwrap();
        assert!(matches!(nowhere.apply(&mut host, step()), Err(MendError::Record { .. })));
        assert_eq!(host.sysctls[KEY], "0");
    }
}
