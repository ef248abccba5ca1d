//! A client's final ACK and its request arrive in one batch: the kernel's TCP sees the first of them only after `admit` has seen both.
//! Both must reach the connection, and none be thrown away as a second handshake, which would cost the client its timeout of 200 ms.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use sekisho_lab::clients::Crowd;
use sekisho_lab::counters::Counters;
use sekisho_lab::flood::Shot;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{SERVER4, SERVER6};
use sekisho_tests::{COOKIES_FOR_ALL, Scene};

const VISITS: usize = 200;

#[test]
fn a_request_behind_its_ack_is_not_lost() {
    let scene = Scene::new();
    let servers = [SERVER4, SERVER6].map(|address| Tiny::http(&scene.server, address, 80, 128).unwrap());
    let sekisho = scene.protect(COOKIES_FOR_ALL);
    // Enough to keep the queue full, and little enough to leave the receive ring free for clients.
    let flood = scene.start(Shot::syn(servers[0].address()).rate(20_000).seconds(60));
    let flood6 = scene.start(Shot::syn(servers[1].address()).rate(20_000).seconds(60));
    sekisho.await_state(80, "armed");
    for server in &servers {
        let (client, admitted) = (Counters::read(&scene.client).unwrap(), sekisho.verdict("admitted"));
        let seen = Crowd::http(&scene.client, server.address(), "/").visits(VISITS).parallel(4).run().unwrap();
        let again = Counters::read(&scene.client).unwrap().since(&client).get("TcpExt.TCPTimeouts");
        let admitted = sekisho.verdict("admitted") - admitted;
        println!("{}: {seen}; admitted {admitted}, timeouts {again}", server.address());
        assert_eq!(seen.complete(), VISITS, "{seen}");
        // Every cookie is admitted once; a few segments may be lost in a full ring and come again.
        assert!(admitted as usize <= VISITS + VISITS / 100, "{admitted} admissions");
        assert!(again as usize <= VISITS / 10, "{again} timeouts");
    }
    flood.stop().unwrap();
    flood6.stop().unwrap();
}
