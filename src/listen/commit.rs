//! Answers over UDP that leave once their record is on disk.

use std::net::UdpSocket;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Shared, udp};
use crate::datagram::Letter;
use crate::ledger::Ticket;
use crate::observe::Dropped;
use crate::query::Query;

/// How many answers may wait at a time, over all transports. More leave without waiting, as they do where the disk fails.
pub(super) const HELD: usize = 8192;

/// Keeps what was written in `letter` until its record is on disk, and sends it then. Returns whether it does: where too many
/// wait, what is to be sent at once instead is in the letter.
pub(super) fn hold(
    socket: &Arc<UdpSocket>,
    shared: &Arc<Shared>,
    (query, ticket): (Query, Ticket),
    letter: &mut Letter,
    runtime: &Handle,
) -> bool {
    let Ok(place) = Arc::clone(&shared.held).try_acquire_owned() else {
        shared.metrics.count_dropped(Dropped::Unheld);
        shared.pipeline.uncommitted(&query, &ticket, &shared.recorder, &mut letter.message);
        return false;
    };
    let (socket, shared, message) = (Arc::clone(socket), Arc::clone(shared), letter.message.clone());
    runtime.spawn(async move {
        let mut letter = Letter::new();
        letter.message = message;
        shared.pipeline.commit(&query, &ticket, &shared.recorder, &mut letter.message).await;
        letter.address_to(&query.peer);
        udp::send(&socket, std::slice::from_mut(&mut letter), &shared);
        drop(place);
    });
    true
}
