//! What a log holds against whoever changes it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::checkpoint::{Checkpoint, Signer, Verifier};
use super::fixtures::{AT, attempt, clock, snapshot};
use super::tree::{self, Edge, WIDTH};
use super::verify::{Against, Integrity, KeySource, Report, verify, verify_folder};
use super::*;

pub(super) const PROMPT: Duration = Duration::from_secs(20);
const NAME: &str = "log.example/node";

pub(super) fn settings(data: &Path) -> Settings {
    Settings { origin: Some(NAME.to_owned()), ..Settings::new(data) }
}

/// Runs the ledger for some look-ups, each a leaf of its own, and returns it.
pub(super) fn running(settings: Settings, lookups: usize) -> Ledger {
    let ledger = Ledger::open(settings, clock()).unwrap();
    let recorder = ledger.recorder();
    for number in 0..lookups {
        recorder.record(attempt(&snapshot(1), "192.0.2.7", &format!("a{number}.upd.vendor.example"), AT));
    }
    assert!(ledger.flush(PROMPT));
    ledger
}

/// Returns a data folder with a log of at least so many leaves, which ended in an orderly way.
pub(super) fn made(lookups: usize) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    running(settings(data.path()), lookups).close();
    data
}

pub(super) fn log_of(data: &TempDir, number: u64) -> PathBuf {
    data.path().join("ledger").join(number.to_string())
}

pub(super) fn checked(log: &Path) -> Report {
    verify(log, Against::default())
}

pub(super) fn head(log: &Path) -> Checkpoint {
    Checkpoint::open(&note(log), &key(log)).unwrap()
}

pub(super) fn note(log: &Path) -> String {
    fs::read_to_string(log.join(CHECKPOINT)).unwrap()
}

fn key(log: &Path) -> Verifier {
    fs::read_to_string(log.join(KEY)).unwrap().trim_end().parse().unwrap()
}

fn signer(data: &TempDir, origin: &str) -> Signer {
    let secret = fs::read_to_string(data.path().join("keys/ledger.key")).unwrap();
    Signer::new(origin, &hex::decode(secret.trim_end()).unwrap().try_into().unwrap())
}

pub(super) fn entries(log: &Path) -> Vec<Vec<u8>> {
    let size = head(log).size;
    let bundle = |index| log::read_bundle(log, index, WIDTH.min(size - index * WIDTH)).unwrap();
    (0..size.div_ceil(WIDTH)).flat_map(bundle).collect()
}

/// Returns every file below a folder, by its path in it.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(of) = folders.pop() {
        for entry in fs::read_dir(of).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path().strip_prefix(folder).unwrap().to_owned()),
            }
        }
    }
    files.sort();
    files
}

pub(super) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
        fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
}

/// Writes a log of these entries, as somebody could who has the key.
pub(super) fn forge(folder: &Path, entries: &[Vec<u8>], signer: &Signer) {
    let _ = fs::remove_dir_all(folder);
    let mut edge = Edge::default();
    let put = |path: String, octets: &[u8]| {
        fs::create_dir_all(folder.join(&path).parent().unwrap()).unwrap();
        fs::write(folder.join(path), octets).unwrap();
    };
    for entry in entries {
        edge.push(tree::leaf_hash(entry), |tile, hashes| put(tile.path(), &hashes.concat()));
    }
    edge.tiles().for_each(|(tile, hashes)| put(tile.path(), &hashes.concat()));
    for (index, chunk) in (0..).zip(entries.chunks(256)) {
        let mut bundle = Vec::new();
        chunk.iter().for_each(|entry| tree::push_entry(&mut bundle, entry).unwrap());
        put(tree::bundle_path(index, chunk.len() as u64), &bundle);
    }
    let verifier = signer.verifier();
    let checkpoint = Checkpoint { origin: verifier.name().to_owned(), size: edge.size(), root: edge.root() };
    put(CHECKPOINT.to_owned(), signer.sign(&checkpoint).as_bytes());
    put(KEY.to_owned(), format!("{verifier}\n").as_bytes());
}

