//! The file in which a guard keeps the latest instant seen.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longer than any file that this program writes.
const LONGEST: u64 = 4096;

/// What is kept from one run to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The latest instant that policy time came to by a clock that had not leapt.
    pub(super) latest: Timestamp,
    /// Where the clock would stand if it had only run since a time service bore it out, or since the machine started.
    pub(super) expected: Timestamp,
    /// Whether a time service ever bore the clock out.
    pub(super) borne_out: bool,
    /// The start of the machine that `since_boot` counts from, as the kernel names it.
    pub(super) boot: String,
    /// When this was written, in milliseconds since that start.
    pub(super) since_boot: u64,
}

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is damaged")]
    Damaged(#[from] serde_json::Error),
    #[error("it is damaged: {0} octets are more than were ever written")]
    Long(u64),
}

impl Kept {
    /// Reads the file; `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ReadError> {
        let size = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?.len(),
        };
        if size > LONGEST {
            return Err(ReadError::Long(size));
        }
        Ok(Some(serde_json::from_slice(&fs::read(path)?)?))
    }

    /// Replaces the file, so that a crash leaves the old one or the new one.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o640).open(&fresh)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

/// Returns the kernel's name for this start of the machine; empty where it tells none.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
