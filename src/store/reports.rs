//! The index as reports use it: also one that is made for a report alone, from the files of a log.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::query::{Seen, Sum};
use super::tally::{self, By, Cover, Manner, Ruled, Slice, Tally};
use super::{BATCH, BUSY, CACHE, Store, StoreError, schema};
use crate::ledger::{Body, Leaf, tree};

/// The longest that a bundle can be, in octets.
const MAX_BUNDLE: u64 = tree::WIDTH * (2 + tree::MAX_ENTRY as u64);

/// Why leaves of a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} does not hold the entries of its place", .0.display())]
    Entries(PathBuf),
}

/// Reads the entries of one bundle of a log that has `size` leaves at least; `None` where they were removed. Nothing is
/// verified here.
///
/// # Errors
/// Where the file is there and cannot be read, or holds something else.
pub fn bundle(log: &Path, index: u64, size: u64) -> Result<Option<Vec<Vec<u8>>>, LogReadError> {
    let wanted = size.saturating_sub(index * tree::WIDTH).min(tree::WIDTH);
    let whole = log.join(tree::bundle_path(index, tree::WIDTH));
    let mut paths = vec![whole];
    // While the full one has not come, each checkpoint leaves one of its own width.
    paths.extend((wanted..tree::WIDTH).map(|width| log.join(tree::bundle_path(index, width))));
    for path in paths {
        let octets = match fs::metadata(&path)
            .and_then(|of| if of.len() > MAX_BUNDLE { Ok(None) } else { fs::read(&path).map(Some) })
        {
            Ok(octets) => octets.unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(LogReadError::Read { path, source }),
        };
        let entries = tree::entries(&octets).filter(|entries| entries.len() as u64 >= wanted);
        let wanted = usize::try_from(wanted).unwrap_or_default();
        let entries = entries.ok_or(LogReadError::Entries(path))?;
        return Ok(Some(entries.into_iter().take(wanted).map(<[u8]>::to_vec).collect()));
    }
    Ok(None)
}

impl Store {
    /// Makes an index for one purpose, which is gone with it. It grows in a file without a name where temporary files are.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn temporary() -> Result<Self, StoreError> {
        let path = PathBuf::from("a temporary file");
        let open = || {
            let mut connection = Connection::open("")?;
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.pragma_update(None, "cache_size", -CACHE[1])?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            schema::reset(&transaction)?;
            transaction.commit()?;
            Ok(connection)
        };
        let connection = open().map_err(|source| StoreError::Open { path: path.clone(), source })?;
        Ok(Self { path, connection, filler: Default::default(), identity: (0, 0), seen: None })
    }

    /// Opens the index for reading beside whoever fills it in the same process: no other descriptor of its file is opened, whose
    /// end would take SQLite's locks.
    ///
    /// # Errors
    /// Where there is none of this version.
    pub fn reader(path: &Path) -> Result<Self, StoreError> {
        let open = || {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if version == schema::VERSION { Ok(connection) } else { Err(rusqlite::Error::InvalidQuery) }
        };
        let connection = open().map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), connection, filler: Default::default(), identity: (0, 0), seen: None })
    }

    /// Returns the number of the first leaf that the index does not have yet.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn reached(&self) -> Result<u64, StoreError> {
        let place = schema::place(&self.connection).map_err(|source| self.fault(source))?;
        Ok(place.map_or(0, |(position, _)| position.next))
    }

    /// Puts in the first `size` leaves of a log, and returns how many of them cannot be read. Entries that were removed are
    /// passed over.
    ///
    /// # Errors
    /// Where files or the index cannot be read or written.
    pub fn fill_from(&mut self, log: &Path, size: u64) -> Result<u64, FillError> {
        let (mut batch, mut unread) = (Vec::new(), 0);
        for index in 0..size.div_ceil(tree::WIDTH) {
            for entry in bundle(log, index, size)?.unwrap_or_default() {
                match serde_json::from_slice::<Leaf>(&entry) {
                    Ok(Leaf { body: Body::Unknown, .. }) => {}
                    Ok(leaf) => batch.push((leaf.seq, leaf)),
                    Err(_) => unread += 1,
                }
            }
            if batch.len() >= BATCH {
                self.fill(std::mem::take(&mut batch))?;
            }
        }
        self.fill(batch)?;
        Ok(unread)
    }

    /// Hands over the records of a slice, added up. One that differs only in its day or its numbers may come in parts.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn tally(&self, of: Slice, by: By, mut take: impl FnMut(Tally)) -> Result<(), StoreError> {
        tally::tally(&self.connection, of, by, &mut take).map_err(|source| self.fault(source))
    }

    /// Returns what the numbers of rules stand for.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn rules(&self) -> Result<BTreeMap<i64, Ruled>, StoreError> {
        tally::rules(&self.connection).map_err(|source| self.fault(source))
    }

    /// Returns what the number of a client stands for.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn client(&self, id: i64) -> Result<Option<Seen>, StoreError> {
        tally::client(&self.connection, id).map_err(|source| self.fault(source))
    }

    /// Returns how a client was known when its newest record up to a number was written; none where it has none.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn manner(&self, client: i64, last: u64) -> Result<Option<Manner>, StoreError> {
        let newest = tally::newest(&self.connection, client, last);
        let manner = newest.and_then(|seq| seq.map(|seq| tally::manner(&self.connection, seq)).transpose());
        manner.map_err(|source| self.fault(source))
    }

    /// Returns the instant up to which coverage leaves of a slice tell; none where there are none.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn covered_until(&self, of: Slice) -> Result<Option<Timestamp>, StoreError> {
        tally::covered_until(&self.connection, of).map_err(|source| self.fault(source))
    }

    /// Returns the name that a number stands for.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn name(&self, id: i64) -> Result<Option<String>, StoreError> {
        tally::name(&self.connection, id).map_err(|source| self.fault(source))
    }

    /// Returns the number of a group other than the default one; none where no record is of it.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn group(&self, name: &str) -> Result<Option<i64>, StoreError> {
        tally::group(&self.connection, name).map_err(|source| self.fault(source))
    }

    /// Hands over what leaves say of look-ups that are only counted, with the day (UTC, since 1970) that they say it of.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn counted(&self, of: Slice, mut take: impl FnMut(i64, Sum)) -> Result<(), StoreError> {
        tally::counted(&self.connection, of, &mut take).map_err(|source| self.fault(source))
    }

    /// Hands over coverage leaves by their numbers, both ends included.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn covers(&self, first: u64, last: u64, mut take: impl FnMut(Cover)) -> Result<(), StoreError> {
        tally::covers(&self.connection, first, last, &mut take).map_err(|source| self.fault(source))
    }

    /// Hands over changes and gaps by their numbers, both ends included.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub fn told(&self, first: u64, last: u64, mut take: impl FnMut(Leaf)) -> Result<(), StoreError> {
        tally::told(&self.connection, first, last, &mut take).map_err(|source| self.fault(source))
    }
}

/// Why an index cannot be made from a log.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    #[error(transparent)]
    Log(#[from] LogReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
