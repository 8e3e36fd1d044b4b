//! Keeps the index up with the journal while the daemon runs. Nothing ever waits for it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Store;
use crate::ledger::Follower;

/// How often the journal is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Starts a thread that keeps the index in the file `index` up with the journal in the folder `journal`.
///
/// # Errors
/// Where the system gives no thread.
pub fn follow(journal: impl Into<PathBuf>, index: impl Into<PathBuf>) -> io::Result<Follower> {
    let (journal, index) = (journal.into(), index.into());
    let mut store = None;
    let mut told = String::new();
    Follower::start("index", move |_| {
        if let Err(error) = round(&mut store, &journal, &index) {
            let text = chain(&error);
            // An error that lasts is told once.
            if text != told {
                tracing::warn!(error = text, "the index falls behind the journal; records are not affected");
                told = text;
            }
        } else if !told.is_empty() {
            tracing::info!("the index is up with the journal again");
            told.clear();
        }
        PERIOD
    })
}

fn round(store: &mut Option<Store>, journal: &Path, index: &Path) -> Result<(), super::StoreError> {
    let mut open = match store.take() {
        Some(store) => store,
        None => Store::open(index)?,
    };
    open.catch_up(journal)?;
    // Kept only if all went well: after an error it is opened afresh.
    *store = Some(open);
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
