//! A file, or standard output: a record a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
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
    /// Whether standard output may end within a line.
    torn: bool,
}

impl Lines {
    pub(super) fn new(path: &Path, text: Text) -> Self {
        Self { path: Some(path.to_owned()), text, file: None, torn: false }
    }

    pub(super) const fn stdout(text: Text) -> Self {
        Self { path: None, text, file: None, torn: false }
    }

    fn shown(&self) -> String {
        self.path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
    }

    fn write(&mut self, lines: &str) -> io::Result<()> {
        let kept = self.file.take();
        let mut file = match (&self.path, kept) {
            (None, Some(file)) => file,
            // Past the buffer of the library: what that held back after an error would come again later.
            (None, None) => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            (Some(path), Some(file)) if is_at(path, &file)? => file,
            (Some(path), _) => open(path)?,
        };
        let before = file.metadata().ok().filter(|of| of.is_file() && self.path.is_some()).map(|of| of.len());
        if std::mem::take(&mut self.torn) {
            file.write_all(b"\n")?;
        }
        if let Err(error) = file.write_all(lines.as_bytes()) {
            // All of it is written again: a part that stayed would come twice, and on a full disk once for each try.
            let taken_back = before.is_some_and(|before| file.set_len(before).is_ok());
            self.torn = self.path.is_none() && !taken_back;
            return Err(error);
        }
        self.file = Some(file);
        Ok(())
    }
}

/// Returns whether the file still has this name: what is written to one that was removed is lost without any error.
fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    let of = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (of.dev(), of.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a file to append to, and closes a line that a crash left open, so that the next one stands alone. Makes one that
/// nobody else can read where there is none; its name is durable before any position behind its records is.
fn open(path: &Path) -> io::Result<File> {
    let is_new = !path.try_exists()?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if is_new {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Lines {
        Lines::new(path, Text::Json)
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let mut sink = lines(&path);
        sink.write("1\n").unwrap();
        fs::remove_file(&path).unwrap();
        sink.write("2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
        // Moved away by somebody who tells nobody.
        fs::rename(&path, folder.path().join("out.json.1")).unwrap();
        sink.write("3\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
        assert_eq!(fs::read_to_string(folder.path().join("out.json.1")).unwrap(), "2\n");
    }

    #[test]
    fn a_line_that_a_crash_left_open_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        fs::write(&path, "1\n2").unwrap();
        lines(&path).write("3\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
    }
}
