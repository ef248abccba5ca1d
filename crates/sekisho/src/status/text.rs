//! The report as text: aligned, at most [`WIDTH`] columns, without colour.

use std::fmt::Write;

use sekisho_engine::policy::duration_text;
use sekisho_engine::report::{
    CompletionStatus, FloodStatus, InterfaceStatus, ListStatus, ListsStatus, ServiceStatus, State, StatusReport,
    VerifiedStatus,
};

/// No line is longer, unless one word is.
const WIDTH: usize = 100;

/// Of those who are held back, so many are shown.
const HELD_SHOWN: usize = 10;

/// The whole report.
pub fn render(report: &StatusReport) -> String {
    let mut blocks = vec![head(report)];
    blocks.extend(report.flood.as_ref().map(flood_words));
    blocks.push(services(&report.services));
    // Where a table does the work, no packet meets a verdict.
    let by_programs = report.protected && report.nftables.is_none();
    if by_programs || report.verdicts.iter().any(|verdict| verdict.count > 0) {
        blocks.push(verdicts(report));
    }
    blocks.push(findings(report));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n")
}

fn head(report: &StatusReport) -> String {
    let mut text = match (report.protected, report.mode) {
        (true, Some("observe")) => {
            "Sekisho observes this host: packets are judged and counted, none is touched.\n".to_owned()
        }
        (true, _) => "Sekisho protects this host.\n".to_owned(),
        (false, Some(_)) => "Sekisho is loaded, but protects no interface.\n".to_owned(),
        (false, None) => "Sekisho is off: nothing is protected. `sekisho run` switches it on.\n".to_owned(),
    };
    if report.mode.is_some() {
        text.push('\n');
        text += &field("Daemon", &daemon(report.daemon));
        for interface in &report.interfaces {
            text += &field("Interface", &interface_words(interface));
        }
    }
    if let Some(completion) = &report.completion {
        text += &field("Cookies", &completion_words(completion));
    }
    if let Some(verified) = &report.verified {
        text += &field("Verified", &verified_words(verified));
    }
    if let Some(lists) = report.lists.as_ref().filter(|lists| lists.allowed.prefixes + lists.blocked.prefixes > 0) {
        text += &field("Lists", &lists_words(lists));
    }
    if let Some(table) = &report.nftables {
        text += &field("Table", &format!("inet sekisho (nftables): {}", table.reason));
        for rule in &table.rules {
            text += &field("", &format!("{} packets: {}", rule.packets, rule.comment));
        }
    }
    text
}

fn daemon(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "none is running; protection goes on without it, `sekisho run` takes it over".to_owned(),
        |pid| format!("process {pid}"),
    )
}

fn interface_words(interface: &InterfaceStatus) -> String {
    let down = if interface.up { "" } else { ", down" };
    let reason = interface.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} ({} XDP{down}){reason}", interface.name, interface.attached)
}

fn completion_words(completion: &CompletionStatus) -> String {
    let whose = if completion.method == "own" { "our own" } else { "the kernel's" };
    if completion.reason.is_empty() { whose.to_owned() } else { format!("{whose}: {}", completion.reason) }
}

fn verified_words(verified: &VerifiedStatus) -> String {
    format!(
        "{} of {} IPv4 addresses, {} of {} IPv6 prefixes; {} MiB",
        verified.ipv4,
        verified.ipv4_capacity,
        verified.ipv6,
        verified.ipv6_capacity,
        verified.memory_bytes >> 20
    )
}

fn lists_words(lists: &ListsStatus) -> String {
    let words = |list: ListStatus, done: &str| {
        let ends = if list.prefixes == 1 { "" } else { "es" };
        format!("{} prefix{ends} {done} ({} packets)", list.prefixes, list.hits)
    };
    format!("{}, {}", words(lists.allowed, "allowed"), words(lists.blocked, "blocked"))
}

/// Nothing while all is quiet.
fn flood_words(flood: &FloodStatus) -> String {
    let mut text = String::new();
    if flood.shape != "quiet" {
        text += &field("Flood", &format!("{}: {}", flood.shape, flood.evidence));
    }
    for held in flood.held.iter().take(HELD_SHOWN) {
        let why = if held.why == "connections" { "too many connections" } else { "makes a large part of a flood" };
        text += &field("Held back", &format!("{} for {}: {why}", held.prefix, duration_text(held.seconds)));
    }
    if flood.held.len() > HELD_SHOWN {
        text += &field("Held back", &format!("{} more (--json has all)", flood.held.len() - HELD_SHOWN));
    }
    text
}

