//! This thread's network namespace and its interfaces.

use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;

use crate::Error;
use crate::sys::raw_fd;

/// The namespace's cookie (`SO_NETNS_COOKIE`, Linux 5.14): a number that is never given again until the next boot, unlike the
/// inode, so that what an ended namespace left behind is never taken for a new one's.
///
/// # Errors
/// [`Error::Namespace`] on older kernels, or where no socket can be made.
pub fn cookie() -> Result<u64, Error> {
    read_cookie().map_err(Error::Namespace)
}

fn read_cookie() -> io::Result<u64> {
    // SAFETY: takes numbers only, and returns a new descriptor.
    let socket = raw_fd(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into())?;
    let mut cookie = 0_u64;
    let mut size = size_of::<u64>() as libc::socklen_t;
    let (value, size) = (&raw mut cookie, &raw mut size);
    // SAFETY: `value` has room for the `size` bytes that the kernel may write.
    let code =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, value.cast(), size) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
}

/// The index of the interface with this name.
///
/// # Errors
/// [`Error::NoInterface`].
pub fn interface_index(name: &str) -> Result<u32, Error> {
    let index = CString::new(name).map_or(0, |name| {
        // SAFETY: `name` is a C string that outlives the call.
        unsafe { libc::if_nametoindex(name.as_ptr()) }
    });
    if index == 0 { Err(Error::NoInterface(name.to_string())) } else { Ok(index) }
}

/// The name that the interface with this index has now, if it still exists.
#[must_use]
pub fn interface_name(index: u32) -> Option<String> {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: `name` has the IF_NAMESIZE bytes that the call may write.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    let end = name.iter().position(|b| *b == 0)?;
    String::from_utf8(name[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_this_namespaces() {
        let cookie_here = cookie().unwrap();
        assert_ne!(cookie_here, 0);
        assert_eq!(cookie_here, cookie().unwrap());
    }

    #[test]
    fn loopback_is_found_by_name_and_index() {
        assert_eq!(interface_index("lo").unwrap(), 1);
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert!(matches!(interface_index("no-such-if"), Err(Error::NoInterface(name)) if name == "no-such-if"));
        assert_eq!(interface_name(4_000_000), None);
    }
}
