//! An SQLite index over the journal, for searching and for sums. It holds nothing that the journal does not, follows behind
//! it, and can be deleted or made again at any time.

mod fill;
mod find;
mod follow;
mod query;
mod reports;
mod schema;
mod spans;
mod tally;
mod verify;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

pub use follow::follow;
pub use query::{ClientFilter, Filter, NameFilter, Row, Seen, Sum, SumSource};
pub use reports::{FillError, LogReadError, bundle};
pub use tally::{By, Cover, Manner, Ruled, Slice, Tally};
pub use verify::{Agreement, Difference};

use crate::ledger::{Leaf, Position, ReadError, Reader, is_at_end, is_same_journal, segments};
use fill::Filler;

/// How many leaves are put in by one transaction. Each writes whole pages wherever its index entries belong, so that many
/// together write the same page once.
const BATCH: usize = 100_000;
/// How many KiB of the index one process keeps in memory at most; and how many while it puts in full batches.
const CACHE: [i64; 2] = [8 * 1024, 128 * 1024];
/// How long another process may write before this one gives up.
const BUSY: Duration = Duration::from_secs(30);

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the index {}", path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("cannot write the index {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the index {} is damaged; `interdict index rebuild` makes it again", path.display())]
    Damaged { path: PathBuf, source: rusqlite::Error },
    #[error("cannot work with the index {}", path.display())]
    Query { path: PathBuf, source: rusqlite::Error },
    #[error("cannot index the journal")]
    Journal(#[source] ReadError),
}

/// What one catching up has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// How many leaves were put in.
    pub leaves: u64,
    /// How many lines were damaged, or leaves missing in front of one; each was told in the log.
    pub faults: u64,
    /// Whether the index began anew, because the journal was not the one that it had read.
    pub rebuilt: bool,
}

/// The index in one file. Any number of processes can use it at once.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
    filler: Filler,
    /// Device and inode of the file, to notice when another process made it again.
    identity: (u64, u64),
    /// How far the journal was read when this process looked last.
    seen: Option<Position>,
}

