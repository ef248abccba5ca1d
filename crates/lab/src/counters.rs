//! What the kernel counted: TCP's counters, a listener's queues, a connection's options, a device's frames.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::{Error, Netns, Result, run};

/// Every counter of `/proc/net/netstat` and `/proc/net/snmp` by its name with its group, as `TcpExt.SyncookiesSent`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the files cannot be read.
    pub fn read(namespace: &Netns) -> Result<Self> {
        let mut counters = BTreeMap::new();
        for file in ["netstat", "snmp"] {
            counters.extend(pairs(&namespace.proc_net(file)?));
        }
        Ok(Self(counters))
    }

    /// One of them; 0 if this kernel has none of that name. A name without a group is one of `TcpExt`.
    pub fn get(&self, name: &str) -> u64 {
        let full = if name.contains('.') { name.to_owned() } else { format!("TcpExt.{name}") };
        self.0.get(&full).copied().unwrap_or(0)
    }

    /// What was added since an earlier reading, without the counters that stand still.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = |(name, value): (&String, &u64)| {
            let more = value.saturating_sub(earlier.0.get(name).copied().unwrap_or(0));
            (more > 0).then(|| (name.clone(), more))
        };
        Self(self.0.iter().filter_map(grown).collect())
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

/// Two lines belong together: a group with names, and the same group with values.
fn pairs(text: &str) -> Vec<(String, u64)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for two in lines.chunks_exact(2) {
        let Some((group, names)) = two[0].split_once(':') else { continue };
        let values = two[1].split_whitespace().skip(1);
        // A value that is no natural number (MaxConn is -1) is no counter.
        let counters =
            names.split_whitespace().zip(values).filter_map(|(name, value)| Some((name, value.parse().ok()?)));
        found.extend(counters.map(|(name, value)| (format!("{group}.{name}"), value)));
    }
    found
}

/// A listener's queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queues {
    /// Half-open connections: SYN-RECEIVED.
    pub syn: usize,
    /// Connections that wait for accept().
    pub accept: usize,
    /// How many may wait.
    pub backlog: usize,
}

/// The queues of all listeners on the port, added up.
///
/// # Errors
///
/// [`Error::Command`] if `ss` fails, [`Error::Parse`] if nothing listens there.
pub fn queues(namespace: &Netns, port: u16) -> Result<Queues> {
    let listeners = ss(namespace, &["-tlnH", &format!("sport = :{port}")])?;
    let mut queues = Queues::default();
    for line in listeners.lines() {
        let mut numbers = line.split_whitespace().skip(1).map(|word| word.parse::<usize>().ok());
        let (Some(Some(accept)), Some(Some(backlog))) = (numbers.next(), numbers.next()) else {
            return Err(Error::parse("`ss -tl`", line));
        };
        queues.accept += accept;
        queues.backlog += backlog;
    }
    if queues.backlog == 0 {
        return Err(Error::parse(format!("the listener on port {port} in {}", namespace.name()), listeners));
    }
    queues.syn = ss(namespace, &["-tnH", "state", "syn-recv", &format!("sport = :{port}")])?.lines().count();
    Ok(queues)
}

/// What `ss -ti` shows of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Window scale of sender and receiver, if the option is in use.
    pub window_scale: Option<(u8, u8)>,
    /// Whether SACK is in use.
    pub sack: bool,
    /// Whether timestamps are in use.
    pub timestamps: bool,
    /// Whether ECN was negotiated.
    pub ecn: bool,
    /// The largest segment it sends, in bytes, with the options taken off.
    pub mss: Option<u32>,
    /// The last line of `ss` as it is.
    pub raw: String,
}

/// The established connections whose local port it is.
///
/// # Errors
///
/// [`Error::Command`] if `ss` fails, [`Error::Parse`] if it prints something else than expected.
pub fn connections(namespace: &Netns, port: u16) -> Result<Vec<Connection>> {
    let shown = ss(namespace, &["-tinoH", "state", "established", &format!("sport = :{port}")])?;
    let lines: Vec<_> = shown.lines().collect();
    lines.chunks_exact(2).map(|two| connection(two[0], two[1])).collect()
}

