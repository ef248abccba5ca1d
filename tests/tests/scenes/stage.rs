//! A stage: a server with its surroundings, and everything that records what happens to it, as on a host that keeps good records.
//!
//! sysstat's own collector runs in the server's namespace, once a second; the kernel's log is read from /dev/kmsg, so that only what comes
//! during the scene counts; captures and web servers' logs are taken where a scene says so. While it happens [`Stage::look`] takes a record of
//! now, as `sekisho doctor` does. Afterwards [`Stage::end`] lays the files into a folder and makes a record of them alone, as
//! `sekisho explain --from` does: nothing else of the scene is used.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::libc;
use sekisho_engine::judge::diagnosis::{Ask, Diagnosis, diagnose};
use sekisho_engine::observe::record::dir::Options;
use sekisho_engine::observe::record::live::now;
use sekisho_engine::observe::record::{Record, Span, Time};
use sekisho_lab::servers::Process;
use sekisho_lab::{Netns, run, wait};
use sekisho_tests::{PATIENCE, Scene};
use tempfile::TempDir;

/// sysstat's collector; the same place on Debian 12 and 13.
const COLLECTOR: &str = "/usr/lib/sysstat/sadc";
/// Rates of a look are of so long.
const LOOK: Duration = Duration::from_millis(800);

/// A record and what it was judged.
pub struct Judged {
    /// The record.
    pub record: Record,
    /// The diagnosis.
    pub diagnosis: Diagnosis,
}

/// A server with its surroundings, recorded.
pub struct Stage {
    /// Server, router, clients, attacker.
    pub scene: Scene,
    folder: TempDir,
    begun: Time,
    kernel: KernelLog,
    collector: Option<Process>,
    capture: Option<Process>,
    files: Vec<(PathBuf, &'static str)>,
    during: Option<Judged>,
}

impl Stage {
    /// Builds it and begins to record.
    pub fn new() -> Self {
        let scene = Scene::new();
        let folder = TempDir::with_prefix("sekisho-records-").expect("a folder for records");
        // Servers' workers are other users, and their files are in here as well.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let kernel = KernelLog::open();
        let begun = now();
        let samples = folder.path().join("sa");
        let mut command = scene.server.command(COLLECTOR);
        command.args(["-F", "-S", "XALL", "1", "120"]).arg(&samples);
        let log = folder.path().join("collector.out");
        let collector = Process::start(command, &log).expect("sysstat's collector");
        let mut stage = Self {
            scene,
            folder,
            begun,
            kernel,
            collector: Some(collector),
            capture: None,
            files: Vec::new(),
            during: None,
        };
        stage.keep(vec![(samples, "sysstat/sa30")]);
        stage.settings();
        stage
    }

    /// What an administrator copies as well: sysctls and memory.
    pub fn settings(&mut self) {
        let server = &self.scene.server;
        let sysctls = run::output(server.command("sysctl").args(["-a"])).unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap();
        for (name, text) in [("sysctl.txt", sysctls), ("meminfo", memory)] {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            self.keep(vec![(path, name)]);
        }
    }

