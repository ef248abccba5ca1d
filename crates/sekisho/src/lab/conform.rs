//! `sekisho lab conform`: packet conversations against Sekisho and others, and who passes what.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sekisho_lab::conform::{self, Case, Outcome, Request, Subject};
use serde_json::{Value, json};

use super::failed;
use crate::failure::Failure;

/// The arguments of `lab conform`.
#[derive(Debug, Clone, Args)]
pub struct ConformArgs {
    /// Play this case alone, and show every segment; may be given several times.
    #[arg(long = "case", value_name = "NAME")]
    pub cases: Vec<String>,
    /// Against whom; the kernel itself is what the cases are checked by.
    #[arg(long, value_delimiter = ',', default_values = Subject::ALL.map(Subject::name), value_parser = subject())]
    pub against: Vec<Subject>,
    /// Over IPv4, IPv6 or both.
    #[arg(long, value_name = "4|6", value_delimiter = ',', default_values_t = [4, 6], value_parser = family)]
    pub family: Vec<u8>,
    /// The outcome as JSON (its `version` is 1).
    #[arg(long)]
    pub json: bool,
    /// The outcome as a table in Markdown, as in docs/operations/conformance.md.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Only list the cases, and against whom they are played.
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub list: bool,
}

/// Reads a [`Subject`] by its name; help and errors list all of them.
fn subject() -> impl TypedValueParser<Value = Subject> {
    let names = Subject::ALL.map(|subject| PossibleValue::new(subject.name()).help(subject.about()));
    PossibleValuesParser::new(names).try_map(|name| {
        Subject::ALL.into_iter().find(|subject| subject.name() == name).ok_or_else(|| format!("there is no {name}"))
    })
}

pub fn family(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|family| [4, 6].contains(family)).ok_or_else(|| "4 or 6 is wanted".into())
}

/// Plays them. Fails if Sekisho did not pass everything, or its table less than what it stands on.
pub fn conform(args: &ConformArgs) -> Result<(), Failure> {
    let cases = chosen(&args.cases)?;
    if args.list {
        return crate::print(&listed(&cases));
    }
    let program = super::program()?;
    let subjects = args.against.clone();
    let request = Request { program, subjects, cases, families: args.family.clone() };
    tell_unjudged(&request);
    let outcomes = conform::run(&request, &tell).map_err(failed)?;
    let shown = if args.json {
        format!("{:#}\n", as_json(&request, &outcomes))
    } else if args.markdown {
        markdown(&request, &outcomes)
    } else {
        table(&request, &outcomes) + &logs(args, &outcomes)
    };
    crate::print(&shown)?;
    judge(&outcomes)
}

fn chosen(names: &[String]) -> Result<Vec<Case>, Failure> {
    let all = conform::cases().map_err(failed)?;
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|case| case.name == **name)) {
        return Err(Failure::new(format!("there is no case {unknown}"))
            .hint("`sekisho lab conform --list` names them")
            .usage());
    }
    Ok(all.into_iter().filter(|case| names.is_empty() || names.contains(&case.name)).collect())
}

fn listed(cases: &[Case]) -> String {
    let mut text = cases.iter().fold(String::new(), |mut text, case| {
        let _ = writeln!(text, "{}\n    {}\n    {}", case.name, case.about, case.rule);
        text
    });
    text.push_str("\nPlayed against (--against):\n");
    for subject in Subject::ALL {
        let _ = writeln!(text, "    {:17}  {}", subject.name(), subject.about());
    }
    text
}

/// Whose faults will be shown only, a line each, on stderr.
fn tell_unjudged(request: &Request) {
    for subject in &request.subjects {
        let bases: BTreeSet<_> = request.cases.iter().filter_map(|case| subject.stands_on(case.service)).collect();
        for base in bases.difference(&request.subjects.iter().copied().collect()) {
            // A closed stderr is no reason to stop.
            let _ = writeln!(
                std::io::stderr(),
                "{} stands on {base}: without `--against {base}` beside it, what it shares is not told from what is its own",
                subject.name(),
                base = base.name()
            );
        }
    }
}

/// Progress, a line each, on stderr.
fn tell(outcome: &Outcome) {
    let Outcome { subject, case, family, fault, .. } = outcome;
    let how = fault
        .as_ref()
        .map_or_else(|| "passed".to_owned(), |wrong| format!("FAILED at `{}`: {}", wrong.step, wrong.why));
    // A closed stderr is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{:17} IPv{family} {case}: {how}", subject.name());
}

/// How the same went against whom an outcome's subject stands on, if that was played.
fn base<'a>(outcomes: &'a [Outcome], outcome: &Outcome) -> Option<&'a Outcome> {
    let same = |other: &&Outcome| other.case == outcome.case && other.family == outcome.family;
    outcomes.iter().filter(same).find(|other| Some(other.subject) == outcome.stands_on)
}

