//! Connects the parts, reloads them, stops them.

mod build;
mod folder;
mod loops;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin;
use crate::cache::Cache;
use crate::clock::{Clock, RehearsalClock, SystemClock};
use crate::config::{self, Config};
use crate::ledger::{self, Change, Ledger};
use crate::listen::{self, BindError, Limit, Listeners};
use crate::observe::Metrics;
use crate::pipeline::Pipeline;
use crate::store;
use build::Built;
use folder::Folder;

/// How long a stop waits for the answers that are under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the daemon does not start. Every variant says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Every fault of the configuration, the catalogues, the orders and the local zones.
    #[error("the configuration cannot be used:\n{}", .0.join("\n"))]
    Faults(Vec<String>),
    #[error("cannot write to the data folder {}; give it to this user, or set another data_dir", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("another Interdict works in the data folder {}; stop it, or set another data_dir", path.display())]
    Locked { path: PathBuf },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the admin address {address} is in use; set another [admin] listen, or \"\" for none")]
    AdminInUse { address: SocketAddr },
    #[error("cannot listen on the admin address {address}")]
    Admin { address: SocketAddr, source: io::Error },
    #[error("cannot open the ledger")]
    Ledger(#[source] ledger::OpenError),
    #[error("the system gives no thread, socket or signal handler")]
    System(#[source] io::Error),
}

impl StartError {
    /// Returns the exit code (sysexits.h).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Faults(_) => 78,
            Self::Unwritable { .. } | Self::Ledger(_) => 73,
            Self::Locked { .. } | Self::AdminInUse { .. } => 69,
            Self::Bind(BindError::InUse { .. } | BindError::Failed { .. }) => 69,
            Self::Bind(BindError::Refused { .. }) => 77,
            Self::Admin { .. } => 69,
            Self::System(_) => 71,
        }
    }
}

/// What the command line asks for.
pub struct Invocation<'a> {
    /// Loads the configuration; called again at each reload.
    pub load: &'a dyn Fn() -> Result<Config, Vec<config::Fault>>,
    /// The instant at which policy time starts, in a rehearsal.
    pub at: Option<Timestamp>,
    /// Shows the operator a text once everything runs.
    pub announce: &'a dyn Fn(&str),
}

impl std::fmt::Debug for Invocation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation").field("at", &self.at).finish_non_exhaustive()
    }
}

/// Runs until SIGTERM or SIGINT; reloads at SIGHUP.
///
/// # Errors
/// Where it cannot start; nothing is left bound then.
pub fn run(config: Config, invocation: &Invocation<'_>) -> Result<(), StartError> {
    let clock: Arc<dyn Clock> = match invocation.at {
        Some(at) => Arc::new(RehearsalClock::starting_at(at)),
        None => Arc::new(SystemClock),
    };
    let built = build::build(&config, 1, &clock).map_err(StartError::Faults)?;
    let folder = Folder::open(&config.data_dir, clock.is_rehearsal())?;
    raise_descriptor_limit();
    let bound = listen::bind(&config.listen.dns, NonZeroUsize::new(config.listen.workers.into()))?;
    let admin = config.admin.listen.map(bind_admin).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::System)?;

    folder.activate(&built.archive)?;
    let metrics = Arc::new(Metrics::new());
    let ledger = Ledger::open(folder.ledger_settings(&config.ledger), Arc::clone(&clock));
    let ledger = Arc::new(ledger.map_err(StartError::Ledger)?);
    let follower = store::follow(folder.journal(), folder.index()).map_err(StartError::System)?;
    let announcement = announcement(&config, &built, &folder, &clock);
    ledger.install(&built.state.snapshot);
    ledger.change(Change::started(built.state.snapshot.digest()));
    let cache = Cache::new(config.cache.size);
    let pipeline = Arc::new(Pipeline::new(built.state, cache, Arc::clone(&clock), Arc::clone(&metrics)));
    let limit = limit(&config);
    let listeners = Listeners::start(bound, &pipeline, &metrics, limit, runtime.handle(), || ledger.recorder())
        .map_err(StartError::System)?;
    let daemon = Daemon { config, clock, folder, metrics, ledger, pipeline };
    let stopped = runtime.block_on(daemon.serve(admin, invocation, &announcement));
    let left = runtime.block_on(listeners.stop(PATIENCE));
    if left > 0 {
        tracing::warn!(queries = left, "stopped before these were answered");
    }
    daemon.ledger.change(Change::stopped());
    drop(daemon.pipeline);
    runtime.shutdown_timeout(Duration::from_millis(100));
    daemon.ledger.close();
    follower.stop();
    stopped.map_err(StartError::System)
}
