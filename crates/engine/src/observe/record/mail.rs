//! Whom Postfix turned away (smtpd, postscreen, anvil). Of a message only the reason and the address are kept.

use std::net::IpAddr;

use super::event::TurnedAwayReason;

/// Why and whom; `None`: nobody.
pub fn meaning(text: &str) -> Option<(TurnedAwayReason, Option<IpAddr>)> {
    Some((reason(text)?, client(text)))
}

fn reason(text: &str) -> Option<TurnedAwayReason> {
    let limit = [
        "Connection concurrency limit exceeded",
        "too many connections",
        "all screening ports busy",
        "all server ports busy",
    ];
    let rate = ["Connection rate limit exceeded", "limit exceeded:", "too many errors"];
    let begins = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if begins(&limit) {
        Some(TurnedAwayReason::TooMany)
    } else if begins(&rate) {
        Some(TurnedAwayReason::TooFast)
    } else if text.starts_with("lost connection after ") || text.starts_with("HANGUP after ") {
        Some(TurnedAwayReason::Lost)
    } else if text.starts_with("timeout after ") {
        Some(TurnedAwayReason::Timeout)
    } else if text.contains("authentication failed") {
        Some(TurnedAwayReason::Authentication)
    } else if text.contains("reject: ") || text.starts_with("NOQUEUE: reject") {
        Some(TurnedAwayReason::Rejected)
    } else {
        None
    }
}

/// The client's address: "unknown[198.51.100.1]", "[198.51.100.1]:4711".
fn client(text: &str) -> Option<IpAddr> {
    let inner = text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    inner.filter_map(|word| word.strip_prefix("IPv6:").unwrap_or(word).parse().ok()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postfix() {
        use TurnedAwayReason::{Authentication, Lost, Rejected, Timeout, TooFast, TooMany};
        for (text, reason) in [
            ("warning: Connection concurrency limit exceeded: 51 from unknown[198.51.100.1] for service smtp", TooMany),
            ("warning: Connection rate limit exceeded: 61 from unknown[198.51.100.1] for service smtp", TooFast),
            ("lost connection after EHLO from unknown[198.51.100.1]", Lost),
            ("timeout after END-OF-MESSAGE from unknown[198.51.100.1]", Timeout),
            ("NOQUEUE: reject: RCPT from unknown[198.51.100.1]: 554 5.7.1 Relay access denied", Rejected),
            ("warning: unknown[198.51.100.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6", Authentication),
            ("NOQUEUE: reject: CONNECT from [198.51.100.1]:4711: all server ports busy", TooMany),
        ] {
            assert_eq!(meaning(text), Some((reason, "198.51.100.1".parse().ok())), "{text}");
        }
        assert_eq!(meaning("connect from unknown[198.51.100.1]"), None);
        assert_eq!(
            meaning("lost connection after CONNECT from x[IPv6:2001:db8::1]").unwrap().1,
            "2001:db8::1".parse().ok()
        );
    }
}