/// Whether something is wrong that is Sekisho's to mend, or the case's. Sekisho has to pass, and so has the kernel, or the cases are wrong.
/// Sekisho's table has to pass what the kernel's own means do: what those get wrong, no rule can mend.
fn is_ours(outcomes: &[Outcome], outcome: &Outcome) -> bool {
    let spoilt = || base(outcomes, outcome).is_some_and(|base| base.fault.is_none());
    outcome.fault.is_some() && outcome.known.is_none() && (outcome.subject.must_pass() || spoilt())
}

fn judge(outcomes: &[Outcome]) -> Result<(), Failure> {
    match outcomes.iter().filter(|outcome| is_ours(outcomes, outcome)).count() {
        0 => Ok(()),
        n => {
            Err(Failure::new(format!("{n} conversations went wrong")).hint("`--case NAME` shows every segment of one"))
        }
    }
}

/// How a case went against one of them, over all families.
fn cell<'a>(outcomes: &'a [Outcome], case: &str, subject: Subject) -> Vec<&'a Outcome> {
    outcomes.iter().filter(|outcome| outcome.case == case && outcome.subject == subject).collect()
}

fn word(cell: &[&Outcome]) -> String {
    let failed: Vec<_> = cell.iter().filter(|outcome| outcome.fault.is_some()).collect();
    match (cell.len(), failed.len()) {
        (0, _) => "-".into(),
        (_, 0) => "pass".into(),
        _ if failed.iter().all(|outcome| outcome.known.is_some()) => "differs".into(),
        (all, some) if all == some => "FAIL".into(),
        _ => format!("FAIL (IPv{})", failed[0].family),
    }
}

/// What went wrong in a cell, once for all families; what is ours goes before what is shared.
fn reason(outcomes: &[Outcome], cell: &[&Outcome]) -> Option<String> {
    let ours = cell.iter().find(|outcome| is_ours(outcomes, outcome));
    let outcome = ours.or_else(|| cell.iter().find(|outcome| outcome.fault.is_some()))?;
    let wrong = outcome.fault.as_ref()?;
    let beside = match (&outcome.known, base(outcomes, outcome)) {
        (Some(why), _) => format!(" (on purpose: {why})"),
        (None, Some(base)) if base.fault.is_some() => format!(" (shared with {})", base.subject.name()),
        (None, Some(base)) => format!(" (not shared with {})", base.subject.name()),
        (None, None) => String::new(),
    };
    Some(format!("at `{}`: {}{beside}", wrong.step, wrong.why))
}

fn passed(outcomes: &[Outcome], subject: Subject) -> String {
    let of: Vec<_> = outcomes.iter().filter(|outcome| outcome.subject == subject).collect();
    let good = of.iter().filter(|outcome| outcome.fault.is_none()).count();
    format!("{good}/{}", of.len())
}

/// How wide a column is: its name, and the longest word.
fn column(subject: Subject) -> usize {
    subject.name().len().max("FAIL (IPv4)".len())
}

fn table(request: &Request, outcomes: &[Outcome]) -> String {
    let width = request.cases.iter().map(|case| case.name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}", "");
    for subject in &request.subjects {
        let _ = write!(text, "  {:<1$}", subject.name(), column(*subject));
    }
    for case in &request.cases {
        let _ = write!(text, "\n{:width$}", case.name);
        for subject in &request.subjects {
            let _ = write!(text, "  {:<1$}", word(&cell(outcomes, &case.name, *subject)), column(*subject));
        }
    }
    let _ = write!(text, "\n{:width$}", "passed");
    for subject in &request.subjects {
        let _ = write!(text, "  {:<1$}", passed(outcomes, *subject), column(*subject));
    }
    text.push('\n');
    for (case, subject, why) in reasons(request, outcomes) {
        let _ = write!(text, "\n{} fails {case}\n  {why}", subject.name());
    }
    // Trailing blanks are nothing to look at.
    text.lines().map(str::trim_end).fold(String::new(), |all, line| all + line + "\n")
}

fn reasons<'a>(request: &'a Request, outcomes: &'a [Outcome]) -> impl Iterator<Item = (&'a str, Subject, String)> {
    request.subjects.iter().flat_map(move |subject| {
        request.cases.iter().filter_map(move |case| {
            Some((&case.name[..], *subject, reason(outcomes, &cell(outcomes, &case.name, *subject))?))
        })
    })
}

