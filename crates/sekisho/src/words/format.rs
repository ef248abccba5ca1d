//! Numbers, sizes, lengths of time and moments, as each language writes them.

use sekisho_engine::observe::record::Time;
use sekisho_engine::observe::record::clock::{civil, offset};

use super::Lang;

/// The zone that times are told in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// So many seconds ahead of UTC.
    Fixed(i32),
    /// This machine's own.
    Here,
}

impl Zone {
    /// Seconds ahead of UTC at a moment.
    pub fn ahead(self, at: Time) -> i64 {
        match self {
            Self::Fixed(seconds) => i64::from(seconds),
            Self::Here => i64::from(offset(at.seconds()).unwrap_or(0)),
        }
    }
}

/// Between a number and its unit: a blank at which no line ends.
pub const NARROW: char = '\u{a0}';

/// Three digits that mean something: 1,234,567 or 12.3 or 0.05.
pub fn number(number: f64) -> String {
    if !number.is_finite() {
        return "?".to_owned();
    }
    let decimals = match number.abs() {
        _ if number.fract() == 0.0 => 0,
        99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    let text = format!("{number:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let whole = grouped(whole);
    if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }
}

/// Digits in groups of three. Both languages put a comma between.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in powers of 1024.
pub fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value.abs() < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    // So fine that a product can be reckoned again by hand.
    let value = if value.abs() < 100.0 { (value * 10.0).round() / 10.0 } else { value.round() };
    format!("{}{NARROW}{unit}", number(value))
}

/// A share from 0 to 1, in percent; what is there is never 0 %, and what is not all is never 100 %.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0%".to_owned(),
        percent if percent.abs() < 1.0 => format!("{}%", number((percent * 100.0).round() / 100.0)),
        percent if (99.5..100.0).contains(&percent) => format!("{}%", number((percent * 10.0).floor() / 10.0)),
        percent => format!("{}%", number(percent.round())),
    }
}

/// A length of time, in its two largest units.
pub fn duration_ms(lang: Lang, milliseconds: f64) -> String {
    let units: [(f64, &str, &str); 5] = [
        (86_400_000.0, "d", "日"),
        (3_600_000.0, "h", "時間"),
        (60_000.0, "min", "分"),
        (1000.0, "s", "秒"),
        (1.0, "ms", "ミリ秒"),
    ];
    let told = |number: f64, at: usize| match lang {
        Lang::En => format!("{}{NARROW}{}", self::number(number), units[at].1),
        Lang::Ja => format!("{}{}", self::number(number), units[at].2),
    };
    let length = milliseconds.abs();
    let first = units.iter().position(|(unit, ..)| length >= *unit).unwrap_or(units.len() - 1);
    let unit = units[first].0;
    // Below a minute one unit with a decimal reads better than two.
    if unit <= 1000.0 {
        let value = length / unit;
        let value = if value < 10.0 { (value * 10.0).round() / 10.0 } else { value.round() };
        return told(value, first);
    }
    let whole = (length / unit).floor();
    let rest = ((length - whole * unit) / units[first + 1].0).floor();
    match (told(whole, first), lang) {
        (told, _) if rest == 0.0 => told,
        (larger, Lang::En) => format!("{larger}{NARROW}{}", told(rest, first + 1)),
        (larger, Lang::Ja) => larger + &told(rest, first + 1),
    }
}

