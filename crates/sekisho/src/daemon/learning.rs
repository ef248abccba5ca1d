//! What was seen of who speaks first is remembered across restarts: while the programs are pinned in their own map, and for the
//! host's own network namespace also in a file, which outlives a reboot.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sekisho_datapath::{Maps, Pins, abi};
use sekisho_engine::act;
use sekisho_engine::speaks::{Sample, Speaker, learn};
use serde::{Deserialize, Serialize};

use crate::state::lasting_folder;

/// The file's content.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    version: u32,
    ports: BTreeMap<u16, Sample>,
}

/// What was seen, and where it is kept.
#[derive(Debug)]
pub struct Learning {
    file: PathBuf,
    saved: BTreeMap<u16, Sample>,
}

impl Learning {
    /// Takes up what an earlier run had seen: ports about which the map knows nothing get it from the file.
    pub fn resume(pins: &Pins, maps: &Maps) -> Self {
        Self::resume_from(file(pins), maps)
    }

    fn resume_from(file: PathBuf, maps: &Maps) -> Self {
        let saved = read(&file);
        let known = samples(maps);
        for (port, sample) in saved.iter().filter(|(port, _)| !known.contains_key(port)) {
            maps.set_speaker(*port, abi::Speaker { server: sample.server, client: sample.client });
        }
        Self { file, saved }
    }

    /// Writes down what was seen, if that is more than before. It is a convenience: failing is told to nobody but the caller.
    pub fn save(&mut self, maps: &Maps) -> io::Result<()> {
        let samples = samples(maps);
        if samples == self.saved {
            return Ok(());
        }
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let remembered = Remembered { version: 1, ports: samples };
        act::replace(&self.file, &serde_json::to_vec(&remembered)?)?;
        self.saved = remembered.ports;
        Ok(())
    }
}

/// What was seen on each port.
pub fn samples(maps: &Maps) -> BTreeMap<u16, Sample> {
    let speakers = maps.speakers().into_iter();
    speakers.map(|(port, seen)| (port, Sample { server: seen.server, client: seen.client })).collect()
}

/// What that shows.
pub fn learnt(maps: &Maps) -> BTreeMap<u16, Speaker> {
    learn(&samples(maps))
}

/// Other network namespaces are not the same after a reboot, so theirs is kept only until then.
fn file(pins: &Pins) -> PathBuf {
    lasting_folder(pins).join("speakers.json")
}

fn read(file: &Path) -> BTreeMap<u16, Sample> {
    let remembered = fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    remembered.filter(|remembered| remembered.version == 1).unwrap_or_default().ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_it_was_written_and_a_damaged_one_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("speakers.json");
        let ports = BTreeMap::from([(2525, Sample { server: 9, client: 1 })]);
        let remembered = Remembered { version: 1, ports: ports.clone() };
        fs::write(&file, serde_json::to_vec(&remembered).unwrap()).unwrap();
        assert_eq!(read(&file), ports);
        fs::write(&file, b"{").unwrap();
        assert!(read(&file).is_empty());
        assert!(read(&folder.path().join("none")).is_empty());
    }
}
