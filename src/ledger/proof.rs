//! Proofs that a log has a leaf, in the text of c2sp.org/tlog-proof: whoever has the verifier line checks one without the
//! log. The leaf itself is the extra data of the proof.

use std::fmt;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Checkpoint, NoteError, Verifier};
use super::log::{self, CHECKPOINT};
use super::tree::{self, Hash, Tile, WIDTH};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// No tree of less than 2^64 leaves has a longer path.
const MAX_PATH: usize = 64;

/// Why a leaf cannot be proved.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    #[error("cannot read the logs in {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("no log has leaf {0} under a checkpoint; what is newer than the last one is signed within a minute")]
    NotThere(u64),
    #[error("leaf {0} was removed for its age; only its hash is left in the log")]
    Removed(u64),
    #[error("the log {} cannot prove leaf {number}; `interdict ledger verify` says what is wrong with it", folder.display())]
    Broken { folder: PathBuf, number: u64 },
}

/// Why a proof proves nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("it is no proof with its leaf (c2sp.org/tlog-proof)")]
    Malformed,
    #[error("its checkpoint cannot be believed")]
    Checkpoint(#[source] NoteError),
    #[error("the leaf is not in the tree that was signed")]
    Wrong,
}

/// A leaf, and what proves that a log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub entry: Vec<u8>,
    /// The place of the leaf in the log.
    pub index: u64,
    path: Vec<Hash>,
    /// The signed note.
    note: String,
}

impl Proof {
    /// Proves that one of the logs in this folder has the leaf with this number, by its newest checkpoint.
    ///
    /// # Errors
    /// Where none has it, or has only its hash left.
    pub fn make(logs: &Path, number: u64) -> Result<Self, ProveError> {
        let read = |source| ProveError::Read { path: logs.to_owned(), source };
        for log in log::logs(logs).map_err(read)?.into_iter().rev() {
            let folder = logs.join(log.to_string());
            let broken = || ProveError::Broken { folder: folder.clone(), number };
            let note = log::read_text(&folder.join(CHECKPOINT)).map_err(|_| broken())?;
            let head = unchecked(&note).ok_or_else(broken)?;
            let Some((index, entry)) = find(&folder, head.size, number)? else { continue };
            let tile = |tile: Tile| log::read_tile(&folder, tile).ok_or(());
            let path = tree::Reader::new(head.size, tile).inclusion(index).map_err(|_| broken())?;
            if !tree::proves_inclusion(&path, (&tree::leaf_hash(&entry), index), (&head.root, head.size)) {
                return Err(broken());
            }
            return Ok(Self { entry, index, path, note });
        }
        Err(ProveError::NotThere(number))
    }

    /// Reads a proof; nothing of it is checked yet.
    ///
    /// # Errors
    /// `ProofError::Malformed`.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        let parse = || {
            let (proof, note) = text.split_once("\n\n")?;
            let mut lines = proof.lines();
            (lines.next()? == FIRST_LINE).then_some(())?;
            let entry = checkpoint::decode(lines.next()?.strip_prefix("extra ")?)?;
            let index = checkpoint::number(lines.next()?.strip_prefix("index ")?)?;
            let hash = |line: &str| Hash::try_from(checkpoint::decode(line)?).ok();
            let path = lines.take(MAX_PATH + 1).map(hash).collect::<Option<Vec<_>>>()?;
            (path.len() <= MAX_PATH).then(|| Self { entry, index, path, note: note.to_owned() })
        };
        parse().ok_or(ProofError::Malformed)
    }

    /// Checks the proof, and returns the checkpoint that it leads to.
    ///
    /// # Errors
    /// Where it proves nothing to who trusts this key.
    pub fn check(&self, verifier: &Verifier) -> Result<Checkpoint, ProofError> {
        let head = Checkpoint::open(&self.note, verifier).map_err(ProofError::Checkpoint)?;
        let leaf = (&tree::leaf_hash(&self.entry), self.index);
        let proved =
            head.origin == verifier.name() && tree::proves_inclusion(&self.path, leaf, (&head.root, head.size));
        if proved { Ok(head) } else { Err(ProofError::Wrong) }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nextra {}\nindex {}", checkpoint::encode(&self.entry), self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", checkpoint::encode(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}

fn unchecked(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse(&note[..=note.rfind("\n\n")?]).ok()
}

/// Finds the leaf with this number: numbers rise, though places may be fewer where leaves were lost before they entered.
fn find(folder: &Path, size: u64, number: u64) -> Result<Option<(u64, Vec<u8>)>, ProveError> {
    let (mut low, mut high) = (0, size.div_ceil(WIDTH));
    let mut is_cut = false;
    while low < high {
        let middle = low + (high - low) / 2;
        let width = WIDTH.min(size - middle * WIDTH);
        let Some(entries) = log::read_bundle(folder, middle, width) else {
            // Bundles go from the front.
            is_cut = true;
            low = middle + 1;
            continue;
        };
        let numbers: Vec<_> = entries.iter().map(|entry| log::number_of(entry)).collect();
        let place = numbers.iter().position(|of| *of == Some(number));
        if let Some((place, entry)) = place.and_then(|place| Some((place, entries.into_iter().nth(place)?))) {
            return Ok(Some((middle * WIDTH + place as u64, entry)));
        }
        match (numbers.first().copied().flatten(), numbers.last().copied().flatten()) {
            (Some(first), _) if number < first => high = middle,
            (_, Some(last)) if number > last => low = middle + 1,
            _ => return Ok(None),
        }
    }
    // Left of everything that is there.
    if is_cut && low == high && log::read_bundle(folder, low, WIDTH.min(size.saturating_sub(low * WIDTH))).is_some() {
        return Err(ProveError::Removed(number));
    }
    Ok(None)
}
