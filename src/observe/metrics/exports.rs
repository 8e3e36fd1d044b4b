//! What is counted of exports.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;

type ByExport<Metric> = Family<[(&'static str, String); 1], Metric>;

/// The counters of one export.
#[derive(Debug, Clone)]
pub struct ExportCounters {
    taken: Counter,
    missed: Counter,
    failed: Counter,
    behind: Gauge,
    failing: Gauge,
}

impl ExportCounters {
    /// Counts events that the receiver has taken.
    pub fn taken(&self, events: u64) {
        self.taken.inc_by(events);
    }

    /// Counts leaves that were gone before they were exported.
    pub fn missed(&self, leaves: u64) {
        self.missed.inc_by(leaves);
    }

    /// Counts a try that failed.
    pub fn failed(&self) {
        self.failed.inc();
        self.failing.set(1);
    }

    /// Shows that the receiver takes records.
    pub fn works(&self) {
        self.failing.set(0);
    }

    /// Shows how many leaves the receiver has not taken yet.
    pub fn behind(&self, leaves: u64) {
        self.behind.set(i64::try_from(leaves).unwrap_or(i64::MAX));
    }
}

/// The counters of all exports, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct ExportMetrics {
    taken: ByExport<Counter>,
    missed: ByExport<Counter>,
    failed: ByExport<Counter>,
    behind: ByExport<Gauge>,
    failing: ByExport<Gauge>,
}

impl ExportMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("export_events", "Events that the receiver of an export has taken", metrics.taken.clone());
        let help = "Leaves that were gone before they were exported";
        registry.register("export_missed_leaves", help, metrics.missed.clone());
        registry.register(
            "export_failures",
            "Tries that the receiver of an export did not take",
            metrics.failed.clone(),
        );
        let help = "Leaves on disk that the receiver of an export has not taken yet";
        registry.register("export_behind_leaves", help, metrics.behind.clone());
        registry.register(
            "export_failing",
            "1 while the receiver of an export takes no records",
            metrics.failing.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Returns the counters of the export of this name.
    pub fn export(&self, name: &str) -> ExportCounters {
        let labels = [("export", name.to_owned())];
        let ExportMetrics { taken, missed, failed, behind, failing } = &self.exports;
        ExportCounters {
            taken: taken.get_or_create(&labels).clone(),
            missed: missed.get_or_create(&labels).clone(),
            failed: failed.get_or_create(&labels).clone(),
            behind: behind.get_or_create(&labels).clone(),
            failing: failing.get_or_create(&labels).clone(),
        }
    }
}
