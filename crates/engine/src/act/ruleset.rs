//! The policy as an nftables table of our own, for a host without XDP or BPF: pure, a [`Wish`] in, a ruleset out.
//!
//! Read the rules in the order of the functions, which is a packet's way: `early` (before connection tracking; not ours, blocked by force,
//! admins, malformed, blocked), `syn` (limits on what opens a connection), `late` (synproxy, where it is wished). What none of them stops is the
//! kernel's, whose own SYN cookies answer when a listener's queue is full. They do that best: beside them synproxy brings connection
//! tracking before every connection, also while all is calm, and a client whose last packet is lost hangs. So synproxy is a choice, and never for
//! a service where the server speaks first, whose client would wait for ever.
//!
//! The rule of the hot path holds here too: nothing is written for each unproven source unless a limit for each source is wished for.

use std::collections::BTreeSet;

use nftables::batch::Batch;
use nftables::expr::{
    BinaryOperation, CT, Expression, Fib, FibFlag, FibResult, Meta, MetaKey, NamedExpression, Payload, PayloadField,
    Prefix as NftPrefix, Range, SetItem,
};
use nftables::schema::{Chain, NfListObject, Nftables, Rule, Set, SetFlag, SetType, SetTypeValue, Table};
use nftables::stmt::{
    AnonymousCounter, Counter, JumpTarget, Limit, Match, Operator, Set as SetStatement, SetOp, Statement, SynProxy,
};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook, SynProxyFlag};
use serde_json::Value;

use super::added::{self, Added, Kind};
use crate::policy::Prefix;

/// The table's name in the family inet.
pub const NAME: &str = "sekisho";
/// Before connection tracking (NF_IP_PRI_RAW, linux/netfilter_ipv4.h).
const RAW: i32 = -300;
/// Shortly before the filter rules of others (NF_IP_PRI_FILTER).
const BEFORE_FILTER: i32 = -10;
/// How many sources a limit for each source remembers. When that is full, sources that are not in it are not limited.
pub const SOURCES_MAX: u32 = 65_536;
/// How long one is remembered, in seconds.
const SOURCE_SECONDS: u32 = 60;

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// SYNs a second.
    pub per_second: u32,
    /// SYNs at once.
    pub burst: u32,
}

/// Ranges of ports, first and last.
pub type PortRanges = Vec<(u16, u16)>;

/// Limits on SYNs. Each is for those who want it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of one address (IPv6: of one /64).
    pub source: Option<Rate>,
    /// Of one network: /24, and /56.
    pub network: Option<Rate>,
    /// Of each service that has none of its own.
    pub service: Option<Rate>,
    /// Of the services on these ports, each; `None`: these have no limit.
    pub services: Vec<(PortRanges, Option<Rate>)>,
    /// Of all together, as iptables' `limit`.
    pub global: Option<Rate>,
}

/// Synproxy before some ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The ports; services of this host on which the client speaks first.
    pub ports: BTreeSet<u16>,
    /// The MSS that this host's sockets would offer.
    pub mss: u16,
    /// The window scale that they would offer.
    pub window_scale: u8,
}

/// What the table is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Count, but let every packet pass.
    pub observe: bool,
    /// The interfaces that are protected; empty: all.
    pub interfaces: Vec<String>,
    /// Ports that are left alone.
    pub unprotected: Vec<(u16, u16)>,
    /// Admins.
    pub allow: Vec<Prefix>,
    /// What one of them may send, since an address can be spoofed.
    pub admin_rate: Option<Rate>,
    /// Blocked sources.
    pub block: Vec<Prefix>,
    /// Limits.
    pub limits: Limits,
    /// Synproxy; `None`: the kernel's SYN cookies alone.
    pub proxy: Option<Proxy>,
}

/// The ruleset as nft's JSON: one transaction that puts the table in the place of the one there was. `added`: who was allowed and blocked by
/// command.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json(wish: &Wish, added: &[Added]) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(ruleset(wish))?;
    complete(&mut value, added);
    serde_json::to_string(&value)
}

