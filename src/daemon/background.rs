//! Lists are read and compiled by a thread that has a processor only while nobody else wants it: neither queries nor
//! commands wait for that. What it has loaded comes back as a message, and is swapped by one pointer.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    thread_schedule_policy,
};
use tokio::sync::{mpsc, oneshot};

use super::{Daemon, Work, lists, service};
use crate::config::Config;
use crate::lists::Chain;
use crate::observe::Metrics;
use crate::pipeline::{Lists, State};

/// How often it is looked whether lists that were replaced are still in use.
const IN_USE: Duration = Duration::from_millis(100);

/// What the thread is to do.
enum Job {
    Load {
        config: Box<Config>,
        number: u64,
    },
    /// Anything else that takes long and that nobody waits for.
    Run(Box<dyn FnOnce() + Send>),
    /// To be given back once no query is decided by them any more: unmapping large lists takes time that a worker has not.
    Retire(Arc<Lists>),
}

/// What came of loading the lists.
pub(super) struct Loaded {
    /// None where loading itself failed.
    lists: Option<Arc<Lists>>,
    faults: Vec<String>,
}

/// Where lists are given to the thread, and how many reloads wait for theirs.
pub(super) struct Background {
    jobs: Sender<Job>,
    pub(super) loaded: mpsc::UnboundedReceiver<Loaded>,
    /// How many reloads are served by the lists that are being loaded; none where nothing is.
    loading: u64,
    /// How many have come since; they are served together, by the files as they are then.
    waiting: u64,
}

impl Background {
    /// Starts the thread. It ends when this is dropped, with every runner.
    pub(super) fn start(folder: PathBuf, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (jobs, taken) = channel();
        let (done, loaded) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("lists".to_owned()).spawn(move || {
            // Told once there is something that does not give way.
            let mut untold = give_way().err();
            work(&taken, |job| match job {
                Job::Retire(lists) => Some(lists),
                Job::Run(job) => {
                    // The panic has told of itself, and whoever waits hears of it.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                    None
                }
                Job::Load { config, number } => {
                    if let Some(error) = untold.take_if(|_| !config.lists.lists.is_empty()) {
                        tracing::warn!(%error, "lists are loaded at the priority of queries: the system does not let them give way (under systemd, see lists.conf.example)");
                    }
                    let of = catch_unwind(AssertUnwindSafe(|| lists::load(&config, &folder, number, &metrics)));
                    let loaded = match of {
                        Ok((lists, faults)) => Loaded { lists: Some(lists), faults },
                        // The panic has told of itself.
                        Err(_) => Loaded { lists: None, faults: vec!["the lists could not be loaded".to_owned()] },
                    };
                    // Nobody waits for it where the daemon is stopping.
                    let _ = done.send(loaded);
                    None
                }
            });
        })?;
        Ok(Self { jobs, loaded, loading: 0, waiting: 0 })
    }

    /// Returns what gives the thread other things to do.
    pub(super) fn runner(&self) -> Runner {
        Runner(self.jobs.clone())
    }

    /// Returns whether no reload waits for its lists.
    pub(super) fn is_idle(&self) -> bool {
        self.loading == 0 && self.waiting == 0
    }

    /// Has lists given back that were replaced.
    pub(super) fn retire(&self, lists: Arc<Lists>) {
        let _ = self.jobs.send(Job::Retire(lists));
    }
}

/// Gives the thread things to do, which it does one after the other: no two of them write to the same file.
#[derive(Clone)]
pub(super) struct Runner(Sender<Job>);

impl Runner {
    /// Has something done; `None` where it panicked, or where the thread has ended.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = oneshot::channel();
        // Whoever waited for it may be gone.
        let job = Job::Run(Box::new(move || drop(done.send(job()))));
        self.0.send(job).ok()?;
        result.await.ok()
    }
}

impl Runner {
    /// Has something done that tells of itself what came of it.
    pub(super) fn start(&self, job: impl FnOnce() + Send + 'static) {
        // Where the thread has ended, the daemon is stopping.
        let _ = self.0.send(Job::Run(Box::new(job)));
    }
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { jobs: _, loaded: _, loading, waiting } = self;
        f.debug_struct("Background").field("loading", loading).field("waiting", waiting).finish_non_exhaustive()
    }
}

/// Does the jobs until nobody can send one any more. `carry_out` gives what is to be retired.
fn work(jobs: &Receiver<Job>, mut carry_out: impl FnMut(Job) -> Option<Arc<Lists>>) {
    let mut retired: Vec<Arc<Lists>> = Vec::new();
    loop {
        retired.retain(|lists| Arc::strong_count(lists) > 1);
        let wait = if retired.is_empty() { Duration::MAX } else { IN_USE };
        match jobs.recv_timeout(wait) {
            Ok(job) => retired.extend(carry_out(job)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Lets everybody else go first, at the processor and, since the kernel derives that from it, at the disk.
fn give_way() -> Result<(), thread_priority::Error> {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let done = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    // Who was started with less than others may not be given their niceness, which matters no more under this policy.
    done.or_else(|error| if thread_schedule_policy() == Ok(policy) { Ok(()) } else { Err(error) })
}

impl Daemon {
    /// Has the lists loaded for a reload whose other parts are in place.
    pub(super) fn load_lists(&self, work: &mut Work) {
        work.background.waiting += 1;
        if work.background.loading == 0 {
            self.load_next(work);
        }
        if work.background.loading > 0 {
            tracing::info!("orders and settings are in force; the lists follow");
        }
    }

    fn load_next(&self, work: &mut Work) {
        work.number += 1;
        let Work { background, config, number, .. } = work;
        background.loading = std::mem::take(&mut background.waiting);
        if config.lists.lists.is_empty() {
            let lists = Lists { chain: Chain::new(*number, Vec::new()), counters: Vec::new() };
            return self.take_lists(work, Loaded { lists: Some(Arc::new(lists)), faults: Vec::new() });
        }
        let job = Job::Load { config: Box::new(config.clone()), number: *number };
        background.jobs.send(job).expect("the thread outlives this sender, and its jobs' panics");
    }

    /// Puts the lists in place that were loaded, and counts the reloads that asked for them.
    pub(super) fn take_lists(&self, work: &mut Work, loaded: Loaded) {
        let Loaded { lists, faults } = loaded;
        if let Some(lists) = lists {
            let before = State::clone(&self.pipeline.moment().state);
            let replaced = Arc::clone(&before.lists);
            self.pipeline.install(State { lists, ..before });
            work.background.retire(replaced);
        }
        self.standing().lists = faults;
        // Whoever sees the count finds everything else in place.
        for _ in 0..std::mem::take(&mut work.background.loading) {
            self.metrics.count_reload(true);
            tracing::info!(policy = %hex::encode(work.archive.digest()), "reloaded");
        }
        if work.background.waiting > 0 {
            return self.load_next(work);
        }
        service::ready(&service::status(&self.pipeline.moment().state.snapshot));
    }
}
