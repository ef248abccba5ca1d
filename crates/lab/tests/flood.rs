//! The flood: that it is fast, that its frames are sound, and that it refuses every place and shot that is not allowed.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use sekisho_lab::flood::{ALLOWED, Flood, Kind, Prefix, Shot, Site};
use sekisho_lab::topology::{self, Host, SERVER4, SERVER6};
use sekisho_lab::{Error, Netns, Refusal, counters, wait};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn port80(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 80)
}

fn refusal(made: sekisho_lab::Result<Flood>) -> Refusal {
    match made {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn refuses_the_machine_itself() {
    let device = fs::read_dir("/sys/class/net").unwrap().flatten().map(|entry| entry.file_name()).next().unwrap();
    for name in [device.to_str().unwrap(), "lo", "eth0"] {
        let made = Flood::new(Site::here(name, MAC), Shot::syn(port80(SERVER4)));
        assert_eq!(refusal(made), Refusal::NotALabNamespace, "{name}");
    }
}

#[test]
fn refuses_a_namespace_of_somebody_else() {
    // A namespace without a name: a thread's own.
    let made = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        Flood::new(Site::here("lo", MAC), Shot::syn(port80(SERVER4)))
    });
    assert_eq!(refusal(made.join().unwrap()), Refusal::NotALabNamespace);
}

#[test]
fn refuses_a_default_route() {
    let host = Host::new().unwrap();
    host.default_route().unwrap();
    assert!(host.flood(Shot::syn(port80(SERVER4))).is_ok(), "the server's own ends in the router");
    host.router.ip("route add default via 203.0.113.10").unwrap();
    let refused = refusal(host.flood(Shot::syn(port80(SERVER4))));
    assert!(matches!(refused, Refusal::DefaultRoute { .. }), "{refused}");
    host.router.ip("route del default\nroute add default via 2001:db8:c::a").unwrap();
    let refused = refusal(host.flood(Shot::syn(port80(SERVER4))));
    assert!(matches!(refused, Refusal::DefaultRoute { .. }), "{refused}");
}

#[test]
fn refuses_a_way_out_however_far_away() {
    let host = Host::new().unwrap();
    // Two links away from where the flood is sent: a bridge, which could have any port.
    host.client.ip("link add br0 type bridge").unwrap();
    let refused = refusal(host.flood(Shot::syn(port80(SERVER4))));
    assert!(matches!(&refused, Refusal::WayOut { device, .. } if device == "br0"), "{refused}");
}

#[test]
fn refuses_a_veth_that_leads_out_of_the_lab() {
    let host = Host::new().unwrap();
    let foreign = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        fs::File::open("/proc/thread-self/ns/net").unwrap()
    });
    let foreign = foreign.join().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), foreign.as_raw_fd());
    host.client.ip(&format!("link add out type veth peer name in netns {path}")).unwrap();
    let refused = refusal(host.flood(Shot::syn(port80(SERVER4))));
    assert!(matches!(&refused, Refusal::WayOut { device, .. } if device == "out"), "{refused}");
}

#[test]
fn a_site_that_changes_after_the_check_is_refused_at_the_start() {
    let host = Host::new().unwrap();
    let flood = host.flood(Shot::syn(port80(SERVER4))).unwrap();
    host.router.ip("route add default via 203.0.113.10").unwrap();
    assert!(matches!(flood.start(), Err(Error::Refused(Refusal::DefaultRoute { .. }))));
}

