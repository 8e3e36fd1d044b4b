//! Submits checkpoints to witnesses (c2sp.org/tlog-witness): a task for each, which nothing waits for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::bucket::Bucket;
use super::command::chain;
use super::{Daemon, fetching};
use crate::admin::Check;
use crate::clock::Clock;
use crate::config::{PublishConfig, WitnessConfig};
use crate::control::harmless;
use crate::fetch::{FetchError, Fetcher, Sent, Tls, Url};
use crate::ledger::checkpoint::number;
use crate::ledger::{self, Submission, WitnessError};

/// How often a new checkpoint is looked for.
const PERIOD: Duration = Duration::from_secs(1);
/// How long after a failure a witness is asked again, at first; twice as long each further time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// The longest answer that is read, in octets.
const MAX_ANSWER: u64 = 64 << 10;

/// How the witnesses stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Witnesses(Arc<Mutex<Vec<Standing>>>);

#[derive(Debug, Clone)]
struct Standing {
    name: String,
    /// How many leaves it has borne out, and when, in seconds since 1970.
    cosigned: Option<(u64, i64)>,
    failing: Option<(Timestamp, String)>,
}

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Log(#[from] WitnessError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("it answers {status}: {}", meaning(*.status))]
    Status { status: u16 },
    #[error("it tells no size with its refusal")]
    NoSize,
    #[error("the thread that reads the log has panicked")]
    Panicked,
}

/// c2sp.org/tlog-witness, section "add-checkpoint".
const fn meaning(status: u16) -> &'static str {
    match status {
        403 => "no signature of the log is by a key that it knows; give it the line of `interdict ledger key`",
        404 => "it does not know this log; give it the line of `interdict ledger key`",
        409 => "it has seen another size than it told just before",
        422 => "the log does not continue what it has cosigned, or is told so",
        _ => "no cosignature",
    }
}

