//! An application that stops accepting: nothing is promised in its name, `status` says so, and when it resumes so does service.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::SocketAddr;
use std::time::Duration;

use sekisho_lab::clients::Crowd;
use sekisho_lab::counters::Counters;
use sekisho_lab::flood::Shot;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::SERVER4;
use sekisho_lab::wait;
use sekisho_tests::{PATIENCE, Scene};

#[test]
fn a_full_accept_queue_promises_nothing() {
    let scene = Scene::new();
    let server = Tiny::http(&scene.server, SERVER4, 80, 8).unwrap();
    let target = SocketAddr::new(SERVER4, 80);
    let sekisho = scene.protect("linger = \"3s\"");
    server.pause();
    // More than the queue holds, so the last of them are refused room.
    let crowd = Crowd::http(&scene.client, target, "/").deadline(Duration::from_secs(2));
    let seen = crowd.clone().visits(20).parallel(20).run().unwrap();
    println!("paused: {seen}");
    assert_eq!(seen.complete(), 0, "nobody accepts");
    let queue = sekisho.service(80);
    assert_eq!((&queue["accept_full"], &queue["accept_queue"]), (&true.into(), &9.into()), "{queue}");
    let said = sekisho.command(&["status"]).stdout;
    assert!(said.contains("9 full") && said.contains("the application is slow"), "{said}");

    let answers = |name| (sekisho.verdict(name), name);
    let before = ["cookie_sent", "challenge_sent"].map(answers);
    let kernel = Counters::read(&scene.server).unwrap();
    let dropped = sekisho.verdict("accept_full");
    let sent = scene.flood(Shot::syn(target).rate(50_000).seconds(1)).unwrap().run().unwrap();
    println!("a flood of {} SYNs: {:?}", sent.sent, sekisho.verdicts());
    assert_eq!(["cookie_sent", "challenge_sent"].map(answers), before, "nothing was promised");
    assert!(sekisho.verdict("accept_full") - dropped > sent.sent / 2, "each was counted as what it was");
    let grown = Counters::read(&scene.server).unwrap().since(&kernel);
    assert_eq!(grown.get("SyncookiesSent"), 0, "nor by the kernel");

    server.resume();
    wait::until("room in the accept queue", PATIENCE, || sekisho.service(80)["accept_full"] == false).unwrap();
    let seen = crowd.deadline(Duration::from_secs(10)).visits(20).parallel(2).run().unwrap();
    println!("resumed: {seen}");
    assert_eq!(seen.complete(), 20, "{seen}");
}
