//! The log: the journal's leaves as a tree that others can verify, in files that do not change once they are full
//! (c2sp.org/tlog-tiles). It follows behind the journal, and nothing ever waits for it.

mod earlier;
mod found;
mod place;
mod publish;
mod removal;
mod secret;
mod signing;
mod target;
mod tiler;
mod witnessed;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use super::LogHealth;
use super::checkpoint::Signer;
use super::leaf::Numbered;
use super::tree::{self, Edge, Hash, Tile, WIDTH};
use earlier::Earlier;
pub(super) use earlier::{Outworn, outworn};
pub(super) use found::look;
pub use place::{CHECKPOINT, KEY, LogError, logs, newest};
pub(super) use place::{Place, read_text};
pub(super) use publish::{Publisher, Source};
pub use secret::KeygenError;
use signing::Keys;
pub(super) use signing::keygen;
pub(super) use target::Folder;
pub use target::{Target, TargetError};
pub(super) use tiler::{Following, Tiler};
pub use witnessed::{Submission, WitnessError};

/// A log that is written to.
#[derive(Debug)]
pub(super) struct Log {
    place: Place,
    /// The folder of this log.
    folder: PathBuf,
    keys: Keys,
    edge: Edge,
    /// The entries of the partial bundle.
    bundle: Vec<u8>,
    /// The number of the last leaf.
    last: Option<u64>,
    /// Files that are full and not on disk yet.
    queue: VecDeque<(String, Vec<u8>)>,
    /// Files that are full and on disk, and of which no checkpoint tells yet.
    full: Vec<String>,
    /// The size of the last checkpoint; none of a smaller size may be signed.
    signed: u64,
    /// The journal has removed its leaves up to this one, and a leaf of the log says so.
    removed: Option<u64>,
    /// Up to where earlier logs were seen to.
    removed_before: Option<u64>,
    /// The logs before this one; none before they were looked at.
    earlier: Vec<Earlier>,
    /// The first bundle that is still there.
    kept: u64,
    /// How large the bundles are together, in octets.
    bundles: u64,
}

impl Log {
    /// Makes the files of a log without leaves, and its first checkpoint.
    fn create(place: &Place, number: u64, name: &str) -> Result<Self, LogError> {
        let secret = place.make_secret()?;
        let origin = format!("{name}/{number}");
        let keys = Keys::new(Signer::new(&origin, &secret), secret);
        let mut log = Self::at(place, number, keys, Edge::default());
        place::make_folder(&log.folder).map_err(|source| LogError::Write { path: log.folder.clone(), source })?;
        log.put(KEY, format!("{}\n", log.keys.verifier()).as_bytes())?;
        log.put_checkpoint()?;
        Ok(log)
    }

    fn at(place: &Place, number: u64, keys: Keys, edge: Edge) -> Self {
        Self {
            folder: place.folder.join(number.to_string()),
            place: place.clone(),
            keys,
            signed: edge.size(),
            edge,
            bundle: Vec::new(),
            last: None,
            queue: VecDeque::new(),
            full: Vec::new(),
            removed: None,
            removed_before: None,
            earlier: Vec::new(),
            kept: 0,
            bundles: 0,
        }
    }

    /// Returns how many leaves the log has, those not yet signed included.
    pub(super) const fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Returns how many leaves the last checkpoint tells of.
    pub(super) const fn signed(&self) -> u64 {
        self.signed
    }

    /// Returns the name of the log.
    pub(super) fn origin(&self) -> String {
        self.keys.verifier().name().to_owned()
    }

    /// Looks at the logs before this one.
    fn look_back(&mut self) {
        let number = self.folder.file_name().and_then(|name| super::checkpoint::number(name.to_str()?));
        self.earlier = earlier::before(&self.place.folder, number.unwrap_or(0));
    }

    /// Returns how large the entries of this log and those before it are on disk, in octets.
    pub(super) fn entries(&self) -> u64 {
        self.bundles + self.bundle.len() as u64 + self.entries_before()
    }

    /// Returns how large the entries of the logs before it are, in octets.
    pub(super) fn entries_before(&self) -> u64 {
        self.earlier.iter().map(|log| log.entries).sum()
    }

    /// Returns how large their hashes are, which stay, in octets.
    pub(super) fn hashes(&self) -> u64 {
        hash_octets(self.size()) + self.earlier.iter().map(Earlier::hashes).sum::<u64>()
    }

    /// Returns the number of the last leaf of the earlier logs of which more than the end is left.
    pub(super) fn last_before(&self) -> Option<u64> {
        self.earlier.iter().filter_map(Earlier::last_of_spare).max()
    }

