//! What was done and is not known to be on record, as the register keeps it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::Act;

/// What was done, as its record says it. It is kept by the same write that does it, and until the record is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unrecorded {
    /// The policy instant of it.
    pub at: Timestamp,
    pub act: Act,
    pub by: String,
    pub why: String,
    pub what: Option<String>,
    /// The number of the first leaf that can be its record.
    pub from: u64,
}
