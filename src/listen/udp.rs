//! One plain thread for each datagram socket. An answer leaves from the address that was asked.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::Socket;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::limit::Slip;
use super::{Allowance, Door, Shared, commit, proxy};
use crate::clock::monotonic;
use crate::datagram::{self, BATCH, Incoming, Letter, Wait};
use crate::ledger::Recorder;
use crate::observe::{Claimed, Dropped};
use crate::pipeline::{Moment, Recent, Step};
use crate::query::{Peer, Query, Transport};
use crate::resolve::{Answered, Done, Forwarder, Streamed};

/// How many batches are still answered after the daemon was told to stop.
const LAST_BATCHES: u32 = 256;
/// Where so many queries came at the same time, fetching their answers together pays.
const FEW: usize = 4;
/// How long a worker waits for a query before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(100);

/// Asks the kernel to tell which address each datagram was sent to, where a socket takes those for many: a twentieth of all
/// that an answer costs. What leaves a socket with one address has that address.
pub(super) fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        _ if !address.ip().is_unspecified() => {}
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    socket.set_read_timeout(Some(WAIT))
}

/// One thread with a socket, a recorder and buffers of its own. A plain miss is asked and answered in its loop.
pub(super) struct Worker {
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    recorder: Recorder,
    runtime: Handle,
    forwarder: Forwarder<Waiting>,
    letters: Box<[Letter]>,
    slip: Slip,
    recent: Recent,
    /// How often the loop has turned; only this worker writes it.
    pub(super) turns: Arc<AtomicU64>,
}

/// A query that waits for an upstream.
type Waiting = Box<(Query, OwnedSemaphorePermit)>;

impl Worker {
    /// Returns one of `workers`.
    pub(super) fn new(
        socket: UdpSocket,
        workers: usize,
        (shared, recorder, runtime): (Arc<Shared>, Recorder, Handle),
    ) -> io::Result<Self> {
        let forwarder = Forwarder::new(shared.pipeline.resolver())?;
        forwarder.watch(&socket)?;
        let letters = (0..BATCH).map(|_| Letter::new()).collect();
        let slip = Slip::new(shared.limit.rate.slip);
        let (socket, recent, turns) = (Arc::new(socket), Recent::of_one(workers), Arc::default());
        Ok(Self { socket, shared, recorder, runtime, forwarder, letters, slip, recent, turns })
    }

