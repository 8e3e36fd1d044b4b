//! The thread that copies signed logs elsewhere. It reads what is on disk already, and nothing waits for it: neither the log
//! nor, for longer than a moment, a stop.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::place::{self, CHECKPOINT, KEY, ROTATIONS};
use super::target::{Target, TargetError};
use super::witnessed::COSIGNED;
use super::{read_bundle, read_tile};
use crate::clock::Clock;
use crate::ledger::checkpoint::{Checkpoint, MAX_NOTE};
use crate::ledger::hold;
use crate::ledger::inbox::Inbox;
use crate::ledger::tree::{self, Tile, WIDTH};

/// How often new checkpoints are looked for.
const PERIOD: Duration = Duration::from_millis(500);
/// How long a stop waits for the last copy; the next start goes on with it.
const LAST: Duration = Duration::from_secs(3);
/// How many files are written by one wait for the disk.
const BATCH: usize = 64;
/// The most octets of a file that is compared.
const MOST: u64 = WIDTH * (2 + tree::MAX_ENTRY as u64);

/// A thread that publishes, until ended.
#[derive(Debug)]
pub(in crate::ledger) struct Publisher {
    stop: Sender<()>,
    done: Receiver<()>,
}

/// Why a log is not copied.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not what it was signed as", .0.display())]
    Unsound(PathBuf),
    #[error("{0} is there already and differs; nothing is published until a start at which it no longer does")]
    Differs(String),
}

/// What is published, and who is told of it.
pub(in crate::ledger) struct Source {
    /// The folder of the logs.
    pub(in crate::ledger) logs: PathBuf,
    /// The data folder, which a legal hold is on.
    pub(in crate::ledger) data: PathBuf,
    pub(in crate::ledger) inbox: Arc<Inbox>,
    pub(in crate::ledger) clock: Arc<dyn Clock>,
}

impl Publisher {
    /// Starts the thread, which copies logs to a target.
    pub(in crate::ledger) fn start(source: Source, to: Box<dyn Target>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (finished, done) = channel();
        std::thread::Builder::new().name("publish".to_owned()).spawn(move || {
            Work { source, to, compared: BTreeMap::new(), removed: BTreeMap::new(), cosigned: BTreeMap::new() }
                .run(&stopped);
            // Whoever waited for it may have gone.
            let _ = finished.send(());
        })?;
        Ok(Self { stop, done })
    }

    /// Publishes what was signed last and ends the thread. Where its disk is too slow or does not answer, it is left behind.
    pub(in crate::ledger) fn end(self) {
        drop(self.stop);
        if let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(LAST) {
            tracing::warn!("publishing the log is slow; the next start goes on with it");
        }
    }
}

struct Work {
    source: Source,
    to: Box<dyn Target>,
    /// How many leaves of each log were compared with what is published since the start.
    compared: BTreeMap<u64, u64>,
    /// Up to which bundle those of each log that went for their age were removed, or were tried to be.
    removed: BTreeMap<u64, u64>,
    /// The cosigned checkpoints that were copied since the start.
    cosigned: BTreeMap<String, Vec<u8>>,
}

impl Work {
    fn run(mut self, stop: &Receiver<()>) {
        loop {
            let last = !matches!(stop.recv_timeout(PERIOD), Err(RecvTimeoutError::Timeout));
            let done = self.round();
            let differs = matches!(done, Err(PublishError::Differs(_)));
            self.tell(done);
            if last || differs {
                return;
            }
        }
    }

    /// Copies what is new; returns whether there was any.
    fn round(&mut self) -> Result<bool, PublishError> {
        self.to.ready()?;
        let from = self.source.logs.clone();
        let logs = place::logs(&from).map_err(|source| PublishError::Read { path: from.clone(), source })?;
        let mut fresh = false;
        for number in logs {
            let compared = self.compared.get(&number).copied();
            let log = Published { from: from.join(number.to_string()), number };
            if let Some(size) = log.publish(self.to.as_mut(), compared)? {
                fresh |= compared != Some(size);
                self.compared.insert(number, size);
                self.remove(&log, size);
                self.put_cosigned(&log)?;
            }
        }
        Ok(fresh)
    }

    /// Copies what witnesses have cosigned since.
    fn put_cosigned(&mut self, log: &Published) -> Result<(), PublishError> {
        for (path, octets) in notes(&log.from, COSIGNED)? {
            let path = log.path(&path);
            if self.cosigned.get(&path) != Some(&octets) {
                self.to.put(&path, &octets)?;
                self.cosigned.insert(path, octets);
            }
        }
        Ok(())
    }

