//! What a challenge costs a real mail client under a flood: once, and little.

use std::time::Duration;

use sekisho_lab::run;
use sekisho_lab::servers::Postfix;
use sekisho_lab::topology::client4;
use sekisho_tests::Scene;
use serde_json::Value;

use crate::{arm, server};

/// Twenty addresses at once, ten mails each, one after the other; each prints how long it took to connect and to be done.
const MAILS: &str = r#"
import json, smtplib, sys, threading, time

class Timed(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        begin = time.monotonic()
        found = super()._get_socket(host, port, timeout)
        self.connected = time.monotonic() - begin
        return found

def mails(address, out):
    for n in range(10):
        try:
            smtp = Timed(sys.argv[1], 25, "client.example", 30, (address, 0))
            smtp.sendmail("a@client.example", ["b@lab.example"], "Subject: %d\r\n\r\nfrom %s\r\n" % (n, address))
            smtp.quit()
            out.append([n, smtp.connected])
        except Exception as failed:
            print(address, n, repr(failed), file=sys.stderr)

out = []
threads = [threading.Thread(target=mails, args=(address, out)) for address in sys.argv[2:]]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(out))
"#;

/// How long it took to connect: the first contact of each address, and all later ones.
struct Mails {
    sent: usize,
    first: Duration,
    later: Duration,
}

fn mails(scene: &Scene, addresses: std::ops::Range<usize>) -> Mails {
    let mut python = scene.client.command("python3");
    python.args(["-c", MAILS, &server(25).ip().to_string()]);
    python.args(addresses.map(|n| client4(n).to_string()));
    let printed = run::output(&mut python).unwrap();
    let all: Vec<(u64, f64)> = serde_json::from_str::<Vec<Value>>(&printed)
        .unwrap()
        .iter()
        .map(|mail| (mail[0].as_u64().unwrap(), mail[1].as_f64().unwrap()))
        .collect();
    let median = |first: bool| {
        let mut times: Vec<f64> = all.iter().filter(|(n, _)| (*n == 0) == first).map(|(_, time)| *time).collect();
        times.sort_by(f64::total_cmp);
        Duration::from_secs_f64(times[times.len() / 2])
    };
    Mails { sent: all.len(), first: median(true), later: median(false) }
}

#[test]
fn two_hundred_mails_under_flood() {
    let scene = Scene::new();
    let _postfix = Postfix::start(&scene.server, &[server(25)], 128).unwrap();
    let calm = mails(&scene, 40..60);
    let sekisho = scene.protect("");
    let flood = arm(&scene, &sekisho, 25, 300_000);
    let doors = sekisho.verdict("syn_door");
    let under = mails(&scene, 0..20);
    let (doors, known) = (sekisho.verdict("syn_door") - doors, sekisho.verdict("syn_verified"));
    let sent = flood.stop().unwrap();
    println!(
        "{} SYN/s; {} mails sent; to connect, first {:?} and later {:?} (without flood: {:?} and {:?}); {doors} by challenge, {known} known",
        sent.rate() as u64,
        under.sent,
        under.first,
        under.later,
        calm.first,
        calm.later
    );
    assert_eq!((calm.sent, under.sent), (200, 200), "mails sent");
    // A round trip in the lab is well below a millisecond, so the calm median stands for it.
    assert!(under.first <= calm.first * 2 + Duration::from_millis(50), "first contact: {:?}", under.first);
    assert!(under.later <= calm.later + Duration::from_millis(10), "later contacts: {:?}", under.later);
    assert!(doors >= 10, "most first contacts were challenged: {doors} of 20");
    assert!(known >= 150, "the later contacts were of known addresses: {known} of 180");
}
