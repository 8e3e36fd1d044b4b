//! Whose keys have signed a log: the one that is trusted, and those that it follows on or that follow on it.

use serde::Serialize;

use super::{Integrity, KeySource, Walk};
use crate::ledger::checkpoint::{NoteError, Verifier, open};
use crate::ledger::rotation::{Chain, Rotation};
use crate::ledger::tree::WIDTH;

/// The folder with the notes by which the key was changed, each named by its leaf.
const ROTATIONS: &str = "rotations";
/// The most changes of a key that are looked at.
const MAX_ROTATIONS: usize = 1000;

/// A key that has signed the log and was changed for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retired {
    pub key: String,
    /// The leaf that says so; none where it was removed for its age, and a note beside the log says so.
    pub leaf: Option<u64>,
    /// Whether it is the key that was given: the one that signs now follows on it.
    pub given: bool,
}

impl Walk {
    /// Takes in a leaf that changes the key.
    pub(super) fn note_rotation(&mut self, note: &str, index: u64) {
        if self.rotations.len() < MAX_ROTATIONS {
            self.rotations.insert(index, (note.to_owned(), true));
        }
    }

    /// Reads the notes that lie beside the leaves: some may have been removed for their age.
    fn notes_beside(&mut self, size: u64) {
        for leaf in self.files.numbers(ROTATIONS, MAX_ROTATIONS).into_iter().filter(|leaf| *leaf < size) {
            let path = format!("{ROTATIONS}/{leaf}");
            let Some(text) = self.files.text(&path) else { continue };
            match self.rotations.get(&leaf) {
                Some((note, _)) if *note == text => {}
                Some(_) => self.tampered(Some(leaf), format!("{path} is not the note of its leaf")),
                None if self.bundles.iter().any(|(_, bundle)| *bundle == leaf / WIDTH) => {
                    self.tampered(Some(leaf), format!("{path} changes the key, and its leaf does not"));
                }
                None => drop(self.rotations.insert(leaf, (text, false))),
            }
        }
    }

    fn chain(&mut self, origin: &str) -> Chain {
        let mut chain = Chain::default();
        for (leaf, (note, in_leaf)) in std::mem::take(&mut self.rotations) {
            let rotation = Rotation::open(&note).ok().filter(|rotation| rotation.old.name() == origin);
            if !rotation.is_some_and(|rotation| chain.push(rotation, in_leaf.then_some(leaf))) {
                self.tampered(
                    Some(leaf),
                    format!("leaf {leaf} changes the key, and the key before has not signed that"),
                );
            }
        }
        chain
    }

    /// Checks that the newest checkpoint is signed by the keys that are trusted, or by those that follow on them.
    pub(super) fn signed(&mut self, (origin, size): (&str, u64), note: &str, earlier: Option<&str>) {
        self.notes_beside(size);
        let chain = self.chain(origin);
        let trusted = std::mem::take(&mut self.trusted);
        for key in &trusted {
            let newest = chain.newest(key);
            match (open(note, newest), chain.retired(key)) {
                (Ok(_), _) => {}
                (Err(NoteError::Unsigned(_)), Some(Some(leaf))) => self.tampered(
                    Some(leaf),
                    format!(
                        "the checkpoint has no signature by the key that leaf {leaf} has put in the place of {key}"
                    ),
                ),
                (Err(error), _) => self.tampered(None, format!("the checkpoint: {error}")),
            }
        }
        let Some(newest) = trusted.last().map(|key| chain.newest(key).clone()) else {
            self.report.anchored = None;
            return;
        };
        let given = |key: &Verifier| self.report.key == Some(KeySource::Given) && trusted.contains(key);
        let retired = chain.before(&newest).map(|key| Retired {
            key: key.to_string(),
            leaf: chain.retired(key).flatten(),
            given: given(key),
        });
        self.report.retired = retired.collect();
        self.report.signer = Some(newest.to_string());
        let keys: Vec<_> = chain.before(&newest).chain([&newest]).collect();
        if let Some(note) = earlier
            && self.has_earlier
            && let Some(error) = unsigned(note, &keys)
        {
            self.report.anchored = None;
            self.fault(
                Integrity::Tampered,
                None,
                format!("the checkpoint that was kept elsewhere is not of the key of this log: {error}"),
            );
        }
    }
}

/// Returns why none of the keys has signed a note.
fn unsigned(note: &str, keys: &[&Verifier]) -> Option<NoteError> {
    let mut errors = Vec::new();
    for key in keys {
        match open(note, key) {
            Ok(_) => return None,
            Err(error) => errors.push(error),
        }
    }
    // A wrong signature says more than none.
    let wrong = errors.iter().position(|error| !matches!(error, NoteError::Unsigned(_)));
    errors.into_iter().nth(wrong.unwrap_or(0))
}
