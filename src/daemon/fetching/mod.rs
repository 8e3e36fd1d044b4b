//! Fetched files: each has a task that fetches it when it is due or asked for, and tells the daemon what came of it. The
//! daemon waits for none of them.

mod lookup;
mod round;
mod take;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::{Config, Origin};
use crate::control::{Actor, Reply};
use crate::fetch::{self, Fetcher, Kept, Tls};
use crate::ledger::Ledger;
use crate::lists::{self, List};
use crate::observe::{FetchGauge, Metrics};
use crate::pipeline::Pipeline;
use lookup::OwnLookup;

/// Files that are fetched or compiled at a time: a small machine has other things to do.
const AT_A_TIME: usize = 2;
/// How long somebody who asks for a file waits for it.
const ASK_TIME: Duration = Duration::from_secs(50);

/// A fetched file that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) list: lists::Source,
}

/// What came of fetching a file, and who asked for it.
#[derive(Debug)]
pub(super) struct Event {
    name: String,
    result: Taken,
    asked: Vec<Ask>,
}

/// What came of fetching a file.
#[derive(Debug)]
enum Taken {
    /// It is as it was.
    Same,
    /// It is another, kept, and good.
    New { list: Box<List>, before: Option<u64>, digest: String },
    /// It was refused, or none came.
    Failed { reason: String, refused: bool, again: bool },
}

/// Somebody who wants a file now.
#[derive(Debug)]
struct Ask {
    by: Actor,
    done: oneshot::Sender<Result<String, String>>,
}

/// How a fetched file stands, for those who watch the daemon.
#[derive(Debug, Clone)]
struct Status {
    url: String,
    kept: Kept,
}

/// How fetched files stand, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Statuses(Arc<Mutex<BTreeMap<String, Status>>>);

/// What all tasks share.
struct Shared {
    fetcher: Fetcher,
    places: Semaphore,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    statuses: Statuses,
    events: mpsc::Sender<Event>,
}

/// The task of one file; ends with this.
struct Task {
    wanted: Wanted,
    asks: mpsc::Sender<Ask>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// The tasks of all fetched files.
pub(super) struct Fetching {
    tasks: BTreeMap<String, Task>,
    shared: Option<Arc<Shared>>,
    /// The settings that `shared` was made by.
    config: Option<crate::config::FetchConfig>,
    events: mpsc::Sender<Event>,
}

impl Fetching {
    /// Returns what fetches nothing yet, and where it will tell what came of fetching.
    pub(super) fn new() -> (Self, mpsc::Receiver<Event>) {
        let (events, told) = mpsc::channel(AT_A_TIME);
        (Self { tasks: BTreeMap::new(), shared: None, config: None, events }, told)
    }

    /// Fetches what `config` names from now on, and nothing else. What goes on as before is not begun anew.
    pub(super) fn configure(
        &mut self,
        config: &Config,
        tls: &Tls,
        (pipeline, ledger): (&Arc<Pipeline>, &Ledger),
        (clock, metrics, statuses): (&Arc<dyn Clock>, &Arc<Metrics>, &Statuses),
    ) {
        // A rehearsal is none of those who serve files; it has what was fetched for real.
        let mut wanted = if clock.is_rehearsal() { BTreeMap::new() } else { wanted(config) };
        if self.config.as_ref() != Some(&config.fetch) || self.shared.is_none() {
            self.tasks.clear();
            let lookup = OwnLookup { pipeline: Arc::clone(pipeline), recorder: ledger.recorder() };
            let fetcher = Fetcher::new(Arc::new(lookup), tls.clone(), config.fetch.bounds, fetch::forbids);
            self.shared = Some(Arc::new(Shared {
                fetcher,
                places: Semaphore::new(AT_A_TIME),
                clock: Arc::clone(clock),
                metrics: Arc::clone(metrics),
                statuses: statuses.clone(),
                events: self.events.clone(),
            }));
            self.config = Some(config.fetch.clone());
        }
        self.tasks.retain(|name, task| wanted.get(name) == Some(&task.wanted));
        wanted.retain(|name, _| !self.tasks.contains_key(name));
        statuses.lock().retain(|name, _| wanted.contains_key(name) || self.tasks.contains_key(name));
        let Some(shared) = &self.shared else { return };
        for (name, wanted) in wanted {
            let (asks, asked) = mpsc::channel(16);
            shared.statuses.note(&wanted, wanted.origin.place.read());
            let handle = tokio::spawn(round::keep_fresh(Arc::clone(shared), wanted.clone(), asked));
            self.tasks.insert(name, Task { wanted, asks, handle });
        }
    }

