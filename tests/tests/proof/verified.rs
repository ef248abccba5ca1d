//! Verified sources: learnt while all is calm, kept when the daemon goes, forgotten in time.

use std::thread;
use std::time::Duration;

use sekisho_lab::clients::Crowd;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::SERVER4;
use sekisho_tests::Scene;

use crate::{arm, clients, grown, introduce, server, verified4};

#[test]
fn regulars_are_known_before_the_attack_and_after_a_restart() {
    let scene = Scene::new();
    let _tiny = Tiny::banner(&scene.server, SERVER4, 25, 128).unwrap();
    let mut sekisho = scene.protect("");
    introduce(&scene, 25, clients(0..20));
    assert_eq!(verified4(&sekisho), 20, "the kernel's own handshake makes a source known");
    assert_eq!(sekisho.verdict("cookie_sent") + sekisho.verdict("challenge_sent"), 0, "all was calm");
    sekisho.kill();
    sekisho.restart();
    assert_eq!(verified4(&sekisho), 20, "and it stays known");
    let flood = arm(&scene, &sekisho, 25, 100_000);
    let crowd = Crowd::banner(&scene.client, server(25), "220 ").sources(clients(0..20)).visits(60).rate(40);
    let (known, seen) = grown(&sekisho, "syn_verified", || crowd.run().unwrap());
    println!("{known} of 60 SYNs were of a known source: {seen}");
    assert_eq!(seen.complete(), 60, "{seen}");
    assert!(known >= 60, "each went the kernel's way: {known}");
    flood.stop().unwrap();
}

#[test]
fn a_source_that_stays_away_is_forgotten() {
    let scene = Scene::new();
    let _tiny = Tiny::banner(&scene.server, SERVER4, 25, 128).unwrap();
    let sekisho = scene.protect("[verified]\nexpiry = \"6s\"\n");
    let flood = arm(&scene, &sekisho, 25, 50_000);
    let visit = |n: usize| {
        let crowd = Crowd::banner(&scene.client, server(25), "220 ").sources(clients(n..n + 1)).visits(1);
        let (known, seen) = grown(&sekisho, "syn_verified", || crowd.run().unwrap());
        assert_eq!(seen.complete(), 1, "{seen}");
        known
    };
    assert_eq!(visit(0), 0, "a stranger");
    assert_eq!(visit(0), 1, "known by now");
    // Each handshake makes it known for another six seconds.
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(2500));
        assert_eq!(visit(0), 1, "still known");
    }
    thread::sleep(Duration::from_millis(8500));
    assert_eq!(visit(0), 0, "forgotten");
    flood.stop().unwrap();
}
