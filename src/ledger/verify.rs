//! Verification of a log: whether the files of a folder are the tree that was signed, and what the leaves in it cover.
//!
//! Stands alone: whoever audits a ledger can read this file with its folder, `tree` and `checkpoint`, and nothing else of
//! the program. Everything that is read is taken for hostile: files are read up to a bound, links are not followed, and
//! nothing outside the folder is opened.

mod coverage;
mod files;
mod folder;
mod journal;
mod keys;
mod witness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::checkpoint::{Checkpoint, Verifier};
use super::cosign::Cosigner;
use super::tree::{self, Edge, Hash, Tile, WIDTH};
pub use coverage::{Covered, Hole};
use coverage::{Covering, Entry};
use files::{Files, Variant};
pub use folder::{NoLog, Verification, verify_folder};
use journal::{Bundle, Line, Lines};
pub use keys::Retired;
pub use witness::Witnessed;

/// The most faults that are told; what comes behind them is counted.
const MAX_FAULTS: usize = 100;
/// The longest that a full bundle can be, in octets.
const MAX_BUNDLE: u64 = WIDTH * (2 + tree::MAX_ENTRY as u64);
const MAX_TILE: u64 = WIDTH * 32;

/// What a log is held against besides itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Against<'a> {
    /// The keys that are trusted; where there are none, the one that lies beside the log is taken.
    pub keys: &'a [Verifier],
    /// The keys of witnesses that are trusted.
    pub witnesses: &'a [Cosigner],
    /// A checkpoint that was kept elsewhere, as a signed note.
    pub earlier: Option<&'a str>,
    /// The folder of the journal that the log was made from: what it still has must be what the log has.
    pub journal: Option<&'a Path>,
    /// The number up to which a later log says that leaves were removed.
    pub removed: Option<u64>,
}

/// Whether the files are what was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Integrity {
    /// Everything that was signed is there as it was signed, but for what a leaf says was removed for its age.
    Intact,
    /// Something that was signed is not there, or cannot be checked; what is there is as it was signed.
    Incomplete,
    /// Something is not as it was signed.
    Tampered,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub kind: Integrity,
    /// The first leaf that it concerns, where one can be told.
    pub leaf: Option<u64>,
    pub text: String,
}

/// Where the key came from that the signature was checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySource {
    /// Whoever verifies has brought it.
    Given,
    /// It lay beside the log: whoever can replace the log can replace it too.
    Beside,
}

/// A checkpoint kept elsewhere that the log continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// How many leaves it tells of: those are as they were when it was taken away.
    pub leaves: u64,
    /// The instant that the last of them tells; none where its entry was removed, or there is none.
    pub at: Option<Timestamp>,
}

/// What verification has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub folder: PathBuf,
    pub origin: Option<String>,
    /// How many leaves the newest checkpoint tells of.
    pub leaves: u64,
    pub integrity: Integrity,
    /// The first leaf that was tampered with, where one can be told.
    pub first_bad_leaf: Option<u64>,
    /// The worst first.
    pub faults: Vec<Fault>,
    /// How many faults are not listed.
    pub more_faults: u64,
    pub key: Option<KeySource>,
    /// The verifier line of the key that has signed the newest checkpoint.
    pub signer: Option<String>,
    /// The keys that signed before it, the first one first.
    pub retired: Vec<Retired>,
    pub anchored: Option<Anchor>,
    /// What trusted witnesses bear out.
    pub witnessed: Vec<Witnessed>,
    /// How many leaves have only their hashes left, because their entries were removed for their age, as a leaf says.
    pub pruned: u64,
    /// The number of the first record whose entry is there, and of the last.
    pub records: Option<(u64, u64)>,
    /// How many leaves there are of each kind, among those whose entries are there.
    pub kinds: BTreeMap<String, u64>,
    pub coverage: Covered,
    /// The number up to which a leaf says that leaves were removed, of earlier logs too.
    #[serde(skip)]
    pub removed: Option<u64>,
}

/// Verifies the log in a folder.
pub fn verify(folder: &Path, against: Against<'_>) -> Report {
    let mut walk = Walk::new(folder);
    walk.removed = against.removed;
    if let Some((head, note)) = walk.head(against) {
        walk.report.leaves = head.size;
        walk.earlier = against.earlier.and_then(|note| walk.earlier(note, &head));
        walk.cosigned(against.witnesses, &head, [Some(note.as_str()), against.earlier]);
        walk.leaves(&head);
        walk.signed((&head.origin, head.size), &note, against.earlier);
        walk.removed();
        if let Some(journal) = against.journal {
            walk.compare(Lines::of(journal));
        }
    }
    walk.finish()
}

/// The hash of a leaf, with the instant that it tells.
type Timed = (Hash, Option<Timestamp>);

