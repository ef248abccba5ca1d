//! What a lab leaves on the machine, whose it is, and how it is taken away when its process is gone.
//!
//! A lab is a process. Its id is `<pid>-<start>`: the process id and the start time in clock ticks since boot, which names it for good.
//! The id is in everything that outlives a killed process:
//!
//! - network namespaces, `/run/netns/sekisho-<id>-<n>-<label>` ([`crate::netns`]);
//! - folders with configurations and data of servers, `sekisho-lab-<id>-...` in the folder for temporary files ([`folder`]);
//! - the programs that it starts, which have `SEKISHO_LAB=<id>` in their environment;
//! - its own file `/run/sekisho-lab/<id>`, on which it holds a lock as long as it lives. Other files beside it are nobody's.
//!   In the file stand the programs that must be asked to take away what they put into a namespace (`sekisho off`).
//!
//! [`clean`] takes away what belongs to labs that are gone. A lab whose lock is held, or whose process runs, is never touched. There are
//! no cgroups and no mounts to clean up: the lab makes no cgroups, and a namespace's mount goes with its name.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::netns;
use crate::{Error, Result, run, wait};

/// Where labs hold their locks.
const LOCKS: &str = "/run/sekisho-lab";
/// What tells a lab's programs.
pub(crate) const MARK: &str = "SEKISHO_LAB";
/// What the names of a lab's folders begin with.
const FOLDERS: &str = "sekisho-lab-";
/// How long killed programs may take to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a program is asked to take away what it did.
const OFF_TRIES: usize = 3;
/// How long the threads of a killed lab may take to go.
const DYING: Duration = Duration::from_secs(5);

/// This process as a lab.
pub(crate) fn own_id() -> String {
    let pid = std::process::id();
    format!("{pid}-{}", netns::start_of(pid).unwrap_or(0))
}

/// The lock of this process while it has namespaces, and how many.
static OWN: Mutex<Option<Own>> = Mutex::new(None);

struct Own {
    lock: Flock<File>,
    namespaces: usize,
}

fn own() -> MutexGuard<'static, Option<Own>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes this process's lock for one more namespace. It is let go with the last one, or when the process ends, however it ends.
///
/// # Errors
///
/// [`Error::Io`] if /run is not writable.
pub(crate) fn hold() -> Result<()> {
    let mut own = own();
    if let Some(own) = own.as_mut() {
        own.namespaces += 1;
        return Ok(());
    }
    let path = Path::new(LOCKS).join(own_id());
    let failed = || Error::io(format!("hold {}", path.display()));
    let file = open_lock(&path).map_err(failed())?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| failed()(errno.into()))?;
    *own = Some(Own { lock, namespaces: 1 });
    Ok(())
}

/// Opens a lock's file. Whoever ends removes the folder if it is empty, perhaps between our making it and the file in it.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut tries = 0;
    loop {
        fs::create_dir_all(LOCKS)?;
        match File::options().create(true).append(true).read(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < 10 => tries += 1,
            other => return other,
        }
    }
}

/// Writes down that `program off` takes away what the program did to a namespace.
///
/// # Errors
///
/// [`Error::Io`] if /run is full.
pub(crate) fn note_program(program: &Path) -> Result<()> {
    match own().as_mut() {
        Some(own) => writeln!(own.lock, "{}", program.display()).map_err(Error::io("write down a program of the lab")),
        None => Ok(()),
    }
}

/// One namespace less; with the last one goes the lock.
pub(crate) fn let_go() {
    let mut own = own();
    match own.as_mut() {
        Some(one) if one.namespaces > 1 => one.namespaces -= 1,
        _ => {
            *own = None;
            forget(&own_id());
        }
    }
}

/// Removes a lab's file, and the folder with the last one.
fn forget(id: &str) {
    let _ = fs::remove_file(Path::new(LOCKS).join(id));
    let _ = fs::remove_dir(LOCKS);
}

/// A folder for files that goes when it is dropped, or when the lab is cleaned up.
///
/// # Errors
///
/// [`Error::Io`] if it cannot be made.
pub fn folder(label: &str) -> Result<TempDir> {
    TempDir::with_prefix(format!("{FOLDERS}{}-{label}-", own_id()))
        .map_err(Error::io(format!("make a folder for {label}")))
}

/// Something that was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A program that still ran.
    Process {
        /// Its process id.
        pid: i32,
        /// Its name.
        name: String,
    },
    /// What a program had put into a namespace.
    Protection(String),
    /// A network namespace.
    Namespace(String),
    /// A folder with files.
    Folder(PathBuf),
}

impl fmt::Display for Removed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(formatter, "the program {name} ({pid})"),
            Self::Protection(namespace) => write!(formatter, "Sekisho in {namespace}"),
            Self::Namespace(name) => write!(formatter, "the network namespace {name}"),
            Self::Folder(path) => write!(formatter, "the folder {}", path.display()),
        }
    }
}

