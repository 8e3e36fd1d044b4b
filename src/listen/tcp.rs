//! DNS over TCP (RFC 7766): queries of one connection are answered as their answers come, not in turn.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::{Allowance, Shared, proxy};
use crate::clock::monotonic;
use crate::message::{asks_keepalive, tell_keepalive, u16_at};
use crate::observe::{Claimed, Dropped};
use crate::pipeline::Step;
use crate::query::{Peer, Transport};

/// How long accepting pauses when the system has no more descriptors: the connection stays in the queue, so that
/// trying again at once would only burn the processor.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it is not told again that connections cannot be accepted.
const QUIET: Duration = Duration::from_secs(60);
/// Answers that wait to be written. A client that does not read is not read from either.
const BACKLOG: usize = 16;
/// How often a silent connection looks whether it may still stay, since connections may have run out meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// The shortest wait for tokens. Many connections of one client wait for the same ones.
const WAIT: Duration = Duration::from_millis(20);

/// Takes connections until `closed` says to stop.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut closed: watch::Receiver<bool>) {
    let mut told = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.wait_for(|closed| *closed) => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            // That one connection has gone already.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                continue;
            }
            Err(error) => {
                shared.metrics.count_dropped(Dropped::NotAccepted);
                let now = monotonic();
                if told.is_none_or(|told| now.saturating_duration_since(told) > QUIET) {
                    tracing::warn!(%error, "connections cannot be accepted; they wait, and this is tried again until it passes");
                    told = Some(now);
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let address = remote.ip().to_canonical();
        let proxied = shared.door.is_proxy(address);
        // Of whom a proxy brings, it says only in its header whether they are allowed.
        if !proxied && !shared.door.allow.contains(address) {
            shared.metrics.count_dropped(Dropped::NotAllowed);
            continue;
        }
        // A proxy brings many clients: its connections are held against the limit for all.
        let most = if proxied { usize::MAX } else { shared.limit.connections_per_client };
        let Some(seat) = shared.seats.take(shared.door.limiter.prefix(address), most) else {
            shared.metrics.count_dropped(Dropped::ConnectionLimit);
            continue;
        };
        let local = stream.local_addr().ok().map(|local| crate::query::LocalEnd { address: local.ip(), interface: 0 });
        let peer = Peer::direct(remote, local);
        let connection = Connection { shared: Arc::clone(&shared), peer, proxied, closed: closed.clone() };
        tokio::spawn(async move {
            // A connection that breaks concerns its client alone.
            let _ = connection.run(stream).await;
            drop(seat);
        });
    }
}

struct Connection {
    shared: Arc<Shared>,
    peer: Peer,
    /// Whether a proxy brings it, which has to say at its start who asks.
    proxied: bool,
    closed: watch::Receiver<bool>,
}

impl Connection {
    async fn run(mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let (answers, waiting) = mpsc::channel(BACKLOG);
        let writer = tokio::spawn(write_all(write, waiting, Arc::clone(&self.shared)));
        let ended = self.read(BufReader::new(read), answers).await;
        // The writer ends when the last query under way is answered.
        let _ = writer.await;
        ended
    }

    /// Learns who asks; from a proxy, by the header that the connection starts with.
    async fn meet(&mut self, stream: &mut BufReader<OwnedReadHalf>) -> io::Result<()> {
        let Shared { seats, door, metrics, .. } = &*self.shared;
        let refused = |dropped: Dropped| {
            metrics.count_dropped(dropped);
            io::Error::from(io::ErrorKind::PermissionDenied)
        };
        let source = match self.proxied {
            false => None,
            true => {
                let header = tokio::select! {
                    header = timeout(seats.patience(), read_header(stream)) => header??,
                    _ = self.closed.wait_for(|closed| *closed) => return Err(io::ErrorKind::ConnectionAborted.into()),
                };
                header.ok_or_else(|| refused(Dropped::ProxyMalformed))?.source
            }
        };
        self.peer = door.admit(self.peer, source).map_err(refused)?;
        if source.is_some() {
            metrics.count_claim(Claimed::ProxyTaken);
        }
        Ok(())
    }

