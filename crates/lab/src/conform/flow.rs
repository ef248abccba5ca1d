//! One end of one connection: its numbers, and what must hold of every segment that the other end sends.
//!
//! It is a plain TCP client (RFC 9293) where a script does not say otherwise: it answers an acknowledgement of what it never sent with RST
//! and sends its SYN again, acknowledges what it hears, and repeats itself when nothing comes back.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::script::{Extension, Shape};
use super::wire::{ACK, FIN, Options, RST, SYN, Segment};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    SynSent,
    /// The SYN-ACK was heard.
    Open,
}

/// What a segment asks of us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    Nothing,
    /// An acknowledgement of what was never sent, in SYN-SENT: RST with its number, and the SYN again (RFC 9293, 3.10.7.3).
    ResetAndSynAgain,
    /// Something that takes up sequence space, or the SYN-ACK once more.
    Acknowledge,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) extension: Extension,
    pub(super) state: State,
    /// Our first number, and the next to send.
    pub(super) first: u32,
    pub(super) next: u32,
    /// One beyond the highest number that was sent: further than `next` where a script sends out of order.
    highest: u32,
    /// The highest number that was acknowledged.
    pub(super) acknowledged: u32,
    /// The next number to hear.
    pub(super) expected: u32,
    /// The options that the SYN offered, and those that hold since the SYN-ACK.
    offered: Options,
    pub(super) agreed: Option<Segment>,
    window: u16,
    /// The window that the other end announced last, without its scale: 0 is shut.
    pub(super) their_window: u16,
    /// One beyond the highest number that may be sent to us.
    edge: u32,
    born: Instant,
    clock: u32,
    /// The latest timestamps: ours, and theirs.
    stamp: u32,
    heard: u32,
    /// Whether the handshake's ACK was sent, at least as far as this end knows.
    pub(super) confirmed: bool,
    pub(super) stream: Vec<u8>,
    /// What came before its turn.
    early: Vec<Segment>,
    pub(super) finished: bool,
    pub(super) reset: bool,
    /// What was heard and not looked at by the script.
    pub(super) unread: VecDeque<Segment>,
    pub(super) last_data: Option<Segment>,
    /// The last SYN, and the last segment of any kind, as frames.
    pub(super) syn: Option<(Segment, Vec<u8>)>,
    pub(super) last: Option<(Segment, Vec<u8>)>,
    pub(super) syn_due: Option<Instant>,
    pub(super) syn_wait: Duration,
}