fn field(name: &str, value: &str) -> String {
    wrapped(&format!("{name:<11}"), value)
}

/// `value` after `start`, with its further lines indented as far.
fn wrapped(start: &str, value: &str) -> String {
    let indent = start.chars().count();
    let mut text = start.to_owned();
    let mut column = indent;
    for word in value.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            text = text.trim_end().to_owned() + "\n" + &" ".repeat(indent);
            column = indent;
        } else if column > indent {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += length;
    }
    text.trim_end().to_owned() + "\n"
}

fn services(services: &[ServiceStatus]) -> String {
    if services.is_empty() {
        return "No service listens here.\n".to_owned();
    }
    let names: Vec<String> = services.iter().map(name).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(7, 36);
    let mut text = format!(
        "{:<width$}  {:<11}  {:>9}  {:>12}  {:>7}  Unproven get\n",
        "Service", "State", "SYN queue", "Accept queue", "Backlog"
    );
    for (service, name) in services.iter().zip(&names) {
        // A long name has a line of its own, so that the columns stay where they are.
        let mut name = name.as_str();
        if name.chars().count() > width {
            text = text + name + "\n";
            name = "";
        }
        let accept = format!("{}{}", service.accept_queue, if service.accept_full { " full" } else { "" });
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{name:<width$}  {:<11}  {:>9}  {accept:>12}  {:>7}  {}",
            service.state.word(),
            service.syn_queue,
            service.backlog,
            service.method
        );
        text += &notes(service);
    }
    text
}

fn name(service: &ServiceStatus) -> String {
    let address =
        if service.address.contains(':') { format!("[{}]", service.address) } else { service.address.clone() };
    let many = if service.listeners > 1 { format!(" x{}", service.listeners) } else { String::new() };
    let dual = if service.dual_stack { " +IPv4" } else { "" };
    format!("{address}:{}{dual}{many}", service.port)
}

fn notes(service: &ServiceStatus) -> String {
    let mut text = String::new();
    if service.state != State::Unprotected {
        text += &wrapped("    ", &format!("{} speaks first ({})", service.speaks_first, speaker_words(service)));
    }
    if service.accept_full {
        let why = "accept queue full: the application is slow, so its SYNs are dropped until it accepts again";
        text += &wrapped("    ", why);
    }
    text
}

fn speaker_words(service: &ServiceStatus) -> String {
    match service.speaks_first_source {
        "table" => "well-known port".to_owned(),
        "learnt" => format!(
            "learnt: server first on {}, client first on {} connections",
            service.seen_server_first, service.seen_client_first
        ),
        "configured" => "configured".to_owned(),
        _ => "assumed until seen otherwise".to_owned(),
    }
}

fn verdicts(report: &StatusReport) -> String {
    let width = report.verdicts.iter().map(|verdict| verdict.name.len()).max().unwrap_or(0);
    let counts = report.verdicts.iter().map(|verdict| verdict.count.to_string().len()).max().unwrap_or(0).max(7);
    let mut text = format!("{:>counts$}  {:<width$}  {:<6}\n", "Packets", "Verdict", "Action");
    for verdict in &report.verdicts {
        let start = format!("{:>counts$}  {:<width$}  {:<6}  ", verdict.count, verdict.name, verdict.action);
        text += &wrapped(&start, verdict.help);
    }
    text
}

fn findings(report: &StatusReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let start = format!("{:<9}", format!("{}:", finding.severity.word()));
        text += &wrapped(&start, &format!("{}. {}.", capital(&finding.what), capital(&finding.why)));
        if !finding.todo.is_empty() {
            text += &wrapped("         ", &format!("What to do: {}", finding.todo));
        }
    }
    text
}

