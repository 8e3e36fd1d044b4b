//! Binds the transports and adapts them to `pipeline`. Knows nothing of DNS but where a message begins and ends.

mod commit;
mod given;
pub mod limit;
mod proxy;
mod seats;
mod tcp;
mod udp;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::clock::monotonic;
use crate::ledger::Recorder;
use crate::observe::{Dropped, Metrics};
use crate::pipeline::{Moment, Pipeline};
use crate::query::{Claim, Peer, Query, Transport};

pub use given::Given;
use seats::Seats;

use limit::{Allowance, Limiter, Networks, Rate};

/// What clients may do and how much of it.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Networks whose queries are taken. Anyone else gets no answer, and is counted.
    pub allow: Vec<IpNet>,
    /// Networks of proxies that say in a PROXY header who asks.
    pub proxy_from: Vec<IpNet>,
    /// Networks of forwarders that say in an EDNS Client Subnet option who asks.
    pub ecs_from: Vec<IpNet>,
    /// Queries that may wait for upstreams at a time, over all transports.
    pub in_flight: usize,
    /// Connections at a time, over all listeners.
    pub connections: usize,
    /// Connections at a time from one client, by its prefix where it is not exempt from [`Rate`].
    pub connections_per_client: usize,
    /// Queries of one connection that may wait for upstreams at a time.
    pub connection_in_flight: usize,
    /// How long a connection may stay silent, a message may take to arrive, or an answer to be taken; shorter where
    /// connections run out.
    pub idle: Duration,
    /// How much a client may ask.
    pub rate: Rate,
}

/// Who may ask, laid out for asking.
#[derive(Debug)]
struct Door {
    allow: Networks,
    proxy_from: Networks,
    ecs_from: Networks,
    limiter: Limiter,
    /// The instant from which the limiter's time counts.
    start: Instant,
}

impl Door {
    fn new(limit: &Limit) -> Self {
        Self {
            allow: Networks::new(&limit.allow),
            proxy_from: Networks::new(&limit.proxy_from),
            ecs_from: Networks::new(&limit.ecs_from),
            limiter: Limiter::new(&limit.rate),
            start: monotonic(),
        }
    }

    /// Returns whether `address` is a proxy's, which has to say who asks.
    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxy_from.contains(address)
    }

    /// Returns a peer that asks for itself, or for `source` where a trusted proxy says so. Of forwarders, it is the one
    /// behind the proxy that may say for whom it asks.
    fn admit(&self, peer: Peer, source: Option<IpAddr>) -> Result<Peer, Dropped> {
        let address = source.unwrap_or(peer.remote.ip());
        // Port 0 cannot be answered; a query from it is a forgery.
        if peer.remote.port() == 0 || !self.allow.contains(address) {
            return Err(Dropped::NotAllowed);
        }
        Ok(Peer { claimed: source.map(Claim::Proxy), tells_subnets: self.ecs_from.contains(address), ..peer })
    }

    /// Takes a token for a query of a peer that was admitted. A forwarder has one bucket for all whom it asks for.
    fn take(&self, peer: &Peer, transport: Transport, now: Instant) -> Allowance {
        let address = match peer.claimed {
            Some(Claim::Proxy(source)) => source,
            Some(Claim::Subnet(_)) | None => peer.remote.ip(),
        };
        self.limiter.take(address, transport, now.saturating_duration_since(self.start))
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "{address} is in use by another program or another Interdict; stop it (`ss -lnptu 'sport = :{port}'` shows it) \
         or set another [listen] dns",
        port = address.port()
    )]
    InUse { address: SocketAddr },
    #[error(
        "listening on {address} is not permitted; ports below 1024 need root, CAP_NET_BIND_SERVICE or a lower \
         net.ipv4.ip_unprivileged_port_start, or set another [listen] dns"
    )]
    Refused { address: SocketAddr },
    #[error("cannot listen on {address}; is it an address of this machine?")]
    Failed { address: SocketAddr, source: io::Error },
    #[error("cannot use a socket that the service manager hands over; it has to be one for UDP or TCP")]
    Given { source: io::Error },
}

