//! Who is allowed and who is blocked, as configured: what stands in the configuration, and the files that it names.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::read::{ConfigError, Problem};
use super::{Policy, Prefix};

/// Prefixes that all lists together may have: 4 M, of about 140 bytes each in the kernel.
pub const PREFIXES_MAX: usize = 1 << 22;
/// A line of a file of prefixes is not longer.
const LINE_MAX: usize = 4096;
/// More mistakes than these are not told: a file that is no list has one in each line.
const PROBLEMS_MAX: usize = 10;

/// `[admin]`: who must never be locked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminPolicy {
    /// Prefixes that are allowed.
    pub allow: Vec<Prefix>,
    /// Whether the peers of SSH sessions that are open when the daemon starts are allowed too.
    pub ssh_peers: bool,
    /// SYNs a second that one allowed prefix may send before it is treated as everybody is.
    pub rate: u32,
    /// SYNs that it may send at once.
    pub burst: u32,
}

impl Default for AdminPolicy {
    fn default() -> Self {
        Self { allow: Vec::new(), ssh_peers: true, rate: 100, burst: 200 }
    }
}

/// `[block]`: who is not wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockPolicy {
    /// Prefixes in the configuration itself.
    pub prefixes: Vec<Prefix>,
    /// Files with more.
    pub files: Vec<PathBuf>,
}

/// Both lists, with the files read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfiguredLists {
    /// Who is allowed.
    pub allow: Vec<Prefix>,
    /// Who is blocked; sorted, nothing twice.
    pub block: Vec<Prefix>,
    /// How many prefixes each file has.
    pub files: Vec<(PathBuf, usize)>,
}

impl Policy {
    /// Reads the files and puts both lists together.
    ///
    /// # Errors
    /// When a file cannot be read or has mistakes, each with its line.
    pub fn lists(&self) -> Result<ConfiguredLists, ConfigError> {
        let mut lists = ConfiguredLists { allow: self.admin.allow.clone(), ..ConfiguredLists::default() };
        lists.block.clone_from(&self.block.prefixes);
        for file in &self.block.files {
            let prefixes = prefixes_of(file, PREFIXES_MAX.saturating_sub(lists.block.len()))?;
            lists.files.push((file.clone(), prefixes.len()));
            lists.block.extend(prefixes);
        }
        for list in [&mut lists.allow, &mut lists.block] {
            list.sort_unstable();
            list.dedup();
        }
        Ok(lists)
    }
}

impl ConfiguredLists {
    /// Allowed prefixes that lie in a blocked one, or have blocked ones in them, with one of those: the allowance wins.
    #[must_use]
    pub fn allowed_in_spite(&self) -> Vec<(Prefix, Prefix)> {
        let blocked: HashSet<&Prefix> = self.block.iter().collect();
        let around = |allow: &Prefix| {
            (0..=allow.length())
                .map(|length| Prefix::new(allow.address(), length))
                .find(|wider| blocked.contains(wider))
        };
        // The list is sorted by address, so what lies in a prefix follows its first address.
        let within = |allow: &Prefix| {
            let first = self.block.partition_point(|block| block.address() < allow.address());
            self.block.get(first).copied().filter(|block| allow.covers(block))
        };
        let pair = |allow: &Prefix| around(allow).or_else(|| within(allow)).map(|block| (*allow, block));
        self.allow.iter().filter_map(pair).collect()
    }
}

/// The prefixes in a file: one a line, with comments behind `#` or `;`.
fn prefixes_of(file: &Path, most: usize) -> Result<Vec<Prefix>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
    let mut reader = BufReader::new(File::open(file).map_err(unreadable)?);
    let (mut prefixes, mut problems) = (Vec::new(), Vec::new());
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = std::io::Read::take(&mut reader, LINE_MAX as u64).read_until(b'\n', &mut line);
        if read.map_err(unreadable)? == 0 || problems.len() >= PROBLEMS_MAX {
            break;
        }
        number += 1;
        match prefix_of(&line) {
            Ok(Some(_)) if prefixes.len() >= most => {
                problems.push(problem(number, &line, format!("more than {PREFIXES_MAX} prefixes")));
                break;
            }
            Ok(prefix) => prefixes.extend(prefix),
            Err(message) => problems.push(problem(number, &line, message)),
        }
    }
    if problems.is_empty() { Ok(prefixes) } else { Err(ConfigError::Mistakes { file: file.to_owned(), problems }) }
}

