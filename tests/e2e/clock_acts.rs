//! What an operator says of a clock that was set back or leapt ahead, and what becomes of prohibitions by it.

use std::process::Output;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::clock::{CATALOGUE, INSTANT, ORDER, check, honest, is_sunk, through};
use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};

fn act(daemon: &Daemon, act: &str) -> Output {
    daemon.command(&["clock", act, "--reason", "the battery was changed"])
}

#[track_caller]
fn done(output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
}

#[track_caller]
fn refused(output: &Output, words: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.starts_with("refused: ") && told.contains(words), "{told}");
}

fn shown(daemon: &Daemon) -> Value {
    let [shown] = &daemon.json(&["clock", "show", "--json"])[..] else { panic!("not one object") };
    shown.clone()
}

fn instant(of: &Value, key: &str) -> Timestamp {
    of[key].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{key} of {of}"))
}

fn acts(daemon: &Daemon) -> Vec<Value> {
    daemon.json(&["changes", "--json"]).into_iter().filter(|change| change["act"] == "clock").collect()
}

/// The instant that `back` lies before the system clock, as libfaketime takes it.
fn earlier(daemon: &Daemon, back: SignedDuration) -> String {
    (instant(&shown(daemon), "system") - back).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Sets the clock back, and lets the operator take it as it is; returns the daemon that goes by it.
fn set_back_and_reset(setup: Setup, to: &str) -> Daemon {
    let daemon = through(setup, to).start();
    assert!(is_sunk(&daemon), "{}", daemon.told());
    assert!(check(&daemon)["detail"].as_str().unwrap().starts_with("behind: "), "{}", check(&daemon));
    refused(&act(&daemon, "accept"), "earlier than it did before");
    assert!(is_sunk(&daemon));
    assert_eq!(daemon.command(&["clock", "reset"]).status.code(), Some(64), "a reset needs a reason");
    refused(&daemon.command(&["clock", "reset", "--reason", " "]), "the reason is empty");
    let before = instant(&shown(&daemon), "policy");
    done(&act(&daemon, "reset"));
    assert_eq!(check(&daemon)["ok"], true, "{}", check(&daemon));
    let shown = shown(&daemon);
    assert!(shown["policy"] == shown["system"] && shown["system"].as_str().unwrap().starts_with(&to[..10]), "{shown}");
    let acts = acts(&daemon);
    let words = |change: &Value| change["what"].as_str().unwrap_or_default().to_owned();
    let reset = acts.iter().find(|change| words(change).starts_with("reset: policy time goes from ")).unwrap();
    // Both instants, to the second at which nothing else can have been meant.
    assert!(words(reset).contains(&before.to_string()[..16]) && words(reset).contains(&to[..10]), "{reset}");
    assert!(reset["why"] == "the battery was changed" && reset["by"].as_str().unwrap().starts_with("uid "), "{reset}");
    assert!(acts.iter().any(|change| change["accepted"] == false && words(change).starts_with("accept")), "{acts:?}");
    assert!(acts.iter().any(|change| change["by"] == "interdict" && words(change).starts_with("behind")), "{acts:?}");
    daemon
}

#[test]
fn a_clock_that_was_set_back_counts_again_when_the_operator_says_so() {
    needs!("libfaketime");
    let upstream = honest();
    let mut daemon = Setup::new().upstreams(&[upstream.address]).start();
    assert!(is_sunk(&daemon));
    for (back, still) in [(SignedDuration::from_hours(1), true), (SignedDuration::from_hours(365 * 24), true)] {
        let to = earlier(&daemon, back);
        daemon = set_back_and_reset(daemon.stop().plain(), &to);
        assert_eq!(is_sunk(&daemon), still, "after {back:?}");
    }
    // Before the ban: whoever resets to that lifts it, and it is on record.
    daemon = set_back_and_reset(daemon.stop().plain(), "1970-01-02 00:00:00");
    assert!(!is_sunk(&daemon));
    // And back to the present: a leap that the operator bears out.
    let daemon = daemon.stop().plain().start();
    assert!(is_sunk(&daemon), "what begins goes by a clock that leapt");
    if check(&daemon)["ok"] == false {
        done(&act(&daemon, "accept"));
    }
    assert!(check(&daemon)["ok"] == true && is_sunk(&daemon), "{}", check(&daemon));
}

#[test]
fn a_leap_into_2060_ends_a_prohibition_when_the_operator_bears_it_out_and_a_reset_takes_that_back() {
    needs!("libfaketime");
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let (order, catalogue) = (setup.folder.path().join("order.toml"), setup.folder.path().join("catalogue.toml"));
    let ending = ORDER.replace(INSTANT, &format!("{INSTANT}\nuntil = 2055-01-01T00:00:00Z"));
    assert_ne!(ending, ORDER);
    std::fs::write(&order, ending).unwrap();
    std::fs::write(&catalogue, CATALOGUE).unwrap();
    let files = |path: &std::path::Path| vec![path.display().to_string()];
    let setup = setup.set("policy.orders", files(&order)).set("policy.catalogues", files(&catalogue));
    let daemon = setup.start();
    assert!(is_sunk(&daemon));
    let daemon = through(daemon.stop(), "2060-01-01 00:00:00").start();
    assert!(is_sunk(&daemon) && check(&daemon)["detail"].as_str().unwrap().starts_with("ahead: "));
    // Nothing is lifted for the years between.
    let waiver = ["waiver", "add", "--service", "kaspersky/update", "--for", "10m", "--reason", "x", "--approver", "y"];
    refused(&daemon.command(&waiver), "clock accept");
    refused(&daemon.command(&["monitor-only", "--for", "5m", "--reason", "x"]), "clock accept");
    let changes = daemon.json(&["changes", "--json"]);
    let is_refused = |act: &str| changes.iter().any(|change| change["act"] == act && change["accepted"] == false);
    assert!(is_refused("waiver") && is_refused("monitor-only") && is_sunk(&daemon), "{changes:?}");
    done(&act(&daemon, "accept"));
    assert!(!is_sunk(&daemon), "an operator bears it out, so that what has ended is over");
    assert_eq!(check(&daemon)["ok"], true, "{}", check(&daemon));
    let coverage = std::fs::read_dir(daemon.data().join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<_> = coverage.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let states = texts.iter().flat_map(|text| text.lines()).filter(|line| line.contains("\"kind\":\"coverage\""));
    assert!(
        states.into_iter().all(|line| line.contains("\"clock\":\"")),
        "a coverage leaf tells no state of the clock"
    );
    // Right again, and what was accepted is held against it until it is reset.
    let daemon = daemon.stop().plain().start();
    assert!(!is_sunk(&daemon) && check(&daemon)["detail"].as_str().unwrap().starts_with("behind: "));
    refused(&act(&daemon, "accept"), "reset");
    done(&act(&daemon, "reset"));
    assert!(is_sunk(&daemon) && check(&daemon)["ok"] == true, "{}", check(&daemon));
    // What was reset survives a power cut.
    let daemon = daemon.kill().start();
    assert!(is_sunk(&daemon) && check(&daemon)["ok"] == true, "{}", check(&daemon));
    let trust = |change: &Value| change["what"].as_str().unwrap_or_default().starts_with("ahead");
    place::until(PATIENCE, "the leap to be on record", || acts(&daemon).iter().any(trust).then_some(()));
}

#[test]
fn the_clock_is_shown_by_the_daemon_and_by_its_file_where_none_runs() {
    let upstream = honest();
    let mut daemon = Setup::new().upstreams(&[upstream.address]).start();
    let by_daemon = shown(&daemon);
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.ended(PATIENCE);
    let by_file = shown(&daemon);
    for shown in [&by_daemon, &by_file] {
        let witness = shown["witness"].as_str().unwrap();
        assert!(witness.contains("adjtimex") || witness.contains("the kernel was not to be asked"), "{shown}");
        assert!(shown["policy"] == shown["system"], "{shown}");
    }
    assert!(instant(&by_file, "latest") >= instant(&by_daemon, "latest"));
    let output = act(&daemon, "accept");
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_rehearsal_takes_commands_of_its_own_and_none_on_the_clock() {
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).at("2025-01-01T00:00:00Z").start();
    let rehearse = |arguments: &[&str]| daemon.command(&[arguments, &["--rehearsal"][..]].concat());
    refused(&rehearse(&["clock", "reset", "--reason", "x"]), "a rehearsal has a time of its own");
    assert!(is_sunk(&daemon));
    let terms = ["waiver", "add", "--order", "us-commerce-2024", "--reason", "x", "--approver", "y"];
    let term = ["--until", "2025-01-02T00:00:00Z"];
    done(&rehearse(&[&terms[..], &term[..]].concat()));
    assert!(!is_sunk(&daemon));
    assert_eq!(daemon.command(&["waiver", "list"]).status.code(), Some(69), "that is another daemon");
}
