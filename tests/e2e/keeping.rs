//! What becomes of records: a month is forgotten, a hold keeps everything, and a client asks what is held about it.

use std::process::Output;

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::wire;

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(output: &Output, words: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.starts_with("refused: ") && told.contains(words), "{told}");
}

fn ask(daemon: &Daemon, name: &str) {
    let answer = wire::udp(daemon.dns, &wire::query(name, wire::A));
    assert_eq!(wire::rcode(&answer), wire::NXDOMAIN);
}

fn with_reason(daemon: &Daemon, arguments: &[&str]) -> Output {
    daemon.command(&[arguments, &["--reason", "case 7"]].concat())
}

fn acts(daemon: &Daemon, act: &str) -> Vec<serde_json::Value> {
    daemon.json(&["changes", "--json"]).into_iter().filter(|change| change["act"] == act).collect()
}

#[test]
fn a_forgotten_month_is_anonymous_and_its_proofs_stay_valid() {
    let daemon = Setup::new().start();
    ask(&daemon, "a.upd.kaspersky.com");
    // Any change waits for the disk, and so for the record before it.
    done(&with_reason(&daemon, &["ledger", "hold"]));
    let held = daemon.json(&["privacy", "subject", "127.0.0.1", "--json"]).remove(0);
    assert_eq!(held["sums"][0]["lookups"], 1, "{held}");
    let month = held["sums"][0]["key"].as_str().unwrap().to_owned();
    assert_eq!(daemon.json(&["privacy", "subject", "192.0.2.9", "--json"])[0]["sums"].as_array().unwrap().len(), 0);

    refused(&with_reason(&daemon, &["privacy", "forget", &month]), "holds everything");
    refused(&with_reason(&daemon, &["ledger", "hold"]), "already");
    done(&with_reason(&daemon, &["ledger", "release"]));
    refused(&with_reason(&daemon, &["ledger", "release"]), "nothing is held");
    refused(&with_reason(&daemon, &["privacy", "forget", "2026-13"]), "a month is written like");
    refused(&with_reason(&daemon, &["privacy", "forget", "1999-01"]), "there is no key");
    assert!(done(&with_reason(&daemon, &["privacy", "forget", &month])).starts_with("destroyed: "));
    refused(&with_reason(&daemon, &["privacy", "forget", &month]), "there is no key");

    let forgets = acts(&daemon, "forget");
    let made: Vec<_> = forgets.iter().filter(|change| change["what"] == format!("the keys of {month}")).collect();
    assert!(made.iter().any(|change| change["accepted"] == true && change["why"] == "case 7"), "{forgets:?}");
    assert_eq!(forgets.iter().filter(|change| change["accepted"] == true).count(), 1, "{forgets:?}");
    assert!(made.iter().all(|change| change["by"].as_str().unwrap().starts_with("uid ")), "{forgets:?}");
    assert_eq!((acts(&daemon, "hold").len(), acts(&daemon, "release").len()), (2, 2), "refused ones too");

    ask(&daemon, "b.upd.kaspersky.com");
    done(&with_reason(&daemon, &["ledger", "hold"]));
    let keys = daemon.data().join("keys");
    assert!(!keys.join(format!("{month}.key")).exists() && keys.join(format!("{month}-2.key")).exists());
    let held = daemon.json(&["privacy", "subject", "127.0.0.1", "--json"]).remove(0);
    assert_eq!((held["sums"].as_array().unwrap().len(), &held["sums"][0]["lookups"]), (1, &1.into()), "{held}");
    assert_eq!(held["forgotten"][0], month);
    let attempts = daemon.json(&["attempts", "--json"]);
    let of = |name: &str| attempts.iter().find(|attempt| attempt["name"] == name).unwrap().clone();
    assert_eq!(of("b.upd.kaspersky.com")["client"], "127.0.0.1", "{attempts:?}");
    assert_ne!(of("a.upd.kaspersky.com")["client"], "127.0.0.1", "{attempts:?}");

    // A hold outlasts a restart, and the log is what was signed.
    let daemon = daemon.stop().start();
    refused(&with_reason(&daemon, &["privacy", "forget", &month]), "holds everything");
    done(&daemon.command(&["ledger", "verify"]));
}

