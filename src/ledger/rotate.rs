//! Putting another key in the place of the one that signs the log.
//!
//! The leaf decides: once a note that both keys have signed is in the log, every later checkpoint is signed with the new key. Its
//! secret is on disk before the leaf, so that a crash leaves either no leaf, or a key to go on with.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::checkpoint::{Signer, Verifier};
use super::log::{self, KeygenError, LogError, Place};
use super::rotation::Rotation;
use super::{Act, Change, Ledger, Settings};
use crate::clock::{Clock as _, SystemClock};

/// How often it is looked whether the log is signed with the new key.
const PERIOD: Duration = Duration::from_millis(20);

/// Why the key stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    #[error("there is no log yet whose key could be changed")]
    NoLog,
    #[error("a change of key is under way already; it is done once the disk takes it")]
    UnderWay,
    #[error("the log falls behind, and its key is not changed meanwhile: {0}")]
    Behind(String),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A key that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    pub old: Verifier,
    pub new: Verifier,
    /// Until then checkpoints have a signature of the old key too.
    pub until: Timestamp,
    /// Whether a checkpoint is signed with the new one. Otherwise the disk has not taken it yet, and it is signed once it does.
    pub done: bool,
}

impl Ledger {
    /// Signs the log with a new key from now on, and for so long with the old one too. `by` and `why` are recorded. Waits
    /// `within` at most for the record, and as long again for the first checkpoint.
    ///
    /// # Errors
    /// Where nothing was changed.
    pub fn rotate(
        &self,
        (by, why): (&str, &str),
        (now, overlap): (Timestamp, SignedDuration),
        within: Duration,
    ) -> Result<Rotated, RotateError> {
        let until = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
        let (secret, old) = {
            // Held until the secret is on disk, so that the thread of the log does not take it for left over.
            let mut health = self.inbox.told();
            let origin = health.log.origin.clone().ok_or(RotateError::NoLog)?;
            if health.log.rotating {
                return Err(RotateError::UnderWay);
            }
            if let Some(reason) = &health.log.failing {
                return Err(RotateError::Behind(reason.clone()));
            }
            let old = Signer::new(&origin, &self.place.signing()?.ok_or(RotateError::NoLog)?);
            let secret = rand::random();
            self.place.prepare((&secret, until))?;
            health.log.rotating = true;
            (secret, old)
        };
        let new = Signer::new(old.verifier().name(), &secret);
        let (old_line, new_line) = (old.verifier(), new.verifier());
        let what = format!("the key {old_line} gives way to {new_line}; both sign until {until:.0}");
        let rotation = Some(Rotation::sign(&old, &new));
        let change =
            Change { by: by.to_owned(), what: Some(what), rotation, ..Change::own(Act::Rotate, true, why, None) };
        self.change(change);
        let done = self.flush(within) && self.is_signed_anew(within);
        Ok(Rotated { old: old_line, new: new_line, until, done })
    }

    fn is_signed_anew(&self, within: Duration) -> bool {
        let end = SystemClock.read().boot + within;
        loop {
            if !self.health().log.rotating {
                return true;
            }
            if SystemClock.read().boot > end {
                return false;
            }
            std::thread::sleep(PERIOD);
        }
    }
}

/// Makes the key of a node before its first start, and returns the line by which others verify its log.
///
/// # Errors
/// Where there is a key already, or it cannot be written.
pub fn keygen(settings: &Settings) -> Result<Verifier, KeygenError> {
    log::keygen(&Place::of(settings))
}
