//! Sockets that a service manager bound and handed over (sd_listen_fds(3)).

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use listenfd::ListenFd;

/// The sockets that came with the process, each with its address.
#[derive(Debug, Default)]
pub struct Given {
    pub(super) datagram: Vec<(SocketAddr, UdpSocket)>,
    pub(super) stream: Vec<(SocketAddr, TcpListener)>,
}

impl Given {
    /// Takes what the environment of this process names. To be called once.
    ///
    /// # Errors
    /// Where one of them takes neither datagrams nor connections over IP.
    pub fn take() -> io::Result<Self> {
        let mut all = ListenFd::from_env();
        let mut given = Self::default();
        for place in 0..all.len() {
            // What is no socket of the kind is left where it was.
            if let Ok(Some(socket)) = all.take_udp_socket(place) {
                given.datagram.push((socket.local_addr()?, socket));
            } else if let Some(listener) = all.take_tcp_listener(place)? {
                given.stream.push((listener.local_addr()?, listener));
            }
        }
        Ok(given)
    }

    /// Returns every address that is listened on, those of `configured` first, each once.
    pub fn addresses(&self, configured: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut addresses = configured.to_vec();
        let datagram = self.datagram.iter().map(|(address, _)| *address);
        for address in datagram.chain(self.stream.iter().map(|(address, _)| *address)) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}
