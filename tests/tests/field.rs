//! What breaks others in the field, under a flood: that clients get through all the same. Whether each trap is found, told and put back
//! without a flood is tested with the program itself (crates/sekisho/tests/field.rs).

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use sekisho_lab::clients::Crowd;
use sekisho_lab::flood::{Running, Shot};
use sekisho_lab::middle::{self, Rules};
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{SERVER4, SERVER6, client_for};
use sekisho_lab::{run, wait};
use sekisho_tests::{COOKIES_FOR_ALL, PATIENCE, Scene, Sekisho};

const LIBERAL: &str = "net.netfilter.nf_conntrack_tcp_be_liberal";

fn storm(scene: &Scene, sekisho: &Sekisho, target: SocketAddr) -> Running {
    let flood = scene.start(Shot::syn(target).rate(50_000).seconds(60));
    sekisho.await_state(target.port(), "armed");
    flood
}

/// Ten visitors that nobody has seen before, all of whom complete; how many of them came in by a cookie.
fn ten_get_through(scene: &Scene, sekisho: &Sekisho, target: SocketAddr, first: usize) -> u64 {
    let sources: Vec<IpAddr> = (0..10).map(|n| client_for(target.ip(), first + n)).collect();
    let before = sekisho.verdict("cookie_valid");
    let crowd = Crowd::http(&scene.client, target, "/").visits(10).parallel(2).sources(sources);
    let seen = crowd.run().unwrap();
    let proved = sekisho.verdict("cookie_valid") - before;
    println!("{target}: {proved} by a cookie; {seen}");
    assert_eq!(seen.complete(), 10, "{target}: {seen}");
    proved
}

/// Through gate and whatever is in the way, over both families.
fn both_families_get_through(scene: &Scene, sekisho: &Sekisho, first: usize) {
    for address in [SERVER4, SERVER6] {
        let target = SocketAddr::new(address, 80);
        let flood = storm(scene, sekisho, target);
        assert!(ten_get_through(scene, sekisho, target, first) > 0, "nobody needed a cookie");
        flood.stop().unwrap();
    }
}

fn servers(scene: &Scene) -> [Tiny; 2] {
    [SERVER4, SERVER6].map(|address| Tiny::http(&scene.server, address, 80, 128).unwrap())
}

#[test]
fn kernel_cookies_that_were_switched_off() {
    let scene = Scene::new();
    scene.server.sysctl("net.ipv4.tcp_syncookies", "0").unwrap();
    let _servers = servers(&scene);
    let mut sekisho = scene.protect(COOKIES_FOR_ALL);
    both_families_get_through(&scene, &sekisho, 0);
    sekisho.off();
    assert_eq!(scene.server.sysctl_value("net.ipv4.tcp_syncookies").unwrap(), "0");
}

#[test]
fn a_strict_stateful_firewall() {
    let scene = Scene::new();
    let firewall = middle::strict_firewall(&scene.server).unwrap();
    let _servers = servers(&scene);
    let liberal = scene.server.sysctl_value(LIBERAL).unwrap();
    let mut sekisho = scene.protect(COOKIES_FOR_ALL);
    both_families_get_through(&scene, &sekisho, 0);
    println!("{}", firewall.show().unwrap());
    sekisho.off();
    assert_eq!(scene.server.sysctl_value(LIBERAL).unwrap(), liberal);
}

#[test]
fn addresses_translated_from_the_start_and_from_later_on() {
    let scene = Scene::new();
    let nat = || Rules::add(&scene.server, "inet translate", "chain out { type nat hook postrouting priority 100; }");
    let rules = nat().unwrap();
    let _servers = servers(&scene);
    let sekisho = scene.protect(COOKIES_FOR_ALL);
    assert_eq!(sekisho.status()["completion"]["method"], "kernel");
    both_families_get_through(&scene, &sekisho, 0);
    let completion = |method: &str| {
        let what = format!("cookies are completed by: {method}");
        wait::until(&what, PATIENCE, || sekisho.status()["completion"]["method"] == method).unwrap();
    };
    drop(rules);
    completion("own");
    both_families_get_through(&scene, &sekisho, 20);
    let _rules = nat().unwrap();
    completion("kernel");
    both_families_get_through(&scene, &sekisho, 40);
}

