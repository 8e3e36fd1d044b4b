//! What becomes of a log from one start to the next, and while its disk or its journal change.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::evidence::{PROMPT, checked, copy, entries, files, head, log_of, made, note, running, settings};
use super::fixtures::{AT, attempt, clock, snapshot};
use super::tree::{self, WIDTH};
use super::verify::{Against, Integrity, verify};
use super::*;
use tempfile::TempDir;

#[test]
fn a_log_is_gone_on_with_after_every_end() {
    let data = tempfile::tempdir().unwrap();
    let mut before = None;
    for round in 0..4 {
        let ledger = running(settings(data.path()), 200);
        if round % 2 == 0 {
            ledger.close()
        } else {
            ledger.abandon()
        }
        let log = log_of(&data, 1);
        let report = verify(&log, Against { earlier: before.as_deref(), ..Against::default() });
        assert_eq!((report.integrity, report.anchored.is_some()), (Integrity::Intact, before.is_some()), "{report:?}");
        before = Some(note(&log));
    }
    assert_eq!(logs(&data.path().join("ledger")).unwrap(), [1]);
    running(settings(data.path()), 0).close();
    assert_eq!(entries(&log_of(&data, 1)).len(), read(&data.path().join("journal"), 0).count());
}

/// Returns what the leaves of the journal say of another log.
fn origins(data: &TempDir) -> Vec<String> {
    let why = |leaf: Leaf| match leaf.body {
        Body::Change(change) if change.act == Act::Origin => Some(change.why),
        Body::Change(_) | Body::Attempt(_) | Body::Coverage(_) | Body::Gap(_) | Body::Unknown => None,
    };
    read(&data.path().join("journal"), 0).filter_map(Result::ok).filter_map(why).collect()
}

#[test]
fn an_older_copy_that_is_put_back_begins_another_log() {
    for with_journal in [false, true] {
        let data = made(300);
        let backup = tempfile::tempdir().unwrap();
        copy(&log_of(&data, 1), &backup.path().join("ledger"));
        copy(&data.path().join("journal"), &backup.path().join("journal"));
        running(settings(data.path()), 300).close();
        let newest = note(&log_of(&data, 1));
        fs::remove_dir_all(log_of(&data, 1)).unwrap();
        copy(&backup.path().join("ledger"), &log_of(&data, 1));
        if with_journal {
            fs::remove_dir_all(data.path().join("journal")).unwrap();
            copy(&backup.path().join("journal"), &data.path().join("journal"));
        }
        running(settings(data.path()), 5).close();
        let first = verify(&log_of(&data, 1), Against { earlier: Some(&newest), ..Against::default() });
        if !with_journal {
            // Everything that was signed is made again.
            assert_eq!((first.integrity, first.anchored.is_some()), (Integrity::Intact, true), "{first:?}");
            assert_eq!(origins(&data), Vec::<String>::new());
            continue;
        }
        assert_eq!(first.integrity, Integrity::Incomplete, "what the newest checkpoint tells of is gone");
        let second = checked(&log_of(&data, 2));
        assert_eq!((second.integrity, second.origin.as_deref()), (Integrity::Intact, Some("log.example/node/2")));
        let why = &origins(&data)[..];
        assert!(matches!(why, [why] if why.ends_with("log.example/node/2 begins")), "{why:?}");
        running(settings(data.path()), 5).close();
        assert_eq!(logs(&data.path().join("ledger")).unwrap(), [1, 2]);
        assert_eq!(checked(&log_of(&data, 2)).integrity, Integrity::Intact);
    }
}

#[test]
fn lost_files_are_made_again_from_the_journal() {
    for lost in ["tile/0", "tile/1", "tile/entries", "tile", CHECKPOINT, KEY] {
        let data = made(600);
        let log = log_of(&data, 1);
        let before = note(&log);
        if log.join(lost).is_dir() { fs::remove_dir_all(log.join(lost)) } else { fs::remove_file(log.join(lost)) }
            .unwrap();
        running(settings(data.path()), 3).close();
        let report = verify(&log, Against { earlier: Some(&before), ..Against::default() });
        assert_eq!((report.integrity, report.anchored.is_some()), (Integrity::Intact, true), "{lost}: {report:?}");
        assert_eq!(logs(&data.path().join("ledger")).unwrap(), [1], "{lost}");
    }
}

