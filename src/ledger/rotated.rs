//! A log whose key was changed: what a start makes of it after a crash at any point, and what a stolen key can still do.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use tempfile::TempDir;

use super::checkpoint::{Checkpoint, Signer, Verifier};
use super::evidence::{PROMPT, copy, entries, forge, log_of, note, settings};
use super::fixtures::{AT, attempt, clock, snapshot};
use super::rotation::Rotation;
use super::verify::{Against, Integrity, Report, verify, verify_folder};
use super::*;

const LOG: &str = "log.example/node/1";
const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

fn record(ledger: &Ledger, name: &str) {
    ledger.recorder().record(attempt(&snapshot(1), "192.0.2.7", name, AT));
    assert!(ledger.flush(PROMPT));
}

fn open(data: &Path) -> Ledger {
    Ledger::open(settings(data), clock()).unwrap()
}

fn rotate(ledger: &Ledger, overlap: SignedDuration) -> Rotated {
    // The log is made by a thread of its own.
    assert!(ledger.flush(PROMPT));
    wait(|| ledger.health().log.origin.is_some());
    let rotated = ledger.rotate(("uid 0", "case 7"), (AT.parse().unwrap(), overlap), PROMPT).unwrap();
    assert!(rotated.done, "{:?}", ledger.health());
    rotated
}

fn wait(until: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !until() {
        assert!(start.elapsed() < PROMPT);
        std::thread::yield_now();
    }
}

fn signer(data: &Path, file: &str) -> Signer {
    let text = fs::read_to_string(data.join("keys").join(file)).unwrap();
    Signer::new(LOG, &hex::decode(text.lines().next().unwrap()).unwrap().try_into().unwrap())
}

/// Returns the data before a change of key, that behind it, and the change.
fn changed() -> (TempDir, TempDir, Rotated) {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = open(before.path());
    record(&ledger, "a.upd.vendor.example");
    ledger.close();
    copy(before.path(), after.path());
    let ledger = open(after.path());
    let rotated = rotate(&ledger, MONTH);
    record(&ledger, "b.upd.vendor.example");
    ledger.abandon();
    (before, after, rotated)
}

fn by(log: &Path, keys: &[&Verifier], earlier: Option<&str>) -> Report {
    let keys: Vec<_> = keys.iter().map(|key| (*key).clone()).collect();
    verify(log, Against { keys: &keys, earlier, ..Against::default() })
}

#[test]
fn one_log_goes_on_with_another_key_and_both_lead_to_it() {
    let (before, after, rotated) = changed();
    let log = log_of(&after, 1);
    let head = note(&log);
    for key in [&rotated.old, &rotated.new] {
        assert!(Checkpoint::open(&head, key).is_ok(), "both sign for a while: {head}");
        let report = by(&log, &[key], Some(&note(&log_of(&before, 1))));
        assert_eq!((report.integrity, report.faults.len()), (Integrity::Intact, 0), "{report:?}");
        assert_eq!(report.signer, Some(rotated.new.to_string()));
        assert!(report.anchored.is_some() && report.retired.len() == 1, "{report:?}");
        assert_eq!(report.retired[0].given, *key == rotated.old);
    }
    let notes = [signed_note::StandardVerifier::new(&rotated.old.to_string()).unwrap()];
    let list = signed_note::VerifierList::new(notes.into_iter().map(|of| Box::new(of) as Box<_>).collect());
    signed_note::Note::from_bytes(head.as_bytes()).unwrap().verify(&list).expect("an older verifier goes on working");

    // Beyond the overlap the old key signs nothing more, and is gone.
    let later = Arc::new(crate::clock::ManualClock::new(AT.parse().unwrap()));
    later.pass(Duration::from_secs(31 * 86_400));
    let ledger = Ledger::open(settings(after.path()), later).unwrap();
    record(&ledger, "c.upd.vendor.example");
    ledger.close();
    assert!(Checkpoint::open(&note(&log), &rotated.old).is_err());
    assert!(!after.path().join("keys/ledger.old").exists());
    assert_eq!(by(&log, &[&rotated.old], None).integrity, Integrity::Intact, "the leaf leads to the new key");

    // A second change, and each key leads to the last.
    let ledger = open(after.path());
    let second = rotate(&ledger, SignedDuration::ZERO);
    ledger.close();
    assert_eq!(second.old, rotated.new);
    for key in [&rotated.old, &rotated.new, &second.new] {
        let report = by(&log, &[key], Some(&head));
        assert_eq!((report.integrity, report.retired.len()), (Integrity::Intact, 2), "{report:?}");
        assert!(report.anchored.is_some());
    }
    // The notes beside the leaves stand in for leaves that went for their age.
    let notes = fs::read_dir(log.join("rotations")).unwrap().count();
    assert_eq!(notes, 2);
    fs::remove_dir_all(log.join("rotations")).unwrap();
    assert_eq!(by(&log, &[&rotated.old], None).integrity, Integrity::Intact);
}

