//! The time. The only module that reads a clock; everything else takes an instant as an argument.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// One reading of the clock, taken once for a batch of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The instant that policy decides by. In a rehearsal it starts at the rehearsed instant.
    pub at: Timestamp,
    /// The instant that the system clock tells.
    pub raw: Timestamp,
    /// Time since boot, suspension included; never goes back. TTLs age by it.
    pub boot: Duration,
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Reads the clock.
    fn read(&self) -> Reading;

    /// Returns whether policy time is rehearsed rather than the system's.
    fn is_rehearsal(&self) -> bool {
        false
    }
}

/// The clock of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
impl Clock for SystemClock {
    fn read(&self) -> Reading {
        let now = Timestamp::now();
        Reading { at: now, raw: now, boot: since_boot() }
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
        let elapsed = jiff::SignedDuration::try_from(elapsed).unwrap_or(jiff::SignedDuration::MAX);
        Reading { at: self.start.saturating_add(elapsed).unwrap_or(Timestamp::MAX), ..system }
    }

    fn is_rehearsal(&self) -> bool {
        true
    }
}

/// A clock that stands still until it is set: for scenarios in which time passes.
#[derive(Debug)]
pub struct ManualClock {
    reading: Mutex<Reading>,
}

impl ManualClock {
    /// Returns a clock that stands at `at`, an hour after boot.
    pub fn new(at: Timestamp) -> Self {
        Self { reading: Mutex::new(Reading { at, raw: at, boot: Duration::from_secs(3600) }) }
    }

    /// Moves all three readings on until policy time is `at`; an earlier instant moves the time since boot not at all.
    pub fn set(&self, at: Timestamp) {
        let mut reading = self.reading.lock().expect("no holder of this lock panics");
        let passed = at.duration_since(reading.at);
        reading.boot = reading.boot.saturating_add(Duration::try_from(passed).unwrap_or_default());
        reading.at = at;
        reading.raw = at;
    }
}

impl Clock for ManualClock {
    fn read(&self) -> Reading {
        *self.reading.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_moves_policy_time_only() {
        let start: Timestamp = "2024-09-29T03:59:00Z".parse().unwrap();
        let reading = RehearsalClock::starting_at(start).read();
        assert!(reading.at.duration_since(start) < jiff::SignedDuration::from_secs(60));
        assert!(reading.raw > start);
    }

    #[test]
    fn setting_a_manual_clock_back_never_turns_back_the_time_since_boot() {
        let clock = ManualClock::new("2024-01-01T00:00:00Z".parse().unwrap());
        let before = clock.read().boot;
        clock.set("2023-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(clock.read().boot, before);
    }
}
