//! Web servers that run: their settings, how many workers there are, and what one of them takes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::{Record, Server, WebServer, web_config};
use super::counters::page_bytes;

/// So many workers of a server are measured; each costs the kernel a walk through its memory.
const MEASURED_MAX: usize = 32;

#[derive(Debug, Default)]
struct Group {
    pids: Vec<u32>,
    folder: Option<String>,
}

/// Looks at the processes of the servers that are known: those of this network namespace, as the sockets are. A container's serve others.
pub fn look(record: &mut Record) {
    let mut groups: BTreeMap<Server, Group> = BTreeMap::new();
    let here = namespace("thread-self");
    for pid in pids().into_iter().filter(|pid| here.is_none() || namespace(&pid.to_string()) == here) {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if let Some(server) = server(name.trim()) {
            groups.entry(server).or_default().pids.push(pid);
        }
    }
    for (server, mut group) in groups {
        group.pids.sort_unstable();
        group.folder = group.pids.first().and_then(|pid| config_of(*pid));
        let mut found = web_config::live(server, group.folder.as_deref(), record.host.cpus);
        measure(&group.pids, &mut found);
        record.web.extend(found);
    }
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The network namespace of a process, or of this thread.
fn namespace(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/net")).ok().map(|file| file.ino())
}

fn server(name: &str) -> Option<Server> {
    match name {
        "apache2" | "httpd" => Some(Server::Apache),
        "nginx" => Some(Server::Nginx),
        name if name.starts_with("php-fpm") => Some(Server::PhpFpm),
        _ => None,
    }
}

/// The file after `-c` or `-f` in the master's command line.
fn config_of(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    let mut words = words.split_whitespace();
    words.find(|word| matches!(*word, "-c" | "-f"))?;
    words.next().map(|word| word.trim_matches(['(', ')']).to_owned())
}

/// The oldest process is the master: the others are workers.
fn measure(pids: &[u32], found: &mut [WebServer]) {
    let workers = pids.get(1..).unwrap_or_default();
    let measured = || workers.iter().take(MEASURED_MAX);
    let mean = |values: Vec<u64>| values.iter().sum::<u64>().checked_div(values.len() as u64);
    let own = mean(measured().filter_map(|pid| own_bytes(*pid)).collect());
    let resident = mean(measured().filter_map(|pid| resident_bytes(*pid)).collect());
    let limit = pids.first().and_then(|pid| limit_bytes(*pid));
    for server in found {
        server.processes = Some(workers.len() as u64);
        server.process_memory_bytes = own;
        server.process_resident_bytes = resident;
        server.memory_limit_bytes = limit;
    }
}

/// The smallest memory limit of the control groups that a process is in, of both versions of control groups.
fn limit_bytes(pid: u32) -> Option<u64> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups.lines().filter_map(group_folder).filter_map(|(folder, file)| smallest(&folder, file)).min()
}

/// The folder of a line like `0::/system.slice/apache2.service` or `4:memory:/web`, and the name of the file with the limit in it.
fn group_folder(line: &str) -> Option<(PathBuf, &'static str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        names if names.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    Some((Path::new(root).join(path.trim_start_matches('/')), file))
}

/// The smallest limit in this folder and those above it. Without a limit the file says `max`, or a number near 2^63.
fn smallest(folder: &Path, file: &str) -> Option<u64> {
    let folders = folder.ancestors().take_while(|folder| folder.starts_with("/sys/fs/cgroup"));
    let limits = folders.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok());
    limits.filter(|limit| *limit < 1 << 60).min()
}

/// `Pss` of smaps_rollup: pages shared by n processes count an n-th.
fn own_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(rest.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("statm")).ok()?;
    let pages: f64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some((pages * page_bytes()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process() {
        let own = std::process::id();
        assert!(own_bytes(own).is_some_and(|bytes| bytes > 100_000));
        assert!(resident_bytes(own).is_some_and(|bytes| bytes > 100_000));
        assert_eq!(server("php-fpm8.2"), Some(Server::PhpFpm));
        assert!(limit_bytes(own).is_none_or(|limit| limit > 1 << 20), "{:?}", limit_bytes(own));
        let folder = |line| group_folder(line).map(|(folder, file)| (folder.display().to_string(), file));
        assert_eq!(folder("0::/a/b"), Some(("/sys/fs/cgroup/a/b".into(), "memory.max")));
        assert_eq!(folder("4:memory:/web"), Some(("/sys/fs/cgroup/memory/web".into(), "memory.limit_in_bytes")));
        assert_eq!(folder("3:cpuset:/"), None);
        let mut found = [WebServer::new(Server::Apache)];
        measure(&[1, own], &mut found);
        assert_eq!(found[0].processes, Some(1));
        assert!(found[0].process_memory_bytes <= found[0].process_resident_bytes);
    }
}
