//! Every kind of answer under Wireshark's eyes: none is malformed, checksums are right, and so are TTL, MSS and length.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use sekisho_lab::clients::Crowd;
use sekisho_lab::flood::{Kind, Shot};
use sekisho_lab::servers::{Process, Tiny};
use sekisho_lab::topology::{SERVER4, SERVER6, client_for};
use sekisho_lab::{run, wait};
use sekisho_tests::{COOKIES_FOR_ALL, PATIENCE, Scene, Sekisho};
use tempfile::TempDir;

/// What tshark is asked for, one column each.
const FIELDS: [&str; 13] = [
    "tcp.stream",
    "tcp.flags.syn",
    "tcp.flags.ack",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "ip.ttl",
    "ipv6.hlim",
    "tcp.options.mss_val",
    "tcp.options.timestamp.tsval",
    "tcp.options.wscale.shift",
    "frame.len",
    "tcp.checksum.status",
    "ip.checksum.status",
];
/// The wire's own checksums are looked at, which Wireshark by itself no longer does.
const CHECK: [&str; 4] = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];

/// One segment.
#[derive(Debug, Clone)]
struct Segment {
    stream: u64,
    syn: bool,
    ack: bool,
    sequence: u32,
    acknowledgement: u32,
    v6: bool,
    hops: u64,
    mss: Option<u64>,
    timestamps: bool,
    scale: bool,
    length: u64,
    checksums: String,
}

/// Everything between clients and server, recorded at the router.
struct Capture {
    folder: TempDir,
    recorder: Process,
}

impl Capture {
    fn start(scene: &Scene) -> Self {
        let folder = TempDir::with_prefix("sekisho-capture-").unwrap();
        let (file, log) = (folder.path().join("pcap"), folder.path().join("log"));
        let mut tcpdump = scene.router.command("tcpdump");
        tcpdump.args(["-i", "server", "--immediate-mode", "-U", "-Z", "root", "-w"]).arg(&file);
        tcpdump.arg("tcp and (net 203.0.113.0/24 or net 2001:db8:c::/64)");
        let recorder = Process::start(tcpdump, &log).unwrap();
        let listens = || fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on"));
        wait::until("tcpdump listens", PATIENCE, listens).unwrap();
        Self { folder, recorder }
    }

    /// What tshark makes of it. Panics if it finds anything wrong.
    fn end(self) -> Vec<Segment> {
        drop(self.recorder);
        let file = self.folder.path().join("pcap");
        let mut tshark = Command::new("tshark");
        tshark.arg("-n").args(CHECK).arg("-r").arg(&file).stdin(Stdio::null());
        let mut wrong = Command::new("tshark");
        wrong.arg("-n").args(CHECK).arg("-r").arg(&file);
        wrong.args(["-Y", "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0"]);
        assert_eq!(run::output(&mut wrong).unwrap(), "", "malformed, or with a wrong checksum");
        tshark.args(["-T", "fields", "-E", "separator=|"]).args(FIELDS.iter().flat_map(|field| ["-e", field]));
        run::output(&mut tshark).unwrap().lines().map(segment).collect()
    }
}

fn segment(line: &str) -> Segment {
    let column: Vec<_> = line.split('|').collect();
    let number = |at: usize| column[at].parse::<u64>().ok();
    // Older and newer versions print flags as 1 and True.
    let flag = |at: usize| matches!(column[at], "1" | "True");
    Segment {
        stream: number(0).unwrap(),
        syn: flag(1),
        ack: flag(2),
        sequence: number(3).unwrap() as u32,
        acknowledgement: number(4).unwrap() as u32,
        v6: column[5].is_empty(),
        hops: number(5).or(number(6)).unwrap(),
        mss: number(7),
        timestamps: !column[8].is_empty(),
        scale: !column[9].is_empty(),
        length: number(10).unwrap(),
        checksums: format!("{} {}", column[11], column[12]),
    }
}

/// How many answers there were of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    with_timestamps: usize,
    without_timestamps: usize,
    to_bare_syns: usize,
    challenges: usize,
}

/// Checks each answer against the SYN that it answers.
fn check(segments: &[Segment], v6: bool) -> Found {
    let mut found = Found::default();
    let syn_of = |answer: &Segment| {
        segments.iter().find(|one| one.syn && !one.ack && one.stream == answer.stream && one.v6 == answer.v6)
    };
    for answer in segments.iter().filter(|one| one.v6 == v6 && one.ack) {
        match syn_of(answer) {
            Some(syn) if is_challenge(answer, segments) => check_challenge(answer, syn, &mut found),
            Some(syn) if answer.syn => check_cookie(answer, syn, &mut found),
            None if answer.syn => check_bare(answer, &mut found),
            _ => {}
        }
    }
    found
}

/// A challenge's number comes back in an RST without ACK.
fn is_challenge(answer: &Segment, segments: &[Segment]) -> bool {
    segments
        .iter()
        .any(|one| !one.syn && !one.ack && one.stream == answer.stream && one.sequence == answer.acknowledgement)
}

