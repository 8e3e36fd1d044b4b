//! How workers hand look-ups over: a bounded ring each, and fixed counters for when it is full.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::Thread;

use arc_swap::ArcSwap;

use super::attempt::{Attempt, Keeping};
use super::durable::{Awaiting, Durable, Handed, Leave, Ticket};
use super::queue::Queue;
use super::repeats::Repeats;
use crate::clock::Reading;
use crate::policy::{Match, Snapshot, Verdict};
use crate::prefetch;

/// How many repeats are fetched from memory at a time.
const AT_ONCE: usize = 16;

/// A worker's handle on the ledger. Each has a ring of its own; clones share it.
#[derive(Clone)]
pub struct Recorder {
    ring: Arc<Ring>,
    exchange: Arc<Exchange>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("waiting", &self.ring.queue.len()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Hands one look-up over, unless its answer must not leave without a record and cannot wait for one. Never blocks and
    /// never fails, and allocates only where the answer waits: where the ring is full, the look-up is counted by rule and
    /// verdict, so that sums stay exact.
    pub fn record(&self, attempt: Attempt) -> Handed {
        match self.exchange.durable.leave(&attempt) {
            Leave::AtOnce => self.hand_over(attempt),
            Leave::Unheld => {
                self.hand_over(attempt);
                return Handed::Unheld;
            }
            Leave::Refused { unheld } => return Handed::Refused { attempt: Box::new(attempt), unheld },
            Leave::Later(ticket, awaiting) => {
                self.put(Handing { attempt, awaiting: Some(awaiting) });
                self.exchange.wake();
                return Handed::Awaited(ticket);
            }
        }
        Handed::Over
    }

    /// Hands one look-up over whose answer may leave, whatever becomes of the record.
    pub fn hand_over(&self, attempt: Attempt) {
        self.put(Handing { attempt, awaiting: None });
    }

    /// Hands over one more look-up that was answered as those before it; only where [`Recorder::takes_repeats`].
    pub fn repeat(&self, repeats: &Arc<Repeats>, reading: &Reading) {
        if !repeats.add(reading) {
            return;
        }
        if let Err((repeats, _)) = self.ring.repeats.push((Arc::clone(repeats), *reading)) {
            self.exchange.count(&repeats.snapshot, &repeats.matched, repeats.take());
        }
        self.nudge(self.ring.has_many_repeats());
    }

    /// Returns whether what was answered at once may be answered so again. While the disk takes no records, each answer is
    /// thought about anew.
    pub fn takes_repeats(&self) -> bool {
        !self.exchange.durable.is_failing()
    }

    fn put(&self, handing: Handing) {
        let Self { ring, exchange } = self;
        if let Err(Handing { attempt, awaiting }) = ring.queue.push(handing) {
            exchange.count(&attempt.snapshot, &attempt.matched, 1);
            // Behind the count, so that a commit that takes this out has counted it.
            if let Some(awaiting) = awaiting {
                exchange.counted().push(awaiting);
            }
        }
        self.nudge(ring.queue.len() * 2 >= ring.queue.capacity);
    }

    /// Wakes the writer before a ring is full, and once only.
    fn nudge(&self, has_many: bool) {
        let Self { ring, exchange } = self;
        if has_many && !ring.nudged.swap(true, Ordering::Relaxed) {
            exchange.wake();
        }
    }

    /// Waits until it is known what became of a record, and returns whether its answer may leave as it is.
    pub async fn committed(&self, ticket: &mut Ticket) -> bool {
        self.exchange.durable.may_leave(ticket).await
    }

    /// Waits until no answer waits for a record.
    pub async fn settled(&self) {
        self.exchange.durable.settled().await;
    }

    /// Returns whether the disk takes no records, and sunk names are not to be answered without.
    pub fn refuses_sinks(&self) -> bool {
        self.exchange.durable.refuses_sinks()
    }
}

/// What goes through a ring.
#[derive(Debug)]
pub(super) struct Handing {
    pub(super) attempt: Attempt,
    /// Whoever waits for the record.
    pub(super) awaiting: Option<Awaiting>,
}

/// One worker's ring.
pub(super) struct Ring {
    queue: Queue<Handing>,
    /// Repeats that are counted by the time that they are taken out, and the reading of the first.
    repeats: Queue<(Arc<Repeats>, Reading)>,
    /// Whether the writer was woken for this ring since it last emptied it.
    nudged: AtomicBool,
}

impl Ring {
    /// Hands single look-ups to `take`, at most one filling of the ring, so that a flood cannot hold the writer here.
    /// Returns whether there were any.
    pub(super) fn drain(&self, mut take: impl FnMut(Handing)) -> bool {
        self.nudged.store(false, Ordering::Relaxed);
        let mut found = false;
        for handing in std::iter::from_fn(|| self.queue.pop()).take(self.queue.capacity) {
            found = true;
            take(handing);
        }
        found
    }

