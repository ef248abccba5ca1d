//! Whom sshd turned away. Of a message only the reason and the address are kept.

use std::net::IpAddr;

use super::event::TurnedAwayReason;

/// Why and whom; `None`: nobody.
pub fn meaning(text: &str) -> Option<(TurnedAwayReason, Option<IpAddr>)> {
    Some((reason(text)?, client(text)))
}

fn reason(text: &str) -> Option<TurnedAwayReason> {
    // "beginning MaxStartups throttling", "drop connection #10 from [198.51.100.1]:4711 on ... past MaxStartups".
    if text.contains("MaxStartups") || text.contains("past PerSourceMaxStartups") {
        Some(TurnedAwayReason::TooMany)
    } else if text.contains("penalty") && text.starts_with("drop connection") {
        Some(TurnedAwayReason::TooFast)
    } else if text.starts_with("Timeout before authentication") {
        Some(TurnedAwayReason::Timeout)
    } else if text.starts_with("Failed ")
        || text.starts_with("Invalid user ")
        || text.contains("authentication failure")
    {
        Some(TurnedAwayReason::Authentication)
    } else if text.contains("not allowed because") || text.starts_with("refused connect from") {
        Some(TurnedAwayReason::Rejected)
    } else if text.contains("[preauth]")
        || text.starts_with("Did not receive identification string")
        || text.starts_with("kex_exchange_identification: ")
        || text.starts_with("banner exchange: ")
    {
        Some(TurnedAwayReason::Lost)
    } else {
        None
    }
}

/// The first address among the words.
fn client(text: &str) -> Option<IpAddr> {
    let words = text.split_whitespace();
    let bare = words.map(|word| word.trim_start_matches("rhost=").trim_end_matches([',', ':']));
    bare.filter_map(|word| {
        let bracketed = word.strip_prefix('[').and_then(|rest| rest.split(']').next());
        bracketed.unwrap_or(word).parse().ok()
    })
    .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sshd() {
        use TurnedAwayReason::{Authentication, Lost, Timeout, TooMany};
        for (text, reason) in [
            ("drop connection #10 from [198.51.100.1]:4711 on [203.0.113.1]:22 past MaxStartups", TooMany),
            ("Timeout before authentication for 198.51.100.1 port 4711", Timeout),
            ("Failed password for invalid user admin from 198.51.100.1 port 4711 ssh2", Authentication),
            ("Connection closed by authenticating user root 198.51.100.1 port 4711 [preauth]", Lost),
            ("banner exchange: Connection from 198.51.100.1 port 4711: invalid format", Lost),
        ] {
            assert_eq!(meaning(text), Some((reason, "198.51.100.1".parse().ok())), "{text}");
        }
        assert_eq!(meaning("error: beginning MaxStartups throttling"), Some((TooMany, None)));
        assert_eq!(meaning("Accepted publickey for root from 198.51.100.1 port 4711 ssh2"), None);
    }
}
