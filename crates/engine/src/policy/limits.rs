//! `[limits]`: what the user may bound, and in plain words what each bound does to regular clients.

use std::time::Duration;

use super::duration_text;

/// What happens to a SYN over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Over {
    /// It is asked for proof, also while calm.
    #[default]
    Prove,
    /// It is dropped.
    Drop,
}

/// What is done about networks that make a large part of a flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConcentrated {
    /// They are named.
    #[default]
    Tell,
    /// Their unverified sources are limited for a time.
    Limit,
    /// Their unverified sources are blocked for a time.
    Block,
}

/// Bounds; 0 is none. Rates are SYNs a second to listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitPolicy {
    /// Of one source.
    pub source: u32,
    /// Of one network (/24, /56), its verified sources not counted.
    pub prefix: u32,
    /// To each service that has no limit of its own.
    pub service: u32,
    /// To the whole host.
    pub global: u32,
    /// What happens beyond these four.
    pub over: Over,
    /// Resets a second that this host may send for what belongs to no socket.
    pub closed_ports: u32,
    /// Connections that one source may have open, idle ones counted.
    pub source_connections: u32,
    /// Connections that one network may have open, idle ones counted.
    pub prefix_connections: u32,
    /// What is done about networks that make a large part of a flood.
    pub concentrated: OnConcentrated,
    /// For how long.
    pub concentrated_for: Duration,
}

impl Default for LimitPolicy {
    fn default() -> Self {
        Self {
            source: 0,
            prefix: 0,
            service: 0,
            global: 0,
            over: Over::default(),
            closed_ports: 10_000,
            source_connections: 0,
            prefix_connections: 0,
            concentrated: OnConcentrated::default(),
            concentrated_for: Duration::from_secs(600),
        }
    }
}

/// SYNs a second of the flood that examples are computed for.
const EXAMPLE_FLOOD: f64 = 100_000.0;
/// SYNs that a client sends within 15 seconds: at 0, 1, 3 and 7 (RFC 6298).
const TRIES: i32 = 4;

/// Of a hundred regular clients, those that get a SYN through within 15 seconds where `rate` of a flood's SYNs pass and nobody asks
/// who sends them.
fn clients_through(rate: u32) -> f64 {
    let chance = (f64::from(rate) / EXAMPLE_FLOOD).min(1.0);
    100.0 * (1.0 - (1.0 - chance).powi(TRIES))
}

impl LimitPolicy {
    /// What the limits do, above all to regular clients: a sentence each.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let beyond = match self.over {
            Over::Prove => "asked for proof, which regular clients give without noticing",
            Over::Drop => "dropped",
        };
        let mut bound = |limit: u32, what: &str, effect: &str| {
            if limit > 0 {
                words.push(format!("{what}{limit}{effect}"));
            }
        };
        let source = format!(" SYN/s; beyond it is {beyond}. Clients behind one NAT address share it.");
        bound(self.source, "One source may send ", &source);
        let prefix = format!(" SYN/s; beyond it is {beyond}, verified sources excepted.");
        bound(self.prefix, "The unverified sources of one network (/24, /56) may send ", &prefix);
        bound(self.service, "Each service takes ", &self.blind_words(self.service, beyond));
        bound(self.global, "The whole host takes ", &self.blind_words(self.global, beyond));
        bound(self.source_connections, "One source may have ", " connections open; its next SYNs are dropped.");
        bound(
            self.prefix_connections,
            "One network (/24, /56) may have ",
            " connections open; its next SYNs are dropped.",
        );
        bound(
            self.closed_ports,
            "Resets for what belongs to no socket: at most ",
            " a second, where no NAT table stands before the sockets.",
        );
        let time = duration_text(self.concentrated_for.as_secs());
        words.extend(match self.concentrated {
            OnConcentrated::Tell => None,
            OnConcentrated::Limit => {
                Some(format!("Networks that make most of a flood are limited for {time}, verified sources excepted."))
            }
            OnConcentrated::Block => {
                Some(format!("Networks that make most of a flood are blocked for {time}, verified sources excepted."))
            }
        });
        words
    }

    /// A limit that does not look at who sends, as iptables' `limit`.
    fn blind_words(&self, rate: u32, beyond: &str) -> String {
        match self.over {
            Over::Prove => format!(" SYN/s, whoever sends them; beyond it everybody is {beyond}."),
            Over::Drop => format!(
                " SYN/s, whoever sends them, and the rest is dropped, as with iptables' `limit`. A flood takes nearly all of that: at \
                 {EXAMPLE_FLOOD} SYN/s about {:.0} of 100 regular clients get through within 15 seconds, the others are locked out. \
                 over = \"prove\" lets them through.",
                clients_through(rate)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blind_limit_says_whom_it_locks_out() {
        let limits = LimitPolicy { global: 1000, over: Over::Drop, ..LimitPolicy::default() };
        let words = limits.words().join("\n");
        assert!(words.contains("about 4 of 100 regular clients"), "{words}");
        let words = LimitPolicy { over: Over::Prove, ..limits }.words().join("\n");
        assert!(words.contains("asked for proof") && !words.contains("locked out"), "{words}");
        assert!((clients_through(200_000) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn without_limits_only_the_resets_are_told() {
        assert_eq!(LimitPolicy::default().words().len(), 1);
        let limits = LimitPolicy { closed_ports: 0, ..LimitPolicy::default() };
        assert!(limits.words().is_empty());
    }
}
