//! The guard: policy time that a clock set back, or a leap ahead, cannot lift a prohibition by.
//!
//! What was seen so far goes on as a *line*: an instant, and the time since boot at which it was seen. Readings hold no
//! lock: they compare the system clock with the line, and note the highest instant given in one atomic number. A thread
//! moves the line along once a second and keeps it in a file.

mod acts;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;

pub use acts::{Acted, Earlier};

use super::kept::{self, Kept, ReadError};
use super::{Clock, Reading, SystemClock, later, marks};

/// How far the system clock may run ahead of what is expected before it has to be borne out.
const LEAP: Duration = Duration::from_hours(24);
/// How far the system clock may fall behind without being held up; readings of several threads cross by less.
const SLACK: Duration = Duration::from_millis(10);
/// How far the system clock has to be behind to be told so.
const TOLD: Duration = Duration::from_secs(1);
/// How often the line is moved along.
const PACE: Duration = Duration::from_secs(1);
/// After how many moves the file is written.
const MOVES: u32 = 5;

/// How far the system clock is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A time service bears it out.
    Synchronised,
    /// Nothing bears it out, and nothing speaks against it.
    Unsynchronised,
    /// It is behind the latest instant seen; policy time goes on from that instant.
    Behind,
    /// It leapt more than a day ahead, and nothing bears that out; prohibitions begin by it, and none ends.
    Ahead,
}

impl Trust {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Synchronised, Self::Unsynchronised, Self::Behind, Self::Ahead];

    /// Returns the word that health, metrics and commands use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised",
            Self::Unsynchronised => "unsynchronised",
            Self::Behind => "behind",
            Self::Ahead => "ahead",
        }
    }

    /// Returns whether the system clock is what policy decides by.
    pub const fn is_fine(self) -> bool {
        match self {
            Self::Synchronised | Self::Unsynchronised => true,
            Self::Behind | Self::Ahead => false,
        }
    }
}

/// How far the clock is trusted, and what follows for policy time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub trust: Trust,
    pub reading: Reading,
    /// The latest instant that the system clock told while it was trusted.
    pub latest: Timestamp,
    /// When a time service last set or checked the system clock, by that clock.
    pub marked: Option<Timestamp>,
    /// What is wrong with the file that the latest instant is kept in.
    pub fault: Option<String>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { at, ends, raw, boot: _ } = self.reading;
        f.write_str(self.trust.as_str())?;
        match self.trust {
            Trust::Synchronised => f.write_str(": a time service bears the system clock out")?,
            Trust::Unsynchronised => f.write_str(": no time service is seen to bear the system clock out")?,
            Trust::Behind => write!(
                f,
                ": the system clock tells {raw:.0}, earlier than it did before; policy time goes on at {at:.0}; set the \
                 clock right, or see `interdict clock reset --help`"
            )?,
            Trust::Ahead => write!(
                f,
                ": the system clock leapt to {raw:.0}, and no time service bears that out; prohibitions begin by it, and \
                 end by {ends:.0}; set the clock right, let a time service do it, or see `interdict clock accept --help`"
            )?,
        }
        self.fault.iter().try_for_each(|fault| write!(f, "; {fault}"))
    }
}

/// A clock whose policy time is guarded against the system clock being set back, and against leaps ahead.
pub struct GuardedClock {
    source: Box<dyn Clock>,
    marks: Box<dyn Fn() -> Option<Timestamp> + Send + Sync>,
    boot_id: String,
    view: ArcSwap<View>,
    keeping: Mutex<Keeping>,
    /// Held while the file is written, and taken before `keeping`.
    writing: Mutex<()>,
}

/// An instant that goes on with the time since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    at: Timestamp,
    boot: Duration,
    /// At half the pace, so that the system clock catches up without policy time ever going back.
    slow: bool,
}

