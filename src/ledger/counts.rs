//! Sums by rule, kept while they wait to be written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::attempt::Rule;
use super::leaf::{RuleCount, bounded};
use crate::policy::{Snapshot, Verdict};

/// Sums by rule and verdict. As large as the policies in use, whatever is asked.
#[derive(Debug, Default)]
pub(super) struct Counts {
    by_rule: HashMap<Rule, u64>,
    policies: HashMap<u64, Arc<Snapshot>>,
    /// Look-ups of which only the verdict is known.
    unattributed: BTreeMap<Verdict, u64>,
}

impl Counts {
    pub(super) fn add(&mut self, snapshot: &Arc<Snapshot>, rule: Rule, count: u64) {
        *self.by_rule.entry(rule).or_default() += count;
        self.policies.entry(rule.snapshot).or_insert_with(|| Arc::clone(snapshot));
    }

    pub(super) fn add_unattributed(&mut self, verdict: Verdict, count: u64) {
        *self.unattributed.entry(verdict).or_default() += count;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_rule.is_empty() && self.unattributed.is_empty()
    }

    pub(super) fn total(&self) -> u64 {
        self.by_rule.values().chain(self.unattributed.values()).sum()
    }

    /// Returns the sums as leaves hold them, in the order of their texts, and starts again from nothing.
    pub(super) fn take(&mut self) -> Vec<RuleCount> {
        let mut sums = BTreeMap::new();
        for (rule, count) in self.by_rule.drain() {
            let snapshot = &self.policies[&rule.snapshot];
            let order = snapshot.inputs().orders[rule.order].id.clone();
            let service = snapshot.service_of(rule.entry).id.clone();
            *sums.entry((order, rule_text(snapshot, rule.entry), service, rule.verdict)).or_insert(0) += count;
        }
        for (verdict, count) in std::mem::take(&mut self.unattributed) {
            sums.insert((String::new(), String::new(), String::new(), verdict), count);
        }
        self.policies.clear();
        let leaf = |((order, rule, service, verdict), count): ((String, String, String, Verdict), u64)| RuleCount {
            order,
            rule,
            service,
            verdict: verdict.as_str().to_owned(),
            count: bounded(count),
        };
        sums.into_iter().map(leaf).collect()
    }
}

/// Returns the text by which records name an entry: how it matches, a colon, its text.
pub(super) fn rule_text(snapshot: &Snapshot, entry: usize) -> String {
    let entry = snapshot.entry(entry);
    format!("{}:{}", entry.pattern.matching(), entry.text)
}
