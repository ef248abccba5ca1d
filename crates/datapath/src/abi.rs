//! Rust's copies of what bpf/abi.h defines. A test compiles that header with the C compiler and compares every size, offset and
//! constant, so a change on one side alone fails there.

/// Grows with every change that an older daemon or an older pinned program would misread.
pub const ABI_VERSION: u32 = 1;
/// One tick is 2^30 ns = 1.07 s of the coarse monotonic clock.
pub const TICK_SHIFT: u32 = 30;
/// One cookie time is 2^35 ns = 34.4 s.
pub const COOKIE_TIME_SHIFT: u32 = 35;
/// One challenge time is 2^32 ns = 4.3 s.
pub const CHALLENGE_TIME_SHIFT: u32 = 32;
/// One time of the filter of flows already asked is 2^32 ns = 4.3 s.
pub const ASKED_TIME_SHIFT: u32 = 32;
/// Ticks for which a proved challenge lets its flow's SYN in.
pub const DOOR_TICKS: u32 = 5;
/// Port numbers.
pub const PORTS: usize = 65536;
/// Entries of the map `flows`.
pub const FLOWS: usize = 1 << 19;
/// Entries of the sketch `answers`.
pub const ANSWER_LINES: usize = 8192;
/// Cells of the map `seen`.
pub const SEEN_SOURCES: usize = 1 << 20;
/// Counters in the map `verdicts`.
pub const VERDICT_SLOTS: usize = 64;
/// A flag of [`Port`]: the service is left unprotected.
pub const PORT_UNPROTECTED: u8 = 1;

/// `struct port`: one port number's state and policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Port {
    /// Tick until which segments for this port are looked at; 0: calm. Written by gate.
    pub armed_until: u32,
    /// `enum method`.
    pub method: u8,
    /// `PORT_*`.
    pub flags: u8,
    /// Share of the backlog in 1/256 below which nothing is asked.
    pub calm_mark: u8,
    /// Share of the backlog in 1/256 from which on everybody gets a cookie.
    pub reserve_mark: u8,
}

/// `enum method`: how a service's clients prove themselves between the marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Method {
    /// A SYN-ACK with a cookie.
    #[default]
    Cookie = 0,
    /// A SYN-ACK whose acknowledgement number only a live host sends back.
    Challenge = 1,
}

/// `enum completion`: who makes a socket of a proven cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Completion {
    /// Our cookie, completed by admit with `bpf_sk_assign_tcp_reqsk` (Linux 6.9 and later).
    #[default]
    Own = 0,
    /// The kernel's cookie (`bpf_tcp_gen_syncookie`), completed by the kernel.
    Kernel = 1,
}

/// `struct key`: one SipHash key. Without `Debug`: keys appear nowhere.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Key {
    /// First half.
    pub k0: u64,
    /// Second half.
    pub k1: u64,
}

/// `struct control`: what user space tells the programs while they run. Without `Debug`, since it holds keys.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Control {
    /// `(from_time << 1) | slot`: the key of `slot` from cookie time `from_time` on, the other one before.
    pub key_word: u64,
    /// [`Completion`].
    pub completion: u32,
    /// 1: admit enters connections into connection tracking.
    pub conntrack: u32,
    /// The keys of cookies.
    pub cookie_key: [Key; 2],
    /// The key of challenges, doors and sketches.
    pub flow_key: Key,
}

/// `struct verified`: a source that completed a handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Verified {
    /// Tick of the last completed handshake.
    pub seen: u32,
    /// Time of `tokens`, in 2^20 ns (1.05 ms).
    pub filled: u32,
    /// SYNs it may send into the reserve, times 1024.
    pub tokens: u32,
    /// Completed handshakes, saturating.
    pub handshakes: u32,
}

