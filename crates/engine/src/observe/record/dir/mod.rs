//! A record from files: whatever lies in a folder, named as under /var/log or not, of this machine or of another.
//!
//! - [`files`]: which files there are and what each is, by its beginning and its name;
//! - here: each file is read by its reader, in an order in which one can help the next (zones before times without one, boots before
//!   times since a boot);
//! - [`finish`]: what several files tell is told once; gaps, clocks that disagree, and what is missing.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::clock::{Clock, Zone};
use super::live::{host, limits as limits_live, messages, workers};
use super::{
    Origin, Record, Source, Span, Time, Why, journal, limits, lines, log, packets, sysstat, web_config, web_log,
};

pub mod files;
pub mod finish;

use files::{Found, Kind};

/// How many lines of each log are looked at for a zone.
const ZONE_LINES: usize = 20;

/// What the files do not tell themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The zone of times without one, in seconds ahead of UTC; `None`: as in files that have one, else UTC.
    pub zone_seconds: Option<i32>,
    /// Only this time matters: files written last before it are not read.
    pub span: Option<Span>,
}

impl Record {
    /// Gathers whatever is in a folder and below it. What cannot be read or understood is told in [`Record::unseen`].
    ///
    /// # Errors
    /// When the folder itself cannot be listed.
    pub fn from_dir(folder: &Path, options: &Options) -> io::Result<Self> {
        fs::read_dir(folder)?;
        let mut record = Self::empty(Origin::Folder(folder.to_owned()));
        let found = files::list(&mut record, folder, options.span);
        let told = options.zone_seconds.or_else(|| found.iter().find_map(zone_in));
        read_all(&mut record, &found, told.map_or(Zone::Fixed(0), Zone::Told));
        finish::finish(&mut record, options.span);
        finish::missing(&mut record, &found);
        Ok(record)
    }

    /// This machine's own records of a time that is past: sysstat's files, the journal, /var/log, with the settings of now.
    pub fn of_past(span: Span) -> Self {
        let mut record = Self::empty(Origin::Past);
        host::look(&mut record);
        workers::look(&mut record);
        // Queues and sockets are of now and say nothing of then.
        record.listeners.iter_mut().for_each(|listener| (listener.syn_queue, listener.accept_queue) = (0, 0));
        record.conntrack = None;
        messages::read_journal(&mut record, span, true);
        let found = files::list(&mut record, Path::new("/var/log"), Some(span));
        read_all(&mut record, &found, Zone::Here);
        finish::finish(&mut record, Some(span));
        finish::missing(&mut record, &found);
        record
    }
}

fn read_all(record: &mut Record, found: &[Found], zone: Zone) {
    let mut order: Vec<&Found> = found.iter().collect();
    // Times since a boot are read last, when boots are known.
    order.sort_by_key(|file| (file.kind == Kind::Dmesg, file.kind.source()));
    for file in order {
        if let Err(error) = read(record, file, zone, found) {
            let why = match error.kind() {
                io::ErrorKind::PermissionDenied => Why::NotPermitted,
                io::ErrorKind::UnexpectedEof => Why::Truncated { bytes: file.bytes },
                _ => Why::Failed(error.to_string()),
            };
            record.unseen(file.kind.source(), Some(file.path.clone()), why);
        }
    }
}

