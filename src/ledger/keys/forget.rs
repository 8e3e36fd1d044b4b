//! Destroying a month's keys. A tombstone is durable before a key goes, and a key beside its tombstone is as good as gone,
//! so that a crash in between leaves the month forgotten.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::{KeyError, KeyId, mark, path_of};

/// What the name of a tombstone ends in.
const DESTROYED: &str = ".destroyed";
const MADE: &str = ".made";

impl KeyId {
    /// Reads a month as people write it, `2026-11`.
    pub fn month(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let digits = |text: &str, many| text.len() == many && text.bytes().all(|octet| octet.is_ascii_digit());
        let fits = digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month);
        fits.then(|| Self(text.to_owned()))
    }

    /// Returns whether this is one of the keys of a month.
    pub fn is_of(&self, month: &Self) -> bool {
        self.0.strip_prefix(&month.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// Returns the names of the keys in a folder that were destroyed, in order.
///
/// # Errors
/// Where the folder cannot be listed; one that is not there has none.
pub fn forgotten(folder: &Path) -> Result<Vec<KeyId>, KeyError> {
    named(folder, DESTROYED)
}

/// Returns the names of the keys of a month that were not destroyed.
///
/// # Errors
/// Where the folder cannot be listed; one that is not there has none.
pub fn forgettable(folder: &Path, month: &KeyId) -> Result<Vec<KeyId>, KeyError> {
    let mut known = made(folder, month)?;
    known.retain(|id| !is_forgotten(folder, id) || path_of(folder, id).exists());
    Ok(known)
}

/// Returns the names of the keys of a month that were ever made, as far as anything tells of them.
fn made(folder: &Path, month: &KeyId) -> Result<Vec<KeyId>, KeyError> {
    let mut known = named(folder, ".key")?;
    known.extend(named(folder, MADE)?);
    known.sort();
    known.dedup();
    known.retain(|id| id.is_of(month));
    Ok(known)
}

/// Destroys every key of a month, and returns their names; none where there was no key, or it was destroyed before.
///
/// # Errors
/// Where a key may still be there; what was destroyed before that stays so.
pub fn forget(folder: &Path, month: &KeyId) -> Result<Vec<KeyId>, KeyError> {
    let (known, destroyed) = (made(folder, month)?, forgettable(folder, month)?);
    let tombstone = |id: &KeyId| folder.join(format!("{id}{DESTROYED}"));
    let fault = |id: &KeyId, source| KeyError::Write { path: tombstone(id), source };
    // All of them first, so that a crash in between does not leave half of the month: the next start goes on.
    known.iter().try_for_each(|id| mark(folder, &tombstone(id)).map_err(|source| fault(id, source)))?;
    known.iter().try_for_each(|id| destroy(folder, id).map_err(|source| fault(id, source)))?;
    Ok(destroyed)
}

/// Destroys the keys that have a tombstone: an earlier try was cut off.
pub(super) fn finish(folder: &Path) -> io::Result<()> {
    let forgotten = forgotten(folder).map_err(io::Error::other)?;
    forgotten.iter().filter(|id| path_of(folder, id).exists()).try_for_each(|id| destroy(folder, id))
}

/// Returns whether a key was destroyed, also where its file is still there.
pub(super) fn is_forgotten(folder: &Path, id: &KeyId) -> bool {
    folder.join(format!("{id}{DESTROYED}")).exists()
}

fn destroy(folder: &Path, id: &KeyId) -> io::Result<()> {
    mark(folder, &folder.join(format!("{id}{DESTROYED}")))?;
    let path = path_of(folder, id);
    match OpenOptions::new().write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Where the file system writes in place, the octets go too; where it does not, they are in free blocks.
        Ok(mut file) => {
            let length = usize::try_from(file.metadata()?.len()).unwrap_or_default().min(4096);
            file.write_all(&vec![b'0'; length])?;
            file.sync_all()?;
        }
        Err(error) => return Err(error),
    }
    fs::remove_file(path)?;
    fs::File::open(folder)?.sync_all()
}

fn named(folder: &Path, suffix: &str) -> Result<Vec<KeyId>, KeyError> {
    let fault = |source| KeyError::Open { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fault)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(fault)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.strip_suffix(suffix)).and_then(KeyId::parse));
    }
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::super::KeyRing;
    use super::*;

    #[test]
    fn a_forgotten_month_stays_so_and_others_stay_readable() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut ring = KeyRing::open(folder).unwrap();
        let address = "192.0.2.7".parse().unwrap();
        let seal = |ring: &mut KeyRing, at: &str| {
            let sealed = ring.seal(address, at.parse().unwrap());
            ring.save().unwrap();
            sealed
        };
        let (old, october) = seal(&mut ring, "2026-10-03T00:00:00Z");
        let (text, november) = seal(&mut ring, "2026-11-03T00:00:00Z");
        let month = KeyId::month("2026-11").unwrap();
        let backup = fs::read(path_of(folder, &november)).unwrap();
        assert_eq!(forget(folder, &month).unwrap(), std::slice::from_ref(&november));
        assert_eq!(forget(folder, &month).unwrap(), []);
        assert_eq!(forgotten(folder).unwrap(), std::slice::from_ref(&november));
        // The ring in use goes on under another key.
        ring.save().unwrap();
        assert_eq!(seal(&mut ring, "2026-11-03T00:00:00Z").1.as_str(), "2026-11-2");
        // A crash between the tombstone and the removal.
        fs::write(path_of(folder, &november), backup).unwrap();
        assert_eq!(KeyRing::reader(folder).decrypt(&text, &november).unwrap(), None);
        drop(KeyRing::open(folder).unwrap());
        assert!(!path_of(folder, &november).exists());
        assert_eq!(KeyRing::reader(folder).decrypt(&old, &october).unwrap(), Some(address));
        assert_eq!(forget(folder, &month).unwrap().len(), 1, "the later key of the month");
    }

    #[test]
    fn a_month_that_was_cut_off_within_its_keys_is_forgotten_whole_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut ring = KeyRing::open(folder).unwrap();
        let at = "2026-11-03T00:00:00Z".parse().unwrap();
        for name in ["2026-11", "2026-11-2"] {
            assert_eq!(ring.seal("192.0.2.7".parse().unwrap(), at).1.as_str(), name);
            ring.save().unwrap();
            if name == "2026-11" {
                fs::remove_file(folder.join("2026-11.key")).unwrap();
                ring.save().unwrap();
            }
        }
        // What is no file cannot be written over, so that the first key stops the destroying.
        fs::create_dir(folder.join("2026-11.key")).unwrap();
        assert!(forget(folder, &KeyId::month("2026-11").unwrap()).is_err());
        fs::remove_dir(folder.join("2026-11.key")).unwrap();
        drop(KeyRing::open(folder).unwrap());
        assert!(!folder.join("2026-11-2.key").exists());
    }

    #[test]
    fn only_months_are_months() {
        for text in ["2026-13", "2026-00", "2026-1", "2026-11-2", "26-11", "../2026", "2026-11.key", ""] {
            assert_eq!(KeyId::month(text), None, "{text}");
        }
        let month = KeyId::month("2026-11").unwrap();
        assert!(KeyId::parse("2026-11-2").unwrap().is_of(&month));
        assert!(!KeyId::parse("2026-12").unwrap().is_of(&month));
    }
}
