//! File and environment to settings: every fault at once, before anything is bound.

mod types;

pub use types::{
    Admin, AnswerConfig, CacheConfig, Config, ForwardZone, HostRecord, LedgerConfig, Listen, LogConfig, PolicyConfig,
    UpstreamConfig, ZoneText, ZonesConfig,
};
