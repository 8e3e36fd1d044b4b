//! Sends notices: one task for all of them, one after another, which neither queries nor a stop wait for.
//!
//! What is due follows from the policy in use and from the instant that the clock's guard bears out. A sending is tried, then
//! recorded, then noted: a crash in between may send it twice, and never leaves it out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::command::chain;
use super::folder::POLICY;
use super::{Daemon, RECORD_TIME, fetching};
use crate::admin::Check;
use crate::clock::{Clock, Reading};
use crate::config::Config;
use crate::control::{Actor, Reply, harmless};
use crate::feed::Archive;
use crate::fetch::{Bounds, Fetcher, Tls};
use crate::identify::{Names, Sources, look_once};
use crate::ledger::{self, Act, Change, KeyRing, Ledger, OWN};
use crate::notice::{
    Facts, Kept, Kind, MAIL, Notice, Rendered, Settings, Smtp, Templates, Waiting, Wanted, Webhook, gather, mail,
    marks, plan, secret,
};
use crate::pipeline::Pipeline;
use crate::report::{NodeBasis, policies};
use crate::store::Store;

/// How often it is looked what is due.
const PERIOD: Duration = Duration::from_secs(1);
/// How long after a failure a sending is tried again, at first; twice as long each further time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// What a request to a webhook is held to.
const BOUNDS: Bounds = Bounds { transferred: 64 << 10, unpacked: 64 << 10, time: Duration::from_secs(20) };
/// How long somebody who asks for a test waits for it.
const ASK_TIME: Duration = Duration::from_secs(50);
/// How long a notice waits at most until the index has what is on record, before that is a failure; and how often it is looked.
const INDEXED: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(100));
/// Archived policies beside the one in use by which devices are judged.
const POLICIES: usize = 4;

/// One way that notices go, as it was found usable.
pub(super) struct Channel {
    name: String,
    way: Way,
    tls: Tls,
}

#[derive(Clone)]
enum Way {
    Mail(Smtp),
    Hook(Webhook),
}

/// Ways and texts.
pub(super) struct Channels {
    channels: Vec<Channel>,
    templates: Templates,
}

/// How notices stand, for those who watch the daemon; and where tests are asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Notices(Arc<Mutex<Standing>>);

#[derive(Debug, Default)]
struct Standing {
    /// Of each way that fails, why.
    failing: BTreeMap<String, String>,
    ways: usize,
    asks: Option<mpsc::Sender<Ask>>,
}

/// Somebody who wants to see whether notices arrive.
struct Ask {
    by: String,
    reply: oneshot::Sender<Reply>,
}

/// Checks what notices need besides: templates, certificates and secrets.
pub(super) fn check(config: &Config, clock: &Arc<dyn Clock>) -> Result<Channels, Vec<String>> {
    let Settings { templates, smtp, webhooks, .. } = &config.notice;
    let mut faults = Vec::new();
    let templates = Templates::load(templates.as_deref());
    let templates = templates.map_err(|error| {
        faults.push(config.told("notice.template", format!("[notice] template: {}", chain(&error))));
    });
    let mut channels = Vec::new();
    let mail = smtp.iter().map(|smtp| (MAIL.to_owned(), Way::Mail(smtp.clone()), &smtp.ca, "notice.smtp".to_owned()));
    let hooks = webhooks.iter().enumerate().map(|(place, hook)| {
        (hook.name.clone(), Way::Hook(hook.clone()), &hook.ca, format!("notice.webhook[{place}]"))
    });
    for (name, way, ca, table) in mail.chain(hooks) {
        let mut fault = |key: &str, text: String| {
            faults.push(config.told(&format!("{table}.{key}"), format!("notice by {name}: {text}")));
        };
        match &way {
            Way::Mail(Smtp { login: Some((_, path)), .. }) => {
                if let Err(error) = secret(path, 1) {
                    fault("password_file", format!("cannot read the password in {}: {error}", path.display()));
                }
            }
            Way::Mail(_) => {}
            Way::Hook(hook) => drop(hook.key().map_err(|error| fault("secret_file", chain(&error)))),
        }
        match Tls::new(ca.as_deref(), Arc::clone(clock)) {
            Ok(tls) => channels.push(Channel { name: name.clone(), way, tls }),
            Err(error) => fault("ca", chain(&error)),
        }
    }
    match (templates, faults.is_empty()) {
        (Ok(templates), true) => Ok(Channels { channels, templates }),
        _ => Err(faults),
    }
}