/// The ruleset, without what the types have no place for; [`json`] adds it.
pub fn ruleset(wish: &Wish) -> Nftables<'static> {
    let mut batch = Batch::new();
    let table = || NfListObject::Table(Table { family: NfFamily::INet, name: NAME.into(), handle: None });
    // Added before it is deleted, since deleting what is not there would fail.
    batch.add(table());
    batch.delete(table());
    batch.add(table());
    sets(&mut batch, wish);
    for (name, hook, priority) in
        [("early", Some(NfHook::Prerouting), RAW), ("syn", None, 0), ("late", Some(NfHook::Input), BEFORE_FILTER)]
    {
        batch.add(chain(name, hook, priority));
    }
    let rules = early(wish).into_iter().chain(syn(wish)).chain(late(wish));
    rules.for_each(|rule| batch.add(NfListObject::Rule(rule)));
    batch.to_nftables()
}

/// From every packet to those that open a connection to this host.
fn early(wish: &Wish) -> Vec<Rule<'static>> {
    let rule = |statements, comment| rule("early", statements, comment);
    let mut rules = Vec::new();
    if !wish.interfaces.is_empty() {
        let names = set(wish.interfaces.iter().map(|name| text(name)));
        rules.push(rule(
            vec![differs(meta(MetaKey::Iifname), names), Statement::Return(None)],
            "other interfaces are not protected",
        ));
    }
    rules.push(rule(
        vec![differs(meta(MetaKey::L4proto), text("tcp")), Statement::Return(None)],
        "only TCP is looked at",
    ));
    rules.push(rule(
        vec![differs(destination_kind(), text("local")), Statement::Return(None)],
        "what is not for this host passes: routing, containers",
    ));
    rules.extend(blocks(wish, both(Kind::Forced)));
    for (family, name, rates) in admin_sets(wish) {
        let admin = || equals(payload(family, "saddr"), text(&format!("@{name}")));
        // What an element counts is each packet once, so the set is asked last.
        rules.push(rule(vec![not_syn(), admin(), Statement::Return(None)], "admins: what opens no connection passes"));
        let within = wish.admin_rate.map(|rate| entered(rates, payload(family, "saddr"), rate, Bound::Within));
        let statements = [syn_alone(), admin()].into_iter().chain(within).chain([Statement::Return(None)]);
        rules.push(rule(statements.collect(), "admins: SYNs pass, up to a rate, since an address can be spoofed"));
    }
    for (flags, comment) in
        [(["syn", "fin"].as_slice(), "malformed: SYN and FIN"), (&["syn", "rst"], "malformed: SYN and RST")]
    {
        rules.push(rule(stop(wish, vec![flags_are(flags, flags)]), comment));
    }
    rules.push(rule(
        stop(wish, vec![flags_are(&["fin", "syn", "rst", "ack"], &[])]),
        "malformed: no flag that means anything",
    ));
    let configured = [("ip", "blocked4"), ("ip6", "blocked6")];
    let there = configured.into_iter().filter(|(family, _)| !of(&wish.block, family).is_empty());
    rules.extend(blocks(wish, there.chain(both(Kind::Block))));
    let target = JumpTarget { target: "syn".into() };
    rules.push(rule(vec![syn_alone(), Statement::Goto(target)], "what opens a connection meets the limits"));
    rules
}

/// The sets of those who were added, with their families.
fn both(kind: Kind) -> [(&'static str, &'static str); 2] {
    [("ip", kind.set(false)), ("ip6", kind.set(true))]
}

/// Drops whom these sets have.
fn blocks(wish: &Wish, sets: impl IntoIterator<Item = (&'static str, &'static str)>) -> Vec<Rule<'static>> {
    let block = |(family, set): (&'static str, &'static str)| {
        let blocked = equals(payload(family, "saddr"), text(&format!("@{set}")));
        rule("early", stop(wish, vec![blocked]), "blocked sources")
    };
    sets.into_iter().map(block).collect()
}

