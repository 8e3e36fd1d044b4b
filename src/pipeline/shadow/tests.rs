//! What is counted of a candidate that decides otherwise.

use super::*;
use crate::client::{Client, Group, Known, Table};
use crate::message::{Name, QueryView};
use crate::policy::{
    Apply, Catalogue, Confidence, Entry, Inputs, Matching, Noted, Operator, Order, Pattern, Phase, Prohibition,
    Service, Validity, Verification,
};
use crate::query::{Peer, Place as Standing, Subject, Target, Through, Transport};

const AT: &str = "2026-01-01T00:00:00Z";

/// A policy of these suffixes, by service (0 is prohibited, 1 noted), that does not apply to one of its groups, which are
/// networks.
fn policy(digest: u8, entries: &[(&str, usize)], groups: &[(&str, &str)], off: Option<&str>) -> Snapshot {
    let published = "2024-06-24".parse().unwrap();
    let entry = |(text, service): &(&str, usize)| Entry {
        text: (*text).to_owned(),
        pattern: Pattern::parse(text, Matching::Suffix, &[]).unwrap(),
        service: *service,
        confidence: Confidence::High,
        evidence: Vec::new(),
        note: None,
    };
    let services = ["update", "web"];
    let catalogue = Catalogue {
        id: "vendor".to_owned(),
        vendor: String::new(),
        title: String::new(),
        revised: published,
        example: None,
        services: services.map(|id| Service { id: id.to_owned(), title: String::new() }).into(),
        entries: entries.iter().map(entry).collect(),
    };
    let order = Order {
        id: "act".to_owned(),
        title: String::new(),
        issuer: String::new(),
        citation: String::new(),
        rules: Vec::new(),
        catalogue: "vendor".to_owned(),
        published,
        sources: Vec::new(),
        facts: Vec::new(),
        prohibitions: vec![Prohibition {
            id: "updates".to_owned(),
            title: String::new(),
            validity: Validity::new("2024-09-29T04:00:00Z".parse().unwrap(), None).unwrap(),
            basis: String::new(),
            verification: Verification::Primary,
            services: vec!["update".to_owned()],
        }],
        protected: Vec::new(),
        exempt: Vec::new(),
        kept: Vec::new(),
        noted: vec![Noted { services: vec!["web".to_owned()], reason: String::new() }],
    };
    let group = |(name, network): &(&str, &str)| Group {
        name: (*name).to_owned(),
        networks: vec![network.parse().unwrap()],
        devices: vec![],
        names: vec![],
    };
    let apply = |group: &str| Apply {
        order: "act".to_owned(),
        groups: vec![group.to_owned()],
        phase: Phase::Off,
        demand: None,
        sink: None,
    };
    let (groups, applies) = (groups.iter().map(group).collect(), off.map(apply).into_iter().collect());
    let operator = Operator { groups, applies, ..Operator::default() };
    let inputs = Inputs { catalogues: vec![catalogue], orders: vec![order], operator };
    Snapshot::compile(1, [digest; 32], inputs).unwrap()
}

fn shadow(live: Snapshot, candidate: Snapshot) -> Shadow {
    Shadow::new(Arc::new(live), candidate, AT.parse().unwrap())
}

/// Asks for `name`, whose answer leads to `aliases`, from the address 192.0.2.`host`.
fn ask(shadow: &Shadow, host: u8, name: &str, aliases: &[&str]) {
    let name: Name = name.parse().unwrap();
    let wire = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], name.as_wire(), &[0, 1, 0, 1]].concat();
    let peer = Peer::direct(([192, 0, 2, host], 53).into(), None);
    let query = Query::of(QueryView::read(&wire).unwrap(), peer, Transport::Udp);
    let alias = |name: &&str| Subject {
        target: Target::Name(name.parse().unwrap()),
        through: Through::Cname,
        place: Standing::Chain,
        behind_chain: true,
    };
    let subjects: Vec<_> = aliases.iter().map(alias).collect();
    let subjects = Subjects::new(&subjects);
    let client: Client = Table::new(&shadow.live.inputs().operator.groups, &Known::default()).identify_peer(&peer);
    let when = When::from(AT.parse::<Timestamp>().unwrap());
    let decision = shadow.live.decide(&name, &client, when);
    let mut live = Judgement { client, decision, subject: None, shields: Vec::new() };
    judge(&query, &mut live, &subjects, (&shadow.live, when));
    shadow.compare(&query, &live, Some(&subjects), when);
}

fn rules(shadow: &Shadow) -> Vec<(String, &'static str, &'static str, u64)> {
    shadow.report().rules.into_iter().map(|of| (of.entry, of.live, of.candidate, of.count)).collect()
}

