//! One network namespace, which removes itself.
//!
//! A name is `sekisho-<pid>-<start>-<n>-<label>`: process id and start time (in clock ticks since boot, field 22 of
//! `/proc/<pid>/stat`) name the process for good, so that what a killed one left behind can be swept: see [`crate::leftover`].
//!
//! There are three ways in. [`Netns::run`] runs a closure on a thread inside. [`Netns::command`] makes a command that keeps the
//! caller's mounts, so it sees the bpffs that the caller sees. [`Netns::exec`] goes through `ip netns exec`, which mounts a fresh
//! `/sys`: device files of the namespace are there, the caller's bpffs is not.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::panic;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::{Error, Result, leftover, run, wait};

/// Where iproute2 keeps the names.
pub(crate) const FOLDER: &str = "/run/netns";
/// What every name of the lab begins with.
pub(crate) const PREFIX: &str = "sekisho-";

/// A network namespace of this process. Dropping it removes its name; the kernel removes the rest with the last process in it.
#[derive(Debug, Clone)]
pub struct Netns {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    handle: File,
}

impl Netns {
    /// Makes a namespace with its loopback up. `label` is for the reader of `ip netns`: letters, digits and dashes.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] if `ip` refuses (usually: not root).
    pub fn new(label: &str) -> Result<Self> {
        static SWEPT: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // What cannot be swept is no reason not to go on; `lab clean` says what it is.
        SWEPT.call_once(|| drop(leftover::clean()));
        leftover::hold()?;
        let name = format!("{}{}-{label}", own_prefix(), NEXT.fetch_add(1, Ordering::Relaxed));
        let handle = add(&name).and_then(|()| {
            let path = path_of(&name);
            File::open(&path).map_err(Error::io(format!("open {}", path.display())))
        });
        let handle = handle.inspect_err(|_| leftover::let_go())?;
        let namespace = Self { inner: Arc::new(Inner { name, handle }) };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its file, for tools that take a path.
    pub fn path(&self) -> PathBuf {
        path_of(self.name())
    }

    /// Its inode number, which is how the kernel and `lsns` name it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read.
    pub fn inode(&self) -> Result<u64> {
        Ok(self.inner.handle.metadata().map_err(Error::io(format!("read {}", self.name())))?.ino())
    }

    /// Runs a closure on a thread of its own inside the namespace and returns what it returns. A panic inside goes on outside.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the namespace cannot be entered.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        let entered = thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter()?;
                    Ok(inside())
                })
                .join()
        });
        entered.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    }

    /// Moves the calling thread into the namespace, for threads that the caller makes itself. There is no way back.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel refuses.
    pub fn enter(&self) -> Result<()> {
        setns(self.inner.handle.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(Error::os(format!("enter the network namespace {}", self.name())))
    }

    /// A command that will run inside, with the caller's mounts.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env(leftover::MARK, leftover::own_id());
        let inner = Arc::clone(&self.inner);
        let enter = move || Ok(setns(inner.handle.as_fd(), CloneFlags::CLONE_NEWNET)?);
        // SAFETY: between fork and exec the closure makes one system call on a descriptor that it keeps open, and allocates nothing.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// A command that will run inside by way of `ip netns exec`: with a `/sys` of the namespace's own.
    pub fn exec(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name()]).arg(program).env(leftover::MARK, leftover::own_id());
        command
    }

    /// Runs `ip` inside, one command a line, without the leading word `ip`.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] with what `ip` says, which names the line.
    pub fn ip(&self, lines: &str) -> Result<()> {
        run::fed(Command::new("ip").args(["-n", self.name(), "-batch", "-"]), lines).map(drop)
    }

    /// Sets a sysctl of the namespace, as `net.ipv4.tcp_syncookies`. Only `net.` ones belong to a namespace; others are refused.
    ///
    /// # Errors
    ///
    /// [`Error::Parse`] for a key outside `net.`, [`Error::Io`] if the kernel has no such key or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = sysctl_path(key)?;
        self.run(|| fs::write(&path, value))?.map_err(Error::io(format!("set {key} to {value} in {}", self.name())))
    }

    /// Reads a sysctl of the namespace.
    ///
    /// # Errors
    ///
    /// As [`Netns::sysctl`].
    pub fn sysctl_value(&self, key: &str) -> Result<String> {
        let path = sysctl_path(key)?;
        let text = self.run(|| fs::read_to_string(&path))?;
        Ok(text.map_err(Error::io(format!("read {key} in {}", self.name())))?.trim().to_owned())
    }

    /// Reads a file below `/proc/thread-self/net/` as the namespace has it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no such file.
    pub fn proc_net(&self, file: &str) -> Result<String> {
        let path = format!("/proc/thread-self/net/{file}");
        self.run(|| fs::read_to_string(&path))?.map_err(Error::io(format!("read {path} in {}", self.name())))
    }

    /// Whether something listens on the TCP port, on whichever address.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the kernel's list cannot be read.
    pub fn has_listener(&self, port: u16) -> Result<bool> {
        let found =
            |file| -> Result<bool> { Ok(self.proc_net(file)?.lines().skip(1).any(|line| listens_on(line, port))) };
        // A kernel with IPv6 off has no tcp6.
        Ok(found("tcp")? || found("tcp6").unwrap_or(false))
    }

    /// Waits until something listens on the TCP port.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] after [`wait::PATIENCE`].
    pub fn listener_ready(&self, port: u16) -> Result<()> {
        self.listener_within(port, wait::PATIENCE)
    }

    /// Waits until something listens on the TCP port, for as long as is said.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] after `patience`.
    pub fn listener_within(&self, port: u16, patience: Duration) -> Result<()> {
        let what = format!("a listener on port {port} in {}", self.name());
        wait::until(&what, patience, || self.has_listener(port).unwrap_or(false))
    }

    /// The handle for system calls.
    pub fn raw_handle(&self) -> i32 {
        self.inner.handle.as_raw_fd()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody to tell: what is left over is swept by the next run.
        let _ = run::output(Command::new("ip").args(["netns", "delete", &self.name]));
        leftover::let_go();
    }
}

