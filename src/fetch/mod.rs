//! Files from elsewhere, over HTTPS: bounded in size and in time, from an address that was checked, and vouched for where
//! somebody does.
//!
//! Never looks a name up: whoever fetches says how that is done ([`Lookup`]), and the address that was told is the one that
//! is connected to. Never decides what becomes of a file; keeps what is told to be kept ([`Kept`]).

mod address;
mod connect;
mod expiry;
mod kept;
mod roots;
mod send;
mod sigv4;
mod trust;

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use address::forbids;
pub use connect::Secured;
pub use expiry::Expiries;
pub use kept::{Failing, Kept, Place, replace};
pub use roots::{RootsError, Tls, last_end};
pub use send::{Answer, Sent};
pub use sigv4::{Credentials, hmac, is_header, sign};
pub use trust::{Distrust, NoKey, PublicKey, Trust, read_digest};
pub use url::Url;

use crate::message::Name;
use crate::unpack::{Packing, UnpackError};
use connect::{Body, Connection};

/// How often a server may lead to another place.
const MAX_REDIRECTS: usize = 5;
/// The longest word of a server for the state of its file that is kept, in octets.
const MAX_VALIDATOR: usize = 1 << 10;
/// The largest signature, in octets; honest ones have some 300.
const MAX_SIGNATURE: u64 = 8 << 10;
/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 4;

/// What is fetched, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub url: Url,
    /// Whether its host may have a private address, or be this machine. Where a server leads further, nobody may.
    pub private: bool,
    pub trust: Trust,
}

impl Source {
    /// Returns the URL as it may be shown, without what follows its path, which may be a secret.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Returns 16 hexadecimal digits for the address and for who vouches: others for any other terms.
    pub fn terms(&self) -> String {
        let digest = Sha256::digest(format!("{} {}", self.url, self.trust));
        hex::encode(&digest[..8])
    }
}

/// How much a file may be, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most octets that are taken from a server for one file.
    pub transferred: u64,
    /// The most octets that it may have once it is unpacked.
    pub unpacked: u64,
    /// How long all of it may take: look-ups, redirects and the signature.
    pub time: Duration,
}

