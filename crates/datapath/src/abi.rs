//! Rust's copies of what bpf/abi.h defines. A test compiles that header with the C compiler and compares every size, offset and
//! constant, so a change on one side alone fails there.

/// Grows with every change that an older daemon or an older pinned program would misread.
pub const ABI_VERSION: u32 = 4;
/// One tick is 2^30 ns = 1.07 s of the coarse monotonic clock.
pub const TICK_SHIFT: u32 = 30;
/// One cookie time is 2^35 ns = 34.4 s.
pub const COOKIE_TIME_SHIFT: u32 = 35;
/// One challenge time is 2^32 ns = 4.3 s.
pub const CHALLENGE_TIME_SHIFT: u32 = 32;
/// Ticks for which a proved challenge lets its flow's SYN in.
pub const DOOR_TICKS: u32 = 5;
/// Port numbers.
pub const PORTS: usize = 65536;
/// Entries of the map `asked`.
pub const ASKED_CELLS: usize = 3 << 14;
/// Entries of the map `doors`.
pub const DOOR_CELLS: usize = 1 << 19;
/// Entries of the sketch `answers`.
pub const ANSWER_LINES: usize = 8192;
/// The map `traces` has two to this power of cells.
pub const TRACES_SHIFT: u32 = 17;
/// Cells of the map `seen`.
pub const SEEN_SOURCES: usize = 1 << 20;
/// Counters in the map `verdicts`.
pub const VERDICT_SLOTS: usize = 64;
/// Lines of each sketch of rates.
pub const RATE_LINES: usize = 8192;
/// Entries of the map `held`.
pub const HELD_MAX: usize = 8192;
/// Entries of the map `local_addresses`.
pub const LOCAL_MAX: usize = 1024;
/// Registers for distinct sources in [`Spread`].
pub const SPREAD_REGISTERS: usize = 1024;
/// Cells for those who make a large part of a flood, for sources and networks each.
pub const SPREAD_CELLS: usize = 128;
/// One SYN of so many is sampled.
pub const SPREAD_SAMPLE: u32 = 32;
/// 64-bit words of the map `filter`.
pub const FILTER_WORDS: usize = 1 << 19;
/// Prefix lengths of one kind that are in use at most.
pub const LENGTHS: usize = 84;
/// A flag of [`Service`]: it is left unprotected.
pub const PORT_UNPROTECTED: u8 = 1;
/// A flag of [`Listed`]: a block that goes before an allowance.
pub const LISTED_FORCED: u8 = 1;

