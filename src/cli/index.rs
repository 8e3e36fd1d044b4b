//! `interdict index`: the index over the journal can be made again at any time.

use std::io::Write;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::folder::Folder;
use super::settings::{ConfigArgs, FolderArgs};
use crate::observe;
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct Index {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the index again from the journal, which alone is the truth.
    Rebuild(Rebuild),
}

#[derive(Debug, Args)]
struct Rebuild {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

pub(super) fn run(of: &Index, out: &mut dyn Write) -> anyhow::Result<()> {
    let Command::Rebuild(Rebuild { config, folder }) = &of.command;
    let config = config.load()?;
    let folder = folder.of(&config);
    start_log()?;
    find_journal(&folder)?;
    let progress = Store::open(&folder.index())?.rebuild(&folder.journal())?;
    writeln!(out, "made again from {} leaves", progress.leaves)?;
    if progress.faults > 0 {
        bail!("the journal is damaged in {} places, which were told above and passed over", progress.faults);
    }
    Ok(())
}

/// Opens the index and puts in what the journal has more.
pub(super) fn open(folder: &Folder) -> anyhow::Result<Store> {
    start_log()?;
    find_journal(folder)?;
    let mut store = Store::open(&folder.index())?;
    store.catch_up(&folder.journal())?;
    Ok(store)
}

/// Whoever looks where no journal is, or where it cannot be seen, must not read that nothing was attempted.
fn find_journal(folder: &Folder) -> anyhow::Result<()> {
    let journal = folder.journal();
    let found = std::fs::metadata(&journal);
    match found {
        Ok(found) if found.is_dir() => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot look into {}; ask as the daemon's user", journal.display()))
        }
        _ => bail!("there is no journal in {}; a daemon makes it when it starts", folder.root().display()),
    }
}

/// Damage of the journal is told in the log.
fn start_log() -> anyhow::Result<()> {
    observe::start("warn", observe::Format::Text).context("cannot write a log")
}
