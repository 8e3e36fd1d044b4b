//! The kernel's word on its own clock, by adjtimex(2), which nothing here changes.
//!
//! No safe wrapper of the libraries in use reads it, hence the unsafe code. It is sound:
//!
//! - `timex` consists of integers and arrays of integers alone, so that all bits zero is a value of it;
//! - the kernel is given the address of that value, which this function owns and nobody else can reach meanwhile; it
//!   reads and writes `size_of::<timex>()` octets there, by the definition that the C library and `libc` share, and keeps
//!   no address;
//! - `modes` is 0: the call changes nothing in the kernel, needs no privilege, and reports by its result alone.

#![allow(unsafe_code, reason = "the proof stands above; no library has a safe call that reads without setting")]

use std::io;
use std::mem::MaybeUninit;

use jiff::Timestamp;
use nix::libc;

/// What the kernel tells of the system clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The instant that the clock stands at, to the second.
    pub(super) at: Timestamp,
    /// The largest error that it may have, in microseconds. The kernel lets it grow by 500 ppm.
    pub(super) max_error: i64,
    /// Microseconds in a tick of the user's; 10 000 where nobody pulls the clock.
    pub(super) tick: i64,
}

/// Asks the kernel.
///
/// # Errors
/// Where the system refuses the call: filters for system calls often do so for those who may not set the clock.
pub(super) fn read() -> io::Result<Told> {
    // SAFETY: all bits zero is a value of a struct of integers.
    let mut timex: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
    timex.modes = 0;
    // SAFETY: the address is that of a whole `timex` which lives until the call has returned.
    let result = unsafe { libc::adjtimex(&raw mut timex) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let at = Timestamp::from_second(timex.time.tv_sec).map_err(io::Error::other)?;
    Ok(Told { at, max_error: timex.maxerror, tick: timex.tick })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[test]
    fn the_kernel_tells_the_time_that_everybody_reads_or_refuses() {
        let before = SystemClock.read().raw;
        match read() {
            Ok(told) => {
                let apart = told.at.duration_since(before).abs();
                assert!(apart < jiff::SignedDuration::from_secs(10), "{told:?} at {before}");
                assert!(told.max_error >= 0 && (9_000..=11_000).contains(&told.tick), "{told:?}");
            }
            Err(error) => assert!(error.raw_os_error().is_some(), "{error}"),
        }
    }
}
