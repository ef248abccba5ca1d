//! BPF programs, links and maps of the kernel by their ids: which of them a lab has, and which are still there.
//!
//! The kernel counts ids up and begins again only after two thousand million, so one that is gone does not come back as somebody else's.

use std::collections::BTreeSet;
use std::fs;

/// `BPF_PROG_GET_NEXT_ID`, `BPF_MAP_GET_NEXT_ID` and `BPF_LINK_GET_NEXT_ID` of include/uapi/linux/bpf.h, each with the key under which
/// `/proc/PID/fdinfo` tells an id of its kind.
const KINDS: [(&str, libc::c_long); 3] = [("prog_id", 11), ("map_id", 12), ("link_id", 31)];

/// Objects, each as its kind and its id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects(BTreeSet<(&'static str, u32)>);

impl Objects {
    /// Adds those that a process holds open.
    pub fn add_those_of(&mut self, pid: i32) {
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten() {
            // A descriptor that was closed meanwhile holds nothing.
            let told = fs::read_to_string(entry.path()).unwrap_or_default();
            let fields = told.lines().filter_map(|line| line.split_once(":\t"));
            self.0.extend(fields.filter_map(|(key, id)| Some((kind_of(key)?, id.trim().parse().ok()?))));
        }
    }

    /// Those of them that the kernel still has.
    pub fn left(&self) -> Self {
        let there: BTreeSet<_> = KINDS.iter().flat_map(|(kind, call)| ids(*call).map(move |id| (*kind, id))).collect();
        Self(self.0.intersection(&there).copied().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are of one kind, as `prog_id`.
    pub fn count(&self, kind: &str) -> usize {
        self.0.iter().filter(|(one, _)| *one == kind).count()
    }
}

fn kind_of(key: &str) -> Option<&'static str> {
    KINDS.iter().map(|(kind, _)| *kind).find(|kind| *kind == key)
}

/// All ids of a kind, in rising order.
fn ids(call: libc::c_long) -> impl Iterator<Item = u32> {
    std::iter::successors(next(call, 0), move |id| next(call, *id))
}

fn next(call: libc::c_long, after: u32) -> Option<u32> {
    // The part of `union bpf_attr` that these calls take: start_id, next_id, open_flags.
    let mut words = [after, 0, 0];
    // SAFETY: the kernel reads and writes as many bytes as are said, of an array that outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_bpf, call, words.as_mut_ptr(), size_of_val(&words)) };
    (done == 0).then_some(words[1])
}
