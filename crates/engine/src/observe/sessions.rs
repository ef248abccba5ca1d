//! Who is logged in over SSH: the peers of sessions, not of everybody who is connected to port 22.
//!
//! sshd names the process of a session by its user (`sshd: root@pts/0`), and only once he has logged in: before, it is
//! `sshd: root [net]`, `sshd: [accepted]`. That process, or its parent, holds the connection's socket.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Somebody who is logged in over SSH in this network namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// Where from.
    pub peer: IpAddr,
    /// As whom.
    pub user: String,
}

/// The open sessions, each peer and user once.
#[must_use]
pub fn sessions() -> Vec<Session> {
    let peers = established();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_process = |entry: fs::DirEntry| session_of(&entry.path(), &peers);
    let mut found: Vec<Session> = processes.filter_map(of_process).collect();
    found.sort();
    found.dedup();
    found
}

/// The peers of this network namespace's connections, by their sockets' inodes.
fn established() -> BTreeMap<u64, IpAddr> {
    let table = |name| fs::read_to_string(Path::new("/proc/thread-self/net").join(name)).unwrap_or_default();
    let tables = [table("tcp"), table("tcp6")];
    tables.iter().flat_map(|text| text.lines()).filter_map(peer_of_line).collect()
}

fn session_of(process: &Path, peers: &BTreeMap<u64, IpAddr>) -> Option<Session> {
    process.file_name()?.to_str()?.parse::<u32>().ok()?;
    // By its program, since any process may call itself what it likes.
    let program = fs::read_link(process.join("exe")).ok()?;
    program.file_name()?.to_str().filter(|name| name.starts_with("sshd"))?;
    let user = user_of_title(&fs::read(process.join("cmdline")).ok()?)?;
    let sockets = fs::read_dir(process.join("fd")).ok()?.flatten();
    let inodes = sockets.filter_map(|socket| inode_of_link(fs::read_link(socket.path()).ok()?.to_str()?));
    let peer = inodes.filter_map(|inode| peers.get(&inode)).find(|peer| !peer.is_loopback())?;
    Some(Session { peer: *peer, user })
}

/// Who is logged in, by the title of an sshd's process: `sshd: USER@TERMINAL`, since OpenSSH 9.8 `sshd-session: USER@TERMINAL`.
fn user_of_title(title: &[u8]) -> Option<String> {
    let title = String::from_utf8_lossy(title);
    let (program, rest) = title.trim_end_matches(['\0', ' ']).split_once(": ")?;
    let (user, terminal) = rest.rsplit_once('@')?;
    let is_session = program.starts_with("sshd") && !user.is_empty() && !terminal.is_empty() && !rest.contains('[');
    is_session.then(|| user.to_owned())
}

fn inode_of_link(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The inode and the peer of an established connection's line in /proc/net/tcp or tcp6; see proc_pid_net(5).
fn peer_of_line(line: &str) -> Option<(u64, IpAddr)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (peer, state, inode) = (words.get(2)?, words.get(3)?, words.get(9)?);
    if *state != "01" {
        return None;
    }
    Some((inode.parse().ok()?, address_of_hex(peer.split(':').next()?)?))
}

/// Words of 32 bits, each in the machine's order.
fn address_of_hex(hex: &str) -> Option<IpAddr> {
    let word = |n: usize| Some(u32::from_str_radix(hex.get(n * 8..n * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_logged_in_has_a_session() {
        let user = |title: &str| user_of_title(title.as_bytes());
        assert_eq!(user("sshd: root@pts/0\0\0").as_deref(), Some("root"));
        assert_eq!(user("sshd: ann@notty").as_deref(), Some("ann"));
        assert_eq!(user("sshd-session: ann@pts/3").as_deref(), Some("ann"));
        assert_eq!(user("sshd: ann@example.org@pts/3").as_deref(), Some("ann@example.org"));
        let others =
            ["sshd: root [net]", "sshd: ann [priv]", "sshd: unknown [net]", "sshd: [accepted]", "sshd: a@b [net]"];
        for title in others {
            assert_eq!(user(title), None, "{title}");
        }
        assert_eq!(user("/usr/sbin/sshd\0-D\0"), None);
        assert_eq!(user("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"), None);
    }

    #[test]
    fn the_kernels_table_is_read() {
        let line = "   1: 0A6433C6:0016 077100CB:C350 01 00000000:00000000 02:000A 00000000     0        0 4711 4 0 20";
        assert_eq!(peer_of_line(line), Some((4711, "203.0.113.7".parse().unwrap())));
        assert_eq!(peer_of_line(&line.replace(" 01 ", " 0A ")), None, "a listener");
        let mapped = address_of_hex("0000000000000000FFFF0000077100CB");
        assert_eq!(mapped, Some("203.0.113.7".parse().unwrap()));
        assert_eq!(address_of_hex("B80D0120000000000000000001000000"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(peer_of_line("  sl  local_address rem_address"), None);
    }
}
