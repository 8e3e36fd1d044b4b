//! Answers in wire form with their TTLs, the subjects found in them, and the epoch in which those were decided.
//!
//! Keeps no OPT record and decides nothing: `pipeline` asks policy again before a kept answer leaves.

mod saved;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::{Cache as Store, DefaultLifecycle};

use crate::message::{Body, Class, MAX_NAME, Name, RecordType, ResponseCode, flag, u16_at};
use crate::query::{Query, Question, Subjects};

pub use saved::{Boot, Saved, SavedAnswer, Saver};

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
    /// When nobody could be had to ask for it anew, since boot.
    pub failed: Option<Duration>,
    /// Whether it is being asked for anew before its lifetime is over.
    pub renewed: Claim,
}

/// Something that one of many may do.
#[derive(Debug, Default)]
pub struct Claim(AtomicBool);

impl Claim {
    /// Returns whether the caller is the first.
    pub fn take(&self) -> bool {
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }
}

impl Clone for Claim {
    /// Nobody has taken the new one.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What an entry is good for at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be given.
    Fresh {
        /// In seconds.
        age: u32,
        /// Whether its lifetime is nearly over.
        ending: bool,
    },
    /// It may be given where nobody can be had to ask anew (RFC 8767).
    Stale {
        /// Whether that has just been found out, so that it is not to be tried again yet.
        failed: bool,
    },
    Over,
}

/// How long nobody is asked again after a failure, while there is a stale answer (RFC 8767, section 5: the failure recheck
/// timer).
const RECHECK: Duration = Duration::from_secs(30);

impl Entry {
    /// Returns whether it says that there was no answer, which is nothing to fall back on.
    pub const fn is_failure(&self) -> bool {
        self.body.flags & flag::RCODE == ResponseCode::SERV_FAIL.0
    }

    /// Returns until when (since boot) it may be given as it is given now: fresh, the same to everybody, and with nothing to count
    /// or to do beside it.
    pub fn repeats(&self, standing: Standing) -> Option<Duration> {
        let is_plain = !self.matched && !self.private && !self.ech_removed;
        let is_fresh = matches!(standing, Standing::Fresh { ending: false, .. });
        let lifetime = Duration::from_secs(self.body.lifetime.into());
        (is_fresh && is_plain).then(|| self.stored + lifetime - lifetime / 10)
    }

    /// Returns what the entry is good for at this time since boot. `stale` is how long an answer may be given after its
    /// lifetime.
    pub fn standing(&self, boot: Duration, stale: Duration) -> Standing {
        let kept = boot.saturating_sub(self.stored);
        let lifetime = Duration::from_secs(self.body.lifetime.into());
        if kept < lifetime {
            let age = u32::try_from(kept.as_secs()).unwrap_or(u32::MAX);
            return Standing::Fresh { age, ending: lifetime - kept <= lifetime / 10 };
        }
        match kept - lifetime < stale && !self.is_failure() {
            true => Standing::Stale { failed: self.failed.is_some_and(|failed| boot.saturating_sub(failed) < RECHECK) },
            false => Standing::Over,
        }
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
    #[inline]
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

    /// Reads what [`Key::as_octets`] gave.
    fn from_octets(of: &[u8]) -> Option<Self> {
        let mut octets = [0; MAX_NAME + 9];
        octets.get_mut(..of.len())?.copy_from_slice(of);
        Some(Self { length: of.len(), octets })
    }

    /// Returns the key as octets that no other question has.
    pub fn as_octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// One kept answer, for those who look into the cache.
#[derive(Debug)]
pub struct Shown {
    pub question: Question,
    pub dnssec_ok: bool,
    pub checking_disabled: bool,
    pub entry: std::sync::Arc<Entry>,
}

/// Which answers are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Range {
    All,
    /// Those to questions for this name, of any type.
    Name(Name),
    /// Those, and all to questions for names below it.
    Below(Name),
}

impl Range {
    fn holds(&self, name: &Name) -> bool {
        match self {
            Self::All => true,
            Self::Name(of) => name == of,
            Self::Below(of) => name.is_at_or_below(of),
        }
    }
}

/// Reads the question of a key, and its DO and CD bits.
fn question_of(key: &[u8]) -> Option<(Question, bool, bool)> {
    let (name, end) = Name::read(key, 0).ok()?;
    let (record_type, class) = (RecordType(u16_at(key, end)?), Class(u16_at(key, end + 2)?));
    let bits = *key.get(end + 4)?;
    Some((Question { name, record_type, class }, bits & 1 != 0, bits & 2 != 0))
}

/// Kept answers, bounded by the memory that they take.
pub struct Cache {
    entries: Store<Box<[u8]>, std::sync::Arc<Entry>, Weight>,
    /// How often any were forgotten on command.
    flushes: AtomicU64,
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
        Self { entries, flushes: AtomicU64::new(0) }
    }

    /// Returns the entry with this key, fresh or not.
    pub fn get(&self, key: &Key) -> Option<std::sync::Arc<Entry>> {
        self.entries.get(key.as_octets())
    }

    /// Keeps `entry`, in place of another with this key.
    pub fn insert(&self, key: &Key, entry: std::sync::Arc<Entry>) {
        self.entries.insert(key.as_octets().into(), entry);
    }

