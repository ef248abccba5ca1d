//! A server's process group: waited for at its start, ended as a whole.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{Error, Netns, Result, wait};

/// How long a server may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// A running program that leads a process group. Dropping it ends the whole group: by request first, then by force.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a command in a process group of its own, with its output in `log`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no such program or the log cannot be made.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = || {
            File::options().create(true).append(true).open(log).map_err(Error::io(format!("make {}", log.display())))
        };
        command.stdin(Stdio::null()).stdout(file()?).stderr(file()?).process_group(0);
        let child = command.spawn().map_err(Error::io(format!("start {name}")))?;
        Ok(Self { child, name })
    }

    /// Waits until the program listens on all of the ports.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] with the end of its log, if it does not or if it ends.
    pub fn listens(&mut self, namespace: &Netns, ports: &[u16], log: &Path) -> Result<()> {
        let mut ended = false;
        let waited = wait::until(&format!("{} listens on {ports:?}", self.name), wait::PATIENCE, || {
            ended = self.is_over();
            ended || ports.iter().all(|port| namespace.has_listener(*port).unwrap_or(false))
        });
        match waited {
            Ok(()) if !ended => Ok(()),
            _ => Err(self.failure(log)),
        }
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id, which is also the id of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn failure(&self, log: &Path) -> Error {
        let text = fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<_> = text.lines().rev().take(10).collect();
        let said = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        Error::Timeout {
            what: format!("{} listens", self.name),
            seconds: wait::PATIENCE.as_secs(),
            detail: format!(":\n{said}"),
        }
    }

    fn signal(&self, signal: Signal) -> bool {
        i32::try_from(self.child.id()).is_ok_and(|id| killpg(Pid::from_raw(id), signal).is_ok())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        let ended = wait::until("the end", GRACE, || self.is_over());
        // Workers may outlive their leader, so the group is asked for as a whole, and the leader is reaped last.
        if ended.is_err() || self.signal(Signal::SIGKILL) {
            let _ = self.child.wait();
        }
    }
}
