//! What a start finds: a log to go on with, or the reason why another one begins. Only reads.
//!
//! Under one name, what was signed once is never contradicted. So a log is gone on with only where its files add up to the
//! newest checkpoint that is known, and where the journal does not say otherwise.

use std::fs;
use std::path::Path;

use super::place::{self, CHECKPOINT, LogError, Place};
use super::signing::{self, Keys, opened};
use super::{Log, hash_octets, number_of, read_bundle, read_tile};
use crate::ledger::checkpoint::{Checkpoint, is_name};
use crate::ledger::journal::MAX_NUMBER;
use crate::ledger::read::{self, ReadError};
use crate::ledger::tree::{self, Edge, Tile, WIDTH};

/// What a start has to go on with.
#[derive(Debug)]
pub(in crate::ledger) enum Found {
    /// The log, at the size of its newest checkpoint or, where its files are lost and the journal has everything, at none.
    Log(Box<Log>),
    /// A log is to be made.
    Fresh {
        place: Place,
        number: u64,
        name: String,
        /// Why the one before cannot be gone on with; none where there was none.
        why: Option<String>,
        /// The number behind the last leaf of the one before.
        next: u64,
    },
}

impl Found {
    /// Returns why another log begins, where one was there before.
    pub(in crate::ledger) fn why(&self) -> Option<&str> {
        match self {
            Self::Log(_) => None,
            Self::Fresh { why, .. } => why.as_deref(),
        }
    }

    /// Returns the number that the next leaf has at least.
    pub(in crate::ledger) fn next(&self) -> u64 {
        match self {
            Self::Log(log) => log.last.map_or(0, |last| last + 1),
            Self::Fresh { next, .. } => *next,
        }
    }
}

/// Looks for the log that this place was left with.
pub(in crate::ledger) fn look(place: &Place, journal: &Path) -> Result<Found, LogError> {
    let list = |source| LogError::Read { path: place.folder.clone(), source };
    let numbers = place::logs(&place.folder).map_err(list)?;
    let kept = place.kept().and_then(|note| Some(parted(note.lines().next()?)?.1));
    let Some(number) = numbers.last().copied().max(kept) else {
        return Ok(Found::Fresh { place: place.clone(), number: 1, name: place.fresh_name(), why: None, next: 0 });
    };
    let folder = place.folder.join(number.to_string());
    let begun = folder.join(CHECKPOINT).exists() || folder.join("tile").exists() || kept.is_some();
    if !begun {
        // A start was cut off before it had signed anything.
        return Ok(Found::Fresh { place: place.clone(), number, name: place.fresh_name(), why: None, next: 0 });
    }
    let secret = place.secret()?;
    let (name, why) = match resume(place, (number, &folder), secret.as_ref(), journal) {
        Ok(log) => return Ok(Found::Log(Box::new(log))),
        Err(Unfit { name, why }) => (name, why),
    };
    let name = name.filter(|_| place.name.is_none()).unwrap_or_else(|| place.fresh_name());
    let (number, before) = (number.saturating_add(1), number);
    let why = Some(format!("the log {before} cannot be gone on with: {why}; {name}/{number} begins"));
    // So that a number means one record, whichever log has it.
    Ok(Found::Fresh { place: place.clone(), number, name, why, next: number_behind(&folder) })
}

/// Why a log cannot be gone on with, and its name where that is known.
struct Unfit {
    name: Option<String>,
    why: String,
}

/// Parts an origin into the name and the number behind its last slash.
fn parted(origin: &str) -> Option<(&str, u64)> {
    let (name, number) = origin.rsplit_once('/')?;
    Some((name, crate::ledger::checkpoint::number(number)?))
}

fn resume(
    place: &Place,
    (number, folder): (u64, &Path),
    secret: Option<&[u8; 32]>,
    journal: &Path,
) -> Result<Log, Unfit> {
    let unfit = |name: Option<&str>, why: &str| Unfit { name: name.map(str::to_owned), why: why.to_owned() };
    let notes = [place::read_text(&folder.join(CHECKPOINT)).ok(), place.kept()];
    let origins = notes.iter().flatten().filter_map(|note| note.lines().next());
    let named = |origin: &&str| parted(origin).is_some_and(|(name, of)| is_name(name) && of == number);
    let origin = origins.into_iter().find(named).ok_or_else(|| unfit(None, "no checkpoint of it can be read"))?;
    let name = parted(origin).map_or(origin, |(name, _)| name);
    let unfit = |why: &str| unfit(Some(name), why);
    if place.name.is_some() && place.fresh_name() != name {
        return Err(unfit(&format!("it is named {name}, and the configuration names it {}", place.fresh_name())));
    }
    let secret = secret.ok_or_else(|| unfit("its key is not there"))?;
    let opened = notes.iter().flatten().filter_map(|note| Some((opened(note, origin, secret).ok()?, note)));
    let opened: Vec<_> = opened.filter(|(opened, _)| opened.origin == origin).collect();
    let head = opened.iter().max_by_key(|(opened, _)| opened.size);
    let (head, note) = head.ok_or_else(|| unfit("no checkpoint of it was signed with the key of this node"))?;
    if opened.iter().any(|(other, _)| other.size == head.size && other.root != head.root) {
        return Err(unfit("two checkpoints of it contradict each other"));
    }
    let keys = Keys::found(place, origin, *secret, note).map_err(|error| unfit(&error.to_string()))?;
    let verifier = keys.verifier();
    let log = match restore(folder, head) {
        Some(restored) => restored.log(place, number, keys),
        None if replays(journal, head) => {
            tracing::warn!(origin, "files of the log are lost or damaged; they are made again from the journal");
            let mut log = Log::at(place, number, keys, Edge::default());
            log.signed = head.size;
            log
        }
        None => return Err(unfit(&format!("its files do not add up to its checkpoint over {} leaves", head.size))),
    };
    match log.last.filter(|last| !agrees(journal, *last, &log)) {
        Some(last) => Err(unfit(&format!("the journal has another leaf {last} than the log"))),
        None => {
            signing::mend_key(folder, &verifier);
            Ok(log)
        }
    }
}

