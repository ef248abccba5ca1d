//! What the frames of each kind of flood look like, before addresses, numbers and checksums: `shape` makes bytes of it.
//!
//! Most kinds have one [`Form`]. The others choose among theirs at random for each frame, so that what is mixed arrives mixed.
//!
//! Sources of the SYNs: what captures of these systems show over Ethernet, with the options of RFC 9293 (MSS), RFC 7323 (window scale,
//! timestamps) and RFC 2018 (SACK). Windows sends no timestamps. Tools send what is least work: no options, a small window.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Kind;

/// As many forms as the program has room for: `FORMS` of bpf/flood.bpf.c.
pub(super) const FORMS_MAX: usize = 32;
/// How many entries of these each of the eight parts of [`Kind::Mixed`] has.
const SHARE: usize = FORMS_MAX / 8;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
/// An acknowledgement number is there.
pub(super) const ACK: u8 = 16;
/// FIN, SYN, RST, PSH, ACK and URG.
const ALL: u8 = 63;

/// MSS 1460, SACK permitted, timestamps, no-operation, window scale 7. With IPv6 the MSS is 1440, here and below.
const LINUX_OPTIONS: &[u8] = &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7];
/// MSS 1460, no-operation, window scale 8, no-operation twice, SACK permitted.
const WINDOWS_OPTIONS: &[u8] = &[2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2];
/// MSS 1460, no-operation, window scale 6, no-operation twice, timestamps, SACK permitted, end of options twice.
const APPLE_OPTIONS: &[u8] = &[2, 4, 5, 180, 1, 3, 3, 6, 1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 0];
/// No-operation twice and timestamps, as on every later segment (RFC 7323, appendix A).
const STAMP_OPTIONS: &[u8] = &[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0];

/// A piece of a segment, or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// All of it.
    Whole,
    /// The first fragment of several.
    First,
    /// The last fragment.
    Last,
    /// All of it, as IP has it, but only the first 8 bytes of TCP's header are there.
    CutShort,
}

/// What a frame looks like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// TCP's flags.
    pub(super) flags: u8,
    /// Its window.
    pub(super) window: u16,
    /// IP's time to live.
    pub(super) hops: u8,
    /// Whether IPv4 forbids fragments.
    pub(super) unbroken: bool,
    /// TCP's options, a multiple of 4 bytes.
    pub(super) options: &'static [u8],
    /// The length of its header in words of 4 bytes, where it lies about that.
    pub(super) claimed_words: Option<u8>,
    /// How much of the segment is there.
    pub(super) piece: Piece,
    /// Whether address and port of the target vary.
    pub(super) carpet: bool,
}

/// A segment without options as Linux would send it.
const PLAIN: Form = Form {
    flags: 0,
    window: 64240,
    hops: 64,
    unbroken: true,
    options: &[],
    claimed_words: None,
    piece: Piece::Whole,
    carpet: false,
};
const LINUX: Form = Form { flags: SYN, options: LINUX_OPTIONS, ..PLAIN };
const WINDOWS: Form = Form { flags: SYN, options: WINDOWS_OPTIONS, hops: 128, ..PLAIN };
const APPLE: Form = Form { flags: SYN, options: APPLE_OPTIONS, window: 65535, ..PLAIN };
const BARE: Form = Form { flags: SYN, window: 512, unbroken: false, ..PLAIN };
const CARPET: Form = Form { carpet: true, ..LINUX };
const STACKS: &[Form] = &[LINUX, WINDOWS, APPLE, BARE];
const FRAGMENTS: &[Form] = &[Form { piece: Piece::First, ..BARE }, Form { piece: Piece::Last, ..BARE }];
/// Flags that contradict each other or say nothing, and lengths that do. The first four are all that [`Kind::Mixed`] has of them.
const MALFORMED: &[Form] = &[
    PLAIN,
    Form { flags: SYN | FIN, ..PLAIN },
    Form { claimed_words: Some(4), ..BARE },
    Form { claimed_words: Some(15), ..BARE },
    Form { flags: SYN | RST, ..PLAIN },
    Form { flags: ALL, ..PLAIN },
    Form { piece: Piece::CutShort, ..BARE },
];

impl Kind {
    /// The forms of its frames. Each is as frequent as it is often here.
    pub(super) fn forms(self) -> Vec<Form> {
        let flags = |flags| vec![Form { flags, ..PLAIN }];
        match self {
            Self::Syn => vec![LINUX],
            Self::WindowsSyn => vec![WINDOWS],
            Self::AppleSyn => vec![APPLE],
            Self::BareSyn => vec![BARE],
            Self::AnySyn => STACKS.into(),
            Self::Ack => flags(ACK),
            Self::AckTimestamps => vec![Form { flags: ACK, options: STAMP_OPTIONS, ..PLAIN }],
            Self::Rst => flags(RST),
            Self::SynAck => flags(SYN | ACK),
            Self::Fin => flags(FIN | ACK),
            Self::Fragments => FRAGMENTS.into(),
            Self::Malformed => MALFORMED.into(),
            Self::Carpet => vec![CARPET],
            Self::Mixed => mixed(),
        }
    }
}

