//! Which application listens on a port, and the backlog that its configuration asks for.
//!
//! The kernel tells the backlog in force (see [`super::listeners`]); this tells where it comes from, so that one can say which line of which
//! file to change. What cannot be found is `None`, never a guess.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Bounds on what is read: more files or larger ones than any configuration has.
const FILES_MAX: usize = 500;
const FILE_BYTES_MAX: u64 = 1 << 20;
const INCLUDE_DEPTH_MAX: usize = 8;
/// Where systemd looks for units, the first place first.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"];

/// An application whose way with backlogs is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Application {
    /// `listen ... backlog=`, else 511 (ngx_connection.h).
    Nginx,
    /// `ListenBacklog`, else 511 (ap_listen.h).
    Apache,
    /// `Backlog=` of a socket unit.
    Systemd,
    /// `default_process_limit`, or the service's own limit if that is larger (master_listen.c).
    Postfix,
    /// 128, compiled in (SSH_LISTEN_BACKLOG, sshd.c).
    Sshd,
    /// Another, by the name of its process.
    Other(String),
}

impl Application {
    /// By the name of a process.
    pub fn named(name: &str) -> Self {
        match name {
            "nginx" => Self::Nginx,
            "apache2" | "httpd" => Self::Apache,
            "systemd" => Self::Systemd,
            "master" => Self::Postfix,
            "sshd" => Self::Sshd,
            other => Self::Other(other.to_owned()),
        }
    }

    /// What people call it.
    pub fn word(&self) -> &str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "Apache",
            Self::Systemd => "systemd",
            Self::Postfix => "Postfix",
            Self::Sshd => "sshd",
            Self::Other(name) => name,
        }
    }
}

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The process id of the oldest that does.
    pub pid: u32,
    /// What it is.
    pub application: Application,
    /// Its command line.
    pub arguments: Vec<String>,
}

/// The backlog that a configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// How long.
    pub backlog: u32,
    /// The file that says so; `None`: nothing does, and this is the application's default.
    pub file: Option<PathBuf>,
}

/// Who listens on which port in this network namespace. Processes that may not be looked at are left out.
pub fn owners() -> BTreeMap<u16, Owner> {
    let mut ports = BTreeMap::new();
    for file in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        ports.extend(text.lines().filter_map(listening_inode));
    }
    let mut owners = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    // A worker shares its master's sockets: the oldest process, which has the master's command line, goes first.
    let mut pids: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        for port in socket_inodes(pid).into_iter().filter_map(|inode| ports.get(&inode)) {
            if !owners.contains_key(port) {
                owners.extend(owner(pid).map(|owner| (*port, owner)));
            }
        }
    }
    owners
}

/// Inode and port of a listener in a line of /proc/net/tcp.
fn listening_inode(line: &str) -> Option<(u64, u16)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (*state == "0A").then_some((inode.parse().ok()?, port))
}

fn socket_inodes(pid: u32) -> Vec<u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |file: fs::DirEntry| {
        let target = fs::read_link(file.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    files.filter_map(inode).collect()
}

fn owner(pid: u32) -> Option<Owner> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    // nginx and sshd write a title over their arguments, with spaces in place of the zeros.
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    Some(Owner {
        pid,
        application: Application::named(name.trim()),
        arguments: words.split_whitespace().map(str::to_owned).collect(),
    })
}

/// The backlog that the owner's configuration asks for on a port.
pub fn configured(owner: &Owner, port: u16) -> Option<Configured> {
    match owner.application {
        Application::Nginx => {
            let files = included(&argument(owner, "-c").unwrap_or("/etc/nginx/nginx.conf".into()));
            Some(first(&files, |text| nginx_backlog(text, port)).unwrap_or_else(|| default(511)))
        }
        Application::Apache => {
            let main = argument(owner, "-f").unwrap_or("/etc/apache2/apache2.conf".into());
            Some(first(&apache_files(&main), apache_backlog).unwrap_or_else(|| default(511)))
        }
        Application::Systemd => systemd_unit(port),
        Application::Postfix => {
            let folder = argument(owner, "-c").unwrap_or("/etc/postfix".into());
            Some(first(&[folder.join("main.cf")], postfix_limit).unwrap_or_else(|| default(100)))
        }
        Application::Sshd => Some(default(128)),
        Application::Other(_) => None,
    }
}

