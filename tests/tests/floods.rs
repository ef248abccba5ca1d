//! Every kind of flood, one row each: what is sent, which counters move and which must not, and whether visitors notice. Each row runs
//! while the service is calm and while it is armed, over IPv4 and IPv6 at once. docs/operations/floods.md is made of the same table.
//!
//! After a change of the table: `UPDATE_DOCS=1 cargo test -p sekisho-tests --test floods the_page`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::thread;

use sekisho_lab::clients::{Crowd, Seen};
use sekisho_lab::counters::Counters;
use sekisho_lab::flood::Shot;
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{SERVER4, SERVER6};
use sekisho_lab::wait;
use sekisho_tests::frames::{self, Segment, flag};
use sekisho_tests::{PATIENCE, Scene, Sekisho};

/// Frames of each row, half of them IPv4, and how many a second.
const FRAMES: usize = 6000;
const RATE: u32 = 6000;
/// Visits that run meanwhile, half of them IPv4.
const VISITS: usize = 200;
const CLOSED: u16 = 4444;
const OPEN: u16 = 80;
/// Resets a second to nobody: the configuration of these tests.
const BUDGET: u32 = 200;

struct Row {
    /// For the page.
    name: &'static str,
    sent: &'static str,
    /// Where it goes.
    port: u16,
    /// Refines a segment, the n-th of them.
    make: fn(&mut Segment, usize),
    /// At least one of them counts nine tenths of the frames: while calm, and while armed. All of them are IPv4 if `only4`.
    calm: &'static [&'static str],
    armed: &'static [&'static str],
    only4: bool,
    /// Whether the kernel would answer each with RST.
    resets: bool,
}

const ROW: Row =
    Row { name: "", sent: "", port: OPEN, make: |_, _| (), calm: &[], armed: &[], only4: false, resets: false };

/// Stands for what a SYN meets while armed: it depends on the queue at that moment.
const PROVE: &[&str] = &["cookie_sent", "syn_calm", "answer_bound_reached"];

const ROWS: &[Row] = &[
    Row {
        name: "SYN",
        sent: "SYN, scattered sources; it arms the service by itself",
        make: |s, _| s.flags = flag::SYN,
        calm: PROVE,
        armed: PROVE,
        ..ROW
    },
    Row {
        name: "SYN with data",
        sent: "SYN that carries 200 bytes; the answer is smaller",
        make: |s, _| {
            s.flags = flag::SYN;
            s.data = vec![0x41; 200];
        },
        calm: PROVE,
        armed: PROVE,
        ..ROW
    },
    Row {
        name: "SYN to a closed port",
        sent: "SYN to a port where nothing listens",
        port: CLOSED,
        make: |s, _| s.flags = flag::SYN,
        calm: &["closed_port"],
        armed: &["closed_port"],
        resets: true,
        ..ROW
    },
    Row {
        name: "Carpet",
        sent: "SYN to 32 addresses of this host and as many ports",
        make: |s, n| {
            s.flags = flag::SYN;
            s.port = CLOSED + (n % 32) as u16;
            if let IpAddr::V4(target) = &mut s.target {
                *target = [198, 51, 100, 32 + (n / 2 % 32) as u8].into();
            }
        },
        calm: &["closed_port"],
        armed: &["closed_port"],
        resets: true,
        ..ROW
    },
    Row {
        name: "SYN-ACK (reflection)",
        sent: "SYN-ACK to the service",
        make: |s, _| s.flags = flag::SYN | flag::ACK,
        calm: &["no_socket"],
        armed: &["stray_synack"],
        resets: true,
        ..ROW
    },
    Row {
        name: "SYN-ACK to a closed port",
        sent: "SYN-ACK to a port where nothing listens",
        port: CLOSED,
        make: |s, _| s.flags = flag::SYN | flag::ACK,
        calm: &["no_socket"],
        armed: &["no_socket"],
        resets: true,
        ..ROW
    },
    Row {
        name: "RST",
        sent: "RST to the service; the kernel answers none",
        make: |s, _| s.flags = flag::RST,
        calm: &["segment_calm"],
        armed: &["stray_rst"],
        ..ROW
    },
    Row {
        name: "ACK",
        sent: "ACK that belongs to no connection",
        make: |s, _| s.flags = flag::ACK,
        calm: &["no_socket", "segment_calm"],
        armed: &["stray_ack"],
        resets: true,
        ..ROW
    },
    Row {
        name: "PSH",
        sent: "data with PSH and ACK that belongs to no connection",
        make: |s, _| {
            s.flags = flag::PSH | flag::ACK;
            s.data = vec![0x42; 100];
        },
        calm: &["no_socket", "segment_calm"],
        armed: &["stray_ack"],
        resets: true,
        ..ROW
    },
    Row {
        name: "FIN",
        sent: "FIN without ACK",
        make: |s, _| s.flags = flag::FIN,
        calm: &["segment_calm", "no_socket"],
        armed: &["stray_other"],
        ..ROW
    },
    Row {
        name: "Land",
        sent: "SYN whose source is its target",
        make: |s, _| {
            s.flags = flag::SYN;
            s.source = s.target;
            s.source_port = s.port;
        },
        calm: &["malformed"],
        armed: &["malformed"],
        ..ROW
    },
    Row {
        name: "Bad flags",
        sent: "no flags, SYN+FIN, SYN+RST, all flags",
        make: |s, n| s.flags = [0, flag::SYN | flag::FIN, flag::SYN | flag::RST, 0x3f][n / 2 % 4],
        calm: &["malformed"],
        armed: &["malformed"],
        ..ROW
    },
    Row {
        name: "Bad lengths",
        sent: "a TCP header of 16 bytes, or one longer than its packet",
        make: |s, n| {
            s.flags = flag::SYN;
            s.data_offset = if n / 2 % 2 == 0 { 4 } else { 15 };
        },
        calm: &["malformed"],
        armed: &["malformed"],
        ..ROW
    },
    Row {
        name: "Tiny fragments",
        sent: "IPv4 fragments of 8 bytes, which the kernel's own bound on reassembly holds",
        make: |s, n| {
            s.flags = flag::SYN;
            s.fragment = if n / 2 % 2 == 0 { 0x2000 } else { 1 };
            s.longer = -12;
        },
        calm: &["fragment"],
        armed: &["fragment"],
        only4: true,
        ..ROW
    },
    Row {
        name: "Bad checksum",
        sent: "SYN whose TCP checksum is wrong: not looked at here (see below), dropped by the kernel while calm",
        make: |s, _| {
            s.flags = flag::SYN;
            s.checksum = false;
        },
        calm: &["syn_calm"],
        armed: PROVE,
        ..ROW
    },
];

