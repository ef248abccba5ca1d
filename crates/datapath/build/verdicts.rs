//! Reads `bpf/verdicts.def` and writes the Rust enum. Used by build.rs; its tests run with the crate's (src/verdict.rs includes
//! this file there). The file is data of ours, so every fault in it is a fault of the build, told with its line.

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// `VERDICT(number, name, action, "help")`
    Verdict { number: u8, name: String, action: String, help: String },
    /// `RETIRED(number)`: never to be given again.
    Retired(u8),
}

/// Reads the whole list and checks it: numbers are below `slots` and given once, names are snake_case and given once.
///
/// # Errors
/// A sentence with the line's number.
pub fn parse(text: &str, slots: usize) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let fault = |what: &str| format!("verdicts.def line {}: {what}: {line}", at + 1);
        let line = line.trim();
        let entry = if let Some(rest) = line.strip_prefix("VERDICT(") {
            verdict(rest).map_err(|e| fault(&e))?
        } else if let Some(rest) = line.strip_prefix("RETIRED(") {
            Entry::Retired(number(rest.strip_suffix(')').ok_or_else(|| fault("no closing bracket"))?)?)
        } else if line.is_empty() || line.starts_with("/*") || line.starts_with('*') {
            continue;
        } else {
            return Err(fault("neither VERDICT(...), RETIRED(...) nor a comment"));
        };
        check(&entries, &entry, slots).map_err(|e| fault(&e))?;
        entries.push(entry);
    }
    Ok(entries)
}

fn verdict(rest: &str) -> Result<Entry, String> {
    let body = rest.strip_suffix(')').ok_or("no closing bracket")?;
    let mut parts = body.splitn(4, ',').map(str::trim);
    let mut next = || parts.next().ok_or("four parts are needed: number, name, action, \"help\"");
    let (n, name, action, help) = (next()?, next()?, next()?, next()?);
    let help = help.strip_prefix('"').and_then(|h| h.strip_suffix('"')).ok_or("the help is not in quotes")?;
    Ok(Entry::Verdict { number: number(n)?, name: name.into(), action: action.into(), help: help.into() })
}

fn number(text: &str) -> Result<u8, String> {
    text.trim().parse().map_err(|_| format!("not a number below 256: {text}"))
}

fn check(before: &[Entry], entry: &Entry, slots: usize) -> Result<(), String> {
    let id = entry_number(entry);
    if usize::from(id) >= slots {
        return Err(format!("number {id} has no slot: there are {slots}"));
    }
    if before.iter().any(|e| entry_number(e) == id) {
        return Err(format!("number {id} was given before"));
    }
    let Entry::Verdict { name, action, help, .. } = entry else { return Ok(()) };
    let snake = name.split('_').all(|word| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    });
    if !snake {
        return Err(format!("the name is not snake_case: {name}"));
    }
    if before.iter().any(|e| matches!(e, Entry::Verdict { name: other, .. } if other == name)) {
        return Err(format!("the name was given before: {name}"));
    }
    if !["PASS", "DROP", "ANSWER"].contains(&action.as_str()) {
        return Err(format!("the action is none of PASS, DROP, ANSWER: {action}"));
    }
    if !help.ends_with('.') || help.contains('"') {
        return Err("the help is not a sentence that ends with a full stop".into());
    }
    Ok(())
}

fn entry_number(entry: &Entry) -> u8 {
    match entry {
        Entry::Verdict { number, .. } | Entry::Retired(number) => *number,
    }
}

/// `cookie_sent` becomes `CookieSent`.
pub fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_ascii_uppercase() + rest
        })
        .collect()
}

/// The Rust source: the enum `Verdict` with its tables.
pub fn rust(entries: &[Entry]) -> String {
    let mut variants = String::new();
    let mut rows = String::new();
    let mut all = String::new();
    for entry in entries {
        let Entry::Verdict { number, name, action, help } = entry else { continue };
        let (variant, action) = (camel(name), camel(&action.to_ascii_lowercase()));
        variants += &format!("    /// {help}\n    {variant} = {number},\n");
        rows += &format!("            Self::{variant} => ({name:?}, Action::{action}, {help:?}),\n");
        all += &format!("        Self::{variant},\n");
    }
    format!(
        "/// What became of a packet. Generated from bpf/verdicts.def.\n\
         #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[repr(u8)]\npub enum Verdict {{\n{variants}}}\n\n\
         impl Verdict {{\n    /// Every verdict, in the order of the list.\n    pub const ALL: &'static [Self] = &[\n{all}    ];\n\n\
         \x20   const fn row(self) -> (&'static str, Action, &'static str) {{\n        match self {{\n{rows}        }}\n    }}\n}}\n"
    )
}
