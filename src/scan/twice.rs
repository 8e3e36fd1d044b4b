//! Datagrams that a capture holds more than once: it was made at several interfaces, or of a port that is mirrored in both directions.
//!
//! One that comes again is the same to the last octet and within moments. Whoever asks once more waits longer, or chooses another
//! identification, id or port.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};

use jiff::Timestamp;

use super::link::Carried;

/// How many datagrams are remembered at most; each of them has one place.
const PLACES: usize = 16_384;

/// How many milliseconds one may come after the other.
const APART: u64 = 20;

/// The datagrams that came last.
pub(super) struct Twice {
    // Of unknown keys, so that nobody finds a datagram that hides another.
    hashes: RandomState,
    /// A hash, and when that datagram was captured, in milliseconds.
    places: Box<[(u64, i64)]>,
}

impl Default for Twice {
    fn default() -> Self {
        Self { hashes: RandomState::new(), places: vec![(0, i64::MIN); PLACES].into() }
    }
}

impl Twice {
    /// Takes a datagram, and returns whether it has come just before.
    pub(super) fn has(&mut self, of: &Carried<'_>, at: Timestamp) -> bool {
        let Carried { from, to, identification, protocol: _, payload } = of;
        let mut hasher = self.hashes.build_hasher();
        (from, to, identification).hash(&mut hasher);
        // Its checksum is left out: a network card may fill it in behind the capture.
        let (ports, message) = payload.split_at(payload.len().min(6));
        hasher.write(ports);
        hasher.write(message.get(2..).unwrap_or_default());
        let (hash, at) = (hasher.finish(), at.as_millisecond());
        let place = &mut self.places[hash as usize % PLACES];
        let twice = place.0 == hash && place.1.abs_diff(at) <= APART;
        *place = (hash, at);
        twice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn only_what_is_the_same_and_at_once_came_twice() {
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let of = Carried {
            from: address(7),
            to: address(53),
            identification: 9,
            protocol: 17,
            payload: b"\x90\0\0\x35\0\x0Aab",
        };
        let mut twice = Twice::default();
        let at = |milliseconds: i64| Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap();
        assert!(!twice.has(&of, at(0)));
        assert!(twice.has(&of, at(3)));
        assert!(twice.has(&Carried { payload: b"\x90\0\0\x35\0\x0Acd", ..of }, at(4)), "another checksum");
        for (other, when) in [
            (of, 40),
            (Carried { identification: 10, ..of }, 41),
            (Carried { from: address(8), ..of }, 41),
            (Carried { payload: b"\x90\x01\0\x35\0\x0Aab", ..of }, 41),
            (Carried { payload: b"\x90\0\0\x35\0\x0Aabx", ..of }, 41),
            (Carried { payload: b"", ..of }, 41),
        ] {
            assert!(!twice.has(&other, at(when)), "{other:?}");
        }
    }
}