/// Every segment, where single cases were asked for.
fn logs(args: &ConformArgs, outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes.iter().filter(|_| !args.cases.is_empty()) {
        let _ = writeln!(text, "\n{}, IPv{}, {}:", outcome.case, outcome.family, outcome.subject.name());
        for line in &outcome.log {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn markdown(request: &Request, outcomes: &[Outcome]) -> String {
    let names: Vec<_> = request.subjects.iter().map(|subject| subject.name()).collect();
    let mut text =
        format!("| what must hold | rule | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for case in &request.cases {
        let cells: Vec<_> =
            request.subjects.iter().map(|subject| word(&cell(outcomes, &case.name, *subject))).collect();
        let _ = writeln!(text, "| `{}`: {} | {} | {} |", case.name, case.about, case.rule, cells.join(" | "));
    }
    let sums: Vec<_> = request.subjects.iter().map(|subject| passed(outcomes, *subject)).collect();
    let _ = writeln!(text, "| **conversations passed** | | {} |\n", sums.join(" | "));
    for (case, subject, why) in reasons(request, outcomes) {
        let _ = writeln!(text, "- {} fails `{case}` {why}", subject.name());
    }
    text
}

fn as_json(request: &Request, outcomes: &[Outcome]) -> Value {
    let cases: Vec<_> =
        request.cases.iter().map(|case| json!({"name": case.name, "about": case.about, "rule": case.rule})).collect();
    let each = |outcome: &Outcome| {
        json!({
            "against": outcome.subject.name(),
            "case": outcome.case,
            "family": outcome.family,
            "passed": outcome.fault.is_none(),
            "step": outcome.fault.as_ref().map(|wrong| &wrong.step),
            "on_purpose": outcome.known,
            "stands_on": outcome.stands_on.map(Subject::name),
            "ours": is_ours(outcomes, outcome),
            "why": outcome.fault.as_ref().map(|wrong| &wrong.why),
            "segments": outcome.log,
        })
    };
    json!({"version": 1, "cases": cases, "outcomes": outcomes.iter().map(each).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sekisho_lab::conform::{Service, Wrong};

    use super::*;

    #[test]
    fn a_matrix_says_who_fails_what() {
        let cases: Vec<_> = conform::cases().unwrap().into_iter().take(2).collect();
        let names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
        let subjects = vec![Subject::Sekisho, Subject::Synproxy];
        let request = Request { program: PathBuf::new(), subjects, cases, families: vec![4, 6] };
        let outcome = |subject, case: usize, family, why: Option<&str>| Outcome {
            subject,
            stands_on: subject.stands_on(Service::Echo),
            case: names[case].clone(),
            family,
            fault: why.map(|why| Wrong { step: "< SYN,ACK".into(), why: why.into() }),
            known: None,
            log: Vec::new(),
        };
        let outcomes = [
            outcome(Subject::Sekisho, 0, 4, None),
            outcome(Subject::Sekisho, 0, 6, None),
            outcome(Subject::Synproxy, 0, 4, None),
            outcome(Subject::Synproxy, 0, 6, Some("nothing came")),
        ];
        let text = table(&request, &outcomes);
        assert!(text.contains(&format!("{}  pass         FAIL (IPv6)\n", names[0])), "{text}");
        assert!(text.contains("synproxy fails all-options\n  at `< SYN,ACK`: nothing came\n"), "{text}");
        assert!(text.contains("2/2          1/2"), "{text}");
        assert!(judge(&outcomes).is_ok(), "only the others may fail");
        assert!(judge(&[outcome(Subject::Sekisho, 1, 4, Some("x"))]).is_err());
    }

    #[test]
    fn the_table_answers_for_what_the_kernel_gets_right() {
        let outcome = |subject: Subject, family, fails: bool| Outcome {
            subject,
            stands_on: subject.stands_on(Service::Echo),
            case: "x".into(),
            family,
            fault: fails.then(|| Wrong { step: "< SYN,ACK".into(), why: "nothing came".into() }),
            known: None,
            log: Vec::new(),
        };
        let (table, cookies) = (Subject::Nftables, Subject::Cookies);
        let shared = [outcome(table, 4, true), outcome(cookies, 4, true), outcome(cookies, 6, false)];
        assert!(judge(&shared).is_ok());
        assert!(reason(&shared, &cell(&shared, "x", table)).unwrap().ends_with("nothing came (shared with cookies)"));
        assert!(judge(&[outcome(table, 4, true)]).is_ok(), "nothing to compare it with");
        let own =
            [outcome(table, 4, true), outcome(cookies, 4, true), outcome(table, 6, true), outcome(cookies, 6, false)];
        assert!(judge(&own).is_err());
        assert!(reason(&own, &cell(&own, "x", table)).unwrap().ends_with("(not shared with cookies)"));
    }
}
