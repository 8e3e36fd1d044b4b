//! The position of an export: up to where its receiver has taken records. Kept in the data folder, written whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ledger::Position;

/// The longest file of a position that is read, in octets: a line of the journal and some numbers.
const MAX_FILE: u64 = 4 << 20;

/// Up to where a receiver has taken records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) line: u64,
    /// The number of the next leaf.
    pub(super) next: u64,
    /// The last line that was read, by which another journal in the same folder is known.
    #[serde(with = "hex")]
    pub(super) last: Vec<u8>,
}

impl Place {
    pub(super) fn new(position: Position, last: &[u8]) -> Self {
        let Position { segment, offset, line, next } = position;
        Self { segment, offset, line, next, last: last.to_vec() }
    }

    pub(super) const fn position(&self) -> Position {
        Position { segment: self.segment, offset: self.offset, line: self.line, next: self.next }
    }
}

/// The file that a position is kept in.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
}

impl Keeper {
    /// `name` is an id of the configuration, so that it names a file here and nowhere else.
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(format!("{name}.position")) }
    }

    /// Returns what was kept; `None` where nothing was. A file that cannot be understood is told, and is as none.
    pub(super) fn read(&self) -> io::Result<Option<Place>> {
        let mut text = Vec::new();
        match File::open(&self.path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let place = serde_json::from_slice(&text);
        if let Err(error) = &place {
            tracing::warn!(path = %self.path.display(), %error, "the position of an export is damaged; it begins anew");
        }
        Ok(place.ok())
    }

    /// Keeps a position; once it returns, that survives a power cut.
    pub(super) fn write(&self, place: &Place) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(place)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_and_a_damaged_one_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(&folder.path().join("exports"), "siem");
        assert_eq!(keeper.read().unwrap(), None);
        let place = Place::new(Position { segment: 5, offset: 6, line: 7, next: 8 }, b"{\"seq\":7}\n");
        keeper.write(&place).unwrap();
        assert_eq!(keeper.read().unwrap(), Some(place));
        fs::write(folder.path().join("exports/siem.position"), "{").unwrap();
        assert_eq!(keeper.read().unwrap(), None);
    }
}
