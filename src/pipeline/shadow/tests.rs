//! What is counted of a candidate that decides otherwise.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::client::Group;
use crate::message::{Name, QueryView};
use crate::policy::{
    Apply, Catalogue, Confidence, Entry, Inputs, Matching, Noted, Operator, Order, Pattern, Phase, Prohibition,
    Service, Validity, Verification,
};
use crate::query::{Peer, Through, Transport};

const AT: &str = "2026-01-01T00:00:00Z";

/// A policy of these suffixes, by service (0 is prohibited, 1 noted), that does not apply to one of its groups.
fn policy(digest: u8, entries: &[(&str, usize)], groups: &[&str], off: Option<&str>) -> Snapshot {
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
    let group = |name: &&str| Group { name: (*name).to_owned(), networks: vec![], devices: vec![], names: vec![] };
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

/// Asks for `name`, whose answer leads to `aliases`, as a client of a group.
fn ask(shadow: &Shadow, group: u16, name: &str, aliases: &[&str]) {
    let name: Name = name.parse().unwrap();
    let wire = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], name.as_wire(), &[0, 1, 0, 1]].concat();
    let peer = Peer { remote: "192.0.2.7:53".parse().unwrap(), local: None };
    let query = super::super::query_of(QueryView::read(&wire).unwrap(), peer, Transport::Udp);
    let alias = |name: &&str| Subject { name: name.parse().unwrap(), through: Through::Cname };
    let subjects: Vec<_> = aliases.iter().map(alias).collect();
    let client = Client::member(IpAddr::V4(Ipv4Addr::LOCALHOST), GroupId(group));
    let when = When::from(AT.parse::<Timestamp>().unwrap());
    let own = shadow.live.decide(&name, &client, when);
    let live = judge(&query, own, &subjects, (&shadow.live, &client, when)).decision;
    shadow.compare(&query, &client, &live, &subjects, when);
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
fn a_client_is_in_the_group_of_the_same_name() {
    let entries = [("upd.vendor.example", 0)];
    let live = policy(1, &entries, &["lab", "shop"], Some("lab"));
    let candidate = policy(2, &entries, &["shop"], Some("shop"));
    let shadow = shadow(live, candidate);
    ask(&shadow, 0, "upd.vendor.example", &[]);
    assert_eq!(rules(&shadow), [], "both sink it for the default group");
    // The candidate has no such group: its default one counts.
    ask(&shadow, 1, "upd.vendor.example", &[]);
    ask(&shadow, 2, "upd.vendor.example", &[]);
    ask(&shadow, 2, "upd.vendor.example", &[]);
    let expected = [("sunk", "pass", 2), ("pass", "sunk", 1)];
    assert_eq!(rules(&shadow), expected.map(|(live, new, count)| ("upd.vendor.example".to_owned(), live, new, count)));
}

#[test]
fn counters_hold_for_one_pair_of_policies() {
    let entries = [("upd.vendor.example", 0)];
    let shadow = shadow(policy(1, &entries, &[], None), policy(2, &entries, &[], None));
    assert!(shadow.is_of(&policy(1, &entries, &[], None), &policy(2, &entries, &[], None)));
    assert!(!shadow.is_of(&policy(3, &entries, &[], None), &policy(2, &entries, &[], None)));
    assert!(!shadow.is_of(&policy(1, &entries, &[], None), &policy(3, &entries, &[], None)));
}

#[test]
fn where_no_room_is_left_for_rules_the_sums_stay_exact() {
    let live = policy(1, &[("upd.vendor.example", 0)], &[], None);
    let mut shadow = shadow(live, policy(2, &[("x.example", 0)], &[], None));
    shadow.by_rule = (0..2).map(|_| Place::default()).collect();
    shadow.by_rule[0].key.store(1, Ordering::Relaxed);
    shadow.by_rule[1].key.store(2, Ordering::Relaxed);
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