struct Walk {
    files: Files,
    report: Report,
    edge: Edge,
    /// The checkpoint that was kept elsewhere, as long as its size was not reached.
    earlier: Option<Checkpoint>,
    /// Checkpoints that witnesses have cosigned, as long as their sizes were not reached.
    awaited: Vec<(Checkpoint, Witnessed)>,
    /// Whether that is of this log.
    has_earlier: bool,
    /// The keys that are trusted to have signed, once.
    trusted: Vec<Verifier>,
    /// The notes that change the key, by leaf, and whether they stand in one that is there.
    rotations: BTreeMap<u64, (String, bool)>,
    /// The number of the first leaf of each bundle that is there, with the place of the bundle.
    bundles: Vec<(u64, u64)>,
    covering: Covering,
    /// The number of the first leaf whose entry is there, and of the last so far.
    numbers: Option<(u64, u64)>,
    /// The instant of the last leaf of the tree so far.
    at: Option<Timestamp>,
    /// The number up to which a leaf says that leaves were removed.
    removed: Option<u64>,
}

impl Walk {
    fn new(folder: &Path) -> Self {
        let report = Report {
            folder: folder.to_owned(),
            origin: None,
            leaves: 0,
            integrity: Integrity::Intact,
            first_bad_leaf: None,
            faults: Vec::new(),
            more_faults: 0,
            key: None,
            signer: None,
            retired: Vec::new(),
            anchored: None,
            witnessed: Vec::new(),
            pruned: 0,
            records: None,
            kinds: BTreeMap::new(),
            coverage: Covered::default(),
            removed: None,
        };
        Self {
            files: Files::new(folder),
            report,
            edge: Edge::default(),
            earlier: None,
            awaited: Vec::new(),
            has_earlier: false,
            trusted: Vec::new(),
            rotations: BTreeMap::new(),
            bundles: Vec::new(),
            covering: Covering::default(),
            numbers: None,
            at: None,
            removed: None,
        }
    }

    fn fault(&mut self, kind: Integrity, leaf: Option<u64>, text: impl Into<String>) {
        self.report.integrity = self.report.integrity.max(kind);
        if kind == Integrity::Tampered {
            let first = self.report.first_bad_leaf;
            self.report.first_bad_leaf = first.into_iter().chain(leaf).min();
        }
        if self.report.faults.len() < MAX_FAULTS {
            self.report.faults.push(Fault { kind, leaf, text: text.into() });
        } else {
            self.report.more_faults += 1;
        }
    }

    fn tampered(&mut self, leaf: Option<u64>, text: impl Into<String>) {
        self.fault(Integrity::Tampered, leaf, text);
    }

    fn incomplete(&mut self, leaf: Option<u64>, text: impl Into<String>) {
        self.fault(Integrity::Incomplete, leaf, text);
    }

    /// Returns the newest checkpoint and its note, whose signature is not checked yet.
    fn head(&mut self, against: Against<'_>) -> Option<(Checkpoint, String)> {
        let Some(note) = self.files.text("checkpoint") else {
            self.incomplete(None, "there is no checkpoint that can be read");
            return None;
        };
        let Some(head) = note.rfind("\n\n").and_then(|end| Checkpoint::parse(&note[..=end]).ok()) else {
            self.tampered(None, "the checkpoint is none (c2sp.org/tlog-checkpoint)");
            return None;
        };
        self.report.origin = Some(head.origin.clone());
        self.trusted = self.trusted(&head.origin, against.keys);
        Some((head, note))
    }

    fn trusted(&mut self, origin: &str, keys: &[Verifier]) -> Vec<Verifier> {
        if !keys.is_empty() {
            let found: Vec<_> = keys.iter().filter(|key| key.name() == origin).cloned().collect();
            self.report.key = (!found.is_empty()).then_some(KeySource::Given);
            if found.is_empty() {
                self.incomplete(
                    None,
                    format!("no key was given for the log {origin}, so nobody is known to have signed it"),
                );
            }
            return found;
        }
        let Some(text) = self.files.text("key") else {
            self.incomplete(
                None,
                "no key was given and none lies beside the log, so nobody is known to have signed it",
            );
            return Vec::new();
        };
        let read = text.strip_suffix('\n').and_then(|line| line.parse::<Verifier>().ok());
        match read.filter(|key| key.name() == origin) {
            Some(key) => {
                self.report.key = Some(KeySource::Beside);
                vec![key]
            }
            None => {
                self.tampered(None, "the key that lies beside the log is none of this log");
                Vec::new()
            }
        }
    }

