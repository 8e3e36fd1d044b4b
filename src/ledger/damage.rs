//! What a journal looks like after a crash, a changed octet, a lost or a removed file.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::faults::{assert_whole, leaves, total};
use super::fixtures::{AT, attempt, clock, snapshot};
use super::journal::{Journal, Limits, path_of};
use super::medium::Disk;
use super::*;

const PROMPT: Duration = Duration::from_secs(20);
const LIMITS: Limits = Limits { segment: 4096, total: 1 << 30 };

/// Writes a journal of `groups` look-ups and returns the octets of its only segment.
fn written(folder: &Path, groups: usize) -> Vec<u8> {
    let ledger = Ledger::open(Settings::new(folder), clock()).unwrap();
    let recorder = ledger.recorder();
    for _ in 0..groups {
        recorder.record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
        assert!(ledger.flush(PROMPT));
    }
    ledger.abandon();
    fs::read(path_of(&folder.join("journal"), 0)).unwrap()
}

#[test]
fn a_torn_end_is_moved_aside_wherever_it_is_torn() {
    let data = tempfile::tempdir().unwrap();
    let whole = written(data.path(), 3);
    let last = whole[..whole.len() - 1].iter().rposition(|octet| *octet == b'\n').unwrap() + 1;
    for end in last..=whole.len() {
        let data = tempfile::tempdir().unwrap();
        fs::write(path_of(data.path(), 0), &whole[..end]).unwrap();
        let (journal, found) = Journal::open(data.path(), LIMITS, Box::new(Disk)).unwrap();
        let torn = end > last && end < whole.len();
        assert_eq!(journal.durable(), if end == whole.len() { 4 } else { 3 }, "{end}");
        assert_eq!(found.damage.len(), usize::from(torn), "{end}");
        let aside = data.path().join(format!("damaged-{:020}-1", 0));
        assert_eq!(fs::read(aside).ok().as_deref(), torn.then_some(&whole[last..end]), "{end}");
        assert_eq!(fs::read(path_of(data.path(), 0)).unwrap(), whole[..if torn { last } else { end }]);
    }
}

#[test]
fn a_torn_end_is_told_by_a_gap_and_numbers_go_on() {
    let data = tempfile::tempdir().unwrap();
    let whole = written(data.path(), 3);
    let path = path_of(&data.path().join("journal"), 0);
    fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    Ledger::open(Settings::new(data.path()), clock()).unwrap().close();
    let leaves = leaves(data.path());
    assert_whole(&leaves);
    let Body::Gap(gap) = &leaves[3].body else { panic!("{:?}", leaves[3]) };
    assert_eq!(gap.reason, GapReason::Damaged);
    assert!(gap.found.contains("moved to damaged-00000000000000000000-1"), "{}", gap.found);
}

#[test]
fn records_of_a_later_version_are_refused_and_left_as_they_are() {
    let data = tempfile::tempdir().unwrap();
    let whole = String::from_utf8(written(data.path(), 3)).unwrap();
    let path = path_of(&data.path().join("journal"), 0);
    // One of an earlier day, which this program went on behind once, stops nobody.
    let within = whole.replacen("\"v\":1", "\"v\":2", 1);
    assert_ne!(within, whole);
    fs::write(&path, &within).unwrap();
    Ledger::open(Settings::new(data.path()), clock()).unwrap().close();
    let text = fs::read_to_string(&path).unwrap();
    let (front, last) = text.trim_end().rsplit_once('\n').unwrap();
    let later = format!("{front}\n{}\n", last.replace("\"v\":1", "\"v\":2"));
    fs::write(&path, &later).unwrap();
    let error = Ledger::open(Settings::new(data.path()), clock()).unwrap_err();
    let OpenError::Journal(error @ RecoverError::Newer { found: 2, .. }) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains("format 2; this one knows 1"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), later);
}