fn connection(ends: &str, info: &str) -> Result<Connection> {
    let failed = || Error::parse("`ss -ti`", ends);
    let mut addresses = ends.split_whitespace().skip(2).map(address);
    let (local, peer) = (addresses.next().flatten(), addresses.next().flatten());
    let words: Vec<_> = info.split_whitespace().collect();
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let scale = value("wscale:").and_then(|scale| {
        let (send, receive) = scale.split_once(',')?;
        Some((send.parse().ok()?, receive.parse().ok()?))
    });
    Ok(Connection {
        local: local.ok_or_else(failed)?,
        peer: peer.ok_or_else(failed)?,
        window_scale: scale,
        sack: words.contains(&"sack"),
        timestamps: words.contains(&"ts"),
        ecn: words.contains(&"ecn"),
        mss: value("mss:").and_then(|mss| mss.parse().ok()),
        raw: info.trim().into(),
    })
}

/// An address as `ss` prints it; an IPv4 client of a dual-stack listener shows as `[::ffff:203.0.113.10]:5000` and is IPv4.
fn address(text: &str) -> Option<SocketAddr> {
    let parsed: SocketAddr = text.parse().ok()?;
    Some(SocketAddr::new(parsed.ip().to_canonical(), parsed.port()))
}

fn ss(namespace: &Netns, arguments: &[&str]) -> Result<String> {
    run::output(namespace.command("ss").args(arguments))
}

/// What reached a device, and what it sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frames {
    /// Frames received, whether a program took them or the kernel's stack.
    pub received: u64,
    /// Frames that arrived and found no room: a veth's full receive ring.
    pub missed: u64,
    /// Frames sent.
    pub sent: u64,
}

impl Frames {
    /// Everything that was sent to the device.
    pub fn arrived(&self) -> u64 {
        self.received + self.missed
    }
}

/// Reads a device's counters.
///
/// # Errors
///
/// [`Error::Parse`] if there is no such device.
pub fn frames(namespace: &Netns, device: &str) -> Result<Frames> {
    frames_of(&namespace.proc_net("dev")?, device)
}

/// The same in the namespace that the calling thread is in, for threads that look often.
pub(crate) fn frames_here(device: &str) -> Result<Frames> {
    let file = "/proc/thread-self/net/dev";
    frames_of(&std::fs::read_to_string(file).map_err(Error::io(format!("read {file}")))?, device)
}

fn frames_of(text: &str, device: &str) -> Result<Frames> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(device)?.strip_prefix(':'));
    let numbers: Vec<u64> = line.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // Receive: bytes packets errs drop fifo frame compressed multicast; transmit: bytes packets ...
    match numbers[..] {
        [_, received, _, missed, _, _, _, _, _, sent, ..] => Ok(Frames { received, missed, sent }),
        _ => Err(Error::parse(format!("the counters of {device}"), text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pairs_of_lines() {
        let text = "TcpExt: SyncookiesSent SyncookiesRecv\nTcpExt: 7 5\nTcp: MaxConn InSegs\nTcp: -1 9\n";
        let counters = Counters(pairs(text).into_iter().collect());
        assert_eq!(counters.get("SyncookiesSent"), 7);
        assert_eq!(counters.get("Tcp.InSegs"), 9);
        assert_eq!(counters.get("Tcp.MaxConn"), 0);
        let earlier = Counters(pairs("TcpExt: SyncookiesSent SyncookiesRecv\nTcpExt: 3 5\n").into_iter().collect());
        assert_eq!(
            counters.since(&earlier).iter().collect::<Vec<_>>(),
            [("Tcp.InSegs", 9), ("TcpExt.SyncookiesSent", 4)]
        );
    }

    #[test]
    fn reads_a_connection() {
        let ends = "0      0      [::ffff:198.51.100.10]:80   [::ffff:203.0.113.11]:40000 ";
        let info = "\t ts sack ecn cubic wscale:7,9 rto:204 rtt:0.1/0.05 mss:1448 pmtu:1500 rcvmss:536 cwnd:10";
        let connection = connection(ends, info).unwrap();
        assert_eq!(connection.peer, "203.0.113.11:40000".parse().unwrap());
        assert_eq!(connection.window_scale, Some((7, 9)));
        assert!(connection.sack && connection.timestamps && connection.ecn);
        assert_eq!(connection.mss, Some(1448));
    }
}
