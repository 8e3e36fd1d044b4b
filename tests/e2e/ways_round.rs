//! What a network withholds by its own choice: ways round its resolver, each by a switch, and private addresses of others.

use nix::sys::signal::Signal;

use crate::clients::dig;
use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::upstream::Upstream;

const ZONES: &[(&str, &str)] = &[
    ("example", ZONE),
    (
        "icloud.com",
        "$ORIGIN icloud.com.\n$TTL 300\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nmask A 192.0.2.1\nwww A 192.0.2.2\n",
    ),
    (
        "use-application-dns.net",
        "$ORIGIN use-application-dns.net.\n$TTL 300\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\n@ A 192.0.2.3\n",
    ),
    (
        "google",
        "$ORIGIN google.\n$TTL 300\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\ndns A 8.8.8.8\nabout A 192.0.2.4\n",
    ),
];
const ZONE: &str = "$ORIGIN example.
$TTL 300
@      SOA   ns hostmaster 1 3600 600 86400 300
@      NS    ns
ns     A     192.0.2.53
www    A     192.0.2.80
mine   A     8.8.8.8
mine   AAAA  2001:4860:4860::8888
alias  CNAME dns.google.
hint   HTTPS 1 . alpn=h2 ipv4hint=1.1.1.1
ech    HTTPS 1 . alpn=h2 ech=AEX+DQBBFQAgACAlRVNEK+9IXu3DsIAXtRdBHuvVMgGsZ9YOMTVvN5FoaQAEAAEAAQASY2xvdWRmbGFyZS1lY2guY29tAAA=
router A     192.168.1.1
nas.corp A   10.0.0.9
pc.lan A     192.168.1.5
";

/// Names with the switch that withholds them.
const NAMES: &[(&str, &str, &str, &str)] = &[
    ("canary", "use-application-dns.net", "A", "NXDOMAIN"),
    ("relay", "mask.icloud.com", "A", "NXDOMAIN"),
    ("relay", "mask-h2.icloud.com", "AAAA", "NXDOMAIN"),
    ("discovery", "_dns.resolver.arpa", "SVCB", "NOERROR"),
    ("public_resolvers", "dns.google", "A", "NXDOMAIN"),
    ("public_resolvers", "alias.example", "A", "NXDOMAIN"),
    ("public_resolvers", "mine.example", "A", "NOERROR"),
    ("public_resolvers", "mine.example", "AAAA", "NOERROR"),
];

fn assert_switched(daemon: &Daemon, on: &[&str]) {
    for (switch, name, record_type, status) in NAMES {
        let answer = dig(daemon.dns, &[name, record_type]);
        if on.contains(switch) {
            assert_eq!((answer.status.as_str(), answer.ede_code()), (*status, Some(15)), "{}", answer.text);
            assert!(answer.answers().is_empty(), "{}", answer.text);
            let (_, text) = answer.ede.clone().unwrap();
            assert!(text.contains("this network's own policy"), "{}", answer.text);
        } else {
            assert_eq!(answer.ede_code(), None, "{switch} is off\n{}", answer.text);
        }
    }
    for (name, data) in [("www.example", "192.0.2.80"), ("www.icloud.com", "192.0.2.2"), ("about.google", "192.0.2.4")]
    {
        assert_eq!(dig(daemon.dns, &[name, "A"]).data("A"), [data], "{name}");
    }
}

#[test]
fn each_way_round_is_withheld_by_its_own_switch() {
    needs!("nsd", "dig");
    let upstream = Upstream::with(ZONES);
    let mut daemon = Setup::forwarding_to(&upstream).start();
    assert_switched(&daemon, &[]);
    // Kept answers are decided by the switches that are on when they leave.
    let mut on = Vec::new();
    for switch in ["canary", "relay", "discovery", "public_resolvers"] {
        daemon.reconfigure(&format!("ways_round.{switch}"), true);
        let before = daemon.metric("interdict_reloads_total{result=\"accepted\"}");
        daemon.signal(Signal::SIGHUP);
        place::until(PATIENCE, "the reload", || {
            (daemon.metric("interdict_reloads_total{result=\"accepted\"}") > before).then_some(())
        });
        on.push(switch);
        assert_switched(&daemon, &on);
    }
    let hint = dig(daemon.dns, &["hint.example", "HTTPS"]);
    assert_eq!((hint.status.as_str(), hint.answers().len()), ("NOERROR", 1), "{}", hint.text);
    assert!(!hint.text.contains("1.1.1.1"), "{}", hint.text);
    assert_recorded(&daemon);
}

