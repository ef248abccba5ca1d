//! The long road: as long as it is said to be, and no shorter.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sekisho_lab::clients::connect_from;
use sekisho_lab::road::{DISTANT, Distant, Length, distant_for};
use sekisho_lab::servers::Tiny;
use sekisho_lab::topology::{Host, SERVER4, SERVER6};
use sekisho_lab::wait::PATIENCE;

#[test]
fn a_distant_client_takes_its_time() {
    let host = Host::new().unwrap();
    let _server = Tiny::http(&host.server, SERVER4, 80, 128).unwrap();
    let delay = Duration::from_millis(60);
    let distant = Distant::new(&host, Length { delay, rate: Some(10_000_000) }).unwrap();
    let connect = || {
        let begin = Instant::now();
        let target = SocketAddr::new(SERVER4, 80);
        let connected = distant.client.run(|| connect_from(Some(DISTANT), target, PATIENCE)).unwrap();
        connected.unwrap();
        begin.elapsed()
    };
    let times: Vec<_> = (0..5).map(|_| connect()).collect();
    println!("{times:?}");
    assert!(times.iter().all(|time| *time >= 2 * delay), "there and back: {times:?}");
    // A retransmitted SYN would show as a second more; a busy machine may be late in one or two.
    assert!(times.iter().filter(|time| **time < Duration::from_millis(900)).count() >= 3, "{times:?}");
    // Over IPv6, and from the last of its addresses. Port 1 has no listener, so the answer is RST.
    for target in [SERVER4, SERVER6] {
        let begin = Instant::now();
        let nobody = SocketAddr::new(target, 1);
        let answer = distant.client.run(|| connect_from(Some(distant_for(target, 99)), nobody, PATIENCE)).unwrap();
        assert_eq!(answer.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "{target}");
        assert!(begin.elapsed() >= 2 * delay, "{target}: there and back");
    }
    assert_eq!(distant.lost(), 0);
}
