//! A reload: configuration, catalogues, orders and lists anew, beside what runs.

use std::sync::Arc;

use super::standing::Standing;
use super::{Daemon, Invocation, Work, build, candidate, loops, service};
use crate::config::Config;
use crate::ledger::Change;
use crate::policy;
use crate::resolve::Servers;

/// Who reloads: whoever may send the daemon a signal, which does not say more.
pub(super) const HANGUP: &str = "signal SIGHUP";

impl Daemon {
    /// Loads configuration, catalogues and orders anew: all of it, or none and every fault is told. `by` says whose
    /// doing that is.
    pub(super) fn reload(&self, work: &mut Work, invocation: &Invocation<'_>, by: &str) {
        service::reloading();
        self.files.read();
        work.number += 1;
        let loaded = (invocation.load)().map_err(|of| of.iter().map(ToString::to_string).collect::<Vec<_>>());
        loaded.iter().for_each(|config| self.files.follow(config));
        let built = loaded.and_then(|config| {
            let known = Servers::of(&self.pipeline.moment().state.routes);
            let built = build::build(&config, work.number, &self.clock, (work.waivers.register.kept(), &known))?;
            // At a start that would keep everybody from resolving; here, what its waivers lifted goes on as it was.
            if !built.unread.is_empty() {
                return Err(built.unread);
            }
            self.folder.archive(&built.archive).map_err(|error| vec![error.to_string()])?;
            Ok((config, built))
        });
        let (config, mut built) = match built {
            Ok(built) => built,
            Err(mut faults) => {
                // A file that lies out of reach looks as if it were not there, or not to be read.
                faults.extend((invocation.load)().iter().flat_map(|config| self.beyond(config)));
                for fault in &faults {
                    tracing::error!(%fault, "reload refused");
                }
                self.metrics.count_reload(false);
                self.ledger.change(Change { by: by.to_owned(), ..Change::reload_refused(&faults) });
                self.standing().refused = faults.into_iter().next();
                if work.background.is_idle() {
                    service::ready("the last reload was refused; what was in force before it still is");
                }
                return;
            }
        };
        let later = [restart_needed(&self.config, &config), self.beyond(&config)].concat();
        for note in built.notes.iter().chain(&later) {
            tracing::warn!("{note}");
        }
        let digest = *built.state.snapshot.digest();
        let changes = policy::changes(self.pipeline.moment().state.snapshot.inputs(), built.state.snapshot.inputs());
        for change in &changes {
            tracing::warn!("with this reload: {change}");
        }
        candidate::go_on(&mut built.state, &self.pipeline.moment().state);
        // What orders say does not wait for the lists, whose turn comes last.
        built.state.lists = Arc::clone(&self.pipeline.moment().state.lists);
        self.ledger.install(&built.state.snapshot);
        work.waivers.take(&mut built);
        // The new groups have their members before anybody is decided by them.
        self.identifier.configure(config.client.sources.clone(), Arc::clone(&built.state.clients));
        self.pipeline.install(built.state);
        self.ledger.change(Change { by: by.to_owned(), ..Change::reloaded(&digest, &changes) });
        let before = work.archive.operator().waivers.clone();
        work.waivers.tell(&self.ledger, &before, &built.archive, &self.clock.read());
        let lists = self.standing().lists.clone();
        let mut standing = Standing { candidate: built.candidate, lists, ..Standing::default() };
        standing.name(&self.folder, &built.archive, &self.ledger);
        *self.standing() = standing;
        (work.config, work.archive) = (config, built.archive);
        self.fetch(work, &built.tls);
        self.tally(work);
        self.load_lists(work);
        tokio::spawn(loops::look(Arc::clone(&self.pipeline)));
    }
}

impl Daemon {
    /// Says what of a reload lies out of reach, beside what waits for a restart anyway.
    fn beyond(&self, new: &Config) -> Vec<String> {
        let Config { data_dir, control, ledger, export, notice, .. } = self.config.clone();
        self.sandbox.beyond(&Config { data_dir, control, ledger, export, notice, ..new.clone() })
    }
}

/// Says which changes of a reload wait for a restart.
fn restart_needed(old: &Config, new: &Config) -> Vec<String> {
    let changed = [
        ("data_dir", old.data_dir != new.data_dir),
        ("[listen]", old.listen != new.listen),
        ("[limit]", old.limit != new.limit),
        ("[admin]", old.admin != new.admin),
        ("[control] listen", old.control.listen != new.control.listen),
        ("[cache] size_mib", old.cache.size != new.cache.size),
        ("[cache] save", old.cache.save != new.cache.save),
        ("[ledger]", old.ledger != new.ledger),
        ("[export]", old.export != new.export),
        ("[notice]", old.notice != new.notice),
        ("[daemon]", old.daemon != new.daemon),
        ("[log]", old.log != new.log),
    ];
    let changed = changed.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(key, _)| format!("{key} was changed; that takes effect at the next start")).collect()
}
