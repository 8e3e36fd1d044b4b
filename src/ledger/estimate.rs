//! How many different things were seen, estimated in a kibibyte.

/// The number of registers: a standard error of 3.3 %.
const REGISTERS: usize = 1024;
const INDEX_BITS: u32 = REGISTERS.trailing_zeros();

/// HyperLogLog (Flajolet et al., 2007) with linear counting for small numbers.
#[derive(Debug, Clone)]
pub(super) struct Estimate {
    registers: Box<[u8; REGISTERS]>,
}

impl Estimate {
    pub(super) fn new() -> Self {
        Self { registers: Box::new([0; REGISTERS]) }
    }

    /// Adds a thing by its hash, which must be keyed where strangers choose the thing.
    pub(super) fn add(&mut self, hash: u64) {
        let index = usize::try_from(hash >> (64 - INDEX_BITS)).unwrap_or(0);
        // The bit set below the index bounds the rank where all bits behind the index are zero.
        let rest = (hash << INDEX_BITS) | (1 << (INDEX_BITS - 1));
        let rank = u8::try_from(rest.leading_zeros() + 1).unwrap_or(u8::MAX);
        let register = &mut self.registers[index];
        *register = (*register).max(rank);
    }

    pub(super) fn count(&self) -> u64 {
        let size = REGISTERS as f64;
        let sum: f64 = self.registers.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let raw = 0.7213 / (1.0 + 1.079 / size) * size * size / sum;
        let empty = self.registers.iter().filter(|rank| **rank == 0).count();
        let estimate = if raw <= 2.5 * size && empty > 0 { size * (size / empty as f64).ln() } else { raw };
        // Never negative and far below 2^53.
        estimate.round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    #[test]
    fn estimates_are_near_at_every_size() {
        let hasher = RandomState::new();
        for size in [0_u64, 1, 10, 1000, 3000, 200_000] {
            let mut estimate = Estimate::new();
            for thing in 0..size {
                estimate.add(hasher.hash_one(thing));
                estimate.add(hasher.hash_one(thing));
            }
            let allowed = size / 5 + u64::from(size > 2);
            assert!(estimate.count().abs_diff(size) <= allowed, "{} for {size}", estimate.count());
        }
    }
}
