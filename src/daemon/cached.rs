//! Shows and forgets kept answers on command. Both are about speed and freshness: neither changes what policy decides.

use super::Daemon;
use crate::cache::{Range, Shown, Standing};
use crate::control::{Actor, Reply, ShownAnswer, ShownCache, harmless};
use crate::message::{Malformed, Name, ResponseCode, flag};

impl Daemon {
    pub(super) fn show_cache(&self) -> Reply {
        let cache = self.pipeline.cache();
        let (misses, hits) = self.metrics.cache_lookups();
        let shown = ShownCache { answers: cache.len() as u64, octets: cache.weight(), hits, misses };
        show(&shown)
    }

    /// Shows what is kept of a name, sorted by type.
    pub(super) fn show_kept(&self, name: &str) -> Reply {
        let name = match read(name) {
            Ok(name) => name,
            Err(refused) => return refused,
        };
        let moment = self.pipeline.moment();
        let (boot, stale) = (moment.now.boot, moment.state.asking.stale);
        let mut kept = self.pipeline.cache().of(&name);
        kept.sort_by_key(|Shown { question, dnssec_ok, checking_disabled, entry }| {
            (question.record_type, *dnssec_ok, *checking_disabled, entry.stored)
        });
        let answers = kept.into_iter().filter_map(|Shown { question, dnssec_ok, checking_disabled, entry }| {
            let (state, left) = match entry.standing(boot, stale) {
                Standing::Fresh { age, .. } => ("fresh", entry.body.lifetime - age),
                Standing::Stale { .. } => ("stale", 0),
                Standing::Over => return None,
            };
            let records = entry.body.lines(&question.name, question.record_type, question.class);
            Some(ShownAnswer {
                record_type: question.record_type.to_string(),
                dnssec_ok,
                checking_disabled,
                state: state.to_owned(),
                left,
                rcode: ResponseCode(entry.body.flags & flag::RCODE).to_string(),
                records: records.unwrap_or_else(|Malformed| vec!["; records that cannot be shown".to_owned()]),
            })
        });
        show(&answers.collect::<Vec<_>>())
    }

    pub(super) fn flush(&self, by: &Actor, name: Option<&str>, below: bool) -> Reply {
        let range = match (name.map(read).transpose(), below) {
            (Err(refused), _) => return refused,
            (Ok(None), _) => Range::All,
            (Ok(Some(name)), true) => Range::Below(name),
            (Ok(Some(name)), false) => Range::Name(name),
        };
        let gone = self.pipeline.cache().flush(&range);
        tracing::info!(by = %by, answers = gone, "kept answers were forgotten on command");
        Reply::done(format!("{gone} answers were forgotten"))
    }
}

fn show(shown: &impl serde::Serialize) -> Reply {
    match serde_json::to_value(shown) {
        Ok(shown) => Reply::Done { told: Vec::new(), shown: Some(shown) },
        Err(error) => Reply::refused(error.to_string()),
    }
}

fn read(name: &str) -> Result<Name, Reply> {
    name.parse().map_err(|error| Reply::refused(format!("`{}` is no name: {error}", harmless(name))))
}
