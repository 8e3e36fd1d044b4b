//! Answers that leave once their record is on disk: who has to wait, and what becomes of those who do.
//!
//! A look-up whose answer waits carries the sender of its outcome through the ring. The writer takes it out, commits, and
//! tells the outcome once: so what is sent, what is recorded and what other answers of the same commit say agree, whatever
//! the disk does later. Nothing is allocated or locked for those that need not wait.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::attempt::{Attempt, Keeping, Rule};
use crate::policy::Verdict;

/// When an answer may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// At once; its record is on disk within the commit time.
    #[default]
    Normal,
    /// Once the record is on disk, where it is the first of its client, name, type, rule and verdict.
    Strict,
}

/// What becomes of sunk names while the disk takes no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fail {
    /// They are answered as ever, and their records wait in memory.
    #[default]
    Answer,
    /// They are answered with SERVFAIL.
    Servfail,
}

/// What came of handing a look-up over.
#[derive(Debug)]
pub enum Handed {
    /// Its answer may leave.
    Over,
    /// Its answer leaves once [`Recorder::committed`](super::Recorder::committed) says so.
    Awaited(Ticket),
    /// Its answer would have to wait, and too many do; it may leave without.
    Unheld,
    /// It was not handed over, because its answer must not leave without a record on disk. What is sent in its place is to
    /// be handed over instead.
    Refused {
        attempt: Box<Attempt>,
        /// Whether too many answers wait; else the disk takes no records.
        unheld: bool,
    },
}

