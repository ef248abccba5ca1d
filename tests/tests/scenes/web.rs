//! Real web servers with logs: Apache with processes and PHP inside, nginx, and an application that takes its time.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sekisho_lab::servers::{Process, nginx_files};
use sekisho_lab::{Netns, run};

use crate::group::Group;

const MODULES: &str = "/usr/lib/apache2/modules";
/// `?mb=8&ms=500`: takes so much memory, for so long.
const SCRIPT: &str = "<?php\n$mb = (int)($_GET['mb'] ?? 1);\n$keep = str_repeat(chr(random_int(1, 255)), $mb << 20);\n\
                      usleep(1000 * (int)($_GET['ms'] ?? 0));\necho strlen($keep), \"\\n\";\n";

/// Makes the folder of a server: readable for its workers, who are another user.
fn lay_out(folder: &Path) {
    fs::create_dir_all(folder.join("www")).unwrap();
    fs::write(folder.join("www/index.html"), nginx_files::page()).unwrap();
}

/// A running Apache.
pub struct Apache {
    _process: Process,
    folder: PathBuf,
}

/// How Apache is set up.
pub struct ApacheSettings<'a> {
    /// Where it listens.
    pub listen: SocketAddr,
    /// ListenBacklog.
    pub backlog: u32,
    /// MaxRequestWorkers and ServerLimit.
    pub workers: u32,
    /// StartServers.
    pub start: u32,
    /// For how many seconds it waits for a request.
    pub wait_seconds: u32,
    /// Whether it is handed silent connections too; as a rule the kernel keeps these half-open until something comes (`AcceptFilter`,
    /// which is TCP_DEFER_ACCEPT on Linux).
    pub takes_silent: bool,
    /// The group that holds its memory.
    pub group: Option<&'a Group>,
}

impl Apache {
    /// Starts it in the namespace, with its files in this folder.
    pub fn start(namespace: &Netns, folder: PathBuf, settings: &ApacheSettings<'_>) -> Self {
        lay_out(&folder);
        let config = folder.join("apache2.conf");
        fs::write(&config, apache_config(&folder, settings)).unwrap();
        fs::write(folder.join("www/large"), nginx_files::large()).unwrap();
        fs::write(folder.join("www/work.php"), SCRIPT).unwrap();
        let mut words: Vec<String> = settings.group.map(|group| group.words().to_vec()).unwrap_or_default();
        words.extend(["apache2", "-D", "FOREGROUND", "-d"].map(String::from));
        words.extend([folder.display().to_string(), "-f".into(), config.display().to_string()]);
        let mut command = namespace.command(&words[0]);
        command.args(&words[1..]);
        let log = folder.join("output");
        let mut process = Process::start(command, &log).expect("apache2");
        process.listens(namespace, &[settings.listen.port()], &log).expect("apache2");
        Self { _process: process, folder }
    }

    /// Its settings and logs, with the names that they have in a folder of records.
    pub fn records(&self) -> Vec<(PathBuf, &'static str)> {
        let path = |name: &str| self.folder.join(name);
        vec![
            (path("apache2.conf"), "apache2/apache2.conf"),
            (path("access.log"), "apache2/access.log"),
            (path("error.log"), "apache2/error.log"),
        ]
    }
}

fn apache_config(folder: &Path, settings: &ApacheSettings<'_>) -> String {
    let php = run::output(Command::new("sh").args(["-c", &format!("ls {MODULES}/libphp*.so | head -n 1")]));
    let php = php.expect("Apache's PHP module").trim().to_owned();
    let (listen, folder) = (settings.listen, folder.display());
    let ApacheSettings { backlog, workers, start, wait_seconds, .. } = settings;
    let filter = if settings.takes_silent { "none" } else { "data" };
    let plain: String = ["mpm_prefork", "authz_core", "dir", "reqtimeout"]
        .iter()
        .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
        .collect();
    format!(
        "ServerRoot \"{folder}\"\nServerName lab.example\nPidFile {folder}/pid\nMutex file:{folder}\n{plain}\
         LoadModule php_module {php}\nUser www-data\nGroup www-data\nListen {listen}\nListenBacklog {backlog}\nAcceptFilter http {filter}\n\
         KeepAlive Off\nTimeout 30\nRequestReadTimeout header={wait_seconds}\n\
         <IfModule mpm_prefork_module>\n    StartServers {start}\n    MinSpareServers 5\n    MaxSpareServers 10\n\
         \x20   ServerLimit {workers}\n    MaxRequestWorkers {workers}\n</IfModule>\n\
         ErrorLog {folder}/error.log\nLogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{{Referer}}i\\\" \\\"%{{User-Agent}}i\\\"\" combined\n\
         CustomLog {folder}/access.log combined\nDocumentRoot {folder}/www\nDirectoryIndex index.html\n\
         <Directory {folder}/www>\n    Require all granted\n</Directory>\n\
         <FilesMatch \"\\.php$\">\n    SetHandler application/x-httpd-php\n</FilesMatch>\n"
    )
}

