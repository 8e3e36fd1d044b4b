//! Sums as a page of text.

use std::collections::BTreeSet;
use std::io::Write;

use super::reading::FileRead;
use super::rows;
use super::{Sum, Sums};
use crate::cli::output::{Table, plain};
use crate::policy::Verdict;
use crate::scan::{Account, Device, Judge};

pub(super) fn write(
    sums: &Sums<'_>,
    judge: &Judge<'_>,
    read: &[FileRead],
    limit: usize,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    head(read, out)?;
    let prohibited = [Verdict::Sunk, Verdict::Waived].map(|verdict| sums.verdicts[verdict as usize].count);
    let prohibited: u64 = prohibited.iter().sum();
    let devices = sums.tally.devices();
    let clients: BTreeSet<_> = devices
        .keys()
        .filter(|(_, rule)| matches!(rule.verdict, Verdict::Sunk | Verdict::Waived))
        .map(|(device, _)| *device)
        .collect();
    writeln!(
        out,
        "{prohibited} of {} queries attempted contact with a service that was prohibited {}, from {}",
        sums.all.count,
        judge.at.map_or_else(|| "then".to_owned(), |at| format!("at {at}")),
        told(&clients)
    )?;
    if sums.all.count > 0 {
        writeln!(out, "they are from {} to {}", sums.all.first, sums.all.last)?;
    }
    writeln!(out, "policy {}\n", hex::encode(judge.snapshot.digest()))?;
    let mut verdicts = Table::new(["VERDICT", "COUNT", "FIRST", "LAST"]);
    for verdict in Verdict::ALL {
        let sum = sums.verdicts[verdict as usize];
        if sum.count > 0 {
            let [count, first, last] = cells(&sum);
            verdicts.push([verdict.to_string(), count, first, last]);
        }
    }
    verdicts.write(out)?;
    if sums.tally.rules.is_empty() {
        writeln!(out, "\nno rule matches any name that was asked for")?;
    } else {
        tables(sums, judge, limit, out)?;
    }
    unseen(out)
}

fn tables(sums: &Sums<'_>, judge: &Judge<'_>, limit: usize, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out)?;
    let mut rules = Table::new(["ORDER", "SERVICE", "VERDICT", "COUNT", "FIRST", "LAST"]);
    for (rule, sum) in &sums.tally.rules {
        let [count, first, last] = cells(sum);
        rules.push([rule.order.to_owned(), rule.service.to_owned(), rule.verdict.to_string(), count, first, last]);
    }
    rules.write(out)?;
    let mut devices: Vec<_> = sums.tally.devices().into_iter().collect();
    devices.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(&b.0)));
    if !devices.is_empty() {
        writeln!(out)?;
        let mut table = Table::new(["DEVICE", "GROUP", "SERVICE", "VERDICT", "COUNT", "FIRST", "LAST"]);
        for ((device, rule), sum) in devices.iter().take(limit) {
            let [count, first, last] = cells(sum);
            let client = device.client().map(|client| judge.table.identify(client).group());
            let group = client.map_or("", |group| judge.snapshot.group_name(group)).to_owned();
            let service = rule.service.to_owned();
            table.push([device.to_string(), group, service, rule.verdict.to_string(), count, first, last]);
        }
        table.write(out)?;
        more(devices.len(), limit, out)?;
    }
    let names = sums.tally.names();
    if !names.is_empty() {
        writeln!(out)?;
        let mut table = Table::new(["NAME", "SERVICE", "VERDICT", "COUNT", "FIRST", "LAST"]);
        for (name, rule, sum) in names.iter().take(limit) {
            let [count, first, last] = cells(sum);
            let name = rows::folded(name, judge.snapshot);
            table.push([name, rule.service.to_owned(), rule.verdict.to_string(), count, first, last]);
        }
        table.write(out)?;
        more(names.len(), limit, out)?;
    }
    Ok(())
}

/// Begins a page: what was read, apart from what it shows.
pub(in crate::cli) fn head(read: &[FileRead], out: &mut dyn Write) -> anyhow::Result<()> {
    files(read, out)?;
    Ok(writeln!(out)?)
}

/// Says what no capture and no log shows.
pub(in crate::cli) fn unseen(out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nnot seen:")?;
    for text in rows::unseen() {
        writeln!(out, "  {text}")?;
    }
    Ok(())
}

/// Says how many devices there are; those that are summed up by network are not told apart.
pub(in crate::cli) fn told(devices: &BTreeSet<Device>) -> String {
    let least = if devices.iter().any(|device| device.client().is_none()) { "at least " } else { "" };
    format!("{least}{} device{}", devices.len(), if devices.len() == 1 { "" } else { "s" })
}

/// Says how many rows are left out.
pub(in crate::cli) fn more(all: usize, limit: usize, out: &mut dyn Write) -> anyhow::Result<()> {
    if all > limit {
        writeln!(out, "and {} more; --limit shows more, and --format json all", all - limit)?;
    }
    Ok(())
}

/// Tells what was read of each file, and what was not.
fn files(read: &[FileRead], out: &mut dyn Write) -> anyhow::Result<()> {
    for FileRead { path, format, account } in read {
        let Account { units, queries, others, twice, unread, ended } = account;
        let (unit, path) = (format.unit(), plain(path));
        writeln!(
            out,
            "{path}: {format}, {units} {unit}s: {queries} queries, {others} that are none, {} unread",
            unread.count,
            format = format.as_str()
        )?;
        if *twice > 0 {
            writeln!(out, "  {twice} {unit}s are in it once more, and count once")?;
        }
        for (why, count) in &unread.reasons {
            let first = unread.first.iter().filter(|(_, of)| of == why).map(|(place, _)| place.to_string());
            let first: Vec<_> = first.collect();
            match first.is_empty() {
                true => writeln!(out, "  {count} unread: {why}")?,
                false => writeln!(out, "  {count} unread: {why}; first {unit} {}", first.join(", "))?,
            }
        }
        if let Some(ended) = ended {
            writeln!(out, "  not read to its end: {unit} {}: {}", ended.place, plain(&ended.why))?;
        }
    }
    Ok(())
}

/// Returns a sum as cells of a table.
pub(in crate::cli) fn cells(sum: &Sum) -> [String; 3] {
    let instant = |at: jiff::Timestamp| format!("{at:.0}");
    [sum.count.to_string(), instant(sum.first), instant(sum.last)]
}
