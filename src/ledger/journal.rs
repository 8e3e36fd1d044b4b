//! The journal: leaves in append-only files, made durable in groups. A leaf counts as written once its group's fsync has
//! returned; until then it stays in memory too, so that a disk that loses or refuses it costs nothing but time.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::age::last_instant;
use super::fit::fit;
use super::leaf::{Body, GapReason, Leaf, VERSION};
use super::medium::{Medium, SegmentFile, open_segment};
use super::recover::{self, Damage, Recovered};

/// Sizes in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// A segment takes no further group once it is this large.
    pub(super) segment: u64,
    /// Before a segment begins, the oldest are removed until all of them together are within this.
    pub(super) total: u64,
}

/// Why a group of leaves is not on disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot write to {}", path.display())]
    Append { path: PathBuf, source: io::Error },
    #[error("cannot make {} durable (fsync)", path.display())]
    Sync { path: PathBuf, source: io::Error },
    #[error("cannot begin the segment {}", path.display())]
    Begin { path: PathBuf, source: io::Error },
}

/// What happened to segments, to be told by leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// The oldest segment was removed.
    Removed { first: u64, last: u64, bytes: u64, why: Outworn },
    /// Leaves from `first` on were written to a new segment, because of what the text says.
    Rewritten { first: u64, reason: String },
    /// A segment was taken away from under the running program.
    Vanished { first: u64, last: u64 },
}

/// Why a segment was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outworn {
    /// All of them together were larger than they may be.
    Size,
    /// Its leaves were older than they may be.
    Age,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first leaf, which is its name.
    pub(super) first: u64,
    pub(super) bytes: u64,
}

pub(super) struct Journal {
    medium: Box<dyn Medium>,
    folder: PathBuf,
    limits: Limits,
    /// Oldest first.
    segments: VecDeque<Segment>,
    current: Option<Current>,
    /// The number of the next leaf.
    next: u64,
    /// Lines that are on no disk for sure, numbered up to `next`.
    pending: String,
    pending_leaves: u64,
    notices: Vec<Notice>,
    /// Why the segment before was left, as long as its end is not written again.
    left: Option<String>,
}

/// The segment that is written to; the last of `segments`.
struct Current {
    file: Box<dyn SegmentFile>,
    path: PathBuf,
    /// How much of it is durable.
    good: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("folder", &self.folder).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Journal {
    /// Goes on with the journal in `folder` where it ended, and returns what was found wrong with it.
    pub(super) fn open(
        folder: &Path,
        limits: Limits,
        medium: Box<dyn Medium>,
    ) -> Result<(Self, Recovered), recover::RecoverError> {
        let recovered = recover::recover(folder)?;
        let current = match recovered.segments.last() {
            Some(last) if recovered.appendable => {
                let path = path_of(folder, last.first);
                let file =
                    open_segment(&path).map_err(|source| recover::RecoverError::Open { path: path.clone(), source })?;
                Some(Current { file: Box::new(file), path, good: last.bytes })
            }
            Some(_) | None => None,
        };
        let journal = Self {
            medium,
            folder: folder.to_owned(),
            limits,
            segments: recovered.segments.iter().copied().collect(),
            current,
            next: recovered.next,
            pending: String::new(),
            pending_leaves: 0,
            notices: Vec::new(),
            left: None,
        };
        Ok((journal, recovered))
    }

    /// Gives no leaf a number below `next`, which the log has given away already. Returns what is missing here.
    pub(super) fn go_on_from(&mut self, next: u64) -> Option<Damage> {
        let missing = (self.next < next).then(|| (self.next, next - 1))?;
        self.next = next;
        let found = format!("the journal ends before leaf {}, the log goes on to leaf {}", missing.0, missing.1);
        Some(Damage { reason: GapReason::Missing, missing: Some(missing), found })
    }

    /// Sets how large all segments together may be, in octets.
    pub(super) const fn bound(&mut self, total: u64) {
        self.limits.total = total;
    }

    /// Gives `body` the next number, or each of its parts where it is too long, and keeps it for the next commit.
    pub(super) fn append(&mut self, body: Body) {
        for body in fit(body) {
            Leaf { v: VERSION, seq: self.next, body }.write(&mut self.pending);
            self.next += 1;
            self.pending_leaves += 1;
        }
    }

    /// Returns the number of the next leaf.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Returns how many octets wait for a commit.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    pub(super) const fn pending_leaves(&self) -> u64 {
        self.pending_leaves
    }

    /// Returns how many leaves are durable, from the very first on.
    pub(super) const fn durable(&self) -> u64 {
        self.next - self.pending_leaves
    }

    /// Returns how large all segments are together, in octets.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Returns the number of the oldest leaf, or of the next one where there is none.
    pub(super) fn first(&self) -> u64 {
        self.segments.front().map_or_else(|| self.durable(), |oldest| oldest.first)
    }

    /// Has a notice told with the others.
    pub(super) fn note(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Makes all leaves durable that were appended. After a failure they stay pending, and a later call tries again.
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.find_vanished();
        match self.current.take() {
            Some(current) if current.good < self.limits.segment => self.append_to(current)?,
            Some(_) | None => self.begin()?,
        }
        self.pending.clear();
        // A burst must not hold on to its memory for ever.
        self.pending.shrink_to(1 << 20);
        self.pending_leaves = 0;
        Ok(())
    }

