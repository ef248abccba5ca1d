//! Who speaks first: known for well-known ports, learnt for others, and remembered.

use sekisho_lab::clients::Crowd;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::SERVER4;
use sekisho_lab::wait;
use sekisho_tests::{PATIENCE, Scene};

use crate::server;

#[test]
fn well_known_ports_are_known() {
    let scene = Scene::new();
    let greeting = [21, 22, 25, 110, 143, 587, 3306];
    let asking = [80, 443, 465, 993, 995, 5222];
    let all = greeting.iter().chain(&asking);
    let _listeners: Vec<_> = all.map(|port| Tiny::banner(&scene.server, SERVER4, *port, 128).unwrap()).collect();
    let sekisho = scene.protect("[[service]]\nports = [3306]\nspeaks_first = \"client\"\n");
    for (ports, speaker, method) in [(&greeting[..6], "server", "challenge"), (&asking[..], "client", "cookie")] {
        for port in ports {
            let service = sekisho.service(*port);
            assert_eq!(service["speaks_first"], speaker, "{service}");
            assert_eq!(service["speaks_first_source"], "table", "{service}");
            assert_eq!(service["method"], method, "{service}");
        }
    }
    let service = sekisho.service(3306);
    assert_eq!((&service["speaks_first"], &service["speaks_first_source"]), (&"client".into(), &"configured".into()));
    assert_eq!(service["method"], "cookie");
}

#[test]
fn an_unknown_port_is_learnt_and_remembered() {
    let scene = Scene::new();
    let _greets = Tiny::banner(&scene.server, SERVER4, 4321, 128).unwrap();
    let asks = Tiny::http(&scene.server, SERVER4, 4322, 128).unwrap();
    let mut sekisho = scene.protect("");
    assert_eq!(sekisho.service(4321)["speaks_first_source"], "default");
    let seen = Crowd::banner(&scene.client, server(4321), "220 ").visits(20).parallel(4).run().unwrap();
    assert_eq!(seen.complete(), 20, "{seen}");
    let seen = Crowd::http(&scene.client, asks.address(), "/").visits(20).parallel(4).run().unwrap();
    assert_eq!(seen.complete(), 20, "{seen}");
    for restarted in [false, true] {
        if restarted {
            sekisho.stop();
            sekisho.restart();
        }
        for (port, speaker, method) in [(4321, "server", "challenge"), (4322, "client", "cookie")] {
            let learnt = || sekisho.service(port)["speaks_first_source"] == "learnt";
            let waited = wait::until("it is learnt", PATIENCE, learnt);
            let service = sekisho.service(port);
            println!("{service}");
            waited.unwrap();
            assert_eq!(service["speaks_first"], speaker, "{service}");
            assert_eq!(service["method"], method, "{service}");
        }
    }
}
