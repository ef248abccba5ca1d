//! Real servers with real clients: reachable with no flood, during one, and after it. And clients of every kind of TCP: what they
//! asked for in their SYN is in use on connections accepted under flood, as `ss -ti` shows.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use sekisho_lab::clients::Crowd;
use sekisho_lab::counters;
use sekisho_lab::flood::{Running, Shot};
use sekisho_lab::servers::nginx_files::{large, page};
use sekisho_lab::servers::{Nginx, Postfix, Sshd};
use sekisho_lab::topology::{SERVER4, SERVER6, client_for, client4};
use sekisho_lab::{run, wait};
use sekisho_tests::{COOKIES_FOR_ALL, PATIENCE, Scene, Sekisho, held};

/// SYN/s. Enough to fill any queue at once; the tests in flood.rs send more.
const RATE: u32 = 100_000;

/// Calls `visit` without a flood, during one at the port, and after it. What it gets is the number of the round.
fn in_every_weather(scene: &Scene, sekisho: &Sekisho, target: SocketAddr, mut visit: impl FnMut(usize)) {
    visit(0);
    let flood = storm(scene, sekisho, target);
    visit(1);
    assert!(!flood.is_over(), "the flood lasted as long as the visits");
    flood.stop().unwrap();
    visit(2);
}

/// A flood that the service has taken notice of.
fn storm(scene: &Scene, sekisho: &Sekisho, target: SocketAddr) -> Running {
    let flood = scene.start(Shot::syn(target).rate(RATE).seconds(60));
    sekisho.await_state(target.port(), "armed");
    flood
}

/// 20 short visits and one of 10 MB, each checked byte by byte. Every round comes from addresses of its own, since who came before
/// is known.
fn browse(scene: &Scene, target: SocketAddr, round: usize) {
    let sources: Vec<IpAddr> = (0..20).map(|n| client_for(target.ip(), round * 25 + n)).collect();
    let crowd = Crowd::http(&scene.client, target, "/").expect(&page()).visits(20).parallel(4).sources(sources);
    let seen = crowd.run().unwrap();
    println!("{target}, round {round}: {seen}");
    assert_eq!(seen.complete(), 20, "{seen}");
    let source = client_for(target.ip(), round * 25 + 20);
    let crowd = Crowd::http(&scene.client, target, "/large").expect(&large()).sources(vec![source]);
    let seen = crowd.deadline(Duration::from_secs(30)).run().unwrap();
    println!("{target}, round {round}, 10 MB: {:.2} s", seen.visits[0].total.as_secs_f64());
    assert_eq!(seen.complete(), 1, "{seen}");
}

/// A connection that came in by a cookie uses all that its client offered.
fn options_survive_a_cookie(scene: &Scene, sekisho: &Sekisho, target: SocketAddr) {
    let admitted = sekisho.verdict("admitted");
    let (_stream, seen) = held(scene, client_for(target.ip(), 90), target);
    println!("{target}: {}", seen.raw);
    assert!(sekisho.verdict("admitted") > admitted, "it came in by a cookie");
    assert!(seen.window_scale.is_some_and(|(send, receive)| send > 0 && receive > 0), "{}", seen.raw);
    assert!(seen.sack && seen.timestamps, "{}", seen.raw);
}

fn nginx_is_reachable(nginx: Nginx, targets: &[SocketAddr]) {
    let scene = Scene::new();
    let _nginx = nginx.start(&scene.server).unwrap();
    let sekisho = scene.protect(COOKIES_FOR_ALL);
    in_every_weather(&scene, &sekisho, targets[0], |round| {
        for target in targets {
            browse(&scene, *target, round);
            if round == 1 {
                options_survive_a_cookie(&scene, &sekisho, *target);
            }
        }
    });
}

#[test]
fn nginx_over_ipv4() {
    let target = SocketAddr::new(SERVER4, 80);
    nginx_is_reachable(Nginx::new().unwrap().listen(target), &[target]);
}

#[test]
fn nginx_over_ipv6() {
    let target = SocketAddr::new(SERVER6, 80);
    nginx_is_reachable(Nginx::new().unwrap().listen(target), &[target]);
}

#[test]
fn nginx_on_both_with_one_socket() {
    let targets = [SERVER4, SERVER6].map(|address| SocketAddr::new(address, 8080));
    nginx_is_reachable(Nginx::new().unwrap().dual_stack(8080), &targets);
}

#[test]
fn nginx_with_a_socket_for_each_worker() {
    let target = SocketAddr::new(SERVER4, 80);
    nginx_is_reachable(Nginx::new().unwrap().listen(target).reuseport(4), &[target]);
}

#[test]
fn openssh_runs_a_command() {
    let scene = Scene::new();
    let target = SocketAddr::new(SERVER4, 22);
    let sshd = Sshd::start(&scene.server, &[target]).unwrap();
    let sekisho = scene.protect("");
    in_every_weather(&scene, &sekisho, target, |round| {
        let mut ssh = scene.client.command("ssh");
        ssh.args(sshd.client_options()).args(["-b", &client4(round).to_string()]);
        ssh.args(["-o", "ConnectTimeout=20", &target.ip().to_string(), "echo through the gate"]);
        let begin = std::time::Instant::now();
        assert_eq!(run::output(&mut ssh).unwrap(), "through the gate\n");
        println!("ssh, round {round}: {:.2} s", begin.elapsed().as_secs_f64());
    });
    assert!(sekisho.verdict("challenge_sent") > 0, "the server speaks first");
}

