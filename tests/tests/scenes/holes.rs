//! Records with holes: whatever is missing, cut off or rotten, `sekisho explain --from` says so, says what the rest tells, and ends as it should,
//! in bounded memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use sekisho_tests::program;

/// The address space that it may have, in KiB. The program alone takes some 20 MiB.
const MEMORY_KIB: u32 = 400_000;

const ACCESS: &str = "203.0.113.7 - - [30/Nov/2026:02:10:00 +0900] \"GET / HTTP/1.1\" 200 512 \"-\" \"-\"\n";
/// The same moment on a machine whose clock shows Japan's time.
const KERNEL: &str =
    "Nov 30 02:10:00 web1 kernel: [ 77.1] TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.\n";

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::with_prefix("sekisho-holes-").unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
        // Times without a year are in the year before a file was written last.
        let written = UNIX_EPOCH + Duration::from_secs(1_796_040_000);
        File::options().append(true).open(folder.path().join(name)).unwrap().set_modified(written).unwrap();
    }
    folder
}

/// What is said of a folder, as JSON. Anything but a panic, a signal or a refusal.
fn explain(folder: &Path) -> Value {
    let script = format!("ulimit -v {MEMORY_KIB}; exec \"$@\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh"])
        .arg(program())
        .args(["explain", "--json", "--lang", "en", "--from"])
        .arg(folder);
    let output = command.output().unwrap();
    let told = matches!(output.status.code(), Some(0 | 3 | 4));
    assert!(told, "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether it is said that something of this source was not seen, and why.
fn unseen(said: &Value, source: &str, why: &str) -> bool {
    let all = said["unseen"].as_array().unwrap();
    all.iter().any(|one| one["source"] == source && (one["why"] == why || one["why"].get(why).is_some()))
}

fn no_attack(said: &Value) -> bool {
    said["findings"].as_array().unwrap().iter().all(|finding| finding["kind"] != "attack")
}

fn packed(text: &str) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn rotated_and_packed_logs_are_read_and_what_is_not_there_is_named() {
    let access = packed(ACCESS);
    let folder =
        folder(&[("access.log.2.gz", &access), ("access.log.1", ACCESS.as_bytes()), ("kern.log.1", KERNEL.as_bytes())]);
    let said = explain(folder.path());
    for source in ["sysstat", "error_log", "packets", "sysctl"] {
        assert!(unseen(&said, source, "missing"), "{source}: {}", said["unseen"]);
    }
    assert!(!unseen(&said, "access_log", "missing") && !unseen(&said, "kernel_log", "missing"), "{}", said["unseen"]);
    assert!(no_attack(&said), "the kernel's message alone is no attack: {}", said["findings"]);
    assert!(!said["keep"].as_array().unwrap().is_empty(), "it says what to keep for next time");
    // Half of a packed file is damaged; what comes before the damage counts.
    let folder = self::folder(&[("access.log.2.gz", &access[..access.len() / 2]), ("kern.log", KERNEL.as_bytes())]);
    let said = explain(folder.path());
    let told = ["truncated", "failed"].iter().any(|why| unseen(&said, "access_log", why));
    assert!(told, "{}", said["unseen"]);
}

#[test]
fn another_zone_is_taken_from_the_log_that_tells_it() {
    let folder = folder(&[("access.log", ACCESS.as_bytes()), ("kern.log", KERNEL.as_bytes())]);
    let said = explain(folder.path());
    // 02:10 in Japan is 17:10 UTC the day before; both logs tell of the same moment.
    let at = 1_795_972_200_000_i64;
    let span = &said["span"];
    assert_eq!((span["from"].as_i64(), span["until"].as_i64()), (Some(at), Some(at)), "{span}");
    let alone = self::folder(&[("kern.log", KERNEL.as_bytes())]);
    let said = explain(alone.path());
    assert!(unseen(&said, "kernel_log", "zone_assumed"), "nothing tells the zone here: {}", said["unseen"]);
}

#[test]
fn a_capture_that_is_cut_off_and_a_file_of_another_sysstat() {
    let mut capture = Vec::new();
    // pcap's header, Ethernet, then one whole packet of 60 bytes and half of another.
    capture.extend([0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    let mut packet = Vec::from(1_795_972_200_u32.to_le_bytes());
    packet.extend([0, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0]);
    packet.extend([0; 60]);
    capture.extend(&packet);
    capture.extend(&packet[..40]);
    // sysstat's magic, and a layout that is not known.
    let mut samples = vec![0x96, 0xd5, 0x99, 0x99];
    samples.extend([7; 4096]);
    let folder = folder(&[("eth0.pcap", &capture), ("sa30", &samples), ("kern.log", KERNEL.as_bytes())]);
    let said = explain(folder.path());
    assert!(
        unseen(&said, "sysstat", "not_understood") || unseen(&said, "sysstat", "not_installed"),
        "{}",
        said["unseen"]
    );
    assert!(unseen(&said, "packets", "truncated"), "{}", said["unseen"]);
    assert!(no_attack(&said));
}

#[test]
fn a_line_of_a_gigabyte_and_binary_garbage() {
    let folder = folder(&[]);
    // Without an end of line in it, and without taking room on the disk.
    let mut log = File::create(folder.path().join("access.log")).unwrap();
    log.set_len(1 << 30).unwrap();
    std::io::Seek::seek(&mut log, std::io::SeekFrom::End(0)).unwrap();
    log.write_all(b"\n").unwrap();
    log.write_all(ACCESS.as_bytes()).unwrap();
    let mut seed = 1_u64;
    let garbage: Vec<u8> = (0..300_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed.to_le_bytes()[6]
        })
        .collect();
    let names = [
        "kern.log",
        "dmesg",
        "syslog",
        "mail.log",
        "auth.log",
        "error.log",
        "journal.json",
        "apache2.conf",
        "nginx.conf",
        "sysctl.txt",
        "php8.2-fpm.log",
        "other.pcap",
        "sa01",
    ];
    for name in names {
        fs::write(folder.path().join(name), &garbage).unwrap();
    }
    fs::write(folder.path().join("kern.log.1"), KERNEL).unwrap();
    let said = explain(folder.path());
    assert!(unseen(&said, "access_log", "lines_too_long"), "{}", said["unseen"]);
    for source in ["kernel_log", "syslog", "mail_log", "ssh_log", "error_log"] {
        assert!(unseen(&said, source, "not_understood"), "{source}: {}", said["unseen"]);
    }
    assert!(no_attack(&said), "{}", said["findings"]);
}
