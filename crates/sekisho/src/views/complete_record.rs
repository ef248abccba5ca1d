//! Tests that all that a record can tell has its words. These enums keep no list of themselves, so it stands here; a variant that is added
//! to the engine and not here does not compile.

use serde::Serialize;

use sekisho_engine::judge::settings::Binds;
use sekisho_engine::observe::record::{EventKind, GapReason, Server, Service, Source, Why};

use crate::words::arguments::{Field, take_apart};
use crate::words::{Lang, Words, Zone};

macro_rules! every {
    ($name:ident: $type:ty = $($pattern:pat => $value:expr,)*) => {
        /// One of each variant.
        fn $name() -> Vec<$type> {
            // Without a wildcard: a new variant is an error here until it is listed.
            let _listed = |value: &$type| match value {
                $($pattern => {})*
            };
            vec![$($value),*]
        }
    };
}

every! { sources: Source =
    Source::Kernel => Source::Kernel,
    Source::Sysstat => Source::Sysstat,
    Source::KernelLog => Source::KernelLog,
    Source::Journal => Source::Journal,
    Source::Syslog => Source::Syslog,
    Source::ApacheConfig => Source::ApacheConfig,
    Source::NginxConfig => Source::NginxConfig,
    Source::PhpFpmConfig => Source::PhpFpmConfig,
    Source::AccessLog => Source::AccessLog,
    Source::ErrorLog => Source::ErrorLog,
    Source::MailLog => Source::MailLog,
    Source::SshLog => Source::SshLog,
    Source::Packets => Source::Packets,
    Source::Sysctl => Source::Sysctl,
    Source::Processes => Source::Processes,
    Source::Interfaces => Source::Interfaces,
    Source::Firewall => Source::Firewall,
    Source::Conntrack => Source::Conntrack,
    Source::Pressure => Source::Pressure,
    Source::Sekisho => Source::Sekisho,
}

every! { reasons: GapReason =
    GapReason::NoSamples => GapReason::NoSamples,
    GapReason::Restart => GapReason::Restart,
    GapReason::Rotated => GapReason::Rotated,
    GapReason::Lost => GapReason::Lost,
}

every! { servers: Server =
    Server::Apache => Server::Apache,
    Server::Nginx => Server::Nginx,
    Server::PhpFpm => Server::PhpFpm,
}

every! { services: Service =
    Service::Postfix => Service::Postfix,
    Service::Sshd => Service::Sshd,
}

every! { bounds: Binds =
    Binds::Application => Binds::Application,
    Binds::Somaxconn => Binds::Somaxconn,
    Binds::MaxSynBacklog => Binds::MaxSynBacklog,
}

every! { whys: Why =
    Why::Missing => Why::Missing,
    Why::NotPermitted => Why::NotPermitted,
    Why::NotInstalled(_) => Why::NotInstalled("sadf".into()),
    Why::NotSupported => Why::NotSupported,
    Why::Failed(_) => Why::Failed("Input/output error".into()),
    Why::NotUnderstood { .. } => Why::NotUnderstood { pieces: 77 },
    Why::LinesTooLong { .. } => Why::LinesTooLong { lines: 77 },
    Why::Truncated { .. } => Why::Truncated { bytes: 77 },
    Why::TooMuch { .. } => Why::TooMuch { pieces: 77 },
    Why::ZoneAssumed { .. } => Why::ZoneAssumed { zone_seconds: 32_400 },
    Why::ClockAhead { .. } => Why::ClockAhead { seconds: -77 },
    Why::NoTimes => Why::NoTimes,
}

every! { events: EventKind =
    EventKind::SynFloodingMessage { .. } => EventKind::SynFloodingMessage { address: None, port: 8080, cookies: true },
    EventKind::OutOfMemoryKill { .. } => EventKind::OutOfMemoryKill {
        process: "apache2".into(), pid: None, resident_bytes: None, in_group: true,
    },
    EventKind::ConntrackFull => EventKind::ConntrackFull,
    EventKind::TcpMemoryFull => EventKind::TcpMemoryFull,
    EventKind::AllocationFailure => EventKind::AllocationFailure,
    EventKind::Stuck => EventKind::Stuck,
    EventKind::TransmitTimeout { .. } => EventKind::TransmitTimeout { interface: None },
    EventKind::LinkDown { .. } => EventKind::LinkDown { interface: "eth7".into() },
    EventKind::LinkUp { .. } => EventKind::LinkUp { interface: "eth7".into() },
    EventKind::NeighbourTableFull => EventKind::NeighbourTableFull,
    EventKind::FirewallLogged { .. } => EventKind::FirewallLogged { prefix: "DROP ".into(), port: Some(8080) },
    EventKind::Boot => EventKind::Boot,
    EventKind::ClockSet => EventKind::ClockSet,
    EventKind::MessagesLost { .. } => EventKind::MessagesLost { messages: Some(77) },
    EventKind::UnitStarted { .. } => EventKind::UnitStarted { unit: "web.service".into() },
    EventKind::UnitStopped { .. } => EventKind::UnitStopped { unit: "web.service".into() },
    EventKind::UnitFailed { .. } => EventKind::UnitFailed { unit: "web.service".into(), result: None },
    EventKind::WorkersExhausted { .. } => EventKind::WorkersExhausted { server: Server::Apache, limit: Some(77) },
    EventKind::FilesExhausted { .. } => EventKind::FilesExhausted { server: Server::PhpFpm },
    EventKind::BackendTimeout { .. } => EventKind::BackendTimeout { server: Server::Nginx },
    EventKind::BackendRefused { .. } => EventKind::BackendRefused { server: Server::Nginx },
    EventKind::ClientTooSlow { .. } => EventKind::ClientTooSlow { server: Server::Nginx },
    EventKind::WorkerDied { .. } => EventKind::WorkerDied { server: Server::Nginx },
    EventKind::ServerRestarted { .. } => EventKind::ServerRestarted { server: Server::Nginx },
}

/// What a message may leave out: details that stand elsewhere.
const LEFT_OUT: [&str; 3] = ["address", "pid", "resident_bytes"];

fn said<T: Serialize>(family: &str, values: &[T]) {
    for lang in Lang::ALL {
        let words = Words::new(lang, Zone::Fixed(0));
        for value in values {
            let text = words.tell(family, value);
            assert!(!text.contains(['[', '{']), "{}: {text}", lang.tag());
            for (name, field) in take_apart(value).1 {
                let shown = match &field {
                    Field::Text(shown) if ["none", "yes", "no"].contains(&shown.as_str()) => continue,
                    Field::Text(shown) if name == "server" => words.tell("server", shown),
                    Field::Text(shown) => shown.trim().to_owned(),
                    Field::Number(number) if name == "zone_seconds" => format!("UTC+{}", number / 3600.0),
                    Field::Number(_) if name == "seconds" => "1".to_owned(),
                    Field::Number(_) => "77".to_owned(),
                    Field::List(_) => continue,
                };
                assert!(
                    LEFT_OUT.contains(&name.as_str()) || text.contains(&shown),
                    "{}: {name} in: {text}",
                    lang.tag()
                );
            }
        }
    }
}

#[test]
fn what_a_record_tells_is_said_with_all_that_it_tells() {
    said("source", &sources());
    said("gap", &reasons());
    said("server", &servers());
    said("service", &services());
    said("binds", &bounds());
    said("why", &whys());
    said("event", &events());
}
