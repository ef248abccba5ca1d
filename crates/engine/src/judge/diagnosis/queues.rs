//! What each listener's queue takes: which of the application's backlog, `somaxconn`, `tcp_max_syn_backlog` and SYN cookies binds.
//!
//! With cookies on the SYN queue holds min(backlog, somaxconn) + 1 and a burst beyond it is answered with cookies; with cookies off it
//! also stops at three quarters of `tcp_max_syn_backlog`, and a burst beyond it is lost. A queue takes as many new connections a second as
//! it has places, divided by the round-trip time. The arithmetic is [`settings`]'.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::settings::{self, Binds};
use crate::observe::record::{Listener, Record};

/// The round-trip times for which a burst is reckoned, in milliseconds: a near client, a far one, one far away on a bad line.
pub const ROUND_TRIPS_MS: [u64; 3] = [10, 100, 300];

/// One listener's queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueRow {
    /// Where it listens.
    pub local: SocketAddr,
    /// Who listens, where that may be seen.
    pub process: Option<String>,
    /// How many sockets share the port, each with a queue of its own.
    pub sockets: u32,
    /// The backlog that its settings ask for.
    pub configured: Option<u64>,
    /// The file that says so; `None`: the application's default.
    pub configured_in: Option<PathBuf>,
    /// The backlog in force, of one socket.
    pub backlog: u64,
    /// `net.core.somaxconn`, where it is known.
    pub somaxconn: Option<u64>,
    /// `net.ipv4.tcp_max_syn_backlog`, where it is known.
    pub max_syn_backlog: Option<u64>,
    /// `net.ipv4.tcp_syncookies`, where it is known.
    pub syncookies: Option<u64>,
    /// Half-open connections that fit, of one socket.
    pub fits: u64,
    /// What limits that.
    pub binds: Binds,
    /// Whether more than fits is answered with cookies; `None`: not known.
    pub cookies_beyond: Option<bool>,
    /// New connections a second that all its sockets take without a cookie, at each of [`ROUND_TRIPS_MS`].
    pub takes: [u64; 3],
    /// Half-open connections now; `None`: the record is of another time.
    pub half_open: Option<u64>,
    /// Connections waiting to be accepted now; `None`: the record is of another time.
    pub waiting: Option<u64>,
    /// What the backlog should at least be; `None`: it may stay.
    pub wanted: Option<u64>,
    /// Memory that both queues of all its sockets take when full, in bytes.
    pub memory_bytes: u64,
    /// The same with the backlog wanted, in bytes.
    pub memory_wanted_bytes: Option<u64>,
}

/// The table, in the order of ports.
pub fn table(record: &Record) -> Vec<QueueRow> {
    let mut rows: Vec<QueueRow> = record.listeners.iter().map(|listener| row(listener, record)).collect();
    rows.sort_by_key(|row| (row.local.port(), row.local.ip()));
    rows
}

/// One listener's row.
pub fn row(listener: &Listener, record: &Record) -> QueueRow {
    let sockets = u64::from(listener.sockets.max(1));
    let backlog = u64::from(listener.backlog) / sockets;
    let configured = listener.configured_backlog.map(u64::from);
    let syncookies = record.sysctl("net.ipv4.tcp_syncookies");
    let max_syn_backlog = record.sysctl("net.ipv4.tcp_max_syn_backlog");
    let (fits, binds) = settings::syn_queue(backlog, configured, syncookies, max_syn_backlog);
    let wanted = settings::backlog_wanted(backlog, listener.local.ip(), settings::BACKLOG_MIN);
    let now = |value: u32| record.taken.map(|_| u64::from(value));
    QueueRow {
        local: listener.local,
        process: listener.process.as_ref().map(|process| process.name.clone()),
        sockets: listener.sockets,
        configured,
        configured_in: listener.configured_in.clone(),
        backlog,
        somaxconn: record.sysctl("net.core.somaxconn"),
        max_syn_backlog,
        syncookies,
        fits,
        binds,
        cookies_beyond: syncookies.map(|value| value > 0),
        takes: ROUND_TRIPS_MS.map(|round_trip| takes(fits * sockets, round_trip)),
        half_open: now(listener.syn_queue),
        waiting: now(listener.accept_queue),
        wanted,
        memory_bytes: settings::queue_bytes(sockets, backlog),
        memory_wanted_bytes: wanted.map(|wanted| settings::queue_bytes(sockets, wanted)),
    }
}

/// New connections a second that so many places take at this round-trip time.
pub const fn takes(fits: u64, round_trip_ms: u64) -> u64 {
    let round_trip_ms = if round_trip_ms == 0 { 1 } else { round_trip_ms };
    fits.saturating_mul(1000) / round_trip_ms
}
