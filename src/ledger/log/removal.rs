//! What goes from logs: entries whose leaves the journal has removed, and what lies beyond the checkpoint that a log is gone on
//! with.

use std::fs;
use std::io;
use std::path::Path;

use super::place::LogError;
use super::{Log, last_number};
use crate::ledger::hold;
use crate::ledger::tree::{self, Tile, WIDTH};

impl Log {
    /// Removes tiles and bundles beyond the newest checkpoint. They were written and never signed, and what comes in their
    /// place may be other leaves. What the checkpoint itself needs is there before.
    pub(super) fn trim(&self) -> Result<(), LogError> {
        // Where the files of the log are to be made again, nothing is known of its edge.
        if self.size() == self.signed {
            let mut files = self.partial();
            files.retain(|(path, _)| !self.folder.join(path).exists());
            self.put_all(&files)?;
        }
        let mut removed = 0_u64;
        for level in 0..=tree::MAX_LEVEL {
            let tile = |index| Tile { level, index, width: WIDTH }.path();
            removed += self.trim_level(level, tile)?;
        }
        removed += self.trim_level(0, |index| tree::bundle_path(index, WIDTH))?;
        if removed > 0 {
            tracing::warn!(removed, leaves = self.signed, "files beyond the checkpoint of the log were removed");
        }
        Ok(())
    }

    /// They were written one behind the other, so that the first that is not there ends them.
    fn trim_level(&self, level: u8, full: impl Fn(u64) -> String) -> Result<u64, LogError> {
        let mut removed = 0;
        let edge = self.signed.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
        // Partial files that have had their day, of before a crash.
        (0..edge)
            .rev()
            .take_while(|index| fs::remove_dir_all(self.folder.join(format!("{}.p", full(*index)))).is_ok())
            .for_each(drop);
        for index in edge.. {
            let width = Tile::of(level, index, self.signed).map_or(0, |tile| tile.width);
            let path = self.folder.join(full(index));
            let partials = self.folder.join(format!("{}.p", full(index)));
            let write = |source| LogError::Write { path: path.clone(), source };
            let there = path.is_file() || partials.is_dir();
            if path.is_file() && width < WIDTH {
                fs::remove_file(&path).map_err(write)?;
                removed += 1;
            }
            for entry in fs::read_dir(&partials).into_iter().flatten().filter_map(Result::ok) {
                let of = entry.file_name().to_str().and_then(crate::ledger::checkpoint::number);
                if of.is_some_and(|of| of > width) {
                    fs::remove_file(entry.path()).map_err(write)?;
                    removed += 1;
                }
            }
            if !there {
                break;
            }
        }
        Ok(removed)
    }

    /// Removes full bundles of which the journal has removed every leaf, once a signed leaf says so. Hashes stay. Earlier logs
    /// keep their last bundle.
    pub(super) fn prune(&mut self) {
        let Some(removed) = self.removed else { return };
        // Looked at for each, since a hold may begin at any time.
        let is_held = || hold::keeps_all(&self.place.data);
        while (self.kept + 1) * WIDTH <= self.signed && !is_held() {
            let path = self.folder.join(tree::bundle_path(self.kept, WIDTH));
            match remove_until(&path, removed) {
                Some(octets) => self.bundles = self.bundles.saturating_sub(octets),
                None => break,
            }
            self.kept += 1;
        }
        if self.removed_before == self.removed {
            return;
        }
        self.earlier.iter_mut().for_each(|log| log.prune(removed, &is_held));
        // Under a hold, they are looked at again.
        self.removed_before = self.removed.filter(|_| !is_held());
    }
}

/// Removes a bundle that has no leaf behind `removed`, and returns how large it was; `None` where it stays.
pub(super) fn remove_until(path: &Path, removed: u64) -> Option<u64> {
    let bundle = match fs::read(path) {
        Ok(bundle) => bundle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(0),
        Err(_) => return None,
    };
    last_number(&bundle).filter(|last| *last <= removed)?;
    match fs::remove_file(path) {
        Ok(()) => Some(bundle.len() as u64),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a bundle of the log cannot be removed");
            None
        }
    }
}
