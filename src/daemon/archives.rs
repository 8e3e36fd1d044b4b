//! Archived policies go once no kept record names them. They are looked for beside everything else, and removed between reloads and
//! commands, so that none goes that is about to be used.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::oneshot;

use super::folder::POLICY;
use super::{Daemon, Work};
use crate::feed::Archive;
use crate::ledger;

/// How often it is looked.
const PACE: Duration = Duration::from_secs(3600);
/// How much older than the oldest record an archive is at least, by the time of its file, before it is looked for in records.
const MARGIN: SignedDuration = SignedDuration::from_hours(24);

/// Policies that records name, with the first number of the newest segment that does; none where only entries of logs do.
type Named = BTreeMap<String, Option<u64>>;

/// What is known of archived policies.
#[derive(Debug, Default)]
pub(super) struct Archives {
    /// When it is looked next, in time since boot.
    next: Duration,
    /// What is being looked for, and what will come of that.
    looking: Option<(BTreeSet<String>, oneshot::Receiver<io::Result<Named>>)>,
    /// What was found.
    named: Named,
}

impl Daemon {
    /// Removes archived policies that no kept record names. A hold keeps all of them.
    pub(super) fn prune_policies(&self, work: &mut Work) {
        let Some((wanted, mut told)) = work.archives.looking.take() else { return self.look_for_policies(work) };
        match told.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => work.archives.looking = Some((wanted, told)),
            // The thread ends with the daemon.
            Err(oneshot::error::TryRecvError::Closed) => {}
            Ok(Err(error)) => tracing::warn!(%error, "records cannot be searched for policies; none is removed"),
            Ok(Ok(named)) => {
                let unused: Vec<_> = self.outdated(work).into_iter().filter(|digest| wanted.contains(digest)).collect();
                for digest in unused.iter().filter(|digest| !named.contains_key(*digest)) {
                    match std::fs::remove_file(self.folder.root().join(POLICY).join(format!("{digest}.json"))) {
                        Ok(()) => tracing::info!(digest, "an archived policy was removed: no kept record names it"),
                        Err(error) => tracing::warn!(digest, %error, "an archived policy cannot be removed"),
                    }
                }
                work.archives.named.extend(named);
            }
        }
    }

    fn look_for_policies(&self, work: &mut Work) {
        let now = self.clock.read().boot;
        if now < work.archives.next {
            return;
        }
        work.archives.next = now + PACE;
        let settings = ledger::Settings::new(self.folder.root());
        let (journal, log) = (settings.journal(), settings.log());
        let oldest = ledger::segments(&journal).unwrap_or_default().first().copied();
        work.archives.named.retain(|_, segment| segment.is_some_and(|segment| oldest <= Some(segment)));
        let wanted: BTreeSet<_> = self.outdated(work).into_iter().collect();
        let wanted: BTreeSet<_> =
            wanted.into_iter().filter(|digest| !work.archives.named.contains_key(digest)).collect();
        if wanted.is_empty() {
            return;
        }
        let (done, told) = oneshot::channel();
        let of = wanted.clone();
        let look = move || drop(done.send(ledger::named(&journal, &log, &of)));
        work.background.runner().start(look);
        work.archives.looking = Some((wanted, told));
    }

    /// Returns the archived policies, in hexadecimal, that were kept last well before the oldest record and are not in use.
    fn outdated(&self, work: &Work) -> Vec<String> {
        let settings = ledger::Settings::new(self.folder.root());
        let before = ledger::oldest(&settings.journal()).and_then(|oldest| oldest.checked_sub(MARGIN).ok());
        // A hold that cannot be read is one all the same.
        let (Some(before), Ok(None)) = (before, ledger::held(self.folder.root())) else { return Vec::new() };
        let mut used = BTreeSet::from([hex::encode(work.archive.digest())]);
        used.extend(self.standing().unarchived.as_ref().map(|archive| hex::encode(archive.digest())));
        used.extend(self.folder.last_policy().map(|archive| hex::encode(archive.digest())));
        let kept = Archive::list(&self.folder.root().join(POLICY)).unwrap_or_default();
        let outdated = kept.into_iter().filter(|(digest, at)| *at < before && !used.contains(digest));
        outdated.map(|(digest, _)| digest).collect()
    }
}
