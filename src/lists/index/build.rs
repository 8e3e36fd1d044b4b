//! Makes an index: names are gathered first, and placed when their number is known.

use super::hash::{Chain, Key};
use super::layout::{self, ARENA_START, BUCKET, HEADER, Layout, MAX_PROBE, SLOTS, word_at};
use super::{MAX_PAYLOAD, RULE_HEAD, SCOPE_BITS, Scope, bucket_of, filter_at, filter_mask, rule_at, tag_of};
use crate::message::Name;

/// Bits of the filter for each rule.
const FILTER_BITS: u64 = 12;
/// Rules for each ten slots.
const LOAD: u64 = 7;
/// How many keys are tried: one that makes a run too long is as rare as a damaged memory.
const KEYS: usize = 8;

/// Groups in which rules are placed, and the bits of a hash below those that tell its group.
const GROUPS: usize = 256;
const GROUP_SHIFT: u32 = 56;

/// Why there is no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("the names of one list take more than 4 GiB")]
    TooLarge,
    #[error("no key spreads the names evenly")]
    Crowded,
}

/// Gathers rules for an index.
#[derive(Debug)]
pub struct Builder {
    arena: Vec<u8>,
    rules: u64,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Returns a builder without rules.
    pub fn new() -> Self {
        Self { arena: vec![0; ARENA_START], rules: 0 }
    }

    /// Adds a rule. One that says nothing more than an earlier one is not found again.
    ///
    /// # Panics
    /// Where the payload is above [`MAX_PAYLOAD`]: it is a number of the caller's own making.
    pub fn add(&mut self, name: &Name, scope: Scope, payload: u32) {
        assert!(payload <= MAX_PAYLOAD, "a payload has 29 bits");
        let wire = name.as_wire();
        self.arena.push((wire.len() - 1) as u8);
        self.arena.extend_from_slice(&(payload << SCOPE_BITS | scope.bits()).to_le_bytes());
        self.arena.extend_from_slice(&wire[..wire.len() - 1]);
        self.rules += 1;
    }

    /// Returns how many rules were added.
    pub const fn len(&self) -> u64 {
        self.rules
    }

    /// Returns whether no rule was added.
    pub const fn is_empty(&self) -> bool {
        self.rules == 0
    }

    /// Makes the index, and puts `table` behind it. `keys` gives a key that nobody can foretell, each time another.
    ///
    /// # Errors
    /// Where there are too many names.
    pub fn finish(&self, mut keys: impl FnMut() -> Key, table: &[u8]) -> Result<Vec<u8>, BuildError> {
        if u32::try_from(self.arena.len()).is_err() {
            return Err(BuildError::TooLarge);
        }
        (0..KEYS).find_map(|_| self.place(keys(), table)).ok_or(BuildError::Crowded)
    }

    /// Returns the hash of each rule and where it stands, in groups whose places lie together: what a group touches stays in
    /// the processor's caches. Inside a group, rules keep their order.
    fn by_place(&self, key: &Key) -> Vec<Vec<Gathered>> {
        let most = usize::try_from(self.rules / GROUPS as u64).unwrap_or_default();
        let mut groups: Vec<_> = (0..GROUPS).map(|_| Vec::with_capacity(most + most / 16 + 16)).collect();
        let mut at = ARENA_START;
        while let Some((meta, name)) = rule_at(&self.arena, at) {
            let (hash, labels) = hash_of(key, name);
            let rule = Gathered { hash, at: at as u32, labels, scope: Scope::of(meta) };
            groups[(hash >> GROUP_SHIFT) as usize].push(rule);
            at += RULE_HEAD + name.len();
        }
        groups
    }

    /// Places every rule; `None` where this key makes a run too long.
    fn place(&self, key: Key, table: &[u8]) -> Option<Vec<u8>> {
        let mut layout = Layout {
            key,
            rules: 0,
            words: (self.rules * FILTER_BITS).div_ceil(64).max(1),
            buckets: (self.rules * 10).div_ceil(LOAD * SLOTS as u64).max(1),
            arena: self.arena.len() as u64,
            table: table.len() as u64,
            exact_labels: 0,
            below_labels: 0,
        };
        let mut file = Vec::with_capacity(layout.end());
        file.resize(layout.arena_at(), 0);
        let (head, buckets) = file.split_at_mut(layout.buckets_at());
        let filter = &mut head[HEADER..];
        for rule in self.by_place(&key).into_iter().flatten() {
            let Gathered { hash, at, labels, scope } = rule;
            match Place::find(buckets, layout.buckets, &self.arena, (hash, at))? {
                Place::Free { bucket, slot } => {
                    let bucket = bucket_at_mut(buckets, bucket)?;
                    layout::fill(bucket, slot, tag_of(hash), at);
                    let word = filter_at(hash, layout.words) * 8;
                    let set = word_at(filter, word)? | filter_mask(hash);
                    filter[word..word + 8].copy_from_slice(&set.to_le_bytes());
                    layout.exact_labels |= u128::from(scope != Scope::Below) << labels;
                    layout.below_labels |= u128::from(scope != Scope::Exact) << labels;
                    layout.rules += 1;
                }
                Place::Covered => {}
            }
        }
        file.extend_from_slice(&self.arena);
        file.extend_from_slice(table);
        layout.seal(&mut file);
        Some(file)
    }
}

/// A rule that is to be placed.
struct Gathered {
    hash: u64,
    /// Where in the arena it stands.
    at: u32,
    labels: u8,
    scope: Scope,
}

/// Where a rule goes.
enum Place {
    Free {
        bucket: u64,
        slot: usize,
    },
    /// Nowhere: a rule that was added before says all of it.
    Covered,
}

impl Place {
    fn find(buckets: &[u8], count: u64, arena: &[u8], (hash, at): (u64, u32)) -> Option<Self> {
        let mut bucket = bucket_of(hash, count);
        // Read only where the tags are alike: it is somewhere else in memory.
        let covers = |other: usize| {
            let (Some((of, other)), Some((meta, name))) = (rule_at(arena, other), rule_at(arena, at as usize)) else {
                return false;
            };
            of >> SCOPE_BITS == meta >> SCOPE_BITS && Scope::of(of).covers(Scope::of(meta)) && other == name
        };
        for _ in 0..MAX_PROBE.min(count) {
            let slots: &[u8; BUCKET] = buckets.get(bucket as usize * BUCKET..)?.first_chunk()?;
            for slot in 0..SLOTS {
                let tag = layout::tag(slots, slot);
                if tag == 0 {
                    return Some(Self::Free { bucket, slot });
                }
                if tag == tag_of(hash) && covers(layout::offset(slots, slot)) {
                    return Some(Self::Covered);
                }
            }
            bucket = if bucket + 1 == count { 0 } else { bucket + 1 };
        }
        None
    }
}

fn bucket_at_mut(buckets: &mut [u8], bucket: u64) -> Option<&mut [u8; BUCKET]> {
    buckets.get_mut(bucket as usize * BUCKET..)?.first_chunk_mut()
}

/// Returns the hash of a name without its root label, and how many labels it has.
fn hash_of(key: &Key, name: &[u8]) -> (u64, u8) {
    let (mut starts, mut count, mut at) = ([0u8; 128], 0, 0);
    while let Some(length) = name.get(at) {
        starts[count] = at as u8;
        count += 1;
        at += usize::from(*length) + 1;
    }
    let mut chain = Chain::new(key);
    let mut end = name.len();
    for start in starts[..count].iter().rev() {
        chain.push(&name[usize::from(*start)..end]);
        end = usize::from(*start);
    }
    (chain.hash(), count as u8)
}
