//! `sekisho check`: a configuration explained in plain words; and `sekisho verdicts`.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::Path;

use sekisho_datapath::Verdict;
use sekisho_engine::policy::{
    BackendChoice, CompletionChoice, ConfiguredLists, MethodChoice, Mode, Policy, Prefix, Service, duration_text,
};

use crate::failure::Failure;

/// Reads the configuration and explains it.
pub fn check(file: Option<&Path>) -> Result<String, Failure> {
    let (policy, found) = Policy::load(file)?;
    let head = found.map_or_else(
        || "No configuration: the defaults hold, and they are good.\n".to_owned(),
        |file| format!("{} is a valid configuration.\n", file.display()),
    );
    let lists = policy.lists()?;
    Ok(head + "\n" + &explain(&policy) + &explain_lists(&policy, &lists))
}

/// A policy in plain words.
pub fn explain(policy: &Policy) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line(match policy.mode {
        Mode::Guard => "Packets are answered, dropped and admitted (mode guard).".into(),
        Mode::Observe => "Packets are judged and counted, but none is touched (mode observe).".into(),
    });
    line(match policy.backend {
        BackendChoice::Auto => {
            "Programs on XDP do the work; where the kernel cannot run them, an nftables table.".into()
        }
        BackendChoice::Xdp => "Programs on XDP do the work.".into(),
        BackendChoice::Nftables => {
            "An nftables table does the work; it takes no part in cookies and challenges.".into()
        }
    });
    if policy.synproxy {
        line(
            "Where it is the table, synproxy stands before services on which the client is known to speak first."
                .into(),
        );
    }
    line(match policy.interfaces.as_slice() {
        [] => "The interface of the default route is protected.".into(),
        names => format!("Protected interfaces: {}.", names.join(", ")),
    });
    line(match policy.completion {
        CompletionChoice::Auto => "Cookies are our own where this kernel and host allow, else the kernel's.".into(),
        CompletionChoice::Own => "Cookies are our own.".into(),
        CompletionChoice::Kernel => "Cookies are the kernel's.".into(),
    });
    line(format!(
        "Below {} of a listener's backlog nothing is asked; from {} on everybody gets a cookie.",
        percent(policy.marks.calm),
        percent(policy.marks.reserve)
    ));
    line(format!("A port stays armed for {} after its last answer.", duration_text(policy.linger.as_secs())));
    let verified = policy.verified;
    line(format!(
        "Up to {} IPv4 addresses and {} IPv6 /{} are remembered for {} after a handshake; each may send {} SYN/s (at once {}) \
         into the reserve.",
        verified.capacity4,
        verified.capacity6,
        verified.prefix6,
        duration_text(verified.expiry.as_secs()),
        verified.rate,
        verified.burst
    ));
    line(format!("One unproven network (/24, /56) gets at most {} answers a second.", policy.answers_per_network));
    policy.limits.words().into_iter().for_each(&mut line);
    if let Some(mss) = policy.mss4 {
        line(format!("Answers over IPv4 carry an MSS of {mss}."));
    }
    if let Some(mss) = policy.mss6 {
        line(format!("Answers over IPv6 carry an MSS of {mss}."));
    }
    for service in &policy.services {
        line(service_words(service, policy));
    }
    text
}

/// Pairs that are told one by one.
const PAIRS_MAX: usize = 10;

/// The lists in plain words.
fn explain_lists(policy: &Policy, lists: &ConfiguredLists) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    let admin = &policy.admin;
    if admin.ssh_peers {
        line("Where somebody is logged in from over SSH when the daemon starts is allowed.".into());
    }
    if !lists.allow.is_empty() {
        line(format!("Allowed: {}.", some(&lists.allow)));
    }
    if admin.ssh_peers || !lists.allow.is_empty() {
        line(format!(
            "Who is allowed is not asked for proof up to {} SYN/s (at once {}) for each prefix, since an allowed address can be spoofed; \
             beyond that he is treated as everybody.",
            admin.rate, admin.burst
        ));
    }
    if !lists.block.is_empty() {
        line(format!("Blocked: {} prefixes ({}).", lists.block.len(), some(&lists.block)));
    }
    for (file, count) in &lists.files {
        line(format!("  {} has {count}.", file.display()));
    }
    let pairs = lists.allowed_in_spite();
    for (allow, block) in pairs.iter().take(PAIRS_MAX) {
        line(format!("{allow} is allowed although {block} is blocked: an allowance goes before a block."));
    }
    if pairs.len() > PAIRS_MAX {
        line(format!("So are {} more.", pairs.len() - PAIRS_MAX));
    }
    text
}

