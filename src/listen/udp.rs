//! One plain thread for each datagram socket. An answer leaves from the address that was asked.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::Socket;
use tokio::runtime::Handle;

use super::{Limit, Shared, commit, proxy};
use crate::ledger::Recorder;
use crate::observe::{Claimed, Dropped};
use crate::pipeline::{Moment, Step};
use crate::query::{LocalEnd, MAX_PAYLOAD, Peer, Query, Transport};

/// How many queries are answered with one reading of the clock at most.
const BATCH: usize = 32;
/// How many batches are still answered after the daemon was told to stop.
const LAST_BATCHES: u32 = 256;
/// How long a worker waits for a query before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(100);
/// The largest query that is read; honest ones are far smaller.
const MAX_QUERY: usize = 4096;

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
        let mut packet = vec![0; MAX_QUERY];
        let mut out = Vec::with_capacity(2 * usize::from(MAX_PAYLOAD));
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
        let mut batches_left = LAST_BATCHES;
        loop {
            let stopping = self.shared.stopping.load(Ordering::Relaxed);
            let wait = if stopping { MsgFlags::MSG_DONTWAIT } else { MsgFlags::empty() };
            // Who is flooded must be able to stop too: what waits now is answered, and no more.
            if stopping && batches_left == 0 {
                return;
            }
            batches_left -= u32::from(stopping);
            let first = match receive(&self.socket, &mut packet, &mut control, wait) {
                Ok(first) => first,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && stopping => return,
                Err(error) => {
                    pause_after(&error);
                    continue;
                }
            };
            let moment = self.shared.pipeline.moment();
            let mut next = Some(first);
            let mut handled = 0;
            while let Some((length, peer)) = next {
                let handled_one = catch_unwind(AssertUnwindSafe(|| {
                    self.handle(&packet[..length], peer, &moment, &mut out);
                }));
                if handled_one.is_err() {
                    // The panic has told of itself. One packet must not take the worker, and with it a share of all
                    // clients, out of service; the buffers are written anew for each packet.
                    self.shared.metrics.count_dropped(Dropped::Fault);
                }
                handled += 1;
                next = match handled {
                    BATCH => None,
                    _ => receive(&self.socket, &mut packet, &mut control, MsgFlags::MSG_DONTWAIT).ok(),
                };
            }
        }
    }

    fn handle(&self, packet: &[u8], peer: Peer, moment: &Moment, out: &mut Vec<u8>) {
        let Shared { pipeline, metrics, limit, .. } = &*self.shared;
        let (packet, peer) = match admit(packet, peer, limit) {
            Ok(admitted) => admitted,
            Err(dropped) => return metrics.count_dropped(dropped),
        };
        if peer.claimed.is_some() {
            metrics.count_claim(Claimed::ProxyTaken);
        }
        match pipeline.begin(packet, (peer, Transport::Udp), moment, &self.recorder, out) {
            Step::Answer => self.send(out, peer),
            Step::Ignore => {}
            Step::Commit(query, ticket) => {
                if let Some(out) = commit::hold(&self.socket, &self.shared, (query, ticket), out, &self.runtime) {
                    self.send(out, peer);
                }
            }
            Step::Resolve(query) => match self.shared.permit(&query, moment) {
                Some(permit) => {
                    let (socket, shared) = (Arc::clone(&self.socket), Arc::clone(&self.shared));
                    self.runtime.spawn(async move {
                        resolve(&socket, &shared, &query).await;
                        drop(permit);
                    });
                }
                None => {
                    pipeline.turn_away(&query, moment, &self.recorder, out);
                    self.send(out, peer);
                }
            },
        }
    }

    fn send(&self, message: &[u8], peer: Peer) {
        if send(&self.socket, message, peer).is_err() {
            self.shared.metrics.count_dropped(Dropped::Unsent);
        }
    }
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
    let mut out = Vec::with_capacity(usize::from(MAX_PAYLOAD));
    shared.pipeline.complete(query, &shared.recorder, &mut out).await;
    if !out.is_empty() && send(socket, &out, query.peer).is_err() {
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

fn receive(socket: &UdpSocket, packet: &mut [u8], control: &mut [u8], flags: MsgFlags) -> io::Result<(usize, Peer)> {
    let mut parts = [IoSliceMut::new(packet)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(control), flags)?;
    let remote = message.address.and_then(|address| address_of(&address)).ok_or(io::ErrorKind::InvalidData)?;
    let local = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(LocalEnd {
            address: IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()),
            interface: u32::try_from(info.ipi_ifindex).unwrap_or_default(),
        }),
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(LocalEnd { address: IpAddr::from(info.ipi6_addr.s6_addr), interface: info.ipi6_ifindex })
        }
        _ => None,
    });
    Ok((message.bytes, Peer::direct(remote, local)))
}

pub(super) fn send(socket: &UdpSocket, message: &[u8], peer: Peer) -> io::Result<()> {
    let parts = [IoSlice::new(message)];
    let remote = SockaddrStorage::from(peer.remote);
    let descriptor = socket.as_raw_fd();
    // A full send buffer must not hold up the queries of others.
    let flags = MsgFlags::MSG_DONTWAIT;
    match peer.local {
        Some(LocalEnd { address: IpAddr::V4(address), .. }) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            sendmsg(descriptor, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&remote))?;
        }
        Some(LocalEnd { address: IpAddr::V6(address), interface }) => {
            let info =
                libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: address.octets() }, ipi6_ifindex: interface };
            sendmsg(descriptor, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&remote))?;
        }
        None => {
            sendmsg(descriptor, &parts, &[], flags, Some(&remote))?;
        }
    }
    Ok(())
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::from((v4.ip(), v4.port()))),
        (_, Some(v6)) => Some(SocketAddr::V6((*v6).into())),
        (None, None) => None,
    }
}
