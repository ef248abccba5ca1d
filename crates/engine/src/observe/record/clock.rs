//! When a line was written. Logs write time in many ways, some without a zone, some without a year: [`Clock`] knows what they leave out.

use std::mem::MaybeUninit;

use super::Time;

const DAY: i64 = 86_400;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The zone of times that are written without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// So many seconds ahead of UTC, for want of a better guess.
    Fixed(i32),
    /// So many seconds ahead of UTC, as another file of the same machine or the user says.
    Told(i32),
    /// This machine's own zone, summer time with it.
    Here,
}

/// What has to be known to read times that leave something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The zone of times without one.
    pub zone: Zone,
    /// When the file was written last: times without a year are at most a day after this, and less than a year before.
    pub written: Time,
    /// When the machine was started, for times that count from there (dmesg).
    pub booted: Option<Time>,
}

/// A time as it stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The moment; `None`: it counts from the boot, and nobody knows when that was.
    pub at: Option<Time>,
    /// The zone, if it was written with the time.
    pub zone: Option<i32>,
    /// Whether the zone had to be taken from [`Clock`].
    pub zone_assumed: bool,
}

impl Clock {
    /// Reads the time with which a line begins; returns what follows it.
    ///
    /// Known are: `2026-11-30T00:38:11.5+09:00` (ISO 8601, also with a blank in place of T and without zone), `Nov 30 00:38:11` (RFC 3164),
    /// `[ 1234.567890]` (dmesg), `[Mon Nov 30 00:38:11.5 2026]` (dmesg -T, Apache), `2026/11/30 00:38:11` (nginx),
    /// `[30/Nov/2026:00:38:11 +0900]` (access logs), `[30-Nov-2026 00:38:11]` (php-fpm).
    pub fn read<'l>(&self, line: &'l str) -> Option<(Stamp, &'l str)> {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix('[') {
            let (inner, rest) = rest.split_once(']')?;
            return Some((self.bracketed(inner.trim())?, rest.trim_start()));
        }
        self.iso(line).or_else(|| self.traditional(line))
    }

    fn bracketed(&self, text: &str) -> Option<Stamp> {
        let from_boot = || {
            let (seconds, fraction) = text.split_once('.')?;
            let seconds: i64 = seconds.parse().ok()?;
            let ms = (seconds.checked_mul(1000)?).checked_add(milliseconds(fraction)?)?;
            let at = self.booted.map(|booted| booted.plus_ms(ms));
            Some(Stamp { at, zone: None, zone_assumed: false })
        };
        from_boot().or_else(|| self.access(text)).or_else(|| self.with_weekday(text)).or_else(|| self.dashed(text))
    }

    /// `30/Nov/2026:00:38:11 +0900`.
    fn access(&self, text: &str) -> Option<Stamp> {
        let (date, rest) = text.split_once(':')?;
        let mut parts = date.split('/');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let (time, zone) = rest.split_once(' ').unwrap_or((rest, ""));
        self.stamp(date_of(year, month_of(month)?, day)?, clock_of(time)?, zone_of(zone))
    }

    /// `Mon Nov 30 00:38:11.5 2026`.
    fn with_weekday(&self, text: &str) -> Option<Stamp> {
        let mut words = text.split_whitespace();
        let (_, month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        self.stamp(date_of(year, month_of(month)?, day)?, clock_of(time)?, None)
    }

    /// `30-Nov-2026 00:38:11`.
    fn dashed(&self, text: &str) -> Option<Stamp> {
        let (date, time) = text.split_once(' ')?;
        let mut parts = date.split('-');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let (time, zone) = time.split_once(' ').unwrap_or((time, ""));
        self.stamp(date_of(year, month_of(month)?, day)?, clock_of(time)?, zone_of(zone))
    }

    fn iso<'l>(&self, line: &'l str) -> Option<(Stamp, &'l str)> {
        let date = line.get(..10)?;
        let mut parts = date.split(['-', '/']);
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if year.len() != 4 || !line.get(10..11).is_some_and(|between| between == "T" || between == " ") {
            return None;
        }
        let rest = line.get(11..)?;
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && !":.,".contains(letter)).unwrap_or(rest.len());
        let (time, rest) = rest.split_at(end);
        let zone_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let zone = zone_of(&rest[..zone_end]);
        let rest = if zone.is_some() { &rest[zone_end..] } else { rest };
        let date = date_of(year, month.parse().ok().filter(|month| (1..=12).contains(month))?, day)?;
        Some((self.stamp(date, clock_of(time.trim_end_matches([':', ',', '.']))?, zone)?, rest.trim_start()))
    }

    /// `Nov 30 00:38:11`, without a year.
    fn traditional<'l>(&self, line: &'l str) -> Option<(Stamp, &'l str)> {
        let month = month_of(line.get(..3)?)?;
        let day = line.get(4..6)?.trim();
        let time = clock_of(line.get(7..15)?)?;
        let year_last = civil(self.written.seconds().div_euclid(DAY) + 1).0;
        let candidates = [year_last, year_last - 1].map(|year| {
            let date = date_of(&year.to_string(), month, day)?;
            self.stamp(date, time, None)
        });
        let latest = self.written.plus_ms(DAY * 1000);
        let fits = |stamp: &Stamp| stamp.at.is_some_and(|at| at <= latest);
        let stamp = candidates.into_iter().flatten().find(fits)?;
        Some((stamp, line.get(15..)?.trim_start()))
    }

    fn stamp(&self, day: i64, ms: i64, zone: Option<i32>) -> Option<Stamp> {
        let local = day * DAY * 1000 + ms;
        let ahead = match (zone, self.zone) {
            (Some(zone), _) | (None, Zone::Fixed(zone) | Zone::Told(zone)) => zone,
            (None, Zone::Here) => here(local.div_euclid(1000))?,
        };
        let at = Time(local - i64::from(ahead) * 1000);
        Some(Stamp { at: Some(at), zone, zone_assumed: zone.is_none() })
    }
}