#[test]
fn damage_inside_is_told_once_and_costs_no_other_line() {
    let data = tempfile::tempdir().unwrap();
    let whole = written(data.path(), 5);
    let path = path_of(&data.path().join("journal"), 0);
    let text = String::from_utf8(whole).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines[2] = "{\"seq\":2";
    lines.remove(3);
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    for _ in 0..2 {
        Ledger::open(Settings::new(data.path()), clock()).unwrap().close();
    }
    let read: Vec<_> = read(&data.path().join("journal"), 0).collect();
    let faults: Vec<_> = read.iter().filter_map(|leaf| leaf.as_ref().err()).collect();
    assert!(
        matches!(faults[..], [ReadError::Line { line: 3, .. }, ReadError::Missing { first: 2, last: 3, .. }]),
        "{faults:?}"
    );
    let leaves: Vec<_> = read.into_iter().filter_map(Result::ok).collect();
    assert_eq!(total(&leaves), 3);
    let gaps = leaves.iter().filter(|leaf| matches!(leaf.body, Body::Gap(_))).count();
    assert_eq!(gaps, 1, "told at the first start only");
    assert_eq!(find(&data.path().join("journal"), 4).unwrap().unwrap().seq, 4);
    assert_eq!(find(&data.path().join("journal"), 3).unwrap(), None);
}

