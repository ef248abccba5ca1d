//! Which files there are, and what each is: by its first bytes where these tell, else by its name without what rotation added.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::super::{Record, Source, Span, Time, Why, limits, lines};
use super::written;

/// Folders are looked into so deep.
const DEPTH_MAX: usize = 6;
/// So much of a file is looked at.
const SNIFF_BYTES: usize = 4096;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// sysstat's own binary file.
    Sysstat,
    /// What `sadf -j` printed.
    SysstatJson,
    /// What `journalctl -o json` or `-o export` printed.
    Journal,
    /// kern.log.
    Kernel,
    /// dmesg.
    Dmesg,
    /// mail.log, maillog.
    Mail,
    /// auth.log, secure.
    Ssh,
    /// syslog, messages.
    Syslog,
    /// A web server's access log.
    Access,
    /// A web server's or php-fpm's error log.
    Error,
    /// A capture.
    Packets,
    /// Apache's main file.
    Apache,
    /// nginx's main file.
    Nginx,
    /// A pool of php-fpm.
    PhpFpm,
    /// `sysctl -a`, sysctl.conf.
    Sysctl,
    /// A copy of /proc/meminfo.
    Meminfo,
    /// What `nft list ruleset` printed, or a file of such rules.
    Nftables,
    /// What `iptables-save` printed.
    Iptables,
}

impl Kind {
    /// What such a file tells.
    pub const fn source(self) -> Source {
        match self {
            Self::Sysstat | Self::SysstatJson => Source::Sysstat,
            Self::Journal => Source::Journal,
            Self::Kernel | Self::Dmesg => Source::KernelLog,
            Self::Mail => Source::MailLog,
            Self::Ssh => Source::SshLog,
            Self::Syslog => Source::Syslog,
            Self::Access => Source::AccessLog,
            Self::Error => Source::ErrorLog,
            Self::Packets => Source::Packets,
            Self::Apache => Source::ApacheConfig,
            Self::Nginx => Source::NginxConfig,
            Self::PhpFpm => Source::PhpFpmConfig,
            Self::Sysctl => Source::Sysctl,
            Self::Meminfo => Source::Kernel,
            Self::Nftables | Self::Iptables => Source::Firewall,
        }
    }

    const fn is_setting(self) -> bool {
        matches!(
            self,
            Self::Apache | Self::Nginx | Self::PhpFpm | Self::Sysctl | Self::Meminfo | Self::Nftables | Self::Iptables
        )
    }
}

/// A file of a known kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// When it was written last.
    pub written: Time,
    /// Its size, packed if it is.
    pub bytes: u64,
}

/// The files of known kinds in a folder and below, in the order of their paths. Logs written last before `span` are left out.
pub fn list(record: &mut Record, folder: &Path, span: Option<Span>) -> Vec<Found> {
    let mut paths = Vec::new();
    walk(record, folder, 0, &mut paths);
    paths.sort();
    if paths.len() > limits::FILES_MAX {
        let pieces = (paths.len() - limits::FILES_MAX) as u64;
        record.unseen(Source::Kernel, Some(folder.to_owned()), Why::TooMuch { pieces });
        paths.truncate(limits::FILES_MAX);
    }
    paths.into_iter().filter_map(|path| found(record, path, span)).collect()
}

fn walk(record: &mut Record, folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let why = if denied { Why::NotPermitted } else { Why::Failed(error.to_string()) };
            record.unseen(Source::Kernel, Some(folder.to_owned()), why);
            return;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // Links to folders are not followed: they may lead in a circle.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => walk(record, &path, depth + 1, paths),
            // A named pipe would be waited for.
            Ok(kind) if kind.is_file() || (kind.is_symlink() && path.is_file()) => paths.push(path),
            _ => {}
        }
        if paths.len() > 4 * limits::FILES_MAX {
            return;
        }
    }
}

fn found(record: &mut Record, path: PathBuf, span: Option<Span>) -> Option<Found> {
    let written = written(&path)?;
    let bytes = fs::metadata(&path).ok()?.len();
    let name = bare_name(&path);
    let old = span.is_some_and(|span| written < span.from);
    let begin = match sniff(&path) {
        Ok(begin) => begin,
        Err(error) => {
            let kind = by_name(&path, &name)?;
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let why = if denied { Why::NotPermitted } else { Why::Failed(error.to_string()) };
            record.unseen(kind.source(), Some(path), why);
            return None;
        }
    };
    let kind = by_content(&begin, &name).or_else(|| by_name(&path, &name))?;
    (bytes > 0 && (!old || kind.is_setting())).then_some(Found { path, kind, written, bytes })
}

fn sniff(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = lines::open(path)?;
    let begin = file.fill_buf()?;
    Ok(begin[..begin.len().min(SNIFF_BYTES)].to_vec())
}

