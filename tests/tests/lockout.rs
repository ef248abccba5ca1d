//! Nobody is locked out: changes are made over a real SSH connection, and one that cuts that connection takes itself back.
//!
//! Read [`Drill`] first: a server with sshd, a client who is its only admin, and Sekisho's commands run through SSH. Needs root, OpenSSH
//! and nft.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use sekisho_lab::servers::Sshd;
use sekisho_lab::topology::SERVER4;
use sekisho_lab::wait;
use sekisho_tests::{PATIENCE, Scene, program};
use serde_json::{Value, json};
use tempfile::TempDir;

const RETRIES: &str = "net.ipv4.tcp_synack_retries";

// Fields are dropped in this order: the journal's owner goes first.
struct Drill {
    sshd: Sshd,
    folder: TempDir,
    scene: Scene,
}

impl Drill {
    fn new() -> Self {
        let scene = Scene::new();
        let sshd = Sshd::start(&scene.server, &[SocketAddr::new(SERVER4, 22)]).unwrap();
        let drill = Self { sshd, folder: tempfile::tempdir().unwrap(), scene };
        assert_eq!(drill.retries(), "5", "the kernel's default");
        drill
    }

    /// `ssh` to the server with a command for its shell, as a new connection.
    fn ssh(&self, command: &str) -> Command {
        let mut ssh = self.scene.client.command("ssh");
        ssh.args(self.sshd.client_options()).args(["-o", "ConnectTimeout=2", &SERVER4.to_string(), command]);
        ssh.stdin(Stdio::null());
        ssh
    }

    /// What a command said that was run through a new connection, and whether it succeeded.
    fn said(&self, command: &str) -> (bool, String) {
        told(&self.ssh(command).output().unwrap())
    }

    /// A command of Sekisho's, run on the server by somebody without SSH.
    fn here(&self, words: &[&str]) -> (bool, String) {
        told(&self.scene.server.command(program()).args(words).output().unwrap())
    }

    /// A plan on disk: a setting, more steps, and the file for the next boot. Returns the command that applies it.
    fn plan(&self, more: &[Value]) -> String {
        let mut steps = vec![json!({"step": "sysctl", "key": RETRIES, "from": "5", "to": "3"})];
        steps.extend_from_slice(more);
        let file = self.settings_file();
        steps.push(json!({"step": "file", "path": file, "from": null, "to": format!("{RETRIES} = 3\n")}));
        let plan = self.folder.path().join("plan.json");
        fs::write(&plan, json!({"version": 1, "steps": steps}).to_string()).unwrap();
        format!("{} apply --plan {} --sysctl-file {}", program().display(), plan.display(), file.display())
    }

    fn settings_file(&self) -> PathBuf {
        self.folder.path().join("99-z-sekisho.conf")
    }

    fn retries(&self) -> String {
        self.scene.server.sysctl_value(RETRIES).unwrap()
    }

    fn table_is_there(&self) -> bool {
        let mut nft = self.scene.server.command("nft");
        nft.args(["list", "table", "inet", "sekisho"]).output().unwrap().status.success()
    }

    fn is_untouched(&self) -> bool {
        self.retries() == "5" && !self.table_is_there() && !self.settings_file().exists()
    }
}

impl Drop for Drill {
    fn drop(&mut self) {
        // What a failing test leaves. The settings themselves go with the namespace.
        self.here(&["off"]);
    }
}

/// A step that drops every packet of the admin's.
fn cut_off() -> Value {
    let table = "table inet sekisho {\n chain input {\n  type filter hook input priority -10; ip saddr 203.0.113.0/24 drop\n }\n}\n";
    json!({"step": "table", "from": null, "to": table})
}

fn told(output: &Output) -> (bool, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// Each question costs a process or two, so it is not asked more often than it takes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let asked = wait::until(what, PATIENCE, || {
        let held = holds();
        if !held {
            std::thread::sleep(Duration::from_millis(50));
        }
        held
    });
    asked.unwrap();
}

/// An open session that waits for a line and then runs a command.
struct Session {
    child: Child,
    reader: BufReader<ChildStdout>,
}

impl Session {
    fn open(drill: &Drill, then: &str) -> Self {
        let mut ssh = drill.ssh(&format!("exec 2>&1; echo open; read line; {then}"));
        let mut child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "open\n");
        Self { child, reader }
    }

    /// Lets it run its command; what that said.
    fn go(mut self) -> String {
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let mut said = String::new();
        self.reader.read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        said
    }
}

