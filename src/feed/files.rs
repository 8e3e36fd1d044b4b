//! From what an operator chooses to the texts of files.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::fault::{Choice, Fault};
use super::shipped;

/// The largest file that is read, in octets.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What a file says, as its key `kind` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Which names belong to which service.
    Catalogue,
    /// What is prohibited from when on.
    Order,
}

impl Kind {
    /// Returns the word that files use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Order => "order",
        }
    }

    /// Returns the files of this kind that the program carries.
    pub(super) const fn shipped(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Catalogue => shipped::CATALOGUES,
            Self::Order => shipped::ORDERS,
        }
    }

    /// Returns what the program carries of this kind besides: a network's own measures, which are no law.
    pub(super) const fn measures(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Catalogue => shipped::MEASURE_CATALOGUES,
            Self::Order => shipped::MEASURES,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text of one catalogue or order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it was chosen as.
    pub kind: Kind,
    /// As shown to people: a path, or `shipped:NAME` for what the program carries.
    pub path: String,
    pub text: String,
}

/// Which catalogues and orders an operator chooses, in the order in which they decide between equal verdicts.
///
/// Each item is the name of one that the program carries, a file, or a folder, which stands for its `*.toml` files by
/// name. Where a file has the name of a shipped one, `./NAME` chooses the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub catalogues: Vec<String>,
    pub orders: Vec<String>,
}

impl Default for Selection {
    /// Every catalogue that the program carries for a legal act, and those of its orders that apply unless others are chosen.
    fn default() -> Self {
        let catalogues = Self::shipped(Kind::Catalogue).map(str::to_owned).collect();
        Self { catalogues, orders: shipped::DEFAULT_ORDERS.iter().map(|name| (*name).to_owned()).collect() }
    }
}

impl Selection {
    /// Returns the names of the files of this kind that the program carries, measures that are no law left out.
    pub fn shipped(kind: Kind) -> impl Iterator<Item = &'static str> {
        kind.shipped().iter().map(|(name, _)| *name)
    }
}

/// Reads the files that `selection` chooses: catalogues first, each list in its order.
///
/// # Errors
/// Every item that cannot be read or is no text.
pub fn gather(selection: &Selection) -> Result<Vec<Document>, Vec<Fault>> {
    let (documents, faults) = gather_each(selection);
    if faults.is_empty() { Ok(documents) } else { Err(faults) }
}

/// As [`gather`], with those that can be read beside the faults of the others.
pub(super) fn gather_each(selection: &Selection) -> (Vec<Document>, Vec<Fault>) {
    // Taken apart field by field, so that a field added to `Selection` has to be dealt with here.
    let Selection { catalogues, orders } = selection;
    let mut documents: Vec<Document> = Vec::new();
    let mut faults = Vec::new();
    for (kind, items) in [(Kind::Catalogue, catalogues), (Kind::Order, orders)] {
        for item in items {
            let choice = || match kind {
                Kind::Catalogue => Box::new(Choice::Catalogue(item.clone())),
                Kind::Order => Box::new(Choice::Order(item.clone())),
            };
            // A fault with a line is one of the file itself.
            let of_item = |fault: Fault| Fault { choice: fault.line.is_none().then(choice), ..fault };
            for read in choose(kind, item) {
                match read {
                    Ok(document)
                        if documents.iter().any(|other| (other.kind, &other.path) == (kind, &document.path)) =>
                    {
                        let twice = Fault::of(&document.path, "this file is chosen twice", "choose it once");
                        faults.push(of_item(twice));
                    }
                    Ok(document) => documents.push(document),
                    Err(fault) => faults.push(of_item(fault)),
                }
            }
        }
    }
    (documents, faults)
}

fn choose(kind: Kind, item: &str) -> Vec<Result<Document, Fault>> {
    let mut carried = kind.shipped().iter().chain(kind.measures());
    if let Some((name, text)) = carried.find(|(name, _)| *name == item) {
        return vec![Ok(Document { kind, path: format!("shipped:{name}"), text: (*text).to_owned() })];
    }
    let path = Path::new(item);
    if path.is_dir() {
        return match list(path) {
            Ok(paths) => paths.into_iter().map(|path| read(kind, &path)).collect(),
            Err(fault) => vec![Err(fault)],
        };
    }
    if !path.exists() {
        let shipped: Vec<_> = kind.shipped().iter().chain(kind.measures()).map(|(name, _)| *name).collect();
        let text = format!("there is no such file or folder, and no such {kind} comes with the program");
        let remedy = format!("give a path, or one of: {}", shipped.join(", "));
        return vec![Err(Fault::of(item, text, remedy))];
    }
    vec![read(kind, path)]
}

/// Returns the `*.toml` files of a folder by name.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let shown = folder.display().to_string();
    let unreadable =
        |error: std::io::Error| Fault::of(&shown, format!("the folder cannot be read: {error}"), "make it readable");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        // Editors and package managers leave hidden files behind, which nobody means.
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Fault::of(&shown, "the folder has no `*.toml` file", "put one there, or leave the folder out"));
    }
    Ok(paths)
}

fn read(kind: Kind, path: &Path) -> Result<Document, Fault> {
    Ok(Document { kind, path: path.display().to_string(), text: read_text(path)? })
}

/// Reads a file that holds text and more than nothing.
pub(super) fn read_text(path: &Path) -> Result<String, Fault> {
    let fault = |text: &str, remedy: &str| Fault::of(&path.display().to_string(), text, remedy);
    let text = read_any_text(path)?;
    match text.trim_start_matches('\u{feff}').trim_start().chars().next() {
        None => Err(fault("the file is empty", "fill it, or leave it out")),
        Some('<') => Err(fault("the file is a web page, not TOML", "fetch the file itself")),
        Some(_) => Ok(text),
    }
}

/// Reads a file that holds text, which may be none.
pub(super) fn read_any_text(path: &Path) -> Result<String, Fault> {
    let shown = path.display().to_string();
    let fault = |text: String, remedy: &str| Fault::of(&shown, text, remedy);
    let unreadable = |error: std::io::Error| fault(format!("the file cannot be read: {error}"), "make it readable");
    // Opening a pipe or a device may block for ever or never end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(fault("this is not a regular file".to_owned(), "give a file or a folder"));
    }
    let mut octets = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut octets)).map_err(unreadable)?;
    if octets.len() as u64 > MAX_FILE {
        return Err(fault("the file is larger than 16 MiB".to_owned(), "split it, or use suffixes"));
    }
    String::from_utf8(octets).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
        Fault { line: Some(line), ..fault("the file is not UTF-8 text".to_owned(), "save it as UTF-8") }
    })
}
