//! Fills tables as a flood would at worst: for tests of what happens then.

use libbpf_rs::{MapCore, MapFlags};

use crate::Error;
use crate::maps::{Maps, io_error};

/// Entries that go to the kernel in one call.
const BATCH: u32 = 1 << 16;

impl Maps {
    /// Writes the same value into every entry of an array.
    ///
    /// # Errors
    /// [`Error::Map`], when the value has not the size of an entry among others.
    pub fn fill(&self, name: &'static str, value: &[u8]) -> Result<(), Error> {
        let map = self.get(name)?;
        let entries = map.max_entries();
        for first in (0..entries).step_by(BATCH as usize) {
            let count = BATCH.min(entries - first);
            let keys: Vec<u8> = (first..first + count).flat_map(u32::to_ne_bytes).collect();
            let written = map.update_batch(&keys, &value.repeat(count as usize), count, MapFlags::ANY, MapFlags::ANY);
            written.map_err(io_error).map_err(Error::map("write", name))?;
        }
        Ok(())
    }
}
