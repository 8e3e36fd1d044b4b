//! What is told of health, and of certificates that run out.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Gauges;

/// A certificate that somebody has shown whom the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateGauge {
    /// What they are to us, such as `upstream`.
    pub role: &'static str,
    /// By what name the configuration has them.
    pub server: String,
    /// When it runs out, in seconds since 1970.
    pub expiry: i64,
}

/// The metrics of health and of certificates.
#[derive(Debug, Default)]
pub(super) struct StandingMetrics {
    checks: Family<[(&'static str, &'static str); 1], Gauge>,
    expiries: Family<[(&'static str, String); 2], Gauge>,
    overflowed: Counter,
}

impl StandingMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "1 while what /health/ready tells under this name is well";
        registry.register("check_ok", help, metrics.checks.clone());
        let help = "When the certificate runs out that this server has shown last, in seconds since 1970";
        registry.register_with_unit("certificate_expiry_timestamp", help, Unit::Seconds, metrics.expiries.clone());
        let help = "Look-ups that are counted by rule alone, since they came faster than records are written";
        registry.register("ledger_overflowed_lookups", help, metrics.overflowed.clone());
        metrics
    }

    /// Shows how things stand now, and nothing of what is no longer looked at.
    pub(super) fn show(&self, gauges: &Gauges) {
        self.checks.clear();
        for (name, ok) in &gauges.checks {
            self.checks.get_or_create(&[("check", *name)]).set(i64::from(*ok));
        }
        self.expiries.clear();
        for CertificateGauge { role, server, expiry } in &gauges.certificates {
            let labels = [("role", (*role).to_owned()), ("server", server.clone())];
            self.expiries.get_or_create(&labels).set(*expiry);
        }
        self.overflowed.inner().store(gauges.ledger_overflowed, std::sync::atomic::Ordering::Relaxed);
    }
}
