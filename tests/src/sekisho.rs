//! The program as a user has it: started, asked, stopped, killed, taken away.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sekisho_lab::counters::Counters;
use sekisho_lab::{Netns, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::PATIENCE;

/// The built program, which cargo puts beside the folder of the tests.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.ancestors().find(|path| path.ends_with("deps")).and_then(Path::parent);
    let program = folder.unwrap_or(&test).join("sekisho");
    let built = if cfg!(debug_assertions) { "cargo build -p sekisho" } else { "cargo build --release -p sekisho" };
    assert!(program.exists(), "{} is not there: `{built}` comes first (`make test` does it)", program.display());
    program
}

/// What a command of the program printed.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

/// How a daemon is started.
#[derive(Debug, Clone)]
pub struct Launch {
    namespace: Netns,
    config: String,
    arguments: Vec<String>,
    through_ip: bool,
}

impl Launch {
    /// In this namespace, on eth0, without a word of configuration.
    pub fn new(namespace: &Netns) -> Self {
        let arguments = ["--interface", "eth0"].map(Into::into).into();
        Self { namespace: namespace.clone(), config: String::new(), arguments, through_ip: false }
    }

    /// With this configuration (TOML).
    #[must_use]
    pub fn config(mut self, config: &str) -> Self {
        self.config = config.into();
        self
    }

    /// With these arguments after `run --config FILE` in place of `--interface eth0`.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|argument| (*argument).into()).collect();
        self
    }

    /// By `ip netns exec`, which gives every process mounts of its own; also for the commands that follow.
    #[must_use]
    pub fn through_ip(mut self) -> Self {
        self.through_ip = true;
        self
    }

    /// Starts it and waits until it tells systemd that it is ready.
    ///
    /// # Panics
    ///
    /// If it ends instead, with what it said.
    pub fn start(self) -> Sekisho {
        self.try_start().unwrap_or_else(|said| panic!("sekisho did not start: {said:?}"))
    }

    /// The same, or what it said when it ended instead.
    pub fn try_start(self) -> Result<Sekisho, Said> {
        let folder = TempDir::with_prefix("sekisho-test-").expect("a folder for the configuration");
        fs::write(folder.path().join("sekisho.toml"), &self.config).unwrap();
        let mut sekisho = Sekisho { launch: self, folder, child: None, ran: false };
        sekisho.start()?;
        Ok(sekisho)
    }

    fn command(&self) -> Command {
        if self.through_ip { self.namespace.exec(program()) } else { self.namespace.command(program()) }
    }
}

/// Sekisho in one namespace. Dropping it takes everything away, so that nothing is left even after a panic.
pub struct Sekisho {
    launch: Launch,
    folder: TempDir,
    child: Option<Child>,
    /// Whether it was ever ready: one that was refused must not take away what another has put there.
    ran: bool,
}

impl Sekisho {
    /// Runs the daemon on eth0 of a namespace and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it said.
    pub fn run(namespace: &Netns, config: &str) -> Self {
        Launch::new(namespace).config(config).start()
    }

    /// Starts the daemon again, after [`Sekisho::stop`] or [`Sekisho::kill`]. It then adopts what is in the kernel.
    ///
    /// # Panics
    ///
    /// As [`Sekisho::run`].
    pub fn restart(&mut self) {
        self.start().unwrap_or_else(|said| panic!("sekisho did not start again: {said:?}"));
    }

