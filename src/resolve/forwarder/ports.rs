//! The ports that a worker asks from: connected sockets, each for what leaves by one call, and then for nothing more.
//!
//! The system chooses each port at random, so that nobody can look for a port before the queries have left through it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::datagram::BATCH;

/// What the listener's events are marked with; no place is as large.
const LISTENER: u64 = u64::MAX;
/// How many sockets one call tells of.
const EVENTS: usize = 64;

/// One try: the place of its question, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) place: usize,
    pub(super) attempt: u64,
}

/// The ports of one worker.
pub(super) struct Ports {
    epoll: Epoll,
    events: [EpollEvent; EVENTS],
    /// Places of ports to which something came.
    ready: Vec<usize>,
    ports: Vec<Option<Port>>,
    free: Vec<usize>,
    /// Places of ports that were closed, and that no other takes yet: what was read from one is not another's.
    closed: Vec<usize>,
}

struct Port {
    socket: UdpSocket,
    server: SocketAddr,
    /// Whether the call was made: nothing leaves from it any more.
    used: bool,
    /// The tries that wait for an answer here, by the ids of their messages.
    flights: Vec<(u16, Flight)>,
}

impl Ports {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: [EpollEvent::empty(); EVENTS],
            ready: Vec::new(),
            ports: Vec::new(),
            free: Vec::new(),
            closed: Vec::new(),
        })
    }

    pub(super) fn watch(&self, listener: &UdpSocket) -> io::Result<()> {
        Ok(self.epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?)
    }

    pub(super) fn ignore(&self, listener: &UdpSocket) {
        // It was not watched where that fails.
        let _ = self.epoll.delete(listener);
    }

    /// Returns whether something came to the listener; [`Ports::next_ready`] gives the ports.
    pub(super) fn wait(&mut self, most: Duration) -> io::Result<bool> {
        // Rounded up, so that a deadline is over once the wait is.
        let most = u16::try_from(most.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::from(most)) {
            Err(nix::errno::Errno::EINTR) => 0,
            waited => waited?,
        };
        let places = self.events[..count].iter().map(EpollEvent::data);
        self.ready.extend(places.clone().filter_map(|place| usize::try_from(place).ok().filter(|_| place != LISTENER)));
        Ok(places.into_iter().any(|place| place == LISTENER))
    }

    pub(super) fn next_ready(&mut self) -> Option<usize> {
        self.ready.pop()
    }

    /// Opens a port from which queries to `server` can leave.
    ///
    /// # Errors
    /// Where the system gives none, or knows no way to the server.
    pub(super) fn open(&mut self, server: SocketAddr) -> io::Result<usize> {
        let port = Port::open(server)?;
        let place = self.free.last().copied().unwrap_or(self.ports.len());
        self.epoll.add(&port.socket, EpollEvent::new(EpollFlags::EPOLLIN, place as u64))?;
        if self.free.pop().is_none() {
            self.ports.push(None);
        }
        self.ports[place] = Some(port);
        Ok(place)
    }

    /// Returns whether a query to `server` can leave from this port still.
    pub(super) fn is_open_to(&self, place: usize, server: SocketAddr) -> bool {
        matches!(self.ports.get(place), Some(Some(port)) if port.server == server && !port.used)
    }

    pub(super) fn socket(&self, place: usize) -> Option<&UdpSocket> {
        self.ports.get(place)?.as_ref().map(|port| &port.socket)
    }

    /// Notes a try that leaves from this port with the message id `id`; not where another one there has that id.
    pub(super) fn take_off(&mut self, place: usize, id: u16, flight: Flight) -> bool {
        let Some(Some(port)) = self.ports.get_mut(place) else { return true };
        if port.flights.iter().any(|(of, _)| *of == id) {
            return false;
        }
        port.flights.push((id, flight));
        true
    }

    /// Returns the try whose message has this id.
    pub(super) fn flight(&self, place: usize, id: u16) -> Option<Flight> {
        let port = self.ports.get(place)?.as_ref()?;
        port.flights.iter().find(|(of, _)| *of == id).map(|(_, flight)| *flight)
    }

    /// Notes that a try is over.
    pub(super) fn land(&mut self, place: usize, flight: Flight) {
        let Some(Some(port)) = self.ports.get_mut(place) else { return };
        if let Some(at) = port.flights.iter().position(|(_, of)| *of == flight) {
            port.flights.swap_remove(at);
        }
        self.close(place);
    }

    /// Lets nothing leave from this port any more.
    pub(super) fn close_behind(&mut self, place: usize) {
        if let Some(Some(port)) = self.ports.get_mut(place) {
            port.used = true;
            self.close(place);
        }
    }

    /// Returns the tries that wait at this port.
    pub(super) fn flights(&self, place: usize) -> Vec<Flight> {
        let port = self.ports.get(place).and_then(Option::as_ref);
        port.into_iter().flat_map(|port| &port.flights).map(|(_, flight)| *flight).collect()
    }

    /// Gives a port back to the system once nothing leaves from it any more and nothing is waited for.
    fn close(&mut self, place: usize) {
        if matches!(self.ports.get(place), Some(Some(port)) if port.used && port.flights.is_empty()) {
            self.ports[place] = None;
            self.closed.push(place);
        }
    }

    /// Lets others take the places of closed ports, once all that was read from those is dealt with.
    pub(super) fn settle(&mut self) {
        self.free.append(&mut self.closed);
    }

    /// Returns how many ports are open.
    pub(super) fn len(&self) -> usize {
        self.ports.len() - self.free.len() - self.closed.len()
    }
}

impl Port {
    fn open(server: SocketAddr) -> io::Result<Self> {
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)?;
        // A connected socket takes datagrams from the address that was asked alone.
        socket.connect(server)?;
        Ok(Self { socket, server, used: false, flights: Vec::with_capacity(BATCH) })
    }
}
