//! What an operator chooses, and what an archive keeps of a policy.

use super::*;

fn operator() -> Operator {
    let treatment =
        |service: &str, choice| OperatorTreatment { order: "ban".to_owned(), service: service.to_owned(), choice };
    Operator {
        demand: Demand::External,
        removal: Removal::Until("2025-01-01T00:00:00Z".parse().unwrap()),
        treatments: vec![
            treatment("web", TreatmentChoice::Kept),
            treatment("web", TreatmentChoice::Prohibited("updates".to_owned())),
            treatment("update", TreatmentChoice::Noted),
            treatment("update", TreatmentChoice::Exempt),
        ],
        ..Operator::default()
    }
}

/// Everything that an operator can choose.
fn every_choice() -> Operator {
    let until = "2027-01-01T00:00:00Z".parse().unwrap();
    let waiver = |id: &str, clients, rules, ticket: Option<&str>| Waiver {
        id: id.to_owned(),
        scope: Scope { clients, rules, names: vec!["a.upd.acme.com".parse().unwrap(), "*.acme.com".parse().unwrap()] },
        term: Term::new("2026-01-01T00:00:00.5Z".parse().unwrap(), until).unwrap(),
        reason: "a \"reason\"".to_owned(),
        approver: "someone".to_owned(),
        ticket: ticket.map(str::to_owned),
    };
    let apply = |phase, demand, sink| Apply {
        order: "ban".to_owned(),
        groups: vec!["lab".to_owned(), "default".to_owned()],
        phase,
        demand,
        sink,
    };
    let network = |text: &str| Party::Network(text.parse().unwrap());
    let services = vec!["update".to_owned()];
    Operator {
        mode: Mode::Monitor,
        groups: vec![Group {
            name: "lab".to_owned(),
            networks: vec!["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()],
            devices: vec!["00:00:5e:00:53:01".parse().unwrap()],
            names: vec!["*.lab.example".parse().unwrap()],
        }],
        applies: vec![
            apply(
                Phase::Enforce,
                Some(Demand::External),
                Some(Sink::Address { v4: Some([192, 0, 2, 1].into()), v6: None }),
            ),
            apply(Phase::Off, Some(Demand::Own), Some(Sink::Refused)),
            apply(Phase::Monitor { until: None }, None, None),
            apply(Phase::Monitor { until: Some(until) }, None, Some(Sink::Nodata)),
        ],
        waivers: vec![
            waiver(
                "W-1",
                vec![Party::Group("lab".to_owned())],
                Rules::Order { order: "ban".to_owned(), services },
                None,
            ),
            waiver(
                "W-2",
                vec![network("10.0.0.7/32"), network("fd00::/8")],
                Rules::Service { catalogue: "acme".to_owned(), service: "update".to_owned() },
                Some("T-1"),
            ),
            waiver("M-1", Vec::new(), Rules::Everything, None),
        ],
        ..operator()
    }
}

#[test]
fn every_choice_is_kept_and_decides_alike() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(&write(folder.path(), CATALOGUE, ORDER), every_choice(), 1).unwrap();
    let read = Archive::from_json(&loaded.archive.to_json()).unwrap();
    assert_eq!(*read.operator(), every_choice());
    let without = loaded.archive.with_operator(operator());
    assert_ne!(without.digest(), read.digest());
    assert_eq!(without.compile(2).unwrap().inputs().operator, operator());
}

#[test]
fn what_a_choice_names_has_to_be_there() {
    let choice = every_choice();
    let of = |operator: Operator| faults(CATALOGUE, ORDER, operator);
    let mut unknown = choice.clone();
    unknown.groups.clear();
    assert!(of(unknown).iter().any(|fault| fault.contains("group `lab`")), "a group");
    for (rules, words) in [
        (Rules::Order { order: "other".to_owned(), services: Vec::new() }, "order `other`"),
        (Rules::Order { order: "ban".to_owned(), services: vec!["none".to_owned()] }, "service `none`"),
        (Rules::Service { catalogue: "other".to_owned(), service: "update".to_owned() }, "catalogue `other`"),
        (Rules::Service { catalogue: "acme".to_owned(), service: "none".to_owned() }, "service `none`"),
    ] {
        let mut operator = choice.clone();
        operator.waivers[0].scope.rules = rules;
        let told = of(operator);
        assert!(told.len() == 1 && told[0].contains("waiver `W-1`") && told[0].contains(words), "{words}: {told:?}");
    }
    let mut twice = choice.clone();
    twice.waivers[1].id = "W-1".to_owned();
    assert!(of(twice)[0].contains("two waivers have the id `W-1`"));
    let mut other = choice;
    other.applies[0].order = "other".to_owned();
    assert!(of(other)[0].contains("order `other`"));
}

