//! What is submitted to a witness (c2sp.org/tlog-witness), and what is kept of its answer: read from files on disk, so that the
//! log never waits for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::place::{self, CHECKPOINT, newest};
use super::read_tile;
use crate::ledger::checkpoint::{Checkpoint, encode};
use crate::ledger::cosign::{Cosigned, Cosigner};
use crate::ledger::tree::{self, Tile};

/// The folder of a log with the checkpoints that witnesses have cosigned, each named by the identifier of the witness's key.
pub(in crate::ledger) const COSIGNED: &str = "cosigned";

/// Held while such a file is written: its draft has one name.
static WRITING: Mutex<()> = Mutex::new(());

/// A checkpoint on its way to a witness.
#[derive(Debug, Clone)]
pub struct Submission {
    folder: PathBuf,
    note: String,
    /// What is to be borne out.
    pub checkpoint: Checkpoint,
}

/// Why nothing can be submitted, or an answer not be kept.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is not what it was signed as", .0.display())]
    Unsound(PathBuf),
    #[error(
        "the witness has seen {seen} leaves of this log, and it has {size}: this is an older copy, or another log of the same name"
    )]
    Ahead { seen: u64, size: u64 },
    #[error("the answer has no cosignature of this witness's key")]
    NoCosignature(#[source] crate::ledger::checkpoint::NoteError),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl Submission {
    /// Returns the newest checkpoint in the folder of the logs; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn newest(logs: &Path) -> Result<Option<Self>, WitnessError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| WitnessError::Read { path, source }
        };
        let Some(folder) = newest(logs).map_err(read(logs))? else { return Ok(None) };
        let path = folder.join(CHECKPOINT);
        let note = match place::read_text(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            note => note.map_err(read(&path))?,
        };
        let text = note.rfind("\n\n").map(|end| &note[..=end]);
        let checkpoint = text.and_then(|text| Checkpoint::parse(text).ok()).ok_or(WitnessError::Unsound(path))?;
        Ok(Some(Self { folder, note, checkpoint }))
    }

    /// Returns the checkpoint that a witness has cosigned last, as far as it is known here.
    pub fn last(&self, witness: &Cosigner) -> Option<Cosigned> {
        let note = place::read_text(&self.folder.join(COSIGNED).join(witness.id())).ok()?;
        witness.open(&note).ok().filter(|of| of.checkpoint.origin == self.checkpoint.origin)
    }

    /// Returns the request for a witness that has cosigned `old` leaves: the proof that the log only grew, and the checkpoint.
    ///
    /// # Errors
    /// Where there are fewer leaves, or a tile cannot be read.
    pub fn request(&self, old: u64) -> Result<String, WitnessError> {
        let size = self.checkpoint.size;
        if old > size {
            return Err(WitnessError::Ahead { seen: old, size });
        }
        let tile = |tile: Tile| read_tile(&self.folder, tile).ok_or(());
        let proof = tree::Reader::new(size, tile).consistency(old);
        let proof = proof.map_err(|_| WitnessError::Unsound(self.folder.clone()))?;
        let mut request = format!("old {old}\n");
        for hash in proof {
            let _ = writeln!(request, "{}", encode(&hash));
        }
        Ok(format!("{request}\n{}", self.note))
    }

    /// Checks the answer of a witness, and keeps its cosignature beside the log. Signatures by other keys are passed over.
    ///
    /// # Errors
    /// Where there is none, or it cannot be written.
    pub fn keep(&self, witness: &Cosigner, answer: &str) -> Result<Cosigned, WitnessError> {
        let prefix = format!("\u{2014} {} ", witness.name());
        let own: String =
            answer.lines().filter(|line| line.starts_with(&prefix)).take(8).map(|line| format!("{line}\n")).collect();
        let note = format!("{}{own}", self.note);
        let cosigned = witness.open(&note).map_err(WitnessError::NoCosignature)?;
        let folder = self.folder.join(COSIGNED);
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        place::put(&folder, &witness.id(), note.as_bytes())
            .map_err(|source| WitnessError::Write { path: folder.join(witness.id()), source })?;
        Ok(cosigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::cosign::tests::{cosigner, line};
    use crate::ledger::evidence::{entries, forge, log_of, made};
    use crate::ledger::tree::{leaf_hash, proves_consistency};
    use crate::ledger::verify::{Against, Integrity, verify};

    const TIME: u64 = 1_790_000_000;

    #[test]
    fn a_request_proves_what_was_cosigned_and_its_answer_anchors_the_log() {
        let data = made(300);
        let log = log_of(&data, 1);
        let newest = Submission::newest(&data.path().join("ledger")).unwrap().unwrap();
        let Checkpoint { size, root, .. } = newest.checkpoint.clone();
        for old in [0, 1, 255, 256, 257, size] {
            let request = newest.request(old).unwrap();
            let (head, note) = request.split_once("\n\n").unwrap();
            let mut lines = head.lines();
            assert_eq!(lines.next().unwrap(), format!("old {old}"));
            let proof: Vec<_> =
                lines.map(|line| crate::ledger::checkpoint::decode(line).unwrap().try_into().unwrap()).collect();
            assert_eq!(note, newest.note);
            let mut edge = tree::Edge::default();
            entries(&log).iter().take(old as usize).for_each(|entry| edge.push(leaf_hash(entry), |_, _| {}));
            // By the standard, a witness that has seen nothing gets an empty proof.
            assert!(if old == 0 {
                proof.is_empty()
            } else {
                proves_consistency(&proof, (&edge.root(), old), (&root, size))
            });
        }
        assert!(matches!(newest.request(size + 1), Err(WitnessError::Ahead { .. })));

        let witness = cosigner(1);
        let text = newest.checkpoint.text();
        let other = line(2, &text, TIME);
        for wrong in
            ["", &other, &line(1, "log.example/node/1\n7\n", TIME), "\u{2014} witness.example/w1 AAAA\n", "<html>"]
        {
            assert!(newest.keep(&witness, wrong).is_err(), "{wrong}");
            assert_eq!(newest.last(&witness), None);
        }
        let cosigned = newest.keep(&witness, &(other + &line(1, &text, TIME))).unwrap();
        assert_eq!((&cosigned.checkpoint, cosigned.at), (&newest.checkpoint, TIME as i64));
        assert_eq!(newest.last(&witness), Some(cosigned));

        let by = |of: Cosigner| verify(&log, Against { witnesses: &[of], ..Against::default() });
        let report = by(witness.clone());
        assert_eq!((report.integrity, report.witnessed[0].leaves), (Integrity::Intact, size), "{report:?}");
        assert_eq!(report.witnessed[0].at.as_second(), TIME as i64);
        assert_eq!(by(cosigner(2)).witnessed, [], "a witness that nobody trusts bears nothing out");

        // Whoever holds the key of the log writes another one of the same name.
        let secret = std::fs::read_to_string(data.path().join("keys/ledger.key")).unwrap();
        let signer = crate::ledger::checkpoint::Signer::new(
            "log.example/node/1",
            &hex::decode(secret.trim_end()).unwrap().try_into().unwrap(),
        );
        let kept = std::fs::read(log.join(COSIGNED).join(witness.id())).unwrap();
        let mut leaves = entries(&log);
        leaves[3] = leaves[4].clone();
        for (leaves, worst) in [(leaves.clone(), Integrity::Tampered), (leaves[5..100].to_vec(), Integrity::Incomplete)]
        {
            forge(&log, &leaves, &signer);
            std::fs::create_dir(log.join(COSIGNED)).unwrap();
            std::fs::write(log.join(COSIGNED).join(witness.id()), &kept).unwrap();
            let report = by(witness.clone());
            assert!(report.integrity >= worst && report.witnessed.is_empty(), "{report:?}");
        }
    }
}
