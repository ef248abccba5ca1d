use std::fs;

use super::course::ServiceNow;
use super::*;

fn counters(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// A minute of a flood: 1000 SYNs asked for proof each second, of which 10 gave it.
fn flood(number: u64, seconds: i64) -> Incident {
    let begun = Time::from_seconds(1000);
    let mut incident = Incident::begin(number, begun, counters(&[("syn_calm", 7)]));
    for second in 1..=seconds {
        let grown = second as u64;
        let now = counters(&[("syn_calm", 7 + grown), ("cookie_sent", 1000 * grown), ("cookie_valid", 10 * grown)]);
        let values = BTreeMap::from([
            (Metric::Load1, second as f64),
            (Metric::PassiveOpens, 11.0),
            (Metric::MemoryAvailable, 1e9 - second as f64),
            (Metric::TimeWait, 5.0),
        ]);
        incident.step(begun.plus_ms(second * 1000), now, &values);
        let service = ServiceNow { backlog: 128, syn_queue: 64, ..ServiceNow::default() };
        incident.see_service(begun.plus_ms(second * 1000), 80, &service);
    }
    incident
}

#[test]
fn it_says_what_happened_and_is_a_record() {
    let mut incident = flood(3, 60);
    incident.end(Time::from_seconds(1061));
    assert_eq!(incident.verdicts(), counters(&[("syn_calm", 60), ("cookie_sent", 60_000), ("cookie_valid", 600)]));
    assert_eq!(incident.syns_peak, Some(Peak { at: Time::from_seconds(1001), per_second: 1001 }));
    assert_eq!((incident.services[&80].syn_queue_max, incident.services[&80].until), (64, Time::from_seconds(1060)));
    let record = incident.facts();
    assert_eq!(record.peak(Metric::Syns).unwrap().1, 1001.0);
    assert_eq!(record.last(Metric::CookiesSent), Some(1000.0));
    assert_eq!(record.last(Metric::CookiesReceived), Some(10.0));
    assert_eq!(record.last(Metric::PassiveOpens), Some(11.0));
    assert_eq!(record.last(Metric::TimeWait), None, "not kept");
    assert_eq!(record.coverage[&Source::Sekisho], incident.span());
}

#[test]
fn a_long_one_has_longer_steps_and_loses_no_count() {
    let incident = flood(1, 1000);
    assert!(incident.steps.len() <= STEPS_MAX && incident.step_ms == 16_000, "{}", incident.step_ms);
    let sent: u64 = incident.steps.iter().filter_map(|step| step.verdicts.get("cookie_sent")).sum();
    let length: u64 = incident.steps.iter().map(|step| step.length_ms).sum();
    assert_eq!((sent, length), (1_000_000, 1_000_000));
    let first = incident.steps[0].sample();
    assert_eq!((first.values[&Metric::CookiesSent], first.values[&Metric::PassiveOpens]), (1000.0, 11.0));
    assert_eq!((first.values[&Metric::Load1], first.values[&Metric::MemoryAvailable]), (16.0, 1e9 - 16.0), "the worst");
    assert!(serde_json::to_vec(&incident).unwrap().len() < 64 * 1024);
}

#[test]
fn a_clock_that_is_set_back_does_no_harm() {
    let mut incident = flood(1, 3);
    incident.step(Time::from_seconds(10), counters(&[("cookie_sent", 4000)]), &BTreeMap::new());
    assert_eq!(incident.steps.last().unwrap().length_ms, 1000);
    assert!(incident.span().length_ms() >= 3000);
}

#[test]
fn numbers_are_for_ever_and_the_oldest_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("incidents"));
    assert!(store.list().unwrap().incidents.is_empty(), "no folder yet");
    for _ in 0..5 {
        let mut incident = flood(store.next_number().unwrap(), 2);
        store.note(&incident).unwrap();
        assert_eq!(store.unfinished().unwrap().number, incident.number);
        incident.end(Time::from_seconds(1003));
        store.keep(&incident).unwrap();
        assert!(store.unfinished().is_none());
        assert_eq!(store.read(incident.number).unwrap().unwrap(), incident);
    }
    store.make_room(2, u64::MAX).unwrap();
    let numbers =
        |store: &Store| -> Vec<u64> { store.list().unwrap().incidents.iter().map(|one| one.number).collect() };
    assert_eq!(numbers(&store), [5, 4]);
    store.make_room(2, 1).unwrap();
    assert_eq!(numbers(&store), [5], "the newest stays");
    fs::remove_file(store.folder().join("5.json")).unwrap();
    assert_eq!(store.next_number().unwrap(), 6);
    assert_eq!(store.next_number().unwrap(), 7, "also when nothing was written under it");
}

#[test]
fn damaged_files_are_passed_over_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    store.keep(&flood(1, 2)).unwrap();
    fs::write(folder.path().join("2.json"), b"{\"version\": 1, \"num").unwrap();
    fs::write(folder.path().join("3.json"), b"").unwrap();
    let newer = Incident { version: VERSION + 1, ..flood(4, 2) };
    fs::write(folder.path().join("4.json"), serde_json::to_vec(&newer).unwrap()).unwrap();
    fs::write(folder.path().join("5.json.sekisho-new"), b"half").unwrap();
    fs::write(folder.path().join("notes.json"), b"mine").unwrap();
    let listed = store.list().unwrap();
    assert_eq!((listed.incidents.len(), listed.unreadable.len()), (1, 3));
    assert!(store.read(9).unwrap().is_none());
    assert_eq!(store.next_number().unwrap(), 5, "a damaged one keeps its number");
}

#[test]
fn the_spread_that_rests_on_most_samples_is_kept() {
    let spread = |samples, shape| Spread {
        at: Time::from_seconds(1001),
        shape,
        asked: samples * 32,
        samples,
        distinct: samples / 2,
        networks: Vec::new(),
        sources: Vec::new(),
    };
    let mut incident = flood(1, 1);
    incident.see_spread(spread(500, SpreadShape::Scattered));
    incident.see_spread(spread(200, SpreadShape::Concentrated));
    assert_eq!(incident.spread.as_ref().unwrap().shape, SpreadShape::Scattered);
    assert_eq!(incident.facts().asked.unwrap().distinct, 250);
}
