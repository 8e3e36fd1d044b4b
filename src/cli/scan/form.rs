//! Sums as a page for people who are not at a terminal: HTML, PDF or a workbook. Its words are those of `report`, in the language
//! that is asked for.

use std::collections::BTreeSet;

use super::reading::FileRead;
use super::{ShapeArgs, Sum, Sums};
use crate::policy::{Snapshot, Verdict};
use crate::report::{Cell, Document, Instant, Past, Phrase, Series};
use crate::scan::{Account, Device, Folded, Format, Judge, Timeline};

/// Returns what was found, on a page.
pub(super) fn document(
    mut sums: Sums<'_>,
    judge: &Judge<'_>,
    files: &[FileRead],
    shape: &ShapeArgs,
) -> anyhow::Result<Document> {
    let mut page = begin(&shape.lang, |words| words.scan_title, &sums.all)?;
    let over_time = std::mem::take(&mut sums.over_time);
    summary(&sums, judge, files, &mut page);
    services(&sums, judge, &mut page);
    trend(over_time, &sums, judge, &mut page);
    details(&sums, judge, shape, &mut page);
    end(files, &mut page);
    Ok(page)
}

/// Begins a page on queries of the time that a sum tells.
pub(in crate::cli) fn begin(lang: &str, title: fn(&Past) -> Phrase, all: &Sum) -> anyhow::Result<Document> {
    let mut page = Document::new(lang, title, (all.count > 0).then_some((all.first, all.last)))?;
    page.heading(page.words().glance);
    Ok(page)
}

/// Adds what answers at a glance, and of which files not all was read.
pub(in crate::cli) fn glance(
    (lead, values): (Phrase, &[&str]),
    figures: &[(u64, Phrase)],
    files: &[FileRead],
    page: &mut Document,
) {
    page.text(lead, values);
    page.figures(figures);
    for FileRead { path, account, .. } in files {
        if let Some(ended) = &account.ended {
            page.notice(page.words().not_to_end, &[path, &ended.place.to_string(), &ended.why]);
        }
    }
}

fn summary(sums: &Sums<'_>, judge: &Judge<'_>, files: &[FileRead], page: &mut Document) {
    let words = page.words();
    let is_contact = |verdict| matches!(verdict, Verdict::Sunk | Verdict::Waived);
    let devices = sums.tally.devices();
    let devices: BTreeSet<_> =
        devices.keys().filter(|(_, rule)| is_contact(rule.verdict)).map(|(device, _)| *device).collect();
    let count = |verdict: Verdict| sums.verdicts[verdict as usize].count;
    let contact = count(Verdict::Sunk).saturating_add(count(Verdict::Waived));
    let (lead, at) = match judge.at {
        None => (words.lead_then, String::new()),
        Some(at) => (words.lead_at, Document::instant(at)),
    };
    let values = [page.number(contact), page.number(sums.all.count), told(&devices, page), at];
    let figures = [
        (sums.all.count, words.tile_queries),
        (contact, words.tile_contact),
        (count(Verdict::Sunk), words.tile_withheld),
        (devices.len() as u64, words.tile_devices),
        (count(Verdict::Monitored), words.tile_monitored),
        (files.iter().map(|file| file.account.unread.count).sum(), words.tile_unread),
    ];
    glance((lead, &values.each_ref().map(String::as_str)), &figures, files, page);
    if let Some(order) = judge.order {
        page.notice(words.only_order, &[&judge.snapshot.inputs().orders[order].id]);
    }
    page.text(words.policy, &[&hex::encode(judge.snapshot.digest())]);
    let verdicts = Verdict::ALL.into_iter().filter(|verdict| count(*verdict) > 0);
    let row = |verdict: Verdict| {
        row(vec![verdict.as_str().into(), words.verdict(verdict).into()], &sums.verdicts[verdict as usize])
    };
    let heads = [words.col_verdict, words.col_meaning, words.col_queries, words.col_first, words.col_last];
    page.table(words.by_verdict, &heads, verdicts.map(row).collect());
}

/// Says how many devices there are; those that are summed up by network are not told apart.
fn told(devices: &BTreeSet<Device>, page: &Document) -> String {
    let count = page.number(devices.len() as u64);
    let is_exact = devices.iter().all(|device| device.client().is_some());
    if is_exact { count } else { page.words().at_least.with(&[&count]) }
}

