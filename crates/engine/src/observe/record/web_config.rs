//! Settings of Apache, nginx and php-fpm, each with the file and line that says so.
//!
//! Only what decides how many are served at once and for how long is read. Includes are followed; a value in an `<IfModule>` of another
//! multi-processing module than the one that is loaded does not count.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Mpm, Server, Setting, WebServer};

/// Bounds: more files, or deeper or larger ones, than any configuration has.
const FILES_MAX: usize = 500;
const FILE_BYTES_MAX: u64 = 1 << 20;
const INCLUDE_DEPTH_MAX: usize = 8;

/// One directive, where it stands, and what is around it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directive {
    name: String,
    value: String,
    place: (PathBuf, u32),
    module: Option<String>,
}

/// The settings of the server that runs here. `config` is the file or folder that its command line names.
pub fn live(server: Server, config: Option<&str>, cpus: Option<u32>) -> Vec<WebServer> {
    let first = |files: &[&str]| files.iter().map(PathBuf::from).find(|file| file.exists());
    let named = config.map(PathBuf::from).filter(|file| file.is_file());
    match server {
        Server::Apache => {
            let file = named.or_else(|| first(&["/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf"]));
            vec![file.map_or_else(|| WebServer::new(server), |file| apache(&file))]
        }
        Server::Nginx => {
            let file = named.or_else(|| first(&["/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf"]));
            vec![file.map_or_else(|| WebServer::new(server), |file| nginx(&file, cpus))]
        }
        Server::PhpFpm => {
            let pools = matching(Path::new("/etc/php/*/fpm/pool.d/*.conf")).into_iter();
            pools.chain(matching(Path::new("/etc/php-fpm.d/*.conf"))).flat_map(|file| php_fpm(&file)).collect()
        }
    }
}

/// Apache's settings, beginning with its main file.
pub fn apache(main: &Path) -> WebServer {
    let mut reader = Reader { base: main.parent().unwrap_or(Path::new("/")).to_owned(), ..Reader::default() };
    reader.apache(main, 0, None);
    let directives = reader.found;
    let mpm = directives.iter().rev().find_map(mpm);
    // Without a LoadModule the module is built in; since 2.4 that is event (mpm_default in the build).
    let kind = mpm.as_ref().map_or(Mpm::Event, |mpm| mpm.value);
    let counts = |directive: &&Directive| directive.module.as_deref().is_none_or(|module| applies(module, kind));
    let last = |names: &[&str]| {
        let named = |directive: &&Directive| names.iter().any(|name| directive.name.eq_ignore_ascii_case(name));
        directives.iter().rev().filter(counts).find(named)
    };
    let number = |names: &[&str], default: u64| setting(last(names), |value| value.parse().ok(), default);
    let (servers, threads, workers) = match kind {
        Mpm::Prefork => (256, 1, 256),
        Mpm::Worker | Mpm::Event => (16, 25, 400),
    };
    let server_limit = number(&["ServerLimit"], servers);
    let threads = if kind == Mpm::Prefork { default(1) } else { number(&["ThreadsPerChild"], threads) };
    let mut workers_max = number(&["MaxRequestWorkers", "MaxClients"], workers);
    // What does not fit into ServerLimit is cut, with a warning in the error log.
    workers_max.value = workers_max.value.min(server_limit.value.saturating_mul(threads.value));
    let php =
        |directive: &Directive| directive.name.eq_ignore_ascii_case("LoadModule") && directive.value.starts_with("php");
    WebServer {
        processes_max: Some(workers_max.value.div_ceil(threads.value.max(1))),
        workers_max: Some(workers_max),
        server_limit: Some(server_limit),
        threads_per_child: Some(threads),
        backlog: Some(number(&["ListenBacklog"], 511)),
        keep_alive: Some(setting(last(&["KeepAlive"]), |value| Some(!value.eq_ignore_ascii_case("off")), true)),
        keep_alive_timeout_ms: Some(setting(last(&["KeepAliveTimeout"]), milliseconds, 5_000)),
        timeout_ms: Some(setting(last(&["Timeout"]), milliseconds, 60_000)),
        interpreter_inside: directives.iter().any(php),
        mpm,
        ..WebServer::new(Server::Apache)
    }
}

