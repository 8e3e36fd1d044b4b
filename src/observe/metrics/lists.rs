//! What is counted of the lists of the operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Metrics;

/// What became of a look-up that a list matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListMatch {
    /// The list answered in place of the true answer, or nobody did.
    Withheld,
    /// The list let it pass.
    Passed,
    /// The list is only watched.
    Monitored,
}

impl ListMatch {
    const ALL: [Self; 3] = [Self::Withheld, Self::Passed, Self::Monitored];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Withheld => "withheld",
            Self::Passed => "passed",
            Self::Monitored => "monitored",
        }
    }
}

/// The counters of one list. They go on where a reload leaves the list in the chain.
#[derive(Debug, Clone)]
pub struct ListCounters([Counter; 3]);

impl ListCounters {
    /// Counts a look-up that the list matched.
    pub fn count(&self, of: ListMatch) {
        self.0[of as usize].inc();
    }
}

/// The counters of all lists, by name and result.
#[derive(Debug, Clone, Default)]
pub(super) struct ListMetrics {
    family: Family<[(&'static str, String); 2], Counter>,
    /// The counters of every list that was ever loaded.
    known: Arc<Mutex<BTreeMap<String, ListCounters>>>,
}

impl ListMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Look-ups that a list of the operator matched, by list and by what became of them";
        registry.register("list_matches", help, metrics.family.clone());
        metrics
    }

    /// Returns how many look-ups each list matched, by what became of them.
    pub(super) fn totals(&self) -> Vec<(String, u64)> {
        let known = self.known.lock().expect("no holder of this lock panics");
        let of = |(name, ListCounters(counters)): (&String, &ListCounters)| {
            let named = ListMatch::ALL.iter().zip(counters);
            named.map(|(of, counter)| (format!("list_{name}_{}", of.as_str()), counter.get())).collect::<Vec<_>>()
        };
        known.iter().flat_map(of).collect()
    }
}

impl Metrics {
    /// Returns the counters of the list of this name.
    pub fn list(&self, name: &str) -> ListCounters {
        let counters = ListCounters(ListMatch::ALL.map(|of| {
            let labels = [("list", name.to_owned()), ("result", of.as_str().to_owned())];
            self.lists.family.get_or_create(&labels).clone()
        }));
        let mut known = self.lists.known.lock().expect("no holder of this lock panics");
        known.entry(name.to_owned()).or_insert(counters).clone()
    }
}