/// `struct port`: one port number's state, which outlives every change of policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Port {
    /// Tick until which segments for this port are looked at; 0: calm. Written by gate.
    pub armed_until: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct service`: one port number's policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Service {
    /// `enum method`.
    pub method: u8,
    /// `PORT_*`.
    pub flags: u8,
    /// Share of the backlog in 1/256 below which nothing is asked.
    pub calm_mark: u8,
    /// Share of the backlog in 1/256 from which on everybody gets a cookie.
    pub reserve_mark: u8,
    /// Zero.
    pub reserved: u32,
}

/// `enum list`: what becomes of a listed source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum List {
    /// Its packets are dropped.
    Block = 0,
    /// Its SYNs pass before any proof, within a rate.
    Allow = 1,
}

/// `struct listed_key`: a prefix on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ListedKey {
    /// [`List`].
    pub list: u8,
    /// Whether it is IPv6.
    pub v6: u8,
    /// The prefix's length in bits.
    pub length: u8,
    /// Zero.
    pub reserved: u8,
    /// In network order, masked; zeros behind an IPv4 address.
    pub address: [u32; 4],
}

/// `struct listed`: what is known of a prefix on a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Listed {
    /// Packets that it decided; two CPUs at once may count one for two.
    pub hits: u64,
    /// The tick from which on it no longer holds; 0: never.
    pub expires: u32,
    /// Time of `tokens`, in 2^20 ns (1.05 ms).
    pub filled: u32,
    /// Of an allowed prefix: SYNs that it may send at once, times 1024.
    pub tokens: u32,
    /// The caller's own: who put it there.
    pub origin: u8,
    /// `LISTED_*`.
    pub flags: u8,
    /// Zero.
    pub reserved: u16,
}

/// `struct prefix_length`: a prefix length and its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct PrefixLength {
    /// In network order.
    pub mask: [u32; 4],
    /// In bits.
    pub length: u32,
}

/// `struct lengths`: the prefix lengths of one kind that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Lengths {
    /// How many of `at` count.
    pub count: u32,
    /// The lengths, in the order in which they came.
    pub at: [PrefixLength; LENGTHS],
}

/// `enum kind`: the prefixes that are looked for separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// IPv4.
    V4 = 0,
    /// IPv6, shorter than /48: the filter says nothing about them.
    V6Short = 1,
    /// IPv6 from /48 on.
    V6Long = 2,
}

/// How many kinds there are.
pub const KINDS: usize = 3;

/// `struct lists`: the lists' head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Lists {
    /// Of the filter's hash.
    pub secret: u64,
    /// Whether there is anything at all.
    pub any: u32,
    /// Whether there is anything to block.
    pub blocks: u32,
    /// The lengths of blocked prefixes, by [`Kind`].
    pub block: [Lengths; KINDS],
    /// The lengths of allowed prefixes, by [`Kind`].
    pub allow: [Lengths; KINDS],
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
    /// Time of `limit_tokens`, in 2^20 ns.
    pub limit_filled: u32,
    /// SYNs within the limit per source, times 1024.
    pub limit_tokens: u32,
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

/// `enum over`: what happens to a SYN over a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Over {
    /// It is asked for proof, also while calm.
    #[default]
    Prove = 0,
    /// It is dropped.
    Drop = 1,
}

/// `struct limiter`: the limits' state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limiter {
    /// SYNs to listeners this tick, in the sketches' form.
    pub global_cell: u32,
    /// What would have been answered by RST this tick, in the same form.
    pub closed_cell: u32,
    /// How much of that a tick; 0: not bounded.
    pub closed_budget: u32,
    /// Tick until which every segment's socket is looked up; 0: not now.
    pub strays_until: u32,
    /// Entries of `held`.
    pub held: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct service_limit`: one service's own limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ServiceLimit {
    /// SYNs a tick; 0: no limit.
    pub rate: u32,
    /// SYNs this tick, in the sketches' form.
    pub cell: u32,
}

/// `struct held_key`: whom an entry of `held` is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HeldKey {
    /// The address's first bytes, as the programs load them.
    pub address: u64,
    /// `HELD_SOURCE4`, `HELD_SOURCE6`, `HELD_NETWORK4` or `HELD_NETWORK6`: 0 to 3.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct held`: how somebody is held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Held {
    /// Tick until which.
    pub until: u32,
    /// [`HeldWhy`].
    pub why: u32,
    /// SYNs a tick that still pass.
    pub rate: u32,
    /// SYNs this tick, in the sketches' form.
    pub cell: u32,
}

/// `enum held_why`: why somebody is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum HeldWhy {
    /// It has as many connections as it may have.
    Connections = 0,
    /// It makes a large part of a flood.
    Concentrated = 1,
}

/// `struct spread_cell`: who holds the majority of what falls on a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SpreadCell {
    /// The address's first bytes, as the programs load them.
    pub key: u64,
    /// At most what it sent.
    pub votes: u32,
    /// 1: IPv6.
    pub v6: u32,
}

/// `struct spread`: how a flood is spread, as one CPU saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Spread {
    /// SYNs that met a queue above its calm mark, or a limit.
    pub asked: u64,
    /// Of them looked at.
    pub samples: u64,
    /// Distinct sources, as in HyperLogLog.
    pub registers: [u8; SPREAD_REGISTERS],
    /// Sources that make a large part.
    pub source: [SpreadCell; SPREAD_CELLS],
    /// Networks (/24, /56) that do.
    pub network: [SpreadCell; SPREAD_CELLS],
}