    async fn read(&mut self, mut stream: BufReader<OwnedReadHalf>, answers: mpsc::Sender<Vec<u8>>) -> io::Result<()> {
        self.meet(&mut stream).await?;
        let places = self.shared.limit.connection_in_flight;
        let under_way = Arc::new(Semaphore::new(places));
        let mut packet = Vec::new();
        let mut out = Vec::new();
        while self.wait(&mut stream, (&answers, &under_way)).await? {
            // A message has to arrive whole in the time that a client may be silent: dribbling holds nothing up.
            let patience = self.shared.seats.patience();
            if timeout(patience, read_message(&mut stream, &mut packet)).await?? == Read::Header {
                self.shared.metrics.count_dropped(Dropped::ProxyIgnored);
                return Ok(());
            }
            if !self.earn(&answers).await {
                return Ok(());
            }
            let back =
                Back { answers: answers.clone(), shared: Arc::clone(&self.shared), told: asks_keepalive(&packet) };
            let moment = self.shared.pipeline.moment();
            let pipeline = &self.shared.pipeline;
            match pipeline.begin(&packet, (self.peer, Transport::Tcp), &moment, &self.shared.recorder, &mut out) {
                Step::Answer | Step::Repeatable(_) => {}
                // What is no DNS message says that the stream is out of step; what a list drops gets no answer either.
                Step::Ignore => return Ok(()),
                Step::Commit(query, mut ticket) => {
                    let Ok(place) = Arc::clone(&under_way).acquire_owned().await else { return Ok(()) };
                    let mut out = out.clone();
                    tokio::spawn(async move {
                        back.shared.pipeline.commit(&query, &mut ticket, &back.shared.recorder, &mut out).await;
                        let _ = back.send(&mut out).await;
                        drop(place);
                    });
                    continue;
                }
                Step::Forward(query) | Step::Resolve(query) => {
                    let Ok(place) = Arc::clone(&under_way).acquire_owned().await else { return Ok(()) };
                    if let Some(permit) = self.shared.permit(&query, &moment) {
                        tokio::spawn(async move {
                            let mut out = Vec::new();
                            back.shared.pipeline.complete(&query, &back.shared.recorder, &mut out).await;
                            // A client that takes no answers holds up its own queries, and nobody else's.
                            drop(permit);
                            // It may have gone; its record is written all the same.
                            if !out.is_empty() {
                                let _ = back.send(&mut out).await;
                            }
                            drop(place);
                        });
                        continue;
                    }
                    pipeline.turn_away(&query, &moment, &self.shared.recorder, &mut out);
                }
            }
            if back.send(&mut out).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until something of a message arrived; returns false where the connection is to end instead. Takes nothing off
    /// the stream, so that it can be broken off at any point.
    async fn wait(
        &mut self,
        stream: &mut BufReader<OwnedReadHalf>,
        (answers, under_way): (&mpsc::Sender<Vec<u8>>, &Semaphore),
    ) -> io::Result<bool> {
        let mut since = monotonic();
        loop {
            let has_message = has_message(stream.buffer());
            let left = self.shared.seats.patience().saturating_sub(monotonic().saturating_duration_since(since));
            tokio::select! {
                waited = timeout(left.min(LOOK), stream.fill_buf()) => match waited {
                    Ok(arrived) => return arrived.map(|arrived| !arrived.is_empty()),
                    // Silent, but still waiting for answers of ours.
                    Err(_) if under_way.available_permits() < self.shared.limit.connection_in_flight => since = monotonic(),
                    Err(_) if left <= LOOK => return Ok(false),
                    Err(_) => {}
                },
                // What arrived whole before the end is still answered.
                _ = self.closed.wait_for(|closed| *closed), if !has_message => return Ok(false),
                () = answers.closed() => return Ok(false),
            }
        }
    }

    /// Waits until the client may ask: over TCP nobody is turned away for asking much, but read more slowly. Returns
    /// false where the connection is to end instead.
    async fn earn(&mut self, answers: &mpsc::Sender<Vec<u8>>) -> bool {
        while let Allowance::Over(wait) = self.shared.door.take(&self.peer, Transport::Tcp, monotonic()) {
            tokio::select! {
                () = tokio::time::sleep(wait.max(WAIT)) => {}
                _ = self.closed.wait_for(|closed| *closed) => return false,
                () = answers.closed() => return false,
            }
        }
        true
    }
}

/// The way of an answer to its client.
struct Back {
    answers: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
    /// Whether the client is told how long the connection may be silent.
    told: bool,
}

impl Back {
    /// Hands an answer to the writer; an error where the client has gone.
    async fn send(&self, message: &mut Vec<u8>) -> Result<(), mpsc::error::SendError<Vec<u8>>> {
        if self.told {
            tell_keepalive(message, self.shared.seats.patience());
        }
        self.answers.send(framed(message)).await
    }
}

/// Returns whether a whole message has arrived.
fn has_message(arrived: &[u8]) -> bool {
    u16_at(arrived, 0).is_some_and(|length| arrived.len() >= 2 + usize::from(length))
}

/// What stood in a stream.
#[derive(PartialEq, Eq)]
enum Read {
    Message,
    /// A PROXY header where there must be none.
    Header,
}

/// Reads a message. A PROXY header is told from one as soon as it can be: it would be a message that has to be waited for.
async fn read_message(stream: &mut BufReader<OwnedReadHalf>, packet: &mut Vec<u8>) -> io::Result<Read> {
    let length = stream.read_u16().await?;
    packet.resize(usize::from(length), 0);
    let (like_length, like_head) = proxy::SIGNATURE.split_at(2);
    let (head, rest) = packet.split_at_mut(like_head.len().min(usize::from(length)));
    stream.read_exact(head).await?;
    if length.to_be_bytes() == like_length && head == like_head {
        return Ok(Read::Header);
    }
    stream.read_exact(rest).await.map(|_| Read::Message)
}

/// Reads the header that a proxy starts a connection with; `None` where it is none.
async fn read_header(stream: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<proxy::Header>> {
    let mut wire = vec![0; proxy::FIXED];
    stream.read_exact(&mut wire).await?;
    let Some(length) = proxy::length(&wire) else { return Ok(None) };
    wire.resize(length, 0);
    stream.read_exact(&mut wire[proxy::FIXED..]).await?;
    Ok(proxy::read(&wire))
}

/// Puts the length before a message (RFC 1035, section 4.2.2).
fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&u16::try_from(message.len()).unwrap_or_default().to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// Writes answers as they come, those that wait together in one go; ends when nobody can send more, or when the client
/// takes nothing for the time that it may be silent.
async fn write_all(
    mut stream: OwnedWriteHalf,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    shared: Arc<Shared>,
) -> io::Result<()> {
    while let Some(mut answer) = waiting.recv().await {
        while let Ok(more) = waiting.try_recv() {
            answer.extend_from_slice(&more);
        }
        timeout(shared.seats.patience(), stream.write_all(&answer)).await??;
    }
    stream.shutdown().await
}
