//! What is printed is read back as the same rules.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{List, compile, index, parse};
use super::*;

fn any_name() -> impl Strategy<Value = Name> {
    let label = prop_oneof![
        "[a-z0-9_-]{1,8}",
        "[0-9]{1,3}",
        Just("localhost".to_owned()),
        Just("rpz-x".to_owned()),
        // What means something to one format or another.
        "[a-z*#$^|~/@!;\"'() .\\\\=,:%]{1,6}",
    ];
    let octets =
        prop_oneof![4 => label.prop_map(String::into_bytes), 1 => proptest::collection::vec(any::<u8>(), 1..63)];
    proptest::collection::vec(octets, 1..4).prop_map(|labels| {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend(label);
        }
        wire.push(0);
        Name::from_wire(&wire).unwrap()
    })
}

fn any_record() -> impl Strategy<Value = LocalRecord> {
    let ttl = prop_oneof![Just(LOCAL_TTL), 0u32..1_000_000];
    prop_oneof![
        any::<IpAddr>().prop_map(|address| LocalRecord::address(address, LOCAL_TTL)),
        (ttl, proptest::collection::vec(any::<u8>(), 1..40)).prop_map(|(ttl, data)| LocalRecord {
            record_type: 65_280,
            ttl,
            data
        }),
    ]
}

fn any_action() -> impl Strategy<Value = Action> {
    let local = proptest::collection::btree_set(any_record(), 1..4)
        .prop_map(|records| Action::Local(Box::new(Local { records: records.into_iter().collect(), alias: None })));
    let alias = (0u32..100_000, any_name(), any::<bool>()).prop_map(|(ttl, target, prepend)| {
        Action::Local(Box::new(Local { records: Vec::new(), alias: Some(Alias { ttl, target, prepend }) }))
    });
    prop_oneof![
        Just(Action::Block),
        Just(Action::Pass),
        Just(Action::Nxdomain),
        Just(Action::Nodata),
        Just(Action::Refused),
        Just(Action::Drop),
        Just(Action::TcpOnly),
        Just(Action::null()),
        local,
        alias,
    ]
}

fn any_network() -> impl Strategy<Value = IpNet> {
    (any::<IpAddr>(), 0u8..=128).prop_map(|(address, prefix)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, prefix.min(longest)).unwrap().trunc()
    })
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let networks = || proptest::collection::btree_set(any_network(), 0..3);
    let types = || proptest::collection::btree_set(1u16..=40, 0..3);
    (types(), types(), networks(), networks(), proptest::collection::btree_set(any_name(), 0..3)).prop_map(
        |(types, other_types, clients, other_clients, except)| Condition {
            types: types.into_iter().collect(),
            other_types: other_types.into_iter().collect(),
            clients: clients.into_iter().collect(),
            other_clients: other_clients.into_iter().collect(),
            except: except.into_iter().collect(),
        },
    )
}

fn any_rule() -> impl Strategy<Value = (Trigger, Choice)> {
    let scope = prop_oneof![Just(Scope::Exact), Just(Scope::Below), Just(Scope::Both), Just(Scope::Node)];
    let trigger = prop_oneof![
        6 => (any_name(), scope).prop_map(|(name, scope)| Trigger::Name(Box::new(name), scope)),
        1 => any_network().prop_map(Trigger::Client),
        1 => any_network().prop_map(Trigger::Answer),
    ];
    let condition = prop_oneof![2 => Just(Condition::default()), 1 => any_condition()];
    (trigger, any_action(), 0u8..4, condition)
        .prop_map(|(trigger, action, turn, condition)| (trigger, Choice { action, turn, condition }))
}

/// The rules of a text, those for a name and all below it as two, and the lines that were not understood.
fn read(format: Format, text: &str) -> (BTreeSet<(Trigger, Choice)>, super::super::Refusals) {
    let mut gathered = parse(format, text);
    let refusals = gathered.refusals().clone();
    let octets = compile(&mut gathered, ([0; 32], format), || index::Key([1, 2, 3, 4])).unwrap();
    let list = List::new(index::Index::from_octets(octets).unwrap()).unwrap();
    let names = list.rules().map(|(name, scope, choice)| (Trigger::Name(Box::new(name), scope), choice.clone()));
    let networks = list.network_rules().map(|(trigger, choice)| (trigger, choice.clone()));
    (names.chain(networks).flat_map(apart).collect(), refusals)
}

fn apart((trigger, choice): (Trigger, Choice)) -> Vec<(Trigger, Choice)> {
    match trigger {
        Trigger::Name(name, Scope::Both) => vec![
            (Trigger::Name(name.clone(), Scope::Exact), choice.clone()),
            (Trigger::Name(name, Scope::Below), choice),
        ],
        trigger @ (Trigger::Name(..) | Trigger::Client(_) | Trigger::Answer(_)) => vec![(trigger, choice)],
    }
}

fn subject(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Name(name, _) => format!("name {name}"),
        Trigger::Client(network) => format!("client {network}"),
        Trigger::Answer(network) => format!("answer {network}"),
    }
}

/// What each format says, so that a property over what it cannot say does not hold for want of rules.
#[test]
fn every_format_says_what_it_is_for() {
    let name: Name = "ads.example".parse().unwrap();
    let plain = |action| Choice::plain(action);
    for (format, scope, choice, lines) in [
        (Format::Hosts, Scope::Exact, plain(Action::Block), "0.0.0.0 ads.example\n"),
        (Format::Domains, Scope::Below, plain(Action::Block), "*.ads.example\n"),
        (Format::Suffixes, Scope::Both, plain(Action::Block), "ads.example\n"),
        (Format::Adblock, Scope::Both, Choice { turn: 2, ..plain(Action::Pass) }, "@@||ads.example^\n"),
        (Format::Dnsmasq, Scope::Both, plain(Action::null()), "address=/ads.example/#\n"),
        (
            Format::Unbound,
            Scope::Both,
            Choice { turn: 1, ..plain(Action::Refused) },
            "local-zone: \"ads.example\" always_refuse\n",
        ),
        (Format::Rpz, Scope::Node, plain(Action::Drop), "ads.example CNAME rpz-drop.\n"),
    ] {
        let printed = print(format, &Trigger::Name(Box::new(name.clone()), scope), &choice);
        assert_eq!(printed.as_deref(), Some(lines), "{format}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_back(rules in proptest::collection::vec(any_rule(), 1..40)) {
        // One rule for a name: two would be one record of both, or a contradiction.
        let rules: BTreeMap<String, (Trigger, Choice)> =
            rules.into_iter().map(|rule| (subject(&rule.0), rule)).collect();
        for format in Format::ALL {
            let mut text = heading(format).to_owned();
            let mut expected = BTreeSet::new();
            for (trigger, choice) in rules.values() {
                // In Unbound, a zone says what may stand below it.
                let is_below = |other: &Trigger| match (trigger, other) {
                    (Trigger::Name(name, _), Trigger::Name(above, _)) => name != above && name.is_at_or_below(above),
                    _ => false,
                };
                if format == Format::Unbound && rules.values().any(|(other, _)| is_below(other)) {
                    continue;
                }
                if let Some(lines) = print(format, trigger, choice) {
                    text.push_str(&lines);
                    expected.extend(apart((trigger.clone(), choice.clone())));
                }
            }
            let (found, refusals) = read(format, &text);
            prop_assert_eq!(refusals.count, 0, "{}: {:?}\n{}", format, refusals, text);
            prop_assert_eq!(found, expected, "{}\n{}", format, text);
        }
    }
}
