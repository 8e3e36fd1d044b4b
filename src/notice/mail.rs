//! A notice as a message of mail, and the server that takes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox as Address, MultiPart};

use super::template::Rendered;

/// A mail server, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    pub server: Server,
    pub encryption: Encryption,
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    /// The user, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    /// Certificates that are believed besides those that Mozilla trusts.
    pub ca: Option<PathBuf>,
    /// Whether the server may have a private address, or be this machine.
    pub private: bool,
}

/// When a connection becomes encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// After its first words (RFC 3207), or not at all used.
    StartTls,
    /// From the start (RFC 8314).
    Implicit,
}

/// The host of a mail server, with a port where it is not the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    host: url::Host,
    port: Option<u16>,
}

/// The text names no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoServer;

impl FromStr for Server {
    type Err = NoServer;

    fn from_str(text: &str) -> Result<Self, NoServer> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = port.map(str::parse::<u16>).transpose().map_err(|_| NoServer)?;
        let host = url::Host::parse(host).map_err(|_| NoServer)?;
        let is_name = |host: &url::Host| !matches!(host, url::Host::Domain(name) if name.is_empty());
        if is_name(&host) && port != Some(0) { Ok(Self { host, port }) } else { Err(NoServer) }
    }
}

impl Server {
    /// Returns the host.
    pub const fn host(&self) -> &url::Host {
        &self.host
    }

    /// Returns the port, which depends on the encryption where none is named.
    pub const fn port(&self, encryption: Encryption) -> u16 {
        match (self.port, encryption) {
            (Some(port), _) => port,
            (None, Encryption::StartTls) => 587,
            (None, Encryption::Implicit) => 465,
        }
    }
}

/// Somebody's address of mail, in ASCII, with or without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox(Address);

/// The text is no address of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMailbox;

impl FromStr for Mailbox {
    type Err = NoMailbox;

    fn from_str(text: &str) -> Result<Self, NoMailbox> {
        let address: Address = text.parse().map_err(|_| NoMailbox)?;
        // Others need a server that takes them (RFC 6531).
        let is_plain = address.email.to_string().bytes().all(|octet| octet.is_ascii_graphic());
        if is_plain { Ok(Self(address)) } else { Err(NoMailbox) }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes a message. The same notice has the same `id` when it is sent once more, so that a mailbox can know it again.
pub(super) fn message(
    smtp: &Smtp,
    rendered: &Rendered,
    id: &str,
    at: Timestamp,
) -> Result<Message, lettre::error::Error> {
    let Mailbox(from) = smtp.from.clone();
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    let mut builder = Message::builder()
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        .from(from)
        .subject(&rendered.subject)
        // Whoever is on holiday does not answer it (RFC 3834).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    for Mailbox(to) in &smtp.to {
        builder = builder.to(to.clone());
    }
    builder.multipart(MultiPart::alternative_plain_html(rendered.text.clone(), rendered.page.clone()))
}
