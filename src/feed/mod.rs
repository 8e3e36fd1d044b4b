//! From files to policy: catalogues, orders and the operator's choices, read, checked and compiled whole.
//!
//! Every fault of every file is told at once, with path and line, and a faulty selection yields nothing: whoever
//! holds a snapshot keeps it. Never writes but into the archive; never decides.

mod archive;
mod catalogue;
mod choices;
mod compile;
mod fault;
mod fetched;
mod files;
mod order;
mod sheet;
#[path = "../../blocklists/shipped.rs"]
mod shipped;
mod waivers;

pub use archive::{Archive, ArchiveError};
pub use choices::WaiverForm;
pub use fault::{Choice, Fault};
pub use fetched::{Item, News, Pending, Shelf, Unwanted};
pub use files::{Document, Kind, Selection, gather};
pub use sheet::is_visible;
pub use waivers::{FileWaiver, FileWaivers, of_every_order, party, read_waivers};

use jiff::Timestamp;

use crate::policy::{Operator, Snapshot};

/// Returns the beginning of the day on which the newest of the files that the program carries was reviewed. No clock that
/// tells an earlier instant can be right.
///
/// # Panics
/// Never: a test reads the day.
pub fn reviewed() -> Timestamp {
    format!("{}T00:00:00Z", shipped::REVIEWED).parse().expect("the day is written as RFC 3339 has it")
}

/// What a selection of files comes to.
#[derive(Debug)]
pub struct Loaded {
    pub snapshot: Snapshot,
    /// What the snapshot was made from, to be stored before the first record refers to it.
    pub archive: Archive,
}

/// Reads what `selection` chooses and compiles it with the operator's choices. `number` is unique in this process.
///
/// # Errors
/// Every fault of every file, and every contradiction between them.
pub fn load(selection: &Selection, operator: Operator, number: u64) -> Result<Loaded, Vec<Fault>> {
    load_with(selection, Vec::new(), operator, number)
}

/// As [`load`], with documents that were fetched behind those that are chosen.
///
/// # Errors
/// Every fault of every file, and every contradiction between them.
pub fn load_with(
    selection: &Selection,
    fetched: Vec<Document>,
    operator: Operator,
    number: u64,
) -> Result<Loaded, Vec<Fault>> {
    let (chosen, mut faults) = files::gather_each(selection);
    let archive = Archive::new(chosen.into_iter().chain(fetched).collect(), operator);
    if !faults.is_empty() {
        faults.extend(compile::faults_by_themselves(&archive));
        return Err(faults);
    }
    let snapshot = archive.compile(number)?;
    Ok(Loaded { snapshot, archive })
}

#[cfg(test)]
mod tests;
