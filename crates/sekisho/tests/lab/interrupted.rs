//! Labs that are interrupted: whatever the moment and the signal, nothing of them is left, and labs beside them go on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sekisho_lab::{leftover, wait};
use serde_json::Value;

use crate::bpf::Objects;
use crate::{PATIENCE, alone, lab, run, text};

/// A lab with everything in it that could be left: namespaces, Sekisho, a flood, servers.
fn begin() -> Child {
    let arguments = ["conform", "--against", "sekisho", "--case", "idle", "--case", "late-ack"];
    lab(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The worker behind a lab's process, as its leftovers are named; as long as there is none, `None`.
fn worker(child: &Child) -> Option<String> {
    let pid = child.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let worker = children.split_whitespace().next()?.to_owned();
    let stat = fs::read_to_string(format!("/proc/{worker}/stat")).ok()?;
    let start = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    Some(format!("{worker}-{start}"))
}

/// Where Sekisho keeps what outlives it, one folder a namespace.
fn kept() -> BTreeSet<String> {
    let entries = ["/run/sekisho", "/run/sekisho/bpf"].into_iter().flat_map(fs::read_dir).flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with("net-")).collect()
}

/// A number that differs from run to run; each moment is told, so that one can be tried again.
fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % below
}

#[test]
fn nothing_is_left_at_whatever_moment_it_ends() {
    let _alone = alone();
    let before = kept();
    for round in 0..10 {
        let signal = ["INT", "TERM", "KILL"][round % 3];
        let moment = Duration::from_millis(random(2500));
        let mut child = begin();
        let begun = Instant::now();
        let mut whose = None;
        while begun.elapsed() < moment && child.try_wait().unwrap().is_none() {
            whose = worker(&child).or(whose);
            thread::sleep(Duration::from_millis(5));
        }
        println!("round {round}: SIG{signal} after {moment:?}, {whose:?}");
        let killed = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let ended = wait::until("the lab's end", PATIENCE, || child.try_wait().unwrap().is_some());
        assert!(ended.is_ok(), "it ends");
        let Some(whose) = whose else { continue };
        if signal == "KILL" {
            // At once: the worker dies with its parent, and may be about to.
            let said = run(&["clean"]);
            assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
            println!("{}", text(&said.stdout));
        }
        assert!(!leftover::is_anything_left(&whose), "something of {whose} is left");
    }
    // Others on this machine may come and go meanwhile; what is ours would stay.
    let gone = wait::until("the end of what Sekisho kept", PATIENCE, || kept().is_subset(&before));
    assert!(gone.is_ok(), "left: {:?}", kept().difference(&before).collect::<Vec<_>>());
}

#[test]
fn cleaning_leaves_the_living_alone() {
    let _alone = alone();
    let mut child = begin();
    let mut whose = None;
    wait::until("a lab at work", PATIENCE, || {
        whose = worker(&child);
        whose.as_ref().is_some_and(|id| {
            fs::read_dir("/run/netns").is_ok_and(|mut names| {
                names.any(|name| name.unwrap().file_name().to_string_lossy().contains(id.as_str()))
            })
        })
    })
    .unwrap();
    for _ in 0..3 {
        assert!(run(&["clean"]).status.success());
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "it goes on to its end: {status}");
    assert!(!leftover::is_anything_left(&whose.unwrap()));
}

/// A comparison that is not over before it is interrupted. It leads a process group, as one that a shell started.
fn begin_compare(defence: &str, rate: &str) -> Child {
    let arguments = ["compare", "--defence", defence, "--rate", rate, "--seconds", "1", "--rounds", "9"];
    lab(&arguments).process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The names of a lab's namespaces.
fn namespaces(whose: &str) -> Vec<String> {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&format!("sekisho-{whose}-"))).collect()
}

/// A lab's worker and everything that it started.
fn processes(whose: &str) -> Vec<i32> {
    let mark = format!("SEKISHO_LAB={whose}");
    let carries = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    all.filter(carries).chain(whose.split('-').next().and_then(|pid| pid.parse().ok())).collect()
}

/// The kernel's threads that receive for a lab's server: they go with its link.
fn receive_threads() -> BTreeSet<String> {
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let name = |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    all.filter(|pid| pid.parse::<u32>().is_ok() && name(pid).starts_with("napi/eth0-")).collect()
}

/// When a comparison is interrupted.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after it was started.
    Begun(Duration),
    /// So long after its flood was made ready.
    Flooding(Duration),
}

/// What was seen of a lab until its moment came.
#[derive(Debug, Default)]
struct Seen {
    whose: Option<String>,
    objects: Objects,
}

