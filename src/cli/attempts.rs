//! `interdict attempts`: what was recorded, newest first.

use std::io::{self, Write};
use std::net::IpAddr;

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::output::{self, Table};
use super::settings::{ConfigArgs, FolderArgs};
use crate::ledger::{KeyId, KeyRing, Record, hardware_of};
use crate::policy::Verdict;
use crate::store::{ClientFilter, Filter, NameFilter, Row};

#[derive(Debug, Args)]
pub(super) struct Attempts {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
    /// Only look-ups at this instant or later.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    from: Option<Timestamp>,
    /// Only look-ups before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    to: Option<Timestamp>,
    /// Only look-ups of this client.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// Only look-ups of this name, or of all names below it where it begins with a dot or `*.`.
    #[arg(long, value_name = "NAME")]
    name: Option<NameFilter>,
    /// Only look-ups that this entry of a catalogue matched, as records tell it: `suffix:upd.vendor.example`.
    #[arg(long, value_name = "ENTRY")]
    rule: Option<String>,
    /// Only look-ups that this order decided.
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    /// Only look-ups that were decided so.
    #[arg(long, value_parser = verdict())]
    verdict: Option<Verdict>,
    /// Only look-ups of clients of this group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only look-ups that this waiver let through.
    #[arg(long, value_name = "ID")]
    waiver: Option<String>,
    /// How many records are listed at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// Write a JSON array of objects.
    #[arg(long)]
    json: bool,
    /// Write CSV (RFC 4180).
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

fn verdict() -> impl clap::builder::TypedValueParser<Value = Verdict> {
    PossibleValuesParser::new(Verdict::ALL.map(Verdict::as_str)).try_map(|word| word.parse::<Verdict>())
}

pub(super) fn run(of: &Attempts, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = of.folder.of(&config);
    let mut keys = folder.keys();
    let client = of.client.map(|address| ClientFilter::new(address, &keys));
    let filter = Filter {
        from: of.from,
        to: of.to,
        client: client.transpose().context("cannot search for a client")?,
        name: of.name.clone(),
        rule: of.rule.clone(),
        order: of.order.clone(),
        verdict: of.verdict,
        group: of.group.clone(),
        waiver: of.waiver.clone(),
        // One more than is shown, to know whether there are more.
        limit: Some(of.limit.saturating_add(1)),
    };
    let mut rows = super::index::open(&folder)?.attempts(&filter)?;
    let limit = usize::try_from(of.limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let lines = rows.into_iter().map(|row| Line::new(row, &mut keys)).collect::<anyhow::Result<Vec<_>>>()?;
    match (of.json, of.csv) {
        (true, _) => writeln!(out, "{}", serde_json::to_string_pretty(&lines)?)?,
        (false, true) => write_csv(&lines, out)?,
        (false, false) => write_table(&lines, out)?,
    }
    if has_more {
        // Beside the records, so that a program that reads them does not stumble, and a person sees it all the same.
        let _ = writeln!(io::stderr(), "the newest {limit}; --limit shows more");
    }
    Ok(())
}

/// A record as it is shown: with the client in clear, where its key is still there.
#[derive(Debug, Serialize)]
struct Line {
    /// The number of the leaf, for `explain --record`.
    seq: u64,
    #[serde(serialize_with = "micros")]
    at: Timestamp,
    #[serde(serialize_with = "micros")]
    last: Timestamp,
    count: u64,
    verdict: String,
    client: Option<String>,
    group: Option<String>,
    identified: Option<String>,
    via: Option<String>,
    device: Option<String>,
    name: Option<String>,
    r#type: Option<String>,
    order: String,
    prohibition: Option<String>,
    waiver: Option<String>,
    service: String,
    rule: String,
    confidence: String,
    subject: Option<String>,
    through: Option<String>,
    transport: Option<String>,
    rcode: Option<String>,
    threat: bool,
    folded: Option<&'static str>,
    names: Option<u64>,
    clients: Option<u64>,
    policy: String,
    #[serde(serialize_with = "micros")]
    raw: Timestamp,
    #[serde(serialize_with = "micros")]
    raw_last: Timestamp,
    #[serde(serialize_with = "micros_or_null")]
    ends: Option<Timestamp>,
    rehearsal: bool,
}

/// The columns of CSV: the fields of [`Line`].
const COLUMNS: [&str; 31] = [
    "seq",
    "at",
    "last",
    "count",
    "verdict",
    "client",
    "group",
    "identified",
    "via",
    "device",
    "name",
    "type",
    "order",
    "prohibition",
    "waiver",
    "service",
    "rule",
    "confidence",
    "subject",
    "through",
    "transport",
    "rcode",
    "threat",
    "folded",
    "names",
    "clients",
    "policy",
    "raw",
    "raw_last",
    "ends",
    "rehearsal",
];

impl Line {
    fn new(row: Row, keys: &mut KeyRing) -> anyhow::Result<Self> {
        let client = client_of(&row.record, keys)?;
        let device = device_of(&row.record, keys)?;
        // Taken apart field by field, so that a field added to `Record` has to be dealt with here.
        let Record {
            at,
            last,
            ends,
            raw,
            raw_last,
            count,
            folded,
            client: _,
            key: _,
            prefix: _,
            group,
            identified,
            via,
            device: _,
            transport,
            name,
            r#type,
            names,
            clients,
            verdict,
            order,
            prohibition,
            waiver,
            rule,
            service,
            confidence,
            threat,
            subject,
            through,
            policy,
            rcode,
            rehearsal,
        } = row.record;
        let folded = folded.map(|folded| folded.as_str());
        Ok(Self {
            seq: row.seq,
            at,
            last,
            count,
            verdict,
            client,
            group,
            identified,
            via,
            device,
            name,
            r#type,
            order,
            prohibition,
            waiver,
            service,
            rule,
            confidence,
            subject,
            through,
            transport,
            rcode,
            threat,
            folded,
            names,
            clients,
            policy,
            raw,
            raw_last,
            ends,
            rehearsal,
        })
    }
}

/// Returns the address or network of the record's client; `None` where it has none or its key was destroyed.
pub(super) fn client_of(record: &Record, keys: &mut KeyRing) -> anyhow::Result<Option<String>> {
    let (Some(text), Some(key)) = (&record.client, record.key.as_deref().and_then(KeyId::parse)) else {
        return Ok(None);
    };
    let address = keys.decrypt(text, &key).context("cannot show a client; ask as the daemon's user")?;
    Ok(address.map(|address| match record.prefix {
        Some(prefix) => format!("{address}/{prefix}"),
        None => address.to_string(),
    }))
}

/// Returns the hardware address of the record's client; `None` where it has none or its key was destroyed.
fn device_of(record: &Record, keys: &mut KeyRing) -> anyhow::Result<Option<String>> {
    let (Some(text), Some(key)) = (&record.device, record.key.as_deref().and_then(KeyId::parse)) else {
        return Ok(None);
    };
    let address = keys.decrypt(text, &key).context("cannot show a device; ask as the daemon's user")?;
    Ok(address.and_then(hardware_of).map(|device| device.to_string()))
}

/// Always with six decimals, as the journal writes them, so that text sorts as time does.
pub(super) fn micros<S: serde::Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{instant:.6}"))
}

fn micros_or_null<S: serde::Serializer>(instant: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(instant) => micros(instant, serializer),
        None => serializer.serialize_none(),
    }
}

