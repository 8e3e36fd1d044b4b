//! Connects the parts, reloads them, stops them.

mod archives;
mod background;
mod bucket;
mod build;
mod cached;
mod candidate;
mod certificates;
mod command;
mod devices;
mod exports;
mod fetching;
mod files;
pub mod folder;
mod health;
mod keeping;
mod limit;
mod lists;
mod loops;
mod notices;
mod reload;
mod sandbox;
mod saved;
mod service;
mod signals;
pub mod space;
mod standing;
mod start;
mod waivers;
mod watch;
mod welcome;
mod witnesses;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::admin;
use crate::cache::Cache;
use crate::clock::{Clock, GuardedClock, RehearsalClock, SystemClock, Trust};
use crate::config::{self, Config, ControlSocket};
use crate::control::{self, Call, Kept, Register};
use crate::export;
use crate::feed::{self, Archive};
use crate::identify::Identifier;
use crate::ledger::{self, Change, Ledger};
use crate::listen::{self, BindError, Given, Listeners, Turns};
use crate::observe::{Metrics, counted};
use crate::pipeline::Pipeline;
use crate::policy::Snapshot;
use crate::resolve::Servers;
use crate::store;
use archives::Archives;
use background::Background;
pub use build::leads_here;
pub use candidate::Candidate;
use fetching::{Fetching, Statuses};
use files::Files;
use folder::Folder;
pub use lists::{CheckedList, told};
use notices::Notices;
use sandbox::Sandbox;
use signals::Signals;
use space::Space;
use standing::Standing;
pub use start::StartError;
use waivers::Waivers;
use welcome::announcement;
use witnesses::Witnesses;

/// How long a stop waits for the answers that are under way.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a change waits for its record to be on disk.
const RECORD_TIME: Duration = Duration::from_secs(5);
/// How often a policy is archived again that found no room on the disk.
const ARCHIVE_AGAIN: Duration = Duration::from_secs(5);

/// What the command line asks for.
pub struct Invocation<'a> {
    /// Loads the configuration; called again at each reload.
    pub load: &'a dyn Fn() -> Result<Config, Vec<config::Fault>>,
    /// The instant at which policy time starts, in a rehearsal.
    pub at: Option<Timestamp>,
    /// The configuration file, if there is one.
    pub file: Option<&'a Path>,
    /// Shows the operator a text once everything runs.
    pub announce: &'a dyn Fn(&str),
}

impl std::fmt::Debug for Invocation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invocation").field("at", &self.at).finish_non_exhaustive()
    }
}

/// What a configuration comes to that can be used.
#[derive(Debug)]
pub struct Checked {
    pub snapshot: Arc<Snapshot>,
    pub lists: Vec<CheckedList>,
    /// The candidate that would decide beside it, where one is named.
    pub candidate: Option<Candidate>,
    /// What the operator should know of, though it is no fault.
    pub notes: Vec<String>,
}

/// Says how much a policy comprises.
pub fn extent(snapshot: &Snapshot) -> String {
    let orders = counted(snapshot.inputs().orders.len(), "order", "orders");
    format!("{orders} over {}", counted(snapshot.entry_count(), "entry", "entries"))
}

/// Builds everything that [`run`] would, and binds nothing.
///
/// # Errors
/// Every fault of catalogues, orders, local zones and upstreams.
pub fn check(config: &Config) -> Result<Checked, Vec<String>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let built = build::build(config, 1, &clock, (&Kept::default(), &Servers::default()));
    // What is wrong with one part is told beside what is wrong with another.
    let snapshot = built.as_ref().ok().map(|built| Arc::clone(&built.state.snapshot));
    let lists = lists::check(config, &config.data_dir, snapshot.as_deref(), clock.read().at);
    let exports = exports::check(config);
    let notices = notices::check(config, &clock);
    match (built, lists, exports, notices) {
        (Ok(built), Ok(lists), Ok(()), Ok(_)) => {
            Ok(Checked { snapshot: built.state.snapshot, candidate: built.candidate, lists, notes: built.notes })
        }
        (built, lists, exports, notices) => {
            let faults = [built.err(), lists.err(), exports.err(), notices.err()];
            Err(faults.into_iter().flatten().flatten().collect())
        }
    }
}

