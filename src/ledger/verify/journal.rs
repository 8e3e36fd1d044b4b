//! The lines of the journal beside a log: what commands show is read from there, so they have to be those of the log.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ledger::tree::{self, MAX_ENTRY};

/// The most files of a journal that are looked at.
const MAX_FILES: usize = 1_000_000;

/// One line of a journal.
pub(super) enum Line {
    /// A leaf with its number, without its line feed.
    Leaf(u64, Vec<u8>),
    /// Longer than any leaf.
    TooLong,
}

/// Every line of a journal that a reader could take for a leaf, file by file.
pub(super) struct Lines {
    /// Files that were not read yet, the next one last.
    files: Vec<PathBuf>,
    reader: Option<BufReader<File>>,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

/// Returns the number of a leaf; `None` where no reader could tell one.
fn number_of(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Numbered>(line).ok().map(|leaf| leaf.seq)
}

impl Lines {
    pub(super) fn of(journal: &Path) -> Self {
        let entries = fs::read_dir(journal).into_iter().flatten().filter_map(Result::ok).take(MAX_FILES);
        let named = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
        let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(named).collect();
        files.sort_unstable_by(|one, other| other.cmp(one));
        Self { files, reader: None }
    }
}

impl Iterator for Lines {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        loop {
            let Some(reader) = &mut self.reader else {
                let path = self.files.pop()?;
                let regular = fs::symlink_metadata(&path).is_ok_and(|of| of.is_file());
                self.reader = regular.then(|| File::open(path).ok()).flatten().map(BufReader::new);
                continue;
            };
            let (mut line, mut long) = (Vec::new(), false);
            let whole = loop {
                // Only so much is held of a line, however long it is.
                long |= line.len() > MAX_ENTRY;
                line.truncate(if long { 0 } else { line.len() });
                let read = reader.by_ref().take(MAX_ENTRY as u64 + 1).read_until(b'\n', &mut line);
                if !read.is_ok_and(|length| length > 0) {
                    break false;
                }
                if line.pop_if(|last| *last == b'\n').is_some() {
                    break true;
                }
            };
            match number_of(&line) {
                // What is torn at the end of a file is no leaf.
                _ if !whole => self.reader = None,
                _ if long || line.len() > MAX_ENTRY => return Some(Line::TooLong),
                Some(number) => return Some(Line::Leaf(number, line)),
                None => {}
            }
        }
    }
}

/// The entries of one bundle by their numbers.
pub(super) struct Bundle {
    pub(super) index: u64,
    entries: Vec<(u64, Vec<u8>)>,
}

impl Bundle {
    pub(super) fn of(index: u64, octets: &[u8]) -> Self {
        let entries = tree::entries(octets).unwrap_or_default();
        let numbered = |entry: &[u8]| Some((number_of(entry)?, entry.to_vec()));
        Self { index, entries: entries.into_iter().filter_map(numbered).collect() }
    }

    pub(super) fn find(&self, number: u64) -> Option<&[u8]> {
        self.entries.iter().find(|(of, _)| *of == number).map(|(_, entry)| entry.as_slice())
    }
}