fn write_csv(lines: &[Line], out: &mut dyn Write) -> anyhow::Result<()> {
    output::write_csv(out, COLUMNS)?;
    for line in lines {
        let line = serde_json::to_value(line)?;
        let cells = COLUMNS.map(|column| match &line[column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        output::write_csv(out, cells.iter().map(String::as_str))?;
    }
    Ok(())
}

/// How many characters of names a table shows; JSON and CSV show all of them.
const MAX_COLUMN: usize = 72;

/// Leaves out what does not fit of a name, behind its beginning: whose it is, its end says.
fn shortened(name: &str, most: usize) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= most {
        return name.to_owned();
    }
    let (start, end) = (most / 4, most - most / 4 - 1);
    let beginning = characters[..start].iter();
    beginning.chain(&['…']).chain(&characters[characters.len() - end..]).collect()
}

/// Returns a name, and what its answer led to, where it was that which matched.
fn shown_names(name: &str, subject: Option<&str>) -> String {
    let Some(subject) = subject else { return shortened(name, MAX_COLUMN) };
    let whole = format!("{name} to {subject}");
    match whole.chars().count() {
        0..=MAX_COLUMN => whole,
        _ => format!("{} to {}", shortened(name, MAX_COLUMN / 2 - 2), shortened(subject, MAX_COLUMN / 2 - 2)),
    }
}

fn write_table(lines: &[Line], out: &mut dyn Write) -> io::Result<()> {
    if lines.is_empty() {
        return writeln!(out, "no records");
    }
    let mut table = Table::new(["RECORD", "LAST", "COUNT", "VERDICT", "CLIENT", "NAME", "TYPE", "SERVICE", "ORDER"]);
    for line in lines {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let last = format!("{:.3}", line.last);
        let client = line.client.clone().or_else(|| line.clients.map(|clients| format!("about {clients}")));
        let name = line.name.clone().or_else(|| line.names.map(|names| format!("about {names} names")));
        table.push([
            line.seq.to_string(),
            last,
            line.count.to_string(),
            line.verdict.clone(),
            or_dash(&client),
            shown_names(&or_dash(&name), line.subject.as_deref()),
            or_dash(&line.r#type),
            line.service.clone(),
            line.order.clone(),
        ]);
    }
    table.write(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_name_the_end_stays() {
        let long = format!("{}.updates.vendor.example", "a1b2".repeat(40));
        let shown = shown_names(&long, None);
        assert_eq!(shown.chars().count(), MAX_COLUMN);
        assert!(shown.starts_with("a1b2a1b2") && shown.ends_with("a1b2.updates.vendor.example"), "{shown}");
        let shown = shown_names(&long, Some(&format!("{}.other.example", "ü".repeat(70))));
        assert_eq!(shown.chars().count(), MAX_COLUMN);
        assert!(
            shown.contains("…") && shown.contains(".vendor.example to ") && shown.ends_with("ü.other.example"),
            "{shown}"
        );
        assert_eq!(shown_names("a.example", Some("b.example")), "a.example to b.example");
        assert_eq!(shown_names(&"n".repeat(MAX_COLUMN), None), "n".repeat(MAX_COLUMN));
    }
}
