//! The scenes: what happens, on a stage that is recorded. Each is as short as its cause allows, and looks while it is at its height.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use sekisho_lab::bots::Bots;
use sekisho_lab::clients::{Crowd, connect_from};
use sekisho_lab::flood::{Kind, Prefix, Shot};
use sekisho_lab::middle::Rules;
use sekisho_lab::topology::{SERVER4, client4, live4};

use crate::delay::Faraway;
use crate::group::Group;
use crate::stage::Stage;
use crate::track;
use crate::web::{Apache, ApacheSettings, Nginx, SlowApplication};

/// How long a trouble lasts before somebody looks.
const HEIGHT: Duration = Duration::from_millis(2500);
/// A round trip from far away: 129 half-open connections are 215 new ones a second.
const FAR: Duration = Duration::from_millis(600);
/// And afterwards.
const REST: Duration = Duration::from_millis(800);

fn server(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER4, port)
}

/// Visitors who come at a rate, whatever becomes of them, while `work` is done.
fn meanwhile<T>(crowd: &Crowd, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let visits = scope.spawn(|| crowd.run().unwrap());
        let done = work();
        println!("visitors: {}", visits.join().unwrap());
        done
    })
}

/// So many visitors that never end by themselves within a scene.
fn visitors(stage: &Stage, path: &str, rate: u32, seconds: u32) -> Crowd {
    let crowd = Crowd::http(&stage.scene.client, server(80), path).rate(rate).visits((rate * seconds) as usize);
    crowd.sources((0..100).map(client4).collect()).deadline(Duration::from_secs(4))
}

/// The same, from far away.
fn from_far(far: &Faraway, path: &str, rate: u32, seconds: u32) -> Crowd {
    let crowd = Crowd::http(&far.namespace, server(80), path).rate(rate).visits((rate * seconds) as usize);
    crowd.sources(Faraway::addresses()).deadline(Duration::from_secs(4))
}

/// Looks when the trouble is at its height, and waits for the record to tell of it.
fn height(stage: &mut Stage) {
    thread::sleep(HEIGHT);
    stage.look();
    thread::sleep(REST);
}

fn flood(stage: &mut Stage, shot: Shot) {
    let nginx = Nginx::start(stage.server(), stage.place("nginx"), server(80), 511, None);
    stage.keep(nginx.records());
    stage.capture(20_000);
    let crowd = visitors(stage, "/", 10, 4);
    let flood = stage.scene.start(shot.rate(3000).seconds(30));
    meanwhile(&crowd, || height(stage));
    flood.stop().unwrap();
}

/// Spoofed addresses from everywhere.
pub fn scattered_flood(stage: &mut Stage) {
    flood(stage, Shot::syn(server(80)));
}

/// Spoofed addresses of one network.
pub fn flood_of_one_network(stage: &mut Stage) {
    let network = Prefix::new(Ipv4Addr::new(198, 18, 7, 0).into(), 24).unwrap();
    flood(stage, Shot::syn(server(80)).from_prefix(network));
}

/// Cookies are switched off, and a flood comes.
pub fn flood_without_cookies(stage: &mut Stage) {
    stage.server().sysctl("net.ipv4.tcp_syncookies", "0").unwrap();
    stage.server().sysctl("net.ipv4.tcp_max_syn_backlog", "256").unwrap();
    stage.settings();
    flood(stage, Shot::syn(server(80)));
}

/// Real visitors from far away, more of them within a round trip than the backlog holds.
pub fn rush_over_backlog(stage: &mut Stage) {
    let nginx = Nginx::start(stage.server(), stage.place("nginx"), server(80), 128, None);
    stage.keep(nginx.records());
    stage.capture(30_000);
    let far = Faraway::new(&stage.scene.router, FAR);
    let crowd = from_far(&far, "/", 400, 4);
    meanwhile(&crowd, || height(stage));
}

/// An application behind nginx that answers one request after the other.
pub fn slow_application(stage: &mut Stage) {
    let application = server(8080);
    let _slow = SlowApplication::start(stage.server(), application, Duration::from_millis(200));
    let nginx = Nginx::start(stage.server(), stage.place("nginx"), server(80), 511, Some(application));
    stage.keep(nginx.records());
    let crowd = visitors(stage, "/", 40, 5);
    meanwhile(&crowd, || {
        thread::sleep(Duration::from_secs(1));
        height(stage);
    });
}

/// Workers of Apache that take more memory together than there is.
pub fn workers_that_do_not_fit(stage: &mut Stage) {
    let group = Group::new(160 << 20);
    let settings = ApacheSettings {
        listen: server(80),
        backlog: 511,
        workers: 40,
        start: 10,
        wait_seconds: 20,
        takes_silent: false,
        group: Some(&group),
    };
    let apache = Apache::start(stage.server(), stage.place("apache"), &settings);
    stage.keep(apache.records());
    let crowd = visitors(stage, "/work.php?mb=16&ms=2000", 20, 6);
    meanwhile(&crowd, || {
        thread::sleep(Duration::from_millis(2500));
        height(stage);
    });
    drop(apache);
}

fn idle_hosts(stage: &Stage, count: usize, rate: u32) -> Bots {
    stage.scene.make_live(live4()).unwrap();
    let part = Prefix::new(Ipv4Addr::new(198, 18, 64, 0).into(), 22).unwrap();
    Bots::start(&stage.scene.attacker, server(80), part, count, rate).unwrap()
}

