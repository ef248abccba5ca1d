//! What is shown, in the reader's language, before it is known where: the terminal and the report are both made of a [`Page`].
//!
//! In its texts `code` stands between backticks: the terminal leaves them, the report sets them as code.

use super::chart::Chart;
use super::layout::Table;

/// How good or bad the verdict is. It only chooses a colour: the verdict's words say it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing is wrong.
    Well,
    /// Something is, or was.
    Bad,
    /// It cannot be told.
    Unknown,
}

/// The whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What this is.
    pub title: String,
    /// Which machine, which time.
    pub about: Vec<String>,
    /// How good or bad it is.
    pub tone: Tone,
    /// One sentence.
    pub verdict: String,
    /// Its parts, in the order in which they are read.
    pub parts: Vec<Part>,
}

/// A part with a heading.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// A name for the report's anchors.
    pub name: &'static str,
    /// The heading.
    pub heading: String,
    /// A sentence before everything else; may be empty.
    pub intro: String,
    /// What is in it.
    pub body: Body,
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Points, one beside the other.
    Points(Vec<Point>),
    /// Steps, one after the other.
    Steps(Vec<Point>),
    /// Findings with their evidence.
    Findings(Vec<Finding>),
    /// Lines over time.
    Chart(Chart),
    /// A table, and what is to be said under it.
    Table(Table, Vec<Point>),
}

/// Something said, and commands that go with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Point {
    /// What is said.
    pub text: String,
    /// What to type, or to write into a file; each a line.
    pub commands: Vec<String>,
}

impl Point {
    /// Without a command.
    pub const fn plain(text: String) -> Self {
        Self { text, commands: Vec::new() }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub title: String,
    /// How sure that is, what part it has, when it was.
    pub notes: Vec<String>,
    /// What goes on; may be empty.
    pub meaning: String,
    /// What speaks for it.
    pub evidence: Vec<String>,
    /// What comes before what would refute it.
    pub refuted_heading: String,
    /// What would refute it.
    pub refuted: Vec<String>,
}
