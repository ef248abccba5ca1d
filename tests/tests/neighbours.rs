//! What else lives on a host keeps working while its service is armed: containers behind a translated port, hosts that are routed to, an
//! address on loopback (direct server return), a tunnel, and a host whose own uplink is a port of a bridge.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sekisho_lab::clients::{Crowd, Seen};
use sekisho_lab::middle::Rules;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{self, SERVER4, client4};
use sekisho_lab::{Netns, wait};
use sekisho_tests::frames::{self, Segment, flag};
use sekisho_tests::{PATIENCE, Scene, Sekisho};

const OPEN: u16 = 80;
/// Whose port is translated to the container's.
const PUBLISHED: [&str; 2] = ["198.51.100.11", "2001:db8:51::11"];
const CONTAINER: [&str; 2] = ["198.18.200.2", "2001:db8:c8::2"];
const ON_LOOPBACK: [&str; 2] = ["198.51.100.20", "2001:db8:51::20"];
const IN_TUNNEL: &str = "198.51.100.193";

fn address(text: &str) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), OPEN)
}

/// SYNs at the service from scattered sources for as long as `meanwhile` takes. By single frames, since the generator refuses to work
/// where there is any device but veths.
fn under_flood<T: Send>(scene: &Scene, sekisho: &Sekisho, meanwhile: impl FnOnce() -> T + Send) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !over.load(Ordering::Relaxed) {
                frames::send(scene, 2000, 4000, |n| syn(round * 2000 + n));
                round += 1;
            }
        });
        // Ends the flood also where `meanwhile` fails.
        let _end = End(&over);
        sekisho.await_state(OPEN, "armed");
        meanwhile()
    })
}

struct End<'o>(&'o AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn syn(n: usize) -> Vec<u8> {
    let mixed = (n as u32).wrapping_mul(0x9e37_79b1);
    let [_, b, c, d] = mixed.to_be_bytes();
    let mut segment = Segment::new(IpAddr::from([198, 19, b & 0x7f | c & 0x80, d]), SERVER4, OPEN, flag::SYN);
    segment.sequence = mixed;
    segment.source_port = 1024 + (n % 50_000) as u16;
    segment.bytes()
}

fn visit(from: &Netns, target: SocketAddr) -> Seen {
    Crowd::http(from, target, "/").visits(100).rate(60).run().unwrap()
}

/// A container behind a bridge of the server.
fn container(scene: &Scene) -> Netns {
    let container = Netns::new("container").unwrap();
    topology::join(&scene.server, "c0", [2, 0, 0, 0, 1, 1], &container, [2, 0, 0, 0, 1, 2]).unwrap();
    scene
        .server
        .ip("link add br0 type bridge\nlink set br0 up\nlink set c0 master br0\naddr add 198.18.200.1/24 dev br0\n\
             addr add 2001:db8:c8::1/64 dev br0 nodad")
        .unwrap();
    container
        .ip("addr add 198.18.200.2/24 dev eth0\nroute add default via 198.18.200.1\n\
             addr add 2001:db8:c8::2/64 dev eth0 nodad\nroute add default via 2001:db8:c8::1")
        .unwrap();
    scene.server.sysctl("net.ipv4.ip_forward", "1").unwrap();
    scene.server.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    container
}

/// Gives the client a way to the container, and the server its other addresses.
fn routes(scene: &Scene) {
    scene
        .server
        .ip("addr add 198.51.100.11/32 dev eth0\naddr add 198.51.100.20/32 dev lo\n\
             addr add 2001:db8:51::11/128 dev eth0 nodad\naddr add 2001:db8:51::20/128 dev lo nodad")
        .unwrap();
    scene
        .router
        .ip("route add 198.18.200.0/24 via 198.51.100.10\nroute add 198.51.100.20/32 via 198.51.100.10\n\
             route add 2001:db8:c8::/64 via 2001:db8:51::10\nroute add 2001:db8:51::11/128 via 2001:db8:51::10\n\
             route add 2001:db8:51::20/128 via 2001:db8:51::10")
        .unwrap();
    scene.client.ip("route add 198.18.200.0/24 via 203.0.113.1\nroute add 2001:db8:c8::/64 via 2001:db8:c::1").unwrap();
}

