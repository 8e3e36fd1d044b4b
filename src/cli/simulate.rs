//! `interdict simulate`: what another policy, or another instant, would do to queries that were asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::bail;
use clap::{ArgGroup, Args};
use jiff::Timestamp;
use serde::Serialize;

use super::explain;
use super::folder::Folder;
use super::output::{Table, write_csv};
use super::policy::side::Side;
use super::scan::form;
use super::scan::page::{cells, head, more, told, unseen};
use super::scan::reading::{self, FileArgs, FileRead};
use super::scan::rows::{self, FileRow, RuleRow, SumOf};
use super::scan::{Shape, ShapeArgs, judge};
use super::settings::ConfigArgs;
use crate::report::{Cell, Document, Past, Phrase};
use crate::scan::{Change, Effect, Judge, Rule, Sum, Tally, Timeline};

/// Tell what another policy or another instant would do to queries that were asked.
///
/// Each query of the captures and logs is decided twice as if it were asked now: by the present policy at this instant, and by
/// the policy and at the instant that are given. Told is what changes: what would be withheld and is not, what would no longer be, for which
/// devices and services, and which names carry most of it.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("other").required(true).multiple(true).args(["at", "policy"])))]
pub(super) struct Simulate {
    #[command(flatten)]
    files: FileArgs,
    /// Decide as at this instant.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    at: Option<Timestamp>,
    /// Decide by this policy: a configuration file, the digest of an archived one, or FOLDER/DIGEST. Without it, by the present one.
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What was counted.
struct Sums<'a> {
    all: Sum,
    effects: [Sum; Effect::ALL.len()],
    tally: Tally<Change<'a>>,
    over_time: Timeline,
}

pub(super) fn run(of: &Simulate, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = Folder::new(&config.data_dir, false);
    let now = super::clock::now(&folder).at;
    let present = explain::policy(false, &config, &folder)?.0;
    let other = of.policy.as_ref().map(|given| Side::load(given, &folder)).transpose()?.map(|side| side.snapshot);
    let other = other.as_ref().unwrap_or(&present);
    let at = of.at.unwrap_or(now);
    if other.digest() == present.digest() && at == now {
        bail!("both sides are the same policy at the same instant; give another with --policy or --at");
    }
    let old = judge(&present, &config, Some(now), None)?;
    let new = judge(other, &config, Some(at), None)?;
    let effects = [Sum::NONE; Effect::ALL.len()];
    let mut sums = Sums { all: Sum::NONE, effects, tally: Tally::default(), over_time: Timeline::default() };
    let files = of.files.read(&mut |seen, _, _| {
        sums.all.add(seen);
        let (before, after) = (old.decide(seen), new.decide(seen));
        if let Some(change) = Change::of(&before, &after) {
            sums.effects[change.effect as usize].add(seen);
            sums.over_time.add(change.effect as usize, seen.at, seen.count);
            // Numbers of entries are those of one policy, and which one is told by the effect.
            let entry = if change.is_by_new() { after.entry } else { before.entry };
            sums.tally.add(change, seen, entry.unwrap_or_default(), before.recorded || after.recorded);
        }
        true
    })?;
    let sides = (&old, &new);
    of.shape.write(out, |out| match of.shape.format {
        Shape::Text => page(&sums, sides, &files, of.shape.limit(), out),
        Shape::Json => json(&sums, sides, &files, out),
        Shape::Csv => csv(&sums, sides, out),
        Shape::Html | Shape::Pdf | Shape::Xlsx => of.shape.document(&document(sums, sides, &files, &of.shape)?, out),
    })?;
    reading::complete(&files, of.shape.format == Shape::Csv)
}

/// Returns what names the side of a change that explains it.
fn service<'a>(change: &Change<'a>) -> &'a str {
    let of = if change.is_by_new() { change.new } else { change.old };
    of.map_or("", |rule| rule.service)
}

fn verdict(rule: Option<Rule<'_>>) -> String {
    rule.map_or("pass", |rule| rule.verdict.as_str()).to_owned()
}

fn name(folded: &crate::scan::Folded, change: &Change<'_>, (old, new): (&Judge<'_>, &Judge<'_>)) -> String {
    rows::folded(folded, if change.is_by_new() { new.snapshot } else { old.snapshot })
}

