//! Which connection a command came through: `confirm` counts only from a new one, since the old one may go on working although nobody
//! could connect any more.
//!
//! A connection is known by the sshd that serves it, found among this process's ancestors (sudo, su and shells are passed by), and by
//! `SSH_CONNECTION`, which is all that is left in a terminal multiplexer.

use std::fs;

use sekisho_engine::act::journal::{Connection, Trial};

/// No shell nests deeper; a bound, since /proc is read while processes come and go.
const ANCESTORS_MAX: usize = 64;

/// Why a confirmation does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It comes from the connection that made the change.
    SameConnection,
    /// It comes from one that was there before the change.
    OldConnection,
    /// It does not come over SSH, but the change did.
    NotRemote,
}

impl Refusal {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::SameConnection => {
                "this is the connection that made the change: it would go on although nobody else could connect"
            }
            Self::OldConnection => {
                "this connection was there before the change: it does not show that a new one is possible"
            }
            Self::NotRemote => "the change was made over SSH, and this does not come over SSH",
        }
    }
}

/// Whether a confirmation from `now` shows that the host can be reached. A change that was not made over SSH cuts nobody's session off, so
/// anybody may confirm it.
pub fn counts(trial: &Trial, now: &Connection) -> Result<(), Refusal> {
    if trial.by == Connection::default() {
        return Ok(());
    }
    match (now.sshd, &now.ssh) {
        (Some(sshd), _) if trial.by.sshd == Some(sshd) => Err(Refusal::SameConnection),
        (Some((_, start)), _) if trial.in_force.is_none_or(|in_force| start <= in_force) => Err(Refusal::OldConnection),
        (Some(_), _) => Ok(()),
        (None, Some(_)) if now.ssh == trial.by.ssh => Err(Refusal::SameConnection),
        (None, Some(_)) => Ok(()),
        (None, None) => Err(Refusal::NotRemote),
    }
}

/// The connection that this process was started through.
pub fn here() -> Connection {
    Connection { ssh: std::env::var("SSH_CONNECTION").ok().filter(|words| !words.is_empty()), sshd: sshd() }
}

/// Now, in clock ticks since boot, as /proc gives the start of a process.
pub fn ticks_now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room for what the kernel writes.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    // SAFETY: takes a number and returns one.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if told != 0 {
        return 0;
    }
    let (per_second, seconds) = (u64::try_from(per_second).unwrap_or(100), u64::try_from(time.tv_sec).unwrap_or(0));
    seconds * per_second + u64::try_from(time.tv_nsec).unwrap_or(0) * per_second / 1_000_000_000
}

/// Clock ticks in so many seconds.
pub fn ticks(seconds: u64) -> u64 {
    // SAFETY: takes a number and returns one.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    seconds * u64::try_from(per_second).unwrap_or(100)
}

/// The sshd of this connection: the outermost one among our ancestors that is not the listener.
fn sshd() -> Option<(u32, u64)> {
    let mut pid = std::process::id();
    let mut found = None;
    for _ in 0..ANCESTORS_MAX {
        let process = Process::read(pid)?;
        if process.serves_a_connection(pid) {
            found = Some((pid, process.start));
        }
        if process.parent == 0 {
            break;
        }
        pid = process.parent;
    }
    found
}

/// What /proc/PID/stat tells.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    name: String,
    parent: u32,
    start: u64,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name stands in brackets and may itself have brackets and spaces; see proc_pid_stat(5).
    fn parse(line: &str) -> Option<Self> {
        let (begin, end) = (line.find('(')?, line.rfind(')')?);
        let words: Vec<&str> = line.get(end + 1..)?.split_whitespace().collect();
        Some(Self {
            name: line.get(begin + 1..end)?.to_owned(),
            parent: words.get(1)?.parse().ok()?,
            start: words.get(19)?.parse().ok()?,
        })
    }

    /// sshd, and from OpenSSH 9.8 on sshd-session. The listener says in its title that it is one.
    fn serves_a_connection(&self, pid: u32) -> bool {
        let title = || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        self.name.starts_with("sshd") && !title().contains("[listener]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(sshd: Option<(u32, u64)>, ssh: Option<&str>) -> Connection {
        Connection { sshd, ssh: ssh.map(str::to_owned) }
    }

    #[test]
    fn only_a_new_connection_counts() {
        let made_by = |by| Trial { within: 60, by, in_force: Some(1000) };
        let remote = made_by(connection(Some((7, 500)), Some("a 1 b 22")));
        let multiplexer = made_by(connection(None, Some("a 1 b 22")));
        let console = made_by(Connection::default());
        for (trial, now, expected) in [
            (&remote, connection(Some((7, 500)), Some("a 1 b 22")), Err(Refusal::SameConnection)),
            (&remote, connection(Some((7, 500)), Some("a 2 b 22")), Err(Refusal::SameConnection)),
            (&remote, connection(Some((8, 900)), Some("a 2 b 22")), Err(Refusal::OldConnection)),
            (&remote, connection(Some((8, 1000)), None), Err(Refusal::OldConnection)),
            (&remote, connection(Some((9, 1001)), Some("a 2 b 22")), Ok(())),
            (&remote, connection(Some((7, 1001)), None), Ok(())),
            (&remote, connection(None, Some("a 1 b 22")), Err(Refusal::SameConnection)),
            (&remote, connection(None, Some("a 2 b 22")), Ok(())),
            (&remote, connection(None, None), Err(Refusal::NotRemote)),
            (&multiplexer, connection(Some((8, 900)), None), Err(Refusal::OldConnection)),
            (&multiplexer, connection(Some((8, 1001)), None), Ok(())),
            (&console, connection(None, None), Ok(())),
            (&console, connection(Some((8, 900)), None), Ok(())),
        ] {
            assert_eq!(counts(trial, &now), expected, "{trial:?} {now:?}");
        }
        let unfinished = Trial { in_force: None, ..remote };
        assert_eq!(counts(&unfinished, &connection(Some((9, 9999)), None)), Err(Refusal::OldConnection));
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let line = "12 (a) (b c) S 7 12 12 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(Process::parse(line), Some(Process { name: "a) (b c".into(), parent: 7, start: 4711 }));
        assert_eq!(Process::parse("12 (a"), None);
        let own = Process::read(std::process::id()).unwrap();
        assert!(own.start <= ticks_now() && own.start + ticks(24 * 3600) > ticks_now());
    }
}
