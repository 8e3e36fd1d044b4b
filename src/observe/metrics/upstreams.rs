//! What is told of each upstream server.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// How an upstream server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamGauge {
    /// Where it is, as the configuration has it.
    pub upstream: String,
    /// How many tries there were, by what came of them.
    pub tries: [(&'static str, u64); 4],
    /// The smoothed round-trip time; none while none was measured.
    pub rtt: Option<Duration>,
    /// Whether it is asked last or not at all, since it gave no answer or leads back here.
    pub silent: bool,
}

type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics of upstream servers, by where they are.
#[derive(Debug, Default)]
pub(super) struct UpstreamMetrics {
    tries: Family<Labels<2>, Counter>,
    rtts: Family<Labels<1>, Gauge<f64, AtomicU64>>,
    silent: Family<Labels<1>, Gauge>,
}

impl UpstreamMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Queries to an upstream server, by what came of them";
        registry.register("upstream_tries", help, metrics.tries.clone());
        let help = "Smoothed round-trip time of an upstream server";
        registry.register_with_unit("upstream_rtt", help, Unit::Seconds, metrics.rtts.clone());
        let help = "1 while an upstream server is asked after all others, since it gave no answer, or not at all";
        registry.register("upstream_silent", help, metrics.silent.clone());
        metrics
    }

    /// Shows how servers stand now, and those no more that are asked no more.
    pub(super) fn show(&self, servers: &[UpstreamGauge]) {
        self.tries.clear();
        self.rtts.clear();
        self.silent.clear();
        for UpstreamGauge { upstream, tries, rtt, silent } in servers {
            let label = [("upstream", upstream.clone())];
            for (result, count) in tries {
                let labels = [("upstream", upstream.clone()), ("result", (*result).to_owned())];
                self.tries.get_or_create(&labels).inner().store(*count, std::sync::atomic::Ordering::Relaxed);
            }
            if let Some(rtt) = rtt {
                self.rtts.get_or_create(&label).set(rtt.as_secs_f64());
            }
            self.silent.get_or_create(&label).set(i64::from(*silent));
        }
    }
}
