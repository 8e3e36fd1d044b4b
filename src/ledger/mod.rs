//! Evidence: an append-only journal of look-ups that rules matched, of the time it covers, and of changes and gaps.
//!
//! Workers hand look-ups over through a ring each and never wait. One thread folds them, encrypts what identifies a client,
//! and appends them to the journal in groups, each made durable with one fsync. What cannot be recorded is counted, and
//! told by a leaf once the disk takes leaves again; nothing here ever stops an answer. The journal is the only truth;
//! the index of `store` can always be made from it again.

mod age;
mod attempt;
mod canonical;
mod changes;
pub mod checkpoint;
pub mod cosign;
mod counts;
mod device;
mod durable;
mod estimate;
mod fit;
mod fold;
mod folded;
mod follow;
mod hold;
mod inbox;
mod journal;
mod keys;
mod leaf;
mod log;
mod medium;
mod missed;
mod named;
mod proof;
mod queue;
mod read;
mod recover;
mod repeats;
mod ring;
mod rotate;
pub mod rotation;
pub mod tree;
pub mod verify;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;

pub use attempt::Attempt;
pub use changes::{changes, changes_from};
pub use device::hardware_of;
pub use durable::{Durability, Fail, Handed, Ticket};
pub use fold::{Bounds, network_of};
pub use folded::Folded;
pub use follow::Follower;
pub use hold::{Hold, held, hold, release};
pub use keys::{KeyError, KeyId, KeyRing, forget, forgettable, forgotten};
pub use leaf::{Act, Body, Changed, Coverage, CoverageEvent, Gap, GapReason, Leaf, Record, RuleCount, VERSION};
pub use log::{CHECKPOINT, KEY, KeygenError, LogError, Submission, Target, TargetError, WitnessError, logs, newest};
pub use named::{named, oldest};
pub use proof::{Proof, ProofError, ProveError};
pub use read::{Position, ReadError, Reader, find, is_at_end, is_same_journal, read, segment_path, segments};
pub use recover::RecoverError;
pub use repeats::Repeats;
pub use ring::Recorder;
pub use rotate::{RotateError, Rotated, keygen};

use crate::client::Hardware;
use crate::clock::Clock;
use crate::policy::Snapshot;
use durable::Durable;
use inbox::{End, Inbox};
use log::{Place, Publisher, Tiler};
use medium::{Disk, Medium};
use ring::Exchange;
use writer::Writer;

/// How the ledger is kept.
#[derive(Clone)]
pub struct Settings {
    /// The folder that holds the folder `journal`.
    pub folder: PathBuf,
    /// The folder of the key ring.
    pub keys: PathBuf,
    /// What was handed over is on disk at most this much later. At least 10 ms.
    pub commit: Duration,
    /// When answers may leave.
    pub durability: Durability,
    /// What becomes of sunk names while the disk takes no records.
    pub fail: Fail,
    /// A segment begins once the one before is this large, in octets.
    pub segment: u64,
    /// Before a segment begins, the oldest are removed until the journal and the log are at most this large, in octets.
    pub total: u64,
    /// How long records are kept; none for as long as there is room. Some go up to two days later.
    pub keep: Option<Duration>,
    /// The name of the log; none for one after the name of the machine.
    pub origin: Option<String>,
    /// What was added to the log is signed at most this much later.
    pub checkpoint: Duration,
    /// The folder that signed logs are copied to; none for none.
    pub publish: Option<PathBuf>,
    /// How many octets of leaves are held in memory while the disk refuses them; beyond that they are counted.
    pub unwritten: usize,
    /// How many look-ups each worker's ring holds.
    pub ring: usize,
    pub bounds: Bounds,
    /// Whether look-ups that would only be counted are recorded with their client as well.
    pub store_noted: bool,
    /// Whether policy time is rehearsed; leaves say so.
    pub rehearsal: bool,
    /// Returns all queries since the program started, by outcome; coverage leaves hold the differences. What begins with
    /// `withheld_` is told apart.
    pub totals: Option<Totals>,
}

/// Counts of queries by outcome, since the program started.
pub type Totals = Arc<dyn Fn() -> BTreeMap<String, u64> + Send + Sync>;