#[test]
fn refuses_shots_out_of_bounds() {
    let host = Host::new().unwrap();
    let shot = || Shot::syn(port80(SERVER4));
    let refused = |shot| refusal(host.flood(shot));
    let outside: IpAddr = "192.0.2.1".parse().unwrap();
    assert_eq!(refused(Shot::syn(port80(outside))), Refusal::Address(outside));
    assert_eq!(refused(shot().from_list(vec![SERVER4, outside])), Refusal::Address(outside));
    assert_eq!(refused(shot().from_list(vec![])), Refusal::Sources(0));
    assert_eq!(refused(shot().from_list(vec![SERVER4; 65537])), Refusal::Sources(65537));
    assert_eq!(refused(shot().from_list(vec![SERVER6])), Refusal::Family);
    assert_eq!(refused(Shot::syn(port80(SERVER6)).from_prefix(topology::spoofed4())), Refusal::Family);
    assert_eq!(refused(shot().rate(6_000_001)), Refusal::Rate(6_000_001));
    assert_eq!(refused(shot().rate(0)), Refusal::Rate(0));
    assert_eq!(refused(shot().seconds(61)), Refusal::Duration(61_000));
    assert_eq!(refused(shot().duration(Duration::ZERO)), Refusal::Duration(0));
    let site = Site::new(&host.router, "nowhere", MAC);
    assert!(matches!(refusal(Flood::new(site, shot())), Refusal::NoDevice { .. }));
    let loopback = Site::new(&host.router, "lo", MAC);
    assert!(matches!(refusal(Flood::new(loopback, shot())), Refusal::NoDevice { .. }));
}

/// The frames of a slow flood as the server's device sees them.
fn captured(host: &Host, shot: Shot) -> Vec<Vec<u8>> {
    let flood = host.flood(shot.rate(2000).at_most(200).seconds(20)).unwrap();
    host.server
        .run(|| {
            let flags = SockFlag::SOCK_CLOEXEC;
            let tap = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
            setsockopt(&tap, sockopt::RcvBuf, &(8 << 20)).unwrap();
            setsockopt(&tap, sockopt::ReceiveTimeout, &TimeVal::seconds(10)).unwrap();
            flood.run().unwrap();
            let mut frames = Vec::new();
            while frames.len() < 200 {
                let mut buffer = [0; 2048];
                let size = recv(tap.as_raw_fd(), &mut buffer, nix::sys::socket::MsgFlags::empty()).unwrap();
                // From the router to the server: neither what the server answers, nor what the router's kernel tells all neighbours.
                if buffer[..12] == [2, 0, 0, 0, 0, 0x10, 2, 0, 0, 0, 0, 1] {
                    frames.push(buffer[..size].to_vec());
                }
            }
            frames
        })
        .unwrap()
}

/// RFC 1071 over big-endian words: 0 for a sound checksum.
fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What the IP header of a frame says, and what is behind it.
struct Packet<'frame> {
    source: IpAddr,
    target: IpAddr,
    /// Both, as they stand there.
    addresses: &'frame [u8],
    hops: u8,
    /// First and last fragments; IPv6's have their header before the payload.
    fragment: Option<&'static str>,
    payload: &'frame [u8],
}

/// Checks length and checksum of a frame's IP header.
fn packet(frame: &[u8]) -> Packet<'_> {
    assert_eq!(frame[..6], [2, 0, 0, 0, 0, 0x10], "to the server");
    let ip = &frame[14..];
    if frame[12..14] == [8, 0] {
        assert_eq!(checksum(&[&ip[..20]]), 0, "IPv4 header: {ip:?}");
        assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), ip.len());
        assert_eq!(ip[9], 6, "TCP");
        let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).unwrap());
        let fragment = match u16::from_be_bytes([ip[6], ip[7]]) {
            0 | 0x4000 => None,
            0x2000 => Some("first fragment"),
            1 => Some("last fragment"),
            other => panic!("flags and offset {other:#x}"),
        };
        let (source, target) = (address(12), address(16));
        return Packet { source, target, addresses: &ip[12..20], hops: ip[8], fragment, payload: &ip[20..] };
    }
    assert_eq!(frame[12..14], [0x86, 0xdd]);
    assert_eq!(usize::from(u16::from_be_bytes([ip[4], ip[5]])), ip.len() - 40);
    let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).unwrap());
    let fragment = match (ip[6], &ip[40..44]) {
        (6, _) => None,
        (44, [6, 0, 0, 1]) => Some("first fragment"),
        (44, [6, 0, 0, 24]) => Some("last fragment"),
        (next, header) => panic!("{next} {header:?}"),
    };
    let (source, target) = (address(8), address(24));
    Packet { source, target, addresses: &ip[8..40], hops: ip[7], fragment, payload: &ip[40..] }
}