impl Notices {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Has a test sent by each way; whoever asked is answered once all have been tried. Returns at once.
    pub(super) fn test(&self, by: &Actor, reply: oneshot::Sender<Reply>) {
        let Some(asks) = self.lock().asks.clone() else {
            let words = "nobody gets notices: see [notice.smtp] and [[notice.webhook]]; a rehearsal sends none";
            return drop(reply.send(Reply::refused(words)));
        };
        if let Err(full) = asks.try_send(Ask { by: by.to_string(), reply }) {
            let (mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) = full;
            let _ = ask.reply.send(Reply::refused("another test is under way"));
        }
    }

    /// Tells whether notices go out; nothing where nobody gets any. Answers do not depend on them.
    pub(super) fn health(&self) -> Option<Check> {
        let standing = self.lock();
        let failing: Vec<_> = standing.failing.iter().map(|(name, why)| format!("{name} fails: {why}")).collect();
        let detail = if failing.is_empty() { "none has failed".to_owned() } else { failing.join("; ") };
        (standing.ways > 0).then_some(Check { name: "notices", ok: failing.is_empty(), detail })
    }
}

impl Daemon {
    /// Starts to send notices. A rehearsal is nobody else's business. To be called within the runtime.
    pub(super) fn notify(&self, Channels { channels, templates }: Channels) {
        if channels.is_empty() || self.folder.is_rehearsal() {
            return;
        }
        let path = self.folder.notices();
        let kept = Kept::read(&path).unwrap_or_else(|error| {
            let aside = path.with_extension("json.damaged");
            let moved = std::fs::rename(&path, &aside).is_ok();
            tracing::error!(%error, moved, "what became of notices cannot be read; some may be sent again");
            Kept::default()
        });
        let (asks, asked) = mpsc::channel(1);
        *self.notices.lock() = Standing { failing: BTreeMap::new(), ways: channels.len(), asks: Some(asks) };
        let senders = channels.into_iter().map(|Channel { name, way, tls }| {
            let fetcher = fetching::fetcher_within(BOUNDS, &tls, &self.pipeline, &self.ledger);
            (name, (way, fetcher))
        });
        let task = Task {
            settings: self.config.notice.clone(),
            senders: senders.collect(),
            templates,
            kept,
            path,
            retries: BTreeMap::new(),
            notices: self.notices.clone(),
            source: Source {
                root: self.folder.root().to_owned(),
                index: self.folder.index(),
                sources: self.config.client.sources.clone(),
                pipeline: Arc::clone(&self.pipeline),
                list_devices: self.config.notice.list_devices,
            },
            clock: Arc::clone(&self.clock),
            ledger: Arc::clone(&self.ledger),
        };
        tokio::spawn(task.run(asked));
    }
}

/// Where what a notice says comes from.
#[derive(Clone)]
struct Source {
    root: PathBuf,
    index: PathBuf,
    sources: Sources,
    pipeline: Arc<Pipeline>,
    list_devices: bool,
}

struct Task {
    settings: Settings,
    senders: BTreeMap<String, (Way, Fetcher)>,
    templates: Templates,
    kept: Kept,
    path: PathBuf,
    /// When a sending is tried again, in time since boot.
    retries: BTreeMap<(String, String), Duration>,
    notices: Notices,
    source: Source,
    clock: Arc<dyn Clock>,
    ledger: Arc<Ledger>,
}