#[test]
fn another_name_or_key_begins_another_log() {
    let data = made(3);
    running(Settings::new(data.path()), 3).close();
    assert_eq!(logs(&data.path().join("ledger")).unwrap(), [1], "the name is kept where none is configured");
    running(Settings { origin: Some("log.example/new".to_owned()), ..Settings::new(data.path()) }, 3).close();
    assert_eq!(head(&log_of(&data, 2)).origin, "log.example/new/2");
    fs::remove_file(data.path().join("keys/ledger.key")).unwrap();
    running(Settings::new(data.path()), 3).close();
    assert_eq!(head(&log_of(&data, 3)).origin, "log.example/new/3");
    for number in 1..=3 {
        assert_eq!(checked(&log_of(&data, number)).integrity, Integrity::Intact);
    }
    assert_eq!(origins(&data).len(), 2);
    fs::write(data.path().join("keys/ledger.key"), "no key").unwrap();
    assert!(matches!(Ledger::open(Settings::new(data.path()), clock()), Err(OpenError::Log(LogError::NotAKey { .. }))));
}

#[test]
fn a_number_means_one_record_in_all_logs() {
    let data = made(300);
    let backup = tempfile::tempdir().unwrap();
    copy(&data.path().join("journal"), backup.path());
    running(settings(data.path()), 100).close();
    let last = entries(&log_of(&data, 1)).len() as u64;
    // An older journal, and a log that cannot be gone on with.
    fs::remove_dir_all(data.path().join("journal")).unwrap();
    copy(backup.path(), &data.path().join("journal"));
    fs::remove_file(data.path().join("keys/ledger.key")).unwrap();
    running(settings(data.path()), 3).close();
    let found = super::verify::verify_folder(data.path(), Against::default()).unwrap();
    assert_eq!(found.integrity, Integrity::Incomplete, "{found:?}");
    let second = &found.logs[1];
    assert_eq!(
        second.integrity,
        Integrity::Incomplete,
        "between the journal's end and the log's, its numbers have a hole"
    );
    assert!(second.records.is_some_and(|(_, end)| end > last), "{second:?}");
}

#[test]
fn a_journal_full_of_garbage_does_not_hold_the_log_up() {
    let data = made(10);
    let path = segment_path(&data.path().join("journal"), 0);
    let text = fs::read_to_string(&path).unwrap();
    let next = entries(&log_of(&data, 1)).len();
    // A line behind the garbage, so that it is no torn end.
    let line = text.lines().last().unwrap().replacen(&format!("\"seq\":{}", next - 1), &format!("\"seq\":{next}"), 1);
    fs::write(&path, format!("{text}{}{line}\n", "garbage\n".repeat(10_000))).unwrap();
    running(settings(data.path()), 10).close();
    let report = checked(&log_of(&data, 1));
    assert_eq!(report.integrity, Integrity::Intact, "{report:?}");
    assert!(report.leaves > next as u64 + 10, "{report:?}");
}

#[test]
fn a_damaged_checkpoint_is_made_good_by_the_one_beside_the_key() {
    let data = made(300);
    let log = log_of(&data, 1);
    let before = note(&log);
    fs::write(log.join(CHECKPOINT), before.replace('A', "B")).unwrap();
    running(settings(data.path()), 3).close();
    let report = verify(&log, Against { earlier: Some(&before), ..Against::default() });
    assert_eq!((report.integrity, report.anchored.is_some()), (Integrity::Intact, true), "{report:?}");
}

#[test]
fn numbers_that_the_log_has_given_away_are_not_given_again() {
    let data = made(300);
    let last = entries(&log_of(&data, 1)).len() as u64;
    fs::remove_dir_all(data.path().join("journal")).unwrap();
    running(settings(data.path()), 3).close();
    let numbers: Vec<_> = read(&data.path().join("journal"), 0).map(|leaf| leaf.unwrap().seq).collect();
    assert_eq!(numbers[0], last);
    let report = checked(&log_of(&data, 1));
    assert_eq!((report.integrity, report.leaves), (Integrity::Intact, last + numbers.len() as u64), "{report:?}");
}