fn check_sound(answer: &Segment) {
    assert_eq!(answer.hops, 64, "TTL: {answer:?}");
    assert_eq!(answer.checksums.trim(), if answer.v6 { "1" } else { "1 1" }, "1 is good: {answer:?}");
}

fn check_challenge(answer: &Segment, syn: &Segment, found: &mut Found) {
    check_sound(answer);
    assert_ne!(answer.acknowledgement, syn.sequence.wrapping_add(1), "{answer:?} to {syn:?}");
    assert!(answer.length <= syn.length && answer.mss.is_none(), "{answer:?} to {syn:?}");
    found.challenges += 1;
}

fn check_cookie(answer: &Segment, syn: &Segment, found: &mut Found) {
    check_sound(answer);
    assert_eq!(answer.acknowledgement, syn.sequence.wrapping_add(1), "{answer:?} to {syn:?}");
    assert_eq!(answer.mss, Some(if answer.v6 { 1440 } else { 1460 }), "{answer:?}");
    assert!(answer.length <= syn.length, "longer than what was asked: {answer:?} to {syn:?}");
    assert_eq!((answer.timestamps, answer.scale), (syn.timestamps, syn.scale), "{answer:?} to {syn:?}");
    let count = if syn.timestamps { &mut found.with_timestamps } else { &mut found.without_timestamps };
    *count += 1;
}

/// What the flood's generator sends goes past the recorder: SYNs without options, of Ethernet, IP and TCP header alone. Their answers
/// have an MSS of 4 bytes, which every SYN-ACK has to have (RFC 9293, 3.7.1), and nothing else.
fn check_bare(answer: &Segment, found: &mut Found) {
    check_sound(answer);
    let syn = if answer.v6 { 14 + 40 + 20 } else { 14 + 20 + 20 };
    assert_eq!(answer.length, syn + 4, "{answer:?}");
    assert!(answer.mss.is_some() && !answer.timestamps && !answer.scale, "{answer:?}");
    found.to_bare_syns += 1;
}

/// Visits with and without timestamps, and SYNs without options, under a flood: every answer is a cookie.
fn cookies(scene: &Scene, sekisho: &Sekisho, target: SocketAddr) {
    let flood = scene.start(Shot::syn(target).rate(50_000).seconds(60));
    sekisho.await_state(target.port(), "armed");
    let admitted = sekisho.verdict("admitted");
    for timestamps in ["1", "0"] {
        scene.client.sysctl("net.ipv4.tcp_timestamps", timestamps).unwrap();
        let seen = Crowd::http(&scene.client, target, "/").visits(5).run().unwrap();
        assert_eq!(seen.complete(), 5, "{seen}");
    }
    scene.client.sysctl("net.ipv4.tcp_timestamps", "1").unwrap();
    // More than ten where an ACK and the request after it arrive in one batch: both are then met without a socket.
    assert!(sekisho.verdict("admitted") - admitted >= 10, "all by a cookie of ours");
    let bare = Shot::new(Kind::BareSyn, target).from_list(vec![client_for(target.ip(), 80)]);
    scene.flood(bare.rate(1000).at_most(20).seconds(10)).unwrap().run().unwrap();
    flood.stop().unwrap();
}

/// Visits to a server that speaks first, each from an address of its own.
fn challenges(scene: &Scene, sekisho: &Sekisho, target: SocketAddr) {
    let flood = scene.start(Shot::syn(target).rate(50_000).seconds(60));
    sekisho.await_state(target.port(), "armed");
    let seen = Crowd::banner(&scene.client, target, "220 ").visits(5).run().unwrap();
    assert_eq!(seen.complete(), 5, "{seen}");
    flood.stop().unwrap();
}

fn answers_are_sound(address: IpAddr) {
    let scene = Scene::new();
    let web = Tiny::http(&scene.server, address, 80, 128).unwrap();
    let mail = Tiny::banner(&scene.server, address, 25, 128).unwrap();
    let config = format!("{COOKIES_FOR_ALL}prefix6 = 64\n[[service]]\nports = [25]\ncalm = 0.25\nreserve = 0.75\n");
    let sekisho = scene.protect(&config);
    // Nobody of these is known yet; with IPv6 all clients are in one /64, so the first visit of all is to the mail server.
    let capture = Capture::start(&scene);
    challenges(&scene, &sekisho, mail.address());
    cookies(&scene, &sekisho, web.address());
    let segments = capture.end();
    let found = check(&segments, address.is_ipv6());
    println!("{address}: {} segments; {found:?}", segments.len());
    assert!(found.with_timestamps >= 5 && found.without_timestamps >= 5, "{found:?}");
    assert!(found.to_bare_syns >= 10, "{found:?}");
    assert!(found.challenges > 0, "{found:?}: {:?}", sekisho.verdicts());
}

#[test]
fn answers_over_ipv4_are_sound() {
    answers_are_sound(SERVER4);
}

#[test]
fn answers_over_ipv6_are_sound() {
    answers_are_sound(SERVER6);
}