    /// Appends an entry. Nothing is written before [`flush`](Self::flush).
    ///
    /// # Errors
    /// Where no bundle can hold it; the log is as before.
    pub(super) fn append(&mut self, number: u64, entry: &[u8]) -> Result<(), tree::TooLong> {
        tree::push_entry(&mut self.bundle, entry)?;
        let Self { edge, queue, .. } = self;
        let index = edge.size() / WIDTH;
        let mut tiles = Vec::new();
        edge.push(tree::leaf_hash(entry), |tile, hashes| tiles.push((tile.path(), hashes.concat())));
        if edge.size().is_multiple_of(WIDTH) {
            self.bundles += self.bundle.len() as u64;
            // Before its hashes: who finds a tile may look for the entries.
            queue.push_back((tree::bundle_path(index, WIDTH), std::mem::take(&mut self.bundle)));
        }
        queue.extend(tiles);
        self.last = Some(number);
        Ok(())
    }

    /// Notes that the journal has removed its leaves up to this one, as a leaf of the log tells.
    pub(super) fn note_removed(&mut self, last: u64) {
        self.removed = self.removed.max(Some(last));
    }

    /// Writes what is full. After an error, a later call begins with the same files.
    pub(super) fn flush(&mut self) -> Result<(), LogError> {
        self.queue.make_contiguous();
        self.put_all(self.queue.as_slices().0)?;
        self.full.extend(self.queue.drain(..).map(|(path, _)| path));
        Ok(())
    }

    /// Removes the partial files of full ones that a checkpoint tells of. The standard lets them go once the full one is there;
    /// but as long as the newest checkpoint needs the partial one, a start may have to take the full one away.
    fn remove_outgrown(&mut self) {
        for path in self.full.drain(..) {
            let _ = fs::remove_dir_all(self.folder.join(format!("{path}.p")));
        }
    }

    /// Returns the files that are not full yet, and the paths where they belong.
    fn partial(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = self.edge.tiles().map(|(tile, hashes)| (tile.path(), hashes.concat())).collect();
        if !self.bundle.is_empty() {
            files.push((tree::bundle_path(self.size() / WIDTH, self.size() % WIDTH), self.bundle.clone()));
        }
        files
    }

    fn put_all(&self, files: &[(String, Vec<u8>)]) -> Result<(), LogError> {
        place::put_all(&self.folder, files).map_err(|source| LogError::Write { path: self.folder.clone(), source })
    }

    fn put(&self, path: &str, octets: &[u8]) -> Result<(), LogError> {
        place::put(&self.folder, path, octets)
            .map_err(|source| LogError::Write { path: self.folder.join(path), source })
    }
}

/// Returns about how large the hashes of a log of `size` leaves are, in octets.
const fn hash_octets(size: u64) -> u64 {
    (size + size / WIDTH).saturating_mul(32)
}

/// Returns how large the journal, whose oldest leaf is `first`, may be beside its logs where all together may have `total`
/// octets. Each leaf is on disk twice, those of earlier logs once more, and its hashes stay for good. While the log is
/// behind, the journal may have its room: what goes from there before the log has it is lost to both.
pub(super) fn room_beside(log: &LogHealth, first: u64, total: u64) -> u64 {
    // What the journal does not have any more is older than all of it, and goes before it.
    let shared = if log.before.is_some_and(|last| last >= first) { log.earlier } else { 0 };
    let half = total.saturating_sub(log.hashes + shared) / 2;
    half.max(total.saturating_sub(log.bytes))
}

/// Returns the number of the last leaf of a bundle; `None` where it cannot be read.
fn last_number(bundle: &[u8]) -> Option<u64> {
    number_of(tree::entries(bundle)?.last()?)
}

pub(super) fn number_of(entry: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Numbered>(entry).ok().map(|leaf| leaf.seq)
}

/// Returns the hashes of a tile on disk, also where it has grown since.
pub(super) fn read_tile(folder: &Path, tile: Tile) -> Option<Vec<Hash>> {
    let mut hashes = tree::hashes(&read_widest(folder, &tile.path(), 32 * WIDTH)?)?;
    hashes.truncate(usize::try_from(tile.width).ok()?);
    Some(hashes)
}

/// Returns the entries of a bundle on disk, also where it has grown since.
pub(super) fn read_bundle(folder: &Path, index: u64, width: u64) -> Option<Vec<Vec<u8>>> {
    let octets = read_widest(folder, &tree::bundle_path(index, width), WIDTH * (2 + tree::MAX_ENTRY as u64))?;
    let entries = tree::entries(&octets)?;
    Some(entries.into_iter().take(usize::try_from(width).ok()?).map(<[u8]>::to_vec).collect())
}

/// Reads a partial file or, where it is gone, the full one that has taken its place.
fn read_widest(folder: &Path, path: &str, most: u64) -> Option<Vec<u8>> {
    let full = path.split_once(".p/").map_or(path, |(full, _)| full);
    place::read(&folder.join(path), most).or_else(|_| place::read(&folder.join(full), most)).ok()
}
