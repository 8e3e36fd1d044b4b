//! Checkpoints: how many leaves a log has and the root over them (c2sp.org/tlog-checkpoint), signed with Ed25519 as a note
//! (c2sp.org/signed-note).
//!
//! Stands alone: whoever audits a ledger can read this file, `tree` and `verify`, and nothing else of the program.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::tree::Hash;

/// The longest note that is read, in octets.
pub const MAX_NOTE: usize = 64 * 1024;
/// The most signatures of a note that are looked at; the standard wants sixteen at least.
const MAX_SIGNATURES: usize = 64;
/// The octet that says Ed25519 (c2sp.org/signed-note, section "Signature types").
const ED25519: u8 = 1;
/// What a line with a signature begins with.
const DASH: &str = "\u{2014} ";

/// What a log says of itself at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log; no other log has it.
    pub origin: String,
    /// How many leaves the log has.
    pub size: u64,
    pub root: Hash,
}

/// Why a text is no checkpoint, or one that must not be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("it is no signed note (c2sp.org/signed-note)")]
    Malformed,
    #[error("it has no signature by {0}")]
    Unsigned(String),
    #[error("the signature by {0} does not fit the text")]
    WrongSignature(String),
    #[error("its text is no checkpoint (c2sp.org/tlog-checkpoint)")]
    NoCheckpoint,
}

/// A text that is no verifier line, such as `example.com/log+0a1b2c3d+AbC…`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no verifier line: NAME+HEX+BASE64 with an Ed25519 key (c2sp.org/signed-note) is expected")]
pub struct NoVerifier;

impl Checkpoint {
    /// Returns the text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Reads the text of a note. Lines behind the third are passed over.
    ///
    /// # Errors
    /// `NoteError::NoCheckpoint`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::NoCheckpoint)?.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(NoteError::NoCheckpoint);
        let (origin, size, root) = (line()?, line()?, line()?);
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: number(size).ok_or(NoteError::NoCheckpoint)?,
            root: decode(root).and_then(|root| root.try_into().ok()).ok_or(NoteError::NoCheckpoint)?,
        };
        if lines.any(str::is_empty) { Err(NoteError::NoCheckpoint) } else { Ok(checkpoint) }
    }

    /// Reads a note that `verifier` has signed.
    ///
    /// # Errors
    /// Where it is none, or not signed so.
    pub fn open(note: &str, verifier: &Verifier) -> Result<Self, NoteError> {
        Self::parse(open(note, verifier)?)
    }
}

/// Reads a number without sign or leading zeros.
pub fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// Writes octets as notes hold them (RFC 4648, section 4).
pub fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Reads octets as notes hold them; only the one text that [`encode`] writes is taken.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Returns whether a key, and so a log, may have this name.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

/// Returns the text of a note that `verifier` has signed.
///
/// # Errors
/// Where it is no note, or not signed so.
pub fn open<'a>(note: &'a str, verifier: &Verifier) -> Result<&'a str, NoteError> {
    let (text, signatures) = parts(note)?;
    let mut found = false;
    for (name, octets) in signatures {
        let (id, signature) = octets.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
        if name != verifier.name || *id != verifier.id {
            continue;
        }
        let wrong = || NoteError::WrongSignature(verifier.name.clone());
        let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
        verifier.key.verify_strict(text.as_bytes(), &signature).map_err(|_| wrong())?;
        found = true;
    }
    if found { Ok(text) } else { Err(NoteError::Unsigned(verifier.name.clone())) }
}

/// A name with the octets of a signature.
pub type Line<'a> = (&'a str, Vec<u8>);

/// Parts a note into its text and its signatures, of which none is checked.
///
/// # Errors
/// Where it is no note.
pub fn parts(note: &str) -> Result<(&str, Vec<Line<'_>>), NoteError> {
    let strange = |c: char| c < ' ' && c != '\n';
    if note.len() > MAX_NOTE || note.contains(strange) {
        return Err(NoteError::Malformed);
    }
    let at = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, signatures) = (&note[..=at], &note[at + 2..]);
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let mut lines = Vec::new();
    for line in signatures.split('\n') {
        let parts = line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).filter(|(name, _)| is_name(name));
        let (name, signature) = parts.ok_or(NoteError::Malformed)?;
        let octets = decode(signature).filter(|octets| octets.len() > 4).ok_or(NoteError::Malformed)?;
        lines.push((name, octets));
    }
    if lines.len() > MAX_SIGNATURES { Err(NoteError::Malformed) } else { Ok((text, lines)) }
}

/// A key that checks signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl Verifier {
    fn new(name: &str, key: VerifyingKey) -> Self {
        let digest = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(key.as_bytes());
        let [a, b, c, d, ..]: Hash = digest.finalize().into();
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }

    /// Returns the name of the key, which is the origin of the log that it signs.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(key))
    }
}

impl FromStr for Verifier {
    type Err = NoVerifier;

    fn from_str(text: &str) -> Result<Self, NoVerifier> {
        let (name, rest) = text.split_once('+').ok_or(NoVerifier)?;
        // The base64 may hold further plus signs.
        let (id, key) = rest.split_once('+').ok_or(NoVerifier)?;
        let key = decode(key).ok_or(NoVerifier)?;
        let key = key.strip_prefix(&[ED25519]).and_then(|key| key.try_into().ok()).ok_or(NoVerifier)?;
        let verifier = Self::new(name, VerifyingKey::from_bytes(key).map_err(|_| NoVerifier)?);
        let fits = is_name(name) && id == hex::encode(verifier.id) && !verifier.key.is_weak();
        if fits { Ok(verifier) } else { Err(NoVerifier) }
    }
}