    /// Answers until the listeners stop, and then what is still in the socket and under way.
    pub(super) fn run(mut self) {
        let mut room = Incoming::batch();
        let mut batches_left = LAST_BATCHES;
        let mut is_open = true;
        while is_open || !self.forwarder.is_idle() {
            self.turns.store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            let stopping = self.shared.stopping.load(Ordering::Relaxed);
            // While nothing is under way, the socket alone is waited for, which saves a call for each batch.
            let idle = self.forwarder.is_idle();
            let came = idle
                || self.forwarder.wait(WAIT, monotonic()).unwrap_or_else(|error| {
                    pause_after(&error);
                    true
                });
            if is_open && (came || stopping) {
                let wait = if stopping || !idle { Wait::Never } else { Wait::First };
                match datagram::receive(&self.socket, &mut room, wait) {
                    Ok(received) => self.answer(&room[..received]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && stopping => batches_left = 0,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.rest(),
                    Err(error) => pause_after(&error),
                }
            }
            self.forwarder.advance(monotonic());
            self.conclude();
            if stopping && is_open {
                // Who is flooded must be able to stop too: what waits now is answered, and no more.
                batches_left = batches_left.saturating_sub(1);
                is_open = batches_left > 0;
                if !is_open {
                    self.forwarder.ignore(&self.socket);
                }
            }
        }
    }

    /// Lets go of what was answered by a policy that is no longer in use, and so of that policy, though nobody asks.
    fn rest(&mut self) {
        let moment = self.shared.pipeline.moment();
        self.recent.turn(&self.shared.pipeline, &moment);
    }

    /// Decides a batch by one state and one reading of the clock, and answers what can be answered at once.
    fn answer(&mut self, batch: &[Incoming]) {
        let moment = self.shared.pipeline.moment();
        self.recent.turn(&self.shared.pipeline, &moment);
        if batch.len() >= FEW {
            self.recent.prefetch(batch);
        }
        let now = monotonic();
        let mut ready = 0;
        for incoming in batch {
            match catch_unwind(AssertUnwindSafe(|| self.handle(incoming, &moment, ready, now))) {
                Ok(Reply::Send) => ready += 1,
                Ok(Reply::Nothing) => {}
                // The panic has told of itself. One packet must not take the worker, and with it a share of all
                // clients, out of service, nor the answers to others; a letter is written anew for each packet.
                Err(_) => self.shared.metrics.count_dropped(Dropped::Fault),
            }
        }
        send(&self.socket, &mut self.letters[..ready], &self.shared);
    }

    fn handle(&mut self, incoming: &Incoming, moment: &Moment, place: usize, now: Instant) -> Reply {
        let Shared { pipeline, metrics, door, .. } = &*self.shared;
        let Some(peer) = incoming.peer() else { return Reply::Nothing };
        let (packet, peer) = match admit(incoming.octets(), peer, door) {
            Ok(admitted) => admitted,
            Err(dropped) => {
                metrics.count_dropped(dropped);
                return Reply::Nothing;
            }
        };
        if peer.claimed.is_some() {
            metrics.count_claim(Claimed::ProxyTaken);
        }
        let letter = &mut self.letters[place];
        letter.address_to(&peer);
        if door.take(&peer, Transport::Udp, now) != Allowance::Within {
            let slips = self.slip.answers() && pipeline.truncate(packet, peer, moment, &mut letter.message);
            metrics.count_dropped(if slips { Dropped::RateSlipped } else { Dropped::RateLimited });
            return if slips { Reply::Send } else { Reply::Nothing };
        }
        if pipeline.repeat(packet, &peer, moment, (&mut self.recent, &self.recorder), &mut letter.message) {
            return Reply::Send;
        }
        let (query, plain) =
            match pipeline.begin(packet, (peer, Transport::Udp), moment, &self.recorder, &mut letter.message) {
                Step::Answer => return Reply::Send,
                Step::Repeatable(repeat) => {
                    self.recent.note(packet, &letter.message, (repeat, &peer), moment);
                    return Reply::Send;
                }
                Step::Ignore => return Reply::Nothing,
                Step::Commit(query, ticket) => {
                    commit::hold(&self.socket, &self.shared, (query, ticket), letter, &self.runtime);
                    return Reply::Nothing;
                }
                Step::Forward(query) => (query, true),
                Step::Resolve(query) => (query, false),
            };
        let Some(permit) = self.shared.permit(&query, moment) else {
            pipeline.turn_away(&query, moment, &self.recorder, &mut letter.message);
            return Reply::Send;
        };
        let waiting = Box::new((query.clone(), permit));
        let left = match plain {
            true => pipeline.forward(&query, (&mut self.forwarder, waiting), moment, now),
            false => Err(waiting),
        };
        if let Err(waiting) = left {
            let (socket, shared) = (Arc::clone(&self.socket), Arc::clone(&self.shared));
            self.runtime.spawn(async move { resolve(&socket, &shared, &waiting.0).await });
        }
        Reply::Nothing
    }

    /// Answers those whose questions came to something, with the state and the time of now.
    fn conclude(&mut self) {
        let Self { socket, shared, recorder, runtime, forwarder, letters, slip: _, recent: _, turns: _ } = self;
        let mut done = forwarder.done().peekable();
        if done.peek().is_none() {
            return;
        }
        let moment = shared.pipeline.moment();
        let mut ready = 0;
        for done in done {
            let answered = match done {
                Done::Answered(answered) => answered,
                Done::Streams(streamed) => {
                    let (socket, shared) = (Arc::clone(socket), Arc::clone(shared));
                    runtime.spawn(async move { stream(&socket, &shared, *streamed).await });
                    continue;
                }
            };
            for waiting in answered.waiting() {
                let letter = &mut letters[ready];
                let way = (&*socket, &*shared, &*runtime);
                if conclude(way, (&answered, &waiting.0), &moment, recorder, letter) {
                    ready += 1;
                }
                if ready == BATCH {
                    send(socket, letters, shared);
                    ready = 0;
                }
            }
        }
        send(socket, &mut letters[..ready], shared);
    }
}

/// Writes the answer to one of those who waited; returns whether there is any to be sent at once.
fn conclude(
    (socket, shared, runtime): (&Arc<UdpSocket>, &Arc<Shared>, &Handle),
    (answered, query): (&Answered<Waiting>, &Query),
    moment: &Moment,
    recorder: &Recorder,
    letter: &mut Letter,
) -> bool {
    let found = (&*answered.resolved, answered.generation, None);
    let concluded = catch_unwind(AssertUnwindSafe(|| {
        shared.pipeline.conclude(query, found, moment, recorder, &mut letter.message)
    }));
    match concluded {
        Ok(Step::Answer | Step::Repeatable(_)) => {
            letter.address_to(&query.peer);
            true
        }
        Ok(Step::Commit(query, ticket)) => {
            commit::hold(socket, shared, (query, ticket), letter, runtime);
            false
        }
        Ok(Step::Ignore | Step::Forward(_) | Step::Resolve(_)) => false,
        Err(_) => {
            shared.metrics.count_dropped(Dropped::Fault);
            false
        }
    }
}

/// What becomes of a letter once its query was looked at.
enum Reply {
    Send,
    /// There is nothing to say, or not yet.
    Nothing,
}

/// Takes the PROXY header of a trusted proxy off a datagram, and says who asks. Nobody else may send one.
fn admit<'p>(packet: &'p [u8], peer: Peer, door: &Door) -> Result<(&'p [u8], Peer), Dropped> {
    if !door.is_proxy(peer.remote.ip()) {
        let peer = door.admit(peer, None)?;
        let forged = packet.starts_with(proxy::SIGNATURE);
        return if forged { Err(Dropped::ProxyIgnored) } else { Ok((packet, peer)) };
    }
    let header = proxy::read(packet).ok_or(Dropped::ProxyMalformed)?;
    Ok((&packet[header.length..], door.admit(peer, header.source)?))
}

async fn resolve(socket: &UdpSocket, shared: &Shared, query: &Query) {
    let mut letter = Letter::new();
    shared.pipeline.complete(query, &shared.recorder, &mut letter.message).await;
    if !letter.message.is_empty() {
        letter.address_to(&query.peer);
        send(socket, std::slice::from_mut(&mut letter), shared);
    }
}

/// Goes on with questions that need a connection.
async fn stream(socket: &Arc<UdpSocket>, shared: &Arc<Shared>, streamed: Streamed<Waiting>) {
    let answered = streamed.drive().await;
    let moment = shared.pipeline.moment();
    let mut letter = Letter::new();
    for waiting in answered.waiting() {
        let way = (socket, shared, &Handle::current());
        if conclude(way, (&answered, &waiting.0), &moment, &shared.recorder, &mut letter) {
            send(socket, std::slice::from_mut(&mut letter), shared);
        }
    }
}

/// A full send buffer must not hold up the queries of others: what is not taken at once is lost, and counted.
pub(super) fn send(socket: &UdpSocket, letters: &mut [Letter], shared: &Shared) {
    datagram::send(socket, letters, |_| shared.metrics.count_dropped(Dropped::Unsent));
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
