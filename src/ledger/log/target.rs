//! Where logs are published: a folder on another disk or machine, or what somebody else brings.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::place;

/// Why a target does not take files, or does not give them.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("{0} is no folder that is there; it is gone on with once it is")]
    NoFolder(String),
    #[error("cannot read {path}")]
    Read { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot write {path}")]
    Write { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot remove {path}")]
    Remove { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{0} is larger than any file of a log")]
    TooLarge(String),
}

/// A place that logs are published to. Paths are relative, with slashes.
pub trait Target: Send {
    /// Returns a path as people find it.
    fn shown(&self, path: &str) -> String;

    /// Returns whether reading everything at each start is cheap. Where it is not, what the published checkpoint tells of is
    /// taken for published.
    fn is_near(&self) -> bool;

    /// Fails where nothing may be written yet.
    ///
    /// # Errors
    /// `TargetError::NoFolder`.
    fn ready(&mut self) -> Result<(), TargetError>;

    /// Returns a file of at most `most` octets; none where it is not there.
    ///
    /// # Errors
    /// Where it cannot be read, or is larger.
    fn read(&mut self, path: &str, most: u64) -> Result<Option<Vec<u8>>, TargetError>;

    /// Returns whether a file is there.
    ///
    /// # Errors
    /// Where that cannot be told.
    fn is_there(&mut self, path: &str) -> Result<bool, TargetError>;

    /// Writes a file that may be there, whole or not at all.
    ///
    /// # Errors
    /// Where it was not written.
    fn put(&mut self, path: &str, octets: &[u8]) -> Result<(), TargetError>;

    /// Writes files that are not there, each whole or not at all, and returns the first that is there after all.
    ///
    /// # Errors
    /// Where one was not written.
    fn put_new<'a>(&mut self, files: &'a [(String, Vec<u8>)]) -> Result<Option<&'a str>, TargetError>;

    /// Removes a file; one that is not there is as good as removed.
    ///
    /// # Errors
    /// Where it is still there.
    fn remove(&mut self, path: &str) -> Result<(), TargetError>;

    /// Removes all files below a path, as far as that goes.
    fn remove_below(&mut self, path: &str);
}

/// A folder, which has to be there.
#[derive(Debug)]
pub(in crate::ledger) struct Folder(pub(in crate::ledger) PathBuf);

impl Folder {
    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Target for Folder {
    fn shown(&self, path: &str) -> String {
        self.at(path).display().to_string()
    }

    fn is_near(&self) -> bool {
        true
    }

    fn ready(&mut self) -> Result<(), TargetError> {
        // Never made here: where a disk is not mounted, nothing is to be written below its place.
        if self.0.is_dir() { Ok(()) } else { Err(TargetError::NoFolder(self.0.display().to_string())) }
    }

    fn read(&mut self, path: &str, most: u64) -> Result<Option<Vec<u8>>, TargetError> {
        match place::read(&self.at(path), most) {
            Ok(octets) => Ok(Some(octets)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(TargetError::TooLarge(self.shown(path))),
            Err(error) => Err(TargetError::Read { path: self.shown(path), source: error.into() }),
        }
    }

    fn is_there(&mut self, path: &str) -> Result<bool, TargetError> {
        let there = self.at(path).try_exists();
        there.map_err(|error| TargetError::Read { path: self.shown(path), source: error.into() })
    }

    fn put(&mut self, path: &str, octets: &[u8]) -> Result<(), TargetError> {
        place::put_all(&self.0, &[(path.to_owned(), octets.to_vec())])
            .map_err(|error| TargetError::Write { path: self.shown(path), source: error.into() })
    }

    fn put_new<'a>(&mut self, files: &'a [(String, Vec<u8>)]) -> Result<Option<&'a str>, TargetError> {
        place::put_all(&self.0, files)
            .map_err(|error| TargetError::Write { path: self.shown(""), source: error.into() })?;
        Ok(None)
    }

    fn remove(&mut self, path: &str) -> Result<(), TargetError> {
        match fs::remove_file(self.at(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(TargetError::Remove { path: self.shown(path), source: error.into() })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn remove_below(&mut self, path: &str) {
        let _ = fs::remove_dir_all(self.at(path));
    }
}
