//! Metrics and logs for operators; never evidence. Metrics carry no name and no client.

mod log;
mod metrics;

pub use log::{Format, LogError, start};
pub use metrics::{
    CertificateGauge, Claimed, Dropped, ExportCounters, FetchGauge, Fetched, Gauges, IDENTIFICATIONS, ListCounters,
    ListMatch, Metrics, Served, ShadowCount, TRANSPORTS, UpstreamEvent, UpstreamGauge, VERDICTS, Withheld, plain,
};

/// Says how many there are, in the words for one and for more.
pub fn counted<N: std::fmt::Display + From<u8> + PartialEq>(count: N, one: &str, more: &str) -> String {
    let thing = if count == N::from(1) { one } else { more };
    format!("{count} {thing}")
}
