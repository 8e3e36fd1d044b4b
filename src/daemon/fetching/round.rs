//! One file: when it is due, and what becomes of what came.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::super::command::chain;
use super::{Ask, Event, Shared, Taken, Wanted, What};
use crate::fetch::{Failing, Kept, Outcome, Validators};
use crate::lists::{self, Admitted, LoadError, index::Key};
use crate::observe::Fetched;

/// How long after a failure a file is tried again, at first; twice as long each further time.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The largest catalogue or order, in octets.
const MAX_DOCUMENT: usize = 16 << 20;

/// Fetches a file whenever it is due, and whenever somebody asks, until the task is dropped.
pub(super) async fn keep_fresh(shared: Arc<Shared>, wanted: Wanted, alive: Weak<()>, mut asks: mpsc::Receiver<Ask>) {
    let mut wait = first_wait(&shared, &wanted);
    let mut failures = 0;
    loop {
        let mut asked = Vec::new();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Some(ask) = asks.recv() => asked.push(ask),
        }
        asked.extend(std::iter::from_fn(|| asks.try_recv().ok()));
        let result = {
            let Ok(_place) = shared.places.acquire().await else { return };
            round(&shared, &wanted, &alive).await
        };
        let refresh = wanted.origin.refresh;
        (failures, wait) = match result {
            Taken::Same | Taken::List { .. } | Taken::Document(_) => (0, refresh),
            Taken::Failed { .. } => (failures + 1, pause(failures, refresh)),
        };
        // Those who fetch the same files must not all come at once.
        wait = wait.mul_f64(rand::rng().random_range(0.9..1.1));
        let (kind, name) = wanted.id();
        shared.metrics.count_fetch(kind, &name, result.word());
        let event = Event { wanted: wanted.clone(), result, asked };
        if shared.events.send(event).await.is_err() {
            return;
        }
    }
}

impl Taken {
    const fn word(&self) -> Fetched {
        match self {
            Self::Same => Fetched::Same,
            Self::List { .. } | Self::Document(_) => Fetched::New,
            Self::Failed { refused: true, .. } => Fetched::Refused,
            Self::Failed { refused: false, .. } => Fetched::Failed,
        }
    }
}

/// What is kept may be young enough; what is not kept, or not on these terms, is fetched at once.
fn first_wait(shared: &Shared, Wanted { origin, .. }: &Wanted) -> Duration {
    let kept = origin.place.read();
    if !kept.is_of(&origin.source) || kept.failing.is_some() || !origin.place.file.exists() {
        return Duration::ZERO;
    }
    let age = kept.checked.map(|checked| shared.clock.read().raw.duration_since(checked));
    match age.and_then(|age| Duration::try_from(age).ok()) {
        Some(age) => origin.refresh.saturating_sub(age),
        // Never checked, or in a time that is yet to come.
        None => Duration::ZERO,
    }
}

/// Returns how long after so many failures in a row a file is tried again, which is no later than it would be fetched anyway.
fn pause(failures: u32, refresh: Duration) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(refresh)
}