/// What readings compare the system clock with.
#[derive(Debug, Clone)]
struct View {
    /// Policy time is never before this.
    line: Line,
    /// Where the clock would stand had it only run since it was last borne out; a day beyond it is a leap. Small steps
    /// ahead do not move it, so that many of them do not add up to a leap.
    expected: Line,
    /// When a time service last set or checked the system clock.
    marked: Option<Timestamp>,
    /// The highest policy instant given by a clock that had not leapt, in microseconds. A view that does not go on from
    /// the one before has another, so that a reading under way cannot carry over what the operator has taken back.
    highest: Arc<AtomicI64>,
}

/// What only the thread that moves the line needs.
#[derive(Debug)]
struct Keeping {
    /// The latest instant that the system clock told while it was trusted.
    latest: Timestamp,
    borne_out: bool,
    told: Option<Trust>,
    path: Option<PathBuf>,
    fault: Option<String>,
}

impl Line {
    const fn new(at: Timestamp, boot: Duration) -> Self {
        Self { at, boot, slow: false }
    }

    fn at(&self, boot: Duration) -> Timestamp {
        let passed = boot.saturating_sub(self.boot);
        later(self.at, if self.slow { passed / 2 } else { passed })
    }
}

impl View {
    /// Takes `raw` for right, as if nothing had been seen before.
    fn new(raw: Timestamp, boot: Duration, marked: Option<Timestamp>) -> Self {
        let line = Line::new(raw, boot);
        let highest = Arc::new(AtomicI64::new(raw.as_microsecond()));
        Self { line, expected: line, marked, highest }
    }

    fn highest(&self) -> Timestamp {
        Timestamp::from_microsecond(self.highest.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
    }

    fn is_borne_out(&self, raw: Timestamp) -> bool {
        self.marked.is_some_and(|mark| marks::bears_out(mark, raw))
    }

    fn has_leapt(&self, raw: Timestamp, boot: Duration) -> bool {
        raw > later(self.expected.at(boot), LEAP) && !self.is_borne_out(raw)
    }
}

impl GuardedClock {
    /// Guards the clock of the operating system, by what this process sees of it.
    pub fn system() -> Self {
        Self::new(Box::new(SystemClock), Box::new(marks::last), kept::boot_id())
    }

    /// Guards `source`; `marks` tells when a time service last set or checked it.
    pub(super) fn new(
        source: Box<dyn Clock>,
        marks: Box<dyn Fn() -> Option<Timestamp> + Send + Sync>,
        boot_id: String,
    ) -> Self {
        let marked = marks();
        let Reading { raw, boot, .. } = source.read();
        let view = ArcSwap::from_pointee(View::new(raw, boot, marked));
        let keeping = Keeping { latest: raw, borne_out: false, told: None, path: None, fault: None };
        Self { source, marks, boot_id, view, keeping: Mutex::new(keeping), writing: Mutex::new(()) }
    }

    /// Goes on from what the file at `path` kept, which [`Self::keep`] writes to. A file that cannot be read is told,
    /// and as if there were none.
    ///
    /// No clock that tells an instant before `floor` can be right, whatever was kept, and a first start is held to it too.
    pub fn take_over(&self, path: &Path, floor: Timestamp) {
        let mut keeping = self.lock();
        let marked = (self.marks)();
        let Reading { raw, boot, .. } = self.source.read();
        let view = View::new(raw, boot, marked);
        let (mut view, mut latest, borne_out) = match Kept::read(path) {
            Ok(Some(kept)) => {
                let line = |at, passed| Line::new(later(at, passed), boot);
                // The time since boot tells how long the daemon was stopped, unless the machine was stopped too.
                let stopped = self.since(&kept, boot);
                let passed = stopped.unwrap_or_default();
                let expected = if stopped.is_some() { kept.expected } else { kept.latest };
                let view = View { line: line(kept.latest, passed), expected: line(expected, passed), ..view };
                (view, kept.latest, kept.borne_out)
            }
            Ok(None) => (view, raw, false),
            Err(error) => {
                let fault = format!("what was kept of the clock in {} is lost: {}", path.display(), told(&error));
                tracing::error!(%fault, "an earlier clock is only noticed if it is older than the program");
                keeping.fault = Some(fault);
                (view, raw, false)
            }
        };
        if view.line.at < floor {
            view.line = Line::new(floor, boot);
            latest = latest.max(floor);
        }
        if view.expected.at < floor {
            view.expected = Line::new(floor, boot);
        }
        view.highest.store(view.line.at.as_microsecond(), Ordering::Relaxed);
        self.view.store(Arc::new(view));
        (keeping.latest, keeping.borne_out, keeping.path) = (latest, borne_out, Some(path.to_owned()));
        self.advance(&mut keeping);
    }

