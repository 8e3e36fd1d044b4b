//! Syslog over datagrams (RFC 5426), over TCP with octet counting (RFC 6587, section 3.4.1) and over TLS (RFC 5425).

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};

use super::wire::{Address, Wire};
use super::{SendError, Sink};
use crate::export::event::{Event, Origin};
use crate::export::format::{Text, syslog};
use crate::export::to::Host;

/// The longest message that fits into a datagram, in octets.
const MAX_DATAGRAM: usize = 65_000;

/// Syslog in datagrams: nobody says whether they arrive.
pub(super) struct Datagrams {
    to: Host,
    text: Text,
    socket: Option<UdpSocket>,
}

impl Datagrams {
    pub(super) fn new(to: &Host, text: Text) -> Self {
        Self { to: to.clone(), text, socket: None }
    }

    fn socket(&mut self) -> io::Result<&UdpSocket> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let to: SocketAddr = (self.to.name.as_str(), self.to.port)
                    .to_socket_addrs()?
                    .next()
                    .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
                let any =
                    if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
                let socket = UdpSocket::bind((any, 0))?;
                socket.connect(to)?;
                socket
            }
        };
        Ok(self.socket.insert(socket))
    }
}

impl Sink for Datagrams {
    fn send(&mut self, events: &[Event], origin: &Origin) -> Result<(), SendError> {
        let (to, text) = (self.to.to_string(), self.text);
        let socket = self.socket().map_err(|source| SendError::Connect { to: to.clone(), source })?;
        let mut sent = Ok(0);
        for event in events {
            let mut message = syslog::message(event, origin, text);
            if message.len() > MAX_DATAGRAM {
                message.truncate(message.floor_char_boundary(MAX_DATAGRAM));
            }
            sent = socket.send(message.as_bytes());
            if sent.is_err() {
                break;
            }
        }
        if let Err(source) = sent {
            self.socket = None;
            return Err(SendError::Send { to, source });
        }
        Ok(())
    }

    fn confirm(&mut self) -> Result<(), SendError> {
        Ok(())
    }

    fn is_eager(&self) -> bool {
        true
    }
}

/// Syslog over a connection, each message behind its length.
pub(super) struct Counted {
    to: Address,
    text: Text,
    wire: Option<Wire>,
}

impl Counted {
    pub(super) const fn new(to: Address, text: Text) -> Self {
        Self { to, text, wire: None }
    }
}

impl Sink for Counted {
    fn send(&mut self, events: &[Event], origin: &Origin) -> Result<(), SendError> {
        let to = self.to.to_string();
        let connected = |source| SendError::Connect { to: to.clone(), source };
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::connect(&self.to).map_err(connected)?,
        };
        let mut octets = Vec::new();
        for event in events {
            let message = syslog::message(event, origin, self.text);
            octets.extend_from_slice(message.len().to_string().as_bytes());
            octets.push(b' ');
            octets.extend_from_slice(message.as_bytes());
        }
        wire.write_all(&octets).and_then(|()| wire.flush()).map_err(|source| SendError::Send { to, source })?;
        self.wire = Some(wire);
        Ok(())
    }

    /// Ends the connection: the other side closes it once it has read everything, which nothing else would tell.
    fn confirm(&mut self) -> Result<(), SendError> {
        let to = self.to.to_string();
        self.wire.take().map_or(Ok(()), |wire| wire.finish().map_err(|source| SendError::Send { to, source }))
    }

    fn is_eager(&self) -> bool {
        false
    }
}
