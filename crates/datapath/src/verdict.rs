//! The verdicts: what became of each packet. One list, `bpf/verdicts.def`, from which C, this enum, `sekisho status`, its JSON
//! and docs/verdicts.md are made. A number is given once and for ever.

use std::fmt;

/// What a verdict does with the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The kernel goes on with it.
    Pass,
    /// It ends here.
    Drop,
    /// It was turned into its answer and sent back where it came from.
    Answer,
}

impl Action {
    /// The word used in text and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Answer => "answer",
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/verdicts.rs"));

impl Verdict {
    /// The number: its slot among the counters, for ever.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in snake_case, as in C, `status`, JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// What it does with the packet.
    #[must_use]
    pub const fn action(self) -> Action {
        self.row().1
    }

    /// One sentence for people.
    #[must_use]
    pub const fn help(self) -> &'static str {
        self.row().2
    }

    /// The verdict with this number, if there is one (it may be retired, or of a newer version).
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|v| v.number() == number)
    }

    /// The verdict of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|v| v.name() == name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// docs/verdicts.md: the list as a table.
#[must_use]
pub fn verdicts_markdown() -> String {
    let mut page = String::from(
        "# Verdicts\n\n\
         What became of each packet that the programs looked at. Every verdict has one name and one number for ever; `sekisho status`\n\
         counts them by these names. *pass*: the kernel goes on with the packet. *drop*: it ends here. *answer*: it was turned into its\n\
         answer and sent back where it came from.\n\n\
         This page is generated from `bpf/verdicts.def`; a test compares the two. After a change of the list write it anew with\n\
         `UPDATE_DOCS=1 cargo test -p sekisho-datapath the_verdicts_page`.\n\n\
         | number | name | action | what happened |\n|---:|---|---|---|\n",
    );
    for verdict in Verdict::ALL {
        let (number, name, action, help) =
            (verdict.number(), verdict.name(), verdict.action().name(), verdict.help().replace('|', "\\|"));
        page += &format!("| {number} | `{name}` | {action} | {help} |\n");
    }
    page
}

#[cfg(test)]
#[allow(dead_code, reason = "build.rs uses all of it, the tests a part")]
#[path = "../build/verdicts.rs"]
mod list;

#[cfg(test)]
mod tests {
    use super::*;

    use super::list::{Entry, parse};

    fn refused(text: &str, why: &str) {
        let error = parse(text, 64).expect_err(text);
        assert!(error.contains(why), "{error}");
        assert!(error.contains("line"), "{error}");
    }

    #[test]
    fn names_and_numbers_find_their_verdict() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_number(verdict.number()), Some(*verdict));
            assert_eq!(Verdict::from_name(verdict.name()), Some(*verdict));
        }
        assert_eq!(Verdict::from_number(255), None);
        assert_eq!(Verdict::CookieSent.number(), 13);
        assert_eq!(Verdict::CookieSent.action(), Action::Answer);
        assert_eq!(Verdict::StrayAck.to_string(), "stray_ack");
    }

    #[test]
    fn a_number_given_twice_is_refused() {
        let twice = "VERDICT(1, a, PASS, \"A.\")\nVERDICT(1, b, PASS, \"B.\")\n";
        refused(twice, "number 1 was given before");
    }

    #[test]
    fn a_retired_number_stays_reserved() {
        refused("RETIRED(4)\nVERDICT(4, b, PASS, \"B.\")\n", "number 4 was given before");
        refused("VERDICT(4, b, PASS, \"B.\")\nRETIRED(4)\n", "number 4 was given before");
        assert_eq!(parse("RETIRED(4)\n", 64), Ok(vec![Entry::Retired(4)]));
    }

    #[test]
    fn names_are_snake_case_and_unique() {
        for name in ["Big", "two__lines", "_front", "back_", "9lives", "da-sh", ""] {
            refused(&format!("VERDICT(1, {name}, PASS, \"A.\")\n"), "snake_case");
        }
        refused("VERDICT(1, a, PASS, \"A.\")\nVERDICT(2, a, PASS, \"B.\")\n", "name was given before");
    }

    #[test]
    fn faults_are_told_with_their_line() {
        refused("VERDICT(64, a, PASS, \"A.\")\n", "no slot");
        refused("VERDICT(1, a, KEEP, \"A.\")\n", "action");
        refused("VERDICT(1, a, PASS, \"no stop\")\n", "full stop");
        refused("VERDICT(1, a, PASS)\n", "four parts");
        refused("VERDICT(1, a, PASS, A.)\n", "quotes");
        refused("VERDIKT(1)\n", "neither");
    }

    #[test]
    fn the_verdicts_page_is_the_list() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verdicts.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, verdicts_markdown()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == verdicts_markdown(),
            "docs/verdicts.md is not what the list gives; its first lines say how to write it"
        );
    }
}
