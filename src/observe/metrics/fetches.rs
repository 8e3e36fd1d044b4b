//! What is counted of fetched files.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Metrics;

/// What came of fetching a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It is another than before, and is used.
    New,
    /// It is as it was.
    Same,
    /// It came, and is not used.
    Refused,
    /// None came.
    Failed,
}

impl Fetched {
    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// How a fetched file stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchGauge {
    pub name: String,
    /// Seconds since it was last known to be as its server has it; none where it never was.
    pub age: Option<i64>,
    /// Whether nothing good came the last time.
    pub failing: bool,
}

type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics of fetched files, by name.
#[derive(Debug, Default)]
pub(super) struct FetchMetrics {
    results: Family<Labels<2>, Counter>,
    ages: Family<Labels<1>, Gauge>,
    failing: Family<Labels<1>, Gauge>,
}

impl FetchMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "How often a list was fetched, by what came of it";
        registry.register("list_fetches", help, metrics.results.clone());
        let help = "Time since a fetched list was last known to be as its server has it";
        registry.register_with_unit("list_age", help, Unit::Seconds, metrics.ages.clone());
        let help = "1 while nothing good came the last time that a list was fetched";
        registry.register("list_fetch_failing", help, metrics.failing.clone());
        metrics
    }

    /// Shows how files stand now, and those no more that are fetched no more.
    pub(super) fn show(&self, files: &[FetchGauge]) {
        self.ages.clear();
        self.failing.clear();
        for FetchGauge { name, age, failing } in files {
            let labels = [("list", name.clone())];
            if let Some(age) = age {
                self.ages.get_or_create(&labels).set(*age);
            }
            self.failing.get_or_create(&labels).set(i64::from(*failing));
        }
    }
}

impl Metrics {
    /// Counts what came of fetching the list of this name.
    pub fn count_fetch(&self, name: &str, fetched: Fetched) {
        let labels = [("list", name.to_owned()), ("result", fetched.as_str().to_owned())];
        self.fetches.results.get_or_create(&labels).inc();
    }
}
