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
    if !folder.journal().is_dir() {
        bail!("there is no journal in {}; a daemon makes it when it starts", folder.root().display());
    }
    let progress = Store::open(&folder.index())?.rebuild(&folder.journal())?;
    writeln!(out, "made again from {} leaves", progress.leaves)?;
    if progress.faults > 0 {
        bail!("the journal is damaged in {} places, which were told above and passed over", progress.faults);
    }
    Ok(())
}

/// Opens the index and puts in what the journal has more. `None` where nothing was recorded yet.
pub(super) fn open(folder: &Folder) -> anyhow::Result<Option<Store>> {
    start_log()?;
    if !folder.journal().is_dir() {
        return Ok(None);
    }
    let mut store = Store::open(&folder.index())?;
    store.catch_up(&folder.journal())?;
    Ok(Some(store))
}

/// Damage of the journal is told in the log.
fn start_log() -> anyhow::Result<()> {
    observe::start("warn", observe::Format::Text).context("cannot write a log")
}
