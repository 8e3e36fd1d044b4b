//! Maps a file into memory.
//!
//! What it gains: a compiled list of ten million names is there in a hundredth of the time that a copy takes, and two
//! processes share one copy of it.
//!
//! Why it is sound. A mapping is a `&[u8]` to the compiler, which may take it that the octets never change. They could
//! change only by a write to the file or by cutting it. [`Mapping::of`] takes a file only where
//!
//! - it is a regular file that belongs to the user that this process runs as, and
//! - nobody at all has the right to write to it (its mode has no write bit), so that opening it for writing fails.
//!
//! This program writes such a file under another name, takes the right to write away, and only then gives it its name; one
//! that is there is replaced by renaming, never written to. So nothing but this user (or root) could change the octets,
//! by giving the right back first: and this user may as well write into the memory of this process (`/proc/PID/mem`), mapping
//! or not. The mapping is read-only and private, it lives as long as the `Mapping`, and the slice borrows from that.
//!
//! Nothing else rests on it: every reader of the slice checks its bounds, so that even octets that did change would give
//! wrong matches, and no read outside.

#![allow(unsafe_code, reason = "mapping a file is unsafe; see above for why this one is sound")]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;

use memmap2::{Mmap, MmapOptions};

/// Bits of a mode that let anybody write.
const WRITABLE: u32 = 0o222;

/// A file of ours, as octets.
#[derive(Debug)]
pub(super) struct Mapping(Mmap);

impl Mapping {
    /// Maps a file that nobody writes to.
    ///
    /// # Errors
    /// Where it belongs to another user, somebody may write to it, or the system maps nothing.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is no file of this user"));
        }
        if metadata.mode() & WRITABLE != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "somebody may write to it"));
        }
        // SAFETY: as the head of this file says: nothing but this user's own hand could change the file.
        let map = unsafe { MmapOptions::new().map_copy_read_only(file) }?;
        Ok(Self(map))
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_a_file_that_nobody_writes_to_is_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"octets").unwrap();
        for mode in [0o600, 0o420, 0o402] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(Mapping::of(&File::open(&path).unwrap()).is_err(), "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(&*Mapping::of(&File::open(&path).unwrap()).unwrap(), b"octets");
        assert!(Mapping::of(&File::open("/dev/null").unwrap()).is_err(), "no file");
        assert!(Mapping::of(&File::open("/proc/version").unwrap()).is_err() || nix::unistd::geteuid().is_root());
    }
}