fn capital(words: &str) -> String {
    // A name of a sysctl or an interface stays as it is.
    let first_word = words.split(' ').next().unwrap_or_default();
    if !first_word.chars().all(char::is_alphabetic) {
        return words.to_owned();
    }
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sekisho_datapath::Verdict;
    use sekisho_engine::judge::{Finding, Severity};
    use sekisho_engine::report::{FloodPart, HeldStatus};
    use sekisho_engine::report::{VERSION, VerdictStatus};

    use super::*;

    fn service(address: &str, port: u16) -> ServiceStatus {
        ServiceStatus {
            address: address.into(),
            port,
            dual_stack: false,
            listeners: 1,
            state: State::Calm,
            syn_queue: 0,
            accept_queue: 0,
            accept_full: false,
            backlog: 128,
            method: "cookie",
            speaks_first: "client",
            speaks_first_source: "table",
            seen_server_first: 0,
            seen_client_first: 0,
        }
    }

    fn verdict(verdict: Verdict, count: u64) -> VerdictStatus {
        VerdictStatus {
            number: verdict.number().into(),
            name: verdict.name(),
            action: verdict.action().name(),
            count,
            help: verdict.help(),
        }
    }

    fn report() -> StatusReport {
        let mail = ServiceStatus { method: "challenge", speaks_first: "server", ..service("0.0.0.0", 25) };
        let web = ServiceStatus {
            dual_stack: true,
            listeners: 4,
            state: State::Armed,
            syn_queue: 97,
            accept_queue: 129,
            accept_full: true,
            ..service("::", 443)
        };
        let learnt = ServiceStatus {
            speaks_first: "server",
            speaks_first_source: "learnt",
            method: "challenge",
            seen_server_first: 12,
            ..service("2001:db8:1234:5678:9abc:def0:1234:5678", 12345)
        };
        StatusReport {
            version: VERSION,
            protected: true,
            mode: Some("guard"),
            daemon: Some(4711),
            interfaces: vec![
                InterfaceStatus { name: "eth0".into(), index: 2, attached: "native", reason: None, up: true },
                InterfaceStatus {
                    name: "wlan0".into(),
                    index: 3,
                    attached: "generic",
                    reason: Some("the driver has no native XDP".into()),
                    up: false,
                },
            ],
            nftables: None,
            completion: Some(CompletionStatus { method: "own", reason: "configured".into() }),
            services: vec![mail, web, learnt],
            verified: Some(VerifiedStatus {
                ipv4: 12,
                ipv4_capacity: 1 << 20,
                ipv6: 3,
                ipv6_capacity: 1 << 18,
                memory_bytes: 110 << 20,
            }),
            lists: Some(ListsStatus {
                allowed: ListStatus { prefixes: 1, hits: 7 },
                blocked: ListStatus { prefixes: 1_000_000, hits: 123_456 },
            }),
            flood: Some(FloodStatus {
                shape: "concentrated",
                evidence: "1000 of 32000 SYNs that met a filling queue or a limit were looked at: 300 sources; 198.18.7.0/24 made 70%"
                    .into(),
                asked: 32000,
                samples: 1000,
                distinct_sources: 300,
                parts: vec![FloodPart { prefix: "198.18.7.0/24".into(), percent: 70 }],
                held: vec![HeldStatus { prefix: "198.18.7.0/24".into(), why: "concentrated", seconds: 540 }],
            }),
            verdicts: vec![verdict(Verdict::SynCalm, 17), verdict(Verdict::CookieSent, 1_234_567)],
            findings: vec![Finding {
                id: "syncookies-off",
                severity: Severity::Problem,
                what: "net.ipv4.tcp_syncookies is 0".into(),
                why: "with it the kernel refuses every connection that a cookie proves".into(),
                todo: "sysctl -w net.ipv4.tcp_syncookies=1".into(),
                mend: None,
            }],
        }
    }

    /// The text as it was last looked at and found good. To renew it after a change: `RENEW=1 cargo test -p sekisho`.
    fn compare(name: &str, found: &str) {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/status/snapshots").join(name);
        if std::env::var_os("RENEW").is_some() {
            std::fs::write(&file, found).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(found, expected, "differs from {}:\n{found}", file.display());
    }

    #[test]
    fn the_text_is_as_last_looked_at() {
        compare("status.txt", &render(&report()));
    }

    #[test]
    fn the_json_is_as_promised() {
        compare("status.json", &(serde_json::to_string_pretty(&report()).unwrap() + "\n"));
    }

    #[test]
    fn no_line_is_too_long() {
        let all = StatusReport { verdicts: Verdict::ALL.iter().map(|v| verdict(*v, u64::MAX)).collect(), ..report() };
        for line in render(&all).lines() {
            assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
        }
    }

    #[test]
    fn off_is_told_in_one_line_with_what_to_do() {
        let off = StatusReport {
            protected: false,
            mode: None,
            daemon: None,
            interfaces: Vec::new(),
            completion: None,
            services: Vec::new(),
            verified: None,
            lists: None,
            flood: None,
            findings: Vec::new(),
            ..report()
        };
        let off = StatusReport {
            verdicts: off.verdicts.iter().map(|v| VerdictStatus { count: 0, ..v.clone() }).collect(),
            ..off
        };
        assert_eq!(
            render(&off),
            "Sekisho is off: nothing is protected. `sekisho run` switches it on.\n\nNo service listens here.\n"
        );
    }
}
