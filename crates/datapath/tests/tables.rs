//! The maps and single runs of the real programs: counters, policy, keys, verified sources, what `watch` learns. Needs root.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{Base, SMALL, arp, count, in_namespace, ip, load, tcp, veth};
use sekisho_datapath::abi::{Speaker, Verified};
use sekisho_datapath::test_run::{XDP_DROP, XDP_PASS};
use sekisho_datapath::{
    Capacity, Completion, Datapath, Frame, Method, PortPolicy, Settings, Unattached, Verdict, VerifiedSource, netns,
    time,
};

#[test]
fn verified_sources_outlive_another_capacity() {
    let base = Base::new();
    in_namespace(|| {
        let pins = base.pins();
        let loaded = load(&pins);
        let entry = Verified { seen: 7, filled: 8, tokens: 9, handshakes: 10, ..Verified::default() };
        let sources: Vec<_> = ["203.0.113.9", "2001:db8:c:1::"]
            .map(|address| VerifiedSource { address: address.parse().unwrap(), entry })
            .into();
        loaded.datapath().maps().add_verified(&sources).unwrap();
        assert_eq!(loaded.datapath().maps().verified_count().unwrap(), (1, 1));
        drop(loaded);
        let other = Capacity { verified4: 4096, verified6: 512 };
        let loaded = Datapath::load(&pins, &Settings::default(), other).unwrap();
        assert!(loaded.is_adopted());
        assert_eq!(loaded.datapath().maps().capacity(), other);
        assert_eq!(loaded.datapath().maps().verified_sources(10).unwrap(), sources);
        assert_eq!(loaded.datapath().maps().verified_sources(1).unwrap().len(), 1);
        loaded.into_datapath().stop().unwrap();
    });
}

#[test]
fn a_full_table_is_counted_and_stays_within_its_bound() {
    in_namespace(|| {
        let capacity = Capacity { verified4: 100_000, verified6: 16 };
        let unattached = Unattached::load(&Settings::default(), capacity).unwrap();
        let entry = Verified { seen: 1, handshakes: 1, ..Verified::default() };
        let source = |n: u32| VerifiedSource { address: Ipv4Addr::from(0xc612_0000 + n).into(), entry };
        let half: Vec<_> = (0..50_000).map(source).collect();
        unattached.maps().add_verified(&half).unwrap();
        // An LRU table shares its entries out to the CPUs, and may forget a few of them a little early.
        let (v4, v6) = unattached.maps().verified_count().unwrap();
        assert!((49_000..=50_000).contains(&v4) && v6 == 0, "{v4}");
        let all: Vec<_> = (50_000..130_000).map(source).collect();
        unattached.maps().add_verified(&all).unwrap();
        let (v4, _) = unattached.maps().verified_count().unwrap();
        assert!((80_000..=100_000).contains(&v4), "{v4}");
    });
}

#[test]
fn the_tables_take_the_memory_that_is_told() {
    in_namespace(|| {
        let capacity = Capacity { verified4: 50_000, verified6: 50_000 };
        let unattached = Unattached::load(&Settings::default(), capacity).unwrap();
        assert_eq!(unattached.maps().capacity(), capacity);
        let memory = unattached.maps().memory().unwrap();
        let of = |name: &str| memory.iter().find(|map| map.name == name).unwrap();
        assert_eq!(of("verified6").entries, 50_000);
        let taken = of("verified4").bytes + of("verified6").bytes;
        let told = capacity.memory_bytes();
        // Since Linux 6.4 the kernel counts exactly; before, by pages and without what it keeps for itself.
        let off = taken.abs_diff(told);
        assert!(off < told / 20, "the kernel says {taken}, we say {told}");
    });
}

#[test]
fn gate_runs_on_single_frames() {
    in_namespace(|| {
        let unattached = Unattached::load(&Settings::default(), SMALL).unwrap();
        let lo = netns::interface_index("lo").unwrap();
        let passed = unattached.run_gate(&Frame::new(&arp()).on(lo)).unwrap();
        assert_eq!((passed.action, passed.bytes), (XDP_PASS, arp()));
        assert_eq!(count(unattached.maps(), Verdict::NotTcp), 1);
        let syn_fin = unattached.run_gate(&Frame::new(&tcp(0x03, 80))).unwrap();
        assert_eq!(syn_fin.action, XDP_DROP);
        assert_eq!(count(unattached.maps(), Verdict::Malformed), 1);
        let ack = unattached.run_gate(&Frame::new(&tcp(0x10, 80)).times(100)).unwrap();
        assert_eq!(ack.action, XDP_PASS);
        assert_eq!(count(unattached.maps(), Verdict::SegmentCalm), 100);
        unattached.run_admit(&Frame::new(&tcp(0x10, 80))).unwrap();
    });
}

#[test]
fn observe_touches_nothing() {
    in_namespace(|| {
        let settings = Settings { observe: true, ..Settings::default() };
        let unattached = Unattached::load(&settings, SMALL).unwrap();
        let ran = unattached.run_gate(&Frame::new(&tcp(0x03, 80))).unwrap();
        assert_eq!(ran.action, XDP_PASS);
        assert_eq!(count(unattached.maps(), Verdict::Malformed), 1, "it is counted all the same");
    });
}

