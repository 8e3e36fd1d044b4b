//! The list of devices: what each may be, how it stands, and what persons confirm of it.

use std::net::UdpSocket;
use std::process::Output;
use std::time::Duration;

use jiff::ToSpan as _;
use serde_json::Value;

use crate::clock::{honest, through};
use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::wire;

const MAC: &str = "02:00:5e:00:53:07";
const NAME: &str = "bench-7";

/// Asks from an address of its own.
fn ask(daemon: &Daemon, from: &str, name: &str) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    socket.send_to(&wire::query(name, wire::A), daemon.dns).unwrap();
    socket.recv(&mut [0; 4096]).unwrap();
}

fn list(daemon: &Daemon, more: &[&str]) -> Value {
    let [list] = &daemon.json(&[&["devices", "--format", "json"], more].concat())[..] else { panic!("not one object") };
    list.clone()
}

fn device(list: &Value, label: &str) -> Value {
    let devices = list["devices"].as_array().unwrap();
    devices.iter().find(|device| device["label"] == label).cloned().unwrap_or(Value::Null)
}

/// Waits until a device has so many look-ups of attempted contact on record.
fn attempted(daemon: &Daemon, label: &str, count: u64) -> Value {
    place::until(PATIENCE, "the device's records", || {
        let device = device(&list(daemon, &[]), label);
        (device["attempted"] == count).then_some(device)
    })
}

#[track_caller]
fn done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

fn confirm(daemon: &Daemon, device: &str) -> Output {
    daemon.command(&["devices", "confirm", device, "--removed", "--by", "A. Technician", "--reason", "looked at it"])
}

fn with_lease() -> Setup {
    let setup = Setup::new();
    let path = setup.folder.path().join("leases");
    std::fs::write(&path, format!("0 {MAC} 127.77.0.7 {NAME} *\n")).unwrap();
    setup.set("client.leases", vec![format!("dnsmasq:{}", path.display())])
}