impl Settings {
    /// Returns the defaults for a data folder: journal, log and key ring in it, at most 4 GiB in segments of 16 MiB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            keys: folder.join("keys"),
            folder,
            commit: Duration::from_millis(200),
            durability: Durability::Normal,
            fail: Fail::Answer,
            segment: 16 << 20,
            total: 4 << 30,
            keep: None,
            origin: None,
            checkpoint: Duration::from_secs(60),
            publish: None,
            unwritten: 16 << 20,
            ring: 8192,
            bounds: Bounds::default(),
            store_noted: false,
            rehearsal: false,
            totals: None,
        }
    }

    /// Returns the folder of the journal.
    pub fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// Returns the folder of the logs.
    pub fn log(&self) -> PathBuf {
        self.folder.join("ledger")
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the journal cannot be opened")]
    Journal(#[source] RecoverError),
    #[error("the key ring cannot be opened")]
    Keys(#[source] KeyError),
    #[error("cannot write to the journal {}", path.display())]
    Write { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the log cannot be opened")]
    Log(#[source] LogError),
    #[error("cannot start the thread of the ledger")]
    Thread(#[source] std::io::Error),
}

/// A change of what the daemon does, to be recorded with its instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub act: Act,
    /// Whether the change was made; one that was refused left everything as it was.
    pub accepted: bool,
    /// Who made it: `uid 1000 (name)`, `signal SIGHUP`, `file PATH`, `interdict`.
    pub by: String,
    pub why: String,
    /// What was changed, in words without control characters, where the act alone does not say it.
    pub what: Option<String>,
    /// The digest of the policy from then on; of the refused one where it could be read.
    pub policy: Option<[u8; 32]>,
    /// Where the key of the log changes: the note that both keys have signed.
    pub rotation: Option<String>,
    /// The device that it is about, where it is about one; encrypted before it is written.
    pub device: Option<Whose>,
}

/// One device, by what it is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    Address(IpAddr),
    Hardware(Hardware),
}

impl Change {
    /// The daemon has started with this policy.
    pub fn started(policy: &[u8; 32]) -> Self {
        Self::own(Act::Start, true, "started", Some(*policy))
    }

    /// The daemon stops in an orderly way.
    pub fn stopped() -> Self {
        Self::own(Act::Stop, true, "stopped", None)
    }

    /// Configuration, catalogues and orders were loaded anew, and this policy is in use from now on.
    /// `changes` says in words what is otherwise than before.
    pub fn reloaded(policy: &[u8; 32], changes: &[String]) -> Self {
        let why = match changes {
            [] => "reloaded; orders and catalogues apply as before".to_owned(),
            _ => cut(format!("reloaded: {}", changes.join("; "))),
        };
        Self { by: HANGUP.to_owned(), ..Self::own(Act::Reload, true, &why, Some(*policy)) }
    }

    /// A reload was refused for these faults, and everything stays as it was.
    pub fn reload_refused(faults: &[String]) -> Self {
        let why = cut(faults.join("; "));
        Self { by: HANGUP.to_owned(), ..Self::own(Act::Reload, false, &why, None) }
    }

    /// A change that the daemon makes by itself.
    pub fn own(act: Act, accepted: bool, why: &str, policy: Option<[u8; 32]>) -> Self {
        Self {
            act,
            accepted,
            by: OWN.to_owned(),
            why: why.to_owned(),
            what: None,
            policy,
            rotation: None,
            device: None,
        }
    }
}

/// The daemon itself.
pub const OWN: &str = "interdict";
/// Who reloads: whoever may send the daemon a signal, which does not say more.
const HANGUP: &str = "signal SIGHUP";
/// How much of the faults of a refused reload a leaf holds, in octets; the log has all of them.
const MAX_WHY: usize = 4096;

fn cut(mut why: String) -> String {
    if why.len() > MAX_WHY {
        why.truncate(why.floor_char_boundary(MAX_WHY));
        why.push('…');
    }
    why
}

/// How the ledger is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    /// What becomes of sunk names where it fails.
    pub fail: Fail,
    /// What the system clock told at the last commit.
    pub committed: Option<Timestamp>,
    /// How many leaves are durable, from the very first on.
    pub leaves: u64,
    /// How many leaves wait in memory.
    pub unwritten: u64,
    /// How many look-ups are only counted, because the disk refuses leaves and memory for them is used up.
    pub uncovered: u64,
    /// How many look-ups met a full ring since the start; they were counted by rule.
    pub overflowed: u64,
    /// How large the journal is, in octets.
    pub bytes: u64,
    /// Whether everything is kept, because of a legal hold.
    pub held: bool,
    pub log: LogHealth,
}

/// How the log is doing, which follows the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogHealth {
    /// The name of the log; none before it was made.
    pub origin: Option<String>,
    /// How many leaves it has.
    pub leaves: u64,
    /// How many of them the last checkpoint tells of.
    pub signed: u64,
    /// What the system clock told at the last checkpoint since the start.
    pub signed_at: Option<Timestamp>,
    /// How large it and those before it are, in octets.
    pub bytes: u64,
    /// How much of that are hashes, which stay.
    pub hashes: u64,
    /// How much of that are entries of the logs before it.
    pub earlier: u64,
    /// The number of the last leaf of the logs before it of which more than the end is left.
    pub before: Option<u64>,
    /// Whether another key is to follow, and no checkpoint is signed with it yet.
    pub rotating: bool,
    /// Why it falls behind the journal, if it does.
    pub failing: Option<String>,
    /// What the system clock told when a checkpoint was published last, since the start.
    pub published_at: Option<Timestamp>,
    /// Why it is not copied to where it is to be published, if it is not.
    pub unpublished: Option<String>,
    /// Why what went for its age is still there, if it is.
    pub unremoved: Option<String>,
}

/// Whether leaves reach the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Writing,
    Failing {
        /// What the system clock told at the first failure.
        since: Timestamp,
        reason: String,
    },
}

