//! Cosignatures: what a witness has signed of a checkpoint of somebody else's log, and when (c2sp.org/tlog-cosignature, Ed25519).
//!
//! Stands alone: whoever audits a ledger can read this file with `checkpoint`, `tree` and `verify`.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::checkpoint::{Checkpoint, NoVerifier, NoteError, decode, encode, is_name, parts};
use super::tree::Hash;

/// The octet that says a cosignature with a time by Ed25519.
const COSIGNATURE: u8 = 4;

/// The key that checks the cosignatures of a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

/// What a witness has borne out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    pub checkpoint: Checkpoint,
    /// When, in seconds since 1970, by the clock of the witness.
    pub at: i64,
}

impl Cosigner {
    fn new(name: &str, key: VerifyingKey) -> Self {
        let digest = Sha256::new().chain_update(name).chain_update([b'\n', COSIGNATURE]).chain_update(key.as_bytes());
        let [a, b, c, d, ..]: Hash = digest.finalize().into();
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }

    /// Returns the name of the witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the identifier of the key in hexadecimal digits, by which files are named.
    pub fn id(&self) -> String {
        hex::encode(self.id)
    }

    /// Returns the checkpoint of a note and when the witness has signed it, the earliest time where it has more than once.
    ///
    /// # Errors
    /// Where it is no checkpoint, or not signed so.
    pub fn open(&self, note: &str) -> Result<Cosigned, NoteError> {
        let (text, signatures) = parts(note)?;
        let mut at: Option<i64> = None;
        for (name, octets) in signatures {
            let wrong = || NoteError::WrongSignature(self.name.clone());
            let (id, rest) = octets.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
            if name != self.name || *id != self.id {
                continue;
            }
            let (time, signature) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
            let time = i64::try_from(u64::from_be_bytes(*time)).ok().filter(|time| *time > 0).ok_or_else(wrong)?;
            let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
            let message = format!("cosignature/v1\ntime {time}\n{text}");
            self.key.verify_strict(message.as_bytes(), &signature).map_err(|_| wrong())?;
            at = Some(at.map_or(time, |before| before.min(time)));
        }
        let at = at.ok_or_else(|| NoteError::Unsigned(self.name.clone()))?;
        Ok(Cosigned { checkpoint: Checkpoint::parse(text)?, at })
    }
}

impl fmt::Display for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[COSIGNATURE], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id(), encode(&key))
    }
}

impl FromStr for Cosigner {
    type Err = NoVerifier;

    fn from_str(text: &str) -> Result<Self, NoVerifier> {
        let (name, rest) = text.split_once('+').ok_or(NoVerifier)?;
        let (id, key) = rest.split_once('+').ok_or(NoVerifier)?;
        let key = decode(key).ok_or(NoVerifier)?;
        let key = key.strip_prefix(&[COSIGNATURE]).and_then(|key| key.try_into().ok()).ok_or(NoVerifier)?;
        let cosigner = Self::new(name, VerifyingKey::from_bytes(key).map_err(|_| NoVerifier)?);
        let fits = is_name(name) && id == cosigner.id() && !cosigner.key.is_weak();
        if fits { Ok(cosigner) } else { Err(NoVerifier) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    /// A witness that signs everything.
    pub(in crate::ledger) fn cosigner(of: u8) -> Cosigner {
        Cosigner::new("witness.example/w1", SigningKey::from_bytes(&[of; 32]).verifying_key())
    }

    pub(in crate::ledger) fn line(of: u8, text: &str, time: u64) -> String {
        let key = SigningKey::from_bytes(&[of; 32]);
        let signature = key.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
        let octets = [&cosigner(of).id[..], &time.to_be_bytes(), &signature.to_bytes()].concat();
        format!("\u{2014} witness.example/w1 {}\n", encode(&octets))
    }

    #[test]
    fn a_cosignature_is_of_one_text_one_time_and_one_key() {
        let checkpoint = Checkpoint { origin: "log.example/1".to_owned(), size: 7, root: [9; 32] };
        let text = checkpoint.text();
        let note = format!("{text}\n{}", line(1, &text, 1_679_315_147));
        assert_eq!(cosigner(1).open(&note), Ok(Cosigned { checkpoint, at: 1_679_315_147 }));
        assert!(matches!(cosigner(2).open(&note), Err(NoteError::Unsigned(_))));
        assert!(cosigner(1).open(&note.replace("\n7\n", "\n8\n")).is_err());
        assert!(
            cosigner(1).open(&format!("{text}\n{}", line(1, &text, 0))).is_err(),
            "one without a time says nothing"
        );
        for at in 0..note.len() {
            let mut octets = note.clone().into_bytes();
            octets[at] ^= 1;
            let passes = String::from_utf8(octets).is_ok_and(|note| cosigner(1).open(&note).is_ok());
            assert!(!passes, "octet {at}");
        }
    }

    /// c2sp.org/tlog-cosignature: the example has no public key with it; the identifier is that of the type.
    #[test]
    fn a_key_of_another_type_is_none_of_a_witness() {
        let line = cosigner(1).to_string();
        assert_eq!(line.parse(), Ok(cosigner(1)));
        let signer = super::super::checkpoint::Signer::new("witness.example/w1", &[1; 32]).verifier().to_string();
        for wrong in [signer.as_str(), &line[1..], "", &line.replace("w1", "w2")] {
            assert_eq!(wrong.parse::<Cosigner>(), Err(NoVerifier), "{wrong}");
        }
    }
}
