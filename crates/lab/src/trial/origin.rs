//! Where a trial's flood comes from: what was recorded of its sources, told in the lab's own addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::flood::SOURCES_MAX;

/// Entries of the list from which a flood with [`Part`]s draws: a part of a hundredth is then within a third of a percent of its size.
const ENTRIES: usize = 1 << 15;
/// Networks that are told apart: 198.18.0.0/15 has 512 networks, and the other half of it is for the sources that are scattered.
const PARTS_MAX: usize = 256;
/// A /24 has no more addresses than these.
const ADDRESSES_MAX: usize = 254;

/// A part of a flood that comes from one network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Its share of the segments, from 0 to 1.
    pub share: f64,
    /// From so many addresses of the network.
    pub addresses: usize,
}

/// So many addresses of the lab's ranges, scattered: 40503 is odd, so that no address comes twice. IPv6 ones are each in a /64 of their own.
pub fn scattered(count: usize, v6: bool) -> Vec<IpAddr> {
    let nth = |n: usize| {
        let step = (n as u32).wrapping_mul(40503);
        if v6 { in_network6(step % (1 << 16), n) } else { in_range4(step % (1 << 17)) }
    };
    (0..count.clamp(1, SOURCES_MAX)).map(nth).collect()
}

/// A list of addresses to draw from at random: each part comes from a network of its own (a /24, or a /64 in a /56 of its own) and has its
/// share of the entries; the rest of them are scattered.
pub fn concentrated(parts: &[Part], v6: bool) -> Vec<IpAddr> {
    let mut list = Vec::with_capacity(ENTRIES);
    for (network, part) in parts.iter().take(PARTS_MAX).enumerate() {
        let entries = (part.share.clamp(0.0, 1.0) * ENTRIES as f64).round() as usize;
        let addresses = part.addresses.clamp(1, ADDRESSES_MAX);
        list.extend((0..entries.min(ENTRIES - list.len())).map(|n| in_network(network as u32, 1 + n % addresses, v6)));
    }
    let rest = ENTRIES - list.len();
    if rest > 0 {
        list.extend(scattered(rest, v6));
    }
    list
}

fn in_network(network: u32, host: usize, v6: bool) -> IpAddr {
    if v6 { in_network6(network << 8, host) } else { in_range4((network << 8) + host as u32) }
}

/// Address number `n` of 198.18.0.0/15.
fn in_range4(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + n))
}

/// An address in /64 number `network` of 2001:db8:bad::/48.
fn in_network6(network: u32, host: usize) -> IpAddr {
    let base = u128::from(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0));
    IpAddr::V6(Ipv6Addr::from(base + (u128::from(network) << 64) + host as u128))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::topology::{spoofed4, spoofed6};

    #[test]
    fn a_flood_comes_from_as_many_addresses_as_were_recorded() {
        for (v6, range) in [(false, spoofed4()), (true, spoofed6())] {
            for count in [1, 7, SOURCES_MAX] {
                let all = scattered(count, v6);
                assert!(all.iter().all(|address| range.contains(*address)));
                assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), count);
            }
        }
    }

    #[test]
    fn networks_have_their_shares() {
        let parts = [Part { share: 0.5, addresses: 200 }, Part { share: 0.25, addresses: 1 }];
        for (v6, range) in [(false, spoofed4()), (true, spoofed6())] {
            let list = concentrated(&parts, v6);
            assert!(list.len() == ENTRIES && list.iter().all(|address| range.contains(*address)));
            let first: Vec<_> = list[..ENTRIES / 2].iter().collect();
            assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 200);
            let second: BTreeSet<_> = list[ENTRIES / 2..ENTRIES / 4 * 3].iter().collect();
            assert_eq!(second.len(), 1, "{second:?}");
            assert!(!first.contains(second.first().unwrap()), "another network");
            assert_eq!(list[ENTRIES / 4 * 3..].iter().collect::<BTreeSet<_>>().len(), ENTRIES / 4, "scattered");
        }
    }

    #[test]
    fn odd_shares_do_no_harm() {
        let many = vec![Part { share: 0.01, addresses: 9999 }; 300];
        for parts in [&many[..], &[Part { share: 7.0, addresses: 0 }], &[Part { share: f64::NAN, addresses: 1 }], &[]] {
            assert_eq!(concentrated(parts, false).len(), ENTRIES);
        }
    }
}