    /// Removes the bundles that are no longer here, because they went for their age. A target that refuses keeps them.
    fn remove(&mut self, log: &Published, size: u64) {
        let kept = first(size / WIDTH, |index| Ok::<_, ()>(log.from.join(tree::bundle_path(index, WIDTH)).exists()));
        let Ok(kept) = kept else { return };
        let before = self.removed.get(&log.number).copied().unwrap_or(0);
        if kept <= before || hold::keeps_all(&self.source.data) {
            return;
        }
        self.removed.insert(log.number, kept);
        let path = |index| log.path(&tree::bundle_path(index, WIDTH));
        let removed = first(kept, |index| self.to.is_there(&path(index)))
            .and_then(|there| (there..kept).try_for_each(|index| self.to.remove(&path(index))));
        let reason = removed.err().map(|error| in_words(&error));
        if let Some(reason) = &reason {
            tracing::warn!(reason, "what went for its age stays where the log is published");
        }
        self.source.inbox.told().log.unremoved = reason;
    }

    fn tell(&self, done: Result<bool, PublishError>) {
        let fresh = matches!(done, Ok(true));
        let reason = done.err().map(|error| in_words(&error));
        let before = {
            let mut health = self.source.inbox.told();
            if fresh {
                health.log.published_at = Some(self.source.clock.read().raw);
            }
            std::mem::replace(&mut health.log.unpublished, reason.clone())
        };
        match (before, reason) {
            (None, Some(reason)) => tracing::error!(reason, "the log is not published"),
            (Some(_), None) => tracing::info!("the log is published again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}

fn in_words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_words(source)),
        None => error.to_string(),
    }
}

/// Returns the first of `end` places, which are there from some place on, that is there.
fn first<E>(end: u64, mut is_there: impl FnMut(u64) -> Result<bool, E>) -> Result<u64, E> {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_there(middle)? { high = middle } else { low = middle + 1 }
    }
    Ok(low)
}

/// A log that is published.
struct Published {
    from: PathBuf,
    number: u64,
}

impl Published {
    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.number)
    }

    /// Copies what the newest checkpoint of the log tells of, and that checkpoint last. Files of the first `compared` leaves are not
    /// looked at, where what is published has them. Returns how many leaves are published.
    fn publish(&self, to: &mut dyn Target, compared: Option<u64>) -> Result<Option<u64>, PublishError> {
        let Some((note, checkpoint)) = self.checkpoint()? else { return Ok(None) };
        // What was seen there since the start says enough while there is nothing new.
        if !to.is_near() && compared == Some(checkpoint.size) {
            return Ok(compared);
        }
        let before = self.checkpoint_of_copy(to, &checkpoint)?;
        let known = if to.is_near() { compared.unwrap_or(0) } else { checkpoint.size };
        let since = known.min(before.as_ref().map_or(0, |(_, size)| *size));
        if before.as_ref().is_some_and(|(old, _)| *old == note) && since == checkpoint.size {
            return Ok(Some(since));
        }
        let key = self.from.join(KEY);
        let line = place::read_text(&key).map_err(|source| PublishError::Read { path: key, source })?;
        if before.is_none() {
            self.put_new(to, vec![(KEY.to_owned(), line.clone().into_bytes())])?;
        }
        self.put_new(to, notes(&self.from, ROTATIONS)?)?;
        let mut batch = Vec::new();
        for file in files(since, checkpoint.size) {
            if let Some(octets) = file.read(&self.from)? {
                batch.push((file.path(), octets));
            }
            if batch.len() == BATCH {
                self.put_new(to, std::mem::take(&mut batch))?;
            }
        }
        self.put_new(to, batch)?;
        to.put(&self.path(CHECKPOINT), note.as_bytes())?;
        // Behind the checkpoint that the key has signed, where it was changed.
        if before.is_some() && to.read(&self.path(KEY), MAX_NOTE as u64)?.as_deref() != Some(line.as_bytes()) {
            to.put(&self.path(KEY), line.as_bytes())?;
        }
        Ok(Some(checkpoint.size))
    }

    fn checkpoint(&self) -> Result<Option<(String, Checkpoint)>, PublishError> {
        let path = self.from.join(CHECKPOINT);
        let note = match place::read_text(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            note => note.map_err(|source| PublishError::Read { path: path.clone(), source })?,
        };
        let checkpoint = read_checkpoint(&note).ok_or(PublishError::Unsound(path))?;
        Ok(Some((note, checkpoint)))
    }

    /// Returns the checkpoint that is published and its size. One of another log, of another history, or of more than was
    /// signed here, is not gone beyond.
    fn checkpoint_of_copy(&self, to: &mut dyn Target, own: &Checkpoint) -> Result<Option<(String, u64)>, PublishError> {
        let path = self.path(CHECKPOINT);
        let differs = |to: &dyn Target| PublishError::Differs(to.shown(&path));
        let octets = match to.read(&path, MAX_NOTE as u64) {
            Err(TargetError::TooLarge(_)) => return Err(differs(to)),
            octets => octets?,
        };
        let Some(octets) = octets else { return Ok(None) };
        let read = String::from_utf8(octets).ok().and_then(|note| Some((read_checkpoint(&note)?, note)));
        let Some((of, note)) = read else { return Err(differs(to)) };
        let tile = |tile| read_tile(&self.from, tile).ok_or(());
        let root = || match of.size == own.size {
            true => Some(own.root),
            false => tree::Reader::new(own.size, tile).root(of.size).ok(),
        };
        let same = of.origin == own.origin && of.size <= own.size && root() == Some(of.root);
        if same { Ok(Some((note, of.size))) } else { Err(differs(to)) }
    }

    /// Writes files that are not there. One that is there is never written over.
    fn put_new(&self, to: &mut dyn Target, files: Vec<(String, Vec<u8>)>) -> Result<(), PublishError> {
        let mut fresh = Vec::new();
        for (path, octets) in files {
            let path = self.path(&path);
            // Far away, writing tells by itself whether there is one.
            if !to.is_near() || !is_same(to, &path, &octets)? {
                fresh.push((path, octets));
            }
        }
        let mut rest = fresh.as_slice();
        while let Some(there) = to.put_new(rest)? {
            let place = rest.iter().position(|(path, _)| path == there).unwrap_or(0);
            if !is_same(to, there, &rest[place].1)? {
                return Err(PublishError::Differs(to.shown(there)));
            }
            rest = &rest[place + 1..];
        }
        for (path, _) in fresh.iter().filter(|(path, _)| path.contains("/tile/") && !path.contains(".p/")) {
            // The standard lets partial ones go once the full one is there.
            to.remove_below(&format!("{path}.p/"));
        }
        Ok(())
    }
}

