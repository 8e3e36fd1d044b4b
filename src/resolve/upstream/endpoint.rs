//! Where an upstream server is, and how it is spoken to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where an upstream server is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// Over UDP and TCP, for anybody to read and to forge.
    Plain(SocketAddr),
    Secure(Secure),
}

/// A server that is spoken to encrypted, and has to show a certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secure {
    pub protocol: Protocol,
    /// The name that its certificate has to be for, or its address, written as such.
    pub name: String,
    /// Where it is; `None` where its name has to be looked up.
    pub address: Option<IpAddr>,
    pub port: u16,
    /// The path of [`Protocol::Https`]; empty for others.
    pub path: String,
}

/// What DNS is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS (RFC 8484), in HTTP/2.
    Https,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

impl Protocol {
    /// Returns the scheme by which it is told in a configuration.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }

    /// Returns the port where nothing else is said.
    pub const fn port(self) -> u16 {
        match self {
            Self::Tls | Self::Quic => 853,
            Self::Https => 443,
        }
    }
}

impl Endpoint {
    /// Returns the address of a plain server.
    pub const fn plain(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(address) => Some(*address),
            Self::Secure(_) => None,
        }
    }
}

/// As a configuration has it: the name first, and the address behind `#` where it is known.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Secure { protocol, name, address, port, path } = match self {
            Self::Plain(address) => return address.fmt(f),
            Self::Secure(secure) => secure,
        };
        let own = name.parse::<IpAddr>().ok();
        let host = if own.is_some_and(|own| own.is_ipv6()) { format!("[{name}]") } else { name.clone() };
        write!(f, "{}://{host}:{port}{path}", protocol.scheme())?;
        match address.filter(|address| own != Some(*address)) {
            Some(address) => write!(f, "#{address}"),
            None => Ok(()),
        }
    }
}