/// The threads that a ledger has, ended in this order.
type Threads = (JoinHandle<()>, Tiler, Option<Publisher>);

/// The ledger of a running daemon: a thread that writes, and handles on it.
pub struct Ledger {
    place: Place,
    clock: Arc<dyn Clock>,
    exchange: Arc<Exchange>,
    inbox: Arc<Inbox>,
    ring: usize,
    threads: Mutex<Option<Threads>>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the journal, repairs its end, and starts the thread that writes. A full disk is no reason not to start:
    /// the ledger then begins as failing.
    ///
    /// # Errors
    /// Where journal or key ring cannot be opened or written for another reason.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_on(settings, clock, Box::new(Disk))
    }

    fn open_on(settings: Settings, clock: Arc<dyn Clock>, medium: Box<dyn Medium>) -> Result<Self, OpenError> {
        let durable = Durable::new(settings.durability, settings.fail, settings.store_noted);
        let exchange = Arc::new(Exchange::new(durable));
        let inbox = Arc::new(Inbox::new(settings.fail));
        let ring = settings.ring;
        let place = Place::of(&settings);
        let (journal, checkpoint) = (settings.journal(), settings.checkpoint);
        let publish = settings.publish.clone();
        let tell = Arc::clone(&clock);
        let found = log::look(&place, &journal).map_err(OpenError::Log)?;
        if let Some(why) = found.why() {
            inbox.change(Change::own(Act::Origin, true, why, None));
        }
        inbox.told().log.rotating = place.has_next();
        let (of, to) = (Arc::clone(&exchange), Arc::clone(&inbox));
        let writer = Writer::open(settings, Arc::clone(&clock), medium, of, to, found.next())?;
        let following = log::Following { journal, checkpoint, clock, inbox: Arc::clone(&inbox) };
        let tiler = Tiler::start(found, following).map_err(OpenError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        exchange.set_writer(thread.thread().clone());
        let threads = Mutex::new(Some((thread, tiler, None)));
        let ledger = Self { place, clock: tell, exchange, inbox, ring, threads };
        if let Some(folder) = publish {
            ledger.publish(Box::new(log::Folder(folder))).map_err(OpenError::Thread)?;
        }
        Ok(ledger)
    }

    /// Publishes signed logs to a target from now on.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn publish(&self, to: Box<dyn Target>) -> std::io::Result<()> {
        let (inbox, clock) = (Arc::clone(&self.inbox), Arc::clone(&self.clock));
        let (logs, data) = (self.place.folder.clone(), self.place.data.clone());
        let publisher = Publisher::start(log::Source { logs, data, inbox, clock }, to)?;
        if let Some((_, _, of)) = self.threads.lock().expect("no holder of this lock panics").as_mut() {
            *of = Some(publisher);
        }
        Ok(())
    }

    /// Returns a handle for one worker, with a ring of its own.
    pub fn recorder(&self) -> Recorder {
        self.exchange.recorder(self.ring)
    }

    /// Makes the counters that stand in for full rings under a policy. To be called before workers get the policy; without
    /// it they are made when the first look-up arrives.
    pub fn install(&self, snapshot: &Arc<Snapshot>) {
        self.exchange.install(snapshot);
    }

    /// Records a change. Returns at once; the leaf goes out with the next commit.
    pub fn change(&self, change: Change) {
        self.inbox.change(change);
        self.exchange.wake();
    }

    /// Writes everything that was handed over before the call, and returns whether it is durable. Waits `within` at most.
    pub fn flush(&self, within: Duration) -> bool {
        let done = self.inbox.flush();
        self.exchange.wake();
        done.recv_timeout(within).unwrap_or(false)
    }

    /// Returns how the ledger is doing.
    pub fn health(&self) -> Health {
        self.inbox.health()
    }

    /// Writes everything that was handed over, makes it durable and ends the thread. To be called when no worker records
    /// any more; a second call does nothing. What the disk refuses even now is told in the log and by [`health`](Self::health).
    pub fn close(&self) {
        if !self.end(true) {
            return;
        }
        let Health { unwritten, uncovered, .. } = self.health();
        if unwritten + uncovered > 0 {
            tracing::error!(leaves = unwritten, lookups = uncovered, "closed with records that the disk did not take");
        }
    }

    /// Returns whether the thread was still there.
    fn end(&self, orderly: bool) -> bool {
        let threads = self.threads.lock().expect("no holder of this lock panics").take();
        let Some((thread, tiler, publisher)) = threads else { return false };
        self.inbox.end(orderly);
        self.exchange.wake();
        // A panic of the thread is told by its health.
        let _ = thread.join();
        // Behind the last commit, so that the last leaves are signed too.
        tiler.end(if orderly { End::Orderly } else { End::Abrupt });
        if let Some(publisher) = publisher {
            publisher.end();
        }
        true
    }

    /// Ends the thread as kill -9 would: without a last commit.
    #[cfg(test)]
    fn abandon(&self) {
        self.end(false);
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod faults;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod resumed;
#[cfg(test)]
mod retained;
#[cfg(test)]
mod rotated;
#[cfg(test)]
mod tests;
