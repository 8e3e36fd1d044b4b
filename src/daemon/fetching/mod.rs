//! Fetched files: each has a task that fetches it when it is due or asked for, and tells the daemon what came of it. The
//! daemon waits for none of them.

mod activate;
mod lookup;
mod round;
mod take;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::background::Runner;
use crate::clock::Clock;
use crate::config::{Config, Origin};
use crate::control::{Actor, Reply, harmless};
use crate::feed::{Item, News, Shelf};
use crate::fetch::{self, Bounds, Fetcher, Kept, Tls};
use crate::ledger::Ledger;
use crate::lists::{self, List};
use crate::observe::{FetchGauge, Metrics};
use crate::pipeline::Pipeline;
use lookup::OwnLookup;

/// Files that are fetched or compiled at a time: a small machine has other things to do.
const AT_A_TIME: usize = 2;
/// How long somebody who asks for a file waits for it.
const ASK_TIME: Duration = Duration::from_secs(50);

/// What kind of file is fetched, and its name among those: no two of one kind have the same.
type Id = (&'static str, String);

/// A fetched file that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: String,
    origin: Origin,
    what: What,
}

/// What a fetched file is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    List(lists::Source),
    Document(Item, Shelf),
}

impl Wanted {
    fn id(&self) -> Id {
        let kind = match self.what {
            What::List(_) => "list",
            What::Document(ref item, _) => item.kind.as_str(),
        };
        (kind, self.name.clone())
    }
}

/// What came of fetching a file, and who asked for it.
#[derive(Debug)]
pub(super) struct Event {
    wanted: Wanted,
    result: Taken,
    asked: Vec<Ask>,
}

/// What came of fetching a file.
#[derive(Debug)]
enum Taken {
    /// It is as it was.
    Same,
    /// It is another, kept, and good.
    List { list: Box<List>, before: Option<u64>, digest: String },
    /// It is another, kept, and waits to be put in force.
    Document(News),
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

/// How fetched files stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Statuses(Arc<Mutex<Standings>>);

#[derive(Debug, Default)]
struct Standings {
    /// How long a file may go without its server being reached.
    stale: Duration,
    files: BTreeMap<Id, Status>,
}

/// What all tasks share.
struct Shared {
    /// Another one after each reload.
    fetcher: ArcSwap<Fetcher>,
    /// Judges and keeps what came.
    runner: Runner,
    places: Semaphore,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    statuses: Statuses,
    events: mpsc::Sender<Event>,
}

/// The task of one file; ends with this.
struct Task {
    wanted: Wanted,
    /// What came for a task that has ended is not kept.
    _alive: Arc<()>,
    asks: mpsc::Sender<Ask>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Returns what asks servers elsewhere, and looks them up here.
pub(super) fn fetcher(config: &Config, tls: &Tls, pipeline: &Arc<Pipeline>, ledger: &Ledger) -> Fetcher {
    fetcher_within(config.fetch.bounds, tls, pipeline, ledger)
}

/// Returns the same with other bounds.
pub(super) fn fetcher_within(bounds: Bounds, tls: &Tls, pipeline: &Arc<Pipeline>, ledger: &Ledger) -> Fetcher {
    let lookup = OwnLookup { pipeline: Arc::clone(pipeline), recorder: ledger.recorder() };
    Fetcher::new(Arc::new(lookup), tls.clone(), bounds, fetch::forbids)
}

/// The tasks of all fetched files.
pub(super) struct Fetching {
    tasks: BTreeMap<Id, Task>,
    shared: Option<Arc<Shared>>,
    events: mpsc::Sender<Event>,
    runner: Runner,
}

impl Fetching {
    /// Returns what fetches nothing yet, and where it will tell what came of fetching.
    pub(super) fn new(runner: Runner) -> (Self, mpsc::Receiver<Event>) {
        let (events, told) = mpsc::channel(AT_A_TIME);
        (Self { tasks: BTreeMap::new(), shared: None, events, runner }, told)
    }

