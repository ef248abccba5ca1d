//! A gate and a listener behind it, which single frames are sent to.

use std::net::{Ipv4Addr, TcpListener};

use sekisho_datapath::abi::Verified;
use sekisho_datapath::test_run::{XDP_DROP, XDP_PASS, XDP_TX};
use sekisho_datapath::{Frame, Limits, Ran, Settings, Unattached, Verdict, VerifiedSource, netns, time};

use super::{SMALL, count, ip, tcp};

pub const SYN: u8 = 2;
/// Any address of 198.18.0.0/15 that a test likes.
pub const SOURCE: u32 = 0xc612_0101;

/// A gate with these limits, a listener on 198.51.100.10:80 behind it.
pub struct Site {
    pub gate: Unattached,
    lo: u32,
    _listener: TcpListener,
}

impl Site {
    pub fn new(limits: Limits) -> Self {
        ip("addr add 198.51.100.10/32 dev lo");
        let listener = TcpListener::bind("198.51.100.10:80").unwrap();
        let gate = Unattached::load(&Settings { limits, ..Settings::default() }, SMALL).unwrap();
        Self { gate, lo: netns::interface_index("lo").unwrap(), _listener: listener }
    }

    /// One frame; what became of it.
    pub fn run(&self, source: u32, flags: u8, port: u16) -> Ran {
        let mut frame = tcp(flags, port);
        frame[26..30].copy_from_slice(&source.to_be_bytes());
        self.gate.run_gate(&Frame::new(&frame).on(self.lo)).unwrap()
    }

    /// The same, where it is enough to know whether it passed.
    pub fn send(&self, source: u32, flags: u8, port: u16) -> u32 {
        self.run(source, flags, port).action
    }

    /// SYNs to the listener from each of these sources; how many passed, were dropped, were answered.
    pub fn syns(&self, sources: impl Iterator<Item = u32>) -> [usize; 3] {
        let mut done = [0; 3];
        for source in sources {
            let action = self.send(source, SYN, 80);
            done[[XDP_PASS, XDP_DROP, XDP_TX].iter().position(|known| *known == action).unwrap()] += 1;
        }
        done
    }

    pub fn count(&self, verdict: Verdict) -> u64 {
        count(self.gate.maps(), verdict)
    }

    pub fn verify(&self, source: u32) {
        let tick = time::tick(time::coarse_ns());
        let entry = Verified { seen: tick, handshakes: 1, limit_tokens: 10 * 1024, ..Verified::default() };
        let entry = Verified { limit_filled: (time::coarse_ns() >> 20) as u32, ..entry };
        self.gate.maps().add_verified(&[VerifiedSource { address: Ipv4Addr::from(source).into(), entry }]).unwrap();
    }
}
