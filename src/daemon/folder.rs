//! The data folder: one daemon works in it at a time, and it says which policy is active.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::StartError;
use crate::config::{LedgerConfig, PublishConfig};
use crate::feed::Archive;
use crate::ledger::Settings;

/// The folder below the data folder that a rehearsal works in.
pub const REHEARSAL: &str = "rehearsal";
/// The file that a running daemon holds a lock on.
pub const LOCK: &str = "lock";
/// The folder of archived policies, and the file in it that names the active one.
pub const POLICY: &str = "policy";
pub const CURRENT: &str = "current";
/// In the folder of rehearsals: the instant that policy time started at, and the milliseconds since boot at that time.
pub const REHEARSED: &str = "rehearsed";
/// The latest instant that the clock was seen at.
pub const CLOCK: &str = "clock";
/// The waivers that were added by command.
pub const WAIVERS: &str = "waivers.json";
/// The socket that commands come over.
pub const CONTROL: &str = "control.sock";
/// The positions of exports.
pub const EXPORTS: &str = "exports";
/// What became of notices.
pub const NOTICES: &str = "notices.json";
/// What is kept of answers from a stop to the next start.
pub const ANSWERS: &str = "answers";
/// The index over the journal.
pub const INDEX: &str = "index.sqlite";

/// How often, and how far apart, the lock is tried.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Refuses a data folder that root can write to for its capabilities only, which it is about to give up; before anything is made
/// in it.
pub(super) fn refuse_foreign(data_dir: &Path) -> Result<(), StartError> {
    let Ok(of) = data_dir.metadata() else { return Ok(()) };
    let is_of_root = of.uid() == 0 || (of.gid() == 0 && of.mode() & 0o020 != 0) || of.mode() & 0o002 != 0;
    if !nix::unistd::geteuid().is_root() || is_of_root {
        return Ok(());
    }
    Err(StartError::Foreign { path: data_dir.to_owned(), uid: of.uid() })
}

/// The data folder, held until dropped.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    rehearsal: bool,
    _lock: File,
}

impl Folder {
    /// Creates the folder where it is missing, and takes its lock.
    pub(super) fn open(data_dir: &Path, rehearsal: bool) -> Result<Self, StartError> {
        let root = if rehearsal { data_dir.join(REHEARSAL) } else { data_dir.to_owned() };
        let unwritable = |source| StartError::Unwritable { path: root.clone(), source };
        DirBuilder::new().recursive(true).mode(0o750).create(&root).map_err(unwritable)?;
        // Whoever may open the file may hold the lock, and so keep the daemon from starting.
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(root.join(LOCK));
        let lock = lock.map_err(unwritable)?;
        lock.set_permissions(fs::Permissions::from_mode(0o600)).map_err(unwritable)?;
        for _ in 0..LOCK_TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { root, rehearsal, _lock: lock }),
                // Whoever looks whether a daemon runs holds the lock for a moment.
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(source)) => return Err(unwritable(source)),
            }
        }
        Err(StartError::Locked { path: root })
    }

    /// Archives a policy, before a record names it.
    pub(super) fn archive(&self, archive: &Archive) -> Result<(), StartError> {
        let folder = self.root.join(POLICY);
        let stored = archive.store(&folder).map_err(io::Error::other);
        stored.map(|_| ()).map_err(|source| StartError::Unwritable { path: folder, source })
    }

    /// Returns the policy that was active last, if it can still be read.
    pub(super) fn last_policy(&self) -> Option<Archive> {
        let folder = self.root.join(POLICY);
        let current = fs::read_to_string(folder.join(CURRENT)).ok()?;
        let mut digest = [0; 32];
        hex::decode_to_slice(current.trim(), &mut digest).ok()?;
        Archive::open(&folder, &digest).ok()
    }

    /// Archives a policy and names it the active one, for those who ask beside the daemon.
    pub(super) fn activate(&self, archive: &Archive) -> Result<(), StartError> {
        let folder = self.root.join(POLICY);
        let activate = || -> io::Result<()> {
            archive.store(&folder).map_err(io::Error::other)?;
            let fresh = folder.join("current.new");
            let mut file = File::create(&fresh)?;
            writeln!(file, "{}", hex::encode(archive.digest()))?;
            file.sync_all()?;
            fs::rename(&fresh, folder.join(CURRENT))?;
            File::open(&folder)?.sync_all()
        };
        activate().map_err(|source| StartError::Unwritable { path: folder.clone(), source })
    }

    /// Tells those who ask beside the daemon where policy time is: it started at `start`, `boot` after the machine.
    pub(super) fn rehearse(&self, start: Timestamp, boot: Duration) -> Result<(), StartError> {
        let path = self.root.join(REHEARSED);
        let text = format!("{start} {}\n", boot.as_millis());
        fs::write(&path, text).map_err(|source| StartError::Unwritable { path, source })
    }

    /// Returns how the ledger is kept in this folder.
    pub(super) fn ledger_settings(&self, config: &LedgerConfig, rehearsal: bool) -> Settings {
        let mut settings = Settings::new(&self.root);
        settings.commit = config.commit;
        settings.durability = config.durability;
        settings.fail = config.fail;
        settings.segment = config.segment_size;
        settings.total = config.max_size;
        let day = |days: u32| std::time::Duration::from_secs(u64::from(days) * 86_400);
        settings.keep = Some(day(config.keep_days)).filter(|keep| !keep.is_zero());
        settings.bounds.networks_only = config.networks_only;
        settings.store_noted = config.store_noted;
        settings.bounds.leaves = config.leaves_per_minute;
        settings.origin = config.origin.clone();
        settings.checkpoint = config.checkpoint;
        // A rehearsal has logs of the same numbers.
        settings.publish = match &config.publish {
            Some(PublishConfig::Folder(folder)) if !rehearsal => Some(folder.clone()),
            // A bucket is asked once names can be looked up.
            Some(PublishConfig::Folder(_) | PublishConfig::Bucket(_)) | None => None,
        };
        settings.rehearsal = rehearsal;
        settings
    }

    /// Returns the file in which the latest instant seen is kept.
    pub(super) fn clock(&self) -> PathBuf {
        self.root.join(CLOCK)
    }

    /// Returns the file of the waivers that were added by command.
    pub(super) fn waivers(&self) -> PathBuf {
        self.root.join(WAIVERS)
    }

    /// Returns the file of the index.
    pub(super) fn index(&self) -> PathBuf {
        self.root.join(INDEX)
    }

    /// Returns the folder of the positions of exports.
    pub(super) fn exports(&self) -> PathBuf {
        self.root.join(EXPORTS)
    }

    /// Returns the file of what became of notices.
    pub(super) fn notices(&self) -> PathBuf {
        self.root.join(NOTICES)
    }

    /// Returns whether this is the folder of rehearsals.
    pub(super) fn is_rehearsal(&self) -> bool {
        self.rehearsal
    }

    /// Returns the folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}