/// What a server said by which it can tell later that a file is the same (RFC 9110, section 8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// What came of fetching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server says that the file is as it was.
    Unchanged,
    /// The file as it is now; whoever was to vouch for it does.
    File { octets: Vec<u8>, validators: Validators },
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("it took longer than {} s in all", .0.as_secs())]
    TooLong(Duration),
    #[error("{host} cannot be looked up: {reason}")]
    Lookup { host: String, reason: String },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error(
        "{host} is at {address}, a private address or one of this machine; a configured host may be with `private = true`, what a server leads to never"
    )]
    Forbidden { host: String, address: IpAddr },
    #[error("cannot connect to {host} at {address}")]
    Connect { host: String, address: IpAddr, source: std::io::Error },
    #[error("the connection to {host} is not trusted or broke off at its start")]
    Tls { host: String, source: std::io::Error },
    #[error("{host} does not speak HTTP as it should")]
    Http { host: String, source: hyper::Error },
    #[error("the header {0} has a value that no request can have")]
    Header(String),
    #[error("{url} answers {status}")]
    Status { url: String, status: u16 },
    #[error("it is led further more than {MAX_REDIRECTS} times")]
    Redirects,
    #[error("{from} leads to {to}, which is no https address that may be followed")]
    Redirect { from: String, to: String },
    #[error("it is larger than {0} octets")]
    TooLarge(u64),
    #[error("the answer has the content coding {0}, which was not asked for")]
    Coding(String),
    #[error("the answer cannot be unpacked")]
    Unpack(#[from] UnpackError),
    #[error("its signature cannot be had")]
    NoSignature(#[source] Box<FetchError>),
    #[error(transparent)]
    Distrusted(#[from] Distrust),
}

impl FetchError {
    /// Returns whether a file came and is not the one that is wanted: no mishap of the network.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Distrusted(_) | Self::TooLarge(_) | Self::Unpack(_) | Self::Coding(_))
    }
}

/// How names are looked up.
pub trait Lookup: Send + Sync {
    /// Returns the addresses of `name`, or why there are none.
    fn addresses(&self, name: Name) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send + '_>>;
}

/// Fetches files.
pub struct Fetcher {
    lookup: Arc<dyn Lookup>,
    tls: Tls,
    bounds: Bounds,
    /// Which addresses nobody may lead to.
    forbids: fn(IpAddr) -> bool,
}

impl Fetcher {
    /// Returns a fetcher that looks names up by `lookup`, and leads nowhere that `forbids` names.
    pub fn new(lookup: Arc<dyn Lookup>, tls: Tls, bounds: Bounds, forbids: fn(IpAddr) -> bool) -> Self {
        Self { lookup, tls, bounds, forbids }
    }

    /// Returns the bounds that files are held to.
    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Fetches a file, unless its server says by `known` that it is as it was.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fetch(&self, source: &Source, known: &Validators) -> Result<Outcome, FetchError> {
        let all = timeout(self.bounds.time, self.fetch_whole(source, known)).await;
        all.unwrap_or(Err(FetchError::TooLong(self.bounds.time)))
    }

    async fn fetch_whole(&self, source: &Source, known: &Validators) -> Result<Outcome, FetchError> {
        let got = self.get(&source.url, source.private, known, self.bounds.transferred).await?;
        let Some((octets, validators)) = got else { return Ok(Outcome::Unchanged) };
        let signature = match source.trust.signature_url(&source.url) {
            None => None,
            Some(url) => {
                let got = self.get(&url, source.private, &Validators::default(), MAX_SIGNATURE).await;
                let got = got.map_err(|error| FetchError::NoSignature(Box::new(error)))?;
                got.map(|(octets, _)| String::from_utf8_lossy(&octets).into_owned())
            }
        };
        let trust = source.trust.clone();
        // Hashing takes its time, which those who answer queries need not wait for.
        let judged = tokio::task::spawn_blocking(move || trust.judge(&octets, signature.as_deref()).map(|()| octets));
        let octets = judged.await.unwrap_or(Err(Distrust::Unjudged))?;
        Ok(Outcome::File { octets, validators })
    }

    /// Gets what is at `url`; `None` where its server says by `known` that it is as it was.
    async fn get(
        &self,
        url: &Url,
        private: bool,
        known: &Validators,
        most: u64,
    ) -> Result<Option<(Vec<u8>, Validators)>, FetchError> {
        let mut url = url.clone();
        for hop in 0..=MAX_REDIRECTS {
            let connection = self.connect(&url, private && hop == 0).await?;
            let response = connection.get(&url, known).await?;
            let status = response.status();
            match status {
                StatusCode::OK => return self.read(response, connection, most).await.map(Some),
                StatusCode::NOT_MODIFIED if *known != Validators::default() => return Ok(None),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => url = led_to(&url, response.headers())?,
                _ => return Err(FetchError::Status { url: shown(&url), status: status.as_u16() }),
            }
        }
        Err(FetchError::Redirects)
    }

    /// Looks up the addresses of a host, and checks them.
    async fn addresses(&self, host: url::Host<&str>, private: bool) -> Result<Vec<IpAddr>, FetchError> {
        let addresses = match host {
            url::Host::Ipv4(address) => vec![IpAddr::V4(address)],
            url::Host::Ipv6(address) => vec![IpAddr::V6(address)],
            url::Host::Domain(name) => {
                let failed = |reason: String| FetchError::Lookup { host: name.to_owned(), reason };
                let name: Name = name.parse().map_err(|error| failed(format!("it is no name: {error}")))?;
                self.lookup.addresses(name).await.map_err(failed)?
            }
        };
        match addresses.iter().copied().find(|address| !private && (self.forbids)(*address)) {
            Some(address) => Err(FetchError::Forbidden { host: host.to_string(), address }),
            None => Ok(addresses),
        }
    }

    /// Connects to a port of a host, at an address that was checked.
    ///
    /// # Errors
    /// Where there is no connection.
    pub async fn dial(&self, host: &url::Host, port: u16, private: bool) -> Result<TcpStream, FetchError> {
        let name = host.to_string();
        let host = match host {
            url::Host::Domain(name) => url::Host::Domain(name.as_str()),
            url::Host::Ipv4(address) => url::Host::Ipv4(*address),
            url::Host::Ipv6(address) => url::Host::Ipv6(*address),
        };
        let addresses = self.addresses(host, private).await?;
        let mut last = FetchError::NoAddress { host: name.clone() };
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match connect::dial(&name, SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Encrypts a connection, and makes sure that whoever is there is the host.
    ///
    /// # Errors
    /// Where it is not trusted.
    pub async fn secure(&self, host: &url::Host, stream: TcpStream) -> Result<Secured, FetchError> {
        connect::secure(&host.to_string(), stream, &self.tls).await
    }

    /// Connects to an address that was checked: there is no second look-up that could tell another.
    async fn connect(&self, url: &Url, private: bool) -> Result<Connection, FetchError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let addresses = match url.host() {
            None => Vec::new(),
            Some(host) => self.addresses(host, private).await?,
        };
        let mut last = FetchError::NoAddress { host };
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match Connection::open(url, address, &self.tls).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn read(
        &self,
        response: Response<Body>,
        connection: Connection,
        most: u64,
    ) -> Result<(Vec<u8>, Validators), FetchError> {
        let (head, body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
        let validators = Validators {
            etag: text(header::ETAG).filter(|etag| etag.len() <= MAX_VALIDATOR),
            last_modified: text(header::LAST_MODIFIED).filter(|at| at.len() <= MAX_VALIDATOR),
        };
        let packing = packing(&head.headers)?;
        let octets = connection.read(body, most).await?;
        let unpacked = self.bounds.unpacked;
        let octets = match packing {
            None => octets,
            Some(packing) => {
                let unpacked = tokio::task::spawn_blocking(move || packing.unpack(&octets, unpacked)).await;
                unpacked.map_err(|error| UnpackError::Damaged(std::io::Error::other(error)))??
            }
        };
        Ok((octets, validators))
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

/// Returns where a redirect leads: only to what is encrypted and names no user.
fn led_to(url: &Url, headers: &HeaderMap) -> Result<Url, FetchError> {
    let location = headers.get(header::LOCATION).map(HeaderValue::as_bytes).map(String::from_utf8_lossy);
    let location = location.unwrap_or_default();
    let refused = || FetchError::Redirect { from: shown(url), to: clean(&location) };
    let to = url.join(&location).map_err(|_| refused())?;
    if to.scheme() != "https" || !to.username().is_empty() || to.password().is_some() {
        return Err(refused());
    }
    Ok(to)
}

/// Returns how the content was packed for the way (RFC 9110, section 8.4); what the file itself is packed by is another matter.
fn packing(headers: &HeaderMap) -> Result<Option<Packing>, FetchError> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let (first, more) = (codings.next(), codings.next());
    let coding = first.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
    match (coding.as_deref(), more) {
        (None | Some("" | "identity"), None) => Ok(None),
        (Some("gzip" | "x-gzip"), None) => Ok(Some(Packing::Gzip)),
        (Some("zstd"), None) => Ok(Some(Packing::Zstd)),
        (coding, _) => Err(FetchError::Coding(clean(coding.unwrap_or_default()))),
    }
}

/// See [`Source::shown`].
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// Returns what somebody else wrote as it may be shown: short, and without control characters.
fn clean(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}
