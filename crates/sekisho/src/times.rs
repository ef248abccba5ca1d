//! Moments as people type them: `2026-11-30 02:00`, `02:00`, `yesterday 22:00`, `-3h`, RFC 3339.

use sekisho_engine::observe::record::clock::{Clock, Zone as ClockZone, civil};
use sekisho_engine::observe::record::{Span, Time};
use sekisho_engine::policy::duration_seconds;

use crate::words::Zone;

const DAY_MS: i64 = 86_400_000;

/// Why a text is no time, or two texts are no span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// It is in none of the known forms.
    NoTime(String),
    /// The end is not after the beginning.
    WrongOrder(Span),
    /// The beginning is still to come.
    Future(Time),
}

/// When people mean what they type: the present, and the zone of their clock.
#[derive(Debug, Clone, Copy)]
pub struct Present {
    /// Now.
    pub now: Time,
    /// The zone of times without one.
    pub zone: Zone,
}

impl Present {
    /// The span from `since` until `until` (else now). A time without a day is the last that is over; behind a `since`, the first that
    /// follows it: from 22:00 until 02:00 is one night.
    pub fn span(&self, since: &str, until: Option<&str>) -> Result<Span, Mistake> {
        let from = self.time(since, None)?;
        if from > self.now {
            return Err(Mistake::Future(from));
        }
        let until = until.map_or(Ok(self.now), |until| self.time(until, Some(from)))?;
        let span = Span { from, until };
        if span.length_ms() > 0 { Ok(span) } else { Err(Mistake::WrongOrder(span)) }
    }

    /// One moment. `after`: where a time without a day is looked for.
    fn time(&self, text: &str, after: Option<Time>) -> Result<Time, Mistake> {
        let text = text.trim();
        let no_time = || Mistake::NoTime(text.to_owned());
        if matches!(text, "now" | "今" | "現在") {
            return Ok(self.now);
        }
        if let Some(ago) = text.strip_prefix('-').filter(|ago| ago.ends_with(char::is_alphabetic)) {
            let seconds = duration_seconds(ago).and_then(|seconds| i64::try_from(seconds).ok()).ok_or_else(no_time)?;
            return Ok(self.now.plus_ms(seconds.saturating_mul(-1000)));
        }
        self.of_a_day(text)
            .or_else(|| self.without_day(text, after))
            .or_else(|| self.absolute(text))
            .ok_or_else(no_time)
    }

    /// `yesterday 22:00`, `today 02:00`; without a time, the day's beginning.
    fn of_a_day(&self, text: &str) -> Option<Time> {
        let (day, time) = text.split_once(' ').unwrap_or((text, "00:00"));
        let back = match day {
            "today" | "今日" | "本日" => 0,
            "yesterday" | "昨日" => 1,
            _ => return None,
        };
        self.on(self.day() - back, time)
    }

    /// `02:00`: behind `after`, else the last that is over.
    fn without_day(&self, text: &str, after: Option<Time>) -> Option<Time> {
        let days = |from: i64, step: i64| [from, from + step].into_iter();
        let day = self.day();
        match after {
            None => days(day, -1).filter_map(|day| self.on(day, text)).find(|at| *at <= self.now),
            Some(after) => days(self.day_of(after), 1).filter_map(|day| self.on(day, text)).find(|at| *at > after),
        }
    }

    /// With a date: `2026-11-30`, `2026-11-30 02:00`, RFC 3339.
    fn absolute(&self, text: &str) -> Option<Time> {
        let zone = match self.zone {
            Zone::Fixed(seconds) => ClockZone::Fixed(seconds),
            Zone::Here => ClockZone::Here,
        };
        let clock = Clock { zone, written: self.now, booted: None };
        let read = |text: &str| match clock.read(text) {
            Some((stamp, "")) => stamp.at,
            _ => None,
        };
        // Without seconds, or without any time. The zone may follow.
        let with_seconds = || {
            let (minutes, zone) = text.split_at_checked(16)?;
            read(&format!("{minutes}:00{zone}"))
        };
        read(text).or_else(with_seconds).or_else(|| read(&format!("{text} 00:00:00")))
    }

