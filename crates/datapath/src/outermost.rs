//! Where mounts have to be made so that they outlive us and others find them.
//!
//! `ip netns exec NAME sekisho run` gives the process a mount namespace of its own. A BPF file system mounted there would be seen by
//! nobody else and would end, with every pin in it, when the daemon does. So mounts are made in the outermost mount namespace that we
//! may enter: pid 1's as a rule; where a sandbox forbids that, that of the kernel's own threads, in which pid 1 began, or of our
//! farthest ancestor. Files there are reached through a descriptor of its /run.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// A mount namespace, and how to reach files in it.
#[derive(Debug, Clone)]
pub(crate) enum Outermost {
    /// This process is in it already.
    Here,
    /// It is another one.
    There {
        /// The namespace.
        namespace: Arc<OwnedFd>,
        /// The folder in it through which its files are reached.
        folder: Arc<OwnedFd>,
    },
}

impl Outermost {
    /// Finds it. `folder` exists on every host (/run), and what is wanted lies below it.
    pub(crate) fn find(folder: &Path) -> io::Result<Self> {
        let own = fs::metadata("/proc/thread-self/ns/mnt")?.ino();
        let outermost = candidates().into_iter().find_map(|pid| {
            let namespace = File::open(format!("/proc/{pid}/ns/mnt")).ok()?;
            Some((namespace.metadata().ok()?.ino(), namespace))
        });
        match outermost {
            Some((inode, namespace)) if inode != own => {
                let namespace = Arc::new(OwnedFd::from(namespace));
                let opened = in_thread(&namespace, || File::open(folder));
                // Not every sandbox lets us in; then our own namespace is the best there is.
                Ok(opened.map_or(Self::Here, |folder| Self::There { namespace, folder: Arc::new(folder.into()) }))
            }
            _ => Ok(Self::Here),
        }
    }

    /// The path by which this process reaches `folder` (the one given to [`Self::find`]) there.
    pub(crate) fn reach(&self, folder: &Path) -> PathBuf {
        match self {
            Self::Here => folder.to_path_buf(),
            Self::There { folder, .. } => PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())),
        }
    }

    /// Runs `work` where mounts are seen by all.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match self {
            Self::Here => work(),
            Self::There { namespace, .. } => in_thread(namespace, work),
        }
    }
}

/// The processes whose mount namespace may be the outermost, the likeliest first.
fn candidates() -> Vec<u32> {
    let mut pids = vec![1];
    if fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd") {
        pids.push(2);
    }
    pids.extend(ancestors().into_iter().rev());
    pids
}

/// Our own pid, our parent's and so on up to pid 1, as far as /proc tells.
fn ancestors() -> Vec<u32> {
    let mut pids = vec![std::process::id()];
    // A bound, since /proc is read while processes come and go; no host nests deeper.
    for _ in 0..256 {
        match pids.last().and_then(|pid| parent(*pid)) {
            Some(pid) if pid != 0 => pids.push(pid),
            _ => break,
        }
    }
    pids
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Runs `work` on a thread of its own in that mount namespace; the thread ends with it, so nothing has to be put back.
fn in_thread<T: Send>(namespace: &OwnedFd, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // A mount namespace can be entered only by a thread that shares root and working directory with no other.
            // SAFETY: takes a flag only, and concerns this new thread alone.
            if unsafe { libc::unshare(libc::CLONE_FS) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: takes a descriptor and a flag, and concerns this new thread alone.
            if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) } < 0 {
                return Err(io::Error::last_os_error());
            }
            work()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread ended early")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_parent_is_an_ancestor() {
        // SAFETY: the call takes nothing and cannot fail.
        let parent = unsafe { libc::getppid() }.unsigned_abs();
        assert_eq!(ancestors()[..2], [std::process::id(), parent]);
    }

    #[test]
    fn from_a_private_mount_namespace_the_outer_one_is_found() {
        let folder = std::env::temp_dir();
        let outer = Outermost::find(&folder).unwrap();
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    // SAFETY: takes a flag only, and concerns this new thread alone.
                    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "this test needs root");
                    let found = Outermost::find(&folder).unwrap();
                    assert!(matches!(found, Outermost::There { .. }), "{found:?}, from outside {outer:?}");
                    let mark = format!("sekisho-outermost-{}", std::process::id());
                    let seen = found.run(|| {
                        fs::write(folder.join(&mark), "here")?;
                        fs::metadata("/proc/thread-self/ns/mnt").map(|m| m.ino())
                    });
                    assert_ne!(seen.unwrap(), fs::metadata("/proc/thread-self/ns/mnt").unwrap().ino());
                    let reached = found.reach(&folder).join(&mark);
                    assert_eq!(fs::read_to_string(&reached).unwrap(), "here");
                    fs::remove_file(reached).unwrap();
                })
                .join()
                .unwrap();
        });
    }
}
