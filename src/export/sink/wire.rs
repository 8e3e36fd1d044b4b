//! Connections to receivers: TCP, TLS and Unix sockets, with an end that tells whether everything was read.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::SetUpError;
use crate::export::to::Host;

/// How long a connection may take, and one reading or writing.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the kernel waits for the other side to acknowledge what was sent, before the connection is broken. Shorter
/// than [`PATIENCE`], so that a connection that is still whole after that has all of it acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_secs(8);

/// Whom a TLS server is trusted by.
pub(super) type Trust = Arc<ClientConfig>;

/// Loads certificates in PEM, or takes those that Mozilla trusts.
pub(super) fn load(ca: Option<&Path>) -> Result<Trust, SetUpError> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let text = std::fs::read(path).map_err(|source| SetUpError::Read { path: path.to_owned(), source })?;
            let found = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
            if roots.add_parsable_certificates(found).0 == 0 {
                return Err(SetUpError::NoCertificate { path: path.to_owned() });
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(Arc::new(config.map_err(SetUpError::Tls)?.with_root_certificates(roots).with_no_client_auth()))
}

/// Where to connect.
#[derive(Clone)]
pub(super) enum Address {
    Tcp(Host),
    Tls(Host, Trust),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host) | Self::Tls(host, _) => host.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A connection.
pub(super) enum Wire {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
}

impl Wire {
    /// Connects, and shakes hands where TLS wants it.
    pub(super) fn connect(to: &Address) -> io::Result<Self> {
        match to {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Unix(stream))
            }
            Address::Tcp(host) => tcp(host).map(Self::Tcp),
            Address::Tls(host, trust) => {
                let name = ServerName::try_from(host.name.clone()).map_err(io::Error::other)?;
                let session = ClientConnection::new(Arc::clone(trust), name).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(session, tcp(host)?);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock).map_err(in_words)?;
                }
                Ok(Self::Tls(Box::new(stream)))
            }
        }
    }

    /// Says that nothing more comes, and waits until the other side closes too, which it does once it has read everything.
    /// One that never closes has at least acknowledged all of it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match &mut self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write)?,
            Self::Unix(socket) => socket.shutdown(Shutdown::Write)?,
            Self::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)?;
            }
        }
        // What it has to say is of no interest; whole batches of it are not waited for.
        let mut said = [0; 1024];
        for _ in 0..64 {
            match self.read(&mut said) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Without the goodbye of TLS the end is an end all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                // It keeps the connection open; where it had not acknowledged all, the kernel had broken it by now.
                Err(error) if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn tcp(host: &Host) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host.name.as_str(), host.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                let milliseconds = u32::try_from(ACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
                nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::TcpUserTimeout, &milliseconds)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The kernel tells the end of our patience as if there were nothing to wait for.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, format!("nothing came or went for {} s", PATIENCE.as_secs()))
        }
        _ => error,
    }
}

impl Read for Wire {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Tcp(stream) => stream.read(octets),
            Self::Tls(stream) => stream.read(octets),
            Self::Unix(stream) => stream.read(octets),
        };
        read.map_err(in_words)
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = match self {
            Self::Tcp(stream) => stream.write(octets),
            Self::Tls(stream) => stream.write(octets),
            Self::Unix(stream) => stream.write(octets),
        };
        written.map_err(in_words)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn connected() -> (Wire, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Wire::connect(&Address::Tcp(Host { name: "127.0.0.1".to_owned(), port })).unwrap();
        (wire, listener.accept().unwrap().0)
    }

    #[test]
    fn the_end_of_a_connection_tells_whether_everything_was_read() {
        let (mut wire, mut other) = connected();
        wire.write_all(b"5 hello").unwrap();
        let reader = std::thread::spawn(move || {
            let mut read = String::new();
            other.read_to_string(&mut read).map(|_| read)
        });
        wire.finish().unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), "5 hello");

        let (mut wire, other) = connected();
        wire.write_all(b"5 hello").unwrap();
        // So that it is there, unread, when the other side goes away.
        other.peek(&mut [0; 7]).unwrap();
        drop(other);
        assert!(wire.finish().is_err());
    }
}
