//! Answers that leave once their record is on disk: who has to wait, and for which commit.
//!
//! Commits are numbered as they begin, before the rings are emptied. Whoever has put a look-up into a ring and then reads
//! the number of the last one that began knows that the next contains it at the latest. So no look-up carries a number of
//! its own, and nothing is allocated or locked for those that need not wait.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use tokio::sync::watch;

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

/// That a record is to be on disk before its answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    commit: u64,
    /// What look-ups with the same key have in common.
    key: u64,
    sunk: bool,
}

/// How many keys are remembered. One that had to give way makes its next look-up wait again, and no more.
const KNOWN: usize = 1 << 16;

/// What workers, the writer and those who wait share.
pub(super) struct Durable {
    strict: bool,
    fail: Fail,
    store_noted: bool,
    /// How many commits have begun.
    begun: AtomicU64,
    /// Whether somebody waits for the next one.
    wanted: AtomicBool,
    /// Whether the last commit failed.
    failing: AtomicBool,
    told: watch::Sender<Told>,
    /// Keys of which a record is on disk, each at a place of its own; keyed, because clients choose what is hashed.
    known: Box<[AtomicU64]>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// All commits up to this one are on disk.
    durable: u64,
    failing: bool,
}

impl Durable {
    pub(super) fn new(durability: Durability, fail: Fail, store_noted: bool) -> Self {
        let strict = durability == Durability::Strict;
        Self {
            strict,
            fail,
            store_noted,
            begun: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            told: watch::Sender::default(),
            known: (0..if strict { KNOWN } else { 0 }).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Returns the key of a look-up whose answer has to wait for its record, if it has to. To be called before the look-up
    /// is put into a ring.
    pub(super) fn key(&self, attempt: &Attempt) -> Option<u64> {
        let is_recorded = self.store_noted || Keeping::of(&attempt.matched) == Keeping::Recorded;
        // While the disk fails nobody waits for it.
        if !self.strict || !is_recorded || self.failing.load(Ordering::Relaxed) {
            return None;
        }
        let Attempt { client, name, record_type, matched, snapshot, .. } = attempt;
        let rule = Rule::new(snapshot.number(), matched);
        // Never nothing, which stands for no key.
        let key = self.hasher.hash_one((client, name, record_type, rule)) | 1;
        (self.place(key).load(Ordering::Relaxed) != key).then_some(key)
    }

    /// Returns what to wait for, for a look-up that was put into a ring before.
    pub(super) fn ticket(&self, key: u64, verdict: Verdict) -> Ticket {
        // The writer has a fence between counting a commit and emptying the rings: either it finds the look-up there, or
        // the commit is counted here.
        fence(Ordering::SeqCst);
        let commit = self.begun.load(Ordering::SeqCst) + 1;
        self.wanted.store(true, Ordering::SeqCst);
        Ticket { commit, key, sunk: verdict == Verdict::Sunk }
    }

    fn place(&self, key: u64) -> &AtomicU64 {
        // The lowest bit is the same in all keys.
        &self.known[(key >> 1) as usize % self.known.len()]
    }

    /// Returns whether the answer to a sunk name has to be that it could not be recorded.
    pub(super) fn refuses_sinks(&self) -> bool {
        self.fail == Fail::Servfail && self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn refuses(&self, ticket: &Ticket) -> bool {
        self.fail == Fail::Servfail && ticket.sunk
    }

    /// Waits until the record is on disk; returns false where the disk does not take it.
    pub(super) async fn wait(&self, ticket: &Ticket) -> bool {
        let mut told = self.told.subscribe();
        // The sender is here, so that it cannot be gone.
        let durable = told
            .wait_for(|told| told.durable >= ticket.commit || told.failing)
            .await
            .is_ok_and(|told| told.durable >= ticket.commit);
        if durable {
            self.place(ticket.key).store(ticket.key, Ordering::Relaxed);
        }
        durable
    }

    /// Begins a commit, before the rings are emptied; returns its number, and whether somebody waits for it.
    pub(super) fn begin(&self) -> (u64, bool) {
        let wanted = self.wanted.swap(false, Ordering::SeqCst);
        let commit = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        fence(Ordering::SeqCst);
        (commit, wanted)
    }

    /// Tells that everything up to a commit is on disk.
    pub(super) fn committed(&self, commit: u64) {
        self.failing.store(false, Ordering::Relaxed);
        if self.strict {
            self.told.send_replace(Told { durable: commit, failing: false });
        }
    }

    /// Tells that the disk takes no records, to those who wait too.
    pub(super) fn failed(&self) {
        self.failing.store(true, Ordering::Relaxed);
        self.told.send_modify(|told| told.failing = true);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{AT, attempt, snapshot};
    use super::*;

    fn is_durable(durable: &Durable, ticket: &Ticket) -> Option<bool> {
        let mut waiting = std::pin::pin!(durable.wait(ticket));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match waiting.as_mut().poll(&mut context) {
            std::task::Poll::Ready(durable) => Some(durable),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn the_first_look_up_of_a_key_waits_for_the_commit_after_it() {
        let durable = Durable::new(Durability::Strict, Fail::Answer, false);
        let policy = snapshot(1);
        let first = attempt(&policy, "192.0.2.7", "upd.vendor.example", AT);
        let key = durable.key(&first).unwrap();
        let (under_way, wanted) = durable.begin();
        assert!(!wanted);
        let ticket = durable.ticket(key, Verdict::Sunk);
        durable.committed(under_way);
        assert_eq!(is_durable(&durable, &ticket), None, "that commit may have begun before the look-up came");
        let (next, wanted) = durable.begin();
        assert!(wanted);
        assert_eq!(durable.key(&first), Some(key), "nothing of it is on disk yet");
        durable.committed(next);
        assert_eq!(is_durable(&durable, &ticket), Some(true));
        assert_eq!(durable.key(&first), None);
        for other in [
            attempt(&policy, "192.0.2.8", "upd.vendor.example", AT),
            attempt(&policy, "192.0.2.7", "a.upd.vendor.example", AT),
            attempt(&policy, "192.0.2.7", "upd.vendor.example", "2024-09-01T00:00:00Z"),
            attempt(&snapshot(2), "192.0.2.7", "upd.vendor.example", AT),
            Attempt { record_type: crate::message::RecordType::AAAA, ..first.clone() },
        ] {
            assert!(durable.key(&other).is_some(), "{other:?}");
        }
        assert_eq!(durable.key(&attempt(&policy, "192.0.2.7", "www.vendor.example", AT)), None, "it is only counted");
    }

    #[test]
    fn a_disk_that_fails_lets_everybody_go() {
        for (fail, refuses) in [(Fail::Answer, false), (Fail::Servfail, true)] {
            let durable = Durable::new(Durability::Strict, fail, false);
            let of = attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT);
            let ticket = durable.ticket(durable.key(&of).unwrap(), Verdict::Sunk);
            assert!(!durable.refuses_sinks());
            durable.failed();
            assert_eq!(is_durable(&durable, &ticket), Some(false));
            assert_eq!((durable.refuses(&ticket), durable.refuses_sinks()), (refuses, refuses));
            assert_eq!(durable.key(&of), None);
            durable.committed(durable.begin().0);
            assert!(!durable.refuses_sinks() && durable.key(&of).is_some());
        }
    }

    #[test]
    fn nobody_waits_unless_it_is_asked_for() {
        let durable = Durable::new(Durability::Normal, Fail::Servfail, false);
        let of = attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT);
        assert_eq!(durable.key(&of), None);
        durable.failed();
        assert!(durable.refuses_sinks());
    }
}