fn page(
    sums: &Sums<'_>,
    sides: (&Judge<'_>, &Judge<'_>),
    read: &[FileRead],
    limit: usize,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    head(read, out)?;
    for (word, side) in [("now", sides.0), ("then", sides.1)] {
        let at = side.at.map_or_else(String::new, |at| format!("{at:.0}"));
        writeln!(out, "{word:5} {at}  policy {}", hex::encode(side.snapshot.digest()))?;
    }
    let devices = sums.tally.devices();
    let mut affected: BTreeMap<Effect, BTreeSet<_>> = BTreeMap::new();
    for (device, change) in devices.keys() {
        affected.entry(change.effect).or_default().insert(*device);
    }
    writeln!(out, "\nof {} queries", sums.all.count)?;
    for (effect, word) in Effect::ALL.into_iter().zip(Past::english().effects()) {
        let (count, word) = (sums.effects[effect as usize].count, word.as_str());
        writeln!(out, "  {count} {word}; {}", told(affected.entry(effect).or_default()))?;
    }
    if !sums.tally.rules.is_empty() {
        tables(sums, sides, limit, out)?;
    }
    unseen(out)
}

fn tables(sums: &Sums<'_>, sides: (&Judge<'_>, &Judge<'_>), limit: usize, out: &mut dyn Write) -> anyhow::Result<()> {
    let row = |change: &Change<'_>, sum: &Sum| {
        let [count, first, last] = cells(sum);
        let service = service(change).to_owned();
        [service, change.effect.as_str().to_owned(), verdict(change.old), verdict(change.new), count, first, last]
    };
    writeln!(out)?;
    let mut table = Table::new(["SERVICE", "EFFECT", "NOW", "THEN", "COUNT", "FIRST", "LAST"]);
    sums.tally.rules.iter().for_each(|(change, sum)| table.push(row(change, sum)));
    table.write(out)?;
    let mut devices: Vec<_> = sums.tally.devices().into_iter().collect();
    devices.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(&b.0)));
    let devices: Vec<_> =
        devices.iter().map(|((device, change), sum)| (device.to_string(), row(change, sum))).collect();
    let names = sums.tally.names();
    let names: Vec<_> = names.iter().map(|(of, change, sum)| (name(of, change, sides), row(change, sum))).collect();
    for (heading, rows) in [("DEVICE", devices), ("NAME", names)] {
        writeln!(out)?;
        let mut table = Table::new([heading, "SERVICE", "EFFECT", "NOW", "THEN", "COUNT", "FIRST", "LAST"]);
        for (what, [service, effect, old, new, count, first, last]) in rows.iter().take(limit).cloned() {
            table.push([what, service, effect, old, new, count, first, last]);
        }
        table.write(out)?;
        more(rows.len(), limit, out)?;
    }
    Ok(())
}

fn document(
    mut sums: Sums<'_>,
    sides: (&Judge<'_>, &Judge<'_>),
    read: &[FileRead],
    shape: &ShapeArgs,
) -> anyhow::Result<Document> {
    let mut page = form::begin(&shape.lang, |words| words.simulate_title, &sums.all)?;
    let words = page.words();
    let over_time = std::mem::take(&mut sums.over_time);
    let mut figures = vec![(sums.all.count, words.tile_queries)];
    let effects = Effect::ALL.into_iter().zip(words.effects());
    figures.extend(effects.map(|(of, word)| (sums.effects[of as usize].count, word)));
    form::glance((words.lead_change, &[]), &figures, read, &mut page);
    let side = |word: Phrase, of: &Judge<'_>| {
        let at = of.at.map_or_else(String::new, Document::instant);
        vec![word.into(), at.into(), hex::encode(of.snapshot.digest()).into()]
    };
    let compared = vec![side(words.side_now, sides.0), side(words.side_then, sides.1)];
    page.table(words.compared, &[words.col_side, words.col_instant, words.col_policy], compared);
    let parts = [words.part_blocked, words.part_lifted, words.part_other];
    form::series((over_time, &sums.all), Vec::new(), (words.trend_fixed, parts), &mut page);
    changes(&sums, sides, shape.limit(), &mut page);
    form::end(read, &mut page);
    Ok(page)
}

