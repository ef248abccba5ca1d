//! `make bench`: what each kind of packet costs in gate, in nanoseconds, beside the floor of the harness in the same run.
//!
//! Read in this order: `rows` is the list of what is measured, `place` the network namespace in which gate finds its listeners and
//! connections, `measure` how one row is measured and checked, `lists` and `limits` what is configured for them, `table` how all of it is
//! shown. docs/operations/benchmarks.md
//! explains the figures.

mod limits;
mod lists;
mod measure;
mod place;
mod rows;
mod table;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use sekisho_datapath::abi::Verified;
use sekisho_datapath::bench::Bench;
use sekisho_datapath::{Capacity, Settings, VerifiedSource, time};
use sekisho_lab::Netns;

use measure::measure;
use place::Place;
use table::Figures;

/// Anything that ends the benchmark.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The address of the first verified source; the others follow it.
pub const VERIFIED_FROM: u32 = u32::from_be_bytes([10, 0, 0, 0]);
/// How many sources are verified, one after the other. Powers of two, so that bits drawn at random always meet one of them.
const VERIFIED: [u32; 3] = [1 << 10, 1 << 17, 1 << 20];
/// How many more listeners there are, one after the other.
const LISTENERS: [usize; 3] = [1, 100, 10_000];

#[expect(clippy::print_stderr, reason = "the edge: an error is told here")]
fn main() -> ExitCode {
    match arguments().and_then(|json| run(json.as_deref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// `[--json FILE]`.
fn arguments() -> Result<Option<PathBuf>> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(None),
        (Some(flag), Some(file), None) if flag == "--json" => Ok(Some(file.into())),
        _ => Err("the only argument is --json FILE".into()),
    }
}

fn run(json: Option<&std::path::Path>) -> Result<()> {
    let namespace = Netns::new("bench")?;
    place::addresses(&namespace)?;
    let figures = namespace.run(measure_all)??;
    table::print(&figures);
    json.map_or(Ok(()), |file| table::write_json(file, &figures))
}

/// Everything, in the namespace that this thread is in.
fn measure_all() -> Result<Figures> {
    let place = Place::new()?;
    let mut all = Vec::new();
    let bounded = Bench::load(&Settings { answer_bound: 0, ..settings() }, Capacity { verified4: 64, verified6: 64 })?;
    all.extend(measure(&bounded, &place, &rows::bound())?);
    drop(bounded);

    // A little more than there will be, so that nobody is forgotten on the way.
    let capacity = Capacity { verified4: VERIFIED[2] + 4096, verified6: 64 };
    let bench = Bench::load(&settings(), capacity)?;
    all.extend(measure(&bench, &place, &rows::floors())?);
    all.extend(measure(&bench, &place, &rows::packets())?);
    for count in LISTENERS {
        let _listeners = place.more_listeners(count)?;
        all.extend(measure(&bench, &place, &rows::beside_listeners(count))?);
    }
    let mut there = 0;
    for count in VERIFIED {
        verify(&bench, there..count)?;
        there = count;
        all.extend(measure(&bench, &place, &rows::with_verified(count))?);
    }
    drop(bench);
    all.extend(limits::measure_all(&place, &settings())?);
    let lists::Lists { rows, loading, memory } = lists::measure_all(&place, &settings())?;
    all.extend(rows);
    Ok(Figures { rows: all, loading, memory })
}

/// No bound that a benchmark's own SYNs would reach.
fn settings() -> Settings {
    Settings {
        verified_rate: 1_000_000,
        verified_burst: 4_000_000,
        allowed_rate: 1_000_000,
        allowed_burst: 4_000_000,
        answer_bound: u32::MAX,
        ..Settings::default()
    }
}

/// Remembers sources as if they had just completed a handshake.
pub fn verify(bench: &Bench, numbers: std::ops::Range<u32>) -> Result<()> {
    let seen = time::tick(time::coarse_ns());
    let entry = Verified { seen, tokens: u32::MAX, handshakes: 1, limit_tokens: u32::MAX, ..Verified::default() };
    let address = |number| IpAddr::V4(Ipv4Addr::from(VERIFIED_FROM + number));
    let sources: Vec<_> = numbers.map(|number| VerifiedSource { address: address(number), entry }).collect();
    Ok(bench.maps().add_verified(&sources)?)
}
