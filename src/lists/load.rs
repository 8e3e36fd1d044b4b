//! From a file of an operator to a list: read, judged, compiled, kept; the last good one stays where any of it fails.

mod seen;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::gather::Refusals;
use super::guard::{Bounds, Unfit, judge_list, judge_rules, judge_text};
use super::index::{BuildError, Index, Key, OpenError};
use super::list::{List, TableError, compile};
use super::parse::{Format, detect, parse};
use crate::unpack::{Packing, UnpackError};
use seen::Seen;

/// The largest file, and the largest text in a compressed one, in octets.
pub const MAX_TEXT: u64 = 1 << 30;
/// Octets of a compiled list that are on disk before more are written: what the kernel writes by itself in one go, it writes
/// at its own priority, and answers waited for tens of milliseconds.
const PIECE: usize = 1 << 20;
/// How many lines are tried to find the one that makes a list unfit: each try reads the list up to there once more.
const MAX_TRIES: usize = 5;
/// The mode of a compiled list: nobody writes to it, so that it may be mapped.
const MODE: u32 = 0o400;

/// A list that an operator brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Lower-case letters, digits and hyphens: its compiled form is kept under it.
    pub name: String,
    pub path: PathBuf,
    /// The most octets that its text may have.
    pub most: u64,
    /// Found out where nothing is said.
    pub format: Option<Format>,
    pub bounds: Bounds,
}