impl Flow {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        let (first, now) = (random(), Instant::now());
        Self {
            local,
            remote,
            extension: Extension::None,
            state: State::Closed,
            first,
            next: first,
            highest: first,
            acknowledged: first,
            expected: 0,
            offered: Options::default(),
            agreed: None,
            window: 64240,
            their_window: 0,
            edge: 0,
            born: now,
            clock: random() >> 1,
            stamp: 0,
            heard: 0,
            confirmed: false,
            stream: Vec::new(),
            early: Vec::new(),
            finished: false,
            reset: false,
            unread: VecDeque::new(),
            last_data: None,
            syn: None,
            last: None,
            syn_due: None,
            syn_wait: Duration::from_secs(1),
        }
    }

    /// Another connection between the same ends, with numbers and timestamps beyond those of the one before.
    pub(super) fn after(before: &Self) -> Self {
        let mut flow = Self::new(before.local, before.remote);
        flow.first = before.next.wrapping_add(100_000);
        (flow.next, flow.highest, flow.acknowledged) = (flow.first, flow.first, flow.first);
        (flow.born, flow.clock) = (before.born, before.clock);
        flow
    }

    /// Whether timestamps are in use.
    fn stamps(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.options.timestamps.is_some())
            && self.offered.timestamps.is_some()
    }

    /// The segment that a shape stands for, at this point of the connection. Counts it as sent.
    pub(super) fn make(&mut self, shape: &Shape) -> Segment {
        let begins = shape.flags & SYN != 0 && shape.flags & ACK == 0 && shape.seq == 0 && self.state != State::Open;
        if begins {
            (self.state, self.next) = (State::SynSent, self.first);
        }
        self.window = shape.window.unwrap_or(self.window);
        let segment = Segment {
            from: self.local,
            to: self.remote,
            seq: self.next.wrapping_add(shape.seq as u32),
            ack: if shape.flags & ACK == 0 { 0 } else { self.expected.wrapping_add(shape.ack as u32) },
            flags: shape.flags,
            window: self.window,
            options: self.options(shape, begins),
            data: shape.data.clone(),
            sound: !shape.bad_checksum,
        };
        if begins {
            self.offered = segment.options.clone();
            self.next = self.first.wrapping_add(1);
            self.syn_due = Some(Instant::now() + self.syn_wait);
        } else if shape.seq == 0 && shape.flags & (RST | SYN) == 0 && !shape.bad_checksum {
            self.next = self.next.wrapping_add(segment.length());
        }
        let ahead = shape.seq > 0 && !shape.data.is_empty() && shape.old == 0;
        let sent = if ahead { segment.seq.wrapping_add(segment.length()) } else { self.next };
        if is_after(sent, self.highest) {
            self.highest = sent;
        }
        self.confirmed |= self.state == State::Open && segment.flags & (ACK | RST) == ACK && shape.ack == 0;
        self.advertise(&segment);
        segment
    }

    fn options(&mut self, shape: &Shape, begins: bool) -> Options {
        let stamped = shape.timestamps
            || (self.stamps() && shape.flags & RST == 0 && !shape.without.iter().any(|name| name == "ts"));
        let stamp = self.clock.wrapping_add(self.born.elapsed().as_millis() as u32).wrapping_sub(shape.old);
        if stamped && shape.old == 0 {
            self.stamp = stamp;
        }
        let echo = if begins { 0 } else { self.heard };
        Options {
            mss: shape.mss,
            scale: shape.scale,
            sack: shape.sack,
            timestamps: stamped.then_some((stamp, echo)),
            ..Options::default()
        }
    }

    /// How far the other end may go after a segment of ours.
    fn advertise(&mut self, segment: &Segment) {
        if !segment.has(ACK) {
            return;
        }
        let scale = match (&self.agreed, self.offered.scale) {
            // More than 14 means 14 (RFC 7323, 2.3).
            (Some(agreed), Some(scale)) if agreed.options.scale.is_some() => scale.min(14),
            _ => 0,
        };
        let edge = segment.ack.wrapping_add(u32::from(segment.window) << scale);
        if self.edge == 0 || is_after(edge, self.edge) {
            self.edge = edge;
        }
    }

    /// The largest segment that may be sent to us, options and data (RFC 6691, RFC 9293, 3.7.1).
    fn largest(&self) -> usize {
        let default = if self.local.is_ipv4() { 536 } else { 1220 };
        usize::from(self.offered.mss.unwrap_or(default))
    }

    /// Takes in what the other end sent.
    ///
    /// # Errors
    ///
    /// What no segment may be, with the standard's section.
    pub(super) fn take(&mut self, segment: &Segment) -> Result<Reaction, String> {
        if !segment.sound {
            return Err("a checksum is wrong (RFC 9293, 3.1)".into());
        }
        let reaction = match self.state {
            State::Closed => Reaction::Nothing,
            State::SynSent => self.take_in_syn_sent(segment)?,
            State::Open => self.take_in_open(segment)?,
        };
        self.unread.push_back(segment.clone());
        Ok(reaction)
    }

    fn take_in_syn_sent(&mut self, segment: &Segment) -> Result<Reaction, String> {
        let wanted = segment.ack == self.first.wrapping_add(1);
        if segment.has(RST) {
            // One that acknowledges nothing of ours is not for us.
            self.reset |= segment.has(ACK) && wanted;
            return Ok(Reaction::Nothing);
        }
        if segment.has(ACK) && !wanted {
            return Ok(Reaction::ResetAndSynAgain);
        }
        if !segment.has(SYN | ACK) {
            return Ok(Reaction::Nothing);
        }
        self.check_synack(segment)?;
        self.state = State::Open;
        self.their_window = segment.window;
        self.syn_due = None;
        self.acknowledged = segment.ack;
        self.expected = segment.seq.wrapping_add(1);
        self.heard = segment.options.timestamps.map_or(0, |(value, _)| value);
        // Until it is acknowledged it may send nothing but itself, and after that what the SYN announced, not scaled (RFC 7323, 2.2).
        self.edge = self.expected.wrapping_add(u32::from(self.window));
        self.agreed = Some(segment.clone());
        Ok(Reaction::Nothing)
    }

    /// An option may be in the SYN-ACK only if it was in the SYN.
    fn check_synack(&self, segment: &Segment) -> Result<(), String> {
        let (theirs, ours) = (&segment.options, &self.offered);
        if theirs.scale.is_some() && ours.scale.is_none() {
            return Err("the SYN-ACK has a window scale that was not offered (RFC 7323, 2.2)".into());
        }
        if theirs.scale.is_some_and(|scale| scale > 14) {
            return Err("the SYN-ACK's window scale is above 14 (RFC 7323, 2.3)".into());
        }
        if theirs.sack && !ours.sack {
            return Err("the SYN-ACK permits SACK, which was not offered (RFC 2018, 2)".into());
        }
        match (theirs.timestamps, ours.timestamps) {
            (Some(_), None) => Err("the SYN-ACK has timestamps that were not offered (RFC 7323, 3.2)".into()),
            (Some((_, echo)), Some(_)) if echo != self.stamp => {
                Err(format!("the SYN-ACK echoes {echo} and not the SYN's timestamp (RFC 7323, 3.2)"))
            }
            _ => Ok(()),
        }
    }

    fn take_in_open(&mut self, segment: &Segment) -> Result<Reaction, String> {
        if segment.has(RST) {
            self.reset = true;
            return Ok(Reaction::Nothing);
        }
        self.their_window = segment.window;
        if segment.has(SYN) {
            // Its SYN-ACK again: the ACK that is sent in answer may be what the other end waits for.
            return Ok(if self.confirmed { Reaction::Acknowledge } else { Reaction::Nothing });
        }
        self.check_timestamps(segment)?;
        if is_after(segment.ack, self.highest) {
            return Err("it acknowledges what was never sent (RFC 9293, 3.4)".into());
        }
        if is_after(segment.ack, self.next) {
            self.next = segment.ack;
        }
        if segment.data.len() + segment.options.size > self.largest() {
            let (size, largest) = (segment.data.len() + segment.options.size, self.largest());
            return Err(format!("a segment of {size} bytes where {largest} are allowed (RFC 9293, 3.7.1)"));
        }
        // One byte is how a window that is shut is tried (RFC 9293, 3.8.6.1).
        let end = segment.seq.wrapping_add(segment.data.len() as u32);
        if segment.data.len() > 1 && is_after(end, self.edge) {
            return Err(format!("{} bytes beyond the window (RFC 9293, 3.4)", end.wrapping_sub(self.edge)));
        }
        if is_after(segment.ack, self.acknowledged) {
            self.acknowledged = segment.ack;
        }
        if segment.length() == 0 {
            return Ok(Reaction::Nothing);
        }
        self.last_data = Some(segment.clone());
        self.early.push(segment.clone());
        self.take_in_turn();
        Ok(if self.confirmed { Reaction::Acknowledge } else { Reaction::Nothing })
    }

    fn check_timestamps(&mut self, segment: &Segment) -> Result<(), String> {
        if !self.stamps() {
            return Ok(());
        }
        let Some((value, echo)) = segment.options.timestamps else {
            return Err("a segment without timestamps, which were agreed upon (RFC 7323, 3.2)".into());
        };
        if is_after(self.heard, value) {
            return Err(format!("its timestamp went back from {} to {value} (RFC 7323, 4.1)", self.heard));
        }
        if is_after(echo, self.stamp) {
            return Err(format!("it echoes {echo}, which was never sent (RFC 7323, 3.2)"));
        }
        self.heard = value;
        Ok(())
    }

    /// Moves on over everything whose turn has come.
    fn take_in_turn(&mut self) {
        while let Some(at) = self.early.iter().position(|segment| !is_after(segment.seq, self.expected)) {
            let segment = self.early.remove(at);
            let known = self.expected.wrapping_sub(segment.seq) as usize;
            let new = segment.data.get(known..).unwrap_or_default();
            self.stream.extend(new);
            self.expected = self.expected.wrapping_add(new.len() as u32);
            if segment.has(FIN)
                && !self.finished
                && self.expected == segment.seq.wrapping_add(segment.data.len() as u32)
            {
                self.finished = true;
                self.expected = self.expected.wrapping_add(1);
            }
        }
    }

    /// Whether this is where a segment belongs.
    pub(super) fn owns(&self, segment: &Segment) -> bool {
        segment.from == self.remote && segment.to == self.local
    }

    /// The other end's address.
    pub(super) fn server(&self) -> IpAddr {
        self.remote.ip()
    }
}

