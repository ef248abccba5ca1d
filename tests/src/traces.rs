//! What Sekisho leaves on a host while it is there, and how to show that nothing of it is left.
//!
//! [`snapshot`] is what a user can look at: links, queueing disciplines, sysctls, mounts. [`Traces`] are the very programs and maps
//! in the kernel, by their ids, which are not given twice in a while: so other namespaces that run Sekisho at the same time do not matter.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use libbpf_rs::query::{MapInfoIter, ProgInfoIter, ProgInfoQueryOptions};
use sekisho_lab::{Netns, run};

use crate::Sekisho;

/// Where Sekisho keeps what outlives the daemon.
const BASE: &str = "/run/sekisho";

/// Everything about a namespace that `off` must leave as it was, as text to compare.
pub fn snapshot(namespace: &Netns) -> String {
    let tool = |program: &str, arguments: &[&str]| run::output(namespace.exec(program).args(arguments)).unwrap();
    let mut text = tool("ip", &["-d", "link"]);
    text += &tool("tc", &["qdisc"]);
    text += &tool("tc", &["filter", "show", "dev", "eth0", "ingress"]);
    text += &tool("ethtool", &["-k", "eth0"]);
    text += &sysctls(namespace);
    text + &mounts()
}

/// All mounts but those of namespaces, which come and go with other tests, and but Sekisho's own, which all that run share.
fn mounts() -> String {
    let all = fs::read_to_string("/proc/self/mounts").unwrap();
    let lasting = |line: &&str| !line.contains("/run/netns") && !line.contains(BASE);
    all.lines().filter(lasting).map(|line| format!("{line}\n")).collect()
}

/// The namespace's TCP and connection tracking settings, without those that the kernel changes by itself.
fn sysctls(namespace: &Netns) -> String {
    let read = || {
        let mut lines = Vec::new();
        for folder in ["net/ipv4", "net/netfilter", "net/ipv6/conf/all", "net/ipv4/conf/eth0"] {
            lines.extend(values(&Path::new("/proc/sys").join(folder)));
        }
        lines.sort();
        lines.join("\n") + "\n"
    };
    namespace.run(read).unwrap()
}

fn values(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let value = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let changing = ["count", "tcp_fastopen_key", "ping_group_range"].iter().any(|part| name.contains(part));
        let text = fs::read_to_string(entry.path()).ok()?;
        (!changing).then(|| format!("{name} = {}", text.trim()))
    };
    entries.filter_map(value).collect()
}

/// The programs and maps of one Sekisho.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    folders: [PathBuf; 2],
}

impl Traces {
    /// What belongs to a running Sekisho: the program that `ip link` shows on the device, its maps, every program that has one of
    /// them, and its folders.
    ///
    /// # Panics
    ///
    /// If there is no XDP program on the device.
    pub fn of(sekisho: &Sekisho, device: &str) -> Self {
        let gate = xdp_program(sekisho.namespace(), device).unwrap_or_else(|| panic!("no XDP program on {device}"));
        let all = programs();
        let maps: BTreeSet<u32> = all.iter().filter(|(id, _)| *id == gate).flat_map(|(_, maps)| maps.clone()).collect();
        let shares = |others: &[u32]| others.iter().any(|map| maps.contains(map));
        let programs: BTreeSet<u32> = all.iter().filter(|(_, maps)| shares(maps)).map(|(id, _)| *id).collect();
        let maps = all.iter().filter(|(id, _)| programs.contains(id)).flat_map(|(_, maps)| maps.clone()).collect();
        let name = folder_of(sekisho.id());
        Self { programs, maps, folders: [Path::new(BASE).join(&name), Path::new(BASE).join("bpf").join(&name)] }
    }

    /// How many programs and maps there are.
    pub fn count(&self) -> (usize, usize) {
        (self.programs.len(), self.maps.len())
    }

    /// What is still there of it, in words; empty if nothing is.
    pub fn left(&self) -> Vec<String> {
        let programs: BTreeSet<u32> = programs().into_iter().map(|(id, _)| id).collect();
        let maps: BTreeSet<u32> = MapInfoIter::default().map(|map| map.id).collect();
        let mut left: Vec<String> = programs.intersection(&self.programs).map(|id| format!("program {id}")).collect();
        left.extend(maps.intersection(&self.maps).map(|id| format!("map {id}")));
        left.extend(self.folders.iter().filter(|folder| folder.exists()).map(|folder| folder.display().to_string()));
        // The mount goes with the last one who used it.
        let used = fs::read_dir(BASE).into_iter().flatten().flatten();
        let others = used.filter(|entry| entry.file_name().to_string_lossy().starts_with("net-")).count();
        if others == 0 && Path::new(BASE).exists() {
            left.push(BASE.into());
        }
        left
    }
}

/// The id of the XDP program on a device.
pub fn xdp_program(namespace: &Netns, device: &str) -> Option<u32> {
    let shown = run::output(namespace.exec("ip").args(["-d", "link", "show", "dev", device])).unwrap();
    let after = shown.split("prog/xdp").nth(1)?;
    after.split_whitespace().skip_while(|word| *word != "id").nth(1)?.parse().ok()
}

/// The name of the folder whose lock a daemon holds.
fn folder_of(daemon: u32) -> String {
    let entries = fs::read_dir(BASE).expect("a folder of Sekisho's").flatten();
    let holds = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("lock")).is_ok_and(|text| text.trim() == daemon.to_string())
    };
    let found = entries.into_iter().find(holds).expect("a lock with the daemon's id");
    found.file_name().to_string_lossy().into_owned()
}

/// Every program in the kernel, with the ids of its maps.
fn programs() -> Vec<(u32, Vec<u32>)> {
    let options = ProgInfoQueryOptions::default().include_map_ids(true);
    ProgInfoIter::with_query_opts(options).map(|program| (program.id, program.map_ids)).collect()
}