/// The bound sockets, before anything is read from them.
#[derive(Debug)]
pub struct Bound {
    /// Datagram sockets, one for each worker of each address.
    datagram: Vec<std::net::UdpSocket>,
    stream: Vec<std::net::TcpListener>,
}

/// Binds every address over UDP and TCP that was not given already; all or none.
///
/// # Errors
/// The first address that cannot be had, with the remedy.
pub fn bind(addresses: &[SocketAddr], given: Given, workers: Option<NonZeroUsize>) -> Result<Bound, BindError> {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let workers = workers.unwrap_or(cores).get();
    let mut bound = Bound { datagram: Vec::new(), stream: Vec::new() };
    let (mut datagrams, mut streams) = (addresses.to_vec(), addresses.to_vec());
    for (address, socket) in given.datagram {
        datagrams.retain(|of| *of != address);
        let given = |source| BindError::Given { source };
        let socket = Socket::from(socket);
        prepare(&socket, address).and_then(|()| socket.set_nonblocking(false)).map_err(given)?;
        // Another user bound it, beside whom the kernel lets us bind no further one: all workers take from this one.
        for _ in 1..workers {
            bound.datagram.push(socket.try_clone().map_err(given)?.into());
        }
        bound.datagram.push(socket.into());
    }
    for (address, listener) in given.stream {
        streams.retain(|of| *of != address);
        listener.set_nonblocking(true).map_err(|source| BindError::Given { source })?;
        bound.stream.push(listener);
    }
    let told = |address: SocketAddr| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            io::ErrorKind::PermissionDenied => BindError::Refused { address },
            _ => BindError::Failed { address, source },
        }
    };
    for address in datagrams {
        // SO_REUSEPORT would let a second Interdict take a share of the queries; a socket without it finds that out.
        drop(socket(address, Type::DGRAM, false).map_err(told(address))?);
        for _ in 0..workers {
            bound.datagram.push(socket(address, Type::DGRAM, true).map_err(told(address))?.into());
        }
    }
    for address in streams {
        let listener = socket(address, Type::STREAM, false).map_err(told(address))?;
        listener.listen(1024).map_err(told(address))?;
        bound.stream.push(listener.into());
    }
    Ok(bound)
}

fn socket(address: SocketAddr, kind: Type, shared: bool) -> io::Result<Socket> {
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Connections of an earlier run that wait to be closed must not keep the address.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
    } else {
        socket.set_reuse_port(shared)?;
        prepare(&socket, address)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Sets what a socket for datagrams needs.
fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    // Bursts wait here while a worker is busy; the system may grant less.
    let _ = socket.set_recv_buffer_size(4 << 20);
    udp::prepare(socket, address)
}

/// What all transports share.
struct Shared {
    pipeline: Arc<Pipeline>,
    metrics: Arc<Metrics>,
    limit: Limit,
    door: Door,
    seats: Arc<Seats>,
    /// One permit for each query that waits for an upstream.
    in_flight: Arc<Semaphore>,
    /// One permit for each query that a local zone is asked; those wait for nobody, and are not held up by others.
    local: Arc<Semaphore>,
    /// Records of the queries that were resolved off the workers.
    recorder: Arc<Recorder>,
    stopping: AtomicBool,
}

/// How many queries local zones may be asked at a time.
const LOCAL_IN_FLIGHT: usize = 1024;

impl Shared {
    /// Returns the permit to resolve a query; `None` where too many are under way.
    fn permit(&self, query: &Query, moment: &Moment) -> Option<OwnedSemaphorePermit> {
        let permits = if self.pipeline.is_local(query, moment) { &self.local } else { &self.in_flight };
        Arc::clone(permits).try_acquire_owned().ok()
    }
}

