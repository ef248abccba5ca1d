//! Web servers that run: their settings, how many workers there are, and what one of them takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::{Record, Server, WebServer, web_config};
use super::counters::page_bytes;

/// So many workers of a server are measured; each costs the kernel a walk through its memory.
const MEASURED_MAX: usize = 32;

#[derive(Debug, Default)]
struct Group {
    pids: Vec<u32>,
    folder: Option<String>,
}

/// Looks at the processes of the servers that are known.
pub fn look(record: &mut Record) {
    let mut groups: BTreeMap<Server, Group> = BTreeMap::new();
    for pid in pids() {
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
    for server in found {
        server.processes = Some(workers.len() as u64);
        server.process_memory_bytes = own;
        server.process_resident_bytes = resident;
    }
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
        let mut found = [WebServer::new(Server::Apache)];
        measure(&[1, own], &mut found);
        assert_eq!(found[0].processes, Some(1));
        assert!(found[0].process_memory_bytes <= found[0].process_resident_bytes);
    }
}
