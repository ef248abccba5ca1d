//! Where a flood is sent from, and the proof that nothing can leave the lab from there.
//!
//! The check walks from namespace to namespace along veth pairs. It accepts only namespaces that this process's lab made, and in them
//! only `lo` and veths whose other end is in such a namespace too. So whatever is sent, and whatever the server answers, has no way out.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use nix::sched::{CloneFlags, setns};

use crate::netns::own_prefix;
use crate::{Error, Netns, Refusal, Result, run};

/// A device in a namespace, and the hardware address of whoever is at the other end of its link.
#[derive(Debug)]
pub struct Site {
    namespace: std::io::Result<File>,
    device: String,
    next_hop: [u8; 6],
}

/// One line of `ip -o -d link`.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    name: String,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Loopback,
    /// A veth whose peer is in the same namespace.
    VethHere,
    /// A veth whose peer is in the named namespace.
    VethTo(String),
    Other,
}

impl Site {
    /// A device of a namespace of the lab.
    pub fn new(namespace: &Netns, device: &str, next_hop: [u8; 6]) -> Self {
        Self { namespace: File::open(namespace.path()), device: device.into(), next_hop }
    }

    /// A device of the namespace that the calling thread is in.
    pub fn here(device: &str, next_hop: [u8; 6]) -> Self {
        Self { namespace: File::open("/proc/thread-self/ns/net"), device: device.into(), next_hop }
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn next_hop(&self) -> [u8; 6] {
        self.next_hop
    }

    /// Moves the calling thread into the site's namespace.
    pub(crate) fn enter(&self) -> Result<()> {
        setns(self.handle()?.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(Error::os("enter the flood's network namespace"))
    }

    /// Proves that nothing sent from here can leave the lab.
    pub(crate) fn check(&self) -> Result<()> {
        let namespace = self.lab_name()?;
        if has_default_route(&namespace)? {
            return Err(Refusal::DefaultRoute { namespace }.into());
        }
        let is_veth = |device: &Device| matches!(device.kind, Kind::VethHere | Kind::VethTo(_));
        if !devices(&namespace)?.iter().any(|device| device.name == self.device && is_veth(device)) {
            return Err(Refusal::NoDevice { namespace, device: self.device.clone() }.into());
        }
        closed(namespace)
    }

    fn handle(&self) -> Result<&File> {
        self.namespace.as_ref().map_err(|error| Error::Io {
            what: "open the flood's network namespace".into(),
            source: error.kind().into(),
        })
    }

    /// The name of the site's namespace among those that this process made.
    fn lab_name(&self) -> Result<String> {
        let inode = self.handle()?.metadata().map_err(Error::io("read the flood's network namespace"))?.ino();
        let own = own_prefix();
        let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
        let found = entries.filter(|entry| inode_of(&entry.path().to_string_lossy()) == Some(inode));
        let name = found.filter_map(|entry| entry.file_name().into_string().ok()).find(|name| name.starts_with(&own));
        name.filter(|name| is_apart(name)).ok_or_else(|| Refusal::NotALabNamespace.into())
    }
}

/// Follows every veth from the namespace and refuses the first device that could lead out.
fn closed(from: String) -> Result<()> {
    let own = own_prefix();
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(namespace) = open.pop() {
        if !seen.insert(namespace.clone()) {
            continue;
        }
        for Device { name: device, kind } in devices(&namespace)? {
            match kind {
                Kind::Loopback | Kind::VethHere => {}
                Kind::VethTo(next) if next.starts_with(&own) && is_apart(&next) => open.push(next),
                Kind::VethTo(_) | Kind::Other => return Err(Refusal::WayOut { namespace, device }.into()),
            }
        }
    }
    Ok(())
}

/// Whether the name stands for another namespace than the machine's and the one that this process lives in.
fn is_apart(name: &str) -> bool {
    let inode = inode_of(&format!("/run/netns/{name}"));
    inode.is_some() && inode != inode_of("/proc/1/ns/net") && inode != inode_of("/proc/self/ns/net")
}

fn inode_of(path: &str) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

fn has_default_route(namespace: &str) -> Result<bool> {
    for family in ["-4", "-6"] {
        let shown = run::output(Command::new("ip").args(["-n", namespace, family, "route", "show", "default"]))?;
        if !shown.trim().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn devices(namespace: &str) -> Result<Vec<Device>> {
    let shown = run::output(Command::new("ip").args(["-n", namespace, "-o", "-d", "link", "show"]))?;
    shown.lines().map(|line| parse(line).ok_or_else(|| Error::parse("`ip -o -d link`", line))).collect()
}

/// Parses a line such as `3: eth0@if2: <...> mtu 1500 ... \    link/ether ... link-netns NAME ... \    veth ...`.
fn parse(line: &str) -> Option<Device> {
    let label = line.split(": ").nth(1)?;
    let name = label.split('@').next()?.to_owned();
    let is_veth = line.split('\\').any(|part| part.split_whitespace().next() == Some("veth"));
    let peer_elsewhere = label.contains("@if") || line.contains("link-netnsid");
    let kind = match word_after(line, "link-netns") {
        _ if line.contains("<LOOPBACK") && name == "lo" => Kind::Loopback,
        Some(namespace) if is_veth => Kind::VethTo(namespace.into()),
        None if is_veth && !peer_elsewhere => Kind::VethHere,
        _ => Kind::Other,
    };
    Some(Device { name, kind })
}

fn word_after<'line>(line: &'line str, word: &str) -> Option<&'line str> {
    line.split_whitespace().skip_while(|found| *found != word).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(line: &str) -> Kind {
        parse(line).unwrap().kind
    }

    #[test]
    fn tells_devices_apart() {
        let veth = "2: eth0@if3: <BROADCAST,UP> mtu 1500 \\    link/ether 02:00:00:00:00:10 brd ff:ff:ff:ff:ff:ff";
        let details = "promiscuity 0 \\    veth addrgenmode eui64 numtxqueues 1";
        assert_eq!(
            parse(&format!("{veth} link-netns sekisho-1-2-0-router {details}")),
            Some(Device { name: "eth0".into(), kind: Kind::VethTo("sekisho-1-2-0-router".into()) })
        );
        assert_eq!(kind_of(&format!("{veth} link-netnsid 0 {details}")), Kind::Other, "a namespace without a name");
        assert_eq!(kind_of(&format!("{veth} {details}")), Kind::Other, "a peer that is not told");
        assert_eq!(kind_of(&format!("2: a@b: <UP> mtu 1500 \\ link/ether x {details}")), Kind::VethHere);
        assert_eq!(kind_of("1: lo: <LOOPBACK,UP> mtu 65536 \\    link/loopback 00:00 promiscuity 0"), Kind::Loopback);
        assert_eq!(kind_of("2: eth0: <BROADCAST,UP> mtu 1500 \\    link/ether 52:54:00:00:00:01"), Kind::Other);
    }
}