#[test]
fn what_the_journal_removes_goes_from_the_log_too_and_its_hashes_stay() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { segment: 40_000, total: 1_000_000, checkpoint: Duration::ZERO, ..settings(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    let recorder = ledger.recorder();
    let start = Instant::now();
    for number in 0..2500 {
        recorder.record(attempt(&snapshot(1), "192.0.2.7", &format!("a{number}.upd.vendor.example"), AT));
        if number % 50 == 0 {
            assert!(ledger.flush(PROMPT));
        }
        // The journal removes its oldest, whether the log has them or not.
        while number % 250 == 0 && ledger.health().log.leaves < ledger.health().leaves {
            assert!(start.elapsed() < PROMPT, "{:?}", ledger.health());
            std::thread::yield_now();
        }
    }
    ledger.close();
    // Partial files come on top until the full ones have come, and so does a segment that has just begun.
    let whole = |file: &&PathBuf| !file.to_string_lossy().contains(".p/");
    let size = |folder: &Path| {
        files(folder).iter().filter(whole).map(|file| fs::metadata(folder.join(file)).unwrap().len()).sum::<u64>()
    };
    let (journal, log) = (size(&settings.journal()), size(&settings.log()));
    assert!(journal + log < 1_000_000 + 200_000, "{journal} + {log}");
    let log = log_of(&data, 1);
    let report = checked(&log);
    assert_eq!((report.integrity, report.faults.len()), (Integrity::Intact, 0), "{report:?}");
    assert!(report.pruned >= WIDTH && report.leaves > 1500, "{report:?}");
    let first = read(&settings.journal(), 0).next().unwrap().unwrap().seq;
    assert!(report.pruned <= first, "{} entries are gone that the journal still has from {first} on", report.pruned);
    assert!(matches!(Proof::make(&settings.log(), 3), Err(ProveError::Removed(3))));
    running(settings, 1).close();
    assert_eq!(checked(&log).integrity, Integrity::Intact);
    // Somebody who removes one more says so nowhere.
    fs::remove_file(log.join(tree::bundle_path(report.pruned / WIDTH, WIDTH))).unwrap();
    fs::remove_file(log.join(tree::bundle_path(report.pruned / WIDTH + 1, WIDTH))).unwrap();
    let report = checked(&log);
    assert_eq!((report.integrity, report.pruned), (Integrity::Incomplete, 0), "{report:?}");
}

#[test]
fn a_log_that_cannot_be_written_is_told_and_catches_up() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { checkpoint: Duration::ZERO, ..settings(data.path()) };
    let ledger = running(settings, 3);
    let until = |what: &str, condition: &dyn Fn(LogHealth) -> bool| {
        let start = Instant::now();
        while !condition(ledger.health().log) {
            assert!(start.elapsed() < PROMPT, "{what}: {:?}", ledger.health());
            std::thread::yield_now();
        }
    };
    until("a first checkpoint", &|log| log.signed > 0 && log.origin.as_deref() == Some("log.example/node/1"));
    let tiles = log_of(&data, 1).join("tile");
    fs::rename(&tiles, data.path().join("aside")).unwrap();
    fs::write(&tiles, "in the way").unwrap();
    let recorder = ledger.recorder();
    recorder.record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
    assert!(ledger.flush(PROMPT), "the journal goes on");
    until("the failure to be told", &|log| log.failing.is_some());
    assert_eq!(ledger.health().state, State::Writing);
    fs::remove_file(&tiles).unwrap();
    fs::rename(data.path().join("aside"), &tiles).unwrap();
    until("the log to catch up", &|log| log.failing.is_none() && log.signed == ledger.health().leaves);
    ledger.close();
    assert_eq!(checked(&log_of(&data, 1)).integrity, Integrity::Intact);
}

