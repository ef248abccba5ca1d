//! What is measured: each row with its packet, the state it meets and the verdict it must come to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sekisho_datapath::abi::{CHALLENGE_TIME_SHIFT, COOKIE_TIME_SHIFT};
use sekisho_datapath::bench::{Bench, Case, Program};
use sekisho_datapath::test_run::XDP_PASS;
use sekisho_datapath::{Method, Verdict, time};
use sekisho_native::frames::{Frame, flags, option};
use sekisho_native::reference::{self, Segment};
use sekisho_native::{Control, Kept, Key};

use crate::measure::{Maker, Row, State, Way};
use crate::place::{PORT, Place, SERVER4, SERVER6};
use crate::{Result, VERIFIED_FROM};

/// Packets in one round: a few milliseconds.
const REPEAT: u32 = 20_000;
/// Who sends the packets of one flow.
const CLIENT4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 7);
/// The initial sequence number of the client whose cookie comes back.
const ISN: u32 = 0x1234_5678;

/// Makes a packet that depends on nothing else.
type Packet = fn(&Place, &Bench) -> Result<Case>;

const COOKIE: State = State::Between(Method::Cookie);
const CHALLENGE: State = State::Between(Method::Challenge);

/// A row of gate's whose packet is dropped or passed.
pub fn row(name: &str, state: State, packet: Maker, verdict: Verdict) -> Row {
    let (program, floor, way) = (Program::Gate, Some(Program::Drop), Way::Verdict(verdict));
    Row { name: name.into(), state, packet, program, floor, way, untraced: false, repeat: REPEAT }
}

/// A row of gate's whose packet is one of these.
fn passed(name: &str, state: State, packet: Packet, verdict: Verdict) -> Row {
    row(name, state, Box::new(packet), verdict)
}

/// A row of gate's whose packet is answered.
fn answered(name: &str, state: State, packet: Packet, verdict: Verdict) -> Row {
    Row { floor: Some(Program::Swap), ..passed(name, state, packet, verdict) }
}

/// A row of gate's whose packets are a flood's, from sources that nobody knows.
fn flood(name: &str, state: State, packet: Packet, verdict: Verdict) -> Row {
    Row { untraced: true, ..answered(name, state, packet, verdict) }
}

/// A number of entries, a power of two, as the rows name it.
pub fn size(count: u32) -> String {
    if count < 1 << 20 { format!("{} k", count >> 10) } else { format!("{} M", count >> 20) }
}

/// The floors as rows of their own, with nothing taken off.
pub fn floors() -> Vec<Row> {
    let floor = |name: &str, program| Row {
        program,
        floor: None,
        way: Way::Any,
        ..passed(name, State::Calm, syn, Verdict::SynCalm)
    };
    vec![floor("floor: drop", Program::Drop), floor("floor: swap and XDP_TX", Program::Swap)]
}

/// Every kind of packet, beside one listener.
pub fn packets() -> Vec<Row> {
    vec![
        passed("not TCP", State::Calm, udp, Verdict::NotTcp),
        passed("SYN while calm", State::Calm, syn, Verdict::SynCalm),
        passed("SYN while calm, flows at random", State::Calm, random_syn, Verdict::SynCalm),
        passed("established data while calm", State::Calm, data, Verdict::SegmentCalm),
        passed("established data while armed", COOKIE, data, Verdict::SegmentSocket),
        answered("SYN to cookie, source left a trace", COOKIE, syn, Verdict::CookieSent),
        flood("SYN to cookie, one flow", COOKIE, syn, Verdict::CookieSent),
        flood("SYN to cookie, one flow, queue above the reserve mark", State::Above, syn, Verdict::CookieSent),
        flood("SYN to cookie, one flow, IPv6", COOKIE, syn6, Verdict::CookieSent),
        flood("SYN to cookie, flows at random", COOKIE, random_syn, Verdict::CookieSent),
        passed("valid cookie ACK", COOKIE, cookie_ack, Verdict::CookieValid),
        passed("stray ACK dropped while armed", COOKIE, stray_ack, Verdict::StrayAck),
        flood("SYN to challenge, one flow", CHALLENGE, question, Verdict::ChallengeSent),
        flood("SYN to challenge, flows at random", CHALLENGE, questions, Verdict::ChallengeSent),
        passed("RST proof accepted", CHALLENGE, proof, Verdict::ChallengeProved),
    ]
}

/// Over the bound on answers.
pub fn bound() -> Vec<Row> {
    vec![passed("bound on answers reached", COOKIE, syn, Verdict::AnswerBoundReached)]
}

/// The same SYN while calm and to cookie, with more listeners there.
pub fn beside_listeners(count: usize) -> Vec<Row> {
    vec![
        passed(&format!("SYN while calm, {count} more listeners"), State::Calm, syn, Verdict::SynCalm),
        answered(&format!("SYN to cookie, {count} more listeners"), COOKIE, syn, Verdict::CookieSent),
    ]
}

/// Sources that are verified, and one that is not.
pub fn with_verified(count: u32) -> Vec<Row> {
    let of = |what: &str| format!("{what}{} verified", size(count));
    let verified = || syn_from(Ipv4Addr::from(VERIFIED_FROM), count - 1);
    let alone = |what: &str, program| Row {
        program,
        way: Way::Returns(XDP_PASS),
        ..row(&of(what), COOKIE, verified(), Verdict::SynVerified)
    };
    vec![
        alone("one hit in the table of ", Program::Table),
        alone("lookup of a source among ", Program::Verified),
        row(&of("SYN of a verified source, "), COOKIE, verified(), Verdict::SynVerified),
        answered(&of("SYN to cookie, flows at random, "), COOKIE, random_syn, Verdict::CookieSent),
    ]
}

