//! The limits on sources and networks: what counting costs a SYN that is within them. Nothing here is over a limit, so the difference to
//! the rows without limits is the counting alone.

use std::net::Ipv4Addr;

use sekisho_datapath::bench::Bench;
use sekisho_datapath::{Capacity, Limits, Settings, Verdict};

use crate::measure::{Measured, Row, State, measure};
use crate::place::Place;
use crate::rows::{self, row, syn_from};
use crate::{Result, VERIFIED_FROM, verify};

/// Sources that are verified: a power of two.
const VERIFIED: u32 = 1 << 10;
/// More a second than a benchmark sends.
const RATE: u32 = 1_000_000_000;

/// Measures them.
pub fn measure_all(place: &Place, settings: &Settings) -> Result<Vec<Measured>> {
    let limits = Limits { source: RATE, network: RATE, ..Limits::default() };
    let bench =
        Bench::load(&Settings { limits, ..settings.clone() }, Capacity { verified4: 2 * VERIFIED, verified6: 64 })?;
    verify(&bench, 0..VERIFIED)?;
    measure(&bench, place, &rows_of())
}

fn rows_of() -> Vec<Row> {
    let calm = |name: &str, packet| row(name, State::Calm, packet, Verdict::SynCalm);
    vec![
        calm("SYN while calm, limits by sketch, one flow", Box::new(rows::syn)),
        calm("SYN while calm, limits by sketch, flows at random", Box::new(rows::random_syn)),
        calm(
            "SYN while calm, limit by bucket, 1 k verified in turn",
            syn_from(Ipv4Addr::from(VERIFIED_FROM), VERIFIED - 1),
        ),
    ]
}