#[test]
fn a_segment_that_is_not_there_is_told_once() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { segment: 700, ..Settings::new(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    let recorder = ledger.recorder();
    for _ in 0..6 {
        recorder.record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
        assert!(ledger.flush(PROMPT));
    }
    ledger.close();
    let segments = segments(&settings.journal()).unwrap();
    assert!(segments.len() > 3, "{segments:?}");
    fs::remove_file(path_of(&settings.journal(), segments[1])).unwrap();
    for _ in 0..2 {
        Ledger::open(settings.clone(), clock()).unwrap().close();
    }
    let leaves: Vec<_> = read(&settings.journal(), 0).filter_map(Result::ok).collect();
    let gaps: Vec<_> =
        leaves.iter().filter_map(|leaf| if let Body::Gap(gap) = &leaf.body { Some(gap) } else { None }).collect();
    let [gap] = gaps[..] else { panic!("{gaps:?}") };
    assert_eq!((gap.first_seq, gap.last_seq), (Some(segments[1]), Some(segments[2] - 1)));
}

#[test]
fn a_segment_with_a_wrong_name_gets_its_own_again() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { segment: 700, ..Settings::new(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    let recorder = ledger.recorder();
    for _ in 0..6 {
        recorder.record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
        assert!(ledger.flush(PROMPT));
    }
    ledger.close();
    let names = segments(&settings.journal()).unwrap();
    let last = *names.last().unwrap();
    for (segment, wrong) in [(names[1], names[1] + 5000), (last, last + 9000), (last, 1)] {
        fs::rename(path_of(&settings.journal(), segment), path_of(&settings.journal(), wrong)).unwrap();
        Ledger::open(settings.clone(), clock()).unwrap().close();
        let leaves = leaves(data.path());
        assert_whole(&leaves);
        assert_eq!(total(&leaves), 6);
        let told =
            leaves.iter().filter(|leaf| matches!(&leaf.body, Body::Gap(gap) if gap.found.contains("given that name")));
        assert!(told.count() > 0);
    }
    fs::copy(path_of(&settings.journal(), 0), path_of(&settings.journal(), 70_000)).unwrap();
    Ledger::open(settings.clone(), clock()).unwrap().close();
    assert_whole(&leaves(data.path()));
    assert!(settings.journal().join("damaged-00000000000000070000-1").exists());
}

#[test]
fn a_segment_of_garbage_is_moved_aside_and_its_numbers_are_not_given_again() {
    let data = tempfile::tempdir().unwrap();
    written(data.path(), 3);
    let journal = data.path().join("journal");
    fs::write(path_of(&journal, 70), b"\0\0\0garbage\n{}\n").unwrap();
    Ledger::open(Settings::new(data.path()), clock()).unwrap().close();
    assert_eq!(fs::read(journal.join("damaged-00000000000000000070-1")).unwrap(), b"\0\0\0garbage\n{}\n");
    let numbers: Vec<_> = read(&journal, 0).filter_map(Result::ok).map(|leaf| leaf.seq).collect();
    assert_eq!(numbers[..6], [0, 1, 2, 3, 70, 71]);
}

#[test]
fn a_wrong_number_costs_its_own_line_only() {
    let data = tempfile::tempdir().unwrap();
    let whole = String::from_utf8(written(data.path(), 5)).unwrap();
    let journal = data.path().join("journal");
    for wrong in ["900002", "0", "3"] {
        fs::write(path_of(&journal, 0), whole.replace("\"seq\":2,", &format!("\"seq\":{wrong},"))).unwrap();
        let next = Journal::open(&journal, LIMITS, Box::new(Disk)).unwrap().0.durable();
        assert_eq!(next, 6, "{wrong}");
        let numbers: Vec<_> = read(&journal, 0).filter_map(Result::ok).map(|leaf| leaf.seq).collect();
        assert_eq!(numbers, [0, 1, 3, 4, 5], "{wrong}");
        assert!(read(&journal, 0).any(|leaf| leaf.is_err()));
    }
}

#[test]
fn any_changed_octet_leaves_a_journal_that_opens_and_reads() {
    let data = tempfile::tempdir().unwrap();
    let whole = written(data.path(), 2);
    for at in 0..whole.len() {
        let data = tempfile::tempdir().unwrap();
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(path_of(data.path(), 0), &changed).unwrap();
        let (mut journal, _) = Journal::open(data.path(), LIMITS, Box::new(Disk)).unwrap();
        let next = journal.durable();
        journal.append(Body::Unknown);
        journal.commit().unwrap();
        assert!(read(data.path(), 0).filter_map(Result::ok).any(|leaf| leaf.seq == next), "octet {at}");
    }
}

#[test]
fn the_oldest_segments_go_first_and_that_is_told() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { segment: 4000, total: 20_000, ..Settings::new(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    let recorder = ledger.recorder();
    for _ in 0..100 {
        recorder.record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
        assert!(ledger.flush(PROMPT));
        let size: u64 =
            fs::read_dir(settings.journal()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= 20_000 + 4000 + 1000, "{size}");
    }
    ledger.close();
    let read: Vec<_> = read(&settings.journal(), 0).map(Result::unwrap).collect();
    assert!(read[0].seq > 0);
    assert!(read.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    let removed = |leaf: &&Leaf| matches!(&leaf.body, Body::Change(change) if change.act == Act::Removed);
    assert!(read.iter().filter(removed).count() > 1);
    // What was removed for the size is no gap.
    Ledger::open(settings.clone(), clock()).unwrap().close();
    assert!(!leaves(data.path()).iter().any(|leaf| matches!(leaf.body, Body::Gap(_))));
}

#[test]
fn files_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = tempfile::tempdir().unwrap();
    written(data.path(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let journal = data.path().join("journal");
    assert_eq!((mode(&journal), mode(&path_of(&journal, 0))), (0o700, 0o600));
}

#[test]
fn a_line_that_is_being_written_is_not_read_before_its_end() {
    let data = tempfile::tempdir().unwrap();
    let whole = written(data.path(), 2);
    let path = path_of(&data.path().join("journal"), 0);
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let mut reader = read(&data.path().join("journal"), 0);
    assert_eq!(reader.by_ref().map(|leaf| leaf.unwrap().seq).collect::<Vec<_>>(), [0, 1]);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    io::Write::write_all(&mut file, &whole[whole.len() - 20..]).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().seq, 2);
    assert!(reader.next().is_none());
}