/// The n-th segment of a row: IPv4 and IPv6 by turns, from scattered sources.
fn segment(row: &Row, n: usize) -> Segment {
    let mixed = (n as u32).wrapping_mul(0x9e37_79b1);
    let [_, b, c, d] = mixed.to_be_bytes();
    let (source, target): (IpAddr, _) = if n % 2 == 0 || row.only4 {
        ([198, 18 + (b & 1), c, d].into(), SERVER4)
    } else {
        ([0x2001, 0xdb8, 0xbad, (mixed >> 16) as u16, mixed as u16, 0, 0, 7].into(), SERVER6)
    };
    let mut segment = Segment::new(source, target, row.port, 0);
    segment.sequence = mixed;
    segment.source_port = 1024 + (n % 50_000) as u16;
    (row.make)(&mut segment, n);
    segment
}

fn visitors(scene: &Scene) -> [Seen; 2] {
    thread::scope(|scope| {
        let of = |address| {
            let crowd = Crowd::http(&scene.client, SocketAddr::new(address, OPEN), "/").visits(VISITS / 2).rate(60);
            scope.spawn(move || crowd.run().unwrap())
        };
        [of(SERVER4), of(SERVER6)].map(|thread| thread.join().unwrap())
    })
}

/// What a row's frames met and did.
struct Outcome {
    verdicts: Vec<(String, u64)>,
    resets: u64,
    seconds: u64,
}

fn run(scene: &Scene, sekisho: &Sekisho, row: &Row) -> Outcome {
    let began = std::time::Instant::now();
    let before = (sekisho.verdicts(), Counters::read(&scene.server).unwrap());
    let seen = thread::scope(|scope| {
        let sender = scope.spawn(|| frames::send(scene, FRAMES, RATE, |n| segment(row, n).bytes()));
        let seen = visitors(scene);
        sender.join().unwrap();
        seen
    });
    let (after, counters) = (sekisho.verdicts(), Counters::read(&scene.server).unwrap());
    let complete: usize = seen.iter().map(Seen::complete).sum();
    assert!(complete * 1000 >= VISITS * 995, "{}: {complete} of {VISITS} visits: {} {}", row.name, seen[0], seen[1]);
    let earlier = |name: &str| before.0.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
    Outcome {
        verdicts: after.iter().map(|(name, count)| (name.clone(), count - earlier(name))).collect(),
        resets: counters.since(&before.1).get("Tcp.OutRsts"),
        seconds: began.elapsed().as_secs(),
    }
}

/// What only a row that expects it may count more of than the odd one.
const NAMED: &[&str] = &[
    "malformed",
    "fragment",
    "cookie_sent",
    "stray_ack",
    "stray_rst",
    "stray_synack",
    "stray_other",
    "closed_port",
    "no_socket",
    "blocked",
    "over_source",
    "over_prefix",
    "over_service",
    "over_global",
    "over_connections",
    "concentrated",
    "limit_asked",
    "accept_full",
];

