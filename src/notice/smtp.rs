//! Hands a message to a mail server, over TLS or not at all.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use jiff::Timestamp;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::mail::{Encryption, Smtp, message};
use super::template::Rendered;
use crate::fetch::{FetchError, Fetcher, Secured};

/// How long one message may take in all.
const TIME: Duration = Duration::from_secs(30);
/// The most octets of a reply before TLS begins (RFC 5321, section 4.5.3.1.5 allows 512 a line).
const MAX_REPLY: usize = 8 << 10;
/// The most octets of all that a server says once the connection is encrypted: the library reads a line to its end, however long.
const MAX_WORDS: usize = 64 << 10;
/// What the library reads first of a connection that has greeted already.
const GREETED: &[u8] = b"220 greeted\r\n";

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("cannot read the password in {}", path.display())]
    Secret { path: std::path::PathBuf, source: io::Error },
    #[error("the message cannot be made")]
    Message(#[from] lettre::error::Error),
    #[error(transparent)]
    Connect(#[from] FetchError),
    #[error("the mail server breaks off before TLS begins")]
    Broken(#[source] io::Error),
    #[error("the mail server does not offer STARTTLS, and nothing is sent without; see [notice.smtp] tls")]
    NoTls,
    #[error("the mail server answers {0} before TLS begins")]
    Refused(u16),
    #[error("the mail server refuses: {0}")]
    Smtp(String),
    #[error("the mail server took longer than {} s", TIME.as_secs())]
    Late,
}

/// Sends a notice by mail. `host` is how this machine calls itself.
///
/// # Errors
/// Where the server has not taken it for all recipients.
pub async fn mail(
    smtp: &Smtp,
    fetcher: &Fetcher,
    rendered: &Rendered,
    (id, host, at): (&str, &str, Timestamp),
) -> Result<(), MailError> {
    timeout(TIME, send(smtp, fetcher, rendered, (id, host, at))).await.unwrap_or(Err(MailError::Late))
}

async fn send(
    smtp: &Smtp,
    fetcher: &Fetcher,
    rendered: &Rendered,
    (id, host, at): (&str, &str, Timestamp),
) -> Result<(), MailError> {
    let login = smtp.login.as_ref().map(|(user, path)| {
        let password = super::secret(path, 1);
        let password = password.map_err(|source| MailError::Secret { path: path.clone(), source })?;
        Ok::<_, MailError>(Credentials::new(user.clone(), password))
    });
    let login = login.transpose()?;
    let message = message(smtp, rendered, id, at)?;
    let Smtp { server, encryption, private, .. } = smtp;
    let own = client(host);
    let mut stream = fetcher.dial(server.host(), server.port(*encryption), *private).await?;
    let before = match encryption {
        Encryption::Implicit => &[],
        Encryption::StartTls => {
            start_tls(&mut stream, &own).await?;
            GREETED
        }
    };
    let secured = fetcher.secure(server.host(), stream).await?;
    let stream = Box::new(Greeted { before, secured, left: MAX_WORDS });
    let refused = |error: lettre::transport::smtp::Error| MailError::Smtp(told(&error));
    let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &own).await.map_err(refused)?;
    if let Some(login) = &login {
        connection.auth(&[Mechanism::Plain, Mechanism::Login], login).await.map_err(refused)?;
    }
    connection.send(message.envelope(), &message.formatted()).await.map_err(refused)?;
    // It has the message; how it ends the connection changes nothing.
    let _ = connection.quit().await;
    Ok(())
}

/// What the library calls an error does not say why.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", told(source)),
        None => error.to_string(),
    }
}

fn client(host: &str) -> ClientId {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
    match !host.is_empty() && host.bytes().all(plain) {
        true => ClientId::Domain(host.to_owned()),
        false => ClientId::default(),
    }
}

/// Says the words before TLS. Nothing beyond the last reply is read, so that nobody can put words in between that would be
/// taken for some of the encrypted connection.
async fn start_tls(stream: &mut TcpStream, own: &ClientId) -> Result<(), MailError> {
    let (code, _) = reply(stream).await?;
    if code != 220 {
        return Err(MailError::Refused(code));
    }
    stream.write_all(format!("EHLO {own}\r\n").as_bytes()).await.map_err(MailError::Broken)?;
    let (code, lines) = reply(stream).await?;
    if code != 250 {
        return Err(MailError::Refused(code));
    }
    if !lines.iter().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(MailError::NoTls);
    }
    stream.write_all(b"STARTTLS\r\n").await.map_err(MailError::Broken)?;
    match reply(stream).await?.0 {
        220 => Ok(()),
        code => Err(MailError::Refused(code)),
    }
}

/// Reads a reply to its last line (RFC 5321, section 4.2).
async fn reply(stream: &mut TcpStream) -> Result<(u16, Vec<String>), MailError> {
    let wrong = |text: &str| MailError::Broken(io::Error::new(io::ErrorKind::InvalidData, text.to_owned()));
    let (mut lines, mut line, mut length) = (Vec::new(), Vec::new(), 0);
    loop {
        let octet = stream.read_u8().await.map_err(MailError::Broken)?;
        length += 1;
        if length > MAX_REPLY {
            return Err(wrong("its reply is too long"));
        }
        if octet != b'\n' {
            line.push(octet);
            continue;
        }
        let text = String::from_utf8_lossy(&std::mem::take(&mut line)).trim_end().to_owned();
        let code = text.get(..3).and_then(|code| code.parse().ok()).ok_or_else(|| wrong("it does not speak SMTP"))?;
        lines.push(text.get(4..).unwrap_or_default().to_owned());
        if text.as_bytes().get(3) != Some(&b'-') {
            return Ok((code, lines));
        }
    }
}

/// An encrypted connection, with words in front that were said before.
struct Greeted {
    before: &'static [u8],
    secured: Secured,
    /// How many octets may still come.
    left: usize,
}

impl fmt::Debug for Greeted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeted").finish_non_exhaustive()
    }
}

impl AsyncRead for Greeted {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.before.is_empty() {
            let filled = buffer.filled().len();
            ready!(Pin::new(&mut this.secured).poll_read(context, buffer))?;
            let read = buffer.filled().len() - filled;
            return Poll::Ready(match this.left.checked_sub(read) {
                Some(left) => {
                    this.left = left;
                    Ok(())
                }
                None => Err(io::Error::new(io::ErrorKind::InvalidData, "it says more than a mail server has to say")),
            });
        }
        let (now, later) = this.before.split_at(this.before.len().min(buffer.remaining()));
        buffer.put_slice(now);
        this.before = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().secured).poll_write(context, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().secured).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(Pin::new(&mut self.get_mut().secured).poll_shutdown(context));
        Poll::Ready(ended)
    }
}

impl AsyncTokioStream for Greeted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.secured.get_ref().0.peer_addr()
    }
}
