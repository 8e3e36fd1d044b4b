//! What disks do: they fill up, turn read-only, fail at fsync, lose ends of files.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::fixtures::{AT, attempt, clock, snapshot};
use super::medium::{Disk, Medium, SegmentFile};
use super::tests::sums;
use super::*;

const PROMPT: Duration = Duration::from_secs(20);

/// Which operations fail.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    append: bool,
    sync: bool,
    truncate: bool,
    create: bool,
    rename: bool,
    sync_folder: bool,
}

#[derive(Clone, Default)]
struct Faulty(Arc<Mutex<Faults>>);

struct FaultyFile {
    faults: Faulty,
    path: PathBuf,
    file: Box<dyn SegmentFile>,
    synced: usize,
}

impl Faulty {
    fn set(&self, faults: Faults) {
        *self.0.lock().unwrap() = faults;
    }

    fn check(&self, fails: impl FnOnce(&Faults) -> bool) -> io::Result<()> {
        if fails(&self.0.lock().unwrap()) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Medium for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        self.check(|faults| faults.create)?;
        let file = Disk.create(path)?;
        Ok(Box::new(FaultyFile { faults: self.clone(), path: path.to_owned(), file, synced: 0 }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(|faults| faults.rename)?;
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.check(|faults| faults.sync_folder)?;
        Disk.sync_folder(folder)
    }
}

impl SegmentFile for FaultyFile {
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.faults.check(|faults| faults.append).is_err() {
            // As a full disk does: a part is written before it is told.
            self.file.append(&octets[..octets.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.append(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        // The file has got its name since it was made.
        let named = fs::read(&self.path).ok();
        if self.faults.check(|faults| faults.sync).is_err() {
            // As a kernel does that drops the pages it could not write: something else stands there.
            if let Some(mut octets) = named {
                octets[self.synced..].fill(0);
                fs::write(&self.path, octets)?;
            }
            return Err(io::Error::from_raw_os_error(5));
        }
        self.file.sync()?;
        self.synced = named.map_or(self.synced, |octets| octets.len());
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.faults.check(|faults| faults.truncate)?;
        self.file.truncate(length)
    }

    fn has_name(&self) -> io::Result<bool> {
        self.file.has_name()
    }
}

pub(super) fn leaves(folder: &Path) -> Vec<Leaf> {
    read(&folder.join("journal"), 0).map(Result::unwrap).collect()
}

pub(super) fn total(leaves: &[Leaf]) -> u64 {
    sums(leaves).values().sum()
}

pub(super) fn assert_whole(leaves: &[Leaf]) {
    let numbers: Vec<_> = leaves.iter().map(|leaf| leaf.seq).collect();
    assert_eq!(numbers, (0..leaves.len() as u64).collect::<Vec<_>>(), "every leaf once and in order");
}

fn is_failing(ledger: &Ledger) -> bool {
    matches!(ledger.health().state, State::Failing { .. })
}

#[test]
fn whatever_the_disk_refuses_is_written_once_it_takes_it() {
    let none = Faults::default;
    for faults in [
        Faults { append: true, ..none() },
        Faults { append: true, truncate: true, ..none() },
        Faults { sync: true, ..none() },
        Faults { sync: true, truncate: true, ..none() },
        Faults { sync: true, truncate: true, create: true, ..none() },
        Faults { sync: true, rename: true, ..none() },
        Faults { sync: true, sync_folder: true, ..none() },
    ] {
        let data = tempfile::tempdir().unwrap();
        let disk = Faulty::default();
        let ledger = Ledger::open_on(Settings::new(data.path()), clock(), Box::new(disk.clone())).unwrap();
        let (recorder, policy) = (ledger.recorder(), snapshot(1));
        for round in 0..3 {
            recorder.record(attempt(&policy, "192.0.2.7", "upd.vendor.example", AT));
            assert!(ledger.flush(PROMPT));
            disk.set(faults);
            for _ in 0..2 {
                recorder.record(attempt(&policy, "192.0.2.7", "geo.vendor.example", AT));
                assert!(!ledger.flush(PROMPT), "{faults:?}");
            }
            assert!(is_failing(&ledger), "{faults:?}");
            assert!(ledger.health().unwritten >= 2);
            disk.set(none());
            assert!(ledger.flush(PROMPT));
            assert!(!is_failing(&ledger));
            let leaves = leaves(data.path());
            assert_whole(&leaves);
            assert_eq!(total(&leaves), (round + 1) * 3, "{faults:?}");
        }
        let rewritten = |leaf: &Leaf| matches!(&leaf.body, Body::Change(change) if change.act == Act::Rewritten);
        assert_eq!(leaves(data.path()).iter().any(rewritten), faults.sync || faults.truncate, "{faults:?}");
        ledger.close();
        let ledger = Ledger::open(Settings::new(data.path()), clock()).unwrap();
        ledger.close();
        assert_whole(&leaves(data.path()));
    }
}

#[test]
fn beyond_the_bound_on_memory_look_ups_are_counted_and_told_as_a_gap() {
    let data = tempfile::tempdir().unwrap();
    let disk = Faulty::default();
    let settings = Settings { unwritten: 4096, ..Settings::new(data.path()) };
    let ledger = Ledger::open_on(settings, clock(), Box::new(disk.clone())).unwrap();
    let (recorder, policy) = (ledger.recorder(), snapshot(1));
    disk.set(Faults { sync: true, ..Faults::default() });
    for number in 0..300 {
        recorder.record(attempt(&policy, "192.0.2.7", &format!("a{number}.upd.vendor.example"), AT));
        recorder.record(attempt(&policy, "192.0.2.7", "www.vendor.example", AT));
    }
    ledger.change(Change::reloaded(&[2; 32], &[]));
    assert!(!ledger.flush(PROMPT));
    ledger.change(Change::reload_refused(&["no".to_owned()]));
    assert!(!ledger.flush(PROMPT));
    let health = ledger.health();
    assert!(health.unwritten < 20 && health.uncovered > 200, "{health:?}");
    disk.set(Faults::default());
    assert!(ledger.flush(PROMPT));
    ledger.close();
    let leaves = leaves(data.path());
    assert_whole(&leaves);
    let gaps: Vec<_> =
        leaves.iter().filter_map(|leaf| if let Body::Gap(gap) = &leaf.body { Some(gap) } else { None }).collect();
    let [gap] = gaps[..] else { panic!("{gaps:?}") };
    assert_eq!((gap.reason, gap.changes), (GapReason::Unwritten, 0));
    let changes = leaves.iter().filter(|leaf| matches!(leaf.body, Body::Change(_)));
    assert!(changes.count() >= 2, "changes have room where look-ups have none");
    assert_eq!((gap.from, gap.until), (Some(AT.parse().unwrap()), Some(AT.parse().unwrap())));
    let sum = |rule: &str, verdict: &str| ((format!("suffix:{rule}.vendor.example"), verdict.to_owned()), 300);
    assert_eq!(sums(&leaves), BTreeMap::from([sum("upd", "sunk"), sum("www", "noted")]));
}

/// Returns whether an answer may leave, where that is known.
fn may_leave(recorder: &Recorder, ticket: &mut Ticket) -> Option<bool> {
    let waiting = std::pin::pin!(recorder.committed(ticket));
    match waiting.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(told) => Some(told),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn all_answers_of_a_commit_have_one_outcome_and_the_records_tell_it() {
    for fail in [Fail::Answer, Fail::Servfail] {
        let data = tempfile::tempdir().unwrap();
        let disk = Faulty::default();
        let settings = Settings { durability: Durability::Strict, fail, ..Settings::new(data.path()) };
        let ledger = Ledger::open_on(settings, clock(), Box::new(disk.clone())).unwrap();
        let (recorder, policy) = (ledger.recorder(), snapshot(1));
        let handed = |name: &str| recorder.record(attempt(&policy, "192.0.2.7", name, AT));
        let awaited = |name: &str| match handed(name) {
            Handed::Awaited(ticket) => ticket,
            other => panic!("{other:?}"),
        };
        assert!(ledger.flush(PROMPT));
        // As long as the faults are held, nothing is known of the disk.
        let mut faults = disk.0.lock().unwrap();
        faults.sync = true;
        let mut tickets = [awaited("a.upd.vendor.example"), awaited("b.upd.vendor.example")];
        drop(faults);
        assert!(!ledger.flush(PROMPT));
        let early = may_leave(&recorder, &mut tickets[0]);
        assert_eq!(matches!(handed("c.upd.vendor.example"), Handed::Refused { .. }), fail == Fail::Servfail);
        disk.set(Faults::default());
        assert!(ledger.flush(PROMPT));
        let late = may_leave(&recorder, &mut tickets[1]);
        assert_eq!((early, late), (Some(fail == Fail::Answer), Some(fail == Fail::Answer)));
        let mut after = awaited("d.upd.vendor.example");
        assert!(ledger.flush(PROMPT));
        assert_eq!(may_leave(&recorder, &mut after), Some(true));
        ledger.close();

        let leaves = leaves(data.path());
        assert_whole(&leaves);
        let told: Vec<_> = leaves.iter().filter_map(|leaf| servfail(leaf, &leaves)).flatten().collect();
        let others = ["a.upd.vendor.example", "b.upd.vendor.example"];
        assert_eq!(told, if fail == Fail::Servfail { &others[..] } else { &[] });
    }
}

/// Returns the names whose answers were others than their records say, by a leaf that tells so.
fn servfail<'l>(leaf: &Leaf, leaves: &'l [Leaf]) -> Option<Vec<&'l str>> {
    let Body::Change(change) = &leaf.body else { return None };
    let told = change.first_seq?..=change.last_seq?;
    let of = leaves.iter().filter(|leaf| change.act == Act::Servfail && told.contains(&leaf.seq));
    Some(of.map(|leaf| if let Body::Attempt(of) = &leaf.body { of.name.as_deref().unwrap() } else { "" }).collect())
}

/// A mounted file system that goes with the value.
struct Mounted(tempfile::TempDir);

impl Mounted {
    /// Returns `None`, and says so where skips are counted, if this user may not mount.
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        let skipped = "ledger::faults: this user may not mount a file system";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{skipped}, and CI skips nothing");
        // `tests/run` counts the lines of this file.
        if let Some(path) = std::env::var_os("INTERDICT_SKIPPED") {
            let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
            io::Write::write_all(&mut file, format!("{skipped}\n").as_bytes()).unwrap();
        }
        None
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_holds_records_back_until_there_is_room() {
    let Some(disk) = Mounted::new("size=512k") else { return };
    let data = disk.0.path().join("data");
    for already_full in [false, true] {
        let filler = disk.0.path().join("filler");
        let fill = || drop(fs::write(&filler, vec![0; 1 << 20]));
        fs::create_dir_all(data.join("journal")).unwrap();
        if already_full {
            fill();
        }
        let ledger = Ledger::open(Settings::new(&data), clock()).unwrap();
        fill();
        let recorder = ledger.recorder();
        let deadline = Instant::now() + PROMPT;
        let mut count = 0;
        while !is_failing(&ledger) {
            for _ in 0..20 {
                recorder.record(attempt(&snapshot(1), "192.0.2.7", &format!("a{count}.upd.vendor.example"), AT));
                count += 1;
            }
            ledger.flush(PROMPT);
            assert!(Instant::now() < deadline);
        }
        let State::Failing { reason, .. } = ledger.health().state else { panic!("it is failing") };
        assert!(reason.contains("No space left") || reason.contains("os error 28"), "{reason}");
        fs::remove_file(&filler).unwrap();
        assert!(ledger.flush(PROMPT));
        assert!(!is_failing(&ledger));
        ledger.close();
        let leaves = leaves(&data);
        assert_whole(&leaves);
        assert_eq!(total(&leaves), count);
        fs::remove_dir_all(&data).unwrap();
    }
}

#[test]
fn a_read_only_folder_is_refused_at_the_start_and_told_later() {
    let Some(disk) = Mounted::new("size=1m") else { return };
    let data = disk.0.path().join("data");
    let ledger = Ledger::open(Settings::new(&data), clock()).unwrap();
    // A file system cannot become read-only while a file of it is written, so the journal is between two segments.
    ledger.close();
    disk.remount("ro");
    let error = Ledger::open(Settings::new(&data), clock()).unwrap_err();
    let error = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.contains("cannot open the journal"), "{error}");
    let fresh = disk.0.path().join("fresh");
    assert!(Ledger::open(Settings::new(fresh), clock()).is_err());
    disk.remount("rw");
    Ledger::open(Settings::new(&data), clock()).unwrap().close();
}

#[test]
fn a_journal_that_is_taken_away_is_told_and_begun_again() {
    let data = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(Settings::new(data.path()), clock()).unwrap();
    let recorder = ledger.recorder();
    recorder.record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
    assert!(ledger.flush(PROMPT));
    fs::remove_dir_all(data.path().join("journal")).unwrap();
    recorder.record(attempt(&snapshot(1), "192.0.2.7", "geo.vendor.example", AT));
    assert!(ledger.flush(PROMPT));
    ledger.close();
    let leaves = leaves(data.path());
    let gap = leaves.iter().find_map(|leaf| if let Body::Gap(gap) = &leaf.body { Some(gap) } else { None }).unwrap();
    assert_eq!((gap.first_seq, gap.last_seq), (Some(0), Some(leaves[0].seq - 1)));
    assert_eq!(total(&leaves), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_exact_whatever_fails_in_between(
        steps in proptest::collection::vec((any::<[bool; 6]>(), 0usize..12, 0usize..4), 1..12),
        unwritten in 500usize..6000,
    ) {
        let data = tempfile::tempdir().unwrap();
        let disk = Faulty::default();
        let checkpoint = Duration::ZERO;
        let settings = Settings { unwritten, segment: 3000, checkpoint, ..Settings::new(data.path()) };
        let ledger = Ledger::open_on(settings, clock(), Box::new(disk.clone())).unwrap();
        let (recorder, policy) = (ledger.recorder(), snapshot(1));
        let mut recorded = 0;
        for ([append, sync, truncate, create, rename, sync_folder], count, name) in steps {
            disk.set(Faults { append, sync, truncate, create, rename, sync_folder });
            for number in 0..count {
                let name = ["upd", "geo", "console", "www"][name];
                recorder.record(attempt(&policy, "192.0.2.7", &format!("a{number}.{name}.vendor.example"), AT));
            }
            recorded += count as u64;
            ledger.flush(PROMPT);
            let health = ledger.health();
            prop_assert!(health.log.leaves <= health.leaves, "the log is ahead of the journal: {health:?}");
        }
        disk.set(Faults::default());
        prop_assert!(ledger.flush(PROMPT));
        ledger.close();
        let leaves = leaves(data.path());
        assert_whole(&leaves);
        prop_assert_eq!(total(&leaves), recorded);
        let log = data.path().join("ledger/1");
        prop_assert_eq!(super::verify::verify(&log, Default::default()).integrity, super::verify::Integrity::Intact);
        let entries = super::evidence::entries(&log);
        let entries: Vec<_> = entries.iter().map(|entry| Leaf::read(entry).unwrap()).collect();
        prop_assert_eq!(entries, leaves);
    }
}
