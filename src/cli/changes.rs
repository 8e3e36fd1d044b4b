//! `interdict changes`: what was changed, by whom and why, newest first.

use std::io::{self, Write};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::output::{Table, plain};
use super::settings::{ConfigArgs, FolderArgs};
use crate::control::quoted;
use crate::ledger::{self, Changed, KeyId, KeyRing, hardware_of};

#[derive(Debug, Args)]
pub(super) struct Changes {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
    /// How many changes are listed at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Write a JSON array of objects.
    #[arg(long)]
    json: bool,
}

/// A change with the number of its leaf.
#[derive(Debug, Serialize)]
struct Line {
    seq: u64,
    #[serde(flatten)]
    change: Changed,
}

pub(super) fn run(of: &Changes, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let journal = of.folder.of(&config).journal();
    // One more than is shown, to know whether there are more.
    let mut changes = ledger::changes(&journal, of.limit.saturating_add(1), |_| true).context("cannot list changes")?;
    let has_more = changes.len() > of.limit;
    changes.truncate(of.limit);
    let lines: Vec<_> = changes.into_iter().map(|(seq, change)| Line { seq, change }).collect();
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&lines)?)?;
    } else {
        write_table(&lines, &mut of.folder.of(&config).keys(), out)?;
    }
    if has_more {
        // Beside the records, so that a program that reads them does not stumble, and a person sees it all the same.
        let _ = writeln!(io::stderr(), "the newest {}; --limit shows more", of.limit);
    }
    Ok(())
}

/// What somebody wrote is quoted, so that it forges nothing of what stands beside it.
fn words(change: &Changed) -> String {
    let (by_hand, why) = (change.accepted && change.by.starts_with("uid "), quoted(&change.why));
    match &change.what {
        // The reason of a waiver stands among its terms.
        Some(what) if what.contains(&format!("; reason: {why}")) => what.clone(),
        Some(what) if by_hand => format!("{what}; why: {why}"),
        Some(what) => format!("{what}; {}", change.why),
        None => change.why.clone(),
    }
}

/// Returns the device that a change is about, as far as its key is there and may be read.
fn device(change: &Changed, keys: &mut KeyRing) -> Option<String> {
    let key = change.key.as_deref().and_then(KeyId::parse)?;
    let address = keys.decrypt(change.client.as_ref().or(change.device.as_ref())?, &key).ok()??;
    Some(hardware_of(address).map_or_else(|| address.to_string(), |hardware| hardware.to_string()))
}

fn write_table(lines: &[Line], keys: &mut KeyRing, out: &mut dyn Write) -> io::Result<()> {
    if lines.is_empty() {
        return writeln!(out, "no changes");
    }
    let mut table = Table::new(["RECORD", "AT", "ACT", "DONE", "BY", "WHAT AND WHY"]);
    for Line { seq, change } in lines {
        let done = if change.accepted { "yes" } else { "refused" };
        let of = device(change, keys).map(|device| format!("{device}: ")).unwrap_or_default();
        let words = of + &words(change);
        table.push([
            seq.to_string(),
            format!("{:.3}", change.at),
            change.act.as_str().to_owned(),
            done.to_owned(),
            change.by.clone(),
            plain(&words).to_string(),
        ]);
    }
    table.write(out)
}
