//! What systemd's messages about units mean, in their English form, and messages about messages that were lost.

use super::event::EventKind;

/// What a message of systemd means.
pub fn meaning(text: &str) -> Option<EventKind> {
    let unit = |rest: &str| {
        // "apache2.service - The Apache HTTP Server." since 252, "The Apache HTTP Server." before.
        rest.split(" - ").next().unwrap_or(rest).trim_end_matches('.').to_owned()
    };
    if let Some(rest) = text.strip_prefix("Started ") {
        Some(EventKind::UnitStarted { unit: unit(rest) })
    } else if let Some(rest) = text.strip_prefix("Stopped ") {
        Some(EventKind::UnitStopped { unit: unit(rest) })
    } else if text == "Time has been changed" {
        Some(EventKind::ClockSet)
    } else {
        let (name, rest) = text.split_once(": Failed with result '")?;
        let result = rest.split('\'').next().map(str::to_owned);
        Some(EventKind::UnitFailed { unit: name.to_owned(), result })
    }
}

/// "Suppressed 1021 messages from nginx.service" (journald), "imuxsock lost 5 messages from pid 7 due to rate-limiting" (rsyslogd).
pub fn lost(text: &str) -> Option<EventKind> {
    let (before, _) = text
        .split_once(" messages from ")
        .filter(|_| ["Suppressed ", "lost ", "Missed ", "begin to drop"].iter().any(|word| text.contains(word)))?;
    Some(EventKind::MessagesLost { messages: before.rsplit(' ').next()?.parse().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_and_go() {
        let started = |unit: &str| Some(EventKind::UnitStarted { unit: unit.into() });
        assert_eq!(meaning("Started apache2.service - The Apache HTTP Server."), started("apache2.service"));
        assert_eq!(meaning("Started The Apache HTTP Server."), started("The Apache HTTP Server"));
        let failed = EventKind::UnitFailed { unit: "apache2.service".into(), result: Some("oom-kill".into()) };
        assert_eq!(meaning("apache2.service: Failed with result 'oom-kill'."), Some(failed));
        assert_eq!(meaning("Starting apache2.service"), None);
        assert_eq!(
            lost("Suppressed 1021 messages from nginx.service"),
            Some(EventKind::MessagesLost { messages: Some(1021) })
        );
        assert_eq!(lost("1021 messages from afar"), None);
    }
}
