//! Opening a journal that may have been torn, changed or cut: finds where it ends, moves a torn end aside, and tells what
//! is missing. Never removes a line that can be read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::journal::{DRAFT, Segment, first_of, path_of};
use super::leaf::{GapReason, Numbered};

/// Why the journal cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("cannot open the journal {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot repair the journal {}", path.display())]
    Repair { path: PathBuf, source: io::Error },
}

/// Where the journal ends, and what is wrong with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    /// Oldest first.
    pub(super) segments: Vec<Segment>,
    /// Whether the last segment has no torn end that could not be moved away, so that it can be gone on with.
    pub(super) appendable: bool,
    /// The number of the next leaf.
    pub(super) next: u64,
    pub(super) damage: Vec<Damage>,
    /// The key of the last record that has one.
    pub(super) key: Option<String>,
}

/// Something that is wrong with the journal, and was not told before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) reason: GapReason,
    /// Numbers of the first and last leaf that are missing, where they are known.
    pub(super) missing: Option<(u64, u64)>,
    pub(super) found: String,
}

/// Makes the folder, closed to others, where there is none.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

pub(super) fn recover(folder: &Path) -> Result<Recovered, RecoverError> {
    let open = |source| RecoverError::Open { path: folder.to_owned(), source };
    make_folder(folder).map_err(open)?;
    match fs::remove_file(folder.join(DRAFT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(open(error)),
        Ok(()) | Err(_) => {}
    }
    let segments = list(folder).map_err(open)?;
    let mut found = Recovered { segments, appendable: true, ..Recovered::default() };
    let told = Told { folder };
    while let Some(last) = found.segments.last().copied() {
        let path = path_of(folder, last.first);
        let scan = scan(&path, last.first).map_err(|source| RecoverError::Open { path: path.clone(), source })?;
        if scan.good < last.bytes {
            // A full disk is a likely cause of a torn end, and must not keep the daemon from starting: where the end
            // cannot be moved it stays, and the journal goes on in a new segment.
            let moved = move_aside(folder, &path, last.first, scan.good);
            found.appendable = moved.is_ok();
            let moved = match moved {
                Ok(aside) => format!("they were moved to {aside}"),
                Err(error) => format!("they cannot be moved away ({error}) and stay there"),
            };
            let octets = last.bytes - scan.good;
            let found_there = format!("{octets} octets at the end of {} are no whole lines; {moved}", path.display());
            found.damage.push(Damage { reason: GapReason::Damaged, missing: None, found: found_there });
        }
        found.key = scan.key;
        let Some(end) = scan.last else {
            // Nothing in it can be read. The number in its name was given away, so it is not given again.
            if found.appendable {
                fs::remove_file(&path).map_err(|source| RecoverError::Repair { path: path.clone(), source })?;
            }
            found.appendable = true;
            found.next = found.next.max(last.first);
            found.segments.pop();
            continue;
        };
        found.segments.last_mut().expect("it was the last").bytes = scan.good;
        found.next = found.next.max(end + 1);
        told.inside(&path, &scan.faults, &mut found.damage);
        break;
    }
    told.between(&found.segments, found.next, &mut found.damage).map_err(open)?;
    Ok(found)
}

/// Returns the segments of the folder, oldest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(first) = entry.file_name().to_str().and_then(first_of) {
            segments.push(Segment { first, bytes: entry.metadata()?.len() });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments)
}

/// What the lines of one segment are like.
#[derive(Debug, Default)]
struct Scan {
    /// The end of the last line that can be read.
    good: u64,
    /// The number of the last leaf that can be read.
    last: Option<u64>,
    /// Lines in front of `good` that cannot be read, or numbers that are not there.
    faults: Vec<Fault>,
    key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    line: u64,
    missing: Option<(u64, u64)>,
    found: String,
}

