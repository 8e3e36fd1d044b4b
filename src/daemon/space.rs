//! What room there is on the disk of the data folder. A disk may hang, so that it is looked at by a thread that nobody waits for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::task::spawn_blocking;

use crate::admin::Check;

/// How often it is looked.
const PACE: Duration = Duration::from_secs(2);
/// What has to be free at least, in octets: what is written meanwhile until somebody has seen to it.
pub const LEAST: u64 = 64 << 20;

/// What room a disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What this process may still write, in octets.
    pub free: u64,
    /// How large the disk is, in octets.
    pub size: u64,
    /// Whether no further file can be made, however many octets are free.
    pub without_files: bool,
}

impl Room {
    /// Looks at the disk of a folder.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let told = statvfs(folder)?;
        let unit = told.fragment_size();
        Ok(Self {
            free: told.blocks_available().saturating_mul(unit),
            size: told.blocks().saturating_mul(unit),
            // A file system that does not count its files tells of none at all.
            without_files: told.files() > 0 && told.files_available() == 0,
        })
    }

    /// Returns whether there is too little of it.
    pub const fn is_short(&self) -> bool {
        self.free < LEAST || self.without_files
    }
}

/// What was found at the last look. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Space {
    folder: PathBuf,
    /// What records may grow to, in octets.
    most: u64,
    found: Arc<Mutex<Result<Room, String>>>,
}

impl Space {
    /// Looks for the first time.
    pub(super) fn new(folder: &Path, most: u64) -> Self {
        let found = Room::of(folder).map_err(|error| error.to_string());
        Self { folder: folder.to_owned(), most, found: Arc::new(Mutex::new(found)) }
    }

    /// Looks again and again, for as long as the runtime runs.
    pub(super) async fn watch(self) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let folder = self.folder.clone();
            // The next look waits for this one, however long that takes.
            let found = spawn_blocking(move || Room::of(&folder)).await;
            if let Ok(found) = found {
                *self.lock() = found.map_err(|error| error.to_string());
            }
        }
    }

    /// Returns what is free and how large the disk is, in octets; nothing of both where that is not known.
    pub(super) fn gauges(&self) -> (u64, u64) {
        self.lock().as_ref().map_or((0, 0), |room| (room.free, room.size))
    }

    /// Says whether there is room.
    pub(super) fn health(&self) -> Check {
        let (ok, detail) = match &*self.lock() {
            Err(error) => (false, format!("{}: {error}", self.folder.display())),
            Ok(room) => {
                let files = if room.without_files { "; no further file can be made" } else { "" };
                let (free, most) = (room.free >> 20, self.most >> 20);
                let told = format!("{free} MiB are free; records may grow to {most} MiB{files}");
                (!room.is_short(), told)
            }
        };
        Check { name: "disk", ok, detail }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Result<Room, String>> {
        self.found.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_short_of_octets_or_of_files() {
        let of = |free, without_files| Room { free, size: 1 << 40, without_files }.is_short();
        assert_eq!([of(LEAST, false), of(LEAST - 1, false), of(1 << 39, true)], [false, true, true]);
    }

    #[test]
    fn a_disk_that_tells_nothing_is_not_well() {
        let space = Space::new(Path::new("/proc/self/none-such"), 1 << 30);
        assert!(!space.health().ok && space.gauges() == (0, 0), "{:?}", space.health());
        let here = Space::new(&std::env::temp_dir(), 1 << 30);
        assert!(here.gauges().1 > 0 && here.health().detail.contains("MiB are free"), "{:?}", here.health());
    }
}
