//! The nftables backend: what a host without XDP or BPF has. Real servers under 100 000 spoofed SYN/s, a table that reads well, and a
//! ruleset that is afterwards what it was, byte for byte. Needs root, nft, nginx, Postfix and OpenSSH.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use sekisho_lab::clients::{Crowd, Seen};
use sekisho_lab::counters;
use sekisho_lab::flood::Shot;
use sekisho_lab::middle::Rules;
use sekisho_lab::servers::{Nginx, Postfix, Sshd};
use sekisho_lab::topology::{SERVER4, SERVER6, client4, client6};
use sekisho_lab::{Netns, wait};
use sekisho_tests::{Launch, PATIENCE, Scene, Sekisho, program};

const RATE: u32 = 100_000;
const VISITS: usize = 200;

fn launch(scene: &Scene, config: &str) -> Sekisho {
    let arguments = ["--interface", "eth0", "--backend", "nftables"];
    Launch::new(&scene.server).arguments(&arguments).config(config).start()
}

/// What `nft` prints in a namespace.
fn nft(namespace: &Netns, words: &[&str]) -> String {
    let output = namespace.command("nft").args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Visits a service while it is flooded; tried again where the machine was busy with something else.
///
/// A cookie is lost with the client's one ACK where the server speaks first (`docs/operations/nftables.md`), so what the receive ring had no
/// room for, before any rule could see it, is not held against the table.
fn complete_under_flood(scene: &Scene, target: SocketAddr, crowd: &Crowd) {
    let tried = (0..3).any(|_| {
        let before = counters::frames(&scene.server, "eth0").unwrap();
        let (seen, rate) = under_flood(scene, target, crowd.clone());
        let after = counters::frames(&scene.server, "eth0").unwrap();
        let lost = (after.missed - before.missed) as f64 / (after.arrived() - before.arrived()) as f64;
        println!("{target}: {rate:.0} SYN/s, {:.2} % found no room in the receive ring; {seen}", 100.0 * lost);
        seen.percent() >= 99.5 - 200.0 * lost
    });
    assert!(tried, "{target}: visitors were lost");
}

fn under_flood(scene: &Scene, target: SocketAddr, crowd: Crowd) -> (Seen, f64) {
    let flood = scene.start(Shot::syn(target).rate(RATE).seconds(60));
    wait::until("a flood under way", PATIENCE, || flood.sent() > u64::from(RATE) / 10).unwrap();
    let seen = crowd.visits(VISITS).rate(50).run().unwrap();
    (seen, flood.stop().unwrap().rate())
}

#[test]
fn visitors_of_real_servers_complete_under_a_flood() {
    let scene = Scene::new();
    let (web, mail, shell) = (SocketAddr::new(SERVER4, 80), SocketAddr::new(SERVER4, 25), SocketAddr::new(SERVER6, 22));
    let nginx = Nginx::new().unwrap().listen(web).start(&scene.server).unwrap();
    let postfix = Postfix::start(&scene.server, &[mail], 100).unwrap();
    let sshd = Sshd::start(&scene.server, &[shell]).unwrap();
    scene.server.sysctl("net.ipv4.tcp_syncookies", "0").unwrap();
    let mut sekisho = launch(&scene, "");
    for (target, crowd) in [
        (web, Crowd::http(&scene.client, web, "/")),
        (mail, Crowd::banner(&scene.client, mail, "220 ")),
        (shell, Crowd::banner(&scene.client, shell, "SSH-2.0-")),
    ] {
        complete_under_flood(&scene, target, &crowd);
    }
    sekisho.off();
    assert_eq!(scene.server.sysctl_value("net.ipv4.tcp_syncookies").unwrap(), "0");
    drop((nginx, postfix, sshd));
}

#[test]
fn synproxy_stands_only_before_clients_who_speak_first() {
    let scene = Scene::new();
    let (web, mail) = (SocketAddr::new(SERVER4, 80), SocketAddr::new(SERVER4, 25));
    let nginx = Nginx::new().unwrap().listen(web).start(&scene.server).unwrap();
    let postfix = Postfix::start(&scene.server, &[mail], 100).unwrap();
    let sekisho = launch(&scene, "[nftables]\nsynproxy = true\n");
    let table = nft(&scene.server, &["list", "table", "inet", "sekisho"]);
    assert!(table.contains("ct state invalid,untracked synproxy"), "{table}");
    complete_under_flood(&scene, web, &Crowd::http(&scene.client, web, "/"));
    complete_under_flood(&scene, mail, &Crowd::banner(&scene.client, mail, "220 "));

    // Where addresses are translated it would keep connections from that, so it goes, and comes back.
    let nat = Rules::add(&scene.server, "ip n", "chain post { type nat hook postrouting priority 100; }").unwrap();
    let has = || nft(&scene.server, &["list", "table", "inet", "sekisho"]).contains("synproxy");
    wait::until("synproxy goes", PATIENCE, || !has()).unwrap();
    drop(nat);
    wait::until("synproxy comes back", PATIENCE, has).unwrap();
    drop((sekisho, nginx, postfix));
}

#[test]
fn off_restores_the_ruleset_byte_for_byte_and_the_table_reads_well() {
    let scene = Scene::new();
    let theirs = "chain in { type filter hook input priority 0; tcp dport 23 drop comment \"mine\"; }";
    let rules = Rules::add(&scene.server, "inet theirs", theirs).unwrap();
    let before = nft(&scene.server, &["list", "ruleset"]);
    let mut sekisho = launch(&scene, "[[service]]\nports = [\"9000-9010\"]\nprotect = false\n");

    let table = nft(&scene.server, &["list", "table", "inet", "sekisho"]);
    let lines = table.lines().map(str::trim);
    // Rules are what stands in the chains, after their first line.
    let chains = lines.skip_while(|line| !line.starts_with("chain"));
    let rules_of_it: Vec<&str> =
        chains.filter(|line| !line.is_empty() && !line.starts_with(['t', '}']) || line.starts_with("tcp")).collect();
    let rules_of_it: Vec<&str> = rules_of_it.into_iter().filter(|line| !line.starts_with("chain")).collect();
    assert!(rules_of_it.len() >= 6, "{table}");
    assert!(rules_of_it.iter().all(|line| line.contains("comment \"")), "{table}");
    // What nft prints it takes again, to the letter.
    let again = Netns::new("again").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &table).unwrap();
    let path = file.path().to_str().unwrap();
    nft(&again, &["-c", "-f", path]);
    nft(&again, &["-f", path]);
    assert_eq!(nft(&again, &["list", "ruleset"]), table);

    let status = sekisho.status();
    assert_eq!((&status["protected"], &status["mode"]), (&true.into(), &"guard".into()), "{status:#}");
    assert_eq!(status["nftables"]["reason"], "it was asked for");
    let text = sekisho.command(&["status"]).stdout;
    assert!(text.contains("inet sekisho (nftables)") && text.contains("malformed: SYN and FIN"), "{text}");

    sekisho.kill();
    assert!(nft(&scene.server, &["list", "ruleset"]).contains("table inet sekisho"), "it outlives the daemon");
    sekisho.restart();
    sekisho.off();
    assert_eq!(nft(&scene.server, &["list", "ruleset"]), before);
    drop(rules);
}

