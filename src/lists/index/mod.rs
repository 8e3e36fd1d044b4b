//! Names with what is said of them, as one immutable structure that is the same in memory and on disk.
//!
//! A name is found by a keyed hash and then compared, so that no two names are ever taken for each other. A filter that
//! stays in the processor's caches turns most names away that are not listed; behind it stand buckets of one cache line.
//! Every read is checked against the length of its part: octets that somebody made up give wrong matches at worst.

mod build;
mod hash;
mod layout;

use std::fmt;
use std::fs::File;
use std::io;

pub use build::{BuildError, Builder};
pub use hash::Key;
pub use layout::Damaged;

use self::hash::Chain;
use self::layout::{BUCKET, Layout, MAX_PROBE, SLOTS};
use super::map::Mapping;
use crate::message::Name;
use crate::prefetch;

/// The most labels of a name (RFC 1035, section 2.3.4), and one more for the root.
const MAX_SUFFIXES: usize = 128;
/// As many labels as nearly every name has, and one more for the root.
const FEW_SUFFIXES: usize = 8;
/// Octets of a rule in the arena before its name: the length, and what is said of it.
const RULE_HEAD: usize = 5;
/// Buckets that are fetched ahead, at most: 16 MiB of them.
const PREFETCHED: u64 = (16 << 20) / BUCKET as u64;
/// The largest payload.
pub const MAX_PAYLOAD: u32 = (1 << (32 - SCOPE_BITS)) - 1;
/// Bits of what is said that tell the scope.
const SCOPE_BITS: u32 = 3;
/// The bit of those that ends the search above a name.
const ENDS: u32 = 4;

/// Which names a rule for a name is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The name itself.
    Exact,
    /// Every name below it, but not itself.
    Below,
    /// The name itself and every name below it.
    Both,
    /// The name itself; and for names below it, no rule for a name above it holds (RFC 4592, section 3.3.1).
    Node,
}

impl Scope {
    const fn bits(self) -> u32 {
        match self {
            Self::Exact => 1,
            Self::Below => 2,
            Self::Both => 3,
            Self::Node => 5,
        }
    }

    /// Reads the bits; none, which no builder writes, are taken for both.
    const fn of(meta: u32) -> Self {
        match meta & 7 {
            1 => Self::Exact,
            2 => Self::Below,
            5 => Self::Node,
            _ => Self::Both,
        }
    }

    /// Returns whether everything that `other` is about is covered.
    pub const fn covers(self, other: Self) -> bool {
        self.bits() & other.bits() == other.bits()
    }
}

/// A rule that matches a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// What the builder was given.
    pub payload: u32,
    /// How many labels of the name asked for stand before the name of the rule.
    pub labels_before: usize,
    pub scope: Scope,
}

/// The structure. Never changes.
pub struct Index {
    octets: Octets,
    layout: Layout,
}

enum Octets {
    Owned(Vec<u8>),
    Mapped(Mapping),
}

impl std::ops::Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(octets) => octets,
            Self::Mapped(mapping) => mapping,
        }
    }
}

