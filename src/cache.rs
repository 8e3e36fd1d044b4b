//! Answers in wire form with their TTLs, the subjects found in them, and the epoch in which those were decided.
//!
//! Keeps no OPT record and decides nothing: `pipeline` asks policy again before a kept answer leaves.

use std::fmt;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::{Cache as Store, DefaultLifecycle};

use crate::message::{Body, MAX_NAME};
use crate::query::{Query, Question, Subjects};

/// An answer that is kept.
#[derive(Debug, Clone)]
pub struct Entry {
    pub body: Body,
    /// The names and addresses in the answer that were decided on.
    pub subjects: Subjects,
    /// Whether the answer tells an address of a private network.
    pub private: bool,
    /// Whether keys for Encrypted ClientHello were taken out.
    pub ech_removed: bool,
    /// Whether any rule matches any subject, so that each hit has to be decided again for its client.
    pub matched: bool,
    /// The epoch of policy, and that of the lists, in which the subjects were decided.
    pub epoch: (u64, u64),
    /// When the answer was kept, since boot.
    pub stored: Duration,
}

impl Entry {
    /// Returns the age in whole seconds, or `None` once the lifetime is over.
    pub fn age(&self, boot: Duration) -> Option<u32> {
        let age = u32::try_from(boot.saturating_sub(self.stored).as_secs()).unwrap_or(u32::MAX);
        (age < self.body.lifetime).then_some(age)
    }
}

/// What tells two answers apart: the question, the bits that change what an upstream answers, and who is asked.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    length: usize,
    octets: [u8; MAX_NAME + 9],
}

impl Key {
    /// Returns the key of a query under this generation of routes.
    pub fn new(query: &Query, generation: u32) -> Self {
        let mut octets = [0; MAX_NAME + 9];
        let Question { name, record_type, class } = &query.question;
        let (dnssec_ok, checking_disabled) = (query.dnssec_ok(), query.checking_disabled);
        let name = name.as_wire();
        let length = name.len() + 9;
        octets[..name.len()].copy_from_slice(name);
        octets[name.len()..name.len() + 2].copy_from_slice(&record_type.0.to_be_bytes());
        octets[name.len() + 2..name.len() + 4].copy_from_slice(&class.0.to_be_bytes());
        octets[name.len() + 4] = u8::from(dnssec_ok) | u8::from(checking_disabled) << 1;
        octets[name.len() + 5..name.len() + 9].copy_from_slice(&generation.to_be_bytes());
        Self { length, octets }
    }

    /// Returns the key as octets that no other question has.
    pub fn as_octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// Kept answers, bounded by the memory that they take.
pub struct Cache {
    entries: Store<Box<[u8]>, std::sync::Arc<Entry>, Weight>,
}

#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<Box<[u8]>, std::sync::Arc<Entry>> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &std::sync::Arc<Entry>) -> u64 {
        let body = &entry.body;
        let error = body.extended_error.as_ref().map_or(0, |error| error.len());
        let parts =
            key.len() + error + body.octets.len() + 2 * (body.ttls.len() + body.minimums.len()) + entry.subjects.size();
        // The fixed part covers the entry itself, the allocator's overhead and the slot in the table.
        (parts + size_of::<Entry>() + 128) as u64
    }
}

impl Cache {
    /// Returns an empty cache that takes about `size` octets at most.
    pub fn new(size: u64) -> Self {
        let typical = 512;
        let items = usize::try_from(size / typical).unwrap_or(usize::MAX).clamp(64, 1 << 22);
        let entries =
            Store::with(items, size, Weight, quick_cache::DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { entries }
    }

    /// Returns the entry with this key, fresh or not.
    pub fn get(&self, key: &Key) -> Option<std::sync::Arc<Entry>> {
        self.entries.get(key.as_octets())
    }

    /// Keeps `entry`, in place of another with this key.
    pub fn insert(&self, key: &Key, entry: std::sync::Arc<Entry>) {
        self.entries.insert(key.as_octets().into(), entry);
    }

    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns about how many octets the entries take.
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &self.len()).field("weight", &self.weight()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Class, QueryView, RecordType, Writer};
    use crate::query::{Edns, Peer, Transport};
    use std::sync::Arc;

    fn key(name: &str, dnssec_ok: bool, checking_disabled: bool, generation: u32) -> Key {
        let mut wire = Vec::new();
        let name: crate::message::Name = name.parse().unwrap();
        Writer::new(&mut wire, 7, 0).question(name.as_wire(), RecordType::A, Class::IN);
        let QueryView { name, spelling, .. } = QueryView::read(&wire).unwrap();
        let query = Query {
            question: Question { name, record_type: RecordType::A, class: Class::IN },
            spelling,
            peer: Peer::direct("127.0.0.1:9".parse().unwrap(), None),
            transport: Transport::Udp,
            id: 7,
            recursion_desired: true,
            authentic_data: false,
            checking_disabled,
            edns: Some(Edns { payload: 1232, dnssec_ok }),
        };
        Key::new(&query, generation)
    }

    fn entry(lifetime: u32, size: usize) -> Arc<Entry> {
        let body = Body {
            flags: 0,
            counts: [0; 3],
            octets: vec![0; size].into(),
            ttls: Box::default(),
            minimums: Box::default(),
            lifetime,
            extended_error: None,
        };
        let stored = Duration::from_secs(100);
        let subjects = Subjects::default();
        Arc::new(Entry { body, subjects, private: false, ech_removed: false, matched: false, epoch: (0, 0), stored })
    }

    #[test]
    fn an_entry_ends_with_its_lifetime() {
        let entry = entry(30, 10);
        for (now, age) in [(100, Some(0)), (129, Some(29)), (130, None), (99, Some(0))] {
            assert_eq!(entry.age(Duration::from_secs(now)), age, "{now}");
        }
    }

    #[test]
    fn bits_that_change_an_answer_keep_it_apart() {
        let cache = Cache::new(1 << 20);
        cache.insert(&key("a.example", false, false, 1), entry(30, 10));
        assert!(cache.get(&key("A.Example", false, false, 1)).is_some());
        assert!(cache.get(&key("a.example", true, false, 1)).is_none());
        assert!(cache.get(&key("a.example", false, true, 1)).is_none());
        assert!(cache.get(&key("b.example", false, false, 1)).is_none());
        assert!(cache.get(&key("a.example", false, false, 2)).is_none(), "others are asked now");
    }

    #[test]
    fn its_size_is_bounded() {
        let cache = Cache::new(1 << 20);
        for number in 0..10_000 {
            cache.insert(&key(&format!("n{number}.example"), false, false, 1), entry(30, 1000));
        }
        assert!(cache.weight() <= 1 << 20 && cache.len() > 100, "{cache:?}");
    }
}