    /// Fetches what `config` names from now on, and nothing else. What goes on as before is not begun anew.
    pub(super) fn configure(
        &mut self,
        config: &Config,
        tls: &Tls,
        (pipeline, ledger): (&Arc<Pipeline>, &Ledger),
        (clock, metrics, statuses): (&Arc<dyn Clock>, &Arc<Metrics>, &Statuses),
    ) {
        // A rehearsal fetches nothing: it has what was fetched for real.
        let mut wanted = if clock.is_rehearsal() { BTreeMap::new() } else { wanted(config) };
        let fetcher = Arc::new(fetcher(config, tls, pipeline, ledger));
        let shared = self.shared.get_or_insert_with(|| {
            Arc::new(Shared {
                fetcher: ArcSwap::new(Arc::clone(&fetcher)),
                runner: self.runner.clone(),
                places: Semaphore::new(AT_A_TIME),
                clock: Arc::clone(clock),
                metrics: Arc::clone(metrics),
                statuses: statuses.clone(),
                events: self.events.clone(),
            })
        });
        shared.fetcher.store(fetcher);
        self.tasks.retain(|id, task| wanted.get(id) == Some(&task.wanted));
        wanted.retain(|id, _| !self.tasks.contains_key(id));
        let mut standings = statuses.lock();
        standings.stale = config.fetch.stale;
        standings.files.retain(|id, _| wanted.contains_key(id) || self.tasks.contains_key(id));
        drop(standings);
        for (id, wanted) in wanted {
            let (asks, asked) = mpsc::channel(16);
            shared.statuses.note(&wanted, wanted.origin.place.read());
            let alive = Arc::new(());
            let task = round::keep_fresh(Arc::clone(shared), wanted.clone(), Arc::downgrade(&alive), asked);
            let handle = tokio::spawn(task);
            self.tasks.insert(id, Task { wanted, _alive: alive, asks, handle });
        }
    }

    /// Fetches a list now, or all of them, or else catalogues and orders, and tells `reply` what came of it. Returns at once.
    pub(super) fn refresh(&self, by: &Actor, lists: bool, name: Option<&str>, reply: oneshot::Sender<Reply>) {
        let meant = |task: &&Task| {
            let kind = match task.wanted.what {
                What::List(_) => lists,
                What::Document(..) => !lists,
            };
            kind && name.is_none_or(|name| name == task.wanted.name)
        };
        let tasks = self.tasks.values().filter(meant).map(|task| (task.wanted.name.clone(), task.asks.clone()));
        let tasks: Vec<_> = tasks.collect();
        if tasks.is_empty() {
            let named = name.map(|name| format!(" `{}`", harmless(name))).unwrap_or_default();
            let (kind, place) = match lists {
                true => ("list", "`url` of [[lists.list]]"),
                false => ("catalogue or order", "[[policy.fetch]]"),
            };
            let _ = reply.send(Reply::refused(format!("no {kind}{named} is fetched; {place} says what is")));
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
            let (mut told, mut failed) = (Vec::new(), Vec::new());
            for (name, sent, done) in waits.collect::<Vec<_>>() {
                let result = tokio::select! {
                    biased;
                    result = done, if sent => result.unwrap_or_else(|_| Err("it is fetched no more".to_owned())),
                    () = &mut deadline => Err("it is under way still; the log tells what comes of it".to_owned()),
                };
                match result {
                    Ok(words) => told.push(format!("{name}: {words}")),
                    Err(reason) => failed.push(format!("{name}: {reason}")),
                }
            }
            // What went well needs no word where something did not.
            let _ = reply.send(match failed.is_empty() {
                true => Reply::Done { told, shown: None },
                false => Reply::Refused { told: failed },
            });
        });
    }
}

/// Returns the fetched files that a configuration names.
fn wanted(config: &Config) -> BTreeMap<Id, Wanted> {
    let lists = config.lists.lists.iter().filter_map(|of| {
        let what = What::List(of.source.clone());
        Some(Wanted { name: of.source.name.clone(), origin: of.origin.clone()?, what })
    });
    let shelf = config.shelf();
    let documents = config.policy.fetch.iter().map(|of| {
        let what = What::Document(of.item.clone(), shelf.clone());
        Wanted { name: of.item.name.clone(), origin: of.origin.clone(), what }
    });
    lists.chain(documents).map(|wanted| (wanted.id(), wanted)).collect()
}

impl Statuses {
    fn lock(&self) -> std::sync::MutexGuard<'_, Standings> {
        self.0.lock().expect("no holder of this lock panics")
    }