    /// Fetches a file now, or all of them, and tells `reply` what came of it. Returns at once.
    pub(super) fn refresh(&self, by: &Actor, name: Option<&str>, reply: oneshot::Sender<Reply>) {
        let named = |(of, _): &(&String, &Task)| name.is_none_or(|name| name == of.as_str());
        let tasks: Vec<_> =
            self.tasks.iter().filter(named).map(|(name, task)| (name.clone(), task.asks.clone())).collect();
        if tasks.is_empty() {
            let what = name.map_or("no list is fetched".to_owned(), |name| {
                format!("no list `{}` is fetched", crate::control::harmless(name))
            });
            let _ = reply.send(Reply::refused(format!("{what}; `url` of [[lists.list]] says what is")));
            return;
        }
        let by = by.clone();
        tokio::spawn(async move {
            let waits = tasks.into_iter().map(|(name, asks)| {
                let (done, told) = oneshot::channel();
                let ask = Ask { by: by.clone(), done };
                (name, asks.try_send(ask).is_ok(), told)
            });
            let deadline = tokio::time::sleep(ASK_TIME);
            tokio::pin!(deadline);
            let (mut told, mut failed) = (Vec::new(), false);
            for (name, sent, done) in waits.collect::<Vec<_>>() {
                let result = tokio::select! {
                    biased;
                    result = done, if sent => result.unwrap_or_else(|_| Err("it is fetched no more".to_owned())),
                    () = &mut deadline => Err("it is under way still; `interdict lists` tells what comes of it".to_owned()),
                };
                failed |= result.is_err();
                told.push(format!("{name}: {}", result.unwrap_or_else(|reason| reason)));
            }
            let _ = reply.send(if failed { Reply::Refused { told } } else { Reply::Done { told, shown: None } });
        });
    }
}

/// Returns the fetched files that a configuration names.
fn wanted(config: &Config) -> BTreeMap<String, Wanted> {
    let lists = config.lists.lists.iter().filter_map(|of| {
        let (name, list) = (of.source.name.clone(), of.source.clone());
        Some((name.clone(), Wanted { name, origin: of.origin.clone()?, list }))
    });
    lists.collect()
}

impl Statuses {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Status>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    fn note(&self, wanted: &Wanted, kept: Kept) {
        let url = wanted.origin.source.url.to_string();
        self.lock().insert(wanted.name.clone(), Status { url, kept });
    }

    /// Returns how many files are fetched, and what is to be told of them: those that were refused the last time, and those
    /// whose servers were not reached for longer than `stale`.
    pub(super) fn faults(&self, clock: &dyn Clock, stale: Duration) -> (usize, Vec<String>) {
        let now = clock.read().raw;
        let of = |(name, status): (&String, &Status)| {
            let failing = status.kept.failing.as_ref();
            let age = status.kept.checked.map(|checked| now.duration_since(checked).unsigned_abs());
            let reason = failing.map_or("it was not reached", |of| of.reason.as_str());
            match (failing, age) {
                (Some(of), _) if of.refused => {
                    let left = if status.kept.fetched.is_some() { "; the last good one stays" } else { "" };
                    Some(format!("list {name} was refused as it is at {}: {reason}{left}", status.url))
                }
                (_, Some(age)) if age > stale => {
                    Some(format!("list {name} is {} hours old: {reason}", age.as_secs() / 3600))
                }
                (Some(_), None) => Some(format!("list {name} was never fetched: {reason}")),
                (Some(_) | None, _) => None,
            }
        };
        let statuses = self.lock();
        (statuses.len(), statuses.iter().filter_map(of).collect())
    }

    /// Returns what metrics show.
    pub(super) fn gauges(&self, clock: &dyn Clock) -> Vec<FetchGauge> {
        let now = clock.read().raw;
        let of = |(name, Status { kept, .. }): (&String, &Status)| FetchGauge {
            name: name.clone(),
            age: kept.checked.map(|checked| now.duration_since(checked).as_secs().max(0)),
            failing: kept.failing.is_some(),
        };
        self.lock().iter().map(of).collect()
    }
}