    /// Does the same with repeats. The longer they are left, the more of them are one.
    pub(super) fn drain_repeats(&self, mut take: impl FnMut(&Repeats, Reading)) -> bool {
        let mut left = self.repeats.capacity;
        let mut some = Vec::with_capacity(AT_ONCE);
        let mut found = false;
        while left > 0 {
            some.extend(std::iter::from_fn(|| self.repeats.pop()).take(left.min(AT_ONCE)));
            if some.is_empty() {
                break;
            }
            found = true;
            left -= some.len();
            some.iter().for_each(|(repeats, _)| prefetch::value::<Repeats>(repeats));
            some.iter().for_each(|(repeats, _)| repeats.prefetch_name());
            some.drain(..).for_each(|(repeats, first)| take(&repeats, first));
        }
        found
    }

    /// Returns whether repeats are to be taken out before there are too many.
    pub(super) fn has_many_repeats(&self) -> bool {
        self.repeats.len() * 4 >= self.repeats.capacity * 3
    }

    fn is_empty(&self) -> bool {
        self.queue.len() + self.repeats.len() == 0
    }
}

/// What workers and the writer share.
pub(super) struct Exchange {
    rings: Mutex<Vec<Arc<Ring>>>,
    /// Counters of every policy that look-ups may still come from, oldest first.
    tallies: ArcSwap<Vec<Arc<Tally>>>,
    /// Look-ups that met a full ring under a policy without counters, by verdict.
    unattributed: [AtomicU64; Verdict::ALL.len()],
    /// Who waits for look-ups that met a full ring.
    counted: Mutex<Vec<Awaiting>>,
    writer: OnceLock<Thread>,
    pub(super) durable: Durable,
}

impl Exchange {
    pub(super) fn new(durable: Durable) -> Self {
        Self {
            rings: Mutex::default(),
            tallies: ArcSwap::default(),
            unattributed: Default::default(),
            counted: Mutex::default(),
            writer: OnceLock::new(),
            durable,
        }
    }

    pub(super) fn recorder(self: &Arc<Self>, capacity: usize) -> Recorder {
        // Twice as many, since repeats wait for longer; each takes a quarter of the memory.
        let (queue, repeats) = (Queue::new(capacity), Queue::new(2 * capacity));
        let ring = Arc::new(Ring { queue, repeats, nudged: AtomicBool::new(false) });
        self.rings.lock().expect("no holder of this lock panics").push(Arc::clone(&ring));
        Recorder { ring, exchange: Arc::clone(self) }
    }

    /// Returns the rings; forgets those whose worker is gone once they are empty.
    pub(super) fn rings(&self) -> Vec<Arc<Ring>> {
        let mut rings = self.rings.lock().expect("no holder of this lock panics");
        rings.retain(|ring| Arc::strong_count(ring) > 1 || !ring.is_empty());
        rings.clone()
    }

    fn counted(&self) -> MutexGuard<'_, Vec<Awaiting>> {
        self.counted.lock().expect("no holder of this lock panics")
    }

    /// Takes out who waits for look-ups that are only counted. To be called before the counters are read.
    pub(super) fn take_counted(&self) -> Vec<Awaiting> {
        std::mem::take(&mut *self.counted())
    }

    pub(super) fn set_writer(&self, thread: Thread) {
        let _ = self.writer.set(thread);
    }

