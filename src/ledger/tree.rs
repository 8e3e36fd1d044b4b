//! The Merkle tree of RFC 6962 over SHA-256, kept as tiles (c2sp.org/tlog-tiles): hashes, where tiles are, roots, proofs.
//!
//! Stands alone: whoever audits a ledger can read this file, `checkpoint` and `verify`, and nothing else of the program.

use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// How many hashes a full tile has, and how many entries a full bundle.
pub const WIDTH: u64 = 256;
/// The highest level that a tree of less than 2^64 leaves has tiles of.
pub const MAX_LEVEL: u8 = 7;
/// The longest an entry may be, in octets: bundles hold its length in sixteen bits.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// Returns the hash of a leaf (RFC 6962, section 2.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// Returns the hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Returns the root of the tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// A tile: consecutive hashes of one level of the tree, of which each stands for 256^level leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    pub level: u8,
    pub index: u64,
    /// How many hashes it has, from 1 to 256; fewer than 256 only at the right edge.
    pub width: u64,
}

impl Tile {
    /// Returns the path of the tile below the folder of the log.
    pub fn path(&self) -> String {
        path(&self.level.to_string(), self.index, self.width)
    }

    /// Returns the tile at this place in a tree of `size` leaves; `None` where that tree has none there.
    pub fn of(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let width = hashes.saturating_sub(index.checked_mul(WIDTH)?).min(WIDTH);
        (width > 0).then_some(Self { level, index, width })
    }
}

/// Returns the path of a bundle of entries below the folder of the log.
pub fn bundle_path(index: u64, width: u64) -> String {
    path("entries", index, width)
}

fn path(level: &str, index: u64, width: u64) -> String {
    let mut rest = index / 1000;
    let mut path = format!("{:03}", index % 1000);
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH { format!("tile/{level}/{path}.p/{width}") } else { format!("tile/{level}/{path}") }
}

/// Appends an entry to a bundle.
///
/// # Errors
/// Where it is longer than [`MAX_ENTRY`]; the bundle is as before.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TooLong> {
    let length = u16::try_from(entry.len()).map_err(|_| TooLong)?;
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    Ok(())
}

/// An entry that no bundle can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry has more than 65535 octets")]
pub struct TooLong;

/// Returns the entries of a bundle; `None` where it is cut or has octets that belong to none.
pub fn entries(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let (length, rest) = bundle.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bundle = rest;
    }
    Some(entries)
}

/// Returns the hashes of a tile; `None` where its length is none that a tile has.
pub fn hashes(tile: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = tile.as_chunks::<32>();
    (rest.is_empty() && !hashes.is_empty() && hashes.len() as u64 <= WIDTH).then(|| hashes.to_vec())
}

/// A tree that grows leaf by leaf; keeps only its right edge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edge {
    size: u64,
    /// The hashes of the partial tile of each level, from the leaves up.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Returns the edge of a tree of `size` leaves, of which `tile` returns the partial tiles.
    ///
    /// # Errors
    /// Those of `tile`; and `Ok(None)` where a tile has another width than it was asked for.
    pub fn read<E>(size: u64, mut tile: impl FnMut(Tile) -> Result<Vec<Hash>, E>) -> Result<Option<Self>, E> {
        let mut levels = Vec::new();
        for level in 0..=MAX_LEVEL {
            let hashes = size >> (8 * u32::from(level));
            if hashes == 0 {
                break;
            }
            let (index, width) = (hashes / WIDTH, hashes % WIDTH);
            let read = if width == 0 { Vec::new() } else { tile(Tile { level, index, width })? };
            if read.len() as u64 != width {
                return Ok(None);
            }
            levels.push(read);
        }
        Ok(Some(Self { size, levels }))
    }

    /// Returns how many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash, and calls `full` with each tile that became full.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(Tile, &[Hash])) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..=MAX_LEVEL {
            let place = usize::from(level);
            if self.levels.len() == place {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[place];
            hashes.push(hash);
            if (hashes.len() as u64) < WIDTH {
                return;
            }
            let index = (self.size >> (8 * (u32::from(level) + 1))) - 1;
            full(Tile { level, index, width: WIDTH }, hashes);
            hash = subtree(hashes);
            hashes.clear();
        }
    }

    /// Returns the partial tiles, from the leaves up.
    pub fn tiles(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        self.levels.iter().zip(0_u8..).filter(|(hashes, _)| !hashes.is_empty()).map(|(hashes, level)| {
            let index = self.size >> (8 * (u32::from(level) + 1));
            (Tile { level, index, width: hashes.len() as u64 }, hashes.as_slice())
        })
    }

    /// Returns the root.
    pub fn root(&self) -> Hash {
        // From the right, where the subtrees are smallest: each joins what is left of it.
        let mut root = None;
        for hashes in &self.levels {
            let mut end = hashes.len();
            while end > 0 {
                let width = 1 << end.trailing_zeros();
                let left = subtree(&hashes[end - width..end]);
                root = Some(root.map_or(left, |right| node_hash(&left, &right)));
                end -= width;
            }
        }
        root.unwrap_or_else(empty_root)
    }
}

/// Returns the root over a power of two of hashes.
fn subtree(hashes: &[Hash]) -> Hash {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&subtree(left), &subtree(right))
        }
    }
}

/// A tree of which tiles are read as they are needed, to make proofs.
#[derive(Debug)]
pub struct Reader<F> {
    size: u64,
    tile: F,
    /// The tile that was read last at each level: a proof goes up along one.
    kept: Vec<Option<(Tile, Vec<Hash>)>>,
}

