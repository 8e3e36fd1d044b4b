//! What shows that a time service has set or checked the system clock.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;

/// The file that systemd-timesyncd touches whenever it has heard from its server. The kernel's own word (`adjtimex`)
/// cannot be had without unsafe code; whoever runs another service lets it touch this file.
const MARK: &str = "/run/systemd/timesync/synchronized";

/// For how long a mark counts; timesyncd asks its server at least every 34 minutes.
const FRESH: Duration = Duration::from_hours(24);

/// Returns when a time service last set or checked the system clock, by that clock.
pub(super) fn last() -> Option<Timestamp> {
    fs::metadata(MARK).ok()?.modified().ok()?.try_into().ok()
}

/// Returns whether a mark bears out what the system clock tells: one that was made before the clock was set to another
/// day does not.
pub(super) fn bears_out(mark: Timestamp, raw: Timestamp) -> bool {
    mark <= raw && raw <= super::later(mark, FRESH)
}
