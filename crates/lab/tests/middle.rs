//! What stands in between: that each rule does to real connections what it says, and no more.

use std::net::SocketAddr;
use std::time::Duration;

use sekisho_lab::bots::Bots;
use sekisho_lab::clients::Crowd;
use sekisho_lab::counters::{self, Counters};
use sekisho_lab::flood::Shot;
use sekisho_lab::middle::{self, KernelCookies, Rules};
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{Host, SERVER4, SERVER6, live4};
use sekisho_lab::wait;

/// The kernel retransmits a SYN-ACK after 1 s.
const RETRANSMISSION: Duration = Duration::from_millis(900);

#[test]
fn the_last_ack_is_lost_once() {
    let host = Host::new().unwrap();
    let rules = middle::lose_first_ack(&host.client).unwrap();
    for (n, address) in [SERVER4, SERVER6].into_iter().enumerate() {
        let server = Tiny::banner(&host.server, address, 25, 128).unwrap();
        let seen = Crowd::banner(&host.client, server.address(), "220 ").visits(3).parallel(3).run().unwrap();
        assert_eq!(seen.complete(), 3, "{seen}");
        let visit = &seen.visits[0];
        assert!(visit.connect.unwrap() < RETRANSMISSION && visit.first_byte.unwrap() > RETRANSMISSION, "{visit:?}");
        assert_eq!(rules.hits().unwrap(), 3 * (n as u64 + 1), "one each: {}", rules.show().unwrap());
    }
    drop(rules);
    let server = Tiny::banner(&host.server, SERVER4, 26, 128).unwrap();
    let seen = Crowd::banner(&host.client, server.address(), "220 ").run().unwrap();
    assert!(seen.first_byte_within(100.0).unwrap() < RETRANSMISSION, "gone with the rules: {seen}");
}

#[test]
fn kernel_cookies_hang_on_a_lost_ack_when_the_server_speaks_first() {
    let host = Host::new().unwrap();
    middle::kernel_cookies(&host.server, KernelCookies::Always).unwrap();
    let _rules = middle::lose_first_ack(&host.client).unwrap();
    let server = Tiny::banner(&host.server, SERVER4, 25, 128).unwrap();
    let seen = Crowd::banner(&host.client, server.address(), "220 ").deadline(Duration::from_secs(3)).run().unwrap();
    assert_eq!(seen.complete(), 0, "{seen}");
    assert!(seen.connect_within(100.0).is_some(), "connected, as the client sees it");
}

#[test]
fn resets_are_dropped() {
    let host = Host::new().unwrap();
    let rules = middle::drop_resets(&host.router).unwrap();
    let nobody = SocketAddr::new(SERVER4, 81);
    let seen = Crowd::http(&host.client, nobody, "/").deadline(Duration::from_millis(500)).run().unwrap();
    assert!(rules.hits().unwrap() > 0, "the server's RST: {seen}");
    assert_eq!(seen.complete(), 0);
}

#[test]
fn a_nat_router_hides_the_clients() {
    let host = Host::new().unwrap();
    let _nat = middle::nat(&host.router, "server").unwrap();
    let hidden = "chain in { type filter hook input priority 0; tcp dport 80 ip saddr 198.51.100.1 counter; }";
    let seen_by_server = Rules::add(&host.server, "inet seen", hidden).unwrap();
    let server = Tiny::http(&host.server, SERVER4, 80, 128).unwrap();
    let seen = Crowd::http(&host.client, server.address(), "/").visits(10).parallel(5).run().unwrap();
    assert_eq!(seen.complete(), 10, "{seen}");
    assert!(seen_by_server.hits().unwrap() >= 30, "SYN, ACK, data: three of each visitor at least");
}

#[test]
fn synproxy_and_a_strict_firewall_let_visitors_through() {
    let host = Host::new().unwrap();
    let server = Tiny::http(&host.server, SERVER4, 80, 128).unwrap();
    let crowd = Crowd::http(&host.client, server.address(), "/").visits(10).parallel(5);
    {
        let _proxy = middle::synproxy(&host.server, 80).unwrap();
        let seen = crowd.run().unwrap();
        assert_eq!(seen.complete(), 10, "{seen}");
        let received = host.server.proc_net("stat/synproxy").unwrap();
        let syns: u64 = received
            .lines()
            .skip(1)
            .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
            .sum();
        assert!(syns >= 10, "the proxy saw them: {received}");
    }
    let firewall = middle::strict_firewall(&host.server).unwrap();
    let seen = crowd.run().unwrap();
    assert_eq!(seen.complete(), 10, "{seen}");
    let sent =
        host.flood(Shot::new(sekisho_lab::flood::Kind::Ack, server.address()).at_most(50)).unwrap().run().unwrap();
    wait::until("the strays dropped", wait::PATIENCE, || firewall.hits().unwrap() >= sent.sent).unwrap();
}

#[test]
fn a_flood_is_felt_with_cookies_off_and_not_with_cookies() {
    let host = Host::new().unwrap();
    let server = Tiny::http(&host.server, SERVER4, 80, 128).unwrap();
    let visit_under_flood = |cookies| {
        middle::kernel_cookies(&host.server, cookies).unwrap();
        let before = Counters::read(&host.server).unwrap();
        let flood = host.flood(Shot::syn(server.address()).rate(20_000).seconds(20)).unwrap().start().unwrap();
        wait::until("a full SYN queue", wait::PATIENCE, || counters::queues(&host.server, 80).unwrap().syn > 90)
            .unwrap();
        let crowd = Crowd::http(&host.client, server.address(), "/").visits(20).parallel(20);
        let seen = crowd.deadline(Duration::from_secs(2)).run().unwrap();
        flood.stop().unwrap();
        (seen, Counters::read(&host.server).unwrap().since(&before))
    };
    let (seen, _) = visit_under_flood(KernelCookies::Off);
    assert!(seen.complete() < 10, "without cookies: {seen}");
    let (seen, counted) = visit_under_flood(KernelCookies::WhenFull);
    assert!(seen.complete() >= 15, "with cookies: {seen}");
    assert!(counted.get("SyncookiesSent") > 0 && counted.get("SyncookiesRecv") > 0, "{counted:?}");
}

#[test]
fn bots_connect_and_keep_silent() {
    let host = Host::new().unwrap();
    let server = Tiny::banner(&host.server, SERVER4, 25, 1024).unwrap();
    host.make_live(live4()).unwrap();
    let bots = Bots::start(&host.attacker, server.address(), live4(), 200, 500).unwrap();
    wait::until("200 connections", wait::PATIENCE, || bots.connected() >= 200 && server.accepted() >= 200).unwrap();
    let held = counters::connections(&host.server, 25).unwrap();
    let mut addresses: Vec<_> = held.iter().map(|connection| connection.peer.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert!(addresses.len() > 100, "{} addresses hold {} connections", addresses.len(), held.len());
}