    /// Reads the checkpoint that was kept elsewhere. One of another log says nothing of this one.
    fn earlier(&mut self, note: &str, head: &Checkpoint) -> Option<Checkpoint> {
        let end = note.rfind("\n\n")?;
        let earlier = Checkpoint::parse(&note[..=end]).ok().filter(|earlier| earlier.origin == head.origin)?;
        self.has_earlier = true;
        if earlier.size > head.size {
            let text = format!(
                "leaves {} to {} were signed, and are not here: the end was cut off, or this copy is older",
                head.size,
                earlier.size - 1
            );
            self.incomplete(Some(head.size), text);
            return None;
        }
        Some(earlier)
    }

    fn leaves(&mut self, head: &Checkpoint) {
        self.compare_earlier();
        let mut index = 0;
        while let Some(tile) = Tile::of(0, index, head.size) {
            let Some(hashes) = self.entries(tile) else {
                let text = format!("{} cannot be read, and neither can its entries", tile.path());
                return self.incomplete(Some(index * WIDTH), text);
            };
            let mut full = Vec::new();
            for (hash, at) in hashes {
                self.at = at;
                self.edge.push(hash, |tile, hashes| full.push((tile, hashes.to_vec())));
                self.compare_earlier();
            }
            full.into_iter().for_each(|(tile, hashes)| self.tile(tile, &hashes));
            index += 1;
        }
        let partial: Vec<_> = self.edge.tiles().map(|(tile, hashes)| (tile, hashes.to_vec())).collect();
        partial.into_iter().for_each(|(tile, hashes)| self.tile(tile, &hashes));
        if self.edge.root() != head.root {
            self.tampered(None, "the leaves are not those that were signed: their root is another");
        }
    }

    fn compare_earlier(&mut self) {
        if !self.awaited.is_empty() {
            self.compare_cosigned();
        }
        let Some(earlier) = self.earlier.take_if(|earlier| earlier.size == self.edge.size()) else { return };
        if earlier.root == self.edge.root() {
            self.report.anchored = Some(Anchor { leaves: earlier.size, at: self.at });
        } else {
            let text = format!("the first {} leaves are not those of the checkpoint kept elsewhere", earlier.size);
            self.tampered(None, text);
        }
    }

    /// Returns the hashes of the leaves of one tile: from its entries, or from the tile itself where those are not there.
    fn entries(&mut self, tile: Tile) -> Option<Vec<Timed>> {
        let first = tile.index * WIDTH;
        let mut absent = true;
        let mut best: Vec<u8> = Vec::new();
        for Variant { path, width } in self.files.variants(&tree::bundle_path(tile.index, WIDTH)) {
            let Some(octets) = self.files.read(&path, MAX_BUNDLE) else { continue };
            absent = false;
            let Some(count) = tree::entries(&octets).map(|entries| entries.len() as u64).filter(|of| *of == width)
            else {
                self.tampered(Some(first), format!("{path} does not hold {width} entries"));
                continue;
            };
            // Entries behind the checkpoint are not signed yet.
            let signed = usize::try_from(count.min(tile.width)).unwrap_or_default();
            let (one, other) = (tree::entries(&best).unwrap_or_default(), tree::entries(&octets).unwrap_or_default());
            if let Some(at) = one.iter().zip(&other[..signed]).position(|(one, other)| one != other) {
                self.tampered(Some(first + at as u64), format!("{path} holds other entries than a bundle beside it"));
            }
            if signed > one.len() {
                let length = other[..signed].iter().map(|entry| entry.len() + 2).sum();
                best = octets;
                best.truncate(length);
            }
        }
        let entries = tree::entries(&best).unwrap_or_default();
        if entries.len() as u64 != tile.width {
            return self.hashes_alone(tile, absent);
        }
        let timed =
            entries.iter().zip(first..).map(|(entry, index)| (tree::leaf_hash(entry), self.entry(entry, index)));
        Some(timed.collect())
    }

    /// Takes the hashes of leaves whose entries are not there.
    fn hashes_alone(&mut self, tile: Tile, absent: bool) -> Option<Vec<Timed>> {
        let first = tile.index * WIDTH;
        if absent && self.numbers.is_none() && tile.width == WIDTH {
            self.report.pruned += WIDTH;
        } else {
            let path = tree::bundle_path(tile.index, tile.width);
            self.incomplete(Some(first), format!("the entries of {path} cannot be read"));
        }
        let variants = self.files.variants(&Tile { width: WIDTH, ..tile }.path());
        let read = variants.iter().filter_map(|variant| tree::hashes(&self.files.read(&variant.path, MAX_TILE)?));
        let width = usize::try_from(tile.width).ok()?;
        let mut hashes = read.max_by_key(Vec::len).filter(|hashes| hashes.len() >= width)?;
        hashes.truncate(width);
        Some(hashes.into_iter().map(|hash| (hash, None)).collect())
    }

