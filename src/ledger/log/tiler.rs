//! The thread that follows the journal with the log. It takes only what the journal has made durable; where the disk
//! refuses it, it tells so and catches up later.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::found::{Found, line};
use super::{Log, LogError};
use crate::clock::{Clock, SystemClock};
use crate::ledger::inbox::{End, Inbox};
use crate::ledger::leaf::{Act, Body, Leaf};
use crate::ledger::read::{self, Position, ReadError, Reader};

/// How often the journal is looked at.
const PERIOD: Duration = Duration::from_millis(250);
/// How long a failing disk is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// How long a stop goes on catching up before it signs what it has.
const LAST: Duration = Duration::from_secs(5);
/// How many leaves are taken before what is full is written.
const BATCH: usize = 4096;

/// A thread that follows the journal, until ended.
#[derive(Debug)]
pub(in crate::ledger) struct Tiler {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Stop {
    end: Mutex<Option<End>>,
    told: Condvar,
}

/// What the log is kept by.
pub(in crate::ledger) struct Following {
    pub(in crate::ledger) journal: PathBuf,
    /// What was added is signed at most this much later.
    pub(in crate::ledger) checkpoint: Duration,
    pub(in crate::ledger) clock: Arc<dyn Clock>,
    /// Tells how far the journal is durable, and is told how the log is doing.
    pub(in crate::ledger) inbox: Arc<Inbox>,
}

impl Tiler {
    /// Starts the thread.
    pub(in crate::ledger) fn start(found: Found, following: Following) -> io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || Work::new(found, following).run(&stop)
        })?;
        Ok(Self { stop, thread })
    }

    /// Takes in what the journal has, signs it and ends the thread; an abrupt end does neither.
    pub(in crate::ledger) fn end(self, end: End) {
        *self.stop.end.lock().expect("no holder of this lock panics") = Some(end);
        self.stop.told.notify_all();
        // The log is made again from the journal at the next start, so that a panic costs nothing but a log line.
        if self.thread.join().is_err() {
            tracing::error!("the thread of the log has panicked; the log goes on at the next start");
        }
    }
}

/// Why the log falls behind.
#[derive(Debug, thiserror::Error)]
enum BehindError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Journal(#[from] ReadError),
    #[error("cannot make the journal durable: {}", path.display())]
    Sync { path: PathBuf, source: io::Error },
}

struct Work {
    following: Following,
    found: Option<Found>,
    log: Option<Log>,
    /// Where the journal is gone on with; none before it was looked at.
    position: Option<Position>,
    due: Duration,
    /// Whether everything was taken in once that was there at the start.
    caught_up: bool,
    failing: bool,
}

impl Work {
    fn new(found: Found, following: Following) -> Self {
        let (found, log) = match found {
            Found::Log(log) => (None, Some(*log)),
            fresh @ Found::Fresh { .. } => (Some(fresh), None),
        };
        let due = pace() + following.checkpoint;
        Self { following, found, log, position: None, due, caught_up: false, failing: false }
    }

    fn run(mut self, stop: &Stop) {
        let _alarm = Alarm(Arc::clone(&self.following.inbox));
        loop {
            let end = *stop.end.lock().expect("no holder of this lock panics");
            if end == Some(End::Abrupt) {
                return;
            }
            let done = self.round(end.is_some());
            self.tell(done);
            if end.is_some() {
                return;
            }
            let period = if self.failing { RETRY } else { PERIOD };
            let wanted = stop.end.lock().expect("no holder of this lock panics");
            if wanted.is_none() {
                drop(stop.told.wait_timeout(wanted, period));
            }
        }
    }

    /// Takes in what the journal has more, and signs it where that is due.
    fn round(&mut self, last: bool) -> Result<(), BehindError> {
        let durable = self.following.inbox.health().leaves;
        let until = pace() + LAST;
        let log = match &mut self.log {
            Some(log) => log,
            empty => empty.insert(make(&mut self.found)?),
        };
        let position = match &mut self.position {
            Some(position) => position,
            empty => {
                log.look_back();
                empty.insert(begin(&self.following.journal, log)?)
            }
        };
        loop {
            log.flush()?;
            let all = take(&self.following.journal, position, durable, log)?;
            if all && !std::mem::replace(&mut self.caught_up, true) {
                // A start was cut off before the leaf was durable.
                log.forget_next()?;
            }
            if all || (last && pace() > until) {
                break;
            }
        }
        log.flush()?;
        if last || log.is_rotating() || pace() >= self.due {
            log.sign(self.following.clock.read().ends)?;
            self.due = pace() + self.following.checkpoint;
        }
        Ok(())
    }

