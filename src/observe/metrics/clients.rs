//! What is counted of clients: how they are known, and what peers say of them.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Counters, Metrics, register_gauges};

/// What became of a word of a peer about whom it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The PROXY header of a trusted proxy.
    ProxyTaken,
    /// The client subnet of a trusted forwarder.
    SubnetTaken,
    /// The client subnet of somebody else: answered as if it were not there.
    SubnetIgnored,
    /// A broken client subnet of a trusted forwarder: FORMERR.
    SubnetMalformed,
}

impl Claimed {
    const ALL: [Self; 4] = [Self::ProxyTaken, Self::SubnetTaken, Self::SubnetIgnored, Self::SubnetMalformed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ProxyTaken => "proxy_taken",
            Self::SubnetTaken => "subnet_taken",
            Self::SubnetIgnored => "subnet_ignored",
            Self::SubnetMalformed => "subnet_malformed",
        }
    }
}

/// By what clients come into their groups; who counts says the place.
pub const IDENTIFICATIONS: &[&str] =
    &["none", "network", "device-static", "device-lease", "device-neighbour", "name-static", "name-lease", "name-ptr"];
const SOURCES: &[&str] = &["static", "lease", "neighbour", "ptr"];

/// The metrics of clients.
pub(super) struct ClientMetrics {
    identified: Counters,
    claims: Counters,
    devices: Vec<(&'static str, Gauge)>,
    left_out: Gauge,
    lease_lines: Gauge,
}

impl ClientMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = |name, help| (name, help);
        let metrics = Self {
            identified: Counters::register(
                registry,
                help("identified", "Decided queries by what put their client into its group"),
                "source",
                IDENTIFICATIONS.iter().copied(),
            ),
            claims: Counters::register(
                registry,
                help("claims", "What peers said of whom they ask for, by what became of it"),
                "result",
                Claimed::ALL.map(Claimed::as_str),
            ),
            devices: register_gauges(
                registry,
                help("devices", "Addresses of which a source knows the device or the name"),
                "source",
                SOURCES,
            ),
            left_out: Gauge::default(),
            lease_lines: Gauge::default(),
        };
        let help = "Words of sources that found no place, so many addresses being known";
        registry.register("devices_left_out", help, metrics.left_out.clone());
        let help = "Lines of lease files that were not understood when they were last read";
        registry.register("lease_lines_not_understood", help, metrics.lease_lines.clone());
        metrics
    }
}

impl Metrics {
    /// Counts a decided query by what put its client into its group, which is a place in [`IDENTIFICATIONS`].
    pub fn count_identified(&self, identification: usize) {
        self.clients.identified.add(identification);
    }

    /// Counts what a peer said of whom it asks for.
    pub fn count_claim(&self, claimed: Claimed) {
        self.clients.claims.add(claimed as usize);
    }

    /// Tells of how many addresses a source knows the device or the name.
    pub fn set_devices(&self, source: &str, count: usize) {
        if let Some((_, gauge)) = self.clients.devices.iter().find(|(word, _)| *word == source) {
            set(gauge, count);
        }
    }

    /// Tells how many words of sources found no place.
    pub fn set_devices_left_out(&self, count: usize) {
        set(&self.clients.left_out, count);
    }

    /// Tells how many lines of lease files are not understood.
    pub fn set_lease_lines_not_understood(&self, count: usize) {
        set(&self.clients.lease_lines, count);
    }
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}
