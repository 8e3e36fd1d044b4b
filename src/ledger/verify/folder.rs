//! All logs of a folder: the data folder, the folder of its logs, or a copy of one log.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Against, Fault, Integrity, Report, verify};
use crate::ledger::checkpoint::{Checkpoint, number};

/// The most logs of a folder that are looked at.
const MAX_LOGS: usize = 10_000;

/// There is nothing to verify.
#[derive(Debug, thiserror::Error)]
#[error("no log that this user can read is in {}: a data folder, its folder `ledger` or a copy of one is expected", .0.display())]
pub struct NoLog(pub PathBuf);

/// What verification of a folder has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The worst of all.
    pub integrity: Integrity,
    /// What concerns no log that is here.
    pub faults: Vec<Fault>,
    /// The oldest first.
    pub logs: Vec<Report>,
}

/// Verifies every log of a folder.
///
/// # Errors
/// Where there is none.
pub fn verify_folder(folder: &Path, against: Against<'_>) -> Result<Verification, NoLog> {
    let (logs, missing) = find(folder).ok_or_else(|| NoLog(folder.to_owned()))?;
    let mut faults: Vec<_> =
        missing.into_iter().map(|text| Fault { kind: Integrity::Incomplete, leaf: None, text }).collect();
    let journal = folder.join("journal");
    let against = Against { journal: is_folder(&journal).then_some(journal.as_path()), ..against };
    let (mut removed, mut reports) = (None, Vec::new());
    // The newest first: it tells what was removed of those before it.
    for log in logs.iter().rev() {
        let report = verify(log, Against { removed, ..against });
        removed = removed.max(report.removed);
        reports.push(report);
    }
    reports.reverse();
    let logs = reports;
    faults.extend(misplaced(&logs));
    if let Some(origin) = against.earlier.and_then(origin_of)
        && !logs.iter().any(|log| log.origin.as_deref() == Some(origin.as_str()))
    {
        let text = format!("the checkpoint that was kept elsewhere is of the log {origin}, which is not here");
        faults.push(Fault { kind: Integrity::Incomplete, leaf: None, text });
    }
    let of_logs = logs.iter().map(|log| log.integrity);
    let integrity = faults.iter().map(|fault| fault.kind).chain(of_logs).max().unwrap_or(Integrity::Intact);
    Ok(Verification { integrity, faults, logs })
}

/// Returns what is wrong with the places of logs: each has a folder of the number that its name ends in.
fn misplaced(logs: &[Report]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, log) in logs.iter().enumerate() {
        let Some(origin) = &log.origin else { continue };
        if logs[..place].iter().any(|other| other.origin.as_ref() == Some(origin)) {
            let text = format!("the log {origin} is here twice, in {} too", log.folder.display());
            faults.push(Fault { kind: Integrity::Tampered, leaf: None, text });
        }
        let folder = log.folder.file_name().and_then(|name| number(name.to_str()?));
        let named = origin.rsplit_once('/').and_then(|(_, of)| number(of));
        if let Some(folder) = folder.filter(|folder| named != Some(*folder)) {
            let text = format!("the folder {folder} holds the log {origin}, which is not its own");
            faults.push(Fault { kind: Integrity::Tampered, leaf: None, text });
        }
    }
    faults
}

/// Returns the name of the log that a note is a checkpoint of; nothing is checked yet.
fn origin_of(note: &str) -> Option<String> {
    Some(Checkpoint::parse(&note[..=note.rfind("\n\n")?]).ok()?.origin)
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|of| of.is_dir())
}

/// Returns the folders of the logs, and what says that one is missing.
fn find(folder: &Path) -> Option<(Vec<PathBuf>, Vec<String>)> {
    if folder.join("checkpoint").exists() || is_folder(&folder.join("tile")) {
        return Some((vec![folder.to_owned()], Vec::new()));
    }
    let within = folder.join("ledger");
    let folder = if is_folder(&within) { within } else { folder.to_owned() };
    let entries = fs::read_dir(&folder).ok()?.filter_map(Result::ok);
    let numbered = entries.filter_map(|entry| number(entry.file_name().to_str()?)).take(MAX_LOGS);
    let mut numbers: Vec<_> = numbered.filter(|number| is_folder(&folder.join(number.to_string()))).collect();
    numbers.sort_unstable();
    numbers.last()?;
    let befores = std::iter::once(0).chain(numbers.iter().copied());
    let missing = befores.zip(&numbers).filter(|(before, number)| before.saturating_add(1) < **number);
    let missing =
        missing.map(|(before, number)| format!("logs {} to {} are not here", before + 1, number - 1)).collect();
    Some((numbers.iter().map(|number| folder.join(number.to_string())).collect(), missing))
}