#[test]
fn policy_is_written_beside_what_gate_writes() {
    in_namespace(|| {
        let unattached = Unattached::load(&Settings::default(), SMALL).unwrap();
        let maps = unattached.maps();
        assert_eq!(maps.policy(65535), PortPolicy::default());
        let now = time::tick(time::coarse_ns());
        maps.set_armed_until(443, now + 60);
        let policy = PortPolicy { method: Method::Challenge, protect: true, calm_mark: 10, reserve_mark: 20 };
        maps.set_port(443, policy);
        assert_eq!(maps.port(443).armed_until, now + 60);
        assert_eq!(maps.policy(443), policy);
        assert_eq!(maps.armed_ports(now), [443]);
        assert_eq!(maps.armed_ports(now + 60), [0_u16; 0]);
        maps.set_speaker(25, Speaker { server: 3, client: 1 });
        assert_eq!(maps.speakers(), [(25, Speaker { server: 3, client: 1 })]);
        maps.set_completion(Completion::Kernel);
        assert_eq!(maps.completion(), Completion::Kernel);
        assert!(!maps.conntrack());
        maps.set_conntrack(true);
        assert!(maps.conntrack() && maps.completion() == Completion::Kernel);
    });
}

#[test]
fn keys_rotate_slot_by_slot() {
    in_namespace(|| {
        let unattached = Unattached::load(&Settings::default(), SMALL).unwrap();
        let (keys, maps) = (unattached.keys(), unattached.maps());
        let first = maps.control();
        assert!(first.cookie_key[0] != first.cookie_key[1] && first.flow_key != first.cookie_key[0]);
        assert!(!keys.install().unwrap(), "installed once");
        assert_eq!((first.key_word, keys.since()), (1, 0));

        let time = |cookie_times: u64| cookie_times << 35;
        assert!(!keys.rotate(time(3)).unwrap(), "too early");
        assert!(maps.control() == first);
        assert!(keys.is_due(time(8)) && !keys.is_due(time(7)));
        assert!(keys.rotate(time(8)).unwrap());
        let second = maps.control();
        assert_eq!(second.key_word, 9 << 1, "slot 0 from the next cookie time on");
        assert!(second.cookie_key[1] == first.cookie_key[1], "the old key stays for the cookies under way");
        assert!(second.cookie_key[0] != first.cookie_key[0]);
        assert!(second.flow_key == first.flow_key);
        assert!(!keys.rotate(time(12)).unwrap());
        assert!(keys.rotate(time(13)).unwrap());
        assert_eq!(maps.control().key_word, 14 << 1 | 1);
    });
}

/// Connections over a veth pair between two namespaces: `watch` verifies their source and learns who spoke first.
#[test]
fn watch_learns_from_accepted_connections() {
    let base = Base::new();
    let server = Ipv4Addr::new(198, 51, 100, 10);
    let client = Ipv4Addr::new(198, 51, 100, 20);
    in_namespace(|| {
        veth();
        ip("addr add 198.51.100.10/24 dev v0");
        let loaded = load(&base.pins());
        loaded.watch().unwrap();
        let listeners = [2525, 8080].map(|port| TcpListener::bind((server, port)).unwrap());
        let (tell_thread, peer) = mpsc::channel();
        let (tell_ready, ready) = mpsc::channel();
        thread::scope(|scope| {
            let talk = move || {
                // SAFETY: the call takes nothing.
                tell_thread.send(unsafe { libc::gettid() }).unwrap();
                ready.recv().unwrap();
                ip("addr add 198.51.100.20/24 dev v1");
                ip("link set v1 up");
                let mut smtp = connect(server, 2525);
                assert_eq!(&read_five(&mut smtp), b"220 \n");
                smtp.write_all(b"QUIT\n").unwrap();
                drop(smtp);
                let mut http = connect(server, 8080);
                http.write_all(b"GET /\n").unwrap();
                assert_eq!(&read_five(&mut http), b"200 \n");
            };
            let talking = scope.spawn(move || in_namespace(talk));
            ip(&format!("link set v1 netns {}", peer.recv().unwrap()));
            tell_ready.send(()).unwrap();
            let (mut smtp, from) = listeners[0].accept().unwrap();
            assert_eq!(from.ip(), IpAddr::V4(client));
            smtp.write_all(b"220 \n").unwrap();
            smtp.read_to_end(&mut Vec::new()).unwrap();
            let (mut http, _) = listeners[1].accept().unwrap();
            read_five(&mut http);
            http.write_all(b"200 \n").unwrap();
            http.read_to_end(&mut Vec::new()).unwrap();
            talking.join().unwrap();
        });
        let maps = loaded.datapath().maps();
        let sources = maps.verified_sources(10).unwrap();
        assert_eq!(sources.len(), 1, "{sources:?}");
        assert_eq!(sources[0].address, IpAddr::V4(client));
        assert_eq!(sources[0].entry.handshakes, 2);
        assert_eq!(maps.speaker(2525), Speaker { server: 1, client: 0 });
        assert_eq!(maps.speaker(8080), Speaker { server: 0, client: 1 });
        loaded.into_datapath().stop().unwrap();
    });
}

fn connect(server: Ipv4Addr, port: u16) -> TcpStream {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((server, port)), Duration::from_secs(20)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn read_five(stream: &mut TcpStream) -> [u8; 5] {
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn keys_are_printed_by_nothing() {
    in_namespace(|| {
        let unattached = Unattached::load(&Settings::default(), SMALL).unwrap();
        let printed = format!("{unattached:?} {:?} {:?}", unattached.keys(), unattached.maps());
        let control = unattached.maps().control();
        for key in [control.cookie_key[0], control.cookie_key[1], control.flow_key] {
            for half in [key.k0, key.k1] {
                assert!(!printed.contains(&half.to_string()) && !printed.contains(&format!("{half:x}")), "{printed}");
            }
        }
    });
}
