//! What the lab is asked for and cannot do: it says what, where and how to mend it, and leaves nothing behind.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, process::Output};

use crate::{alone, lab, run, text};

/// Fails as it should, with all of the words, and returns what it said.
fn refused(said: &Output, code: i32, words: &[&str]) -> String {
    let told = text(&said.stderr);
    assert_eq!(said.status.code(), Some(code), "{}{told}", text(&said.stdout));
    assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
    told
}

/// A capture of so many TCP segments with these flags.
fn capture(path: &Path, flags: u8, segments: u16) {
    let mut bytes = Vec::new();
    // Magic, version 2.4, no offset, snap length, Ethernet; in this machine's order, as the magic tells.
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        bytes.extend(word.to_ne_bytes());
    }
    for port in 1024..1024 + segments {
        let mut frame = vec![0; 12];
        frame.extend([8, 0]);
        frame.extend([0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        frame.extend(port.to_be_bytes());
        frame.extend([0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 2, 0, 0, 0, 0, 0]);
        for word in [1_700_000_000, u32::from(port), frame.len() as u32, frame.len() as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(frame);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (asked, policy) in [(vec!["try"], "none.toml"), (vec!["drill", "--config"], "none.toml"), (vec!["try"], "")] {
        let policy = path(policy);
        let said = run(&[&asked[..], &[&policy]].concat());
        refused(&said, 2, &[&policy, "cannot be read", "hint: a configuration is wanted"]);
    }
    refused(&run(&["replay", &path("none.pcap")]), 2, &["none.pcap cannot be read", "hint: `tcpdump"]);
    fs::write(path("text.pcap"), "hello\n").unwrap();
    fs::write(path("empty.pcap"), "").unwrap();
    for name in ["text.pcap", "empty.pcap"] {
        refused(&run(&["replay", &path(name)]), 2, &[name, "is no capture (pcap or pcapng)", "hint: `tcpdump"]);
    }
    capture(path("acks.pcap").as_ref(), 0x10, 20);
    refused(&run(&["replay", &path("acks.pcap")]), 2, &["acks.pcap has no SYNs", "hint: `tcpdump"]);
    refused(&run(&["drill", "--incident", "4000000000"]), 2, &["no incident 4000000000", "hint: `sekisho incidents`"]);
    refused(&run(&["conform", "--case", "none"]), 2, &["no case none", "hint: `sekisho lab conform --list`"]);
    refused(&run(&["compare", "--json", &path("none/a.json")]), 2, &["there is no folder"]);
}

/// Bounds are told by the command line itself.
#[test]
fn numbers_that_are_out_of_bounds() {
    let wrong = [
        "try p --rate 0",
        "try p --rate 6000001",
        "try p --seconds 0",
        "try p --seconds 61",
        "try p --port 0",
        "try p --sources 65537",
        "try p --kind flood",
        "try p --speed 1kbit",
        "try p --delay 501ms",
        "drill --port 0",
        "replay p --times 0",
        "replay p --times=-1",
        "replay p --times NaN",
        "compare --family 5",
        "compare --seconds 0",
        "compare --rate 7M",
        "compare --defence wall",
    ];
    for line in wrong {
        let words: Vec<_> = line.split(' ').collect();
        let option = words.iter().rfind(|word| word.starts_with("--")).unwrap();
        refused(&run(&words), 2, &["error: invalid value", option.split('=').next().unwrap()]);
    }
}

/// A server that does not come up is told from one that is not there for others, and neither is waited for longer than need be.
#[test]
fn servers_that_are_not_there() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, "").unwrap();
    let tried = |server: &str| run(&["try", policy.to_str().unwrap(), "--port", "8080", "--server", server]);
    let begun = Instant::now();
    let ends = tried("echo no such database; exit 3");
    refused(
        &ends,
        1,
        &["ended (exit status: 3) before it listened on port 8080", "no such database", "hint: --server"],
    );
    let inside = tried("exec python3 -m http.server 8080 --bind 127.0.0.1");
    refused(&inside, 1, &["a connection to 198.51.100.10:8080: not within", "hint: --server", "127.0.0.1"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn whoever_is_not_root_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    // A copy, since the folder of this one need not be open to others.
    let program = folder.path().join("sekisho");
    fs::copy(env!("CARGO_BIN_EXE_sekisho"), &program).unwrap();
    for path in [folder.path(), &program] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for words in [&["clean"][..], &["compare", "--quick"], &["conform"], &["drill"], &["try", "p"], &["replay", "p"]] {
        let mut command = std::process::Command::new(&program);
        let said = command.arg("lab").args(words).uid(65534).gid(65534).output().unwrap();
        refused(&said, 1, &["it has to be root", "hint: sudo sekisho lab"]);
    }
}

/// Without the tools, and without the rights: as in a container.
#[test]
fn machines_that_lack_something() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, "").unwrap();
    let words = ["try", policy.to_str().unwrap()];
    let bare = lab(&words).env("PATH", folder.path()).output().unwrap();
    refused(&bare, 1, &["cannot run `ip netns add", "hint: iproute2, ethtool"]);
    for tool in ["ip", "ethtool", "sh", "chrt", "renice"] {
        let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|place| Path::new(place).join(tool));
        let found = found.iter().find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, folder.path().join(tool)).unwrap();
    }
    let words_of = ["compare", "--defence", "synproxy", "--rate", "0", "--rounds", "1"];
    let without_nft = lab(&words_of).env("PATH", folder.path()).output().unwrap();
    refused(
        &without_nft,
        1,
        &["error: nothing could be measured: cannot run `nft -f -`", "hint: docs/operations/lab.md"],
    );
    let contained = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", env!("CARGO_BIN_EXE_sekisho"), "lab"])
        .args(words)
        .output()
        .unwrap();
    if text(&contained.stderr).contains("unshare failed") {
        println!("skipped: this machine has no user namespaces");
        return;
    }
    refused(&contained, 1, &["hint: root may do less here than the lab needs"]);
}