/// Returns the number behind the last leaf that a log seems to have, which cannot be gone on with.
fn number_behind(folder: &Path) -> u64 {
    let last = || {
        let note = place::read_text(&folder.join(CHECKPOINT)).ok()?;
        let last = Checkpoint::parse(note.split_once("\n\n").map(|(text, _)| format!("{text}\n"))?.as_str()).ok()?.size;
        let index = last.checked_sub(1)? / WIDTH;
        number_of(read_bundle(folder, index, last - index * WIDTH)?.last()?)
    };
    last().filter(|last| *last < MAX_NUMBER).map_or(0, |last| last + 1)
}

/// What the files of a log have, where they add up to its checkpoint.
struct Restored {
    edge: Edge,
    last: Option<u64>,
    bundle: Vec<u8>,
    kept: u64,
    bundles: u64,
}

impl Restored {
    fn log(self, place: &Place, number: u64, keys: Keys) -> Log {
        let Self { edge, last, bundle, kept, bundles } = self;
        Log { last, bundle, kept, bundles, ..Log::at(place, number, keys, edge) }
    }
}

fn restore(folder: &Path, head: &Checkpoint) -> Option<Restored> {
    let edge = Edge::read(head.size, |tile| read_tile(folder, tile).ok_or(())).ok()??;
    if edge.root() != head.root {
        return None;
    }
    let (mut last, mut bundle) = (None, Vec::new());
    let (full, width) = (head.size / WIDTH, head.size % WIDTH);
    if head.size > 0 {
        let index = (head.size - 1) / WIDTH;
        let tile = Tile::of(0, index, head.size)?;
        let (entries, hashes) = (read_bundle(folder, index, tile.width)?, read_tile(folder, tile)?);
        if entries.iter().map(|entry| tree::leaf_hash(entry)).ne(hashes) {
            return None;
        }
        last = Some(number_of(entries.last()?)?);
        let partial = if width == 0 { &[][..] } else { &entries[..] };
        for entry in partial {
            tree::push_entry(&mut bundle, entry).ok()?;
        }
    }
    let there = |index: u64| fs::metadata(folder.join(tree::bundle_path(index, WIDTH)));
    // Bundles go from the front, so that the first that is there can be halved to.
    let (mut low, mut high) = (0, full);
    while low < high {
        let middle = low + (high - low) / 2;
        if there(middle).is_ok() { high = middle } else { low = middle + 1 }
    }
    let bundles = (low..full).filter_map(|index| Some(there(index).ok()?.len())).sum();
    tracing::debug!(leaves = head.size, octets = hash_octets(head.size) + bundles, "the log is gone on with");
    Some(Restored { edge, last, bundle, kept: low, bundles })
}

/// Returns whether the journal still has everything that the checkpoint tells of.
fn replays(journal: &Path, head: &Checkpoint) -> bool {
    let mut edge = Edge::default();
    let mut reader = read::read(journal, 0);
    while edge.size() < head.size {
        match reader.next() {
            Some(Ok(_)) => edge.push(tree::leaf_hash(line(&reader)), |_, _| {}),
            Some(Err(ReadError::Line { .. } | ReadError::Missing { .. })) => {}
            Some(Err(ReadError::Open { .. } | ReadError::Read { .. })) | None => return false,
        }
    }
    edge.root() == head.root
}

/// Returns whether the journal, where it has this leaf, has it as the log does.
fn agrees(journal: &Path, number: u64, log: &Log) -> bool {
    let mut reader = read::read(journal, number);
    let Some(Ok(leaf)) = reader.next() else { return true };
    let index = log.size().saturating_sub(1) / WIDTH;
    let width = log.size() - index * WIDTH;
    let entries = read_bundle(&log.folder, index, width).unwrap_or_default();
    leaf.seq != number || entries.last().is_some_and(|entry| entry == line(&reader))
}

/// Returns the last line that was read as it enters the log: without its line feed.
pub(super) fn line(reader: &read::Reader) -> &[u8] {
    let line = reader.line();
    line.strip_suffix(b"\n").unwrap_or(line)
}
