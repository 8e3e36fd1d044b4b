//! Connections to upstreams that are spoken to encrypted. One connection for each server carries what is asked at the same time;
//! it is made when somebody asks, and anew where it was closed.
//!
//! The library's connections are used below its resolver, so that answers come as the octets that were sent. It reads each of
//! them all the same, and drops those that it cannot read.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hickory_net::h2::HttpsClientStream;
use hickory_net::proto::op::{DnsRequest, DnsRequestOptions, Message};
use hickory_net::quic::QuicClientStream;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tls::tls_client_connect;
use hickory_net::xfer::{DnsExchange, DnsHandle as _, DnsRequestSender, FirstAnswer as _};
use hickory_net::{DnsMultiplexer, NetError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::bootstrap;
use super::upstream::{Group, Protocol, Secure};

/// How many questions may be under way in one connection over TLS.
const MOST: usize = 4096;

/// How servers are believed that are spoken to encrypted, and found where only their name is known.
#[derive(Clone)]
pub struct Trust {
    pub tls: Arc<ClientConfig>,
    /// Another one where others are believed, so that connections of before are not gone on with.
    pub mark: [u8; 32],
    /// Plain servers that are asked for the addresses of the others.
    pub bootstrap: Option<Group>,
    pub expiry: Expiry,
}

/// Tells when the certificate runs out that a server of this name has shown last, in seconds since 1970.
pub type Expiry = Arc<dyn Fn(&str) -> Option<i64> + Send + Sync>;

impl Trust {
    /// Returns whether what was connected by the one may go on by the other.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let servers = |trust: &Self| -> Vec<_> {
            let group = trust.bootstrap.iter();
            group.flat_map(Group::servers).map(|server| server.endpoint().clone()).collect()
        };
        self.mark == other.mark && servers(self) == servers(other)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

/// The way to one server.
pub(super) struct Channel {
    secure: Secure,
    trust: Trust,
    open: Mutex<Open>,
    /// How many answers there were.
    heard: AtomicU64,
}

/// What is open to a server.
#[derive(Default)]
struct Open {
    connection: Option<DnsExchange<TokioRuntimeProvider>>,
    /// Goes up with each connection, so that whoever finds one broken does not close the next.
    number: u64,
}

impl Channel {
    pub(super) fn new(secure: Secure, trust: Trust) -> Self {
        Self { secure, trust, open: Mutex::default(), heard: AtomicU64::new(0) }
    }

    pub(super) const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Sends a message and returns what comes back, with the id that was sent.
    pub(super) async fn ask(&self, message: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
        let request = Message::from_vec(message).map_err(io::Error::other)?;
        let mut retry = true;
        loop {
            let (connection, number, is_new) = timeout_at(deadline, self.connection()).await??;
            let heard = self.heard.load(Ordering::Relaxed);
            let request = DnsRequest::new(request.clone(), DnsRequestOptions::default());
            let answered = timeout_at(deadline, connection.send(request).first_answer()).await;
            let error = match answered {
                Ok(Ok(response)) => {
                    self.heard.fetch_add(1, Ordering::Relaxed);
                    let mut answer = response.into_buffer();
                    // Ids are the connection's own; which answer is whose it has told by then.
                    if let (Some(own), Some(id)) = (answer.get_mut(..2), message.get(..2)) {
                        own.copy_from_slice(id);
                    }
                    return Ok(answer);
                }
                Ok(Err(error)) => failed(error),
                Err(late) => late.into(),
            };
            let late = error.kind() == io::ErrorKind::TimedOut;
            // Where others were answered meanwhile, it is the question that takes long.
            if !late || self.heard.load(Ordering::Relaxed) == heard {
                self.close(number).await;
            }
            // A server may close what nobody uses; that is no failure of it.
            if is_new || !retry || late {
                return Err(error);
            }
            retry = false;
        }
    }

    /// Returns the open connection with its number, or opens one; the latter is told.
    async fn connection(&self) -> io::Result<(DnsExchange<TokioRuntimeProvider>, u64, bool)> {
        // Held while it connects, so that all who ask meanwhile wait for the same connection.
        let mut open = self.open.lock().await;
        if let Some(connection) = &open.connection {
            return Ok((connection.clone(), open.number, false));
        }
        let connection = self.connect().await?;
        open.number += 1;
        open.connection = Some(connection.clone());
        Ok((connection, open.number, true))
    }

    async fn close(&self, number: u64) {
        let mut open = self.open.lock().await;
        if open.number == number {
            open.connection = None;
        }
    }

    async fn connect(&self) -> io::Result<DnsExchange<TokioRuntimeProvider>> {
        let Secure { protocol, name, address, port, path } = &self.secure;
        let address: IpAddr = match address {
            Some(address) => *address,
            None => bootstrap::address(name, self.trust.bootstrap.as_ref()).await?,
        };
        let (address, tls) = (SocketAddr::new(address, *port), Arc::clone(&self.trust.tls));
        let provider = TokioRuntimeProvider::new();
        match protocol {
            Protocol::Tls => {
                let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
                let (connecting, handle) = tls_client_connect(address, name, tls, provider);
                let stream = connecting.await.map_err(failed)?;
                Ok(driven(DnsMultiplexer::new(stream, handle).with_max_active_requests(MOST)))
            }
            Protocol::Https => {
                let builder = HttpsClientStream::builder(tls, provider);
                let stream = builder.build(address, name.as_str().into(), path.as_str().into()).await;
                Ok(driven(stream.map_err(failed)?))
            }
            Protocol::Quic => {
                let builder = QuicClientStream::builder().crypto_config((*tls).clone());
                Ok(driven(builder.build(address, name.as_str().into()).await.map_err(failed)?))
            }
        }
    }
}

/// Has a task read and write a connection for as long as anybody holds it.
fn driven<S: DnsRequestSender + 'static>(stream: S) -> DnsExchange<TokioRuntimeProvider> {
    let (exchange, background) = DnsExchange::from_stream(stream);
    tokio::spawn(background);
    exchange
}

fn failed(error: NetError) -> io::Error {
    match error {
        NetError::Timeout => io::ErrorKind::TimedOut.into(),
        error => io::Error::other(error),
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("secure", &self.secure).finish_non_exhaustive()
    }
}
