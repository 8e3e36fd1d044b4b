//! The settings, typed. What each means is told in `config/interdict.toml`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::message::Name;
use crate::observe::Format;
use crate::policy::{Operator, Sink};

/// Every setting of the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: Listen,
    pub admin: Admin,
    pub upstream: UpstreamConfig,
    pub cache: CacheConfig,
    pub zones: ZonesConfig,
    pub policy: PolicyConfig,
    pub answer: AnswerConfig,
    pub ledger: LedgerConfig,
    pub log: LogConfig,
}

/// Where queries are taken, from whom and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub dns: Vec<SocketAddr>,
    pub allow: Vec<IpNet>,
    /// 0 for one a core.
    pub workers: u16,
    pub tcp_connections: u32,
    pub tcp_connections_per_client: u32,
    /// Queries of one connection that may be under way.
    pub tcp_in_flight: u16,
    pub tcp_idle: Duration,
}

/// The HTTP listener for health and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `None` for no such listener.
    pub listen: Option<SocketAddr>,
    /// Names that a Host header may have besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// Who answers what is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Empty for the system's resolvers.
    pub servers: Vec<SocketAddr>,
    /// How long one try may take.
    pub timeout: Duration,
    /// How often a question is tried in all.
    pub attempts: u8,
    /// Queries that may wait for upstreams.
    pub in_flight: u32,
    pub zones: Vec<ForwardZone>,
}

/// Conditional forwarding of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardZone {
    pub zone: Name,
    pub servers: Vec<SocketAddr>,
}

/// The answer cache; times in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// In octets.
    pub size: u64,
    pub max_ttl: u32,
    pub negative_max_ttl: u32,
    pub failure_ttl: u32,
}

/// Names that are answered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZonesConfig {
    pub hosts: Vec<HostRecord>,
    pub zone: Vec<ZoneText>,
    /// Whether special-use names and private reverse zones are answered here (RFC 6303, RFC 6761).
    pub special_use: bool,
}

/// A name with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRecord {
    pub name: Name,
    pub addresses: Vec<IpAddr>,
}

/// A zone in the text of a zone file (RFC 1035, section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneText {
    pub origin: Name,
    pub text: String,
}

/// Which catalogues and orders apply, and what the operator makes of them.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig {
    /// Shipped names, files or folders.
    pub catalogues: Vec<String>,
    pub orders: Vec<String>,
    pub operator: Operator,
}

/// How responses look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerConfig {
    pub sink: Sink,
    /// In seconds.
    pub sink_ttl: u32,
    pub version: String,
}

/// How records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    pub commit: Duration,
    /// In octets.
    pub segment_size: u64,
    /// In octets.
    pub max_size: u64,
    pub store_noted: bool,
    /// Records of single clients in a minute, at most.
    pub leaves_per_minute: u32,
    /// The name of the log; none for one after the name of the machine.
    pub origin: Option<String>,
    /// How long what was recorded may be unsigned.
    pub checkpoint: Duration,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub level: String,
    pub format: Format,
}