/// Fetches the file, judges it, and keeps it and what is known of it.
async fn round(shared: &Arc<Shared>, wanted: &Wanted, alive: &Weak<()>) -> Taken {
    let (origin, before) = (&wanted.origin, wanted.origin.place.read());
    let has_file = origin.place.file.exists();
    // What has the one SHA-256 that it may have is never another.
    let is_pinned = has_file && before.is_of(&origin.source) && origin.source.trust.digest.is_some();
    let known = if has_file { before.validators(&origin.source) } else { Validators::default() };
    let fetched = match is_pinned && before.fetched.is_some() {
        true => Ok(Outcome::Unchanged),
        false => shared.fetcher.load_full().fetch(&origin.source, &known).await,
    };
    let now = shared.clock.read().raw;
    let good = Kept { failing: None, checked: Some(now), ..before.clone() };
    let (result, kept) = match fetched {
        Ok(Outcome::Unchanged) => (Taken::Same, good),
        Err(error) => {
            let refused = error.is_refusal();
            failed(chain(&error), refused, &before, now)
        }
        Ok(Outcome::File { octets, validators }) => {
            let (for_thread, alive) = (wanted.clone(), Weak::clone(alive));
            // The thread outlives this task, and must not keep what came for it over what came for the next one.
            let admitted = shared.runner.run(move || match alive.upgrade() {
                Some(_) => admit(octets, &for_thread),
                None => Err(("it is fetched no more".to_owned(), false)),
            });
            let admitted = admitted.await;
            match admitted.unwrap_or_else(|| Err(("it cannot be read: a fault of this program".to_owned(), true))) {
                Err((reason, refused)) => failed(reason, refused, &before, now),
                Ok(result) => {
                    let Validators { etag, last_modified } = validators;
                    let (url, trust) = (origin.source.url.to_string(), origin.source.trust.to_string());
                    let kept = Kept { url, trust, etag, last_modified, fetched: Some(now), ..good };
                    (result, kept)
                }
            }
        }
    };
    if let Err(error) = origin.place.note(&kept) {
        tracing::warn!(list = wanted.name, %error, "cannot write down what was fetched; it is fetched again at the next start");
    }
    shared.statuses.note(wanted, kept);
    result
}

fn failed(reason: String, refused: bool, before: &Kept, now: jiff::Timestamp) -> (Taken, Kept) {
    let reason = crate::control::harmless(&reason);
    let again = before.failing.as_ref().is_some_and(|of| of.reason == reason);
    let failing = Some(Failing { at: now, reason: reason.clone(), refused });
    (Taken::Failed { reason, refused, again }, Kept { failing, ..before.clone() })
}

/// Keeps the octets once they are known to be good. Where they are not, returns why, and whether that is their fault.
fn admit(octets: Vec<u8>, wanted: &Wanted) -> Result<Taken, (String, bool)> {
    match &wanted.what {
        What::List(source) => admit_list(&octets, source, wanted),
        What::Document(item, shelf) => {
            let text = String::from_utf8(octets).map_err(|_| ("it is no UTF-8 text".to_owned(), true))?;
            if text.len() > MAX_DOCUMENT {
                return Err((format!("it is larger than {MAX_DOCUMENT} octets"), true));
            }
            let news = shelf.judge(item, &text).map_err(|unwanted| (unwanted.to_string(), true))?;
            let place = &wanted.origin.place;
            let is_same = std::fs::read(&place.file).is_ok_and(|kept| kept == text.as_bytes());
            place.keep(text.as_bytes()).map_err(|error| (format!("it cannot be kept: {error}"), false))?;
            let in_force = news.before == Some(news.version);
            Ok(if is_same || in_force { Taken::Same } else { Taken::Document(news) })
        }
    }
}

/// Keeps the octets of a list as they came, and compiled.
fn admit_list(octets: &[u8], source: &lists::Source, wanted: &Wanted) -> Result<Taken, (String, bool)> {
    let place = &wanted.origin.place;
    let folder = place.file.parent().unwrap_or(Path::new("."));
    let store = || place.keep(octets);
    let fault = |error: LoadError| (chain(&error), !matches!(error, LoadError::Keep { .. }));
    let admitted = lists::admit(octets, source, folder, store, || Key(rand::random())).map_err(fault)?;
    let Admitted { list, before, changed, refusals } = admitted;
    for line in super::super::told(&place.file, &refusals).take(super::super::lists::MAX_TOLD) {
        tracing::warn!(list = wanted.name, "{line}");
    }
    let digest = hex::encode(Sha256::digest(octets));
    Ok(if changed { Taken::List { list: Box::new(list), before, digest } } else { Taken::Same })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_later_and_later_and_never_later_than_usual() {
        let day = Duration::from_secs(86_400);
        let pauses: Vec<_> = [0, 1, 2, 10, 11, 1000].map(|failures| pause(failures, day).as_secs()).into();
        assert_eq!(pauses, [60, 120, 240, 61_440, 86_400, 86_400]);
        assert_eq!(pause(0, Duration::from_secs(30)).as_secs(), 30);
    }
}
