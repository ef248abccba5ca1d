//! One table: a value and what else is known, then what is to be said of it.

use super::*;
use crate::observe::listeners::Service;
use crate::observe::settings::{Arrivals, Conntrack, Received};

fn facts(values: &[(&'static str, &str)]) -> SettingsFacts {
    SettingsFacts {
        values: values.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        memory: 4 << 30,
        conntrack: Some(Conntrack { count: 10, max: 65_536, in_use: true }),
        received: Received { packets: 1_000_000, dropped: 0, squeezed: 0 },
        arrivals: Arrivals { connections: 1000, overflows: 0, seconds: 100 },
        ..SettingsFacts::default()
    }
}

fn listener(port: u16, backlog: u32, application: Application, asked: u32) -> Listener {
    let service = Service {
        local: (std::net::Ipv4Addr::UNSPECIFIED, port).into(),
        dual_stack: false,
        listeners: 1,
        syn_queue: 0,
        accept_queue: 0,
        backlog,
        accept_full: false,
    };
    let configured = Some(Configured { backlog: asked, file: None });
    Listener { service, application: Some(application), configured }
}

fn one(facts: &SettingsFacts, key: &str) -> Setting {
    let plan = plan(facts, None);
    plan.settings.into_iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("{key} is not judged"))
}

const COOKIES: &str = "net.ipv4.tcp_syncookies";
const SOMAXCONN: &str = "net.core.somaxconn";
const SYN_BACKLOG: &str = "net.ipv4.tcp_max_syn_backlog";
const RETRIES_KEY: &str = "net.ipv4.tcp_synack_retries";
const TRACKED: &str = "net.netfilter.nf_conntrack_max";

#[test]
fn each_value_gets_its_judgement() {
    // Key, value, wanted, binds.
    let table: [(&'static str, &str, Option<&str>, bool); 17] = [
        (COOKIES, "0", Some("1"), true),
        (COOKIES, "1", None, true),
        (COOKIES, "2", Some("1"), true),
        (SOMAXCONN, "128", Some("1024"), false),
        (SOMAXCONN, "1024", None, false),
        (SOMAXCONN, "4096", None, false),
        (RETRIES_KEY, "0", Some("2"), true),
        (RETRIES_KEY, "2", None, true),
        (RETRIES_KEY, "3", None, true),
        (RETRIES_KEY, "5", Some("3"), true),
        (RETRIES_KEY, "255", Some("3"), true),
        ("net.ipv4.tcp_abort_on_overflow", "0", None, false),
        ("net.ipv4.tcp_abort_on_overflow", "1", Some("0"), true),
        ("net.ipv4.conf.all.rp_filter", "1", None, false),
        ("net.core.netdev_max_backlog", "1000", None, false),
        ("net.core.netdev_budget", "300", None, false),
        (TRACKED, "65536", None, true),
    ];
    for (key, value, wanted, binds) in table {
        let judged = one(&facts(&[(key, value)]), key);
        assert_eq!((judged.wanted.as_deref(), judged.binds), (wanted, binds), "{key} = {value}: {}", judged.why);
        assert!(judged.why.len() > 30, "{key} = {value} is not explained");
    }
}

#[test]
fn a_setting_that_the_kernel_does_not_have_is_not_judged() {
    assert!(plan(&facts(&[]), None).settings.is_empty());
}

#[test]
fn max_syn_backlog_is_said_to_bind_only_without_cookies() {
    let with = one(&facts(&[(COOKIES, "1"), (SYN_BACKLOG, "128")]), SYN_BACKLOG);
    assert!(!with.binds && with.why.contains("not used"), "{}", with.why);
    let without = one(&facts(&[(COOKIES, "0"), (SYN_BACKLOG, "128")]), SYN_BACKLOG);
    assert!(without.binds && without.why.contains("96"), "{}", without.why);
}

#[test]
fn queues_that_overflowed_are_made_longer() {
    let mut facts = facts(&[("net.core.netdev_max_backlog", "1000"), ("net.core.netdev_budget", "300")]);
    facts.received = Received { packets: 1_000_000, dropped: 5000, squeezed: 500 };
    assert_eq!(one(&facts, "net.core.netdev_max_backlog").wanted.as_deref(), Some("4000"));
    assert_eq!(one(&facts, "net.core.netdev_budget").wanted.as_deref(), Some("600"));
}

#[test]
fn connection_tracking_is_made_larger_where_it_fills_and_memory_allows() {
    let mut facts = facts(&[(TRACKED, "65536")]);
    facts.conntrack = Some(Conntrack { count: 60_000, max: 65_536, in_use: true });
    let judged = one(&facts, TRACKED);
    assert_eq!((judged.wanted.as_deref(), judged.memory_bytes), (Some("262144"), Some(65_536 * 3 * 320)));
    facts.memory = 512 << 20;
    assert_eq!(one(&facts, TRACKED).wanted, None, "a sixteenth of 512 MiB is less");
    facts.conntrack = Some(Conntrack { in_use: false, count: 0, max: 65_536 });
    assert!(!one(&facts, TRACKED).binds);
}

#[test]
fn what_binds_a_listener_is_named() {
    let values = [(COOKIES, "1"), (SOMAXCONN, "4096"), (SYN_BACKLOG, "256")];
    let cases = [
        // Cookies, backlog in force, backlog asked for; what binds, how many fit.
        ("1", 511, 511, Binds::Application, 512),
        ("1", 4096, 8192, Binds::Somaxconn, 4097),
        ("0", 511, 511, Binds::MaxSynBacklog, 192),
        ("0", 100, 100, Binds::Application, 101),
    ];
    for (cookies, backlog, asked, binds, fit) in cases {
        let mut facts = facts(&values);
        facts.values.insert(COOKIES, cookies.into());
        facts.listeners = vec![listener(80, backlog, Application::Nginx, asked)];
        let judged = &plan(&facts, None).listeners[0];
        assert_eq!((judged.binds, judged.syn_queue), (binds, fit), "{cookies} {backlog} {asked}");
    }
}

#[test]
fn a_short_backlog_gets_advice_in_the_applications_own_words() {
    let mut facts = facts(&[(COOKIES, "1"), (SOMAXCONN, "4096")]);
    for (application, words) in [
        (Application::Nginx, "listen 80 backlog=1024;"),
        (Application::Apache, "ListenBacklog 1024"),
        (Application::Systemd, "Backlog=1024"),
        (Application::Postfix, "process limit"),
        (Application::Sshd, "compiled in"),
        (Application::Other("x".into()), "listen() to 1024"),
    ] {
        facts.listeners = vec![listener(80, 128, application, 128)];
        let judged = &plan(&facts, None).listeners[0];
        assert!(judged.todo.as_ref().unwrap().contains(words), "{:?}", judged.todo);
        assert_eq!(judged.wanted, Some(1024));
    }
    facts.listeners = vec![listener(80, 2048, Application::Nginx, 2048)];
    assert_eq!(plan(&facts, None).listeners[0].todo, None);
    facts.listeners[0].service.local = "127.0.0.1:80".parse().unwrap();
    facts.listeners[0].service.backlog = 5;
    assert_eq!(plan(&facts, None).listeners[0].todo, None, "no flood comes to a loopback address");
}

#[test]
fn an_application_that_asks_for_more_than_somaxconn_is_given_it() {
    let mut facts = facts(&[(SOMAXCONN, "128")]);
    facts.listeners = vec![listener(80, 128, Application::Nginx, 8192)];
    let judged = one(&facts, SOMAXCONN);
    assert_eq!((judged.wanted.as_deref(), judged.binds), (Some("8192"), true));
    assert_eq!(judged.memory_bytes, Some((8192 - 128) * 320));
    facts.listeners = vec![listener(80, 128, Application::Other("go".into()), u32::MAX)];
    assert_eq!(one(&facts, SOMAXCONN).wanted.as_deref(), Some("1024"), "as much as there is, is no number");
}

#[test]
fn a_busy_host_needs_more() {
    let mut facts = facts(&[(SOMAXCONN, "4096")]);
    facts.arrivals = Arrivals { connections: 1_000_000, overflows: 3, seconds: 1000 };
    let plan = plan(&facts, None);
    // 1000/s on average, 10 000/s at the peak, 3000 under way, 12 000 with room.
    assert_eq!(plan.needed_backlog, 16_384);
    assert_eq!(plan.settings[0].wanted.as_deref(), Some("16384"));
}

#[test]
fn steps_have_inverses_and_the_file_for_the_next_boot_keeps_what_it_had() {
    let facts = facts(&[(COOKIES, "0"), (RETRIES_KEY, "5"), (SOMAXCONN, "4096")]);
    let text = Some("# ours\nnet.core.somaxconn = 4096\nnet.ipv4.tcp_syncookies = 0\n".to_owned());
    let boot = BootFile { path: "/x/y.conf".into(), text: text.clone() };
    let steps = plan(&facts, Some(&boot)).steps;
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[0], Step::Sysctl { key: COOKIES.into(), from: "0".into(), to: "1".into() });
    let Step::File { from, to: Some(to), .. } = &steps[2] else { panic!("{:?}", steps[2]) };
    assert_eq!(*from, text);
    let expected = [(COOKIES, "1"), (RETRIES_KEY, "3"), (SOMAXCONN, "4096")];
    assert_eq!(lines(to), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert!(plan(&facts, None).steps.iter().all(|step| matches!(step, Step::Sysctl { .. })));
}

#[test]
fn nothing_to_change_is_no_step_and_no_file() {
    let facts = facts(&[(COOKIES, "1"), (SOMAXCONN, "4096"), (RETRIES_KEY, "3")]);
    let boot = BootFile { path: "/x/y.conf".into(), text: None };
    assert!(plan(&facts, Some(&boot)).steps.is_empty());
}

#[test]
fn a_file_that_sets_it_back_at_boot_is_named() {
    let mut facts = facts(&[(RETRIES_KEY, "5")]);
    facts.at_boot = vec![(RETRIES_KEY.into(), "5".into(), "/etc/sysctl.d/zz-tuning.conf".into())];
    assert!(one(&facts, RETRIES_KEY).why.contains("zz-tuning.conf"));
    facts.at_boot = vec![(RETRIES_KEY.into(), "5".into(), "/etc/sysctl.d/10-tuning.conf".into())];
    assert!(!one(&facts, RETRIES_KEY).why.contains("tuning.conf"), "ours comes later");
}
