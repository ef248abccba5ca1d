//! The cookie, from the picture in cookie.h: fields are put together and taken apart as numbers, and hashed as bytes.

use super::{Segment, TcpOptions, siphash};
use crate::frames::{flags, octets};
use crate::types::{Control, Kept, Key, NO_WINDOW_SCALE};

/// The values of MSS that a cookie can keep, ascending.
#[must_use]
pub fn mss_table(v6: bool) -> [u16; 8] {
    if v6 { [1220, 1340, 1380, 1400, 1420, 1432, 1440, 8940] } else { [536, 1220, 1360, 1400, 1440, 1452, 1460, 8960] }
}

/// The two numbers of a SYN-ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The sequence number.
    pub sequence: u32,
    /// `TSval`, for a client with timestamps.
    pub timestamp: u32,
}

/// What a cookie keeps of a SYN when everything is offered.
#[must_use]
pub fn kept(segment: &Segment, options: &TcpOptions) -> Kept {
    let asks_for_ecn = segment.flags & flags::ECE != 0 && segment.flags & flags::CWR != 0;
    let timestamps = options.timestamps.is_some();
    Kept {
        mss_index: largest_not_above(&mss_table(segment.source.is_ipv6()), options.mss.unwrap_or(0)),
        window_scale: options.window_scale.unwrap_or(NO_WINDOW_SCALE),
        sack: options.sack.into(),
        timestamps: timestamps.into(),
        ecn: (timestamps && asks_for_ecn).into(),
    }
}

fn largest_not_above(table: &[u16; 8], mss: u16) -> u8 {
    table.iter().rposition(|value| *value <= mss).unwrap_or(0) as u8
}

/// The key for a cookie time.
fn key_for(control: &Control, time: u32) -> &Key {
    let newer = (control.key_word & 1) as usize;
    let begins = (control.key_word >> 1) as u32;
    &control.cookie_key[if time >= begins { newer } else { 1 - newer }]
}

/// The hash: addresses, ports, the client's initial sequence number, the time, the options, and the purpose.
fn hash(control: &Control, segment: &Segment, isn: u32, time: u32, kept: &Kept) -> u64 {
    let options = u32::from(kept.mss_index)
        + 8 * u32::from(kept.window_scale)
        + 128 * u32::from(kept.sack)
        + 256 * u32::from(kept.timestamps)
        + 512 * u32::from(kept.ecn);
    let mut bytes = octets(segment.source);
    bytes.extend(octets(segment.destination));
    bytes.extend(segment.source_port.to_be_bytes());
    bytes.extend(segment.destination_port.to_be_bytes());
    bytes.extend(isn.to_le_bytes());
    bytes.extend(time.to_le_bytes());
    bytes.extend(&options.to_le_bytes()[..2]);
    bytes.push(0xc0);
    siphash(key_for(control, time), &bytes)
}

/// The cookie for a SYN whose initial sequence number is `isn`, made at `time`.
#[must_use]
pub fn cookie(control: &Control, segment: &Segment, isn: u32, time: u32, kept: &Kept) -> Cookie {
    let hash = hash(control, segment, isn, time, kept);
    let fields = [(time % 4, 30), (kept.mss_index.into(), 27), (kept.window_scale.into(), 23), (kept.sack.into(), 22)];
    let upper: u32 = fields.iter().map(|(value, shift)| value << shift).sum();
    Cookie { sequence: upper + (hash % (1 << 22)) as u32, timestamp: ((hash >> 33) as u32) * 2 + u32::from(kept.ecn) }
}

/// What a valid cookie in an ACK kept: every time that is accepted is tried with what the numbers say they keep.
#[must_use]
pub fn check(control: &Control, ack: &Segment, options: &TcpOptions, now: u32) -> Option<Kept> {
    let sequence = ack.acknowledgement.wrapping_sub(1);
    let echo = options.timestamps.map(|(_, echo)| echo);
    let kept = Kept {
        mss_index: (sequence >> 27) as u8 % 8,
        window_scale: (sequence >> 23) as u8 % 16,
        sack: (sequence >> 22) as u8 % 2,
        timestamps: echo.is_some().into(),
        ecn: (echo.unwrap_or(0) % 2) as u8,
    };
    (0..3).find_map(|age| {
        let made = cookie(control, ack, ack.sequence.wrapping_sub(1), now.wrapping_sub(age), &kept);
        let valid = made.sequence == sequence && echo.is_none_or(|echo| echo == made.timestamp);
        valid.then_some(kept)
    })
}