/// How often each worker has turned its loop: at least ten times a second, whether it is asked something or not.
#[derive(Debug, Clone)]
pub struct Turns(Vec<Arc<AtomicU64>>);

impl Turns {
    /// Returns the count of each worker; one that has ended, or is held up or caught somewhere, counts no further.
    pub fn now(&self) -> Vec<u64> {
        self.0.iter().map(|turns| turns.load(Ordering::Relaxed)).collect()
    }
}

/// The running transports.
pub struct Listeners {
    shared: Arc<Shared>,
    turns: Turns,
    workers: Vec<JoinHandle<()>>,
    closing: watch::Sender<bool>,
}

impl Listeners {
    /// Starts a thread for each datagram socket and a task for each listener on `runtime`. `recorders` gives each
    /// worker a recorder of its own.
    ///
    /// # Errors
    /// Where the system gives no thread, or a socket cannot be handed to the runtime.
    pub fn start(
        bound: Bound,
        pipeline: &Arc<Pipeline>,
        metrics: &Arc<Metrics>,
        limit: Limit,
        runtime: &Handle,
        recorders: impl Fn() -> Recorder,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            pipeline: Arc::clone(pipeline),
            metrics: Arc::clone(metrics),
            in_flight: Arc::new(Semaphore::new(limit.in_flight)),
            local: Arc::new(Semaphore::new(LOCAL_IN_FLIGHT)),
            door: Door::new(&limit),
            seats: Arc::new(Seats::new(limit.connections, limit.idle)),
            limit,
            recorder: Arc::new(recorders()),
            stopping: AtomicBool::new(false),
        });
        let (closing, closed) = watch::channel(false);
        let (mut workers, mut turns) = (Vec::new(), Turns(Vec::new()));
        let count = bound.datagram.len();
        for (number, socket) in bound.datagram.into_iter().enumerate() {
            let of = (Arc::clone(&shared), recorders(), runtime.clone());
            let worker = udp::Worker::new(socket, count, of)?;
            turns.0.push(Arc::clone(&worker.turns));
            workers.push(std::thread::Builder::new().name(format!("udp-{number}")).spawn(move || worker.run())?);
        }
        let _entered = runtime.enter();
        for listener in bound.stream {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            runtime.spawn(tcp::serve(listener, Arc::clone(&shared), closed.clone()));
        }
        Ok(Self { shared, turns, workers, closing })
    }

    /// Returns what tells whether the workers turn.
    pub fn turns(&self) -> Turns {
        self.turns.clone()
    }

    /// Stops taking queries, answers those that were taken and returns once they are answered, or when `patience` is
    /// over. Returns how many queries were left without an answer.
    pub async fn stop(self, patience: Duration) -> usize {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let _ = self.closing.send(true);
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                // A worker that panicked has told of it already.
                let _ = worker.join();
            }
        });
        let all = u32::try_from(self.shared.limit.in_flight).unwrap_or(u32::MAX);
        let answered = async {
            let _ = joined.await;
            self.closing.closed().await;
            let _ = self.shared.in_flight.acquire_many(all).await;
            self.shared.recorder.settled().await;
        };
        let _ = tokio::time::timeout(patience, answered).await;
        self.shared.limit.in_flight - self.shared.in_flight.available_permits().min(self.shared.limit.in_flight)
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").field("workers", &self.workers.len()).field("limit", &self.shared.limit).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_listener_is_told_of_the_first() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()], Given::default(), NonZeroUsize::new(1)).unwrap();
        let taken = first.datagram[0].local_addr().unwrap();
        assert!(matches!(bind(&[taken], Given::default(), NonZeroUsize::new(1)), Err(BindError::InUse { .. })));
    }

    #[test]
    fn mapped_addresses_are_judged_as_what_they_are() {
        let allow = Networks::new(&["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        for (address, allowed) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("::1", true), ("192.0.2.1", false), ("2001:db8::1", false)]
        {
            assert_eq!(allow.contains(address.parse().unwrap()), allowed, "{address}");
        }
    }
}