/// A key that signs. Never shown.
pub struct Signer {
    name: String,
    key: SigningKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Signer {
    /// Returns the signer of this name, whose key comes from 32 secret octets (RFC 8032, section 5.1.5).
    pub fn new(name: &str, secret: &[u8; 32]) -> Self {
        Self { name: name.to_owned(), key: SigningKey::from_bytes(secret) }
    }

    /// Returns the key that checks what this one signs.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(&self.name, self.key.verifying_key())
    }

    /// Returns the checkpoint as a note with one signature.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        note(&checkpoint.text(), &[self])
    }

    fn line(&self, text: &str) -> String {
        let signature = [&self.verifier().id[..], &self.key.sign(text.as_bytes()).to_bytes()].concat();
        format!("{DASH}{} {}\n", self.name, STANDARD.encode(signature))
    }
}

/// Returns a text, which ends in a line feed, as a note with a signature of each signer.
pub fn note(text: &str, signers: &[&Signer]) -> String {
    let lines: String = signers.iter().map(|signer| signer.line(text)).collect();
    format!("{text}\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use signed_note::Verifier as _;

    /// The example and the key of the package golang.org/x/mod/sumdb/note.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer() -> Signer {
        Signer::new("log.example/1", &[7; 32])
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "log.example/1".to_owned(), size: 70_000, root: [9; 32] }
    }

    #[test]
    fn the_example_of_the_go_package_is_read() {
        let verifier: Verifier = KEY.parse().unwrap();
        assert_eq!(verifier.to_string(), KEY);
        let text = open(NOTE, &verifier).unwrap();
        assert!(text.starts_with("If you think") && text.ends_with("problem is.\n"), "{text}");
        assert_eq!(Checkpoint::open(NOTE, &verifier), Err(NoteError::NoCheckpoint));
        let other = NOTE.replace("your problem,", "any problem,");
        assert_eq!(open(&other, &verifier), Err(NoteError::WrongSignature("PeterNeumann".to_owned())));
        assert_eq!(open(NOTE, &signer().verifier()), Err(NoteError::Unsigned("log.example/1".to_owned())));
    }

    /// c2sp.org/tlog-checkpoint, section "Note text"; c2sp.org/signed-note asks for other signatures to be ignored.
    #[test]
    fn a_checkpoint_has_three_lines_and_may_have_more() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let read = Checkpoint::parse(text).unwrap();
        assert_eq!((read.origin.as_str(), read.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(read.text(), text);
        assert_eq!(Checkpoint::parse(&format!("{text}extension\n")), Ok(read));
        for wrong in [
            "",
            "a\n1\n",
            "a\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n+1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n18446744073709551616\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nb\n",
        ] {
            assert_eq!(Checkpoint::parse(wrong), Err(NoteError::NoCheckpoint), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_signed_is_read_with_its_key_and_by_another_program() {
        let note = signer().sign(&checkpoint());
        let verifier = signer().verifier();
        assert_eq!(Checkpoint::open(&note, &verifier), Ok(checkpoint()));
        let others = note.clone() + &note.lines().last().unwrap().replace("log.example/1", "witness.example") + "\n";
        assert_eq!(Checkpoint::open(&others, &verifier), Ok(checkpoint()));

        let theirs = signed_note::StandardVerifier::new(&verifier.to_string()).unwrap();
        assert_eq!(theirs.name(), "log.example/1");
        let list = signed_note::VerifierList::new(vec![Box::new(theirs)]);
        let read = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
        let (verified, _) = read.verify(&list).unwrap();
        assert_eq!(verified.len(), 1);
        let read = tlog_tiles::checkpoint::Checkpoint::from_bytes(read.text()).unwrap();
        assert_eq!((read.origin(), read.size(), read.hash().0), ("log.example/1", 70_000, [9; 32]));
    }

    #[test]
    fn no_other_octet_passes() {
        let note = signer().sign(&checkpoint());
        for at in 0..note.len() {
            for flip in [1, 0x20, 0x80] {
                let mut octets = note.clone().into_bytes();
                octets[at] ^= flip;
                let passes = String::from_utf8(octets).is_ok_and(|note| open(&note, &signer().verifier()).is_ok());
                assert!(!passes, "octet {at}");
            }
        }
    }

    #[test]
    fn a_verifier_line_with_a_wrong_part_is_none() {
        let line = signer().verifier().to_string();
        for wrong in
            ["", "+", "a+b+c", &line[1..], &line[..line.len() - 4], &line.replace('/', " "), &format!("{line}A")]
        {
            assert_eq!(wrong.parse::<Verifier>(), Err(NoVerifier), "{wrong}");
        }
        assert!(!format!("{:?}", signer()).contains("07"), "the key is never shown");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*", tail in "(\n|\u{2014} |[a-z+ /=]){0,40}") {
            let note = text.clone() + &tail;
            prop_assert!(open(&note, &signer().verifier()).is_err());
            let signed = format!("{text}\n\n\u{2014} log.example/1 {tail}\n");
            prop_assert!(open(&signed, &signer().verifier()).is_err());
            let _ = Checkpoint::parse(&note);
            let _ = note.parse::<Verifier>();
        }
    }
}
