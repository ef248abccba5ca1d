//! Follows handshakes through a capture, in a table of fixed size.
//!
//! The table has sets of `WAYS` flows, whose keys fill one line of the CPU's cache. A new flow in a full set takes the place of one of
//! two, a finished one first, else the older; a half-open one that has to go is counted as what it was.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::IpAddr;

use super::super::limits::TOP_MAX;
use super::super::tally::{BySource, Frequent, Mix, hash};
use super::super::{Span, Time};
use super::file::Packet;
use super::segment::{ACK, OPTIONS_MAX, RST, Read, SYN, Segment, read};
use super::{Fingerprint, Packets, STEPS_MAX, Step};

/// Flows that are kept: 2^18 of 64 bytes, and 8 for each key, are 18 MiB.
const FLOWS_LOG2: u32 = 18;
const WAYS: usize = 8;
/// Ways of writing a SYN that are counted at once.
const FINGERPRINTS_MAX: usize = 4096;
/// Eight buckets for each power of two of microseconds: each is within a tenth of its neighbours.
const BUCKETS: usize = 64 * 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Asked,
    Answered,
    Established,
    Over,
}

// One line of the CPU's cache each.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Flow {
    fingerprint: u64,
    /// When the last of the handshake was seen, in microseconds.
    at_us: i64,
    /// The client's first sequence number, and the server's.
    first: [u32; 2],
    /// The end of what each has sent.
    end: [u32; 2],
    state: State,
    /// Whether the client is the lower of the two ends, in the order of the key.
    client_is_low: bool,
}

const EMPTY: Flow =
    Flow { fingerprint: 0, at_us: 0, first: [0; 2], end: [0; 2], state: State::Empty, client_is_low: false };

#[derive(Debug, Clone, Copy)]
struct Written {
    options: [u8; OPTIONS_MAX],
    window: u16,
    mss: Option<u16>,
    ttl_begin: u8,
    count: u64,
    completed: u64,
}

/// What is known so far.
#[derive(Debug)]
pub struct Follower {
    found: Packets,
    /// The key of each flow; 0: there is none.
    keys: Vec<u64>,
    flows: Vec<Flow>,
    /// What of a key does not choose its set.
    shift: u32,
    syn_sources: BySource,
    completed_sources: BySource,
    ttl: [u64; 256],
    written: HashMap<u64, Written, BuildHasherDefault<Mix>>,
    round_trips: Vec<u64>,
    first_us: Option<i64>,
    last_us: i64,
    second: i64,
    in_second: Frequent<u16>,
}

impl Default for Follower {
    fn default() -> Self {
        Self::new()
    }
}

