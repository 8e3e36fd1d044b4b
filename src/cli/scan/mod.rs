//! `interdict scan`: what a network asked before Interdict was there, and what was prohibited then.

pub(super) mod form;
pub(super) mod page;
pub(super) mod reading;
pub(super) mod rows;

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::explain;
use super::folder::Folder;
use super::policy::side::Side;
use super::settings::ConfigArgs;
use crate::client::Table;
use crate::config::Config;
use crate::policy::{Snapshot, Verdict};
use crate::report::{self, Document, LANGUAGES};
use crate::scan::{Judge, Rule, Seen, Sum, Tally, Timeline, Verdicts};
use reading::FileArgs;

/// Decide what a network asked before Interdict was there, from captures and logs.
///
/// Reads captures (pcap, pcapng) and the query logs of name servers, plain or packed with gzip or zstd; a file is known by its content.
/// Each query is decided at its own time, so that the result says what was prohibited then; waivers and groups count as they stand in the
/// policy that decides. What an answer led to is in no log, and is not decided.
#[derive(Debug, Args)]
pub(super) struct Scan {
    #[command(flatten)]
    files: FileArgs,
    /// Decide all queries as if they were asked at this instant, instead of at their own time.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    at: Option<Timestamp>,
    /// Decide by this policy: a configuration file, the digest of an archived one, or FOLDER/DIGEST for one that is archived in
    /// another folder. Without it, by that of the running daemon, or else of the configuration.
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Let this order alone count.
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Write each attempt as a JSON object, one a line, instead of sums.
    #[arg(long, conflicts_with_all = ["format", "limit", "output"])]
    records: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// In what shape sums are written.
#[derive(Debug, Args)]
pub(super) struct ShapeArgs {
    /// How sums are written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: Shape,
    /// How many devices and names are listed at most: 20 as text, 500 as HTML and PDF, 50,000 in a workbook unless this says otherwise. JSON
    /// and CSV have all.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The language of HTML, PDF and workbooks.
    #[arg(long, value_name = "LANG", default_value = "en", value_parser = PossibleValuesParser::new(LANGUAGES))]
    pub(super) lang: String,
    /// The file to write, which others cannot read, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    Text,
    Json,
    Csv,
    Html,
    Pdf,
    Xlsx,
}

impl ShapeArgs {
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(match self.format {
            Shape::Text => 20,
            Shape::Html | Shape::Pdf => 500,
            Shape::Xlsx => 50_000,
            Shape::Json | Shape::Csv => usize::MAX,
        })
    }

    /// Returns the form that is one for people, where it is one.
    pub(super) const fn page(&self) -> Option<report::Format> {
        match self.format {
            Shape::Text | Shape::Json | Shape::Csv => None,
            Shape::Html => Some(report::Format::Html),
            Shape::Pdf => Some(report::Format::Pdf),
            Shape::Xlsx => Some(report::Format::Xlsx),
        }
    }

    /// Has `write` write to where it is wanted.
    pub(super) fn write(
        &self,
        out: &mut dyn Write,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(path) = self.output.as_deref().filter(|path| path.as_os_str() != "-") else { return write(out) };
        let mut octets = Vec::new();
        write(&mut octets)?;
        super::report::keep(path, &octets)
    }

    /// Writes a page.
    pub(super) fn document(&self, page: &Document, out: &mut dyn Write) -> anyhow::Result<()> {
        let Some(octets) = self.page().map(|form| page.render(form)).transpose()?.flatten() else { return Ok(()) };
        if !octets.is_ascii() && self.output.is_none() && io::stdout().is_terminal() {
            bail!("this form is none for a terminal; say with --output which file to write");
        }
        Ok(out.write_all(&octets)?)
    }
}

/// Sums over everything that was read.
#[derive(Debug)]
pub(super) struct Sums<'a> {
    pub(super) all: Sum,
    pub(super) verdicts: [Sum; Verdict::ALL.len()],
    pub(super) tally: Tally<Rule<'a>>,
    /// What would have been withheld, let through and kept.
    pub(super) over_time: Timeline,
}

