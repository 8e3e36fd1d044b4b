//! The thread that copies signed logs to a folder elsewhere. It reads what is on disk already, and nothing waits for it:
//! neither the log nor, for longer than a moment, a stop.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::place::{self, CHECKPOINT, KEY, ROTATIONS};
use super::{read_bundle, read_tile};
use crate::clock::Clock;
use crate::ledger::checkpoint::Checkpoint;
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
    #[error("{} is no folder that is there; it is gone on with once it is", .0.display())]
    NoFolder(PathBuf),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not what it was signed as", .0.display())]
    Unsound(PathBuf),
    #[error("cannot write to {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is there already and differs; nothing is published until a start at which it no longer does", .0.display())]
    Differs(PathBuf),
}

impl Publisher {
    /// Starts the thread, which copies the logs of the folder `from` to `to`.
    pub(in crate::ledger) fn start(
        from: PathBuf,
        to: PathBuf,
        (inbox, clock): (Arc<Inbox>, Arc<dyn Clock>),
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (finished, done) = channel();
        std::thread::Builder::new().name("publish".to_owned()).spawn(move || {
            Work { from, to, inbox, clock, compared: BTreeMap::new() }.run(&stopped);
            // Whoever waited for it may have gone.
            let _ = finished.send(());
        })?;
        Ok(Self { stop, done })
    }

    /// Publishes what was signed last and ends the thread. Where its disk is too slow or does not answer, it is left behind.
    pub(in crate::ledger) fn end(self) {
        drop(self.stop);
        if let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(LAST) {
            tracing::warn!("the folder of published logs is slow; the next start goes on with it");
        }
    }
}

struct Work {
    from: PathBuf,
    to: PathBuf,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    /// How many leaves of each log were compared with what is published since the start.
    compared: BTreeMap<u64, u64>,
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
        // Never made here: where a disk is not mounted, nothing is to be written below its place.
        if !self.to.is_dir() {
            return Err(PublishError::NoFolder(self.to.clone()));
        }
        let logs = place::logs(&self.from).map_err(|source| PublishError::Read { path: self.from.clone(), source })?;
        let mut fresh = false;
        for number in logs {
            let (from, to) = (self.from.join(number.to_string()), self.to.join(number.to_string()));
            let compared = self.compared.get(&number).copied().unwrap_or(0);
            if let Some(size) = publish(&from, &to, compared)? {
                fresh |= self.compared.insert(number, size) != Some(size);
            }
        }
        Ok(fresh)
    }

    fn tell(&self, done: Result<bool, PublishError>) {
        let fresh = matches!(done, Ok(true));
        let reason = done.err().map(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        });
        let before = {
            let mut health = self.inbox.told();
            if fresh {
                health.log.published_at = Some(self.clock.read().raw);
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

/// Copies what the newest checkpoint of a log tells of, and that checkpoint last. Files of the first `compared` leaves are not
/// looked at, where what is published has them. Returns how many leaves are published.
fn publish(from: &Path, to: &Path, compared: u64) -> Result<Option<u64>, PublishError> {
    let Some((note, checkpoint)) = checkpoint(from)? else { return Ok(None) };
    let before = checkpoint_of_copy(to, &checkpoint)?;
    let since = compared.min(before.as_ref().map_or(0, |(_, size)| *size));
    if before.as_ref().is_some_and(|(old, _)| *old == note) && since == checkpoint.size {
        return Ok(Some(since));
    }
    let key = from.join(KEY);
    let line = place::read_text(&key).map_err(|source| PublishError::Read { path: key, source })?;
    if before.is_none() {
        put_new(to, vec![(KEY.to_owned(), line.clone().into_bytes())])?;
    }
    put_new(to, rotations(from)?)?;
    let mut batch = Vec::new();
    for file in files(since, checkpoint.size) {
        let path = file.path();
        if let Some(octets) = file.read(from)? {
            batch.push((path, octets));
        }
        if batch.len() == BATCH {
            put_new(to, std::mem::take(&mut batch))?;
        }
    }
    put_new(to, batch)?;
    put(to, &[(CHECKPOINT.to_owned(), note.into_bytes())])?;
    // Behind the checkpoint that the key has signed, where it was changed.
    if place::read_text(&to.join(KEY)).ok().as_ref() != Some(&line) {
        put(to, &[(KEY.to_owned(), line.into_bytes())])?;
    }
    Ok(Some(checkpoint.size))
}

/// Returns the notes by which the key of a log was changed.
fn rotations(from: &Path) -> Result<Vec<(String, Vec<u8>)>, PublishError> {
    let folder = from.join(ROTATIONS);
    let read = |source| PublishError::Read { path: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(read)?,
    };
    let mut notes = Vec::new();
    for entry in entries {
        let entry = entry.map_err(read)?;
        if let Some(leaf) = entry.file_name().to_str().and_then(crate::ledger::checkpoint::number) {
            notes.push((format!("{ROTATIONS}/{leaf}"), place::read_text(&entry.path()).map_err(read)?.into_bytes()));
        }
    }
    Ok(notes)
}

fn checkpoint(folder: &Path) -> Result<Option<(String, Checkpoint)>, PublishError> {
    let path = folder.join(CHECKPOINT);
    let note = match place::read_text(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        note => note.map_err(|source| PublishError::Read { path: path.clone(), source })?,
    };
    let text = note.rfind("\n\n").map(|end| &note[..=end]);
    let checkpoint = text.and_then(|text| Checkpoint::parse(text).ok()).ok_or(PublishError::Unsound(path))?;
    Ok(Some((note, checkpoint)))
}

/// Returns the checkpoint that is published and its size. One of another log, or of more than was signed here, is not
/// gone beyond.
fn checkpoint_of_copy(to: &Path, own: &Checkpoint) -> Result<Option<(String, u64)>, PublishError> {
    let differs = || PublishError::Differs(to.join(CHECKPOINT));
    let Some((note, of)) = checkpoint(to).map_err(|error| match error {
        PublishError::Unsound(_) => differs(),
        other => other,
    })?
    else {
        return Ok(None);
    };
    let same = of.size < own.size || (of.size == own.size && of.root == own.root);
    if of.origin == own.origin && same { Ok(Some((note, of.size))) } else { Err(differs()) }
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

/// Writes files that are not there. One that is there is never written over.
fn put_new(to: &Path, files: Vec<(String, Vec<u8>)>) -> Result<(), PublishError> {
    let mut fresh = Vec::new();
    for (path, octets) in files {
        let target = to.join(&path);
        match place::read(&target, MOST) {
            Ok(there) if there == octets => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh.push((path, octets)),
            Ok(_) => return Err(PublishError::Differs(target)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(PublishError::Differs(target)),
            Err(source) => return Err(PublishError::Read { path: target, source }),
        }
    }
    put(to, &fresh)?;
    for (path, _) in fresh {
        // The standard lets partial ones go once the full one is there.
        let _ = fs::remove_dir_all(to.join(format!("{path}.p")));
    }
    Ok(())
}

fn put(to: &Path, files: &[(String, Vec<u8>)]) -> Result<(), PublishError> {
    place::put_all(to, files).map_err(|source| PublishError::Write { path: to.to_owned(), source })
}
