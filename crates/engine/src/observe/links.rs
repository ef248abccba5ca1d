//! Network interfaces, from rtnetlink: name, MTU, what stands on what, and whether an XDP program is attached.

use std::io;

use super::netlink::{self, Message, attribute, text, u32_at};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_TARGET_NETNSID: u16 = 46;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
/// `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind where it is a virtual one: veth, vlan, bridge, bond ...
    pub kind: Option<String>,
    /// Whether it is up.
    pub up: bool,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// For a VLAN and the like: the interface below it; for a veth: its other end.
    pub below: Option<u32>,
    /// The id of the network namespace that `below` is in, if it is another one.
    pub below_namespace: Option<i32>,
    /// The bridge, bond or VRF that it is a part of.
    pub master: Option<u32>,
    /// Whether its packets begin with an Ethernet header: real and virtual Ethernet, and loopback.
    pub ethernet: bool,
    /// The id of an XDP program attached to it.
    pub xdp_program: Option<u32>,
}

/// All interfaces of this network namespace.
///
/// # Errors
/// When netlink refuses.
pub fn links() -> io::Result<Vec<Link>> {
    netlink::collect(netlink::ROUTE, RTM_GETLINK, &[0; IFINFOMSG], parse)
}

/// Whether the other end of a veth runs an XDP program, so that answers sent in native mode arrive there: the driver tells
/// the other end of them only then (`veth_xdp_flush`, drivers/net/veth.c). `None` if the other end cannot be looked at.
pub fn other_end_has_xdp(link: &Link) -> Option<bool> {
    let mut request = vec![0; IFINFOMSG];
    request[4..8].copy_from_slice(&link.below?.to_ne_bytes());
    if let Some(namespace) = link.below_namespace {
        request.extend_from_slice(&8u16.to_ne_bytes());
        request.extend_from_slice(&IFLA_TARGET_NETNSID.to_ne_bytes());
        request.extend_from_slice(&namespace.to_ne_bytes());
    }
    let other = netlink::ask(netlink::ROUTE, RTM_GETLINK, &request, parse).ok().flatten()?;
    Some(other.xdp_program.is_some())
}

/// Reads one RTM_NEWLINK.
pub fn parse(message: Message<'_>) -> Option<Link> {
    if message.kind != RTM_NEWLINK {
        return None;
    }
    let bytes = message.payload;
    let rest = bytes.get(IFINFOMSG..)?;
    let number = |kind| attribute(rest, kind).and_then(|value| u32_at(value, 0));
    let kind = attribute(rest, IFLA_LINKINFO).and_then(|info| attribute(info, IFLA_INFO_KIND)).map(text);
    Some(Link {
        index: u32_at(bytes, 4)?,
        name: attribute(rest, IFLA_IFNAME).map(text)?,
        kind,
        up: u32_at(bytes, 8)? & (libc::IFF_UP as u32) != 0,
        mtu: number(IFLA_MTU)?,
        below: number(IFLA_LINK).filter(|index| *index != 0),
        below_namespace: number(IFLA_LINK_NETNSID).map(|id| id as i32),
        master: number(IFLA_MASTER).filter(|index| *index != 0),
        ethernet: matches!(netlink::u16_at(bytes, 2)?, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK),
        xdp_program: attribute(rest, IFLA_XDP).and_then(attached_program),
    })
}

fn attached_program(xdp: &[u8]) -> Option<u32> {
    let attached = attribute(xdp, IFLA_XDP_ATTACHED)?.first().copied()?;
    if attached == 0 {
        return None;
    }
    // With programs in several modes the kernel gives no single id; something is attached all the same.
    Some(attribute(xdp, IFLA_XDP_PROG_ID).and_then(|value| u32_at(value, 0)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_with_its_facts() {
        let lo = links().unwrap().into_iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(lo.index, 1);
        assert!(lo.mtu >= 1500 && lo.ethernet && lo.below.is_none());
    }

    #[test]
    fn an_attached_program_is_seen() {
        let mut xdp = vec![5, 0, IFLA_XDP_ATTACHED as u8, 0, 1, 0, 0, 0, 8, 0, IFLA_XDP_PROG_ID as u8, 0];
        xdp.extend_from_slice(&77u32.to_ne_bytes());
        assert_eq!(attached_program(&xdp), Some(77));
        xdp[4] = 0;
        assert_eq!(attached_program(&xdp), None);
    }
}
