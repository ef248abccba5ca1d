//! Facts about this host for the engine's findings, at start and for `status`.

use std::path::Path;

use sekisho_datapath::{Attached, XdpMode};
use sekisho_engine::act::Step;
use sekisho_engine::judge::{Attachment, CONNTRACK_BE_LIBERAL, CONNTRACK_LOOSE, HostFacts, InterfaceFacts, SYNCOOKIES};
use sekisho_engine::observe::links::Link;
use sekisho_engine::observe::{ethtool, firewall, links, sysctl};
use sekisho_engine::policy::Policy;

/// Everything that findings are made of. `names` are the interfaces that are wanted, `attached` those that are protected.
pub fn facts(
    policy: &Policy,
    names: &[String],
    attached: &[Attached],
    mended: &[Step],
    missing: Option<String>,
) -> HostFacts {
    let links = links::links().unwrap_or_default();
    let rules = firewall::rules();
    HostFacts {
        syncookies: sysctl::number(SYNCOOKIES),
        conntrack_loose: sysctl::number(CONNTRACK_LOOSE),
        ipv6_off: !Path::new("/proc/sys/net/ipv6").exists()
            || sysctl::number("net.ipv6.conf.all.disable_ipv6") == Some(1u8),
        conntrack_be_liberal: sysctl::number(CONNTRACK_BE_LIBERAL),
        conntrack_entries: !rules.is_empty() && firewall::conntrack_entries(),
        rules,
        nat: firewall::nat(),
        completion: policy.completion,
        own_cookie_missing: missing,
        mended: mended.to_vec(),
        interfaces: interfaces(names, attached).into_iter().map(|(name, on)| interface(name, on, &links)).collect(),
    }
}

/// The protected interfaces, and those that are wanted but not there.
fn interfaces<'a>(names: &[String], attached: &'a [Attached]) -> Vec<(String, Option<&'a Attached>)> {
    let mut all: Vec<_> = attached.iter().filter(|on| on.live).map(|on| (on.name.clone(), Some(on))).collect();
    let absent = names.iter().filter(|name| !attached.iter().any(|on| on.live && on.name == **name));
    all.extend(absent.map(|name| (name.clone(), None)));
    all
}

fn interface(name: String, on: Option<&Attached>, links: &[Link]) -> InterfaceFacts {
    let link = links.iter().find(|link| link.name == name).cloned();
    let on_this =
        |other: &&Link| other.kind.as_deref() == Some("vlan") && other.below == link.as_ref().map(|l| l.index);
    let vlans = links.iter().filter(on_this).map(|vlan| vlan.name.clone()).collect();
    InterfaceFacts {
        driver: ethtool::driver(&name),
        offloads: ethtool::flags(&name).ok(),
        answers: ethtool::answers(&name).unwrap_or_default(),
        attachment: on.map_or(Attachment::None, attachment),
        vlans,
        link,
        name,
    }
}

fn attachment(on: &Attached) -> Attachment {
    match on.mode {
        XdpMode::Native => Attachment::Native,
        XdpMode::Generic => Attachment::Generic(on.native_refused.clone().unwrap_or_else(|| "no reason given".into())),
    }
}