    pub(super) fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Makes the counters of a policy, unless they are there.
    pub(super) fn install(&self, snapshot: &Arc<Snapshot>) {
        let is_known = |tallies: &[Arc<Tally>]| tallies.iter().any(|tally| Arc::ptr_eq(&tally.snapshot, snapshot));
        if is_known(&self.tallies.load()) {
            return;
        }
        let tally = Arc::new(Tally::new(Arc::clone(snapshot)));
        self.tallies.rcu(|tallies| {
            let mut tallies = Vec::clone(tallies);
            if !is_known(&tallies) {
                tallies.push(Arc::clone(&tally));
            }
            tallies
        });
    }

    fn count(&self, snapshot: &Arc<Snapshot>, matched: &Match, count: u64) {
        let tallies = self.tallies.load();
        let tally = tallies.iter().rev().find(|tally| Arc::ptr_eq(&tally.snapshot, snapshot));
        let counter = match tally.and_then(|tally| tally.counter(matched)) {
            Some(counter) => counter,
            None => &self.unattributed[matched.verdict as usize],
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Hands every count to `take` and sets the counters to nothing; forgets policies that nobody uses any more.
    pub(super) fn drain_tallies(&self, mut take: impl FnMut(&Arc<Snapshot>, Match, Keeping, u64)) {
        let tallies = self.tallies.load_full();
        let (newest, older) = match tallies.split_last() {
            Some((newest, older)) => (newest, older),
            None => return,
        };
        newest.drain(&mut take);
        let mut unused = Vec::new();
        for tally in older {
            // A look-up holds its snapshot until it is counted, so that nothing can be counted after this.
            if Arc::strong_count(&tally.snapshot) == 1 {
                std::sync::atomic::fence(Ordering::Acquire);
                unused.push(Arc::clone(tally));
            }
            tally.drain(&mut take);
        }
        if !unused.is_empty() {
            let is_unused = |tally: &Arc<Tally>| unused.iter().any(|unused| Arc::ptr_eq(unused, tally));
            self.tallies.rcu(|tallies| tallies.iter().filter(|tally| !is_unused(tally)).cloned().collect::<Vec<_>>());
        }
    }

    /// Returns the look-ups of which only the verdict is known, and sets their counters to nothing.
    pub(super) fn drain_unattributed(&self) -> Vec<(Verdict, u64)> {
        let counts =
            Verdict::ALL.map(|verdict| (verdict, self.unattributed[verdict as usize].swap(0, Ordering::Relaxed)));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// Counters by order, entry, verdict and what is kept of a look-up, for one policy.
struct Tally {
    snapshot: Arc<Snapshot>,
    counts: Box<[AtomicU64]>,
}

const CELLS: usize = Verdict::ALL.len() * Keeping::ALL.len();

impl Tally {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        let rules = snapshot.inputs().orders.len() * snapshot.entry_count();
        Self { snapshot, counts: (0..rules * CELLS).map(|_| AtomicU64::new(0)).collect() }
    }

    fn counter(&self, matched: &Match) -> Option<&AtomicU64> {
        let rule = matched.order * self.snapshot.entry_count() + matched.entry;
        let cell = matched.verdict as usize * Keeping::ALL.len() + Keeping::of(matched) as usize;
        self.counts.get(rule * CELLS + cell)
    }

    fn drain(&self, take: &mut impl FnMut(&Arc<Snapshot>, Match, Keeping, u64)) {
        for (index, counter) in self.counts.iter().enumerate() {
            // Read first: swapping would take every line of the table from the workers at each commit.
            if counter.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let count = counter.swap(0, Ordering::Relaxed);
            let (rule, cell) = (index / CELLS, index % CELLS);
            let (order, entry) = (rule / self.snapshot.entry_count(), rule % self.snapshot.entry_count());
            let keeping = Keeping::ALL[cell % Keeping::ALL.len()];
            let matched = Match {
                order,
                entry,
                verdict: Verdict::ALL[cell / Keeping::ALL.len()],
                prohibition: None,
                waiver: None,
                recorded: keeping == Keeping::Recorded,
                threat: keeping == Keeping::Threat,
            };
            take(&self.snapshot, matched, keeping, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::durable::{Durability, Fail};
    use super::super::fixtures::{AT, attempt, snapshot};
    use super::*;

    #[test]
    fn counters_of_a_policy_go_once_nobody_can_count_with_it() {
        let exchange = Arc::new(Exchange::new(Durable::new(Durability::Normal, Fail::Answer, false)));
        let recorder = exchange.recorder(1);
        let counted = || {
            let mut counted = 0;
            exchange.drain_tallies(|_, _, _, count| counted += count);
            (counted, exchange.tallies.load().len())
        };
        let old = snapshot(1);
        exchange.install(&old);
        exchange.install(&old);
        let late = attempt(&old, "192.0.2.7", "upd.vendor.example", AT);
        drop(old);
        exchange.install(&snapshot(2));
        assert_eq!(counted(), (0, 2), "a look-up still holds the old policy");
        recorder.record(late.clone());
        recorder.record(late);
        exchange.rings()[0].drain(drop);
        assert_eq!(counted(), (1, 1), "what was counted last is not lost");
        assert_eq!(counted(), (0, 1));
    }

    #[test]
    fn repeats_wait_until_there_are_many_and_are_taken_with_all_that_came_meanwhile() {
        let exchange = Arc::new(Exchange::new(Durable::new(Durability::Normal, Fail::Answer, false)));
        let (recorder, policy) = (exchange.recorder(2 * AT_ONCE), snapshot(1));
        let Attempt { reading, client, name, record_type, matched, rcode, snapshot, .. } =
            attempt(&policy, "192.0.2.7", "upd.vendor.example", AT);
        let of = || Arc::new(Repeats::new(client, (&name, record_type), (matched, rcode), Arc::clone(&snapshot)));
        let all: Vec<_> = std::iter::repeat_with(of).take(3 * AT_ONCE).collect();
        let ring = &exchange.rings()[0];
        let (last, others) = all.split_last().unwrap();
        others.iter().chain(others).for_each(|repeats| recorder.repeat(repeats, &reading));
        assert!(!ring.has_many_repeats() && !ring.drain(drop), "they are in no other's way");
        recorder.repeat(last, &reading);
        assert!(ring.has_many_repeats());
        let (mut taken, mut count) = (0, 0);
        assert!(ring.drain_repeats(|repeats, _| (taken, count) = (taken + 1, count + repeats.take())));
        assert_eq!((taken, count), (3 * AT_ONCE, 6 * AT_ONCE as u64 - 1));
        assert!(!ring.has_many_repeats() && !ring.drain_repeats(|_, _| panic!("all were taken")));
    }

    #[test]
    fn the_ring_of_a_worker_that_is_gone_is_emptied_first() {
        let exchange = Arc::new(Exchange::new(Durable::new(Durability::Normal, Fail::Answer, false)));
        let recorder = exchange.recorder(4);
        recorder.record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
        drop(recorder);
        let rings = exchange.rings();
        assert_eq!(rings.len(), 1);
        assert!(rings[0].drain(drop));
        drop(rings);
        assert!(exchange.rings().is_empty());
    }

    #[test]
    fn a_look_up_that_meets_a_full_ring_is_counted_before_whoever_waits_for_it_is_told() {
        let exchange = Arc::new(Exchange::new(Durable::new(Durability::Strict, Fail::Servfail, false)));
        let recorder = exchange.recorder(1);
        let policy = snapshot(1);
        exchange.install(&policy);
        let handed = |name: &str| recorder.record(attempt(&policy, "192.0.2.7", name, AT));
        let (first, second) = (handed("a.upd.vendor.example"), handed("b.upd.vendor.example"));
        assert!(matches!((&first, &second), (Handed::Awaited(_), Handed::Awaited(_))), "{first:?} {second:?}");
        assert_eq!(exchange.take_counted().len(), 1);
        let mut counted = 0;
        exchange.drain_tallies(|_, _, _, count| counted += count);
        exchange.rings()[0].drain(|handing| assert!(handing.awaiting.is_some_and(|awaiting| awaiting.binding)));
        assert_eq!(counted, 1);
    }
}