#[test]
fn lists_and_limits_of_the_configuration_hold() {
    let scene = Scene::new();
    let (web4, web6) = (SocketAddr::new(SERVER4, 80), SocketAddr::new(SERVER6, 80));
    let nginx = Nginx::new().unwrap().listen(web4).listen(web6).start(&scene.server).unwrap();
    let (admin, other) = (client4(0), client4(1));
    let sekisho = launch(
        &scene,
        &format!(
            "[admin]\nallow = [\"{admin}\"]\n[block]\nprefixes = [\"{other}/24\"]\n[limits]\nsource = 5\nover = \"drop\"\n"
        ),
    );
    // Shorter than a SYN's first repetition, so that each visit is one SYN.
    let visits = |target, source, visits| {
        let crowd = Crowd::http(&scene.client, target, "/").sources(vec![source]).visits(visits).parallel(visits);
        crowd.deadline(Duration::from_millis(900)).run().unwrap()
    };
    assert_eq!(visits(web4, other, 10).complete(), 0);
    let seen = visits(web6, client6(0), 100);
    assert!((5..60).contains(&seen.complete()), "ten at once and five a second: {seen}");
    let seen = visits(web4, admin, 50);
    assert!(seen.complete() > 40, "an admin in a blocked network: {seen}");

    let rules = sekisho.status()["nftables"]["rules"].as_array().unwrap().clone();
    let packets = |comment: &str| rules.iter().find(|rule| rule["comment"] == comment).unwrap()["packets"].as_u64();
    assert!(packets("blocked sources").unwrap() >= 10, "{rules:?}");
    assert!(packets("over the limit of one source").unwrap() >= 40, "{rules:?}");
    let lists = sekisho.status()["lists"].clone();
    assert_eq!((&lists["allowed"]["prefixes"], &lists["blocked"]["prefixes"]), (&1.into(), &1.into()), "{lists}");
    assert!(lists["blocked"]["hits"].as_u64() >= Some(10) && lists["allowed"]["hits"].as_u64() >= Some(50), "{lists}");
    let said = sekisho.command(&["block", "del", &format!("{other}/24")]);
    assert!(said.code == Some(1) && said.stderr.contains("by the configuration"), "{said:?}");
    drop((sekisho, nginx));
}

