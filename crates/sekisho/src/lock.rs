//! One daemon a network namespace: it holds a lock on a file in the namespace's folder, in which its process id stands.
//!
//! The lock (flock) ends with the daemon however that ends, so a stale file says nothing. Whoever cannot get it knows that the
//! process in the file is alive, and ours.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// A lock that this process holds.
#[derive(Debug)]
pub struct Lock {
    // Held by being open.
    _file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum Busy {
    /// This process has it.
    Daemon(u32),
    /// The system said no.
    Io(io::Error),
}

impl Lock {
    /// Takes the lock for this process, whose folder exists.
    pub fn take(path: &Path) -> Result<Self, Busy> {
        let mut file = open(path).map_err(Busy::Io)?;
        if !flock(&file, libc::LOCK_EX).map_err(Busy::Io)? {
            return Err(Busy::Daemon(read_pid(&mut file).unwrap_or(0)));
        }
        let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        write.map_err(Busy::Io)?;
        Ok(Self { _file: file })
    }
}

/// The process that holds the lock, if any does.
pub fn holder(path: &Path) -> Option<u32> {
    let mut file = File::open(path).ok()?;
    // Shared, so that two who look at once do not take each other for a daemon.
    if flock(&file, libc::LOCK_SH).unwrap_or(true) { None } else { read_pid(&mut file) }
}

/// Sends the holder a signal. `false`: there is none.
///
/// # Errors
/// When it may not be signalled.
pub fn signal_holder(path: &Path, number: i32) -> io::Result<bool> {
    let Some(pid) = holder(path) else { return Ok(false) };
    let process = pidfd(pid)?;
    // Between reading the number and opening the process it might have ended and its number been given to another.
    let is_it = holder(path) == Some(pid);
    if is_it {
        signal(&process, number)?;
    }
    Ok(is_it)
}

/// Asks the holder to stop and waits for it. `true`: there was one, and it is gone.
///
/// # Errors
/// When it may not be signalled, or does not stop in time.
pub fn stop_holder(path: &Path, patience: Duration) -> io::Result<bool> {
    let Some(pid) = holder(path) else { return Ok(false) };
    let process = pidfd(pid)?;
    // Between reading the number and opening the process it might have ended and its number been given to another.
    if holder(path) == Some(pid) {
        signal(&process, libc::SIGTERM)?;
    }
    let deadline = Instant::now() + patience;
    while holder(path) == Some(pid) {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {pid} does not stop")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn flock(file: &File, how: i32) -> io::Result<bool> {
    // SAFETY: takes a descriptor and a number.
    if unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers and returns a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns; descriptors fit an i32.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn signal(process: &OwnedFd, signal: i32) -> io::Result<()> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a descriptor, a number, no siginfo, no flags.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, info, 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(holder(&path), None);
        let lock = Lock::take(&path).unwrap();
        assert_eq!(holder(&path), Some(std::process::id()));
        assert!(matches!(Lock::take(&path), Err(Busy::Daemon(pid)) if pid == std::process::id()));
        drop(lock);
        assert_eq!(holder(&path), None, "a file without a lock says nothing");
        assert!(!stop_holder(&path, Duration::ZERO).unwrap());
        assert!(Lock::take(&path).is_ok());
    }
}