/// Whether one sequence number comes after another (RFC 9293, 3.4).
pub(super) fn is_after(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}

fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(shape: &Shape, theirs: Options) -> (Flow, Segment, Result<Reaction, String>) {
        let mut flow = Flow::new("203.0.113.200:4000".parse().unwrap(), "198.51.100.10:80".parse().unwrap());
        let syn = flow.make(&Shape { flags: SYN, ..shape.clone() });
        let mut synack =
            Segment { from: flow.remote, to: flow.local, seq: 77, ack: syn.seq.wrapping_add(1), ..syn.clone() };
        (synack.flags, synack.options) = (SYN | ACK, theirs);
        if let (Some((_, echo)), Some((value, _))) = (&mut synack.options.timestamps, syn.options.timestamps) {
            *echo = value;
        }
        let taken = flow.take(&synack);
        (flow, synack, taken)
    }

    #[test]
    fn options_that_were_not_offered_are_wrong() {
        let wrong = |theirs| opened(&Shape::default(), theirs).2.unwrap_err();
        assert!(wrong(Options { sack: true, ..Options::default() }).contains("SACK"));
        assert!(wrong(Options { scale: Some(1), ..Options::default() }).contains("window scale"));
        assert!(wrong(Options { timestamps: Some((1, 1)), ..Options::default() }).contains("timestamps"));
    }

    #[test]
    fn an_odd_acknowledgement_is_answered() {
        let mut flow = Flow::new("203.0.113.200:4000".parse().unwrap(), "198.51.100.10:80".parse().unwrap());
        let syn = flow.make(&Shape { flags: SYN, ..Shape::default() });
        let odd = Segment { from: flow.remote, to: flow.local, ack: syn.seq ^ 0x1000, flags: ACK, ..syn };
        assert_eq!(flow.take(&odd), Ok(Reaction::ResetAndSynAgain));
    }

    #[test]
    fn time_does_not_go_back_and_windows_hold() {
        let stamped = Shape { timestamps: true, ..Shape::default() };
        let (mut flow, synack, taken) = opened(&stamped, Options { timestamps: Some((1000, 0)), ..Options::default() });
        assert_eq!(taken, Ok(Reaction::Nothing));
        let ack = flow.make(&Shape { flags: ACK, window: Some(10), ..Shape::default() });
        let echo = ack.options.timestamps.unwrap().0;
        let mut data = Segment { seq: 78, flags: ACK, data: vec![1; 5], ..synack };
        data.options = Options { timestamps: Some((1001, echo)), size: 12, ..Options::default() };
        assert_eq!(flow.take(&data), Ok(Reaction::Acknowledge));
        data.options.timestamps = Some((999, echo));
        assert!(flow.take(&data).unwrap_err().contains("went back"));
        data.options.timestamps = None;
        assert!(flow.take(&data).unwrap_err().contains("without timestamps"));
        assert_eq!(flow.stream, [1; 5]);
        let far = Segment {
            data: vec![1; 600],
            options: Options { timestamps: Some((1002, echo)), ..Options::default() },
            ..data
        };
        assert!(flow.take(&far).unwrap_err().contains("536 are allowed"));
    }
}
