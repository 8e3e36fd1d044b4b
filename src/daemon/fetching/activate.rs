//! Catalogues and orders that were fetched: told when they come, and put in force together.

use std::sync::Arc;

use super::Taken;
use crate::config::Origin;
use crate::control::{Actor, Reply, harmless, reason as checked};
use crate::daemon::{Daemon, Work};
use crate::feed::{Fault, Item, Pending, Shelf};
use crate::ledger::{Act, Change, OWN};
use crate::pipeline;
use crate::policy;

/// Who puts something in force, and why.
struct Order<'a> {
    by: &'a str,
    why: &'a str,
}

impl Daemon {
    /// Tells of a document that came, and puts it in force where nobody is to do that.
    pub(super) fn take_document(
        &self,
        work: &mut Work,
        item: &Item,
        origin: &Origin,
        result: Taken,
        by: String,
    ) -> Result<String, String> {
        let shelf = work.config.shelf();
        if !shelf.items.contains(item) {
            return Err("it is in the configuration no more".to_owned());
        }
        let (name, url) = (item.name.as_str(), origin.source.shown());
        let words = match result {
            Taken::List { .. } => unreachable!("a document was asked for"),
            Taken::Failed { reason, refused: false, .. } => {
                tracing::warn!(name, url, reason, "a catalogue or order was not fetched; it is tried again");
                return Err(reason);
            }
            Taken::Failed { reason, refused: true, again } => {
                tracing::error!(name, url, reason, "a fetched catalogue or order was refused; what is in force stays");
                if !again {
                    let what = Some(format!("{} {name} from {url}", item.kind));
                    self.ledger.change(Change { by, what, ..Change::own(Act::Document, false, &reason, None) });
                }
                return Err(reason);
            }
            Taken::Same => "as it was".to_owned(),
            Taken::Document(news) => {
                tracing::warn!(url, "a catalogue or order was fetched, and waits to be put in force: {}", news.words());
                news.words()
            }
        };
        if !item.automatic {
            let waits = shelf.pending(|of| of == item).is_ok_and(|pending| !pending.news.is_empty());
            return Ok(if waits { format!("{words}; it waits, see `interdict policy pending`") } else { words });
        }
        let order = Order { by: OWN, why: "fetched, and set to be put in force at once" };
        match shelf.pending(|item| item.automatic) {
            Ok(pending) if pending.news.is_empty() => Ok(words),
            Ok(pending) => match self.put_in_force(work, &shelf, &pending, &order) {
                Ok(told) => Ok(told.join("; ")),
                // One that needs another is put in force with that.
                Err(_) if shelf.items.iter().any(|of| of.automatic && !of.file.exists()) => {
                    Ok(format!("{words}; it waits for others that are yet to be fetched"))
                }
                Err(faults) => Err(self.not_in_force(&pending, &order, &faults)),
            },
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// Puts in force what waits, if it is what whoever commands it has looked at.
    pub(in crate::daemon) fn activate_asked(&self, work: &mut Work, by: &Actor, digest: &str, reason: &str) -> Reply {
        let shelf = work.config.shelf();
        let asked = Some(format!("asked for: the set {}", harmless(digest)));
        let pending = checked(reason).and_then(|reason| {
            let pending = shelf.pending(|_| true).map_err(|fault| fault.to_string())?;
            match pending.digest() {
                _ if pending.news.is_empty() => Err("nothing waits to be put in force".to_owned()),
                now if now != digest => {
                    Err(format!("what waits now is the set {now}; look at it with `interdict policy pending` first"))
                }
                _ => Ok((pending, reason)),
            }
        });
        let (pending, reason) = match pending {
            Ok(pending) => pending,
            Err(fault) => return self.refuse(Act::Activate, by, vec![fault], asked),
        };
        let by_name = by.to_string();
        match self.put_in_force(work, &shelf, &pending, &Order { by: &by_name, why: &reason }) {
            Ok(told) => Reply::Done { told, shown: None },
            Err(faults) => self.refuse(Act::Activate, by, faults, asked),
        }
    }

    /// Compiles, keeps, records, and only then lets policy go by it. Returns what was done, in words.
    fn put_in_force(
        &self,
        work: &mut Work,
        shelf: &Shelf,
        pending: &Pending,
        order: &Order<'_>,
    ) -> Result<Vec<String>, Vec<String>> {
        let faults = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        let archive = work.archive.with_fetched(pending.documents(shelf));
        let snapshot = Arc::new(archive.compile(work.number + 1).map_err(faults)?);
        let state = pipeline::State::clone(&self.pipeline.moment().state);
        let effect = policy::effect(&state.snapshot, &snapshot, self.clock.read().at);
        self.folder.archive(&archive).map_err(|error| vec![error.to_string()])?;
        pending.store(shelf).map_err(|error| vec![format!("it cannot be kept: {error}")])?;
        work.number += 1;
        self.ledger.install(&snapshot);
        let news: Vec<_> = pending.news.iter().map(|news| news.words()).collect();
        let what = Some(harmless(&format!("{}; {effect}", news.join("; "))));
        let own = Change::own(Act::Activate, true, order.why, Some(archive.digest()));
        let mut told = self.record(Change { by: order.by.to_owned(), what, ..own });
        tracing::warn!(by = order.by, "put in force: {}; {effect}", news.join("; "));
        let unnamed = (!told.is_empty()).then(|| archive.clone());
        self.standing().unarchived =
            unnamed.or_else(|| self.folder.activate(&archive).is_err().then(|| archive.clone()));
        let shadow = self.beside(&snapshot, work.waivers.register.kept(), state.shadow.as_deref());
        self.pipeline.install(pipeline::State { snapshot, shadow, ..state });
        work.archive = archive;
        told.splice(0..0, news.into_iter().chain([effect.to_string()]));
        Ok(told)
    }

    /// Tells that what came could not be put in force, which stays as it was.
    fn not_in_force(&self, pending: &Pending, order: &Order<'_>, faults: &[String]) -> String {
        let reason = harmless(&faults.join("; "));
        let news: Vec<_> = pending.news.iter().map(|news| news.words()).collect();
        tracing::error!(reason, "cannot be put in force: {}", news.join("; "));
        let what = Some(news.join("; "));
        self.ledger.change(Change {
            by: order.by.to_owned(),
            what,
            ..Change::own(Act::Activate, false, &reason, None)
        });
        format!("it cannot be put in force: {reason}")
    }
}
