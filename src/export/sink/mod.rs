//! Those who take records. Each connects when there is something to send, and anew after an error.

mod dnstap;
mod file;
mod http;
mod syslog;
mod wire;

use std::io;
use std::path::PathBuf;

pub(super) use dnstap::Frames;

use super::event::{Event, Origin};
use super::{Receiver, To};

/// A receiver, as the one thread uses it that exports to it.
pub(super) trait Sink: Send {
    /// Hands events over.
    fn send(&mut self, events: &[Event], origin: &Origin) -> Result<(), SendError>;

    /// Makes sure that the receiver has taken everything that was sent. After an error that is not known of anything since
    /// the last time, and has to be sent again.
    fn confirm(&mut self) -> Result<(), SendError>;

    /// Returns whether confirming costs next to nothing, so that it is done after each sending.
    fn is_eager(&self) -> bool;

    /// Opens anew what somebody may have moved away.
    fn reopen(&mut self) {}
}

/// Why a receiver cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate in PEM", path.display())]
    NoCertificate { path: PathBuf },
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("{} holds no line that a header could have", path.display())]
    NoCredentials { path: PathBuf },
}

/// Why events were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("cannot connect to {to}")]
    Connect { to: String, source: io::Error },
    #[error("{to} took no records")]
    Send { to: String, source: io::Error },
    #[error("{to} answered {status}")]
    Status { to: String, status: String },
    #[error("cannot write {to}")]
    Write { to: String, source: io::Error },
}

/// Makes ready what hands records over. Connects to nobody.
pub(super) fn open(receiver: &Receiver) -> Result<Box<dyn Sink>, SetUpError> {
    let trust = || wire::load(receiver.ca.as_deref());
    let text = receiver.text;
    let authorization = receiver.authorization.as_deref().map(http::credentials).transpose()?;
    Ok(match &receiver.to {
        To::Stdout => Box::new(file::Lines::stdout(text)),
        To::File(path) => Box::new(file::Lines::new(path, text)),
        To::SyslogUdp(host) => Box::new(syslog::Datagrams::new(host, text)),
        To::SyslogTcp(host) => Box::new(syslog::Counted::new(wire::Address::Tcp(host.clone()), text)),
        To::SyslogTls(host) => Box::new(syslog::Counted::new(wire::Address::Tls(host.clone(), trust()?), text)),
        To::Http(url) => Box::new(http::Posts::new(url, http::Bodies::Lines(text), authorization, trust)?),
        To::Otlp(url) => Box::new(http::Posts::new(url, http::Bodies::Otlp, authorization, trust)?),
        To::DnstapUnix(path) => Box::new(dnstap::Stream::new(wire::Address::Unix(path.clone()))),
        To::DnstapTcp(host) => Box::new(dnstap::Stream::new(wire::Address::Tcp(host.clone()))),
    })
}
