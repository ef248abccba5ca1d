//! From the arguments to a plan.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho_lab::compare::{Defence, Family, Plan, Rate};
use sekisho_lab::flood::RATE_MAX;

use super::CompareArgs;
use crate::failure::Failure;

/// The rates of `--quick`.
const QUICK: [Rate; 4] = [Rate::Calm, Rate::PerSecond(100_000), Rate::PerSecond(1_000_000), Rate::Full];
/// The defences of `--quick`: one of each kind.
const QUICK_DEFENCES: [Defence; 9] = [
    Defence::None,
    Defence::Limit,
    Defence::Hashlimit,
    Defence::Cookies,
    Defence::Synproxy,
    Defence::SekishoNftables,
    Defence::Sekisho,
    Defence::Bounce,
    Defence::Oracle,
];
/// The rates of the full matrix.
const FULL: [Rate; 6] = [
    Rate::Calm,
    Rate::PerSecond(30_000),
    Rate::PerSecond(100_000),
    Rate::PerSecond(300_000),
    Rate::PerSecond(1_000_000),
    Rate::Full,
];
/// A visit that takes longer has failed: time enough for a SYN that was lost to be sent once more (after 1 s, RFC 6298).
const DEADLINE: Duration = Duration::from_secs(2);
/// The same in `--quick`: a SYN that was lost twice would not be sent again within either (after 3 s), so the order is the same.
const QUICK_DEADLINE: Duration = Duration::from_millis(1500);
/// How long visitors begin in each cell of `--quick`, so that all of it stays below 90 s.
const QUICK_WINDOW: Duration = Duration::from_millis(500);

/// The most rounds, unless others are asked for.
pub const ROUNDS: u8 = 5;
/// How long visitors begin in each cell, in seconds, unless asked for otherwise.
pub const SECONDS: f64 = 1.0;

/// The plan of the arguments.
pub fn of(args: &CompareArgs) -> Result<Plan, Failure> {
    let program = crate::lab::program()?;
    let mut rates = match (args.rates.is_empty(), args.quick) {
        (false, _) => args.rates.clone(),
        (true, true) => QUICK.into(),
        (true, false) => FULL.into(),
    };
    rates.sort_unstable();
    rates.dedup();
    let chosen = |defence: &Defence| match (args.defences.is_empty(), args.quick) {
        (false, _) => args.defences.contains(defence),
        (true, true) => QUICK_DEFENCES.contains(defence),
        (true, false) => true,
    };
    Ok(Plan {
        program,
        defences: Defence::ALL.into_iter().filter(chosen).collect(),
        rates,
        family: if args.family == 6 { Family::V6 } else { Family::V4 },
        window: if args.quick { QUICK_WINDOW } else { Duration::from_secs_f64(args.seconds) },
        deadline: if args.quick { QUICK_DEADLINE } else { DEADLINE },
        budget: Duration::from_secs(60 * u64::from(args.minutes)),
        rounds: if args.quick { 1 } else { args.rounds.into() },
    })
}

/// The command that repeats it.
pub fn command_line(args: &CompareArgs) -> String {
    let mut line = "sudo sekisho lab compare".to_owned();
    if args.quick {
        line.push_str(" --quick");
    } else {
        let _ = write!(line, " --minutes {}", args.minutes);
        if args.rounds != ROUNDS {
            let _ = write!(line, " --rounds {}", args.rounds);
        }
        if args.seconds != SECONDS {
            let _ = write!(line, " --seconds {}", args.seconds);
        }
    }
    if args.family == 6 {
        line.push_str(" --family 6");
    }
    for defence in &args.defences {
        let _ = write!(line, " --defence {defence}");
    }
    for rate in &args.rates {
        let _ = write!(line, " --rate {}", word(*rate));
    }
    line
}

/// A rate as the command line takes it.
pub fn word(rate: Rate) -> String {
    match rate {
        Rate::Calm => "0".into(),
        Rate::Full => "full".into(),
        Rate::PerSecond(rate) if rate % 1_000_000 == 0 => format!("{}M", rate / 1_000_000),
        Rate::PerSecond(rate) if rate % 1000 == 0 => format!("{}k", rate / 1000),
        Rate::PerSecond(rate) => rate.to_string(),
    }
}

/// Reads a defence's name.
pub fn defence(text: &str) -> Result<Defence, String> {
    let names = || Defence::ALL.map(Defence::name).join(", ");
    Defence::named(text).ok_or_else(|| format!("the defences are {}", names()))
}

/// Reads a rate.
pub fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("a rate is 0, 100k, 1M or full, and at most {} M", RATE_MAX / 1_000_000);
    if text == "full" {
        return Ok(Rate::Full);
    }
    let (digits, factor) = match text.strip_suffix(['k', 'M']) {
        Some(digits) => (digits, if text.ends_with('k') { 1000 } else { 1_000_000 }),
        None => (text, 1),
    };
    let rate = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)?;
    match rate {
        0 => Ok(Rate::Calm),
        rate if rate <= RATE_MAX => Ok(Rate::PerSecond(rate)),
        _ => Err(wrong()),
    }
}

/// Reads how long a cell's visitors begin.
pub fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.2..=20.0).contains(seconds));
    seconds.ok_or_else(|| "between 0.2 and 20 seconds are wanted".to_owned())
}

/// Reads where a report goes.
pub fn report(text: &str) -> Result<PathBuf, String> {
    let known = Path::new(text).extension().is_some_and(|extension| extension == "html" || extension == "md");
    if known { destination(text) } else { Err("a name that ends in .html or .md is wanted".into()) }
}

/// Reads where something is written in the end: half an hour of measuring must not fail for a folder that is not there.
pub fn destination(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(format!("there is no folder {}", folder.display()));
    }
    if path.is_dir() { Err("this is a folder, and a file is wanted".into()) } else { Ok(path.into()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CompareArgs,
    }

    fn repeated(words: &str) -> String {
        command_line(&Line::parse_from(words.split(' ')).args)
    }

    #[test]
    fn the_command_that_repeats_it() {
        assert_eq!(repeated("compare --quick"), "sudo sekisho lab compare --quick");
        assert_eq!(
            repeated("compare --rounds 1 --seconds 0.5 --defence none --rate 1500k"),
            "sudo sekisho lab compare --minutes 25 --rounds 1 --seconds 0.5 --defence none --rate 1500k"
        );
        assert_eq!(repeated("compare --minutes 8 --family 6"), "sudo sekisho lab compare --minutes 8 --family 6");
    }

    #[test]
    fn rates_are_read_as_they_are_written() {
        for rate_of in FULL {
            assert_eq!(rate(&word(rate_of)), Ok(rate_of));
        }
        assert_eq!(rate("1500"), Ok(Rate::PerSecond(1500)));
        assert!(rate("7M").is_err() && rate("5000000k").is_err() && rate("much").is_err() && rate("").is_err());
    }

    #[test]
    fn reports_have_a_kind() {
        assert!(report("a.html").is_ok() && report("/tmp/c.md").is_ok() && report("c.pdf").is_err());
    }

    #[test]
    fn what_cannot_be_written_is_said_before_it_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name).display().to_string();
        assert!(
            report(&inside("a.html")).is_ok() && destination(&inside("a.json")).is_ok() && destination("-").is_ok()
        );
        assert!(report(&inside("b/c.md")).is_err(), "no such folder");
        assert!(destination(&inside("")).is_err(), "a folder");
    }
}