    fn append_to(&mut self, mut current: Current) -> Result<(), Fault> {
        if let Err(source) = current.file.append(self.pending.as_bytes()) {
            let path = current.path.clone();
            // What was written of the group is taken back. Where even that fails, the segment is left as it is: readers
            // pass over its end, because the next segment begins with the same leaves.
            match current.file.truncate(current.good) {
                Ok(()) => self.current = Some(current),
                Err(_) => self.left = Some(format!("writing to {} failed: {source}", name_of(&path))),
            }
            return Err(Fault::Append { path, source });
        }
        if let Err(source) = current.file.sync() {
            let path = current.path.clone();
            // The kernel has dropped the pages that it could not write, and another fsync would succeed without them. The
            // file is never trusted again; the leaves are still in memory and go to a new one.
            let _ = current.file.truncate(current.good);
            self.left = Some(format!("fsync of {} failed: {source}", name_of(&path)));
            return Err(Fault::Sync { path, source });
        }
        current.good += self.pending.len() as u64;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes = current.good;
        }
        self.current = Some(current);
        Ok(())
    }

    /// Writes all that is pending as a new segment. It gets its name only when it is durable, so that no segment is ever
    /// empty or without its first line.
    fn begin(&mut self) -> Result<(), Fault> {
        self.remove_oldest();
        // Somebody may have moved or removed the folder.
        if let Err(error) = recover::make_folder(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "the folder of the journal cannot be made");
        }
        let first = self.durable();
        let path = path_of(&self.folder, first);
        let draft = self.folder.join(DRAFT);
        let write = || {
            let mut file = self.medium.create(&draft)?;
            file.append(self.pending.as_bytes())?;
            file.sync()?;
            self.medium.rename(&draft, &path)?;
            self.medium.sync_folder(&self.folder)?;
            Ok(file)
        };
        let file = match write() {
            Ok(file) => file,
            Err(source) => {
                let _ = self.medium.remove(&draft);
                return Err(Fault::Begin { path, source });
            }
        };
        let good = self.pending.len() as u64;
        match self.segments.back_mut() {
            // An earlier try got as far as its name.
            Some(last) if last.first == first => last.bytes = good,
            Some(_) | None => self.segments.push_back(Segment { first, bytes: good }),
        }
        self.current = Some(Current { file, path, good });
        if let Some(reason) = self.left.take() {
            self.notices.push(Notice::Rewritten { first, reason });
        }
        Ok(())
    }

    /// Lets the next commit begin a segment, so that leaves of one age are together.
    pub(super) fn part(&mut self) {
        self.current = None;
    }

    /// Removes the segments whose leaves are all older than `cutoff`; the last one stays.
    pub(super) fn remove_older(&mut self, cutoff: Timestamp) {
        let whole = self.segments.len().saturating_sub(1);
        let is_older = |segment: &Segment| {
            let last = last_instant(&path_of(&self.folder, segment.first));
            last.ok().flatten().is_some_and(|last| last < cutoff)
        };
        // What stands before a segment is at least as old, also where its own end cannot be read.
        let older = self.segments.range(..whole).rposition(is_older).map_or(0, |last| last + 1);
        for _ in 0..older {
            if !self.remove_first(Outworn::Age) {
                return;
            }
        }
    }

    fn remove_oldest(&mut self) {
        while self.bytes() + self.pending.len() as u64 > self.limits.total && self.segments.len() > 1 {
            if !self.remove_first(Outworn::Size) {
                break;
            }
        }
    }

    /// Returns whether the oldest segment was removed.
    fn remove_first(&mut self, why: Outworn) -> bool {
        let Some(oldest) = self.segments.front().copied() else { return false };
        let following = self.segments.get(1).map_or_else(|| self.durable(), |following| following.first);
        let path = path_of(&self.folder, oldest.first);
        match self.medium.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "the oldest segment of the journal cannot be removed");
                return false;
            }
            Ok(()) | Err(_) => {}
        }
        self.segments.pop_front();
        let last = following.saturating_sub(1);
        self.notices.push(Notice::Removed { first: oldest.first, last, bytes: oldest.bytes, why });
        true
    }

    /// Leaves a segment that no longer has a name: what is written to it would be lost without any error.
    fn find_vanished(&mut self) {
        let gone = self.current.as_ref().is_some_and(|current| !current.file.has_name().unwrap_or(true));
        if !gone {
            return;
        }
        self.current = None;
        if let Err(error) = recover::make_folder(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "the folder of the journal cannot be made again");
        }
        let durable = self.durable();
        let ends: Vec<_> = self.segments.iter().skip(1).map(|next| next.first).chain([durable]).collect();
        let mut kept = VecDeque::new();
        for (segment, end) in self.segments.drain(..).zip(ends) {
            if path_of(&self.folder, segment.first).exists() {
                kept.push_back(segment);
            } else {
                self.notices.push(Notice::Vanished { first: segment.first, last: end.saturating_sub(1) });
            }
        }
        self.segments = kept;
    }
}

/// The name of a segment before it is durable.
pub(super) const DRAFT: &str = "segment.draft";

/// Returns the path of the segment whose first leaf has this number.
pub(super) fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.jsonl"))
}

/// The highest number that is believed of a leaf: none comes near it, and every number counted on from it is exact.
pub(super) const MAX_NUMBER: u64 = 1 << 52;

/// Returns the number that the name of a segment says; `None` for any other file.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".jsonl")?;
    let number =
        (digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok());
    number.flatten().filter(|number| *number <= MAX_NUMBER)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
