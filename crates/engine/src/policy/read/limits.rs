//! Reads `[limits]`.

use toml::de::DeTable;

use super::Reader;
use crate::policy::{LimitPolicy, OnConcentrated, Over};

const KEYS: &[&str] = &[
    "source",
    "prefix",
    "service",
    "global",
    "over",
    "closed_ports",
    "source_connections",
    "prefix_connections",
    "concentrated",
    "concentrated_for",
];
/// The datapath's counters hold 24 bits a second.
pub(super) const RATE_MAX: i64 = 10_000_000;

pub(super) fn limits(reader: &mut Reader<'_>, table: &DeTable<'_>, limits: &mut LimitPolicy) {
    let over = [("prove", Over::Prove), ("drop", Over::Drop)];
    let concentrated =
        [("tell", OnConcentrated::Tell), ("limit", OnConcentrated::Limit), ("block", OnConcentrated::Block)];
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "source" => reader.integer(key, value, 0..=1_000_000, &mut limits.source),
            "prefix" => reader.integer(key, value, 0..=RATE_MAX, &mut limits.prefix),
            "service" => reader.integer(key, value, 0..=RATE_MAX, &mut limits.service),
            "global" => reader.integer(key, value, 0..=RATE_MAX, &mut limits.global),
            "over" => reader.word(key, value, &over, &mut limits.over),
            "closed_ports" => reader.integer(key, value, 0..=RATE_MAX, &mut limits.closed_ports),
            "source_connections" => reader.integer(key, value, 0..=RATE_MAX, &mut limits.source_connections),
            "prefix_connections" => reader.integer(key, value, 0..=RATE_MAX, &mut limits.prefix_connections),
            "concentrated" => reader.word(key, value, &concentrated, &mut limits.concentrated),
            "concentrated_for" => reader.duration(key, value, 1..=7 * 86400, &mut limits.concentrated_for),
            _ => reader.unknown(key, KEYS),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::policy::Policy;

    #[test]
    fn every_limit_can_be_set() {
        let text = "[limits]\nsource = 1\nprefix = 2\nservice = 3\nglobal = 4\nover = \"drop\"\nclosed_ports = 5\n\
                    source_connections = 6\nprefix_connections = 7\nconcentrated = \"block\"\nconcentrated_for = \"1h\"\n\
                    [[service]]\nports = [25]\nlimit = 9\n";
        let policy = Policy::parse(text, Path::new("x")).unwrap();
        let expected = LimitPolicy {
            source: 1,
            prefix: 2,
            service: 3,
            global: 4,
            over: Over::Drop,
            closed_ports: 5,
            source_connections: 6,
            prefix_connections: 7,
            concentrated: OnConcentrated::Block,
            concentrated_for: Duration::from_secs(3600),
        };
        assert_eq!(policy.limits, expected);
        assert_eq!((policy.service_limit(25), policy.service_limit(80)), (9, 3));
    }

    #[test]
    fn mistakes_are_told() {
        let wrong = Policy::parse("[limits]\nover = \"drp\"\nsourc = 5\n", Path::new("x")).unwrap_err().to_string();
        assert!(wrong.contains("did you mean \"drop\"") && wrong.contains("did you mean `source`"), "{wrong}");
    }
}
