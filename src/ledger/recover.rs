//! Opening a journal that may have been torn, changed or cut: finds where it ends, moves a torn end aside, and tells what
//! is missing. Never removes a line that can be read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::journal::{DRAFT, MAX_NUMBER, Segment, first_of, path_of};
use super::leaf::{GapReason, Numbered, VERSION};

/// Why the journal cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("cannot open the journal {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot repair the journal {}", path.display())]
    Repair { path: PathBuf, source: io::Error },
    /// What it does not know it could neither show nor take into account.
    #[error(
        "a later version of Interdict wrote to the journal {} (format {found}; this one knows {VERSION}): start that version, or put \
         back a copy of the data folder from before it",
        path.display()
    )]
    Newer { path: PathBuf, found: u32 },
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
    let mut damage = Vec::new();
    rename_misnamed(folder, &mut damage).map_err(open)?;
    let segments = list(folder).map_err(open)?;
    let mut found = Recovered { segments, appendable: true, damage, ..Recovered::default() };
    let told = Told { folder };
    while let Some(last) = found.segments.last().copied() {
        let path = path_of(folder, last.first);
        let scan = scan(&path, last.first).map_err(|source| RecoverError::Open { path: path.clone(), source })?;
        if let Some(found) = scan.newer {
            return Err(RecoverError::Newer { path, found });
        }
        let Some(end) = scan.last else {
            // The number in its name was given away, so it is not given again.
            let repair = |source| RecoverError::Repair { path: path.clone(), source };
            let aside = set_aside(folder, &path, last.first).map_err(repair)?;
            let nothing = format!("nothing in {} can be read; it was moved to {aside}", path.display());
            found.damage.push(Damage { reason: GapReason::Damaged, missing: None, found: nothing });
            found.next = found.next.max(last.first);
            found.segments.pop();
            continue;
        };
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
        // A pipe or a folder of such a name is none of ours, and reading it would wait for ever or fail.
        if let Some(first) = entry.file_name().to_str().and_then(first_of)
            && entry.file_type()?.is_file()
        {
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
    /// The format of the last line, where this program does not know it.
    newer: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    line: u64,
    missing: Option<(u64, u64)>,
    found: String,
}

/// One line: where it ends, and its number where it can be read.
struct Line {
    end: u64,
    seq: Option<u64>,
}

fn scan(path: &Path, first: u64) -> io::Result<Scan> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut scan = Scan::default();
    let mut lines: Vec<Line> = Vec::new();
    let mut text = Vec::new();
    loop {
        text.clear();
        let length = reader.read_until(b'\n', &mut text)? as u64;
        if length == 0 {
            break;
        }
        let whole = text.ends_with(b"\n");
        let leaf = whole.then(|| numbered(&text)).flatten();
        let end = lines.last().map_or(0, |line| line.end) + length;
        lines.push(Line { end, seq: leaf.as_ref().map(|leaf| leaf.seq) });
        scan.newer = leaf.as_ref().map_or(scan.newer, |leaf| Some(leaf.v).filter(|version| *version > VERSION));
        scan.key = leaf.and_then(|leaf| leaf.key).or(scan.key);
    }
    judge(&mut scan, &lines, first);
    Ok(scan)
}

/// Reads the number of a line; one that no journal can have come to makes the line unreadable.
fn numbered(line: &[u8]) -> Option<Numbered> {
    serde_json::from_slice::<Numbered>(line).ok().filter(|leaf| leaf.seq <= MAX_NUMBER)
}

fn judge(scan: &mut Scan, lines: &[Line], first: u64) {
    let mut expected = first;
    let mut unreadable = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let following = lines.get(usize::try_from(number).unwrap_or(usize::MAX)).and_then(|line| line.seq);
        let Some(seq) = line.seq.filter(|seq| !is_misnumbered(*seq, expected, following)) else {
            unreadable.push(number);
            continue;
        };
        scan.good = line.end;
        if seq > expected || !unreadable.is_empty() {
            let missing = (seq > expected).then(|| (expected, seq - 1));
            let found = match unreadable.len() {
                0 => "leaves are not there".to_owned(),
                lines => format!("{lines} lines cannot be read"),
            };
            scan.faults.push(Fault { line: unreadable.first().copied().unwrap_or(number), missing, found });
            unreadable.clear();
        }
        // What stands there a second time is passed over by readers.
        expected = expected.max(seq + 1);
        scan.last = Some(expected - 1);
    }
    if scan.faults.len() > MAX_FAULTS {
        let more = scan.faults.len() - MAX_FAULTS;
        scan.faults.truncate(MAX_FAULTS);
        if let Some(last) = scan.faults.last_mut() {
            last.found.push_str(&format!("; {more} more places behind it are damaged"));
        }
    }
}

/// How many places of one segment are told by a leaf each.
const MAX_FAULTS: usize = 16;

/// Returns whether a line must have a wrong number: one that leaps forward, while the line behind it does not follow.
/// Taken at its word, it would make readers pass over everything up to that number.
pub(super) fn is_misnumbered(seq: u64, expected: u64, following: Option<u64>) -> bool {
    seq > expected && following.is_some_and(|following| following <= seq)
}

/// Gives segments the name that their first line says: they are found and ordered by it.
fn rename_misnamed(folder: &Path, damage: &mut Vec<Damage>) -> io::Result<()> {
    for segment in list(folder)? {
        let path = path_of(folder, segment.first);
        let mut lines = BufReader::new(File::open(&path)?);
        let mut number = || {
            let mut line = Vec::new();
            lines.read_until(b'\n', &mut line)?;
            io::Result::Ok(numbered(&line).map(|leaf| leaf.seq))
        };
        let (Some(first), second) = (number()?, number()?) else { continue };
        if first == segment.first || is_misnumbered(first, segment.first, second) {
            continue;
        }
        let right = path_of(folder, first);
        let found = if right.exists() {
            let aside = set_aside(folder, &path, segment.first)?;
            format!("{} begins with leaf {first}, which another segment has; it was moved to {aside}", path.display())
        } else {
            fs::rename(&path, &right)?;
            format!("{} begins with leaf {first}; it was given that name", path.display())
        };
        damage.push(Damage { reason: GapReason::Damaged, missing: None, found });
    }
    Ok(())
}

/// Gives a segment a name beside the journal. Returns that name.
fn set_aside(folder: &Path, path: &Path, first: u64) -> io::Result<String> {
    let names = (1_u32..).map(|number| format!("damaged-{first:020}-{number}"));
    let name = names.into_iter().find(|name| !folder.join(name).exists()).unwrap_or_default();
    fs::rename(path, folder.join(&name))?;
    File::open(folder)?.sync_all()?;
    Ok(name)
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
