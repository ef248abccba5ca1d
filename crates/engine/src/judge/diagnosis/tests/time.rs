//! The timeline and the queue table.

use super::*;
use crate::judge::diagnosis::timeline::{MARKS_MAX, POINTS_MAX, Row};
use crate::judge::settings::Binds;

#[test]
fn a_long_series_keeps_its_peaks_and_what_is_scarce_its_lowest() {
    let mut record = past();
    for second in 0..5000 {
        let peak = if second == 3333 { 99_999.0 } else { 5.0 };
        let memory = if second == 4444 { 1.0 } else { 1e9 };
        let values = [(Metric::Syns, peak), (Metric::MemoryAvailable, memory)];
        sample(&mut record, Source::Sekisho, at(0).plus_ms(second * 1000), 1000, &values);
    }
    let timeline = judge(&record).timeline;
    let row = |row| timeline.series.iter().find(|series| series.row == row).unwrap();
    let syns = row(Row::Syns);
    assert!(syns.points.len() <= POINTS_MAX && syns.points.len() > POINTS_MAX / 2);
    assert_eq!(syns.extreme, (at(0).plus_ms(3_333_000), 99_999.0));
    assert!(syns.points.contains(&syns.extreme), "the peak is drawn");
    let memory = row(Row::MemoryAvailable);
    assert!(memory.points.contains(&(at(0).plus_ms(4_444_000), 1.0)), "the lowest is drawn");
    assert!(syns.points.is_sorted_by_key(|(at, _)| *at));
}

#[test]
fn rare_events_keep_their_marks_among_many() {
    let mut record = past();
    for second in 0..3000 {
        let logged = EventKind::FirewallLogged { prefix: format!("x{second}"), port: None };
        record.event(Some(at(0).plus_ms(second * 1000)), Source::KernelLog, logged);
    }
    message(&mut record, Some(at(30)));
    let timeline = judge(&record).timeline;
    assert_eq!(timeline.marks.len(), MARKS_MAX);
    assert!(timeline.marks_left_out > 2000);
    assert!(timeline.marks.iter().any(|mark| matches!(mark.event, EventKind::SynFloodingMessage { .. })));
    assert!(timeline.marks.is_sorted_by_key(|mark| mark.at));
}

#[test]
fn what_binds_each_listener_s_queue() {
    let mut record = now(&[]);
    record.listeners.push(Listener { configured_backlog: Some(511), ..listener(80, 128) });
    record.listeners.push(listener(25, 100));
    let row = |record: &Record, port| judge(record).queues.into_iter().find(|row| row.local.port() == port).unwrap();
    let web = row(&record, 80);
    assert_eq!((web.fits, web.binds, web.cookies_beyond), (129, Binds::Somaxconn, Some(true)));
    assert_eq!(web.takes, [12_900, 1290, 430]);
    assert_eq!((web.wanted, web.half_open), (Some(1024), Some(0)));
    assert!(web.memory_wanted_bytes > Some(web.memory_bytes));
    assert_eq!(row(&record, 25).binds, Binds::Application);

    record.sysctls.insert("net.ipv4.tcp_syncookies".into(), "0".into());
    record.sysctls.insert("net.ipv4.tcp_max_syn_backlog".into(), "64".into());
    let web = row(&record, 80);
    assert_eq!((web.fits, web.binds, web.cookies_beyond), (48, Binds::MaxSynBacklog, Some(false)));
}