/// Makes a namespace. The very first `ip netns add` on a machine also makes the folder a shared mount, and two processes that do so
/// at once get in each other's way; hence a second try.
fn add(name: &str) -> Result<()> {
    let try_once = || run::output(Command::new("ip").args(["netns", "add", name])).map(drop);
    try_once().or_else(|_| {
        let _ = run::output(Command::new("ip").args(["netns", "delete", name]));
        thread::sleep(Duration::from_millis(100));
        try_once()
    })
}

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(name)
}

/// What the names of this process begin with.
pub(crate) fn own_prefix() -> String {
    format!("{PREFIX}{}-", leftover::own_id())
}

/// When a process started, in clock ticks since boot; `None` if there is no such process.
pub(crate) fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything, so count from its end: field 22 is the 20th after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The file of a `net.` sysctl. Dots separate, and a slash inside a device's name stands for a dot, as sysctl(8) has it.
fn sysctl_path(key: &str) -> Result<PathBuf> {
    let swapped: String = key
        .chars()
        .map(|c| {
            if c == '.' {
                '/'
            } else if c == '/' {
                '.'
            } else {
                c
            }
        })
        .collect();
    if !swapped.starts_with("net/") || swapped.contains("..") {
        return Err(Error::parse("a sysctl of a network namespace", key));
    }
    Ok(PathBuf::from("/proc/sys").join(swapped))
}

/// Whether a line of /proc/net/tcp is a listener (state 0A) on the port.
fn listens_on(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next().and_then(|local| local.rsplit_once(':'));
    let state = fields.nth(1);
    state == Some("0A") && local.and_then(|(_, hex)| u16::from_str_radix(hex, 16).ok()) == Some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_net_sysctls() {
        assert!(sysctl_path("kernel.panic").is_err());
        assert!(sysctl_path("net.//.kernel.panic").is_err());
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/1.rp_filter").unwrap(),
            PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/rp_filter")
        );
    }

    #[test]
    fn reads_a_listener_line() {
        let line = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0";
        assert!(listens_on(line, 80));
        assert!(!listens_on(line, 81));
        assert!(!listens_on(&line.replace(" 0A ", " 01 "), 80));
    }
}