    fn since(&self, kept: &Kept, boot: Duration) -> Option<Duration> {
        let same = !self.boot_id.is_empty() && kept.boot == self.boot_id;
        boot.checked_sub(Duration::from_millis(kept.since_boot)).filter(|_| same)
    }

    /// Moves the line along, and keeps it in the file, until the keeper is stopped.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn keep(this: &Arc<Self>) -> io::Result<Keeper> {
        let (stop, stopped) = mpsc::channel();
        let clock = Arc::clone(this);
        let run = move || {
            let mut moves = 0;
            loop {
                clock.tick();
                if moves % MOVES == 0 {
                    clock.save();
                }
                moves += 1;
                if !matches!(stopped.recv_timeout(PACE), Err(mpsc::RecvTimeoutError::Timeout)) {
                    clock.tick();
                    clock.save();
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("clock".to_owned()).spawn(run)?;
        Ok(Keeper { stop: Some(stop), thread: Some(thread) })
    }

    /// Moves the line along by what the system clock tells now, and tells in the log where the trust in it changes.
    pub(super) fn tick(&self) {
        self.advance(&mut self.lock());
        let status = self.assess();
        let before = self.lock().told.replace(status.trust);
        if before == Some(status.trust) {
            return;
        }
        match (status.trust.is_fine(), before) {
            (false, _) => tracing::error!(state = status.trust.as_str(), "the clock is {status}"),
            (true, None | Some(Trust::Synchronised | Trust::Unsynchronised)) => {
                tracing::info!(state = status.trust.as_str(), "the clock is {status}");
            }
            (true, Some(Trust::Behind | Trust::Ahead)) => {
                tracing::warn!(state = status.trust.as_str(), "the clock is trusted again, and {status}");
            }
        }
    }

    fn advance(&self, keeping: &mut Keeping) {
        // In this order: a mark that is later than the clock bears nothing out.
        let marked = (self.marks)();
        let Reading { raw, boot, .. } = self.source.read();
        let mut view = View { marked, ..View::clone(&self.view.load()) };
        if view.is_borne_out(raw) {
            // Before a time service spoke, the first instant seen was as good as any other, and may have been far off.
            let expected = if keeping.borne_out { raw.max(view.expected.at(boot)) } else { raw };
            keeping.latest = if keeping.borne_out { keeping.latest } else { raw };
            keeping.borne_out = true;
            view.expected = Line::new(expected, boot);
        }
        // Beyond a leap there is only what stems from such a first instant.
        let bound = later(view.expected.at(boot), LEAP);
        let seen = [view.line.at(boot), view.highest()].into_iter().filter(|seen| *seen <= bound);
        let floor = seen.max().unwrap_or(raw);
        if view.highest() > bound {
            view.highest.store(floor.as_microsecond(), Ordering::Relaxed);
        }
        if view.has_leapt(raw, boot) {
            view.line = Line::new(floor, boot);
        } else if later(raw, SLACK) >= floor {
            view.line = Line::new(raw.max(floor), boot);
            keeping.latest = raw.max(keeping.latest);
        } else {
            // Once the system clock is past all that it ever told, it only has to catch up with what was added.
            view.line = Line { slow: raw >= keeping.latest, ..Line::new(floor, boot) };
        }
        self.view.store(Arc::new(view));
    }

    /// Keeps the line in the file, if there is one. The first failure is told; the next write tries again.
    pub(super) fn save(&self) {
        let _writing = self.writing.lock().expect("no holder of this lock panics");
        let keeping = self.lock();
        let Some(path) = keeping.path.clone() else { return };
        let Reading { raw, boot, .. } = self.source.read();
        let view = self.view.load();
        // While the system clock only catches up, what it told is enough: no later run has to go on from more.
        let latest = if view.line.slow { raw.max(keeping.latest) } else { view.line.at(boot) };
        let kept = Kept {
            latest,
            expected: view.expected.at(boot),
            borne_out: keeping.borne_out,
            boot: self.boot_id.clone(),
            since_boot: u64::try_from(boot.as_millis()).unwrap_or(u64::MAX),
        };
        // Whoever asks how far the clock is trusted must not wait for a disk that hangs.
        drop(keeping);
        let written = kept.write(&path);
        let mut keeping = self.lock();
        match written {
            Ok(()) => keeping.fault = None,
            Err(error) => {
                let fault = format!("the latest instant seen cannot be kept in {}: {error}", path.display());
                if keeping.fault.as_ref() != Some(&fault) {
                    tracing::error!(%fault, "a clock that is set back is not noticed after the next start");
                }
                keeping.fault = Some(fault);
            }
        }
    }

    /// Returns how far the system clock is trusted now.
    pub fn assess(&self) -> Status {
        let reading = self.read();
        let view = self.view.load();
        let trust = if view.has_leapt(reading.raw, reading.boot) {
            Trust::Ahead
        } else if reading.at > later(reading.raw, TOLD) {
            Trust::Behind
        } else if view.is_borne_out(reading.raw) {
            Trust::Synchronised
        } else {
            Trust::Unsynchronised
        };
        let keeping = self.lock();
        Status { trust, reading, latest: keeping.latest, marked: view.marked, fault: keeping.fault.clone() }
    }

    /// The system clock seems to be set back since the line was moved along: lets the line go on from the highest
    /// instant given, so that policy time does not stand still until the next move.
    #[cold]
    fn hold_up(&self) -> Reading {
        let Reading { raw, boot, .. } = self.source.read();
        if later(raw, SLACK) < self.view.load().highest() {
            self.view.rcu(|view| {
                // Read again: the view may be another by now, and an older time since boot would put its line ahead.
                let Reading { raw, boot, .. } = self.source.read();
                let highest = view.highest();
                let behind = later(raw, SLACK) < highest && view.line.at(boot) < highest;
                View { line: if behind { Line::new(highest, boot) } else { view.line }, ..View::clone(view) }
            });
        }
        let view = self.view.load();
        let at = raw.max(view.line.at(boot)).max(view.highest());
        Reading { at, ends: at, raw, boot }
    }

    fn lock(&self) -> MutexGuard<'_, Keeping> {
        self.keeping.lock().expect("no holder of this lock panics")
    }
}

impl Clock for GuardedClock {
    fn read(&self) -> Reading {
        let Reading { raw, boot, .. } = self.source.read();
        let view = self.view.load();
        let (line, highest) = (view.line.at(boot), view.highest());
        let floor = line.max(highest);
        if view.has_leapt(raw, boot) {
            return Reading { at: raw.max(floor), ends: floor, raw, boot };
        }
        let at = match later(raw, SLACK) >= floor {
            true => raw,
            false if highest > line => self.hold_up().at,
            false => floor,
        };
        // Written once in a while only: each write takes the number away from the other threads.
        if at > later(highest, SLACK / 10) {
            view.highest.fetch_max(at.as_microsecond(), Ordering::Relaxed);
        }
        Reading { at, ends: at, raw, boot }
    }

    fn status(&self) -> Option<Status> {
        Some(self.assess())
    }
}

impl fmt::Debug for GuardedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedClock").field("view", &self.view.load()).finish_non_exhaustive()
    }
}

/// The thread that moves the line along; stops when dropped.
#[derive(Debug)]
pub struct Keeper {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Keeps the latest instant once more, and ends.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was told when it happened.
            let _ = thread.join();
        }
    }
}

fn told(error: &ReadError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
