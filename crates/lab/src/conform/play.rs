//! Plays a case against a server: sends what it says, and compares what comes.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::flow::{Flow, Reaction, State, is_after};
use super::place::Place;
use super::script::{Act, Case, Shape, Step};
use super::tap::Tap;
use super::wire::{ACK, ECE, FIN, PSH, RST, SYN, Segment, too_big};
use crate::topology::{MAC_ROUTER, MAC_SERVER};
use crate::{Error, Result};

/// How long something that must come is waited for: two retransmissions of a SYN (RFC 6298: after 1 and 3 s) and time for a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long nothing must come where nothing may.
const SILENCE: Duration = Duration::from_millis(500);
/// How long data is left unacknowledged before it is sent again.
const AGAIN: Duration = Duration::from_millis(700);
/// The largest piece of data that is sent at once, in bytes: it fits any path.
const PIECE: usize = 500;
/// What is sent to the server, and by whom.
const MACS: [[u8; 6]; 2] = [MAC_SERVER, MAC_ROUTER];

/// Why a case did not pass.
#[derive(Debug)]
pub(super) enum Fault {
    /// What was asked for did not hold.
    Wrong(String),
    /// The lab failed, not who is tried.
    Lab(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Lab(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Lab(Error::io("send or hear a frame")(error))
    }
}

/// What a step comes to.
type Done<T = ()> = std::result::Result<T, Fault>;

fn wrong<T>(what: impl Into<String>) -> Done<T> {
    Err(Fault::Wrong(what.into()))
}

/// How a case went.
#[derive(Debug)]
pub(super) struct Played {
    /// The step that it ended at, and why; `None` if it passed.
    pub(super) fault: Option<(String, Fault)>,
    /// Every segment, in words.
    pub(super) log: Vec<String>,
}

/// A case being played.
struct Player<'place> {
    place: &'place Place,
    tap: Tap,
    port: u16,
    family: u8,
    flows: Vec<Flow>,
    begun: Instant,
    log: Vec<String>,
    /// Whether the step before this one sent something: what is heard then is still to be looked at.
    sending: bool,
}

/// Plays a case.
///
/// # Errors
///
/// What kept it from beginning.
pub(super) fn play(place: &Place, case: &Case, family: u8) -> Result<Played> {
    let remote = place.server(case.service, family);
    let mut player = Player {
        place,
        tap: place.tap()?,
        port: remote.port(),
        family,
        flows: vec![Flow::new(place.address(family), remote)],
        begun: Instant::now(),
        log: Vec::new(),
        sending: false,
    };
    let fault = case.steps.iter().find_map(|step| Some((step.text.clone(), player.step(step).err()?)));
    player.end();
    Ok(Played { fault, log: player.log })
}