#[test]
fn a_removal_is_confirmed_withdrawn_and_ended_by_being_seen_again() {
    let daemon = with_lease().start();
    ask(&daemon, "127.77.0.7", "a.upd.kaspersky.com");
    ask(&daemon, "127.77.0.8", "ksn-a-stat-geo.kaspersky-labs.com");
    let seven = attempted(&daemon, MAC, 1);
    assert_eq!(
        (&seven["kind"], &seven["addresses"][0], &seven["name"]),
        (&"hardware".into(), &"127.77.0.7".into(), &NAME.into())
    );
    assert_eq!((&seven["standing"]["state"], &seven["services"][0]), (&"active".into(), &"update".into()), "{seven}");
    assert_eq!((&seven["role"]["role"], &seven["role"]["confidence"]), (&"download".into(), &"low".into()), "{seven}");
    let eight = attempted(&daemon, "127.77.0.8", 1);
    assert_eq!((&eight["kind"], &eight["role"]["role"]), (&"address".into(), &"endpoint".into()), "{eight}");

    // By an address that it had, by its name, and by what it is told by; nobody else's.
    for (device, words) in [("127.77.0.9", "no record is of"), ("", "no record is of")] {
        let refused = confirm(&daemon, device);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(words), "{refused:?}");
    }
    for device in ["127.77.0.7", NAME, MAC] {
        done(&confirm(&daemon, device));
    }
    let empty = daemon.command(&["devices", "confirm", MAC, "--removed", "--by", " ", "--reason", "x"]);
    assert!(String::from_utf8_lossy(&empty.stderr).contains("the person is empty"), "{empty:?}");
    let seven = device(&list(&daemon, &["--state", "removed"]), MAC);
    let confirmation = &seven["standing"]["confirmation"];
    assert!(confirmation["actor"].as_str().unwrap().starts_with("uid "), "{seven}");
    assert!(confirmation["what"].as_str().unwrap().contains("\"A. Technician\""), "{seven}");
    assert_eq!((&seven["next"], &seven["standing"]["silent_since"]), (&"nothing".into(), &seven["last"]));

    // It is in the signed log, in nobody's clear, and outlives a restart.
    let journal = std::fs::read_dir(daemon.data().join("journal")).unwrap();
    let text: String = journal.map(|of| std::fs::read_to_string(of.unwrap().path()).unwrap()).collect();
    assert!(text.contains("\"act\":\"device-removed\"") && !text.contains(MAC) && !text.contains("127.77.0"), "{text}");
    let daemon = daemon.stop().start();
    assert_eq!(device(&list(&daemon, &[]), MAC)["standing"]["state"], "removed");
    let changes = daemon.json(&["changes", "--json"]);
    assert_eq!(
        changes.iter().filter(|change| change["act"] == "device-removed" && change["accepted"] == true).count(),
        3
    );

    let told = String::from_utf8(daemon.command(&["changes"]).stdout).unwrap();
    assert!(told.contains(&format!("{MAC}: removal of the product confirmed by \"A. Technician\"")), "{told}");

    ask(&daemon, "127.77.0.7", "b.upd.kaspersky.com");
    let seven = attempted(&daemon, MAC, 2);
    assert_eq!(
        (&seven["standing"]["state"], &seven["standing"]["seen_again"]),
        (&"active".into(), &true.into()),
        "{seven}"
    );
    assert_eq!(seven["next"], "look-again");
    done(&confirm(&daemon, MAC));
    assert_eq!(device(&list(&daemon, &[]), MAC)["standing"]["state"], "removed");
    done(&daemon.command(&["devices", "withdraw", MAC, "--by", "A. Technician", "--reason", "the wrong machine"]));
    let seven = device(&list(&daemon, &[]), MAC);
    assert_eq!(
        (&seven["standing"]["state"], &seven["standing"]["seen_again"]),
        (&"active".into(), &false.into()),
        "{seven}"
    );
    let twice = daemon.command(&["devices", "withdraw", MAC, "--by", "A. Technician", "--reason", "once more"]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("no confirmation of"), "{twice:?}");
    let changes = daemon.json(&["changes", "--json"]);
    assert_eq!(changes.iter().filter(|change| change["act"] == "device-withdrawn").count(), 1, "{changes:?}");
    done(&confirm(&daemon, "127.77.0.8"));
    let [held] = &daemon.json(&["privacy", "subject", "127.77.0.8", "--json"])[..] else { panic!("not one object") };
    let sums = held["sums"].as_array().unwrap();
    assert!(sums.iter().any(|sum| sum["verdict"] == "device-removed" && sum["lookups"] == 0), "{held}");
    same_in_the_report(daemon.stop().start());
}

