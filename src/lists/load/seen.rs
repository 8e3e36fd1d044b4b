//! What a file was like when it was read, so that one that was not touched since need not be read to know what is in it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How much older than the note the last change of a file has to be, in seconds: file systems tell instants in steps, and
/// within one step a file could be changed once more.
const STEP: i64 = 2;

/// A note of what a file had in it.
#[derive(Debug)]
pub(super) struct Seen(PathBuf);

impl Seen {
    /// Returns the note that is kept under a name.
    pub(super) fn of(folder: &Path, name: &str) -> Self {
        Self(folder.join(format!("{name}.seen")))
    }

    /// Returns the SHA-256 that the file had, where nothing was written to it since.
    pub(super) fn digest(&self, file: &Metadata) -> Option<[u8; 32]> {
        let note = fs::metadata(&self.0).ok()?;
        // The kernel sets this instant of both, and nobody else can.
        if note.ctime() < file.ctime().checked_add(STEP)? {
            return None;
        }
        let text = fs::read_to_string(&self.0).ok()?;
        let (digest, identity) = text.split_once(' ')?;
        let mut octets = [0; 32];
        hex::decode_to_slice(digest, &mut octets).ok()?;
        (identity == identity_of(file)).then_some(octets)
    }

    /// Notes what a file has in it that was like this before it was read. One that cannot be written is done without.
    pub(super) fn note(&self, file: &Metadata, digest: &[u8; 32]) {
        let write = || -> io::Result<()> {
            let beside = self.0.with_extension("seen.new");
            fs::write(&beside, format!("{} {}", hex::encode(digest), identity_of(file)))?;
            fs::rename(&beside, &self.0)
        };
        if let Err(error) = write() {
            tracing::debug!(file = %self.0.display(), %error, "cannot note what a list was read from");
        }
    }
}

/// Returns what changes with whatever is written to a file, or put in its place.
fn identity_of(file: &Metadata) -> String {
    let [modified, changed] = [(file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec())];
    let (device, number, size) = (file.dev(), file.ino(), file.size());
    format!("{device} {number} {size} {}.{:09} {}.{:09}", modified.0, modified.1, changed.0, changed.1)
}