fn some(prefixes: &[Prefix]) -> String {
    let words: Vec<String> = prefixes.iter().take(5).map(Prefix::to_string).collect();
    words.join(", ") + if prefixes.len() > 5 { ", ..." } else { "" }
}

fn service_words(service: &Service, policy: &Policy) -> String {
    let ports: Vec<String> = service.ports.iter().map(range).collect();
    let ports = format!("Port {}", ports.join(", "));
    if !service.protect {
        return format!("{ports}: not protected.");
    }
    let speaks = match service.speaks_first {
        Some(speaker) => format!("the {} speaks first", speaker.word()),
        None => "who speaks first is known or learnt".to_owned(),
    };
    let method = match service.method {
        MethodChoice::Auto => "the method follows from that",
        MethodChoice::Cookie => "unproven sources get a cookie",
        MethodChoice::Challenge => "unproven sources get a challenge",
    };
    let mut words = format!("{ports}: {speaks}, {method}");
    if service.marks != policy.marks {
        let _ = write!(words, "; marks {} and {}", percent(service.marks.calm), percent(service.marks.reserve));
    }
    if let Some(limit) = service.limit {
        let _ = write!(words, "; at most {limit} SYN/s");
    }
    words + "."
}

fn range(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() { range.start().to_string() } else { format!("{}-{}", range.start(), range.end()) }
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 1000.0).round() / 10.0)
}

/// Every verdict: number, name, what becomes of the packet, and one sentence.
pub fn verdicts() -> String {
    let mut text = String::new();
    for verdict in Verdict::ALL {
        let action = verdict.action().name();
        let _ = writeln!(text, "{:>3}  {:<22} {action:<7} {}", verdict.number(), verdict.name(), verdict.help());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_explained() {
        let text = explain(&Policy::default());
        assert!(text.contains("mode guard") && text.contains("default route") && text.contains("25%"), "{text}");
        assert!(text.contains("1048576 IPv4 addresses") && text.contains("for 1h"), "{text}");
    }

    #[test]
    fn services_are_explained() {
        let file = Path::new("x");
        let policy = Policy::parse(
            "[[service]]\nports = [25, \"8000-8010\"]\nspeaks_first = \"server\"\n[[service]]\nports = [22]\nprotect = false\n\
             [[service]]\nports = [80]\ncalm = 0.5\n",
            file,
        );
        let text = explain(&policy.unwrap());
        assert!(text.contains("Port 25, 8000-8010: the server speaks first, the method follows from that."), "{text}");
        assert!(text.contains("Port 22: not protected."), "{text}");
        assert!(text.contains("marks 50% and 75%"), "{text}");
    }

    #[test]
    fn the_lists_are_explained() {
        let text =
            "[admin]\nallow = [\"198.51.100.7\"]\n[block]\nprefixes = [\"198.51.100.0/24\", \"203.0.113.0/24\"]\n";
        let policy = Policy::parse(text, Path::new("x")).unwrap();
        let text = explain_lists(&policy, &policy.lists().unwrap());
        assert!(text.contains("Allowed: 198.51.100.7."), "{text}");
        assert!(text.contains("Blocked: 2 prefixes (198.51.100.0/24, 203.0.113.0/24)."), "{text}");
        assert!(text.contains("198.51.100.7 is allowed although 198.51.100.0/24 is blocked"), "{text}");
    }

    #[test]
    fn every_verdict_is_listed() {
        let text = verdicts();
        assert_eq!(text.lines().count(), Verdict::ALL.len());
        assert!(text.lines().all(|line| line.len() > 40));
    }
}
