//! `interdict sums`: how many look-ups rules matched, by rule or by day, and when clients were first and last seen.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

use super::output::{self, Table};
use super::settings::{ConfigArgs, FolderArgs};
use crate::ledger::{KeyId, KeyRing, hardware_of};
use crate::store::{ClientFilter, Seen, Store, Sum};

#[derive(Debug, Args)]
pub(super) struct Sums {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sum up by rule and verdict.
    Rules(Days),
    /// Sum up by day (UTC), rule and verdict.
    Days(Days),
    /// Tell of each client how many look-ups are recorded, and the first and the last.
    Clients(Clients),
}

#[derive(Debug, Args)]
struct Days {
    /// The first day, such as 2026-11-01.
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// The last day.
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Clients {
    /// Only this client, and its network where look-ups of many clients were put together.
    #[arg(value_name = "IP")]
    address: Option<IpAddr>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// Write a JSON array of objects.
    #[arg(long)]
    json: bool,
    /// Write CSV (RFC 4180).
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

/// Look-ups that one rule matched.
#[derive(Debug, Serialize)]
struct ByRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<Date>,
    lookups: u64,
    verdict: String,
    /// What the look-ups became: records, or counts only.
    kept: &'static str,
    order: String,
    service: String,
    rule: String,
}

/// Look-ups of one client over all keys, or of what a destroyed key hides.
#[derive(Debug, Serialize)]
struct ByClient {
    /// None where the key was destroyed.
    client: Option<String>,
    device: Option<String>,
    lookups: u64,
    records: u64,
    #[serde(serialize_with = "super::attempts::micros")]
    first: Timestamp,
    #[serde(serialize_with = "super::attempts::micros")]
    last: Timestamp,
    /// The keys that the records are under.
    keys: Vec<String>,
}

pub(super) fn run(of: &Sums, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Rules(Days { from, to, place }) => {
            let (store, _) = place.open()?;
            let sums = match (from, to) {
                (None, None) => store.sums()?.into_iter().map(|sum| ByRule::new(None, sum)).collect(),
                _ => over(store.sums_by_day(from.unwrap_or(Date::MIN), to.unwrap_or(Date::MAX))?),
            };
            place.write(&sums, ["lookups", "verdict", "kept", "order", "service", "rule"], out)
        }
        Command::Days(Days { from, to, place }) => {
            let (store, _) = place.open()?;
            let sums = store.sums_by_day(from.unwrap_or(Date::MIN), to.unwrap_or(Date::MAX))?;
            let sums: Vec<_> = sums.into_iter().map(|(day, sum)| ByRule::new(Some(day), sum)).collect();
            place.write(&sums, ["day", "lookups", "verdict", "kept", "order", "service", "rule"], out)
        }
        Command::Clients(Clients { address, place }) => {
            let (store, mut keys) = place.open()?;
            let client = address.map(|address| ClientFilter::new(address, &keys)).transpose();
            let seen = store.seen(client.context("cannot search for a client")?.as_ref())?;
            let clients = together(seen, &mut keys)?;
            place.write(&clients, ["client", "device", "lookups", "records", "first", "last", "keys"], out)
        }
    }
}

/// Sums by day, put together over the days.
fn over(days: Vec<(Date, Sum)>) -> Vec<ByRule> {
    let mut sums: BTreeMap<Sum, u64> = BTreeMap::new();
    for (_, sum) in days {
        let count = sum.count;
        *sums.entry(Sum { count: 0, ..sum }).or_default() += count;
    }
    sums.into_iter().map(|(sum, count)| ByRule::new(None, Sum { count, ..sum })).collect()
}

/// Puts together what stands under several keys and is of one client; the last that was seen comes first.
fn together(seen: Vec<Seen>, keys: &mut KeyRing) -> anyhow::Result<Vec<ByClient>> {
    let mut clients: BTreeMap<[Option<String>; 3], ByClient> = BTreeMap::new();
    for Seen { client, key, prefix, device, records, count, first, last } in seen {
        let id = key.as_deref().and_then(KeyId::parse);
        let mut clear = |text: &str| match &id {
            Some(id) => keys.decrypt(text, id).context("cannot show a client; ask as the daemon's user"),
            None => Ok(None),
        };
        let device = device.map(|device| clear(&device)).transpose()?.flatten().and_then(hardware_of);
        let device = device.map(|device| device.to_string());
        let client = clear(&client)?.map(|address| match prefix {
            Some(prefix) => format!("{address}/{prefix}"),
            None => address.to_string(),
        });
        // Whose the records of a destroyed key are cannot be told, so that they stand together.
        let hidden = if client.is_none() { key.clone() } else { None };
        let of = clients.entry([client.clone(), device.clone(), hidden]).or_insert_with(|| ByClient {
            client,
            device,
            lookups: 0,
            records: 0,
            first,
            last,
            keys: Vec::new(),
        });
        (of.lookups, of.records) = (of.lookups.saturating_add(count), of.records.saturating_add(records));
        (of.first, of.last) = (of.first.min(first), of.last.max(last));
        of.keys.extend(key.filter(|key| !of.keys.contains(key)));
    }
    let mut clients: Vec<_> = clients.into_values().collect();
    clients.iter_mut().for_each(|of| of.keys.sort_unstable());
    clients.sort_by_key(|of| Reverse(of.last));
    Ok(clients)
}

impl ByRule {
    fn new(day: Option<Date>, sum: Sum) -> Self {
        let Sum { source, order, rule, service, verdict, count } = sum;
        Self { day, lookups: count, verdict, kept: source.as_str(), order, service, rule }
    }
}

impl Place {
    fn open(&self) -> anyhow::Result<(Store, KeyRing)> {
        let folder = self.folder.of(&self.config.load()?);
        Ok((super::index::open(&folder)?, folder.keys()))
    }

    /// Writes rows as objects, or these columns of them as CSV or as a table.
    fn write<const N: usize>(
        &self,
        rows: &[impl Serialize],
        columns: [&'static str; N],
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(rows)?)?);
        }
        let cells = |row: &Value, none: &str| {
            columns.map(|column| match &row[column] {
                Value::Null => none.to_owned(),
                Value::String(text) => text.clone(),
                Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
                other => other.to_string(),
            })
        };
        if self.csv {
            output::write_csv(out, columns)?;
            for row in rows {
                output::write_csv(out, cells(&serde_json::to_value(row)?, "").iter().map(String::as_str))?;
            }
            return Ok(());
        }
        if rows.is_empty() {
            return Ok(writeln!(out, "no records")?);
        }
        let headings = columns.map(str::to_uppercase);
        let mut table = Table::new(std::array::from_fn(|at| headings[at].as_str()));
        for row in rows {
            table.push(cells(&serde_json::to_value(row)?, "-"));
        }
        Ok(table.write(out)?)
    }
}
