//! Addresses that ask and of which no name may be known yet: noted on the path of queries, taken off it by whoever looks
//! names up. Neither can hold up the other.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

/// Addresses that wait to be looked up, at most; further ones are noted when they ask again.
const WAITING: usize = 1024;
/// How many addresses are remembered as noted. Two that share a place are noted more than once.
const REMEMBERED: usize = 4096;

/// Addresses that have asked, each once until [`Self::forget`].
pub struct Strangers {
    waiting: ArrayQueue<IpAddr>,
    /// Hashes of those that were noted, by their lower bits; 0 for none.
    noted: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Strangers {
    pub(super) fn new() -> Self {
        let noted = std::iter::repeat_with(AtomicU64::default).take(REMEMBERED).collect();
        Self { waiting: ArrayQueue::new(WAITING), noted, hasher: RandomState::new() }
    }

    /// Notes an address, unless it was noted or too many wait. Allocates nothing, and waits for nobody.
    pub fn note(&self, address: IpAddr) {
        let hash = self.hasher.hash_one(address) | 1;
        let place = &self.noted[(hash >> 1) as usize % REMEMBERED];
        if place.load(Ordering::Relaxed) != hash && self.waiting.push(address).is_ok() {
            place.store(hash, Ordering::Relaxed);
        }
    }

    /// Takes out the address that has waited longest.
    pub fn next(&self) -> Option<IpAddr> {
        self.waiting.pop()
    }

    /// Lets every address be noted again.
    pub fn forget(&self) {
        self.noted.iter().for_each(|place| place.store(0, Ordering::Relaxed));
    }
}

impl fmt::Debug for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strangers").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_once_and_no_more_wait_than_may() {
        let strangers = Strangers::new();
        let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from(number));
        for _ in 0..3 {
            strangers.note(address(7));
        }
        assert_eq!((strangers.next(), strangers.next()), (Some(address(7)), None));
        strangers.note(address(7));
        assert_eq!(strangers.next(), None);
        strangers.forget();
        strangers.note(address(7));
        assert_eq!(strangers.next(), Some(address(7)));
        (0..100_000).for_each(|number| strangers.note(address(number)));
        assert_eq!(std::iter::from_fn(|| strangers.next()).count(), WAITING);
    }
}
