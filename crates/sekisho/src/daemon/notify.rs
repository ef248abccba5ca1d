//! Tells systemd how the daemon is (sd_notify(3)): a datagram of lines `KEY=value` to the socket named in NOTIFY_SOCKET.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells it, if anybody asked to be told. Nobody is helped by failing where nobody listens.
pub fn notify(lines: &str) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = name.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(lines.as_bytes(), &address);
    }
}

/// Whether a watchdog waits for a sign of life from this daemon.
pub fn watchdog() -> bool {
    env::var_os("WATCHDOG_USEC").is_some()
}