/// Each state that a crash can leave, built of what was on disk before and behind.
#[test]
fn a_crash_at_any_point_of_the_change_leaves_a_log_that_goes_on() {
    let (before, after, rotated) = changed();
    let next = {
        let secret = fs::read_to_string(after.path().join("keys/ledger.key")).unwrap();
        let old = fs::read_to_string(after.path().join("keys/ledger.old")).unwrap();
        format!("{}\n{}\n", secret.trim_end(), old.lines().nth(1).unwrap())
    };
    // What is taken from behind, in the sequence in which it gets there.
    let points: [(&str, &[&str]); 7] = [
        ("the secret is prepared", &[]),
        ("the leaf is in the journal", &["journal"]),
        ("the leaf is in the tiles", &["journal", "ledger/1/tile", "ledger/1/rotations"]),
        ("the checkpoint is kept", &["journal", "ledger/1/tile", "ledger/1/rotations", "keys/ledger.checkpoint"]),
        (
            "the checkpoint is there",
            &["journal", "ledger/1/tile", "ledger/1/rotations", "keys/ledger.checkpoint", "ledger/1/checkpoint"],
        ),
        (
            "the old secret is set aside",
            &[
                "journal",
                "ledger/1/tile",
                "ledger/1/rotations",
                "keys/ledger.checkpoint",
                "ledger/1/checkpoint",
                "keys/ledger.old",
            ],
        ),
        (
            "only the line is missing",
            &["journal", "ledger/1/tile", "ledger/1/rotations", "ledger/1/checkpoint", "keys"],
        ),
    ];
    for (point, (what, taken)) in points.iter().enumerate() {
        let data = tempfile::tempdir().unwrap();
        copy(before.path(), data.path());
        if !taken.contains(&"keys") {
            fs::write(data.path().join("keys/ledger.next"), &next).unwrap();
        }
        for path in *taken {
            let (from, to) = (after.path().join(path), data.path().join(path));
            match from.is_dir() {
                true => {
                    let _ = fs::remove_dir_all(&to);
                    copy(&from, &to);
                }
                false => drop(fs::copy(from, to).unwrap()),
            }
        }
        let ledger = open(data.path());
        record(&ledger, "c.upd.vendor.example");
        ledger.close();
        assert!(!data.path().join("keys/ledger.next").exists(), "{what}");
        let found = verify_folder(data.path(), Against::default()).unwrap();
        assert_eq!((found.integrity, found.logs.len()), (Integrity::Intact, 1), "{what}: {found:?}");
        let log = log_of(&data, 1);
        let key = if point == 0 { &rotated.old } else { &rotated.new };
        assert_eq!(fs::read_to_string(log.join(KEY)).unwrap(), format!("{key}\n"), "{what}");
        assert!(Checkpoint::open(&note(&log), key).is_ok(), "{what}");
        let report = by(&log, &[&rotated.old], Some(&note(&log_of(&before, 1))));
        assert_eq!((report.integrity, report.signer), (Integrity::Intact, Some(key.to_string())), "{what}");
        // And it can be changed again.
        let ledger = open(data.path());
        rotate(&ledger, SignedDuration::ZERO);
        ledger.close();
        assert_eq!(by(&log, &[&rotated.old], None).integrity, Integrity::Intact, "{what}");
    }
}

#[test]
fn what_a_stolen_old_key_signs_is_told_apart_by_the_new_key_or_a_checkpoint() {
    let (_before, after, rotated) = changed();
    let log = log_of(&after, 1);
    let (old, head) = (signer(after.path(), "ledger.old"), note(&log));
    let leaves = entries(&log);
    let at = leaves.iter().position(|leaf| String::from_utf8_lossy(leaf).contains("\"rotate\"")).unwrap();
    let forged = tempfile::tempdir().unwrap();
    let folder = forged.path().join("1");

    // Everything as it is, but signed by the old key alone: the leaf itself bears witness.
    forge(&folder, &leaves, &old);
    let report = by(&folder, &[&rotated.old], None);
    assert_eq!((report.integrity, report.first_bad_leaf), (Integrity::Tampered, Some(at as u64)), "{report:?}");

    // Without the leaf, the old key alone shows nothing of it; the new one or a checkpoint does.
    forge(&folder, &leaves[..at], &old);
    assert_eq!(by(&folder, &[&rotated.old], None).integrity, Integrity::Intact);
    for (keys, earlier) in [
        (vec![&rotated.new], None),
        (vec![&rotated.old, &rotated.new], None),
        (vec![&rotated.old], Some(head.as_str())),
    ] {
        assert_ne!(by(&folder, &keys, earlier).integrity, Integrity::Intact, "{keys:?}");
    }

    // A change to a key of the thief: again those who know the new key, or the retired one with a checkpoint, see it.
    let thief = Signer::new(LOG, &[66; 32]);
    let mut leaf: serde_json::Value = serde_json::from_slice(&leaves[at]).unwrap();
    leaf["rotation"] = Rotation::sign(&old, &thief).into();
    let other = [&leaves[..at], &[serde_json::to_vec(&leaf).unwrap()]].concat();
    forge(&folder, &other, &thief);
    assert_eq!(by(&folder, &[&rotated.new], None).integrity, Integrity::Tampered);
    assert_ne!(by(&folder, &[&rotated.old], Some(&head)).integrity, Integrity::Intact);

    // Whoever has no key of the log changes none.
    leaf["rotation"] = Rotation::sign(&thief, &Signer::new(LOG, &[67; 32])).into();
    let mut other = leaves.clone();
    other.push(serde_json::to_vec(&leaf).unwrap());
    forge(&folder, &other, &signer(after.path(), "ledger.key"));
    let report = by(&folder, &[&rotated.new], None);
    assert_eq!(
        (report.integrity, report.first_bad_leaf),
        (Integrity::Tampered, Some(leaves.len() as u64)),
        "{report:?}"
    );
}

#[test]
fn a_key_is_made_once() {
    let data = tempfile::tempdir().unwrap();
    let made = keygen(&settings(data.path())).unwrap();
    assert!(matches!(keygen(&settings(data.path())), Err(KeygenError::Exists(_))));
    let ledger = open(data.path());
    record(&ledger, "a.upd.vendor.example");
    ledger.close();
    assert_eq!(by(&log_of(&data, 1), &[&made], None).integrity, Integrity::Intact);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(data.path().join("keys/ledger.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