impl Player<'_> {
    fn step(&mut self, step: &Step) -> Done {
        let (at, act) = (step.flow, &step.act);
        let sends = matches!(act, Act::Send(_) | Act::Again | Act::TooBig(_));
        if sends && !self.sending {
            self.flow(at).unread.clear();
        }
        self.sending = sends;
        match act {
            Act::Flow { same_address, same_port } => self.add_flow(*same_address, *same_port),
            Act::Send(shape) => return self.send(at, shape),
            Act::Expect(shape) => return self.expect(at, shape),
            Act::Open(shape) => return self.open(at, shape),
            Act::Again => return self.again(at),
            Act::Writes(data) => return self.write(at, data),
            Act::Reads(data) => return self.read(at, data),
            Act::Closes => return self.close(at),
            Act::Closed => return self.await_close(at),
            Act::Rejected => return self.rejected(at),
            Act::Silent(time) => return self.silent(at, *time),
            Act::Wait(time) => return self.pause(*time),
            Act::Socket(wanted) => return self.socket(at, wanted),
            Act::NoSocket => return self.no_socket(at),
            Act::TooBig(mtu) => return self.too_big(at, *mtu),
            Act::Withhold => self.flow(at).confirmed = false,
            Act::Extension(extension) => self.flow(at).extension = *extension,
        }
        Ok(())
    }

    fn flow(&mut self, at: usize) -> &mut Flow {
        &mut self.flows[at]
    }

    fn add_flow(&mut self, same_address: bool, same_port: bool) {
        let first = &self.flows[0];
        let flow = if same_port {
            // The latest with these ends.
            self.flows.iter().rfind(|flow| flow.local == first.local).map_or_else(|| Flow::after(first), Flow::after)
        } else if same_address {
            let port = first.local.port() + self.flows.len() as u16;
            Flow::new(SocketAddr::new(first.local.ip(), port), first.remote)
        } else {
            Flow::new(self.place.address(self.family), first.remote)
        };
        self.flows.push(flow);
    }

    fn note(&mut self, direction: char, at: usize, segment: &Segment) {
        let name = if self.flows.len() > 1 { format!(" {at}") } else { String::new() };
        self.log.push(format!("{:7.3}{name} {direction} {segment}", self.begun.elapsed().as_secs_f64()));
    }

    fn send(&mut self, at: usize, shape: &Shape) -> Done {
        if !shape.data.is_empty() && !shape.ghost {
            self.await_window(at)?;
        }
        self.send_now(at, shape)
    }

    /// Where the server's window is shut, as a proxy's is that waits for its own server, data has to wait, and the ACK goes alone.
    fn await_window(&mut self, at: usize) -> Done {
        let shut = |flow: &Flow| flow.state == State::Open && flow.their_window == 0;
        if !shut(self.flow(at)) {
            return Ok(());
        }
        if !self.flow(at).confirmed {
            self.send_now(at, &Shape { flags: ACK, ..Shape::default() })?;
        }
        self.until(PATIENCE, |player| Ok(!shut(player.flow(at)))).map(drop)
    }

    fn send_now(&mut self, at: usize, shape: &Shape) -> Done {
        let segment = self.flow(at).make(shape);
        let frame = segment.frame(&shape.raw, MACS, self.flow(at).extension);
        if shape.ghost {
            return Ok(());
        }
        if segment.flags & (SYN | ACK) == SYN {
            self.flow(at).syn = Some((segment.clone(), frame.clone()));
        }
        self.transmit(at, segment, frame)
    }

    fn transmit(&mut self, at: usize, segment: Segment, frame: Vec<u8>) -> Done {
        self.note('>', at, &segment);
        self.tap.send_surely(&frame)?;
        self.flow(at).last = Some((segment, frame));
        Ok(())
    }

    fn again(&mut self, at: usize) -> Done {
        match self.flow(at).last.clone() {
            Some((segment, frame)) => self.transmit(at, segment, frame),
            None => wrong("nothing was sent yet"),
        }
    }

    /// The next segment for one of the flows, taken in and answered as any TCP would; `None` when the time is over. A SYN without an answer
    /// is sent again meanwhile.
    fn next(&mut self, until: Instant) -> Done<Option<(usize, Segment)>> {
        loop {
            self.repeat_syns()?;
            let due = self.flows.iter().filter_map(|flow| flow.syn_due).min();
            let frame = self.tap.receive(due.map_or(until, |due| due.min(until)))?;
            let Some(frame) = frame else {
                if Instant::now() >= until {
                    return Ok(None);
                }
                continue;
            };
            let Some(segment) = Segment::parse(&frame) else { continue };
            let Some(at) = self.flows.iter().rposition(|flow| flow.owns(&segment)) else { continue };
            self.note('<', at, &segment);
            let reaction = self.flow(at).take(&segment).map_err(Fault::Wrong)?;
            self.react(at, &reaction, &segment)?;
            return Ok(Some((at, segment)));
        }
    }

    fn react(&mut self, at: usize, reaction: &Reaction, segment: &Segment) -> Done {
        match reaction {
            Reaction::Nothing => Ok(()),
            Reaction::Acknowledge => self.send(at, &Shape { flags: ACK, ..Shape::default() }),
            Reaction::ResetAndSynAgain => {
                let flow = self.flow(at);
                let mut reset = Segment {
                    from: flow.local,
                    to: flow.remote,
                    seq: segment.ack,
                    ack: 0,
                    flags: RST,
                    ..segment.clone()
                };
                (reset.data, reset.options, reset.window) = (Vec::new(), super::wire::Options::default(), 0);
                let frame = reset.frame(&[], MACS, self.flow(at).extension);
                self.note('>', at, &reset);
                self.tap.send_surely(&frame)?;
                // Linux waits for 10 ms.
                self.flow(at).syn_due = Some(Instant::now() + Duration::from_millis(10));
                Ok(())
            }
        }
    }

    fn repeat_syns(&mut self) -> Done {
        for at in 0..self.flows.len() {
            let flow = &mut self.flows[at];
            if flow.syn_due.is_none_or(|due| due > Instant::now()) {
                continue;
            }
            flow.syn_wait *= 2;
            flow.syn_due = Some(Instant::now() + flow.syn_wait);
            if let Some((segment, frame)) = flow.syn.clone() {
                self.note('>', at, &segment);
                self.tap.send_surely(&frame)?;
            }
        }
        Ok(())
    }

    /// Hears until `ready` says that it is done, or the time is over.
    fn until(&mut self, patience: Duration, mut ready: impl FnMut(&mut Self) -> Done<bool>) -> Done<bool> {
        let until = Instant::now() + patience;
        loop {
            if ready(self)? {
                return Ok(true);
            }
            if self.next(until)?.is_none() {
                return ready(self);
            }
        }
    }

    fn expect(&mut self, at: usize, shape: &Shape) -> Done {
        let mut others = Vec::new();
        let found = self.until(shape.within.unwrap_or(PATIENCE), |player| {
            while let Some(segment) = player.flow(at).unread.pop_front() {
                match player.fits(at, shape, &segment) {
                    Ok(()) => return Ok(true),
                    Err(_) if segment.has(RST) && shape.flags & RST == 0 && player.flow(at).reset => {
                        return wrong("RST came");
                    }
                    Err(why) => others.push(format!("{segment} ({why})")),
                }
            }
            Ok(false)
        })?;
        match (found, others.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => wrong("nothing came"),
            (false, false) => wrong(format!("instead came {}", others.join("; "))),
        }
    }

    /// Whether a segment is the expected one.
    fn fits(&mut self, at: usize, shape: &Shape, segment: &Segment) -> std::result::Result<(), String> {
        let flow = self.flow(at);
        let must = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let compared = SYN | ACK | FIN | RST;
        must(segment.flags & compared == shape.flags & compared, "other flags")?;
        let due = flow.next.wrapping_add(shape.ack as u32);
        must(shape.any_ack || !segment.has(ACK) || segment.ack == due, "another acknowledgement")?;
        must(shape.data.is_empty() || segment.data == shape.data, "other data")?;
        must(shape.len_max.is_none_or(|most| segment.data.len() <= most), "too long")?;
        let options = &segment.options;
        must(shape.mss.is_none_or(|mss| options.mss == Some(mss)), "another MSS")?;
        must(shape.scale.is_none_or(|scale| options.scale == Some(scale)), "another window scale")?;
        must(!shape.sack || options.sack, "no SACK")?;
        must(!shape.timestamps || options.timestamps.is_some(), "no timestamps")?;
        for (names, wanted) in [(&shape.with, true), (&shape.without, false)] {
            for name in names {
                let there = match &name[..] {
                    "mss" => options.mss.is_some(),
                    "wscale" => options.scale.is_some(),
                    "sack" => options.sack,
                    "sack-block" => !options.blocks.is_empty(),
                    "ts" => options.timestamps.is_some(),
                    "ece" => segment.has(ECE),
                    _ => !segment.data.is_empty(),
                };
                must(there == wanted, &format!("{}{name}", if wanted { "no " } else { "with " }))?;
            }
        }
        Ok(())
    }

    fn open(&mut self, at: usize, shape: &Shape) -> Done {
        self.send(at, shape)?;
        let open = self.until(PATIENCE, |player| match player.flow(at) {
            flow if flow.reset => wrong("RST came in answer to the SYN"),
            flow => Ok(flow.state == State::Open),
        })?;
        if !open {
            return wrong("no SYN-ACK came");
        }
        self.send(at, &Shape { flags: ACK, ..Shape::default() })
    }

    fn write(&mut self, at: usize, data: &[u8]) -> Done {
        let piece = |bytes: &[u8]| Shape { flags: ACK | PSH, data: bytes.to_vec(), ..Shape::default() };
        let mut sent = Vec::new();
        for bytes in data.chunks(PIECE) {
            self.send(at, &piece(bytes))?;
            sent.extend(self.flow(at).last.clone());
        }
        let end = self.flow(at).next;
        self.deliver(at, end, &sent)
    }

    /// Waits until everything up to a number is acknowledged, and sends it again until then.
    fn deliver(&mut self, at: usize, end: u32, sent: &[(Segment, Vec<u8>)]) -> Done {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let done = self.until(AGAIN, |player| match player.flow(at) {
                flow if flow.reset => wrong("RST came"),
                flow => Ok(!is_after(end, flow.acknowledged)),
            })?;
            if done {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return wrong("what was sent is never acknowledged");
            }
            let acknowledged = self.flow(at).acknowledged;
            for (segment, frame) in sent {
                if is_after(segment.seq.wrapping_add(segment.length()), acknowledged) {
                    self.transmit(at, segment.clone(), frame.clone())?;
                }
            }
        }
    }

    fn read(&mut self, at: usize, wanted: &[u8]) -> Done {
        self.until(PATIENCE, |player| match player.flow(at) {
            flow if flow.reset && flow.stream.len() < wanted.len() => wrong("RST came"),
            flow => Ok(flow.stream.len() >= wanted.len()),
        })?;
        let flow = self.flow(at);
        let size = wanted.len().min(flow.stream.len());
        let heard: Vec<u8> = flow.stream.drain(..size).collect();
        if heard == wanted {
            return Ok(());
        }
        if wanted.starts_with(&heard) {
            return wrong(format!("{size} of {} bytes came", wanted.len()));
        }
        wrong(format!("other data came: {:?}", String::from_utf8_lossy(&heard[..size.min(40)])))
    }

    fn close(&mut self, at: usize) -> Done {
        self.send(at, &Shape { flags: FIN | ACK, ..Shape::default() })?;
        let sent: Vec<_> = self.flow(at).last.clone().into_iter().collect();
        let end = self.flow(at).next;
        self.deliver(at, end, &sent)
    }

    fn await_close(&mut self, at: usize) -> Done {
        let closed = self.until(PATIENCE, |player| match player.flow(at) {
            flow if flow.reset => wrong("RST came"),
            flow => Ok(flow.finished),
        })?;
        if closed { Ok(()) } else { wrong("the server does not close") }
    }

    /// RST with the number that was acknowledged, or nothing at all: who is under attack need not answer what nobody asked for.
    fn rejected(&mut self, at: usize) -> Done {
        let asked = self.flow(at).last.as_ref().map(|(segment, _)| segment.clone());
        self.until(SILENCE, |player| {
            while let Some(segment) = player.flow(at).unread.pop_front() {
                let number = asked.as_ref().filter(|asked| asked.has(ACK)).map(|asked| asked.ack);
                if !segment.has(RST) {
                    return wrong(format!("it was answered with {segment}"));
                }
                if number.is_some_and(|number| segment.seq != number) {
                    return wrong("RST with another number than was acknowledged (RFC 9293, 3.10.7.2)");
                }
            }
            Ok(false)
        })?;
        self.flow(at).reset = false;
        self.no_socket(at)
    }

    fn silent(&mut self, at: usize, time: Duration) -> Done {
        self.until(time, |player| match player.flow(at).unread.pop_front() {
            Some(segment) => wrong(format!("there came {segment}")),
            None => Ok(false),
        })?;
        Ok(())
    }

    fn pause(&mut self, time: Duration) -> Done {
        self.until(time, |_| Ok(false)).map(drop)
    }

    /// Waits until the server's socket is as wanted.
    fn socket(&mut self, at: usize, wanted: &[(String, Option<u64>)]) -> Done {
        let (local, port) = (self.flow(at).local, self.port);
        let said_ece = self.flow(at).agreed.as_ref().is_some_and(|agreed| agreed.has(ECE));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.place.connection(port, local)?;
            let why = match &found {
                None => Some("the server has no connection".into()),
                Some(socket) => wanted.iter().find_map(|(name, value)| {
                    let holds = match (&name[..], value) {
                        ("wscale", Some(value)) => {
                            socket.window_scale.is_some_and(|(send, _)| u64::from(send) == *value)
                        }
                        ("no-wscale", _) => socket.window_scale.is_none_or(|(send, _)| send == 0),
                        ("sack", _) => socket.sack,
                        ("no-sack", _) => !socket.sack,
                        ("ts", _) => socket.timestamps,
                        ("no-ts", _) => !socket.timestamps,
                        ("ecn-as-said", _) => socket.ecn == said_ece,
                        ("mss", Some(most)) => socket.mss.is_some_and(|mss| u64::from(mss) <= *most),
                        _ => false,
                    };
                    (!holds).then(|| format!("the server's socket has it otherwise ({name}): {}", socket.raw))
                }),
            };
            match why {
                None => return Ok(()),
                Some(why) if Instant::now() >= deadline => return wrong(why),
                Some(_) => self.pause(Duration::from_millis(50))?,
            }
        }
    }

    fn no_socket(&mut self, at: usize) -> Done {
        let (local, port) = (self.flow(at).local, self.port);
        let deadline = Instant::now() + Duration::from_secs(3);
        while self.place.connection(port, local)?.is_some() {
            if Instant::now() >= deadline {
                return wrong("the server has a connection");
            }
            self.pause(Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn too_big(&mut self, at: usize, mtu: u16) -> Done {
        let flow = self.flow(at);
        let Some(segment) = flow.last_data.clone() else { return wrong("no data came that could be too big") };
        let server = flow.server();
        self.log.push(format!("{:7.3} > ICMP: too big for {mtu} bytes", self.begun.elapsed().as_secs_f64()));
        self.tap.send_surely(&too_big(self.place.router(server), &segment, mtu, MACS))?;
        Ok(())
    }

    /// Leaves nothing behind at the server: whatever is open is reset.
    fn end(&mut self) {
        for at in 0..self.flows.len() {
            if self.flows[at].state == State::Open && !self.flows[at].reset {
                // The case is over; a frame that cannot be sent now is nobody's concern.
                let _ = self.send(at, &Shape { flags: RST | ACK, ..Shape::default() });
            }
        }
    }
}