/// Real addresses that connect and then say nothing.
pub fn connection_flood(stage: &mut Stage) {
    let settings = ApacheSettings {
        listen: server(80),
        backlog: 511,
        workers: 60,
        start: 60,
        wait_seconds: 2,
        takes_silent: true,
        group: None,
    };
    let apache = Apache::start(stage.server(), stage.place("apache"), &settings);
    stage.keep(apache.records());
    stage.capture(20_000);
    let bots = idle_hosts(stage, 450, 100);
    let crowd = visitors(stage, "/", 5, 5);
    meanwhile(&crowd, || height(stage));
    // By then Apache has given up the first of them, and says so.
    drop((bots, apache));
}

/// Clients that ask for much and read nothing of it.
pub fn slow_readers(stage: &mut Stage) {
    let settings = ApacheSettings {
        listen: server(80),
        backlog: 64,
        workers: 60,
        start: 60,
        wait_seconds: 20,
        takes_silent: false,
        group: None,
    };
    let apache = Apache::start(stage.server(), stage.place("apache"), &settings);
    stage.keep(apache.records());
    let held: Vec<TcpStream> = stage.scene.client.run(|| (0..80).filter_map(one_slow_reader).collect()).unwrap();
    // As one does who wonders what goes on.
    stage.capture(20_000);
    let crowd = visitors(stage, "/", 5, 4);
    meanwhile(&crowd, || height(stage));
    println!("{} slow readers", held.len());
    drop((held, apache));
}

fn one_slow_reader(number: usize) -> Option<TcpStream> {
    let mut stream = connect_from(Some(client4(number)), server(80), Duration::from_secs(4)).ok()?;
    stream.write_all(b"GET /large HTTP/1.0\r\nHost: lab\r\n\r\n").ok()?;
    Some(stream)
}

/// Connection tracking without room for one more.
pub fn conntrack_full(stage: &mut Stage) {
    let nginx = Nginx::start(stage.server(), stage.place("nginx"), server(80), 511, None);
    stage.keep(nginx.records());
    let rule = "chain input { type filter hook input priority 0; policy accept; ct state invalid counter drop; }";
    let _rules = Rules::add(stage.server(), "inet filter", rule).unwrap();
    let IpAddr::V4(address) = SERVER4 else { unreachable!("it is IPv4") };
    println!("{} connections are tracked", track::fill(stage.server(), address));
    let crowd = visitors(stage, "/", 40, 4);
    meanwhile(&crowd, || height(stage));
    stage.rules();
}

/// Good advice of the past: a limit on SYNs, for all clients together.
pub fn firewall_limit(stage: &mut Stage) {
    let nginx = Nginx::start(stage.server(), stage.place("nginx"), server(80), 511, None);
    stage.keep(nginx.records());
    stage.capture(20_000);
    let rules = "chain input {\ntype filter hook input priority 0; policy accept;\n\
                 tcp dport 80 tcp flags syn limit rate 5/second burst 5 packets counter accept\n\
                 tcp dport 80 tcp flags syn counter drop\n}";
    let _rules = Rules::add(stage.server(), "inet filter", rules).unwrap();
    let crowd = visitors(stage, "/", 40, 4);
    meanwhile(&crowd, || height(stage));
    stage.rules();
}

/// Others were sent SYNs with our address, and answer us.
pub fn reflection_at_us(stage: &mut Stage) {
    let nginx = Nginx::start(stage.server(), stage.place("nginx"), server(80), 511, None);
    stage.keep(nginx.records());
    stage.capture(20_000);
    let crowd = visitors(stage, "/", 10, 4);
    let flood = stage.scene.start(Shot::new(Kind::SynAck, server(80)).rate(3000).seconds(30));
    meanwhile(&crowd, || height(stage));
    flood.stop().unwrap();
}

/// Many visitors, and all is well.
pub fn healthy_and_busy(stage: &mut Stage) {
    let nginx = Nginx::start(stage.server(), stage.place("nginx"), server(80), 511, None);
    stage.keep(nginx.records());
    stage.capture(20_000);
    let crowd = visitors(stage, "/", 250, 4);
    meanwhile(&crowd, || height(stage));
}

/// What the owner of a server saw: a backlog of 128, a rush of visitors from far away, and an Apache whose 400 workers do not fit.
fn story(stage: &mut Stage, also: Option<Shot>) {
    let group = Group::new(192 << 20);
    let settings = ApacheSettings {
        listen: server(80),
        backlog: 128,
        workers: 400,
        start: 10,
        wait_seconds: 20,
        takes_silent: false,
        group: Some(&group),
    };
    let apache = Apache::start(stage.server(), stage.place("apache"), &settings);
    stage.keep(apache.records());
    stage.capture(60_000);
    let far = Faraway::new(&stage.scene.router, FAR);
    let flood = also.map(|shot| stage.scene.start(shot.rate(3000).seconds(30)));
    let crowd = from_far(&far, "/work.php?mb=12&ms=1500", 300, 5);
    meanwhile(&crowd, || {
        thread::sleep(Duration::from_millis(1500));
        height(stage);
    });
    if let Some(flood) = flood {
        flood.stop().unwrap();
    }
    drop(apache);
}

/// The story.
pub fn the_owners_story(stage: &mut Stage) {
    story(stage, None);
}

/// The story, with a real flood at the same time.
pub fn the_story_with_a_flood(stage: &mut Stage) {
    story(stage, Some(Shot::syn(server(80))));
}
