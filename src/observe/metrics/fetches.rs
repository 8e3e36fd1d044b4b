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
    /// What kind of file it is: `list`, `catalogue` or `order`.
    pub kind: &'static str,
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
    results: Family<Labels<3>, Counter>,
    ages: Family<Labels<2>, Gauge>,
    failing: Family<Labels<2>, Gauge>,
}

impl FetchMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "How often a file was fetched, by what came of it";
        registry.register("fetches", help, metrics.results.clone());
        let help = "Time since a fetched file was last known to be as its server has it";
        registry.register_with_unit("fetch_age", help, Unit::Seconds, metrics.ages.clone());
        let help = "1 while nothing good came the last time that a file was fetched";
        registry.register("fetch_failing", help, metrics.failing.clone());
        metrics
    }

    /// Shows how files stand now, and those no more that are fetched no more.
    pub(super) fn show(&self, files: &[FetchGauge]) {
        self.ages.clear();
        self.failing.clear();
        for FetchGauge { kind, name, age, failing } in files {
            let labels = [("kind", (*kind).to_owned()), ("name", name.clone())];
            if let Some(age) = age {
                self.ages.get_or_create(&labels).set(*age);
            }
            self.failing.get_or_create(&labels).set(i64::from(*failing));
        }
    }
}

impl Metrics {
    /// Counts what came of fetching the file of this kind and name.
    pub fn count_fetch(&self, kind: &'static str, name: &str, fetched: Fetched) {
        let result = fetched.as_str().to_owned();
        let labels = [("kind", kind.to_owned()), ("name", name.to_owned()), ("result", result)];
        self.fetches.results.get_or_create(&labels).inc();
    }
}
