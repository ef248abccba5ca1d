//! TCP sockets by state and source, from sock_diag, each looked at as it comes: a million of them are only counted.

use std::collections::BTreeSet;
use std::io;

use super::super::super::listeners::{self, Socket};
use super::super::super::netlink::{self, Message, attribute};
use super::super::tally::BySource;
use super::super::{Record, SocketCounts, Source, TcpState, Why};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_MSG: usize = 72;
/// `idiag_timer` of a zero-window probe (inet_diag.c, `icsk_pending == ICSK_TIME_PROBE0`).
const TIMER_PROBE: u8 = 4;
/// `idiag_retrans`; of a half-open connection its SYN-ACKs sent again (`inet_req_diag_fill`, net/ipv4/inet_diag.c).
const RETRANSMISSIONS: usize = 3;
/// `tcpi_bytes_received` in `struct tcp_info` (linux/tcp.h, since 4.1).
const BYTES_RECEIVED: usize = 128;
/// Ports of services that answer whoever asks, and so can be made to answer to us.
const SERVICE_PORTS: [u16; 12] = [21, 22, 23, 25, 53, 80, 110, 143, 179, 443, 993, 8080];

#[derive(Debug, Default)]
struct Tally {
    counts: SocketCounts,
    half_open: BySource,
    unanswered: u64,
    established: BySource,
    stalled: BySource,
    silent: BySource,
}

/// Counts this network namespace's sockets into the record.
pub fn look(record: &mut Record) {
    let ports: BTreeSet<u16> = record.listeners.iter().map(|listener| listener.local.port()).collect();
    match count(&ports) {
        Ok(counts) => record.sockets = Some(counts),
        Err(error) => record.unseen(Source::Kernel, None, Why::Failed(error.to_string())),
    }
}

fn count(ports: &BTreeSet<u16>) -> io::Result<SocketCounts> {
    let mut all = Tally::default();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut tally = Tally::default();
        netlink::dump(netlink::SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request(family), |first, message| {
            if first {
                tally = all.clone_counts();
            }
            tally.add(message, ports);
        })?;
        if !tally.is_empty() {
            all = tally;
        }
    }
    Ok(all.finish())
}

/// `struct inet_diag_req_v2` for all states, with `tcp_info`.
fn request(family: i32) -> [u8; 56] {
    let mut request = [0; 56];
    request[0] = family as u8;
    request[1] = libc::IPPROTO_TCP as u8;
    request[2] = 1 << (INET_DIAG_INFO - 1);
    request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
    request
}

impl Tally {
    fn is_empty(&self) -> bool {
        self.counts.by_state.is_empty()
    }

    /// A dump that is begun again begins from what was counted before it.
    fn clone_counts(&self) -> Self {
        Self {
            counts: self.counts.clone(),
            half_open: self.half_open.clone(),
            unanswered: self.unanswered,
            established: self.established.clone(),
            stalled: self.stalled.clone(),
            silent: self.silent.clone(),
        }
    }

    fn add(&mut self, message: Message<'_>, ports: &BTreeSet<u16>) {
        let bytes = message.payload;
        let (Some(socket), Some(state)) = (listeners::parse(message), bytes.get(1).and_then(|state| named(*state)))
        else {
            return;
        };
        *self.counts.by_state.entry(state).or_default() += 1;
        let (source, port) = (socket.remote.ip(), socket.local.port());
        let begun = matches!(state, TcpState::SynReceived | TcpState::SynSent);
        if begun && SERVICE_PORTS.contains(&socket.remote.port()) && state == TcpState::SynReceived {
            self.counts.from_service_ports += 1;
        }
        match state {
            TcpState::SynReceived => {
                self.half_open.add(source, port);
                self.unanswered += u64::from(bytes.get(RETRANSMISSIONS).is_some_and(|sent| *sent > 0));
            }
            TcpState::Established if ports.contains(&port) => self.established(&socket, bytes),
            _ => {}
        }
    }

    fn established(&mut self, socket: &Socket, bytes: &[u8]) {
        let (source, port) = (socket.remote.ip(), socket.local.port());
        self.established.add(source, port);
        // For a connection `backlog` is what waits to be sent (idiag_wqueue).
        if bytes.get(2) == Some(&TIMER_PROBE) && socket.backlog > 0 {
            self.stalled.add(source, port);
        }
        let info = bytes.get(INET_DIAG_MSG..).and_then(|attributes| attribute(attributes, INET_DIAG_INFO));
        let received = info.and_then(|info| info.get(BYTES_RECEIVED..BYTES_RECEIVED + 8)?.try_into().ok());
        if received.map(u64::from_ne_bytes) == Some(0) {
            self.silent.add(source, port);
        }
    }

    fn finish(self) -> SocketCounts {
        SocketCounts {
            half_open: self.half_open.sources(),
            half_open_unanswered: Some(self.unanswered),
            established: self.established.sources(),
            stalled: self.stalled.sources(),
            silent: Some(self.silent.sources()),
            ..self.counts
        }
    }
}

/// The kernel's numbers of states (net/tcp_states.h).
fn named(state: u8) -> Option<TcpState> {
    Some(match state {
        1 => TcpState::Established,
        2 => TcpState::SynSent,
        3 | 12 => TcpState::SynReceived,
        4 => TcpState::FinWait1,
        5 => TcpState::FinWait2,
        6 => TcpState::TimeWait,
        7 => TcpState::Close,
        8 => TcpState::CloseWait,
        9 => TcpState::LastAck,
        10 => TcpState::Listen,
        11 => TcpState::Closing,
        _ => return None,
    })
}