/// Runs until SIGTERM or SIGINT; reloads at SIGHUP.
///
/// # Errors
/// Where it cannot start; nothing is left bound then.
pub fn run(config: Config, invocation: &Invocation<'_>) -> Result<(), StartError> {
    // A rehearsal neither needs the guard nor may it teach it an instant.
    let (clock, guard): (Arc<dyn Clock>, _) = match invocation.at {
        Some(at) => (Arc::new(RehearsalClock::starting_at(at)), None),
        None => {
            let guard = Arc::new(GuardedClock::system());
            (Arc::clone(&guard) as Arc<dyn Clock>, Some(guard))
        }
    };
    // What faults a configuration has is told before anything is written.
    let mut built =
        build::build(&config, 1, &clock, (&Kept::default(), &Servers::default())).map_err(StartError::Faults)?;
    exports::check(&config).map_err(StartError::Faults)?;
    let channels = notices::check(&config, &clock).map_err(StartError::Faults)?;
    if config.daemon.sandbox {
        folder::refuse_foreign(&config.data_dir)?;
    }
    let folder = Folder::open(&config.data_dir, clock.is_rehearsal())?;
    if let Some((found, known)) = control::newer(&folder.waivers()) {
        return Err(StartError::Newer { path: folder.waivers(), found, known });
    }
    let mut waivers = Waivers::new(Register::open(&folder.waivers()), &config.control);
    if waivers.register.kept().granted().next().is_some() {
        built = build::build(&config, 1, &clock, (waivers.register.kept(), &Servers::default()))
            .map_err(StartError::Faults)?;
    }
    if let Some(start) = invocation.at {
        folder.rehearse(start, clock.read().boot)?;
    }
    if let Some(guard) = &guard {
        guard.take_over(&folder.clock(), feed::reviewed());
    }
    limit::raise_descriptors();
    sandbox::raise_binding();
    let given = Given::take().map_err(|source| BindError::Given { source })?;
    let addresses = given.addresses(&config.listen.dns);
    let bound = listen::bind(&config.listen.dns, given, NonZeroUsize::new(config.listen.workers.into()))?;
    let admin = config.admin.listen.map(bind_admin).transpose()?;
    let control = control_path(&config, &folder, clock.is_rehearsal());
    let commands = control.as_deref().map(control::bind).transpose()?;
    let sandbox = Sandbox::enter(&config, invocation.file);
    built.notes.extend(sandbox.notes.iter().cloned());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::System)?;

    // Before anything that takes long, and that an end must not cut off.
    let signals = runtime.block_on(async { Signals::take() }).map_err(StartError::System)?;
    let last = folder.last_policy();
    let mut standing = Standing { candidate: built.candidate.clone(), ..Standing::new(&folder, &built.archive)? };
    let metrics = Arc::new(Metrics::new());
    (built.state.lists, standing.lists) = lists::load(&config, folder.root(), 1, &metrics);
    metrics.started(clock.read().raw.as_duration().as_secs_f64());
    let mut settings = folder.ledger_settings(&config.ledger, clock.is_rehearsal());
    let totals = Arc::clone(&metrics);
    settings.totals = Some(Arc::new(move || totals.totals()));
    let journal = settings.journal();
    let ledger = Arc::new(Ledger::open(settings, Arc::clone(&clock)).map_err(StartError::Ledger)?);
    waivers.look(&journal).map_err(StartError::System)?;
    let exports = exports::start(&config, &folder, &journal, (&ledger, &metrics)).map_err(StartError::System)?;
    let follower = store::follow(&journal, folder.index()).map_err(StartError::System)?;
    let announcement = announcement(&config, &addresses, &built, &folder, &clock);
    waivers.take(&mut built);
    let keeper = guard.as_ref().map(GuardedClock::keep).transpose().map_err(StartError::System)?;
    ledger.install(&built.state.snapshot);
    ledger.change(Change::started(built.state.snapshot.digest()));
    waivers.catch_up(&ledger, &journal);
    let before = last.map(|archive| archive.operator().waivers.clone()).unwrap_or_default();
    waivers.tell(&ledger, &before, &built.archive, &clock.read());
    standing.name(&folder, &built.archive, &ledger);
    let identifier = identifier(&config, &built, &clock, &metrics).map_err(StartError::System)?;
    let cache = Cache::new(config.cache.size);
    let pipeline = Arc::new(Pipeline::new(built.state, cache, Arc::clone(&clock), Arc::clone(&metrics)));
    let limit = limit::of(&config);
    let listeners = Listeners::start(bound, &pipeline, &metrics, limit, runtime.handle(), || ledger.recorder())
        .map_err(StartError::System)?;
    // Before anybody can ask for it.
    let standing = Arc::new(Mutex::new(Standing { waivers: waivers.tally(&clock.read()), ..standing }));
    let background = Background::start(folder.root().to_owned(), Arc::clone(&metrics)).map_err(StartError::System)?;
    let mut work = Work::new(config.clone(), built.archive, waivers, background);
    let fetches = Statuses::default();
    let files = Files::new(invocation.file, &config);
    let space = Space::new(folder.root(), config.ledger.max_size);
    let daemon = Daemon {
        config,
        clock,
        guard,
        folder,
        metrics,
        ledger,
        identifier,
        pipeline,
        standing,
        fetches,
        exports: exports.statuses(),
        sandbox,
        turns: listeners.turns(),
        witnesses: Witnesses::default(),
        notices: Notices::default(),
        space,
        files,
    };
    let served = runtime.block_on(async {
        let (folder, runner) = (daemon.folder.root(), work.background.runner());
        saved::take_up(&daemon.pipeline, folder, (daemon.saves(), daemon.config.cache.size), runner);
        daemon.fetch(&mut work, &built.tls);
        daemon.witness(&built.tls);
        daemon.notify(channels);
        daemon.publish(&built.tls)?;
        daemon.serve(&mut work, (admin, commands), signals, invocation, &announcement).await
    });
    service::stopping();
    if let Some(path) = control {
        // One that stays is replaced at the next start.
        let _ = std::fs::remove_file(path);
    }
    let left = runtime.block_on(listeners.stop(PATIENCE));
    if left > 0 {
        tracing::warn!(queries = left, "stopped before these were answered");
    }
    daemon.ledger.change(Change::stopped());
    runtime.shutdown_timeout(Duration::from_millis(100));
    daemon.identifier.stop();
    daemon.ledger.close();
    if daemon.saves() {
        saved::save(&daemon.pipeline, daemon.folder.root());
    }
    // Behind the last commit, so that the last records are taken along.
    exports.stop();
    follower.stop();
    if let Some(keeper) = keeper {
        keeper.stop();
    }
    tracing::info!("stopped");
    served.map_err(StartError::System)
}