/// What was found of labs that are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// What was taken away.
    pub removed: Vec<Removed>,
    /// What could not be taken away, and why.
    pub left: Vec<String>,
}

/// Takes away what labs that are gone left behind, and says what it was.
///
/// # Errors
///
/// [`Error::Io`] if the locks cannot be looked at. What cannot be taken away is no error but told in [`Cleaned::left`].
pub fn clean() -> Result<Cleaned> {
    let mut cleaned = Cleaned::default();
    for id in known_ids() {
        clean_one(&id, &mut cleaned)?;
    }
    Ok(cleaned)
}

/// Whether anything of this lab is left: for whoever waits for its end.
pub fn is_anything_left(id: &str) -> bool {
    known_ids().contains(id)
}

/// The ids of all labs that there is something of, dead or alive.
fn known_ids() -> BTreeSet<String> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let locks = names(Path::new(LOCKS));
    let namespaces =
        names(Path::new(netns::FOLDER)).into_iter().filter_map(|name| Some(name.strip_prefix(netns::PREFIX)?.into()));
    let folders = names(&std::env::temp_dir()).into_iter().filter_map(|name| Some(name.strip_prefix(FOLDERS)?.into()));
    let processes = marked().into_iter().map(|(_, id)| id);
    locks
        .into_iter()
        .chain(namespaces)
        .chain(folders)
        .chain(processes)
        .filter_map(|rest: String| id_of(&rest))
        .collect()
}

/// The `<pid>-<start>` that a name begins with.
fn id_of(rest: &str) -> Option<String> {
    let mut parts = rest.split('-');
    let pid: u32 = parts.next()?.parse().ok()?;
    let start: u64 = parts.next()?.parse().ok()?;
    Some(format!("{pid}-{start}"))
}

/// Whether the process runs, and will go on. One that is over and that nobody has waited for yet does not; its lock is let go already.
/// One that was killed a moment ago is waited for: who kills a lab and cleans up at once wants to find what it left.
fn runs(id: &str) -> bool {
    let Some((pid, start)) = id.split_once('-') else { return true };
    let same = pid.parse().ok().and_then(netns::start_of) == start.parse().ok();
    let goes_on = |pid: i32| {
        let until = Instant::now() + DYING;
        while is_dying(pid) && !is_over(pid) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        !is_over(pid)
    };
    same && pid.parse().is_ok_and(goes_on)
}

/// Whether a process that is not over yet was killed: SIGKILL waits for one of its threads, or the first of them is on its way out.
fn is_dying(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let told = |file: PathBuf| fs::read_to_string(file).unwrap_or_default();
    threads.into_iter().any(|thread| awaits_kill(&told(thread.path().join("status"))))
        || is_exiting(&told(format!("/proc/{pid}/stat").into()))
}

/// Reads the pending signals of /proc/PID/task/TID/status: of the thread, and of the process.
fn awaits_kill(status: &str) -> bool {
    let pending = status.lines().filter_map(|line| line.split_once(":\t")).filter(|(key, _)| key.ends_with("Pnd"));
    let kill = 1 << (Signal::SIGKILL as u32 - 1);
    pending.filter_map(|(_, mask)| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask & kill != 0)
}

/// Reads PF_EXITING of include/linux/sched.h in field 9 of /proc/PID/stat; field 3 is the first behind the name.
fn is_exiting(stat: &str) -> bool {
    let flags = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & 4 != 0)
}

/// The lock of a lab whose process is over. Killed threads may hold it for a moment longer: one that sends a flood is deep in the kernel.
/// `None` if it stays held: by a lab of another process-id namespace, or by somebody who cleans up at this moment.
fn lock_of_dead(path: &Path) -> Result<Option<Flock<File>>> {
    let until = Instant::now() + DYING;
    let mut file = open_lock(path).map_err(Error::io(format!("open {}", path.display())))?;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) if Instant::now() >= until => return Ok(None),
            Err((file, Errno::EWOULDBLOCK)) => file,
            Err((_, errno)) => return Err(Error::os(format!("lock {}", path.display()))(errno)),
        };
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn clean_one(id: &str, cleaned: &mut Cleaned) -> Result<()> {
    if runs(id) {
        return Ok(());
    }
    let path = Path::new(LOCKS).join(id);
    let Some(lock) = lock_of_dead(&path)? else { return Ok(()) };
    let programs: BTreeSet<_> = fs::read_to_string(&path).unwrap_or_default().lines().map(PathBuf::from).collect();
    // First its own programs: an `ip netns add` among them would make a namespace after they were listed.
    end(marked().into_iter().filter(|(_, whose)| whose == id).map(|(pid, _)| pid).collect(), cleaned);
    let namespaces = namespaces_of(id);
    for name in &namespaces {
        end(inhabitants(name), cleaned);
        remove_namespace(name, &programs, cleaned);
    }
    remove_folders(id, cleaned);
    forget(id);
    drop(lock);
    Ok(())
}

