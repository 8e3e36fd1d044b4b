//! File and environment to settings: every fault at once, before anything is bound. Never opens anything but the file.

mod check;
mod check_clients;
mod export;
mod fetched;
mod keys;
mod lists;
mod load;
mod nearest;
mod node;
mod notice;
mod parse;
mod places;
mod process;
mod publish;
mod setting;
mod spec;
mod types;
mod value;
mod ways_round;
mod witness;

#[cfg(test)]
mod tests;

pub use places::Places;
pub use spec::{Key, Kind, Preset, Section, Spec};
pub use types::{
    Admin, AnswerConfig, BucketConfig, CacheConfig, ClientConfig, Config, ControlConfig, ControlSocket, DaemonConfig,
    DnssecConfig, FetchConfig, FetchedPolicy, ForwardZone, GroupUpstream, HostRecord, LedgerConfig, ListConfig, Listen,
    ListsConfig, LogConfig, Origin, PolicyConfig, PublishConfig, RebindingConfig, UpstreamConfig, WaysRound,
    WitnessConfig, ZoneText, ZonesConfig,
};

/// One fault: `Display` gives `path:line: what is wrong; what would be right` on one line that cannot forge what a
/// terminal shows. `path` is the name of the variable where one is at fault.
pub use crate::feed::Fault;
