//! Settings under /proc/sys/net, of the calling thread's network namespace, and what follows from some of them.

use std::fs;
use std::io;
use std::path::PathBuf;

fn path(key: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/{}", key.replace('.', "/")))
}

/// The value of a sysctl such as `net.ipv4.tcp_syncookies`; a part with a dot in it (an interface's name) is written with `/`
/// between all parts. `None` where there is no such setting.
pub fn read(key: &str) -> Option<String> {
    let path = if key.contains('/') { PathBuf::from("/proc/sys").join(key) } else { path(key) };
    fs::read_to_string(path).ok().map(|value| value.trim().to_owned())
}

/// The value of a sysctl that is a number.
pub fn number<T: std::str::FromStr>(key: &str) -> Option<T> {
    read(key)?.parse().ok()
}

/// Sets a sysctl.
///
/// # Errors
/// When there is no such setting or it may not be written (not root, read-only /proc/sys).
pub fn write(key: &str, value: &str) -> io::Result<()> {
    fs::write(path(key), value)
}

/// The window scale that this kernel offers in its own SYN-ACKs.
pub fn receive_window_scale() -> u8 {
    let rmem = read("net.ipv4.tcp_rmem").and_then(|triple| triple.split_whitespace().nth(2)?.parse().ok());
    let scaling = number::<u8>("net.ipv4.tcp_window_scaling").unwrap_or(1);
    if scaling == 0 {
        return 0;
    }
    window_scale(rmem.unwrap_or(6_291_456), number("net.core.rmem_max").unwrap_or(212_992))
}

/// As the kernel computes it (`tcp_select_initial_window`, net/ipv4/tcp_output.c): the shifts that bring the largest window,
/// whatever `tcp_rmem` and `rmem_max` allow, into 16 bits, at most 14 (RFC 7323, section 2.3).
pub fn window_scale(tcp_rmem_max: u32, rmem_max: u32) -> u8 {
    let space = tcp_rmem_max.max(rmem_max).max(65535);
    let bits = space.ilog2() as u8;
    (bits + 1).saturating_sub(16).min(14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_scale_is_the_kernels() {
        // ilog2(space) - 15, as tcp_select_initial_window has it.
        assert_eq!(window_scale(6_291_456, 212_992), 7);
        assert_eq!(window_scale(33_554_432, 212_992), 10);
        assert_eq!(window_scale(4096, 4096), 0);
        assert_eq!(window_scale(u32::MAX, 0), 14);
    }

    #[test]
    fn a_setting_is_read_and_a_missing_one_is_none() {
        assert!(number::<u8>("net.ipv4.ip_default_ttl").is_some());
        assert_eq!(read("net.ipv4.no_such_setting"), None);
    }
}
