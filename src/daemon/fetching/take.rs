//! What the daemon makes of a fetched file: it is put in force, recorded and told.

use std::sync::Arc;

use super::{Event, Taken, What};
use crate::daemon::{Daemon, Work, lists};
use crate::fetch::Tls;
use crate::ledger::{Act, Change, OWN};
use crate::pipeline;

impl Daemon {
    /// Fetches what the configuration in use names from now on.
    pub(in crate::daemon) fn fetch(&self, work: &mut Work, tls: &Tls) {
        let path = (&self.pipeline, self.ledger.as_ref());
        work.fetching.configure(&work.config, tls, path, (&self.clock, &self.metrics, &self.fetches));
    }

    /// Puts what was fetched in force, records that, and answers whoever asked for it.
    pub(in crate::daemon) fn take(&self, work: &mut Work, event: Event) {
        // What was loaded before this file was kept has to be in place before it.
        while let Ok(loaded) = work.background.loaded.try_recv() {
            self.take_lists(work, loaded);
        }
        let Event { wanted, result, asked } = event;
        let by = asked.first().map_or_else(|| OWN.to_owned(), |ask| ask.by.to_string());
        let told = match wanted.what {
            What::List(_) => self.take_list(work, &wanted.name, result, by),
            What::Document(item, _) => self.take_document(work, &item, &wanted.origin, result, by),
        };
        for ask in asked {
            // Whoever asked may be gone.
            let _ = ask.done.send(told.clone());
        }
    }

    fn take_list(&self, work: &mut Work, name: &str, result: Taken, by: String) -> Result<String, String> {
        let Some(config) = work.config.lists.lists.iter().find(|of| of.source.name == name && of.origin.is_some())
        else {
            return Err("it is in the configuration no more".to_owned());
        };
        let url = config.origin.as_ref().map(|origin| origin.source.shown()).unwrap_or_default();
        let change = |accepted, why: &str, what| {
            let of = Change::own(Act::List, accepted, &crate::control::harmless(why), None);
            self.ledger.change(Change { by: by.clone(), what: Some(what), ..of });
        };
        match result {
            Taken::Same => Ok("as it was".to_owned()),
            Taken::Failed { reason, refused: false, .. } => {
                tracing::warn!(list = name, url, reason, "a list was not fetched; it is tried again");
                Err(reason)
            }
            Taken::Failed { reason, refused: true, again } => {
                tracing::error!(list = name, url, reason, "a fetched list was refused; the last good one stays");
                // Once, not each time that it is tried again.
                if !again {
                    change(false, &reason, format!("list {name} from {url}"));
                }
                Err(reason)
            }
            Taken::Document(_) => unreachable!("a list was asked for"),
            Taken::List { list, before, digest } => {
                let rules = list.len();
                let had = before.map_or("none".to_owned(), |before| before.to_string());
                tracing::info!(list = name, url, rules, before = had, "a list was fetched");
                work.number += 1;
                let state = pipeline::State::clone(&self.pipeline.moment().state);
                let replaced = Arc::clone(&state.lists);
                let lists = lists::with(&work.config, &state.lists, (name, *list), work.number, &self.metrics);
                self.pipeline.install(pipeline::State { lists: Arc::new(lists), ..state });
                work.background.retire(replaced);
                self.standing().lists.retain(|fault| !fault.starts_with(&format!("list {name}: ")));
                let words = format!("{rules} rules, before {had}");
                change(true, "fetched", format!("list {name} from {url}: {words}; SHA-256 {digest}"));
                Ok(words)
            }
        }
    }
}
