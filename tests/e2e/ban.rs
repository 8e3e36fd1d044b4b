//! The instant: what is resolved before it, what is withheld from it on, and that nothing kept leaks across.

use std::time::Duration;

use crate::clients::{Answer, dig};
use crate::daemon::{Daemon, Setup};
use crate::place;
use crate::upstream::Upstream;

/// How long before the instant the rehearsals begin: enough to ask everything once on a busy machine.
const BEFORE: &str = "2024-09-29T03:59:45Z";
const AFTER: &str = "2024-09-29T04:00:01Z";
const CITATION: &str = "89 FR 52434";

const TYPES: &[&str] =
    &["A", "AAAA", "TXT", "HTTPS", "SVCB", "MX", "SRV", "CNAME", "NS", "SOA", "CAA", "PTR", "TYPE65280"];

fn rehearse(upstream: &Upstream, instant: &str) -> Daemon {
    Setup::forwarding_to(upstream).at(instant).start()
}

/// Waits until the daemon's policy time has come to the instant, by asking for a name that changes with it.
fn cross(daemon: &Daemon) {
    place::until(Duration::from_secs(40), "the instant to come", || {
        let answer = dig(daemon.dns, &["dnl-02.geo.kaspersky.com", "A"]);
        (answer.status == "NXDOMAIN").then_some(())
    });
}

fn assert_sunk(answer: &Answer) {
    assert_eq!(answer.status, "NXDOMAIN", "{}", answer.text);
    assert!(answer.answers().is_empty(), "{}", answer.text);
    assert!(!answer.has("ad") && answer.has("ra"), "{}", answer.text);
    let (code, text) = answer.ede.clone().unwrap_or_else(|| panic!("no extended error in {}", answer.text));
    assert_eq!(code, 15, "{}", answer.text);
    assert!(text.contains("blocked by this network's policy") && text.contains(CITATION), "{text}");
    let [soa] = answer.section("authority") else { panic!("not one SOA in {}", answer.text) };
    assert_eq!(soa.record_type, "SOA", "{}", answer.text);
    assert!(soa.ttl <= 60, "{}", answer.text);
    let minimum: u32 = soa.data.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(minimum <= 60, "{}", answer.text);
}

#[test]
fn a_lookup_is_resolved_until_the_instant_and_sunk_from_it_on() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = rehearse(&upstream, BEFORE);
    let before = dig(daemon.dns, &["dnl-01.geo.kaspersky.com", "A"]);
    assert_eq!((before.status.as_str(), before.data("A")), ("NOERROR", vec!["192.0.2.20"]), "{}", before.text);
    // Upstream said a day; the answer must not outlive the instant.
    assert!(before.ttl() <= 15, "{}", before.text);
    assert_eq!(before.ede, None, "{}", before.text);
    for name in ["opentip.kaspersky.com", "media.kaspersky.com"] {
        assert_eq!(dig(daemon.dns, &[name, "A"]).status, "NOERROR");
    }
    cross(&daemon);
    assert_sunk(&dig(daemon.dns, &["dnl-01.geo.kaspersky.com", "A"]));
    assert_sunk(&dig(daemon.dns, &["dnl-01.geo.kaspersky.com", "A", "+tcp"]));
    for (name, data) in [("opentip.kaspersky.com", "192.0.2.10"), ("media.kaspersky.com", "192.0.2.11")] {
        let after = dig(daemon.dns, &[name, "A"]);
        assert_eq!(after.data("A"), [data], "{}", after.text);
    }
    assert_recorded(&daemon);
}

/// Both sides of the instant are recorded, as a rehearsal.
fn assert_recorded(daemon: &Daemon) {
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().trim_end_matches('.').to_owned();
    let records = place::until(place::PATIENCE, "both attempts to be listed", || {
        let arguments = ["attempts", "--rehearsal", "--json", "--name", "dnl-01.geo.kaspersky.com"];
        let mut records = daemon.json(&arguments);
        records.retain(|record| name(record) == "dnl-01.geo.kaspersky.com");
        let has = |verdict: &str| records.iter().any(|record| record["verdict"] == verdict);
        (has("monitored") && has("sunk")).then_some(records)
    });
    for record in records {
        assert_eq!(record["rehearsal"], true, "{record}");
        assert_eq!(record["type"], "A", "{record}");
        assert_eq!(record["order"], "us-commerce-2024", "{record}");
        assert!(record["client"].as_str().is_some_and(|client| client.starts_with("127.")), "{record}");
    }
    // A rehearsal keeps its records apart; there are no others, and nobody is told that nothing was attempted.
    let live = daemon.command(&["attempts", "--json"]);
    assert!(!live.status.success() && String::from_utf8_lossy(&live.stderr).contains("no journal"), "{live:?}");
}

#[test]
fn every_record_type_is_withheld_alike() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = rehearse(&upstream, AFTER);
    for record_type in TYPES {
        for flags in [&["+nodnssec"][..], &["+dnssec"], &["+cdflag"], &["+dnssec", "+cdflag", "+noadflag"]] {
            assert_sunk(&dig(daemon.dns, &[&["dnl-01.geo.kaspersky.com", record_type], flags].concat()));
        }
    }
    for name in
        ["upd.kaspersky.com", "s00.upd.kaspersky.com", "deep.below.upd.kaspersky.com", "dc1.ksn.kaspersky-labs.com"]
    {
        assert_sunk(&dig(daemon.dns, &[name, "A"]));
    }
    let shouted = dig(daemon.dns, &["DNL-01.GEO.KASPERSKY.COM.", "A"]);
    assert_sunk(&shouted);
    assert_sunk(&dig(daemon.dns, &[r"\100nl-01.\103eo.kaspersky.com", "A"]));
}

