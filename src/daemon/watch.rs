//! What passes by itself: waivers lapse, the clock comes to be trusted otherwise, an emergency goes on, the data
//! folder is replaced.

use std::time::Duration;

use super::waivers::in_words;
use super::{Daemon, Work};
use crate::clock::Trust;
use crate::control::State;
use crate::ledger::{Act, Change};
use crate::policy::{Rules, Waiver};

/// How often it is looked.
pub(super) const PACE: Duration = Duration::from_secs(1);
/// How often it is told in the log that nothing is enforced.
const REMINDER: Duration = Duration::from_secs(60);

impl Daemon {
    /// Records what has passed since the last look.
    pub(super) fn watch(&self, work: &mut Work) {
        self.watch_clock(work);
        self.lapse(work);
        self.remind(work);
        self.settle(work);
        self.prune_policies(work);
        self.tally(work);
        self.watch_folder(work);
    }

    /// Tells once that the data folder was replaced behind the daemon's back. Others are looked at in a reload, since they may
    /// lie on disks that hang.
    fn watch_folder(&self, work: &mut Work) {
        if !work.told_of_folder
            && let Some(replaced) = self.sandbox.replaced(&self.config.data_dir)
        {
            work.told_of_folder = true;
            tracing::error!("{replaced}");
        }
    }

    fn watch_clock(&self, work: &mut Work) {
        let Some(status) = self.clock.status() else { return };
        let before = work.trust.replace(status.trust);
        if before == Some(status.trust) || (before.is_none() && status.trust.is_fine()) {
            return;
        }
        let before = before.map_or("not looked at", Trust::as_str);
        let what = Some(format!("{}, before: {before}", status.trust.as_str()));
        self.ledger.change(Change { what, ..Change::own(Act::Clock, true, &status.to_string(), None) });
    }

    /// Policy has let go of lapsed waivers by itself; here they are recorded and left out of the next policy.
    fn lapse(&self, work: &mut Work) {
        let now = self.clock.read();
        let seen = work.lapsed.replace(now.ends).unwrap_or(now.ends);
        let files = work.waivers.files.iter().map(|file| &file.waiver);
        for waiver in files.filter(|waiver| seen < waiver.term.until() && waiver.term.until() <= now.ends) {
            self.ledger.change(lapsed(waiver, "its end has come"));
        }
        // Looked for before anything is copied, since there is hardly ever one.
        let due = |state: State, waiver: &Waiver| state.is_open() && waiver.term.until() <= now.ends;
        if now.boot < work.next_lapse
            || !work.waivers.register.kept().entries.iter().any(|entry| due(entry.state, &entry.waiver))
        {
            return;
        }
        let mut kept = work.waivers.register.kept().clone();
        let over = kept.lapse(&now).into_iter().map(|(state, waiver)| {
            let why = match state {
                State::Pending => "nobody has confirmed it before its end",
                State::Granted | State::Revoked | State::Lapsed => "its end has come",
            };
            if waiver.scope.rules == Rules::Everything {
                tracing::error!("the installation enforces again: the end of {} has come", waiver.id);
            } else {
                tracing::info!(waiver = %in_words(&waiver), "a waiver has lapsed: {why}");
            }
            lapsed(&waiver, why)
        });
        let over = over.collect();
        // They lift nothing any more, whether that can be written down now or at a later look.
        if let Err(faults) = self.apply(work, kept, over) {
            work.next_lapse = now.boot + REMINDER;
            tracing::error!(fault = faults.join("; "), "lapsed waivers cannot be put away");
        }
    }

    fn remind(&self, work: &mut Work) {
        let now = self.clock.read();
        let Some(entry) = work.waivers.monitor_only() else { return };
        let waiver = &entry.waiver;
        if now.at < waiver.term.until() && now.boot.saturating_sub(work.reminded) >= REMINDER {
            tracing::error!(
                by = %entry.added.by,
                reason = ?waiver.reason,
                "nothing is enforced until {}: only monitored, by {}",
                waiver.term.until(),
                waiver.id
            );
            work.reminded = now.boot;
        }
    }

    /// Tells those who watch the daemon how waivers stand.
    pub(super) fn tally(&self, work: &Work) {
        let tally = work.waivers.tally(&self.clock.read());
        self.standing().waivers = tally;
    }
}

fn lapsed(waiver: &Waiver, why: &str) -> Change {
    Change { what: Some(in_words(waiver)), ..Change::own(Act::Lapse, true, why, None) }
}
