//! One plain thread for each datagram socket. An answer leaves from the address that was asked.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::Socket;
use tokio::runtime::Handle;

use super::{Limit, Shared, proxy};
use crate::datagram::{self, BATCH, Incoming, Letter, Wait};
use crate::ledger::Recorder;
use crate::observe::{Claimed, Dropped};
use crate::pipeline::{Moment, Step};
use crate::query::{Peer, Query, Transport};

/// How many batches are still answered after the daemon was told to stop.
const LAST_BATCHES: u32 = 256;
/// How long a worker waits for a query before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(100);

/// Asks the kernel to tell which address each datagram was sent to.
pub(super) fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    socket.set_read_timeout(Some(WAIT))
}

/// One thread with a socket, a recorder and buffers of its own.
pub(super) struct Worker {
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    recorder: Recorder,
    runtime: Handle,
}

impl Worker {
    pub(super) fn new(socket: UdpSocket, shared: Arc<Shared>, recorder: Recorder, runtime: Handle) -> Self {
        Self { socket: Arc::new(socket), shared, recorder, runtime }
    }

    /// Answers until the listeners stop, and then what is still in the socket.
    pub(super) fn run(self) {
        let mut room = Incoming::batch();
        let mut letters: Box<[Letter]> = (0..BATCH).map(|_| Letter::new()).collect();
        let mut batches_left = LAST_BATCHES;
        loop {
            let stopping = self.shared.stopping.load(Ordering::Relaxed);
            // Who is flooded must be able to stop too: what waits now is answered, and no more.
            if stopping && batches_left == 0 {
                return;
            }
            batches_left -= u32::from(stopping);
            let wait = if stopping { Wait::Never } else { Wait::First };
            match datagram::receive(&self.socket, &mut room, wait) {
                Ok(received) => self.answer(&room[..received], &mut letters),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && stopping => return,
                Err(error) => pause_after(&error),
            }
        }
    }

    /// Decides a batch by one state and one reading of the clock, and answers what can be answered at once.
    fn answer(&self, batch: &[Incoming], letters: &mut [Letter]) {
        let moment = self.shared.pipeline.moment();
        let mut ready = 0;
        for incoming in batch {
            let letter = &mut letters[ready];
            match catch_unwind(AssertUnwindSafe(|| self.handle(incoming, &moment, letter))) {
                Ok(Reply::Send) => ready += 1,
                Ok(Reply::Nothing) => {}
                // The panic has told of itself. One packet must not take the worker, and with it a share of all
                // clients, out of service, nor the answers to others; a letter is written anew for each packet.
                Err(_) => self.shared.metrics.count_dropped(Dropped::Fault),
            }
        }
        self.send(&mut letters[..ready]);
    }

    fn handle(&self, incoming: &Incoming, moment: &Moment, letter: &mut Letter) -> Reply {
        let Shared { pipeline, metrics, limit, .. } = &*self.shared;
        let Some(peer) = incoming.peer() else { return Reply::Nothing };
        let (packet, peer) = match admit(incoming.octets(), peer, limit) {
            Ok(admitted) => admitted,
            Err(dropped) => {
                metrics.count_dropped(dropped);
                return Reply::Nothing;
            }
        };
        if peer.claimed.is_some() {
            metrics.count_claim(Claimed::ProxyTaken);
        }
        letter.address_to(&peer);
        match pipeline.begin(packet, (peer, Transport::Udp), moment, &self.recorder, &mut letter.message) {
            Step::Answer => Reply::Send,
            Step::Ignore => Reply::Nothing,
            Step::Resolve(query) => match self.shared.permit(&query, moment) {
                Some(permit) => {
                    let (socket, shared) = (Arc::clone(&self.socket), Arc::clone(&self.shared));
                    self.runtime.spawn(async move {
                        resolve(&socket, &shared, &query).await;
                        drop(permit);
                    });
                    Reply::Nothing
                }
                None => {
                    pipeline.turn_away(&query, moment, &self.recorder, &mut letter.message);
                    Reply::Send
                }
            },
        }
    }

    fn send(&self, letters: &mut [Letter]) {
        send(&self.socket, letters, &self.shared);
    }
}

/// What becomes of a letter once its query was looked at.
enum Reply {
    Send,
    /// There is nothing to say, or not yet.
    Nothing,
}

/// Takes the PROXY header of a trusted proxy off a datagram, and says who asks. Nobody else may send one.
fn admit<'p>(packet: &'p [u8], peer: Peer, limit: &Limit) -> Result<(&'p [u8], Peer), Dropped> {
    if !limit.is_proxy(peer.remote.ip()) {
        let peer = limit.admit(peer, None)?;
        let forged = packet.starts_with(proxy::SIGNATURE);
        return if forged { Err(Dropped::ProxyIgnored) } else { Ok((packet, peer)) };
    }
    let header = proxy::read(packet).ok_or(Dropped::ProxyMalformed)?;
    Ok((&packet[header.length..], limit.admit(peer, header.source)?))
}

async fn resolve(socket: &UdpSocket, shared: &Shared, query: &Query) {
    let mut letter = Letter::new();
    shared.pipeline.complete(query, &shared.recorder, &mut letter.message).await;
    if !letter.message.is_empty() {
        letter.address_to(&query.peer);
        send(socket, std::slice::from_mut(&mut letter), shared);
    }
}

/// A full send buffer must not hold up the queries of others: what is not taken at once is lost, and counted.
fn send(socket: &UdpSocket, letters: &mut [Letter], shared: &Shared) {
    for _ in 0..datagram::send(socket, letters) {
        shared.metrics.count_dropped(Dropped::Unsent);
    }
}

/// Waiting out of time and signals are not faults; anything else must not spin.
fn pause_after(error: &io::Error) {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {}
        // An ICMP error of an earlier answer.
        io::ErrorKind::ConnectionRefused => {}
        _ => {
            tracing::warn!(%error, "cannot receive");
            std::thread::sleep(WAIT);
        }
    }
}