/// A running nginx that writes logs.
pub struct Nginx {
    _process: Process,
    folder: PathBuf,
}

impl Nginx {
    /// Serves a short page, or asks the application at `behind` for everything.
    pub fn start(
        namespace: &Netns,
        folder: PathBuf,
        listen: SocketAddr,
        backlog: u32,
        behind: Option<SocketAddr>,
    ) -> Self {
        lay_out(&folder);
        let config = folder.join("nginx.conf");
        fs::write(&config, nginx_config(&folder, listen, backlog, behind)).unwrap();
        let log = folder.join("error.log");
        let mut command = namespace.command("nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(&config).arg("-e").arg(&log);
        let mut process = Process::start(command, &log).expect("nginx");
        process.listens(namespace, &[listen.port()], &log).expect("nginx");
        Self { _process: process, folder }
    }

    /// As [`Apache::records`].
    pub fn records(&self) -> Vec<(PathBuf, &'static str)> {
        let path = |name: &str| self.folder.join(name);
        vec![
            (path("nginx.conf"), "nginx/nginx.conf"),
            (path("access.log"), "nginx/access.log"),
            (path("error.log"), "nginx/error.log"),
        ]
    }
}

fn nginx_config(folder: &Path, listen: SocketAddr, backlog: u32, behind: Option<SocketAddr>) -> String {
    let folder = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .collect();
    let place = behind.map_or_else(String::new, |application| {
        format!("        location / {{ proxy_pass http://{application}; proxy_connect_timeout 1s; proxy_read_timeout 2s; }}\n")
    });
    format!(
        "daemon off;\nuser root;\npid {folder}/pid;\nworker_processes 1;\nworker_rlimit_nofile 8000;\n\
         events {{ worker_connections 4000; }}\nhttp {{\n    access_log {folder}/access.log;\n{paths}\
         \x20   server {{\n        listen {listen} backlog={backlog};\n        root {folder}/www;\n{place}    }}\n}}\n"
    )
}

/// An application that answers one request after the other and takes its time for each.
pub struct SlowApplication {
    namespace: Netns,
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlowApplication {
    /// Listens with a backlog of 32 and takes `each` for a request.
    pub fn start(namespace: &Netns, address: SocketAddr, each: Duration) -> Self {
        // std asks for a backlog of 4096, of which the kernel leaves this.
        let before = namespace.sysctl_value("net.core.somaxconn").unwrap();
        namespace.sysctl("net.core.somaxconn", "32").unwrap();
        let listener = namespace.run(|| TcpListener::bind(address)).unwrap().expect("a place to listen");
        namespace.sysctl("net.core.somaxconn", &before).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let thread = Some(thread::spawn(move || answer(&listener, each, &stop)));
        Self { namespace: namespace.clone(), address, over, thread }
    }
}

fn answer(listener: &TcpListener, each: Duration, over: &AtomicBool) {
    for stream in listener.incoming() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let _ = stream.set_read_timeout(Some(each));
        let _ = stream.read(&mut [0; 4096]);
        thread::sleep(each);
        // Who has gone meanwhile gets nothing.
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nslow\n");
    }
}

impl Drop for SlowApplication {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Whoever waits in its queue wakes it, or this one.
        let address = self.address;
        let _ = self.namespace.run(|| TcpStream::connect_timeout(&address, Duration::from_millis(200)));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