fn changes(sums: &Sums<'_>, sides: (&Judge<'_>, &Judge<'_>), limit: usize, page: &mut Document) {
    let words = page.words();
    let row = |first: Option<Cell>, change: &Change<'_>, sum: &Sum| {
        let of = [service(change), change.effect.as_str()].map(Cell::from);
        let verdicts = [verdict(change.old), verdict(change.new)].map(Cell::from);
        form::row(first.into_iter().chain(of).chain(verdicts).collect(), sum)
    };
    page.heading(words.changes);
    let heads = |first| {
        let sums = [words.col_queries, words.col_first, words.col_last];
        let change = [words.col_service, words.col_effect, words.col_now, words.col_then];
        Option::<Phrase>::into_iter(first).chain(change).chain(sums).collect::<Vec<_>>()
    };
    let rows = sums.tally.rules.iter().map(|(change, sum)| row(None, change, sum));
    page.table(words.by_service, &heads(None), rows.collect());
    let mut devices: Vec<_> = sums.tally.devices().into_iter().collect();
    devices.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(&b.0)));
    let rows = devices.iter().take(limit);
    let rows = rows.map(|((device, of), sum)| row(Some(form::device(device, words)), of, sum));
    page.table(words.by_device, &heads(Some(words.col_device)), rows.collect());
    form::more(devices.len(), limit, page);
    let names = sums.tally.names();
    let rows = names.iter().take(limit).map(|(of, change, sum)| {
        let snapshot = if change.is_by_new() { sides.1.snapshot } else { sides.0.snapshot };
        row(Some(form::name(of, snapshot, words)), change, sum)
    });
    page.table(words.by_name, &heads(Some(words.col_name)), rows.collect());
    form::more(names.len(), limit, page);
}

#[derive(Serialize)]
struct Whole<'a> {
    now: SideRow,
    then: SideRow,
    files: Vec<FileRow<'a>>,
    queries: SumOf,
    effects: BTreeMap<&'a str, SumOf>,
    changes: Vec<ChangeRow<'a>>,
    devices: Vec<ChangeRow<'a>>,
    names: Vec<ChangeRow<'a>>,
    unseen: [&'static str; 4],
}

#[derive(Serialize)]
struct SideRow {
    policy: String,
    at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ChangeRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    effect: &'a str,
    now: Option<RuleRow<'a>>,
    then: Option<RuleRow<'a>>,
    #[serde(flatten)]
    sum: SumOf,
}

fn change_rows<'a>(sums: &Sums<'a>, sides: (&Judge<'_>, &Judge<'_>)) -> [Vec<ChangeRow<'a>>; 3] {
    let blank = |change: &Change<'a>, sum: Sum| ChangeRow {
        device: None,
        name: None,
        effect: change.effect.as_str(),
        now: change.old.map(RuleRow::from),
        then: change.new.map(RuleRow::from),
        sum: sum.into(),
    };
    let changes = sums.tally.rules.iter().map(|(change, sum)| blank(change, *sum)).collect();
    let devices = sums
        .tally
        .devices()
        .into_iter()
        .map(|((device, change), sum)| ChangeRow { device: Some(device.to_string()), ..blank(&change, sum) });
    let names = sums
        .tally
        .names()
        .into_iter()
        .map(|(of, change, sum)| ChangeRow { name: Some(name(&of, &change, sides)), ..blank(&change, sum) });
    [changes, devices.collect(), names.collect()]
}

fn json(
    sums: &Sums<'_>,
    sides: (&Judge<'_>, &Judge<'_>),
    read: &[FileRead],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let side = |of: &Judge<'_>| SideRow { policy: hex::encode(of.snapshot.digest()), at: of.at };
    let [changes, devices, names] = change_rows(sums, sides);
    let effects = Effect::ALL.map(|effect| (effect.as_str(), sums.effects[effect as usize].into()));
    let whole = Whole {
        now: side(sides.0),
        then: side(sides.1),
        files: rows::files(read),
        queries: sums.all.into(),
        effects: effects.into_iter().collect(),
        changes,
        devices,
        names,
        unseen: rows::unseen(),
    };
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    Ok(writeln!(out)?)
}

fn csv(sums: &Sums<'_>, sides: (&Judge<'_>, &Judge<'_>), out: &mut dyn Write) -> anyhow::Result<()> {
    write_csv(
        out,
        [
            "sum",
            "device",
            "name",
            "effect",
            "now",
            "now_order",
            "now_service",
            "then",
            "then_order",
            "then_service",
            "count",
            "first",
            "last",
        ],
    )?;
    for (kind, rows) in ["change", "device", "name"].into_iter().zip(change_rows(sums, sides)) {
        for ChangeRow { device, name, effect, now, then, sum } in rows {
            let side = |of: Option<RuleRow<'_>>| {
                of.map_or(["pass".to_owned(), String::new(), String::new()], |of| {
                    [of.verdict, of.order, of.service].map(str::to_owned)
                })
            };
            let instant = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string());
            let what = [kind.to_owned(), device.unwrap_or_default(), name.unwrap_or_default(), effect.to_owned()];
            let of = [sum.count.to_string(), instant(sum.first), instant(sum.last)];
            let cells: Vec<String> = what.into_iter().chain(side(now)).chain(side(then)).chain(of).collect();
            write_csv(out, cells.iter().map(String::as_str))?;
        }
    }
    Ok(())
}