    /// A time of a day, as days since 1970 in this zone.
    fn on(&self, day: i64, time: &str) -> Option<Time> {
        let starts_with_digit = time.starts_with(|first: char| first.is_ascii_digit());
        let time = if time.len() < 5 { format!("0{time}") } else { time.to_owned() };
        let (year, month, of_month) = civil(day);
        let is_time = starts_with_digit && time.get(2..3) == Some(":");
        is_time.then(|| self.absolute(&format!("{year:04}-{month:02}-{of_month:02} {time}"))).flatten()
    }

    fn day(&self) -> i64 {
        self.day_of(self.now)
    }

    fn day_of(&self, at: Time) -> i64 {
        at.plus_ms(self.zone.ahead(at) * 1000).0.div_euclid(DAY_MS)
    }
}

/// Seconds ahead of UTC of `+09:00`, `-0330`, `+9`, `UTC`.
pub fn zone(text: &str) -> Option<i32> {
    if matches!(text, "UTC" | "Z") {
        return Some(0);
    }
    let (sign, digits) =
        text.strip_prefix('+').map(|rest| (1, rest)).or_else(|| Some((-1, text.strip_prefix('-')?)))?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(two) => two,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..=14).contains(&hours) && (0..60).contains(&minutes)).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-30 00:38:11 UTC, which is 09:38:11 where the clock is.
    const NOW: Time = Time(1_795_999_091_000);

    fn present() -> Present {
        Present { now: NOW, zone: Zone::Fixed(9 * 3600) }
    }

    /// Minutes before now.
    fn ago(text: &str) -> i64 {
        let at = present().time(text, None).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"));
        NOW.since_ms(at) / 1000 / 60
    }

    #[test]
    fn every_way_of_typing_a_time() {
        for (text, minutes) in [
            ("now", 0),
            ("-3h", 180),
            ("-10m", 10),
            ("2026-11-30 09:08", 30),
            ("2026-11-30 09:08:11", 30),
            ("2026-11-30T09:08", 30),
            ("2026-11-30T00:08:11Z", 30),
            ("2026-11-30T00:08Z", 30),
            ("2026-11-29T23:38:11-01:00", 0),
            ("2026-11-30", 9 * 60 + 38),
            ("02:00", 7 * 60 + 38),
            ("2:00", 7 * 60 + 38),
            ("22:00", 11 * 60 + 38),
            ("today 02:00", 7 * 60 + 38),
            ("yesterday 22:00", 11 * 60 + 38),
            ("yesterday", 33 * 60 + 38),
            ("昨日 22:00", 11 * 60 + 38),
        ] {
            assert_eq!(ago(text), minutes, "{text}");
        }
        for text in ["", "soon", "25:00", "2026-13-01", "-", "-3", "yesterday noon", "12", "é:00", "2026-11-30 02:00 x"]
        {
            assert_eq!(present().time(text, None), Err(Mistake::NoTime(text.into())), "{text}");
        }
    }

    #[test]
    fn zones() {
        let zones = ["+09:00", "+9", "-0330", "UTC", "+15", "9", "+é", "+09:", ""].map(zone);
        assert_eq!(zones, [Some(32_400), Some(32_400), Some(-12_600), Some(0), None, None, None, None, None]);
    }

    #[test]
    fn a_night_is_one_span() {
        let span = present().span("22:00", Some("02:00")).unwrap();
        assert_eq!(span.length_ms(), 4 * 3_600_000);
        let span = present().span("yesterday 22:00", Some("23:00")).unwrap();
        assert_eq!(span.length_ms(), 3_600_000);
        assert_eq!(present().span("-1h", None).unwrap().until, NOW);
    }

    #[test]
    fn a_span_that_is_none_is_told() {
        let wrong = present().span("2026-11-30 02:00", Some("2026-11-30 01:00"));
        assert!(matches!(wrong, Err(Mistake::WrongOrder(_))), "{wrong:?}");
        assert!(matches!(present().span("2026-12-01", None), Err(Mistake::Future(_))));
    }
}