impl Store {
    /// Opens the index, and makes it where there is none. One that is damaged, or of another version, is emptied; the next
    /// [`catch_up`](Self::catch_up) fills it again.
    ///
    /// # Errors
    /// Where the file can be neither opened nor made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match Self::open_file(path) {
            Err(StoreError::Damaged { path, source }) => {
                tracing::warn!(path = %path.display(), error = %source, "the index is damaged and is made again");
                remove(&path)?;
                Self::open_file(&path)
            }
            opened => opened,
        }
    }

    fn open_file(path: &Path) -> Result<Self, StoreError> {
        let file = |source| StoreError::File { path: path.to_owned(), source };
        // Made by hand, since SQLite would let others read it; its other files take over the mode of this one.
        let of = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(file)?;
        let identity = of.metadata().map(|of| (of.dev(), of.ino())).map_err(file)?;
        // Closing any descriptor of a file gives back every lock that the process has on it, SQLite's too: so before.
        drop(of);
        let open = || {
            let mut connection = Connection::open(path)?;
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // The index may lose its last transactions at a power cut, because it reads them again.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            // A file for what is sorted would lie where others keep theirs.
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.pragma_update(None, "cache_size", -CACHE[0])?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version != schema::VERSION {
                schema::reset(&transaction)?;
            }
            transaction.commit()?;
            Ok(connection)
        };
        let connection = open().map_err(|source| match is_damage(&source) {
            true => StoreError::Damaged { path: path.to_owned(), source },
            false => StoreError::Open { path: path.to_owned(), source },
        })?;
        Ok(Self { path: path.to_owned(), connection, filler: Filler::default(), identity, seen: None })
    }

    /// Puts in what the journal has and the index does not. Damage in the journal is told and passed over; a damaged index
    /// is made again.
    ///
    /// # Errors
    /// Where index or journal cannot be used at all.
    pub fn catch_up(&mut self, journal: &Path) -> Result<Progress, StoreError> {
        if self.was_replaced() {
            *self = Self::open(&self.path.clone())?;
        }
        match self.read_journal(journal) {
            Err(StoreError::Damaged { path, source }) => {
                tracing::warn!(path = %path.display(), error = %source, "the index is damaged and is made again");
                self.replace()?;
                self.read_journal(journal).map(|progress| Progress { rebuilt: true, ..progress })
            }
            caught_up => caught_up,
        }
    }

    /// Empties the index and fills it from the journal.
    ///
    /// # Errors
    /// As [`catch_up`](Self::catch_up).
    pub fn rebuild(&mut self, journal: &Path) -> Result<Progress, StoreError> {
        self.filler.forget();
        self.seen = None;
        let reset = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            schema::reset(&transaction)?;
            transaction.commit()
        })();
        match reset {
            Err(error) if is_damage(&error) => self.replace()?,
            other => other.map_err(|source| self.fault(source))?,
        }
        self.read_journal(journal).map(|progress| Progress { rebuilt: true, ..progress })
    }

    /// Returns records, newest first.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn attempts(&self, filter: &Filter) -> Result<Vec<Row>, StoreError> {
        query::attempts(&self.connection, filter).map_err(|source| self.fault(source))
    }

    /// Returns the sums by rule and verdict over the whole journal.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn sums(&self) -> Result<Vec<Sum>, StoreError> {
        query::sums(&self.connection).map_err(|source| self.fault(source))
    }

    /// Returns the sums by day (UTC), rule and verdict, both days included. Look-ups that were only counted fall on the day
    /// on which their count was written.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn sums_by_day(&self, from: Date, to: Date) -> Result<Vec<(Date, Sum)>, StoreError> {
        query::sums_by_day(&self.connection, from, to).map_err(|source| self.fault(source))
    }

    /// Returns when clients were first and last seen: one client, once for each month's key, or all.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn seen(&self, client: Option<&ClientFilter>) -> Result<Vec<Seen>, StoreError> {
        query::seen(&self.connection, client).map_err(|source| self.fault(source))
    }

    /// Compares what the index holds with the journal that it was made from, as far as it has read that.
    ///
    /// # Errors
    /// Where index or journal cannot be read.
    pub fn verify(&mut self, journal: &Path) -> Result<Agreement, StoreError> {
        let Self { path, connection, .. } = self;
        let fault = |source| fault_in(path, source);
        // What is compared is as it was at one instant, whatever others put in meanwhile.
        let transaction = connection.transaction().map_err(fault)?;
        verify::verify(&transaction, journal, fault)
    }

    /// Puts in leaves, each with the number of its segment, by one transaction and without a journal: what measures the
    /// index has none of its size.
    ///
    /// # Errors
    /// Where the index cannot be written.
    pub fn fill(&mut self, leaves: impl IntoIterator<Item = (u64, Leaf)>) -> Result<(), StoreError> {
        let Self { path, connection, filler, .. } = self;
        let put_in = || {
            connection.pragma_update(None, "cache_size", -CACHE[1])?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            filler.forget();
            for (segment, leaf) in leaves {
                filler.insert(&transaction, segment, &leaf)?;
            }
            filler.finish(&transaction)?;
            transaction.commit()
        };
        put_in().map_err(|source| fault_in(path, source))
    }

    fn fault(&self, source: rusqlite::Error) -> StoreError {
        fault_in(&self.path, source)
    }

    fn was_replaced(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |of| (of.dev(), of.ino()) != self.identity)
    }

    fn replace(&mut self) -> Result<(), StoreError> {
        // The damaged file is closed first, so that closing does not write to the new one's files.
        let nothing = Connection::open_in_memory().map_err(|source| self.fault(source))?;
        drop(std::mem::replace(&mut self.connection, nothing));
        remove(&self.path)?;
        *self = Self::open_file(&self.path.clone())?;
        Ok(())
    }

    fn read_journal(&mut self, journal: &Path) -> Result<Progress, StoreError> {
        let mut progress = Progress::default();
        if self.seen.is_some_and(|seen| is_at_end(journal, seen)) {
            return Ok(progress);
        }
        loop {
            let batch = self.read_batch(journal, &mut progress);
            if batch.is_err() {
                self.filler.forget();
                self.seen = None;
            }
            let is_full = batch? == BATCH;
            self.connection
                .pragma_update(None, "cache_size", -CACHE[usize::from(is_full)])
                .map_err(|of| self.fault(of))?;
            if !is_full {
                return Ok(progress);
            }
        }
    }

    /// Puts in some leaves by one transaction, which also moves the place on, so that none is put in twice.
    fn read_batch(&mut self, journal: &Path, progress: &mut Progress) -> Result<usize, StoreError> {
        let Self { path, connection, filler, seen, .. } = self;
        let fault = |source| fault_in(path, source);
        let listed = |source| StoreError::Journal(ReadError::Open { path: journal.to_owned(), source });
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        // Another process may have made the tables again since, with other numbers for the rules.
        filler.forget();
        let oldest = segments(journal).map_err(listed)?.first().copied();
        let mut place = schema::place(&transaction).map_err(fault)?;
        if let Some((position, last)) = &place
            && !is_same_journal(journal, oldest, *position, last).map_err(listed)?
        {
            tracing::warn!("the journal is not the one that the index was made from; the index is made again");
            schema::reset(&transaction).map_err(fault)?;
            filler.forget();
            progress.rebuilt = true;
            place = None;
        }
        let mut reader = match &place {
            Some((position, _)) => Reader::resume(journal, *position),
            None => crate::ledger::read(journal, 0),
        };
        let mut leaves = 0;
        while leaves < BATCH {
            match reader.next() {
                Some(Ok(leaf)) => {
                    filler.insert(&transaction, reader.position().segment, &leaf).map_err(fault)?;
                    leaves += 1;
                }
                Some(Err(error @ (ReadError::Line { .. } | ReadError::Missing { .. }))) => {
                    tracing::warn!(%error, "the journal is damaged");
                    progress.faults += 1;
                }
                Some(Err(error)) => return Err(StoreError::Journal(error)),
                None => break,
            }
        }
        filler.finish(&transaction).map_err(fault)?;
        if let Some(oldest) = oldest {
            schema::forget_before(&transaction, oldest).map_err(fault)?;
        }
        let position = reader.position();
        let last = match (reader.line(), place) {
            ([], Some((_, last))) => last,
            (line, _) => line.to_vec(),
        };
        schema::set_place(&transaction, position, &last).map_err(fault)?;
        transaction.commit().map_err(fault)?;
        *seen = Some(position);
        progress.leaves += leaves as u64;
        Ok(leaves)
    }
}

fn fault_in(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    if is_damage(&source) { StoreError::Damaged { path, source } } else { StoreError::Query { path, source } }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Removes the file and those that SQLite keeps beside it.
fn remove(path: &Path) -> Result<(), StoreError> {
    for ending in ["", "-wal", "-shm"] {
        let mut path = path.as_os_str().to_owned();
        path.push(ending);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::File { path: path.into(), source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
