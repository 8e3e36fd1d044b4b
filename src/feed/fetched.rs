//! Catalogues and orders that are fetched: which of them are in force, and which wait to be.
//!
//! What comes is kept beside what is in force, and changes nothing until it is put there, all of it at once: an order may need the
//! catalogue that comes with it. Versions only go up, so that nobody who keeps an old file brings back what it did not prohibit.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::compile;
use super::fault::Fault;
use super::files::{Document, Kind, read_text};

/// What the paths of fetched documents begin with, as people see them.
pub(super) const FETCHED: &str = "fetched:";
/// The largest file of what is in force, in octets.
const MAX_ACTIVE: u64 = 256 << 20;

/// The fetched documents that a configuration names, and where they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// The file of those in force.
    pub active: PathBuf,
    /// In the order in which they decide.
    pub items: Vec<Item>,
}

/// A document that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub name: String,
    pub kind: Kind,
    /// The file as it came last.
    pub file: PathBuf,
    /// Whether it is put in force without anybody's doing.
    pub automatic: bool,
}

/// The fetched documents in force, by name. One file holds them all, so that they change together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Active {
    documents: BTreeMap<String, InForce>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InForce {
    kind: String,
    version: u64,
    text: String,
}

/// A document that came and is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct News {
    pub name: String,
    pub kind: &'static str,
    pub version: u64,
    /// The version in force; none where none is.
    pub before: Option<u64>,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
}

/// Documents that wait, and what would be in force with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub news: Vec<News>,
    next: Active,
}

/// Why a document that came is not kept.
#[derive(Debug, thiserror::Error)]
pub enum Unwanted {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<Fault>),
    #[error("it has version {version}, and version {newest} was here already; versions only go up")]
    Older { version: u64, newest: u64 },
    #[error("it has version {0} like the one that is here, and says something else; a change needs a higher version")]
    SameVersion(u64),
}

/// Reads a document as far as it can be read by itself, and returns its version.
///
/// # Errors
/// Every fault of it; that it has no version is one.
fn version(document: &Document) -> Result<u64, Vec<Fault>> {
    match compile::version(document)? {
        Some(version) => Ok(version),
        None => {
            let remedy = "let its publisher add `version = 1`, and count up with each change";
            Err(vec![Fault::of(&document.path, "a fetched file needs a `version`", remedy)])
        }
    }
}

impl Shelf {
    /// Returns the documents in force that the configuration names, in its order.
    ///
    /// # Errors
    /// Where the file of them cannot be read.
    pub fn documents(&self) -> Result<Vec<Document>, Vec<Fault>> {
        if self.items.is_empty() {
            return Ok(Vec::new());
        }
        Ok(Active::read(&self.active).map_err(|fault| vec![fault])?.documents(self))
    }

    /// Returns the names of documents that are not in force yet in any version.
    pub fn missing(&self) -> Vec<&str> {
        let active = Active::read(&self.active).unwrap_or_default();
        let missing = self.items.iter().filter(|item| active.find(item).is_none());
        missing.map(|item| item.name.as_str()).collect()
    }

    /// Judges a document that came for `item`.
    ///
    /// # Errors
    /// Why it is not to be kept.
    pub fn judge(&self, item: &Item, text: &str) -> Result<News, Unwanted> {
        let document = item.document(text.to_owned());
        let version = version(&document).map_err(Unwanted::Faults)?;
        let active = Active::read(&self.active).map_err(|fault| Unwanted::Faults(vec![fault]))?;
        let in_force = active.find(item).map(|of| (of.version, of.text.clone()));
        let waiting = item.waiting();
        if let Some((newest, _)) = in_force.iter().chain(&waiting).find(|(newest, _)| version < *newest) {
            return Err(Unwanted::Older { version, newest: *newest });
        }
        // What was never in force may be corrected under the same version.
        if in_force.as_ref().is_some_and(|(newest, known)| version == *newest && known != text) {
            return Err(Unwanted::SameVersion(version));
        }
        Ok(News::new(item, version, in_force.map(|(version, _)| version), text))
    }

    /// Returns what waits among the items that `wanted` takes.
    ///
    /// # Errors
    /// Where the file of those in force cannot be read.
    pub fn pending(&self, wanted: impl Fn(&Item) -> bool) -> Result<Pending, Fault> {
        let mut next = Active::read(&self.active)?;
        let mut news = Vec::new();
        for item in self.items.iter().filter(|item| wanted(item)) {
            let before = next.find(item).map(|of| of.version);
            let Some((version, text)) = item.waiting() else { continue };
            if before.is_some_and(|before| version <= before) {
                continue;
            }
            news.push(News::new(item, version, before, &text));
            let in_force = InForce { kind: item.kind.as_str().to_owned(), version, text };
            next.documents.insert(item.name.clone(), in_force);
        }
        Ok(Pending { news, next })
    }
}

impl Item {
    fn document(&self, text: String) -> Document {
        Document { kind: self.kind, path: format!("{FETCHED}{}", self.name), text }
    }

