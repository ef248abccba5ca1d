//! From what was to why: pure, a [`Record`] in, a [`Diagnosis`] out.
//!
//! Nothing here is prose, and nothing reads a clock or a file. A diagnosis is enums with typed arguments ([`phrase`]), which views put
//! into the words of a language. Read it in this order:
//!
//! - here: what a diagnosis is, and [`diagnose`];
//! - [`cause`]: what can be named; [`phrase`] and [`value`]: how it is said without words;
//! - [`facts`]: the record, with what several rules ask of it reckoned once, above all [`flood`] and [`rush`]; [`thresholds`]: where lines are drawn;
//! - [`rules`]: one small function for each cause, and the table of them all;
//! - [`verdict`]: which of the findings is to blame, and what cannot be told;
//! - [`queues`]: what each listener's queue takes; [`timeline`]: the record as rows over time.
//!
//! Three principles. An attack needs positive evidence, many SYNs that never become connections: trouble alone is no evidence. The
//! kernel's "possible SYN flooding" neither dates nor counts attacks: it comes once for each socket, and on legitimate bursts as well.
//! And where the record cannot tell, the diagnosis says so, and what to keep so that it can next time.

use serde::{Deserialize, Serialize};

use crate::observe::record::{Gap, Origin, Record, Span, Unseen};

pub mod cause;
pub mod facts;
pub mod flood;
pub mod phrase;
pub mod queues;
pub mod rules;
pub mod rush;
pub mod thresholds;
pub mod timeline;
pub mod value;
pub mod verdict;

pub use cause::{Cause, CauseKind};
use facts::Facts;
pub use phrase::{Action, Cookies, Distinction, Evidence, Keep, Refutation, Verdict};
pub use queues::QueueRow;
pub use timeline::Timeline;
pub use value::{Bytes, Milliseconds, Network, Number, Percent, Port, Rate, Value};

/// The version of a diagnosis's JSON. It grows when a field changes its meaning or goes; new fields and kinds come without that.
pub const VERSION: u32 = 1;

/// What is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    /// The time asked about; `None`: all that the record tells.
    pub span: Option<Span>,
    /// Whether Sekisho protects this host already; `None`: not known, as with another machine's logs.
    pub protected: Option<bool>,
}

/// How much a finding had to do with the trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It explains the trouble.
    Main,
    /// It took part, or explains a part.
    Contributing,
    /// A risk: no harm of it was seen.
    Standing,
}

impl Role {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Main, Self::Contributing, Self::Standing];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Contributing => "contributing",
            Self::Standing => "standing",
        }
    }
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The facts leave nothing else.
    Certain,
    /// The facts speak for it, and something else is thinkable.
    Likely,
    /// It fits, and so does something else.
    Possible,
}

impl Confidence {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Certain, Self::Likely, Self::Possible];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Possible => "possible",
        }
    }
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub cause: Cause,
    /// What sort of thing that is.
    pub kind: CauseKind,
    /// How much it had to do with the trouble.
    pub role: Role,
    /// How sure it is.
    pub confidence: Confidence,
    /// The port that it is about, where it is about one.
    pub port: Option<u16>,
    /// When, where that is known.
    pub span: Option<Span>,
    /// What it rests on, the weightiest first.
    pub evidence: Vec<Evidence>,
    /// What would prove it wrong.
    pub refuted_by: Vec<Refutation>,
    /// What to do, the first step first.
    pub steps: Vec<Action>,
}

/// Two causes that both fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TellApart {
    /// One.
    pub one: Cause,
    /// The other.
    pub other: Cause,
    /// What tells them apart.
    pub by: Vec<Distinction>,
}

/// Everything that is to be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// [`VERSION`].
    pub version: u32,
    /// How the record was made.
    pub origin: Origin,
    /// The time that is judged; `None`: nothing in the record has a time.
    pub span: Option<Span>,
    /// In one sentence.
    pub verdict: Verdict,
    /// What was found: those to blame first, the surer ones first.
    pub findings: Vec<Finding>,
    /// Where two causes fit: both, and what tells them apart.
    pub tell_apart: Vec<TellApart>,
    /// What SYN cookies had to do with it.
    pub cookies: Cookies,
    /// What to record, so that more can be told next time.
    pub keep: Vec<Keep>,
    /// What each listener's queue takes.
    pub queues: Vec<QueueRow>,
    /// The record over time.
    pub timeline: Timeline,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// When a source tells nothing.
    pub gaps: Vec<Gap>,
}

/// Judges a record.
pub fn diagnose(record: &Record, ask: &Ask) -> Diagnosis {
    let facts = Facts::new(record, ask);
    let findings = rules::judge(&facts);
    let verdict = verdict::verdict(&facts, &findings);
    Diagnosis {
        version: VERSION,
        origin: record.origin.clone(),
        span: facts.span,
        tell_apart: verdict::tell_apart(&findings, &verdict),
        cookies: verdict::cookies(&facts, &findings),
        keep: verdict::keep(&facts, &findings, &verdict),
        queues: queues::table(record),
        timeline: timeline::draw(record, facts.span),
        unseen: record.unseen.clone(),
        gaps: facts.record.gaps.clone(),
        verdict,
        findings,
    }
}

#[cfg(test)]
mod tests;
