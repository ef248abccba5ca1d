//! What each part of a wish becomes. That the whole is what nft takes is shown with nft itself, where there is one.

use super::*;
use crate::act::nft;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn full() -> Wish {
    let rate = |per_second| Some(Rate { per_second, burst: per_second * 2 });
    Wish {
        observe: false,
        interfaces: vec!["eth0".into(), "eth1".into()],
        unprotected: vec![(9000, 9010), (7, 7)],
        allow: ["203.0.113.7/32", "2001:db8:1::/48"].map(prefix).into(),
        block: ["198.18.0.0/15", "198.18.7.0/24", "198.19.255.255/32", "2001:db8:bad::/48"].map(prefix).into(),
        admin_rate: rate(100),
        limits: Limits {
            source: rate(20),
            network: rate(200),
            service: rate(500),
            services: vec![(vec![(25, 25), (587, 587)], rate(50)), (vec![(22, 22)], None)],
            global: rate(10_000),
        },
        proxy: Some(Proxy { ports: [80, 443].into(), mss: 1460, window_scale: 7 }),
    }
}

/// Before anybody was added by command.
fn json(wish: &Wish) -> Result<String, serde_json::Error> {
    super::json(wish, &[])
}

fn rules(wish: &Wish) -> Vec<(String, String, Value)> {
    let value: Value = serde_json::from_str(&json(wish).unwrap()).unwrap();
    let rules = value["nftables"].as_array().unwrap().iter().filter_map(|command| command.pointer("/add/rule"));
    let words = |rule: &Value, key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    rules.map(|rule| (words(rule, "chain"), words(rule, "comment"), rule["expr"].clone())).collect()
}

#[test]
fn every_rule_is_commented_and_nft_takes_the_whole() {
    for wish in [full(), Wish::default(), Wish { observe: true, ..full() }] {
        let rules = rules(&wish);
        assert!(rules.iter().all(|(_, comment, _)| comment.len() > 10 && comment.len() < 128), "{rules:#?}");
        match nft::check(&json(&wish).unwrap()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // Without the right to change rules even a check is refused.
            Err(error) if error.to_string().contains("Operation not permitted") => {}
            checked => checked.unwrap(),
        }
    }
}

#[test]
fn only_our_own_table_is_named() {
    let value: Value = serde_json::from_str(&json(&full()).unwrap()).unwrap();
    for command in value["nftables"].as_array().unwrap() {
        let (_, object) = command.as_object().unwrap().iter().next().unwrap();
        let (kind, object) = object.as_object().unwrap().iter().next().unwrap();
        let table = if kind == "table" { &object["name"] } else { &object["table"] };
        assert_eq!((&object["family"], table), (&"inet".into(), &NAME.into()), "{command}");
    }
}

#[test]
fn without_a_wish_only_the_malformed_is_dropped() {
    let dropping = |wish: &Wish| {
        let drops =
            |(_, _, expr): &(String, String, Value)| expr.as_array().unwrap().iter().any(|s| s.get("drop").is_some());
        rules(wish).into_iter().filter(drops).map(|(_, comment, _)| comment).collect::<Vec<_>>()
    };
    // The sets of those who are blocked by command are there, and empty.
    let plain = dropping(&Wish::default());
    assert!(plain.iter().all(|comment| comment.starts_with("malformed") || comment == "blocked sources"), "{plain:?}");
    assert!(dropping(&Wish { observe: true, ..full() }).is_empty(), "observing drops nothing");
    let all = dropping(&full());
    for part in ["blocked", "one source", "one network", "the service", "all together", "without a valid cookie"] {
        assert!(all.iter().any(|comment| comment.contains(part)), "{part}: {all:?}");
    }
}

#[test]
fn synproxy_is_shown_no_synack() {
    let rules = rules(&full());
    let mut late = rules.iter().filter(|(chain, ..)| chain == "late").map(|(_, _, expr)| expr.as_array().unwrap());
    let (answers, drops) = (late.next().unwrap(), late.next().unwrap());
    let at = |name: &str| answers.iter().position(|statement| statement.get(name).is_some()).unwrap();
    let spared = answers.iter().position(|statement| {
        statement.pointer("/match/op") == Some(&"!=".into())
            && statement.pointer("/match/right") == Some(&serde_json::json!(["syn", "ack"]))
    });
    assert!(spared.unwrap() < at("synproxy"), "{answers:?}");
    assert!(drops.last().unwrap().get("drop").is_some(), "what is left over is not let in: {drops:?}");
}

