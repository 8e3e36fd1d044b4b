//! Files of a folder that somebody else has filled: only regular files inside it, and only up to a bound.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use crate::ledger::checkpoint::{MAX_NOTE, number};
use crate::ledger::tree::WIDTH;

/// A folder that files are read from.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

/// One of the files that hold a tile or a bundle: the full one, or a partial one.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) path: String,
    pub(super) width: u64,
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Returns the text of a small file, with other characters for what is no text; `None` where it is not there.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        Some(String::from_utf8_lossy(&self.read(path, MAX_NOTE as u64)?).into_owned())
    }

    /// Returns every file that may hold the tile or bundle of this path, the partial ones first: the full one is there before
    /// they go. They are read one by one, since all of them together may be large.
    pub(super) fn variants(&self, full: &str) -> Vec<Variant> {
        let partial = |width| Variant { path: format!("{full}.p/{width}"), width };
        let widths = self.widths(&format!("{full}.p")).into_iter();
        widths.map(partial).chain([Variant { path: full.to_owned(), width: WIDTH }]).collect()
    }

    fn widths(&self, folder: &str) -> Vec<u64> {
        let numbers = self.numbers(folder, usize::MAX).into_iter();
        // Names are unique, so that there are not more than widths.
        numbers.filter(|width| (1..WIDTH).contains(width)).collect()
    }

    /// Returns the names in a folder that are numbers, `most` of them at most, in order.
    pub(super) fn numbers(&self, folder: &str, most: usize) -> Vec<u64> {
        let Some(path) = self.inside(folder).filter(|path| path.is_dir()) else { return Vec::new() };
        let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
        let named = |entry: fs::DirEntry| number(entry.file_name().to_str()?);
        let mut numbers: Vec<_> = entries.filter_map(Result::ok).filter_map(named).take(most).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Returns the octets of a regular file of at most `most` octets. One that is longer is returned with one octet too many,
    /// so that it cannot be taken for whole.
    pub(super) fn read(&self, path: &str, most: u64) -> Option<Vec<u8>> {
        let path = self.inside(path)?;
        // Opening a pipe would wait for ever.
        if !fs::symlink_metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut octets = Vec::new();
        File::open(path).ok()?.take(most + 1).read_to_end(&mut octets).ok()?;
        Some(octets)
    }

    /// Returns the path of what is inside the folder; `None` where a link leads to it.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let mut inside = self.folder.clone();
        for part in Path::new(path).components() {
            let Component::Normal(part) = part else { return None };
            inside.push(part);
            if fs::symlink_metadata(&inside).ok()?.is_symlink() {
                return None;
            }
        }
        Some(inside)
    }
}
