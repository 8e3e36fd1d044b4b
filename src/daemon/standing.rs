//! What has gone wrong in a daemon and still stands, for those who watch it.

use std::io;

use super::candidate::Candidate;
use super::folder::Folder;
use super::waivers::Tally;
use super::{RECORD_TIME, StartError};
use crate::feed::Archive;
use crate::ledger::Ledger;

/// What has gone wrong and still stands, and what is not as it usually is.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The first fault of a reload that was refused, until one is accepted.
    pub(super) refused: Option<String>,
    /// The policy in use, where it is not archived and named the active one yet.
    pub(super) unarchived: Option<Archive>,
    /// The candidate that is named, and whether it can be used.
    pub(super) candidate: Option<Candidate>,
    pub(super) waivers: Tally,
    /// Lists that are not as they should be now.
    pub(super) lists: Vec<String>,
}

impl Standing {
    /// Archives the policy of the start. A full disk is told, and is no reason not to answer.
    pub(super) fn new(folder: &Folder, archive: &Archive) -> Result<Self, StartError> {
        match folder.archive(archive) {
            Ok(()) => Ok(Self::default()),
            Err(StartError::Unwritable { source, .. }) if is_full(&source) => {
                tracing::error!(error = %source, "the policy cannot be archived; that is tried again until it can");
                Ok(Self { unarchived: Some(archive.clone()), ..Self::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// Names the policy in use the active one, once everything that was recorded of it is on disk. By the one that is named
    /// the next start finds what has changed unrecorded; where it cannot be named now, that is tried again.
    pub(super) fn name(&mut self, folder: &Folder, archive: &Archive, ledger: &Ledger) {
        let named = self.unarchived.is_none() && ledger.flush(RECORD_TIME) && folder.activate(archive).is_ok();
        self.unarchived = (!named).then(|| archive.clone());
    }
}

/// Returns whether an error, or one that it stands for, says that the disk has no room.
fn is_full(error: &io::Error) -> bool {
    let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| full(error.kind())) {
            return true;
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
