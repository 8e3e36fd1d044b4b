//! Several lists in their order, with their dates.

use super::super::{Format, compile, index, parse};
use super::*;

fn list(format: Format, text: &str) -> Arc<List> {
    let mut gathered = parse(format, text);
    assert_eq!(gathered.refusals().count, 0, "{:?}", gathered.refusals());
    let key = index::Key([0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03, 0x8CB9_2BA7_2F3D_8DD7, 0xA24B_AED4_963E_E407]);
    let octets = compile(&mut gathered, ([0; 32], format), || key).unwrap();
    Arc::new(List::new(index::Index::from_octets(octets).unwrap()).unwrap())
}

fn link(name: &str, list: Arc<List>) -> Link {
    Link { name: name.to_owned(), list, dates: Dates::default(), action: None }
}

fn zone(records: &str) -> Arc<List> {
    list(Format::Rpz, &format!("@ 60 SOA . . 1 2 3 4 5\n{records}"))
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn says(chain: &Chain, name: &str, at: &str) -> String {
    let client = Client::at("192.0.2.7".parse().unwrap());
    let name: Name = name.parse().unwrap();
    chain.decide(&name, RecordType::A, &client, instant(at)).map_or_else(
        || "-".to_owned(),
        |of| {
            format!("{} {}{} {}", of.list, if of.monitored { "would " } else { "" }, of.action, of.rule.describe(&name))
        },
    )
}

const NOW: &str = "2026-03-01T00:00:00Z";

#[test]
fn the_first_list_that_matches_decides() {
    let chain = Chain::new(
        1,
        vec![
            link("allow", zone("good.bad.example CNAME rpz-passthru.\n")),
            link("block", zone("*.bad.example CNAME .\nbad.example CNAME *.\n*.sub.bad.example CNAME rpz-drop.\n")),
            link("more", list(Format::Suffixes, "example\n")),
        ],
    );
    for (name, expected) in [
        ("good.bad.example", "allow pass good.bad.example"),
        ("x.good.bad.example", "block nxdomain *.bad.example"),
        ("bad.example", "block nodata bad.example"),
        ("x.sub.bad.example", "block drop *.sub.bad.example"),
        ("sub.bad.example", "block nxdomain *.bad.example"),
        ("other.example", "more block example and *.example"),
        ("other.test", "-"),
    ] {
        assert_eq!(says(&chain, name, NOW), expected, "{name}");
    }
}

#[test]
fn a_client_is_decided_before_a_name_of_the_same_list_only() {
    let chain = Chain::new(
        1,
        vec![
            link("first", zone("a.example CNAME .\n")),
            link(
                "second",
                zone("a.example CNAME .\nb.example CNAME .\n32.7.2.0.192.rpz-client-ip CNAME rpz-passthru.\n"),
            ),
        ],
    );
    assert_eq!(says(&chain, "a.example", NOW), "first nxdomain a.example");
    assert_eq!(says(&chain, "b.example", NOW), "second pass client 192.0.2.7/32");
}

#[test]
fn the_longest_network_of_an_answer_decides() {
    let chain =
        Chain::new(1, vec![link("a", zone("16.0.0.2.192.rpz-ip CNAME .\n24.0.7.2.192.rpz-ip CNAME rpz-passthru.\n"))]);
    let says = |text: &str| {
        let found = chain.decide_address(text.parse().unwrap(), instant(NOW));
        found.map(|of| format!("{} {}", of.action, of.rule.describe(&Name::root())))
    };
    assert_eq!(says("192.2.7.1").as_deref(), Some("pass address 192.2.7.0/24"));
    assert_eq!(says("192.2.8.1").as_deref(), Some("nxdomain address 192.2.0.0/16"));
    assert_eq!(says("192.3.8.1"), None);
    assert!(chain.has_answers());
}

#[test]
fn lists_have_dates() {
    let at = |text: &str| Some(instant(text));
    let of = |from, until, monitor_from| Link {
        dates: Dates { from, until, monitor_from },
        ..link("a", list(Format::Domains, "x.example\n"))
    };
    let dated = of(at("2026-03-01T00:00:00Z"), at("2026-05-01T00:00:00Z"), at("2026-02-01T00:00:00Z"));
    let behind = link("b", list(Format::Domains, "x.example\n"));
    let chain = Chain::new(1, vec![dated.clone()]);
    for (at, expected) in [
        ("2026-01-31T23:59:59Z", "-"),
        ("2026-02-01T00:00:00Z", "a would block x.example"),
        ("2026-02-28T23:59:59Z", "a would block x.example"),
        ("2026-03-01T00:00:00Z", "a block x.example"),
        ("2026-04-30T23:59:59Z", "a block x.example"),
        ("2026-05-01T00:00:00Z", "-"),
    ] {
        assert_eq!(says(&chain, "x.example", at), expected, "{at}");
    }
    assert_eq!(chain.next_instant(instant("2026-02-01T00:00:00Z")), at("2026-03-01T00:00:00Z"));
    assert_ne!(chain.epoch(instant("2026-02-28T23:59:59Z")), chain.epoch(instant("2026-03-01T00:00:00Z")));
    let both = Chain::new(1, vec![dated, behind]);
    assert_eq!(
        says(&both, "x.example", "2026-02-02T00:00:00Z"),
        "b block x.example",
        "what only watches decides nothing"
    );
    let watching = Chain::new(1, vec![of(None, None, at("2026-02-01T00:00:00Z"))]);
    assert_eq!(says(&watching, "x.example", "2036-02-02T00:00:00Z"), "a would block x.example");
}

/// By a clock that leapt ahead a list begins, and does not end.
#[test]
fn a_leap_of_the_clock_ends_no_list() {
    let until = Some(instant("2026-05-01T00:00:00Z"));
    let dates = Dates { from: Some(instant("2026-03-01T00:00:00Z")), until, monitor_from: None };
    let chain = Chain::new(1, vec![Link { dates, ..link("a", list(Format::Domains, "x.example\n")) }]);
    let client = Client::at("192.0.2.7".parse().unwrap());
    let at = When { at: instant("2060-01-01T00:00:00Z"), ends: instant("2026-04-01T00:00:00Z") };
    assert!(chain.decide(&"x.example".parse().unwrap(), RecordType::A, &client, at).is_some_and(|of| of.withholds()));
}

#[test]
fn an_action_of_the_operator_takes_the_place_of_all_but_passing() {
    let records = "a.example CNAME .\nb.example CNAME rpz-passthru.\nc.example A 192.0.2.1\n";
    let chain = Chain::new(1, vec![Link { action: Some(Action::Refused), ..link("a", zone(records)) }]);
    for (name, expected) in [("a", "a refused a.example"), ("b", "a pass b.example"), ("c", "a refused c.example")] {
        assert_eq!(says(&chain, &format!("{name}.example"), NOW), expected);
    }
}

#[test]
fn a_wildcard_alias_takes_the_name_in_front() {
    let chain = Chain::new(1, vec![link("a", zone("*.a.example CNAME *.walled.test.\n"))]);
    let name: Name = "x.y.a.example".parse().unwrap();
    let client = Client::at("192.0.2.7".parse().unwrap());
    let found = chain.decide(&name, RecordType::A, &client, instant(NOW)).unwrap();
    let Action::Local(local) = found.action else { panic!("{found:?}") };
    let alias = local.alias.as_ref().unwrap();
    assert_eq!(alias.target_for(&name).unwrap().to_string(), "x.y.a.example.walled.test");
    let long: Name = vec!["a"; 125].join(".").parse().unwrap();
    assert_eq!(alias.target_for(&long), None, "longer than a name can be");
}
