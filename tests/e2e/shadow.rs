//! A candidate that decides beside the policy in use: it is counted where it differs, and changes nothing.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, Setup, fetch};
use crate::place::{self, PATIENCE};
use crate::upstream::Upstream;
use crate::wire;

/// What one order protects, the other prohibits.
const CANDIDATE: &str = "[policy]\norders = [\"us-commerce-2024\", \"us-ndaa-1634\"]\n";

fn with_candidate(setup: Setup, text: &str) -> (Setup, PathBuf) {
    let path = setup.folder.path().join("candidate.toml");
    std::fs::write(&path, text).unwrap();
    (setup.set("policy.shadow", path.display().to_string()), path)
}

fn rcode(daemon: &Daemon, name: &str) -> u8 {
    wire::rcode(&wire::udp(daemon.dns, &wire::query(name, wire::A)))
}

fn shadow(daemon: &Daemon) -> Value {
    let (status, text) = fetch(daemon.admin, "/shadow").unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Returns how often a rule of the candidate met these verdicts.
fn count(told: &Value, entry: &str, live: &str, candidate: &str) -> u64 {
    let rules = told["counted"]["rules"].as_array().unwrap_or_else(|| panic!("nothing is counted: {told}"));
    let is_meant = |of: &&Value| of["entry"] == entry && of["live"] == live && of["candidate"] == candidate;
    rules.iter().find(is_meant).map_or(0, |of| of["count"].as_u64().unwrap())
}

/// Returns the check of health, where there is one, and whether the daemon is ready.
fn check(daemon: &Daemon) -> (Option<Value>, bool) {
    let (status, text) = fetch(daemon.admin, "/health/ready").unwrap();
    let health: Value = serde_json::from_str(&text).unwrap();
    let checks = health["checks"].as_array().unwrap();
    (checks.iter().find(|check| check["name"] == "shadow").cloned(), status == 200)
}

fn reload(daemon: &Daemon) {
    let reloads = daemon.metric("interdict_reloads_total{result=\"accepted\"}");
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the reload to be accepted", || {
        (daemon.metric("interdict_reloads_total{result=\"accepted\"}") > reloads).then_some(())
    });
}

fn assert_live(daemon: &Daemon) {
    for (name, code) in [
        ("opentip.kaspersky.com", wire::NOERROR),
        ("tip.example", wire::NOERROR),
        ("www.example", wire::NOERROR),
        ("dnl-01.geo.kaspersky.com", wire::NXDOMAIN),
        ("alias.example", wire::NXDOMAIN),
    ] {
        assert_eq!(rcode(daemon, name), code, "{name}");
    }
}

#[test]
fn a_candidate_is_counted_where_it_differs_and_changes_nothing() {
    needs!("nsd");
    let upstream = Upstream::start();
    let (setup, candidate) = with_candidate(Setup::forwarding_to(&upstream), CANDIDATE);
    let daemon = setup.start();
    assert_live(&daemon);
    let told = shadow(&daemon);
    // Once as the question, and once as what an alias leads to.
    assert_eq!(count(&told, "opentip.kaspersky.com", "protected", "sunk"), 2, "{told}");
    // Both withhold it: the candidate by the act that was published first.
    assert_eq!(told["counted"]["differing"], 4, "{told}");
    assert_eq!(daemon.metric("interdict_shadow_differences_total"), 4.0);
    let line = "interdict_shadow_differences_total{order=\"us-ndaa-1634\",live=\"protected\",candidate=\"sunk\"}";
    assert_eq!(daemon.metric(line), 2.0);
    // A kept answer is compared like a fresh one.
    assert_eq!(rcode(&daemon, "tip.example"), wire::NOERROR);
    assert_eq!(count(&shadow(&daemon), "opentip.kaspersky.com", "protected", "sunk"), 3);

    let page = daemon.command(&["policy", "shadow"]);
    let page = String::from_utf8(page.stdout).unwrap();
    for words in ["candidate.toml", "differing  5 queries", "us-ndaa-1634", "opentip.kaspersky.com"] {
        assert!(page.contains(words), "{words} is not in\n{page}");
    }
    let [json] = &daemon.json(&["policy", "shadow", "--json"])[..] else { panic!("not one object") };
    assert_eq!(json["counted"]["differing"], 5, "{json}");
    let (health, ready) = check(&daemon);
    assert_eq!((health.unwrap()["ok"].as_bool(), ready), (Some(true), true));
    assert_recorded(&daemon);
    assert_reloads(&daemon, &candidate);
}