/// Checks lengths and checksums of a frame and returns its source and its TCP segment.
fn verified(frame: &[u8]) -> (IpAddr, Vec<u8>) {
    let Packet { source, addresses, payload: segment, .. } = packet(frame);
    assert_eq!(checksum(&[addresses, &(segment.len() as u32).to_be_bytes(), &[0, 0, 0, 6], segment]), 0, "{segment:?}");
    assert_eq!(usize::from(segment[12] >> 4) * 4, segment.len(), "nothing but the header");
    (source, segment.to_vec())
}

/// What a frame is; one that is whole and says that it is sound is checked.
fn name(frame: &[u8]) -> &'static str {
    let packet = packet(frame);
    if let Some(fragment) = packet.fragment {
        let whole_header = packet.target.is_ipv6() && fragment == "first fragment";
        let size = if whole_header { 24 } else { 8 };
        assert_eq!(packet.payload.len() - if packet.target.is_ipv6() { 8 } else { 0 }, size, "{fragment}");
        return fragment;
    }
    if packet.payload.len() < 20 {
        return "cut short";
    }
    let named = match (packet.payload[13], packet.payload[12] >> 4) {
        (_, 0..5) => "header too short",
        (_, words) if usize::from(words) * 4 > packet.payload.len() => "header too long",
        (0, _) => "no flags",
        (0x03, _) => "SYN and FIN",
        (0x06, _) => "SYN and RST",
        (0x3f, _) => "all flags",
        (0x02, _) if packet.target == SERVER4 || packet.target == SERVER6 => "SYN",
        (0x02, _) => "carpet",
        (0x10, _) => "ACK",
        (0x04, _) => "RST",
        (0x12, _) => "SYN-ACK",
        (0x11, _) => "FIN",
        (flags, _) => panic!("flags {flags:#x}"),
    };
    if !named.starts_with("header") {
        verified(frame);
    }
    named
}

/// What the frames of a slow flood are.
fn names(host: &Host, kind: Kind, target: IpAddr) -> Vec<&'static str> {
    // The same at each run, so that nothing is missing by chance.
    let frames = captured(host, Shot::new(kind, port80(target)).seed(1));
    frames.iter().map(|frame| name(frame)).collect()
}

fn set<T: Ord>(of: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    of.into_iter().collect()
}

#[test]
fn every_kind_is_sound_on_the_wire() {
    let host = Host::new().unwrap();
    let kinds = [
        (Kind::Syn, 0x02, 20),
        (Kind::WindowsSyn, 0x02, 12),
        (Kind::AppleSyn, 0x02, 24),
        (Kind::BareSyn, 0x02, 0),
        (Kind::Ack, 0x10, 0),
        (Kind::AckTimestamps, 0x10, 12),
        (Kind::Rst, 0x04, 0),
        (Kind::SynAck, 0x12, 0),
        (Kind::Fin, 0x11, 0),
    ];
    for (kind, flags, options) in kinds {
        for (target, spoofed) in [(SERVER4, topology::spoofed4()), (SERVER6, topology::spoofed6())] {
            let frames = captured(&host, Shot::new(kind, port80(target)));
            let seen: Vec<_> = frames.iter().map(|frame| verified(frame)).collect();
            for (source, segment) in &seen {
                assert!(spoofed.contains(*source), "{source} is not in {spoofed}");
                assert_eq!((segment[13], segment.len()), (flags, 20 + options), "{kind:?}");
                assert_eq!(segment[2..4], [0, 80]);
                assert!(segment[0] >= 0x80, "an ephemeral port");
            }
            let differ = |what: fn(&(IpAddr, Vec<u8>)) -> Vec<u8>| {
                seen.iter().map(what).collect::<std::collections::HashSet<_>>().len() > 150
            };
            assert!(differ(|(source, _)| source.to_string().into()), "sources vary");
            assert!(differ(|(_, segment)| segment[..2].into()), "ports vary");
            assert!(differ(|(_, segment)| segment[4..8].into()), "sequence numbers vary");
        }
    }
}

