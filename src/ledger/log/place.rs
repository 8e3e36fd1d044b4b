//! Where logs and their key are kept, and how files get there whole.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::ledger::Settings;
use crate::ledger::checkpoint::MAX_NOTE;

/// The name of the file that holds the newest checkpoint of a log.
pub const CHECKPOINT: &str = "checkpoint";
/// The name of the file that holds the verifier line of a log.
pub const KEY: &str = "key";
/// The folder in a log that holds the notes by which its key was changed, each named by the leaf that it is in.
pub(in crate::ledger) const ROTATIONS: &str = "rotations";
/// The checkpoint that was signed last, in the key folder.
const KEPT: &str = "ledger.checkpoint";
/// A file before it is whole.
const DRAFT: &str = "draft";

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a key: 64 hexadecimal digits are expected; move it away, and a new log begins with a new key", path.display())]
    NotAKey { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the log says that {key} signs it from now on, and {} does not hold that key; put it back, or move ledger.key away, and a new log begins", folder.display())]
    NextKey { key: String, folder: PathBuf },
}

/// Where logs are kept, and what they are called.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Place {
    /// The folder of all logs; each has one of its own in it, named by its number.
    pub(in crate::ledger) folder: PathBuf,
    /// The folder of the key.
    pub(in crate::ledger) keys: PathBuf,
    /// The name that the operator has chosen.
    pub(in crate::ledger) name: Option<String>,
    pub(in crate::ledger) rehearsal: bool,
    /// The data folder, which a legal hold is on.
    pub(in crate::ledger) data: PathBuf,
}

impl Place {
    /// Returns the place that these settings name.
    pub(in crate::ledger) fn of(settings: &Settings) -> Self {
        Self {
            folder: settings.log(),
            keys: settings.keys.clone(),
            name: settings.origin.clone(),
            rehearsal: settings.rehearsal,
            data: settings.folder.clone(),
        }
    }

    /// Returns the name of a log that begins now.
    pub(super) fn fresh_name(&self) -> String {
        let name = self.name.clone().unwrap_or_else(default_name);
        if self.rehearsal { format!("{name}/rehearsal") } else { name }
    }

    /// Keeps the checkpoint that is about to be published beside the key.
    pub(super) fn keep(&self, note: &str) -> Result<(), LogError> {
        let write = |source| LogError::Write { path: self.keys.join(KEPT), source };
        put(&self.keys, KEPT, note.as_bytes()).map_err(write)
    }

    /// Returns the checkpoint that was signed last, as far as that is still known.
    pub(super) fn kept(&self) -> Option<String> {
        read_text(&self.keys.join(KEPT)).ok()
    }
}

/// Returns the numbers of the logs in the folder of all logs, in order.
///
/// # Errors
/// Where the folder cannot be listed; one that is not there has none.
pub fn logs(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(crate::ledger::checkpoint::number);
        if let Some(number) = number.filter(|number| *number > 0)
            && entry.file_type()?.is_dir()
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Returns the folder of the newest log; `None` where there is none.
///
/// # Errors
/// Where the folder of all logs cannot be listed.
pub fn newest(folder: &Path) -> io::Result<Option<PathBuf>> {
    Ok(logs(folder)?.last().map(|number| folder.join(number.to_string())))
}

/// Returns the name of logs where the operator has chosen none: one that belongs to nobody (RFC 2606, section 2), with
/// the name of the machine.
fn default_name() -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let host: String = host.to_string_lossy().chars().map(plain).take(64).collect();
    format!("interdict.invalid/{}", if host.is_empty() { "node" } else { &host })
}

/// Makes a folder that is closed to others, where there is none, and makes its name durable.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_folder(folder.parent())
}

/// Writes a file below `folder` so that under its name it is whole and durable, or not there.
pub(super) fn put(folder: &Path, path: &str, octets: &[u8]) -> io::Result<()> {
    let target = folder.join(path);
    if let Some(above) = target.parent() {
        make_folder(above)?;
    }
    let draft = folder.join(DRAFT);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&draft, &target)
    })();
    if written.is_err() {
        // A full disk needs the room.
        let _ = fs::remove_file(&draft);
    }
    written?;
    sync_folder(target.parent())
}

/// Writes files below `folder` as [`put`] does, all of them by one wait for the disk: each wait of its own would hold up
/// the journal's, which somebody counts on.
pub(super) fn put_all(folder: &Path, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    let mut drafts = Vec::new();
    let written = (|| {
        for (number, (path, octets)) in files.iter().enumerate() {
            let target = folder.join(path);
            if let Some(above) = target.parent() {
                make_folder(above)?;
            }
            let draft = folder.join(format!("{DRAFT}-{number}"));
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            drafts.push((draft, target));
            file.write_all(octets)?;
        }
        for (draft, _) in &drafts {
            File::open(draft)?.sync_all()?;
        }
        for (draft, target) in &drafts {
            fs::rename(draft, target)?;
        }
        let folders: BTreeSet<_> = drafts.iter().filter_map(|(_, target)| target.parent()).collect();
        folders.into_iter().try_for_each(|folder| sync_folder(Some(folder)))
    })();
    if written.is_err() {
        // A full disk needs the room.
        drafts.iter().for_each(|(draft, _)| drop(fs::remove_file(draft)));
    }
    written
}

pub(super) fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Reads a file of at most `most` octets.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(octets) }
}

/// Reads the text of a small file.
pub(in crate::ledger) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path, MAX_NOTE as u64)?).map_err(io::Error::other)
}