/// The month's number, from its English name.
fn month_of(name: &str) -> Option<u8> {
    MONTHS.iter().position(|month| *month == name).map(|at| at as u8 + 1)
}

/// Days since 1970.
fn date_of(year: &str, month: u8, day: &str) -> Option<i64> {
    let year: i64 = year.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let day: i64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    // Howard Hinnant's days_from_civil: years begin in March, so that the leap day comes last.
    let (year, month) = (if month <= 2 { year - 1 } else { year }, i64::from(month));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Year, month and day of a day since 1970.
pub fn civil(day: i64) -> (i64, u8, u8) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month as u8, (of_year - (153 * shifted + 2) / 5 + 1) as u8)
}

/// Milliseconds of `00:38:11`, also with a fraction.
fn clock_of(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let mut part = |max: i64| parts.next()?.parse().ok().filter(|value| (0..=max).contains(value));
    let (hours, minutes, seconds) = (part(23)?, part(59)?, part(60)?);
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds(fraction)?)
}

/// The first three digits of a fraction.
fn milliseconds(fraction: &str) -> Option<i64> {
    let digits = fraction.get(..fraction.len().min(3))?;
    let value: i64 = digits.parse().ok().filter(|value| *value >= 0)?;
    Some(value * 10i64.pow(3 - digits.len() as u32))
}

/// Seconds ahead of UTC of `Z`, `UTC`, `+0900`, `+09:00`, `-03`.
fn zone_of(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "UTC" | "GMT") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(char::is_ascii_digit).collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..4).unwrap_or("0").parse().ok()?;
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Seconds that this machine's zone is ahead of UTC at a local time.
fn here(local_seconds: i64) -> Option<i32> {
    // Asked twice: the first answer is for the moment that would be this local time in UTC.
    let first = offset(local_seconds)?;
    offset(local_seconds - i64::from(first))
}

/// Seconds that this machine's zone is ahead of UTC at a moment.
pub fn offset(seconds: i64) -> Option<i32> {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    let seconds: libc::time_t = seconds;
    // SAFETY: both pointers are valid for the call; all zeros is a valid `tm`.
    let done = unsafe { libc::localtime_r(&raw const seconds, parts.as_mut_ptr()) };
    // SAFETY: zeroed above, and filled by the call if it succeeded.
    let parts = unsafe { parts.assume_init() };
    if done.is_null() { None } else { i32::try_from(parts.tm_gmtoff).ok() }
}

