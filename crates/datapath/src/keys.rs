//! The keys: random, made here, kept in the kernel's map and nowhere else. They are printed by nothing.

use std::io;

use crate::Error;
use crate::abi::Key;
use crate::maps::Maps;
use crate::time::cookie_time;

/// At least so many cookie times (34.4 s each) lie between two changes of the key. A cookie is accepted for at most three, with the
/// key that was in force at its own time, so two slots are enough.
pub const ROTATION_MIN: u64 = 4;

/// How often the daemon changes the key: every 8 cookie times, 275 s.
pub const ROTATION: u64 = 8;

/// The keys in a set of maps.
#[derive(Debug)]
pub struct Keys<'a> {
    maps: &'a Maps,
}

impl<'a> Keys<'a> {
    /// The keys in these maps.
    #[must_use]
    pub fn new(maps: &'a Maps) -> Self {
        Self { maps }
    }

    /// Makes the first keys, if the maps are new. True: they were.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn install(&self) -> Result<bool, Error> {
        if self.maps.key_word() != 0 {
            return Ok(false);
        }
        self.maps.set_flow_key(random()?);
        self.maps.set_cookie_key(0, random()?);
        self.maps.set_cookie_key(1, random()?);
        // Slot 1, so that the word is not zero even in the first half minute after boot; both slots hold random keys, and no cookie is
        // older than this moment.
        self.maps.set_key_word(word(0, 1));
        Ok(true)
    }

    /// The cookie time from which the present key is in force.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.maps.key_word() >> 1
    }

    /// Whether a change is due at this time of the coarse clock.
    #[must_use]
    pub fn is_due(&self, now_ns: u64) -> bool {
        cookie_time(now_ns) >= self.since().saturating_add(ROTATION)
    }

    /// Puts a new key in force from the next cookie time on: into the other slot first, then the word that says so. False: the last
    /// change is too recent, and cookies of the key in the other slot are still under way.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn rotate(&self, now_ns: u64) -> Result<bool, Error> {
        let now = cookie_time(now_ns);
        let old = self.maps.key_word();
        if now < (old >> 1).saturating_add(ROTATION_MIN) {
            return Ok(false);
        }
        let slot = 1 - (old & 1);
        self.maps.set_cookie_key(usize::from(slot == 1), random()?);
        self.maps.set_key_word(word(now + 1, slot));
        Ok(true)
    }
}

const fn word(from_time: u64, slot: u64) -> u64 {
    from_time << 1 | slot
}

fn random() -> Result<Key, Error> {
    Ok(Key { k0: random_u64()?, k1: random_u64()? })
}

pub(crate) fn random_u64() -> Result<u64, Error> {
    let mut bytes = [0_u8; 8];
    loop {
        // SAFETY: `bytes` has the length that is given. So few bytes come whole or not at all (random(7)).
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if got == 8 {
            return Ok(u64::from_ne_bytes(bytes));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(Error::Random(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_holds_time_and_slot() {
        assert_eq!(word(0, 1), 1);
        assert_eq!(word(5, 0), 10);
        assert_eq!(word(5, 1) >> 1, 5);
    }

    #[test]
    fn keys_differ() {
        let (a, b) = (random().unwrap(), random().unwrap());
        assert!(a != b && a.k0 != a.k1);
    }
}
