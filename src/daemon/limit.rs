//! How much is taken at once: by the configuration, and by the system.

use crate::config::Config;
use crate::listen::Limit;

/// Returns the limits on clients and connections.
pub(super) fn of(config: &Config) -> Limit {
    let listen = &config.listen;
    Limit {
        allow: listen.allow.clone(),
        proxy_from: listen.proxy_from.clone(),
        ecs_from: listen.ecs_from.clone(),
        in_flight: config.upstream.in_flight as usize,
        connections: connections(listen.tcp_connections as usize),
        connections_per_client: listen.tcp_connections_per_client as usize,
        connection_in_flight: listen.tcp_in_flight.into(),
        idle: listen.tcp_idle,
        rate: config.limit.clone(),
    }
}

/// Returns how many connections there may be: at most half of the descriptors, so that clients take none from upstreams and
/// records.
fn connections(wanted: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let most =
        getrlimit(Resource::RLIMIT_NOFILE).map_or(wanted, |(soft, _)| usize::try_from(soft / 2).unwrap_or(wanted));
    if most < wanted {
        tracing::warn!(
            wanted,
            most,
            "the limit on open files allows fewer connections over TCP than [listen] tcp_connections"
        );
    }
    wanted.min(most.max(1))
}

/// Each query under way has a socket of its own, or up to three where tries before are still listened to; the soft limit of many systems is 1024 descriptors.
pub(super) fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Where it is not granted, queries beyond the limit fail and are counted.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 16).max(soft), hard);
    }
}