fn default(backlog: u32) -> Configured {
    Configured { backlog, file: None }
}

/// The word after a flag.
fn argument(owner: &Owner, flag: &str) -> Option<PathBuf> {
    let at = owner.arguments.iter().position(|word| word == flag)?;
    owner.arguments.get(at + 1).map(PathBuf::from)
}

fn first(files: &[PathBuf], find: impl Fn(&str) -> Option<u32>) -> Option<Configured> {
    files.iter().find_map(|file| Some(Configured { backlog: find(&text(file)?)?, file: Some(file.clone()) }))
}

fn text(file: &Path) -> Option<String> {
    let small = fs::metadata(file).is_ok_and(|about| about.is_file() && about.len() <= FILE_BYTES_MAX);
    if small { fs::read_to_string(file).ok() } else { None }
}

/// The `backlog=` of the `listen` directives on a port, in nginx's language; the largest, since sockets of one address share one.
fn nginx_backlog(text: &str, port: u16) -> Option<u32> {
    let bare: String = text.lines().map(|line| line.split('#').next().unwrap_or_default().to_owned() + "\n").collect();
    let listens = bare.split([';', '{', '}']).map(str::trim).filter_map(|words| words.strip_prefix("listen"));
    let on_port = listens.filter(|rest| {
        let address = rest.split_whitespace().next().unwrap_or_default();
        let number = address.rsplit_once(':').map_or(address, |(_, number)| number);
        // An address without a port means port 80.
        number.parse().unwrap_or(80) == port
    });
    on_port
        .filter_map(|rest| rest.split_whitespace().find_map(|word| word.strip_prefix("backlog="))?.parse().ok())
        .max()
}

/// `ListenBacklog`, in Apache's language; the last one counts.
fn apache_backlog(text: &str) -> Option<u32> {
    let value = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| word.eq_ignore_ascii_case("ListenBacklog"))?;
        words.next()?.parse().ok()
    };
    text.lines().filter_map(value).next_back()
}

/// `default_process_limit` in Postfix's main.cf; the last one counts.
fn postfix_limit(text: &str) -> Option<u32> {
    let value = |line: &str| {
        let (key, value) = line.split_once('=')?;
        (key.trim_end() == "default_process_limit").then(|| value.trim().parse().ok()).flatten()
    };
    text.lines().filter_map(value).next_back()
}

/// Whether a socket unit listens on a TCP port, and the `Backlog=` it asks for.
fn socket_unit(text: &str, port: u16) -> Option<Option<u32>> {
    let values = |wanted: &'static str| {
        text.lines().filter_map(move |line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == wanted).then(|| value.trim().to_owned())
        })
    };
    let on_port =
        |address: String| address.rsplit_once(':').map_or(&*address, |(_, number)| number).parse() == Ok(port);
    let listens = values("ListenStream").any(on_port);
    listens.then(|| values("Backlog").filter_map(|value| value.parse().ok()).next_back())
}

/// The socket unit that listens on a port, with its drop-ins. `None` where none sets a backlog: systemd's default has changed over time.
fn systemd_unit(port: u16) -> Option<Configured> {
    let units = UNITS.iter().flat_map(|folder| listed(Path::new(folder), ".socket"));
    let mut asked = None;
    for unit in units.take(FILES_MAX) {
        let dropins = UNITS.iter().flat_map(|folder| {
            let name = unit.file_name().unwrap_or_default().to_string_lossy().into_owned();
            listed(&Path::new(folder).join(name + ".d"), ".conf")
        });
        let files: Vec<PathBuf> = std::iter::once(unit.clone()).chain(dropins).collect();
        let whole: String = files.iter().filter_map(|file| text(file)).collect();
        if let Some(backlog) = socket_unit(&whole, port) {
            asked = asked.or(backlog.map(|backlog| Configured { backlog, file: files.last().cloned() }));
        }
    }
    asked
}