fn services(sums: &Sums<'_>, judge: &Judge<'_>, page: &mut Document) {
    let words = page.words();
    page.heading(words.services);
    let mut bars: Vec<(String, [u64; 2])> = Vec::new();
    for (rule, sum) in &sums.tally.rules {
        let part = match part(rule.verdict) {
            Some(part @ (0 | 1)) => part,
            Some(_) | None => continue,
        };
        match bars.iter_mut().find(|(service, _)| service == rule.service) {
            Some((_, parts)) => parts[part] += sum.count,
            None => {
                let mut parts = [0; 2];
                parts[part] = sum.count;
                bars.push((rule.service.to_owned(), parts));
            }
        }
    }
    bars.sort_by_key(|(_, [withheld, through])| std::cmp::Reverse(withheld.saturating_add(*through)));
    if !bars.is_empty() {
        page.bars(words.services_chart, [words.part_withheld, words.part_through], &bars);
    }
    let rows = sums.tally.rules.iter().map(|(rule, sum)| {
        let prohibition = rule.prohibition.unwrap_or_default();
        row([rule.order, rule.service, prohibition, rule.verdict.as_str()].map(Cell::from).into(), sum)
    });
    let heads = [
        words.col_order,
        words.col_service,
        words.col_prohibition,
        words.col_verdict,
        words.col_queries,
        words.col_first,
        words.col_last,
    ];
    page.table(words.by_rule, &heads, rows.collect());
    prohibitions(sums, judge, page);
}

/// Returns which part of a bar a verdict counts to: withheld, let through, kept.
pub(super) const fn part(verdict: Verdict) -> Option<usize> {
    match verdict {
        Verdict::Sunk => Some(0),
        Verdict::Waived | Verdict::Monitored => Some(1),
        Verdict::Kept => Some(2),
        Verdict::Pass | Verdict::Noted | Verdict::Exempt | Verdict::Protected => None,
    }
}

/// Tells since when what is prohibited, by the orders that matched, and how well that is verified.
fn prohibitions(sums: &Sums<'_>, judge: &Judge<'_>, page: &mut Document) {
    let words = page.words();
    let matched: BTreeSet<_> = sums.tally.rules.keys().map(|rule| rule.order).collect();
    let orders = judge.snapshot.inputs().orders.iter().filter(|order| matched.contains(order.id.as_str()));
    let mut rows = Vec::new();
    for order in orders {
        for of in &order.prohibitions {
            let until = of.validity.until().map_or_else(|| words.no_end.as_str().to_owned(), Document::instant);
            let act = format!("{}: {} ({})", order.id, order.title, order.citation);
            let from = Document::instant(of.validity.from());
            rows.push([act, of.id.clone(), from, until, of.verification.to_string()].map(Cell::from).into());
        }
    }
    let heads = [words.col_order, words.col_prohibition, words.col_from, words.col_until, words.col_verified];
    page.table(words.since_when, &heads, rows);
}

/// Shows what rules matched over time; where each query is decided at its own, with the instants of the orders that matched.
fn trend(over_time: Timeline, sums: &Sums<'_>, judge: &Judge<'_>, page: &mut Document) {
    let words = page.words();
    let mut marks = BTreeSet::new();
    let matched: BTreeSet<_> = sums.tally.rules.keys().map(|rule| rule.order).collect();
    let orders = judge.snapshot.inputs().orders.iter().filter(|order| matched.contains(order.id.as_str()));
    for order in orders.filter(|_| judge.at.is_none()) {
        for of in &order.prohibitions {
            let what = format!("{}, {}", order.id, of.id);
            let ends = of.validity.until().map(|at| Instant { at, what: what.clone(), begins: false });
            marks.extend(ends.into_iter().chain([Instant { at: of.validity.from(), what, begins: true }]));
        }
    }
    let note = if judge.at.is_none() { words.trend_own } else { words.trend_fixed };
    let parts = [words.part_withheld, words.part_through, words.part_kept];
    series((over_time, &sums.all), marks.into_iter().collect(), (note, parts), page);
}

/// Adds counts over the time of all queries; none where there were no queries.
pub(in crate::cli) fn series(
    (over_time, all): (Timeline, &Sum),
    marks: Vec<Instant>,
    (note, parts): (Phrase, [Phrase; 3]),
    page: &mut Document,
) {
    if all.count > 0 {
        page.heading(page.words().trend);
        page.text(note, &[]);
        let bins = over_time.bins(all.first, all.last);
        page.series(&Series { hours: bins.hours, bins: bins.bins, marks }, parts);
    }
}