/// The sets of admins, each with its family and with the set in which its addresses have their buckets: the configuration's where there are
/// any, and those who were added.
fn admin_sets(wish: &Wish) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let configured = [("ip", "allowed4", "admins4"), ("ip6", "allowed6", "admins6")];
    let added =
        both(Kind::Allow).into_iter().zip(["admins4", "admins6"]).map(|((family, set), rates)| (family, set, rates));
    configured.into_iter().filter(|(family, ..)| !of(&wish.allow, family).is_empty()).chain(added)
}

/// Limits, the narrowest first: so a source that is over its own does not use up what is for all.
fn syn(wish: &Wish) -> Vec<Rule<'static>> {
    let rule = |statements, comment: &str| rule("syn", statements, comment);
    let mut rules = Vec::new();
    if !wish.unprotected.is_empty() {
        let ports = set(wish.unprotected.iter().map(|(first, last)| ports(*first, *last)));
        rules.push(rule(
            vec![equals(payload("tcp", "dport"), ports), Statement::Return(None)],
            "services that are left alone",
        ));
    }
    for SourceLimit { family, set, mask, rate, comment } in source_limits(&wish.limits) {
        let over = entered(set, source(family, mask), rate, Bound::Over);
        rules.push(rule(stop(wish, vec![of_family(family), over]), comment));
    }
    rules.extend(services(wish));
    if let Some(rate) = wish.limits.global {
        rules.push(rule(stop(wish, vec![over(rate)]), "over the limit of all together"));
    }
    if let Some(proxy) = wish.proxy.as_ref().filter(|_| !wish.observe) {
        rules.push(rule(vec![to_ports(proxy), Statement::Notrack], "synproxy: SYNs stay out of connection tracking"));
    }
    rules
}

/// Each service has a bucket of its own, by its port.
fn services(wish: &Wish) -> Vec<Rule<'static>> {
    let limits = &wish.limits;
    let over = |rate| entered("services", payload("tcp", "dport"), rate, Bound::Over);
    let ranges = |list: &[(u16, u16)]| set(list.iter().map(|(first, last)| ports(*first, *last)));
    let mut rules = Vec::new();
    for (list, rate) in &limits.services {
        if let Some(rate) = rate {
            let these = equals(payload("tcp", "dport"), ranges(list));
            rules.push(rule("syn", stop(wish, vec![these, over(*rate)]), "over the limit of the service"));
        }
    }
    if let Some(rate) = limits.service {
        let own: PortRanges = limits.services.iter().flat_map(|(list, _)| list.clone()).collect();
        let others = (!own.is_empty()).then(|| differs(payload("tcp", "dport"), ranges(&own)));
        let statements = others.into_iter().chain([over(rate)]).collect();
        rules.push(rule("syn", stop(wish, statements), "over the limit of the service"));
    }
    rules
}

/// Synproxy sees SYNs (untracked), the clients' ACKs (invalid to connection tracking, which never saw a SYN), and nothing else: a SYN-ACK that
/// nobody asked for, which it takes for a SYN and would answer, is as invalid as an ACK without a cookie.
fn late(wish: &Wish) -> Vec<Rule<'static>> {
    let Some(proxy) = wish.proxy.as_ref().filter(|_| !wish.observe) else { return Vec::new() };
    let state = |states: &[&str]| {
        let states = states.iter().map(|state| text(state)).collect();
        let left = Expression::Named(NamedExpression::CT(CT { key: "state".into(), family: None, dir: None }));
        Statement::Match(Match { left, right: Expression::List(states), op: Operator::IN })
    };
    let answer = SynProxy {
        mss: Some(proxy.mss.into()),
        wscale: Some(proxy.window_scale.into()),
        flags: Some([SynProxyFlag::Timestamp, SynProxyFlag::SackPerm].into()),
    };
    vec![
        rule(
            "late",
            vec![to_ports(proxy), not_synack(), state(&["invalid", "untracked"]), Statement::SynProxy(answer)],
            "synproxy: the handshake is finished before the service sees it",
        ),
        rule("late", stop(wish, vec![to_ports(proxy), state(&["invalid"])]), "synproxy: an ACK without a valid cookie"),
    ]
}

