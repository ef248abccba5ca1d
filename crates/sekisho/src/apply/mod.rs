//! `sekisho apply`, `confirm` and `rollback`: changes to the host that can always be taken back.
//!
//! What is changed is decided by the engine's plan; how it is recorded, by its journal (see `sekisho_engine::act::journal`). Here is what
//! ties them to the host: one at a time ([`Books`]), on trial with a [`watchdog`], confirmed from a new connection ([`session`]).

pub mod session;
pub mod watchdog;

use std::fmt::Write;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use sekisho_datapath::Pins;
use sekisho_engine::act::journal::{Change, Journal, State, Trial, Wish};
use sekisho_engine::act::{Host, LiveHost, Step, Undone, nft};
use sekisho_engine::policy::duration_text;
use serde::Deserialize;

use crate::cli::ApplyArgs;
use crate::failure::Failure;
use crate::off::tell;
use crate::state::lasting_folder;
use crate::{plan, status};

use watchdog::Watchdog;

/// How long after the end of a trial its watchdog may still be at work, in seconds.
const WATCHDOG_LATE: u64 = 10;

/// The journal, held so that nobody else writes it.
pub struct Books {
    /// What was changed.
    pub journal: Journal,
    // Held by being open.
    _lock: File,
    // The journal's path may lead through a descriptor in it.
    _pins: Pins,
}

impl Books {
    /// Waits for whoever holds them, and reads them.
    pub fn open(pins: &Pins) -> Result<Self, Failure> {
        pins.make_folder()?;
        let folder = lasting_folder(pins);
        let path = folder.join("journal.lock");
        let failed = |error| Failure::from_error(format!("cannot lock {}", path.display()), error);
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        // SAFETY: takes a descriptor and a number. The lock ends with the file.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) } != 0 {
            return Err(failed(std::io::Error::last_os_error()));
        }
        Ok(Self { journal: journal(pins)?, _lock: lock, _pins: pins.clone() })
    }

    /// Takes the last change back.
    pub fn roll_back(&mut self) -> Result<Option<Vec<(Step, Undone)>>, Failure> {
        Ok(self.journal.roll_back(&mut LiveHost)?)
    }

    /// Takes back a change that its maker left half made, or that is past its trial without a watchdog. Since nobody else holds the books,
    /// whoever was making it is gone.
    fn recover(&mut self) -> Result<Option<String>, Failure> {
        let Some(why) = self.journal.unsettled().and_then(abandoned) else { return Ok(None) };
        let undone = self.roll_back()?.unwrap_or_default();
        Ok(Some(format!("{why}, so it was taken back.\n{}", tell(&undone))))
    }
}

/// Why nobody is going to settle a change, if so.
fn abandoned(change: &Change) -> Option<&'static str> {
    let late = |trial: &Trial| {
        let end = trial.in_force.unwrap_or(0) + session::ticks(trial.within + WATCHDOG_LATE);
        session::ticks_now() > end
    };
    match (&change.state, &change.trial) {
        (State::Applying, _) => Some("A change was cut off half-way"),
        (State::OnTrial, _) if change.boot != boot() => Some("The host was restarted while a change was on trial"),
        (State::OnTrial, Some(trial)) if late(trial) => Some("A change on trial was not confirmed in time"),
        _ => None,
    }
}