/// That a record is to be on disk before its answer leaves. As long as it is there, its answer counts as waiting.
#[derive(Debug)]
pub struct Ticket {
    /// What look-ups with the same key have in common.
    key: u64,
    /// Whether the answer must not leave without.
    binding: bool,
    told: oneshot::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

/// The other end of a ticket: whoever commits the record tells by it whether the disk took it.
#[derive(Debug)]
pub(super) struct Awaiting {
    /// Whether the answer is another where the disk does not take the record.
    pub(super) binding: bool,
    told: oneshot::Sender<bool>,
}

impl Awaiting {
    pub(super) fn tell(self, durable: bool) {
        // Whoever waited may be gone.
        let _ = self.told.send(durable);
    }
}

/// How many answers may wait at a time, over all transports.
const HELD: u32 = 8192;
/// How many keys are remembered. One that had to give way makes its next look-up wait again, and no more.
const KNOWN: usize = 1 << 16;

/// What becomes of an answer.
#[derive(Debug)]
pub(super) enum Leave {
    AtOnce,
    Unheld,
    Refused { unheld: bool },
    Later(Ticket, Awaiting),
}

/// What workers, the writer and those who wait share.
pub(super) struct Durable {
    strict: bool,
    fail: Fail,
    store_noted: bool,
    places: Arc<Semaphore>,
    /// Whether the last commit failed.
    failing: AtomicBool,
    /// Whether nobody commits any more.
    ended: watch::Sender<bool>,
    /// Keys of which a record is on disk, each at a place of its own; keyed, because clients choose what is hashed.
    known: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Durable {
    pub(super) fn new(durability: Durability, fail: Fail, store_noted: bool) -> Self {
        let strict = durability == Durability::Strict;
        Self {
            strict,
            fail,
            store_noted,
            places: Arc::new(Semaphore::new(HELD as usize)),
            failing: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            known: (0..if strict { KNOWN } else { 0 }).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Decides when the answer to a look-up may leave, before the look-up is put into a ring.
    pub(super) fn leave(&self, attempt: &Attempt) -> Leave {
        let binding = self.fail == Fail::Servfail && attempt.matched.verdict == Verdict::Sunk;
        if self.failing.load(Ordering::Relaxed) {
            // Nobody waits for a disk that fails.
            return if binding { Leave::Refused { unheld: false } } else { Leave::AtOnce };
        }
        let is_recorded = self.store_noted || Keeping::of(&attempt.matched) == Keeping::Recorded;
        if !self.strict || !is_recorded {
            return Leave::AtOnce;
        }
        let Attempt { client, name, record_type, matched, snapshot, .. } = attempt;
        let rule = Rule::new(snapshot.number(), matched);
        // Never nothing, which stands for no key.
        let key = self.hasher.hash_one((client, name, record_type, rule)) | 1;
        if self.place(key).load(Ordering::Relaxed) == key {
            return Leave::AtOnce;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return if binding { Leave::Refused { unheld: true } } else { Leave::Unheld };
        };
        let (sender, told) = oneshot::channel();
        Leave::Later(Ticket { key, binding, told, _place: place }, Awaiting { binding, told: sender })
    }

    fn place(&self, key: u64) -> &AtomicU64 {
        // The lowest bit is the same in all keys.
        &self.known[(key >> 1) as usize % self.known.len()]
    }

    /// Returns whether the answer to a sunk name has to be that it could not be recorded.
    pub(super) fn refuses_sinks(&self) -> bool {
        self.fail == Fail::Servfail && self.failing.load(Ordering::Relaxed)
    }

    /// Returns whether the last commit failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Waits until it is known what became of the record, and returns whether the answer may leave as it is.
    pub(super) async fn may_leave(&self, ticket: &mut Ticket) -> bool {
        let mut ended = self.ended.subscribe();
        let durable = tokio::select! {
            biased;
            told = &mut ticket.told => told.unwrap_or(false),
            // What was put into a ring after the last look at it is told by nobody.
            _ = ended.wait_for(|ended| *ended) => false,
        };
        if durable {
            self.place(ticket.key).store(ticket.key, Ordering::Relaxed);
        }
        durable || !ticket.binding
    }

    /// Waits until no answer waits any more.
    pub(super) async fn settled(&self) {
        // Never closed, so that it cannot fail.
        let _ = self.places.acquire_many(HELD).await;
    }

    /// Notes whether the disk takes records.
    pub(super) fn note(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }

    /// Lets everybody go, since nobody commits any more.
    pub(super) fn end(&self) {
        self.note(true);
        self.ended.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{AT, attempt, snapshot};
    use super::*;

    fn ticket(durable: &Durable, of: &Attempt) -> (Ticket, Awaiting) {
        match durable.leave(of) {
            Leave::Later(ticket, awaiting) => (ticket, awaiting),
            other => panic!("{other:?}"),
        }
    }

    fn may_leave(durable: &Durable, ticket: &mut Ticket) -> Option<bool> {
        let mut waiting = std::pin::pin!(durable.may_leave(ticket));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match waiting.as_mut().poll(&mut context) {
            std::task::Poll::Ready(told) => Some(told),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn the_first_look_up_of_a_key_waits_until_its_record_is_on_disk() {
        let durable = Durable::new(Durability::Strict, Fail::Answer, false);
        let policy = snapshot(1);
        let first = attempt(&policy, "192.0.2.7", "upd.vendor.example", AT);
        let (mut waits, awaiting) = ticket(&durable, &first);
        assert_eq!(may_leave(&durable, &mut waits), None);
        drop(ticket(&durable, &first));
        awaiting.tell(true);
        assert_eq!(may_leave(&durable, &mut waits), Some(true));
        assert!(matches!(durable.leave(&first), Leave::AtOnce));
        for other in [
            attempt(&policy, "192.0.2.8", "upd.vendor.example", AT),
            attempt(&policy, "192.0.2.7", "a.upd.vendor.example", AT),
            attempt(&policy, "192.0.2.7", "upd.vendor.example", "2024-09-01T00:00:00Z"),
            attempt(&snapshot(2), "192.0.2.7", "upd.vendor.example", AT),
            Attempt { record_type: crate::message::RecordType::AAAA, ..first.clone() },
        ] {
            assert!(matches!(durable.leave(&other), Leave::Later(..)), "{other:?}");
        }
        let counted = attempt(&policy, "192.0.2.7", "www.vendor.example", AT);
        assert!(matches!(durable.leave(&counted), Leave::AtOnce), "it is only counted");
    }

    #[test]
    fn a_disk_that_fails_lets_everybody_go() {
        for (fail, refuses) in [(Fail::Answer, false), (Fail::Servfail, true)] {
            let durable = Durable::new(Durability::Strict, fail, false);
            let of = attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT);
            let (mut waits, awaiting) = ticket(&durable, &of);
            assert!(!durable.refuses_sinks());
            durable.note(true);
            awaiting.tell(false);
            assert_eq!(may_leave(&durable, &mut waits), Some(!refuses));
            assert_eq!(durable.refuses_sinks(), refuses);
            assert_eq!(matches!(durable.leave(&of), Leave::Refused { unheld: false }), refuses);
            durable.note(false);
            assert!(!durable.refuses_sinks() && matches!(durable.leave(&of), Leave::Later(..)));
        }
    }

    #[test]
    fn whoever_waits_for_a_thread_that_is_gone_is_let_go() {
        let durable = Durable::new(Durability::Strict, Fail::Servfail, false);
        let of = attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT);
        let (mut lost, awaiting) = ticket(&durable, &of);
        drop(awaiting);
        assert_eq!(may_leave(&durable, &mut lost), Some(false));
        let (mut left, _in_the_ring) = ticket(&durable, &of);
        durable.end();
        assert_eq!(may_leave(&durable, &mut left), Some(false));
    }

    #[test]
    fn beyond_the_bound_no_answer_waits_and_none_leaves_that_must_not_without_a_record() {
        for (fail, refuses) in [(Fail::Answer, false), (Fail::Servfail, true)] {
            let durable = Durable::new(Durability::Strict, fail, false);
            let policy = snapshot(1);
            let of = |number: u32| attempt(&policy, "192.0.2.7", &format!("a{number}.upd.vendor.example"), AT);
            let held: Vec<_> = (0..HELD).map(|number| ticket(&durable, &of(number))).collect();
            match durable.leave(&of(HELD)) {
                Leave::Unheld => assert!(!refuses),
                Leave::Refused { unheld: true } => assert!(refuses),
                other => panic!("{other:?}"),
            }
            drop(held);
            assert!(matches!(durable.leave(&of(HELD)), Leave::Later(..)));
        }
    }

    #[test]
    fn nobody_waits_unless_it_is_asked_for() {
        let durable = Durable::new(Durability::Normal, Fail::Servfail, false);
        let of = attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT);
        assert!(matches!(durable.leave(&of), Leave::AtOnce));
        durable.note(true);
        assert!(durable.refuses_sinks() && matches!(durable.leave(&of), Leave::Refused { .. }));
    }
}
