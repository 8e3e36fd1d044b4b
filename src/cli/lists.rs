//! `interdict lists`: the operator's own lists, how old they are and what is wrong with them; and fetching them now.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::command::DaemonArgs;
use super::output::{Table, plain};
use super::settings::{ConfigArgs, FolderArgs};
use crate::clock::{Clock as _, SystemClock};
use crate::config::ListConfig;
use crate::control::Command as Commanded;
use crate::lists::{self, Format};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Lists {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: Show,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch a list now, or all that are fetched, and wait for what comes of it.
    Refresh(Refresh),
    /// Write a list as it was last good in a format that another program reads.
    Print(Print),
}

#[derive(Debug, Args)]
struct Print {
    /// The name of the list.
    name: String,
    /// hosts, domains, suffixes, adblock, dnsmasq, unbound or rpz. What is withheld is answered with NXDOMAIN there.
    #[arg(long = "as", value_name = "FORMAT", default_value = "rpz")]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Debug, Args)]
struct Show {
    /// Write a JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Debug, Args)]
struct Refresh {
    /// The name of the list; all that are fetched, without it.
    name: Option<String>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// How a list stands.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    source: String,
    /// How many rules it has as it was last good; none where it never was.
    rules: Option<u64>,
    /// Lines that were not understood then.
    not_understood: Option<usize>,
    /// When its file came or was changed.
    from: Option<Timestamp>,
    /// When its server last said that it is so.
    checked: Option<Timestamp>,
    fault: Option<String>,
}

pub(super) fn run(of: &Lists, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        None => show(&of.show, out),
        Some(Command::Refresh(Refresh { name, daemon })) => {
            daemon.ask(&Commanded::ListsRefresh { name: name.clone() })?.write(out)
        }
        Some(Command::Print(print)) => write_list(print, out),
    }
}

fn show(of: &Show, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = of.folder.of(&config).root().join("lists");
    if fs::read_dir(&folder).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        bail!("{} cannot be read; ask as the user of the daemon", folder.display());
    }
    let shown: Vec<Shown> = config.lists.lists.iter().map(|list| shown(list, &folder)).collect();
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        return Ok(());
    }
    if shown.is_empty() {
        writeln!(out, "no lists; [[lists.list]] of the configuration names some")?;
        return Ok(());
    }
    let now = SystemClock.read().at;
    let mut table = Table::new(["list", "rules", "age", "checked", "source"]);
    for Shown { name, source, rules, from, checked, .. } in &shown {
        let rules = rules.map_or_else(|| "none yet".to_owned(), |rules| rules.to_string());
        table.push([name.clone(), rules, ago(*from, now), ago(*checked, now), source.clone()]);
    }
    table.write(out)?;
    for Shown { name, fault, .. } in &shown {
        if let Some(fault) = fault {
            writeln!(out, "{}: {}", plain(name), plain(fault))?;
        }
    }
    Ok(())
}

fn write_list(of: &Print, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = of.folder.of(&config).root().join("lists");
    let named = config.lists.lists.iter().find(|list| list.source.name == of.name);
    let Some(ListConfig { source, .. }) = named else { bail!("there is no list {}", plain(&of.name)) };
    let list = match lists::kept(source, &folder) {
        Some(list) => list,
        None => {
            let (list, _) = lists::check(source, &folder, key)
                .with_context(|| format!("list {} has never been good", source.name))?;
            list
        }
    };
    let names = list.rules().map(|(name, scope, choice)| (lists::Trigger::Name(Box::new(name), scope), choice));
    let mut left_out = 0_u64;
    // Rules of ad blockers have an order of their own, which no other format can say.
    let layered = list.rules().any(|(_, _, choice)| choice.turn > 1);
    out.write_all(lists::heading(of.format).as_bytes())?;
    for (trigger, choice) in names.chain(list.network_rules()) {
        let rules = match (layered, of.format) {
            (true, Format::Adblock) => vec![(trigger, choice.clone())],
            (true, _) if choice.turn < 2 => {
                left_out += 1;
                continue;
            }
            (true | false, _) => lists::translate(of.format, trigger, choice),
        };
        let lines: Option<String> =
            rules.iter().map(|(trigger, choice)| lists::print(of.format, trigger, choice)).collect();
        match lines {
            Some(lines) => out.write_all(lines.as_bytes())?,
            None => left_out += 1,
        }
    }
    if left_out > 0 {
        out.flush()?;
        bail!("{left_out} rules are left out: the format {} cannot say them", of.format);
    }
    Ok(())
}

fn shown(ListConfig { source, origin, .. }: &ListConfig, folder: &Path) -> Shown {
    let kept = lists::kept(source, folder);
    let (rules, not_understood) = (kept.as_ref().map(lists::List::len), kept.as_ref().map(lists::List::refused));
    let name = source.name.clone();
    match origin {
        Some(origin) => {
            let known = origin.place.read();
            let fault = known.failing.map(|failing| {
                let kind = if failing.refused { "refused" } else { "not fetched" };
                format!("{kind} at {:.0}: {}", failing.at, failing.reason)
            });
            let (source, from, checked) = (origin.source.shown(), known.fetched, known.checked);
            Shown { name, source, rules, not_understood, from, checked, fault }
        }
        None => {
            let changed = fs::metadata(&source.path).and_then(|metadata| metadata.modified());
            let (from, fault) = match changed {
                Ok(at) => (Timestamp::try_from(at).ok(), None),
                Err(error) => (None, Some(format!("its file cannot be read: {error}"))),
            };
            let fault = fault.or_else(|| unlike(source, kept.as_ref(), folder));
            let source = source.path.display().to_string();
            Shown { name, source, rules, not_understood, from, checked: None, fault }
        }
    }
}

/// Says why a list is not what its file says now, if it is not.
fn unlike(source: &lists::Source, kept: Option<&lists::List>, folder: &Path) -> Option<String> {
    if kept.is_some_and(|kept| lists::is_current(source, kept).unwrap_or(false)) {
        return None;
    }
    let left = if kept.is_some() { "the last good one stays" } else { "it is left out" };
    Some(match lists::check(source, folder, key) {
        Err(fault) => format!("its file is refused: {:#}; {left}", anyhow::Error::from(fault)),
        Ok(_) => "its file is newer than what is in force; a reload takes it".to_owned(),
    })
}

/// Gives a key that nobody can foretell.
fn key() -> lists::index::Key {
    lists::index::Key(rand::random())
}

/// Returns how long ago an instant was, in its largest unit.
fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return "-".to_owned() };
    match now.duration_since(at).as_secs().max(0) {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7200 => format!("{} min", seconds / 60),
        seconds if seconds < 172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}
