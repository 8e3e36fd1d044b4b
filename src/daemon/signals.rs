//! The signals that the daemon obeys. From here on none of them ends it at once: one that comes while it starts waits until
//! it serves, so that what was answered meanwhile gets its last checkpoint.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where signals come in.
#[derive(Debug)]
pub(super) struct Signals {
    /// SIGHUP: load anew.
    pub(super) hangup: Signal,
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    /// SIGUSR2: open files of exports anew.
    pub(super) moved: Signal,
}

impl Signals {
    /// Takes the signals over. To be called within the runtime.
    ///
    /// # Errors
    /// Where the system gives no handler.
    pub(super) fn take() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            moved: signal(SignalKind::user_defined2())?,
        })
    }
}