fn tunnel(scene: &Scene) {
    let end = |namespace: &Netns, local: IpAddr, remote: IpAddr, address: &str| {
        let lines = format!(
            "link add vx0 type vxlan id 5 local {local} remote {remote} dstport 4789\nlink set vx0 mtu 1400 up\naddr add {address}/30 dev vx0"
        );
        namespace.ip(&lines).unwrap();
    };
    end(&scene.server, SERVER4, client4(0), "198.51.100.193");
    end(&scene.client, client4(0), SERVER4, "198.51.100.194");
}

fn reaches(scene: &Scene, target: SocketAddr) {
    let what = format!("a way to {target}");
    wait::until(&what, PATIENCE, || Crowd::http(&scene.client, target, "/").visits(1).run().unwrap().complete() == 1)
        .unwrap();
}

#[test]
fn containers_routed_hosts_loopback_addresses_and_tunnels_keep_working_while_armed() {
    let scene = Scene::new();
    let container = container(&scene);
    routes(&scene);
    tunnel(&scene);
    let publish = "chain pre { type nat hook prerouting priority dstnat; ip daddr 198.51.100.11 tcp dport 80 dnat to 198.18.200.2; }";
    let _nat = Rules::add(&scene.server, "ip docker", publish).unwrap();
    let publish6 = "chain pre { type nat hook prerouting priority dstnat; ip6 daddr 2001:db8:51::11 tcp dport 80 dnat to 2001:db8:c8::2; }";
    let _nat6 = Rules::add(&scene.server, "ip6 docker", publish6).unwrap();
    let any = |namespace, text: &str| Tiny::http(namespace, text.parse().unwrap(), OPEN, 512).unwrap();
    let mut servers = vec![Tiny::http(&scene.server, SERVER4, OPEN, 512).unwrap(), any(&scene.server, IN_TUNNEL)];
    servers.extend(CONTAINER.map(|address| any(&container, address)));
    servers.extend(ON_LOOPBACK.map(|address| any(&scene.server, address)));
    let targets: Vec<SocketAddr> =
        [PUBLISHED, CONTAINER, ON_LOOPBACK].iter().flatten().chain([&IN_TUNNEL]).map(|text| address(text)).collect();
    targets.iter().for_each(|target| reaches(&scene, *target));
    // The bound on resets is a small one, and must not touch what is forwarded.
    let sekisho = scene.protect("linger = \"5s\"\n[limits]\nclosed_ports = 5\n");
    under_flood(&scene, &sekisho, || {
        for target in &targets {
            let seen = visit(&scene.client, *target);
            assert!(seen.complete() >= 99, "{target}: {seen}");
        }
        let seen = visit(&scene.client, SocketAddr::new(SERVER4, OPEN));
        assert!(seen.complete() >= 99, "the service itself: {seen}");
        // And the container's own connections go out.
        let back = Tiny::http(&scene.client, client4(0), 8080, 128).unwrap();
        let out = Crowd::http(&container, back.address(), "/").sources(vec![address(CONTAINER[0]).ip()]);
        let seen = out.visits(100).rate(60).run().unwrap();
        assert!(seen.complete() >= 99, "from the container: {seen}");
    });
    assert_eq!(sekisho.verdict("closed_port"), 0, "translated ports are nobody's business here");
}

#[test]
fn an_uplink_in_a_bridge_is_protected() {
    let scene = Scene::new();
    // As virtual machines' hosts have it: the address is the bridge's, eth0 one of its ports.
    scene
        .server
        .ip("link add br1 address 02:00:00:00:00:10 type bridge\nlink set br1 up\naddr flush dev eth0\nlink set eth0 master br1\n\
             addr add 198.51.100.10/24 dev br1\nneigh replace 198.51.100.1 lladdr 02:00:00:00:00:01 nud permanent dev br1\n\
             route add 203.0.113.0/24 via 198.51.100.1\nroute add 198.18.0.0/15 via 198.51.100.1")
        .unwrap();
    let server = Tiny::http(&scene.server, SERVER4, OPEN, 128).unwrap();
    reaches(&scene, server.address());
    let sekisho = scene.protect("linger = \"5s\"\n");
    under_flood(&scene, &sekisho, || {
        let seen = visit(&scene.client, server.address());
        assert!(seen.complete() >= 99, "{seen}");
    });
    assert!(sekisho.verdict("cookie_sent") > 0 && sekisho.verdict("cookie_valid") > 0, "{:?}", sekisho.verdicts());
    assert_eq!(sekisho.status()["completion"]["method"], "kernel", "a bridge lets go of the socket");
}
