//! The kernel's log from its own buffer, and the journal's last hour of what matters here.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};

use super::super::clock::{Clock, Zone};
use super::super::{Record, Source, Span, Time, Why, journal, log};
use super::now;

/// `SYSLOG_ACTION_READ_ALL` and `SYSLOG_ACTION_SIZE_BUFFER` of syslog(2).
const READ_ALL: libc::c_int = 3;
const SIZE_BUFFER: libc::c_int = 10;
/// No kernel's buffer is larger (CONFIG_LOG_BUF_SHIFT is at most 25).
const BUFFER_BYTES_MAX: usize = 32 << 20;
/// Who in the journal is listened to, besides the kernel.
const SENDERS: [&str; 9] = [
    "systemd",
    "sshd",
    "sshd-session",
    "nginx",
    "apache2",
    "httpd",
    "postfix/smtpd",
    "postfix/postscreen",
    "systemd-journald",
];

/// Looks at both.
pub fn look(record: &mut Record) {
    kernel(record);
    let hour = Span { from: now().plus_ms(-3_600_000), until: now() };
    read_journal(record, hour, false);
}

fn kernel(record: &mut Record) {
    match kernel_log() {
        Ok(text) => {
            let clock = Clock { zone: Zone::Here, written: now(), booted: record.host.booted };
            // Reading from memory cannot fail.
            let _ = log::read(record, text.as_slice(), &clock, Source::KernelLog, "/dev/kmsg".as_ref());
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            record.unseen(Source::KernelLog, None, Why::NotPermitted);
        }
        Err(error) => record.unseen(Source::KernelLog, None, Why::Failed(error.to_string())),
    }
}

fn kernel_log() -> std::io::Result<Vec<u8>> {
    // SAFETY: this action takes no buffer.
    let size = unsafe { libc::klogctl(SIZE_BUFFER, std::ptr::null_mut(), 0) };
    let size = usize::try_from(size).map_err(|_| std::io::Error::last_os_error())?;
    let mut buffer = vec![0u8; size.min(BUFFER_BYTES_MAX)];
    let length = libc::c_int::try_from(buffer.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer and length describe `buffer`.
    let read = unsafe { libc::klogctl(READ_ALL, buffer.as_mut_ptr().cast(), length) };
    let read = usize::try_from(read).map_err(|_| std::io::Error::last_os_error())?;
    buffer.truncate(read);
    Ok(buffer)
}

/// Reads the journal of this span; with or without the kernel's messages.
pub fn read_journal(record: &mut Record, span: Span, with_kernel: bool) {
    let mut command = Command::new("journalctl");
    let at = |time: Time| format!("@{}", time.seconds());
    command.args([
        "--quiet",
        "--no-pager",
        "--output=json",
        "--since",
        &at(span.from),
        "--until",
        &at(span.until.plus_ms(999)),
    ]);
    command.arg("--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_TRANSPORT,_HOSTNAME,_COMM");
    if with_kernel {
        command.args(["_TRANSPORT=kernel", "+"]);
    }
    for (at, sender) in SENDERS.iter().enumerate() {
        if at > 0 {
            command.arg("+");
        }
        command.arg(format!("SYSLOG_IDENTIFIER={sender}"));
    }
    match command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() {
        Ok(child) => stream(record, child),
        Err(_) => record.unseen(Source::Journal, None, Why::NotInstalled("journalctl".into())),
    }
}

fn stream(record: &mut Record, mut child: Child) {
    let read = child.stdout.take().map_or(Ok(()), |output| journal::read(record, BufReader::new(output), None));
    // The reader may have stopped early; then the program must not wait for it.
    let _ = child.kill();
    let status = child.wait();
    if let Err(error) = read {
        record.unseen(Source::Journal, None, Why::Failed(error.to_string()));
    } else if !record.coverage.contains_key(&Source::Journal) && !status.is_ok_and(|status| status.success()) {
        record.unseen(Source::Journal, None, Why::Missing);
    }
}
