//! Sekisho itself in a namespace: the program is run as a user would, so that the lab shows what a user gets.
//!
//! The lab knows nothing of Sekisho's inside: it starts a program, waits for its sd_notify, asks it by its own commands, and has it take
//! everything away in the end. What it keeps (pins, a lock) lies below /run/sekisho in a folder of the namespace's own.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Error, Netns, Result, run, wait};

/// Sekisho at work on eth0 of a namespace. Dropping it takes everything away (`sekisho off`).
#[derive(Debug)]
pub struct Guard {
    namespace: Netns,
    program: PathBuf,
    folder: TempDir,
    child: Option<Child>,
}

impl Guard {
    /// Runs `program run` on eth0 with this configuration (TOML) and these further arguments, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] with its log if it ends instead, [`Error::Timeout`] if it is not ready in time, [`Error::Io`] if there is no such program.
    pub fn start(namespace: &Netns, program: &Path, config: &str, arguments: &[&str]) -> Result<Self> {
        let folder = crate::leftover::folder("guard")?;
        let file = folder.path().join("sekisho.toml");
        fs::write(&file, config).map_err(Error::io("write a configuration"))?;
        let mut guard = Self { namespace: namespace.clone(), program: program.into(), folder, child: None };
        crate::leftover::note_program(program)?;
        let ready = guard.socket()?;
        let mut command = namespace.command(program);
        command.args(["run", "--interface", crate::topology::DEVICE, "--config"]).arg(&file).args(arguments);
        command.env("NOTIFY_SOCKET", guard.folder.path().join("notify")).stdin(Stdio::null());
        let log = || File::options().create(true).append(true).open(guard.log_file());
        let log = || log().map_err(Error::io("make a log for sekisho"));
        command.stdout(log()?).stderr(log()?);
        guard.child = Some(command.spawn().map_err(Error::io(format!("start {}", program.display())))?);
        guard.await_ready(&ready)?;
        Ok(guard)
    }

    fn socket(&self) -> Result<UnixDatagram> {
        let failed = || Error::io("make a socket for sd_notify");
        let socket = UnixDatagram::bind(self.folder.path().join("notify")).map_err(failed())?;
        socket.set_read_timeout(Some(Duration::from_millis(20))).map_err(failed())?;
        Ok(socket)
    }

    fn await_ready(&mut self, ready: &UnixDatagram) -> Result<()> {
        let deadline = Instant::now() + wait::PATIENCE;
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            // A timeout is the usual case, and asked again.
            let size = ready.recv(&mut buffer).unwrap_or(0);
            if String::from_utf8_lossy(&buffer[..size]).contains("READY=1") {
                return Ok(());
            }
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(Error::Ended {
                    command: format!("{} run", self.program.display()),
                    status: status.to_string(),
                    what: "it was ready".into(),
                    said: format!("; it said:\n{}", self.log()),
                });
            }
        }
        Err(Error::Timeout {
            what: "sekisho is ready".into(),
            seconds: wait::PATIENCE.as_secs(),
            detail: format!("; it said:\n{}", self.log()),
        })
    }

    /// A command of the program in the namespace, as `["status", "--json"]`: what it prints.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] with what it said if it fails.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        run::output(self.namespace.command(&self.program).args(arguments))
    }

    /// Every verdict that was met, with its count. As `sekisho status` tells them.
    ///
    /// # Errors
    ///
    /// As [`Guard::command`].
    pub fn verdicts(&self) -> Result<Vec<(String, u64)>> {
        Ok(verdicts_of(&self.command(&["status", "--json"])?))
    }

    /// The daemon's log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It stops the daemon too. What is left if it fails, `lab clean` tries again.
        let _ = self.command(&["off"]);
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Counts by name out of `status --json`, whose `verdicts` is a list of objects with `name` and `count`, in either order.
fn verdicts_of(status: &str) -> Vec<(String, u64)> {
    let Some((_, list)) = status.split_once("\"verdicts\"") else { return Vec::new() };
    let list = list.split(']').next().unwrap_or_default();
    let field = |object: &str, name: &str| {
        let (_, rest) = object.split_once(&format!("\"{name}\""))?;
        let value = rest.trim_start_matches([' ', ':', '\n']);
        Some(value.split([',', '}', '\n']).next()?.trim().trim_matches('"').to_owned())
    };
    let one = |object: &str| Some((field(object, "name")?, field(object, "count")?.parse().ok()?));
    list.split('{').filter_map(one).filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_verdicts() {
        let status = r#"{"version":1,"verdicts":[{"number":1,"name":"syn_calm","count":7},
            {"count": 0, "name": "blocked"}, {"count": 3, "name": "cookie_sent"}],"x":[{"name":"no","count":1}]}"#;
        assert_eq!(verdicts_of(status), [("syn_calm".into(), 7), ("cookie_sent".into(), 3)]);
        assert_eq!(verdicts_of("{}"), []);
    }
}
