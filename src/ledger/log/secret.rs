//! The secrets that logs are signed with, and the one that takes the place of another. A crash at any point leaves the key before
//! or the key after in its place, and what is missing is done by the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;

use super::place::{LogError, Place, make_folder, put, read_text, sync_folder};

/// The secret of the key, in the key folder.
const SECRET: &str = "ledger.key";
/// The secret of the key that is to follow, before a signed checkpoint tells of it.
const NEXT: &str = "ledger.next";
/// The secret of the key before, as long as it signs too.
const OLD: &str = "ledger.old";

/// The octets of a key (RFC 8032, section 5.1.5).
pub(in crate::ledger) type Secret = [u8; 32];

/// A secret with an instant: until then the key before signs too.
pub(super) type Dated = (Secret, Timestamp);

/// A key cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    #[error("there is a key already, and it is not written over: {}", .0.display())]
    Exists(std::path::PathBuf),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Place {
    /// Returns the secret of the key; `None` where there is none yet.
    pub(super) fn secret(&self) -> Result<Option<Secret>, LogError> {
        Ok(self.read_secret(SECRET)?.map(|(secret, _)| secret))
    }

    /// Returns the secret of the key, which is made where there is none.
    pub(super) fn make_secret(&self) -> Result<Secret, LogError> {
        if let Some(secret) = self.secret()? {
            return Ok(secret);
        }
        match self.create_secret() {
            // Somebody else was faster.
            Err(KeygenError::Exists(path)) => self.secret()?.ok_or(LogError::NotAKey { path }),
            Err(KeygenError::Log(error)) => Err(error),
            Ok(secret) => Ok(secret),
        }
    }

    /// Makes the secret of the key, where there is none; none is ever written over.
    pub(super) fn create_secret(&self) -> Result<Secret, KeygenError> {
        let secret: Secret = rand::random();
        let path = self.keys.join(SECRET);
        let draft = self.keys.join(format!("{SECRET}.{}", std::process::id()));
        let made = make_folder(&self.keys).and_then(|()| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(format!("{}\n", hex::encode(secret)).as_bytes())?;
            file.sync_all()?;
            // Unlike renaming, it fails where there is one.
            fs::hard_link(&draft, &path)?;
            sync_folder(path.parent())
        });
        let _ = fs::remove_file(&draft);
        match made {
            Ok(()) => Ok(secret),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeygenError::Exists(path)),
            Err(source) => Err(LogError::Write { path, source }.into()),
        }
    }

    /// Keeps the secret of the key that is to follow.
    pub(in crate::ledger) fn prepare(&self, (secret, until): (&Secret, Timestamp)) -> Result<(), LogError> {
        let text = format!("{}\n{until}\n", hex::encode(secret));
        put(&self.keys, NEXT, text.as_bytes()).map_err(|source| LogError::Write { path: self.keys.join(NEXT), source })
    }

    /// Returns the secret of the key that is to follow.
    pub(super) fn next(&self) -> Result<Option<Dated>, LogError> {
        self.read_dated(NEXT)
    }

    /// Returns whether a key is to follow.
    pub(in crate::ledger) fn has_next(&self) -> bool {
        self.keys.join(NEXT).exists()
    }

    /// Returns the secret of the key before, where it still signs too.
    pub(super) fn old(&self) -> Result<Option<Dated>, LogError> {
        self.read_dated(OLD)
    }

    /// Puts the key that was to follow in the place of the key, which is kept until the instant that was set. To be called
    /// once both have signed the newest checkpoint.
    pub(super) fn promote(&self, (old, until): (&Secret, Timestamp)) -> Result<(), LogError> {
        let write = |path: &'static str| move |source| LogError::Write { path: self.keys.join(path), source };
        put(&self.keys, OLD, format!("{}\n{until}\n", hex::encode(old)).as_bytes()).map_err(write(OLD))?;
        let renamed = fs::rename(self.keys.join(NEXT), self.keys.join(SECRET));
        renamed.and_then(|()| File::open(&self.keys)?.sync_all()).map_err(write(SECRET))
    }

    /// Destroys the secret of the key before.
    pub(super) fn destroy_old(&self) -> Result<(), LogError> {
        destroy(&self.keys.join(OLD))
    }

    /// Destroys a secret that was to follow, where no leaf tells of it.
    pub(super) fn destroy_next(&self) -> Result<(), LogError> {
        destroy(&self.keys.join(NEXT))
    }

    /// Returns the secret of the key, to sign with it that another follows.
    pub(in crate::ledger) fn signing(&self) -> Result<Option<Secret>, LogError> {
        self.secret()
    }

    fn read_dated(&self, name: &str) -> Result<Option<Dated>, LogError> {
        let path = self.keys.join(name);
        match self.read_secret(name)? {
            None => Ok(None),
            Some((secret, Some(until))) => Ok(Some((secret, until))),
            Some((_, None)) => Err(LogError::NotAKey { path }),
        }
    }

    fn read_secret(&self, name: &str) -> Result<Option<(Secret, Option<Timestamp>)>, LogError> {
        let path = self.keys.join(name);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LogError::Read { path, source }),
        };
        let mut lines = text.trim_end().lines();
        let mut secret = [0; 32];
        match hex::decode_to_slice(lines.next().unwrap_or_default(), &mut secret) {
            Ok(()) => Ok(Some((secret, lines.next().and_then(|line| line.parse().ok())))),
            Err(_) => Err(LogError::NotAKey { path }),
        }
    }
}

fn destroy(path: &Path) -> Result<(), LogError> {
    let done = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Where the file system writes in place, the octets go too; where it does not, they are in free blocks.
        Ok(mut file) => file
            .write_all(&[b'0'; 64])
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::remove_file(path))
            .and_then(|()| sync_folder(path.parent())),
        Err(error) => Err(error),
    };
    done.map_err(|source| LogError::Write { path: path.to_owned(), source })
}
