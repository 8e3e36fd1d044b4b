//! The clock set back and leapt ahead between two starts, by libfaketime: no prohibition is lifted by either.

use std::path::Path;

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::wire;

pub const ORDER: &str = include_str!("../../blocklists/orders/us-commerce-2024.toml");
pub const CATALOGUE: &str = include_str!("../../blocklists/catalogues/kaspersky.toml");
pub const INSTANT: &str = "from = 2024-09-29T00:00:00-04:00";

pub fn honest() -> Scripted {
    Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])])
}

/// Puts the system clock that the program sees to an instant, in UTC; the time since boot runs on.
pub fn through(setup: Setup, instant: &str) -> Setup {
    let library = place::libfaketime().expect("the test needs it").display().to_string();
    let words = [
        format!("LD_PRELOAD={library}"),
        format!("FAKETIME=@{instant}"),
        "DONT_FAKE_MONOTONIC=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "NO_FAKE_STAT=1".to_owned(),
        "TZ=UTC".to_owned(),
    ];
    let words: Vec<&str> = std::iter::once("env").chain(words.iter().map(String::as_str)).collect();
    setup.through(&words)
}

pub fn is_sunk(daemon: &Daemon) -> bool {
    let answer = wire::udp(daemon.dns, &wire::query("dnl-01.geo.kaspersky.com", wire::A));
    wire::rcode(&answer) == wire::NXDOMAIN
}

pub fn check(daemon: &Daemon) -> serde_json::Value {
    let readiness = crate::daemon::ready(daemon);
    readiness["checks"].as_array().unwrap().iter().find(|check| check["name"] == "clock").unwrap().clone()
}

fn kept(data: &Path) -> String {
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(data.join("clock")).unwrap()).unwrap();
    kept["latest"].as_str().unwrap().to_owned()
}

/// Returns the newest record, once its instant `key` is of this day.
fn record_of(daemon: &Daemon, key: &str, day: &str) -> serde_json::Value {
    place::until(PATIENCE, "the record", || {
        let record = daemon.json(&["attempts", "--json", "--limit", "1"]).first()?.clone();
        record[key].as_str()?.starts_with(day).then_some(record)
    })
}

#[test]
fn a_clock_that_is_set_back_before_the_ban_lifts_nothing() {
    needs!("libfaketime");
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    assert!(is_sunk(&daemon));
    assert_eq!(check(&daemon)["ok"], true);
    let data = daemon.data();
    let before = kept(&data);
    // A power cut: what was kept at the start has to do.
    let mut setup = daemon.kill();
    for instant in ["2024-06-01 12:00:00", "1970-01-02 00:00:00"] {
        let daemon = through(setup, instant).start();
        assert!(is_sunk(&daemon), "{}", daemon.told());
        let check = check(&daemon);
        let detail = check["detail"].as_str().unwrap();
        assert!(check["ok"] == false && detail.starts_with("behind: ") && detail.contains(&instant[..10]), "{check}");
        assert_eq!(daemon.metric("interdict_clock_state{state=\"behind\"}"), 1.0);
        place::until(PATIENCE, "the clock to be told", || {
            let told = daemon.told();
            (told.contains("\n  clock      behind: ") && told.contains("the clock is behind: ")).then_some(())
        });
        let record = record_of(&daemon, "raw", &instant[..10]);
        assert!(record["at"].as_str().unwrap() > before.as_str(), "{record}");
        setup = daemon.stop().plain();
        assert!(kept(&data) > before);
    }
    // Without the file, and at a first start, no clock is right that is older than the program.
    std::fs::remove_file(data.join("clock")).unwrap();
    let daemon = through(setup, "1970-01-02 00:00:00").start();
    assert!(is_sunk(&daemon), "{}", daemon.told());
    assert!(check(&daemon)["detail"].as_str().unwrap().starts_with("behind: "), "{}", check(&daemon));
    let record = record_of(&daemon, "raw", "1970-01-02");
    assert!(record["at"].as_str().unwrap() > "2026", "{record}");
    daemon.stop();
}

#[test]
fn a_leap_past_the_end_of_a_prohibition_lifts_nothing_is_not_kept_and_can_be_replayed() {
    needs!("libfaketime");
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let (order, catalogue) = (setup.folder.path().join("order.toml"), setup.folder.path().join("catalogue.toml"));
    assert!(ORDER.contains(INSTANT), "the shipped order writes its instant otherwise");
    let ending = ORDER.replace(INSTANT, &format!("{INSTANT}\nuntil = 2055-01-01T00:00:00Z"));
    std::fs::write(&order, ending).unwrap();
    std::fs::write(&catalogue, CATALOGUE).unwrap();
    let files = |path: &Path| vec![path.display().to_string()];
    let setup = setup.set("policy.orders", files(&order)).set("policy.catalogues", files(&catalogue));
    let daemon = setup.start();
    assert!(is_sunk(&daemon));
    let data = daemon.data();
    let daemon = through(daemon.stop(), "2060-01-01 00:00:00").start();
    assert!(is_sunk(&daemon), "{}", daemon.told());
    assert!(check(&daemon)["detail"].as_str().unwrap().starts_with("ahead: "), "{}", check(&daemon));
    assert_eq!(daemon.metric("interdict_clock_state{state=\"ahead\"}"), 1.0);
    let record = record_of(&daemon, "at", "2060-01-01");
    assert!(record["ends"].as_str().unwrap() < "2055", "{record}");
    let seq = record["seq"].to_string();
    let [replayed] = &daemon.json(&["explain", "--record", &seq, "--json"])[..] else { panic!("not one explanation") };
    assert_eq!((&replayed["verdict"], &replayed["record"]["same"]), (&"sunk".into(), &true.into()), "{replayed}");
    let setup = daemon.stop().plain();
    assert!(kept(&data).as_str() < "2055");

    let daemon = setup.start();
    assert!(is_sunk(&daemon));
    assert_eq!(check(&daemon)["ok"], true);
    let [shown] = &daemon.json(&["clock", "show", "--json"])[..] else { panic!("not one object") };
    assert!(shown["policy"].as_str().unwrap() < "2055" && shown["policy"] == shown["system"], "{shown}");
    daemon.stop();
}

#[test]
fn a_damaged_clock_file_and_a_rehearsal_are_no_hindrance() {
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    std::fs::create_dir_all(setup.data()).unwrap();
    std::fs::write(setup.data().join("clock"), "\0\0\0\0").unwrap();
    let daemon = setup.start();
    assert!(daemon.told().contains("is lost"), "{}", daemon.told());
    assert!(is_sunk(&daemon));
    let data = daemon.data();
    let setup = daemon.stop();
    let before = std::fs::read(data.join("clock")).unwrap();
    let daemon = setup.at("2060-01-01T00:00:00Z").start();
    assert!(is_sunk(&daemon));
    assert!(check(&daemon)["detail"].as_str().unwrap().starts_with("rehearsed"), "{}", check(&daemon));
    // The folder goes with the setup.
    let _setup = daemon.stop();
    assert_eq!(std::fs::read(data.join("clock")).unwrap(), before);
    assert!(!data.join("rehearsal").join("clock").exists());
}