/// An eighth of each. Two forms of ACK are one of the parts.
fn mixed() -> Vec<Form> {
    let ack: Vec<Form> = [Kind::Ack, Kind::AckTimestamps].iter().flat_map(|kind| kind.forms()).collect();
    let kinds = [Kind::AnySyn, Kind::Rst, Kind::SynAck, Kind::Fin, Kind::Fragments, Kind::Malformed, Kind::Carpet];
    let parts = kinds.iter().map(|kind| kind.forms()).chain([ack]);
    parts.flat_map(|part| part.into_iter().cycle().take(SHARE)).collect()
}

/// The bits of an address that vary in a carpet: 32 addresses with the target among them, none of which is the first or the last of a
/// network if the target is one of the lab's servers. Only the last byte of IPv4 and the last two of IPv6 vary, and no prefix of
/// [`super::ALLOWED`] is that long: who may be a target has only such neighbours as may be targets too.
pub(super) fn carpet_bits(target: IpAddr) -> IpAddr {
    match target {
        IpAddr::V4(_) => Ipv4Addr::new(0, 0, 0, 0xf4).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0x1f00).into(),
    }
}

/// The bits of a port that vary in a carpet: 32 ports, 256 apart.
pub(super) const CARPET_PORT_BITS: u16 = 0x1f00;

/// The addresses that a carpet at this one covers.
pub(super) fn carpet(target: IpAddr) -> Vec<IpAddr> {
    // Of the numbers up to 65535 those that vary nothing else.
    let spread = |bits: u16| (0..=bits).filter(move |number| number & !bits == 0);
    match (target, carpet_bits(target)) {
        (IpAddr::V4(base), IpAddr::V4(bits)) => {
            let base = u32::from(base);
            spread(u32::from(bits) as u16).map(|vary| IpAddr::V4((base ^ u32::from(vary)).into())).collect()
        }
        (IpAddr::V6(base), IpAddr::V6(bits)) => {
            let base = u128::from(base);
            spread(u128::from(bits) as u16).map(|vary| IpAddr::V6((base ^ u128::from(vary)).into())).collect()
        }
        _ => vec![target],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::prefix::is_allowed;
    use super::*;

    /// Splits options into their kinds; panics where a length is wrong. Padding behind the end counts as ends.
    fn kinds_of(mut options: &[u8]) -> Vec<u8> {
        let mut kinds = Vec::new();
        while let Some(kind) = options.first() {
            kinds.push(*kind);
            options = if *kind < 2 { &options[1..] } else { &options[usize::from(options[1])..] };
        }
        kinds
    }

    #[test]
    fn options_are_as_stacks_send_them() {
        assert_eq!(kinds_of(LINUX_OPTIONS), [2, 4, 8, 1, 3]);
        assert_eq!(kinds_of(WINDOWS_OPTIONS), [2, 1, 3, 1, 1, 4]);
        assert_eq!(kinds_of(APPLE_OPTIONS), [2, 1, 3, 1, 1, 8, 4, 0, 0]);
        assert_eq!(kinds_of(STAMP_OPTIONS), [1, 1, 8]);
    }

    #[test]
    fn the_mixed_flood_has_an_eighth_of_everything() {
        let forms = mixed();
        assert_eq!(forms.len(), FORMS_MAX);
        let count = |is: fn(&Form) -> bool| forms.iter().filter(|form| is(form)).count();
        assert_eq!(count(|form| form.carpet), SHARE);
        assert_eq!(count(|form| matches!(form.piece, Piece::First | Piece::Last)), SHARE);
        assert_eq!(count(|form| form.flags == ACK), SHARE);
        assert_eq!(count(|form| form.flags == RST), SHARE);
        assert_eq!(count(|form| form.flags == FIN | ACK), SHARE);
        assert_eq!(count(|form| form.flags == SYN | ACK), SHARE);
        for stack in STACKS {
            assert!(forms.iter().any(|form| form.options == stack.options && form.window == stack.window));
        }
    }

    #[test]
    fn a_carpet_covers_the_target_and_its_neighbours_and_nothing_outside_the_lab() {
        for target in ["198.51.100.10", "203.0.113.255", "198.18.0.0", "2001:db8:51::10", "2001:db8:ffff:ffff::"] {
            let target: IpAddr = target.parse().unwrap();
            let covered = carpet(target);
            assert_eq!(covered.iter().collect::<BTreeSet<_>>().len(), 32, "{target}");
            assert!(covered.contains(&target));
            assert!(covered.iter().all(|address| is_allowed(*address)), "{covered:?}");
        }
    }
}
