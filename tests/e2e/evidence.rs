//! The log as an auditor meets it: verified by our program without a configuration, by another program, and by proofs.

use std::path::Path;
use std::process::{Command, Output};

use crate::daemon::{Daemon, Setup, program};
use crate::place::{self, PATIENCE, run};
use crate::wire;

const NAME: &str = "log.example/resolver-1";

fn setup() -> Setup {
    Setup::new().set("ledger.origin", NAME).set("ledger.checkpoint_s", 1)
}

fn ask(daemon: &Daemon, names: std::ops::Range<usize>) {
    for number in names {
        let answer = wire::udp(daemon.dns, &wire::query(&format!("n{number}.upd.kaspersky.com"), wire::A));
        assert_eq!(wire::rcode(&answer), wire::NXDOMAIN);
    }
}

/// Waits until more leaves than that are signed.
fn wait_for_signed(daemon: &Daemon, leaves: u32) {
    place::until(PATIENCE, "records to be signed", || {
        (daemon.metric("interdict_ledger_log_signed_leaves") > f64::from(leaves)).then_some(())
    });
}

/// Runs the program as somebody does who has nothing but a copy.
fn ours(arguments: &[&str]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    Command::new(program()).args(arguments).current_dir(elsewhere.path()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn verified(arguments: &[&str], code: i32) -> String {
    let output = ours(&[&["ledger", "verify"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    text(&output)
}

fn told(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.command(&[&["ledger"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn copied(from: &Path) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    run(Command::new("cp").arg("-a").arg(from).arg(place.path().join("copy")));
    place
}

#[test]
fn an_auditor_verifies_a_copy_of_a_log_that_goes_on() {
    let daemon = setup().start();
    ask(&daemon, 0..300);
    wait_for_signed(&daemon, 300);
    let log = daemon.data().join("ledger");
    let folder = daemon.folder().to_owned();
    let key = told(&daemon, &["key"]).trim_end().to_owned();
    assert!(key.starts_with(&format!("{NAME}/1+")), "{key}");
    let checkpoint = told(&daemon, &["checkpoint"]);
    assert!(checkpoint.starts_with(&format!("{NAME}/1\n")), "{checkpoint}");
    let kept = folder.join("kept");
    std::fs::write(&kept, &checkpoint).unwrap();
    let kept = kept.to_str().unwrap().to_owned();
    // A copy from under the running daemon is whole: what a checkpoint needs is there before it.
    ask(&daemon, 300..400);
    let copy = copied(&log);
    let copy = copy.path().join("copy");
    verified(&[copy.to_str().unwrap()], 0);
    let proof = told(&daemon, &["prove", "5"]);
    let data = daemon.data();
    let _setup = daemon.stop();

    let data = data.to_str().unwrap();
    let plain = verified(&[data], 0);
    for part in
        ["integrity:  intact", "anchored:   none", "coverage:   100.00 %", "could have written all\nof this anew"]
    {
        assert!(plain.contains(part), "{part} in\n{plain}");
    }
    let anchored = verified(&[data, "--from", &kept, "--key", &key], 0);
    assert!(anchored.contains("the key given") && !anchored.contains("anchored:   none"), "{anchored}");
    let json: serde_json::Value = serde_json::from_str(&verified(&[data, "--from", &kept, "--json"], 0)).unwrap();
    assert_eq!((&json["integrity"], &json["logs"][0]["origin"]), (&"intact".into(), &format!("{NAME}/1").into()));
    assert_eq!(json["logs"][0]["kinds"]["attempt"], 400);
    assert!(json["logs"][0]["anchored"]["leaves"].as_u64().unwrap() > 300, "{json}");

    let file = folder.join("proof");
    std::fs::write(&file, &proof).unwrap();
    let check = |key: &str| ours(&["ledger", "check-proof", file.to_str().unwrap(), "--key", key]);
    let good = check(&key);
    assert!(good.status.success() && text(&good).contains("upd.kaspersky.com"), "{}", text(&good));
    std::fs::write(&file, proof.replace("index 5", "index 6")).unwrap();
    assert_eq!(check(&key).status.code(), Some(3));
}

#[test]
fn what_was_changed_or_lost_has_an_exit_code_of_its_own() {
    let daemon = setup().start();
    ask(&daemon, 0..5);
    let data = daemon.data();
    let setup = daemon.stop();
    let log = data.join("ledger/1");
    let before = std::fs::read_to_string(log.join("checkpoint")).unwrap();
    let kept = setup.folder.path().join("kept");
    std::fs::write(&kept, &before).unwrap();
    let place = copied(&data.join("ledger"));
    let copy = place.path().join("copy");
    let bundle = std::fs::read_dir(copy.join("1/tile/entries/000.p")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&bundle).unwrap();
    let text = String::from_utf8_lossy(&whole).replace("n3.upd", "n4.upd");
    std::fs::write(&bundle, text).unwrap();
    let tampered = verified(&[copy.to_str().unwrap()], 3);
    assert!(tampered.contains("integrity:  tampered (first bad leaf"), "{tampered}");
    std::fs::remove_file(&bundle).unwrap();
    let incomplete = verified(&[copy.to_str().unwrap()], 4);
    assert!(incomplete.contains("integrity:  incomplete"), "{incomplete}");
    // A log that the checkpoint kept elsewhere tells of is not here at all.
    let daemon = setup.set("ledger.origin", "log.example/other").start();
    let data = daemon.data();
    let _setup = daemon.stop();
    std::fs::remove_dir_all(&log).unwrap();
    let missing = verified(&[data.to_str().unwrap(), "--from", kept.to_str().unwrap()], 4);
    assert!(missing.contains("logs 1 to 1 are not here") && missing.contains("which is not here"), "{missing}");
    let nothing = tempfile::tempdir().unwrap();
    verified(&[nothing.path().to_str().unwrap()], 1);
}

#[test]
fn a_program_that_is_not_ours_verifies_the_log() {
    needs!("python3-cryptography");
    let daemon = setup().start();
    ask(&daemon, 0..300);
    wait_for_signed(&daemon, 0);
    let key = told(&daemon, &["key"]).trim_end().to_owned();
    let data = daemon.data();
    let _setup = daemon.stop();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_log.py");
    let log = data.join("ledger/1");
    let theirs = || Command::new(place::PYTHON).arg(&script).arg(&log).arg(&key).output().unwrap();
    let good = theirs();
    assert!(good.status.success(), "{}", text(&good));
    let read: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    let ours: serde_json::Value =
        serde_json::from_str(&verified(&[data.to_str().unwrap(), "--key", &key, "--json"], 0)).unwrap();
    for part in ["origin", "leaves", "pruned", "kinds"] {
        assert_eq!(read[part], ours["logs"][0][part], "{part}");
    }
    let bundle = log.join("tile/entries/000");
    let mut octets = std::fs::read(&bundle).unwrap();
    octets[100] ^= 1;
    std::fs::write(bundle, octets).unwrap();
    assert!(!theirs().status.success());
}

#[test]
fn the_private_key_is_shown_nowhere() {
    let daemon = setup().start();
    ask(&daemon, 0..2);
    wait_for_signed(&daemon, 0);
    let secret = std::fs::read_to_string(daemon.data().join("keys/ledger.key")).unwrap();
    let secret = secret.trim_end().to_owned();
    assert_eq!(secret.len(), 64);
    for arguments in [&["key"][..], &["checkpoint"], &["verify"], &["verify", "--json"]] {
        assert!(!text(&daemon.command(&[&["ledger"], arguments].concat())).contains(&secret), "{arguments:?}");
    }
    assert!(!daemon.told().contains(&secret));
}

/// Waits until health tells of the log what is wanted.
fn wait_for_health(daemon: &Daemon, what: &str, wanted: impl Fn(&str) -> bool) {
    place::until(PATIENCE, what, || {
        let (_, text) = crate::daemon::fetch(daemon.admin, "/health/ready")?;
        (text.contains("evidence") && wanted(&text)).then_some(())
    });
}

#[test]
fn a_published_log_verifies_and_is_never_written_over() {
    let elsewhere = tempfile::tempdir().unwrap();
    let (published, away) = (elsewhere.path().join("published"), elsewhere.path().join("away"));
    std::fs::create_dir(&published).unwrap();
    let daemon = setup().set("ledger.publish", published.display().to_string()).start();
    let signed = |folder: &Path| std::fs::read_to_string(folder.join("1/checkpoint")).ok();
    ask(&daemon, 0..300);
    wait_for_signed(&daemon, 300);
    let full = published.join("1/tile/entries/000");
    place::until(PATIENCE, "the first full bundle", || full.is_file().then_some(()));
    place::until(PATIENCE, "a checkpoint to be published", || signed(&published));
    verified(&[published.to_str().unwrap()], 0);
    // A disk that is gone for a while is gone on with, and not made anew.
    std::fs::rename(&published, &away).unwrap();
    wait_for_health(&daemon, "the missing folder to be told", |text| text.contains("not published"));
    assert!(!published.exists());
    std::fs::rename(&away, &published).unwrap();
    wait_for_health(&daemon, "the folder to be taken up again", |text| !text.contains("not published"));
    ask(&daemon, 300..600);
    let key = told(&daemon, &["key"]).trim_end().to_owned();
    let data = daemon.data();
    let setup = daemon.stop();
    assert_eq!(signed(&published), signed(&data.join("ledger")), "a stop publishes what it has signed");
    let whole = verified(&[published.to_str().unwrap(), "--key", &key], 0);
    assert!(whole.contains("integrity:  intact"), "{whole}");
    // What differs is told, and stays as it is.
    let mut octets = std::fs::read(&full).unwrap();
    octets[100] ^= 1;
    std::fs::write(&full, &octets).unwrap();
    let before = signed(&published);
    let daemon = setup.start();
    wait_for_health(&daemon, "the difference to be told", |text| text.contains("is there already and differs"));
    let _setup = daemon.stop();
    assert_eq!(std::fs::read(&full).unwrap(), octets);
    assert_eq!(signed(&published), before);
}
