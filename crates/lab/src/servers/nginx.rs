//! nginx, serving a short page and a file of 10 MB.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use super::Process;
use crate::{Error, Netns, Result, leftover};

/// The size of `/large`, in bytes.
pub const LARGE: usize = 10_000_000;

/// nginx's settings until [`Nginx::start`], the running server afterwards.
#[derive(Debug)]
pub struct Nginx {
    // Fields are dropped in this order: the process ends before its folder goes.
    process: Option<Process>,
    folder: TempDir,
    listens: Vec<(SocketAddr, bool)>,
    backlog: u32,
    reuseport: bool,
    workers: u32,
}

impl Nginx {
    /// nginx with one worker and a backlog of 128, as yet without an address.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a temporary folder cannot be made.
    pub fn new() -> Result<Self> {
        let folder = leftover::folder("nginx")?;
        Ok(Self { process: None, folder, listens: Vec::new(), backlog: 128, reuseport: false, workers: 1 })
    }

    /// Listens there. An IPv6 address takes IPv6 alone.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listens.push((address, false));
        self
    }

    /// Listens on `[::]` for both families.
    #[must_use]
    pub fn dual_stack(mut self, port: u16) -> Self {
        self.listens.push((SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port), true));
        self
    }

    /// The backlog of every listener.
    #[must_use]
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog;
        self
    }

    /// So many workers, each with a listener of its own (SO_REUSEPORT).
    #[must_use]
    pub fn reuseport(mut self, workers: u32) -> Self {
        self.reuseport = true;
        self.workers = workers;
        self
    }

    /// Starts it in the namespace.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] with nginx's own words if it does not come up.
    pub fn start(mut self, namespace: &Netns) -> Result<Self> {
        let (config, log) = (self.path("nginx.conf"), self.path("log"));
        fs::create_dir_all(self.path("www")).map_err(Error::io("make nginx's pages"))?;
        for (name, content) in
            [("www/index.html", page()), ("www/large", large()), ("nginx.conf", self.config().into())]
        {
            fs::write(self.path(name), content).map_err(Error::io(format!("write nginx's {name}")))?;
        }
        let mut command = namespace.command("nginx");
        command.arg("-p").arg(self.folder.path()).arg("-c").arg(&config).arg("-e").arg(&log);
        let mut process = Process::start(command, &log)?;
        let ports: Vec<_> = self.listens.iter().map(|(address, _)| address.port()).collect();
        process.listens(namespace, &ports, &log)?;
        self.process = Some(process);
        Ok(self)
    }

    /// Its folder, which is removed with it.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> String {
        let listens: String = self.listens.iter().map(|listen| self.listen_line(listen)).collect();
        let folder = self.folder.path().display();
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
            .collect();
        // As root, since the folder is closed to everybody else; no access log, since a flood of visits would be one of writes.
        format!(
            "daemon off;\nuser root;\npid {folder}/pid;\nworker_processes {};\nworker_rlimit_nofile 20000;\n\
             events {{ worker_connections 16000; }}\n\
             http {{\n    access_log off;\n    sendfile on;\n    default_type application/octet-stream;\n{paths}\
             \x20   server {{\n{listens}        root {folder}/www;\n    }}\n}}\n",
            self.workers
        )
    }

    fn listen_line(&self, (address, dual): &(SocketAddr, bool)) -> String {
        let reuseport = if self.reuseport { " reuseport" } else { "" };
        let family = match (address.is_ipv6(), dual) {
            (true, true) => " ipv6only=off",
            (true, false) => " ipv6only=on",
            (false, _) => "",
        };
        format!("        listen {address} backlog={}{family}{reuseport};\n", self.backlog)
    }
}

/// The body of `/`.
pub fn page() -> Vec<u8> {
    b"<!doctype html><title>lab</title>It works.\n".to_vec()
}

/// The body of `/large`: [`LARGE`] bytes without a period, so that a lost, doubled or swapped piece shows.
pub fn large() -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state.to_le_bytes()[7]
    };
    (0..LARGE).map(|_| next()).collect()
}
