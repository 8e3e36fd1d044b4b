//! Records to other systems: each export follows the journal on a thread of its own, from a position that it keeps.
//!
//! A record counts as exported once its receiver has taken it, and the position is kept after that, so that a record may
//! come twice and never not at all. What the journal has removed before is told, with its numbers. Nothing here is ever
//! waited for by an answer or a commit.

mod event;
mod flow;
mod format;
mod once;
mod place;
mod sink;
mod status;
mod to;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use event::{Clients, Origin};
pub use format::{Encoding, Text};
pub use once::{Once, OnceError, Period, once};
pub use sink::SetUpError;
pub use status::{Report, Status};
pub use to::{KINDS, To, Unusable};

use crate::clock::monotonic;
use crate::ledger::Follower;
use crate::observe::Metrics;
use flow::Flow;

/// One receiver of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// What the operator calls it; its position is kept under this name.
    pub name: String,
    pub to: To,
    /// How a record is written, where the kind of receiver leaves that open.
    pub text: Text,
    pub clients: Clients,
    pub begin: Begin,
    /// The certificates that a TLS server is trusted by, in PEM; those of Mozilla where there is none.
    pub ca: Option<PathBuf>,
    /// A file whose first line is the value of the header `Authorization`.
    pub authorization: Option<PathBuf>,
}

/// Where an export begins that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest record that the journal has.
    Oldest,
    /// With what is recorded from then on.
    Now,
}

/// The journal that is exported from.
#[derive(Clone)]
pub struct Source {
    /// The folder of the journal.
    pub journal: PathBuf,
    /// The folder of the key ring.
    pub keys: PathBuf,
    /// The folder that positions are kept in.
    pub positions: PathBuf,
    /// Returns how many leaves are durable; what is not, is not exported.
    pub durable: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Returns the name of the log that is written to; none before it was made.
    pub log: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("journal", &self.journal).finish_non_exhaustive()
    }
}

/// How long a stop waits for receivers to take what is left.
const PATIENCE: Duration = Duration::from_secs(3);

/// The exports that run, until stopped or dropped.
#[derive(Debug, Default)]
pub struct Exports {
    running: Vec<(Arc<Status>, Follower)>,
}

impl Exports {
    /// Starts an export for each receiver.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(receivers: &[Receiver], source: &Source, metrics: &Metrics) -> io::Result<Self> {
        let mut running = Vec::new();
        for receiver in receivers {
            let status = Arc::new(Status::new(&receiver.name, metrics.export(&receiver.name)));
            let mut flow = Flow::new(receiver.clone(), source.clone(), Arc::clone(&status));
            let name = format!("export {}", receiver.name);
            running.push((status, Follower::start(&name, move |stopping| flow.round(stopping))?));
        }
        Ok(Self { running })
    }

    /// Returns how each export is doing.
    pub fn statuses(&self) -> Vec<Arc<Status>> {
        self.running.iter().map(|(status, _)| Arc::clone(status)).collect()
    }

    /// Exports what is left, and ends. Whoever does not take it in time gets it after the next start.
    pub fn stop(self) {
        self.running.iter().for_each(|(_, follower)| follower.ask_to_stop());
        let begun = monotonic();
        for (status, follower) in self.running {
            if !follower.stop_within(PATIENCE.saturating_sub(begun.elapsed())) {
                tracing::warn!(
                    export = status.name(),
                    "stopped before its receiver took everything; it gets the rest later"
                );
            }
        }
    }
}

/// Returns what the operator should know of a receiver, though it is no fault.
pub fn note(receiver: &Receiver) -> Option<String> {
    let local = match &receiver.to {
        To::Stdout | To::File(_) | To::DnstapUnix(_) => true,
        To::SyslogUdp(host) | To::SyslogTcp(host) | To::SyslogTls(host) | To::DnstapTcp(host) => host.is_loopback(),
        To::Http(url) | To::Otlp(url) => url.host_str().is_some_and(to::is_loopback),
    };
    let open = receiver.clients == Clients::Plain && !local && !receiver.to.is_tls();
    open.then(|| format!("export {}: addresses of clients leave in clear, and over no TLS", receiver.name))
}

/// Checks what a receiver needs beside the journal: certificates and credentials.
///
/// # Errors
/// Where they cannot be used.
pub fn check(receiver: &Receiver) -> Result<(), SetUpError> {
    sink::open(receiver).map(drop)
}

#[cfg(test)]
mod tests;
