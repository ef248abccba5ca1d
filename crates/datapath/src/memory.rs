//! What the maps take of the kernel's memory, as the kernel itself accounts for it.

use std::os::fd::{AsFd, AsRawFd};
use std::{fs, io};

use libbpf_rs::MapCore;

use crate::Error;
use crate::maps::Maps;

/// One map's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapMemory {
    /// Its name.
    pub name: String,
    /// How many entries it has room for.
    pub entries: u32,
    /// Its memory now, in bytes. Exact since Linux 6.4; before, in whole pages and without what the kernel keeps for itself.
    pub bytes: u64,
}

impl Maps {
    /// Every map that is open here, by name.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn memory(&self) -> Result<Vec<MapMemory>, Error> {
        let maps = self.handles().map(|(name, handle)| {
            let bytes = memlock(handle.as_fd().as_raw_fd()).map_err(Error::map("look at", "verdicts"))?;
            Ok(MapMemory { name: name.clone(), entries: handle.max_entries(), bytes })
        });
        maps.collect()
    }
}

/// What the kernel tells of a descriptor of ours (`bpf_map_show_fdinfo` in kernel/bpf/syscall.c).
fn memlock(fd: i32) -> io::Result<u64> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    memlock_of(&told).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the kernel tells no memlock of a map"))
}

fn memlock_of(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        assert_eq!(memlock_of("pos:\t0\nmap_type:\t2\nmemlock:\t528\nmap_id:\t7\n"), Some(528));
        assert_eq!(memlock_of("pos:\t0\n"), None);
    }
}
