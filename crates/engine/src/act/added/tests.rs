//! What prefixes become, and that the sums come back.

use super::*;

fn added(kind: Kind, text: &str, seconds: impl Into<Option<u64>>) -> Added {
    Added { kind, prefix: text.parse().unwrap(), seconds: seconds.into() }
}

fn words(list: &[(&str, Option<u64>)], v6: bool) -> Vec<String> {
    let pieces = pieces(list.iter().map(|(text, seconds)| (text.parse().unwrap(), *seconds)));
    pieces.iter().map(|piece| piece.words(v6).replace(" counter packets 0 bytes 0", "")).collect()
}

#[test]
fn prefixes_are_cut_where_others_begin_and_end() {
    let cut = words(&[("198.18.0.7/32", None), ("198.18.0.0/24", Some(60)), ("203.0.113.0/25", Some(0))], false);
    assert_eq!(
        cut,
        [
            "198.18.0.0-198.18.0.6 timeout 60s",
            "198.18.0.7",
            "198.18.0.8-198.18.0.255 timeout 60s",
            "203.0.113.0-203.0.113.127 timeout 1s"
        ]
    );
    // One that ends sooner than what is around it changes nothing but where it is counted.
    let cut = words(&[("198.18.0.0/31", Some(90)), ("198.18.0.0/32", Some(5))], false);
    assert_eq!(cut, ["198.18.0.0 timeout 90s", "198.18.0.1 timeout 90s"]);
    assert_eq!(words(&[], false), [""; 0]);
}

#[test]
fn the_whole_of_a_family_is_a_piece_too() {
    assert_eq!(words(&[("0.0.0.0/0", None)], false), ["0.0.0.0-255.255.255.255"]);
    let all =
        words(&[("::/0", None), ("ffff::/16", Some(9)), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", None)], true);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[0].starts_with("::-fffe:"), "{all:?}");
    assert_eq!(all[2], "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

/// A plain search says the same of any address: whether it is in a piece, and for how long.
#[test]
fn pieces_are_what_a_plain_search_finds() {
    let mut state = 1_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    for _ in 0..300 {
        let prefixes: Vec<(Prefix, Option<u64>)> = (0..next(12))
            .map(|_| {
                let address = Ipv4Addr::from(0xc612_0000 | next(64) as u32);
                (Prefix::new(address.into(), 26 + next(7) as u8), (next(3) > 0).then(|| next(100)))
            })
            .collect();
        let cut = pieces(prefixes.iter().copied());
        assert!(cut.windows(2).all(|two| two[0].last < two[1].first), "{cut:?}");
        for number in 0xc612_0000..0xc612_0050_u128 {
            let around = prefixes.iter().filter(|(prefix, _)| prefix.contains(address(number, false)));
            let expected = around.map(|(_, seconds)| *seconds).reduce(longer);
            let found =
                cut.iter().find(|piece| (piece.first..=piece.last).contains(&number)).map(|piece| piece.seconds);
            assert_eq!(found, expected, "{prefixes:?}");
        }
    }
}

#[test]
fn what_was_counted_stays_with_the_prefix() {
    let listing =
        |elements: Value| Listing::of(&json!({"nftables": [{"set": {"name": "added_block4", "elem": elements}}]}));
    let whole = [added(Kind::Block, "198.18.0.0/24", None)];
    let before = listing(
        json!([{"elem": {"val": {"prefix": {"addr": "198.18.0.0", "len": 24}}, "counter": {"packets": 5, "bytes": 1}}}]),
    );
    let both = [whole[0], added(Kind::Block, "198.18.0.7", 60)];
    let text = commands(&both, &before);
    assert!(
        text.contains("198.18.0.0-198.18.0.6 counter packets 5 bytes 0, 198.18.0.7 counter packets 0 bytes 0, "),
        "{text}"
    );
    let three = json!([
        {"elem": {"val": {"range": ["198.18.0.0", "198.18.0.6"]}, "counter": {"packets": 6, "bytes": 0}}},
        {"elem": {"val": "198.18.0.7", "timeout": 60, "expires": 3, "counter": {"packets": 2, "bytes": 0}}},
        "198.18.0.8"
    ]);
    let then = listing(three);
    assert_eq!(then.packets(Kind::Block, &both[0].prefix), 8);
    assert_eq!(then.packets(Kind::Block, &both[1].prefix), 2);
    assert_eq!(then.packets(Kind::Allow, &both[0].prefix), 0);
    let text = commands(&whole, &then);
    assert!(text.contains("{ 198.18.0.0-198.18.0.255 counter packets 8 bytes 0 }"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("flush set inet sekisho added_")).count(), 6);
}

#[test]
fn the_configurations_sets_are_read_as_prefixes() {
    let sets = json!({"nftables": [
        {"metainfo": {}},
        {"set": {"name": "blocked4", "elem": [
            {"elem": {"val": {"prefix": {"addr": "198.18.0.0", "len": 15}}, "counter": {"packets": 3, "bytes": 0}}},
            {"elem": {"val": "203.0.113.9", "counter": {"packets": 0, "bytes": 0}}}]}},
        {"set": {"name": "allowed6", "elem": ["2001:db8::1"]}}
    ]});
    let listing = Listing::of(&sets);
    let texts = |allow| -> Vec<_> { listing.configured(allow).iter().map(|(p, n)| format!("{p} {n}")).collect() };
    assert_eq!(texts(false), ["198.18.0.0/15 3", "203.0.113.9 0"]);
    assert_eq!(texts(true), ["2001:db8::1 0"]);
    assert_eq!(Listing::of(&Value::Null), Listing::default());
}
