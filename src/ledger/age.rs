//! How old the last leaf of a segment is, by the time that was trusted when it was written.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::tree::MAX_ENTRY;

/// What tells the age of a leaf.
#[derive(Debug, Deserialize)]
struct Aged {
    at: Timestamp,
    ends: Option<Timestamp>,
}

/// Returns the trusted instant of the last leaf of a segment; `None` where it has no whole last line.
///
/// # Errors
/// Where the segment cannot be read.
pub(super) fn last_instant(path: &Path) -> io::Result<Option<Timestamp>> {
    const END: u64 = MAX_ENTRY as u64 + 2;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end)?;
    let line = end.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|octet| *octet == b'\n').next());
    Ok(line.and_then(instant_of))
}

/// Returns the trusted instant of a leaf; `None` where it is none.
pub(super) fn instant_of(leaf: &[u8]) -> Option<Timestamp> {
    let Aged { at, ends } = serde_json::from_slice(leaf).ok()?;
    // While the clock has leapt ahead, `at` is a time that may never come.
    Some(ends.unwrap_or(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_as_old_as_its_last_whole_line_by_trusted_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment");
        let (one, leapt) =
            (r#"{"at":"2026-01-01T00:00:00Z"}"#, r#"{"at":"2060-01-01T00:00:00Z","ends":"2026-01-02T00:00:00Z"}"#);
        for (text, told) in [
            (format!("{one}\n"), Some("2026-01-01T00:00:00Z")),
            (format!("{one}\n{leapt}\n"), Some("2026-01-02T00:00:00Z")),
            (format!("{one}\n{{"), None),
            (String::new(), None),
            ("x\n".to_owned(), None),
        ] {
            std::fs::write(&path, &text).unwrap();
            let told = told.map(|told| told.parse().unwrap());
            assert_eq!(last_instant(&path).unwrap(), told, "{text}");
        }
    }
}
