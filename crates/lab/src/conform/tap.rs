//! Whole frames, sent and heard on one device.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::bpf::index_of;
use crate::{Error, Netns, Result};

/// The longest frame that is heard whole.
const FRAME_MAX: usize = 16 * 1024;

/// A packet socket on a device. It hears everything that the device takes in, and what others send out of it.
#[derive(Debug)]
pub(crate) struct Tap(OwnedFd);

impl Tap {
    pub(crate) fn open(namespace: &Netns, device: &str) -> Result<Self> {
        let opened = namespace.run(|| Ok::<_, Error>(Self::open_here(index_of(device)?)))??;
        opened.map_err(Error::io(format!("listen to {device} in {}", namespace.name())))
    }

    fn open_here(index: i32) -> io::Result<Self> {
        let all = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes numbers only, and returns a new descriptor or -1.
        let raw = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(all)) };
        Errno::result(raw)?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: the struct is plain data for which zero is valid.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_protocol = all;
        to.sll_ifindex = index;
        let size = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: `to` outlives the call and has the size that is given.
        Errno::result(unsafe { libc::bind(raw, std::ptr::from_ref(&to).cast(), size) })?;
        Ok(Self(socket))
    }

    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// Sends a frame that must not be lost: where the ring at the other end is full, once there is room, at most a fifth of a second later.
    pub(crate) fn send_surely(&self, frame: &[u8]) -> io::Result<()> {
        let until = Instant::now() + Duration::from_millis(200);
        loop {
            match self.send(frame) {
                Err(full) if full.raw_os_error() == Some(libc::ENOBUFS) && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                sent => return sent,
            }
        }
    }

    /// The next frame, if one comes by then.
    pub(crate) fn receive(&self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        let mut frame = vec![0; FRAME_MAX];
        loop {
            match recv(self.0.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
                Ok(size) => {
                    frame.truncate(size);
                    return Ok(Some(frame));
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Rounded up, or the last fraction of a millisecond would be spent spinning.
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
