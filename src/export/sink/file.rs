//! A file, or standard output: a record a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{SendError, Sink};
use crate::export::event::{Event, Origin};
use crate::export::format::Text;

/// Lines at the end of a file.
pub(super) struct Lines {
    /// None for standard output.
    path: Option<PathBuf>,
    text: Text,
    file: Option<File>,
}

impl Lines {
    pub(super) fn new(path: &Path, text: Text) -> Self {
        Self { path: Some(path.to_owned()), text, file: None }
    }

    pub(super) const fn stdout(text: Text) -> Self {
        Self { path: None, text, file: None }
    }

    fn shown(&self) -> String {
        self.path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
    }

    /// Closes a line that a crash or a full disk left open, so that the next one stands alone.
    fn write(&mut self, lines: &str) -> io::Result<()> {
        let Some(path) = &self.path else {
            let mut out = io::stdout().lock();
            out.write_all(lines.as_bytes())?;
            return out.flush();
        };
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(path)?,
        };
        file.write_all(lines.as_bytes())?;
        self.file = Some(file);
        Ok(())
    }
}

/// Opens a file to append to, and closes a line that was left open.
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::FileExt as _;
    let mut file = file(path)?;
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 && file.metadata()?.is_file() {
        File::open(path)?.read_exact_at(&mut last, length - 1)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// Opens a file to append to; makes one that nobody else can read where there is none.
fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Sink for Lines {
    fn send(&mut self, events: &[Event], origin: &Origin) -> Result<(), SendError> {
        let mut lines = String::new();
        for event in events {
            lines.push_str(&self.text.write(event, origin));
            lines.push('\n');
        }
        self.write(&lines).map_err(|source| SendError::Write { to: self.shown(), source })
    }

    fn confirm(&mut self) -> Result<(), SendError> {
        let synced = self.file.as_ref().map_or(Ok(()), |file| match file.sync_data() {
            // A pipe or a device has nothing to sync.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        });
        synced.map_err(|source| SendError::Write { to: self.shown(), source })
    }

    fn is_eager(&self) -> bool {
        true
    }

    fn reopen(&mut self) {
        self.file = None;
    }
}