fn read(record: &mut Record, file: &Found, zone: Zone, found: &[Found]) -> io::Result<()> {
    let path = &file.path;
    let clock = Clock { zone, written: file.written, booted: record.host.booted };
    match file.kind {
        Kind::Sysstat => sysstat_binary(record, path, zone),
        Kind::SysstatJson => sysstat_json(record, lines::open(path)?, path, zone),
        Kind::Journal => journal::read(record, lines::open(path)?, Some(path)),
        Kind::Kernel | Kind::Mail | Kind::Ssh | Kind::Syslog => {
            log::read(record, lines::open(path)?, &clock, file.kind.source(), path)
        }
        Kind::Dmesg => {
            let booted = finish::last_boot(record, file.written);
            log::read(record, lines::open(path)?, &Clock { booted, ..clock }, Source::KernelLog, path)
        }
        Kind::Access => web_log::read_access(record, lines::open(path)?, &clock, &files::log_name(path), path),
        Kind::Error => web_log::read_error(record, lines::open(path)?, &clock, path),
        Kind::Packets => {
            let room = found.iter().filter(|file| file.kind == Kind::Packets).count() <= limits::CAPTURES_MAX;
            if room {
                let packets = packets::read(lines::open(path)?, path)?;
                if packets.truncated {
                    record.unseen(Source::Packets, Some(path.clone()), Why::Truncated { bytes: file.bytes });
                }
                record.packets.push(packets);
            } else {
                record.unseen(Source::Packets, Some(path.clone()), Why::TooMuch { pieces: 1 });
            }
            Ok(())
        }
        Kind::Apache => {
            record.web.push(web_config::apache(path));
            Ok(())
        }
        Kind::Nginx => {
            record.web.push(web_config::nginx(path, record.host.cpus));
            Ok(())
        }
        Kind::PhpFpm => {
            record.web.extend(web_config::php_fpm(path));
            Ok(())
        }
        Kind::Sysctl => sysctls(record, lines::open(path)?),
        Kind::Meminfo => meminfo(record, path),
        Kind::Nftables => {
            record.firewall_limits.extend(limits_live::nftables(&small_text(path)?));
            Ok(())
        }
        Kind::Iptables => {
            record.firewall_limits.extend(limits_live::iptables(&small_text(path)?));
            Ok(())
        }
    }
}

/// The zone that stands with a time in the first lines of a log.
fn zone_in(file: &Found) -> Option<i32> {
    if !matches!(file.kind, Kind::Access | Kind::Kernel | Kind::Syslog | Kind::Mail | Kind::Ssh | Kind::Error) {
        return None;
    }
    let clock = Clock { zone: Zone::Fixed(0), written: file.written, booted: None };
    let mut lines = lines::Lines::new(lines::open(&file.path).ok()?);
    for _ in 0..ZONE_LINES {
        let line = lines.next_line().ok()??;
        let zone = match file.kind {
            Kind::Access => web_log::request(&clock, &line).and_then(|request| request.zone),
            _ => clock.read(&line).and_then(|(stamp, _)| stamp.zone),
        };
        if zone.is_some() {
            return zone;
        }
    }
    None
}

fn sysstat_binary(record: &mut Record, path: &Path, zone: Zone) -> io::Result<()> {
    let mut command = Command::new("sadf");
    command.env("LC_ALL", "C").arg("-j").arg(path).args(["--", "-A"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            record.unseen(Source::Sysstat, Some(path.to_owned()), Why::NotInstalled("sadf".into()));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let before = record.samples.len();
    let read = child.stdout.take().map_or(Ok(()), |output| sysstat_json(record, BufReader::new(output), path, zone));
    // The reader may have stopped early; then the program must not wait for it.
    let _ = child.kill();
    child.wait()?;
    if record.samples.len() == before {
        // sadf refuses files of other versions than its own.
        record.unseen(Source::Sysstat, Some(path.to_owned()), Why::NotUnderstood { pieces: 1 });
    }
    read
}

fn sysstat_json(record: &mut Record, from: impl BufRead, path: &Path, zone: Zone) -> io::Result<()> {
    let room = limits::SAMPLES_MAX.saturating_sub(record.samples.len());
    let found = sysstat::read(from, zone, room)?;
    let mut unseen = |why| record.unseen(Source::Sysstat, Some(path.to_owned()), why);
    if found.truncated {
        unseen(Why::Truncated { bytes: 0 });
    }
    if found.not_understood > 0 {
        unseen(Why::NotUnderstood { pieces: found.not_understood });
    }
    if let (true, Zone::Fixed(zone_seconds)) = (found.zone_assumed, zone) {
        unseen(Why::ZoneAssumed { zone_seconds });
    }
    record.covered(Source::Sysstat, Span::of(found.samples.iter().map(|sample| sample.at)));
    record.samples.extend(found.samples);
    record.events.extend(found.events);
    let host = &mut record.host;
    host.name = host.name.take().or(found.host.name);
    host.kernel = host.kernel.take().or(found.host.kernel);
    host.cpus = host.cpus.or(found.host.cpus);
    host.memory_bytes = host.memory_bytes.or(found.host.memory_bytes);
    host.swap_bytes = host.swap_bytes.or(found.host.swap_bytes);
    Ok(())
}

/// The output of `sysctl -a`, or files of sysctl.d.
fn sysctls(record: &mut Record, from: impl BufRead) -> io::Result<()> {
    let mut lines = lines::Lines::new(from);
    while let Some(line) = lines.next_line()? {
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';'])) else { continue };
        let name = name.trim().trim_start_matches('-').replace('/', ".");
        let known = ["net.", "vm.", "kernel."].iter().any(|part| name.starts_with(part));
        if known && record.sysctls.len() < limits::SYSCTLS_MAX {
            record.sysctls.insert(name, value.trim().to_owned());
        }
    }
    Ok(())
}

