//! What is kept of answers: stale ones where no upstream answers (RFC 8767), those that are asked for anew in time, and those
//! that outlive a restart.
//!
//! Decides nothing: whatever is kept here is decided on when it is given.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use tokio::sync::{Notify, Semaphore};

use super::{Moment, Pipeline, inspected};
use crate::cache::{Boot, Entry, Key, Saved, SavedAnswer, Saver, Standing};
use crate::message::ResponseView;
use crate::observe::Served;
use crate::query::{Query, Question};
use crate::resolve::{Failed, Failure, Resolved};

/// How long a client waits for upstreams while there is a stale answer (RFC 8767, section 5: the client response timer).
const PATIENCE: Duration = Duration::from_millis(1800);
/// How many questions may wait to be asked anew; more are left to whoever asks next.
const WAITING: usize = 256;
/// How many of them are under way at a time.
const UNDER_WAY: usize = 64;

/// Questions that are to be asked anew without anybody waiting for it.
pub(super) struct Renewals {
    waiting: ArrayQueue<Query>,
    more: Notify,
}

impl Default for Renewals {
    fn default() -> Self {
        Self { waiting: ArrayQueue::new(WAITING), more: Notify::new() }
    }
}

impl Renewals {
    /// Takes a question; waits for nobody and allocates nothing.
    fn add(&self, query: Query) {
        if self.waiting.push(query).is_ok() {
            self.more.notify_one();
        }
    }

    async fn next(&self) -> Query {
        loop {
            if let Some(query) = self.waiting.pop() {
                return query;
            }
            self.more.notified().await;
        }
    }
}