/// Each is recorded under the network's own measure, and can be explained and replayed.
fn assert_recorded(daemon: &Daemon) {
    let records = place::until(PATIENCE, "the attempts to be listed", || {
        let records = daemon.json(&["attempts", "--json", "--verdict", "sunk"]);
        (records.len() > NAMES.len()).then_some(records)
    });
    let services: std::collections::BTreeSet<_> =
        records.iter().map(|record| record["service"].as_str().unwrap().to_owned()).collect();
    let expected = ["canary", "discovery", "public-resolver", "public-resolver-address", "relay"];
    assert_eq!(services.into_iter().collect::<Vec<_>>(), expected);
    assert!(records.iter().all(|record| record["order"] == "ways-round"), "{records:#?}");
    let address = records.iter().find(|record| record["subject"] == "8.8.8.8").expect("the address was recorded");
    assert_eq!(address["rule"], "network:8.8.8.8");
    for record in &records {
        let seq = record["seq"].to_string();
        let replayed = daemon.command(&["explain", "--record", &seq]);
        assert!(replayed.status.success(), "{record}: {}", String::from_utf8_lossy(&replayed.stderr));
    }
    let explained = daemon.json(&["explain", "1.1.1.1", "--json"]);
    assert_eq!((&explained[0]["verdict"], &explained[0]["order"]), (&"sunk".into(), &"ways-round".into()));
    let compared = std::fs::read_to_string("blocklists/orders/ways-round.toml").unwrap();
    let compared = compared.replace("\"public-resolver\", \"public-resolver-address\"", "\"public-resolver\"");
    let milder = format!("{compared}\n[[noted]]\nservices = [\"public-resolver-address\"]\nreason = \"Milder.\"\n");
    std::fs::write(daemon.folder().join("milder.toml"), milder).unwrap();
    let diff = daemon.command(&["orders", "--diff", "ways-round", "./milder.toml"]);
    let diff = String::from_utf8(diff.stdout).unwrap();
    assert!(diff.contains("sunk by A, noted by B") && diff.contains("network  8.8.8.8"), "{diff}");
    let orders = String::from_utf8(daemon.command(&["orders"]).stdout).unwrap();
    assert!(orders.contains("This is no legal act"), "{orders}");
}

#[test]
fn keys_for_encrypted_client_hello_go_and_are_counted() {
    needs!("nsd", "dig");
    let upstream = Upstream::with(ZONES);
    let mut daemon = Setup::forwarding_to(&upstream).start();
    let has_keys = |daemon: &Daemon| {
        let answer = dig(daemon.dns, &["ech.example", "HTTPS"]);
        assert_eq!(answer.answers().len(), 1, "{}", answer.text);
        answer.text.contains("ech=")
    };
    assert!(has_keys(&daemon));
    daemon.reconfigure("ways_round.ech", true);
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the keys to go, from the cache too", || (!has_keys(&daemon)).then_some(()));
    assert!(!has_keys(&daemon));
    assert!(daemon.metric("interdict_withheld_total{reason=\"ech\"}") >= 2.0);
}

#[test]
fn private_addresses_of_others_are_withheld_and_told_in_the_journal() {
    needs!("nsd", "dig");
    let upstream = Upstream::with(ZONES);
    let setup = Setup::forwarding_to(&upstream).set("rebinding.protect", true);
    let mut zone = toml::Table::new();
    zone.insert("name".to_owned(), "lan.example".into());
    zone.insert("servers".to_owned(), vec![upstream.address.to_string()].into());
    let setup =
        setup.set("upstream.zone", vec![toml::Value::from(zone)]).set("zones.hosts", vec!["pr.example 10.0.0.3"]);
    let daemon = setup.set("rebinding.allow", vec!["corp.example"]).start();
    for transport in ["+notcp", "+tcp"] {
        let answer = dig(daemon.dns, &["router.example", "A", transport]);
        assert_eq!((answer.status.as_str(), answer.answers().len()), ("NOERROR", 0), "{}", answer.text);
        assert_eq!(answer.ede, Some((15, "private address".to_owned())), "{}", answer.text);
        // Zones that are allowed, that have servers of their own, and that are answered here.
        for (name, data) in
            [("nas.corp.example", "10.0.0.9"), ("pc.lan.example", "192.168.1.5"), ("pr.example", "10.0.0.3")]
        {
            let open = dig(daemon.dns, &[name, "A", transport]);
            assert_eq!((open.data("A"), open.ede_code()), (vec![data], None), "{}", open.text);
        }
    }
    assert!((daemon.metric("interdict_withheld_total{reason=\"private_address\"}") - 2.0).abs() < 0.1);
    let setup = daemon.stop();
    let coverage =
        interdict::ledger::read(&setup.data().join("journal"), 0).filter_map(|leaf| match leaf.unwrap().body {
            interdict::ledger::Body::Coverage(coverage) => Some(coverage),
            _ => None,
        });
    let (mut withheld, mut passed) = (0, 0);
    for leaf in coverage {
        withheld += leaf.withheld.get("private_address").copied().unwrap_or_default();
        passed += leaf.queries.get("pass").copied().unwrap_or_default();
        assert!(!leaf.queries.keys().any(|outcome| outcome.starts_with("withheld")), "{leaf:?}");
    }
    assert_eq!((withheld, passed), (2, 8), "what is withheld is among the answered queries, and told apart");
}
