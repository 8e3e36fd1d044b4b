//! Reading the journal, also while it is being written. Damage is told and passed over, never taken for the end.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::journal::{Segment, path_of};
use super::leaf::{Leaf, Numbered};
use super::recover::{is_misnumbered, list};

/// What stands in the way of reading. Reading goes on behind it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot open the journal {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read the journal {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}: the line is no leaf", path.display())]
    Line { path: PathBuf, line: u64, source: serde_json::Error },
    #[error("{}:{line}: leaves {first} to {last} are not there", path.display())]
    Missing { path: PathBuf, line: u64, first: u64, last: u64 },
}

/// A place in the journal, to go on from later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The number of the segment's first leaf.
    pub segment: u64,
    /// The offset behind the last line that was read.
    pub offset: u64,
    /// How many lines of the segment were read.
    pub line: u64,
    /// The number of the next leaf.
    pub next: u64,
}

/// The leaves of a journal in order, each once.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    position: Position,
    /// Leaves below this number are passed over.
    from: u64,
    file: Option<BufReader<File>>,
    /// Whether a later segment exists, so that what is at the end of this one is its end for good.
    complete: bool,
    text: Vec<u8>,
    /// The line behind it, where that was looked at.
    ahead: Option<Vec<u8>>,
    /// A leaf that was read, kept behind the error that leaves in front of it are missing.
    waiting: Option<Leaf>,
    failed: bool,
}

/// Reads the journal in `folder`, from the leaf with number `from` on or the oldest that is still there.
/// Ends where the journal ends at the moment; calling `next` again later goes on.
pub fn read(folder: &Path, from: u64) -> Reader {
    let segments = list(folder).unwrap_or_default();
    let starts = segments.iter().rev().find(|segment| segment.first <= from).or(segments.first());
    let segment = starts.map_or(from, |segment| segment.first);
    Reader { from, ..Reader::resume(folder, Position { segment, next: segment, ..Position::default() }) }
}

/// Returns the leaf with this number; `None` where it is not there or cannot be read.
///
/// # Errors
/// Where a segment cannot be opened or read.
pub fn find(folder: &Path, seq: u64) -> Result<Option<Leaf>, ReadError> {
    for leaf in read(folder, seq) {
        match leaf {
            Ok(leaf) => return Ok((leaf.seq == seq).then_some(leaf)),
            Err(ReadError::Line { .. } | ReadError::Missing { .. }) => {}
            Err(error @ (ReadError::Open { .. } | ReadError::Read { .. })) => return Err(error),
        }
    }
    Ok(None)
}

