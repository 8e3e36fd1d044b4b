//! Sums as JSON and CSV.

use std::io::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::Sums;
use super::reading::FileRead;
use crate::cli::output::write_csv;
use crate::policy::{Snapshot, Verdict};
use crate::report::{Past, Phrase};
use crate::scan::{Ended, Folded, Judge, Rule, Sum};

/// What was read of one file, as JSON tells it.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct FileRow<'a> {
    file: &'a str,
    format: &'a str,
    /// What `units` counts: lines, packets.
    unit: &'a str,
    units: u64,
    queries: u64,
    no_queries: u64,
    held_twice: u64,
    unread: u64,
    unread_by_reason: &'a std::collections::BTreeMap<&'static str, u64>,
    unread_first: Vec<PlaceRow<'a>>,
    ended_early: Option<PlaceRow<'a>>,
}

#[derive(Debug, Serialize)]
struct PlaceRow<'a> {
    place: u64,
    why: &'a str,
}

/// A sum with what it is over.
#[derive(Debug, Serialize)]
struct SumRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(flatten)]
    rule: RuleRow<'a>,
    #[serde(flatten)]
    sum: SumOf,
}

/// A rule by its names.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in crate::cli) struct RuleRow<'a> {
    pub(in crate::cli) verdict: &'a str,
    pub(in crate::cli) order: &'a str,
    pub(in crate::cli) service: &'a str,
    pub(in crate::cli) prohibition: Option<&'a str>,
}

impl<'a> From<Rule<'a>> for RuleRow<'a> {
    fn from(Rule { order, service, prohibition, verdict }: Rule<'a>) -> Self {
        Self { verdict: verdict.as_str(), order, service, prohibition }
    }
}

/// A sum; one over nothing has no instants.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in crate::cli) struct SumOf {
    pub(in crate::cli) count: u64,
    pub(in crate::cli) first: Option<Timestamp>,
    pub(in crate::cli) last: Option<Timestamp>,
}

impl From<Sum> for SumOf {
    fn from(Sum { count, first, last }: Sum) -> Self {
        Self { count, first: (count > 0).then_some(first), last: (count > 0).then_some(last) }
    }
}

#[derive(Debug, Serialize)]
struct Whole<'a> {
    policy: String,
    /// The instant that all is decided at; absent where each query is at its own.
    at: Option<Timestamp>,
    files: Vec<FileRow<'a>>,
    queries: SumOf,
    verdicts: std::collections::BTreeMap<&'a str, SumOf>,
    rules: Vec<SumRow<'a>>,
    devices: Vec<SumRow<'a>>,
    names: Vec<SumRow<'a>>,
    unseen: [&'static str; 4],
}

/// Returns what no capture and no log shows.
pub(in crate::cli) fn unseen() -> [&'static str; 4] {
    Past::english().unseen().map(Phrase::as_str)
}

/// Returns what was read of each file.
pub(in crate::cli) fn files(files: &[FileRead]) -> Vec<FileRow<'_>> {
    files.iter().map(file).collect()
}

fn file(FileRead { path, format, account }: &FileRead) -> FileRow<'_> {
    FileRow {
        file: path,
        format: format.as_str(),
        unit: format.unit(),
        units: account.units,
        queries: account.queries,
        no_queries: account.others,
        held_twice: account.twice,
        unread: account.unread.count,
        unread_by_reason: &account.unread.reasons,
        unread_first: account.unread.first.iter().map(|(place, why)| PlaceRow { place: *place, why }).collect(),
        ended_early: account.ended.as_ref().map(|Ended { place, why }| PlaceRow { place: *place, why }),
    }
}

/// Returns a name, or what stands for all names that match an entry.
pub(in crate::cli) fn folded(folded: &Folded, snapshot: &Snapshot) -> String {
    match folded {
        Folded::Name(name) => name.to_string(),
        Folded::Entry(entry) => {
            let entry = snapshot.entry(*entry);
            Past::english().other_names.with(&[&entry.pattern.matching().to_string(), &entry.text])
        }
    }
}

fn rows<'a>(sums: &Sums<'a>, judge: &Judge<'a>) -> [Vec<SumRow<'a>>; 3] {
    let blank =
        |rule: Rule<'a>, sum: Sum| SumRow { device: None, group: None, name: None, rule: rule.into(), sum: sum.into() };
    let rules = sums.tally.rules.iter().map(|(rule, sum)| blank(*rule, *sum)).collect();
    let devices = sums.tally.devices().into_iter().map(|((device, rule), sum)| SumRow {
        device: Some(device.to_string()),
        group: device.client().map(|client| judge.snapshot.group_name(judge.table.identify(client).group())),
        ..blank(rule, sum)
    });
    let names = sums
        .tally
        .names()
        .into_iter()
        .map(|(name, rule, sum)| SumRow { name: Some(folded(&name, judge.snapshot)), ..blank(rule, sum) });
    [rules, devices.collect(), names.collect()]
}

pub(super) fn json(sums: &Sums<'_>, judge: &Judge<'_>, read: &[FileRead], out: &mut dyn Write) -> anyhow::Result<()> {
    let [rules, devices, names] = rows(sums, judge);
    let verdicts = Verdict::ALL.map(|verdict| (verdict.as_str(), sums.verdicts[verdict as usize].into()));
    let whole = Whole {
        policy: hex::encode(judge.snapshot.digest()),
        at: judge.at,
        files: files(read),
        queries: sums.all.into(),
        verdicts: verdicts.into_iter().collect(),
        rules,
        devices,
        names,
        unseen: unseen(),
    };
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    Ok(writeln!(out)?)
}

pub(super) fn csv(sums: &Sums<'_>, judge: &Judge<'_>, out: &mut dyn Write) -> anyhow::Result<()> {
    write_csv(
        out,
        ["sum", "device", "group", "name", "verdict", "order", "service", "prohibition", "count", "first", "last"],
    )?;
    for verdict in Verdict::ALL {
        let sum = sums.verdicts[verdict as usize].into();
        csv_row("verdict", ["", "", ""], [verdict.as_str(), "", "", ""], &sum, out)?;
    }
    for (kind, rows) in ["rule", "device", "name"].into_iter().zip(rows(sums, judge)) {
        for SumRow { device, group, name, rule, sum } in rows {
            let what = [device.as_deref(), group, name.as_deref()].map(Option::unwrap_or_default);
            let rule = [rule.verdict, rule.order, rule.service, rule.prohibition.unwrap_or_default()];
            csv_row(kind, what, rule, &sum, out)?;
        }
    }
    Ok(())
}

fn csv_row(kind: &str, what: [&str; 3], rule: [&str; 4], sum: &SumOf, out: &mut dyn Write) -> std::io::Result<()> {
    let instant = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string());
    let of = [sum.count.to_string(), instant(sum.first), instant(sum.last)];
    let cells = std::iter::once(kind).chain(what).chain(rule).chain(of.iter().map(String::as_str));
    write_csv(out, cells)
}
