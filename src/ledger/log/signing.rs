//! Signing a log: its keys, its checkpoints, and the change from one key to the next.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::Log;
use super::place::{self, CHECKPOINT, KEY, LogError, Place, ROTATIONS};
use super::secret::{KeygenError, Secret};
use crate::ledger::checkpoint::{Checkpoint, NoteError, Signer, Verifier, note};
use crate::ledger::rotation::Rotation;

/// What a log is signed with.
#[derive(Debug)]
pub(super) struct Keys {
    signer: Signer,
    secret: Secret,
    /// The key before, which signs too until the instant.
    old: Option<(Signer, Timestamp)>,
    /// The note that retires the key, as a leaf has it that no checkpoint tells of yet.
    rotation: Option<Rotation>,
    /// Such notes by leaf, which no file has yet.
    notes: Vec<(u64, String)>,
}

impl Keys {
    pub(super) const fn new(signer: Signer, secret: Secret) -> Self {
        Self { signer, secret, old: None, rotation: None, notes: Vec::new() }
    }

    /// Returns the keys that a start finds where the newest checkpoint is `head`. Where that is signed by the key that was to
    /// follow too, it takes its place now.
    pub(super) fn found(place: &Place, origin: &str, secret: Secret, head: &str) -> Result<Self, LogError> {
        let mut keys = Self::new(Signer::new(origin, &secret), secret);
        if let Some((next, until)) = place.next()? {
            let signer = Signer::new(origin, &next);
            if Checkpoint::open(head, &signer.verifier()).is_ok() {
                place.promote((&secret, until))?;
                keys = Self::new(signer, next);
            }
        }
        keys.old = place.old()?.map(|(old, until)| (Signer::new(origin, &old), until));
        Ok(keys)
    }

    pub(super) fn verifier(&self) -> Verifier {
        self.signer.verifier()
    }
}

impl Log {
    /// Returns the key that checks what is signed now.
    pub(super) fn verifier(&self) -> Verifier {
        self.keys.verifier()
    }

    /// Notes that a leaf, the last one, changes the key. A note that does not follow on the key of this log changes nothing:
    /// what was changed before stands in it when a log is made again.
    pub(super) fn note_rotation(&mut self, note: &str) {
        let Ok(rotation) = Rotation::open(note) else { return };
        if rotation.old.name() != self.verifier().name() {
            return;
        }
        self.keys.notes.push((self.size() - 1, note.to_owned()));
        if rotation.old == self.verifier() {
            self.keys.rotation = Some(rotation);
        }
    }

    /// Returns whether a leaf says that another key signs, and no checkpoint does yet.
    pub(super) const fn is_rotating(&self) -> bool {
        self.keys.rotation.is_some()
    }

    /// Returns whether there is a key that waits to follow.
    pub(super) fn has_next(&self) -> bool {
        self.place.has_next()
    }

    /// Destroys a key that waits to follow and that no leaf tells of.
    pub(super) fn forget_next(&self) -> Result<(), LogError> {
        if self.is_rotating() || !self.has_next() { Ok(()) } else { self.place.destroy_next() }
    }

    /// Signs what the log has at an instant, if that is more than was signed before. Everything that the checkpoint tells of is
    /// on disk before the checkpoint itself.
    pub(super) fn sign(&mut self, at: Timestamp) -> Result<(), LogError> {
        self.flush()?;
        if self.keys.old.as_ref().is_some_and(|(_, until)| *until <= at) {
            self.place.destroy_old()?;
            self.keys.old = None;
        }
        if self.size() <= self.signed {
            return Ok(());
        }
        let mut files = self.partial();
        // Beside the leaves too, which may go for their age.
        let notes =
            self.keys.notes.iter().map(|(leaf, note)| (format!("{ROTATIONS}/{leaf}"), note.clone().into_bytes()));
        files.extend(notes);
        self.put_all(&files)?;
        self.keys.notes.clear();
        match self.keys.rotation.clone() {
            Some(rotation) => self.turn(&rotation)?,
            None => self.put_checkpoint()?,
        }
        self.signed = self.size();
        self.remove_outgrown();
        self.prune();
        Ok(())
    }

    /// Signs with the key before and the one after, and goes on with the latter.
    fn turn(&mut self, rotation: &Rotation) -> Result<(), LogError> {
        let missing = || LogError::NextKey { key: rotation.new.to_string(), folder: self.place.keys.clone() };
        let (secret, until) = self.place.next()?.ok_or_else(missing)?;
        let next = Signer::new(rotation.new.name(), &secret);
        if next.verifier() != rotation.new {
            return Err(missing());
        }
        self.put_note(&[&next, &self.keys.signer])?;
        self.place.promote((&self.keys.secret, until))?;
        let before = std::mem::replace(&mut self.keys, Keys::new(next, secret));
        self.keys.old = Some((before.signer, until));
        tracing::warn!(key = %self.verifier(), "the log is signed with another key from now on");
        self.put(KEY, format!("{}\n", self.verifier()).as_bytes())
    }

    pub(super) fn put_checkpoint(&mut self) -> Result<(), LogError> {
        let Keys { signer, old, .. } = &self.keys;
        let signers: Vec<_> = std::iter::once(signer).chain(old.iter().map(|(old, _)| old)).collect();
        self.put_note(&signers)
    }

    fn put_note(&self, signers: &[&Signer]) -> Result<(), LogError> {
        let checkpoint = Checkpoint { origin: self.origin(), size: self.size(), root: self.edge.root() };
        let note = note(&checkpoint.text(), signers);
        // First where it stays when this folder is lost or put back: nothing older is ever signed under this name.
        self.place.keep(&note)?;
        self.put(CHECKPOINT, note.as_bytes())
    }
}

/// Makes the key of a place that has none yet, and returns the line by which others verify the log that begins with it.
///
/// # Errors
/// Where there is a key, or it cannot be written.
pub(in crate::ledger) fn keygen(place: &Place) -> Result<Verifier, KeygenError> {
    let logs = place::logs(&place.folder).map_err(|source| LogError::Read { path: place.folder.clone(), source })?;
    let number = logs.last().map_or(1, |last| last.saturating_add(1));
    let secret = place.create_secret()?;
    Ok(Signer::new(&format!("{}/{number}", place.fresh_name()), &secret).verifier())
}

/// Writes the verifier line of a log where it is not there, or is that of the key before.
pub(super) fn mend_key(folder: &Path, verifier: &Verifier) {
    let line = format!("{verifier}\n");
    if !fs::read_to_string(folder.join(KEY)).is_ok_and(|there| there == line) {
        // It is made again at the next start.
        let _ = place::put(folder, KEY, line.as_bytes());
    }
}

/// Returns the checkpoint in a note that this secret has signed under that name.
pub(super) fn opened(note: &str, origin: &str, secret: &Secret) -> Result<Checkpoint, NoteError> {
    Checkpoint::open(note, &Signer::new(origin, secret).verifier())
}