/// The beginning of a file that no program writes longer than this.
fn small_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(lines::open(path)?, limits::SETTINGS_BYTES_MAX), &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn meminfo(record: &mut Record, path: &Path) -> io::Result<()> {
    let text = small_text(path)?;
    let bytes = |name: &str| super::live::counters::kibibytes(&text, name)?.checked_mul(1024);
    record.host.memory_bytes = record.host.memory_bytes.or_else(|| bytes("MemTotal"));
    record.host.swap_bytes = record.host.swap_bytes.or_else(|| bytes("SwapTotal"));
    Ok(())
}

/// When a file was written last.
fn written(path: &Path) -> Option<Time> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Time(i64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::{EventKind, Metric, Mpm, Server, Unseen};
    use super::*;

    fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packer, text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    /// Logs of a server in Japan, of which only the access log says so.
    fn story(folder: &Path) {
        let sar = |minute: u32, passive: u32| {
            format!(
                "{{\"timestamp\": {{\"date\": \"2026-11-29\", \"time\": \"15:{minute:02}:01\", \"utc\": 1, \"interval\": 600}}, \
                 \"network\": {{\"net-tcp\": {{\"passive\": {passive}.0}}}}}}"
            )
        };
        let samples: Vec<String> =
            [(0, 5), (10, 60), (50, 6)].into_iter().map(|(at, passive)| sar(at, passive)).collect();
        let head = "{\"sysstat\": {\"hosts\": [{\"nodename\": \"web1\", \"number-of-cpus\": 2, \"statistics\": [";
        write(folder, "sysstat/sa29.json", format!("{head}{}]}}]}}}}", samples.join(",")));
        // The same day twice, as where a file and its JSON lie side by side.
        write(folder, "sysstat/again.json", format!("{head}{}]}}]}}}}", samples[0]));
        let flood = "Nov 30 00:05:00 web1 kernel: [  9.5] TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.\n";
        write(folder, "kern.log", flood);
        write(
            folder,
            "syslog",
            format!("{flood}Nov 30 00:06:00 web1 systemd[1]: apache2.service: Failed with result 'oom-kill'.\n"),
        );
        write(
            folder,
            "auth.log.1",
            "Nov 30 00:07:00 web1 sshd[7]: Timeout before authentication for 198.51.100.1 port 4711\n",
        );
        let access = "198.51.100.1 - - [30/Nov/2026:00:05:00 +0900] \"GET / HTTP/1.1\" 200 5\n";
        write(folder, "apache2/access.log.2.gz", packed(access));
        write(
            folder,
            "apache2/error.log",
            "[Mon Nov 30 00:05:02.5 2026] [mpm_prefork:error] AH00161: server reached MaxRequestWorkers\n",
        );
        write(folder, "apache2.conf", "LoadModule mpm_prefork_module x\nServerLimit 400\nMaxRequestWorkers 400\n");
        write(folder, "sysctl.txt", "net.core.somaxconn = 128\n");
        write(folder, "notes.txt", "call Bob\n");
        write(folder, "picture.png", [0x89, b'P', b'N', b'G', 0, 1, 2, 3]);
    }

    #[test]
    fn a_folder_of_another_machine() {
        let folder = tempfile::tempdir().unwrap();
        story(folder.path());
        let record = Record::from_dir(folder.path(), &Options::default()).unwrap();
        assert_eq!(record.host.zone_seconds, Some(9 * 3600), "taken from the access log");
        assert_eq!((record.host.name.as_deref(), record.host.cpus), (Some("web1"), Some(2)));
        assert_eq!((record.samples.len(), record.peak(Metric::PassiveOpens).unwrap().1), (3, 60.0));
        // 00:05 in Japan is 15:05 UTC the day before.
        let at = Time(1_795_964_700_000);
        let floods: Vec<_> =
            record.events.iter().filter(|event| matches!(event.kind, EventKind::SynFloodingMessage { .. })).collect();
        assert_eq!((floods.len(), floods[0].at), (1, Some(at)), "kern.log and syslog tell the same, once");
        assert!(record.events.iter().any(|event| {
            event.kind == EventKind::WorkersExhausted { server: Server::Apache, limit: None }
                && event.at == Some(at.plus_ms(2500))
        }));
        assert_eq!((record.traffic[0].minute, record.traffic[0].log.as_str()), (at, "apache2/access.log"));
        assert_eq!(record.turned_away.len(), 1);
        assert_eq!(record.web[0].mpm.as_ref().unwrap().value, Mpm::Prefork);
        assert_eq!(record.sysctl("net.core.somaxconn"), Some(128));
        let gap = record.gaps.iter().find(|gap| gap.source == Source::Sysstat).unwrap();
        assert_eq!(gap.span.length_ms(), 40 * 60_000);
        let assumed = |unseen: &&Unseen| matches!(unseen.why, Why::ZoneAssumed { .. });
        assert_eq!(record.unseen.iter().find(assumed), None, "a zone that another log tells is no guess");
        let missing: Vec<Source> =
            record.unseen.iter().filter(|unseen| unseen.why == Why::Missing).map(|unseen| unseen.source).collect();
        assert!(missing.contains(&Source::MailLog) && missing.contains(&Source::Packets), "{missing:?}");
        assert!(!missing.contains(&Source::KernelLog) && !missing.contains(&Source::Sysstat), "{missing:?}");
    }

    #[test]
    fn a_time_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        story(folder.path());
        let span = Span { from: Time(1_795_964_700_000 - 7_200_000), until: Time(1_795_964_700_000 + 1000) };
        let options = Options { span: Some(span), ..Options::default() };
        let record = Record::from_dir(folder.path(), &options).unwrap();
        assert!(record.events.iter().all(|event| event.at.is_some_and(|at| span.contains(at))), "{:?}", record.events);
        assert_eq!(record.samples.len(), 1);
        let early = record.gaps.iter().find(|gap| gap.source == Source::KernelLog).unwrap();
        assert_eq!((early.span.from, early.reason), (span.from, super::super::GapReason::Rotated));
    }

    #[test]
    fn an_empty_folder_and_a_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::from_dir(folder.path(), &Options::default()).unwrap();
        assert!(record.span().is_none() && record.unseen.len() >= 6, "everything is missing");
        assert!(Record::from_dir(&folder.path().join("none"), &Options::default()).is_err());

        let half = packed(&"Nov 30 00:05:00 web1 kernel: nf_conntrack: table full\n".repeat(5000));
        write(folder.path(), "kern.log.1.gz", &half[..half.len() / 2]);
        write(folder.path(), "syslog", [0xff; 5000]);
        let record = Record::from_dir(folder.path(), &Options::default()).unwrap();
        let why = |source: Source| {
            record.unseen.iter().filter(move |unseen| unseen.source == source).map(|unseen| &unseen.why)
        };
        assert!(why(Source::KernelLog).any(|why| matches!(why, Why::Truncated { .. })), "{:?}", record.unseen);
        assert!(why(Source::Syslog).any(|why| matches!(why, Why::NotUnderstood { .. })), "{:?}", record.unseen);
    }
}
