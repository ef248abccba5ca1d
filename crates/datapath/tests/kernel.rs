//! The real programs in the real kernel: loaded, attached, adopted and removed in network namespaces made for each test. Needs root.
//!
//! Every test has a folder of its own in place of /run/sekisho, so it meets neither another test nor a Sekisho at work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use libbpf_rs::ProgramHandle;
use sekisho_datapath::abi::{Speaker, Verified};
use sekisho_datapath::test_run::{XDP_DROP, XDP_PASS};
use sekisho_datapath::{
    AdmitHook, Capacity, Completion, Datapath, Error, Frame, Interface, Loaded, Method, Pins, PortPolicy, Settings,
    Unattached, Verdict, VerifiedSource, XdpMode, XdpWish, netns, time,
};

/// Small tables: what is tested does not depend on their size.
const SMALL: Capacity = Capacity { verified4: 1024, verified6: 512 };

/// A folder in place of /run/sekisho, emptied at the end, also when the test fails.
struct Base(PathBuf);

impl Base {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sekisho-datapath-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn pins(&self) -> Pins {
        Pins::at(&self.0).unwrap()
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // A test that failed may have left it mounted; that the pins go with the mount is all that is needed.
        let _ = Command::new("umount").arg("-l").arg(self.0.join("bpf")).stderr(std::process::Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` in a new network namespace, in which loopback is up, on a thread of its own.
fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: takes a flag only, and concerns this new thread alone.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "this test needs root");
            ip("link set lo up");
            test()
        });
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Runs `ip` in this thread's network namespace.
fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn ip_link(name: &str) -> String {
    let output = Command::new("ip").args(["-details", "link", "show", "dev", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A pair of interfaces, both in this namespace, both up.
fn veth() {
    ip("link add v0 type veth peer name v1");
    ip("link set v0 up");
    ip("link set v1 up");
}

fn load(pins: &Pins) -> Loaded {
    Datapath::load(pins, &Settings::default(), SMALL).unwrap()
}

fn program_id(base: &Base, pins: &Pins, name: &str) -> u32 {
    let path = base.0.join("bpf").join(format!("net-{}", pins.cookie())).join(name);
    ProgramHandle::from_pinned_path(path).unwrap().id()
}

/// An Ethernet frame that is not TCP: ARP, as far as gate reads.
fn arp() -> Vec<u8> {
    let mut frame = vec![0_u8; 60];
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    frame
}

/// IPv4 and TCP to 198.51.100.10, with these flags; without checksums, which gate does not look at on the way in.
fn tcp(flags: u8, port: u16) -> Vec<u8> {
    let mut frame = vec![0_u8; 60];
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
    frame[26..30].copy_from_slice(&[203, 0, 113, 7]);
    frame[30..34].copy_from_slice(&[198, 51, 100, 10]);
    frame[34..36].copy_from_slice(&40000_u16.to_be_bytes());
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame[46] = 0x50;
    frame[47] = flags;
    frame
}

fn count(maps: &sekisho_datapath::Maps, verdict: Verdict) -> u64 {
    maps.verdicts().unwrap()[usize::from(verdict.number())]
}

#[test]
fn a_life_from_load_to_off() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        let pins = base.pins();
        assert!(Datapath::open(&pins).unwrap().is_none());
        assert!(!Datapath::remove(&pins).unwrap(), "there is nothing to remove");

        let loaded = load(&pins);
        assert!(!loaded.is_adopted());
        let interface = Interface::by_name("v0").unwrap();
        let attached = loaded.attach(&interface).unwrap();
        assert_eq!((attached.name.as_str(), attached.live), ("v0", true));
        assert_eq!((attached.mode, &attached.native_refused), (XdpMode::Native, &None));
        loaded.watch().unwrap();
        assert!(ip_link("v0").contains("xdp"), "{}", ip_link("v0"));

        let programs: Vec<u32> =
            [format!("program_gate_{}", interface.index), "program_admit".into(), "program_watch".into()]
                .iter()
                .map(|name| program_id(&base, &pins, name))
                .collect();
        let datapath = loaded.into_datapath();
        assert!(datapath.is_watching());
        assert_eq!(datapath.interfaces(), [attached]);
        datapath.stop().unwrap();

        assert!(!ip_link("v0").contains("xdp"), "{}", ip_link("v0"));
        assert!(
            programs.iter().all(|id| ProgramHandle::from_prog_id(*id).is_err()),
            "a program is still in the kernel"
        );
        assert!(!base.0.exists(), "the folder is gone");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(base.0.to_str().unwrap()), "the mount is gone");
    });
}

#[test]
fn a_later_run_adopts_everything_in_place() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        let pins = base.pins();
        let interface = Interface::by_name("v0").unwrap();
        let first = load(&pins);
        first.attach(&interface).unwrap();
        first.watch().unwrap();
        let datapath = first.into_datapath();
        datapath.run_gate(interface.index, &Frame::new(&arp()).times(7)).unwrap();
        let counted = count(datapath.maps(), Verdict::NotTcp);
        assert!(counted >= 7);
        let policy = PortPolicy { method: Method::Challenge, protect: false, calm_mark: 1, reserve_mark: 2 };
        datapath.maps().set_port(25, policy);
        let control = datapath.maps().control();
        let gate = program_id(&base, &pins, &format!("program_gate_{}", interface.index));
        drop(datapath);

        let found = Datapath::open(&pins).unwrap().expect("it is still there");
        assert_eq!(found.interfaces().len(), 1);
        let second = load(&pins);
        assert!(second.is_adopted());
        let attached = second.attach(&interface).unwrap();
        second.watch().unwrap();
        assert!(attached.live && attached.mode == XdpMode::Native);
        assert_ne!(
            program_id(&base, &pins, &format!("program_gate_{}", interface.index)),
            gate,
            "the program is the new one"
        );
        let datapath = second.datapath();
        assert!(count(datapath.maps(), Verdict::NotTcp) >= counted, "counters go on");
        assert_eq!(datapath.maps().port(25).policy(), policy, "policy stays until it is set anew");
        assert!(datapath.maps().control() == control, "keys stay");
        drop(found);
        second.into_datapath().stop().unwrap();
    });
}

#[test]
fn generic_comes_with_the_reason() {
    let base = Base::new();
    in_namespace(|| {
        let pins = base.pins();
        let loaded = load(&pins);
        let mut interface = Interface::by_name("lo").unwrap();
        interface.wish = XdpWish::Native;
        let refused = loaded.attach(&interface).unwrap_err();
        assert!(matches!(&refused, Error::Attach { program: "gate", log, .. } if !log.is_empty()), "{refused:?}");
        interface.wish = XdpWish::Best;
        let attached = loaded.attach(&interface).unwrap();
        assert_eq!(attached.mode, XdpMode::Generic);
        let reason = attached.native_refused.expect("a reason");
        assert!(reason.contains("native"), "{reason}");
        // The reason is still known to whoever only looks.
        let found = Datapath::open(&pins).unwrap().unwrap();
        assert_eq!(found.interfaces()[0].native_refused.as_ref(), Some(&reason));
        drop(found);
        loaded.into_datapath().stop().unwrap();
    });
}

#[test]
fn a_frame_too_large_for_the_driver_is_named() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        ip("link set v0 mtu 9000");
        ip("link set v1 mtu 9000");
        let loaded = load(&base.pins());
        let attached = loaded.attach(&Interface::by_name("v0").unwrap()).unwrap();
        assert_eq!(attached.mode, XdpMode::Generic);
        let reason = attached.native_refused.unwrap();
        assert!(reason.contains("MTU"), "{reason}");
        loaded.into_datapath().stop().unwrap();
    });
}

#[test]
fn another_wish_for_the_kind_of_xdp_is_followed() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        let loaded = load(&base.pins());
        let with = |wish| Interface { wish, ..Interface::by_name("v0").unwrap() };
        assert_eq!(loaded.attach(&with(XdpWish::Best)).unwrap().mode, XdpMode::Native);
        assert_eq!(loaded.attach(&with(XdpWish::Generic)).unwrap().mode, XdpMode::Generic);
        assert_eq!(loaded.attach(&with(XdpWish::Best)).unwrap().mode, XdpMode::Generic, "a link keeps its kind");
        assert_eq!(loaded.attach(&with(XdpWish::Native)).unwrap().mode, XdpMode::Native);
        loaded.into_datapath().stop().unwrap();
    });
}

#[test]
fn another_xdp_program_is_left_alone() {
    let (theirs, ours) = (Base::new(), Base::new());
    in_namespace(|| {
        veth();
        let interface = Interface::by_name("v0").unwrap();
        let other = load(&theirs.pins());
        other.attach(&interface).unwrap();
        let loaded = load(&ours.pins());
        let refused = loaded.attach(&interface).unwrap_err();
        assert!(refused.hint().is_some_and(|hint| hint.contains("another XDP program")), "{refused:?}");
        loaded.into_datapath().stop().unwrap();
        assert!(other.datapath().interfaces()[0].live);
        other.into_datapath().stop().unwrap();
    });
}

#[test]
fn an_interface_that_goes_is_told_and_its_successor_attached() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        let pins = base.pins();
        let loaded = load(&pins);
        let old = Interface::by_name("v0").unwrap();
        loaded.attach(&old).unwrap();
        ip("link set v0 down");
        ip("link set v0 name renamed0");
        assert_eq!(loaded.datapath().interfaces()[0].name, "renamed0");
        ip("link del renamed0");
        let interfaces = loaded.datapath().interfaces();
        assert!(!interfaces[0].live, "{interfaces:?}");
        veth();
        let new = Interface::by_name("v0").unwrap();
        assert!(loaded.attach(&new).unwrap().live);
        loaded.keep_only(&[new.index]).unwrap();
        assert_eq!(loaded.datapath().interfaces().len(), 1);
        loaded.into_datapath().stop().unwrap();
        assert!(!base.0.exists());
    });
}

#[test]
fn what_is_pinned_in_a_private_mount_namespace_is_found_outside() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        let cookie = netns::cookie().unwrap();
        thread::scope(|scope| {
            // As `ip netns exec` does it: a mount namespace of its own, from which no mount gets out.
            let inside = scope.spawn(|| {
                // SAFETY: takes a flag only, and concerns this new thread alone.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
                let (none, root) = (c"none".as_ptr(), c"/".as_ptr());
                // SAFETY: every pointer is a C string or null, as mount(2) takes them for a change of propagation.
                let code = unsafe { libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()) };
                assert_eq!(code, 0);
                let loaded = load(&base.pins());
                loaded.attach(&Interface::by_name("v0").unwrap()).unwrap();
                assert_eq!(loaded.datapath().pins().cookie(), cookie);
            });
            inside.join().unwrap();
        });
        assert!(ip_link("v0").contains("xdp"), "protection goes on without the process and its mounts");
        let found = Datapath::open(&base.pins()).unwrap().expect("found from outside");
        assert!(found.interfaces()[0].live);
        found.stop().unwrap();
        assert!(!ip_link("v0").contains("xdp"));
        assert!(!base.0.exists());
    });
}

#[test]
fn another_version_is_refused_or_replaced() {
    let base = Base::new();
    in_namespace(|| {
        let pins = base.pins();
        drop(load(&pins));
        let folder = base.0.join("bpf").join(format!("net-{}", pins.cookie()));
        fs::rename(folder.join("abi-1"), folder.join("abi-99")).unwrap();
        for error in
            [Datapath::open(&pins).unwrap_err(), Datapath::load(&pins, &Settings::default(), SMALL).unwrap_err()]
        {
            assert!(matches!(error, Error::Abi { found: 99 }), "{error:?}");
            assert!(error.hint().unwrap().contains("newer"));
        }
        fs::rename(folder.join("abi-99"), folder.join("abi-0")).unwrap();
        assert!(matches!(Datapath::open(&pins), Err(Error::Abi { found: 0 })));
        let loaded = load(&pins);
        assert!(!loaded.is_adopted(), "an older version's maps are not ours");
        loaded.into_datapath().stop().unwrap();
    });
}

#[test]
fn verified_sources_outlive_another_capacity() {
    let base = Base::new();
    in_namespace(|| {
        let pins = base.pins();
        let loaded = load(&pins);
        let entry = Verified { seen: 7, filled: 8, tokens: 9, handshakes: 10 };
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
        let entry = Verified { seen: 1, filled: 0, tokens: 0, handshakes: 1 };
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
fn what_ended_namespaces_left_is_swept() {
    let base = Base::new();
    let dead = in_namespace(|| {
        veth();
        let loaded = load(&base.pins());
        loaded.attach(&Interface::by_name("v0").unwrap()).unwrap();
        loaded.datapath().pins().cookie()
    });
    let left = base.0.join("bpf").join(format!("net-{dead}"));
    assert!(left.exists());
    // The kernel takes a namespace's interfaces down some time after its last user has gone.
    let deadline = Instant::now() + Duration::from_secs(30);
    while left.exists() && Instant::now() < deadline {
        in_namespace(|| load(&base.pins()).into_datapath().stop().unwrap());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!left.exists());
}

#[test]
fn a_locked_or_living_namespace_is_not_swept() {
    let base = Base::new();
    in_namespace(|| {
        let pins = base.pins();
        let waiting = load(&pins);
        let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(pins.lock_file()).unwrap();
        // SAFETY: takes a descriptor and a number.
        assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) }, 0);
        in_namespace(|| load(&base.pins()).into_datapath().stop().unwrap());
        assert!(pins.exist(), "its daemon waits for an interface and holds the lock");
        veth();
        waiting.attach(&Interface::by_name("v0").unwrap()).unwrap();
        drop(lock);
        in_namespace(|| load(&base.pins()).into_datapath().stop().unwrap());
        assert!(pins.exist(), "its gate is attached");
        waiting.into_datapath().stop().unwrap();
    });
}

#[test]
fn the_tables_take_the_memory_that_is_told() {
    in_namespace(|| {
        // A number of our own, to find our maps among those of others.
        let own = 50_000 + std::process::id() % 10_000;
        let capacity = Capacity { verified4: own, verified6: own };
        let unattached = Unattached::load(&Settings::default(), capacity).unwrap();
        assert_eq!(unattached.maps().capacity(), capacity);
        let taken: u64 = map_memory("verified4", own) + map_memory("verified6", own);
        let told = capacity.memory_bytes();
        // Since Linux 6.4 the kernel counts exactly; before, by pages and without what it keeps for itself.
        let off = taken.abs_diff(told);
        assert!(off < told / 20, "the kernel says {taken}, we say {told}");
    });
}

/// `memlock` of one of this process' maps with this name and number of entries.
fn map_memory(name: &str, entries: u32) -> u64 {
    let id = libbpf_rs::query::MapInfoIter::default()
        .find(|map| map.name.to_str() == Some(name) && map.max_entries == entries)
        .expect("the map is loaded")
        .id;
    let handle = libbpf_rs::MapHandle::from_map_id(id).unwrap();
    let fd = std::os::fd::AsFd::as_fd(&handle).as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    info.lines().find_map(|line| line.strip_prefix("memlock:")).unwrap().trim().parse().unwrap()
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
        assert_eq!(maps.port(65535).policy(), PortPolicy::default());
        let now = time::tick(time::coarse_ns());
        maps.set_armed_until(443, now + 60);
        let policy = PortPolicy { method: Method::Challenge, protect: true, calm_mark: 10, reserve_mark: 20 };
        maps.set_port(443, policy);
        assert_eq!(maps.port(443).armed_until, now + 60);
        assert_eq!(maps.port(443).policy(), policy);
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
fn admit_is_attached_by_what_the_kernel_has() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        let loaded = load(&base.pins());
        let attached = loaded.attach(&Interface::by_name("v0").unwrap()).unwrap();
        let expected = if loaded.support().version >= (6, 6) { AdmitHook::Tcx } else { AdmitHook::ClsactOurs };
        assert_eq!(attached.admit, expected);
        loaded.into_datapath().stop().unwrap();
        let qdiscs = Command::new("tc").args(["qdisc", "show", "dev", "v0"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&qdiscs.stdout).contains("clsact"));
    });
}

#[test]
fn a_parent_that_is_not_there_is_told() {
    let error = Pins::at(Path::new("/no/such/folder/sekisho"));
    let error = error.and_then(|pins| pins.make_folder()).unwrap_err();
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}
