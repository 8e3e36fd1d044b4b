//! Logs before the one that is written to: how much room they take, and what of them goes.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::place::{self, CHECKPOINT};
use super::removal::remove_until;
use super::{hash_octets, last_number, number_of};
use crate::ledger::age::instant_of;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::tree::{self, WIDTH};

/// A log that is not written to any more.
#[derive(Debug)]
pub(super) struct Earlier {
    folder: PathBuf,
    /// How many leaves it has.
    size: u64,
    /// How large the entries are that are left, in octets.
    pub(super) entries: u64,
    /// How large those of them are that may go, which are all but the last bundle.
    spare: u64,
    /// The number of its last leaf.
    last: Option<u64>,
}

/// Returns the logs before the one with this number, the oldest first.
pub(super) fn before(folder: &Path, number: u64) -> Vec<Earlier> {
    let numbers = place::logs(folder).unwrap_or_default();
    numbers.into_iter().filter(|of| *of < number).map(|of| Earlier::at(folder.join(of.to_string()))).collect()
}

impl Earlier {
    fn at(folder: PathBuf) -> Self {
        let size = || {
            let note = place::read_text(&folder.join(CHECKPOINT)).ok()?;
            Some(Checkpoint::parse(&note[..=note.rfind("\n\n")?]).ok()?.size)
        };
        let mut log = Self { size: size().unwrap_or(0), folder, entries: 0, spare: 0, last: None };
        log.measure();
        let end = log.end().and_then(|path| fs::read(path).ok());
        log.last = end.and_then(|bundle| last_number(&bundle));
        log
    }

    fn measure(&mut self) {
        let length = |path: PathBuf| fs::metadata(path).map_or(0, |of| of.len());
        self.spare = self.bundles().map(length).sum();
        self.entries = self.spare + self.end().map_or(0, length);
    }

    /// Returns how large its hashes are, which stay, in octets.
    pub(super) const fn hashes(&self) -> u64 {
        hash_octets(self.size)
    }

    /// Returns the number of its last leaf, where some of its entries may go.
    pub(super) fn last_of_spare(&self) -> Option<u64> {
        self.last.filter(|_| self.spare > 0)
    }

    /// Returns the path of its last bundle.
    fn end(&self) -> Option<PathBuf> {
        let index = self.size.checked_sub(1)? / WIDTH;
        Some(self.bundle(index, self.size - index * WIDTH))
    }

    fn bundle(&self, index: u64, width: u64) -> PathBuf {
        self.folder.join(tree::bundle_path(index, width))
    }

    /// Returns the paths of the bundles that may go: all but the last one, which tells of what was before.
    fn bundles(&self) -> impl Iterator<Item = PathBuf> {
        (0..self.size.saturating_sub(1) / WIDTH).map(|index| self.bundle(index, WIDTH))
    }

    /// Removes the bundles that have no leaf behind `removed`, as long as nothing is held.
    pub(super) fn prune(&mut self, removed: u64, is_held: &impl Fn() -> bool) {
        self.bundles().take_while(|path| !is_held() && remove_until(path, removed).is_some()).for_each(drop);
        self.measure();
    }
}

/// Leaves that only earlier logs have and that are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct Outworn {
    pub(in crate::ledger) first: u64,
    pub(in crate::ledger) last: u64,
    /// How large their bundles are, in octets.
    pub(in crate::ledger) bytes: u64,
    /// Whether all of them go for their age.
    pub(in crate::ledger) is_old: bool,
}

/// Returns what is to go, of the leaves behind `gone` that the journal does not have, which begins with the leaf `journal`:
/// the oldest as long as they are older than `cutoff`, or until `excess` octets are gone.
pub(in crate::ledger) fn outworn(
    folder: &Path,
    (gone, journal): (Option<u64>, u64),
    cutoff: Option<Timestamp>,
    mut excess: u64,
) -> Option<Outworn> {
    let own = place::logs(folder).unwrap_or_default().pop()?;
    let mut found: Option<Outworn> = None;
    for path in before(folder, own).iter().flat_map(Earlier::bundles) {
        // What is not there went before.
        let Ok(bundle) = fs::read(&path) else { continue };
        let ends = tree::entries(&bundle).and_then(|entries| Some((number_of(entries.first()?)?, *entries.last()?)));
        let Some((first, last)) = ends else { break };
        let Some(number) = number_of(last).filter(|number| *number < journal) else { break };
        if gone.is_some_and(|gone| number <= gone) {
            continue;
        }
        let is_old = cutoff.is_some_and(|cutoff| instant_of(last).is_some_and(|at| at < cutoff));
        if !is_old && excess == 0 {
            break;
        }
        let bytes = bundle.len() as u64;
        excess = excess.saturating_sub(bytes);
        let of = found.unwrap_or(Outworn { first, last: number, bytes: 0, is_old: true });
        found = Some(Outworn { last: number, bytes: of.bytes + bytes, is_old: of.is_old && is_old, ..of });
    }
    found
}
