//! Who is asked, and what is made of it.

use std::path::PathBuf;
use std::time::Duration;

use super::Settings;
use crate::config::types::{DnssecConfig, ForwardZone, GroupUpstream, UpstreamConfig};
use crate::message::Name;
use crate::resolve::Strategy;

pub(super) fn upstream(take: &mut Settings) -> UpstreamConfig {
    UpstreamConfig {
        servers: take.take("upstream", "servers"),
        strategy: strategy(take.take("upstream", "strategy")),
        bootstrap: take.take("upstream", "bootstrap"),
        ca: file(take, "upstream", "ca"),
        dnssec: DnssecConfig {
            validates: take.take::<&str>("upstream", "dnssec") == "validate",
            trust_anchors: file(take, "upstream", "trust_anchors"),
            except: take.take("upstream", "not_validated"),
        },
        timeout: Duration::from_millis(take.take("upstream", "timeout_ms")),
        attempts: take.take("upstream", "attempts"),
        in_flight: take.take("upstream", "in_flight"),
        zones: take.rows("upstream", "zone", |row| ForwardZone {
            zone: *row.take::<Box<Name>>("name"),
            servers: row.take("servers"),
            strategy: strategy(row.take("strategy")),
        }),
        groups: take.rows("upstream", "group", |row| GroupUpstream {
            group: row.take("group"),
            servers: row.take("servers"),
            strategy: strategy(row.take("strategy")),
        }),
    }
}

/// A path, where there is one.
fn file(take: &mut Settings, section: &'static str, key: &'static str) -> Option<PathBuf> {
    Some(take.take::<String>(section, key)).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn strategy(word: &str) -> Strategy {
    match word {
        "fastest" => Strategy::Fastest,
        "race" => Strategy::Race,
        "round-robin" => Strategy::RoundRobin,
        _ => Strategy::Order,
    }
}