    /// Returns the document that came last, with its version. It was judged when it came; one that was changed since and
    /// cannot be read is none.
    fn waiting(&self) -> Option<(u64, String)> {
        let document = self.document(read_text(&self.file).ok()?);
        Some((version(&document).ok()?, document.text))
    }
}

impl News {
    fn new(item: &Item, version: u64, before: Option<u64>, text: &str) -> Self {
        let digest = hex::encode(Sha256::digest(text));
        Self { name: item.name.clone(), kind: item.kind.as_str(), version, before, digest }
    }

    /// Says it in words.
    pub fn words(&self) -> String {
        let Self { name, kind, version, before, digest } = self;
        let before = before.map_or("none".to_owned(), |before| before.to_string());
        format!("{kind} {name}: version {version}, before {before}; SHA-256 {digest}")
    }
}

impl Pending {
    /// Returns the documents that would be in force, in the order of the configuration.
    pub fn documents(&self, shelf: &Shelf) -> Vec<Document> {
        self.next.documents(shelf)
    }

    /// Returns what tells this from any other set of documents, in hexadecimal digits.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(serde_json::to_vec(&self.next).unwrap_or_default()))
    }

    /// Puts the documents in force for whoever loads them from now on.
    ///
    /// # Errors
    /// Where the disk does not take them.
    pub fn store(&self, shelf: &Shelf) -> io::Result<()> {
        self.next.write(&shelf.active)
    }
}

impl Active {
    /// Where there is no file, nothing is in force.
    fn read(path: &Path) -> Result<Self, Fault> {
        let remedy = "restore it, or delete it and have the files fetched and put in force anew";
        let fault = |what: String| Fault::of(&path.display().to_string(), what, remedy);
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(metadata) if !metadata.is_file() || metadata.len() > MAX_ACTIVE => {
                return Err(fault("this is no file of fetched documents".to_owned()));
            }
            Ok(_) | Err(_) => {}
        }
        let octets = fs::read(path).map_err(|error| fault(format!("the file cannot be read: {error}")))?;
        serde_json::from_slice(&octets).map_err(|error| fault(format!("the file is damaged: {error}")))
    }

    fn find(&self, item: &Item) -> Option<&InForce> {
        self.documents.get(&item.name).filter(|of| of.kind == item.kind.as_str())
    }

    fn documents(&self, shelf: &Shelf) -> Vec<Document> {
        let of = |item: &Item| Some(item.document(self.find(item)?.text.clone()));
        shelf.items.iter().filter_map(of).collect()
    }

    /// Writes beside the target and renames, so that a start finds all of the documents or those before.
    fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOGUE: &str = include_str!("../../tests/scenarios/policy/acme.toml");

    fn text(version: u64, more: &str) -> String {
        format!("version = {version}\n{CATALOGUE}{more}")
    }

    #[test]
    fn versions_go_up_and_what_waits_is_not_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("acme.fetched");
        let item = Item { name: "acme".to_owned(), kind: Kind::Catalogue, file: file.clone(), automatic: false };
        let active = folder.path().join("active.json");
        let shelf = Shelf { active: active.clone(), items: vec![item.clone()] };
        let judged = |text: &str| shelf.judge(&item, text).map(|news| (news.version, news.before));
        assert!(
            matches!(judged(CATALOGUE), Err(Unwanted::Faults(faults)) if faults[0].to_string().contains("version"))
        );
        assert!(matches!(judged(&text(1, "nonsense = 1\n")), Err(Unwanted::Faults(_))));
        assert_eq!(judged(&text(2, "")).unwrap(), (2, None));
        fs::write(&file, text(2, "")).unwrap();
        assert!(shelf.documents().unwrap().is_empty() && shelf.missing() == ["acme"]);
        let pending = shelf.pending(|_| true).unwrap();
        assert_eq!((pending.news.len(), pending.documents(&shelf)[0].text.as_str()), (1, text(2, "").as_str()));
        assert!(shelf.pending(|item| item.automatic).unwrap().news.is_empty());
        pending.store(&shelf).unwrap();
        assert_eq!(shelf.documents().unwrap()[0].path, "fetched:acme");
        assert!(shelf.pending(|_| true).unwrap().news.is_empty() && shelf.missing().is_empty());
        assert_eq!(judged(&text(2, "")).unwrap(), (2, Some(2)));
        assert!(matches!(judged(&text(2, "# else\n")), Err(Unwanted::SameVersion(2))));
        assert!(matches!(judged(&text(1, "")), Err(Unwanted::Older { version: 1, newest: 2 })));
        // Not even one that lies where the newest should be.
        fs::write(&file, text(1, "")).unwrap();
        assert!(shelf.pending(|_| true).unwrap().news.is_empty());
        assert_eq!(judged(&text(3, "")).unwrap(), (3, Some(2)));
        fs::write(&active, "{").unwrap();
        assert!(shelf.documents().unwrap_err()[0].to_string().contains("damaged"));
    }
}