/// A moment in this machine's zone, for people: `2026-11-30 09:38:11`.
pub fn local_text(at: Time) -> String {
    let seconds = at.seconds() + i64::from(offset(at.seconds()).unwrap_or(0));
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-30 00:38:11 UTC.
    const MOMENT: i64 = 1_795_999_091_000;

    fn clock() -> Clock {
        Clock { zone: Zone::Fixed(3600), written: Time(MOMENT), booted: Some(Time(MOMENT - 10_000)) }
    }

    fn read(text: &str) -> (i64, String) {
        let (stamp, rest) = clock().read(text).unwrap_or_else(|| panic!("{text}"));
        (stamp.at.unwrap().0 - MOMENT, rest.to_owned())
    }

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        let text = local_text(Time(MOMENT));
        let (stamp, _) = Clock { zone: Zone::Here, ..clock() }.read(&text).unwrap();
        assert_eq!(stamp.at, Some(Time(MOMENT)), "{text}");
    }

    #[test]
    fn days_and_dates_agree() {
        for day in (-1_000_000..3_000_000).step_by(997) {
            let (year, month, of_month) = civil(day);
            if (1970..=9999).contains(&year) {
                assert_eq!(date_of(&year.to_string(), month, &of_month.to_string()), Some(day));
            }
        }
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(date_of("2000", 2, "29"), Some(11_016));
    }

    #[test]
    fn every_way_of_writing_a_time() {
        for (text, off_ms, rest) in [
            ("2026-11-30T09:38:11.5+09:00 host kernel: x", 500, "host kernel: x"),
            ("2026-11-30T09:38:11+0900 host", 0, "host"),
            ("2026-11-30T00:38:11.123456Z host", 123, "host"),
            ("2026-11-30 01:38:11 host", 0, "host"),
            ("2026-11-30 01:38:11,250 host", 250, "host"),
            ("2026/11/30 01:38:11 [error] 7#7: x", 0, "[error] 7#7: x"),
            ("Nov 30 01:38:11 host sshd[1]: x", 0, "host sshd[1]: x"),
            ("Nov  9 01:38:11 host", -21 * 86_400_000, "host"),
            ("[   10.250000] TCP: x", 250, "TCP: x"),
            ("[Mon Nov 30 01:38:11.750000 2026] [mpm] x", 750, "[mpm] x"),
            ("[30/Nov/2026:09:38:11 +0900] \"GET /\"", 0, "\"GET /\""),
            ("[30-Nov-2026 01:38:11] WARNING: x", 0, "WARNING: x"),
            ("[30-Nov-2026 00:38:11 UTC] PHP x", 0, "PHP x"),
        ] {
            assert_eq!(read(text), (off_ms, rest.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_year_is_found_also_around_its_end() {
        let january = Time(MOMENT + 40 * 86_400_000);
        let clock = Clock { written: january, ..clock() };
        let at = |text: &str| clock.read(text).unwrap().0.at.unwrap();
        assert!(at("Dec 31 23:59:59 x") < at("Jan  1 00:00:00 x"), "the old year's end comes before the new year");
        assert_eq!(civil(at("Jan  2 12:00:00 x").seconds() / DAY).0, 2027);
        assert_eq!(
            civil(at("Jan 20 12:00:00 x").seconds() / DAY).0,
            2026,
            "a date that is still to come is last year's"
        );
    }

    #[test]
    fn what_is_no_time_is_none_and_nothing_panics() {
        let odd = [
            "",
            "[",
            "[]",
            "[x]",
            "2026-13-30T00:00:00Z",
            "Nov 30",
            "Nov 30 é1:38:11",
            "2026-11-30é",
            "[.5]",
            "日本語日本語日本語",
        ];
        for text in odd {
            assert_eq!(clock().read(text), None, "{text}");
        }
        assert_eq!(zone_of("+é"), None);
        let unknown = Clock { booted: None, ..clock() };
        assert_eq!(unknown.read("[1.5] x").unwrap().0.at, None, "a time since a boot of which nothing is known");
    }
}