impl Pipeline {
    /// Finds the true answer. Where there is a stale one, the client waits for a while only, and the question goes on
    /// without it.
    pub(super) async fn resolve_or_wait(&self, query: &Query, moment: &Moment) -> Arc<Resolved> {
        let routes = (&*moment.state.routes, moment.view(query));
        let asked = self.resolver.resolve(query, routes, &moment.state.asking);
        if !self.has_stale(query, moment) {
            return asked.await;
        }
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(resolved) => resolved,
            Err(_) => {
                self.renewals.add(query.clone());
                Arc::new(Resolved::Failed(Failed { failure: Failure::TimedOut, extended_error: None }))
            }
        }
    }

    /// Returns whether a stale answer to the question is kept.
    fn has_stale(&self, query: &Query, moment: &Moment) -> bool {
        let kept = self.cache.get(&Key::new(query, moment.view(query).generation));
        let standing = kept.map(|entry| entry.standing(moment.now.boot, moment.state.asking.stale));
        matches!(standing, Some(Standing::Stale { .. }))
    }

    /// Keeps an answer, or the failure to get one, and returns what is to be given: in place of a failure what is stale, or
    /// what came meanwhile for somebody else. An answer that is `bogus` brings nothing stale about: whoever made it would
    /// decide how long that goes on.
    pub(super) fn keep(
        &self,
        query: &Query,
        generation: u32,
        (entry, served, bogus): (Entry, Served, bool),
        moment: &Moment,
    ) -> (Arc<Entry>, Standing, Served) {
        let key = Key::new(query, generation);
        let before = if served == Served::Failure { self.cache.get(&key) } else { None };
        let stale = moment.state.asking.stale;
        let standing = before.as_ref().map_or(Standing::Over, |entry| entry.standing(moment.now.boot, stale));
        match (before, standing) {
            (Some(before), Standing::Fresh { .. }) if !before.is_failure() => return (before, standing, Served::Cache),
            (Some(before), Standing::Stale { .. }) if !bogus => {
                let entry = Arc::new(Entry { failed: Some(moment.now.boot), ..Entry::clone(&before) });
                self.cache.insert(&key, Arc::clone(&entry));
                return (entry, standing, Served::Stale);
            }
            (Some(_), Standing::Fresh { .. } | Standing::Stale { .. } | Standing::Over) | (None, _) => {}
        }
        let entry = Arc::new(entry);
        if served != Served::Local && entry.body.lifetime > 0 {
            self.cache.insert(&key, Arc::clone(&entry));
        }
        (entry, Standing::Fresh { age: 0, ending: false }, served)
    }

    /// Has an answer asked for anew whose lifetime is nearly over, where somebody still asks for it.
    pub(super) fn renew_in_time(&self, query: &Query, entry: &Entry, standing: Standing, moment: &Moment) {
        let ending = matches!(standing, Standing::Fresh { ending: true, .. });
        if ending && moment.state.asking.prefetch && entry.renewed.take() {
            self.renewals.add(query.clone());
        }
    }

    /// Asks anew what is to be asked anew, for as long as the runtime runs.
    pub async fn renew(self: Arc<Self>) {
        let places = Arc::new(Semaphore::new(UNDER_WAY));
        loop {
            let query = self.renewals.next().await;
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let pipeline = Arc::clone(&self);
            tokio::spawn(async move {
                pipeline.ask_anew(&query).await;
                drop(place);
            });
        }
    }

    /// What fails leaves the answer as it is: whoever asks after its lifetime finds out.
    async fn ask_anew(&self, query: &Query) {
        let asked = self.moment();
        let view = asked.view(query);
        let resolved = self.resolver.resolve(query, (&asked.state.routes, view), &asked.state.asking).await;
        let moment = self.moment();
        let (entry, served) = inspected(&query.question, &resolved, &moment);
        if served == Served::Upstream {
            self.keep(query, view.generation, (entry, served, false), &moment);
        }
    }

    /// Writes what is kept, for the next start in the same boot.
    ///
    /// # Errors
    /// As `out` has them.
    pub fn save(&self, out: impl io::Write, boot: Boot) -> io::Result<()> {
        let now = self.clock.read();
        let mut saver = Saver::new(out, (boot, now.boot))?;
        self.cache.save(&mut saver, now.boot)?;
        saver.finish()?.flush()
    }

    /// Takes up what was kept before the start, and returns how many answers that were; none where `octets` are anything else
    /// than [`Pipeline::save`] wrote, or of another boot: nobody knows how long the machine was off. Each is inspected and decided on like any that comes, and
    /// none takes the place of one that came since.
    pub fn take_up(&self, octets: &[u8], boot: Boot) -> usize {
        let Some(saved) = Saved::read(octets).filter(|saved| saved.boot == boot) else { return 0 };
        let (since, flushes) = (saved.since, self.cache.flushes());
        // What is forgotten meanwhile does not come back.
        let saved = saved.take_while(|_| self.cache.flushes() == flushes);
        saved.filter(|answer| self.take_up_one(answer, since).is_some()).count()
    }

    fn take_up_one(&self, answer: &SavedAnswer<'_>, since: Duration) -> Option<()> {
        let moment = self.moment();
        // Rounded up: nothing lives longer than it would have.
        let passed = moment.now.boot.checked_sub(since)? + Duration::from_millis(999);
        let since = u32::try_from(passed.as_secs()).ok()?;
        let left = answer.lifetime.checked_sub(since).filter(|left| *left > 0)?;
        let is_asked_so = moment.state.routes.views().any(|view| view.generation == answer.generation);
        if !is_asked_so || self.cache.get(&answer.key).is_some() {
            return None;
        }
        let Question { name, record_type, class } = &answer.question;
        if !ResponseView::asked(answer.message, name, *record_type, *class) {
            return None;
        }
        let resolved = Resolved::again(answer.message, moment.state.asking.lifetimes);
        let (mut entry, served) = inspected(&answer.question, &resolved, &moment);
        entry.body.grow_older(since);
        entry.body.lifetime = entry.body.lifetime.min(left);
        if served != Served::Upstream || entry.body.lifetime == 0 {
            return None;
        }
        self.cache.insert(&answer.key, Arc::new(entry));
        Some(())
    }
}