#[test]
fn observing_has_no_synproxy_which_would_answer() {
    let wish = Wish { observe: true, ..full() };
    assert!(!json(&wish).unwrap().contains("synproxy"));
}

#[test]
fn each_source_limit_carries_its_rate() {
    let limited: Vec<Value> = rules(&full())
        .into_iter()
        .flat_map(|(_, _, expr)| expr.as_array().unwrap().clone())
        .filter_map(|statement| statement.get("set").cloned())
        .collect();
    let rates: Vec<_> = limited.iter().map(|set| set["stmt"][0]["limit"]["rate"].as_u64().unwrap()).collect();
    assert_eq!(rates, [100, 100, 100, 100, 20, 20, 200, 200, 50, 500]);
    let over = |set: &Value| set["stmt"][0]["limit"]["inv"] == true;
    assert_eq!(limited.iter().filter(|set| over(set)).count(), 6, "admins pass within their rate");
    assert!(limited.iter().all(|set| !set["set"].as_str().unwrap().contains(' ')));
}

#[test]
fn those_who_were_added_are_in_sets_of_their_own_and_nft_takes_them() {
    let one = |kind, text: &str, seconds| Added { kind, prefix: prefix(text), seconds };
    let added = [
        one(Kind::Allow, "203.0.113.9", Some(60)),
        one(Kind::Block, "203.0.113.0/24", None),
        one(Kind::Forced, "2001:db8:f::/48", Some(3600)),
    ];
    let text = super::json(&full(), &added).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let elements = |name: &str| {
        let sets = value["nftables"].as_array().unwrap().iter().filter_map(|command| command.pointer("/add/set"));
        sets.filter(|set| set["name"] == name).map(|set| set["elem"].to_string()).next().unwrap()
    };
    assert_eq!(elements("added_allow4"), r#"[{"elem":{"timeout":60,"val":"203.0.113.9"}}]"#);
    assert_eq!(elements("added_block4"), r#"[{"range":["203.0.113.0","203.0.113.255"]}]"#);
    assert!(elements("added_forced6").contains("2001:db8:f:ffff:ffff:ffff:ffff:ffff"));
    assert_eq!(elements("added_block6"), "null");
    match nft::check(&text) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) if error.to_string().contains("Operation not permitted") => {}
        checked => checked.unwrap(),
    }
}

#[test]
fn who_is_blocked_by_force_is_so_before_any_admin() {
    let rules = rules(&full());
    let comments: Vec<&str> = rules.iter().map(|(_, comment, _)| comment.as_str()).collect();
    let first = |comment: &str| comments.iter().position(|known| known.starts_with(comment)).unwrap();
    let last = |comment: &str| comments.iter().rposition(|known| known.starts_with(comment)).unwrap();
    assert!(first("blocked") < first("admins") && last("admins") < last("blocked"), "{comments:#?}");
}

#[test]
fn prefixes_that_others_contain_are_left_out() {
    assert_eq!(of(&full().block, "ip"), [prefix("198.18.0.0/15")]);
    assert_eq!(of(&full().block, "ip6"), [prefix("2001:db8:bad::/48")]);
    let apart = ["10.0.0.0/8", "10.0.0.0/8", "11.0.0.0/16", "0.0.0.0/32"].map(prefix);
    assert_eq!(of(&apart, "ip").len(), 3);
    assert_eq!(of(&["10.1.0.0/16", "0.0.0.0/0"].map(prefix), "ip"), [prefix("0.0.0.0/0")]);
}

#[test]
fn the_same_wish_is_the_same_ruleset() {
    assert_eq!(ruleset(&full()), ruleset(&full()));
    assert_ne!(ruleset(&full()), ruleset(&Wish::default()));
}