#[test]
fn the_log_has_the_lines_of_the_journal_and_is_intact() {
    let data = made(600);
    let log = log_of(&data, 1);
    let mut reader = read(&data.path().join("journal"), 0);
    let mut lines = Vec::new();
    while let Some(leaf) = reader.next() {
        leaf.unwrap();
        lines.push(reader.line().strip_suffix(b"\n").unwrap().to_vec());
    }
    assert_eq!(entries(&log), lines);
    assert!(lines.len() > 600);
    let report = checked(&log);
    assert_eq!((report.integrity, report.faults.len(), report.pruned), (Integrity::Intact, 0, 0), "{report:?}");
    assert_eq!((report.leaves, report.kinds.values().sum::<u64>()), (lines.len() as u64, lines.len() as u64));
    assert_eq!(report.origin.as_deref(), Some("log.example/node/1"));
    assert_eq!((report.key, report.anchored), (Some(KeySource::Beside), None));
    let given = verify(&log, Against { keys: &[key(&log)], earlier: Some(&note(&log)), ..Against::default() });
    assert_eq!((given.integrity, given.key), (Integrity::Intact, Some(KeySource::Given)));
    let anchor = given.anchored.unwrap();
    assert_eq!((anchor.leaves, anchor.at), (lines.len() as u64, Some(AT.parse().unwrap())));
    // The key is closed to others, and partial files are gone where full ones have come.
    let partial = files(&log).iter().filter(|path| path.to_string_lossy().contains("000.p/")).count();
    assert_eq!(partial, 1, "that of level 1: {:?}", files(&log));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(data.path().join("keys/ledger.key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn any_changed_octet_is_found() {
    let data = made(1);
    let log = log_of(&data, 1);
    assert_eq!(checked(&log).integrity, Integrity::Intact);
    for file in files(&log) {
        let path = log.join(&file);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            let report = checked(&log);
            assert_eq!(report.integrity, Integrity::Tampered, "octet {at} of {}: {report:?}", file.display());
        }
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(checked(&log).integrity, Integrity::Intact);
}

#[test]
fn a_file_that_is_gone_cut_or_another_is_found() {
    let data = made(300);
    let log = log_of(&data, 1);
    let all = files(&log);
    assert!(all.len() > 6, "{all:?}");
    for file in &all {
        let path = log.join(file);
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(checked(&log).integrity, Integrity::Incomplete, "{} was removed", file.display());
        for end in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(checked(&log).integrity, Integrity::Tampered, "{} was cut to {end}", file.display());
        }
        fs::write(&path, [&whole[..], &whole[..]].concat()).unwrap();
        assert_eq!(checked(&log).integrity, Integrity::Tampered, "{} was doubled", file.display());
        for other in all.iter().filter(|other| *other > file) {
            let theirs = fs::read(log.join(other)).unwrap();
            fs::write(&path, &theirs).unwrap();
            fs::write(log.join(other), &whole).unwrap();
            assert_eq!(checked(&log).integrity, Integrity::Tampered, "{} and {}", file.display(), other.display());
            fs::write(log.join(other), theirs).unwrap();
        }
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(checked(&log).integrity, Integrity::Intact);
}

#[test]
fn a_journal_that_says_something_else_than_its_log_is_found() {
    let data = made(300);
    let all = || verify_folder(data.path(), Against::default()).unwrap();
    assert_eq!(all().integrity, Integrity::Intact);
    let path = segment_path(&data.path().join("journal"), 0);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("a270.upd", "b270.upd")).unwrap();
    let found = all();
    assert_eq!((found.integrity, found.logs[0].faults.len()), (Integrity::Tampered, 1), "{found:?}");
    assert_eq!(checked(&log_of(&data, 1)).integrity, Integrity::Intact, "the log itself was not touched");
    // A number that leads a reader astray does not hide what comes behind it.
    let line = text.lines().nth(30).unwrap();
    let astray = line.replacen("\"seq\":30", "\"seq\":4000000", 1);
    assert_ne!(astray, line);
    let text = text.replacen(line, &format!("{astray}\n{line}"), 1);
    fs::write(&path, &text).unwrap();
    assert_eq!(all().integrity, Integrity::Intact);
    fs::write(&path, text.replace("a270.upd", "b270.upd")).unwrap();
    assert_eq!(all().integrity, Integrity::Tampered);
    // Lines that are gone or torn are no contradiction: the log has them. One that no log can have cannot be compared.
    let gone = text.split_inclusive('\n').skip(20).collect::<String>() + &"x".repeat(200_000);
    fs::write(&path, &gone).unwrap();
    assert_eq!(all().integrity, Integrity::Intact);
    fs::write(&path, gone + "\n").unwrap();
    assert_eq!(all().integrity, Integrity::Incomplete);
}

#[test]
fn leaves_in_another_order_are_found_also_with_hashes_to_match() {
    let data = made(20);
    let log = log_of(&data, 1);
    let mut changed = entries(&log);
    changed.swap(3, 4);
    let note = fs::read(log.join(CHECKPOINT)).unwrap();
    forge(&log, &changed, &signer(&data, "log.example/node/1"));
    // Signed anew, the numbers still go back.
    let signed = checked(&log);
    assert_eq!((signed.integrity, signed.first_bad_leaf), (Integrity::Tampered, Some(4)), "{signed:?}");
    fs::write(log.join(CHECKPOINT), note).unwrap();
    assert_eq!(checked(&log).integrity, Integrity::Tampered);
}

#[test]
fn the_first_bad_leaf_is_told() {
    let data = made(600);
    let log = log_of(&data, 1);
    let path = log.join(tree::bundle_path(1, WIDTH));
    let mut bundle = fs::read(&path).unwrap();
    let third: usize = tree::entries(&bundle).unwrap()[..3].iter().map(|entry| entry.len() + 2).sum();
    bundle[third + 9] ^= 1;
    fs::write(path, bundle).unwrap();
    let report = checked(&log);
    assert_eq!((report.integrity, report.first_bad_leaf), (Integrity::Tampered, Some(256 + 3)), "{report:?}");
}

#[test]
fn only_a_checkpoint_kept_elsewhere_finds_what_was_signed_anew() {
    let data = made(300);
    let log = log_of(&data, 1);
    let (before, whole) = (note(&log), entries(&log));
    let origin = "log.example/node/1";
    let cut = &whole[..whole.len() - 40];
    let mut rewritten = whole.clone();
    rewritten[7] = String::from_utf8(rewritten[7].clone()).unwrap().replace("\"count\":1", "\"count\":2").into_bytes();
    for (entries, found) in [(cut, Integrity::Incomplete), (&rewritten[..], Integrity::Tampered)] {
        forge(&log, entries, &signer(&data, origin));
        assert_eq!(checked(&log).integrity, Integrity::Intact, "whoever has the key can do this");
        let report = verify(&log, Against { earlier: Some(&before), ..Against::default() });
        assert_eq!((report.integrity, report.anchored), (found, None));
    }
    // Another key does not help either: the checkpoint kept elsewhere is not of it.
    forge(&log, &rewritten, &Signer::new(origin, &[1; 32]));
    let theirs = key(&log);
    assert_eq!(checked(&log).integrity, Integrity::Intact);
    assert_eq!(verify(&log, Against { earlier: Some(&before), ..Against::default() }).integrity, Integrity::Tampered);
    let mine = signer(&data, origin).verifier();
    assert_eq!(verify(&log, Against { keys: &[mine], ..Against::default() }).integrity, Integrity::Tampered);
    let other = signer(&data, "log.example/other/1").verifier();
    assert_eq!(verify(&log, Against { keys: &[other], ..Against::default() }).integrity, Integrity::Incomplete);
    assert_eq!(verify(&log, Against { keys: &[theirs], ..Against::default() }).integrity, Integrity::Intact);
}

#[test]
fn an_anchor_tells_the_instant_of_its_own_last_leaf() {
    let place = tempfile::tempdir().unwrap();
    let signer = Signer::new("log.example/timed/1", &[3; 32]);
    let at = |seq: u64| format!("2024-09-29T04:{:02}:{:02}Z", seq / 60, seq % 60);
    let entry = |seq| format!("{{\"at\":\"{}\",\"kind\":\"change\",\"seq\":{seq}}}", at(seq)).into_bytes();
    let entries: Vec<_> = (0..300).map(entry).collect();
    for size in [1, 5, 255, 256, 257, 300] {
        forge(place.path(), &entries[..size], &signer);
        let before = note(place.path());
        forge(place.path(), &entries, &signer);
        let report = verify(place.path(), Against { earlier: Some(&before), ..Against::default() });
        let anchor = report.anchored.unwrap();
        assert_eq!((anchor.leaves, anchor.at.unwrap().to_string()), (size as u64, at(size as u64 - 1)));
    }
}

#[test]
fn links_pipes_and_great_numbers_lead_nowhere() {
    let data = made(3);
    let log = log_of(&data, 1);
    let size = head(&log).size;
    let bundle = log.join(tree::bundle_path(0, size));
    let elsewhere = data.path().join("elsewhere");
    fs::rename(&bundle, &elsewhere).unwrap();
    symlink(&elsewhere, &bundle).unwrap();
    assert_eq!(checked(&log).integrity, Integrity::Incomplete, "a link is not followed");
    fs::remove_file(&bundle).unwrap();
    nix::unistd::mkfifo(&bundle, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert_eq!(checked(&log).integrity, Integrity::Incomplete, "a pipe is not waited for");
    fs::remove_file(&bundle).unwrap();
    fs::rename(&elsewhere, &bundle).unwrap();
    assert_eq!(checked(&log).integrity, Integrity::Intact);
    for size in [u64::MAX, u64::MAX - 255, 1 << 62] {
        let huge = Checkpoint { size, ..head(&log) };
        fs::write(log.join(CHECKPOINT), signer(&data, "log.example/node/1").sign(&huge)).unwrap();
        assert_ne!(checked(&log).integrity, Integrity::Intact);
    }
}

#[test]
fn what_never_entered_the_log_is_told() {
    let data = made(3);
    let log = log_of(&data, 1);
    let mut entries = entries(&log);
    entries.remove(2);
    forge(&log, &entries, &signer(&data, "log.example/node/1"));
    let report = checked(&log);
    assert_eq!(report.integrity, Integrity::Incomplete);
    assert!(report.faults[0].text.contains("the records 2 to 2 never entered the log"), "{report:?}");
}

#[test]
fn a_proof_is_checked_without_the_log_and_no_other_passes() {
    let data = made(300);
    let (logs, log) = (data.path().join("ledger"), log_of(&data, 1));
    let size = head(&log).size;
    for number in [0, 1, 255, 256, size - 1] {
        let proof = Proof::make(&logs, number).unwrap();
        assert_eq!(proof.index, number);
        let text = proof.to_string();
        let read = Proof::parse(&text).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.check(&key(&log)).unwrap().size, size);
        assert_eq!(read.entry, entries(&log)[usize::try_from(number).unwrap()]);
    }
    assert!(matches!(Proof::make(&logs, size), Err(ProveError::NotThere(_))));
    let text = Proof::make(&logs, 7).unwrap().to_string();
    let other = text.replace("index 7\n", "index 8\n");
    assert_eq!(Proof::parse(&other).unwrap().check(&key(&log)), Err(ProofError::Wrong));
    let verifier = key(&log);
    for at in (0..text.len()).step_by(3) {
        let mut octets = text.clone().into_bytes();
        octets[at] ^= 1;
        let text = String::from_utf8(octets).unwrap_or_default();
        assert!(!Proof::parse(&text).is_ok_and(|proof| proof.check(&verifier).is_ok()), "octet {at}");
    }
    assert!(matches!(
        Proof::parse(&text).unwrap().check(&Signer::new("log.example/node/1", &[1; 32]).verifier()),
        Err(ProofError::Checkpoint(_))
    ));
}

#[test]
fn a_tree_of_three_levels_is_verified_and_proved() {
    let place = tempfile::tempdir().unwrap();
    let signer = Signer::new("log.example/high/1", &[3; 32]);
    let size = 66_000_u64;
    let entries: Vec<_> = (0..size).map(|seq| format!("{{\"kind\":\"gap\",\"seq\":{seq}}}").into_bytes()).collect();
    let log = place.path().join("1");
    forge(&log, &entries, &signer);
    assert!(log.join("tile/2/000.p/1").exists() && log.join("tile/1/000").exists());
    let report = checked(&log);
    assert_eq!((report.integrity, report.leaves, report.faults.len()), (Integrity::Intact, size, 0), "{report:?}");
    for number in [0, 65_535, 65_536, size - 1] {
        Proof::make(place.path(), number).unwrap().check(&signer.verifier()).unwrap();
    }
    for (tile, leaf) in [("tile/1/000", 3 * 256), ("tile/1/001.p/1", 65_536), ("tile/2/000.p/1", 0)] {
        let whole = fs::read(log.join(tile)).unwrap();
        let mut changed = whole.clone();
        changed[if leaf == 768 { 3 * 32 } else { 0 }] ^= 1;
        fs::write(log.join(tile), changed).unwrap();
        let report = checked(&log);
        assert_eq!((report.integrity, report.first_bad_leaf), (Integrity::Tampered, Some(leaf)), "{tile}: {report:?}");
        fs::write(log.join(tile), whole).unwrap();
    }
}

/// Reads tiles for another implementation.
struct Tiles<'a>(&'a Path, std::cell::RefCell<BTreeSet<String>>);