#[test]
fn an_archive_reads_back_with_its_digest_and_its_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(&write(folder.path(), CATALOGUE, ORDER), operator(), 1).unwrap();
    let kept = folder.path().join("policy");
    let path = loaded.archive.store(&kept).unwrap();
    assert_eq!(loaded.archive.store(&kept).unwrap(), path, "storing again changes nothing");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 1, "nothing is left beside it");
    let opened = Archive::open(&kept, loaded.snapshot.digest()).unwrap();
    assert_eq!(opened.digest(), *loaded.snapshot.digest());
    let replayed = opened.compile(2).unwrap();
    assert_eq!(replayed.digest(), loaded.snapshot.digest());
    let anyone = Client::at("192.0.2.1".parse().unwrap());
    for name in ["a.upd.acme.com", "shop.acme.co.uk", "www.shop.acme.com", "acme.com"] {
        for at in ["2020-01-01T00:00:00Z", "2024-07-20T03:59:59Z", "2024-07-20T04:00:00Z", "2026-01-01T00:00:00Z"] {
            let (name, at) = (name.parse().unwrap(), at.parse::<jiff::Timestamp>().unwrap());
            assert_eq!(
                replayed.decide(&name, &anyone, at),
                loaded.snapshot.decide(&name, &anyone, at),
                "{name} at {at}"
            );
        }
    }
    let at: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let shop = replayed.decide(&"shop.acme.com".parse().unwrap(), &anyone, at);
    assert_eq!(shop.verdict, Verdict::Sunk, "the operator's later choice replaces the earlier one");
}

#[test]
fn where_the_files_lie_does_not_change_the_digest() {
    let digest = || {
        let folder = tempfile::tempdir().unwrap();
        load(&write(folder.path(), CATALOGUE, ORDER), operator(), 1).unwrap().archive.digest()
    };
    assert_eq!(digest(), digest());
    let folder = tempfile::tempdir().unwrap();
    let selection = write(folder.path(), CATALOGUE, ORDER);
    assert_ne!(load(&selection, Operator::default(), 1).unwrap().archive.digest(), digest(), "choices are part of it");
}

/// RFC 8785, compared with another implementation.
#[test]
fn an_archive_is_canonical_json() {
    for operator in [
        operator(),
        every_choice(),
        Operator::default(),
        Operator { removal: Removal::Finished, ..Operator::default() },
    ] {
        let text = "tab \t, quote \", control \u{1}, é, \u{1f600}".to_owned();
        let archive = Archive::new(vec![Document { kind: Kind::Order, path: String::new(), text }], operator);
        let json = archive.to_json();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), json);
        assert_eq!(Archive::from_json(&json).unwrap().to_json(), json);
    }
}

#[test]
fn a_changed_archive_is_found_and_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let archive = load(&write(folder.path(), CATALOGUE, ORDER), operator(), 1).unwrap().archive;
    let path = archive.store(folder.path()).unwrap();
    fs::write(&path, archive.to_json().replace("Acme", "Acne")).unwrap();
    assert!(matches!(Archive::open(folder.path(), &archive.digest()), Err(ArchiveError::Digest { .. })));
    archive.store(folder.path()).unwrap();
    assert!(Archive::open(folder.path(), &archive.digest()).is_ok());
    assert!(matches!(Archive::open(folder.path(), &[0; 32]), Err(ArchiveError::Read { .. })));
    let newer = archive.to_json().replace("\"version\":1", "\"version\":2");
    assert!(matches!(Archive::from_json(&newer), Err(ArchiveError::Version(2))));
    assert!(matches!(Archive::from_json("{}"), Err(ArchiveError::Form(_))));
}