fn mpm(directive: &Directive) -> Option<Setting<Mpm>> {
    let module =
        directive.name.eq_ignore_ascii_case("LoadModule").then(|| directive.value.split_whitespace().next())??;
    let value = match module {
        "mpm_prefork_module" => Mpm::Prefork,
        "mpm_worker_module" => Mpm::Worker,
        "mpm_event_module" => Mpm::Event,
        _ => return None,
    };
    Some(Setting { value, place: Some(directive.place.clone()) })
}

/// Whether a block for this module counts: one for another multi-processing module does not.
fn applies(module: &str, kind: Mpm) -> bool {
    let own = match kind {
        Mpm::Prefork => "prefork",
        Mpm::Worker => "worker",
        Mpm::Event => "event",
    };
    let (module, negated) = module.strip_prefix('!').map_or((module, false), |module| (module, true));
    let known = ["prefork", "worker", "event"].into_iter().find(|name| module.trim_end_matches(".c").contains(name));
    known.is_none_or(|known| (known == own) != negated)
}

/// nginx's settings, beginning with its main file.
pub fn nginx(main: &Path, cpus: Option<u32>) -> WebServer {
    let mut reader = Reader { base: main.parent().unwrap_or(Path::new("/")).to_owned(), ..Reader::default() };
    reader.nginx(main, 0);
    let directives = reader.found;
    let last = |name: &str| directives.iter().rev().find(|directive| directive.name == name);
    let processes = match last("worker_processes") {
        Some(directive) if directive.value == "auto" => {
            cpus.map(|cpus| Setting { value: cpus.into(), place: Some(directive.place.clone()) })
        }
        other => Some(setting(other, |value| value.parse().ok(), 1)),
    };
    let connections = setting(last("worker_connections"), |value| value.parse().ok(), 512);
    let place = connections.place.clone();
    let all = |processes: &Setting<u64>| Setting { value: processes.value.saturating_mul(connections.value), place };
    let backlogs = directives.iter().filter(|directive| directive.name == "listen").filter_map(|directive| {
        let value = directive.value.split_whitespace().find_map(|word| word.strip_prefix("backlog="))?.parse().ok()?;
        Some(Setting { value, place: Some(directive.place.clone()) })
    });
    let keep = setting(last("keepalive_timeout"), milliseconds, 75_000);
    WebServer {
        workers_max: processes.as_ref().map(all),
        processes_max: processes.as_ref().map(|processes| processes.value),
        worker_processes: processes,
        backlog: Some(backlogs.min_by_key(|backlog| backlog.value).unwrap_or(default(511))),
        keep_alive: Some(Setting { value: keep.value > 0, place: keep.place.clone() }),
        keep_alive_timeout_ms: Some(keep),
        timeout_ms: Some(setting(last("client_header_timeout"), milliseconds, 60_000)),
        worker_connections: Some(connections),
        ..WebServer::new(Server::Nginx)
    }
}

/// php-fpm's pools in one file.
pub fn php_fpm(file: &Path) -> Vec<WebServer> {
    let mut pools: BTreeMap<String, WebServer> = BTreeMap::new();
    let (mut pool, text) = (String::new(), text(file).unwrap_or_default());
    for (number, line) in (1u32..).zip(text.lines()) {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut pool);
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let Ok(value) = value.trim().parse::<u64>() else { continue };
        let setting = Some(Setting { value, place: Some((file.to_owned(), number)) });
        let server = pools.entry(pool.clone()).or_insert_with(|| WebServer {
            pool: Some(pool.clone()),
            backlog: Some(default(511)),
            ..WebServer::new(Server::PhpFpm)
        });
        match key.trim() {
            "pm.max_children" => {
                server.processes_max = Some(value);
                server.workers_max = setting;
            }
            "listen.backlog" => server.backlog = setting,
            _ => {}
        }
    }
    pools.into_values().filter(|server| server.workers_max.is_some()).collect()
}

