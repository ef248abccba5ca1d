//! What holds for the readers of records whatever they are given: the fuzz targets in fuzz/ call these, and a test replays their corpus.
//!
//! That none of them panics or loops is what fuzzing finds by itself; here is what else must be true of what they found.

use std::io::Cursor;
use std::path::Path;

use super::clock::{Clock, Zone};
use super::{Origin, Record, Source, Time, journal, limits, log, packets, sysstat, web_log};

fn clock() -> Clock {
    Clock { zone: Zone::Fixed(0), written: Time(1_795_999_091_000), booted: Some(Time(1_795_990_000_000)) }
}

/// Any bytes as each of the logs.
pub fn logs(bytes: &[u8]) {
    let (clock, file) = (clock(), Path::new("fuzz"));
    let mut record = Record::empty(Origin::Past);
    // Reading from memory fails only where a format promises more bytes than there are.
    let _ = log::read(&mut record, Cursor::new(bytes), &clock, Source::Syslog, file);
    let _ = journal::read(&mut record, Cursor::new(bytes), Some(file));
    let _ = web_log::read_access(&mut record, Cursor::new(bytes), &clock, "fuzz", file);
    let _ = web_log::read_error(&mut record, Cursor::new(bytes), &clock, file);
    record.sort();
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    let requests: u64 = record.traffic.iter().map(|minute| minute.requests).sum();
    assert!(requests <= lines, "more requests than lines");
    for minute in &record.traffic {
        assert_eq!(minute.by_class.iter().sum::<u64>(), minute.requests);
        assert!(minute.clients <= minute.requests && minute.top.len() <= limits::TOP_MAX);
    }
    assert!(record.events.iter().all(|event| event.count > 0 && event.count <= 3 * lines));
}

/// Any bytes as sysstat's JSON.
pub fn sar(bytes: &[u8]) {
    let Ok(found) = sysstat::read(Cursor::new(bytes), Zone::Fixed(0), 100) else { return };
    assert!(found.samples.len() <= 100);
    let values = found.samples.iter().flat_map(|sample| sample.values.values());
    assert!(values.into_iter().all(|value| value.is_finite()), "a number that JSON cannot hold");
}

/// Any bytes as a capture.
pub fn captures(bytes: &[u8]) {
    let small = packets::follow::Follower::with_flows(6);
    let Ok(found) = packets::read_with(Cursor::new(bytes), Path::new("fuzz"), small) else { return };
    assert!(found.tcp <= found.packets && found.steps.len() <= packets::STEPS_MAX);
    let ends = found.completed + found.half_open + found.unanswered;
    assert!(ends <= found.syns + found.syns_again, "more handshakes ended than began");
    let in_steps: u64 = found.steps.iter().map(|step| step.packets).sum();
    assert_eq!(in_steps, found.packets, "each packet is in one step");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, check) in [("logs", logs as fn(&[u8])), ("sar", sar), ("captures", captures)] {
            let files: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().collect();
            assert!(!files.is_empty(), "{name}");
            for file in files {
                check(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }
}