/// Why a proof cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProveError<E> {
    #[error("the tree has no such leaf")]
    Outside,
    #[error("{0} has another width than it should")]
    Width(String),
    #[error(transparent)]
    Read(E),
}

impl<E, F: FnMut(Tile) -> Result<Vec<Hash>, E>> Reader<F> {
    /// Returns the tree of `size` leaves whose tiles `tile` returns.
    pub fn new(size: u64, tile: F) -> Self {
        Self { size, tile, kept: vec![None; usize::from(MAX_LEVEL) + 1] }
    }

    /// Returns the root of the first `size` leaves.
    ///
    /// # Errors
    /// Where there are fewer, or a tile cannot be read.
    pub fn root(&mut self, size: u64) -> Result<Hash, ProveError<E>> {
        if size > self.size {
            return Err(ProveError::Outside);
        }
        if size == 0 { Ok(empty_root()) } else { self.range(0, size) }
    }

    /// Returns the hashes that lead from the leaf at `index` to the root (RFC 6962, section 2.1.1).
    ///
    /// # Errors
    /// Where there is no such leaf, or a tile cannot be read.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, ProveError<E>> {
        if index >= self.size {
            return Err(ProveError::Outside);
        }
        let (mut from, mut to) = (0, self.size);
        let mut proof = Vec::new();
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
            }
        }
        proof.reverse();
        Ok(proof)
    }

    /// Returns the hashes that lead from the root of the first `old` leaves to the root (RFC 6962, section 2.1.2).
    ///
    /// # Errors
    /// Where there are fewer leaves, or a tile cannot be read.
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, ProveError<E>> {
        if old > self.size {
            return Err(ProveError::Outside);
        }
        let mut proof = Vec::new();
        if old == 0 || old == self.size {
            return Ok(proof);
        }
        let (mut from, mut to) = (0, self.size);
        // The old root is known to the verifier where it is a whole subtree of the new tree.
        let mut known = true;
        while old != to {
            let middle = from + split(to - from);
            if old <= middle {
                proof.push(self.range(middle, to)?);
                to = middle;
            } else {
                proof.push(self.range(from, middle)?);
                from = middle;
                known = false;
            }
        }
        if !known {
            proof.push(self.range(from, to)?);
        }
        proof.reverse();
        Ok(proof)
    }

    fn range(&mut self, from: u64, to: u64) -> Result<Hash, ProveError<E>> {
        let length = to - from;
        if length.is_power_of_two() && from.is_multiple_of(length) {
            return self.node(length.trailing_zeros(), from / length);
        }
        let middle = from + split(length);
        Ok(node_hash(&self.range(from, middle)?, &self.range(middle, to)?))
    }

    /// Returns the hash of a whole subtree of 2^height leaves.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, ProveError<E>> {
        let level = u8::try_from(height / 8).map_err(|_| ProveError::Outside)?;
        let width = 1_u64 << (height % 8);
        let first = index * width;
        let tile = Tile::of(level, first / WIDTH, self.size).ok_or(ProveError::Outside)?;
        let kept = self.kept.get_mut(usize::from(level)).ok_or(ProveError::Outside)?;
        if kept.as_ref().is_none_or(|(of, _)| *of != tile) {
            *kept = Some((tile, (self.tile)(tile).map_err(ProveError::Read)?));
        }
        let hashes = kept.as_ref().map(|(_, hashes)| hashes.as_slice()).unwrap_or_default();
        if hashes.len() as u64 != tile.width {
            return Err(ProveError::Width(tile.path()));
        }
        // Both fit: they are below 256.
        let (start, width) = ((first % WIDTH) as usize, width as usize);
        let hashes = hashes.get(start..start + width).ok_or(ProveError::Outside)?;
        Ok(subtree(hashes))
    }
}

/// Returns the largest power of two below `length`, which is at least 2.
const fn split(length: u64) -> u64 {
    1 << (63 - (length - 1).leading_zeros())
}

/// Returns whether `proof` leads from the leaf with this hash at `index` to the root of `size` leaves (RFC 9162,
/// section 2.1.3.2).
pub fn proves_inclusion(proof: &[Hash], (leaf, index): (&Hash, u64), (root, size): (&Hash, u64)) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Returns whether `proof` leads from the root of `old` leaves to that of `size` leaves (RFC 9162, section 2.1.4.2).
pub fn proves_consistency(proof: &[Hash], (old_root, old): (&Hash, u64), (root, size): (&Hash, u64)) -> bool {
    match old {
        _ if old > size => return false,
        0 => return proof.is_empty() && *old_root == empty_root(),
        _ if old == size => return proof.is_empty() && old_root == root,
        _ => {}
    }
    let (mut at, mut last) = (old - 1, size - 1);
    let shift = at.trailing_ones();
    (at, last) = (at.checked_shr(shift).unwrap_or(0), last.checked_shr(shift).unwrap_or(0));
    let (start, steps) = match proof.split_first() {
        _ if old.is_power_of_two() => (*old_root, proof),
        Some((start, steps)) => (*start, steps),
        None => return false,
    };
    let (mut from, mut to) = (start, start);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (from, to) = (node_hash(step, &from), node_hash(step, &to));
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            to = node_hash(&to, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && from == *old_root && to == *root
}

#[cfg(test)]
mod tests;