/// The namespaces of a lab, by name.
fn namespaces_of(id: &str) -> Vec<String> {
    let own = format!("{}{id}-", netns::PREFIX);
    let entries = fs::read_dir(netns::FOLDER).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(&own))
        .collect();
    found.sort();
    found
}

/// Processes that have a lab's mark in their environment, with the lab's id.
fn marked() -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mark = format!("{MARK}=");
    let found = pids.filter_map(|pid| {
        // A process that is gone, or another user's where we are not root, has none.
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0).filter_map(|one| std::str::from_utf8(one).ok());
        Some((pid, variables.find_map(|one| one.strip_prefix(&mark))?.to_owned()))
    });
    found.collect()
}

/// Who lives in a namespace, whoever started it.
fn inhabitants(name: &str) -> BTreeSet<i32> {
    let told = run::output(Command::new("ip").args(["netns", "pids", name])).unwrap_or_default();
    let mut pids: BTreeSet<i32> = told.lines().filter_map(|line| line.trim().parse().ok()).collect();
    // That would be ourselves, were we called from inside.
    pids.remove(&(std::process::id() as i32));
    pids
}

/// Kills what a dead lab started.
fn end(pids: BTreeSet<i32>, cleaned: &mut Cleaned) {
    for pid in pids {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            let gone = wait::until("the end of a program", PATIENCE, || is_over(pid)).is_ok();
            if gone {
                cleaned.removed.push(Removed::Process { pid, name });
            } else {
                cleaned.left.push(format!("{name} ({pid}) does not end"));
            }
        }
    }
}

/// Whether a process is gone, or only waits to be reaped.
fn is_over(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

fn remove_namespace(name: &str, programs: &BTreeSet<PathBuf>, cleaned: &mut Cleaned) {
    // An `ip netns add` that was killed may leave a name without a namespace, in which there is nothing to run.
    let there = is_namespace(&Path::new(netns::FOLDER).join(name));
    for program in programs.iter().filter(|program| there && program.is_file()) {
        match off(name, program) {
            Ok(said) if said.contains("Nothing was on") => {}
            Ok(_) => cleaned.removed.push(Removed::Protection(name.into())),
            Err(error) => cleaned.left.push(format!("Sekisho in {name}: {error}")),
        }
    }
    match run::output(Command::new("ip").args(["netns", "delete", name])) {
        Ok(_) => cleaned.removed.push(Removed::Namespace(name.into())),
        Err(error) => cleaned.left.push(format!("{name}: {error}")),
    }
}

/// Has a program take away what it did to a namespace. Again if it fails: another Sekisho on this machine, which sweeps what nobody holds
/// any more, may have taken a part of it at the same moment.
fn off(name: &str, program: &Path) -> Result<String> {
    let try_once = || run::output(Command::new("ip").args(["netns", "exec", name]).arg(program).arg("off"));
    let mut tried = try_once();
    for _ in 1..OFF_TRIES {
        if tried.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
        tried = try_once();
    }
    tried
}

/// Whether a namespace stands behind a name: it is then on another device than the folder of the names.
fn is_namespace(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    device(path).is_some() && device(path) != device(Path::new(netns::FOLDER))
}

/// Removes a dead lab's folders, as far as they are ours: anybody may make a folder of such a name.
fn remove_folders(id: &str, cleaned: &mut Cleaned) {
    let own = format!("{FOLDERS}{id}-");
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let ours = entry
            .metadata()
            .is_ok_and(|metadata| metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.is_dir());
        if !ours || !entry.file_name().to_string_lossy().starts_with(&own) {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            Ok(()) => cleaned.removed.push(Removed::Folder(entry.path())),
            Err(error) => cleaned.left.push(format!("{}: {error}", entry.path().display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_process_is_told_from_one_that_goes_on() {
        let status = |thread: &str| {
            format!("Name:\tx\nSigPnd:\t{thread}\nShdPnd:\t0000000000000002\nSigBlk:\t0000000000000100\n")
        };
        assert!(awaits_kill(&status("0000000000000100")));
        assert!(!awaits_kill(&status("0000000000000000")), "blocked is not pending");
        assert!(is_exiting("7 (a (b) c) R 1 7 7 0 -1 4195332 0 0"));
        assert!(!is_exiting("7 (a (b) c) S 1 7 7 0 -1 4194304 0 0") && !is_exiting(""));
        assert!(!is_dying(std::process::id() as i32));
    }

    #[test]
    fn a_name_tells_whose_it_is() {
        assert_eq!(id_of("12-345-0-server"), Some("12-345".into()));
        assert_eq!(id_of("12-345"), Some("12-345".into()));
        assert_eq!(id_of("gateway"), None);
        let own = own_id();
        assert!(runs(&own), "this very process");
        assert!(!runs(&format!("{}-1", std::process::id())), "same pid, another start");
        assert!(!runs("4194305-77"), "a pid above the kernel's highest");
    }
}