fn scan(path: &Path, first: u64) -> io::Result<Scan> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut scan = Scan::default();
    let mut text = Vec::new();
    let mut end = 0;
    let mut expected = first;
    let mut unreadable = Vec::new();
    for line in 1.. {
        text.clear();
        let length = reader.read_until(b'\n', &mut text)?;
        if length == 0 {
            break;
        }
        end += length as u64;
        let leaf =
            text.last().filter(|octet| **octet == b'\n').and_then(|_| serde_json::from_slice::<Numbered>(&text).ok());
        let Some(leaf) = leaf else {
            unreadable.push(line);
            continue;
        };
        if leaf.seq < expected {
            let found = format!("leaf {} stands where {expected} is expected", leaf.seq);
            scan.faults.push(Fault { line, missing: None, found });
            scan.good = end;
            continue;
        }
        if leaf.seq > expected || !unreadable.is_empty() {
            let missing = (leaf.seq > expected).then(|| (expected, leaf.seq - 1));
            let found = match unreadable.len() {
                0 => "leaves are not there".to_owned(),
                lines => format!("{lines} lines cannot be read"),
            };
            scan.faults.push(Fault { line: unreadable.first().copied().unwrap_or(line), missing, found });
            unreadable.clear();
        }
        scan.good = end;
        scan.last = Some(leaf.seq);
        scan.key = leaf.key.or(scan.key);
        expected = leaf.seq + 1;
    }
    Ok(scan)
}

/// Copies the end of the segment to a file beside it, then cuts it off. Returns the name of the copy.
fn move_aside(folder: &Path, path: &Path, first: u64, good: u64) -> io::Result<String> {
    let mut segment = OpenOptions::new().read(true).write(true).open(path)?;
    segment.seek(SeekFrom::Start(good))?;
    let (mut copy, name) = (1_u32..)
        .find_map(|number| {
            let name = format!("damaged-{first:020}-{number}");
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(&name)) {
                Ok(file) => Some(Ok((file, name))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            }
        })
        .expect("there are more numbers than files")?;
    io::copy(&mut segment, &mut copy)?;
    copy.sync_all()?;
    File::open(folder)?.sync_all()?;
    segment.set_len(good)?;
    segment.sync_all()?;
    Ok(name)
}

/// What lasts is told once: an empty file beside the journal says that it was.
struct Told<'a> {
    folder: &'a Path,
}

impl Told<'_> {
    fn inside(&self, path: &Path, faults: &[Fault], damage: &mut Vec<Damage>) {
        for Fault { line, missing, found } in faults {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let reason = if missing.is_some() { GapReason::Missing } else { GapReason::Damaged };
            let found = format!("{}:{line}: {found}", path.display());
            self.tell(&format!("told-{name}-{line}"), Damage { reason, missing: *missing, found }, damage);
        }
    }

    /// Compares the last leaf of each segment with the name of the next. What stands inside them is left to readers.
    fn between(&self, segments: &[Segment], next: u64, damage: &mut Vec<Damage>) -> io::Result<()> {
        let firsts = segments.iter().skip(1).map(|segment| segment.first).chain([next]);
        for (segment, following) in segments.iter().zip(firsts) {
            let path = path_of(self.folder, segment.first);
            let end = match last_of(&path)? {
                Some(end) => Some(end),
                None => scan(&path, segment.first)?.last,
            };
            let expected = end.map_or(segment.first, |end| end + 1);
            if expected < following {
                let found = format!("{} ends before leaf {expected}, the next leaf is {following}", path.display());
                let told = format!("told-{expected:020}-{following:020}");
                let missing = Some((expected, following - 1));
                self.tell(&told, Damage { reason: GapReason::Missing, missing, found }, damage);
            }
        }
        Ok(())
    }

    /// Where the file cannot be made, telling once more is better than not at all.
    fn tell(&self, name: &str, of: Damage, damage: &mut Vec<Damage>) {
        let path = self.folder.join(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Ok(_) | Err(_) => damage.push(of),
        }
    }
}

/// Returns the number of the last leaf of a segment, if its last line is whole.
fn last_of(path: &Path) -> io::Result<Option<u64>> {
    const END: u64 = 1 << 16;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end)?;
    let Some(lines) = end.strip_suffix(b"\n") else { return Ok(None) };
    let line = lines.rsplit(|octet| *octet == b'\n').next().unwrap_or(lines);
    Ok(serde_json::from_slice::<Numbered>(line).ok().map(|leaf| leaf.seq))
}