/// The line is known before the first start, and leads to the log after its key was changed.
#[test]
fn a_key_that_was_handed_out_first_leads_to_the_one_that_follows() {
    let daemon = Setup::new().start();
    let lines = |daemon: &Daemon| done(&daemon.command(&["ledger", "key"]));
    refused_plainly(&daemon.command(&["ledger", "keygen"]), "there is a key already");
    let first = lines(&daemon).trim().to_owned();
    ask(&daemon, "a.upd.kaspersky.com");
    done(&with_reason(&daemon, &["ledger", "hold"]));
    refused(&daemon.command(&["ledger", "rotate-key", "--overlap-days", "400", "--reason", "x"]), "at most");
    let told = done(&with_reason(&daemon, &["ledger", "rotate-key", "--overlap-days", "0"]));
    let second = lines(&daemon).trim().to_owned();
    assert!(told.contains(&second) && first != second, "{told}");
    let made = acts(&daemon, "rotate");
    assert!(made.iter().any(|change| change["accepted"] == true && change["why"] == "case 7"), "{made:?}");
    assert!(made.iter().any(|change| change["accepted"] == false), "{made:?}");
    let verify = |daemon: &Daemon, key: &str| done(&daemon.command(&["ledger", "verify", "--key", key]));
    assert!(verify(&daemon, &first).contains("follows on the key given"));
    assert!(verify(&daemon, &second).contains("vouches for every leaf"));
    let daemon = daemon.stop().start();
    assert_eq!(lines(&daemon).trim(), second);
    ask(&daemon, "b.upd.kaspersky.com");
    let daemon = daemon.stop().start();
    verify(&daemon, &first);
    assert!(!daemon.data().join("keys/ledger.old").exists(), "after no days of overlap the old secret goes");
}

#[track_caller]
fn refused_plainly(output: &Output, words: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains(words), "{told}");
}

#[test]
fn an_archived_policy_goes_with_the_last_record_that_names_it() {
    let setup = Setup::new().start().stop();
    let policies = setup.data().join("policy");
    let current = std::fs::read_to_string(policies.join("current")).unwrap().trim().to_owned();
    // Another policy, which the records of one run name.
    let setup = setup.set("ways_round.canary", true);
    let daemon = setup.start();
    ask(&daemon, "a.upd.kaspersky.com");
    done(&with_reason(&daemon, &["ledger", "hold"]));
    let named = std::fs::read_to_string(policies.join("current")).unwrap().trim().to_owned();
    assert_ne!(current, named);
    let file = |digest: &str| policies.join(format!("{digest}.json"));
    let unnamed = "ab".repeat(32);
    std::fs::write(file(&unnamed), "{}").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    for digest in [&current, &unnamed] {
        std::fs::File::options().write(true).open(file(digest)).unwrap().set_modified(old).unwrap();
    }
    // As long as everything is held, nothing is even looked for.
    let daemon = daemon.stop().start();
    done(&with_reason(&daemon, &["ledger", "release"]));
    assert!(file(&unnamed).exists());
    let daemon = daemon.stop().start();
    place::until(PATIENCE, "the policy that nothing names to go", || (!file(&unnamed).exists()).then_some(()));
    assert!(file(&current).exists() && file(&named).exists());
    let record = daemon.json(&["attempts", "--json"]).remove(0);
    let number = record["seq"].as_u64().unwrap().to_string();
    done(&daemon.command(&["explain", "--record", &number]));
    std::fs::rename(file(&named), policies.join("aside")).unwrap();
    let told = daemon.command(&["explain", "--record", &number]);
    assert!(!told.status.success());
    assert!(String::from_utf8_lossy(&told.stderr).contains("by which this was decided is not in"), "{told:?}");
}
