//! The legal hold: as long as it is there, nothing is removed for its age or its size, and no key of a month is destroyed.
//! It is a file of the data folder, so that it outlasts a restart and a copy of the folder carries it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The name of the file in the data folder.
const HOLD: &str = "hold.json";

/// Who keeps everything, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The policy instant at which it began.
    pub since: Timestamp,
    /// Who ordered it, as records name an actor.
    pub by: String,
    pub reason: String,
}

/// Returns the hold on a data folder. One that cannot be read is a hold all the same.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn held(data: &Path) -> io::Result<Option<Hold>> {
    match fs::read(path(data)) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether everything is to be kept: also where that cannot be told.
pub(super) fn keeps_all(data: &Path) -> bool {
    path(data).try_exists().unwrap_or(true)
}

/// Holds everything from now on; durable when it returns.
///
/// # Errors
/// Where the file cannot be written.
pub fn hold(data: &Path, hold: &Hold) -> io::Result<()> {
    let draft = data.join(format!("{HOLD}.draft"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&draft)?;
    file.write_all(&serde_json::to_vec_pretty(hold)?)?;
    file.sync_all()?;
    fs::rename(&draft, path(data))?;
    File::open(data)?.sync_all()
}

/// Ends the hold. One that is not there has ended.
///
/// # Errors
/// Where the file cannot be removed.
pub fn release(data: &Path) -> io::Result<()> {
    match fs::remove_file(path(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => File::open(data)?.sync_all(),
    }
}

fn path(data: &Path) -> PathBuf {
    data.join(HOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_lasts_until_it_is_released_and_a_damaged_one_holds() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(held(data.path()).unwrap(), None);
        assert!(!keeps_all(data.path()));
        let of = Hold { since: Timestamp::UNIX_EPOCH, by: "uid 7".to_owned(), reason: "Doe v. Roe".to_owned() };
        hold(data.path(), &of).unwrap();
        assert_eq!(held(data.path()).unwrap(), Some(of));
        fs::write(path(data.path()), "{").unwrap();
        assert!(held(data.path()).is_err() && keeps_all(data.path()));
        release(data.path()).unwrap();
        release(data.path()).unwrap();
        assert!(!keeps_all(data.path()));
    }
}
