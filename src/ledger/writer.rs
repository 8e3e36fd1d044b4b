//! The thread of the ledger: takes look-ups from the rings, folds them, and commits them in groups.

mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Alike, Keeping, Rule};
use super::counts::Counts;
use super::durable::Awaiting;
use super::fold::Window;
use super::inbox::{Alarm, End, Inbox, Requests};
use super::journal::{Fault, Journal, Limits, Notice, Outworn};
use super::keys::{KeyError, KeyId, KeyRing};
use super::leaf::{Body, Coverage, CoverageEvent, bounded, lasted};
use super::medium::Medium;
use super::missed::Missed;
use super::recover::Damage;
use super::ring::{Exchange, Handing};
use super::{OpenError, Settings, hold, log};
use crate::clock::{Clock, Reading, SystemClock};
use crate::policy::{Snapshot, Verdict};

/// How often a coverage leaf is written.
const MINUTE: Duration = Duration::from_secs(60);
/// How long a failing disk is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often a disk that goes on failing is told.
const REMINDER: Duration = Duration::from_secs(60);

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Journal(#[from] Fault),
}

impl CommitError {
    fn io(&self) -> Option<&io::Error> {
        self.source().and_then(|source| source.downcast_ref())
    }
}

/// What the next coverage leaf will say.
#[derive(Debug)]
struct Covered {
    from: Reading,
    /// By verdict.
    recorded: [u64; Verdict::ALL.len()],
    counted: Counts,
    threats: Counts,
    overflowed: u64,
    /// How many leaves were numbered up to the last coverage leaf.
    leaves: u64,
    policies: BTreeSet<[u8; 32]>,
    /// The policy of the look-up that was taken last since the last commit.
    last: Option<Arc<Snapshot>>,
    totals: BTreeMap<String, u64>,
}

pub(super) struct Writer {
    settings: Settings,
    clock: Arc<dyn Clock>,
    exchange: Arc<Exchange>,
    inbox: Arc<Inbox>,
    journal: Journal,
    keys: KeyRing,
    window: Window,
    covered: Covered,
    missed: Missed,
    /// Who waits for what was taken from the rings since the last commit.
    awaiting: Vec<Awaiting>,
    /// The reading of the last commit: look-ups in counters came since.
    settled: Reading,
    next_commit: Duration,
    next_coverage: Duration,
    /// The day, since 1970, on which records were last looked at for their age.
    aged: Option<i64>,
    /// The last leaf that is to go from earlier logs alone.
    gone_before: Option<u64>,
    /// When it is looked at them next.
    next_look: Duration,
    failing: Option<Failing>,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    retry: Duration,
    reminder: Duration,
}

/// What the names of totals begin with that are no outcomes of queries.
const WITHHELD: &str = "withheld_";