fn default<T>(value: T) -> Setting<T> {
    Setting { value, place: None }
}

fn setting<T>(directive: Option<&Directive>, read: impl Fn(&str) -> Option<T>, otherwise: T) -> Setting<T> {
    match directive.and_then(|directive| Some((read(directive.value.split_whitespace().next()?)?, directive))) {
        Some((value, directive)) => Setting { value, place: Some(directive.place.clone()) },
        None => default(otherwise),
    }
}

/// A time: seconds without a unit.
fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1000,
        "ms" => 1,
        "m" | "mi" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn text(file: &Path) -> Option<String> {
    let small = fs::metadata(file).is_ok_and(|about| about.is_file() && about.len() <= FILE_BYTES_MAX);
    let bytes = if small { fs::read(file).ok() } else { None };
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[derive(Debug, Default)]
struct Reader {
    base: PathBuf,
    files: usize,
    found: Vec<Directive>,
}

impl Reader {
    fn may_read(&mut self, depth: usize) -> bool {
        self.files += 1;
        self.files <= FILES_MAX && depth <= INCLUDE_DEPTH_MAX
    }

    fn apache(&mut self, file: &Path, depth: usize, outer: Option<&str>) {
        let Some(text) = text(file).filter(|_| self.may_read(depth)) else { return };
        let mut modules: Vec<Option<String>> = vec![outer.map(str::to_owned)];
        for (number, line) in (1u32..).zip(text.lines()) {
            let line = line.trim();
            let lower = line.to_ascii_lowercase();
            if let Some(module) = lower.strip_prefix("<ifmodule ") {
                let module = module.trim_end_matches('>').trim().to_owned();
                // Inside another block for a module, that one decides.
                let around = modules.last().cloned().flatten();
                modules.push(around.filter(|name| name.contains("mpm") || !module.contains("mpm")).or(Some(module)));
                continue;
            }
            if lower.starts_with("</ifmodule") && modules.len() > 1 {
                modules.pop();
                continue;
            }
            let Some((name, value)) = line.split_once(char::is_whitespace).filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let module = modules.last().cloned().flatten();
            let value = value.trim().trim_matches('"').to_owned();
            match name.to_ascii_lowercase().as_str() {
                "include" | "includeoptional" => {
                    for included in matching(&self.base.join(&value)) {
                        self.apache(&included, depth + 1, module.as_deref());
                    }
                }
                // The place of the files may have been another when the server ran.
                "serverroot" if Path::new(&value).is_dir() => self.base = value.into(),
                _ => self.found.push(Directive {
                    name: name.to_owned(),
                    value,
                    place: (file.to_owned(), number),
                    module,
                }),
            }
        }
    }

    fn nginx(&mut self, file: &Path, depth: usize) {
        let Some(text) = text(file).filter(|_| self.may_read(depth)) else { return };
        for (number, line) in (1u32..).zip(text.lines()) {
            let bare = line.split('#').next().unwrap_or_default();
            for statement in bare.split([';', '{', '}']).map(str::trim) {
                let Some((name, value)) = statement.split_once(char::is_whitespace) else { continue };
                let value = value.trim().trim_matches(['"', '\'']).to_owned();
                if name == "include" {
                    for included in matching(&self.base.join(&value)) {
                        self.nginx(&included, depth + 1);
                    }
                } else {
                    let place = (file.to_owned(), number);
                    self.found.push(Directive { name: name.to_owned(), value, place, module: None });
                }
            }
        }
    }
}

/// The files that a path means, each part of which may have one `*`, sorted by name; all files of a folder.
pub fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str().to_string_lossy().into_owned();
        found = match part.split_once('*') {
            None => found.into_iter().map(|path| path.join(&part)).collect(),
            Some((begin, end)) => found.iter().flat_map(|path| listed(path, begin, end)).collect(),
        };
        found.truncate(FILES_MAX);
    }
    found.into_iter().flat_map(|path| if path.is_dir() { listed(&path, "", "") } else { vec![path] }).collect()
}

