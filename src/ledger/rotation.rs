//! A change of the key of a log: a note that the key before and the key after have both signed (c2sp.org/signed-note).
//!
//! Stands alone: whoever audits a ledger can read this file with `checkpoint`, `tree` and `verify`.

use super::checkpoint::{NoteError, Signer, Verifier, note, open};

/// The first line, by which the note is no checkpoint: the second line of a checkpoint is a number.
const FIRST_LINE: &str = "interdict/key-rotation/v1";

/// From a leaf on, checkpoints are signed with another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key that is retired.
    pub old: Verifier,
    /// The key that every later checkpoint has a signature of.
    pub new: Verifier,
}

/// Why a note changes no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    #[error("it names no two keys of one log")]
    Malformed,
    #[error("not both keys have signed it")]
    Unsigned(#[source] NoteError),
}

impl Rotation {
    /// Returns the note by which `old` gives way to `new`, signed by both. Both are to have the name of the log.
    pub fn sign(old: &Signer, new: &Signer) -> String {
        let text = format!("{FIRST_LINE}\nold {}\nnew {}\n", old.verifier(), new.verifier());
        note(&text, &[old, new])
    }

    /// Reads such a note and checks both signatures. The old key is as trusted as whoever reads it trusts it.
    ///
    /// # Errors
    /// Where it is none, or a signature is missing or wrong.
    pub fn open(text: &str) -> Result<Self, RotationError> {
        let parse = || {
            let mut lines = text.lines();
            (lines.next()? == FIRST_LINE).then_some(())?;
            let old: Verifier = lines.next()?.strip_prefix("old ")?.parse().ok()?;
            let new: Verifier = lines.next()?.strip_prefix("new ")?.parse().ok()?;
            let whole = lines.next()?.is_empty() && old.name() == new.name() && old != new;
            whole.then_some(Self { old, new })
        };
        let rotation = parse().ok_or(RotationError::Malformed)?;
        for key in [&rotation.old, &rotation.new] {
            open(text, key).map_err(RotationError::Unsigned)?;
        }
        Ok(rotation)
    }
}

/// The keys that a log was signed with, the first one first, each retired by the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// With the leaf that says so, where it is there.
    links: Vec<(Rotation, Option<u64>)>,
}

impl Chain {
    /// Takes in the next change of key; returns whether it follows on the one before. One that is known already is passed over.
    pub fn push(&mut self, rotation: Rotation, leaf: Option<u64>) -> bool {
        if let Some((_, of)) = self.links.iter_mut().find(|(known, _)| *known == rotation) {
            *of = of.or(leaf);
            return true;
        }
        if self.links.last().is_some_and(|(last, _)| last.new != rotation.old) {
            return false;
        }
        self.links.push((rotation, leaf));
        true
    }

    /// Returns the key that checkpoints are signed with now, where it was `key` once.
    pub fn newest<'a>(&'a self, key: &'a Verifier) -> &'a Verifier {
        let follows = self.links.iter().any(|(link, _)| link.old == *key);
        self.links.last().filter(|_| follows).map_or(key, |(last, _)| &last.new)
    }

    /// Returns the leaf that retires a key: `None` where nothing does, `Some(None)` where the leaf is not there any more.
    pub fn retired(&self, key: &Verifier) -> Option<Option<u64>> {
        self.links.iter().find(|(link, _)| link.old == *key).map(|(_, leaf)| *leaf)
    }

    /// Returns the keys before `key`, the first one first.
    pub fn before<'a>(&'a self, key: &Verifier) -> impl Iterator<Item = &'a Verifier> {
        let length = self.links.iter().position(|(link, _)| link.new == *key).map_or(0, |place| place + 1);
        self.links[..length].iter().map(|(link, _)| &link.old)
    }

    /// Returns whether no key was ever changed.
    pub const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::Checkpoint;
    use super::*;

    const LOG: &str = "log.example/node/1";

    fn key(of: u8) -> Signer {
        Signer::new(LOG, &[of; 32])
    }

    #[test]
    fn only_a_note_of_both_keys_changes_the_key() {
        let note = Rotation::sign(&key(1), &key(2));
        let rotation = Rotation::open(&note).unwrap();
        assert_eq!((rotation.old, rotation.new), (key(1).verifier(), key(2).verifier()));
        let (text, lines) = note.split_once("\n\n").unwrap();
        for line in lines.lines() {
            let one = format!("{text}\n\n{line}\n");
            assert!(matches!(Rotation::open(&one), Err(RotationError::Unsigned(_))), "{one}");
        }
        let third = note.replace(&key(2).verifier().to_string(), &key(3).verifier().to_string());
        assert!(Rotation::open(&third).is_err());
        let elsewhere = Rotation::sign(&key(1), &Signer::new("log.example/other/1", &[2; 32]));
        assert_eq!(Rotation::open(&elsewhere), Err(RotationError::Malformed));
        assert_eq!(Rotation::open(&Rotation::sign(&key(1), &key(1))), Err(RotationError::Malformed));
        assert!(Checkpoint::open(&note, &key(1).verifier()).is_err(), "it is no checkpoint");
        for at in (0..note.len()).filter(|at| note.is_char_boundary(*at)) {
            assert!(Rotation::open(&note[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_chain_leads_from_every_key_to_the_newest() {
        let link = |old, new| Rotation::open(&Rotation::sign(&key(old), &key(new))).unwrap();
        let mut chain = Chain::default();
        assert!(chain.push(link(1, 2), None) && chain.push(link(2, 3), Some(9)) && chain.push(link(1, 2), Some(4)));
        assert!(!chain.push(link(2, 4), Some(10)), "a retired key names another");
        let newest = key(3).verifier();
        for of in [1, 2, 3] {
            assert_eq!(chain.newest(&key(of).verifier()), &newest);
        }
        assert_eq!(chain.newest(&key(4).verifier()), &key(4).verifier());
        assert_eq!(chain.retired(&key(1).verifier()), Some(Some(4)));
        assert_eq!(chain.retired(&newest), None);
        assert_eq!(chain.before(&newest).count(), 2);
        assert_eq!(chain.before(&key(1).verifier()).count(), 0);
    }
}
