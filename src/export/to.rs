//! Where records go: the kinds of receivers, and what an address of each looks like.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// The words for kinds of receivers.
pub const KINDS: &[&str] = &["file", "syslog-udp", "syslog-tcp", "syslog-tls", "http", "otlp", "dnstap"];

/// A receiver of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    Stdout,
    File(PathBuf),
    /// Syslog (RFC 5424) in datagrams (RFC 5426).
    SyslogUdp(Host),
    /// Syslog over TCP, with octet counting (RFC 6587).
    SyslogTcp(Host),
    /// Syslog over TLS (RFC 5425).
    SyslogTls(Host),
    /// HTTP POST, a record a line.
    Http(Url),
    /// OpenTelemetry logs by OTLP/HTTP in JSON.
    Otlp(Url),
    /// dnstap over a Unix socket.
    DnstapUnix(PathBuf),
    /// dnstap over TCP.
    DnstapTcp(Host),
}

/// A host with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name or an address; one of IPv6 without its brackets.
    pub name: String,
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

/// A text that is no address of such a receiver; says what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub &'static str);

const WANT_HOST: Unusable =
    Unusable("write a host with its port, such as \"siem.example:6514\" or \"[2001:db8::1]:514\"");
const WANT_URL: Unusable =
    Unusable("write a URL such as \"https://collector.example/v1/logs\", without user or password");
const WANT_PATH: Unusable = Unusable("write the path of a file, or \"-\" for standard output");

impl To {
    /// Reads the address of a receiver of this kind, which is one of [`KINDS`].
    ///
    /// # Errors
    /// Where there is no such address.
    pub fn parse(kind: &str, text: &str) -> Result<Self, Unusable> {
        match kind {
            "file" if text == "-" => Ok(Self::Stdout),
            "file" if text.is_empty() => Err(WANT_PATH),
            "file" => Ok(Self::File(text.into())),
            "syslog-udp" => Host::parse(text).map(Self::SyslogUdp),
            "syslog-tcp" => Host::parse(text).map(Self::SyslogTcp),
            "syslog-tls" => Host::parse(text).map(Self::SyslogTls),
            "http" => url(text).map(Self::Http),
            "otlp" => url(text).map(Self::Otlp),
            "dnstap" if text.starts_with('/') => Ok(Self::DnstapUnix(text.into())),
            "dnstap" => Host::parse(text).map(Self::DnstapTcp),
            _ => Err(Unusable("there is no such kind of receiver")),
        }
    }

    /// Returns whether TLS protects what is sent.
    pub fn is_tls(&self) -> bool {
        match self {
            Self::SyslogTls(_) => true,
            Self::Http(url) | Self::Otlp(url) => url.scheme() == "https",
            Self::Stdout
            | Self::File(_)
            | Self::SyslogUdp(_)
            | Self::SyslogTcp(_)
            | Self::DnstapUnix(_)
            | Self::DnstapTcp(_) => false,
        }
    }

    /// Returns whether it speaks HTTP.
    pub const fn is_http(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Otlp(_))
    }

    /// Returns whether how a record is written is left open.
    pub const fn takes_text(&self) -> bool {
        match self {
            Self::Stdout
            | Self::File(_)
            | Self::SyslogUdp(_)
            | Self::SyslogTcp(_)
            | Self::SyslogTls(_)
            | Self::Http(_) => true,
            Self::Otlp(_) | Self::DnstapUnix(_) | Self::DnstapTcp(_) => false,
        }
    }
}

/// Returns whether what is sent to a host stays on this machine.
pub(super) fn is_loopback(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Host {
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.name)
    }

    fn parse(text: &str) -> Result<Self, Unusable> {
        let (name, port) = text.rsplit_once(':').ok_or(WANT_HOST)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(WANT_HOST)?;
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let fits = match inner {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet))
            }
        };
        if fits { Ok(Self { name: inner.unwrap_or(name).to_owned(), port }) } else { Err(WANT_HOST) }
    }
}

fn url(text: &str) -> Result<Url, Unusable> {
    let url = Url::parse(text).map_err(|_| WANT_URL)?;
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host();
    if fits && url.username().is_empty() && url.password().is_none() { Ok(url) } else { Err(WANT_URL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_addresses_of_its_own() {
        for (kind, text, fits) in [
            ("file", "-", true),
            ("file", "/var/log/x.json", true),
            ("file", "", false),
            ("syslog-udp", "siem.example:514", true),
            ("syslog-tls", "[2001:db8::1]:6514", true),
            ("syslog-tls", "2001:db8::1:6514", false),
            ("syslog-tcp", "siem.example", false),
            ("syslog-tcp", "siem.example:0", false),
            ("syslog-tcp", ":514", false),
            ("syslog-tcp", "siem\r\n.example:514", false),
            ("http", "https://collector.example/x?y=1", true),
            ("http", "ftp://collector.example/", false),
            ("http", "https://user:secret@collector.example/", false),
            ("otlp", "http://127.0.0.1:4318/v1/logs", true),
            ("dnstap", "/run/dnstap.sock", true),
            ("dnstap", "127.0.0.1:6000", true),
            ("dnstap", "dnstap.sock", false),
        ] {
            assert_eq!(To::parse(kind, text).is_ok(), fits, "{kind} {text}");
        }
        for (name, local) in
            [("127.0.0.1", true), ("[::1]", true), ("localhost", true), ("10.0.0.1", false), ("x.example", false)]
        {
            assert_eq!(is_loopback(name), local, "{name}");
        }
        assert!(KINDS.iter().all(|kind| To::parse(kind, "").is_err()));
    }
}