/// The files of a folder with this ending, sorted as their readers sort them.
fn listed(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

fn apache_files(main: &Path) -> Vec<PathBuf> {
    let folder = main.parent().unwrap_or(Path::new("/etc/apache2"));
    let enabled = ["conf-enabled", "mods-enabled", "sites-enabled", "conf.d"];
    let more = enabled.iter().flat_map(|name| listed(&folder.join(name), ".conf"));
    [main.to_owned(), folder.join("ports.conf")].into_iter().chain(more).take(FILES_MAX).collect()
}

/// A file of nginx and all that it includes.
fn included(main: &Path) -> Vec<PathBuf> {
    let folder = main.parent().unwrap_or(Path::new("/")).to_owned();
    let (mut files, mut next) = (Vec::new(), vec![main.to_owned()]);
    for _ in 0..INCLUDE_DEPTH_MAX {
        let found: Vec<PathBuf> = next.iter().filter_map(|file| text(file)).flat_map(|text| includes(&text)).collect();
        files.append(&mut next);
        next = found.iter().flat_map(|pattern| matching(&folder.join(pattern))).collect();
        next.retain(|file| !files.contains(file));
        if next.is_empty() || files.len() > FILES_MAX {
            break;
        }
    }
    files
}

fn includes(text: &str) -> Vec<PathBuf> {
    let directive = |line: &str| {
        let rest = line.trim_start().strip_prefix("include")?.trim_start();
        Some(PathBuf::from(rest.split(';').next()?.trim_matches(['"', '\'', ' '])))
    };
    text.lines().filter_map(directive).collect()
}

/// The files that a path with at most one `*` in its last part means.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((begin, end)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let files = listed(pattern.parent().unwrap_or(Path::new("/")), end);
    let begins = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin));
    files.into_iter().filter(begins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_in_the_kernels_table() {
        let line =
            "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";
        assert_eq!(listening_inode(line), Some((4711, 80)));
        assert_eq!(listening_inode(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening_inode("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn our_own_listener_is_found_with_its_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let owners = owners();
        assert!(matches!(owners[&port].application, Application::Other(_)), "{:?}", owners[&port]);
        assert_eq!(configured(&owners[&port], port), None);
    }

    #[test]
    fn nginx() {
        let text = "http {\n# listen 80 backlog=1;\n server { listen 198.51.100.1:80 backlog=1024; listen [::]:443 ssl backlog=64; }\n\
                    server { listen 198.51.100.2 backlog=2048; listen 8080; } }\n";
        assert_eq!(nginx_backlog(text, 80), Some(2048));
        assert_eq!(nginx_backlog(text, 443), Some(64));
        assert_eq!(nginx_backlog(text, 8080), None);
    }

    #[test]
    fn nginx_with_includes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sites")).unwrap();
        fs::write(path("nginx.conf"), "http {\n  include sites/*.conf;\n include mime.types;\n}\n").unwrap();
        fs::write(path("sites/a.conf"), "server { listen 80; }\n").unwrap();
        fs::write(path("sites/b.conf"), "server { listen 443 ssl backlog=300; }\n").unwrap();
        fs::write(path("sites/b.conf.bak"), "server { listen 80 backlog=1; }\n").unwrap();
        let arguments = ["nginx:", "master", "process", "nginx", "-c"].map(str::to_owned);
        let config = path("nginx.conf").display().to_string();
        let owner = Owner {
            pid: 1,
            application: Application::Nginx,
            arguments: arguments.into_iter().chain([config]).collect(),
        };
        let asked = configured(&owner, 443).unwrap();
        assert_eq!((asked.backlog, asked.file), (300, Some(path("sites/b.conf"))));
        assert_eq!(configured(&owner, 80), Some(default(511)));
    }

    #[test]
    fn apache_postfix_and_sshd() {
        assert_eq!(apache_backlog("Listen 80\nlistenbacklog 256\n#ListenBacklog 9\n"), Some(256));
        assert_eq!(apache_backlog("Listen 80\n"), None);
        assert_eq!(postfix_limit("default_process_limit = 200\nx = 1\n"), Some(200));
        assert_eq!(postfix_limit("# default_process_limit = 200\n"), None);
        let owner = Owner { pid: 1, application: Application::Sshd, arguments: Vec::new() };
        assert_eq!(configured(&owner, 22), Some(default(128)));
    }

    #[test]
    fn socket_units() {
        let unit = "[Socket]\nListenStream=0.0.0.0:22\nListenStream=[::]:22\nBacklog=256\n";
        assert_eq!(socket_unit(unit, 22), Some(Some(256)));
        assert_eq!(socket_unit(unit, 23), None);
        assert_eq!(socket_unit("[Socket]\nListenStream=80\n", 80), Some(None));
        assert_eq!(socket_unit("[Socket]\nListenStream=/run/80\n", 80), None);
    }
}