/// Starts to find out who the clients are.
fn identifier(
    config: &Config,
    built: &build::Built,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> io::Result<Arc<Identifier>> {
    let (sources, clients) = (config.client.sources.clone(), Arc::clone(&built.state.clients));
    Identifier::start(sources, clients, Arc::clone(clock), Arc::clone(metrics)).map(Arc::new)
}

/// The parts that run.
struct Daemon {
    config: Config,
    clock: Arc<dyn Clock>,
    /// None in a rehearsal.
    guard: Option<Arc<GuardedClock>>,
    folder: Folder,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
    identifier: Arc<Identifier>,
    pipeline: Arc<Pipeline>,
    standing: Arc<Mutex<Standing>>,
    fetches: Statuses,
    exports: Vec<Arc<export::Status>>,
    sandbox: Sandbox,
    turns: Turns,
    witnesses: Witnesses,
    notices: Notices,
    space: Space,
    files: Files,
}

/// What reloads, commands and the passing of time work on, one after the other.
struct Work {
    /// The number of the last snapshot.
    number: u64,
    /// The configuration that was accepted last.
    config: Config,
    /// The policy in use.
    archive: Archive,
    waivers: Waivers,
    fetching: Fetching,
    /// What came of fetching, one file after the other.
    fetched: mpsc::Receiver<fetching::Event>,
    /// What loads the lists.
    background: Background,
    /// What is known of archived policies.
    archives: Archives,
    trust: Option<Trust>,
    /// Up to when waivers were looked at.
    lapsed: Option<Timestamp>,
    /// When the next try is due to put lapsed waivers away, in time since boot.
    next_lapse: Duration,
    /// When it was last told in the log that nothing is enforced, in time since boot.
    reminded: Duration,
    /// Whether it was told in the log that the data folder is another one.
    told_of_folder: bool,
}

impl Work {
    fn new(config: Config, archive: Archive, waivers: Waivers, background: Background) -> Self {
        let (next_lapse, reminded) = (Duration::ZERO, Duration::ZERO);
        let (fetching, fetched) = Fetching::new(background.runner());
        let (trust, lapsed, archives) = (None, None, Archives::default());
        Self {
            number: 1,
            config,
            archive,
            waivers,
            fetching,
            fetched,
            background,
            archives,
            trust,
            lapsed,
            next_lapse,
            reminded,
            told_of_folder: false,
        }
    }
}

impl Daemon {
    /// Serves until a signal says to stop.
    async fn serve(
        &self,
        work: &mut Work,
        (admin, commands): (Option<std::net::TcpListener>, Option<std::os::unix::net::UnixListener>),
        Signals { mut hangup, mut terminate, mut interrupt, mut moved }: Signals,
        invocation: &Invocation<'_>,
        announcement: &str,
    ) -> io::Result<()> {
        if let Some(listener) = admin {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(admin::serve(listener, self.admin_state()));
        }
        // The sender is held, so that nobody to take commands is not taken for their end.
        let (calls, mut called) = mpsc::channel::<Call>(1);
        if let Some(listener) = commands {
            tokio::spawn(control::serve(tokio::net::UnixListener::from_std(listener)?, calls.clone()));
        }
        let (replaced, mut changed) = mpsc::channel(1);
        if self.config.daemon.reload_on_change {
            tokio::spawn(self.files.clone().watch(replaced.clone()));
        }
        tokio::spawn(loops::look(Arc::clone(&self.pipeline)));
        tokio::spawn(loops::check_upstreams(Arc::clone(&self.pipeline)));
        tokio::spawn(Arc::clone(&self.pipeline).renew());
        self.watch(work);
        tokio::spawn(loops::name_clients(Arc::clone(&self.pipeline), Arc::clone(&self.identifier)));
        tokio::spawn(self.space.clone().watch());
        tokio::spawn(service::feed(self.turns.clone()));
        (invocation.announce)(announcement);
        service::ready(&service::status(&self.pipeline.moment().state.snapshot));
        let mut passing = tokio::time::interval(watch::PACE);
        let mut again = tokio::time::interval(ARCHIVE_AGAIN);
        loop {
            tokio::select! {
                _ = again.tick() => self.archive_again(),
                _ = passing.tick() => self.watch(work),
                Some(call) = called.recv() => self.carry_out(work, call),
                Some(loaded) = work.background.loaded.recv() => self.take_lists(work, loaded),
                Some(event) = work.fetched.recv() => self.take(work, event),
                _ = hangup.recv() => self.reload(work, invocation, reload::HANGUP),
                Some(file) = changed.recv() => self.reload(work, invocation, &format!("file {}", file.display())),
                _ = moved.recv() => self.exports.iter().for_each(|export| export.reopen()),
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    }

    /// Returns whether kept answers outlive a restart; not in a rehearsal, whose time is another.
    fn saves(&self) -> bool {
        self.config.cache.save && !self.clock.is_rehearsal()
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().expect("no holder of this lock panics")
    }

    /// Archives the policy in use and names it, where the disk took it or its records not before.
    fn archive_again(&self) {
        // Not under the lock: whoever asks for health must not wait for a disk that hangs.
        let unarchived = self.standing().unarchived.clone();
        let recorded = || self.ledger.health().state == ledger::State::Writing && self.ledger.flush(RECORD_TIME);
        if unarchived.is_some_and(|archive| recorded() && self.folder.activate(&archive).is_ok()) {
            self.standing().unarchived = None;
            tracing::info!("the policy is archived now");
        }
    }
}

/// Returns where commands are taken. A rehearsal takes them beside its records, so that none is meant for the real thing.
fn control_path(config: &Config, folder: &Folder, rehearsal: bool) -> Option<PathBuf> {
    match &config.control.listen {
        ControlSocket::Off => None,
        ControlSocket::At(path) if !rehearsal => Some(path.clone()),
        ControlSocket::InDataFolder | ControlSocket::At(_) => Some(folder.root().join(folder::CONTROL)),
    }
}

fn bind_admin(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AdminInUse { address },
        io::ErrorKind::PermissionDenied => StartError::AdminRefused { address },
        _ => StartError::Admin { address, source },
    })
}
