//! Fills a namespace's connection tracking, by ctnetlink, with connections as they are remembered for days on a router or an old server.
//!
//! The limit is the machine's (`nf_conntrack_max` cannot be set in a namespace), so there may be some hundred thousand; they go with the namespace.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, setsockopt, socket, sockopt,
};
use sekisho_lab::Netns;

/// Messages of one call.
const BATCH: usize = 200;
/// IPCTNL_MSG_CT_NEW of NFNL_SUBSYS_CTNETLINK; NLM_F_REQUEST and NLM_F_CREATE (linux/netfilter/nfnetlink_conntrack.h).
const NEW: u16 = 1 << 8;
const REQUEST_CREATE: u16 = 0x1 | 0x400;
/// Seen in both directions, sure, confirmed: such an entry does not make room for a new one.
const SURE: u32 = 2 | 4 | 8;

/// Puts in as many as fit, and says how many there are.
pub fn fill(namespace: &Netns, server: Ipv4Addr) -> u64 {
    let number = |key| namespace.sysctl_value(key).unwrap().parse::<u64>().unwrap();
    let max = number("net.netfilter.nf_conntrack_max");
    namespace.run(|| insert(max, server)).unwrap().expect("entries of connection tracking");
    number("net.netfilter.nf_conntrack_count")
}

fn insert(count: u64, server: Ipv4Addr) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
    setsockopt(&socket, sockopt::SndBuf, &(1 << 20))?;
    let to = NetlinkAddr::new(0, 0);
    let mut next = 0;
    while next <= count {
        let batch: Vec<u8> = (next..next + BATCH as u64).flat_map(|n| entry(n, server)).collect();
        sendto(socket.as_raw_fd(), &batch, &to, MsgFlags::empty())?;
        next += BATCH as u64;
    }
    Ok(())
}

/// One established connection of a client of its own.
fn entry(number: u64, server: Ipv4Addr) -> Vec<u8> {
    let client = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (number / 16) as u32);
    let port = 20_000 + (number % 16) as u16;
    let tuple = |from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)| {
        let addresses = [attribute(1, &from.0.octets()), attribute(2, &to.0.octets())].concat();
        let ports = [attribute(1, &[6]), attribute(2, &from.1.to_be_bytes()), attribute(3, &to.1.to_be_bytes())];
        [nested(1, &addresses), nested(2, &ports.concat())].concat()
    };
    let (near, far) = ((server, 443), (client, port));
    // TCP_CONNTRACK_ESTABLISHED.
    let state = nested(1, &attribute(1, &[3]));
    let body = [
        vec![2, 0, 0, 0],
        nested(1, &tuple(far, near)),
        nested(2, &tuple(near, far)),
        attribute(3, &SURE.to_be_bytes()),
        attribute(7, &600u32.to_be_bytes()),
        nested(4, &state),
    ]
    .concat();
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(NEW.to_ne_bytes());
    message.extend(REQUEST_CREATE.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    attribute(kind | 0x8000, value)
}

/// Length, kind, value, and zeros up to a multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + value.len().next_multiple_of(4));
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
