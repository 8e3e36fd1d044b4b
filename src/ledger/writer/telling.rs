//! What the thread of the ledger tells by leaves, log and health: changes, gaps, what became of segments and of answers.

use std::error::Error as _;

use super::{CommitError, Failing, REMINDER, RETRY, Writer, pace};
use crate::clock::Reading;
use crate::ledger::journal::{Notice, Outworn};
use crate::ledger::leaf::{Act, Body, Changed, Gap, GapReason, bounded};
use crate::ledger::missed::Missed;
use crate::ledger::{Change, Fail, State};

impl Writer {
    pub(super) fn changed(&mut self, reading: Reading, change: Change) -> Body {
        Body::Change(Box::new(Changed::of(change, &reading, self.settings.rehearsal, &mut self.keys)))
    }

    pub(super) fn gap(&self, reading: Reading, reason: GapReason, found: String) -> Gap {
        let Reading { at, raw, .. } = reading;
        Gap {
            at,
            raw,
            reason,
            from: None,
            until: None,
            count: None,
            rules: Vec::new(),
            changes: 0,
            first_seq: None,
            last_seq: None,
            found,
            rehearsal: self.settings.rehearsal,
        }
    }

    /// Tells by leaves what was missed, and what became of segments.
    pub(super) fn recover(&mut self, reading: Reading) {
        if self.failing.take().is_some() {
            tracing::info!("the journal is written again");
        }
        let notices = self.journal.take_notices();
        if notices.is_empty() && self.missed.is_empty() {
            return;
        }
        for notice in notices {
            let body = self.notice(reading, notice);
            self.journal.append(body);
        }
        if !self.missed.is_empty() {
            let Missed { mut counts, between, changes } = std::mem::take(&mut self.missed);
            let found = "the disk took no leaves or a ring was full, and memory for them was used up".to_owned();
            let gap = Gap {
                from: between.map(|(from, _)| from),
                until: between.map(|(_, until)| until),
                count: Some(bounded(counts.total())),
                rules: counts.take(),
                changes,
                ..self.gap(reading, GapReason::Unwritten, found)
            };
            self.journal.append(Body::Gap(Box::new(gap)));
        }
        if let Err(error) = self.commit() {
            self.fail(&error, reading);
        }
    }

    fn notice(&mut self, reading: Reading, notice: Notice) -> Body {
        let mut change = |act, why: String| self.changed(reading, Change::own(act, true, &why, None));
        match notice {
            Notice::Removed { first, last, bytes, why } => {
                tracing::info!(first, last, bytes, "the oldest segment of the journal was removed");
                let why = match why {
                    Outworn::Size => "the bound on the size",
                    Outworn::Age => "their age",
                };
                let why = format!("leaves {first} to {last} ({bytes} octets), for {why}");
                let mut change = change(Act::Removed, why);
                if let Body::Change(change) = &mut change {
                    (change.first_seq, change.last_seq) = (Some(first), Some(last));
                }
                change
            }
            Notice::Rewritten { first, reason } => {
                tracing::warn!(first, reason, "leaves were written again to a new segment");
                change(Act::Rewritten, format!("leaves from {first} on went to a new segment: {reason}"))
            }
            Notice::Vanished { first, last } => {
                tracing::error!(first, last, "a segment of the journal was taken away");
                let found = "the segment was taken away while the daemon was running".to_owned();
                let gap = self.gap(reading, GapReason::Missing, found);
                Body::Gap(Box::new(Gap { first_seq: Some(first), last_seq: Some(last), ..gap }))
            }
        }
    }

    pub(super) fn fail(&mut self, error: &CommitError, reading: Reading) {
        let now = pace();
        let reason = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let told = self.failing.is_some_and(|failing| now < failing.reminder);
        if !told {
            match self.settings.fail {
                Fail::Answer => {
                    tracing::error!(reason, "records cannot be written; answers go on, records wait in memory");
                }
                Fail::Servfail => {
                    tracing::error!(
                        reason,
                        "records cannot be written; sunk names are answered with SERVFAIL meanwhile"
                    );
                }
            }
        }
        let reminder = match self.failing {
            Some(failing) if told => failing.reminder,
            Some(_) | None => now + REMINDER,
        };
        self.failing = Some(Failing { retry: now + RETRY, reminder });
        self.exchange.durable.note(true);
        let mut health = self.inbox.told();
        let since = match &health.state {
            State::Failing { since, .. } => *since,
            State::Writing => reading.raw,
        };
        health.state = State::Failing { since, reason };
    }

    /// Tells by a leaf, which is on disk with the others or not at all, that answers were SERVFAIL in place of what leaves say.
    pub(super) fn tell_servfail(&mut self, reading: Reading, answers: usize, leaves: Option<(u64, u64)>) {
        let which = match leaves {
            Some((first, last)) => format!("of what leaves {first} to {last} say"),
            None => "of what their records say".to_owned(),
        };
        let why = format!("the disk did not take records in time: {answers} answers were SERVFAIL in place {which}");
        tracing::warn!("{why}");
        let mut body = self.changed(reading, Change::own(Act::Servfail, true, &why, None));
        if let Body::Change(change) = &mut body {
            (change.first_seq, change.last_seq) = leaves.unzip();
        }
        self.journal.append(body);
    }

    pub(super) fn tell_health(&self, reading: Reading) {
        let mut health = self.inbox.told();
        if self.failing.is_none() {
            health.state = State::Writing;
            health.committed = Some(reading.raw);
        }
        health.leaves = self.journal.durable();
        health.unwritten = self.journal.pending_leaves();
        health.uncovered = self.missed.counts.total();
        health.bytes = self.journal.bytes();
    }
}
