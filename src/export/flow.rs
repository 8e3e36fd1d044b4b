//! One export at work: from the journal to its receiver, and the position behind what that has taken.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::event::{Event, Origin};
use super::place::{Keeper, Place};
use super::sink::{self, SendError, SetUpError, Sink};
use super::status::Status;
use super::{Begin, Receiver, Source};
use crate::clock::monotonic;
use crate::ledger::{self, KeyError, KeyRing, Position, ReadError, Reader, is_same_journal, segments};

/// How often the journal is looked at.
const PERIOD: Duration = Duration::from_millis(300);
/// How many events are handed over at once.
const BATCH: usize = 500;
/// How large the lines are together that are handed over at once, in octets.
const BATCH_OCTETS: usize = 1 << 20;
/// How many events may be on their way without the receiver having said that it has them, and for how long.
const UNCONFIRMED: u64 = 10_000;
const UNCONFIRMED_TIME: Duration = Duration::from_secs(10);
/// A receiver is asked whether it has everything once nothing new came for so long.
const IDLE: Duration = Duration::from_secs(1);
/// How long is waited after the first failure, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why nothing was exported for now.
#[derive(Debug, thiserror::Error)]
enum FlowError {
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("cannot read the journal")]
    Journal(#[source] ReadError),
    #[error("cannot decrypt clients")]
    Keys(#[source] KeyError),
    #[error("cannot keep the position")]
    Position(#[source] io::Error),
}

/// One export.
pub(super) struct Flow {
    receiver: Receiver,
    pub(super) source: Source,
    status: Arc<Status>,
    keeper: Keeper,
    sink: Option<Box<dyn Sink>>,
    reader: Option<Reader>,
    /// Up to where the receiver has taken records; none before the first look.
    taken: Option<Place>,
    /// Whether that is on disk.
    kept: bool,
    sent: Sent,
    failures: u32,
}

/// What was sent, and is not known to be taken.
#[derive(Debug, Default)]
struct Sent {
    events: u64,
    missed: u64,
    /// When the first and the last was sent.
    since: Option<(Instant, Instant)>,
}

impl Flow {
    pub(super) fn new(receiver: Receiver, source: Source, status: Arc<Status>) -> Self {
        let keeper = Keeper::new(&source.positions, &receiver.name);
        let (sink, reader, taken) = (None, None, None);
        Self { receiver, source, status, keeper, sink, reader, taken, kept: true, sent: Sent::default(), failures: 0 }
    }

    /// Does what there is to do, and returns how long to wait before the next time.
    pub(super) fn round(&mut self, stopping: bool) -> Duration {
        let worked = self.work(stopping);
        let next = self.taken.as_ref().map_or(0, |place| place.next);
        self.status.is_behind((self.source.durable)().saturating_sub(next));
        match worked {
            Ok(wait) => wait,
            Err(error) => {
                self.status.failed(chain(&error));
                // Everything since the last confirmation is sent again.
                (self.sink, self.reader, self.sent) = (None, None, Sent::default());
                self.failures = self.failures.saturating_add(1);
                back_off(self.failures)
            }
        }
    }

    fn work(&mut self, stopping: bool) -> Result<Duration, FlowError> {
        if self.status.takes_reopening()
            && let Some(sink) = &mut self.sink
        {
            sink.reopen();
        }
        // Without its log, nothing names a record for good. That it cannot be made is told by the health of the ledger.
        let Some(log) = (self.source.log)() else { return Ok(PERIOD) };
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.begin()?,
        };
        let (events, seen) = self.read(&mut reader)?;
        let has_more = !events.is_empty();
        if has_more {
            let origin = Origin::here(Some(log));
            let sink = match &mut self.sink {
                Some(sink) => sink,
                None => self.sink.insert(sink::open(&self.receiver)?),
            };
            sink.send(&events, &origin)?;
            let now = monotonic();
            self.sent.events += events.len() as u64;
            self.sent.missed += events.iter().filter_map(Event::missed_leaves).sum::<u64>();
            self.sent.since = Some((self.sent.since.map_or(now, |(first, _)| first), now));
        }
        if self.is_due(stopping && !has_more) {
            self.confirm(&reader)?;
        }
        self.reader = Some(reader);
        Ok(if seen { Duration::ZERO } else { PERIOD })
    }

    /// Opens the journal at the position, or where an export begins that has none.
    fn begin(&mut self) -> Result<Reader, FlowError> {
        let journal = &self.source.journal;
        if self.taken.is_none() {
            self.taken = self.keeper.read().map_err(FlowError::Position)?;
            self.kept = self.taken.is_some();
        }
        let opened = |source| FlowError::Journal(ReadError::Open { path: journal.clone(), source });
        if let Some(place) = &self.taken {
            let oldest = segments(journal).map_err(opened)?.first().copied();
            if is_same_journal(journal, oldest, place.position(), &place.last).map_err(opened)? {
                return Ok(Reader::resume(journal, place.position()));
            }
            tracing::warn!(
                export = self.status.name(),
                "the journal is not the one that was exported from; all of it is exported"
            );
            self.taken = None;
            return Ok(ledger::read(journal, 0));
        }
        Ok(match self.receiver.begin {
            Begin::Oldest => ledger::read(journal, 0),
            Begin::Now => {
                let next = (self.source.durable)();
                // Behind the leaf before it is the place itself, whatever came since. It is kept at once: a start before
                // the receiver takes anything would begin later.
                let mut reader = ledger::read(journal, next.saturating_sub(1));
                if next == 0 || reader.find_map(Result::ok).is_some_and(|leaf| leaf.seq.checked_add(1) == Some(next)) {
                    let place = Place::new(Position { next, ..Reader::position(&reader) }, reader.line());
                    self.keeper.write(&place).map_err(FlowError::Position)?;
                    self.taken = Some(place);
                    self.kept = true;
                }
                ledger::read(journal, next)
            }
        })
    }

    /// Reads what is durable, a batch at most, and returns whether anything was read.
    fn read(&mut self, reader: &mut Reader) -> Result<(Vec<Event>, bool), FlowError> {
        let durable = (self.source.durable)();
        // Afresh, so that a key that was destroyed is not used from memory.
        let mut keys = KeyRing::reader(&self.source.keys);
        let (mut events, mut octets, mut seen) = (Vec::new(), 0, false);
        let mut missing: Option<(u64, u64)> = None;
        let mut unreadable = None;
        while missing.is_some()
            || (events.len() < BATCH && octets < BATCH_OCTETS && Reader::position(reader).next < durable)
        {
            match reader.next() {
                Some(Ok(leaf)) => {
                    seen = true;
                    octets += reader.line().len();
                    if let Some((first, last)) = missing.take() {
                        events.push(Event::missed(first, last, Event::instant_of(&leaf)));
                    }
                    let (event, of_client) = Event::of_leaf(leaf, self.receiver.clients, &mut keys);
                    match of_client {
                        Some(error) if may_pass(&error) => return Err(FlowError::Keys(error)),
                        // A key that is damaged stays so, and must not hold up what others have sealed.
                        Some(error) => unreadable = Some(chain(&error)),
                        None => {}
                    }
                    events.push(event);
                }
                Some(Err(ReadError::Missing { first, last, .. })) => {
                    seen = true;
                    missing = Some((first, last));
                }
                Some(Err(error @ ReadError::Line { .. })) => {
                    seen = true;
                    tracing::warn!(export = self.status.name(), %error, "the journal is damaged");
                }
                Some(Err(error @ (ReadError::Open { .. } | ReadError::Read { .. }))) => {
                    return Err(FlowError::Journal(error));
                }
                None => break,
            }
        }
        if !events.is_empty() {
            self.status.tells_clients(unreadable);
        }
        Ok((events, seen))
    }

    fn is_due(&self, at_once: bool) -> bool {
        let Some((first, last)) = self.sent.since else { return !self.kept };
        let now = monotonic();
        at_once
            || self.sink.as_ref().is_some_and(|sink| sink.is_eager())
            || self.sent.events >= UNCONFIRMED
            || now.duration_since(first) >= UNCONFIRMED_TIME
            || now.duration_since(last) >= IDLE
    }

    /// Has the receiver say that it has everything, and keeps the position behind it.
    fn confirm(&mut self, reader: &Reader) -> Result<(), FlowError> {
        if self.sent.since.is_some() {
            if let Some(sink) = &mut self.sink {
                sink.confirm()?;
            }
            let line = match (reader.line(), &self.taken) {
                ([], Some(taken)) => taken.last.clone(),
                (line, _) => line.to_vec(),
            };
            self.taken = Some(Place::new(Reader::position(reader), &line));
            self.kept = false;
            let Sent { events, missed, .. } = std::mem::take(&mut self.sent);
            self.status.taken(events);
            self.failures = 0;
            if missed > 0 {
                self.status.missed(missed);
                tracing::error!(
                    export = self.status.name(),
                    leaves = missed,
                    "leaves were gone before they were exported"
                );
            }
        }
        if let Some(place) = &self.taken
            && !self.kept
        {
            self.keeper.write(place).map_err(FlowError::Position)?;
            self.kept = true;
        }
        Ok(())
    }
}

/// Returns whether a key may be read later without anybody's doing: the system lacks something at the moment.
fn may_pass(error: &KeyError) -> bool {
    use nix::errno::Errno;
    let (KeyError::Open { source, .. } | KeyError::Read { source, .. }) = error else { return false };
    let lacks = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EAGAIN, Errno::EINTR];
    source.raw_os_error().is_some_and(|code| lacks.contains(&Errno::from_raw(code)))
}

/// Returns how long to wait after so many failures in a row: twice as long each time, and never in step with others.
fn back_off(failures: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_WAIT);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_minute_and_differ() {
        for (failures, longest) in [(1, 500), (2, 1000), (5, 8000), (9, 60_000), (u32::MAX, 60_000)] {
            let longest = Duration::from_millis(longest);
            let waits: Vec<_> = (0..50).map(|_| back_off(failures)).collect();
            assert!(waits.iter().all(|wait| *wait >= longest / 2 && *wait <= longest), "{failures}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{failures}");
        }
    }
}
