//! The data folder as those see it who look into it beside the daemon. Never takes the daemon's lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;

use crate::clock::{Clock as _, SystemClock};
use crate::daemon::folder;
use crate::ledger::{KeyRing, Settings};

/// The data folder, or the one of rehearsals in it.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(data_dir: &Path, rehearsal: bool) -> Self {
        Self { root: if rehearsal { data_dir.join(folder::REHEARSAL) } else { data_dir.to_owned() } }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn journal(&self) -> PathBuf {
        Settings::new(&self.root).journal()
    }

    /// Returns the folder of the logs.
    pub(super) fn log(&self) -> PathBuf {
        Settings::new(&self.root).log()
    }

    pub(super) fn index(&self) -> PathBuf {
        self.root.join(folder::INDEX)
    }

    pub(super) fn clock(&self) -> PathBuf {
        self.root.join(folder::CLOCK)
    }

    pub(super) fn keys(&self) -> KeyRing {
        KeyRing::reader(&Settings::new(&self.root).keys)
    }

    /// Returns the folder of archived policies.
    pub(super) fn policies(&self) -> PathBuf {
        self.root.join(folder::POLICY)
    }

    /// Returns the digest of the policy by which a running daemon decides; `None` where none runs.
    pub(super) fn running_policy(&self) -> anyhow::Result<Option<[u8; 32]>> {
        if !self.has_daemon()? {
            return Ok(None);
        }
        let path = self.policies().join(folder::CURRENT);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let digest = digest(text.trim()).with_context(|| format!("{} holds no digest", path.display()))?;
        Ok(Some(digest))
    }

    /// Returns the digest of the policy that a daemon used last; `None` where that cannot be told.
    pub(super) fn active_policy(&self) -> Option<String> {
        let text = fs::read_to_string(self.policies().join(folder::CURRENT)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Returns the instant at which policy time is in a running rehearsal; `None` where none runs.
    pub(super) fn rehearsed(&self) -> anyhow::Result<Option<Timestamp>> {
        let path = self.root.join(folder::REHEARSED);
        if !path.exists() || !self.has_daemon()? {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let parts = text.trim().split_once(' ');
        let parts = parts.and_then(|(start, boot)| Some((start.parse().ok()?, boot.parse().ok()?)));
        let (start, boot): (Timestamp, u64) = parts.with_context(|| format!("{} tells no instant", path.display()))?;
        let passed = SystemClock.read().boot.saturating_sub(Duration::from_millis(boot));
        Ok(start.checked_add(passed).ok())
    }

    /// A shared lock, so that two who look at the same time do not take each other for a daemon.
    fn has_daemon(&self) -> anyhow::Result<bool> {
        let path = self.root.join(folder::LOCK);
        let unclear = || {
            let path = path.display();
            format!(
                "cannot see by {path} whether a daemon runs; ask as its user, or decide by the files with --offline"
            )
        };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // The lock is for the daemon's user alone; the kernel tells everybody that it is held.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return is_held(&path).with_context(unclear);
            }
            opened => opened.with_context(unclear)?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error).with_context(unclear),
        }
    }
}

/// Returns whether the kernel lists an exclusive lock on a file.
fn is_held(path: &Path) -> io::Result<bool> {
    let file = format!(":{}", fs::metadata(path)?.ino());
    let locks = fs::read_to_string("/proc/locks")?;
    let mut words = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    Ok(words.any(|words| {
        words.contains(&"FLOCK") && words.contains(&"WRITE") && words.iter().any(|of| of.ends_with(&file))
    }))
}

/// Reads a SHA-256 in hexadecimal.
pub(super) fn digest(text: &str) -> anyhow::Result<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| anyhow!("not a SHA-256 in hexadecimal"))?;
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_runs_where_its_lock_is_held() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::new(data.path(), false);
        assert_eq!(folder.running_policy().unwrap(), None);
        let lock = File::create(data.path().join("lock")).unwrap();
        assert_eq!(folder.running_policy().unwrap(), None);
        assert!(!is_held(&data.path().join("lock")).unwrap());
        lock.lock().unwrap();
        assert!(is_held(&data.path().join("lock")).unwrap());
        fs::create_dir(folder.policies()).unwrap();
        fs::write(folder.policies().join("current"), format!("{}\n", "ab".repeat(32))).unwrap();
        assert_eq!(folder.running_policy().unwrap(), Some([0xAB; 32]));
        drop(lock);
        assert_eq!(folder.running_policy().unwrap(), None);
    }
}