/// Returns whether a file is there, as it should be.
fn is_same(to: &mut dyn Target, path: &str, octets: &[u8]) -> Result<bool, PublishError> {
    match to.read(path, MOST) {
        Ok(None) => Ok(false),
        Ok(Some(there)) if there == octets => Ok(true),
        Ok(Some(_)) | Err(TargetError::TooLarge(_)) => Err(PublishError::Differs(to.shown(path))),
        Err(error) => Err(error.into()),
    }
}

fn read_checkpoint(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse(&note[..=note.rfind("\n\n")?]).ok()
}

/// Returns the notes in a folder of a log, with their paths.
fn notes(from: &Path, name: &str) -> Result<Vec<(String, Vec<u8>)>, PublishError> {
    let folder = from.join(name);
    let read = |source| PublishError::Read { path: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(read)?,
    };
    let mut notes = Vec::new();
    for entry in entries {
        let file = entry.map_err(read)?.file_name();
        // Not one that is being written.
        if let Some(file) = file.to_str().filter(|file| file.bytes().all(|octet| octet.is_ascii_hexdigit())) {
            match place::read_text(&folder.join(file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                text => notes.push((format!("{name}/{file}"), text.map_err(read)?.into_bytes())),
            }
        }
    }
    notes.sort();
    Ok(notes)
}

/// A file of a log.
enum File {
    Tile(Tile),
    Bundle { index: u64, width: u64 },
}

impl File {
    fn path(&self) -> String {
        match self {
            Self::Tile(tile) => tile.path(),
            Self::Bundle { index, width } => tree::bundle_path(*index, *width),
        }
    }

    /// Reads the file, from a wider one that has taken its place where it is gone. None for entries that went for their age.
    fn read(&self, from: &Path) -> Result<Option<Vec<u8>>, PublishError> {
        let octets = match self {
            Self::Tile(tile) => read_tile(from, *tile).map(|hashes| hashes.concat()),
            Self::Bundle { index, width } => {
                let full = from.join(tree::bundle_path(*index, WIDTH));
                if *width == WIDTH && matches!(full.try_exists(), Ok(false)) {
                    return Ok(None);
                }
                read_bundle(from, *index, *width).and_then(|entries| {
                    let mut bundle = Vec::new();
                    entries.iter().try_for_each(|entry| tree::push_entry(&mut bundle, entry)).ok()?;
                    (entries.len() as u64 == *width).then_some(bundle)
                })
            }
        };
        octets.map(Some).ok_or_else(|| PublishError::Unsound(from.join(self.path())))
    }
}

/// Returns the files that a log of `size` leaves has and one of `since` has not; entries before their hashes.
fn files(since: u64, size: u64) -> impl Iterator<Item = File> {
    let span = move |level: u8| {
        let leaves = |of: u64| of.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
        leaves(since)..=leaves(size)
    };
    let bundles = span(0).filter_map(move |index| {
        let Tile { width, .. } = Tile::of(0, index, size)?;
        Some(File::Bundle { index, width })
    });
    let tiles = (0..=tree::MAX_LEVEL)
        .flat_map(move |level| span(level).filter_map(move |index| Tile::of(level, index, size)).map(File::Tile));
    bundles.chain(tiles)
}

#[cfg(test)]
mod tests;