/// Of 200 frames, one of four stacks is left out by chance less than once in 10^24.
#[test]
fn four_stacks_are_mixed() {
    let host = Host::new().unwrap();
    for (target, mss) in [(SERVER4, [5, 180]), (SERVER6, [5, 160])] {
        let seen = captured(&host, Shot::new(Kind::AnySyn, port80(target))).into_iter().map(|frame| {
            let segment = verified(&frame).1;
            if segment.len() > 20 {
                assert_eq!(segment[20..24], [&[2, 4], &mss[..]].concat(), "the MSS comes first");
            }
            (segment.len() - 20, packet(&frame).hops, u16::from_be_bytes([segment[14], segment[15]]))
        });
        let four = [(20, 64, 64240), (12, 128, 64240), (24, 64, 65535), (0, 64, 512)];
        assert_eq!(set(seen), set(four), "options, hops, window");
    }
}

#[test]
fn fragments_and_malformed_ones_are_what_they_pretend_to_be() {
    let host = Host::new().unwrap();
    for target in [SERVER4, SERVER6] {
        let fragments = captured(&host, Shot::new(Kind::Fragments, port80(target)));
        assert_eq!(set(fragments.iter().map(|frame| name(frame))), set(["first fragment", "last fragment"]));
        // IPv4's identification, or IPv6's.
        let identification = if target.is_ipv4() { 18..20 } else { 58..62 };
        assert!(set(fragments.iter().map(|frame| frame[identification.clone()].to_vec())).len() > 150, "they vary");
        let malformed = names(&host, Kind::Malformed, target);
        let all =
            ["cut short", "header too short", "header too long", "no flags", "SYN and FIN", "SYN and RST", "all flags"];
        assert_eq!(set(malformed), set(all));
    }
}

#[test]
fn a_carpet_covers_many_addresses_of_the_server_and_none_of_others() {
    let host = Host::new().unwrap();
    let resets = || counters::Counters::read(&host.server).unwrap().get("Tcp.OutRsts");
    for target in [SERVER4, SERVER6] {
        let before = resets();
        let frames = captured(&host, Shot::new(Kind::Carpet, port80(target)));
        let ports = frames.iter().map(|frame| verified(frame).1[2..4].to_vec());
        // Of 32, 200 draws leave out so many less than once in 10^12.
        assert!((20..=32).contains(&set(ports).len()));
        let addresses = set(frames.iter().map(|frame| packet(frame).target));
        assert!((20..=32).contains(&addresses.len()), "{addresses:?}");
        assert!(addresses.iter().all(|address| ALLOWED.iter().any(|prefix| prefix.contains(*address))));
        // All ports are closed, so the server answers for every address that is its own.
        wait::until("a reset for each", wait::PATIENCE, || resets() - before >= 190).unwrap();
    }
}

#[test]
fn the_mixed_flood_is_everything_at_once() {
    let host = Host::new().unwrap();
    for target in [SERVER4, SERVER6] {
        let seen = names(&host, Kind::Mixed, target);
        for wanted in ["SYN", "ACK", "SYN-ACK", "RST", "FIN", "first fragment", "last fragment", "no flags", "carpet"] {
            assert!(seen.contains(&wanted), "{wanted} is not in {seen:?}");
        }
        let changes = seen.windows(2).filter(|two| two[0] != two[1]).count();
        assert!(changes > 120, "they come one after the other: {seen:?}");
    }
}

#[test]
fn two_ports_share_a_steady_flood() {
    let host = Host::new().unwrap();
    for target in [SERVER4, SERVER6] {
        let frames = captured(&host, Shot::syn(port80(target)).also_to(25).steady());
        let ports: Vec<u16> = frames
            .iter()
            .map(|frame| {
                let segment = verified(frame).1;
                u16::from_be_bytes([segment[2], segment[3]])
            })
            .collect();
        let of = |port| ports.iter().filter(|found| **found == port).count();
        // Of 200, chance alone leaves this range less than once in 10^12.
        assert!((50..=150).contains(&of(25)), "{ports:?}");
        assert_eq!(of(25) + of(80), ports.len(), "no third port");
    }
}

