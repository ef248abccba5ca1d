//! The lists decide as a plain search through all their prefixes does; the filter in front is never in the way.

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::{cases, packet_of};
use proptest::collection::vec;
use proptest::prelude::*;
use sekisho_native::frames::{Frame, flags};
use sekisho_native::lists::{Listed, Lists, Standing};

const TICK_NS: u64 = 1 << 30;
const NOW: u64 = 1000 * TICK_NS;
/// A rate and a burst that never end.
const ENDLESS: u32 = 1 << 30;

/// A prefix as it is put on a list.
#[derive(Clone, Copy, Debug)]
struct Put {
    allow: bool,
    address: IpAddr,
    length: u8,
    forced: bool,
    /// Ticks from now; 0: for ever.
    expires: i32,
}

impl Put {
    fn covers(&self, source: IpAddr) -> bool {
        let bits = |address| match address {
            IpAddr::V4(v4) => u128::from(Ipv4Addr::to_bits(v4)) << 96,
            IpAddr::V6(v6) => Ipv6Addr::to_bits(v6),
        };
        let differ = (bits(self.address) ^ bits(source)).leading_zeros();
        self.address.is_ipv4() == source.is_ipv4() && differ >= u32::from(self.length)
    }

    fn holds(&self) -> bool {
        self.expires >= 0
    }

    fn value(&self) -> Listed {
        let expires = if self.expires == 0 { 0 } else { 1000_u32.wrapping_add_signed(self.expires) };
        Listed { expires, flags: u8::from(self.forced), ..Listed::default() }
    }
}

/// The same, told plainly.
fn expected(puts: &[Put], source: IpAddr, syn: bool) -> Standing {
    let any = |which: &dyn Fn(&Put) -> bool| puts.iter().any(|p| p.covers(source) && p.holds() && which(p));
    let allowed = any(&|p| p.allow);
    if any(&|p| !p.allow && p.forced) || (any(&|p| !p.allow) && !allowed) {
        return Standing::Blocked;
    }
    if allowed && syn { Standing::Allowed } else { Standing::None }
}

/// Few bits vary, so that prefixes and sources meet.
fn address() -> impl Strategy<Value = IpAddr> {
    let few = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>());
    prop_oneof![
        few.prop_map(|(a, b, c, d)| Ipv4Addr::new(a & 0x81, b & 0x81, c & 0x81, d & 0x81).into()),
        few.prop_map(|(a, b, c, d)| {
            let words = [u16::from(a & 0x81) << 8, 0, u16::from(b & 0x81), 0, u16::from(c & 0x81), 0, 0];
            let [p, q, r, s, t, u, v] = words;
            Ipv6Addr::new(p, q, r, s, t, u, v, u16::from(d & 0x81)).into()
        }),
    ]
}

fn put() -> impl Strategy<Value = Put> {
    let length = prop_oneof![0..=128u8, Just(24), Just(32), Just(48), Just(47), Just(128)];
    let expires = prop_oneof![3 => Just(0), 1 => 1..100i32, 1 => -100..0i32];
    (any::<bool>(), address(), length, any::<u8>(), expires).prop_map(|(allow, address, length, forced, expires)| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        Put { allow, address, length: length.min(most), forced: !allow && forced < 40, expires }
    })
}

fn frame(source: IpAddr, syn: bool) -> Vec<u8> {
    let to: IpAddr = if source.is_ipv4() { Ipv4Addr::BROADCAST.into() } else { Ipv6Addr::from(u128::MAX).into() };
    let flags = if syn { flags::SYN } else { flags::ACK };
    Frame { flags, ..Frame::syn(source, to) }.build()
}

/// Of two with the same list and prefix only the first is put.
fn without_twins(puts: Vec<Put>) -> Vec<Put> {
    let mut kept: Vec<Put> = Vec::new();
    for put in puts {
        let twin = |p: &Put| p.allow == put.allow && p.length == put.length && p.covers(put.address);
        if !kept.iter().any(twin) {
            kept.push(put);
        }
    }
    kept
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn the_lists_are_a_plain_search(puts in vec(put(), 0..12), sources in vec(address(), 1..12), secret: u64) {
        let puts = without_twins(puts);
        let mut lists = Lists::new(secret);
        for put in &puts {
            lists.add(put.allow, put.address, put.length, put.value());
        }
        for source in sources {
            for syn in [true, false] {
                let found = lists.standing(&packet_of(&frame(source, syn)), NOW, ENDLESS, ENDLESS);
                prop_assert_eq!(found, expected(&puts, source, syn), "{} syn={}", source, syn);
            }
        }
    }

    /// An allowed prefix gets its burst, then its rate, and is like any other beyond.
    #[test]
    fn an_allowance_is_bounded(rate in 1..50u32, burst in 1..50u32, gaps in vec(0..2000u64, 1..200)) {
        let source: IpAddr = Ipv4Addr::new(203, 0, 113, 5).into();
        let packet = packet_of(&frame(source, true));
        let mut lists = Lists::new(0);
        lists.add(true, source, 24, Listed::default());
        let (mut now, mut passed) = (NOW, 0);
        for gap in &gaps {
            now += gap << 20;
            passed += u64::from(lists.standing(&packet, now, rate, burst * 1024) == Standing::Allowed);
        }
        let most = (u64::from(burst) * 1024 + gaps.iter().sum::<u64>() * u64::from(rate)) / 1024;
        prop_assert!(passed <= most, "{} of at most {}", passed, most);
        prop_assert!(passed >= u64::from(burst).min(gaps.len() as u64), "the burst passes");
        prop_assert_eq!(lists.entries[0].value.hits, passed);
    }
}

#[test]
fn every_length_of_one_kind_fits() {
    let mut lists = Lists::new(7);
    for length in 0..=128 {
        lists.add(false, Ipv6Addr::from(u128::from(length)).into(), length, Listed::default());
    }
    for length in 8..=32 {
        lists.add(true, Ipv4Addr::new(198, 51, 100, length).into(), length, Listed::default());
    }
    assert_eq!(lists.head.block.map(|kind| kind.count), [0, 48, 81]);
    assert_eq!(lists.head.allow.map(|kind| kind.count), [25, 0, 0]);
}