#[test]
fn what_lies_beyond_the_checkpoint_does_not_outlast_a_start() {
    let data = made(300);
    let log = log_of(&data, 1);
    let (before, size) = (note(&log), head(&log).size);
    // Written and never signed, and other than what will come in their place.
    let stale = [
        tree::bundle_path(size / WIDTH, size % WIDTH + 3),
        tree::bundle_path(size / WIDTH, WIDTH),
        tree::bundle_path(size / WIDTH + 1, 9),
        tree::Tile { level: 0, index: size / WIDTH, width: WIDTH }.path(),
        tree::Tile { level: 0, index: size / WIDTH + 1, width: 7 }.path(),
        tree::Tile { level: 1, index: 0, width: 5 }.path(),
    ];
    for path in &stale {
        fs::create_dir_all(log.join(path).parent().unwrap()).unwrap();
        fs::write(log.join(path), [7; 64]).unwrap();
    }
    assert_ne!(checked(&log).integrity, Integrity::Intact);
    running(settings(data.path()), 3).close();
    let report = verify(&log, Against { earlier: Some(&before), ..Against::default() });
    assert_eq!((report.integrity, report.anchored.is_some()), (Integrity::Intact, true), "{report:?}");
    assert_eq!(logs(&data.path().join("ledger")).unwrap(), [1]);
}

/// The partial bundle that the checkpoint needs had grown full, and what was full is removed by the start in between.
#[test]
fn two_crashes_before_a_checkpoint_leave_the_one_before_whole() {
    let data = made(300);
    let log = log_of(&data, 1);
    let size = head(&log).size;
    let slow = || Settings { checkpoint: Duration::from_secs(3600), ..settings(data.path()) };
    let follows = |ledger: &Ledger| {
        let deadline = std::time::Instant::now() + PROMPT;
        while ledger.health().log.leaves < ledger.health().leaves {
            assert!(std::time::Instant::now() < deadline, "{:?}", ledger.health());
            std::thread::yield_now();
        }
    };
    for lookups in [300, 0] {
        let ledger = running(slow(), lookups);
        follows(&ledger);
        ledger.abandon();
        assert_eq!(head(&log).size, size, "nothing more was signed");
        let report = checked(&log);
        assert_eq!(report.integrity, Integrity::Intact, "{report:?}");
    }
    // Whatever is beyond the checkpoint is taken away at the next start, and needs its time to come back.
    fs::rename(data.path().join("journal"), data.path().join("aside")).unwrap();
    fs::create_dir(data.path().join("journal")).unwrap();
    let ledger = Ledger::open(slow(), clock()).unwrap();
    follows(&ledger);
    ledger.abandon();
    assert_eq!(checked(&log).integrity, Integrity::Intact);
}

#[test]
fn a_log_in_the_place_of_another_is_told() {
    let data = made(3);
    running(Settings { origin: Some("log.example/new".to_owned()), ..Settings::new(data.path()) }, 3).close();
    running(Settings { origin: Some("log.example/third".to_owned()), ..Settings::new(data.path()) }, 3).close();
    let folder = data.path().join("ledger");
    let found = || {
        let found = super::verify::verify_folder(&folder, Against::default()).unwrap();
        (found.integrity, found.faults.iter().map(|fault| fault.text.clone()).collect::<Vec<_>>().join("; "))
    };
    assert_eq!(found(), (Integrity::Intact, String::new()));
    fs::rename(folder.join("2"), folder.join("aside")).unwrap();
    let (integrity, text) = found();
    assert_eq!((integrity, text.as_str()), (Integrity::Incomplete, "logs 2 to 2 are not here"));
    // Another log does not fill the place of the one that is gone, nor does a copy.
    copy(&folder.join("1"), &folder.join("2"));
    let (integrity, text) = found();
    assert_eq!(integrity, Integrity::Tampered);
    assert!(text.contains("is here twice") && text.contains("the folder 2 holds the log log.example/node/1"), "{text}");
    // A copy under a name that is no number is somebody's own.
    assert_eq!(checked(&folder.join("aside")).integrity, Integrity::Intact);
}
