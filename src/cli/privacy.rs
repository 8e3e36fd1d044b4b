//! `interdict privacy`: what is held about one client, and destroying the keys that tell whose a month's records are.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;

use super::command::DaemonArgs;
use super::output::{Table, plain};
use super::settings::{ConfigArgs, FolderArgs};
use crate::control::Command as Commanded;
use crate::ledger::{self, Body, Changed, KeyError, KeyId, ReadError, Record, Settings};

#[derive(Debug, Args)]
pub(super) struct Privacy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Destroy the keys of a month: whose its records are can never be told again. Proofs stay valid.
    Forget(Forget),
    /// Tell what is held about one client: for each key, sums by rule with the first and the last look-up, and where.
    Subject(Subject),
}

#[derive(Debug, Args)]
struct Forget {
    /// The month in UTC, such as 2026-11.
    month: String,
    /// Why; it is recorded.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct Subject {
    /// The address of the client.
    #[arg(value_name = "IP")]
    address: IpAddr,
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

/// What is held about one client.
#[derive(Debug, Serialize)]
struct Held {
    client: IpAddr,
    sums: Vec<Sum>,
    /// Keys that were destroyed: whether records under them are of this client cannot be told.
    forgotten: Vec<String>,
    /// Lines of the journal that cannot be read, and may hold more.
    unreadable: u64,
    /// Where those records are.
    places: [String; 3],
}

/// Look-ups under one key that one rule matched.
#[derive(Debug, Serialize)]
struct Sum {
    #[serde(flatten)]
    by: By,
    #[serde(flatten)]
    found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct By {
    key: String,
    /// Whether the record is of the client's network, which others share.
    network: bool,
    order: String,
    rule: String,
    verdict: String,
}

#[derive(Debug, Serialize)]
struct Found {
    lookups: u64,
    first: Timestamp,
    last: Timestamp,
    /// The numbers of the first record and of the last.
    records: (u64, u64),
}

pub(super) fn run(of: &Privacy, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Forget(Forget { month, reason, daemon }) => {
            let command = Commanded::PrivacyForget { month: month.clone(), reason: reason.clone() };
            daemon.ask(&command)?.write(out)
        }
        Command::Subject(subject) => tell(subject, out),
    }
}

fn tell(of: &Subject, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = of.folder.of(&of.config.load()?);
    let settings = Settings::new(folder.root());
    let mut keys = folder.keys();
    keys.ids().context("cannot read the keys; ask as the daemon's user")?;
    let is_theirs = |Whose { client, key, prefix }: Whose<'_>| {
        let (Some(key), Some(client)) = (key.and_then(KeyId::parse), client) else {
            return Ok(false);
        };
        let Some(client) = keys.decrypt(client, &key)? else { return Ok(false) };
        let whole = if client.is_ipv4() { 32 } else { 128 };
        let network = IpNet::new(client, prefix.unwrap_or(whole));
        Ok(network.is_ok_and(|network| network.contains(&of.address)))
    };
    let (sums, unreadable) = sums(&settings.journal(), is_theirs)?;
    let forgotten = ledger::forgotten(&settings.keys)?;
    let place = |path: std::path::PathBuf| path.display().to_string();
    let held = Held {
        client: of.address,
        sums: sums.into_iter().map(|(by, found)| Sum { by, found }).collect(),
        forgotten: forgotten.iter().map(KeyId::to_string).collect(),
        unreadable,
        places: [place(settings.journal()), place(settings.log()), place(folder.index())],
    };
    if of.json { Ok(writeln!(out, "{}", serde_json::to_string_pretty(&held)?)?) } else { write(&held, out) }
}

/// Whose a leaf is, as it says it.
struct Whose<'l> {
    client: Option<&'l str>,
    key: Option<&'l str>,
    prefix: Option<u8>,
}

/// Sums up the records that `wanted` takes, and acts about a client; also returns how many lines cannot be read.
fn sums(
    journal: &std::path::Path,
    mut wanted: impl FnMut(Whose<'_>) -> Result<bool, KeyError>,
) -> anyhow::Result<(BTreeMap<By, Found>, u64)> {
    let (mut sums, mut unreadable) = (BTreeMap::new(), 0);
    for leaf in ledger::read(journal, 0) {
        let leaf = match leaf {
            Ok(leaf) => leaf,
            Err(ReadError::Line { .. } | ReadError::Missing { .. }) => {
                unreadable += 1;
                continue;
            }
            Err(error) => return Err(error).context("cannot read the records; ask as the daemon's user"),
        };
        let (by, count, at, last) = match leaf.body {
            Body::Attempt(record) => {
                let Record { client, key, prefix, order, rule, verdict, count, at, last, .. } = *record;
                if !wanted(Whose { client: client.as_deref(), key: key.as_deref(), prefix })? {
                    continue;
                }
                let by = By { key: key.unwrap_or_default(), network: prefix.is_some(), order, rule, verdict };
                (by, count, at, last)
            }
            Body::Change(change) => {
                let Changed { client, key, act, at, .. } = *change;
                if !wanted(Whose { client: client.as_deref(), key: key.as_deref(), prefix: None })? {
                    continue;
                }
                let (order, rule, verdict) = (String::new(), String::new(), act.as_str().to_owned());
                (By { key: key.unwrap_or_default(), network: false, order, rule, verdict }, 0, at, at)
            }
            Body::Coverage(_) | Body::Gap(_) | Body::Unknown => continue,
        };
        let found = sums.entry(by).or_insert(Found { lookups: 0, first: at, last, records: (leaf.seq, leaf.seq) });
        found.lookups += count;
        (found.first, found.last) = (found.first.min(at), found.last.max(last));
        found.records.1 = leaf.seq;
    }
    Ok((sums, unreadable))
}

fn write(held: &Held, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = Table::new(["KEY", "OF", "LOOKUPS", "FIRST", "LAST", "RECORDS", "VERDICT", "ORDER", "RULE"]);
    for Sum { by, found } in &held.sums {
        table.push([
            by.key.clone(),
            if by.network { "its network" } else { "the address" }.to_owned(),
            found.lookups.to_string(),
            found.first.to_string(),
            found.last.to_string(),
            format!("{} to {}", found.records.0, found.records.1),
            by.verdict.clone(),
            by.order.clone(),
            by.rule.clone(),
        ]);
    }
    match held.sums.is_empty() {
        true => writeln!(out, "no record is held of {}", held.client)?,
        false => table.write(out)?,
    }
    if !held.forgotten.is_empty() {
        let keys = held.forgotten.join(", ");
        writeln!(out, "whose the records under destroyed keys are cannot be told: {}", plain(&keys))?;
    }
    if held.unreadable > 0 {
        writeln!(out, "{} places of the journal cannot be read", held.unreadable)?;
    }
    for place in &held.places {
        writeln!(out, "  in {}", plain(place))?;
    }
    Ok(())
}
