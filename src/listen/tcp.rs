//! DNS over TCP (RFC 7766): queries of one connection are answered as their answers come, not in turn.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::{Shared, proxy};
use crate::message::u16_at;
use crate::observe::{Claimed, Dropped};
use crate::pipeline::Step;
use crate::query::{Peer, Transport};

/// How long accepting pauses when the system has no more descriptors: the connection stays in the queue, so that
/// trying again at once would only burn the processor.
const PAUSE: Duration = Duration::from_millis(100);
/// Answers that wait to be written. A client that does not read is not read from either.
const BACKLOG: usize = 16;

/// Takes connections until `closed` says to stop.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut closed: watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(shared.limit.connections));
    let by_client: Arc<Mutex<HashMap<IpAddr, usize>>> = Arc::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.wait_for(|closed| *closed) => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let address = remote.ip().to_canonical();
        let proxied = shared.limit.is_proxy(address);
        // Of whom a proxy brings, it says only in its header whether they are allowed.
        if !proxied && !shared.limit.allows(address) {
            shared.metrics.count_dropped(Dropped::NotAllowed);
            continue;
        }
        // A proxy brings many clients: its connections are held against the limit for all.
        let most = if proxied { usize::MAX } else { shared.limit.connections_per_client };
        let seat = Seat::take(&by_client, address, most);
        let (Some(seat), Ok(permit)) = (seat, Arc::clone(&connections).try_acquire_owned()) else {
            shared.metrics.count_dropped(Dropped::ConnectionLimit);
            continue;
        };
        let local = stream.local_addr().ok().map(|local| crate::query::LocalEnd { address: local.ip(), interface: 0 });
        let peer = Peer::direct(remote, local);
        let connection = Connection { shared: Arc::clone(&shared), peer, proxied, closed: closed.clone() };
        tokio::spawn(async move {
            // A connection that breaks concerns its client alone.
            let _ = connection.run(stream).await;
            drop((seat, permit));
        });
    }
}

/// One of the connections that a client may have; given back when dropped.
struct Seat {
    by_client: Arc<Mutex<HashMap<IpAddr, usize>>>,
    client: IpAddr,
}

impl Seat {
    fn take(by_client: &Arc<Mutex<HashMap<IpAddr, usize>>>, client: IpAddr, most: usize) -> Option<Self> {
        let mut seats = by_client.lock().expect("no holder of this lock panics");
        let taken = seats.entry(client).or_default();
        if *taken >= most {
            return None;
        }
        *taken += 1;
        Some(Self { by_client: Arc::clone(by_client), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.by_client.lock().expect("no holder of this lock panics");
        if let Some(taken) = seats.get_mut(&self.client) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.client);
            }
        }
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
        let writer = tokio::spawn(write_all(write, waiting, self.shared.limit.idle));
        let ended = self.read(BufReader::new(read), answers).await;
        // The writer ends when the last query under way is answered.
        let _ = writer.await;
        ended
    }

    /// Learns who asks; from a proxy, by the header that the connection starts with.
    async fn meet(&mut self, stream: &mut BufReader<OwnedReadHalf>) -> io::Result<()> {
        let Shared { limit, metrics, .. } = &*self.shared;
        let refused = |dropped: Dropped| {
            metrics.count_dropped(dropped);
            io::Error::from(io::ErrorKind::PermissionDenied)
        };
        let source = match self.proxied {
            false => None,
            true => {
                let header = tokio::select! {
                    header = timeout(limit.idle, read_header(stream)) => header??,
                    _ = self.closed.wait_for(|closed| *closed) => return Err(io::ErrorKind::ConnectionAborted.into()),
                };
                header.ok_or_else(|| refused(Dropped::ProxyMalformed))?.source
            }
        };
        self.peer = limit.admit(self.peer, source).map_err(refused)?;
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
        loop {
            let has_message = has_message(stream.buffer());
            // Waiting takes nothing off the stream, so that it can be broken off at any point.
            tokio::select! {
                waited = timeout(self.shared.limit.idle, stream.fill_buf()) => match waited {
                    Ok(Ok([])) => return Ok(()),
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return Err(error),
                    // Silent, but still waiting for answers of ours.
                    Err(_) if under_way.available_permits() < places => continue,
                    Err(_) => return Ok(()),
                },
                // What arrived whole before the end is still answered.
                _ = self.closed.wait_for(|closed| *closed), if !has_message => return Ok(()),
                () = answers.closed() => return Ok(()),
            }
            // A message has to arrive whole in the time that a client may be silent: dribbling holds nothing up.
            if timeout(self.shared.limit.idle, read_message(&mut stream, &mut packet)).await?? == Read::Header {
                self.shared.metrics.count_dropped(Dropped::ProxyIgnored);
                return Ok(());
            }
            let moment = self.shared.pipeline.moment();
            let pipeline = &self.shared.pipeline;
            match pipeline.begin(&packet, (self.peer, Transport::Tcp), &moment, &self.shared.recorder, &mut out) {
                Step::Answer => {}
                // What is no DNS message says that the stream is out of step; what a list drops gets no answer either.
                Step::Ignore => return Ok(()),
                Step::Commit(query, ticket) => {
                    let Ok(place) = Arc::clone(&under_way).acquire_owned().await else { return Ok(()) };
                    let (shared, answers, mut out) = (Arc::clone(&self.shared), answers.clone(), out.clone());
                    tokio::spawn(async move {
                        shared.pipeline.commit(&query, &ticket, &shared.recorder, &mut out).await;
                        let _ = answers.send(framed(&out)).await;
                        drop(place);
                    });
                    continue;
                }
                Step::Forward(query) | Step::Resolve(query) => {
                    let Ok(place) = Arc::clone(&under_way).acquire_owned().await else { return Ok(()) };
                    if let Some(permit) = self.shared.permit(&query, &moment) {
                        let (shared, answers) = (Arc::clone(&self.shared), answers.clone());
                        tokio::spawn(async move {
                            let mut out = Vec::new();
                            shared.pipeline.complete(&query, &shared.recorder, &mut out).await;
                            // A client that takes no answers holds up its own queries, and nobody else's.
                            drop(permit);
                            // It may have gone; its record is written all the same.
                            if !out.is_empty() {
                                let _ = answers.send(framed(&out)).await;
                            }
                            drop(place);
                        });
                        continue;
                    }
                    pipeline.turn_away(&query, &moment, &self.shared.recorder, &mut out);
                }
            }
            if answers.send(framed(&out)).await.is_err() {
                return Ok(());
            }
        }
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
    patience: Duration,
) -> io::Result<()> {
    while let Some(mut answer) = waiting.recv().await {
        while let Ok(more) = waiting.try_recv() {
            answer.extend_from_slice(&more);
        }
        timeout(patience, stream.write_all(&answer)).await??;
    }
    stream.shutdown().await
}