impl Seen {
    /// Looks until the moment, and once more right then.
    fn until(child: &Child, moment: Moment) -> Self {
        let mut seen = Self::default();
        let begun = Instant::now();
        let mut flooding = None;
        loop {
            seen.whose = worker(child).or(seen.whose);
            let whose = seen.whose.as_deref().unwrap_or_default();
            if !whose.is_empty() {
                processes(whose).into_iter().for_each(|pid| seen.objects.add_those_of(pid));
            }
            if flooding.is_none() && namespaces(whose).iter().any(|name| name.ends_with("-flood")) {
                flooding = Some(Instant::now());
            }
            let come = match (moment, flooding) {
                (Moment::Begun(after), _) => begun.elapsed() >= after,
                (Moment::Flooding(after), Some(since)) => since.elapsed() >= after,
                (Moment::Flooding(_), None) => begun.elapsed() >= PATIENCE,
            };
            if come {
                return seen;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Interrupts it, and returns what it said.
fn interrupt(child: &mut Child, signal: &str) -> String {
    // A terminal's Ctrl-C goes to the whole group, others to the program alone.
    let target = if signal == "INT" { format!("-{}", child.id()) } else { child.id().to_string() };
    let sent = Command::new("kill").args([&format!("-{signal}"), "--", &target]).status().unwrap();
    assert!(sent.success());
    let ended = wait::until("the lab's end", PATIENCE, || child.try_wait().unwrap().is_some());
    assert!(ended.is_ok(), "it ends");
    let mut said = Vec::new();
    // What a killed lab left behind may hold the other end of stderr open, so nobody waits for that one's.
    if signal != "KILL" {
        std::io::copy(child.stderr.as_mut().unwrap(), &mut said).unwrap();
    }
    text(&said)
}

/// Another lab that runs meanwhile, one after the other.
struct Beside(Child);

impl Beside {
    /// Begins, and waits until it is at work: a lab that begins cleans up after the dead, which is what the test wants to do itself.
    fn begin() -> Self {
        let arguments = ["compare", "--defence", "sekisho", "--rate", "0", "--rounds", "4", "--json", "-"];
        let child = lab(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let beside = Self(child);
        let at_work = || beside.whose().is_some_and(|whose| !namespaces(&whose).is_empty());
        wait::until("the lab beside", PATIENCE, at_work).unwrap();
        beside
    }

    fn whose(&self) -> Option<String> {
        worker(&self.0)
    }

    fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end: all that it wanted to measure, it could.
    fn end(self) {
        let said = self.0.wait_with_output().unwrap();
        let report: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{}", text(&said.stdout)));
        let cell = &report["defences"][0]["cells"][0];
        assert!(said.status.success() && cell["failures"].as_array().unwrap().is_empty(), "{report:#}");
        assert!(!cell["samples"].as_array().unwrap().is_empty(), "{report:#}");
    }
}

/// Takes away what a killed one left, and sees that it is told. At once: the worker dies with its parent, and may be about to. So one or
/// the other namespace may go by itself meanwhile, as that of a flood that was just over.
fn clean_after(whose: &str) {
    let left = namespaces(whose);
    let cleaned = run(&["clean"]);
    let said = text(&cleaned.stdout);
    assert!(cleaned.status.success(), "{said}{}", text(&cleaned.stderr));
    let told = |name: &&String| said.contains(&format!("Taken away: the network namespace {name}."));
    assert!(left.is_empty() || left.iter().any(|name| told(&name)), "{left:?}: {said}");
    assert!(namespaces(whose).is_empty(), "{:?}: {said}", namespaces(whose));
}

#[test]
fn nothing_of_a_comparison_is_left_at_whatever_moment_it_ends() {
    const DEFENCES: [&str; 4] = ["sekisho", "sekisho-nftables", "synproxy-gateway", "hashlimit"];
    let _alone = alone();
    let (kept_before, threads_before) = (kept(), receive_threads());
    let mut beside = Beside::begin();
    let (mut outlived, mut held) = (0, 0);
    for round in 0..12 {
        let (defence, signal) = (DEFENCES[round / 3], ["INT", "TERM", "KILL"][round % 3]);
        let moment = match round % 2 {
            0 => Moment::Begun(Duration::from_millis(random(3000))),
            _ => Moment::Flooding(Duration::from_millis(random(1000))),
        };
        if beside.is_over() {
            std::mem::replace(&mut beside, Beside::begin()).end();
        }
        let mut child = begin_compare(defence, if round % 4 == 1 { "full" } else { "100k" });
        let seen = Seen::until(&child, moment);
        println!("round {round}: {defence}, SIG{signal}, {moment:?}: {:?}", seen.whose);
        let said = interrupt(&mut child, signal);
        let status = child.wait().unwrap();
        let Some(whose) = seen.whose else { continue };
        if signal == "KILL" {
            assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
            clean_after(&whose);
        } else {
            assert_eq!(status.code(), Some(1), "{status}: {said}");
            let told = |what| said.contains(&format!("interrupted by SIG{signal}; {what}\n"));
            assert!(told("what was there was taken away") || told("there was nothing to take away"), "{said}");
        }
        assert!(!leftover::is_anything_left(&whose), "something of {whose} is left");
        assert_eq!(namespaces(&whose), [""; 0]);
        // The kernel frees what nobody holds a little later.
        let freed = wait::until("the end of its BPF programs", PATIENCE, || seen.objects.left().is_empty());
        assert!(freed.is_ok(), "left: {:?}", seen.objects.left());
        held += seen.objects.count("prog_id");
        outlived += usize::from(!beside.is_over());
    }
    assert!(held > 0, "programs were seen, or that none is left says nothing");
    assert!(outlived > 0, "the lab beside was there when others were interrupted");
    beside.end();
    let gone = wait::until("the end of all else", PATIENCE, || {
        kept().is_subset(&kept_before) && receive_threads().is_subset(&threads_before)
    });
    assert!(gone.is_ok(), "left: {:?}, {:?}", kept().difference(&kept_before).collect::<Vec<_>>(), receive_threads());
}