    fn start(&mut self) -> Result<(), Said> {
        assert!(self.child.is_none(), "the daemon runs already");
        let socket = self.folder.path().join("notify");
        let _ = fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket).expect("a socket for sd_notify");
        ready.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let mut command = self.launch.command();
        command.arg("run").arg("--config").arg(self.config_file()).args(&self.launch.arguments);
        command.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().expect("start sekisho"));
        self.await_ready(&ready)
    }

    fn await_ready(&mut self, ready: &UnixDatagram) -> Result<(), Said> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            // A timeout is the usual case, and asked again.
            let size = ready.recv(&mut buffer).unwrap_or(0);
            if String::from_utf8_lossy(&buffer[..size]).contains("READY=1") {
                self.ran = true;
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                self.child = None;
                return Err(Said { code: status.code(), stdout: String::new(), stderr: self.log() });
            }
        }
        self.ran = true;
        panic!("sekisho is not ready after {} s:\n{}", PATIENCE.as_secs(), self.log());
    }

    /// Runs a command of the program in the namespace, as `["status", "--json"]`.
    pub fn command(&self, arguments: &[&str]) -> Said {
        let output = self.launch.command().args(arguments).stdin(Stdio::null()).output().expect("run sekisho");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// What `sekisho status --json` says.
    pub fn status(&self) -> Value {
        let said = self.command(&["status", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("status is no JSON ({error}): {said:?}"))
    }

    /// How many packets met this verdict.
    pub fn verdict(&self, name: &str) -> u64 {
        count_of(&self.status(), name)
    }

    /// Every verdict that was met, with its count.
    pub fn verdicts(&self) -> Vec<(String, u64)> {
        let status = self.status();
        let all = status["verdicts"].as_array().expect("verdicts");
        let counted = all.iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one["count"].as_u64().unwrap()));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// What status says of the service on a port.
    ///
    /// # Panics
    ///
    /// If nothing listens there.
    pub fn service(&self, port: u16) -> Value {
        let status = self.status();
        let services = status["services"].as_array().expect("services");
        let found = services.iter().find(|service| service["port"] == port);
        found.unwrap_or_else(|| panic!("status shows no service on port {port}: {services:?}")).clone()
    }

    /// The names of the findings that status shows.
    pub fn findings(&self) -> Vec<String> {
        let status = self.status();
        status["findings"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the service on a port is in a state: "calm" or "armed".
    pub fn await_state(&self, port: u16, state: &str) {
        let what = format!("port {port} is {state}");
        wait::until(&what, PATIENCE, || self.service(port)["state"] == state).unwrap();
    }

    /// The daemon's log, of every start so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Waits until the daemon has logged something.
    pub fn await_log(&self, text: &str) {
        let waited = wait::until("the log", PATIENCE, || self.log().contains(text));
        assert!(waited.is_ok(), "the log never said {text:?}:\n{}", self.log());
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("a running daemon").id()
    }

    /// The namespace it runs in.
    pub fn namespace(&self) -> &Netns {
        &self.launch.namespace
    }

    /// The file with its configuration, which may be written to before [`Sekisho::reload`].
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("sekisho.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id() as i32), signal).expect("signal the daemon");
    }

    /// Makes it read its configuration again.
    pub fn reload(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.await_end()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.await_end();
    }

    /// Waits until the daemon has ended, which somebody else asked for.
    pub fn await_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running daemon");
        let mut status = None;
        let ended = wait::until("the daemon's end", PATIENCE, || {
            status = child.try_wait().expect("wait for the daemon");
            status.is_some()
        });
        if ended.is_err() {
            let _ = child.kill();
        }
        status.unwrap_or_else(|| panic!("the daemon does not end:\n{}", self.log()))
    }

    /// `sekisho off`: what it printed.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn off(&mut self) -> String {
        let said = self.command(&["off"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        if self.child.is_some() {
            self.await_end();
        }
        said.stdout
    }

    /// What one wants to see when a test fails.
    fn explain(&self) {
        println!("---- sekisho status\n{}", self.command(&["status"]).stdout);
        println!("---- the daemon's log\n{}", self.log());
        if let Ok(counters) = Counters::read(self.namespace()) {
            let counted: Vec<_> =
                counters.iter().filter(|(name, value)| name.starts_with("TcpExt") && *value > 0).collect();
            println!("---- the kernel counted in {}\n{counted:?}", self.namespace().name());
        }
    }
}

impl Drop for Sekisho {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.explain();
        }
        if !self.ran {
            return;
        }
        let said = self.command(&["off"]);
        if let Some(mut child) = self.child.take() {
            // `off` has stopped it; if that failed it must not outlive the test.
            let _ = child.kill();
            let _ = child.wait();
        }
        if said.code != Some(0) {
            println!("`sekisho off` failed: {said:?}");
        }
    }
}

/// The count of a verdict in a status.
fn count_of(status: &Value, name: &str) -> u64 {
    let verdicts = status["verdicts"].as_array().expect("verdicts");
    let found = verdicts.iter().find(|one| one["name"] == name);
    found.and_then(|one| one["count"].as_u64()).unwrap_or_else(|| panic!("there is no verdict {name}"))
}