/// The instant that a notice falls due by: a leap ahead that nothing bears out brings none about.
fn trusted(now: &Reading) -> Timestamp {
    now.at.min(now.ends)
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut passing = tokio::time::interval(PERIOD);
        passing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = passing.tick() => self.round().await,
                Some(ask) = asked.recv() => self.test(ask).await,
            }
        }
    }

    /// Sends what is due, if anything is.
    async fn round(&mut self) {
        let now = self.clock.read();
        let at = trusted(&now);
        let marks = marks(&self.source.pipeline.moment().state.snapshot);
        let noted = self.kept.note(&marks, at);
        let plan = plan(&marks, &self.settings.days_before, self.settings.digest, &self.kept, at);
        if self.kept.take(&plan, &self.settings.channels()) || noted {
            self.keep().await;
        }
        let waiting = self.kept.waiting(&plan);
        let is_due = |of: &&Waiting| self.retries.get(&key(of)).is_none_or(|boot| *boot <= now.boot);
        let due: Vec<_> = waiting.iter().filter(is_due).cloned().collect();
        self.retries.retain(|key, _| waiting.iter().any(|of| self::key(of) == *key));
        let mut made: Option<(String, Result<Facts, String>)> = None;
        for of in due {
            let facts = match made.take_if(|(id, _)| *id == of.notice.id) {
                Some((_, facts)) => facts,
                None => self.facts(&of.notice, at).await,
            };
            let result = match &facts {
                Ok(facts) => self.send(&of.channel, &of.notice, facts).await,
                Err(why) => Err(format!("what it says cannot be had: {why}")),
            };
            made = Some((of.notice.id.clone(), facts));
            self.tried(of, at, result).await;
        }
    }

    /// Records a try, and then notes it.
    async fn tried(&mut self, of: Waiting, at: Timestamp, result: Result<String, String>) {
        match &result {
            Ok(_) => drop(self.notices.lock().failing.remove(&of.channel)),
            Err(why) => drop(self.notices.lock().failing.insert(of.channel.clone(), why.clone())),
        }
        self.record(OWN, &of.notice.id, &of.channel, &result).await;
        let failed = result.is_err();
        let tries = self.kept.tried(&of, at, result.map(|_| ()));
        if failed {
            let pause = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
            self.retries.insert(key(&of), self.clock.read().boot + pause);
        }
        self.keep().await;
    }

    async fn test(&mut self, ask: Ask) {
        let Ask { by, reply } = ask;
        let at = trusted(&self.clock.read());
        let unique: u64 = rand::random();
        let notice = Notice { id: format!("test@{at:.0}-{unique:016x}"), kind: Kind::Test, due: at, mark: None };
        let (mut told, mut failed) = (Vec::new(), Vec::new());
        let facts = self.facts(&notice, at).await;
        let deadline = self.clock.read().boot + ASK_TIME;
        for channel in self.senders.keys().cloned().collect::<Vec<_>>() {
            let late = self.clock.read().boot >= deadline;
            let result = match &facts {
                Ok(_) if late => Err("not tried: the others took too long".to_owned()),
                Ok(facts) => self.send(&channel, &notice, facts).await,
                Err(why) => Err(why.clone()),
            };
            self.record(&by, &notice.id, &channel, &result).await;
            match result {
                // A test that fails is told to whoever asked for it: no notice is late by it, and none would make it good.
                Ok(words) => {
                    self.notices.lock().failing.remove(&channel);
                    told.push(format!("{channel}: {words}"));
                }
                Err(why) => failed.push(format!("{channel}: {why}")),
            }
        }
        let _ = reply.send(match failed.is_empty() {
            true => Reply::Done { told, shown: None },
            false => Reply::Refused { told: failed.into_iter().chain(told).collect() },
        });
    }

    async fn facts(&self, notice: &Notice, at: Timestamp) -> Result<Facts, String> {
        self.indexed().await?;
        // By now the log has its name, so that a notice that is sent once more after a crash is known again.
        let node = self.ledger.health().log.origin.unwrap_or_else(host);
        let facts = Facts::new(&notice.id, notice.kind, at, &node, self.settings.look_back_days);
        let (source, notice) = (self.source.clone(), notice.clone());
        spawn_blocking(move || source.gather(&notice, facts)).await.map_err(|_| "it panicked".to_owned())?
    }

    /// Waits until the index has what is on record now: one that is being made tells of fewer devices than there are.
    async fn indexed(&self) -> Result<(), String> {
        let (wanted, deadline) = (self.ledger.health().leaves, self.clock.read().boot + INDEXED.0);
        loop {
            let source = self.source.clone();
            let reached = spawn_blocking(move || source.reached()).await.map_err(|_| "it panicked".to_owned())?;
            let late = self.clock.read().boot >= deadline;
            match reached {
                Ok(reached) if reached >= wanted => return Ok(()),
                Ok(reached) if late => {
                    return Err(format!("the index has {reached} of {wanted} records so far"));
                }
                Err(why) if late => return Err(why),
                Ok(_) | Err(_) => tokio::time::sleep(INDEXED.1).await,
            }
        }
    }

    /// Sends a notice by one way; returns to whom, or why it was not taken.
    async fn send(&self, channel: &str, notice: &Notice, facts: &Facts) -> Result<String, String> {
        let Some((way, fetcher)) = self.senders.get(channel) else { return Err("there is no such way".to_owned()) };
        let unique = notice.delivery(&facts.node, channel);
        let raw = self.clock.read().raw;
        match way {
            Way::Mail(smtp) => {
                let (templates, of) = (self.templates.clone(), facts.clone());
                let rendered = spawn_blocking(move || templates.render(&of)).await;
                let rendered: Rendered = rendered
                    .map_err(|_| "the template panicked".to_owned())?
                    .map_err(|error| harmless(&chain(&error)))?;
                let sent = mail(smtp, fetcher, &rendered, (&unique, &host(), raw)).await;
                sent.map_err(|error| harmless(&chain(&error)))?;
                let count = smtp.to.len();
                Ok(format!("sent to {count} {}", if count == 1 { "recipient" } else { "recipients" }))
            }
            Way::Hook(hook) => {
                let sent = hook.send(fetcher, facts, (&unique, raw)).await;
                sent.map(|()| "sent".to_owned()).map_err(|error| harmless(&chain(&error)))
            }
        }
    }

    async fn record(&self, by: &str, id: &str, channel: &str, result: &Result<String, String>) {
        let (accepted, why) = match result {
            Ok(words) => (true, words.clone()),
            Err(why) => (false, format!("not sent: {why}")),
        };
        match accepted {
            true => tracing::info!(notice = id, channel, "a notice was sent"),
            false => tracing::warn!(notice = id, channel, why, "a notice was not sent"),
        }
        let what = Some(harmless(&format!("notice {id} by {channel}")));
        self.ledger.change(Change { by: by.to_owned(), what, ..Change::own(Act::Notice, accepted, &why, None) });
        let ledger = Arc::clone(&self.ledger);
        // On disk before it is noted as sent. A disk that takes nothing is told elsewhere.
        let _ = spawn_blocking(move || ledger.flush(RECORD_TIME)).await;
    }

    async fn keep(&self) {
        let (kept, path) = (self.kept.clone(), self.path.clone());
        if let Ok(Err(error)) = spawn_blocking(move || kept.write(&path)).await {
            tracing::error!(%error, "what became of notices cannot be kept; after a restart some may be sent again");
        }
    }
}

