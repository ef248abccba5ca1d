//! OpenSSH with a host key, a user key and a configuration of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::Process;
use crate::{Error, Netns, Result, leftover, run};

/// sshd needs its own absolute path: it executes itself again for every connection.
const PROGRAM: &str = "/usr/sbin/sshd";

/// A running sshd, which lets root in with [`Sshd::client_options`].
#[derive(Debug)]
pub struct Sshd {
    _process: Process,
    folder: TempDir,
    port: u16,
}

impl Sshd {
    /// Starts sshd on all of the addresses, which share one port. Its backlog is 128, which cannot be changed.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] with sshd's own words if it does not come up.
    pub fn start(namespace: &Netns, addresses: &[SocketAddr]) -> Result<Self> {
        let folder = leftover::folder("sshd")?;
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let flags = ["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"];
            run::output(Command::new("ssh-keygen").args(flags).arg(path(key)))?;
        }
        fs::copy(path("user.pub"), path("authorized")).map_err(Error::io("authorise the user's key"))?;
        // Compiled in; a package makes it when its service starts, which in a lab it never does.
        fs::create_dir_all("/run/sshd").map_err(Error::io("make /run/sshd"))?;
        let (config, log) = (path("config"), path("log"));
        fs::write(&config, text(&folder, addresses)).map_err(Error::io("write sshd's configuration"))?;
        let mut command = namespace.command(PROGRAM);
        command.args(["-D", "-e", "-f"]).arg(&config);
        let mut process = Process::start(command, &log)?;
        let port = addresses.first().map_or(22, SocketAddr::port);
        process.listens(namespace, &[port], &log)?;
        Ok(Self { _process: process, folder, port })
    }

    /// What makes `ssh` log in without a question, as root: `ssh <these> ADDRESS COMMAND`.
    pub fn client_options(&self) -> Vec<String> {
        let key = self.folder.path().join("user");
        let options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"];
        let mut words =
            vec!["-F".into(), "none".into(), "-l".into(), "root".into(), "-p".into(), self.port.to_string()];
        words.extend(["-i".into(), key.display().to_string()]);
        words.extend(options.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
        words
    }

    /// Its folder, which is removed with it.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().into()
    }
}

fn text(folder: &TempDir, addresses: &[SocketAddr]) -> String {
    let listens: String = addresses.iter().map(|address| format!("ListenAddress {address}\n")).collect();
    let folder = folder.path().display();
    let mut text = format!(
        "{listens}HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nPidFile none\nStrictModes no\nUseDNS no\n\
         PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM {}\nMaxStartups 2000\n\
         LoginGraceTime 120\nSubsystem sftp internal-sftp\n",
        if root_is_locked() { "yes" } else { "no" }
    );
    // OpenSSH 9.8 and later punish addresses that connect and leave, which is what the lab's visitors do; earlier ones refuse the word.
    if knows("PerSourcePenalties=no") {
        text.push_str("PerSourcePenalties no\n");
    }
    text
}

/// Without PAM sshd refuses an account whose password is locked, even with a key.
fn root_is_locked() -> bool {
    let shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    shadow.lines().any(|line| line.starts_with("root:!"))
}

/// Whether this sshd accepts an option.
fn knows(option: &str) -> bool {
    let unknown = |said: &str| said.contains("Bad configuration option");
    match run::output(Command::new(PROGRAM).args(["-t", "-f", "/dev/null", "-o", option])) {
        Ok(_) => true,
        // Anything else it complains about (missing host keys) is not about the option.
        Err(Error::Command { stderr, .. }) => !unknown(&stderr),
        Err(_) => false,
    }
}