/// `struct address`: a local address, IPv4 in the first word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Address {
    /// In network order.
    pub word: [u32; 4],
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
        layout!("port", Port, armed_until, reserved);
        layout!("service", Service, method, flags, calm_mark, reserve_mark, reserved);
        layout!("listed_key", ListedKey, list, v6, length, reserved, address);
        layout!("listed", Listed, hits, expires, filled, tokens, origin, flags, reserved);
        layout!("prefix_length", PrefixLength, mask, length);
        layout!("lengths", Lengths, count, at);
        layout!("lists", Lists, secret, any, blocks, block, allow);
        layout!("key", Key, k0, k1);
        layout!("control", Control, key_word, completion, conntrack, cookie_key, flow_key);
        layout!("verified", Verified, seen, filled, tokens, handshakes, limit_filled, limit_tokens);
        layout!("speaker", Speaker, server, client);
        layout!("limiter", Limiter, global_cell, closed_cell, closed_budget, strays_until, held, reserved);
        layout!("service_limit", ServiceLimit, rate, cell);
        layout!("held_key", HeldKey, address, kind, reserved);
        layout!("held", Held, until, why, rate, cell);
        layout!("spread_cell", SpreadCell, key, votes, v6);
        layout!("spread", Spread, asked, samples, registers, source, network);
        layout!("address", Address, word);
        pairs
    }

    fn constants() -> Vec<(&'static str, u64)> {
        vec![
            ("ABI_VERSION", ABI_VERSION.into()),
            ("TICK_SHIFT", TICK_SHIFT.into()),
            ("COOKIE_TIME_SHIFT", COOKIE_TIME_SHIFT.into()),
            ("CHALLENGE_TIME_SHIFT", CHALLENGE_TIME_SHIFT.into()),
            ("DOOR_TICKS", DOOR_TICKS.into()),
            ("PORTS", PORTS as u64),
            ("ASKED_CELLS", ASKED_CELLS as u64),
            ("DOOR_CELLS", DOOR_CELLS as u64),
            ("ANSWER_LINES", ANSWER_LINES as u64),
            ("TRACES_SHIFT", TRACES_SHIFT.into()),
            ("SEEN_SOURCES", SEEN_SOURCES as u64),
            ("VERDICT_SLOTS", VERDICT_SLOTS as u64),
            ("FILTER_WORDS", FILTER_WORDS as u64),
            ("LENGTHS", LENGTHS as u64),
            ("PORT_UNPROTECTED", PORT_UNPROTECTED.into()),
            ("RATE_LINES", RATE_LINES as u64),
            ("HELD_MAX", HELD_MAX as u64),
            ("LOCAL_MAX", LOCAL_MAX as u64),
            ("SPREAD_REGISTERS", SPREAD_REGISTERS as u64),
            ("SPREAD_CELLS", SPREAD_CELLS as u64),
            ("SPREAD_SAMPLE", SPREAD_SAMPLE.into()),
            ("HELD_SOURCE4", 0),
            ("HELD_SOURCE6", 1),
            ("HELD_NETWORK4", 2),
            ("HELD_NETWORK6", 3),
            ("HELD_CONNECTIONS", HeldWhy::Connections as u64),
            ("HELD_CONCENTRATED", HeldWhy::Concentrated as u64),
            ("OVER_PROVE", Over::Prove as u64),
            ("OVER_DROP", Over::Drop as u64),
            ("LISTED_FORCED", LISTED_FORCED.into()),
            ("LIST_BLOCK", List::Block as u64),
            ("LIST_ALLOW", List::Allow as u64),
            ("KIND_V4", Kind::V4 as u64),
            ("KIND_V6_SHORT", Kind::V6Short as u64),
            ("KIND_V6_LONG", Kind::V6Long as u64),
            ("KINDS", KINDS as u64),
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
            let field = field.and_then(|f| f.split_whitespace().last()).and_then(|f| f.split('[').next());
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