fn told(error: &dyn std::error::Error) -> String {
    harmless(&chain(error))
}

impl Source {
    /// Returns how many leaves the index has read.
    fn reached(&self) -> Result<u64, String> {
        let store = Store::reader(&self.index).map_err(|error| told(&error))?;
        store.reached().map_err(|error| told(&error))
    }

    /// Reads what records tell. May take its time.
    fn gather(&self, notice: &Notice, facts: Facts) -> Result<Facts, String> {
        let store = Store::reader(&self.index).map_err(|error| told(&error))?;
        let snapshot = Arc::clone(&self.pipeline.moment().state.snapshot);
        let digest = hex::encode(snapshot.digest());
        let basis =
            NodeBasis { first: 0, last: u64::MAX, logs: Vec::new(), keys: Vec::new(), anchor: None, verified: false };
        let used = policies(&store, &basis, (Timestamp::MIN, facts.at)).map_err(|error| told(&error))?;
        let mut used: Vec<_> = used.into_iter().filter(|(_, of)| *of != digest).collect();
        used.sort();
        let newest = used.split_off(used.len().saturating_sub(POLICIES));
        let folder = self.root.join(POLICY);
        let compiled = |text: String| {
            let mut digest = [0; 32];
            hex::decode_to_slice(&text, &mut digest).ok()?;
            Some((text, Archive::open(&folder, &digest).ok()?.compile(1).ok()?))
        };
        let mut known: Vec<_> = newest.into_iter().filter_map(|(_, text)| compiled(text)).collect();
        known.push(compiled(digest).ok_or("the policy in use is not archived")?);
        let names = Names::new(look_once(&self.sources, facts.at));
        let keys = KeyRing::reader(&ledger::Settings::new(&self.root).keys);
        let names = |label: &str| names.of(label);
        let list_devices = self.list_devices;
        let mut wanted = Wanted { store: &store, policies: &known, keys, names: &names, list_devices };
        gather(&mut wanted, notice, facts).map_err(|error| told(&error))
    }
}

fn key(of: &Waiting) -> (String, String) {
    (of.notice.id.clone(), of.channel.clone())
}

/// How this machine is called.
fn host() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}
