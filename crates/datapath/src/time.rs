//! The programs' clock, CLOCK_MONOTONIC_COARSE, and its units: all are shifts of nanoseconds (see bpf/abi.h).

use crate::abi::{COOKIE_TIME_SHIFT, TICK_SHIFT};

/// Nanoseconds of the coarse monotonic clock: what `bpf_ktime_get_coarse_ns` gives the programs.
#[must_use]
pub fn coarse_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the kernel to fill. The call cannot fail: every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The tick (1.07 s) of a time in nanoseconds; it wraps with 32 bits, after 146 years.
#[must_use]
pub const fn tick(ns: u64) -> u32 {
    (ns >> TICK_SHIFT) as u32
}

/// The cookie time (34.4 s) of a time in nanoseconds.
#[must_use]
pub const fn cookie_time(ns: u64) -> u64 {
    ns >> COOKIE_TIME_SHIFT
}

/// How many ticks a duration in seconds is, rounded up.
#[must_use]
pub const fn ticks(seconds: u64) -> u32 {
    let ns = seconds.saturating_mul(1_000_000_000);
    let ticks = ns.div_ceil(1 << TICK_SHIFT);
    if ticks > u32::MAX as u64 { u32::MAX } else { ticks as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_shifts() {
        assert_eq!(tick(1 << 30), 1);
        assert_eq!(tick((1 << 30) - 1), 0);
        assert_eq!(cookie_time(34_359_738_368), 1);
        assert_eq!(ticks(60), 56);
        assert_eq!(ticks(0), 0);
        assert_eq!(ticks(1), 1);
        assert_eq!(ticks(u64::MAX), 17_179_869_184_u64.min(u64::from(u32::MAX)) as u32);
    }

    #[test]
    fn the_clock_is_the_monotonic_one() {
        let first = coarse_ns();
        let mut fine = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `fine` is a valid timespec.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut fine) };
        let fine = fine.tv_sec.unsigned_abs() * 1_000_000_000 + fine.tv_nsec.unsigned_abs();
        assert!(first <= fine && fine - first < 60_000_000_000, "{first} against {fine}");
    }
}
