//! One connection for one request: TCP to an address that was checked, TLS where the URL says so, HTTP/1.1.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

use super::{FetchError, Tls, Validators};

/// The body of an answer.
pub(super) type Body = Incoming;

/// How long it may take until a server that is there takes a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// The longest head of an answer, in octets.
const MAX_HEAD: usize = 64 << 10;
const AGENT: &str = concat!("interdict/", env!("CARGO_PKG_VERSION"));

/// An open connection.
pub(super) struct Connection {
    host: String,
    sender: Mutex<SendRequest<Full<Bytes>>>,
    driver: Driver,
}

/// What reads and writes the connection; it ends with it.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection that is encrypted, to a host that was made sure of.
pub type Secured = TlsStream<TcpStream>;

fn late(_: Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nobody answers")
}

pub(super) async fn dial(host: &str, to: SocketAddr) -> Result<TcpStream, FetchError> {
    let stream = timeout(CONNECT_TIME, TcpStream::connect(to)).await.map_err(late).and_then(|connected| connected);
    stream.map_err(|source| FetchError::Connect { host: host.to_owned(), address: to.ip(), source })
}

pub(super) async fn secure(host: &str, stream: TcpStream, tls: &Tls) -> Result<Secured, FetchError> {
    let failed = |source| FetchError::Tls { host: host.to_owned(), source };
    // An address of IPv6 stands in brackets in a URL.
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name).map_err(|error| failed(io::Error::other(error)))?;
    let secured = timeout(CONNECT_TIME, TlsConnector::from(tls.0.clone()).connect(name, stream)).await;
    secured.map_err(late).and_then(|secured| secured).map_err(failed)
}

impl Connection {
    /// Connects to `address`, and makes sure that whoever is there is the host of `url`.
    pub(super) async fn open(url: &Url, address: IpAddr, tls: &Tls) -> Result<Self, FetchError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let stream = dial(&host, SocketAddr::new(address, port)).await?;
        if url.scheme() == "http" {
            return Self::over(host, stream).await;
        }
        let stream = secure(&host, stream, tls).await?;
        Self::over(host, stream).await
    }

    async fn over(
        host: String,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, FetchError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEAD);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|source| FetchError::Http { host: host.clone(), source })?;
        // What goes wrong there is told to whoever reads the answer.
        let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
        Ok(Self { host, sender: Mutex::new(sender), driver })
    }

    /// Asks for what is at `url`, if it is not what `known` tells.
    pub(super) async fn get(&self, url: &Url, known: &Validators) -> Result<Response<Body>, FetchError> {
        let mut request = self.request(url, Vec::new());
        let headers = request.headers_mut();
        let mut set = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        set(header::ACCEPT_ENCODING, "gzip, zstd");
        known.etag.iter().for_each(|etag| set(header::IF_NONE_MATCH, etag));
        known.last_modified.iter().for_each(|date| set(header::IF_MODIFIED_SINCE, date));
        let answered = self.sender.lock().await.send_request(request).await;
        answered.map_err(|source| FetchError::Http { host: self.host.clone(), source })
    }

    /// Sends a request of another kind.
    pub(super) async fn send(
        &self,
        (method, url): (Method, &Url),
        headers: &[(HeaderName, String)],
        body: Vec<u8>,
    ) -> Result<Response<Body>, FetchError> {
        let mut request = self.request(url, body);
        *request.method_mut() = method;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| FetchError::Header(name.to_string()))?;
            request.headers_mut().insert(name, value);
        }
        let answered = self.sender.lock().await.send_request(request).await;
        answered.map_err(|source| FetchError::Http { host: self.host.clone(), source })
    }

    fn request(&self, url: &Url, body: Vec<u8>) -> Request<Full<Bytes>> {
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let host = match url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        };
        let mut request = Request::new(Full::from(body));
        // A URL has only what may stand there; one that has not is answered like a path that is not there.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        let set = [
            (header::HOST, host.as_str()),
            (header::USER_AGENT, AGENT),
            (header::ACCEPT, "*/*"),
            (header::CONNECTION, "close"),
        ];
        for (name, text) in set {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        }
        request
    }

    /// Reads a body to its end, which has to come within `most` octets.
    pub(super) async fn read(self, mut body: Body, most: u64) -> Result<Vec<u8>, FetchError> {
        let Self { host, sender: _sender, driver: _driver } = self;
        let mut octets = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| FetchError::Http { host: host.clone(), source })?;
            let Ok(data) = frame.into_data() else { continue };
            if octets.len() as u64 + data.len() as u64 > most {
                return Err(FetchError::TooLarge(most));
            }
            octets.extend_from_slice(&data);
        }
        Ok(octets)
    }
}