#[test]
fn each_twice_and_a_list_of_sources() {
    let host = Host::new().unwrap();
    let list: Vec<IpAddr> = (1..=5).map(|n| IpAddr::from([198, 18, 7, n])).collect();
    let frames = captured(&host, Shot::syn(port80(SERVER4)).from_list(list.clone()).each_twice());
    for pair in frames.chunks(2) {
        assert_eq!(pair[0], pair[1]);
        assert!(list.contains(&verified(&pair[0]).0));
    }
    assert!(frames.windows(3).all(|three| three[0] != three[2]), "no frame three times");
}

#[test]
fn it_reaches_the_server_at_the_rate_asked_for() {
    let host = Host::new().unwrap();
    let before = counters::frames(&host.server, "eth0").unwrap();
    let sent = host.flood(Shot::syn(port80(SERVER4)).rate(100_000).seconds(2)).unwrap().run().unwrap();
    assert!((150_000..=200_000).contains(&sent.sent), "{sent:?}");
    let arrived = || counters::frames(&host.server, "eth0").unwrap().arrived() - before.arrived();
    wait::until("every frame at the server", wait::PATIENCE, || arrived() >= sent.sent).unwrap();
    // Port 80 is closed, so every SYN that found room was answered with RST, and the sink took the answers.
    wait::until("answers in the sink", wait::PATIENCE, || host.swallowed().unwrap() > 0).unwrap();
}

#[test]
fn at_full_rate_a_core_gives_more_than_a_million() {
    let host = Host::new().unwrap();
    let mut best = 0.0f64;
    // The machine may be busy for a moment: the best of a few counts.
    for _ in 0..5 {
        let sent = host.flood(Shot::syn(port80(SERVER4)).rate(6_000_000).seconds(1)).unwrap().run().unwrap();
        best = best.max(sent.rate());
    }
    println!("the generator's best: {best:.0} SYN/s");
    assert!(best > 1_000_000.0, "{best:.0} SYN/s");
}

#[test]
fn it_stops_when_told_and_when_dropped() {
    let host = Host::new().unwrap();
    let shot = || Shot::syn(port80(SERVER4)).rate(10_000).seconds(60);
    let begin = Instant::now();
    let running = host.flood(shot()).unwrap().start().unwrap();
    wait::until("the first frames", wait::PATIENCE, || running.sent() > 0).unwrap();
    assert!(running.stop().unwrap().sent > 0);
    drop(host.flood(shot()).unwrap().start().unwrap());
    assert!(begin.elapsed() < Duration::from_secs(40), "two floods of 60 s were cut short");
}

#[test]
fn live_hosts_answer_an_unexpected_syn_ack_with_rst() {
    let host = Host::new().unwrap();
    let _server = sekisho_lab::servers::Tiny::http(&host.server, SERVER4, 80, 128).unwrap();
    host.make_live(Prefix::new("198.18.0.0".parse().unwrap(), 16).unwrap()).unwrap();
    let live = Prefix::new("198.18.64.0".parse().unwrap(), 20).unwrap();
    host.flood(Shot::syn(port80(SERVER4)).rate(1000).at_most(100).from_prefix(live)).unwrap().run().unwrap();
    let resets = || counters::Counters::read(&host.attacker).unwrap().get("Tcp.OutRsts");
    wait::until("the resets of the live hosts", wait::PATIENCE, || resets() >= 90).unwrap();
    let half_open = || counters::queues(&host.server, 80).unwrap().syn;
    wait::until("an empty SYN queue", wait::PATIENCE, || half_open() == 0).unwrap();
    assert_eq!(host.swallowed().unwrap(), 0);
}

#[test]
fn a_namespace_goes_with_its_last_handle() {
    let namespace = Netns::new("brief").unwrap();
    let path = namespace.path();
    assert!(path.exists());
    drop(namespace);
    assert!(!path.exists());
}