fn check(row: &Row, expected: &[&str], background: &[&str], outcome: &Outcome) {
    let count = |name: &str| outcome.verdicts.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
    let sum: u64 = expected.iter().map(|name| count(name)).sum();
    let passed = if row.resets { u64::from(BUDGET + 20) * (outcome.seconds + 3) } else { 0 };
    let least = (FRAMES as u64 * 9 / 10).saturating_sub(passed);
    assert!(sum >= least, "{}: {sum} of {FRAMES} met {expected:?}: {:?}", row.name, outcome.verdicts);
    for name in NAMED.iter().filter(|name| !expected.contains(name) && !background.contains(name)) {
        assert!(count(name) <= FRAMES as u64 / 20, "{}: {} met {name}: {:?}", row.name, count(name), outcome.verdicts);
    }
    assert!(
        !row.resets || outcome.resets <= passed + FRAMES as u64 / 4,
        "{}: {} resets in {} s",
        row.name,
        outcome.resets,
        outcome.seconds
    );
}

struct Site {
    scene: Scene,
    _servers: [Tiny; 2],
    sekisho: Sekisho,
}

impl Site {
    fn new() -> Self {
        let scene = Scene::new();
        let lines: String = (32..64).map(|n| format!("addr add 198.51.100.{n}/24 dev eth0\n")).collect();
        scene.server.ip(&lines).unwrap();
        // Room for the visitors: what is tested is not how fast the server accepts.
        let servers = [SERVER4, SERVER6].map(|address| Tiny::http(&scene.server, address, OPEN, 512).unwrap());
        let sekisho = scene.protect(&format!("linger = \"2s\"\n[limits]\nclosed_ports = {BUDGET}\n"));
        Self { scene, _servers: servers, sekisho }
    }
}

#[test]
fn while_calm_every_flood_meets_its_verdict_and_visitors_do_not_notice() {
    let site = Site::new();
    // What an earlier row left half-open goes after a second, so that each row meets an empty queue.
    site.scene.server.sysctl("net.ipv4.tcp_synack_retries", "0").unwrap();
    for row in ROWS {
        wait::until("an empty queue, and calm", PATIENCE, || {
            let services = site.sekisho.status()["services"].clone();
            services.as_array().unwrap().iter().all(|service| service["state"] == "calm" && service["syn_queue"] == 0)
        })
        .unwrap();
        let outcome = run(&site.scene, &site.sekisho, row);
        check(row, row.calm, &["no_socket"], &outcome);
    }
}

#[test]
fn while_armed_every_flood_meets_its_verdict_and_visitors_do_not_notice() {
    let site = Site::new();
    for address in [SERVER4, SERVER6] {
        let shot = Shot::syn(SocketAddr::new(address, OPEN)).rate(5000).seconds(60);
        std::mem::forget(site.scene.start(shot));
    }
    site.sekisho.await_state(OPEN, "armed");
    for row in ROWS {
        let outcome = run(&site.scene, &site.sekisho, row);
        check(row, row.armed, PROVE, &outcome);
    }
}

fn page() -> String {
    let mut text = String::from(
        "# The floods, and what meets them\n\n\
         One row for each kind of flood that is tested, over IPv4 and IPv6: the verdicts that its frames meet while the service is calm \
         and while it is armed ([what they mean](../verdicts.md)). In each row 99.5% or more of the visitors get their page meanwhile. \
         What the kernel would answer with RST is bounded by `[limits] closed_ports`; while calm, a socket is looked for only after more \
         resets than that were seen, so the first second of an ACK flood is answered.\n\n\
         | Flood | What is sent | Calm | Armed |\n|---|---|---|---|\n",
    );
    for row in ROWS {
        let names = |verdicts: &[&str]| verdicts.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "| {} | {} | {} | {} |", row.name, row.sent, names(row.calm), names(row.armed));
    }
    text += "\nFloods of whole connections are bounded by `[limits] source_connections` and `prefix_connections`: see \
             [limits](limits.md).\n\n\
             ## Checksums\n\n\
             TCP's checksum is not checked. A frame from a container or a virtual machine on the same host carries a partial one by \
             design, which the kernel completes or never needs, and XDP cannot tell such a frame from a forged one: checking would drop \
             the neighbours' packets. While calm the kernel drops what is wrong, as it always does (`TcpInCsumErrors`); while armed such \
             a SYN is answered like any other, within the bound on answers, and its sender still has to prove that it exists.\n\n\
             This page is made by the test `tests/tests/floods.rs`, whose first lines say how to renew it.\n";
    text
}

#[test]
fn the_page_is_made_of_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations/floods.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page(),
        "docs/operations/floods.md is not what the table gives"
    );
}
