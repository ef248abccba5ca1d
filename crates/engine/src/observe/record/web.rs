//! Web servers: their settings, workers and requests.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Time;
use super::state::SourceCount;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "names of programs")]
pub enum Server {
    Apache,
    Nginx,
    PhpFpm,
}

/// Apache's multi-processing module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "names of modules")]
pub enum Mpm {
    Prefork,
    Worker,
    Event,
}

/// A setting, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting<T> {
    /// Its value.
    pub value: T,
    /// File and line (from 1); `None`: the program's default.
    pub place: Option<(PathBuf, u32)>,
}

/// One server's settings and workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebServer {
    /// Which.
    pub server: Server,
    /// Apache's way of working.
    pub mpm: Option<Setting<Mpm>>,
    /// How many requests are served at once: `MaxRequestWorkers`; `worker_processes` × `worker_connections`; `pm.max_children` (of one pool).
    pub workers_max: Option<Setting<u64>>,
    /// How many processes there can be: `ServerLimit` cut to what is needed; `worker_processes`; `pm.max_children`. For Apache's prefork the same as
    /// `workers_max`. What takes memory is processes.
    pub processes_max: Option<u64>,
    /// Apache: `ServerLimit`.
    pub server_limit: Option<Setting<u64>>,
    /// Apache: `ThreadsPerChild`.
    pub threads_per_child: Option<Setting<u64>>,
    /// nginx: `worker_processes`; `None` also for `auto` without knowing the CPUs.
    pub worker_processes: Option<Setting<u64>>,
    /// nginx: `worker_connections`.
    pub worker_connections: Option<Setting<u64>>,
    /// `ListenBacklog`; nginx: the smallest `backlog=` of a `listen`, or 511; php-fpm: `listen.backlog`.
    pub backlog: Option<Setting<u64>>,
    /// Whether connections are kept for more requests.
    pub keep_alive: Option<Setting<bool>>,
    /// For how long a kept connection may be idle, in milliseconds.
    pub keep_alive_timeout_ms: Option<Setting<u64>>,
    /// For how long the server waits for a client (`Timeout`, `client_header_timeout`), in milliseconds.
    pub timeout_ms: Option<Setting<u64>>,
    /// Apache: whether an interpreter runs in its workers (mod_php), which makes them large.
    pub interpreter_inside: bool,
    /// php-fpm: the pool's name.
    pub pool: Option<String>,
    /// Worker processes there are now.
    pub processes: Option<u64>,
    /// What one more worker process takes: the mean of what is not shared with others (Pss), in bytes.
    pub process_memory_bytes: Option<u64>,
    /// Resident memory of one worker process (shared pages counted in each), in bytes.
    pub process_resident_bytes: Option<u64>,
    /// What all its processes together may take: the smallest limit of the control groups that they are in (`MemoryMax=` of a unit, a
    /// container), in bytes; `None`: none is known, so it is the machine's memory.
    #[serde(default)]
    pub memory_limit_bytes: Option<u64>,
}

impl WebServer {
    /// Nothing known.
    pub const fn new(server: Server) -> Self {
        Self {
            server,
            mpm: None,
            workers_max: None,
            processes_max: None,
            server_limit: None,
            threads_per_child: None,
            worker_processes: None,
            worker_connections: None,
            backlog: None,
            keep_alive: None,
            keep_alive_timeout_ms: None,
            timeout_ms: None,
            interpreter_inside: false,
            pool: None,
            processes: None,
            process_memory_bytes: None,
            process_resident_bytes: None,
            memory_limit_bytes: None,
        }
    }
}

/// The requests of one minute in one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebTraffic {
    /// The beginning of the minute.
    pub minute: Time,
    /// The log, by its name without what rotation added.
    pub log: String,
    /// All requests.
    pub requests: u64,
    /// By the first digit of their status, from 1 to 5.
    pub by_class: [u64; 5],
    /// 408: the client was too slow; in nginx also 499, where the client gave up first.
    pub timeouts: u64,
    /// 499: the client gave up waiting (nginx).
    pub given_up: u64,
    /// 502, 503, 504: the server or what is behind it had no room or no answer.
    pub overloaded: u64,
    /// 429: the server itself limits its clients.
    pub limited: u64,
    /// Bytes of the answers' bodies.
    pub bytes: u64,
    /// Different clients (an estimate where there are many).
    pub clients: u64,
    /// The most frequent of them.
    pub top: Vec<SourceCount>,
}