/// The parts of a moment in a zone: year, month, day, hour, minute, second.
fn parts(zone: Zone, at: Time) -> (i64, u8, u8, i64, i64, i64) {
    let local = at.seconds().saturating_add(zone.ahead(at));
    let (year, month, day) = civil(local.div_euclid(86_400));
    let of_day = local.rem_euclid(86_400);
    (year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// The time of day.
pub fn clock(zone: Zone, at: Time) -> String {
    let (.., hour, minute, second) = parts(zone, at);
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// The time of day, without seconds.
pub fn minute(zone: Zone, at: Time) -> String {
    let (.., hour, minute, _) = parts(zone, at);
    format!("{hour:02}:{minute:02}")
}

/// The date.
pub fn date(lang: Lang, zone: Zone, at: Time) -> String {
    let (year, month, day, ..) = parts(zone, at);
    match lang {
        Lang::En => format!("{year}-{month:02}-{day:02}"),
        Lang::Ja => format!("{year}年{month}月{day}日"),
    }
}

/// The date, without its year.
pub fn day(lang: Lang, zone: Zone, at: Time) -> String {
    let (_, month, day, ..) = parts(zone, at);
    match lang {
        Lang::En => format!("{month:02}-{day:02}"),
        Lang::Ja => format!("{month}/{day}"),
    }
}

/// Date and time.
pub fn moment(lang: Lang, zone: Zone, at: Time) -> String {
    format!("{} {}", date(lang, zone, at), clock(zone, at))
}

/// The zone as it is at a moment: UTC, UTC+9, UTC+5:30.
pub fn zone(zone: Zone, at: Time) -> String {
    let minutes = zone.ahead(at) / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    match (minutes.abs() / 60, minutes.abs() % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

/// Names that are written small also at the beginning of a sentence.
const SMALL: [&str; 6] = ["nginx", "php-fpm", "sshd", "sysstat", "syslog", "systemd"];

/// With a capital letter at its beginning, for headings. Japanese has none.
pub fn capital(text: &str) -> String {
    if SMALL.iter().any(|name| text.starts_with(name)) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Several things: "a, b and c".
pub fn list(lang: Lang, texts: &[String]) -> String {
    match (lang, texts) {
        (_, []) => "-".to_owned(),
        (Lang::En, [first @ .., last]) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        (Lang::En, _) => texts.concat(),
        (Lang::Ja, [one, other]) => format!("{one}と、{other}"),
        (Lang::Ja, _) => texts.join("、"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_mean_something() {
        let told = [0.0, 0.046, 7.0, 9.999, 12.34, 99.99, 1234.56, -1_234_567.0, f64::NAN].map(number);
        assert_eq!(told, ["0", "0.05", "7", "10", "12.3", "100", "1,235", "-1,234,567", "?"]);
    }

    #[test]
    fn sizes_and_shares() {
        let told = [0.0, 1023.0, 1024.0, 1536.0, 1_048_575.0, 15.0 * 1024.0 * 1024.0, 4.5e9].map(bytes);
        let told = told.map(|told| told.replace(NARROW, " "));
        assert_eq!(told, ["0 B", "1,023 B", "1 KiB", "1.5 KiB", "1 MiB", "15 MiB", "4.2 GiB"]);
        assert_eq!([0.0, 0.004, 0.126, 0.9966, 1.0, 1.5].map(percent), ["0%", "0.4%", "13%", "99.6%", "100%", "150%"]);
    }

    #[test]
    fn lengths_of_time() {
        for (ms, english, japanese) in [
            (0.0, "0 ms", "0ミリ秒"),
            (300.0, "300 ms", "300ミリ秒"),
            (1500.0, "1.5 s", "1.5秒"),
            (60_000.0, "1 min", "1分"),
            (200_000.0, "3 min 20 s", "3分20秒"),
            (3_600_000.0 * 26.5, "1 d 2 h", "1日2時間"),
        ] {
            assert_eq!(duration_ms(Lang::En, ms).replace(NARROW, " "), english);
            assert_eq!(duration_ms(Lang::Ja, ms), japanese);
        }
    }

    #[test]
    fn moments() {
        let at = Time(1_795_999_091_000);
        assert_eq!(moment(Lang::En, Zone::Fixed(0), at), "2026-11-30 00:38:11");
        assert_eq!(moment(Lang::Ja, Zone::Fixed(9 * 3600), at), "2026年11月30日 09:38:11");
        assert_eq!(minute(Zone::Fixed(-3600), at), "23:38");
        let told = [0, 9 * 3600, -12_600].map(|seconds| zone(Zone::Fixed(seconds), at));
        assert_eq!(told, ["UTC", "UTC+9", "UTC-3:30"]);
    }

    #[test]
    fn lists() {
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        assert_eq!((list(Lang::En, &names), list(Lang::En, &names[..1])), ("a, b and c".into(), "a".into()));
        assert_eq!((list(Lang::Ja, &names), list(Lang::Ja, &[])), ("a、b、c".into(), "-".into()));
    }
}