    /// Takes in what one leaf says, and returns its instant.
    fn entry(&mut self, octets: &[u8], index: u64) -> Option<Timestamp> {
        let entry: Option<Entry> = serde_json::from_slice(octets).ok();
        let kind = entry.as_ref().map_or("unreadable", Entry::kind);
        *self.report.kinds.entry(kind.to_owned()).or_default() += 1;
        let entry = entry?;
        if self.bundles.last().is_none_or(|(_, bundle)| *bundle < index / WIDTH) {
            self.bundles.push((entry.seq, index / WIDTH));
        }
        match &mut self.numbers {
            numbers @ None => *numbers = Some((entry.seq, entry.seq)),
            Some((_, last)) => {
                let before = std::mem::replace(last, entry.seq);
                if entry.seq <= before {
                    self.tampered(Some(index), format!("leaf {index} is numbered {} behind {before}", entry.seq));
                } else if entry.seq - before > 1 {
                    let text = format!("the records {} to {} never entered the log", before + 1, entry.seq - 1);
                    self.incomplete(Some(index), text);
                }
            }
        }
        self.removed = self.removed.max(entry.removed());
        if let Some(note) = entry.rotation() {
            self.note_rotation(note, index);
        }
        self.covering.take(&entry);
        entry.at()
    }

    /// Compares what is on disk of a tile with what its hashes have to be.
    fn tile(&mut self, tile: Tile, hashes: &[Hash]) {
        // So many leaves each hash stands for; a tile of such a level exists only where that is a number.
        let stride = 1_u64.checked_shl(8 * u32::from(tile.level)).unwrap_or(u64::MAX);
        let first = (tile.index * WIDTH).saturating_mul(stride);
        let mut whole = false;
        for Variant { path, width } in self.files.variants(&Tile { width: WIDTH, ..tile }.path()) {
            let Some(octets) = self.files.read(&path, MAX_TILE) else { continue };
            let Some(read) = tree::hashes(&octets).filter(|read| read.len() as u64 == width) else {
                self.tampered(Some(first), format!("{path} does not hold {width} hashes"));
                continue;
            };
            whole |= width >= tile.width;
            if let Some(at) = read.iter().zip(hashes).position(|(read, hash)| read != hash) {
                let leaf = first.saturating_add((at as u64).saturating_mul(stride));
                // Below a hash that is wrong, a tile may have told the leaf itself.
                let known = self.report.first_bad_leaf.is_some_and(|bad| bad >= leaf && bad - leaf < stride);
                let leaf = (!known).then_some(leaf);
                self.tampered(leaf, format!("{path} does not hold the hashes of its leaves"));
            }
        }
        if !whole {
            self.incomplete(Some(first), format!("{} cannot be read", tile.path()));
        }
    }

    /// Checks that a leaf tells of entries that are gone.
    fn removed(&mut self) {
        let pruned = self.report.pruned;
        let told = match self.numbers {
            Some((first, _)) => self.removed.is_some_and(|removed| removed.saturating_add(1) >= first),
            None => false,
        };
        if pruned > 0 && !told {
            self.report.pruned = 0;
            self.incomplete(
                Some(0),
                format!("the entries of the first {pruned} leaves are not there, and no leaf says why"),
            );
        }
    }

    /// Compares what the journal has of the leaves whose entries are there.
    fn compare(&mut self, lines: Lines) {
        let Some((first, last)) = self.numbers else { return };
        let mut bundle: Option<Bundle> = None;
        for line in lines {
            let (number, line) = match line {
                Line::Leaf(number, line) if (first..=last).contains(&number) => (number, line),
                Line::Leaf(..) => continue,
                Line::TooLong => {
                    self.incomplete(None, "the journal has a line that is longer than any record of a log");
                    continue;
                }
            };
            let place = self.bundles.partition_point(|(first, _)| *first <= number);
            let Some((_, index)) = place.checked_sub(1).and_then(|place| self.bundles.get(place)).copied() else {
                continue;
            };
            let loaded = match bundle.take_if(|bundle| bundle.index == index) {
                Some(bundle) => bundle,
                None => Bundle::of(index, &self.widest(index)),
            };
            match bundle.insert(loaded).find(number) {
                Some(entry) if entry == line => {}
                Some(_) => self.tampered(None, format!("the journal has another record {number} than the log")),
                None => self.incomplete(None, format!("the journal has a record {number}, and the log has none")),
            }
        }
    }

    /// Returns the bundle at this place that has the most entries.
    fn widest(&self, index: u64) -> Vec<u8> {
        let variants = self.files.variants(&tree::bundle_path(index, WIDTH));
        let read = variants.iter().rev().find_map(|variant| self.files.read(&variant.path, MAX_BUNDLE));
        read.unwrap_or_default()
    }

    fn finish(mut self) -> Report {
        // A stable sort, so that among equals the first found stays in front.
        self.report.faults.sort_by_key(|fault| std::cmp::Reverse(fault.kind));
        self.report.coverage = self.covering.finish();
        self.report.records = self.numbers;
        self.report.removed = self.removed;
        self.report
    }
}
