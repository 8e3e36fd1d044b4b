//! Changes as they are written, and those of a journal, newest first, found without reading its look-ups.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use super::keys::KeyRing;
use super::leaf::{Body, Changed, Leaf};
use super::read::{ReadError, segment_path, segments};
use super::{Change, Whose};
use crate::clock::Reading;

/// What every change leaf holds, in canonical form; a line without it is none.
const MARK: &str = "\"kind\":\"change\"";

/// Returns the newest changes that `wanted` takes, with their numbers, `limit` at most. Lines that are no leaves are passed
/// over: whoever reads the journal whole is told of them.
///
/// # Errors
/// Where the journal or a segment of it cannot be opened or read.
pub fn changes(
    journal: &Path,
    limit: usize,
    mut wanted: impl FnMut(&Changed) -> bool,
) -> Result<Vec<(u64, Changed)>, ReadError> {
    let starts = segments(journal).map_err(|source| ReadError::Open { path: journal.to_owned(), source })?;
    let mut found = Vec::new();
    for start in starts.into_iter().rev() {
        let mut newest: Vec<_> = of_segment(journal, start)?.into_iter().filter(|(_, change)| wanted(change)).collect();
        newest.reverse();
        found.extend(newest);
        if found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

impl Changed {
    /// Returns a change as a leaf holds it. Whose device it is about is encrypted, as clients of look-ups are.
    pub(super) fn of(change: Change, reading: &Reading, rehearsal: bool, keys: &mut KeyRing) -> Self {
        let Change { act, accepted, by, why, what, policy, rotation, device } = change;
        let sealed = device.map(|whose| (whose, keys.seal(whose.address(), reading.raw)));
        let (client, device, key) = match sealed {
            None => (None, None, None),
            Some((Whose::Address(_), (text, key))) => (Some(text), None, Some(key)),
            Some((Whose::Hardware(_), (text, key))) => (None, Some(text), Some(key)),
        };
        Self {
            at: reading.at,
            raw: reading.raw,
            act,
            accepted,
            by,
            why,
            what,
            policy: policy.map(hex::encode),
            first_seq: None,
            last_seq: None,
            rotation,
            client,
            device,
            key: key.map(|key| key.as_str().to_owned()),
            rehearsal,
        }
    }
}

/// Returns the changes whose number is `from` or higher, with their numbers, oldest first.
///
/// # Errors
/// Where the journal or a segment of it cannot be opened or read.
pub fn changes_from(journal: &Path, from: u64) -> Result<Vec<(u64, Changed)>, ReadError> {
    let starts = segments(journal).map_err(|source| ReadError::Open { path: journal.to_owned(), source })?;
    // The last one that begins at or before it may hold it.
    let first = starts.iter().rposition(|start| *start <= from).unwrap_or(0);
    let mut found = Vec::new();
    for start in &starts[first..] {
        found.extend(of_segment(journal, *start)?.into_iter().filter(|(seq, _)| *seq >= from));
    }
    Ok(found)
}

fn of_segment(journal: &Path, start: u64) -> Result<Vec<(u64, Changed)>, ReadError> {
    let path = segment_path(journal, start);
    let mut file = match File::open(&path) {
        // The oldest segments go when the journal is too large, also while it is read.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => {
            BufReader::with_capacity(1 << 16, opened.map_err(|source| ReadError::Open { path: path.clone(), source })?)
        }
    };
    let (mut found, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = file.read_until(b'\n', &mut line);
        if read.map_err(|source| ReadError::Read { path: path.clone(), source })? == 0 {
            return Ok(found);
        }
        if let Ok(text) = std::str::from_utf8(&line)
            && text.contains(MARK)
            && let Ok(Leaf { seq, body: Body::Change(change), .. }) = Leaf::read(&line)
        {
            found.push((seq, *change));
        }
    }
}
