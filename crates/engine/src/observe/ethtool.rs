//! An interface's offloads that stand in XDP's way, by the ethtool ioctl (linux/ethtool.h), its driver's name, and its
//! counters of answers that could not be sent.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use super::netlink::{text, u32_at};

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETH_SS_STATS: u32 = 1;
const ETH_GSTRING_LEN: usize = 32;
/// No driver has more counters than this; a larger number is not believed.
const STATS_MAX: usize = 8192;

/// Flag of [`flags`]: the interface takes VLAN tags out of received frames, so XDP does not see them.
pub const RX_VLAN: u32 = 1 << 8;
/// Flag of [`flags`]: the interface joins received segments to frames larger than any on the wire.
pub const LRO: u32 = 1 << 15;

/// The name of the interface's driver.
pub fn driver(interface: &str) -> Option<String> {
    let mut info = vec![0u8; 196];
    request(interface, ETHTOOL_GDRVINFO, &mut info).ok()?;
    Some(text(&info[4..36]))
}

/// Which offloads are on: [`RX_VLAN`], [`LRO`] and others.
///
/// # Errors
/// When there is no such interface or its driver does not tell.
pub fn flags(interface: &str) -> io::Result<u32> {
    let mut value = vec![0u8; 8];
    request(interface, ETHTOOL_GFLAGS, &mut value)?;
    Ok(u32_at(&value, 4).unwrap_or(0))
}

/// Switches offloads.
///
/// # Errors
/// When the driver cannot.
pub fn set_flags(interface: &str, flags: u32) -> io::Result<()> {
    let mut value = vec![0u8; 8];
    value[4..8].copy_from_slice(&flags.to_ne_bytes());
    request(interface, ETHTOOL_SFLAGS, &mut value)
}

/// The length of the ring for received packets, and the longest that it can be.
pub fn receive_ring(interface: &str) -> Option<(u32, u32)> {
    // struct ethtool_ringparam: command, four maxima, four values, receive first.
    let mut ring = vec![0u8; 36];
    request(interface, ETHTOOL_GRINGPARAM, &mut ring).ok()?;
    Some((u32_at(&ring, 20)?, u32_at(&ring, 4)?)).filter(|(_, max)| *max > 0)
}

/// How many queues receive, and how many could: those that also send are counted too.
pub fn receive_queues(interface: &str) -> Option<(u32, u32)> {
    // struct ethtool_channels: command, maxima of rx, tx, other and combined, then the same as they are.
    let mut channels = vec![0u8; 36];
    request(interface, ETHTOOL_GCHANNELS, &mut channels).ok()?;
    let sum = |rx: usize, combined: usize| Some(u32_at(&channels, rx)?.saturating_add(u32_at(&channels, combined)?));
    Some((sum(20, 32)?, sum(4, 16)?)).filter(|(_, max)| *max > 0)
}

/// What became of the answers that an XDP program sent back through its driver (XDP_TX).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Sent.
    pub sent: u64,
    /// Not sent: no queue to send from, or no room in it.
    pub lost: u64,
}

/// The driver's counters of answers; `None` unless it counts both kinds (veth, virtio_net and others do).
pub fn answers(interface: &str) -> Option<Answers> {
    let names = stat_names(interface)?;
    let mut values = vec![0u8; 8 + names.len() * 8];
    values[4..8].copy_from_slice(&u32::try_from(names.len()).ok()?.to_ne_bytes());
    request(interface, ETHTOOL_GSTATS, &mut values).ok()?;
    let values = values[8..].chunks_exact(8).map(|value| value.try_into().map_or(0, u64::from_ne_bytes));
    sum_answers(names.iter().map(String::as_str).zip(values))
}

fn sum_answers<'n>(counters: impl Iterator<Item = (&'n str, u64)>) -> Option<Answers> {
    let (mut sent, mut lost) = (None, None);
    for (name, value) in counters {
        let sum = if name.ends_with("xdp_tx") {
            &mut sent
        } else if name.ends_with("xdp_tx_errors") || name.ends_with("xdp_tx_drops") {
            &mut lost
        } else {
            continue;
        };
        *sum = Some(sum.unwrap_or(0) + value);
    }
    Some(Answers { sent: sent?, lost: lost? })
}

fn stat_names(interface: &str) -> Option<Vec<String>> {
    let mut info = vec![0u8; 196];
    request(interface, ETHTOOL_GDRVINFO, &mut info).ok()?;
    // `n_stats` of struct ethtool_drvinfo.
    let count = u32_at(&info, 180)? as usize;
    if count == 0 || count > STATS_MAX {
        return None;
    }
    let mut strings = vec![0u8; 12 + count * ETH_GSTRING_LEN];
    strings[4..8].copy_from_slice(&ETH_SS_STATS.to_ne_bytes());
    strings[8..12].copy_from_slice(&u32::try_from(count).ok()?.to_ne_bytes());
    request(interface, ETHTOOL_GSTRINGS, &mut strings).ok()?;
    Some(strings[12..].chunks_exact(ETH_GSTRING_LEN).map(text).collect())
}

/// One ethtool command. `data` begins with room for the command's number.
fn request(interface: &str, command: u32, data: &mut [u8]) -> io::Result<()> {
    let name = interface.as_bytes();
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    data[..4].copy_from_slice(&command.to_ne_bytes());
    // SAFETY: all zeros is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
    // SAFETY: `request` names a zero-terminated interface and `data`, which is as long as the command's structure; both
    // outlive the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_queues_are_added_up() {
        let counters =
            [("rx_queue_0_xdp_tx", 1), ("rx_queue_1_xdp_tx", 2), ("rx_queue_0_xdp_tx_errors", 4), ("other", 8)];
        assert_eq!(sum_answers(counters.into_iter()), Some(Answers { sent: 3, lost: 4 }));
        assert_eq!(sum_answers([("rx_xdp_tx", 1)].into_iter()), None, "losses are not counted");
    }

    #[test]
    fn a_missing_interface_is_an_error_and_loopback_counts_no_answers() {
        assert!(flags("no-such-iface").is_err());
        assert!(flags("a-name-that-is-much-too-long").is_err());
        assert_eq!(answers("lo"), None);
        assert_eq!(driver("no-such-iface"), None);
    }
}