#[test]
fn lists_change_by_command_with_and_without_a_daemon() {
    let scene = Scene::new();
    let web = SocketAddr::new(SERVER4, 80);
    let nginx = Nginx::new().unwrap().listen(web).start(&scene.server).unwrap();
    let (admin, other) = (client4(0).to_string(), client4(1).to_string());
    let mut sekisho = launch(&scene, &format!("[admin]\nallow = [\"{admin}\"]\n"));
    let visit = |source: usize, patience| {
        let crowd = Crowd::http(&scene.client, web, "/").sources(vec![client4(source)]).visits(4).parallel(4);
        crowd.deadline(patience).run().unwrap().complete()
    };
    let passes = |source| visit(source, Duration::from_secs(10)) > 0;
    let is_blocked = |source| visit(source, Duration::from_millis(900)) == 0;
    let say = |sekisho: &Sekisho, words: &str| sekisho.command(&words.split(' ').collect::<Vec<_>>());
    let done = |sekisho: &Sekisho, words: &str| {
        let said = say(sekisho, words);
        assert_eq!(said.code, Some(0), "{words}: {said:?}");
        said.stdout
    };
    let hits = |sekisho: &Sekisho| sekisho.status()["lists"]["blocked"]["hits"].as_u64().unwrap();

    assert!(passes(1));
    done(&sekisho, &format!("block add {other} --for 1h --why questions"));
    assert!(is_blocked(1) && passes(0) && passes(2));
    let list = done(&sekisho, "block list");
    assert!(list.contains(&other) && list.contains("command") && list.contains("questions"), "{list}");
    let counted = hits(&sekisho);
    assert!(counted >= 4, "{list}");

    // A wider block is refused for the admin's sake; by force it is for everybody.
    let wide = format!("{other}/24");
    let said = say(&sekisho, &format!("block add {wide}"));
    assert!(said.code == Some(1) && said.stderr.contains("is allowed"), "{said:?}");
    done(&sekisho, &format!("block add {wide} --force"));
    assert!(is_blocked(0) && is_blocked(2));
    done(&sekisho, &format!("block del {wide}"));
    assert!(passes(0) && passes(2) && is_blocked(1));
    assert!(hits(&sekisho) >= counted, "what was counted is kept");

    // An allowance goes before a block; without a daemon it goes as well.
    sekisho.kill();
    done(&sekisho, &format!("allow add {other}"));
    assert!(passes(1));
    done(&sekisho, &format!("allow del {other}"));
    assert!(is_blocked(1));
    sekisho.restart();
    assert!(is_blocked(1) && hits(&sekisho) >= counted, "the next daemon knows it");
    done(&sekisho, &format!("block del {other}"));
    assert!(passes(1));
    done(&sekisho, &format!("block add {other} --for 2s"));
    wait::until("it ends by itself", PATIENCE, || passes(1)).unwrap();
    wait::until("the list is empty", PATIENCE, || done(&sekisho, "block list").contains("Nobody")).unwrap();
    drop((sekisho, nginx));
}

#[test]
fn malformed_packets_are_counted_and_dropped_or_when_observing_only_counted() {
    let scene = Scene::new();
    let web = SocketAddr::new(SERVER4, 80);
    let mut sekisho = launch(&scene, "");
    let counted = |sekisho: &Sekisho| {
        let status = sekisho.status();
        let rules = status["nftables"]["rules"].as_array().unwrap().clone();
        let found = rules.iter().find(|rule| rule["comment"] == "malformed: SYN and FIN").unwrap();
        found["packets"].as_u64().unwrap()
    };
    // The client's own SYNs, changed on their way out.
    let odd = "chain out { type filter hook output priority 0; tcp dport 80 tcp flags syn tcp flags set fin | syn; }";
    let rules = Rules::add(&scene.client, "inet odd", odd).unwrap();
    let visit =
        || Crowd::http(&scene.client, web, "/").visits(3).parallel(3).deadline(Duration::from_millis(500)).run();
    assert_eq!(visit().unwrap().complete(), 0);
    assert!(counted(&sekisho) >= 3);
    assert!(nft(&scene.server, &["list", "table", "inet", "sekisho"]).contains("drop"));
    std::fs::write(sekisho.config_file(), "mode = \"observe\"\n").unwrap();
    let said = sekisho.command(&["reload"]);
    assert!(said.code == Some(0), "{said:?}");
    assert!(!nft(&scene.server, &["list", "table", "inet", "sekisho"]).contains("drop"));
    visit().unwrap();
    assert!(counted(&sekisho) >= 3);
    sekisho.off();
    drop(rules);
}

#[test]
fn a_kernel_without_the_means_for_xdp_gets_the_table_and_is_told_why() {
    let scene = Scene::new();
    // Hidden in mounts of the process's own.
    let hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let without = |words: &[&str]| -> Command {
        let mut command = scene.server.exec("sh");
        command.args(["-c", hide, "sh"]).arg(program()).args(words);
        command
    };
    let wanted = ["run", "--interface", "eth0", "--backend", "xdp"];
    let refused = without(&wanted).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("vmlinux is missing"), "{refused:?}");

    let log = tempfile::NamedTempFile::new().unwrap();
    let mut daemon = without(&wanted[..3]).stderr(log.reopen().unwrap()).spawn().unwrap();
    let has =
        || scene.server.command("nft").args(["list", "table", "inet", "sekisho"]).output().unwrap().status.success();
    let waited = wait::until("the table", PATIENCE, has);
    let said = std::fs::read_to_string(log.path()).unwrap();
    let off = scene.server.command(program()).arg("off").output().unwrap();
    daemon.wait().unwrap();
    waited.unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(said.contains("vmlinux is missing") && off.status.success() && !has(), "{said} {off:?}");
}