/// Why a file cannot be used as an index.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("it cannot be mapped")]
    Map(#[from] io::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl Index {
    /// Takes the octets that [`Builder::finish`] made, wherever they were kept since.
    ///
    /// # Errors
    /// Where they are not those octets.
    pub fn from_octets(octets: Vec<u8>) -> Result<Self, Damaged> {
        let layout = Layout::verify(&octets)?;
        Ok(Self { octets: Octets::Owned(octets), layout })
    }

    /// Maps a file of ours that holds the octets that [`Builder::finish`] made, and verifies all of it.
    ///
    /// # Errors
    /// Where others may write to the file, or it does not hold such octets.
    pub fn map(file: &File) -> Result<Self, OpenError> {
        let layout = Layout::verify(&Mapping::of(file)?)?;
        // Mapped anew: of what was read to be verified, only what is asked for is held in memory.
        Ok(Self { octets: Octets::Mapped(Mapping::of(file)?), layout })
    }

    /// Returns the first result that `accept` gives for the rules that match `name`: those of the name itself, then of the
    /// names above it, the longest first; of one name, in the order in which they were added. Allocates nothing.
    pub fn find<T>(&self, name: &Name, accept: impl FnMut(Hit) -> Option<T>) -> Option<T> {
        let wire = name.as_wire();
        let (mut starts, mut count) = ([0; MAX_SUFFIXES], 0);
        let mut at = 0;
        while let Some(length @ 1..) = wire.get(at).copied()
            && count + 1 < MAX_SUFFIXES
        {
            starts[count] = at as u8;
            count += 1;
            at += usize::from(length) + 1;
        }
        starts[count] = at as u8;
        match count < FEW_SUFFIXES {
            true => self.find_in::<FEW_SUFFIXES, T>(wire, &starts[..=count], accept),
            false => self.find_in::<MAX_SUFFIXES, T>(wire, &starts[..=count], accept),
        }
    }

    /// `starts` are where the name and each name above it begin in `wire`, the root last; at most `N`.
    fn find_in<const N: usize, T>(
        &self,
        wire: &[u8],
        starts: &[u8],
        mut accept: impl FnMut(Hit) -> Option<T>,
    ) -> Option<T> {
        let octets: &[u8] = &self.octets;
        let (filter, _) = octets.get(layout::HEADER..self.layout.buckets_at())?.as_chunks::<8>();
        let key = self.layout.key;
        let mut chain = Chain::new(&key);
        // The suffixes that the filter lets pass, the longest last, each with its hash. Without a branch for each.
        let (mut candidates, mut count) = ([(0, 0); N], 0);
        let last = starts.len() - 1;
        let mut end = usize::from(starts[last]);
        for index in (0..=last).rev() {
            let start = usize::from(starts[index]);
            if index < last {
                chain.push(wire.get(start..end)?);
            }
            end = start;
            if !self.layout.may_match(last - index, index == 0) {
                continue;
            }
            let hash = chain.hash();
            // For a listed name, this takes as long as the filter does; for others, nobody waits for it. Beyond the caches it
            // would cost the many names that are not listed more than it saves the few that are.
            if self.layout.buckets <= PREFETCHED {
                prefetch::octet(
                    octets,
                    self.layout.buckets_at() + bucket_of(hash, self.layout.buckets) as usize * BUCKET,
                );
            }
            let word = u64::from_le_bytes(*filter.get(filter_at(hash, self.layout.words))?);
            let mask = filter_mask(hash);
            *candidates.get_mut(count)? = (index, hash);
            count += usize::from(word & mask == mask);
        }
        for (index, hash) in candidates.iter().take(count).rev().copied() {
            let name = wire.get(usize::from(starts[index])..usize::from(starts[last]))?;
            let scope = if index == 0 { Scope::Exact } else { Scope::Below };
            let mut ended = false;
            let found = self.look_up(octets, hash, name, |meta| {
                ended |= index > 0 && meta & ENDS != 0;
                if meta & scope.bits() == 0 {
                    return None;
                }
                accept(Hit { payload: meta >> SCOPE_BITS, labels_before: index, scope: Scope::of(meta) })
            });
            if found.is_some() || ended {
                return found;
            }
        }
        None
    }

    /// Goes through the rules for exactly this name, without its root label.
    fn look_up<T>(&self, octets: &[u8], hash: u64, name: &[u8], mut accept: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let buckets = octets.get(self.layout.buckets_at()..self.layout.arena_at())?;
        let arena = octets.get(self.layout.arena_at()..self.layout.table_at())?;
        let tag = tag_of(hash);
        let mut bucket = bucket_of(hash, self.layout.buckets);
        for _ in 0..MAX_PROBE.min(self.layout.buckets) {
            let slots: &[u8; BUCKET] = buckets.get(bucket as usize * BUCKET..)?.first_chunk()?;
            // Without a branch for each slot, so that the processor can go on to what comes next while it waits.
            let mut matching = layout::matching(slots, tag);
            while matching != 0 {
                let slot = (matching.trailing_zeros() / 8) as usize;
                matching &= matching - 1;
                let Some(meta) = said_of(arena, layout::offset(slots, slot), name) else { continue };
                let found = accept(meta);
                if found.is_some() {
                    return found;
                }
            }
            if layout::tag(slots, SLOTS - 1) == 0 {
                return None;
            }
            bucket = if bucket + 1 == self.layout.buckets { 0 } else { bucket + 1 };
        }
        None
    }

    /// Returns every rule in the order in which they were added.
    pub fn rules(&self) -> impl Iterator<Item = (Name, Scope, u32)> {
        let octets: &[u8] = &self.octets;
        let arena = octets.get(self.layout.arena_at()..self.layout.table_at()).unwrap_or_default();
        let mut at = layout::ARENA_START;
        std::iter::from_fn(move || {
            let (meta, name) = rule_at(arena, at)?;
            at += RULE_HEAD + name.len();
            let wire = [name, &[0]].concat();
            Some(Name::from_wire(&wire).ok().map(|name| (name, Scope::of(meta), meta >> SCOPE_BITS)))
        })
        .flatten()
    }

    /// Returns the table that the builder was given.
    pub fn table(&self) -> &[u8] {
        self.octets.get(self.layout.table_at()..).unwrap_or_default()
    }

    /// Returns how many rules there are.
    pub const fn len(&self) -> u64 {
        self.layout.rules
    }

    /// Returns whether there is no rule.
    pub const fn is_empty(&self) -> bool {
        self.layout.rules == 0
    }

    /// Returns all of it, as [`Builder::finish`] made it.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("rules", &self.len()).field("octets", &self.octets.len()).finish_non_exhaustive()
    }
}

/// Returns the rule at `at` of an arena: what is said, and of which name without its root label.
fn rule_at(arena: &[u8], at: usize) -> Option<(u32, &[u8])> {
    let (head, rest) = arena.get(at..)?.split_first_chunk::<RULE_HEAD>()?;
    let [length, meta @ ..] = *head;
    Some((u32::from_le_bytes(meta), rest.get(..usize::from(length))?))
}

/// Returns what the rule at `at` says, where it is one for `name`. How much is compared does not depend on what is read, so
/// that the processor need not wait for that before it goes on.
fn said_of(arena: &[u8], at: usize, name: &[u8]) -> Option<u32> {
    let rule = arena.get(at..at + RULE_HEAD + name.len())?;
    let ([length, meta @ ..], own) = rule.split_first_chunk::<RULE_HEAD>()?;
    (usize::from(*length) == name.len() && own == name).then(|| u32::from_le_bytes(*meta))
}

/// Returns which word of the filter is that of a hash.
fn filter_at(hash: u64, words: u64) -> usize {
    ((u128::from(hash) * u128::from(words)) >> 64) as usize
}

/// Returns the bits of its word that a listed name has set.
fn filter_mask(hash: u64) -> u64 {
    1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63) | 1 << (hash >> 18 & 63)
}

/// Returns the tag of a hash, which is not 0: that is an empty slot's.
const fn tag_of(hash: u64) -> u32 {
    hash as u32 | 1
}

/// Returns the bucket that a hash belongs to.
fn bucket_of(hash: u64, buckets: u64) -> u64 {
    ((u128::from(hash) * u128::from(buckets)) >> 64) as u64
}

#[cfg(test)]
mod tests;