/// Returns the numbers of the first leaves of the segments, which are their names, oldest first.
///
/// # Errors
/// Where the folder cannot be listed; one that is not there has no segments.
pub fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    match list(folder) {
        Ok(segments) => Ok(segments.into_iter().map(|segment| segment.first).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Returns the path of the segment whose first leaf has this number.
pub fn segment_path(folder: &Path, first: u64) -> PathBuf {
    path_of(folder, first)
}

/// Returns whether the journal has nothing behind the position.
pub fn is_at_end(journal: &Path, position: Position) -> bool {
    let Ok(segments) = segments(journal) else { return false };
    if segments.is_empty() {
        return position == Position::default();
    }
    let length = std::fs::metadata(segment_path(journal, position.segment)).map(|of| of.len());
    segments.last() == Some(&position.segment) && length.is_ok_and(|length| length == position.offset)
}

/// Returns whether the journal still has the last line that was read where it was, or has removed it for its size.
///
/// # Errors
/// Where the journal cannot be read.
pub fn is_same_journal(journal: &Path, oldest: Option<u64>, position: Position, last: &[u8]) -> io::Result<bool> {
    if position.offset == 0 {
        return Ok(position.next == 0 || oldest.is_some());
    }
    let mut file = match File::open(segment_path(journal, position.segment)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(oldest.is_some_and(|oldest| oldest > position.segment));
        }
        Err(error) => return Err(error),
    };
    let Some(start) = position.offset.checked_sub(last.len() as u64) else { return Ok(false) };
    file.seek(SeekFrom::Start(start))?;
    let mut line = Vec::with_capacity(last.len());
    file.take(last.len() as u64).read_to_end(&mut line)?;
    Ok(line == last)
}

impl Reader {
    /// Goes on from a place that an earlier reader returned.
    pub fn resume(folder: &Path, position: Position) -> Self {
        Self {
            folder: folder.to_owned(),
            position,
            from: position.next,
            file: None,
            complete: false,
            text: Vec::new(),
            ahead: None,
            waiting: None,
            failed: false,
        }
    }

    /// Returns the place behind the last line that was read.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Returns the last line that was read.
    pub fn line(&self) -> &[u8] {
        &self.text
    }

    fn path(&self) -> PathBuf {
        path_of(&self.folder, self.position.segment)
    }

    /// Opens the segment of the position, or the next one where it was removed. `false` where there is none.
    fn open(&mut self) -> Result<bool, ReadError> {
        loop {
            let path = self.path();
            match File::open(&path) {
                Ok(mut file) => {
                    let at = self.position.offset;
                    file.seek(SeekFrom::Start(at)).map_err(|source| ReadError::Read { path, source })?;
                    self.file = Some(BufReader::with_capacity(1 << 16, file));
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !self.advance()? {
                        return Ok(false);
                    }
                }
                Err(source) => return Err(ReadError::Open { path, source }),
            }
        }
    }

    fn following(&self) -> Result<Option<Segment>, ReadError> {
        match list(&self.folder) {
            Ok(segments) => Ok(segments.into_iter().find(|segment| segment.first > self.position.segment)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ReadError::Open { path: self.folder.clone(), source }),
        }
    }

    fn advance(&mut self) -> Result<bool, ReadError> {
        let Some(following) = self.following()? else { return Ok(false) };
        self.position = Position { segment: following.first, offset: 0, line: 0, next: self.position.next };
        self.file = None;
        self.complete = false;
        Ok(true)
    }

    /// Reads one whole line; `false` where there is none yet.
    fn read_line(&mut self) -> Result<bool, ReadError> {
        if let Some(text) = self.ahead.take() {
            self.take_line(text);
            return Ok(true);
        }
        loop {
            if self.file.is_none() && !self.open()? {
                return Ok(false);
            }
            let path = self.path();
            let Some(file) = &mut self.file else { return Ok(false) };
            let mut text = Vec::new();
            file.read_until(b'\n', &mut text).map_err(|source| ReadError::Read { path, source })?;
            if text.ends_with(b"\n") {
                self.take_line(text);
                return Ok(true);
            }
            // Opened afresh the next time, because a torn line may be a line that is being written.
            self.file = None;
            if self.complete {
                if !self.advance()? {
                    return Ok(false);
                }
            } else if self.following()?.is_some() {
                // Lines may have come between the two looks; from now on none will.
                self.complete = true;
            } else {
                return Ok(false);
            }
        }
    }

    fn take_line(&mut self, text: Vec<u8>) {
        self.position.offset += text.len() as u64;
        self.position.line += 1;
        self.text = text;
    }

    /// Returns the number of the next line of the segment, if it is whole and can be read.
    fn following_number(&mut self) -> Option<u64> {
        let mut text = Vec::new();
        let read = self.file.as_mut()?.read_until(b'\n', &mut text);
        if read.is_err() || !text.ends_with(b"\n") {
            // Opened afresh the next time, where a part of it was taken from the file.
            self.file = None;
            return None;
        }
        let number = serde_json::from_slice::<Numbered>(&text).ok().map(|leaf| leaf.seq);
        self.ahead = Some(text);
        number
    }

    fn read_leaf(&mut self) -> Result<Option<Leaf>, ReadError> {
        while self.read_line()? {
            let line = |source, of: &Self| ReadError::Line { path: of.path(), line: of.position.line, source };
            let numbered: Numbered = serde_json::from_slice(&self.text).map_err(|source| line(source, self))?;
            if numbered.seq < self.position.next {
                continue;
            }
            let leaps = numbered.seq > self.position.next;
            if leaps && is_misnumbered(numbered.seq, self.position.next, self.following_number()) {
                let source = serde::de::Error::custom("its number does not fit the lines around it");
                return Err(line(source, self));
            }
            let expected = std::mem::replace(&mut self.position.next, numbered.seq + 1);
            if numbered.seq < self.from {
                continue;
            }
            let leaf = Leaf::read(&self.text).map_err(|source| line(source, self))?;
            let first = expected.max(self.from);
            if numbered.seq == first {
                return Ok(Some(leaf));
            }
            self.waiting = Some(leaf);
            return Err(ReadError::Missing {
                path: self.path(),
                line: self.position.line,
                first,
                last: numbered.seq - 1,
            });
        }
        Ok(None)
    }
}

impl Iterator for Reader {
    type Item = Result<Leaf, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(leaf) = self.waiting.take() {
            return Some(Ok(leaf));
        }
        if self.failed {
            return None;
        }
        let read = self.read_leaf();
        // A segment that cannot be opened or read would be told again for ever.
        self.failed = matches!(read, Err(ReadError::Open { .. } | ReadError::Read { .. }));
        read.transpose()
    }
}
