//! Listening TCP sockets and their queues, from sock_diag (linux/inet_diag.h).
//!
//! For a listener the kernel gives its accept queue in `idiag_rqueue` and its backlog in `idiag_wqueue` (net/ipv4/tcp_diag.c).
//! Its SYN queue is not given, so the half-open connections are dumped and counted by the listener they belong to.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::netlink::{self, Message, attribute, u32_at};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_SKV6ONLY: u16 = 11;
const TCP_LISTEN: u32 = 10;
/// ESTABLISHED, CLOSE_WAIT, FIN_WAIT1 and FIN_WAIT2: what the application still holds, or the kernel for it.
const OPEN: u32 = 1 << 1 | 1 << 8 | 1 << 4 | 1 << 5;
const TCP_SYN_RECV: u32 = 3;
const TCP_NEW_SYN_RECV: u32 = 12;
/// `struct inet_diag_msg` up to its attributes.
const INET_DIAG_MSG: usize = 72;

/// One socket as sock_diag tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// Its own address and port.
    pub local: SocketAddr,
    /// The other end; port 0 for a listener.
    pub remote: SocketAddr,
    /// A listener's accept queue: finished handshakes that the application has not accepted yet.
    pub accept_queue: u32,
    /// A listener's backlog.
    pub backlog: u32,
    /// Whether an IPv6 listener takes IPv6 only.
    pub v6_only: bool,
}

/// All listeners on one address and port (several with `SO_REUSEPORT`), their queues added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The address and port they listen on.
    pub local: SocketAddr,
    /// Whether it is an IPv6 listener that takes IPv4 too.
    pub dual_stack: bool,
    /// How many listeners there are.
    pub listeners: u32,
    /// Half-open connections.
    pub syn_queue: u32,
    /// Finished handshakes that the application has not accepted yet.
    pub accept_queue: u32,
    /// How many of either fit.
    pub backlog: u32,
    /// Whether some listener's accept queue is full: the application is slow.
    pub accept_full: bool,
}

/// The services of this network namespace, by port and address.
///
/// # Errors
/// When the kernel has no sock_diag for TCP (`CONFIG_INET_DIAG`), or refuses.
pub fn services() -> io::Result<Vec<Service>> {
    let mut listeners = Vec::new();
    let mut half_open = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        listeners.extend(sockets(family, 1 << TCP_LISTEN)?);
        half_open.extend(sockets(family, 1 << TCP_SYN_RECV | 1 << TCP_NEW_SYN_RECV)?);
    }
    Ok(group(&listeners, &half_open))
}

/// The other ends of all connections to listeners of this network namespace, idle ones too; IPv4 addresses as such. Connections within
/// this host do not count.
///
/// # Errors
/// As for [`services`].
pub fn peers() -> io::Result<Vec<IpAddr>> {
    let mut ports = std::collections::BTreeSet::new();
    let mut open = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        ports.extend(sockets(family, 1 << TCP_LISTEN)?.iter().map(|listener| listener.local.port()));
        open.extend(sockets(family, OPEN)?);
    }
    let accepted = open.iter().filter(|socket| ports.contains(&socket.local.port()));
    Ok(accepted.map(|socket| socket.remote.ip().to_canonical()).filter(|peer| !peer.is_loopback()).collect())
}

/// Adds up listeners that share an address and port, and gives each half-open connection to the most specific of them.
pub fn group(listeners: &[Socket], half_open: &[Socket]) -> Vec<Service> {
    let mut services: BTreeMap<(u16, IpAddr), Service> = BTreeMap::new();
    for listener in listeners {
        let key = (listener.local.port(), listener.local.ip());
        let service = services.entry(key).or_insert_with(|| Service {
            local: listener.local,
            dual_stack: listener.local.is_ipv6() && !listener.v6_only,
            listeners: 0,
            syn_queue: 0,
            accept_queue: 0,
            backlog: 0,
            accept_full: false,
        });
        service.listeners += 1;
        service.accept_queue += listener.accept_queue;
        service.backlog = service.backlog.saturating_add(listener.backlog);
        // The kernel's own test is "greater than" (sk_acceptq_is_full): a backlog of n holds n + 1.
        service.accept_full |= listener.accept_queue > listener.backlog;
    }
    for socket in half_open {
        let port = socket.local.port();
        let ip = socket.local.ip().to_canonical();
        let any4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let any6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let candidates = if ip.is_ipv4() { [ip, any4, any6] } else { [ip, any6, any6] };
        if let Some(key) = candidates.iter().map(|ip| (port, *ip)).find(|key| services.contains_key(key)) {
            services.entry(key).and_modify(|service| service.syn_queue += 1);
        }
    }
    services.into_values().collect()
}

fn sockets(family: i32, states: u32) -> io::Result<Vec<Socket>> {
    netlink::collect(netlink::SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request(family, states), parse)
}