/// The prefix in a line, if there is any.
fn prefix_of(line: &[u8]) -> Result<Option<Prefix>, String> {
    let not_text = || "no text: is it compressed, or another kind of file?".to_owned();
    if line.len() == LINE_MAX {
        return Err(format!("a line longer than {LINE_MAX} bytes"));
    }
    let text = std::str::from_utf8(line).map_err(|_| not_text())?;
    let word = text.split(['#', ';']).next().unwrap_or_default().trim();
    match word {
        "" => Ok(None),
        word if word.chars().any(char::is_control) => Err(not_text()),
        word => word.parse().map(Some).map_err(|error| format!("`{word}`: {error}")),
    }
}

fn problem(line: usize, text: &[u8], message: String) -> Problem {
    let column = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count() + 1;
    let suggestion = Some("one address or prefix a line; comments begin with # or ;".to_owned());
    Problem { line, column, message, suggestion }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lists(files: &[&str], policy: Policy) -> Result<ConfiguredLists, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let mut policy = policy;
        for (number, text) in files.iter().enumerate() {
            let file = folder.path().join(format!("{number}.txt"));
            fs::write(&file, text).unwrap();
            policy.block.files.push(file);
        }
        policy.lists()
    }

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_usual_formats_are_read() {
        let drop =
            "; a list\n198.51.100.0/24 ; SBL1\r\n\n203.0.113.7\t# one host\n  2001:db8::/32  \n198.51.100.0/24\n";
        let found = lists(&[drop, "203.0.113.9"], Policy::default()).unwrap();
        assert_eq!(found.block, prefixes(&["198.51.100.0/24", "203.0.113.7", "203.0.113.9", "2001:db8::/32"]));
        assert_eq!(found.files.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [4, 1]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let error = lists(&["198.51.100.0/24\n198.51.100.0/33\n  example.org\n"], Policy::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("0.txt:2:1: `198.51.100.0/33`: the length"), "{text}");
        assert!(text.contains("0.txt:3:3: `example.org`: no IPv4"), "{text}");
        let error = lists(&["\u{1f}\u{8b}x"], Policy::default()).unwrap_err().to_string();
        assert!(error.contains("compressed"), "{error}");
        let many = "x\n".repeat(1000);
        assert_eq!(lists(&[&many], Policy::default()).unwrap_err().to_string().lines().count(), PROBLEMS_MAX);
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let block = BlockPolicy { prefixes: Vec::new(), files: vec!["/nonexistent/block.txt".into()] };
        let policy = Policy { block, ..Policy::default() };
        assert!(matches!(policy.lists(), Err(ConfigError::Unreadable { .. })));
    }

    #[test]
    fn allowances_that_win_are_named() {
        let admin = AdminPolicy {
            allow: prefixes(&["198.51.100.7", "203.0.113.0/24", "192.0.2.1", "2001:db8::1"]),
            ..AdminPolicy::default()
        };
        let block = BlockPolicy {
            prefixes: prefixes(&["198.51.0.0/16", "203.0.113.9", "::/0", "203.0.112.255", "192.0.2.2"]),
            files: Vec::new(),
        };
        let found = lists(&[], Policy { admin, block, ..Policy::default() }).unwrap().allowed_in_spite();
        let expected = [("198.51.100.7", "198.51.0.0/16"), ("203.0.113.0/24", "203.0.113.9"), ("2001:db8::1", "::/0")];
        let expected = expected.map(|(allow, block)| (allow.parse().unwrap(), block.parse().unwrap()));
        assert_eq!(found, expected);
    }
}