/// A limit for each source: the set it is kept in, and how a source is named.
struct SourceLimit {
    family: &'static str,
    set: &'static str,
    mask: Option<&'static str>,
    rate: Rate,
    comment: &'static str,
}

fn source_limits(limits: &Limits) -> Vec<SourceLimit> {
    let each = |rate: Option<Rate>, rows: [(&'static str, &'static str, Option<&'static str>); 2], comment| {
        rate.map(|rate| rows.map(|(family, set, mask)| SourceLimit { family, set, mask, rate, comment }))
    };
    let source = each(
        limits.source,
        [("ip", "sources4", None), ("ip6", "sources6", Some("ffff:ffff:ffff:ffff::"))],
        "over the limit of one source",
    );
    let network = each(
        limits.network,
        [("ip", "networks4", Some("255.255.255.0")), ("ip6", "networks6", Some("ffff:ffff:ffff:ff00::"))],
        "over the limit of one network",
    );
    source.into_iter().chain(network).flatten().collect()
}

/// What the types have no place for, or write otherwise than nft reads it.
fn complete(ruleset: &mut Value, added: &[Added]) {
    let mut commands = ruleset.get_mut("nftables").and_then(Value::as_array_mut);
    let sets = commands.iter_mut().flat_map(|commands| commands.iter_mut());
    for set in sets.filter_map(|command| command.pointer_mut("/add/set")?.as_object_mut()) {
        complete_set(set, added);
    }
    let commands = commands.into_iter().flatten();
    for statement in commands.filter_map(|command| command.pointer_mut("/add/rule/expr")?.as_array_mut()).flatten() {
        // `notrack` is written as a word, where nft wants an object.
        if let Value::String(word) = statement {
            let word = std::mem::take(word);
            *statement = Value::Object([(word, Value::Null)].into_iter().collect());
        }
        if let Some(entry) = statement.get_mut("set").and_then(Value::as_object_mut) {
            add_rate(entry);
        }
    }
}

/// The lists count what meets each of their elements; and those who were added are entered.
fn complete_set(set: &mut serde_json::Map<String, Value>, added: &[Added]) {
    let name = set.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let kinds = Kind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]);
    if let Some((kind, v6)) = kinds.into_iter().find(|(kind, v6)| kind.set(*v6) == name) {
        let elements = added::elements(added, kind, v6);
        if !elements.is_empty() {
            set.insert("elem".to_owned(), elements.into());
        }
    } else if !LISTS.contains(&name.as_str()) {
        return;
    }
    set.insert("stmt".to_owned(), serde_json::json!([{ "counter": null }]));
}

/// The rate that [`entered`] left in the set's name becomes a statement of its own: `update @set { ip saddr limit rate over ... }`.
fn add_rate(entry: &mut serde_json::Map<String, Value>) {
    let name = entry.get("set").and_then(Value::as_str).unwrap_or_default().to_owned();
    let words: Vec<&str> = name.split(' ').collect();
    if let [set, per_second, burst, bound] = words[..] {
        let number = |word: &str| word.parse::<u32>().unwrap_or_default();
        let (rate, burst) = (number(per_second), number(burst));
        let limit = serde_json::json!({"rate": rate, "per": "second", "burst": burst, "inv": bound == "over"});
        entry.insert("stmt".to_owned(), serde_json::json!([{"limit": limit}]));
        entry.insert("set".to_owned(), set.into());
    }
}

/// Whether a rule is about what is within a rate, or what is over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Within,
    Over,
}

