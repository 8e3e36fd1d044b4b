//! Keeps the index up with the journal while the daemon runs. Nothing ever waits for it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Store, StoreError};
use crate::ledger::Follower;

/// How often the journal is looked at.
const PERIOD: Duration = Duration::from_millis(500);
/// How much room there has to be to open the index, in octets.
const ROOM: u64 = 256 << 10;

/// Starts a thread that keeps the index in the file `index` up with the journal in the folder `journal`.
///
/// # Errors
/// Where the system gives no thread.
pub fn follow(journal: impl Into<PathBuf>, index: impl Into<PathBuf>) -> io::Result<Follower> {
    let (journal, index) = (journal.into(), index.into());
    let mut store = None;
    let mut told = String::new();
    Follower::start("index", move |_| {
        if let Err(error) = round(&mut store, &journal, &index) {
            let text = chain(&error);
            // An error that lasts is told once.
            if text != told {
                tracing::warn!(error = text, "the index falls behind the journal; records are not affected");
                told = text;
            }
        } else if !told.is_empty() {
            tracing::info!("the index is up with the journal again");
            told.clear();
        }
        PERIOD
    })
}

fn round(store: &mut Option<Store>, journal: &Path, index: &Path) -> Result<(), StoreError> {
    let mut open = match store.take() {
        Some(store) => store,
        None if has_room(index, ROOM) => Store::open(index)?,
        None => {
            let source = io::ErrorKind::StorageFull.into();
            return Err(StoreError::File { path: index.to_owned(), source });
        }
    };
    open.catch_up(journal)?;
    // Kept only if all went well: after an error it is opened afresh.
    *store = Some(open);
    Ok(())
}

/// Returns whether the file system has room to open an index. SQLite maps a file of 32 KiB (`-shm`) of which it writes one octet
/// a page first; where blocks are smaller than pages and the disk is full but for some of that, touching the rest ends the
/// program (SIGBUS). What cannot be told is no reason against it.
fn has_room(index: &Path, room: u64) -> bool {
    let folder = index.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    nix::sys::statvfs::statvfs(folder).map_or(true, |of| of.blocks_available() * of.fragment_size() >= room)
}

fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_opened_only_where_the_disk_has_room_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("index.sqlite");
        assert!(has_room(&index, ROOM) && !has_room(&index, u64::MAX));
        assert!(has_room(Path::new("/nowhere/index.sqlite"), u64::MAX), "opening tells what is wrong with that");
    }
}