    /// Returns the answers to questions for `name`, of any type, in no order. Looks at every entry: not for the path of
    /// a query.
    pub fn of(&self, name: &Name) -> Vec<Shown> {
        let shown = self.entries.iter().filter_map(|(key, entry)| {
            let (question, dnssec_ok, checking_disabled) = question_of(&key)?;
            (question.name == *name).then_some(Shown { question, dnssec_ok, checking_disabled, entry })
        });
        shown.collect()
    }

    /// Forgets what is in `range`, and returns how many entries that were.
    pub fn flush(&self, range: &Range) -> usize {
        self.flushes.fetch_add(1, Ordering::Release);
        let gone = std::sync::atomic::AtomicUsize::new(0);
        self.entries.retain(|key, _| {
            let goes = question_of(key).is_none_or(|(question, _, _)| range.holds(&question.name));
            gone.fetch_add(usize::from(goes), Ordering::Relaxed);
            !goes
        });
        // Once more: what was found while this went on may be noted by then.
        self.flushes.fetch_add(1, Ordering::Release);
        gone.into_inner()
    }

    /// Returns how often entries were forgotten on command: whoever has answers of before for himself forgets them too.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Acquire)
    }

    /// Writes what is fresh at this time since boot.
    ///
    /// # Errors
    /// As the writer has them.
    pub fn save<W: io::Write>(&self, saver: &mut Saver<W>, boot: Duration) -> io::Result<()> {
        for (key, entry) in self.entries.iter() {
            if let Standing::Fresh { age, .. } = entry.standing(boot, Duration::ZERO) {
                saver.add(&key, &entry, age)?;
            }
        }
        Ok(())
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
    use crate::message::{QueryView, Writer};
    use crate::query::{Edns, Peer, Transport};
    use std::sync::Arc;

    fn key(name: &str, dnssec_ok: bool, checking_disabled: bool, generation: u32) -> Key {
        let mut wire = Vec::new();
        let name: crate::message::Name = name.parse().unwrap();
        Writer::new(&mut wire, 7, 0).question(name.as_wire(), RecordType::A, Class::IN);
        let QueryView { name, capitals, .. } = QueryView::read(&wire).unwrap();
        let query = Query {
            question: Question { name, record_type: RecordType::A, class: Class::IN },
            capitals,
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
        let (private, ech_removed, matched, epoch) = (false, false, false, (0, 0));
        let (failed, renewed) = (None, Claim::default());
        Arc::new(Entry { body, subjects, private, ech_removed, matched, epoch, stored, failed, renewed })
    }

    #[test]
    fn an_entry_ends_with_its_lifetime_and_may_be_given_stale_after() {
        let kept = entry(30, 10);
        let fresh = |age, ending| Standing::Fresh { age, ending };
        for (now, standing) in [
            (100, fresh(0, false)),
            (126, fresh(26, false)),
            (127, fresh(27, true)),
            (129, fresh(29, true)),
            (130, Standing::Stale { failed: false }),
            (189, Standing::Stale { failed: false }),
            (190, Standing::Over),
            (99, fresh(0, false)),
        ] {
            assert_eq!(kept.standing(Duration::from_secs(now), Duration::from_secs(60)), standing, "{now}");
        }
        assert_eq!(kept.standing(Duration::from_secs(130), Duration::ZERO), Standing::Over);
        let failed = Entry { failed: Some(Duration::from_secs(140)), ..Entry::clone(&kept) };
        for (now, just) in [(140, true), (169, true), (170, false)] {
            let standing = failed.standing(Duration::from_secs(now), Duration::from_secs(60));
            assert_eq!(standing, Standing::Stale { failed: just }, "{now}");
        }
        let mut failure = Entry::clone(&kept);
        failure.body.flags = ResponseCode::SERV_FAIL.0;
        assert_eq!(failure.standing(Duration::from_secs(131), Duration::from_secs(60)), Standing::Over);
    }

    #[test]
    fn one_renews_an_entry() {
        let kept = entry(30, 10);
        assert_eq!([kept.renewed.take(), kept.renewed.take()], [true, false]);
        assert!(kept.renewed.clone().take(), "another entry is renewed anew");
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
    fn what_is_flushed_is_gone_and_the_rest_stays() {
        let cache = Cache::new(1 << 20);
        let names = ["example", "a.example", "b.a.example", "ba.example"];
        let fill = || names.iter().for_each(|name| cache.insert(&key(name, true, false, 1), entry(30, 10)));
        let left = || -> Vec<&str> {
            names.into_iter().filter(|name| cache.get(&key(name, true, false, 1)).is_some()).collect()
        };
        let a: Name = "a.example".parse().unwrap();
        for (range, gone, stays) in [
            (Range::Name(a.clone()), 1, vec!["example", "b.a.example", "ba.example"]),
            (Range::Below(a.clone()), 2, vec!["example", "ba.example"]),
            (Range::All, 4, vec![]),
        ] {
            fill();
            let shown = cache.of(&a);
            assert_eq!(shown.len(), 1);
            assert_eq!((shown[0].dnssec_ok, shown[0].checking_disabled), (true, false));
            assert_eq!(shown[0].question.record_type, RecordType::A);
            assert_eq!((cache.flush(&range), left()), (gone, stays), "{range:?}");
        }
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
