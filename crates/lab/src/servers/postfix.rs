//! Postfix with configuration, queue and data of its own. Mail to anybody is accepted and then discarded.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::Process;
use crate::{Error, Netns, Result, leftover, run};

/// A running Postfix.
#[derive(Debug)]
pub struct Postfix {
    _process: Process,
    folder: TempDir,
}

impl Postfix {
    /// Starts Postfix on all of the addresses. Its backlog is its process limit, so `backlog` sets both.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] with Postfix's own words if it does not come up.
    pub fn start(namespace: &Netns, addresses: &[SocketAddr], backlog: u32) -> Result<Self> {
        let folder = leftover::folder("postfix")?;
        let path = |name: &str| folder.path().join(name);
        // Postfix works as a user of its own, who has to get through.
        open_up(folder.path().into())?;
        for name in ["etc", "spool", "data"] {
            fs::create_dir(path(name)).map_err(Error::io(format!("make Postfix's {name}")))?;
            open_up(path(name))?;
        }
        run::output(Command::new("chown").arg("postfix").arg(path("data")))?;
        let main = main_cf(&folder.path().display().to_string(), backlog);
        for (name, text) in [("etc/main.cf", main), ("etc/master.cf", master_cf(addresses))] {
            fs::write(path(name), text).map_err(Error::io(format!("write Postfix's {name}")))?;
        }
        // Makes the folders of the queue.
        run::output(Command::new("postfix").arg("-c").arg(path("etc")).arg("check"))?;
        let log = path("log");
        let mut command = namespace.command(master()?);
        // Does not detach itself, and so stays in the process group that is ended as a whole.
        command.arg("-c").arg(path("etc")).arg("-d");
        let mut process = Process::start(command, &log)?;
        let ports: Vec<_> = addresses.iter().map(SocketAddr::port).collect();
        process.listens(namespace, &ports, &log)?;
        Ok(Self { _process: process, folder })
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("mail.log")).unwrap_or_default()
    }
}

fn open_up(path: PathBuf) -> Result<()> {
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&path, mode).map_err(Error::io(format!("open {}", path.display())))
}

/// Where Postfix's master program is, which differs between distributions.
fn master() -> Result<PathBuf> {
    let folder = run::output(Command::new("postconf").args(["-d", "-h", "daemon_directory"]))?;
    Ok(PathBuf::from(folder.trim()).join("master"))
}

/// No name is looked up, no client is counted, nothing is delivered.
fn main_cf(folder: &str, backlog: u32) -> String {
    format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/spool\ndata_directory = {folder}/data\n\
         maillog_file_prefixes = {folder}\nmaillog_file = {folder}/mail.log\nmyhostname = lab.example\nmydestination =\n\
         mynetworks = 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 [2001:db8::]/32\ninet_interfaces = all\ninet_protocols = all\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
         default_transport = discard:\nrelay_transport = discard:\nlocal_transport = discard:\n\
         smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nsmtpd_peername_lookup = no\n\
         smtpd_client_connection_count_limit = 0\nsmtpd_client_connection_rate_limit = 0\ndisable_dns_lookups = yes\n\
         smtputf8_enable = no\ndefault_process_limit = {backlog}\n"
    )
}

fn master_cf(addresses: &[SocketAddr]) -> String {
    let mut text: String =
        addresses.iter().map(|address| format!("{} inet n - n - - smtpd\n", service(*address))).collect();
    // Services that a mail client's command line reaches are not private; the rest is.
    for (name, kind, private, wakeup, limit, program) in [
        ("cleanup", "unix", "n", "-", "0", "cleanup"),
        ("qmgr", "unix", "n", "300", "1", "qmgr"),
        ("rewrite", "unix", "y", "-", "-", "trivial-rewrite"),
        ("bounce", "unix", "y", "-", "0", "bounce"),
        ("defer", "unix", "y", "-", "0", "bounce"),
        ("trace", "unix", "y", "-", "0", "bounce"),
        ("discard", "unix", "y", "-", "-", "discard"),
        ("error", "unix", "y", "-", "-", "error"),
        ("proxymap", "unix", "y", "-", "-", "proxymap"),
        ("postlog", "unix-dgram", "n", "-", "1", "postlogd"),
    ] {
        text.push_str(&format!("{name} {kind} {private} - n {wakeup} {limit} {program}\n"));
    }
    text
}

/// An address as master.cf has it.
fn service(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("[{ip}]:{}", address.port()),
    }
}
