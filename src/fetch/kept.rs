//! What was fetched last, with what is known of it, so that a start needs no network.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Source, Validators};

/// The largest file about a fetched one, in octets.
const MAX_STATE: u64 = 64 << 10;

/// Where a fetched file is kept, and what is known of it beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    pub state: PathBuf,
}

/// What is known of a fetched file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub url: String,
    /// By what it was believed.
    pub trust: String,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// When the file came that is kept.
    pub fetched: Option<Timestamp>,
    /// When it was last known to be as its server has it.
    pub checked: Option<Timestamp>,
    /// What has gone wrong since.
    pub failing: Option<Failing>,
}

/// What went wrong the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    pub at: Timestamp,
    pub reason: String,
    /// Whether a file came and was refused, rather than none.
    pub refused: bool,
}

impl Place {
    /// Returns the place under `name` in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { file: folder.join(format!("{name}.fetched")), state: folder.join(format!("{name}.fetched.json")) }
    }

    /// Returns what is known of the file; nothing where that cannot be read, so that it is fetched anew.
    pub fn read(&self) -> Kept {
        let small = fs::metadata(&self.state).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_STATE);
        let octets = if small { fs::read(&self.state).ok() } else { None };
        octets.and_then(|octets| serde_json::from_slice(&octets).ok()).unwrap_or_default()
    }

    /// Keeps a file, whole and durable, in place of the one before.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn keep(&self, octets: &[u8]) -> io::Result<()> {
        replace(&self.file, octets)
    }

    /// Writes down what is known of the file.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn note(&self, kept: &Kept) -> io::Result<()> {
        replace(&self.state, &serde_json::to_vec(kept)?)
    }
}

impl Kept {
    /// Returns what a server can tell by that the file is the same; nothing where another file or other terms are asked for.
    pub fn validators(&self, source: &Source) -> Validators {
        match self.is_of(source) && self.fetched.is_some() {
            true => Validators { etag: self.etag.clone(), last_modified: self.last_modified.clone() },
            false => Validators::default(),
        }
    }

    /// Returns whether the file is of this source, and was believed on its terms.
    pub fn is_of(&self, source: &Source) -> bool {
        self.url == source.url.as_str() && self.trust == source.trust.to_string()
    }
}

/// Replaces a file, whole and durable, by writing beside it: a reader finds it or the one before. Its folder is made where it is
/// missing.
///
/// # Errors
/// Where the disk does not take it.
pub fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}
