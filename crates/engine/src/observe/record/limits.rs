//! The bounds of what readers take in. Records come from anywhere, so each has one; whatever is left out becomes an
//! [`Unseen`](super::Unseen).

/// Of a longer line only the beginning is read.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// Files of one record.
pub const FILES_MAX: usize = 500;
/// Samples of one record: thirty days of every ten minutes are 4320, one day of every ten seconds 8640.
pub const SAMPLES_MAX: usize = 50_000;
/// Events of one record, after folding those that repeat within a minute.
pub const EVENTS_MAX: usize = 20_000;
/// Minutes of requests or of those turned away: a month has 43,200.
pub const MINUTES_MAX: usize = 50_000;
/// Entries of [`Unseen`](super::Unseen).
pub const UNSEEN_MAX: usize = 200;
/// Entries of a list of the most frequent (sources, fingerprints).
pub const TOP_MAX: usize = 20;
/// How many events back one like it is looked for.
pub const FOLD_LOOK_BACK: usize = 64;
/// Gaps of one record.
pub const GAPS_MAX: usize = 1000;
/// Captures of one record.
pub const CAPTURES_MAX: usize = 20;
/// Sysctls of one record.
pub const SYSCTLS_MAX: usize = 5000;
/// Of a file with firewall rules or a copy of /proc/meminfo, so much is read.
pub const SETTINGS_BYTES_MAX: u64 = 4 << 20;