impl Follower {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::with_flows(FLOWS_LOG2)
    }

    /// With a table of two to this power of flows, at least one set.
    pub fn with_flows(log2: u32) -> Self {
        let log2 = log2.clamp(WAYS.ilog2() + 1, 30);
        Self {
            found: Packets { step_ms: 1000, ..Packets::default() },
            keys: vec![0; 1 << log2],
            flows: vec![EMPTY; 1 << log2],
            shift: 64 - log2 + WAYS.ilog2(),
            syn_sources: BySource::default(),
            completed_sources: BySource::default(),
            ttl: [0; 256],
            written: HashMap::default(),
            round_trips: vec![0; BUCKETS],
            first_us: None,
            last_us: i64::MIN,
            second: i64::MIN,
            in_second: Frequent::default(),
        }
    }

    /// Takes one packet in.
    pub fn packet(&mut self, packet: &Packet<'_>) {
        let at_us = packet.at_us;
        self.found.packets += 1;
        self.found.bytes += u64::from(packet.length);
        self.last_us = self.last_us.max(at_us);
        let first_us = *self.first_us.get_or_insert(at_us);
        let step = self.step((at_us - first_us).max(0));
        self.found.steps[step].packets += 1;
        match read(packet.link, packet.bytes) {
            Read::Tcp(segment) => self.segment(&segment, at_us, step),
            Read::Other => {}
            Read::Unreadable => self.found.unreadable += 1,
        }
    }

    fn segment(&mut self, segment: &Segment, at_us: i64, step: usize) {
        self.found.tcp += 1;
        let from = end(segment.source, segment.source_port);
        let to = end(segment.destination, segment.destination_port);
        let from_low = from < to;
        let key = hash(&(from.min(to) ^ from.max(to).rotate_left(32))) | 1;
        let slot = self.find(key);
        match segment.flags & (SYN | ACK | RST) {
            SYN => self.syn(segment, key, slot, from_low, at_us, step),
            flags if flags == SYN | ACK => self.syn_ack(segment, slot, from_low, at_us, step),
            flags if flags & RST != 0 => self.reset(slot, step),
            ACK => self.ack(segment, slot, from_low, at_us, step),
            _ => {}
        }
    }

    fn syn(&mut self, segment: &Segment, key: u64, slot: Option<usize>, from_low: bool, at_us: i64, step: usize) {
        self.found.steps[step].syns += 1;
        self.busy(segment.destination_port, at_us);
        if let Some(slot) = slot {
            let flow = &mut self.flows[slot];
            if flow.first[0] == segment.sequence && flow.client_is_low == from_low && flow.state != State::Established {
                self.found.syns_again += 1;
                if flow.state == State::Over {
                    flow.state = State::Asked;
                }
                return;
            }
        }
        self.found.syns += 1;
        self.syn_sources.add(segment.source, segment.destination_port);
        self.ttl[usize::from(segment.ttl)] += 1;
        let fingerprint = self.fingerprint(segment);
        let place = slot.unwrap_or_else(|| self.place(key));
        self.close(place);
        self.flows[place] = Flow {
            fingerprint,
            at_us,
            first: [segment.sequence, 0],
            end: [segment.sequence.wrapping_add(1), 0],
            state: State::Asked,
            client_is_low: from_low,
        };
    }

    fn syn_ack(&mut self, segment: &Segment, slot: Option<usize>, from_low: bool, at_us: i64, step: usize) {
        self.found.steps[step].syn_acks += 1;
        let flow = slot.map(|slot| &mut self.flows[slot]).filter(|flow| flow.client_is_low != from_low);
        match flow {
            Some(flow) if flow.state == State::Asked => {
                self.found.syn_acks += 1;
                flow.state = State::Answered;
                flow.at_us = at_us;
                flow.first[1] = segment.sequence;
                flow.end[1] = segment.sequence.wrapping_add(1);
            }
            Some(_) => self.found.syn_acks_again += 1,
            None => {
                self.found.syn_acks += 1;
                self.found.syn_acks_unasked += 1;
            }
        }
    }

    fn reset(&mut self, slot: Option<usize>, step: usize) {
        self.found.steps[step].resets += 1;
        let Some(flow) = slot.map(|slot| &mut self.flows[slot]) else { return };
        if matches!(flow.state, State::Asked | State::Answered) {
            self.found.reset += 1;
        }
        flow.state = State::Over;
    }

    fn ack(&mut self, segment: &Segment, slot: Option<usize>, from_low: bool, at_us: i64, step: usize) {
        self.found.zero_windows += u64::from(segment.window == 0);
        let Some(flow) = slot.map(|slot| &mut self.flows[slot]) else { return };
        let from_client = flow.client_is_low == from_low;
        if flow.state == State::Answered && from_client && segment.acknowledgement == flow.first[1].wrapping_add(1) {
            flow.state = State::Established;
            let round_trip = at_us - flow.at_us;
            let fingerprint = flow.fingerprint;
            self.found.completed += 1;
            self.found.steps[step].completed += 1;
            self.completed_sources.add(segment.source, segment.destination_port);
            self.round_trips[bucket(round_trip)] += 1;
            if let Some(written) = self.written.get_mut(&fingerprint) {
                written.completed += 1;
            }
        }
        let flow = slot.map(|slot| &mut self.flows[slot]).filter(|flow| flow.state == State::Established);
        if let Some(flow) = flow.filter(|_| segment.data > 0) {
            let end = segment.sequence.wrapping_add(segment.data);
            let known = &mut flow.end[usize::from(!from_client)];
            // RFC 1982: ahead if the difference is in the lower half.
            if (end.wrapping_sub(*known) as i32) > 0 {
                *known = end;
            } else {
                self.found.data_again += 1;
            }
        }
    }

    fn set(&self, key: u64) -> std::ops::Range<usize> {
        let set = (key >> self.shift) as usize * WAYS;
        set..set + WAYS
    }

    fn find(&self, key: u64) -> Option<usize> {
        self.set(key).find(|slot| self.keys[*slot] == key)
    }

    /// A slot for a new flow.
    fn place(&mut self, key: u64) -> usize {
        let set = self.set(key);
        let empty = set.clone().find(|slot| self.keys[*slot] == 0);
        let slot = empty.unwrap_or_else(|| {
            let way = (key >> 1) as usize % WAYS;
            let two = [set.start + way, set.start + (way + WAYS / 2) % WAYS];
            let begun = |slot: &usize| matches!(self.flows[*slot].state, State::Asked | State::Answered);
            let slot = two.into_iter().min_by_key(|slot| (begun(slot), self.flows[*slot].at_us)).unwrap_or(two[0]);
            self.found.flows_forgotten += u64::from(begun(&slot));
            slot
        });
        self.keys[slot] = key;
        slot
    }

    /// Counts what became of a flow's handshake.
    fn close(&mut self, slot: usize) {
        match self.flows[slot].state {
            State::Asked => self.found.unanswered += 1,
            State::Answered => self.found.half_open += 1,
            State::Empty | State::Established | State::Over => {}
        }
        self.flows[slot].state = State::Empty;
    }

    fn fingerprint(&mut self, segment: &Segment) -> u64 {
        let ttl_begin = match segment.ttl {
            0..=64 => 64,
            65..=128 => 128,
            129..=255 => 255,
        };
        let key = hash(&(segment.options, segment.window, segment.mss, ttl_begin));
        if self.written.len() >= FINGERPRINTS_MAX && !self.written.contains_key(&key) {
            // As in `Frequent`: all are one less, and those at zero go.
            self.written.retain(|_, written| {
                written.count -= 1;
                written.count > 0
            });
        }
        let new = Written {
            options: segment.options,
            window: segment.window,
            mss: segment.mss,
            ttl_begin,
            count: 0,
            completed: 0,
        };
        self.written.entry(key).or_insert(new).count += 1;
        key
    }

    /// Counts SYNs of one second, by port.
    fn busy(&mut self, port: u16, at_us: i64) {
        let second = at_us.div_euclid(1_000_000);
        if second != self.second {
            self.close_second();
            self.second = second;
        }
        self.in_second.add(port);
    }

    fn close_second(&mut self) {
        let most = std::mem::take(&mut self.in_second).top(1);
        if let Some((_, count)) = most.first() {
            if self.found.busiest_second.is_none_or(|(_, most)| *count > most) {
                self.found.busiest_second = Some((Time::from_seconds(self.second), *count));
            }
        }
    }

    /// The number of the step at this time since the first packet. Steps grow so that there are never too many.
    fn step(&mut self, since_us: i64) -> usize {
        let since_ms = u64::try_from(since_us / 1000).unwrap_or(0);
        while since_ms / self.found.step_ms >= STEPS_MAX as u64 {
            let steps = std::mem::take(&mut self.found.steps);
            self.found.steps = steps.chunks(2).map(|pair| pair.iter().copied().fold(Step::default(), sum)).collect();
            self.found.step_ms *= 2;
        }
        let step = (since_ms / self.found.step_ms) as usize;
        if step >= self.found.steps.len() {
            self.found.steps.resize(step + 1, Step::default());
        }
        step
    }

    /// What was found.
    pub fn finish(mut self) -> Packets {
        for slot in 0..self.flows.len() {
            self.close(slot);
        }
        self.close_second();
        let begin = Time(self.first_us.unwrap_or(0).div_euclid(1000));
        let length = self.found.step_ms;
        for (number, step) in (0..).zip(&mut self.found.steps) {
            step.at = begin.plus_ms(i64::try_from(length).unwrap_or(i64::MAX).saturating_mul(number));
        }
        let mut found = self.found;
        found.span = self.first_us.map(|first| {
            let first = first.min(self.last_us);
            Span { from: Time(first.div_euclid(1000)), until: Time(self.last_us.div_euclid(1000)) }
        });
        found.syn_sources = self.syn_sources.sources();
        found.completed_sources = self.completed_sources.sources();
        found.round_trip_us = percentiles(&self.round_trips);
        found.syn_ttl = (0..=255).zip(self.ttl).filter(|(_, count)| *count > 0).collect();
        found.syn_fingerprints = fingerprints(self.written.into_values());
        found
    }
}

