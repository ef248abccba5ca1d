//! Where what outlives the daemon is kept.
//!
//! ```text
//! /run/sekisho/
//!     lock                    held while anything here is made or removed
//!     net-COOKIE/             plain files of one network namespace
//!         lock                held by its daemon
//!         interface-INDEX     how the programs were attached there (see `attach`)
//!     bpf/                    a BPF file system of our own
//!         net-COOKIE/         pins of one network namespace
//!             abi-VERSION/    an empty folder: what the maps mean
//!             verdicts, ...   the maps
//!             program_*, link_*
//! ```
//!
//! One fixed place, whatever else is mounted where, so that `status` and `off` find what `run` made: /sys/fs/bpf is hidden from
//! whoever runs under `ip netns exec`. One folder for each network namespace, so that several on one host can run Sekisho.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::outermost::Outermost;
use crate::{Error, netns, sys};

/// Where everything lives unless a test says otherwise.
pub const BASE: &str = "/run/sekisho";

/// The places of one network namespace.
#[derive(Debug, Clone)]
pub struct Pins {
    outermost: Outermost,
    /// The base as the outermost mount namespace names it, for mounting and for messages.
    named: PathBuf,
    /// The base as this process reaches it.
    base: PathBuf,
    cookie: u64,
}

impl Pins {
    /// The places of this thread's network namespace. Nothing is made yet.
    ///
    /// # Errors
    /// If the namespace cannot be told from others.
    pub fn here() -> Result<Self, Error> {
        Self::at(Path::new(BASE))
    }

    /// The same below another folder than [`BASE`], whose parent exists: for tests, which must not meet a real Sekisho.
    ///
    /// # Errors
    /// As [`Pins::here`].
    pub fn at(base: &Path) -> Result<Self, Error> {
        let cookie = netns::cookie()?;
        let (parent, name) = match (base.parent(), base.file_name()) {
            (Some(parent), Some(name)) => (parent, name),
            _ => return Err(Error::file("make", base)(io::ErrorKind::InvalidInput.into())),
        };
        let outermost = Outermost::find(parent).map_err(Error::file("reach", parent))?;
        let base_reached = outermost.reach(parent).join(name);
        Ok(Self { outermost, named: base.to_path_buf(), base: base_reached, cookie })
    }