impl Writer {
    pub(super) fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        medium: Box<dyn Medium>,
        exchange: Arc<Exchange>,
        inbox: Arc<Inbox>,
        next: u64,
    ) -> Result<Self, OpenError> {
        let limits = Limits { segment: settings.segment, total: settings.total };
        let mut keys = KeyRing::open(&settings.keys).map_err(OpenError::Keys)?;
        let (mut journal, mut found) =
            Journal::open(&settings.journal(), limits, medium).map_err(OpenError::Journal)?;
        found.damage.extend(journal.go_on_from(next));
        if let Some(key) = found.key.as_deref().and_then(KeyId::parse) {
            let write = |source| OpenError::Keys(KeyError::Write { path: settings.keys.clone(), source });
            keys.mark_used(&key).or_else(|error| if is_full(&error) { Ok(()) } else { Err(write(error)) })?;
        }
        let reading = clock.read();
        let covered = Covered {
            from: reading,
            recorded: Default::default(),
            counted: Counts::default(),
            threats: Counts::default(),
            overflowed: 0,
            leaves: journal.durable(),
            policies: BTreeSet::new(),
            last: None,
            totals: BTreeMap::new(),
        };
        let now = pace();
        let mut writer = Self {
            window: Window::new(settings.bounds.clone()),
            covered,
            missed: Missed::default(),
            awaiting: Vec::new(),
            settled: reading,
            next_commit: now,
            next_coverage: now + MINUTE,
            aged: None,
            gone_before: None,
            next_look: now,
            failing: None,
            settings,
            clock,
            exchange,
            inbox,
            journal,
            keys,
        };
        writer.begin(reading, found.damage)?;
        Ok(writer)
    }

    /// Writes what opening has found and that coverage begins; shows at once whether the disk takes leaves.
    fn begin(&mut self, reading: Reading, damage: Vec<Damage>) -> Result<(), OpenError> {
        for Damage { reason, missing, found } in damage {
            tracing::warn!(found, "the journal is damaged");
            let mut gap = self.gap(reading, reason, found);
            (gap.first_seq, gap.last_seq) = missing.unzip();
            self.journal.append(Body::Gap(Box::new(gap)));
        }
        self.cover(CoverageEvent::Start, reading);
        match self.commit() {
            Ok(()) => {}
            Err(error) if error.io().is_some_and(is_full) => self.fail(&error, reading),
            Err(error) => {
                return Err(OpenError::Write { path: self.settings.journal(), source: Box::new(error) });
            }
        }
        self.tell_health(reading);
        Ok(())
    }

    pub(super) fn run(mut self) {
        let _alarm = Alarm(Arc::clone(&self.inbox), Arc::clone(&self.exchange), Arc::clone(&self.clock));
        // Half of the promised time is left for the fsync itself.
        let period = (self.settings.commit / 2).max(Duration::from_millis(5));
        loop {
            std::thread::park_timeout(self.next_commit.saturating_sub(pace()).min(period));
            let Requests { flushes, end } = self.inbox.requests();
            if end == Some(End::Abrupt) {
                return;
            }
            let urgent = end.is_some() || !flushes.is_empty();
            let due = urgent || pace() >= self.next_commit;
            self.drain(urgent, due);
            if due || !self.awaiting.is_empty() {
                self.next_commit = pace() + period;
                let durable = self.settle(urgent, end.is_some());
                for done in flushes {
                    // Whoever waited too long is gone.
                    let _ = done.send(durable);
                }
            }
            if end.is_some() {
                return;
            }
        }
    }

    /// Takes look-ups from the rings; all of them where it is urgent or somebody waits, else what fits before the next commit.
    /// Repeats are left until it is `due`, unless there are many.
    fn drain(&mut self, urgent: bool, due: bool) {
        let exchange = Arc::clone(&self.exchange);
        let rings = exchange.rings();
        // Under a flood the rings never become empty, so that "all" is what two rounds find.
        for round in 1_u32.. {
            let mut found = false;
            for ring in &rings {
                found |= ring.drain(|handing| self.take(handing));
                if due || !self.awaiting.is_empty() || ring.has_many_repeats() {
                    found |= ring.drain_repeats(|of, first| self.take_alike(&of.take_alike(first), false));
                }
            }
            let enough = match urgent || !self.awaiting.is_empty() {
                true => round == 2,
                false => due || pace() >= self.next_commit,
            };
            if !found || enough {
                return;
            }
        }
    }

    fn take(&mut self, Handing { attempt, awaiting }: Handing) {
        let binding = awaiting.as_ref().is_some_and(|awaiting| awaiting.binding);
        self.awaiting.extend(awaiting);
        self.take_alike(&Alike::from(&attempt), binding);
    }

    fn take_alike(&mut self, alike: &Alike, binding: bool) {
        if !self.covered.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, alike.snapshot)) {
            self.exchange.install(alike.snapshot);
            self.covered.policies.insert(*alike.snapshot.digest());
            self.covered.last = Some(Arc::clone(alike.snapshot));
        }
        let keeping = Keeping::of(alike.matched);
        if keeping == Keeping::Recorded || self.settings.store_noted {
            self.covered.recorded[alike.matched.verdict as usize] += alike.count;
            self.window.add(alike, binding);
            return;
        }
        let rule = Rule::new(alike.snapshot.number(), alike.matched);
        let counts = if keeping == Keeping::Threat { &mut self.covered.threats } else { &mut self.covered.counted };
        counts.add(alike.snapshot, rule, alike.count);
    }

    fn take_overflow(&mut self, reading: Reading) {
        let exchange = Arc::clone(&self.exchange);
        let between = [self.settled, reading];
        exchange.drain_tallies(|snapshot, matched, keeping, count| {
            self.covered.overflowed += count;
            self.inbox.told().overflowed += count;
            self.covered.policies.insert(*snapshot.digest());
            let rule = Rule::new(snapshot.number(), &matched);
            match keeping {
                Keeping::Recorded => {}
                Keeping::Counted | Keeping::Threat if self.settings.store_noted => {}
                Keeping::Counted => return self.covered.counted.add(snapshot, rule, count),
                Keeping::Threat => return self.covered.threats.add(snapshot, rule, count),
            }
            self.covered.recorded[matched.verdict as usize] += count;
            self.window.add_counted(snapshot, &matched, count, between);
        });
        for (verdict, count) in exchange.drain_unattributed() {
            self.covered.overflowed += count;
            self.inbox.told().overflowed += count;
            self.missed.add_unattributed(verdict, count, between);
        }
    }

    /// Turns everything that was taken into leaves and commits them. Returns whether nothing waits any more; whoever waits is
    /// told the same.
    fn settle(&mut self, urgent: bool, last: bool) -> bool {
        let reading = self.clock.read();
        self.awaiting.extend(self.exchange.take_counted());
        self.take_overflow(reading);
        self.write_changes(reading);
        let binding = self.write_window();
        self.covered.last = None;
        if last {
            self.cover(CoverageEvent::Stop, reading);
        } else if pace() >= self.next_coverage && self.has_room() {
            self.next_coverage = pace() + MINUTE;
            self.cover(CoverageEvent::Minute, reading);
            self.window.start_minute();
        }
        self.settled = reading;
        self.age(reading);
        self.look_before(reading);
        let due = self.failing.is_none_or(|failing| urgent || pace() >= failing.retry);
        if due {
            match self.commit() {
                Ok(()) => self.recover(reading),
                Err(error) => self.fail(&error, reading),
            }
        }
        let durable = self.journal.pending_leaves() == 0 && self.missed.is_empty();
        if durable {
            self.exchange.durable.note(false);
        }
        let awaiting = std::mem::take(&mut self.awaiting);
        let refused = awaiting.iter().filter(|awaiting| awaiting.binding).count();
        if !durable && refused > 0 {
            self.tell_servfail(reading, refused, binding);
        }
        awaiting.into_iter().for_each(|awaiting| awaiting.tell(durable));
        self.tell_health(reading);
        durable
    }

    /// Once a day, lets go what is older than it may be, and begins a segment for the day.
    fn age(&mut self, reading: Reading) {
        let day = reading.ends.as_second().div_euclid(86_400);
        let Some(keep) = self.settings.keep.filter(|_| self.aged != Some(day)) else { return };
        self.aged = Some(day);
        self.journal.part();
        if let Ok(cutoff) = reading.ends.checked_sub(keep)
            && !hold::keeps_all(&self.settings.folder)
        {
            self.journal.remove_older(cutoff);
        }
    }

    fn write_changes(&mut self, reading: Reading) {
        let (changes, lost) = self.inbox.take_changes();
        self.missed.changes += lost;
        for change in changes {
            self.covered.policies.extend(change.policy);
            // They are few, and each matters: they get as much room again as look-ups have together.
            if self.journal.pending_bytes() < 2 * self.settings.unwritten {
                let change = self.changed(reading, change);
                self.journal.append(change);
            } else {
                self.missed.changes += 1;
            }
        }
    }

    /// Lets go what earlier logs alone have, the oldest of all, where it is too old or everything together too large. The thread
    /// of the log removes it once it has read so.
    fn look_before(&mut self, reading: Reading) {
        let (last, taken) = {
            let health = self.inbox.told();
            (health.log.before, health.log.bytes)
        };
        let (first, gone) = (self.journal.first(), self.gone_before);
        // Hardly ever: the journal has what earlier logs have, unless it was lost.
        if last.is_none_or(|last| last >= first) || pace() < self.next_look || hold::keeps_all(&self.settings.folder) {
            return;
        }
        self.next_look = pace() + MINUTE;
        let cutoff = self.settings.keep.and_then(|keep| reading.ends.checked_sub(keep).ok());
        let excess = (self.journal.bytes() + taken).saturating_sub(self.settings.total);
        if let Some(log::Outworn { first, last, bytes, is_old }) =
            log::outworn(&self.settings.log(), (gone, first), cutoff, excess)
        {
            self.gone_before = Some(last);
            let why = if is_old { Outworn::Age } else { Outworn::Size };
            self.journal.note(Notice::Removed { first, last, bytes, why });
        }
    }

    /// Returns the numbers of the first and the last leaf whose answers are others where the disk does not take them.
    fn write_window(&mut self) -> Option<(u64, u64)> {
        let mut binding: Option<(u64, u64)> = None;
        for draft in self.window.take(&mut self.keys, self.settings.rehearsal) {
            if !self.has_room() {
                self.missed.add(&draft);
                continue;
            }
            let first = self.journal.next();
            self.journal.append(Body::Attempt(Box::new(draft.record)));
            if draft.binding {
                binding = Some((binding.map_or(first, |(first, _)| first), self.journal.next() - 1));
            }
        }
        binding
    }

    fn cover(&mut self, event: CoverageEvent, reading: Reading) {
        let totals = self.settings.totals.as_ref().map(|totals| totals()).unwrap_or_default();
        let before = std::mem::replace(&mut self.covered.totals, totals.clone());
        let since = |(outcome, count): (String, u64)| {
            let since = count.saturating_sub(before.get(&outcome).copied().unwrap_or_default());
            (outcome, bounded(since))
        };
        let (withheld, queries): (BTreeMap<_, _>, _) =
            totals.into_iter().map(since).partition(|(outcome, _)| outcome.starts_with(WITHHELD));
        let withheld = withheld.into_iter().filter(|(_, count)| *count > 0);
        let leaves = self.journal.durable() + self.journal.pending_leaves();
        let coverage = Coverage {
            at: reading.at,
            raw: reading.raw,
            event,
            from: self.covered.from.at,
            ends: Some(reading.ends).filter(|ends| *ends != reading.at),
            lasted_ms: lasted(&self.covered.from, &reading),
            queries,
            withheld: withheld.map(|(what, count)| (what[WITHHELD.len()..].to_owned(), count)).collect(),
            recorded: by_verdict(std::mem::take(&mut self.covered.recorded)),
            counted: self.covered.counted.take(),
            threats: self.covered.threats.take(),
            overflowed: bounded(std::mem::take(&mut self.covered.overflowed)),
            leaves: leaves - std::mem::replace(&mut self.covered.leaves, leaves),
            policies: std::mem::take(&mut self.covered.policies).iter().map(hex::encode).collect(),
            clock: self.clock.status().map(|status| status.trust.as_str().to_owned()),
            rehearsal: self.settings.rehearsal,
        };
        self.covered.from = reading;
        self.journal.append(Body::Coverage(Box::new(coverage)));
    }

    fn has_room(&self) -> bool {
        self.journal.pending_bytes() < self.settings.unwritten
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        // Leaves that are sealed with a key must not be on disk without it.
        self.keys.save()?;
        let held = hold::keeps_all(&self.settings.folder);
        let total = if held { u64::MAX } else { self.settings.total };
        let room = {
            let mut health = self.inbox.told();
            health.held = held;
            log::room_beside(&health.log, self.journal.first(), total)
        };
        self.journal.bound(room);
        self.journal.commit()?;
        Ok(())
    }
}

fn by_verdict(counts: [u64; Verdict::ALL.len()]) -> BTreeMap<String, u64> {
    let counts = Verdict::ALL.map(|verdict| (verdict.as_str().to_owned(), counts[verdict as usize]));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// The time that commits are paced by: the machine's, also where policy time stands still.
fn pace() -> Duration {
    SystemClock.read().boot
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
