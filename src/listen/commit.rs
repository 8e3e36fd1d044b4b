//! Answers over UDP that leave once their record is on disk.

use std::net::UdpSocket;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Shared, udp};
use crate::ledger::Ticket;
use crate::observe::Dropped;
use crate::query::Query;

/// How many answers may wait at a time, over all transports. More leave without waiting, as they do where the disk fails.
pub(super) const HELD: usize = 8192;

/// Keeps what was written in `out` until its record is on disk, and sends it then. Returns what is to be sent at once
/// instead, where too many wait.
pub(super) fn hold<'o>(
    socket: &Arc<UdpSocket>,
    shared: &Arc<Shared>,
    (query, ticket): (Query, Ticket),
    out: &'o mut Vec<u8>,
    runtime: &Handle,
) -> Option<&'o [u8]> {
    let Ok(place) = Arc::clone(&shared.held).try_acquire_owned() else {
        shared.metrics.count_dropped(Dropped::Unheld);
        shared.pipeline.uncommitted(&query, &ticket, &shared.recorder, out);
        return Some(out);
    };
    let (socket, shared, mut out) = (Arc::clone(socket), Arc::clone(shared), out.clone());
    runtime.spawn(async move {
        shared.pipeline.commit(&query, &ticket, &shared.recorder, &mut out).await;
        if udp::send(&socket, &out, query.peer).is_err() {
            shared.metrics.count_dropped(Dropped::Unsent);
        }
        drop(place);
    });
    None
}