impl tlog_tiles::tile::TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::tile::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::tlog::Error> {
        let read = |tile: &tlog_tiles::tile::Tile| {
            // It writes the height into its paths, as Go's checksum database does.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            self.1.borrow_mut().insert(path.clone());
            fs::read(self.0.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::tile::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn another_implementation_accepts_the_log() {
    use tlog_tiles::tlog;
    let data = made(600);
    let log = log_of(&data, 1);
    let theirs = signed_note::StandardVerifier::new(&key(&log).to_string()).unwrap();
    let list = signed_note::VerifierList::new(vec![Box::new(theirs)]);
    let note = signed_note::Note::from_bytes(note(&log).as_bytes()).unwrap();
    assert_eq!(note.verify(&list).unwrap().0.len(), 1);
    let head = tlog_tiles::checkpoint::Checkpoint::from_bytes(note.text()).unwrap();
    let tiles = Tiles(&log, Default::default());
    let reader = tlog_tiles::tile::TileHashReader::new(head.size(), *head.hash(), &tiles);
    assert_eq!(tlog::tree_hash(head.size(), &reader).unwrap(), *head.hash());
    for (entry, index) in entries(&log).iter().zip(0..).step_by(37) {
        let proof = tlog::prove_record(head.size(), index, &reader).unwrap();
        tlog::check_record(&proof, head.size(), *head.hash(), index, tlog::record_hash(entry)).unwrap();
    }
    for old in [1, 255, 256, 300, head.size()] {
        let proof = tlog::prove_tree(head.size(), old, &reader).unwrap();
        let root = tree::Reader::new(head.size(), |tile| log::read_tile(&log, tile).ok_or(())).root(old).unwrap();
        tlog::check_tree(&proof, head.size(), *head.hash(), old, tlog::Hash(root)).unwrap();
    }
    assert!(tiles.1.borrow().iter().any(|path| path == "tile/0/000"), "{:?}", tiles.1.borrow());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_file_is_replaced_by_is_found(file: prop::sample::Index, octets: Vec<u8>, text in "[a-z0-9\n \u{2014}+/=]*") {
        use std::sync::OnceLock;
        static MADE: OnceLock<TempDir> = OnceLock::new();
        let made = MADE.get_or_init(|| made(5));
        for octets in [octets, text.into_bytes()] {
            let place = tempfile::tempdir().unwrap();
            copy(&log_of(made, 1), place.path());
            let path = place.path().join(file.get(&files(place.path())));
            fs::write(path, octets).unwrap();
            prop_assert_eq!(checked(place.path()).integrity, Integrity::Tampered);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_octet_of_a_larger_log_is_found(file: prop::sample::Index, at: prop::sample::Index, flip in 1_u8..) {
        use std::sync::OnceLock;
        static MADE: OnceLock<TempDir> = OnceLock::new();
        let made = MADE.get_or_init(|| made(700));
        let place = tempfile::tempdir().unwrap();
        copy(&log_of(made, 1), place.path());
        let path = place.path().join(file.get(&files(place.path())));
        let mut octets = fs::read(&path).unwrap();
        let at = at.index(octets.len());
        octets[at] ^= flip;
        fs::write(&path, octets).unwrap();
        prop_assert_eq!(checked(place.path()).integrity, Integrity::Tampered, "octet {} of {}", at, path.display());
    }
}