#[test]
fn an_interface_without_native_xdp() {
    let scene = Scene::new();
    // The far end sends more than fits a page, which native XDP of a veth refuses.
    scene.router.ip("link set server mtu 9000").unwrap();
    let _servers = servers(&scene);
    let sekisho = scene.protect(COOKIES_FOR_ALL);
    let interface = sekisho.status()["interfaces"][0].clone();
    println!("{interface}");
    assert_eq!(interface["attached"], "generic");
    assert!(interface["reason"].as_str().unwrap().contains("MTU"), "{interface}");
    both_families_get_through(&scene, &sekisho, 0);
}

#[test]
fn an_interface_that_went_down_and_has_another_name() {
    let scene = Scene::new();
    let _servers = servers(&scene);
    let sekisho = scene.protect(COOKIES_FOR_ALL);
    // Addresses stay; routes and neighbours go with the link, so they are made again.
    let shown = run::output(scene.server.command("ip").args(["-6", "addr", "show", "dev", "eth0"])).unwrap();
    assert!(shown.contains("2001:db8:51::10"), "{shown}");
    scene.server.sysctl("net.ipv6.conf.eth0.keep_addr_on_down", "1").unwrap();
    scene.server.ip("link set eth0 down\nlink set eth0 name wan0\nlink set wan0 up").unwrap();
    scene.server.ip(&routes("wan0")).unwrap();
    wait::until("the new name in status", PATIENCE, || sekisho.status()["interfaces"][0]["name"] == "wan0").unwrap();
    both_families_get_through(&scene, &sekisho, 0);
}

fn routes(device: &str) -> String {
    let neighbour = |address| format!("neigh replace {address} lladdr 02:00:00:00:00:01 nud permanent dev {device}\n");
    let routes4 = ["203.0.113.0/24", "198.18.0.0/15"].map(|to| format!("route replace {to} via 198.51.100.1\n"));
    let routes6 = ["2001:db8:c::/64", "2001:db8:bad::/48"].map(|to| format!("route replace {to} via 2001:db8:51::1\n"));
    neighbour("198.51.100.1") + &neighbour("2001:db8:51::1") + &routes4.concat() + &routes6.concat()
}

#[test]
fn a_host_without_ipv6() {
    let scene = Scene::new();
    scene.server.sysctl("net.ipv6.conf.all.disable_ipv6", "1").unwrap();
    let _server = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let sekisho = scene.protect(COOKIES_FOR_ALL);
    assert!(sekisho.findings().contains(&"ipv6-off".to_owned()));
    let target = SocketAddr::new(SERVER4, 80);
    let _flood = storm(&scene, &sekisho, target);
    assert!(ten_get_through(&scene, &sekisho, target, 0) > 0);
}

/// A listener that is bound to a device, which a lookup without the device would not find.
fn bound_to_device(scene: &Scene) -> TcpListener {
    let open = || {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        setsockopt(&socket, sockopt::BindToDevice, &"eth0".into())?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(SERVER4, 80)))?;
        listen(&socket, Backlog::new(128)?)?;
        Ok::<_, nix::Error>(TcpListener::from(socket))
    };
    scene.server.run(open).unwrap().unwrap()
}

#[test]
fn a_listener_bound_to_a_device() {
    let scene = Scene::new();
    let listener = bound_to_device(&scene);
    let sekisho = scene.protect(COOKIES_FOR_ALL);
    let target = SocketAddr::new(SERVER4, 80);
    let _flood = storm(&scene, &sekisho, target);
    let source = client_for(target.ip(), 0);
    let connect = || sekisho_lab::clients::connect_from(Some(source), target, PATIENCE);
    let stream = scene.client.run(connect).unwrap().unwrap();
    let (_accepted, peer) = listener.accept().unwrap();
    assert_eq!(peer, stream.local_addr().unwrap());
    assert!(sekisho.verdict("admitted") > 0, "{:?}", sekisho.verdicts());
}
