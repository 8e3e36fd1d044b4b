//! Metrics and logs for operators; never evidence. Metrics carry no name and no client.

mod log;
mod metrics;

pub use log::{Format, LogError, start};
pub use metrics::{
    CertificateGauge, Claimed, Dropped, ExportCounters, FetchGauge, Fetched, Gauges, IDENTIFICATIONS, ListCounters,
    ListMatch, Metrics, Served, ShadowCount, TRANSPORTS, UpstreamEvent, UpstreamGauge, VERDICTS, Withheld, plain,
};
