//! Connects exports to the ledger of a daemon.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::command::chain;
use super::folder::Folder;
use crate::admin::Check;
use crate::config::Config;
use crate::export::{self, Exports, Report, Status};
use crate::ledger::{self, Ledger};
use crate::observe::{Metrics, counted};

/// Checks what the receivers of records need besides: certificates and credentials.
pub(super) fn check(config: &Config) -> Result<(), Vec<String>> {
    let fault = |(place, of): (usize, &export::Receiver)| {
        let why = chain(&export::check(of).err()?);
        // It names the file that is at fault.
        let is_named =
            |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| why.contains(&*path.to_string_lossy()));
        let key = if is_named(&of.authorization) { "authorization_file" } else { "ca" };
        Some(config.told(&format!("export.receiver[{place}].{key}"), format!("export {}: {why}", of.name)))
    };
    let faults: Vec<_> = config.export.iter().enumerate().filter_map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Starts to export records.
pub(super) fn start(
    config: &Config,
    folder: &Folder,
    journal: &Path,
    (ledger, metrics): (&Arc<Ledger>, &Metrics),
) -> io::Result<Exports> {
    let (durable, named) = (Arc::clone(ledger), Arc::clone(ledger));
    let source = export::Source {
        journal: journal.to_owned(),
        keys: ledger::Settings::new(folder.root()).keys,
        positions: folder.exports(),
        durable: Arc::new(move || durable.health().leaves),
        log: Arc::new(move || named.health().log.origin),
    };
    // A rehearsal is nobody else's business.
    let receivers = if folder.is_rehearsal() { &[] } else { config.export.as_slice() };
    Exports::start(receivers, &source, metrics)
}

/// Tells whether receivers take records; nothing where there are none. Answers do not depend on them.
pub(super) fn health(exports: &[Arc<Status>]) -> Option<Check> {
    let reports: Vec<Report> = exports.iter().map(|export| export.report()).collect();
    let leaves = |count| counted(count, "leaf", "leaves");
    let told = |Report { name, behind, failing, unreadable }: &Report| match (failing, unreadable) {
        (None, None) => format!("{name} is {} behind", leaves(*behind)),
        (None, Some(why)) => format!("{name} is {} behind, and clients are not in clear: {why}", leaves(*behind)),
        (Some(why), _) => format!("{name} takes no records, {} behind: {why}", leaves(*behind)),
    };
    let ok = reports.iter().all(|report| report.failing.is_none() && report.unreadable.is_none());
    let detail = reports.iter().map(told).collect::<Vec<_>>().join("; ");
    (!reports.is_empty()).then_some(Check { name: "exports", ok, detail })
}