/// `struct speaker`: who sent the first data on a port's connections, as far as sampled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Speaker {
    /// Connections on which the server spoke first.
    pub server: u32,
    /// Connections on which the client spoke first.
    pub client: u32,
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};
    use std::process::Command;

    use super::*;

    /// `(C expression, what Rust has)` for everything on the border.
    fn pairs() -> Vec<(&'static str, u64)> {
        let mut pairs = constants();
        macro_rules! layout {
            ($c:literal, $rust:ty, $($field:ident),+) => {
                pairs.push((concat!("sizeof(struct ", $c, ")"), size_of::<$rust>() as u64));
                $(pairs.push((
                    concat!("__builtin_offsetof(struct ", $c, ", ", stringify!($field), ")"),
                    offset_of!($rust, $field) as u64,
                ));)+
            };
        }
        layout!("port", Port, armed_until, method, flags, calm_mark, reserve_mark);
        layout!("key", Key, k0, k1);
        layout!("control", Control, key_word, completion, conntrack, cookie_key, flow_key);
        layout!("verified", Verified, seen, filled, tokens, handshakes);
        layout!("speaker", Speaker, server, client);
        pairs
    }

    fn constants() -> Vec<(&'static str, u64)> {
        vec![
            ("ABI_VERSION", ABI_VERSION.into()),
            ("TICK_SHIFT", TICK_SHIFT.into()),
            ("COOKIE_TIME_SHIFT", COOKIE_TIME_SHIFT.into()),
            ("CHALLENGE_TIME_SHIFT", CHALLENGE_TIME_SHIFT.into()),
            ("ASKED_TIME_SHIFT", ASKED_TIME_SHIFT.into()),
            ("DOOR_TICKS", DOOR_TICKS.into()),
            ("PORTS", PORTS as u64),
            ("FLOWS", FLOWS as u64),
            ("ANSWER_LINES", ANSWER_LINES as u64),
            ("SEEN_SOURCES", SEEN_SOURCES as u64),
            ("VERDICT_SLOTS", VERDICT_SLOTS as u64),
            ("PORT_UNPROTECTED", PORT_UNPROTECTED.into()),
            ("METHOD_COOKIE", Method::Cookie as u64),
            ("METHOD_CHALLENGE", Method::Challenge as u64),
            ("COMPLETION_OWN", Completion::Own as u64),
            ("COMPLETION_KERNEL", Completion::Kernel as u64),
        ]
    }

    /// The numbers that the C compiler gives for these expressions, printed by a program of a few lines.
    fn in_c(expressions: &[&str]) -> Vec<u64> {
        let folder = std::env::temp_dir().join(format!("sekisho-abi-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let source = expressions.iter().map(|e| format!("printf(\"%llu\\n\", (unsigned long long)({e}));\n"));
        let source: String = source.collect();
        let source = format!(
            "#include <linux/types.h>\n#include <stdio.h>\n#include \"abi.h\"\nint main(void) {{\n{source}}}\n"
        );
        std::fs::write(folder.join("abi.c"), source).unwrap();
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let program = folder.join("abi");
        let compiled = Command::new(cc)
            .args(["-I", env!("SEKISHO_BPF"), "-o"])
            .arg(&program)
            .arg(folder.join("abi.c"))
            .status()
            .expect("a C compiler");
        let output = Command::new(&program).output();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(compiled.success());
        let output = output.unwrap().stdout;
        String::from_utf8(output).unwrap().lines().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn the_border_is_the_same_on_both_sides() {
        let pairs = pairs();
        let expressions: Vec<_> = pairs.iter().map(|(c, _)| *c).collect();
        let found = in_c(&expressions);
        assert_eq!(found.len(), pairs.len());
        for ((expression, rust), c) in pairs.iter().zip(found) {
            assert_eq!(*rust, c, "{expression}: Rust has {rust}, C has {c}");
        }
    }

    #[test]
    fn every_define_and_field_of_the_header_is_compared() {
        let header = std::fs::read_to_string(concat!(env!("SEKISHO_BPF"), "/abi.h")).unwrap();
        let pairs = pairs();
        for line in header.lines() {
            let define = line.strip_prefix("#define ").and_then(|rest| rest.split_whitespace().next());
            let field = line.trim().strip_prefix("__u").map(|_| line.split(';').next().unwrap_or(line));
            let field = field.and_then(|f| f.split_whitespace().last());
            if let Some(name) = define {
                assert!(pairs.iter().any(|(c, _)| *c == name), "{name} is in abi.h and not compared");
            }
            if let Some(name) = field {
                let compared = pairs.iter().any(|(c, _)| c.ends_with(&format!(", {name})")));
                assert!(compared, "the field {name} is in abi.h and not compared");
            }
        }
    }
}
