//! The file that an index is: where what stands in it, and whether it can be trusted.
//!
//! All numbers are little-endian. A header, then the filter, the buckets, the arena of names and a table of the caller's,
//! one behind the other. Nothing points to an address, so that the octets are the index wherever they lie.

use twox_hash::XxHash3_128;

use super::hash::Key;

/// What a file begins with; the last octet is the version of the format.
const MAGIC: &[u8; 8] = b"intdlst\x01";
/// Octets before the filter.
pub(super) const HEADER: usize = 144;
/// Where the checksum stands in the header: over everything else.
const CHECKSUM: usize = 128;
/// Slots of a bucket: a cache line of them.
pub(super) const SLOTS: usize = 8;
/// Octets of a bucket: a tag for each slot, then where in the arena the rule of each slot stands. Slots are filled from the
/// first on; the tag of an empty one is 0.
pub(super) const BUCKET: usize = SLOTS * 8;
/// Buckets that are looked into at most for one name. The builder takes another key before a run grows longer.
pub(super) const MAX_PROBE: u64 = 64;
/// Octets at the start of the arena that hold no name.
pub(super) const ARENA_START: usize = 8;

/// Why octets are no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("it is no compiled list of this version")]
    Foreign,
    #[error("it has another length than it says")]
    Length,
    #[error("its checksum is another: it is damaged")]
    Checksum,
}

/// Where the parts of an index stand, and what is known of all its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) key: Key,
    /// Rules.
    pub(super) rules: u64,
    /// Words of the filter.
    pub(super) words: u64,
    pub(super) buckets: u64,
    /// Octets of the arena.
    pub(super) arena: u64,
    /// Octets of the caller's table.
    pub(super) table: u64,
    /// Bit `n` is set where a rule for a name of `n` labels matches that name itself.
    pub(super) exact_labels: u128,
    /// Bit `n` is set where a rule for a name of `n` labels matches names below it.
    pub(super) below_labels: u128,
}

impl Layout {
    /// Returns whether any rule matches a name by a suffix of so many labels: by all of it, or by less.
    #[inline]
    pub(super) const fn may_match(&self, labels: usize, all: bool) -> bool {
        let counts = if all { self.exact_labels } else { self.below_labels };
        // Half of the bits tell it of every usual name.
        let half = if labels < 64 { counts as u64 } else { (counts >> 64) as u64 };
        half >> (labels & 63) & 1 != 0
    }

    /// Returns where the filter ends.
    pub(super) const fn buckets_at(&self) -> usize {
        HEADER + self.words as usize * 8
    }

    pub(super) const fn arena_at(&self) -> usize {
        self.buckets_at() + self.buckets as usize * BUCKET
    }

    pub(super) const fn table_at(&self) -> usize {
        self.arena_at() + self.arena as usize
    }

    pub(super) const fn end(&self) -> usize {
        self.table_at() + self.table as usize
    }

    /// Writes the header into the first octets of `file`, whose other octets are final.
    pub(super) fn seal(&self, file: &mut [u8]) {
        let [a, b, c, d] = self.key.0;
        let words = [a, b, c, d, self.rules, self.words, self.buckets, self.arena, self.table];
        file[..8].copy_from_slice(MAGIC);
        for (index, word) in words.iter().enumerate() {
            file[8 + index * 8..16 + index * 8].copy_from_slice(&word.to_le_bytes());
        }
        file[80..96].copy_from_slice(&self.exact_labels.to_le_bytes());
        file[96..112].copy_from_slice(&self.below_labels.to_le_bytes());
        file[112..CHECKSUM].fill(0);
        let checksum = checksum(file);
        file[CHECKSUM..HEADER].copy_from_slice(&checksum);
    }

    /// Reads the header of `file` and verifies all of it.
    pub(super) fn verify(file: &[u8]) -> Result<Self, Damaged> {
        if file.len() < HEADER || !file.starts_with(MAGIC) {
            return Err(Damaged::Foreign);
        }
        let word = |index: usize| word_at(file, 8 + index * 8).unwrap_or_default();
        let label_bits = |at: usize| {
            u128::from(word_at(file, at + 8).unwrap_or_default()) << 64
                | u128::from(word_at(file, at).unwrap_or_default())
        };
        let layout = Self {
            key: Key([word(0), word(1), word(2), word(3)]),
            rules: word(4),
            words: word(5),
            buckets: word(6),
            arena: word(7),
            table: word(8),
            exact_labels: label_bits(80),
            below_labels: label_bits(96),
        };
        if layout.checked_end() != Some(file.len() as u64) || layout.words == 0 || layout.buckets == 0 {
            return Err(Damaged::Length);
        }
        match checksum(file) == file[CHECKSUM..HEADER] {
            true => Ok(layout),
            false => Err(Damaged::Checksum),
        }
    }

    /// Returns where the file ends by its header, which may say anything.
    fn checked_end(&self) -> Option<u64> {
        let filter = self.words.checked_mul(8)?;
        let buckets = self.buckets.checked_mul(BUCKET as u64)?;
        [filter, buckets, self.arena, self.table].into_iter().try_fold(HEADER as u64, u64::checked_add)
    }
}

/// Returns the checksum over all of `file` but the checksum itself.
fn checksum(file: &[u8]) -> [u8; 16] {
    let mut head = [0; CHECKSUM + 16];
    head[..CHECKSUM].copy_from_slice(&file[..CHECKSUM]);
    head[CHECKSUM..].copy_from_slice(&XxHash3_128::oneshot(&file[HEADER..]).to_le_bytes());
    XxHash3_128::oneshot(&head).to_le_bytes()
}

/// Returns the word at `at`, where there is one.
pub(super) fn word_at(octets: &[u8], at: usize) -> Option<u64> {
    octets.get(at..)?.first_chunk::<8>().map(|word| u64::from_le_bytes(*word))
}

/// Returns the tag of a slot.
#[inline]
pub(super) fn tag(bucket: &[u8; BUCKET], slot: usize) -> u32 {
    let (tags, _) = bucket.as_chunks::<4>();
    u32::from_le_bytes(tags[slot])
}

/// Returns where in the arena the rule of a slot stands.
#[inline]
pub(super) fn offset(bucket: &[u8; BUCKET], slot: usize) -> usize {
    let (words, _) = bucket.as_chunks::<4>();
    u32::from_le_bytes(words[SLOTS + slot]) as usize
}

/// Fills a slot.
pub(super) fn fill(bucket: &mut [u8; BUCKET], slot: usize, tag: u32, offset: u32) {
    let (words, _) = bucket.as_chunks_mut::<4>();
    words[slot] = tag.to_le_bytes();
    words[SLOTS + slot] = offset.to_le_bytes();
}

/// Returns an octet for each slot, 1 where it has this tag. So written, it is a few instructions for all slots.
#[inline]
pub(super) fn matching(bucket: &[u8; BUCKET], tag: u32) -> u64 {
    let (tags, _) = bucket.as_chunks::<4>();
    let mut found = [0; SLOTS];
    for (slot, of) in found.iter_mut().zip(tags) {
        *slot = u8::from(u32::from_le_bytes(*of) == tag);
    }
    u64::from_le_bytes(found)
}
