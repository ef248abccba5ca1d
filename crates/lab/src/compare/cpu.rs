//! Where the processors' time went while a cell was measured: to the receive thread, to programs that have nothing to do with the lab,
//! and to other guests of the machine below this one.
//!
//! The receive thread's time is what the scheduler charged to it (`/proc/PID/schedstat`, in nanoseconds), together with the soft
//! interrupts of its processor, which take over some of what it sends. Time that a hypervisor took away is in there too, so steal time
//! is told beside it.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use crate::{Error, Result};

/// Ticks a second in /proc/stat and /proc/PID/stat: USER_HZ, the same on all machines that Rust's Linux targets run on.
const TICKS: f64 = 100.0;
/// Field 9 of /proc/PID/stat: a thread of the kernel (PF_KTHREAD of include/linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// One look at all counters.
#[derive(Debug, Clone)]
pub struct Look {
    at: Instant,
    threads: HashMap<i32, u64>,
    steal_ticks: u64,
    foreign_ticks: u64,
}

/// What happened between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// Seconds between the looks.
    pub seconds: f64,
    /// Time of the receive processor on receive work, in nanoseconds; `None` where the kernel has no receive threads.
    pub receive_ns: Option<u64>,
    /// What a hypervisor took, in percent of all processors' time.
    pub steal_percent: f64,
    /// What programs took that are none of the lab's, in percent of all processors' time.
    pub foreign_percent: f64,
}

impl Look {
    /// Looks. `receive` are the threads that may be the receive thread of the server's link.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if /proc is not there.
    pub fn now(receive: &[i32]) -> Result<Self> {
        let threads = receive.iter().copied().chain(soft_interrupts()).filter_map(|pid| Some((pid, run_time(pid)?)));
        Ok(Self {
            threads: threads.collect(),
            steal_ticks: steal_ticks()?,
            foreign_ticks: foreign_ticks(std::process::id())?,
            at: Instant::now(),
        })
    }

    /// What was spent since an earlier look, made with the same threads.
    pub fn since(&self, earlier: &Self, receive: &[i32]) -> Spent {
        let seconds = (self.at - earlier.at).as_secs_f64();
        let grown = |pid: i32| {
            let (then, now) = (earlier.threads.get(&pid)?, self.threads.get(&pid)?);
            Some(now.saturating_sub(*then))
        };
        // Where another lab made its link at the same moment there are several, and ours is the one that works.
        let thread = receive.iter().filter_map(|pid| grown(*pid)).max();
        let interrupts: u64 = soft_interrupts().into_iter().filter_map(grown).sum();
        let cpus = processors() as f64;
        let percent = |now: u64, then: u64| 100.0 * now.saturating_sub(then) as f64 / TICKS / (seconds * cpus);
        Spent {
            seconds,
            receive_ns: thread.map(|ns| ns + interrupts),
            steal_percent: percent(self.steal_ticks, earlier.steal_ticks),
            foreign_percent: percent(self.foreign_ticks, earlier.foreign_ticks),
        }
    }
}

/// How many processors the machine has, whichever of them this thread may use.
pub(crate) fn processors() -> usize {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let each = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    each.count().max(1)
}

/// The thread that does the soft interrupts of the first processor, where too many of them come at once.
fn soft_interrupts() -> Option<i32> {
    // Threads of the kernel have low numbers, so this ends soon; the first is that of the first processor.
    static FOUND: std::sync::OnceLock<Option<i32>> = std::sync::OnceLock::new();
    *FOUND.get_or_init(|| {
        let is_it =
            |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "ksoftirqd/0\n");
        (1..200).find(is_it)
    })
}

/// How long a thread has run, in nanoseconds.
fn run_time(pid: i32) -> Option<u64> {
    fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?.split_whitespace().next()?.parse().ok()
}

/// Steal time of all processors, in ticks: the eighth number.
fn steal_ticks() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat").map_err(Error::io("read /proc/stat"))?;
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    Ok(all.split_whitespace().nth(7).and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// A line of /proc/PID/stat.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    is_kernel: bool,
    /// Its own time and that of its children that ended, in ticks. So the sum over all processes stays right when one ends.
    ticks: u64,
}

/// The time of all programs that neither are the lab's process nor come from it.
fn foreign_ticks(own: u32) -> Result<u64> {
    let entries = fs::read_dir("/proc").map_err(Error::io("read /proc"))?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // A process that ended meanwhile is in its parent's time.
    let stat = |pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let all: Vec<Process> = pids.filter_map(|pid| parse(&stat(pid)?)).collect();
    Ok(foreign(&all, own))
}

fn foreign(all: &[Process], own: u32) -> u64 {
    let parents: HashMap<u32, u32> = all.iter().map(|process| (process.pid, process.parent)).collect();
    let is_ours = |pid: u32| {
        let line = std::iter::successors(Some(pid), |pid| parents.get(pid).copied().filter(|parent| *parent != 0));
        line.take(100).any(|pid| pid == own)
    };
    all.iter().filter(|process| !process.is_kernel && !is_ours(process.pid)).map(|process| process.ticks).sum()
}

fn parse(stat: &str) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(')')?;
    // `rest` begins with field 3.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        pid: head.split_whitespace().next()?.parse().ok()?,
        parent: number(4)?.try_into().ok()?,
        is_kernel: number(9)? & KERNEL_THREAD != 0,
        ticks: (14..=17).filter_map(number).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_time_is_told_apart() {
        let line = "77 (a (b) c) S 7 77 77 0 -1 4194304 1 2 3 4 50 60 7 8 20 0 1 0 99 1 1";
        assert_eq!(parse(line), Some(Process { pid: 77, parent: 7, is_kernel: false, ticks: 125 }));
        let process = |pid, parent, is_kernel| Process { pid, parent, is_kernel, ticks: 10 };
        let all = [
            process(1, 0, false),
            process(2, 0, true),
            process(3, 2, true),
            process(7, 1, false),
            process(8, 7, false),
            process(9, 8, false),
            process(10, 1, false),
        ];
        assert_eq!(foreign(&all, 7), 20, "1 and 10");
    }

    #[test]
    fn two_looks_at_this_machine() {
        let first = Look::now(&[]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let spent = Look::now(&[]).unwrap().since(&first, &[]);
        assert!(spent.seconds >= 0.02 && spent.receive_ns.is_none() && spent.foreign_percent >= 0.0, "{spent:?}");
    }
}
