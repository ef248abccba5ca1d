//! How a flood is spread and who is held back, for the report.

use sekisho_datapath::limits::HeldBack;
use sekisho_datapath::{Datapath, HeldWhy, abi, time};
use sekisho_engine::report::{FloodPart, FloodStatus, HeldStatus};
use sekisho_engine::spread;

use crate::daemon::judged;
use crate::failure::Failure;

/// Parts of a flood that are shown.
const PARTS_SHOWN: usize = 10;

/// What the datapath counted in the last seconds, judged.
pub fn flood(datapath: &Datapath) -> Result<FloodStatus, Failure> {
    let seen = datapath.maps().spreading()?;
    let judged = judged(&seen);
    let parts = seen.parts.iter().map(|part| FloodPart {
        prefix: part.whom.to_string(),
        percent: (spread::part(part.votes, seen.samples) * 100.0).round() as u64,
    });
    let tick = time::tick(time::coarse_ns());
    Ok(FloodStatus {
        shape: judged.shape.word(),
        evidence: judged.evidence,
        asked: seen.asked,
        samples: seen.samples,
        distinct_sources: seen.distinct,
        parts: parts.filter(|part| part.percent >= 5).take(PARTS_SHOWN).collect(),
        held: datapath.maps().held()?.iter().filter_map(|held| held_status(held, tick)).collect(),
    })
}

fn held_status(held: &HeldBack, tick: u32) -> Option<HeldStatus> {
    let left = held.until.wrapping_sub(tick) as i32;
    let why = match held.why {
        HeldWhy::Connections => "connections",
        HeldWhy::Concentrated => "concentrated",
    };
    (left > 0).then(|| HeldStatus {
        prefix: held.whom.to_string(),
        why,
        seconds: (u64::from(left.unsigned_abs()) << abi::TICK_SHIFT) / 1_000_000_000,
    })
}
