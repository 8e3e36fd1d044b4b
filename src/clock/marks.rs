//! What shows that a time service has set or checked the system clock: the kernel's word, else the mark of a service.
//!
//! A time service tells the kernel how far the clock may be off whenever it has set or checked it. Whoever sets the clock
//! by hand (`settimeofday`, `clock_settime`, or a step by `adjtimex`) makes the kernel forget that: it clears its state of
//! NTP in the same step, which puts the largest error to 16 seconds and raises `STA_UNSYNC`. So a small error at a clock
//! that leapt was told after the leap, by somebody who may set the clock and says that it is right. Three things more have to
//! hold, since the word may be about something else:
//!
//! - It is about the clock that this process sees. A library in front of the C library, or a virtual machine's own ways,
//!   can show another one; the instant beside the word has to be the one that was read.
//! - Nobody is still pulling the clock across by more than 0.1 %, as a service does that trusts its servers and may not
//!   step: it calls itself synchronised all the while.
//! - The error and not the flag is asked for: chrony leaves the flag raised where the kernel shall not write the hardware
//!   clock, and the kernel raises it itself once the error has grown to 16 seconds (in about nine hours without a word).
//!
//! Where the system refuses the question, the file counts that systemd-timesyncd touches whenever its server answers.

use std::fmt;
use std::fs;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::adjtimex::{self, Told};
use super::{Clock as _, SystemClock};

/// The file that systemd-timesyncd touches; whoever runs another service under a filter of system calls lets it touch
/// this file.
const MARK: &str = "/run/systemd/timesync/synchronized";

/// For how long a mark counts; timesyncd asks its server at least every 34 minutes.
const FRESH: Duration = Duration::from_hours(24);

/// The error that stands for none known, in microseconds (`NTP_PHASE_LIMIT`).
const UNKNOWN_ERROR: i64 = 16_000_000;
/// How far the instant of the kernel's word may be from the one that was read.
const SAME: SignedDuration = SignedDuration::from_secs(3);
/// Microseconds in a tick where nobody pulls the clock, and how far a drifting crystal needs it elsewhere.
const TICK: i64 = 10_000;
const DRIFT: i64 = 10;

/// Who tells whether a time service bears the system clock out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witness {
    /// The kernel, by adjtimex(2).
    Kernel,
    /// The file that a time service touches, since the kernel was not to be asked, for this reason.
    Mark(String),
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("the kernel (adjtimex)"),
            Self::Mark(reason) => write!(f, "the age of {MARK}, because the kernel was not to be asked: {reason}"),
        }
    }
}

impl Witness {
    /// Returns who would be asked now.
    pub fn now() -> Self {
        match ask() {
            Ok(_) => Self::Kernel,
            Err(reason) => Self::Mark(reason),
        }
    }
}

/// Returns when a time service last set or checked the system clock, by that clock. Of the kernel's word it is not known
/// when it was given; it holds now.
pub(super) fn last() -> Option<Timestamp> {
    match ask() {
        Ok(told) => bears_itself_out(&told).then_some(told.at),
        Err(_) => fs::metadata(MARK).ok()?.modified().ok()?.try_into().ok(),
    }
}

/// Returns the kernel's word, or why it is of no use.
fn ask() -> Result<Told, String> {
    let told = adjtimex::read().map_err(|error| error.to_string())?;
    let raw = SystemClock.read().raw;
    if raw.duration_since(told.at).abs() > SAME {
        return Err(format!("it tells of another clock, at {:.0}", told.at));
    }
    Ok(told)
}

fn bears_itself_out(told: &Told) -> bool {
    told.max_error < UNKNOWN_ERROR && (told.tick - TICK).abs() <= DRIFT
}

/// Returns whether a mark bears out what the system clock tells: one that was made before the clock was set to another
/// day does not.
pub(super) fn bears_out(mark: Timestamp, raw: Timestamp) -> bool {
    mark <= raw && raw <= super::later(mark, FRESH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_bears_the_clock_out_where_an_error_is_known_and_nobody_pulls() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (max_error, tick, borne_out) in [
            (0, 10_000, true),
            (500_000, 9_995, true),
            (15_999_999, 10_010, true),
            // What `settimeofday` leaves behind.
            (16_000_000, 10_000, false),
            // A service that slews a clock which is years off.
            (1_000, 11_000, false),
            (1_000, 9_000, false),
        ] {
            assert_eq!(bears_itself_out(&Told { at, max_error, tick }), borne_out, "{max_error} µs, tick {tick}");
        }
    }
}
