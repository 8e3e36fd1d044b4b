//! What stands behind a question: the names and addresses that its answer leads to.

use super::decision::{Decision, When};
use super::snapshot::Snapshot;
use crate::client::Client;
use crate::message::Name;
use crate::query::TargetRef;

impl Snapshot {
    /// Decides on a name or an address found in the answer to `question`. An order that protects, exempts or keeps the
    /// question does not reach behind it: the carve-outs and the removal tools work wherever they are hosted.
    pub fn decide_subject<'t>(
        &self,
        question: &Name,
        subject: impl Into<TargetRef<'t>>,
        client: &Client,
        at: impl Into<When>,
    ) -> Decision {
        self.decide_behind([question], subject, client, at)
    }

    /// Decides on what stands behind several names of a chain: an order that leaves one of them does not reach behind it.
    pub fn decide_behind<'n, 't>(
        &self,
        before: impl IntoIterator<Item = &'n Name> + Clone,
        subject: impl Into<TargetRef<'t>>,
        client: &Client,
        at: impl Into<When>,
    ) -> Decision {
        let (subject, at) = (subject.into(), at.into());
        if !self.index.matches(subject) {
            return Decision::PASS;
        }
        let mut decision = Decision::PASS;
        for order in self.sequence.iter().copied() {
            let mut names = before.clone().into_iter();
            let shielded = names.any(|name| {
                self.decide_by(order, name, client, at, &mut decision.until).is_some_and(|of| of.is_shield())
            });
            let found = match shielded {
                true => None,
                false => self.decide_by(order, subject, client, at, &mut decision.until),
            };
            if let Some(found) = found.filter(|found| found.verdict > decision.verdict) {
                decision.verdict = found.verdict;
                decision.deciding = Some(found);
            }
        }
        decision
    }
}