impl Default for Sums<'_> {
    fn default() -> Self {
        let verdicts = [Sum::NONE; Verdict::ALL.len()];
        Self { all: Sum::NONE, verdicts, tally: Tally::default(), over_time: Timeline::default() }
    }
}

pub(super) fn run(of: &Scan, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = Folder::new(&config.data_dir, false);
    let snapshot = match &of.policy {
        Some(given) => Side::load(given, &folder)?.snapshot,
        None => explain::policy(false, &config, &folder)?.0,
    };
    let judge = judge(&snapshot, &config, of.at, of.order.as_deref())?;
    let mut sums = Sums::default();
    let mut written = Ok(());
    let files = of.files.read(&mut |seen, file, place| {
        let found = judge.decide(seen);
        sums.all.add(seen);
        sums.verdicts[found.verdict as usize].add(seen);
        if let (Some(rule), Some(entry)) = (found.rule, found.entry) {
            if of.records && found.recorded && written.is_ok() {
                written = record(seen, &found, (file, place), &snapshot, out);
            }
            sums.tally.add(rule, seen, entry, found.recorded && !of.records);
            if let Some(part) = form::part(rule.verdict) {
                sums.over_time.add(part, seen.at, seen.count);
            }
        }
        written.is_ok()
    })?;
    written?;
    if !of.records {
        of.shape.write(out, |out| match of.shape.format {
            Shape::Text => page::write(&sums, &judge, &files, of.shape.limit(), out),
            Shape::Json => rows::json(&sums, &judge, &files, out),
            Shape::Csv => rows::csv(&sums, &judge, out),
            Shape::Html | Shape::Pdf | Shape::Xlsx => {
                of.shape.document(&form::document(sums, &judge, &files, &of.shape)?, out)
            }
        })?;
    }
    reading::complete(&files, of.records || of.shape.format == Shape::Csv)
}

/// Returns what decides by `snapshot`, for the groups of the configuration.
pub(super) fn judge<'a>(
    snapshot: &'a Snapshot,
    config: &Config,
    at: Option<Timestamp>,
    order: Option<&str>,
) -> anyhow::Result<Judge<'a>> {
    let inputs = snapshot.inputs();
    let order = order.map(|id| {
        let known = || {
            let known: Vec<_> = inputs.orders.iter().map(|order| order.id.as_str()).collect();
            format!("the policy has no order `{}`; its orders are {}", super::output::plain(id), known.join(", "))
        };
        inputs.orders.iter().position(|order| order.id == id).with_context(known)
    });
    let table = Table::new(&inputs.operator.groups, &config.client.sources.known());
    Ok(Judge { snapshot, table, at, order: order.transpose()? })
}

/// One attempt, as `--records` writes it.
#[derive(Serialize)]
struct Record<'r> {
    at: Timestamp,
    last: Timestamp,
    count: u64,
    client: Option<std::net::IpAddr>,
    group: &'r str,
    name: String,
    r#type: Option<String>,
    transport: Option<&'r str>,
    verdict: &'r str,
    order: &'r str,
    service: &'r str,
    prohibition: Option<&'r str>,
    file: &'r str,
    place: u64,
}

fn record(
    seen: &Seen,
    found: &Verdicts<'_>,
    (file, place): (&str, u64),
    snapshot: &Snapshot,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let Some(rule) = found.rule else { return Ok(()) };
    // Taken apart field by field, so that a field added to `Seen` has to be dealt with here.
    let Seen { at, last, client, name, record_type, transport, count } = seen;
    let record = Record {
        at: *at,
        last: *last,
        count: *count,
        client: Some(*client).filter(|client| !client.is_unspecified()),
        group: snapshot.group_name(found.group),
        name: name.to_string(),
        r#type: record_type.map(|of| of.to_string()),
        transport: transport.map(|of| of.as_str()),
        verdict: rule.verdict.as_str(),
        order: rule.order,
        service: rule.service,
        prohibition: rule.prohibition,
        file,
        place,
    };
    serde_json::to_writer(&mut *out, &record)?;
    Ok(writeln!(out)?)
}