/// `struct inet_diag_req_v2`: family, protocol, wanted extensions, states, then an empty `inet_diag_sockid`.
fn request(family: i32, states: u32) -> [u8; 56] {
    let mut request = [0; 56];
    request[0] = family as u8;
    request[1] = libc::IPPROTO_TCP as u8;
    request[4..8].copy_from_slice(&states.to_ne_bytes());
    request
}

/// Reads one `struct inet_diag_msg`.
pub fn parse(message: Message<'_>) -> Option<Socket> {
    let bytes = message.payload;
    let address = |offset: usize| -> Option<IpAddr> {
        match i32::from(*bytes.first()?) {
            libc::AF_INET => {
                let octets: [u8; 4] = bytes.get(offset..offset + 4)?.try_into().ok()?;
                Some(IpAddr::from(octets))
            }
            libc::AF_INET6 => {
                let octets: [u8; 16] = bytes.get(offset..offset + 16)?.try_into().ok()?;
                Some(IpAddr::from(octets))
            }
            _ => None,
        }
    };
    let port = |offset: usize| Some(u16::from_be_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?));
    let attributes = bytes.get(INET_DIAG_MSG..)?;
    Some(Socket {
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
        accept_queue: u32_at(bytes, 56)?,
        backlog: u32_at(bytes, 60)?,
        v6_only: attribute(attributes, INET_DIAG_SKV6ONLY).is_some_and(|value| value.first() == Some(&1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(local: &str, accept_queue: u32, backlog: u32) -> Socket {
        let local: SocketAddr = local.parse().unwrap();
        Socket { local, remote: SocketAddr::new(local.ip(), 0), accept_queue, backlog, v6_only: false }
    }

    fn message(family: i32, local: &[u8], port: u16, queues: (u32, u32)) -> Vec<u8> {
        let mut bytes = vec![0; INET_DIAG_MSG];
        bytes[0] = family as u8;
        bytes[1] = 10;
        bytes[4..6].copy_from_slice(&port.to_be_bytes());
        bytes[8..8 + local.len()].copy_from_slice(local);
        bytes[56..60].copy_from_slice(&queues.0.to_ne_bytes());
        bytes[60..64].copy_from_slice(&queues.1.to_ne_bytes());
        bytes.extend_from_slice(&[5, 0, INET_DIAG_SKV6ONLY as u8, 0, 1, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_listener_is_read_from_the_kernels_bytes() {
        let bytes = message(libc::AF_INET, &[198, 51, 100, 10], 443, (3, 128));
        let socket = parse(Message { kind: SOCK_DIAG_BY_FAMILY, flags: 0, payload: &bytes }).unwrap();
        assert_eq!(socket.local, "198.51.100.10:443".parse().unwrap());
        assert_eq!((socket.accept_queue, socket.backlog, socket.v6_only), (3, 128, true));

        let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let bytes = message(libc::AF_INET6, &address.octets(), 25, (0, 100));
        let socket = parse(Message { kind: SOCK_DIAG_BY_FAMILY, flags: 0, payload: &bytes }).unwrap();
        assert_eq!(socket.local, "[2001:db8::1]:25".parse().unwrap());
        for length in 0..INET_DIAG_MSG {
            assert_eq!(parse(Message { kind: 0, flags: 0, payload: &bytes[..length] }), None);
        }
    }

    #[test]
    fn reuseport_listeners_are_one_service_and_half_open_connections_find_theirs() {
        let listeners =
            [socket("0.0.0.0:80", 1, 128), socket("0.0.0.0:80", 129, 128), socket("198.51.100.1:80", 0, 10)];
        let half_open =
            [socket("198.51.100.1:80", 0, 0), socket("198.51.100.2:80", 0, 0), socket("198.51.100.2:81", 0, 0)];
        let services = group(&listeners, &half_open);
        assert_eq!(services.len(), 2);
        let any = &services[0];
        assert_eq!((any.listeners, any.syn_queue, any.accept_queue, any.backlog), (2, 1, 130, 256));
        assert!(any.accept_full, "one of the two queues is full");
        assert_eq!((services[1].syn_queue, services[1].accept_full), (1, false));
    }

    #[test]
    fn a_dual_stack_listener_gets_half_open_connections_of_both_families() {
        let listeners = [socket("[::]:80", 0, 128)];
        let half_open = [socket("198.51.100.1:80", 0, 0), socket("[2001:db8::1]:80", 0, 0)];
        let services = group(&listeners, &half_open);
        assert!(services[0].dual_stack);
        assert_eq!(services[0].syn_queue, 2);
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let waiting = std::net::TcpStream::connect(local).unwrap();
        let found = services().unwrap().into_iter().find(|service| service.local == local).unwrap();
        assert_eq!((found.listeners, found.accept_queue, found.dual_stack), (1, 1, false));
        assert!(found.backlog > 0);
        drop(waiting);
    }
}
