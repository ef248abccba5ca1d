//! A server's process group: waited for at its start, ended as a whole.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{Error, Netns, Result, run, wait};

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
        let name = run::line_of(&command);
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
    /// [`Error::Timeout`] with the end of its log if it does not, [`Error::Ended`] if it ends.
    pub fn listens(&mut self, namespace: &Netns, ports: &[u16], log: &Path) -> Result<()> {
        let ports_text = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let mut ended = None;
        let waited = wait::until("a listener", wait::PATIENCE, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some() || ports.iter().all(|port| namespace.has_listener(*port).unwrap_or(false))
        });
        match (ended, waited) {
            (Some(status), _) => Err(Error::Ended {
                command: self.name.clone(),
                status: status.to_string(),
                what: format!("it listened on port {ports_text}"),
                said: last_words(log),
            }),
            (None, Ok(())) => Ok(()),
            (None, Err(_)) => Err(Error::Timeout {
                what: format!("`{}` listens on port {ports_text}", self.name),
                seconds: wait::PATIENCE.as_secs(),
                detail: last_words(log),
            }),
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

    fn signal(&self, signal: Signal) -> bool {
        i32::try_from(self.child.id()).is_ok_and(|id| killpg(Pid::from_raw(id), signal).is_ok())
    }
}

/// The end of a log, on lines of its own.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let tail: Vec<_> = text.lines().rev().take(10).collect();
    if tail.is_empty() {
        String::new()
    } else {
        format!(":\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
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
