//! The thread of the ledger: takes look-ups from the rings, folds them, and commits them in groups.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Attempt, Keeping, Rule};
use super::counts::Counts;
use super::fold::Window;
use super::inbox::{Alarm, End, Inbox, Requests};
use super::journal::{Fault, Journal, Limits, Notice, Outworn};
use super::keys::{KeyError, KeyId, KeyRing};
use super::leaf::{Act, Body, Changed, Coverage, CoverageEvent, Gap, GapReason, bounded, lasted};
use super::medium::Medium;
use super::missed::Missed;
use super::recover::Damage;
use super::ring::Exchange;
use super::{Change, Fail, OpenError, Settings, State, hold, log};
use crate::clock::{Clock, Reading, SystemClock};

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
    recorded: BTreeMap<String, u64>,
    counted: Counts,
    threats: Counts,
    overflowed: u64,
    /// How many leaves were numbered up to the last coverage leaf.
    leaves: u64,
    policies: BTreeSet<[u8; 32]>,
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
    /// The reading of the last commit: look-ups in counters came since.
    settled: Reading,
    next_commit: Duration,
    next_coverage: Duration,
    /// The day, since 1970, on which records were last looked at for their age.
    aged: Option<i64>,
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
            recorded: BTreeMap::new(),
            counted: Counts::default(),
            threats: Counts::default(),
            overflowed: 0,
            leaves: journal.durable(),
            policies: BTreeSet::new(),
            totals: BTreeMap::new(),
        };
        let now = pace();
        let mut writer = Self {
            window: Window::new(settings.bounds.clone()),
            covered,
            missed: Missed::default(),
            settled: reading,
            next_commit: now,
            next_coverage: now + MINUTE,
            aged: None,
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
            let (commit, awaited) = self.exchange.durable.begin();
            self.drain(urgent || awaited);
            if urgent || awaited || pace() >= self.next_commit {
                self.next_commit = pace() + period;
                let durable = self.settle(urgent, end.is_some());
                if durable {
                    self.exchange.durable.committed(commit);
                }
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

    /// Takes look-ups from the rings; all of them where it is urgent, else what fits before the next commit.
    fn drain(&mut self, urgent: bool) {
        let exchange = Arc::clone(&self.exchange);
        let rings = exchange.rings();
        // Under a flood the rings never become empty, so that "all" is what two rounds find.
        let rounds = if urgent { 2 } else { usize::MAX };
        for _ in 0..rounds {
            let mut found = false;
            for ring in &rings {
                found |= ring.drain(|attempt| self.take(attempt));
            }
            if !found || (!urgent && pace() >= self.next_commit) {
                return;
            }
        }
    }

    fn take(&mut self, attempt: Attempt) {
        self.exchange.install(&attempt.snapshot);
        self.covered.policies.insert(*attempt.snapshot.digest());
        let keeping = Keeping::of(&attempt.matched);
        if keeping == Keeping::Recorded || self.settings.store_noted {
            *self.covered.recorded.entry(attempt.matched.verdict.as_str().to_owned()).or_default() += 1;
            self.window.add(attempt);
            return;
        }
        let rule = Rule::new(attempt.snapshot.number(), &attempt.matched);
        let counts = if keeping == Keeping::Threat { &mut self.covered.threats } else { &mut self.covered.counted };
        counts.add(&attempt.snapshot, rule, 1);
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
            *self.covered.recorded.entry(matched.verdict.as_str().to_owned()).or_default() += count;
            self.window.add_counted(snapshot, &matched, count, between);
        });
        for (verdict, count) in exchange.drain_unattributed() {
            self.covered.overflowed += count;
            self.inbox.told().overflowed += count;
            self.missed.add_unattributed(verdict, count, between);
        }
    }

    /// Turns everything that was taken into leaves and commits them. Returns whether nothing waits any more.
    fn settle(&mut self, urgent: bool, last: bool) -> bool {
        let reading = self.clock.read();
        self.take_overflow(reading);
        self.write_changes(reading);
        self.write_window();
        if last {
            self.cover(CoverageEvent::Stop, reading);
        } else if pace() >= self.next_coverage && self.has_room() {
            self.next_coverage = pace() + MINUTE;
            self.cover(CoverageEvent::Minute, reading);
            self.window.start_minute();
        }
        self.settled = reading;
        self.age(reading);
        let due = self.failing.is_none_or(|failing| urgent || pace() >= failing.retry);
        if due {
            match self.commit() {
                Ok(()) => self.recover(reading),
                Err(error) => self.fail(&error, reading),
            }
        }
        self.tell_health(reading);
        self.journal.pending_leaves() == 0 && self.missed.is_empty()
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

    fn changed(&mut self, reading: Reading, change: Change) -> Body {
        Body::Change(Box::new(Changed::of(change, &reading, self.settings.rehearsal, &mut self.keys)))
    }

    fn write_window(&mut self) {
        for draft in self.window.take(&mut self.keys, self.settings.rehearsal) {
            if self.has_room() {
                self.journal.append(Body::Attempt(Box::new(draft.record)));
            } else {
                self.missed.add(&draft);
            }
        }
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
            recorded: std::mem::take(&mut self.covered.recorded),
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

    fn gap(&self, reading: Reading, reason: GapReason, found: String) -> Gap {
        let Reading { at, raw, .. } = reading;
        Gap {
            at,
            raw,
            reason,
            from: None,
            until: None,
            count: None,
            rules: Vec::new(),
            changes: 0,
            first_seq: None,
            last_seq: None,
            found,
            rehearsal: self.settings.rehearsal,
        }
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
            log::room_beside(&health.log, total)
        };
        self.journal.bound(room);
        self.journal.commit()?;
        Ok(())
    }

    /// Tells by leaves what was missed, and what became of segments.
    fn recover(&mut self, reading: Reading) {
        if self.failing.take().is_some() {
            tracing::info!("the journal is written again");
        }
        let notices = self.journal.take_notices();
        if notices.is_empty() && self.missed.is_empty() {
            return;
        }
        for notice in notices {
            let body = self.notice(reading, notice);
            self.journal.append(body);
        }
        if !self.missed.is_empty() {
            let Missed { mut counts, between, changes } = std::mem::take(&mut self.missed);
            let found = "the disk took no leaves or a ring was full, and memory for them was used up".to_owned();
            let gap = Gap {
                from: between.map(|(from, _)| from),
                until: between.map(|(_, until)| until),
                count: Some(bounded(counts.total())),
                rules: counts.take(),
                changes,
                ..self.gap(reading, GapReason::Unwritten, found)
            };
            self.journal.append(Body::Gap(Box::new(gap)));
        }
        if let Err(error) = self.commit() {
            self.fail(&error, reading);
        }
    }

    fn notice(&mut self, reading: Reading, notice: Notice) -> Body {
        let mut change = |act, why: String| self.changed(reading, Change::own(act, true, &why, None));
        match notice {
            Notice::Removed { first, last, bytes, why } => {
                tracing::info!(first, last, bytes, "the oldest segment of the journal was removed");
                let why = match why {
                    Outworn::Size => "the bound on the size",
                    Outworn::Age => "their age",
                };
                let why = format!("leaves {first} to {last} ({bytes} octets), for {why}");
                let mut change = change(Act::Removed, why);
                if let Body::Change(change) = &mut change {
                    (change.first_seq, change.last_seq) = (Some(first), Some(last));
                }
                change
            }
            Notice::Rewritten { first, reason } => {
                tracing::warn!(first, reason, "leaves were written again to a new segment");
                change(Act::Rewritten, format!("leaves from {first} on went to a new segment: {reason}"))
            }
            Notice::Vanished { first, last } => {
                tracing::error!(first, last, "a segment of the journal was taken away");
                let found = "the segment was taken away while the daemon was running".to_owned();
                let gap = self.gap(reading, GapReason::Missing, found);
                Body::Gap(Box::new(Gap { first_seq: Some(first), last_seq: Some(last), ..gap }))
            }
        }
    }

    fn fail(&mut self, error: &CommitError, reading: Reading) {
        let now = pace();
        let reason = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let told = self.failing.is_some_and(|failing| now < failing.reminder);
        if !told {
            match self.settings.fail {
                Fail::Answer => {
                    tracing::error!(reason, "records cannot be written; answers go on, records wait in memory");
                }
                Fail::Servfail => {
                    tracing::error!(
                        reason,
                        "records cannot be written; sunk names are answered with SERVFAIL meanwhile"
                    );
                }
            }
        }
        let reminder = match self.failing {
            Some(failing) if told => failing.reminder,
            Some(_) | None => now + REMINDER,
        };
        self.failing = Some(Failing { retry: now + RETRY, reminder });
        self.exchange.durable.failed();
        let mut health = self.inbox.told();
        let since = match &health.state {
            State::Failing { since, .. } => *since,
            State::Writing => reading.raw,
        };
        health.state = State::Failing { since, reason };
    }

    fn tell_health(&self, reading: Reading) {
        let mut health = self.inbox.told();
        if self.failing.is_none() {
            health.state = State::Writing;
            health.committed = Some(reading.raw);
        }
        health.leaves = self.journal.durable();
        health.unwritten = self.journal.pending_leaves();
        health.uncovered = self.missed.counts.total();
        health.bytes = self.journal.bytes();
    }
}

/// The time that commits are paced by: the machine's, also where policy time stands still.
fn pace() -> Duration {
    SystemClock.read().boot
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
