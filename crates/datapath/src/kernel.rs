//! What the kernel has. Whatever is needed and absent is named, each with how to mend it, before anything is loaded.

use std::fs;
use std::path::Path;

use libbpf_rs::btf::Btf;

/// What the running kernel offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// Major and minor version.
    pub version: (u32, u32),
    /// Whether `bpf_sk_assign_tcp_reqsk` is there (Linux 6.9), so that our own cookie can become a socket.
    pub own_cookie: bool,
    /// Why not, if not.
    pub own_cookie_missing: Option<String>,
    /// The kernel's lockdown mode, where there is one: none, integrity or confidentiality.
    pub lockdown: Option<String>,
}

/// Something without which nothing works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// The kernel is older than 5.15.
    #[error("Linux {}.{} is too old: 5.15 or later is needed", .0.0, .0.1)]
    Version((u32, u32)),
    /// Capabilities that this process lacks.
    #[error("this process may not load network programs: it lacks {}", .0.join(", "))]
    Capabilities(Vec<&'static str>),
    /// No description of the kernel's types.
    #[error("the kernel does not describe its types: /sys/kernel/btf/vmlinux is missing")]
    Btf,
    /// No BPF file system.
    #[error("the kernel has no BPF file system, in which the programs outlive this process")]
    Bpffs,
    /// The JIT compiler is off or absent.
    #[error("the kernel's BPF compiler is switched off (net.core.bpf_jit_enable = 0)")]
    Jit,
}

impl Missing {
    /// How to mend it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Version(_) => "boot a newer kernel; Debian 12 and 13 and Ubuntu 22.04 have one".into(),
            Self::Capabilities(_) => {
                "run it as root (sudo); in a container it needs --privileged, and in a unit CapabilityBoundingSet must keep these".into()
            }
            Self::Btf => "boot a kernel with CONFIG_DEBUG_INFO_BTF=y (every kernel of Debian 12 and 13), and mount sysfs at /sys".into(),
            Self::Bpffs => "boot a kernel with CONFIG_BPF_SYSCALL=y".into(),
            Self::Jit => "sysctl -w net.core.bpf_jit_enable=1".into(),
        }
    }
}

const OLDEST: (u32, u32) = (5, 15);

/// Looks at the running kernel and at this process' rights.
///
/// # Errors
/// The first thing that is missing.
pub fn supports() -> Result<Support, Missing> {
    let version = version();
    if version < OLDEST {
        return Err(Missing::Version(version));
    }
    let lacking = lacking_capabilities(&read("/proc/thread-self/status"));
    if !lacking.is_empty() {
        return Err(Missing::Capabilities(lacking));
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(Missing::Btf);
    }
    if !read("/proc/filesystems").lines().any(|line| line.trim_end().ends_with("\tbpf")) {
        return Err(Missing::Bpffs);
    }
    // The programs read sockets through trusted pointers, which an interpreter of old would allow too, but too slowly to help.
    if read("/proc/sys/net/core/bpf_jit_enable").trim() == "0" {
        return Err(Missing::Jit);
    }
    let missing = own_cookie_missing(version);
    Ok(Support { version, own_cookie: missing.is_none(), own_cookie_missing: missing, lockdown: lockdown() })
}

/// The running kernel's major and minor version.
#[must_use]
pub fn version() -> (u32, u32) {
    parse_version(&read("/proc/sys/kernel/osrelease"))
}

fn parse_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn own_cookie_missing(version: (u32, u32)) -> Option<String> {
    if kernel_has_function("bpf_sk_assign_tcp_reqsk") {
        return None;
    }
    let (major, minor) = version;
    Some(format!(
        "Linux {major}.{minor} has no bpf_sk_assign_tcp_reqsk (it came with 6.9, and needs CONFIG_SYN_COOKIES)"
    ))
}

fn kernel_has_function(name: &str) -> bool {
    let Ok(btf) = Btf::from_vmlinux() else { return false };
    btf.type_by_name::<libbpf_rs::btf::types::Func<'_>>(name).is_some()
}

/// Capabilities that loading and attaching need: their numbers (include/uapi/linux/capability.h) and names. CAP_SYS_ADMIN mounts the
/// BPF file system, and stands for CAP_BPF and CAP_PERFMON too.
const NEEDED: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

fn lacking_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    NEEDED.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect()
}

fn lockdown() -> Option<String> {
    chosen(&read("/sys/kernel/security/lockdown"))
}

/// `none [integrity] confidentiality` gives integrity.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_string())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("6.1.0-18-amd64\n"), (6, 1));
        assert_eq!(parse_version("5.15.167.4-microsoft"), (5, 15));
        assert_eq!(parse_version("7.0-rc1"), (7, 0));
        assert_eq!(parse_version(""), (0, 0));
        assert!(version() >= OLDEST);
    }

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(lacking_capabilities("CapEff:\t000001ffffffffff\n"), Vec::<&str>::new());
        assert_eq!(lacking_capabilities("CapEff:\t0000000000200000\n"), ["CAP_NET_ADMIN"]);
        assert_eq!(lacking_capabilities("CapEff:\t0000000000001000\n"), ["CAP_SYS_ADMIN"]);
        assert_eq!(lacking_capabilities(""), ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
    }

    #[test]
    fn lockdown_is_the_chosen_word() {
        assert_eq!(chosen("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn every_missing_thing_has_a_hint() {
        let all = [
            Missing::Version((4, 19)),
            Missing::Capabilities(vec!["CAP_X"]),
            Missing::Btf,
            Missing::Bpffs,
            Missing::Jit,
        ];
        for missing in all {
            assert!(!missing.hint().is_empty() && !missing.to_string().is_empty());
        }
    }

    #[test]
    fn functions_are_looked_up_in_the_kernels_types() {
        assert!(kernel_has_function("tcp_v4_rcv"), "this test needs a kernel with BTF");
        assert!(!kernel_has_function("no_such_function_at_all"));
    }
}
