//! Asks a running daemon.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Command, MAX_REPLY, MAX_REQUEST, Reply, Request, VERSION};

/// Longer than a daemon takes over a command.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no daemon listens on {}; start it with `interdict run`, and see [control] listen", path.display())]
    NoDaemon { path: PathBuf },
    #[error(
        "the control socket {} is not for this user: it is for the user and the group of the daemon",
        path.display()
    )]
    Denied { path: PathBuf },
    #[error("the request is longer than the {MAX_REQUEST} octets that a daemon takes; name fewer names and clients")]
    Long,
    #[error("cannot talk to the daemon on {}; `interdict changes` shows what it has done", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl AskError {
    /// Returns the exit code (sysexits.h).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoDaemon { .. } => 69,
            Self::Denied { .. } => 77,
            Self::Long | Self::Io { .. } => 1,
        }
    }
}

/// Gives the daemon that listens at `path` a command, and waits for its reply.
///
/// # Errors
/// Where no daemon is there, or it gives no reply.
pub fn ask(path: &Path, command: &Command) -> Result<Reply, AskError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NoDaemon { path: path.to_owned() },
        io::ErrorKind::PermissionDenied => AskError::Denied { path: path.to_owned() },
        _ => AskError::Io { path: path.to_owned(), source },
    };
    let request = Request { version: VERSION, command: command.clone() };
    let mut line = serde_json::to_vec(&request).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    if line.len() > MAX_REQUEST {
        return Err(AskError::Long);
    }
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    // From here on the daemon was there, whatever else happens.
    let failed = |source| AskError::Io { path: path.to_owned(), source };
    let mut converse = || -> io::Result<Reply> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&line)?;
        let mut reply = Vec::new();
        BufReader::new(&stream).take(MAX_REPLY).read_until(b'\n', &mut reply)?;
        if reply.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection"));
        }
        Ok(serde_json::from_slice(&reply)?)
    };
    converse().map_err(failed)
}
