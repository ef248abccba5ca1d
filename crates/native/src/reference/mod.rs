//! What the pure headers promise, once more: in Rust, with slices and checked reads, and hashes and checksums made by other means.
//!
//! Nothing here is fast or clever. Where the C code and this disagree, one of the two misread its own comment.

mod answer;
mod cookie;
mod flow;
mod parse;

pub use answer::{SynAck, answer, cookie_options};
pub use cookie::{Cookie, check, cookie, kept, mss_table};
pub use flow::{Remembered, challenge, door_is_open, flow};
pub use parse::{Segment, TcpOptions, parse, tcp_options};

use crate::types::Key;
use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// SipHash-2-4 of bytes.
#[must_use]
pub fn siphash(key: &Key, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(key.k0, key.k1);
    hasher.write(bytes);
    hasher.finish()
}