/// Asks from an address, and returns the response code.
fn rcode_from(address: std::net::IpAddr, daemon: &Daemon, name: &str) -> u8 {
    let socket = std::net::UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&wire::query(name, wire::A), daemon.dns).unwrap();
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).unwrap();
    wire::rcode(&buffer[..length])
}

/// The order only monitors the group, which is one address.
fn monitored(address: std::net::IpAddr) -> String {
    format!(
        "[[client.group]]\nname = \"lab\"\nnetworks = [\"{address}\"]\n\
         [[policy.apply]]\norder = \"us-commerce-2024\"\ngroups = [\"lab\"]\nphase = \"monitor\"\n"
    )
}

#[test]
fn a_candidate_puts_clients_into_groups_of_its_own() {
    needs!("nsd");
    let upstream = Upstream::start();
    let (one, other) = ("127.0.0.1".parse().unwrap(), place::other_address());
    let (mut setup, candidate) = with_candidate(Setup::forwarding_to(&upstream), &monitored(other));
    let live: toml::Table = monitored(one).parse().unwrap();
    setup.table.insert("client".to_owned(), live["client"].clone());
    let daemon = setup.set("policy.apply", live["policy"]["apply"].clone()).start();
    for _ in 0..2 {
        assert_eq!(rcode_from(one, &daemon, "dnl-01.geo.kaspersky.com"), wire::NOERROR);
    }
    assert_eq!(rcode_from(other, &daemon, "dnl-01.geo.kaspersky.com"), wire::NXDOMAIN);
    let rules = |told: &Value| {
        let rules = told["counted"]["rules"].as_array().unwrap().clone();
        let of = |rule: &Value| {
            let word = |key: &str| rule[key].as_str().unwrap().to_owned();
            (word("live"), word("candidate"), rule["count"].as_u64().unwrap())
        };
        rules.iter().map(of).collect::<Vec<_>>()
    };
    let words = |live: &str, candidate: &str, count| (live.to_owned(), candidate.to_owned(), count);
    let told = shadow(&daemon);
    assert_eq!(rules(&told), [words("monitored", "sunk", 2), words("sunk", "monitored", 1)], "{told}");
    // After a reload its groups are learnt anew, and the counters go on.
    reload(&daemon);
    assert_eq!(rcode_from(other, &daemon, "dnl-01.geo.kaspersky.com"), wire::NXDOMAIN);
    let told = shadow(&daemon);
    assert_eq!(rules(&told), [words("monitored", "sunk", 2), words("sunk", "monitored", 2)], "{told}");
    std::fs::write(candidate, monitored(one)).unwrap();
    reload(&daemon);
    assert_eq!(rcode_from(other, &daemon, "dnl-01.geo.kaspersky.com"), wire::NXDOMAIN);
    assert_eq!(shadow(&daemon)["counted"]["differing"], 0, "both have the same groups now");
}

/// What was waived by command is waived for the installation, whatever its policy.
#[test]
fn a_waiver_that_is_added_by_command_holds_under_the_candidate_too() {
    needs!("nsd");
    let upstream = Upstream::start();
    let (one, other) = ("127.0.0.1".parse().unwrap(), place::other_address());
    let (setup, _) = with_candidate(Setup::forwarding_to(&upstream), &monitored(other));
    let daemon = setup.start();
    assert_eq!(rcode_from(one, &daemon, "dnl-01.geo.kaspersky.com"), wire::NXDOMAIN);
    assert_eq!(rcode_from(other, &daemon, "dnl-01.geo.kaspersky.com"), wire::NXDOMAIN);
    assert_eq!(shadow(&daemon)["counted"]["differing"], 1);
    let terms = ["--order", "us-commerce-2024", "--for", "1h", "--reason", "x", "--approver", "y"];
    let added = daemon.command(&[&["waiver", "add"][..], &terms].concat());
    assert!(added.status.success(), "{added:?}");
    assert_eq!(rcode_from(one, &daemon, "dnl-01.geo.kaspersky.com"), wire::NOERROR);
    assert_eq!(shadow(&daemon)["counted"]["differing"], 0, "both waive it");
    // The groups of the candidate still have their members.
    assert_eq!(rcode_from(other, &daemon, "dnl-01.geo.kaspersky.com"), wire::NOERROR);
    let told = shadow(&daemon);
    assert_eq!(told["counted"]["orders"][0]["live"], "waived", "{told}");
    assert_eq!(told["counted"]["orders"][0]["candidate"], "monitored", "{told}");
}

