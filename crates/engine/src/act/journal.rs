//! Changes that the host's owner asked for (`sekisho apply`), kept on disk so that each can be taken back: also after a crash between
//! any two of its steps, and after a reboot.
//!
//! A [`Change`] is a list of steps. Before a step is made the journal says so on disk; so whatever ends the program, the journal lists at
//! least what was made, and [`Journal::roll_back`] undoes it, the last step first. Undoing what was never made does nothing, so one may
//! stop there too and begin again.
//!
//! A change may be on trial ([`Trial`]): it is in force, but is taken back unless it is confirmed. What only matters from the next boot on
//! (a file) is written when it is confirmed, so a host that is rebooted by somebody locked out comes back as it was.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Host, Step, Undone, files, make, undo};

const VERSION: u32 = 1;

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Not made yet.
    Planned,
    /// Being made, or made.
    Begun,
}

/// A step and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What is done.
    pub step: Step,
    /// How far it is.
    pub progress: Progress,
}

/// Where a change was asked for: to tell a new connection from the one that may have been cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `SSH_CONNECTION` of whoever asked.
    pub ssh: Option<String>,
    /// The sshd that serves the session: process id and start, in clock ticks since boot.
    pub sshd: Option<(u32, u64)>,
}

/// A change that is taken back unless it is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// How long it may wait for that, in seconds.
    pub within: u64,
    /// Who asked for it.
    pub by: Connection,
    /// When it was in force, in clock ticks since boot: an sshd that started later serves a connection that came through it.
    pub in_force: Option<u64>,
}

/// How far a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its steps are being made; after a crash, some are.
    Applying,
    /// In force until it is confirmed or taken back.
    OnTrial,
    /// In force.
    Kept,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Counts up from 1.
    pub id: u64,
    /// The boot it was made in (/proc/sys/kernel/random/boot_id).
    pub boot: String,
    /// How far it is.
    pub state: State,
    /// Whether and how it is on trial.
    pub trial: Option<Trial>,
    /// Its steps, in the order in which they are made.
    pub steps: Vec<Entry>,
}

/// What a change is made of, before it is made.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The steps.
    pub steps: Vec<Step>,
    /// Whether it is on trial.
    pub trial: Option<Trial>,
    /// The boot id.
    pub boot: String,
}

/// Why a change was not made or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The journal could not be written, so nothing more was changed.
    #[error("cannot write {}", file.display())]
    Record {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal cannot be read, so it is unknown what was changed.
    #[error("{} is not a journal of changes", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The system refused a step; those before it are taken back.
    #[error("this step was refused, and what was done before it is taken back: {what}")]
    Refused {
        /// The step.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier change is not settled.
    #[error("an earlier change is {}", if *on_trial { "still on trial" } else { "only half made" })]
    Unsettled {
        /// Whether it is on trial; else it stopped half-way.
        on_trial: bool,
    },
    /// There is no change on trial.
    #[error("no change is on trial")]
    NothingOnTrial,
}

/// Moments at which a crash could happen, for tests and drills: each call is one.
pub type Moment<'m> = &'m mut dyn FnMut();

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    version: u32,
    changes: Vec<Change>,
}

/// The journal.
#[derive(Debug)]
pub struct Journal {
    file: PathBuf,
    changes: Vec<Change>,
}

impl Journal {
    /// Reads it; empty if there is no such file.
    ///
    /// # Errors
    /// [`JournalError::Damaged`].
    pub fn load(file: &Path) -> Result<Self, JournalError> {
        let damaged = |source| JournalError::Damaged { file: file.to_owned(), source };
        let text = files::read(file).map_err(damaged)?;
        let record: Record = match text {
            Some(text) => serde_json::from_str(&text).map_err(|error| damaged(error.into()))?,
            None => Record { version: VERSION, ..Record::default() },
        };
        if record.version != VERSION {
            return Err(damaged(io::Error::other(format!("its version is {}", record.version))));
        }
        Ok(Self { file: file.to_owned(), changes: record.changes })
    }

    /// All changes that can be taken back, the oldest first.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The change that is half made or on trial, if there is one.
    pub fn unsettled(&self) -> Option<&Change> {
        self.changes.last().filter(|change| change.state != State::Kept)
    }

