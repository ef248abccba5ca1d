//! Nanoseconds that the lists of sources cost a packet, with a thousand prefixes and with a million, beside the kernel's own trie of
//! prefixes (BPF_MAP_TYPE_LPM_TRIE) with the same ones: `cargo run --release -p sekisho-tests --bin bench-lists`, as root.
//!
//! Each figure is the median of several runs of BPF_PROG_TEST_RUN, less the floor: a program that lays the same frame and drops it. The
//! prefixes are those of a mixed list: six in ten are single addresses, two are /24, one is a /28, one a /22.

#![allow(clippy::unwrap_used, reason = "a benchmark ends by panicking where it cannot go on")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use sekisho_datapath::bench::{Bench, Case, Program};
use sekisho_datapath::{Capacity, List, ListEntry, Settings};
use sekisho_native::frames::{Frame, flags};

const LENGTHS: [u8; 10] = [32, 32, 32, 32, 32, 32, 24, 24, 28, 22];
/// Runs of one program in a row, how often, and so many packets in each.
const RUNS: u64 = 15;
const REPEAT: u32 = 200_000;

/// The same random prefixes each time (SplitMix64), masked.
fn prefixes(count: usize) -> Vec<(Ipv4Addr, u8)> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 32) as u32
    };
    let prefix = |n: usize| {
        let length = LENGTHS[n % LENGTHS.len()];
        (Ipv4Addr::from(next() & (u32::MAX << (32 - u32::from(length)))), length)
    };
    (0..count).map(prefix).collect()
}

fn frame(source: Ipv4Addr) -> Frame {
    Frame::syn(source.into(), Ipv4Addr::new(198, 51, 100, 10).into())
}

fn syn(source: Ipv4Addr) -> Case {
    Case::of(frame(source).build())
}

/// The median, less the floor's.
fn measure(bench: &Bench, program: Program, case: &Case) -> u32 {
    let median = |program| {
        let mut runs: Vec<u32> = (0..RUNS).map(|seed| bench.run(program, case, seed, REPEAT).unwrap().ns).collect();
        runs.sort_unstable();
        runs[runs.len() / 2]
    };
    median(program).saturating_sub(median(Program::Drop))
}

fn main() {
    println!("{:>9}  {:<34} {:>6} {:>9}", "prefixes", "source", "lists", "LPM trie");
    for count in [0, 1000, 1_000_000] {
        let settings = Settings { listed: (count as u32).max(1), ..Settings::default() };
        let bench = Bench::load(&settings, Capacity { verified4: 1024, verified6: 1024 }).unwrap();
        let prefixes = prefixes(count);
        let entry = |(address, length): &(Ipv4Addr, u8)| ListEntry::new(List::Block, IpAddr::V4(*address), *length);
        let entries: Vec<ListEntry> = prefixes.iter().map(entry).collect();
        let began = Instant::now();
        bench.maps().list_add(&entries).unwrap();
        let lists_took = began.elapsed();
        let began = Instant::now();
        bench.add_lpm(prefixes.iter().copied()).unwrap();
        let trie_took = began.elapsed();
        let row = |name: &str, case: &Case| {
            let [lists, trie] = [Program::Lists, Program::Lpm].map(|program| measure(&bench, program, case));
            println!("{count:>9}  {name:<34} {lists:>6} {trie:>9}");
        };
        row("on no list, always the same", &syn(Ipv4Addr::new(203, 0, 113, 7)));
        row("on no list or any, always another", &Case { vary_address: u32::MAX, ..syn(Ipv4Addr::UNSPECIFIED) });
        if count > 0 {
            row("blocked as an address, the same", &syn(prefixes[0].0));
            row("blocked by a /24, the same", &syn(prefixes[7].0));
            row("blocked by a /22, the same", &syn(prefixes[9].0));
        }
        let data = Frame { flags: flags::ACK, ..frame(Ipv4Addr::new(203, 0, 113, 7)) };
        let ns = measure(&bench, Program::Gate, &Case::of(data.build()));
        println!("{count:>9}  data while calm, through all of gate  {ns:>3}");
        println!(
            "{count:>9}  loading them, ms                   {:>6} {:>9}",
            lists_took.as_millis(),
            trie_took.as_millis()
        );
    }
}