#[test]
fn a_change_that_cuts_the_admin_off_takes_itself_back() {
    let drill = Drill::new();
    let apply = drill.plan(&[cut_off()]) + " --confirm-within 15s";
    let mut session = drill.ssh(&apply).stdout(Stdio::null()).spawn().unwrap();
    until("the admin is cut off", || drill.table_is_there());
    assert!(!drill.said("true").0, "the admin was to be cut off");
    assert_eq!((drill.retries().as_str(), drill.settings_file().exists()), ("3", false));
    // The session's end must not be the watchdog's.
    session.kill().unwrap();
    session.wait().unwrap();

    until("access is back", || drill.said("true").0);
    until("everything is as before", || drill.is_untouched());
    let (confirmed, said) = drill.here(&["confirm"]);
    assert!(!confirmed && said.contains("no change is on trial"), "{said}");
}

#[test]
fn only_a_connection_made_after_the_change_confirms_it() {
    let drill = Drill::new();
    let apply = drill.plan(&[]) + " --confirm-within 1h";
    let confirm = format!("{} confirm", program().display());
    let before = Session::open(&drill, &confirm);
    let said = Session::open(&drill, &format!("{apply}; {confirm}")).go();
    assert!(said.contains("On trial") && said.contains("the connection that made the change"), "{said}");
    let said = before.go();
    assert!(said.contains("there before the change"), "{said}");
    let (confirmed, said) = drill.here(&["confirm"]);
    assert!(!confirmed && said.contains("does not come over SSH"), "{said}");
    let (_, said) = drill.said(&apply);
    assert!(said.contains("still on trial"), "{said}");

    let (confirmed, said) = drill.said(&confirm);
    assert!(confirmed, "{said}");
    assert_eq!(fs::read_to_string(drill.settings_file()).unwrap(), format!("{RETRIES} = 3\n"));
    assert_eq!(drill.retries(), "3");
    let (taken_back, said) = drill.said(&format!("{} rollback", program().display()));
    assert!(taken_back && drill.is_untouched(), "{said}");
}

#[test]
fn killed_at_any_moment_a_change_on_trial_is_taken_back_by_its_watchdog() {
    let drill = Drill::new();
    let apply = drill.plan(&[cut_off()]) + " --confirm-within 1h";
    // Before the first step, before and after each, and when all are made but the watchdog was not told yet.
    for moment in 0..6 {
        let mut session = drill.ssh(&format!("{apply} --crash-at {moment}")).stdout(Stdio::null()).spawn().unwrap();
        until("the session ends", || session.try_wait().unwrap().is_some());
        until("everything is as before", || drill.is_untouched());
        until("the books are closed", || drill.here(&["rollback"]).1.contains("nothing to take back"));
    }
}

#[test]
fn killed_at_any_moment_without_a_watchdog_a_rollback_leaves_nothing() {
    let drill = Drill::new();
    let apply = drill.plan(&[cut_off()]);
    let words: Vec<&str> = apply.split(' ').skip(1).collect();
    let mut moment = 0;
    loop {
        let number = moment.to_string();
        let (made, said) = drill.here(&[words.as_slice(), &["--crash-at", number.as_str()]].concat());
        let (taken_back, back) = drill.here(&["rollback"]);
        assert!(taken_back && drill.is_untouched(), "moment {moment}: {said}{back}");
        if made {
            break;
        }
        moment += 1;
    }
    assert_eq!(moment, 8, "before the first of three steps, before and after each, and at the end");
}

#[test]
fn what_was_half_made_when_the_host_went_down_is_taken_back_before_anything_else() {
    let drill = Drill::new();
    let apply = drill.plan(&[cut_off()]);
    let words: Vec<&str> = apply.split(' ').skip(1).collect();
    // After the table, before the file.
    drill.here(&[words.as_slice(), &["--crash-at", "4"]].concat());
    assert!(drill.table_is_there());
    // A reboot takes the settings and the table, and leaves the journal and whatever files were written.
    let nft = drill.scene.server.command("nft").args(["delete", "table", "inet", "sekisho"]).status().unwrap();
    assert!(nft.success());
    drill.scene.server.sysctl(RETRIES, "5").unwrap();
    let (made, said) = drill.here(&words);
    assert!(made && said.contains("cut off half-way"), "{said}");
    let (taken_back, said) = drill.here(&["off"]);
    assert!(taken_back && drill.is_untouched(), "{said}");
}
