//! `interdict index`: the index over the journal can be made again at any time.

use std::io::Write;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::folder::Folder;
use super::settings::{ConfigArgs, FolderArgs};
use crate::observe;
use crate::store::{Agreement, Difference, Store, Sum};

#[derive(Debug, Args)]
pub(super) struct Index {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the index again from the journal, which alone is the truth.
    Rebuild(Place),
    /// Compare the index with the journal: every record, and the sums by rule and verdict.
    Verify(Place),
}

#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

pub(super) fn run(of: &Index, out: &mut dyn Write) -> anyhow::Result<()> {
    let (Command::Rebuild(Place { config, folder }) | Command::Verify(Place { config, folder })) = &of.command;
    let config = config.load()?;
    let folder = folder.of(&config);
    match of.command {
        Command::Rebuild(_) => rebuild(&folder, out),
        Command::Verify(_) => verify(&folder, out),
    }
}

fn rebuild(folder: &Folder, out: &mut dyn Write) -> anyhow::Result<()> {
    start_log()?;
    find_journal(folder)?;
    let progress = Store::open(&folder.index())?.rebuild(&folder.journal())?;
    writeln!(out, "made again from {} leaves", progress.leaves)?;
    if progress.faults > 0 {
        bail!("the journal is damaged in {} places, which were told above and passed over", progress.faults);
    }
    Ok(())
}

fn verify(folder: &Folder, out: &mut dyn Write) -> anyhow::Result<()> {
    let agreement = open(folder)?.verify(&folder.journal())?;
    let Agreement { leaves, records, damaged, faults, differences } = &agreement;
    for difference in differences {
        writeln!(out, "{}", told(difference))?;
    }
    if *damaged > 0 {
        writeln!(out, "the journal is damaged in {damaged} places; `interdict ledger verify` tells more")?;
    }
    if *faults > 0 {
        bail!("the index differs from the journal in {faults} places; `interdict index rebuild` makes it again");
    }
    writeln!(out, "{records} records and all sums agree with the journal's {leaves} leaves")?;
    Ok(())
}

fn told(difference: &Difference) -> String {
    match difference {
        Difference::Missing { seq } => format!("record {seq} is not in the index"),
        Difference::Surplus { seq } => format!("record {seq} is in the index and not in the journal"),
        Difference::Changed { seq } => format!("record {seq} says something else in the index"),
        Difference::Sum { sum, index } => {
            let Sum { source: _, order, rule, service: _, verdict, count } = sum;
            format!("{verdict} by `{rule}` of {order}: {count} by the journal, {index} by the index")
        }
        Difference::Days { sums } => format!("{sums} sums by day are not those by segment"),
        Difference::Tallies { rules } => format!("the tallies of {rules} rules are not those of their records"),
        Difference::Clients { clients } => {
            format!("the sums of {clients} clients are not those of their records")
        }
    }
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
        _ => bail!(
            "there is no journal in {}; a daemon makes it when it starts, and --config tells where that is",
            folder.root().display()
        ),
    }
}

/// Damage of the journal is told in the log.
fn start_log() -> anyhow::Result<()> {
    observe::start("warn", observe::Format::Text).context("cannot write a log")
}
