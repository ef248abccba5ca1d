//! The addresses of this host (rtnetlink), and how many resets it sends.

use std::fs;
use std::io;
use std::net::IpAddr;

use super::netlink::{self, Message, attribute};

const RTM_GETADDR: u16 = 22;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// `struct ifaddrmsg`.
const IFADDRMSG: usize = 8;

/// Every address of every interface of this network namespace.
///
/// # Errors
/// What the kernel answered.
pub fn local() -> io::Result<Vec<IpAddr>> {
    netlink::collect(netlink::ROUTE, RTM_GETADDR, &[0; IFADDRMSG], parse)
}

/// Reads one `struct ifaddrmsg`. On a point-to-point interface IFA_ADDRESS is the other end's, and IFA_LOCAL ours.
fn parse(message: Message<'_>) -> Option<IpAddr> {
    let attributes = message.payload.get(IFADDRMSG..)?;
    let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    match i32::from(*message.payload.first()?) {
        libc::AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        libc::AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

/// How many resets this network namespace has sent, over IPv4 and IPv6 (`TcpOutRsts`).
pub fn resets_sent() -> Option<u64> {
    out_rsts(&fs::read_to_string("/proc/self/net/snmp").ok()?)
}

/// The file has a line of names and then one of values for each protocol.
fn out_rsts(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let at = lines.next()?.split_whitespace().position(|name| name == "OutRsts")?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours() {
        assert!(local().unwrap().contains(&"127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_other_end_is_not_ours() {
        let mut payload = vec![libc::AF_INET as u8, 32, 0, 0, 0, 0, 0, 0];
        payload.extend([8, 0, 1, 0, 198, 51, 100, 2]);
        let found = |payload: &[u8]| parse(Message { kind: 20, flags: 0, payload }).map(|address| address.to_string());
        assert_eq!(found(&payload).unwrap(), "198.51.100.2");
        payload.extend([8, 0, 2, 0, 198, 51, 100, 1]);
        assert_eq!(found(&payload).unwrap(), "198.51.100.1");
        (0..16).for_each(|length| assert_eq!(found(&payload[..length]), None));
    }

    #[test]
    fn resets_are_found_by_their_name() {
        let text = "Ip: A B\nIp: 1 2\nTcp: InErrs OutRsts More\nTcp: 5 77 9\n";
        assert_eq!(out_rsts(text), Some(77));
        assert_eq!(out_rsts("Tcp: OutRsts\n"), None);
        assert!(resets_sent().is_some());
    }
}
