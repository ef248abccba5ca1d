//! How a trial's visitors come to the server, as arguments and in words.

use std::time::Duration;

use clap::Args;
use sekisho_lab::trial::Way;
use sekisho_lab::trial::way::DELAY_MAX;

/// Bits a second that a road may have.
const SPEEDS: std::ops::RangeInclusive<u64> = 256_000..=1_000_000_000;

/// The way of visitors.
#[derive(Debug, Clone, Args)]
pub struct WayArgs {
    /// Visitors come through a NAT router, all from one address.
    #[arg(long)]
    pub behind_nat: bool,
    /// Each frame of a visitor is under way for so long, in each direction: 60ms.
    #[arg(long, value_name = "TIME", value_parser = delay)]
    pub delay: Option<Duration>,
    /// All visitors together get no more than this through, in each direction: 2mbit.
    #[arg(long, value_name = "RATE", value_parser = speed)]
    pub speed: Option<u64>,
    /// Visitors and flood come over IPv4 or IPv6 [default: 4, or as the incident did].
    #[arg(long, value_name = "4|6", value_parser = super::conform::family)]
    pub family: Option<u8>,
}

impl WayArgs {
    /// As the lab takes it. `v6` is how it is where nothing is said.
    pub fn way(&self, v6: bool) -> Way {
        Way {
            v6: self.family.map_or(v6, |family| family == 6),
            behind_nat: self.behind_nat,
            delay: self.delay.unwrap_or_default(),
            speed: self.speed,
        }
    }
}

fn delay(text: &str) -> Result<Duration, String> {
    let wrong = || format!("a time as 60ms is wanted, up to {} ms", DELAY_MAX.as_millis());
    let milliseconds = text.strip_suffix("ms").and_then(|number| number.trim().parse().ok()).ok_or_else(wrong)?;
    let delay = Duration::from_millis(milliseconds);
    if delay > DELAY_MAX { Err(wrong()) } else { Ok(delay) }
}

/// Reads bits a second, and makes bytes of them. What is slower does not carry the visits of a trial, and what is faster the road.
fn speed(text: &str) -> Result<u64, String> {
    let factor =
        |unit: &str| [("kbit", 1000), ("mbit", 1_000_000)].iter().find(|(one, _)| *one == unit).map(|(_, n)| *n);
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: Option<u64> = text[..text.len() - unit.len()].parse().ok();
    let bits = number.zip(factor(unit)).and_then(|(number, factor)| number.checked_mul(factor));
    let bits = bits.filter(|bits| SPEEDS.contains(bits));
    bits.map(|bits| bits / 8).ok_or_else(|| "a rate as 512kbit or 2mbit is wanted, from 256kbit to 1000mbit".into())
}

/// The way in words that follow a port; nothing where it is the usual one.
pub fn told(way: Way) -> String {
    let mut text = String::new();
    if way.v6 {
        text += ", over IPv6";
    }
    if way.behind_nat {
        text += ", visitors behind one address";
    }
    if !way.delay.is_zero() {
        text += &format!(", each frame of theirs {} ms under way", way.delay.as_millis());
    }
    if let Some(speed) = way.speed {
        text += &format!(", all of them within {} kbit/s", speed * 8 / 1000);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_has_a_unit_and_a_bound() {
        assert_eq!(delay("60ms"), Ok(Duration::from_millis(60)));
        for wrong in ["60", "60s", "-1ms", "501ms", "ms", "99999999999999999999ms"] {
            assert!(delay(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_speed_has_a_unit_and_bounds() {
        assert_eq!((speed("512kbit"), speed("2mbit")), (Ok(64_000), Ok(250_000)));
        for wrong in ["2", "mbit", "2gbit", "255kbit", "1001mbit", "-2mbit", "99999999999999999999mbit", "2 mbit", ""] {
            assert!(speed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_usual_way_needs_no_words() {
        assert_eq!(told(Way::default()), "");
        let way = Way { v6: true, behind_nat: true, delay: Duration::from_millis(60), speed: Some(250_000) };
        assert_eq!(
            told(way),
            ", over IPv6, visitors behind one address, each frame of theirs 60 ms under way, all of them within 2000 kbit/s"
        );
    }
}