/// A Linux client's SYN.
fn client_syn(source: IpAddr, destination: IpAddr) -> Frame {
    let options =
        [option::mss(1460), option::sack(), option::timestamps(0x0102_0304, 0), option::nop(), option::window_scale(7)];
    Frame { destination_port: PORT, sequence: ISN, options: option::list(&options), ..Frame::syn(source, destination) }
}

/// A segment after the SYN, with the timestamps that any has.
fn segment(flags: u8) -> Frame {
    let options = option::list(&[option::nop(), option::nop(), option::timestamps(0x0102_0305, 0x0a0b_0c0d)]);
    Frame { flags, options, sequence: ISN + 1, ..client_syn(CLIENT4.into(), SERVER4.into()) }
}

/// One and the same.
pub fn syn(_: &Place, _: &Bench) -> Result<Case> {
    Ok(Case::of(client_syn(CLIENT4.into(), SERVER4.into()).build()))
}

fn syn6(_: &Place, _: &Bench) -> Result<Case> {
    Ok(Case::of(client_syn(CLIENT6.into(), SERVER6.into()).build()))
}

/// A spoofed flood: sources, ports and sequence numbers at random.
pub fn random_syn(place: &Place, bench: &Bench) -> Result<Case> {
    Ok(Case { vary_address: u32::MAX >> 8, vary_port: u16::MAX, vary_sequence: u32::MAX, ..syn(place, bench)? })
}

/// The SYN of a source, of which these bits change from packet to packet.
pub fn syn_from(source: Ipv4Addr, vary_address: u32) -> Maker {
    let case = Case { vary_address, ..Case::of(client_syn(source.into(), SERVER4.into()).build()) };
    Box::new(move |_, _| Ok(case.clone()))
}

fn udp(_: &Place, _: &Bench) -> Result<Case> {
    let mut frame = client_syn(CLIENT4.into(), SERVER4.into()).build();
    // The protocol of the IPv4 header; gate goes no further.
    frame[23] = 17;
    Ok(Case::of(frame))
}

/// Data on the connection that is there.
pub fn data(place: &Place, _: &Bench) -> Result<Case> {
    let client = place.client()?;
    let frame =
        Frame { source: client.ip(), source_port: client.port(), payload: vec![b'x'; 60], ..segment(flags::ACK) };
    Ok(Case::of(frame.build()))
}

/// An ACK flood: no timestamps, numbers at random.
fn stray_ack(_: &Place, _: &Bench) -> Result<Case> {
    let frame = Frame { options: Vec::new(), acknowledgement: 0x9abc_def0, ..segment(flags::ACK) };
    Ok(Case { vary_sequence: u32::MAX, ..Case::of(frame.build()) })
}

/// The ACK that brings back a cookie of this moment.
fn cookie_ack(_: &Place, bench: &Bench) -> Result<Case> {
    let kept = Kept { mss_index: 6, window_scale: 7, sack: 1, timestamps: 1, ecn: 0 };
    let time = (time::coarse_ns() >> COOKIE_TIME_SHIFT) as u32;
    let ack = segment(flags::ACK);
    let cookie = reference::cookie(&keys(bench), &parsed(&ack)?, ISN, time, &kept);
    let options = [option::nop(), option::nop(), option::timestamps(0x0102_0305, cookie.timestamp)];
    let ack = Frame { acknowledgement: cookie.sequence.wrapping_add(1), options: option::list(&options), ..ack };
    Ok(Case::of(ack.build()))
}

/// The same flow, asked each time as if for the first.
fn question(_: &Place, _: &Bench) -> Result<Case> {
    Ok(Case { forget: true, ..challenged(&client_syn(CLIENT4.into(), SERVER4.into())) })
}

/// Questions to flows at random.
fn questions(place: &Place, bench: &Bench) -> Result<Case> {
    let answer_len = challenged(&client_syn(CLIENT4.into(), SERVER4.into())).answer_len;
    Ok(Case { answer_len, ..random_syn(place, bench)? })
}

/// The answer to a SYN that is challenged has no options.
fn challenged(syn: &Frame) -> Case {
    let frame = syn.build();
    Case { answer_len: frame.len() - syn.options.len(), ..Case::of(frame) }
}

/// The RST that proves a challenge of this moment; of another flow than the others, since it opens a door.
fn proof(_: &Place, bench: &Bench) -> Result<Case> {
    let rst = Frame { source_port: 50_000, options: Vec::new(), ..segment(flags::RST) };
    let key = keys(bench).flow_key;
    let time = (time::coarse_ns() >> CHALLENGE_TIME_SHIFT) as u32;
    let sequence = reference::challenge(&key, &parsed(&rst)?, time) as u32;
    Ok(Case::of(Frame { sequence, ..rst }.build()))
}

fn parsed(frame: &Frame) -> Result<Segment> {
    reference::parse(&frame.build()).map_err(|found| format!("a frame of the benchmark is {found:?}").into())
}

/// The loaded programs' keys, for the reference.
fn keys(bench: &Bench) -> Control {
    let control = bench.maps().control();
    let key = |key: sekisho_datapath::abi::Key| Key { k0: key.k0, k1: key.k1 };
    Control {
        key_word: control.key_word,
        cookie_key: control.cookie_key.map(key),
        flow_key: key(control.flow_key),
        ..Control::default()
    }
}