#[test]
fn postfix_takes_a_mail() {
    let scene = Scene::new();
    let target = SocketAddr::new(SERVER4, 25);
    let _postfix = Postfix::start(&scene.server, &[target], 128).unwrap();
    let sekisho = scene.protect("");
    in_every_weather(&scene, &sekisho, target, |round| {
        let mut swaks: Command = scene.client.command("swaks");
        swaks.args(["--server", &target.ip().to_string(), "--local-interface", &client4(round).to_string()]);
        swaks.args(["--from", "alice@lab.example", "--to", "bob@lab.example", "--helo", "client.example"]);
        swaks.args(["--body", "Is anybody there?", "--timeout", "20"]);
        let said = run::output(&mut swaks).unwrap();
        assert!(said.contains("queued as"), "{said}");
    });
    assert!(sekisho.verdict("challenge_sent") > 0, "the server speaks first");
}

/// A client's habits: settings of its namespace, and what is then in use.
struct Habit {
    name: &'static str,
    sysctls: &'static [(&'static str, &'static str)],
    /// The MSS that its SYN carries over IPv4 and IPv6, if not the device's. Over IPv6 1220 is the least that a path leaves room for.
    mss: Option<(u32, u32)>,
    scale: bool,
    sack: bool,
    timestamps: bool,
    ecn: bool,
}

const USUAL: Habit =
    Habit { name: "Linux", sysctls: &[], mss: None, scale: true, sack: true, timestamps: true, ecn: false };

const HABITS: [Habit; 7] = [
    USUAL,
    Habit { name: "no timestamps", sysctls: &[("tcp_timestamps", "0")], timestamps: false, ..USUAL },
    Habit { name: "no window scale", sysctls: &[("tcp_window_scaling", "0")], scale: false, ..USUAL },
    Habit { name: "no SACK", sysctls: &[("tcp_sack", "0")], sack: false, ..USUAL },
    Habit {
        name: "nothing at all",
        sysctls: &[("tcp_timestamps", "0"), ("tcp_window_scaling", "0"), ("tcp_sack", "0")],
        scale: false,
        sack: false,
        timestamps: false,
        ..USUAL
    },
    Habit { name: "ECN", sysctls: &[("tcp_ecn", "1")], ecn: true, ..USUAL },
    Habit { name: "a small MSS", mss: Some((700, 1300)), ..USUAL },
];

/// Gives the client its habit, or takes it away.
fn set(scene: &Scene, habit: &Habit, on: bool) {
    for (key, value) in habit.sysctls {
        // Each of them is 1 by default, but for ECN.
        let default = if *key == "tcp_ecn" { "2" } else { "1" };
        scene.client.sysctl(&format!("net.ipv4.{key}"), if on { value } else { default }).unwrap();
    }
    if let Some((mss4, mss6)) = habit.mss {
        let advmss = |mss| if on { format!("advmss {mss}") } else { String::new() };
        let (mss4, mss6) = (advmss(mss4), advmss(mss6));
        let route4 = format!("route replace 198.51.100.0/24 via 203.0.113.1 {mss4}");
        scene.client.ip(&format!("{route4}\nroute replace 2001:db8:51::/64 via 2001:db8:c::1 {mss6}")).unwrap();
    }
}

fn every_habit_is_respected(target: SocketAddr) {
    let scene = Scene::new();
    let _nginx = Nginx::new().unwrap().listen(target).start(&scene.server).unwrap();
    let sekisho = scene.protect(COOKIES_FOR_ALL);
    let _flood = storm(&scene, &sekisho, target);
    for (n, habit) in HABITS.iter().enumerate() {
        set(&scene, habit, true);
        let admitted = sekisho.verdict("admitted");
        let (_stream, seen) = held(&scene, client_for(target.ip(), n), target);
        println!("{}: {}", habit.name, seen.raw);
        assert!(sekisho.verdict("admitted") > admitted, "{}: it came in by a cookie", habit.name);
        assert_eq!(
            (seen.window_scale.is_some(), seen.sack, seen.timestamps, seen.ecn),
            (habit.scale, habit.sack, habit.timestamps, habit.ecn),
            "{}: window scale, SACK, timestamps, ECN: {}",
            habit.name,
            seen.raw
        );
        let asked = habit.mss.map(|(mss4, mss6)| if target.is_ipv4() { mss4 } else { mss6 });
        let in_use = seen.mss.is_some_and(|mss| mss >= 500 && asked.map_or(mss >= 1400, |asked| mss <= asked));
        assert!(in_use, "{}: MSS of at most {asked:?}: {}", habit.name, seen.raw);
        let seen = Crowd::http(&scene.client, target, "/large").expect(&large());
        let seen = seen.sources(vec![client_for(target.ip(), 50 + n)]).deadline(Duration::from_secs(30)).run().unwrap();
        assert_eq!(seen.complete(), 1, "{}, 10 MB: {seen}", habit.name);
        set(&scene, habit, false);
    }
    let held_open = || counters::connections(&scene.server, target.port()).unwrap().len();
    wait::until("the end of all connections", PATIENCE, || held_open() == 0).unwrap();
}

#[test]
fn every_habit_is_respected_over_ipv4() {
    every_habit_is_respected(SocketAddr::new(SERVER4, 80));
}

#[test]
fn every_habit_is_respected_over_ipv6() {
    every_habit_is_respected(SocketAddr::new(SERVER6, 80));
}
