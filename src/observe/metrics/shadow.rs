//! Where a candidate policy differs, as a counter of its own: its orders are known only once it is loaded.

use std::sync::Mutex;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// How often the candidate decided otherwise, under one order and with one pair of verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowCount {
    pub order: String,
    pub live: &'static str,
    pub candidate: &'static str,
    pub count: u64,
}

type Labels = [(&'static str, String); 3];

/// The counters, made anew each time that they are shown.
#[derive(Default)]
pub(super) struct ShadowCounts {
    family: Family<Labels, Counter>,
    /// Two who ask at a time must not both add.
    showing: Mutex<()>,
}

impl ShadowCounts {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let counts = Self::default();
        let help = "Queries that the candidate policy of [policy] shadow decides otherwise, by order and verdicts";
        registry.register("shadow_differences", help, counts.family.clone());
        counts
    }

    /// Calls `show` while the counters stand at `counts`.
    pub(super) fn show<T>(&self, counts: &[ShadowCount], show: impl FnOnce() -> T) -> T {
        let _alone = self.showing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.family.clear();
        for ShadowCount { order, live, candidate, count } in counts {
            let labels =
                [("order", order.clone()), ("live", (*live).to_owned()), ("candidate", (*candidate).to_owned())];
            self.family.get_or_create(&labels).inc_by(*count);
        }
        show()
    }
}