    fn note(&self, wanted: &Wanted, kept: Kept) {
        let url = wanted.origin.source.shown();
        self.lock().files.insert(wanted.id(), Status { url, kept });
    }

    /// Returns how many files are fetched, and what is to be told of them: those that were refused the last time, and those
    /// whose servers were not reached for too long.
    pub(super) fn faults(&self, clock: &dyn Clock) -> (usize, Vec<String>) {
        let now = clock.read().raw;
        let standings = self.lock();
        let of = |((kind, name), status): (&Id, &Status)| {
            let failing = status.kept.failing.as_ref();
            let age = status.kept.checked.map(|checked| now.duration_since(checked).unsigned_abs());
            let reason = failing.map_or("it was not reached", |of| of.reason.as_str());
            match (failing, age) {
                (Some(of), _) if of.refused => {
                    let left = if status.kept.fetched.is_some() { "; the last good one stays" } else { "" };
                    Some(format!("{kind} {name} was refused as it is at {}: {reason}{left}", status.url))
                }
                (_, Some(age)) if age > standings.stale => {
                    Some(format!("{kind} {name} is {} hours old: {reason}", age.as_secs() / 3600))
                }
                (Some(_), None) => Some(format!("{kind} {name} was never fetched: {reason}")),
                (Some(_) | None, _) => None,
            }
        };
        (standings.files.len(), standings.files.iter().filter_map(of).collect())
    }

    /// Returns what metrics show.
    pub(super) fn gauges(&self, clock: &dyn Clock) -> Vec<FetchGauge> {
        let now = clock.read().raw;
        let of = |((kind, name), Status { kept, .. }): (&Id, &Status)| FetchGauge {
            kind,
            name: name.clone(),
            age: kept.checked.map(|checked| now.duration_since(checked).as_secs().max(0)),
            failing: kept.failing.is_some(),
        };
        self.lock().files.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::fetch::Failing;

    #[test]
    fn what_is_refused_is_told_at_once_and_what_is_not_reached_once_it_is_stale() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let clock = ManualClock::new(now);
        let old = Some("2026-05-28T00:00:00Z".parse().unwrap());
        let failing = |refused| Some(Failing { at: now, reason: "why".to_owned(), refused });
        let kept = |checked, failing| Kept { checked, fetched: checked, failing, ..Kept::default() };
        for (kept, expected) in [
            (kept(Some(now), None), None),
            (kept(Some(now), failing(false)), None),
            (kept(Some(now), failing(true)), Some("list ads was refused as it is at u: why; the last good one stays")),
            (kept(old, failing(false)), Some("list ads is 96 hours old: why")),
            (kept(old, None), Some("list ads is 96 hours old: it was not reached")),
            (kept(None, None), None),
            (kept(None, failing(false)), Some("list ads was never fetched: why")),
            (kept(None, failing(true)), Some("list ads was refused as it is at u: why")),
        ] {
            let statuses = Statuses::default();
            statuses.lock().stale = Duration::from_secs(72 * 3600);
            let status = Status { url: "u".to_owned(), kept };
            statuses.lock().files.insert(("list", "ads".to_owned()), status.clone());
            let (count, faults) = statuses.faults(&clock);
            assert_eq!((count, faults.first().map(String::as_str)), (1, expected), "{status:?}");
        }
    }
}