    fn tell(&mut self, done: Result<(), BehindError>) {
        let mut health = self.following.inbox.told();
        if let Some(log) = &self.log {
            let signed = log.signed().min(log.size());
            if signed != health.log.signed {
                health.log.signed_at = Some(self.following.clock.read().raw);
            }
            health.log.origin = Some(log.origin());
            health.log.rotating = log.has_next();
            (health.log.leaves, health.log.signed) = (log.size(), signed);
            (health.log.bytes, health.log.hashes) = (log.entries() + log.hashes(), log.hashes());
            (health.log.earlier, health.log.before) = (log.entries_before(), log.last_before());
        }
        match done {
            Ok(()) => {
                health.log.failing = None;
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the log is written again");
                }
            }
            Err(error) => {
                let reason = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(reason, "the log falls behind the journal; it catches up when the disk takes it");
                }
                health.log.failing = Some(reason);
            }
        }
    }
}

/// Tells by the health that the thread is gone, if it goes by a panic.
struct Alarm(Arc<Inbox>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the thread of the log has panicked; it goes on at the next start".to_owned();
            self.0.told().log.failing = Some(reason);
        }
    }
}

fn make(found: &mut Option<Found>) -> Result<Log, LogError> {
    match found {
        Some(Found::Fresh { place, number, name, why: _, next: _ }) => {
            let log = Log::create(place, *number, name)?;
            tracing::info!(origin = log.origin(), key = %log.verifier(), "a log begins");
            *found = None;
            Ok(log)
        }
        Some(Found::Log(_)) | None => unreachable!("what was found is a log, or none was made yet"),
    }
}

/// Returns the place in the journal behind the last leaf of the log. What is there may have been read from memory when the
/// program started, so it is made durable first.
fn begin(journal: &Path, log: &Log) -> Result<Position, BehindError> {
    log.trim()?;
    let from = log.last.map_or(0, |last| last + 1);
    let position = read::read(journal, from).position();
    let listed = |source| ReadError::Open { path: journal.to_owned(), source };
    for segment in read::segments(journal).map_err(listed)?.into_iter().filter(|first| *first >= position.segment) {
        let path = read::segment_path(journal, segment);
        match File::open(&path).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(|source| BehindError::Sync { path, source })?,
        }
    }
    Ok(position)
}

/// Takes in some leaves below `durable`. Returns whether those were all.
fn take(journal: &Path, position: &mut Position, durable: u64, log: &mut Log) -> Result<bool, BehindError> {
    let from = log.last.map_or(0, |last| last + 1);
    let mut reader = Reader::resume(journal, *position);
    let mut taken = 0;
    // Only leaves count: damaged lines alone would never bring the place on.
    while taken < BATCH {
        let leaf = match reader.next() {
            None => return Ok(true),
            // The index tells of damage, and so does a gap in the journal itself.
            Some(Err(ReadError::Line { .. } | ReadError::Missing { .. })) => continue,
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(leaf)) if leaf.seq >= durable => return Ok(true),
            Some(Ok(leaf)) => leaf,
        };
        if leaf.seq >= from {
            append(log, &leaf, line(&reader));
        }
        *position = reader.position();
        taken += 1;
    }
    Ok(false)
}

fn append(log: &mut Log, leaf: &Leaf, entry: &[u8]) {
    if let Err(error) = log.append(leaf.seq, entry) {
        tracing::error!(leaf = leaf.seq, %error, "a leaf cannot enter the log, and is missing there");
        return;
    }
    let Body::Change(change) = &leaf.body else { return };
    if let (Act::Removed, Some(last)) = (change.act, change.last_seq) {
        log.note_removed(last);
    }
    if let (Act::Rotate, Some(note)) = (change.act, &change.rotation) {
        log.note_rotation(note);
    }
}

/// The time that checkpoints are paced by: the machine's, also where policy time stands still.
fn pace() -> Duration {
    SystemClock.read().boot
}
