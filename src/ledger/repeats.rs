//! Look-ups of one client that ask for the same again: they are counted where they are answered, and only the first that
//! the writer has not taken yet goes through the ring, in the name of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;

use super::attempt::Alike;
use crate::client::Client;
use crate::clock::Reading;
use crate::message::{Name, RecordType};
use crate::policy::{Match, Snapshot};
use crate::prefetch;
use crate::query::{Through, Transport};

/// What look-ups over UDP have in common that one worker answers alike, and how many there were.
#[derive(Debug)]
#[repr(C)]
pub struct Repeats {
    // What each repeat needs, next to one another.
    /// How many the writer has not taken yet.
    count: AtomicU64,
    /// When the last came, by policy time and by the system clock, in nanoseconds since 1970.
    last: [AtomicI64; 2],
    is_threat: bool,
    client: Client,
    /// In wire form, which is a tenth of what a [`Name`] takes.
    name: Box<[u8]>,
    record_type: RecordType,
    pub(super) matched: Match,
    rcode: u16,
    pub(super) snapshot: Arc<Snapshot>,
}

impl Repeats {
    /// Returns none yet of `client` for a name that `matched`, by an index into `snapshot`, and that is answered with `rcode`.
    pub fn new(
        client: Client,
        (name, record_type): (&Name, RecordType),
        (matched, rcode): (Match, u16),
        snapshot: Arc<Snapshot>,
    ) -> Self {
        let (name, count, last) = (name.as_wire().into(), AtomicU64::new(0), [AtomicI64::new(0), AtomicI64::new(0)]);
        Self { count, last, is_threat: matched.threat, client, name, record_type, matched, rcode, snapshot }
    }

    /// Returns whether they are signs of a threat.
    pub const fn is_threat(&self) -> bool {
        self.is_threat
    }

    /// Has fetched what the next repeat needs.
    pub fn prefetch(&self) {
        prefetch::value(&self.last);
    }

    /// Has the name fetched, which the writer needs in a moment.
    pub(super) fn prefetch_name(&self) {
        prefetch::octet(&self.name, 0);
    }

    /// Counts one; returns whether it is to go through the ring.
    pub(super) fn add(&self, reading: &Reading) -> bool {
        // Only one worker writes here, and its readings do not go back by more than the clock does.
        for (last, at) in self.last.iter().zip([reading.at, reading.raw]) {
            last.store(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
        // What is stored above is seen by whoever takes this count.
        self.count.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// Takes the count; the next look-up goes through the ring again.
    pub(super) fn take(&self) -> u64 {
        self.count.swap(0, Ordering::AcqRel)
    }

    /// Takes those that were counted since the `first`. The last may be one that is not counted yet.
    pub(super) fn take_alike(&self, first: Reading) -> Alike<'_> {
        let count = self.take();
        let read = |last: &AtomicI64| Timestamp::from_nanosecond(last.load(Ordering::Relaxed).into()).ok();
        let [at, raw] = [read(&self.last[0]), read(&self.last[1])];
        Alike {
            first,
            last: Reading { at: at.unwrap_or(first.at), raw: raw.unwrap_or(first.raw), ..first },
            count,
            client: &self.client,
            transport: Transport::Udp,
            name: &self.name,
            record_type: self.record_type,
            subject: None,
            through: Through::Question,
            matched: &self.matched,
            rcode: self.rcode,
            snapshot: &self.snapshot,
        }
    }
}
