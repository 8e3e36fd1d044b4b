//! What no leaf tells, until the disk takes leaves again: then a gap does.

use jiff::Timestamp;

use super::counts::Counts;
use super::fold::Draft;
use crate::clock::Reading;
use crate::policy::Verdict;

/// Look-ups and changes that no leaf tells, until the disk takes leaves again.
#[derive(Debug, Default)]
pub(super) struct Missed {
    pub(super) counts: Counts,
    pub(super) between: Option<(Timestamp, Timestamp)>,
    pub(super) changes: u64,
}

impl Missed {
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.changes == 0
    }

    pub(super) fn add(&mut self, draft: &Draft) {
        self.counts.add(&draft.snapshot, draft.rule, draft.record.count);
        self.spread(draft.record.at, draft.record.last);
    }

    /// A ring was full before the counters of its policy were made, so that no leaf can tell the rule.
    pub(super) fn add_unattributed(&mut self, verdict: Verdict, count: u64, between: [Reading; 2]) {
        self.counts.add_unattributed(verdict, count);
        self.spread(between[0].at, between[1].at);
    }

    fn spread(&mut self, first: Timestamp, last: Timestamp) {
        let (from, until) = self.between.unwrap_or((first, last));
        self.between = Some((from.min(first), until.max(last)));
    }
}