fn by_content(begin: &[u8], name: &str) -> Option<Kind> {
    // pcap in both byte orders, with micro- and nanoseconds; pcapng's section header.
    let captures: [&[u8]; 5] = [
        &[0xd4, 0xc3, 0xb2, 0xa1],
        &[0xa1, 0xb2, 0xc3, 0xd4],
        &[0x4d, 0x3c, 0xb2, 0xa1],
        &[0xa1, 0xb2, 0x3c, 0x4d],
        &[0x0a, 0x0d, 0x0d, 0x0a],
    ];
    let text = String::from_utf8_lossy(begin);
    if captures.iter().any(|magic| begin.starts_with(magic)) {
        Some(Kind::Packets)
    } else if begin.starts_with(&[0x96, 0xd5]) || begin.starts_with(&[0xd5, 0x96]) {
        // SYSSTAT_MAGIC, in either byte order.
        Some(Kind::Sysstat)
    } else if text.trim_start().starts_with('{') && text.contains("\"sysstat\"") {
        Some(Kind::SysstatJson)
    } else if text.contains("__REALTIME_TIMESTAMP") {
        Some(Kind::Journal)
    } else if text.starts_with("MemTotal:") {
        Some(Kind::Meminfo)
    } else if name.ends_with(".conf") && text.contains("pm.max_children") {
        Some(Kind::PhpFpm)
    } else if starts_line(&text, |line| line.starts_with("table ") && line.ends_with('{')) {
        Some(Kind::Nftables)
    } else if starts_line(&text, |line| line.starts_with('*')) && text.contains("\n:") {
        Some(Kind::Iptables)
    } else {
        None
    }
}

/// Whether the first line that is neither empty nor a remark is such a line. Scripts of nft begin with `flush ruleset`.
fn starts_line(text: &str, is_such: impl Fn(&str) -> bool) -> bool {
    let lines = text.lines().map(str::trim_end);
    let mut telling = lines.filter(|line| !line.is_empty() && !line.starts_with('#') && *line != "flush ruleset");
    telling.next().is_some_and(is_such)
}

fn by_name(path: &Path, name: &str) -> Option<Kind> {
    let begins = |names: &[&str]| names.iter().any(|known| name.starts_with(known));
    if begins(&["kern.log"]) {
        Some(Kind::Kernel)
    } else if begins(&["dmesg"]) {
        Some(Kind::Dmesg)
    } else if begins(&["mail.log", "maillog", "mail.warn", "mail.err", "mail.info"]) {
        Some(Kind::Mail)
    } else if begins(&["auth.log", "secure"]) {
        Some(Kind::Ssh)
    } else if begins(&["syslog", "messages", "daemon.log"]) {
        Some(Kind::Syslog)
    } else if begins(&["apache2.conf", "httpd.conf"]) {
        Some(Kind::Apache)
    } else if name == "nginx.conf" {
        Some(Kind::Nginx)
    } else if begins(&["sysctl"]) {
        Some(Kind::Sysctl)
    } else if name.contains("access") && name.contains("log") {
        Some(Kind::Access)
    } else if (name.contains("error") && name.contains("log")) || (begins(&["php"]) && name.contains("fpm")) {
        Some(Kind::Error)
    } else {
        // /var/log/httpd, /var/log/nginx: logs of virtual hosts.
        let folder = path.parent()?.file_name()?.to_string_lossy().into_owned();
        (matches!(folder.as_str(), "apache2" | "httpd" | "nginx") && name.ends_with(".log")).then_some(Kind::Access)
    }
}

/// The name without what rotation and packing added: `.gz`, `.1`, `-20261130`.
fn bare_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match name.rsplit_once(['.', '-']) {
        Some((before, number)) if is_number(number) => before.to_owned(),
        _ => name.to_owned(),
    }
}

/// A log's name with its folder, without what rotation added.
pub fn log_name(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    folder.map_or_else(|| bare_name(path), |folder| format!("{folder}/{}", bare_name(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_beginnings() {
        let kind = |path: &str| by_name(Path::new(path), &bare_name(Path::new(path)));
        for (path, expected) in [
            ("/x/kern.log.2.gz", Kind::Kernel),
            ("/x/messages-20261130", Kind::Syslog),
            ("/x/apache2/other_vhosts_access.log.1", Kind::Access),
            ("/x/httpd/ssl_error_log-20261130.gz", Kind::Error),
            ("/x/nginx/shop.log", Kind::Access),
            ("/x/php8.2-fpm.log", Kind::Error),
            ("/x/maillog", Kind::Mail),
        ] {
            assert_eq!(kind(path), Some(expected), "{path}");
        }
        assert_eq!(kind("/x/dpkg.log"), None);
        assert_eq!(by_content(&[0x96, 0xd5, 1, 2], "sa30"), Some(Kind::Sysstat));
        assert_eq!(by_content(b"\n{\"sysstat\": {", "x"), Some(Kind::SysstatJson));
        assert_eq!(by_content(&[0x0a, 0x0d, 0x0d, 0x0a, 0], "x"), Some(Kind::Packets));
        assert_eq!(
            by_content(b"#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n", "x"),
            Some(Kind::Nftables)
        );
        assert_eq!(by_content(b"# Generated\n*filter\n:INPUT ACCEPT [0:0]\n", "x"), Some(Kind::Iptables));
        assert_eq!(by_content(b"table of contents\n", "x"), None);
        assert_eq!(log_name(Path::new("/x/nginx/access.log.12.gz")), "nginx/access.log");
    }
}