#[test]
fn what_differs_is_counted_by_rule_and_verdicts() {
    let live = policy(1, &[("upd.vendor.example", 0), ("www.vendor.example", 1)], &[], None);
    let candidate = policy(2, &[("upd.vendor.example", 0), ("www.vendor.example", 0), ("new.example", 0)], &[], None);
    let shadow = shadow(live, candidate);
    for _ in 0..3 {
        ask(&shadow, 0, "a.www.vendor.example", &[]);
    }
    ask(&shadow, 0, "new.example", &[]);
    // By the names in the answer as well, and not where both say the same or nothing.
    ask(&shadow, 0, "alias.example", &["edge.example", "x.new.example"]);
    ask(&shadow, 0, "alias.example", &["upd.vendor.example"]);
    ask(&shadow, 0, "upd.vendor.example", &[]);
    ask(&shadow, 0, "unlisted.example", &["also.unlisted.example"]);
    let expected = [("www.vendor.example", "noted", "sunk", 3), ("new.example", "pass", "sunk", 2)];
    assert_eq!(rules(&shadow), expected.map(|(entry, live, new, count)| (entry.to_owned(), live, new, count)));
    let report = shadow.report();
    assert_eq!(report.differing, 5);
    let orders: Vec<_> = report.orders.iter().map(|of| (of.order.as_str(), of.live, of.candidate, of.count)).collect();
    assert_eq!(orders, [("act", "pass", "sunk", 2), ("act", "noted", "sunk", 3)]);
}

#[test]
fn what_only_the_policy_in_use_lists_is_counted_under_its_rule() {
    let shadow = shadow(policy(1, &[("upd.vendor.example", 0)], &[], None), policy(2, &[("x.example", 0)], &[], None));
    ask(&shadow, 0, "upd.vendor.example", &[]);
    assert_eq!(rules(&shadow), [("upd.vendor.example".to_owned(), "sunk", "pass", 1)]);
}

#[test]
fn a_client_is_in_the_group_that_the_candidate_puts_it_into() {
    let entries = [("upd.vendor.example", 0)];
    let live = policy(1, &entries, &[("lab", "192.0.2.0/29"), ("shop", "192.0.2.8/29")], Some("lab"));
    let candidate = policy(2, &entries, &[("shop", "192.0.2.7/32"), ("lab", "192.0.2.8/29")], Some("lab"));
    let shadow = shadow(live, candidate);
    for host in [1, 7, 8, 9, 200] {
        ask(&shadow, host, "upd.vendor.example", &[]);
    }
    // Of the live lab nobody is left in it; the live shop is the candidate's lab; the last one is in no group.
    let expected = [("pass", "sunk", 2), ("sunk", "pass", 2)];
    assert_eq!(rules(&shadow), expected.map(|(live, new, count)| ("upd.vendor.example".to_owned(), live, new, count)));
    let groups = [("lab", "192.0.2.0/24")];
    let alike = Shadow::new(
        Arc::new(policy(1, &entries, &groups, None)),
        policy(2, &entries, &groups, Some("lab")),
        AT.parse().unwrap(),
    );
    assert!(alike.clients().is_none(), "the same groups have one table");
    ask(&alike, 1, "upd.vendor.example", &[]);
    assert_eq!(rules(&alike), [("upd.vendor.example".to_owned(), "sunk", "pass", 1)]);
}

#[test]
fn counters_go_on_where_neither_policy_changed() {
    let entries = [("upd.vendor.example", 0)];
    let made = |live: u8, candidate: u8| shadow(policy(live, &entries, &[], None), policy(candidate, &[], &[], None));
    let counted = made(1, 2);
    ask(&counted, 1, "upd.vendor.example", &[]);
    assert_eq!(made(1, 2).report().differing, 0);
    assert_eq!(made(1, 2).going_on(&counted).map(|of| of.report().differing), Some(1));
    assert!(made(3, 2).going_on(&counted).is_none());
    assert!(made(1, 3).going_on(&counted).is_none());
}

#[test]
fn where_no_room_is_left_for_rules_the_sums_stay_exact() {
    let live = policy(1, &[("upd.vendor.example", 0)], &[], None);
    let mut shadow = shadow(live, policy(2, &[("x.example", 0)], &[], None));
    let by_rule: Box<[Place]> = (0..2).map(|_| Place::default()).collect();
    by_rule.iter().for_each(|place| place.key.store(7, Ordering::Relaxed));
    Arc::get_mut(&mut shadow.counters).unwrap().by_rule = by_rule;
    ask(&shadow, 0, "upd.vendor.example", &[]);
    ask(&shadow, 0, "x.example", &[]);
    let report = shadow.report();
    assert_eq!((report.differing, report.rules.len()), (2, 0));
}

#[test]
fn a_rule_and_its_verdicts_fit_into_one_number() {
    for (side, order, entry, pair) in
        [(Side::Live, 0, 0, 0), (Side::Candidate, 65_535, 4_294_967_295, PAIRS - 1), (Side::Live, 7, 1 << 20, 9)]
    {
        let verdict = Verdict::Sunk;
        let of = Match { order, entry, verdict, prohibition: None, waiver: None, recorded: true, threat: false };
        let key = key(side, &of, pair);
        assert_ne!(key, 0);
        assert_eq!(rule_of(key), (side, order, entry, pair));
    }
}
