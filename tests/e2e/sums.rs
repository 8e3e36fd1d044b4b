//! Sums of what was recorded, as an operator asks for them.

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::wire;

fn told(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.command(&[&["sums"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sums_tell_how_often_each_rule_was_met_and_when_each_client_was_seen() {
    let daemon = Setup::new().start();
    for name in ["a.upd.kaspersky.com", "a.upd.kaspersky.com", "b.upd.kaspersky.com"] {
        wire::udp(daemon.dns, &wire::query(name, wire::A));
    }
    let rules = place::until(PATIENCE, "records", || {
        let rules = daemon.json(&["sums", "rules", "--json"]);
        (rules.iter().map(|rule| rule["lookups"].as_u64().unwrap()).sum::<u64>() == 3).then_some(rules)
    });
    assert_eq!((&rules[0]["verdict"], &rules[0]["kept"]), (&"sunk".into(), &"recorded".into()), "{rules:?}");
    let clients = daemon.json(&["sums", "clients", "--json"]);
    assert_eq!((clients.len(), &clients[0]["lookups"]), (1, &3.into()), "{clients:?}");
    let client = clients[0]["client"].as_str().unwrap();
    let [first, last] = ["first", "last"].map(|at| clients[0][at].as_str().unwrap());
    assert!(first <= last, "{clients:?}");
    let (first, last) = (&first[..10], &last[..10]);
    let days = daemon.json(&["sums", "days", "--from", first, "--to", last, "--json"]);
    assert_eq!(days.iter().map(|day| day["lookups"].as_u64().unwrap()).sum::<u64>(), 3, "{days:?}");
    assert_eq!((&days[0]["day"], &days[0]["rule"]), (&first.into(), &rules[0]["rule"]), "{days:?}");
    assert_eq!(daemon.json(&["sums", "rules", "--to", "2024-11-02", "--json"]).len(), 0);
    assert_eq!(daemon.json(&["sums", "days", "--json"]), days, "every day, where none is named");
    assert_eq!(told(&daemon, &["days", "--from", "2999-11-04"]), "no records\n");
    assert_eq!(daemon.json(&["sums", "clients", client, "--json"]), clients);
    assert_eq!(daemon.json(&["sums", "clients", "192.0.2.9", "--json"]).len(), 0);
    let csv = told(&daemon, &["clients", "--csv"]);
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some(r#""client","device","lookups","records","first","last","keys""#));
    assert!(lines.next().unwrap().starts_with(&format!(r#""{client}","","3","#)), "{csv}");
    let table = told(&daemon, &["rules"]);
    assert!(table.starts_with("LOOKUPS  VERDICT  KEPT      ORDER"), "{table}");

    // Whose the records of a destroyed key are cannot be told; how many they are can.
    let key = clients[0]["keys"][0].as_str().unwrap().to_owned();
    std::fs::remove_file(daemon.data().join(format!("keys/{key}.key"))).unwrap();
    let hidden = daemon.json(&["sums", "clients", "--json"]);
    assert_eq!((&hidden[0]["client"], &hidden[0]["lookups"]), (&serde_json::Value::Null, &3.into()), "{hidden:?}");
    assert_eq!(hidden[0]["keys"][0], key.as_str());
}