    /// Writes a change down, of which nothing is made yet. Returns its number.
    ///
    /// # Errors
    /// [`JournalError::Unsettled`], [`JournalError::Record`].
    pub fn begin(&mut self, wish: Wish) -> Result<u64, JournalError> {
        if let Some(open) = self.unsettled() {
            return Err(JournalError::Unsettled { on_trial: open.state == State::OnTrial });
        }
        let id = self.changes.last().map_or(1, |last| last.id + 1);
        let steps = wish.steps.into_iter().map(|step| Entry { step, progress: Progress::Planned }).collect();
        self.changes.push(Change { id, boot: wish.boot, state: State::Applying, trial: wish.trial, steps });
        self.save()?;
        Ok(id)
    }

    /// Makes the steps of the change that was begun last; on trial, those that matter now. `in_force` is asked for the time when all are
    /// made.
    ///
    /// # Errors
    /// [`JournalError::Refused`]: everything is then as before. [`JournalError::Record`].
    pub fn make(
        &mut self,
        host: &mut impl Host,
        in_force: impl FnOnce() -> u64,
        moment: Moment<'_>,
    ) -> Result<(), JournalError> {
        moment();
        let on_trial = self.changes.last().is_some_and(|change| change.trial.is_some());
        self.make_steps(host, moment, |step| !on_trial || !waits_for_confirmation(step))?;
        if let Some(change) = self.changes.last_mut() {
            change.state = if on_trial { State::OnTrial } else { State::Kept };
            if let Some(trial) = &mut change.trial {
                trial.in_force = Some(in_force());
            }
        }
        self.save()?;
        moment();
        Ok(())
    }

    /// Keeps the change that is on trial, and makes the steps that waited for that.
    ///
    /// # Errors
    /// [`JournalError::NothingOnTrial`], [`JournalError::Refused`], [`JournalError::Record`].
    pub fn confirm(&mut self, host: &mut impl Host, moment: Moment<'_>) -> Result<(), JournalError> {
        if self.unsettled().is_none_or(|change| change.state != State::OnTrial) {
            return Err(JournalError::NothingOnTrial);
        }
        self.make_steps(host, moment, waits_for_confirmation)?;
        if let Some(change) = self.changes.last_mut() {
            change.state = State::Kept;
            change.trial = None;
        }
        self.save()?;
        moment();
        Ok(())
    }

    /// Takes the last change back and forgets it. Returns what became of each step that was begun, the last first; `None` if there is no
    /// change.
    ///
    /// # Errors
    /// [`JournalError::Record`].
    pub fn roll_back(&mut self, host: &mut impl Host) -> Result<Option<Vec<(Step, Undone)>>, JournalError> {
        let Some(change) = self.changes.last() else { return Ok(None) };
        let begun = change.steps.iter().rev().filter(|entry| entry.progress == Progress::Begun);
        let undone = begun.map(|entry| (entry.step.clone(), undo(host, &entry.step))).collect();
        // Forgotten only now: whoever is stopped above begins again.
        self.changes.pop();
        self.save()?;
        Ok(Some(undone))
    }

    fn make_steps(
        &mut self,
        host: &mut impl Host,
        moment: Moment<'_>,
        wanted: impl Fn(&Step) -> bool,
    ) -> Result<(), JournalError> {
        for number in 0..self.changes.last().map_or(0, |change| change.steps.len()) {
            let Some(step) = self.begin_step(number, &wanted)? else { continue };
            moment();
            if let Err(source) = make(host, &step) {
                self.roll_back(host)?;
                return Err(JournalError::Refused { what: step.describe(), source });
            }
            moment();
        }
        Ok(())
    }

    /// Says on disk that a step is about to be made. `None`: it is not to be made. One that was begun by somebody who crashed is made
    /// again, which does no harm.
    fn begin_step(&mut self, number: usize, wanted: impl Fn(&Step) -> bool) -> Result<Option<Step>, JournalError> {
        let entry = self.changes.last_mut().and_then(|change| change.steps.get_mut(number));
        let Some(entry) = entry.filter(|entry| wanted(&entry.step)) else { return Ok(None) };
        entry.progress = Progress::Begun;
        let step = entry.step.clone();
        self.save()?;
        Ok(Some(step))
    }

    fn save(&self) -> Result<(), JournalError> {
        let error = |source| JournalError::Record { file: self.file.clone(), source };
        if self.changes.is_empty() {
            return files::set(&self.file, None).map_err(error);
        }
        let record = Record { version: VERSION, changes: self.changes.clone() };
        let text = serde_json::to_string_pretty(&record).map_err(|source| error(source.into()))?;
        files::set(&self.file, Some(&text)).map_err(error)
    }
}

/// A file matters from the next boot on, and a host that is rebooted while a change is on trial has to come back as it was.
fn waits_for_confirmation(step: &Step) -> bool {
    matches!(step, Step::File { .. })
}

#[cfg(test)]
mod tests;
