//! What witnesses bear out: checkpoints of the log that they have cosigned.

use jiff::Timestamp;
use serde::Serialize;

use super::Walk;
use crate::ledger::checkpoint::{Checkpoint, NoteError};
use crate::ledger::cosign::{Cosigned, Cosigner};

/// The folder of the checkpoints that witnesses have cosigned.
const COSIGNED: &str = "cosigned";

/// A checkpoint that a trusted witness has cosigned, and that the log continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witnessed {
    pub witness: String,
    /// How many leaves it tells of: those are as they were when the witness signed.
    pub leaves: u64,
    /// When it did, by its own clock.
    pub at: Timestamp,
}

impl Walk {
    /// Reads what trusted witnesses have cosigned: beside the log, in its checkpoint, and in the one that was kept elsewhere.
    pub(super) fn cosigned(&mut self, witnesses: &[Cosigner], head: &Checkpoint, notes: [Option<&str>; 2]) {
        for witness in witnesses {
            let beside = self.files.text(&format!("{COSIGNED}/{}", witness.id()));
            for note in beside.as_deref().into_iter().chain(notes.into_iter().flatten()) {
                match witness.open(note) {
                    Ok(cosigned) => self.take_cosigned(witness, cosigned, head),
                    // Nobody says that each note is cosigned.
                    Err(NoteError::Unsigned(_)) => {}
                    Err(error) => self.tampered(None, format!("a checkpoint that is to be cosigned: {error}")),
                }
            }
        }
    }

    fn take_cosigned(&mut self, witness: &Cosigner, cosigned: Cosigned, head: &Checkpoint) {
        let Cosigned { checkpoint, at } = cosigned;
        if checkpoint.origin != head.origin {
            return;
        }
        let name = witness.name();
        if checkpoint.size > head.size {
            let text = format!(
                "{name} has cosigned {} leaves, and {} are here: the end was cut off, or this copy is older",
                checkpoint.size, head.size
            );
            return self.incomplete(Some(head.size), text);
        }
        if let Ok(at) = Timestamp::from_second(at) {
            self.awaited.push((checkpoint, Witnessed { witness: name.to_owned(), leaves: 0, at }));
        }
    }

    /// Compares the tree so far with those cosigned checkpoints that are of its size.
    pub(super) fn compare_cosigned(&mut self) {
        let size = self.edge.size();
        for (checkpoint, witnessed) in
            self.awaited.extract_if(.., |(checkpoint, _)| checkpoint.size == size).collect::<Vec<_>>()
        {
            if checkpoint.root != self.edge.root() {
                let text = format!("the first {size} leaves are not those that {} has cosigned", witnessed.witness);
                self.tampered(None, text);
                continue;
            }
            let known = self.report.witnessed.iter().position(|of| of.witness == witnessed.witness);
            // Of several by one witness the largest says the most, and they come in that sequence.
            known.map(|place| self.report.witnessed.remove(place));
            self.report.witnessed.push(Witnessed { leaves: size, ..witnessed });
        }
    }
}