impl Witnesses {
    /// Starts a task for each witness. To be called within the runtime.
    pub(super) fn start(&self, configured: &[WitnessConfig], fetcher: Fetcher, logs: &Path, clock: &Arc<dyn Clock>) {
        let fetcher = Arc::new(fetcher);
        for (place, witness) in configured.iter().enumerate() {
            self.lock().push(Standing { name: witness.key.name().to_owned(), cosigned: None, failing: None });
            let (fetcher, logs) = (Arc::clone(&fetcher), logs.to_owned());
            let task =
                Task { place, witness: witness.clone(), fetcher, logs, clock: Arc::clone(clock), all: self.clone() };
            tokio::spawn(task.run());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Tells whether witnesses cosign; nothing where there are none. Answers do not depend on them.
    pub(super) fn health(&self) -> Option<Check> {
        let standings = self.lock().clone();
        let told = |Standing { name, cosigned, failing }: &Standing| {
            let cosigned = cosigned.map_or_else(|| "no leaves".to_owned(), |(size, _)| format!("{size} leaves"));
            match failing {
                None => format!("{name} has cosigned {cosigned}"),
                Some((since, why)) => format!("{name} has cosigned {cosigned}, and fails since {since:.0}: {why}"),
            }
        };
        let ok = standings.iter().all(|of| of.failing.is_none());
        let detail = standings.iter().map(told).collect::<Vec<_>>().join("; ");
        (!standings.is_empty()).then_some(Check { name: "witnesses", ok, detail })
    }

    /// Returns how many witnesses fail, and when the one that is furthest behind has cosigned last, in seconds since 1970.
    pub(super) fn gauges(&self) -> (u64, u64) {
        let standings = self.lock();
        let failing = standings.iter().filter(|of| of.failing.is_some()).count() as u64;
        let at = standings.iter().map(|of| of.cosigned.map_or(0, |(_, at)| at.unsigned_abs())).min().unwrap_or(0);
        (failing, at)
    }
}

impl Daemon {
    /// Publishes the log to a bucket, where one is configured.
    pub(super) fn publish(&self, tls: &Tls) -> std::io::Result<()> {
        match &self.config.ledger.publish {
            Some(PublishConfig::Bucket(config)) if !self.folder.is_rehearsal() => {
                let fetcher = fetching::fetcher(&self.config, tls, &self.pipeline, &self.ledger);
                self.ledger.publish(Box::new(Bucket::new(config, fetcher, &self.clock)?))
            }
            Some(PublishConfig::Bucket(_) | PublishConfig::Folder(_)) | None => Ok(()),
        }
    }

    /// Submits checkpoints to witnesses. A rehearsal is nobody else's business.
    pub(super) fn witness(&self, tls: &Tls) {
        let witnesses = if self.folder.is_rehearsal() { &[] } else { self.config.ledger.witnesses.as_slice() };
        let fetcher = fetching::fetcher(&self.config, tls, &self.pipeline, &self.ledger);
        let logs = ledger::Settings::new(self.folder.root()).log();
        self.witnesses.start(witnesses, fetcher, &logs, &self.clock);
    }
}

struct Task {
    place: usize,
    witness: WitnessConfig,
    fetcher: Arc<Fetcher>,
    logs: PathBuf,
    clock: Arc<dyn Clock>,
    all: Witnesses,
}

impl Task {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.round().await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.tell(None);
                    tokio::time::sleep(PERIOD).await;
                }
                Err(error) => {
                    self.tell(Some(harmless(&chain(&error))));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Submits the newest checkpoint, if the witness has not cosigned it.
    async fn round(&self) -> Result<(), RoundError> {
        let (logs, key) = (self.logs.clone(), self.witness.key.clone());
        let read = move || {
            let Some(newest) = Submission::newest(&logs)? else { return Ok(None) };
            let last = newest.last(&key);
            Ok(Some((newest, last)))
        };
        let read = spawn_blocking(read).await.map_err(|_| RoundError::Panicked)?;
        let Some((newest, last)) = read.map_err(RoundError::Log)? else { return Ok(()) };
        if let Some(last) = &last {
            self.note(last.checkpoint.size, last.at);
        }
        if newest.checkpoint.size == 0 || last.as_ref().is_some_and(|last| last.checkpoint == newest.checkpoint) {
            return Ok(());
        }
        let old = last.map_or(0, |last| last.checkpoint.size);
        let (mut status, mut answer) = self.submit(&newest, old).await?;
        if status == 409 {
            let size = std::str::from_utf8(&answer).ok().and_then(|text| number(text.strip_suffix('\n')?));
            (status, answer) = self.submit(&newest, size.ok_or(RoundError::NoSize)?).await?;
        }
        if status != 200 {
            return Err(RoundError::Status { status });
        }
        let key = self.witness.key.clone();
        let keep = move || newest.keep(&key, &String::from_utf8_lossy(&answer));
        let cosigned = spawn_blocking(keep).await.map_err(|_| RoundError::Panicked)??;
        self.note(cosigned.checkpoint.size, cosigned.at);
        Ok(())
    }

    async fn submit(&self, newest: &Submission, old: u64) -> Result<(u16, Vec<u8>), RoundError> {
        let newest = newest.clone();
        let request = spawn_blocking(move || newest.request(old)).await.map_err(|_| RoundError::Panicked)??;
        let url = add_checkpoint(&self.witness.url);
        let sent = Sent::post(&url, request.into_bytes());
        let answer = self.fetcher.send(sent, self.witness.private, MAX_ANSWER).await?;
        Ok((answer.status, answer.body))
    }

    fn note(&self, size: u64, at: i64) {
        self.all.lock()[self.place].cosigned = Some((size, at));
    }

    fn tell(&self, failing: Option<String>) {
        let name = self.witness.key.name();
        let mut standings = self.all.lock();
        let before = &mut standings[self.place].failing;
        match (&before, &failing) {
            (None, Some(reason)) => tracing::warn!(witness = name, reason, "a witness does not cosign the log"),
            (Some(_), None) => tracing::info!(witness = name, "a witness cosigns the log again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        let since = before.as_ref().map_or_else(|| self.clock.read().raw, |(since, _)| *since);
        *before = failing.map(|reason| (since, reason));
    }
}

/// Returns where checkpoints go, below the prefix that a witness has.
fn add_checkpoint(prefix: &Url) -> Url {
    let mut url = prefix.clone();
    url.set_path(&format!("{}/add-checkpoint", prefix.path().trim_end_matches('/')));
    url
}