fn sum(one: Step, other: Step) -> Step {
    Step {
        at: one.at,
        syns: one.syns + other.syns,
        syn_acks: one.syn_acks + other.syn_acks,
        completed: one.completed + other.completed,
        resets: one.resets + other.resets,
        packets: one.packets + other.packets,
    }
}

fn fingerprints(all: impl Iterator<Item = Written>) -> Vec<Fingerprint> {
    let text =
        |options: &[u8]| options.iter().take_while(|option| **option != 0).map(|option| char::from(*option)).collect();
    let mut all: Vec<Fingerprint> = all
        .map(|written| Fingerprint {
            options: text(&written.options),
            window: written.window,
            mss: written.mss,
            ttl_begin: written.ttl_begin,
            count: written.count,
            completed: written.completed,
        })
        .collect();
    all.sort_by(|one, other| {
        other.count.cmp(&one.count).then_with(|| (&one.options, one.window).cmp(&(&other.options, other.window)))
    });
    all.truncate(TOP_MAX);
    all
}

/// One end of a flow as a number.
fn end(address: IpAddr, port: u16) -> u64 {
    match address {
        IpAddr::V4(address) => hash(&(u64::from(u32::from(address)) << 16 | u64::from(port))),
        IpAddr::V6(address) => {
            let address = u128::from(address);
            hash(&((address >> 64) as u64, address as u64, port))
        }
    }
}

/// A bucket: the power of two, and the three bits behind its first.
fn bucket(us: i64) -> usize {
    let us = us.max(8) as u64;
    let power = us.ilog2() as usize;
    power * 8 + ((us >> (power - 3)) & 7) as usize
}

/// The tenth, fiftieth and ninetieth hundredth.
fn percentiles(buckets: &[u64]) -> Option<[u64; 3]> {
    let all: u64 = buckets.iter().sum();
    let at = |hundredths: u64| {
        let wanted = (all * hundredths).div_ceil(100).max(1);
        let mut seen = 0;
        let index = buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        // The middle of the bucket. Of a damaged file the power may be 62: to shift by three less leaves room for the product.
        let (power, part) = (index / 8, index as u64 % 8);
        Some((1u64 << power) + ((2 * part + 1) << (power - 3)) / 2)
    };
    if all == 0 { None } else { Some([at(10)?, at(50)?, at(90)?]) }
}