    /// Lays these files into the folder of records when it is over, under these names.
    pub fn keep(&mut self, files: Vec<(PathBuf, &'static str)>) {
        self.files.extend(files);
    }

    /// Captures what the server receives and sends, the beginning of each packet, as many packets as that.
    pub fn capture(&mut self, packets: u32) {
        let path = self.folder.path().join("capture");
        let mut command = self.scene.server.command("tcpdump");
        // `-Z root`: it writes into a folder of root's.
        command.args(["-i", "eth0", "-Z", "root", "-U", "-s", "96", "-c", &packets.to_string(), "-w"]).arg(&path);
        command.arg("tcp");
        let log = self.folder.path().join("capture.out");
        self.capture = Some(Process::start(command, &log).expect("tcpdump"));
        // The file's header is written when it listens.
        let begun = || fs::metadata(&path).is_ok_and(|file| file.len() >= 24);
        wait::until("tcpdump listens", PATIENCE, begun).unwrap();
        self.keep(vec![(path, "eth0.pcap")]);
    }

    /// Keeps the rules of nftables as they are now, with their counters.
    pub fn rules(&mut self) {
        let path = self.folder.path().join("rules");
        let rules = run::output(self.scene.server.command("nft").args(["list", "ruleset"])).unwrap();
        fs::write(&path, rules).unwrap();
        self.keep(vec![(path, "nftables.txt")]);
    }

    /// A folder for a server's own files, which stay until the end of the stage.
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A look at the server now, judged. What the kernel said before the scene is not its own.
    pub fn look(&mut self) {
        let mut record = self.scene.server.run(|| Record::live(LOOK)).unwrap();
        record.limit_to(Span { from: self.begun, until: now() });
        let diagnosis = diagnose(&record, &Ask { span: None, protected: Some(false) });
        self.during = Some(Judged { record, diagnosis });
    }

    /// The server's namespace.
    pub fn server(&self) -> &Netns {
        &self.scene.server
    }

    /// Ends the recording; the judgements of the look and of the files.
    pub fn end(self) -> (Judged, Judged) {
        let (during, records) = self.records();
        let record = Record::from_dir(records.path(), &Options::default()).unwrap();
        let diagnosis = diagnose(&record, &Ask { span: None, protected: None });
        (during, Judged { record, diagnosis })
    }

    /// Ends the recording; the judgement of the look, and the folder of records.
    pub fn records(mut self) -> (Judged, TempDir) {
        let during = self.during.take().expect("a scene looks");
        self.capture.take();
        self.collector.take();
        let records = TempDir::with_prefix("sekisho-from-").expect("a folder of records");
        self.kernel.save(&records.path().join("kern.log"));
        for (from, name) in &self.files {
            let to = records.path().join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            // A log to which nothing was written may not be there.
            if from.exists() {
                fs::copy(from, &to).unwrap();
            }
        }
        (during, records)
    }
}

/// The kernel's log from some moment on. A thread reads on, as rsyslog does: the kernel's buffer holds only a few reports of a kill.
struct KernelLog {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl KernelLog {
    fn open() -> Self {
        let mut options = File::options();
        let mut file = options.read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").expect("/dev/kmsg");
        file.seek(SeekFrom::End(0)).expect("the end of /dev/kmsg");
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut records = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                drain(&mut file, &mut records);
                thread::sleep(Duration::from_millis(20));
            }
            drain(&mut file, &mut records);
            records
        });
        Self { over, thread }
    }

    /// Writes what came since, as rsyslog does on Debian: ISO time, host, `kernel:`, and the kernel's own time.
    fn save(self, path: &Path) {
        self.over.store(true, Ordering::Relaxed);
        let records = self.thread.join().expect("the kernel's log");
        let up: f64 = fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
        let booted = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - up;
        let text: String = records.iter().filter_map(|record| line(record, booted)).collect();
        fs::write(path, text).unwrap();
    }
}

/// Each read gives one record.
fn drain(file: &mut File, records: &mut Vec<String>) {
    let mut buffer = [0; 8192];
    loop {
        match file.read(&mut buffer) {
            Ok(size) if size > 0 => records.push(String::from_utf8_lossy(&buffer[..size]).into_owned()),
            // What was overwritten meanwhile is told once, by EPIPE; the next read goes on.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            _ => return,
        }
    }
}

/// A record of /dev/kmsg: `priority,number,microseconds,flags;text`, then lines with more about it (Documentation/ABI/testing/dev-kmsg).
fn line(record: &str, booted: f64) -> Option<String> {
    let (head, rest) = record.split_once(';')?;
    let microseconds: f64 = head.split(',').nth(2)?.parse().ok()?;
    let since = microseconds / 1e6;
    let text = rest.lines().next()?;
    Some(format!("{} web1 kernel: [{since:12.6}] {text}\n", iso(booted + since)))
}

fn iso(seconds: f64) -> String {
    let whole = seconds.floor() as i64;
    let day = whole.div_euclid(86_400);
    let (year, month, of_month) = sekisho_engine::observe::record::clock::civil(day);
    let of_day = whole.rem_euclid(86_400);
    let micros = ((seconds - seconds.floor()) * 1e6) as u32;
    format!(
        "{year:04}-{month:02}-{of_month:02}T{:02}:{:02}:{:02}.{micros:06}+00:00",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}