/// Why a list cannot be used as it is now.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read it")]
    Read(#[source] io::Error),
    #[error("it is not a regular file")]
    NoFile,
    #[error("it is larger than 1 GiB")]
    TooLarge,
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("it cannot be compiled")]
    Build(#[from] BuildError),
    #[error("it cannot be kept in {}", path.display())]
    Keep { path: PathBuf, source: io::Error },
    #[error("its compiled form cannot be opened")]
    Open(#[from] OpenError),
    #[error("its compiled form cannot be used")]
    Table(#[from] TableError),
}

impl LoadError {
    /// Returns the line of the list that is at fault, where it is one.
    pub const fn line(&self) -> Option<usize> {
        match self {
            Self::Unfit(Unfit::Matches { line, .. } | Unfit::Foreign { line, .. }) => *line,
            Self::Unfit(Unfit::Empty | Unfit::WebPage | Unfit::Unknown | Unfit::Shrunk { .. })
            | Self::Read(_)
            | Self::NoFile
            | Self::TooLarge
            | Self::Unpack(_)
            | Self::Build(_)
            | Self::Keep { .. }
            | Self::Open(_)
            | Self::Table(_) => None,
        }
    }
}

/// What came of loading a list.
#[derive(Debug)]
pub struct Loaded {
    /// The list as it is now, or as it was when it was last good; none where it never was.
    pub list: Option<List>,
    /// Why it is not as it is now.
    pub fault: Option<LoadError>,
    /// Lines that were not understood, where the text was read.
    pub refusals: Refusals,
}

/// What came of octets that are a good list.
#[derive(Debug)]
pub struct Admitted {
    pub list: List,
    /// How many rules the list had when it was last good.
    pub before: Option<u64>,
    /// Whether it was made of other octets then.
    pub changed: bool,
    /// Lines that were not understood, where the text was read.
    pub refusals: Refusals,
}

/// Loads a list, and keeps its compiled form in `folder`. Where the file is as it was, only the compiled form is read.
/// `keys` gives keys that nobody can foretell.
pub fn load(source: &Source, folder: &Path, keys: impl FnMut() -> Key) -> Loaded {
    let (last, seen) = (last_good(source, folder), Seen::of(folder, &source.name));
    // As it is before it is read: what comes in meanwhile is read by the next load.
    let file = fs::metadata(&source.path).ok();
    let unread = file.as_ref().and_then(|file| seen.digest(file)).zip(last.as_ref());
    if unread.is_some_and(|(digest, last)| last.is_from(&digest, source.format)) {
        return Loaded { list: last, fault: None, refusals: Refusals::default() };
    }
    let read = read(&source.path);
    let fresh = read.and_then(|octets| refresh(&octets, source, folder, last.as_ref(), (|| Ok(()), keys)));
    let (list, refusals) = match fresh {
        Ok(Some((list, refusals))) => (Some(list), refusals),
        Ok(None) => (last, Refusals::default()),
        Err(fault) => return Loaded { list: last, fault: Some(fault), refusals: Refusals::default() },
    };
    if let (Some(file), Some(list)) = (&file, &list) {
        seen.note(file, list.source());
    }
    Loaded { list, fault: None, refusals }
}

/// Loads a list from octets that came for it, as [`load`] would from its file. `store` puts them there, once they are known to be
/// good.
///
/// # Errors
/// Why they do not take the place of the last good list.
pub fn admit(
    octets: &[u8],
    source: &Source,
    folder: &Path,
    store: impl FnOnce() -> io::Result<()>,
    keys: impl FnMut() -> Key,
) -> Result<Admitted, LoadError> {
    let last = last_good(source, folder);
    let before = last.as_ref().map(List::len);
    let fresh = refresh(octets, source, folder, last.as_ref(), (store, keys))?;
    let changed = fresh.is_some();
    let fresh = fresh.or_else(|| last.map(|last| (last, Refusals::default())));
    let (list, refusals) = fresh.ok_or(Unfit::Empty)?;
    Ok(Admitted { list, before, changed, refusals })
}

/// Returns the list as it was last good. One that is damaged is as good as none, and is made again; so is one that breaks
/// bounds which are new.
fn last_good(source: &Source, folder: &Path) -> Option<List> {
    kept(source, folder).filter(|last| judge_list(last, &source.bounds).is_ok())
}

/// Compiles `octets` and keeps what that comes to; `None` where `last` was made of the same.
fn refresh(
    octets: &[u8],
    source: &Source,
    folder: &Path,
    last: Option<&List>,
    (store, keys): (impl FnOnce() -> io::Result<()>, impl FnMut() -> Key),
) -> Result<Option<(List, Refusals)>, LoadError> {
    let unkept = |source| LoadError::Keep { path: folder.to_owned(), source };
    let digest = <[u8; 32]>::from(Sha256::digest(octets));
    if last.is_some_and(|last| last.is_from(&digest, source.format)) {
        store().map_err(unkept)?;
        return Ok(None);
    }
    let (list, refusals) = make(octets, digest, source, last.map(List::len), keys)?;
    store().map_err(unkept)?;
    let kept = index_of(source, folder);
    keep(list.octets(), &kept).map_err(unkept)?;
    // What was compiled is dropped, and mapped from the file: the memory of that can be given back.
    drop(list);
    open(&kept).map(|list| Some((list, refusals)))
}

fn index_of(source: &Source, folder: &Path) -> PathBuf {
    folder.join(format!("{}.index", source.name))
}

/// Returns a list as it was last good, where its compiled form is kept in `folder`.
pub fn kept(source: &Source, folder: &Path) -> Option<List> {
    open(&index_of(source, folder)).ok()
}

/// Reads and judges a list as [`load`] would beside what is kept in `folder`, and keeps nothing.
///
/// # Errors
/// Why it could not be used.
pub fn check(source: &Source, folder: &Path, keys: impl FnMut() -> Key) -> Result<(List, Refusals), LoadError> {
    let octets = read(&source.path)?;
    let last = last_good(source, folder).map(|last| last.len());
    make(&octets, <[u8; 32]>::from(Sha256::digest(&octets)), source, last, keys)
}

/// Says whether the file of a list is what `last`, the list as it was last good, was made of.
///
/// # Errors
/// Why the file cannot be read.
pub fn is_current(source: &Source, last: &List) -> Result<bool, LoadError> {
    Ok(last.is_from(&<[u8; 32]>::from(Sha256::digest(read(&source.path)?)), source.format))
}

/// Compiles the octets of a file, and judges what that comes to.
fn make(
    octets: &[u8],
    digest: [u8; 32],
    source: &Source,
    before: Option<u64>,
    mut keys: impl FnMut() -> Key,
) -> Result<(List, Refusals), LoadError> {
    let text = text_of(octets, source.most)?;
    judge_text(&text)?;
    let format = source.format.or_else(|| detect(&text)).ok_or(Unfit::Unknown)?;
    let mut gathered = parse(format, &text);
    judge_rules(&gathered, before, &source.bounds)?;
    let compiled = compile(&mut gathered, (digest, format), &mut keys)?;
    let list = List::new(Index::from_octets(compiled).map_err(OpenError::from)?)?;
    judge_list(&list, &source.bounds).map_err(|unfit| with_line(unfit, (format, &text), &source.bounds, keys))?;
    Ok((list, gathered.refusals))
}

/// Finds the line for which a list is unfit: the first of the likely ones with which its text up to there would be so as well.
fn with_line(unfit: Unfit, (format, text): (Format, &str), bounds: &Bounds, mut keys: impl FnMut() -> Key) -> Unfit {
    let Unfit::Matches { name, below, line: None } = unfit else { return unfit };
    let bounds = Bounds { never: vec![(*name).clone()], ..bounds.clone() };
    let mut is_unfit = |text: &str| {
        let compiled = compile(&mut parse(format, text), ([0; 32], format), &mut keys).ok()?;
        let list = List::new(Index::from_octets(compiled).ok()?).ok()?;
        Some(judge_list(&list, &bounds).is_err())
    };
    let spelled = name.to_string();
    let spelled = spelled.trim_end_matches('.');
    // Above it stand the names that it is below.
    let names = |word: &str| word.is_empty() || spelled == word || spelled.ends_with(&format!(".{word}"));
    let is_likely = |line: &str| {
        let line = line.to_ascii_lowercase();
        let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        words.any(|word| names(word.trim_matches('.')) && !word.is_empty() || word.starts_with(&format!("{spelled}.")))
    };
    let mut end = 0;
    let ends = text.split_inclusive('\n').enumerate().filter_map(|(index, line)| {
        end += line.len();
        is_likely(line).then_some((index + 1, end))
    });
    let found = ends.take(MAX_TRIES).find(|(_, end)| is_unfit(&text[..*end]) == Some(true));
    Unfit::Matches { name, below, line: found.map(|(line, _)| line) }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    // Opening a pipe or a device may block for ever or never end.
    if !fs::metadata(path).map_err(LoadError::Read)?.is_file() {
        return Err(LoadError::NoFile);
    }
    let file = File::open(path).map_err(LoadError::Read)?;
    let size = file.metadata().map_or(0, |file| file.len().min(MAX_TEXT));
    // One more, which tells that there is no more.
    let mut octets = Vec::with_capacity(size as usize + 1);
    file.take(MAX_TEXT + 1).read_to_end(&mut octets).map_err(LoadError::Read)?;
    if octets.len() as u64 > MAX_TEXT { Err(LoadError::TooLarge) } else { Ok(octets) }
}

/// Returns the text of a file, which gzip or zstd may have compressed. Octets that are no UTF-8 stand in comments, or in lines
/// that are refused.
fn text_of(octets: &[u8], most: u64) -> Result<std::borrow::Cow<'_, str>, LoadError> {
    let Some(packing) = Packing::of(octets) else { return Ok(String::from_utf8_lossy(octets)) };
    let text = packing.unpack(octets, most)?;
    let lossy = |error: std::string::FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
    Ok(String::from_utf8(text).unwrap_or_else(lossy).into())
}

/// Writes a compiled list beside its place, takes the right to write away, and puts it there.
fn keep(octets: &[u8], path: &Path) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside)?;
    for piece in octets.chunks(PIECE) {
        file.write_all(piece)?;
        file.sync_data()?;
    }
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)
}

fn open(path: &Path) -> Result<List, LoadError> {
    let file = File::open(path).map_err(OpenError::Map)?;
    Ok(List::new(Index::map(&file)?)?)
}

#[cfg(test)]
mod tests;
