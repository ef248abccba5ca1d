//! The little of netlink that the other modules need: ask for a dump, get its messages, walk their attributes.
//!
//! Messages come from the kernel, but lengths in them are still checked: [`messages`] and [`attributes`] end at the first that
//! does not fit, and never panic.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `NETLINK_ROUTE`: interfaces, addresses, routes.
pub const ROUTE: i32 = libc::NETLINK_ROUTE;
/// `NETLINK_SOCK_DIAG`: sockets.
pub const SOCK_DIAG: i32 = libc::NETLINK_SOCK_DIAG;
/// `NETLINK_NETFILTER`: nftables.
pub const NETFILTER: i32 = libc::NETLINK_NETFILTER;

const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// The kernel sends dumps in pieces of up to 32 KiB (`NLMSG_GOODSIZE` and `max_recvmsg_len`).
const PIECE_MAX: usize = 1 << 16;
/// How often a dump that something changed meanwhile is asked for again.
const TRIES_MAX: usize = 5;

/// One message: its type and what follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'b> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// What follows the header.
    pub payload: &'b [u8],
}

/// The messages in one received piece.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let message = bytes.get(HEADER..length)?;
        let (kind, flags) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, payload: message })
    })
}

/// The attributes in `bytes`: type (without its flag bits) and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(4..length)?;
        let kind = u16_at(bytes, 2)? & 0x3fff;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of this type.
pub fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// A text attribute, without the zero at its end.
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A number in the machine's own byte order.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// A number in the machine's own byte order.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// Asks for everything of type `kind` and hands each message to `visit`. A dump that something changed meanwhile
/// (`NLM_F_DUMP_INTR`) is begun again, so `visit` gets a flag with its first message of each try.
///
/// # Errors
/// What the kernel answered; among them `ENOENT` and `EPROTONOSUPPORT` where it has no such family.
pub fn dump(protocol: i32, kind: u16, request: &[u8], mut visit: impl FnMut(bool, Message<'_>)) -> io::Result<()> {
    for attempt in 1..=TRIES_MAX {
        let socket = open(protocol)?;
        send(&socket, kind, NLM_F_DUMP, request)?;
        let mut first = true;
        let changed = receive(&socket, |message| visit(std::mem::take(&mut first), message))?;
        if !changed || attempt == TRIES_MAX {
            break;
        }
    }
    Ok(())
}

/// Like [`dump`], collecting what `parse` makes of each message.
///
/// # Errors
/// As for [`dump`].
pub fn collect<T>(
    protocol: i32,
    kind: u16,
    request: &[u8],
    parse: impl Fn(Message<'_>) -> Option<T>,
) -> io::Result<Vec<T>> {
    let mut all = Vec::new();
    dump(protocol, kind, request, |first, message| {
        if first {
            all.clear();
        }
        all.extend(parse(message));
    })?;
    Ok(all)
}

/// Asks for one thing and gives what `parse` makes of the answer.
///
/// # Errors
/// What the kernel answered.
pub fn ask<T>(
    protocol: i32,
    kind: u16,
    request: &[u8],
    parse: impl Fn(Message<'_>) -> Option<T>,
) -> io::Result<Option<T>> {
    let socket = open(protocol)?;
    send(&socket, kind, 0, request)?;
    let mut buffer = vec![0u8; PIECE_MAX];
    // SAFETY: the pointer and length describe `buffer`.
    let length = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    match messages(&buffer[..length]).next() {
        Some(message) if message.kind == NLMSG_ERROR => error_of(message.payload).map(|()| None),
        message => Ok(message.and_then(parse)),
    }
}

fn open(protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let timeout = libc::timeval { tv_sec: 5, tv_usec: 0 };
    // SAFETY: the pointer and length describe `timeout`, which outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const timeout).cast(),
            size_of_val(&timeout) as libc::socklen_t,
        )
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn send(socket: &OwnedFd, kind: u16, flags: u16, request: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER + request.len());
    bytes.extend_from_slice(&((HEADER + request.len()) as u32).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(request);
    // SAFETY: the pointer and length describe `bytes`.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives up to the end of the dump. Returns whether something changed meanwhile.
fn receive(socket: &OwnedFd, mut visit: impl FnMut(Message<'_>)) -> io::Result<bool> {
    let mut buffer = vec![0u8; PIECE_MAX];
    let mut changed = false;
    loop {
        // SAFETY: the pointer and length describe `buffer`.
        let length = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let Ok(length) = usize::try_from(length) else {
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return Err(error),
            }
        };
        for message in messages(&buffer[..length]) {
            changed |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                NLMSG_DONE => return Ok(changed),
                NLMSG_ERROR => return error_of(message.payload).map(|()| changed),
                _ => visit(message),
            }
        }
    }
}

fn error_of(payload: &[u8]) -> io::Result<()> {
    match u32_at(payload, 0).map(|number| number as i32) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn messages_and_attributes_are_walked_with_their_padding() {
        let mut piece = message(20, &[1, 2, 3]);
        piece.extend(message(21, &[9]));
        let found: Vec<_> = messages(&piece).map(|message| (message.kind, message.payload.to_vec())).collect();
        assert_eq!(found, [(20, vec![1, 2, 3]), (21, vec![9])]);

        let mut bytes = 7u16.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&(3u16 | 0x8000).to_ne_bytes());
        bytes.extend_from_slice(b"lo\0\0");
        bytes.extend_from_slice(&[4, 0, 5, 0]);
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(3, &b"lo\0"[..]), (5, &b""[..])]);
        assert_eq!(text(attribute(&bytes, 3).unwrap()), "lo");
    }

    #[test]
    fn no_truncation_or_wrong_length_panics_or_loops() {
        let piece = message(20, &[1, 2, 3, 4, 5]);
        for length in 0..piece.len() {
            assert!(messages(&piece[..length]).count() <= 1);
            assert!(attributes(&piece[..length]).count() <= length);
        }
        for length in 0..=3u16 {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&[0; 20]);
            assert_eq!(attributes(&bytes).count(), 0, "an attribute shorter than its own header");
            assert_eq!(messages(&bytes).count(), 0);
        }
    }
}
