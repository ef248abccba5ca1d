//! What to type, or to write into a file, for each step: the same in every language.

use sekisho_engine::judge::diagnosis::{Action, Keep, Milliseconds};
use sekisho_engine::observe::record::Server;

use crate::words::phrase::network_text;

/// The lines that go with something to do.
pub fn action(action: &Action) -> Vec<String> {
    let line = match action {
        Action::SetSysctl { key, to, .. } => format!("sysctl -w {key}={to}"),
        Action::RunSekisho {} => "sekisho run".into(),
        Action::BlockNetwork { network } => format!("sekisho block add {} --for 1h", network_text(network)),
        Action::ApacheWorkers { workers, .. } => format!("MaxRequestWorkers {workers}"),
        Action::PhpChildren { children, .. } => format!("pm.max_children = {children}"),
        Action::NginxProcesses { processes, .. } => format!("worker_processes {processes};"),
        Action::KeepAliveShorter { server, to, .. } => keep_alive(*server, *to),
        Action::MoreWorkers { server, workers, .. } => more_workers(*server, *workers),
        Action::ApacheBacklog { backlog, .. } => format!("ListenBacklog {backlog}"),
        Action::NginxBacklog { port, backlog, .. } => format!("listen {} backlog={backlog};", port.0),
        Action::SystemdBacklog { backlog, .. } => format!("Backlog={backlog}"),
        Action::PhpBacklog { backlog, .. } => format!("listen.backlog = {backlog}"),
        Action::LookAtApplication { port } => format!("ss -ltnp 'sport = :{}'", port.0),
        Action::LookAtApplications {} => "ss -ltnp".into(),
        Action::LookAtMemory {} => "ps -eo pid,rss,comm --sort=-rss | head -n 20".into(),
        Action::RequestTimeouts { server } => return request_timeouts(*server),
        Action::RingLonger { interface, ring } => format!("ethtool -G {interface} rx {ring}"),
        Action::SpreadReceive { interface } => format!("ethtool -l {interface}"),
        Action::LookAtReceive {} => "mpstat -P ALL 1 5".into(),
        Action::SetClock {} => "timedatectl set-ntp true".into(),
        _ => return Vec::new(),
    };
    vec![line]
}

fn keep_alive(server: Server, to: Milliseconds) -> String {
    let seconds = to.0.div_ceil(1000);
    match server {
        Server::Nginx => format!("keepalive_timeout {seconds}s;"),
        Server::Apache | Server::PhpFpm => format!("KeepAliveTimeout {seconds}"),
    }
}

fn more_workers(server: Server, workers: u64) -> String {
    match server {
        Server::Apache => format!("MaxRequestWorkers {workers}"),
        Server::Nginx => format!("worker_connections {workers};"),
        Server::PhpFpm => format!("pm.max_children = {workers}"),
    }
}

fn request_timeouts(server: Server) -> Vec<String> {
    let lines: &[&str] = match server {
        Server::Apache => &["RequestReadTimeout header=10-20,MinRate=500 body=10,MinRate=500", "Timeout 30"],
        Server::Nginx => &["client_header_timeout 10s;", "client_body_timeout 10s;", "send_timeout 10s;"],
        Server::PhpFpm => &["request_terminate_timeout = 60s"],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// The lines that go with something to keep.
pub fn keep(keep: &Keep) -> Vec<String> {
    let lines: &[&str] = match keep {
        Keep::Sysstat {} => &[
            "apt install sysstat",
            "sed -i 's/^SADC_OPTIONS=.*/SADC_OPTIONS=\"-S DISK,SNMP,IPV6\"/' /etc/sysstat/sysstat",
            "systemctl enable --now sysstat",
        ],
        Keep::KernelLog {} => &["mkdir -p /var/log/journal", "systemctl restart systemd-journald"],
        Keep::Capture {} => &["tcpdump -i any -s 96 -C 100 -W 20 -w /var/tmp/handshakes.pcap tcp"],
        Keep::WorkerMemory {} => &["ps -eo pid,rss,comm --sort=-rss | head -n 20"],
        Keep::Incidents {} => &["sekisho run --mode observe"],
        Keep::DoctorAsRoot {} => &["sudo sekisho doctor --report doctor.html"],
        Keep::Settings {} => &["sysctl -a > sysctl.txt"],
        Keep::Clock {} => &["timedatectl set-ntp true"],
        Keep::AccessLog {} | Keep::ErrorLog {} | Keep::Longer { .. } => &[],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}