fn listed(folder: &Path, begin: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let fits = |name: &str| name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end);
    let mut paths: Vec<PathBuf> =
        entries.filter(|entry| fits(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn apache_as_debian_lays_it_out() {
        let folder = tempfile::tempdir().unwrap();
        let main = write(
            folder.path(),
            "apache2.conf",
            "ServerRoot \"/nowhere\"\nTimeout 300\nKeepAlive On\nKeepAliveTimeout 500ms\nIncludeOptional mods-enabled/*.load\n\
             IncludeOptional mods-enabled/*.conf\nInclude ports.conf\n",
        );
        write(folder.path(), "ports.conf", "Listen 80\nListenBacklog 128\n");
        write(folder.path(), "mods-enabled/mpm_prefork.load", "LoadModule mpm_prefork_module /x/mod_mpm_prefork.so\n");
        write(folder.path(), "mods-enabled/php8.2.load", "LoadModule php_module /x/libphp8.2.so\n");
        let mpm = write(
            folder.path(),
            "mods-enabled/mpm_prefork.conf",
            "<IfModule mpm_prefork_module>\n  ServerLimit 400\n  MaxRequestWorkers 400\n</IfModule>\n\
             <IfModule mpm_event_module>\n  MaxRequestWorkers 9\n</IfModule>\n",
        );
        let found = apache(&main);
        assert_eq!(found.mpm.unwrap().value, Mpm::Prefork);
        assert_eq!(found.workers_max, Some(Setting { value: 400, place: Some((mpm, 3)) }));
        assert_eq!((found.processes_max, found.interpreter_inside), (Some(400), true));
        assert_eq!(found.backlog.unwrap().value, 128);
        assert_eq!(found.keep_alive_timeout_ms.unwrap().value, 500);
        assert_eq!(found.timeout_ms.unwrap().value, 300_000);
    }

    #[test]
    fn apache_without_a_word_and_cut_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let main = write(folder.path(), "httpd.conf", "LoadModule mpm_prefork_module x\nMaxClients 1000\n");
        assert_eq!(apache(&main).workers_max.unwrap().value, 256, "ServerLimit's default");
        let main = write(folder.path(), "httpd.conf", "Include httpd.conf\nInclude *\n</IfModule>\n</IfModule>\n");
        let found = apache(&main);
        assert_eq!((found.workers_max, found.processes_max), (Some(default(400)), Some(16)));
    }

    #[test]
    fn nginx_and_php_fpm() {
        let folder = tempfile::tempdir().unwrap();
        let main = write(
            folder.path(),
            "nginx.conf",
            "worker_processes auto; # all\nevents { worker_connections 768; }\nhttp { keepalive_timeout 65s; include sites/*; }\n",
        );
        write(folder.path(), "sites/a", "server {\n  listen 80 backlog=64;\n  listen 443 ssl;\n}\n");
        let found = nginx(&main, Some(4));
        assert_eq!((found.workers_max.unwrap().value, found.processes_max), (3072, Some(4)));
        assert_eq!((found.backlog.unwrap().value, found.keep_alive_timeout_ms.unwrap().value), (64, 65_000));
        assert_eq!(nginx(&main, None).workers_max, None, "auto, and nobody knows the CPUs");

        let pool = write(
            folder.path(),
            "www.conf",
            "[www]\nlisten = /run/php.sock\npm.max_children = 5 ; few\n;pm.max_children = 9\n",
        );
        let found = php_fpm(&pool);
        assert_eq!((found.len(), found[0].pool.as_deref(), found[0].processes_max), (1, Some("www"), Some(5)));
        assert_eq!(found[0].workers_max.as_ref().unwrap().place, Some((pool, 3)));
    }
}
