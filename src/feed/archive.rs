//! What a snapshot was made from, kept under its digest, so that a decision can be replayed years later.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::choices::Choices;
use super::fault::Fault;
use super::fetched::FETCHED;
use super::files::{Document, Kind};
use crate::policy::{Operator, Snapshot};

/// The version of the archive's own form.
const VERSION: u32 = 1;

/// The texts of catalogues and orders, and the operator's choices: all that a decision depends on, but name, client and
/// instant. Where the files lay is not part of it, so that the same policy has the same digest everywhere.
#[derive(Debug, Clone)]
pub struct Archive {
    documents: Vec<Document>,
    operator: Operator,
}

/// Why an archive cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot write the policy archive {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read the policy archive {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the policy archive {} was changed: its digest is another", path.display())]
    Digest { path: PathBuf },
    #[error("this is not a policy archive")]
    Form(#[from] serde_json::Error),
    #[error("the policy archive holds choices that cannot be: {0}")]
    Choices(String),
    #[error("the policy archive has version {0}; this program reads version 1")]
    Version(u32),
}

impl Archive {
    pub(super) const fn new(documents: Vec<Document>, operator: Operator) -> Self {
        Self { documents, operator }
    }

    /// Returns the documents: catalogues and orders, in the order in which they decide.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Returns the operator's choices.
    pub const fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Compiles the documents and choices. `number` is unique in this process.
    ///
    /// # Errors
    /// Every fault of every document, and every contradiction between them.
    pub fn compile(&self, number: u64) -> Result<Snapshot, Vec<Fault>> {
        super::compile::compile(self, number)
    }

    /// Returns the archive in canonical JSON (RFC 8785).
    pub fn to_json(&self) -> String {
        let texts =
            self.documents.iter().map(|document| Text { kind: document.kind.into(), text: document.text.clone() });
        let form = Form { documents: texts.collect(), operator: Choices::from(&self.operator), version: VERSION };
        serde_json::to_string(&form).expect("texts, whole numbers and lists of them are always JSON")
    }

    /// Returns the SHA-256 of the canonical JSON, which records carry.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_json()).into()
    }

    /// Reads what [`Archive::to_json`] wrote. Faults of its documents call them `archive:1` and so on.
    ///
    /// # Errors
    /// `Form`, `Choices` or `Version` where it is not an archive that this program reads.
    pub fn from_json(json: &str) -> Result<Self, ArchiveError> {
        let Form { documents, operator, version } = serde_json::from_str(json)?;
        if version != VERSION {
            return Err(ArchiveError::Version(version));
        }
        let documents = documents.into_iter().enumerate().map(|(at, of)| Document {
            kind: of.kind.into(),
            path: format!("archive:{}", at + 1),
            text: of.text,
        });
        let operator = Operator::try_from(operator).map_err(ArchiveError::Choices)?;
        Ok(Self { documents: documents.collect(), operator })
    }

    /// Returns the same documents with other choices of the operator.
    pub fn with_operator(&self, operator: Operator) -> Self {
        Self { documents: self.documents.clone(), operator }
    }

    /// Returns the same choices of the operator over the same documents, with these in place of the fetched ones.
    pub fn with_fetched(&self, fetched: Vec<Document>) -> Self {
        let others = self.documents.iter().filter(|document| !document.path.starts_with(FETCHED)).cloned();
        Self { documents: others.chain(fetched).collect(), operator: self.operator.clone() }
    }

    /// Keeps the archive as `DIGEST.json` in `folder`, which is made where it is absent. An archive that is already
    /// there and whole is left alone, but for the time of its file. When this returns, the archive survives a loss of power.
    ///
    /// # Errors
    /// `Write` where the folder or file cannot be written.
    pub fn store(&self, folder: &Path) -> Result<PathBuf, ArchiveError> {
        let json = self.to_json();
        let digest: [u8; 32] = Sha256::digest(&json).into();
        let path = folder.join(file_name(&digest));
        if fs::read(&path).is_ok_and(|present| present == json.as_bytes()) {
            // By that it is told how long ago it was used.
            let used =
                File::open(&path).and_then(|file| Ok(futimens(file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)?));
            return used.map(|()| path.clone()).map_err(|source| ArchiveError::Write { path, source });
        }
        match write(folder, &path, json.as_bytes()) {
            Ok(()) => Ok(path),
            Err(source) => Err(ArchiveError::Write { path, source }),
        }
    }

    /// Returns the digests of the archives in `folder`, in hexadecimal, each with the time of its file: when it was kept
    /// last.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn list(folder: &Path) -> io::Result<Vec<(String, Timestamp)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".json"));
            let is_digest =
                |text: &&str| text.len() == 64 && text.bytes().all(|of| matches!(of, b'0'..=b'9' | b'a'..=b'f'));
            let Some(digest) = digest.filter(is_digest) else { continue };
            let at = Timestamp::try_from(entry.metadata()?.modified()?).map_err(io::Error::other)?;
            found.push((digest.to_owned(), at));
        }
        Ok(found)
    }

    /// Reads the archive with this digest from `folder`.
    ///
    /// # Errors
    /// `Read` where there is none, `Digest` where it was changed, and those of [`Archive::from_json`].
    pub fn open(folder: &Path, digest: &[u8; 32]) -> Result<Self, ArchiveError> {
        let path = folder.join(file_name(digest));
        let octets = match fs::read(&path) {
            Ok(octets) => octets,
            Err(source) => return Err(ArchiveError::Read { path, source }),
        };
        if <[u8; 32]>::from(Sha256::digest(&octets)) != *digest {
            return Err(ArchiveError::Digest { path });
        }
        match String::from_utf8(octets) {
            Ok(json) => Self::from_json(&json),
            Err(error) => Err(ArchiveError::Read { path, source: io::Error::new(io::ErrorKind::InvalidData, error) }),
        }
    }
}

fn file_name(digest: &[u8; 32]) -> String {
    format!("{}.json", hex::encode(digest))
}

/// Writes beside the target and renames, so that a reader finds the whole archive or none.
fn write(folder: &Path, path: &Path, octets: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = File::create(&beside)?;
    let written = file.write_all(octets).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // Not much is lost if this fails too: the next attempt of this process writes over it.
        let _ = fs::remove_file(&beside);
    }
    written?;
    File::open(folder)?.sync_all()
}

// The form on disk, apart from the types of `policy`, so that a change there cannot change old digests unseen.
// Canonical JSON sorts keys: fields stand in alphabetical order here, and a test compares with another implementation.

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    documents: Vec<Text>,
    operator: Choices,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    kind: Word,
    text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Catalogue,
    Order,
}

impl From<Kind> for Word {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Catalogue => Self::Catalogue,
            Kind::Order => Self::Order,
        }
    }
}

impl From<Word> for Kind {
    fn from(word: Word) -> Self {
        match word {
            Word::Catalogue => Self::Catalogue,
            Word::Order => Self::Order,
        }
    }
}
