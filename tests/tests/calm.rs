//! Before and after a flood nothing differs from a host without Sekisho: the kernel's own handshake, with everything that TCP can do.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::SocketAddr;

use sekisho_lab::clients::{Crowd, connect_from};
use sekisho_lab::counters::{self, Counters};
use sekisho_lab::flood::Shot;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{SERVER4, client4};
use sekisho_lab::wait;
use sekisho_tests::{PATIENCE, Scene, Sekisho};

/// A short stay armed. Half-open connections live 3 s with one retransmission of the SYN-ACK.
const CONFIG: &str = "linger = \"3s\"";

/// Visits go the kernel's normal way: it counts every handshake as its own, and no cookie is made or seen.
fn visits_are_the_kernels(scene: &Scene, sekisho: &Sekisho, target: SocketAddr) {
    let (kernel, calm) = (Counters::read(&scene.server).unwrap(), sekisho.verdict("syn_calm"));
    let ours = |sekisho: &Sekisho| ["cookie_sent", "challenge_sent", "admitted"].map(|name| sekisho.verdict(name));
    let before = ours(sekisho);
    let seen = Crowd::http(&scene.client, target, "/").visits(50).parallel(2).run().unwrap();
    assert_eq!(seen.complete(), 50, "{seen}");
    let grown = Counters::read(&scene.server).unwrap().since(&kernel);
    println!("50 visits while calm: PassiveOpens +{}; {seen}", grown.get("Tcp.PassiveOpens"));
    assert_eq!(grown.get("Tcp.PassiveOpens"), 50);
    for counter in ["SyncookiesSent", "SyncookiesRecv", "SyncookiesFailed", "TCPReqQFullDoCookies", "ListenDrops"] {
        assert_eq!(grown.get(counter), 0, "{counter}");
    }
    assert_eq!(ours(sekisho), before, "cookies, challenges, admissions");
    assert_eq!(sekisho.verdict("syn_calm") - calm, 50);
}

#[test]
fn a_flood_that_is_over_leaves_a_calm_service() {
    let scene = Scene::new();
    scene.server.sysctl("net.ipv4.tcp_synack_retries", "1").unwrap();
    let server = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let sekisho = scene.protect(CONFIG);
    assert_eq!(sekisho.service(80)["state"], "calm");
    visits_are_the_kernels(&scene, &sekisho, server.address());

    let flood = scene.start(Shot::syn(server.address()).rate(100_000).seconds(60));
    sekisho.await_state(80, "armed");
    flood.stop().unwrap();
    let over = std::time::Instant::now();
    sekisho.await_state(80, "calm");
    println!("calm again {:.1} s after the flood", over.elapsed().as_secs_f64());
    wait::until("an empty SYN queue", PATIENCE, || sekisho.service(80)["syn_queue"] == 0).unwrap();
    visits_are_the_kernels(&scene, &sekisho, server.address());
    sekisho.await_log("port 80 is calm again");
}

#[test]
fn while_calm_every_option_is_in_use() {
    let scene = Scene::new();
    let server = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
    let sekisho = scene.protect("");
    let stream = scene.client.run(|| connect_from(Some(client4(0)), server.address(), PATIENCE)).unwrap().unwrap();
    let mut seen = None;
    wait::until("the connection", PATIENCE, || {
        seen = counters::connections(&scene.server, 80).unwrap().pop();
        seen.is_some()
    })
    .unwrap();
    let seen = seen.unwrap();
    assert_eq!(seen.peer, stream.local_addr().unwrap());
    assert!(seen.window_scale.is_some() && seen.sack && seen.timestamps, "{}", seen.raw);
    assert_eq!(sekisho.verdict("syn_calm"), 1);
}
