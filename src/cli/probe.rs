//! Asks a running daemon from outside, as its clients do: DNS over UDP and TCP, and pages of the admin listener.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::listen::limit::Networks;
use crate::message::{Class, RecordType, ResponseView, Writer, flag};
use crate::query::MAX_PAYLOAD;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a question goes out over UDP, since a datagram may be lost.
const TRIES: u32 = 3;
/// The longest page that is read, in octets.
const PAGE: u64 = 1 << 20;
/// The head of a PROXY header of version 2 with the command LOCAL: the proxy asks for itself, to see whether we are there.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Returns where this machine reaches what listens on an address.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Returns the address that this machine asks from, where `[listen] allow` keeps that from an answer.
///
/// # Errors
/// Where there is no way to the address.
pub(super) fn shut_out(address: SocketAddr, config: &Config) -> io::Result<Option<IpAddr>> {
    let here = socket_to(address)?.local_addr()?.ip();
    Ok((!Networks::new(&config.listen.allow).contains(here)).then_some(here))
}

fn socket_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let local: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(address)?;
    Ok(socket)
}

/// A question that every daemon answers by itself, whatever its policy, its zones and its upstreams: CHAOS `version.bind`. It
/// is in front of all of these, and may be refused, which is an answer too.
#[derive(Debug)]
pub(super) struct Question {
    message: Vec<u8>,
    id: u16,
}

impl Question {
    pub(super) fn local() -> Self {
        let (mut message, id) = (Vec::new(), rand::random());
        Writer::new(&mut message, id, 0).question(b"\x07version\x04bind\0", RecordType::TXT, Class::CH);
        Self { message, id }
    }

    /// A question that every resolver answers with signatures which passes any on: the keys of the root, with DO and CD.
    pub(super) fn root_keys() -> Self {
        let (mut message, id) = (Vec::new(), rand::random());
        let mut writer = Writer::new(&mut message, id, flag::RECURSION_DESIRED | flag::CHECKING_DISABLED);
        writer.question(b"\0", RecordType::DNSKEY, Class::IN);
        writer.opt(MAX_PAYLOAD, 0, true, &[]);
        Self { message, id }
    }

    /// Asks over UDP and returns the response.
    ///
    /// # Errors
    /// Where none came, or nobody listens there.
    pub(super) fn over_udp(&self, address: SocketAddr, config: &Config) -> io::Result<Vec<u8>> {
        let socket = socket_to(address)?;
        let header = header(socket.local_addr()?, config);
        self.through(&socket, header)
    }

    /// Asks an upstream over UDP and returns the response.
    ///
    /// # Errors
    /// Those of [`Self::over_udp`].
    pub(super) fn of_upstream(&self, server: SocketAddr) -> io::Result<Vec<u8>> {
        self.through(&socket_to(server)?, &[])
    }

    fn through(&self, socket: &UdpSocket, header: &[u8]) -> io::Result<Vec<u8>> {
        socket.set_read_timeout(Some(PATIENCE / TRIES))?;
        let datagram = [header, &self.message].concat();
        let mut buffer = [0; 4096];
        for _ in 0..TRIES {
            socket.send(&datagram)?;
            match socket.recv(&mut buffer) {
                Ok(length) if self.is_answered_by(&buffer[..length]) => return Ok(buffer[..length].to_vec()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Err(silent())
    }

    /// Asks over TCP and returns the response.
    ///
    /// # Errors
    /// Those of [`Self::over_udp`].
    pub(super) fn over_tcp(&self, address: SocketAddr, config: &Config) -> io::Result<Vec<u8>> {
        let mut stream = connect(address)?;
        let length = u16::try_from(self.message.len()).map_err(io::Error::other)?;
        stream.write_all(&[header(stream.local_addr()?, config), &length.to_be_bytes(), &self.message].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).map_err(told)?;
        let mut response = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut response).map_err(told)?;
        if self.is_answered_by(&response) { Ok(response) } else { Err(silent()) }
    }

    fn is_answered_by(&self, message: &[u8]) -> bool {
        const RESPONSE: u16 = 0x8000;
        ResponseView::read(message).is_ok_and(|view| view.id() == self.id && view.flags() & RESPONSE != 0)
    }
}

/// From the networks of proxies nothing is taken without a PROXY header.
fn header(here: SocketAddr, config: &Config) -> &'static [u8] {
    if Networks::new(&config.listen.proxy_from).contains(here.ip()) { LOCAL } else { &[] }
}

/// Fetches a page of the admin listener and returns its status and body.
///
/// # Errors
/// Where nobody is there, or what is said is no HTTP.
pub(super) fn page(admin: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = connect(admin)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.take(PAGE).read_to_string(&mut text).map_err(told)?;
    let parsed = text.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what is there speaks no HTTP"))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", PATIENCE.as_secs()))
}

fn told(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => silent(),
        _ => error,
    }
}

/// One of the things that the daemon tells of its health.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) ok: bool,
    pub(super) detail: String,
}

/// What the daemon tells of its health.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Health {
    pub(super) ready: bool,
    pub(super) checks: Vec<Check>,
}

/// Asks a daemon for its health.
///
/// # Errors
/// Those of [`page`].
pub(super) fn health(admin: SocketAddr) -> io::Result<Health> {
    let (_, body) = page(admin, "/health/ready")?;
    serde_json::from_str(&body).map_err(io::Error::from)
}

/// Returns the samples of a metric, or of one with these labels, added up.
///
/// # Errors
/// Those of [`page`].
pub(super) fn metric(admin: SocketAddr, name: &str) -> io::Result<f64> {
    let (_, text) = page(admin, "/metrics")?;
    let samples = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    Ok(samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
}
