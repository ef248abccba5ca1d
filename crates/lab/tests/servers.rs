//! Real servers and real visitors in a calm lab, and what the counters say of them.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sekisho_lab::clients::{Crowd, Outcome, connect_from};
use sekisho_lab::guard::Guard;
use sekisho_lab::servers::{Nginx, Postfix, Process, Sshd, Talk, Tiny, nginx_files};
use sekisho_lab::topology::{Host, SERVER4, SERVER6, client4, client6};
use sekisho_lab::{Netns, counters, run, wait};

fn at(port: u16) -> [SocketAddr; 2] {
    [SERVER4, SERVER6].map(|address| SocketAddr::new(address, port))
}

#[test]
fn nginx_serves_both_families_and_large_files() {
    let host = Host::new().unwrap();
    let [v4, v6] = at(80);
    let _nginx = Nginx::new().unwrap().listen(v4).listen(v6).backlog(64).start(&host.server).unwrap();
    assert_eq!(counters::queues(&host.server, 80).unwrap().backlog, 128, "64 each");
    for target in at(80) {
        let seen =
            Crowd::http(&host.client, target, "/").expect(&nginx_files::page()).visits(40).rate(200).run().unwrap();
        assert_eq!(seen.complete(), 40, "{target}: {seen}");
        let seen = Crowd::http(&host.client, target, "/large").expect(&nginx_files::large()).visits(2).run().unwrap();
        assert_eq!(seen.complete(), 2, "{target}: {seen}");
        let seen = Crowd::http(&host.client, target, "/missing").run().unwrap();
        assert_eq!(seen.outcomes().into_keys().collect::<Vec<_>>(), [Outcome::Wrong]);
    }
}

#[test]
fn nginx_dual_stack_with_reuseport() {
    let host = Host::new().unwrap();
    let _nginx = Nginx::new().unwrap().dual_stack(8080).reuseport(3).start(&host.server).unwrap();
    assert_eq!(counters::queues(&host.server, 8080).unwrap().backlog, 3 * 128);
    for target in at(8080) {
        let seen = Crowd::http(&host.client, target, "/").visits(30).parallel(5).run().unwrap();
        assert_eq!(seen.complete(), 30, "{target}: {seen}");
    }
}

#[test]
fn openssh_speaks_first_and_lets_us_in() {
    let host = Host::new().unwrap();
    let sshd = Sshd::start(&host.server, &at(22)).unwrap();
    for target in at(22) {
        let seen = Crowd::banner(&host.client, target, "SSH-2.0-").visits(10).parallel(5).run().unwrap();
        assert_eq!(seen.complete(), 10, "{target}: {seen}");
    }
    let mut ssh = host.client.command("ssh");
    let said = run::output(ssh.args(sshd.client_options()).arg(SERVER4.to_string()).arg("echo through")).unwrap();
    assert_eq!(said.trim(), "through");
}

#[test]
fn postfix_takes_mail_in_two_namespaces_at_once() {
    let hosts = [Host::new().unwrap(), Host::new().unwrap()];
    let servers = hosts.each_ref().map(|host| Postfix::start(&host.server, &at(25), 128).unwrap());
    for (host, server) in hosts.iter().zip(&servers) {
        assert_eq!(counters::queues(&host.server, 25).unwrap().backlog, 256, "128 for each address");
        for target in at(25) {
            let seen = Crowd::banner(&host.client, target, "220 lab.example").visits(20).parallel(10).run().unwrap();
            assert_eq!(seen.complete(), 20, "{target}: {seen}\n{}", server.log());
        }
        let session = "import smtplib\ns = smtplib.SMTP('198.51.100.10', 25, timeout=20)\n\
                       s.sendmail('a@lab.example', ['b@example.org'], 'Subject: x\\n\\nhello')\ns.quit()\n";
        run::output(host.client.command("python3").args(["-c", session])).unwrap();
        wait::until("the mail discarded", wait::PATIENCE, || server.log().contains("status=sent")).unwrap();
    }
}

#[test]
fn a_paused_server_fills_its_accept_queue_and_resumes() {
    let host = Host::new().unwrap();
    let server = Tiny::http(&host.server, SERVER4, 80, 4).unwrap();
    server.pause();
    let crowd = Crowd::http(&host.client, server.address(), "/").visits(5).parallel(5);
    let seen = crowd.clone().deadline(Duration::from_secs(1)).run().unwrap();
    assert_eq!(seen.complete(), 0, "{seen}");
    let queues = counters::queues(&host.server, 80).unwrap();
    assert_eq!((queues.accept, queues.backlog), (5, 4), "a queue takes one more than its backlog");
    server.resume();
    wait::until("the queue to be worked off", wait::PATIENCE, || server.accepted() >= 5).unwrap();
    let seen = crowd.run().unwrap();
    assert_eq!(seen.complete(), 5, "{seen}");
}

#[test]
fn connections_show_their_options() {
    let host = Host::new().unwrap();
    let everywhere = SocketAddr::new("::".parse().unwrap(), 7);
    let _server = Tiny::start(&host.server, everywhere, 16, Talk::Echo).unwrap();
    for (source, target) in [(client4(3), at(7)[0]), (client6(3), at(7)[1])] {
        let connected = host.client.run(|| connect_from(Some(source), target, Duration::from_secs(10))).unwrap();
        let mut stream = connected.unwrap();
        stream.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");
        let seen = counters::connections(&host.server, 7).unwrap();
        let mine = seen.iter().find(|connection| connection.peer == stream.local_addr().unwrap()).unwrap();
        assert_eq!(mine.peer.ip(), source);
        assert!(mine.sack && mine.timestamps && mine.window_scale.is_some(), "{mine:?}");
        assert_eq!(mine.mss, Some(if source.is_ipv4() { 1448 } else { 1428 }));
    }
}

#[test]
fn ends_with_everything_it_started() {
    let host = Host::new().unwrap();
    let nginx = Nginx::new().unwrap().listen(at(80)[0]).start(&host.server).unwrap();
    let folder = nginx.folder();
    drop(nginx);
    assert!(!folder.exists());
    assert!(!host.server.has_listener(80).unwrap());
    assert!(
        run::output(std::process::Command::new("ip").args(["netns", "pids", host.server.name()])).unwrap().is_empty()
    );
}

/// What ends at once is not waited for, and its own words are told.
#[test]
fn a_program_that_ends_says_why() {
    let namespace = Netns::new("ends").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = namespace.command("sh");
    command.args(["-c", "echo no such database; exit 3"]);
    let mut process = Process::start(command, &log).unwrap();
    let said = process.listens(&namespace, &[80], &log).unwrap_err().to_string();
    assert!(said.contains("exit 3` ended (exit status: 3) before it listened on port 80:\nno such database"), "{said}");
    let said = Guard::start(&namespace, Path::new("/bin/false"), "", &[]).unwrap_err().to_string();
    assert!(said.starts_with("`/bin/false run` ended (exit status: 1) before it was ready"), "{said}");
}
