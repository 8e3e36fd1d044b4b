//! Answers over UDP that leave once their record is on disk.

use std::net::UdpSocket;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Shared, udp};
use crate::datagram::Letter;
use crate::ledger::Ticket;
use crate::query::Query;

/// Keeps what was written in `letter` until it is known what became of its record, and sends it then.
pub(super) fn hold(
    socket: &Arc<UdpSocket>,
    shared: &Arc<Shared>,
    (query, mut ticket): (Query, Ticket),
    letter: &Letter,
    runtime: &Handle,
) {
    let (socket, shared, message) = (Arc::clone(socket), Arc::clone(shared), letter.message.clone());
    runtime.spawn(async move {
        let mut letter = Letter::new();
        letter.message = message;
        shared.pipeline.commit(&query, &mut ticket, &shared.recorder, &mut letter.message).await;
        letter.address_to(&query.peer);
        udp::send(&socket, std::slice::from_mut(&mut letter), &shared);
        // Until then a stop waits for it.
        drop(ticket);
    });
}
