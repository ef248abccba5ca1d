//! Where incidents are kept: a folder with one file for each, `42.json`.
//!
//! Numbers are given once and for ever, also after the files are gone: the highest is in a file of its own. The oldest files make room
//! for new ones. A file is replaced as a whole, so that a crash at any moment leaves it as it was or as it should be; one that cannot be
//! read is passed over and said so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Incident, VERSION};
use crate::act::{self, files};

/// Incidents that are kept.
pub const INCIDENTS_MAX: usize = 500;
/// Their bytes altogether. One of the longest has some 150 KiB, a usual one 20.
pub const BYTES_MAX: u64 = 16 << 20;
/// No file is larger than this: a larger one is not ours.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The file with the highest number.
const HIGHEST: &str = "highest";

/// A folder of incidents.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// What is in the folder.
#[derive(Debug, Default)]
pub struct Listed {
    /// The incidents, the newest first.
    pub incidents: Vec<Incident>,
    /// Files that are damaged, or of a newer version.
    pub unreadable: Vec<PathBuf>,
}

impl Store {
    /// The folder need not be there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that are there.
    ///
    /// # Errors
    /// When the folder is there and cannot be listed.
    pub fn list(&self) -> io::Result<Listed> {
        let mut listed = Listed::default();
        for number in self.numbers()?.into_iter().rev() {
            match self.read(number) {
                Ok(Some(incident)) => listed.incidents.push(incident),
                // It made room just now.
                Ok(None) => {}
                Err(_) => listed.unreadable.push(self.file(number)),
            }
        }
        Ok(listed)
    }

    /// One of them; `None`: there is none of this number.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is of a newer version.
    pub fn read(&self, number: u64) -> io::Result<Option<Incident>> {
        match Self::load(&self.file(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            loaded => loaded.map(Some),
        }
    }

    /// One out of a file that may be anywhere, also from another machine.
    ///
    /// # Errors
    /// When it is not there, cannot be read, is damaged, or is of a newer version.
    pub fn load(path: &Path) -> io::Result<Incident> {
        if fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let incident: Incident = serde_json::from_slice(&fs::read(path)?)?;
        if incident.version > VERSION {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a newer version of sekisho wrote it"));
        }
        Ok(incident)
    }

    /// The newest, if it goes on as far as the files tell.
    pub fn unfinished(&self) -> Option<Incident> {
        let newest = *self.numbers().ok()?.last()?;
        self.read(newest).ok().flatten().filter(|incident| incident.ended.is_none())
    }

    /// A number that no incident has had.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn next_number(&self) -> io::Result<u64> {
        let noted = files::read(&self.folder.join(HIGHEST))?.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let highest = self.numbers()?.last().copied().unwrap_or(0).max(noted);
        let next = highest + 1;
        files::set(&self.folder.join(HIGHEST), Some(&format!("{next}\n")))?;
        Ok(next)
    }

    /// Writes one that goes on, without waiting for the disk: under a flood that may take long, and the next write comes soon.
    ///
    /// # Errors
    /// What the system said.
    pub fn note(&self, incident: &Incident) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        act::replace(&self.file(incident.number), &serde_json::to_vec(incident)?)
    }

    /// Writes one that is over, so that it is on disk afterwards, and lets the oldest make room.
    ///
    /// # Errors
    /// What the system said.
    pub fn keep(&self, incident: &Incident) -> io::Result<()> {
        files::set(&self.file(incident.number), Some(&serde_json::to_string(incident)?))?;
        self.make_room(INCIDENTS_MAX, BYTES_MAX)
    }

    /// Removes the oldest until no more are left than these bounds allow.
    ///
    /// # Errors
    /// What the system said.
    pub fn make_room(&self, incidents_max: usize, bytes_max: u64) -> io::Result<()> {
        let mut sizes: Vec<(u64, u64)> = Vec::new();
        for number in self.numbers()? {
            sizes.push((number, fs::metadata(self.file(number)).map_or(0, |metadata| metadata.len())));
        }
        let (mut left, mut bytes) = (sizes.len(), sizes.iter().map(|(_, size)| size).sum::<u64>());
        for (number, size) in sizes {
            // The newest stays, whatever its size.
            if (left <= incidents_max && bytes <= bytes_max) || left == 1 {
                break;
            }
            fs::remove_file(self.file(number))?;
            (left, bytes) = (left - 1, bytes - size);
        }
        Ok(())
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.json"))
    }

    /// The numbers of the files there are, in their order.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let number = |name: &str| name.strip_suffix(".json")?.parse().ok();
        let mut numbers: Vec<u64> = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}