/// Enters `key` into a set, where it has a bucket of its own. The types have no place for the rate: it waits in the set's name for
/// [`complete`].
fn entered(set: &str, key: Expression<'static>, rate: Rate, bound: Bound) -> Statement<'static> {
    let bound = if bound == Bound::Over { "over" } else { "within" };
    let set = format!("@{set} {} {} {bound}", rate.per_second, rate.burst);
    Statement::Set(SetStatement { op: SetOp::Update, elem: key, set: set.into() })
}

/// The sets of the configuration's lists.
const LISTS: [&str; 4] = ["allowed4", "blocked4", "allowed6", "blocked6"];

fn sets(batch: &mut Batch<'static>, wish: &Wish) {
    for (family, kind, allowed, blocked) in
        [("ip", SetType::Ipv4Addr, "allowed4", "blocked4"), ("ip6", SetType::Ipv6Addr, "allowed6", "blocked6")]
    {
        for (name, list) in [(allowed, &wish.allow), (blocked, &wish.block)] {
            let prefixes = of(list, family);
            if !prefixes.is_empty() {
                let elements: Vec<_> = prefixes.into_iter().map(prefix).collect();
                batch.add(address_set(Set {
                    flags: Some([SetFlag::Interval].into()),
                    elem: Some(elements.into()),
                    ..empty_set(name, kind)
                }));
            }
        }
    }
    for (added, v6) in Kind::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let kind = if v6 { SetType::Ipv6Addr } else { SetType::Ipv4Addr };
        let flags = Some([SetFlag::Interval, SetFlag::Timeout].into());
        batch.add(address_set(Set { flags, ..empty_set(added.set(v6), kind) }));
    }
    let kind = |family: &str| if family == "ip" { SetType::Ipv4Addr } else { SetType::Ipv6Addr };
    let mut buckets: Vec<_> = source_limits(&wish.limits).iter().map(|limit| (limit.set, kind(limit.family))).collect();
    for (family, name) in [("ip", "admins4"), ("ip6", "admins6")] {
        if wish.admin_rate.is_some() {
            buckets.push((name, kind(family)));
        }
    }
    if !services(wish).is_empty() {
        buckets.push(("services", SetType::InetService));
    }
    for (name, kind) in buckets {
        batch.add(address_set(Set {
            flags: Some([SetFlag::Timeout].into()),
            size: Some(SOURCES_MAX),
            timeout: Some(SOURCE_SECONDS),
            ..empty_set(name, kind)
        }));
    }
}

