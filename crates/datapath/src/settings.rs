//! What is decided before the programs are loaded: their read-only settings, and how large the tables of verified sources are.

use crate::abi::{Over, TICK_SHIFT, Verified};

/// What becomes the programs' read-only globals (bpf/config.h). The defaults are those of a host with an MTU of 1500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Decide and count, but touch nothing.
    pub observe: bool,
    /// How long a port stays armed after its last answer, in ticks of 1.07 s.
    pub linger_ticks: u32,
    /// The MSS announced over IPv4, in bytes: the interface's MTU less 40. An [`crate::Interface`] may have its own.
    pub mss4: u16,
    /// The MSS announced over IPv6, in bytes: the interface's MTU less 60.
    pub mss6: u16,
    /// Our window scale, as the kernel chooses it from `net.ipv4.tcp_rmem`.
    pub receive_wscale: u8,
    /// `net.ipv4.ip_default_ttl`.
    pub ttl: u8,
    /// `net.ipv6.conf.*.hop_limit`.
    pub hop_limit: u8,
    /// Which TCP options are offered.
    pub offers: Offers,
    /// How many SYNs a second one verified source may send into the reserve.
    pub verified_rate: u32,
    /// How many SYNs a verified source may send at once.
    pub verified_burst: u32,
    /// How many SYNs a second an allowed prefix may send before it is treated as everybody is.
    pub allowed_rate: u32,
    /// How many SYNs an allowed prefix may send at once.
    pub allowed_burst: u32,
    /// How many prefixes the lists have room for.
    pub listed: u32,
    /// How long a verified source is remembered after its last handshake, in ticks of 1.07 s.
    pub verified_ticks: u32,
    /// How many bits of an IPv6 address are one source, at most 64.
    pub verified6_prefix: u8,
    /// Answers to one network (/24, /56) in one tick.
    pub answer_bound: u32,
    /// Limits on SYNs to listeners.
    pub limits: Limits,
}

/// Limits on SYNs to listeners, a second; 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of one source: exactly where it is verified, by a sketch where not.
    pub source: u32,
    /// Of one network (/24, /56), its verified sources not counted.
    pub network: u32,
    /// To the whole host.
    pub global: u32,
    /// Whether some service has a limit of its own: see [`crate::Maps::set_service_limit`].
    pub services: bool,
    /// What happens to a SYN over one of them.
    pub over: Over,
}

/// TCP options, as the host's sysctls allow them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// `net.ipv4.tcp_timestamps`.
    pub timestamps: bool,
    /// `net.ipv4.tcp_sack`.
    pub sack: bool,
    /// `net.ipv4.tcp_window_scaling`.
    pub window_scale: bool,
    /// `net.ipv4.tcp_ecn`.
    pub ecn: bool,
}

impl Default for Offers {
    fn default() -> Self {
        Self { timestamps: true, sack: true, window_scale: true, ecn: true }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            observe: false,
            linger_ticks: crate::time::ticks(60),
            mss4: 1460,
            mss6: 1440,
            receive_wscale: 7,
            ttl: 64,
            hop_limit: 64,
            offers: Offers::default(),
            verified_rate: 20,
            verified_burst: 40,
            allowed_rate: 100,
            allowed_burst: 200,
            listed: 1 << 16,
            verified_ticks: crate::time::ticks(3600),
            verified6_prefix: 64,
            answer_bound: 4096,
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// The mask of one IPv6 source: its first eight bytes in network order, as the programs load them.
    #[must_use]
    pub(crate) fn mask6(&self) -> u64 {
        let bits = u32::from(self.verified6_prefix.min(64));
        let mask = if bits == 0 { 0 } else { u64::MAX << (64 - bits) };
        u64::from_ne_bytes(mask.to_be_bytes())
    }
}

/// A rate a second as one a tick of 1.07 s, rounded up.
#[must_use]
pub(crate) fn per_tick(per_second: u32) -> u32 {
    u32::try_from((u64::from(per_second) << TICK_SHIFT).div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

/// A rate a second in the programs' unit: tokens (1/1024 SYN) for each 2^20 ns, rounded up, so that no rate above zero becomes zero.
#[must_use]
pub(crate) fn rate_tokens(rate: u32) -> u32 {
    let tokens = (u64::from(rate) * 1024 * (1 << 20)).div_ceil(1_000_000_000);
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// A burst in tokens of 1/1024 SYN.
#[must_use]
pub(crate) const fn burst_tokens(burst: u32) -> u32 {
    burst.saturating_mul(1024)
}

/// How many verified sources are remembered. When a table is full, who has been away longest is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// IPv4 addresses.
    pub verified4: u32,
    /// IPv6 prefixes.
    pub verified6: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { verified4: 1 << 20, verified6: 1 << 18 }
    }
}

/// What the kernel keeps for each entry beside key and value (`struct htab_elem`), in bytes.
const ENTRY_BYTES: u64 = 48;
/// One bucket of the hash, in bytes; there are as many as entries, rounded up to a power of two.
const BUCKET_BYTES: u64 = 16;

impl Capacity {
    /// The memory of both tables in bytes; it is taken when they are made, so it does not grow under attack.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        table_bytes(self.verified4) + table_bytes(self.verified6)
    }
}

fn table_bytes(entries: u32) -> u64 {
    let entries = u64::from(entries.max(1));
    // Both keys, 4 and 8 bytes, take 8.
    let entry = ENTRY_BYTES + 8 + size_of::<Verified>() as u64;
    entries * entry + entries.next_power_of_two() * BUCKET_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_the_programs() {
        let settings = Settings::default();
        assert_eq!(rate_tokens(settings.verified_rate), 22, "20 SYN/s are 21.5 tokens each 2^20 ns");
        assert_eq!(burst_tokens(settings.verified_burst), 40 * 1024);
        assert_eq!(settings.linger_ticks, 56);
        assert_eq!(settings.verified_ticks, 3353);
        assert_eq!(rate_tokens(1), 2);
    }

    #[test]
    fn the_mask_covers_the_prefixs_bytes() {
        let mask = |prefix| Settings { verified6_prefix: prefix, ..Settings::default() }.mask6().to_ne_bytes();
        assert_eq!(mask(64), [255; 8]);
        assert_eq!(mask(56), [255, 255, 255, 255, 255, 255, 255, 0]);
        assert_eq!(mask(60), [255, 255, 255, 255, 255, 255, 255, 0xf0]);
        assert_eq!(mask(0), [0; 8]);
        assert_eq!(mask(128), [255; 8]);
    }

    #[test]
    fn the_default_tables_take_120_mib() {
        assert_eq!(Capacity::default().memory_bytes(), 120 << 20);
    }
}