/// Records are those of the policy in use.
fn assert_recorded(daemon: &Daemon) {
    let records = place::until(PATIENCE, "both attempts to be listed", || {
        let records = daemon.command(&["attempts", "--json"]);
        let records: Vec<Value> = serde_json::from_slice(&records.stdout).ok()?;
        (records.len() >= 2).then_some(records)
    });
    assert_eq!(records.len(), 2, "{records:#?}");
    for record in records {
        assert_eq!((&record["order"], &record["verdict"]), (&"us-commerce-2024".into(), &"sunk".into()), "{record}");
    }
}

/// The counters go on where nothing changed, begin anew with another candidate, and a faulty one refuses nothing.
fn assert_reloads(daemon: &Daemon, candidate: &Path) {
    reload(daemon);
    assert_eq!(shadow(daemon)["counted"]["differing"], 5);
    std::fs::write(candidate, "[policy]\norders = []\n").unwrap();
    reload(daemon);
    assert_eq!(shadow(daemon)["counted"]["differing"], 0);
    assert_live(daemon);
    let told = shadow(daemon);
    assert_eq!(count(&told, "opentip.kaspersky.com", "protected", "pass"), 2, "{told}");

    std::fs::write(candidate, "[policy]\norders = [\"unheard-of\"]\n").unwrap();
    reload(daemon);
    assert_faulty(daemon);
    std::fs::write(candidate, CANDIDATE).unwrap();
    reload(daemon);
    assert_eq!(shadow(daemon)["counted"]["differing"], 0);
}

/// A faulty candidate is told everywhere, and the policy in use goes on.
fn assert_faulty(daemon: &Daemon) {
    assert_live(daemon);
    let told = shadow(daemon);
    assert_eq!(told["counted"], Value::Null, "{told}");
    assert!(told["faults"][0].as_str().is_some_and(|fault| fault.contains("unheard-of")), "{told}");
    let (health, ready) = check(daemon);
    let health = health.unwrap();
    assert!(health["ok"] == false && health["detail"].as_str().unwrap().contains("unheard-of") && ready, "{health}");
    assert!(daemon.told().contains("unheard-of"));
    assert_eq!(daemon.metric("interdict_shadow_differences_total"), 0.0);
    let page = daemon.command(&["policy", "shadow"]);
    assert!(page.status.success() && String::from_utf8_lossy(&page.stdout).contains("not used"), "{page:?}");
}

#[test]
fn a_faulty_candidate_keeps_no_daemon_from_starting() {
    needs!("nsd");
    let upstream = Upstream::start();
    let (setup, _) = with_candidate(Setup::forwarding_to(&upstream), "[policy]\norders = [\"unheard-of\"]\n");
    let daemon = setup.start();
    assert_faulty(&daemon);
    let checked = daemon.command(&["check"]);
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && told.starts_with("ok\n") && told.contains("not used"), "{checked:?}");
}

#[test]
fn without_a_candidate_there_is_nothing_to_tell() {
    needs!("nsd");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    assert_live(&daemon);
    assert_eq!(shadow(&daemon), serde_json::json!({ "file": null, "faults": [], "counted": null }));
    assert_eq!(check(&daemon), (None, true));
    let page = daemon.command(&["policy", "shadow"]);
    assert!(page.status.success() && String::from_utf8_lossy(&page.stdout).contains("[policy] shadow"), "{page:?}");
    let setup = daemon.stop();
    let daemon = setup.set("admin.listen", "").launch();
    let page = daemon.command(&["policy", "shadow"]);
    let told = String::from_utf8_lossy(&page.stderr);
    assert!(page.status.code() == Some(1) && told.contains("[admin] listen"), "{page:?}");
}