/// A report says the same of devices, and is made again from the log alone.
fn same_in_the_report(daemon: Daemon) {
    let file = daemon.folder().join("r.json").display().to_string();
    let to = "2090-01-01T00:00:00Z";
    let period = ["report", "--from", "2020-01-01T00:00:00Z", "--to", to, "--format", "json", "-o", &file];
    done(&daemon.command(&period));
    let future = ["report", "--from", "2089-01-01T00:00:00Z", "--to", to, "--format", "json", "-o", "-"];
    let refused = daemon.command(&future);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing is known of a period"), "{refused:?}");
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let row = |label: &str| {
        let rows = report["devices"]["rows"].as_array().unwrap();
        rows.iter().find(|row| row["label"] == label).cloned().unwrap()
    };
    let listed = list(&daemon, &["--at", to]);
    for label in [MAC, "127.77.0.8"] {
        let (row, device) = (row(label), device(&listed, label));
        assert_eq!(row["standing"], device["standing"], "{label}");
        assert_eq!((&row["role"], &row["next"]), (&device["role"]["role"], &device["next"]));
    }
    assert_eq!(row("127.77.0.8")["standing"]["state"], "removed");
    let mut verify = std::process::Command::new(crate::daemon::program());
    let output = verify.args(["report", "verify", &file, "--ledger"]).arg(daemon.data()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn nothing_that_a_device_is_called_forges_anything() {
    let names = ["@SUM(1)", "+1", "-1", "=1", "a\\027[2Jx", "<img/src=x>", "a,b\"c"];
    let device = |(place, name): (usize, &&str)| {
        let mut device = toml::Table::new();
        device.insert("name".to_owned(), (*name).into());
        device.insert("addresses".to_owned(), vec![format!("127.77.0.{}", place + 10)].into());
        toml::Value::from(device)
    };
    let devices: Vec<_> = names.iter().enumerate().map(device).collect();
    let setup = Setup::new().set("client.device", devices);
    let daemon = setup.start();
    for place in 0..names.len() {
        ask(&daemon, &format!("127.77.0.{}", place + 10), "upd.kaspersky.com");
    }
    let listed = place::until(PATIENCE, "the devices", || {
        let list = list(&daemon, &[]);
        (list["devices"].as_array().unwrap().len() == names.len()).then_some(list)
    });
    let named = listed["devices"].as_array().unwrap().iter().filter(|device| device["name"].is_string()).count();
    assert_eq!(named, names.len(), "{listed}");
    let written = |format: &str| String::from_utf8(daemon.command(&["devices", "--format", format]).stdout).unwrap();
    let csv = written("csv");
    assert!(!csv.contains("\"=") && !csv.contains("\"@") && !csv.contains("\"+") && !csv.contains("\"-"), "{csv}");
    assert!(csv.contains("\"'=1\"") && csv.contains("\"'+1\""), "{csv}");
    assert!(
        csv.lines().all(|line| line.matches("\",\"").count() == csv.lines().next().unwrap().matches("\",\"").count())
    );
    for format in ["csv", "text"] {
        assert!(!written(format).contains(['\u{202e}', '\u{1b}']), "{}", written(format));
    }
    let text = written("text");
    assert!(text.contains("left open for removal: media.kaspersky.com") && text.contains("not compliance"), "{text}");
    let shown = daemon.command(&["devices", "show", "127.77.0.10"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("[one-day]") && shown.contains("sum"), "{shown}");
}

#[test]
fn who_is_silent_has_gone_quiet_and_who_only_tries_ways_round_is_counted() {
    needs!("libfaketime");
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]).set("ways_round.canary", true);
    let daemon = setup.start();
    ask(&daemon, "127.77.0.1", "upd.kaspersky.com");
    ask(&daemon, "127.77.0.1", "use-application-dns.net");
    ask(&daemon, "127.77.0.2", "upd.kaspersky.com");
    ask(&daemon, "127.77.0.3", "use-application-dns.net");
    let waiver = ["waiver", "add", "--service", "kaspersky/update", "--client", "127.77.0.2", "--for", "80d"];
    done(&daemon.command(&[&waiver[..], &["--reason", "a test", "--approver", "A. Counsel"]].concat()));
    ask(&daemon, "127.77.0.2", "upd.kaspersky.com");
    attempted(&daemon, "127.77.0.2", 2);
    let now: jiff::Timestamp = list(&daemon, &[])["at"].as_str().unwrap().parse().unwrap();
    let later = now.checked_add((24 * 20).hours()).unwrap();
    let daemon = through(daemon.stop(), &later.strftime("%Y-%m-%d %H:%M:%S").to_string()).start();
    ask(&daemon, "127.77.0.2", "upd.kaspersky.com");
    let end = later.checked_add(1.hours()).unwrap().to_string();
    let listed = place::until(PATIENCE, "the record", || {
        let list = list(&daemon, &["--at", &end]);
        (device(&list, "127.77.0.2")["attempted"] == 3).then_some(list)
    });
    let (one, two) = (device(&listed, "127.77.0.1"), device(&listed, "127.77.0.2"));
    assert_eq!((&one["standing"]["state"], &one["next"]), (&"gone-quiet".into(), &"look".into()), "{one}");
    assert_eq!((&one["around"][0], &one["around_lookups"]), (&"canary".into(), &1.into()), "{one}");
    assert_eq!((&two["standing"]["state"], &two["waivers"][0]), (&"waived".into(), &"W-1".into()), "{two}");
    assert_eq!((&listed["only_around"], device(&listed, "127.77.0.3")), (&1.into(), Value::Null), "{listed}");
    let all = list(&daemon, &["--at", &end, "--all"]);
    assert!(device(&all, "127.77.0.3")["standing"].is_null(), "{all}");
    // As it was before.
    let before = list(&daemon, &["--at", &now.to_string()]);
    assert_eq!(device(&before, "127.77.0.1")["standing"]["state"], "active", "{before}");
}
