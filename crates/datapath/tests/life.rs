//! The life of the programs in the real kernel: loaded, attached, adopted by a later run, removed without a trace. Needs root.
//!
//! Every test has a network namespace and a folder of its own, so it meets neither another test nor a Sekisho at work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use common::{Base, SMALL, arp, count, in_namespace, ip, ip_link, load, program_id, received, send_frames, veth};
use libbpf_rs::ProgramHandle;
use sekisho_datapath::{
    AdmitHook, Datapath, Error, Frame, Interface, Method, Pins, PortPolicy, Settings, Verdict, XdpMode, XdpWish, netns,
};

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
        assert_eq!(datapath.maps().policy(25), PortPolicy::default(), "policy is each generation's own");
        assert!(datapath.maps().control() == control, "keys stay");
        drop(found);
        second.into_datapath().stop().unwrap();
    });
}

#[test]
fn no_frame_passes_unseen_while_programs_change() {
    let base = Base::new();
    in_namespace(|| {
        veth();
        let interface = Interface::by_name("v0").unwrap();
        load(&base.pins()).attach(&interface).unwrap();
        let datapath = Datapath::open(&base.pins()).unwrap().unwrap();
        let seen = || datapath.maps().verdicts().unwrap().iter().sum::<u64>();
        let before = (received("v0"), seen());
        let namespace = fs::File::open("/proc/thread-self/ns/net").unwrap();
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                // SAFETY: takes a descriptor and a flag, and concerns this new thread alone.
                assert_eq!(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
                send_frames("v1", 20_000);
            });
            let mut changes = 0;
            while !sender.is_finished() || changes < 3 {
                load(&base.pins()).attach(&interface).unwrap();
                changes += 1;
            }
            sender.join().unwrap();
        });
        // The last frames may still be on their way from the counter of the one to that of the other.
        let deadline = Instant::now() + Duration::from_secs(20);
        let difference = || (received("v0") - before.0, seen() - before.1);
        while difference().0 != difference().1 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let (received, seen) = difference();
        assert!(received >= 5_000, "{received} frames arrived");
        assert_eq!(received, seen, "frames that arrived, and that gate saw");
        datapath.stop().unwrap();
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
        fs::rename(folder.join(format!("abi-{}", sekisho_datapath::abi::ABI_VERSION)), folder.join("abi-99")).unwrap();
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
fn maps_of_another_build_are_told() {
    let base = Base::new();
    in_namespace(|| {
        let pins = base.pins();
        drop(load(&pins));
        let folder = base.0.join("bpf").join(format!("net-{}", pins.cookie()));
        fs::rename(folder.join("control"), folder.join("verdicts")).unwrap();
        let error = Datapath::load(&pins, &Settings::default(), SMALL).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("sekisho off")), "{error:?}");
        assert!(Datapath::remove(&pins).unwrap());
        assert!(!base.0.exists());
    });
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

#[test]
fn who_may_not_look_is_told_so() {
    let base = Base::new();
    in_namespace(|| {
        let loaded = load(&base.pins());
        thread::scope(|scope| {
            let nobody = scope.spawn(|| {
                // The system call itself, which concerns this thread alone; the C library would change every thread.
                // SAFETY: takes numbers only.
                assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
                let pins = base.pins();
                for error in [Datapath::open(&pins).unwrap_err(), Datapath::remove(&pins).unwrap_err()] {
                    assert!(error.hint().is_some_and(|hint| hint.contains("root")), "{error:?}");
                }
            });
            nobody.join().unwrap();
        });
        loaded.into_datapath().stop().unwrap();
    });
}
