//! `interdict clock`: how far the system clock is trusted, and what time policy goes by.

use std::io::Write;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::folder::Folder;
use super::output::plain;
use super::settings::ConfigArgs;
use crate::clock::{Clock as _, GuardedClock, Reading, Status};
use crate::policy::When;

#[derive(Debug, Args)]
pub(super) struct Clock {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how far the system clock is trusted, and the instant that policy goes by.
    Show(Show),
}

#[derive(Debug, Args)]
struct Show {
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Serialize)]
struct Shown {
    state: &'static str,
    policy: Timestamp,
    ends: Timestamp,
    system: Timestamp,
    latest: Timestamp,
    synchronised: Option<Timestamp>,
    file: String,
    fault: Option<String>,
}

pub(super) fn run(of: &Clock, out: &mut dyn Write) -> anyhow::Result<()> {
    let Command::Show(Show { json, config }) = &of.command;
    let config = config.load()?;
    let folder = Folder::new(&config.data_dir, false);
    let status = guarded(&folder).assess();
    let text = status.to_string();
    let Status { trust, reading, latest, marked, fault } = status;
    let Reading { at, ends, raw, boot: _ } = reading;
    let file = folder.clock().display().to_string();
    let state = trust.as_str();
    let shown = Shown { state, policy: at, ends, system: raw, latest, synchronised: marked, file, fault };
    if *json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        return Ok(());
    }
    writeln!(out, "{}", plain(&text))?;
    writeln!(out)?;
    let mut row = |title: &str, value: String| writeln!(out, "  {title:<12} {}", plain(&value));
    row("policy time", shown.policy.to_string())?;
    if shown.ends != shown.policy {
        row("ends by", shown.ends.to_string())?;
    }
    row("system clock", shown.system.to_string())?;
    row("latest seen", shown.latest.to_string())?;
    row("borne out", shown.synchronised.map_or_else(|| "not seen".to_owned(), |mark| mark.to_string()))?;
    row("kept in", shown.file)?;
    Ok(())
}

/// Returns the time that a daemon with this data folder decides by now.
pub(super) fn now(folder: &Folder) -> When {
    let Reading { at, ends, .. } = guarded(folder).read();
    When { at, ends }
}

/// Reads what a daemon kept, and writes nothing.
fn guarded(folder: &Folder) -> GuardedClock {
    let clock = GuardedClock::system();
    clock.take_over(&folder.clock());
    clock
}