fn empty_set(name: &'static str, kind: SetType) -> Set<'static> {
    let set_type = SetTypeValue::Single(kind);
    Set { family: NfFamily::INet, table: NAME.into(), name: name.into(), set_type, ..Set::default() }
}

fn address_set(set: Set<'static>) -> NfListObject<'static> {
    NfListObject::Set(Box::new(set))
}

/// The prefixes of a family, without those that another contains: a set of intervals takes no overlaps.
fn of(list: &[Prefix], family: &str) -> Vec<Prefix> {
    let mut prefixes: Vec<Prefix> =
        list.iter().copied().filter(|prefix| prefix.address().is_ipv4() == (family == "ip")).collect();
    // Sorted, whoever contains another comes before it, and the last that was kept is the only one that can.
    prefixes.sort_unstable();
    let mut kept: Vec<Prefix> = Vec::new();
    for prefix in prefixes {
        if kept.last().is_none_or(|last| !last.covers(&prefix)) {
            kept.push(prefix);
        }
    }
    kept
}

fn chain(name: &'static str, hook: Option<NfHook>, priority: i32) -> NfListObject<'static> {
    NfListObject::Chain(Chain {
        family: NfFamily::INet,
        table: NAME.into(),
        name: name.into(),
        _type: hook.map(|_| NfChainType::Filter),
        hook,
        prio: hook.map(|_| priority),
        policy: hook.map(|_| NfChainPolicy::Accept),
        ..Chain::default()
    })
}

fn rule(chain: &'static str, statements: Vec<Statement<'static>>, comment: &str) -> Rule<'static> {
    Rule {
        family: NfFamily::INet,
        table: NAME.into(),
        chain: chain.into(),
        expr: statements.into(),
        comment: Some(comment.to_owned().into()),
        ..Rule::default()
    }
}

/// What matches is counted and dropped; only counted when observing.
fn stop(wish: &Wish, mut statements: Vec<Statement<'static>>) -> Vec<Statement<'static>> {
    let zero = AnonymousCounter { packets: Some(0), bytes: Some(0) };
    statements.push(Statement::Counter(Counter::Anonymous(Some(zero))));
    if !wish.observe {
        statements.push(Statement::Drop(None));
    }
    statements
}

fn equals(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

fn differs(left: Expression<'static>, right: Expression<'static>) -> Statement<'static> {
    Statement::Match(Match { left, right, op: Operator::NEQ })
}

fn text(words: &str) -> Expression<'static> {
    Expression::String(words.to_owned().into())
}

fn set(elements: impl Iterator<Item = Expression<'static>>) -> Expression<'static> {
    Expression::Named(NamedExpression::Set(elements.map(SetItem::Element).collect()))
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

/// What kind of address the packet is sent to.
fn destination_kind() -> Expression<'static> {
    Expression::Named(NamedExpression::Fib(Fib { result: FibResult::Type, flags: [FibFlag::Daddr].into() }))
}

fn masked_flags(of: &[&str]) -> Expression<'static> {
    let mask = Expression::List(of.iter().map(|flag| text(flag)).collect());
    Expression::BinaryOperation(Box::new(BinaryOperation::AND(payload("tcp", "flags"), mask)))
}

/// Of these flags, exactly those are set.
fn flags_are(of: &[&str], set: &[&str]) -> Statement<'static> {
    let wanted = match set {
        [] => Expression::Number(0),
        flags => Expression::List(flags.iter().map(|flag| text(flag)).collect()),
    };
    equals(masked_flags(of), wanted)
}

fn syn_alone() -> Statement<'static> {
    equals(masked_flags(&["fin", "syn", "rst", "ack"]), text("syn"))
}

fn not_syn() -> Statement<'static> {
    differs(masked_flags(&["fin", "syn", "rst", "ack"]), text("syn"))
}

fn not_synack() -> Statement<'static> {
    differs(masked_flags(&["syn", "ack"]), Expression::List(["syn", "ack"].map(text).into()))
}

/// Only packets of this family have such an address; said aloud where a statement rather than a match reads it.
fn of_family(family: &str) -> Statement<'static> {
    equals(meta(MetaKey::Nfproto), text(if family == "ip" { "ipv4" } else { "ipv6" }))
}

fn source(family: &'static str, mask: Option<&str>) -> Expression<'static> {
    let address = payload(family, "saddr");
    match mask {
        Some(mask) => Expression::BinaryOperation(Box::new(BinaryOperation::AND(address, text(mask)))),
        None => address,
    }
}

fn over(rate: Rate) -> Statement<'static> {
    Statement::Limit(Limit {
        rate: rate.per_second,
        rate_unit: None,
        per: Some("second".into()),
        burst: Some(rate.burst),
        burst_unit: None,
        inv: Some(true),
    })
}

fn ports(first: u16, last: u16) -> Expression<'static> {
    let number = |port: u16| Expression::Number(port.into());
    if first == last {
        return number(first);
    }
    Expression::Range(Box::new(Range { range: [number(first), number(last)] }))
}

fn to_ports(proxy: &Proxy) -> Statement<'static> {
    equals(payload("tcp", "dport"), set(proxy.ports.iter().map(|port| ports(*port, *port))))
}

fn prefix(prefix: Prefix) -> Expression<'static> {
    let address = text(&prefix.address().to_string());
    let whole = if prefix.address().is_ipv4() { 32 } else { 128 };
    if prefix.length() == whole {
        return address;
    }
    Expression::Named(NamedExpression::Prefix(NftPrefix { addr: Box::new(address), len: prefix.length().into() }))
}

#[cfg(test)]
mod tests;
