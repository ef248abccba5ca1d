//! Conversations that any SYN proxy must get right, played packet by packet against several of them.
//!
//! - [`script`](parse) is the language: `crates/lab/conversations/*.txt` are written in it, and docs/operations/conformance.md explains it.
//! - `flow` is one end of a connection, with the rules that hold for every segment, whatever a case is about.
//! - `play` plays a case; [`subject`](Subject) says who is tried, `place` is the server and the defence in front of it; `wire` and `tap` are
//!   bytes and a device.
//!
//! The peer is no kernel: it is this program with a packet socket at the router's end of the link to the server, or to the gateway before
//! it, so it can say what no kernel would. Every case has addresses of its own, and several are played at the same time.

mod flow;
mod place;
mod play;
mod script;
mod subject;
pub(crate) mod tap;
mod wire;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub use script::{Case, Mistake, Service, parse};
pub use subject::Subject;

use place::Place;
use play::Fault;

use crate::{Error, Result};

/// The conversations, by file.
const FILES: [(&str, &str); 5] = [
    ("options", include_str!("../../conversations/options.txt")),
    ("handshake", include_str!("../../conversations/handshake.txt")),
    ("connection", include_str!("../../conversations/connection.txt")),
    ("end", include_str!("../../conversations/end.txt")),
    ("road", include_str!("../../conversations/road.txt")),
];
/// Cases that are played at the same time. They mostly wait; more would only make `ss` wait for itself.
const AT_ONCE: usize = 16;

/// All cases that come with the program.
///
/// # Errors
///
/// [`Error::Parse`] if one cannot be read, which a test rules out.
pub fn cases() -> Result<Vec<Case>> {
    let mut all = Vec::new();
    for (file, text) in FILES {
        all.extend(parse(text).map_err(|mistake| Error::parse(format!("{file}.txt"), mistake.to_string()))?);
    }
    Ok(all)
}

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Request {
    /// Sekisho.
    pub program: PathBuf,
    /// Against whom.
    pub subjects: Vec<Subject>,
    /// Which cases.
    pub cases: Vec<Case>,
    /// 4, 6 or both.
    pub families: Vec<u8>,
}

/// How one case went against one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Who was tried.
    pub subject: Subject,
    /// Whose answers were tried thereby ([`Subject::stands_on`]).
    pub stands_on: Option<Subject>,
    /// The case's name.
    pub case: String,
    /// 4 or 6.
    pub family: u8,
    /// What went wrong, and at which line; `None` if nothing did.
    pub fault: Option<Wrong>,
    /// Why that is on purpose, if it is.
    pub known: Option<String>,
    /// Every segment that was sent and heard.
    pub log: Vec<String>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The line of the case.
    pub step: String,
    /// What happened instead.
    pub why: String,
}

/// Plays all cases against everybody, one subject after the other; `told` hears of each outcome as it comes.
///
/// # Errors
///
/// What keeps the lab from working (usually: not root). That somebody fails a case is no error.
pub fn run(request: &Request, told: &(dyn Fn(&Outcome) + Sync)) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for subject in &request.subjects {
        outcomes.extend(against(*subject, request, told)?);
    }
    Ok(outcomes)
}

fn against(subject: Subject, request: &Request, told: &(dyn Fn(&Outcome) + Sync)) -> Result<Vec<Outcome>> {
    let place = Place::new(subject, &request.program)?;
    thread::scope(|scope| {
        let armed = scope.spawn(|| place.keep_armed());
        let played = place.await_armed().and_then(|()| all(&place, subject, request, told));
        place.end();
        let kept =
            armed.join().unwrap_or_else(|_| Err(Error::parse("the flood that arms the server", "its thread died")));
        kept.and(played)
    })
}

fn all(place: &Place, subject: Subject, request: &Request, told: &(dyn Fn(&Outcome) + Sync)) -> Result<Vec<Outcome>> {
    let fits = |case: &&Case, family: u8| case.family.is_none_or(|only| only == family);
    let plays = request
        .families
        .iter()
        .flat_map(|family| request.cases.iter().filter(|case| fits(case, *family)).map(|case| (case, *family)));
    let plays: Vec<_> = plays.collect();
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        while let Some((case, family)) = plays.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = one(place, subject, case, *family)?;
            told(&outcome);
            outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(outcome);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Error::parse("a conversation", "its thread died"))));
        ended.collect::<Result<Vec<()>>>()
    })?;
    let mut outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place_of = |outcome: &Outcome| request.cases.iter().position(|case| case.name == outcome.case);
    outcomes.sort_by_key(|outcome| (place_of(outcome), outcome.family));
    Ok(outcomes)
}

fn one(place: &Place, subject: Subject, case: &Case, family: u8) -> Result<Outcome> {
    let played = play::play(place, case, family)?;
    let fault = match played.fault {
        Some((_, Fault::Lab(error))) => return Err(error),
        Some((step, Fault::Wrong(why))) => Some(Wrong { step, why }),
        None => None,
    };
    let known =
        case.except.as_ref().filter(|(who, _)| fault.is_some() && who.iter().any(|name| name == subject.name()));
    let known = known.map(|(_, why)| why.clone());
    let stands_on = subject.stands_on(case.service);
    Ok(Outcome { subject, stands_on, case: case.name.clone(), family, fault, known, log: played.log })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_can_be_read_and_says_what_it_is_about() {
        let cases = cases().unwrap();
        assert!(cases.len() >= 40, "{}", cases.len());
        let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len(), "each name once");
        for case in &cases {
            assert!(case.about.ends_with('.') && case.rule.contains("RFC") && !case.steps.is_empty(), "{}", case.name);
        }
    }
}