#[test]
fn every_record_type_is_resolved_before_the_instant() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = rehearse(&upstream, "2024-09-28T12:00:00Z");
    for record_type in TYPES {
        let truth = dig(upstream.address, &["dnl-01.geo.kaspersky.com", record_type]);
        let answer = dig(daemon.dns, &["dnl-01.geo.kaspersky.com", record_type]);
        assert_eq!((&answer.status, answer.answers().len()), (&truth.status, truth.answers().len()), "{}", answer.text);
        // Sixteen hours are left; a day was offered.
        let records = answer.answers().iter().chain(answer.section("authority"));
        assert!(records.map(|record| record.ttl).all(|ttl| ttl <= 57_600), "{}", answer.text);
    }
}

#[test]
fn nothing_that_was_cached_survives_the_instant() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = rehearse(&upstream, BEFORE);
    let questions = [
        ["dnl-01.geo.kaspersky.com", "A"],
        ["alias.example", "A"],
        ["alias.example", "CNAME"],
        ["deep.example", "AAAA"],
        ["dnl-01.geo.kaspersky.example", "A"],
        ["https.example", "HTTPS"],
        ["svcb.example", "SVCB"],
    ];
    for question in questions {
        let before = dig(daemon.dns, &question);
        assert_eq!(before.status, "NOERROR", "{}", before.text);
        assert!(!before.answers().is_empty(), "{}", before.text);
        let records = before.answers().iter().chain(before.section("authority")).chain(before.section("additional"));
        assert!(records.map(|record| record.ttl).all(|ttl| ttl <= 15), "{question:?}\n{}", before.text);
    }
    cross(&daemon);
    for question in questions {
        let after = dig(daemon.dns, &question);
        assert!(after.answers().is_empty(), "{question:?}\n{}", after.text);
        assert_eq!(after.ede_code(), Some(15), "{question:?}\n{}", after.text);
        for prohibited in ["192.0.2.20", "2001:db8::20", "dnl-01.geo.kaspersky.com.\t"] {
            let answers = after.text.split(";; ANSWER SECTION").nth(1).unwrap_or_default();
            assert!(!answers.contains(prohibited), "{question:?}\n{}", after.text);
        }
    }
    // Neighbours of theirs go on.
    assert_eq!(dig(daemon.dns, &["tip.example", "A"]).data("A"), ["192.0.2.10"]);
    assert_eq!(dig(daemon.dns, &["plainhttps.example", "HTTPS"]).status, "NOERROR");
}

#[test]
fn names_that_only_look_like_listed_ones_are_resolved() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = rehearse(&upstream, AFTER);
    for (name, data) in [
        ("upd.kaspersky.com.corp.example", "192.0.2.90"),
        ("kaspersky.com.evil.example", "192.0.2.66"),
        ("upd.kaspersky.com.evil.example", "192.0.2.67"),
        ("dnl-01.geo.kaspersky.com.evil.example", "192.0.2.68"),
        ("notkaspersky.com", "192.0.2.69"),
        ("upd.notkaspersky.com", "192.0.2.70"),
    ] {
        let answer = dig(daemon.dns, &[name, "A"]);
        assert_eq!((answer.data("A"), answer.ede_code()), (vec![data], None), "{}", answer.text);
        let [explained] = &daemon.json(&["explain", name, "--json"])[..] else { panic!("not one explanation") };
        assert_eq!(explained["verdict"], "pass", "{explained}");
    }
}

#[test]
fn explain_tells_the_decision_at_either_side_of_the_instant() {
    needs!("nsd");
    let upstream = Upstream::start();
    let daemon = rehearse(&upstream, AFTER);
    for (name, instant, verdict) in [
        ("dnl-01.geo.kaspersky.com", "2024-09-29T03:59:59.999Z", "monitored"),
        ("dnl-01.geo.kaspersky.com", "2024-09-29T04:00:00Z", "sunk"),
        ("dnl-01.geo.kaspersky.com", "2024-09-29T00:00:00-04:00", "sunk"),
        ("opentip.kaspersky.com", "2024-09-29T04:00:00Z", "protected"),
        ("media.kaspersky.com", "2024-09-29T04:00:00Z", "kept"),
        ("s1.ksc.kaspersky.com", "2024-09-29T04:00:00Z", "kept"),
        ("www.example", "2024-09-29T04:00:00Z", "pass"),
    ] {
        for source in [&[][..], &["--offline"]] {
            let arguments = [&["explain", name, "--at", instant, "--json"], source].concat();
            let explained = daemon.json(&arguments);
            let [explained] = &explained[..] else { panic!("{arguments:?} gave {explained:?}") };
            assert_eq!(explained["verdict"], verdict, "{arguments:?}: {explained}");
            for key in ["name", "type", "at", "order", "prohibition", "service", "entry", "effective", "verification"]
                .into_iter()
                .chain(["basis", "confidence", "evidence", "response", "ede", "matches"])
            {
                assert!(explained.get(key).is_some(), "{arguments:?} lacks {key}: {explained}");
            }
        }
    }
}