/// The journal as it is now.
fn journal(pins: &Pins) -> Result<Journal, Failure> {
    Ok(Journal::load(&lasting_folder(pins).join("journal.json"))?)
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// For the daemon at its start: settles what nobody else will. Returns what was done, in words.
pub fn recover(pins: &Pins) -> Result<Option<String>, Failure> {
    if journal(pins)?.unsettled().is_none() {
        return Ok(None);
    }
    Books::open(pins)?.recover()
}

/// `sekisho apply`. Returns what was done, in words.
pub fn apply(args: &ApplyArgs) -> Result<String, Failure> {
    status::need_root()?;
    let pins = Pins::here()?;
    let mut books = Books::open(&pins)?;
    let mut text = books.recover()?.unwrap_or_default();
    let steps = steps(args)?;
    if steps.is_empty() {
        return Ok(text + "Nothing has to be changed.\n");
    }
    let told: String = steps.iter().fold(String::new(), |told, step| told + &step.describe() + ".\n");
    let trial = args.confirm_within.map(|within| Trial { within, by: session::here(), in_force: None });
    let change = books.journal.begin(Wish { steps, trial, boot: boot() })?;
    make(&mut books, change, args)?;
    text += &told;
    text += &match args.confirm_within {
        Some(within) => on_trial(within),
        None => "`sekisho rollback` takes it back.\n".to_owned(),
    };
    Ok(text)
}

fn make(books: &mut Books, change: u64, args: &ApplyArgs) -> Result<(), Failure> {
    let watchdog = match args.confirm_within.map(|_| Watchdog::start(change)).transpose() {
        Ok(watchdog) => watchdog,
        Err(error) => {
            books.roll_back()?;
            return Err(Failure::from_error("nothing was changed: nobody would take it back", error));
        }
    };
    books.journal.make(&mut LiveHost, session::ticks_now, &mut moments(args.crash_at))?;
    let Some(watchdog) = watchdog else { return Ok(()) };
    watchdog.all_made().map_err(|error| {
        // It is gone, or it takes the change back at once.
        Failure::from_error("the watchdog over the change ended", error)
            .hint("`sekisho rollback` takes the change back")
    })
}

fn on_trial(within: u64) -> String {
    format!(
        "On trial: in {} everything is taken back, unless you log in anew and say `sekisho confirm` there.\n",
        duration_text(within)
    )
}

/// Calls at each moment at which a crash is tried; at the one named, this process is killed as by `kill -9`.
fn moments(crash_at: Option<usize>) -> impl FnMut() {
    let mut passed = 0;
    move || {
        if Some(passed) == crash_at {
            // SAFETY: signals this process alone.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        passed += 1;
    }
}

/// A plan as `plan --json` wrote it; only its steps count.
#[derive(Debug, Deserialize)]
struct Written {
    version: u32,
    steps: Vec<Step>,
}

fn steps(args: &ApplyArgs) -> Result<Vec<Step>, Failure> {
    match &args.plan {
        None => Ok(plan::make(&args.boot)?.steps),
        Some(file) => {
            let steps = written(file)?;
            let boot = plan::boot_file(&args.boot).map(|(path, _)| path);
            steps.into_iter().map(|step| fresh(step, boot.as_deref())).filter_map(Result::transpose).collect()
        }
    }
}

fn written(file: &Path) -> Result<Vec<Step>, Failure> {
    let cannot = || format!("cannot use the plan in {}", file.display());
    let text = fs::read_to_string(file).map_err(|error| Failure::from_error(cannot(), error))?;
    let hint = "`sekisho plan --json` writes one";
    let plan: Written = serde_json::from_str(&text).map_err(|error| Failure::from_error(cannot(), error).hint(hint))?;
    if plan.version != sekisho_engine::judge::settings::VERSION {
        return Err(Failure::new(format!("{}: its version is {}", cannot(), plan.version)).hint(hint));
    }
    Ok(plan.steps)
}

/// A step of a written plan, checked against the host as it is now. `None`: there is nothing left to do.
fn fresh(step: Step, boot: Option<&Path>) -> Result<Option<Step>, Failure> {
    let stale = |what: &str, now: &str| {
        Failure::new(format!("{what} is {now} now, which is not what the plan was made for")).hint("make a new plan")
    };
    match step {
        Step::Sysctl { key, from, to } => {
            let known = key.starts_with("net.") && key.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            let now = LiveHost.sysctl(&key).filter(|_| known);
            match now {
                None => Err(Failure::new(format!("there is no setting {key} here"))),
                Some(now) if now == to => Ok(None),
                Some(now) if now == from => Ok(Some(Step::Sysctl { key, from, to })),
                Some(now) => Err(stale(&key, &now)),
            }
        }
        Step::File { path, from, to } => {
            if Some(path.as_path()) != boot {
                return Err(Failure::new(format!("{} is not the file for settings here", path.display()))
                    .hint("--sysctl-file FILE names another"));
            }
            let now = LiveHost.file(&path).map_err(|error| unreadable(&path, error))?;
            match now {
                now if now == to => Ok(None),
                now if now == from => Ok(Some(Step::File { path, from, to })),
                _ => Err(stale(&path.display().to_string(), "other")),
            }
        }
        Step::Table { to, .. } => {
            let checked = to.as_deref().map(nft::check).transpose();
            checked.map_err(|error| Failure::from_error("nft does not take the plan's table", error))?;
            Ok(Some(Step::Table { from: LiveHost.table(), to }))
        }
        Step::OffloadOff { .. } => Err(Failure::new("a plan has no steps about offloads: `sekisho run` sees to those")),
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    Failure::from_error(format!("cannot read {}", path.display()), error)
}

/// `sekisho confirm`.
pub fn confirm(force: bool, crash_at: Option<usize>) -> Result<String, Failure> {
    status::need_root()?;
    // What is opened may lie behind a folder that the pins keep open.
    let pins = Pins::here()?;
    let mut books = Books::open(&pins)?;
    let open = books.journal.unsettled().filter(|change| change.state == State::OnTrial);
    if let Some(trial) = open.and_then(|change| change.trial.as_ref()).filter(|_| !force) {
        session::counts(trial, &session::here()).map_err(|refusal| {
            let hint = "log in anew and say it there; `sekisho confirm --force` takes your word for it";
            Failure::new(refusal.words()).hint(hint)
        })?;
    }
    let files: Vec<PathBuf> = open.map(files).unwrap_or_default();
    books.journal.confirm(&mut LiveHost, &mut moments(crash_at))?;
    let mut text = "The change is kept; `sekisho rollback` takes it back.\n".to_owned();
    for file in files {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} is written for the next boot.", file.display());
    }
    Ok(text)
}

fn files(change: &Change) -> Vec<PathBuf> {
    let file = |step: &Step| if let Step::File { path, .. } = step { Some(path.clone()) } else { None };
    change.steps.iter().filter_map(|entry| file(&entry.step)).collect()
}

/// `sekisho rollback`.
pub fn rollback(all: bool) -> Result<String, Failure> {
    status::need_root()?;
    let pins = Pins::here()?;
    if all {
        let text = take_back_all(&pins)?;
        return Ok(if text.is_empty() { "There is nothing to take back.\n".into() } else { text });
    }
    let undone = Books::open(&pins)?.roll_back()?;
    Ok(undone.map_or_else(|| "There is nothing to take back.\n".into(), |undone| said(&undone)))
}

fn said(undone: &[(Step, Undone)]) -> String {
    if undone.is_empty() { "The change had not begun; it is forgotten.\n".into() } else { tell(undone) }
}

/// Takes back every change, the last one first; returns what was done, in words, and nothing if there was none.
pub fn take_back_all(pins: &Pins) -> Result<String, Failure> {
    let mut text = String::new();
    if journal(pins)?.changes().is_empty() {
        return Ok(text);
    }
    let mut books = Books::open(pins)?;
    while let Some(undone) = books.roll_back()? {
        text += &said(&undone);
    }
    Ok(text)
}
