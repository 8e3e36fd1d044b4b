//! Which policies kept leaves name: those have to stay archived.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::leaf::Body;
use super::log::{logs, number_of};
use super::read::{read, segment_path, segments};
use super::tree;

/// What names policies in a leaf of any kind.
#[derive(Debug, Deserialize)]
struct Naming {
    policy: Option<String>,
    #[serde(default)]
    policies: Vec<String>,
}

/// What a leaf has to hold to name one, in canonical form.
const MARK: &str = "\"polic";

/// Returns what the system clock told at the oldest leaf of a journal; none where that has none.
pub fn oldest(journal: &Path) -> Option<Timestamp> {
    read(journal, 0).find_map(Result::ok).and_then(|leaf| match leaf.body {
        Body::Attempt(of) => Some(of.raw),
        Body::Coverage(of) => Some(of.raw),
        Body::Change(of) => Some(of.raw),
        Body::Gap(of) => Some(of.raw),
        Body::Unknown => None,
    })
}

/// Returns those of the policies `wanted`, by their digests in hexadecimal, that leaves of the journal name, each with the first
/// number of the newest segment that does; and those that only entries of the logs in `log` name, with nothing. Reads all of
/// the journal where a policy is not named.
///
/// # Errors
/// Where not everything can be read.
pub fn named(journal: &Path, log: &Path, wanted: &BTreeSet<String>) -> io::Result<BTreeMap<String, Option<u64>>> {
    let (mut found, mut left) = (BTreeMap::new(), wanted.clone());
    let starts = segments(journal)?;
    for start in starts.iter().rev() {
        let names = match File::open(segment_path(journal, *start)) {
            // The oldest go meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => of_segment(file?, &left)?,
        };
        left.retain(|digest| !names.contains(digest));
        found.extend(names.into_iter().map(|digest| (digest, Some(*start))));
        if left.is_empty() {
            return Ok(found);
        }
    }
    // A bundle goes once the journal has removed all of it.
    let oldest = starts.first().copied().unwrap_or(u64::MAX);
    for number in logs(log)? {
        for path in bundles(&log.join(number.to_string()).join("tile/entries"))? {
            let octets = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                octets => octets?,
            };
            let entries = tree::entries(&octets).unwrap_or_default();
            entries.iter().for_each(|entry| found.extend(wanted_of(entry, &left).map(|digest| (digest, None))));
            if entries.last().and_then(|entry| number_of(entry)).is_some_and(|last| last >= oldest) {
                break;
            }
        }
    }
    Ok(found)
}

fn of_segment(file: File, wanted: &BTreeSet<String>) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let (mut file, mut line) = (BufReader::with_capacity(1 << 16, file), Vec::new());
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            return Ok(names);
        }
        names.extend(wanted_of(&line, wanted));
    }
}

/// Returns the policies that a leaf names and that are wanted.
fn wanted_of(leaf: &[u8], wanted: &BTreeSet<String>) -> impl Iterator<Item = String> {
    // Compared before it is parsed: hardly any leaf names one that is looked for.
    let names = |text: &&str| text.contains(MARK) && wanted.iter().any(|digest| text.contains(digest.as_str()));
    let text = std::str::from_utf8(leaf).ok().filter(names);
    let naming = text.and_then(|text| serde_json::from_str::<Naming>(text).ok());
    let digests = naming.into_iter().flat_map(|Naming { policy, policies }| policies.into_iter().chain(policy));
    digests.filter(|digest| wanted.contains(digest))
}

/// Returns the full and partial files of entries below a folder, in their order.
fn bundles(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(of) = folders.pop() {
        let entries = match fs::read_dir(&of) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let into = if entry.file_type()?.is_dir() { &mut folders } else { &mut files };
            into.push(entry.path());
        }
    }
    // `x001/234` sorts behind `999`, as its number does, and `234.p/7` behind `234`.
    files.sort_by_key(|path| (path.components().count() - usize::from(is_partial(path)), path.clone()));
    Ok(files)
}

fn is_partial(path: &Path) -> bool {
    path.parent().and_then(Path::extension).is_some_and(|extension| extension == "p")
}

#[cfg(test)]
mod tests {
    use super::super::evidence::{log_of, made};
    use super::*;

    #[test]
    fn what_a_kept_leaf_names_is_found_in_the_journal_and_in_what_only_the_log_has() {
        let data = made(3);
        let (journal, log) = (data.path().join("journal"), data.path().join("ledger"));
        let policy = hex::encode(super::super::fixtures::snapshot(1).digest());
        let wanted = BTreeSet::from([policy.clone(), "00".repeat(32)]);
        assert!(oldest(&journal).is_some());
        assert_eq!(named(&journal, &log, &wanted).unwrap(), BTreeMap::from([(policy.clone(), Some(0))]));
        assert!(log_of(&data, 1).exists());
        fs::remove_file(segment_path(&journal, 0)).unwrap();
        assert_eq!(named(&journal, &log, &wanted).unwrap(), BTreeMap::from([(policy, None)]));
        assert_eq!(oldest(&journal), None);
        fs::remove_dir_all(&log).unwrap();
        assert_eq!(named(&journal, &log, &wanted).unwrap(), BTreeMap::new());
    }
}
