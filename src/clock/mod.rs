//! The time. The only module that reads a clock; everything else takes an instant as an argument.

mod adjtimex;
mod guard;
mod kept;
mod marks;
#[cfg(test)]
mod tests;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

pub use guard::{Acted, Earlier, GuardedClock, Keeper, Status, Trust};
pub use marks::Witness;

/// One reading of the clock, taken once for a batch of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The instant that policy decides by. In a rehearsal it starts at the rehearsed instant.
    pub at: Timestamp,
    /// The instant by which a prohibition has to have ended to be over: never after `at`, and before it where the system
    /// clock leapt ahead and nothing bears it out.
    pub ends: Timestamp,
    /// The instant that the system clock tells.
    pub raw: Timestamp,
    /// Time since boot, suspension included; never goes back. TTLs age by it.
    pub boot: Duration,
}

impl Reading {
    /// Puts the clock to an instant, the time since boot left as it is.
    const fn put(&mut self, at: Timestamp) {
        self.at = at;
        self.ends = at;
        self.raw = at;
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Reads the clock.
    fn read(&self) -> Reading;

    /// Returns whether policy time is rehearsed rather than the system's.
    fn is_rehearsal(&self) -> bool {
        false
    }

    /// Returns how far the clock is trusted, where it is guarded.
    fn status(&self) -> Option<Status> {
        None
    }
}

/// The clock of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
impl Clock for SystemClock {
    fn read(&self) -> Reading {
        let now = Timestamp::now();
        // In this order, so that a pause between the two never makes the instant seem later than it is.
        Reading { at: now, ends: now, raw: now, boot: since_boot() }
    }
}

fn since_boot() -> Duration {
    let boot = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .expect("CLOCK_BOOTTIME exists on every Linux since 2.6.39");
    Duration::from(boot)
}

/// Returns a monotonic instant to measure waits by: deadlines and latencies. Policy never decides by it.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Returns the time of CLOCK_MONOTONIC in microseconds, by which service managers tell what came before and after.
pub fn monotonic_microseconds() -> i128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists everywhere");
    Duration::from(now).as_micros().cast_signed()
}

/// A rehearsal: policy time starts at an instant of one's choice and runs on with the time since boot.
#[derive(Debug, Clone, Copy)]
pub struct RehearsalClock {
    start: Timestamp,
    started: Duration,
}

impl RehearsalClock {
    /// Starts policy time at `start`, now.
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, started: since_boot() }
    }
}

impl Clock for RehearsalClock {
    fn read(&self) -> Reading {
        let system = SystemClock.read();
        let elapsed = system.boot.saturating_sub(self.started);
        let at = later(self.start, elapsed);
        Reading { at, ends: at, ..system }
    }

    fn is_rehearsal(&self) -> bool {
        true
    }
}

/// Returns the instant that lies `passed` after `instant`, or the last one there is.
fn later(instant: Timestamp, passed: Duration) -> Timestamp {
    let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
    instant.checked_add(passed).unwrap_or(Timestamp::MAX)
}

/// A clock that stands still until it is set: for scenarios in which time passes.
#[derive(Debug)]
pub struct ManualClock {
    reading: Mutex<Reading>,
}

impl ManualClock {
    /// Returns a clock that stands at `at`, an hour after boot.
    pub fn new(at: Timestamp) -> Self {
        Self { reading: Mutex::new(Reading { at, ends: at, raw: at, boot: Duration::from_secs(3600) }) }
    }

    /// Moves all three readings on until policy time is `at`; an earlier instant moves the time since boot not at all.
    pub fn set(&self, at: Timestamp) {
        let mut reading = self.reading.lock().expect("no holder of this lock panics");
        let passed = at.duration_since(reading.at);
        reading.boot = reading.boot.saturating_add(Duration::try_from(passed).unwrap_or_default());
        reading.put(at);
    }

    /// Lets time pass, as it does by itself.
    pub fn pass(&self, passed: Duration) {
        let mut reading = self.reading.lock().expect("no holder of this lock panics");
        reading.boot = reading.boot.saturating_add(passed);
        let at = later(reading.at, passed);
        reading.put(at);
    }

    /// Sets the clock as an operator does: no time passes, whichever way it leaps.
    pub fn leap_to(&self, at: Timestamp) {
        self.reading.lock().expect("no holder of this lock panics").put(at);
    }

    /// Starts the machine anew, with the clock at `at`.
    pub fn reboot_at(&self, at: Timestamp) {
        let mut reading = self.reading.lock().expect("no holder of this lock panics");
        reading.boot = Duration::from_secs(10);
        reading.put(at);
    }
}

impl Clock for ManualClock {
    fn read(&self) -> Reading {
        *self.reading.lock().expect("no holder of this lock panics")
    }
}