fn details(sums: &Sums<'_>, judge: &Judge<'_>, shape: &ShapeArgs, page: &mut Document) {
    let words = page.words();
    page.heading(words.details);
    let mut devices: Vec<_> = sums.tally.devices().into_iter().collect();
    devices.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(&b.0)));
    let limit = shape.limit();
    let rows = devices.iter().take(limit).map(|((of, rule), sum)| {
        let group = of.client().map(|client| judge.table.identify(client).group());
        let group = group.map_or("", |group| judge.snapshot.group_name(group));
        row(vec![device(of, words), group.into(), rule.service.into(), rule.verdict.as_str().into()], sum)
    });
    let sum_heads = [words.col_queries, words.col_first, words.col_last];
    let heads = [&[words.col_device, words.col_group, words.col_service, words.col_verdict][..], &sum_heads].concat();
    page.table(words.by_device, &heads, rows.collect());
    more(devices.len(), limit, page);
    let names = sums.tally.names();
    let rows = names.iter().take(limit).map(|(of, rule, sum)| {
        row(vec![name(of, judge.snapshot, words), rule.service.into(), rule.verdict.as_str().into()], sum)
    });
    let heads = [&[words.col_name, words.col_service, words.col_verdict][..], &sum_heads].concat();
    page.table(words.by_name, &heads, rows.collect());
    more(names.len(), limit, page);
}

/// Returns who asked, in the words of a page.
pub(in crate::cli) fn device(of: &Device, words: &Past) -> Cell {
    match of {
        Device::Client(address) if address.is_unspecified() => words.not_told.into(),
        Device::Client(_) | Device::Network(_) => of.to_string().into(),
        Device::Others => words.others.into(),
    }
}

/// Returns a name, or what many of them have in common, in the words of a page.
pub(in crate::cli) fn name(of: &Folded, snapshot: &Snapshot, words: &Past) -> Cell {
    match of {
        Folded::Name(name) => name.to_string().into(),
        Folded::Entry(entry) => {
            let entry = snapshot.entry(*entry);
            words.other_names.with(&[&entry.pattern.matching().to_string(), &entry.text]).into()
        }
    }
}

/// Returns what stands in front, and then a sum.
pub(in crate::cli) fn row(mut cells: Vec<Cell>, sum: &Sum) -> Vec<Cell> {
    let instants = [sum.first, sum.last].map(|at| Document::instant(at).into());
    cells.push(sum.count.into());
    cells.extend(instants);
    cells
}

/// Says how many rows are left out.
pub(in crate::cli) fn more(all: usize, limit: usize, page: &mut Document) {
    if all > limit {
        page.text(page.words().more, &[&page.number((all - limit) as u64)]);
    }
}

/// Ends a page with what was read, and what is not seen.
pub(in crate::cli) fn end(files: &[FileRead], page: &mut Document) {
    let words = page.words();
    page.heading(words.read);
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    for FileRead { path, format, account } in files {
        // Taken apart field by field, so that a field added to `Account` has to be dealt with here.
        let Account { units, queries, others, twice, unread: missed, ended: _ } = account;
        let what = unit(*format, words).with(&[format.as_str()]);
        let mut cells: Vec<Cell> = vec![path.clone().into(), what.into()];
        cells.extend([*units, *queries, *others, *twice, missed.count].map(Cell::Number));
        read.push(cells);
        for (why, count) in &missed.reasons {
            let first = missed.first.iter().filter(|(_, of)| of == why).map(|(place, _)| place.to_string());
            let first = first.collect::<Vec<_>>().join(", ");
            unread.push(vec![path.clone().into(), (*why).into(), Cell::Number(*count), first.into()]);
        }
    }
    let heads = [
        words.col_file,
        words.col_format,
        words.col_all,
        words.col_queries,
        words.col_others,
        words.col_twice,
        words.col_unread,
    ];
    page.table(words.files, &heads, read);
    page.table(words.unread, &[words.col_file, words.col_why, words.col_often, words.col_places], unread);
    page.heading(words.unseen);
    page.list(&words.unseen());
    page.text(words.foot, &[]);
    page.program();
}

/// Returns the text that tells what is counted in a file.
const fn unit(format: Format, words: &Past) -> Phrase {
    match format {
        Format::Pcap | Format::Pcapng => words.unit_packet,
        Format::Dnstap => words.unit_frame,
        Format::PiHole => words.unit_row,
        Format::Bind
        | Format::Unbound
        | Format::Dnsmasq
        | Format::PowerDns
        | Format::Zeek
        | Format::Suricata
        | Format::AdGuard
        | Format::Squid
        | Format::Interdict => words.unit_line,
    }
}
