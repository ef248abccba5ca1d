//! The network namespace of the benchmark: a listener with some half-open handshakes, one connection, and more listeners if asked.
//! Everything is on loopback, so nothing leaves it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket};
use sekisho_lab::Netns;
use sekisho_native::frames::Frame;

use crate::Result;

/// The server's address.
pub const SERVER4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// The same over IPv6.
pub const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// The listener's port.
pub const PORT: u16 = 80;
/// The first port of the listeners beside it.
const MORE_FROM: u16 = 10_000;
/// How many handshakes stay half open. A mark of 0 is one place in the queue, so these are enough to be above it.
const HALF_OPEN: u8 = 4;

/// What gate finds.
pub struct Place {
    /// A listener for both families, as most servers have it.
    _listener: TcpListener,
    client: TcpStream,
    _server: TcpStream,
    raw: OwnedFd,
}

/// The namespace's addresses; and a way to the sources of the half-open handshakes, on which their SYN-ACKs come to nothing.
pub fn addresses(namespace: &Netns) -> Result<()> {
    namespace.sysctl("net.ipv4.ip_forward", "0")?;
    namespace.sysctl("net.ipv4.tcp_syncookies", "1")?;
    namespace.ip(&format!(
        "address add {SERVER4}/32 dev lo\naddress add {SERVER6}/128 dev lo nodad\nroute add 198.18.0.0/15 dev lo"
    ))?;
    Ok(())
}

impl Place {
    /// Makes it in this thread's namespace.
    pub fn new() -> Result<Self> {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT))?;
        let client = TcpStream::connect((SERVER4, PORT))?;
        let (server, _) = listener.accept()?;
        let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
        Ok(Self { _listener: listener, client, _server: server, raw })
    }

    /// The client's end of the connection.
    pub fn client(&self) -> Result<SocketAddr> {
        Ok(self.client.local_addr()?)
    }

    /// Begins the half-open handshakes, or begins anew those that ran out.
    pub fn refresh(&self) -> Result<()> {
        for last in 1..=HALF_OPEN {
            let source = Ipv4Addr::new(198, 18, 0, last);
            let syn = Frame { destination_port: PORT, ..Frame::syn(source.into(), SERVER4.into()) }.build();
            let to = SockaddrIn::from(SocketAddrV4::new(SERVER4, 0));
            sendto(self.raw.as_raw_fd(), &syn[14..], &to, MsgFlags::empty())?;
        }
        Ok(())
    }

    /// More listeners, each on a port of its own, until the value is dropped.
    pub fn more_listeners(&self, count: usize) -> Result<Vec<TcpListener>> {
        allow_files(count as u64 + 100)?;
        let listen = |port| TcpListener::bind((SERVER4, port));
        let ports = (MORE_FROM..u16::MAX).filter(|port| Some(*port) != self.client.local_addr().ok().map(|a| a.port()));
        let listeners = ports.map(listen).filter(|listener| !is_taken(listener)).take(count);
        Ok(listeners.collect::<std::io::Result<_>>()?)
    }
}

fn is_taken(listener: &std::io::Result<TcpListener>) -> bool {
    listener.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// Lets this process open so many files.
fn allow_files(count: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < count {
        setrlimit(Resource::RLIMIT_NOFILE, count, hard.max(count))?;
    }
    Ok(())
}