    /// The cookie of the network namespace that these places are for.
    #[must_use]
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// The folder of plain files, by a path that works in this process.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.base.join(self.name())
    }

    /// The file that the daemon of this network namespace holds an exclusive `flock` on.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.folder().join("lock")
    }

    /// The folder of pins as people know it, for messages.
    #[must_use]
    pub fn shown(&self) -> PathBuf {
        self.named.join("bpf").join(self.name())
    }

    /// Makes [`Pins::folder`], so that the daemon can lock itself in before anything is loaded.
    ///
    /// # Errors
    /// If /run is not writable.
    pub fn make_folder(&self) -> Result<(), Error> {
        let _lock = self.lock()?;
        make_folder(&self.folder())
    }

    /// Whether anything of ours is pinned for this network namespace.
    #[must_use]
    pub fn exist(&self) -> bool {
        fs::read_dir(self.pin_folder()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Whether this process may look at all: what it may not see must not be taken for absent.
    pub(crate) fn look(&self) -> Result<(), Error> {
        match fs::read_dir(self.pin_folder()) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(Error::file("read", self.shown())(e)),
            _ => Ok(()),
        }
    }

    /// The path of a pin, which works in this process.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.pin_folder().join(name)
    }

    /// The names of the pins that begin with `prefix`, with the rest of each name.
    pub(crate) fn named(&self, prefix: &str) -> Vec<(String, String)> {
        list(&self.pin_folder()).into_iter().filter_map(|n| Some((n.clone(), n.strip_prefix(prefix)?.into()))).collect()
    }

    /// Mounts the BPF file system and makes the folders, as far as they are not there.
    pub(crate) fn make(&self, abi: u32) -> Result<(), Error> {
        let _lock = self.lock()?;
        make_folder(&self.folder())?;
        self.mount()?;
        self.sweep();
        make_folder(&self.pin_folder())?;
        make_folder(&self.path(&format!("abi-{abi}")))
    }

    /// The ABI of what is pinned; none if nothing is.
    pub(crate) fn abi(&self) -> Option<u32> {
        self.named("abi-").iter().find_map(|(_, version)| version.parse().ok())
    }

    /// Removes everything: links are detached before their pins go, since the kernel ends a link whose last pin is gone only some
    /// time later. Errors do not stop it; the first is told at the end.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        if !self.base.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let removed = self.remove_pins(&self.name());
        let _ = fs::remove_dir_all(self.folder());
        self.sweep();
        self.unmount_if_unused();
        removed
    }

    fn name(&self) -> String {
        format!("net-{}", self.cookie)
    }

    fn bpf(&self) -> PathBuf {
        self.base.join("bpf")
    }

    fn pin_folder(&self) -> PathBuf {
        self.bpf().join(self.name())
    }

    /// One at a time: somebody may be unmounting while we look whether to mount. The file may have been removed by whoever held the
    /// lock before us; then it locks nothing, and the one that is there now is tried.
    fn lock(&self) -> Result<File, Error> {
        let path = self.base.join("lock");
        loop {
            make_folder(&self.base)?;
            let file = match open_lock(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(Error::file("open", &path))?,
            };
            // SAFETY: takes a descriptor and a number.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } < 0 {
                return Err(Error::file("lock", path)(io::Error::last_os_error()));
            }
            let ours = file.metadata().map_err(Error::file("read", &path))?.ino();
            if fs::metadata(&path).is_ok_and(|there| there.ino() == ours) {
                return Ok(file);
            }
        }
    }

    fn mount(&self) -> Result<(), Error> {
        make_folder(&self.bpf())?;
        if is_bpffs(&self.bpf()) {
            return Ok(());
        }
        let target = self.named.join("bpf");
        let mounted = self.outermost.run(|| mount_bpffs(&target));
        mounted.map_err(|source| Error::Mount { path: target.clone(), source })?;
        if is_bpffs(&self.bpf()) {
            return Ok(());
        }
        let source = io::Error::other("it was mounted, but is not seen from here");
        Err(Error::Mount { path: target, source })
    }

    /// Once no network namespace has anything here: takes the mount and the folders away.
    fn unmount_if_unused(&self) {
        let is_ours = |name: String| name.starts_with("net-");
        // Some kernels put two files of their own into every BPF file system (CONFIG_BPF_PRELOAD), so it need not be empty.
        if list(&self.bpf()).into_iter().any(is_ours) || list(&self.base).into_iter().any(is_ours) {
            return;
        }
        let (target, mounted) = (self.named.join("bpf"), is_bpffs(&self.bpf()));
        // The folder is removed from where it was mounted: in a mount namespace of our own a copy of the mount may be left, and the
        // kernel keeps a folder on which the caller still sees a mount.
        let gone = self.outermost.run(|| {
            if mounted {
                unmount(&target)?;
            }
            fs::remove_dir(&target)
        });
        if gone.is_err() && is_bpffs(&self.bpf()) {
            return;
        }
        let _ = fs::remove_file(self.base.join("lock"));
        let _ = fs::remove_dir(&self.base);
    }

    /// Removes what ended network namespaces left: their interfaces are gone and no daemon holds their lock, but the maps would
    /// stay in memory, and `watch` would stay attached.
    fn sweep(&self) {
        let others = |folder: &Path| {
            let names = list(folder).into_iter();
            names.filter(|name| name.starts_with("net-") && *name != self.name()).collect::<Vec<_>>()
        };
        for name in others(&self.bpf()) {
            if self.is_dead(&name) {
                let _ = self.remove_pins(&name);
                let _ = fs::remove_dir_all(self.base.join(&name));
            }
        }
        for name in others(&self.base) {
            let lock = self.base.join(&name).join("lock");
            // Without a lock file it is a daemon's that is just starting.
            if !self.bpf().join(&name).exists() && lock.exists() && !is_locked(&lock) {
                let _ = fs::remove_dir_all(self.base.join(&name));
            }
        }
    }

    fn is_dead(&self, name: &str) -> bool {
        let folder = self.bpf().join(name);
        let attached = list(&folder).into_iter().filter(|pin| pin.starts_with("link_gate_")).any(|pin| {
            let link = sys::open_pin(&folder.join(pin));
            link.is_ok_and(|link| sys::link_info(link.as_fd()).is_ok_and(|info| info.ifindex != 0))
        });
        !attached && !is_locked(&self.base.join(name).join("lock"))
    }

    fn remove_pins(&self, name: &str) -> Result<(), Error> {
        let folder = self.bpf().join(name);
        let mut first = Ok(());
        let mut note = |result: Result<(), Error>| {
            if first.is_ok() {
                first = result;
            }
        };
        // Links first: with them gone nothing runs any more.
        let (links, others): (Vec<_>, Vec<_>) = list(&folder).into_iter().partition(|pin| pin.starts_with("link_"));
        for pin in links {
            note(detach_and_unpin(&folder.join(pin)));
        }
        for pin in others {
            let path = folder.join(pin);
            let removed = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
            note(removed.map_err(Error::pin("remove", path)));
        }
        match fs::remove_dir(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => note(Err(Error::pin("remove", folder)(e))),
            _ => {}
        }
        first
    }
}

/// Detaches a pinned link and then removes its pin.
pub(crate) fn detach_and_unpin(path: &Path) -> Result<(), Error> {
    match sys::open_pin(path) {
        Ok(link) => match sys::link_detach(link.as_fd()) {
            // The interface, or the group, went away before.
            Err(e) if e.raw_os_error() != Some(libc::ENOLINK) => return Err(Error::pin("detach", path)(e)),
            _ => {}
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::pin("open", path)(e)),
    }
    match fs::remove_file(path) {
        // Somebody else did the same at the same time.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::pin("remove", path)),
    }
}

fn list(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn make_folder(path: &Path) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(Error::file("make", path)(e)),
        _ => Ok(()),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    // SAFETY: takes a descriptor and a number. The lock, if we get it, ends with the file.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) < 0 }
}

fn is_bpffs(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: the struct is plain data for which zero is valid.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is a C string and `stat` has room for what the kernel writes.
    unsafe { libc::statfs(path.as_ptr(), &raw mut stat) == 0 && stat.f_type == libc::BPF_FS_MAGIC }
}

fn mount_bpffs(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: every pointer is a C string that outlives the call.
    let code =
        unsafe { libc::mount(c"bpf".as_ptr(), target.as_ptr(), c"bpf".as_ptr(), flags, c"mode=0700".as_ptr().cast()) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn unmount(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes()).map_err(io::Error::other)?;
    // Detached: whoever still has a descriptor in it does not keep us from leaving the host as it was.
    // SAFETY: `target` is a C string that outlives the call.
    let code = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
