//! `[admin]` and `[block]`.

use super::{DeTable, DeValue, Key, Policy, Reader, Value};
use crate::policy::Prefix;

const ADMIN_KEYS: &[&str] = &["allow", "ssh_peers", "rate", "burst"];

pub(super) fn admin(reader: &mut Reader<'_>, table: &DeTable<'_>, policy: &mut Policy) {
    for (key, value) in table {
        let admin = &mut policy.admin;
        match key.get_ref().as_ref() {
            "allow" => admin.allow = prefixes(reader, key, value),
            "ssh_peers" => reader.boolean(key, value, &mut admin.ssh_peers),
            "rate" => reader.integer(key, value, 1..=100_000, &mut admin.rate),
            "burst" => reader.integer(key, value, 1..=100_000, &mut admin.burst),
            _ => reader.unknown(key, ADMIN_KEYS),
        }
    }
}

pub(super) fn block(reader: &mut Reader<'_>, table: &DeTable<'_>, policy: &mut Policy) {
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "prefixes" => policy.block.prefixes = prefixes(reader, key, value),
            "files" => {
                let files = texts(reader, key, value, "a list of files, e.g. [\"/etc/sekisho/block.txt\"]");
                policy.block.files = files.into_iter().map(|(_, file)| file.into()).collect();
            }
            _ => reader.unknown(key, &["prefixes", "files"]),
        }
    }
}

fn prefixes(reader: &mut Reader<'_>, key: &Key<'_>, value: &Value<'_>) -> Vec<Prefix> {
    let texts =
        texts(reader, key, value, "a list of addresses and prefixes, e.g. [\"198.51.100.7\", \"2001:db8::/32\"]");
    let mut prefixes = Vec::new();
    for (at, text) in texts {
        match text.parse() {
            Ok(prefix) => prefixes.push(prefix),
            Err(error) => reader.problem(at, format!("`{text}`: {error}"), None),
        }
    }
    prefixes
}

fn texts(
    reader: &mut Reader<'_>,
    key: &Key<'_>,
    value: &Value<'_>,
    wanted: &str,
) -> Vec<(std::ops::Range<usize>, String)> {
    let DeValue::Array(array) = value.get_ref() else {
        reader.wrong(key, value, wanted);
        return Vec::new();
    };
    let mut texts = Vec::new();
    for entry in array {
        match entry.get_ref().as_str() {
            Some(text) => texts.push((entry.span(), text.trim().to_owned())),
            None => reader.wrong(key, entry, wanted),
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn both_tables_are_read() {
        let text = "[admin]\nallow = [\"198.51.100.7\", \"2001:db8::/32\"]\nssh_peers = false\nrate = 7\nburst = 9\n\
                    [block]\nprefixes = [\"203.0.113.0/24\"]\nfiles = [\"/etc/block.txt\"]\n";
        let policy = Policy::parse(text, Path::new("x")).unwrap();
        assert_eq!(policy.admin.allow.len(), 2);
        assert_eq!((policy.admin.ssh_peers, policy.admin.rate, policy.admin.burst), (false, 7, 9));
        assert_eq!(policy.block.prefixes, ["203.0.113.0/24".parse().unwrap()]);
        assert_eq!(policy.block.files, [Path::new("/etc/block.txt")]);
    }

    #[test]
    fn mistakes_are_told_where_they_are() {
        let text = "[admin]\nallow = [\"198.51.100.7\", \"198.51.100.300\"]\n[block]\nfile = 3\nprefixes = \"x\"\n";
        let error = Policy::parse(text, Path::new("x.toml")).unwrap_err().to_string();
        assert!(error.contains("x.toml:2:26: `198.51.100.300`: no IPv4"), "{error}");
        assert!(error.contains("did you mean `files`?"), "{error}");
        assert!(error.contains("must be a list of addresses"), "{error}");
    }
}
