//! Sums as a page for people who are not at a terminal: HTML, PDF or a workbook.

use std::collections::BTreeSet;

use super::reading::FileRead;
use super::rows::{self, UNSEEN};
use super::{ShapeArgs, Sum, Sums, page};
use crate::policy::Verdict;
use crate::report::{Cell, Document};
use crate::scan::{Account, Judge};

/// Returns what was found, on a page.
pub(super) fn document(sums: &Sums<'_>, judge: &Judge<'_>, files: &[FileRead], shape: &ShapeArgs) -> Document {
    let mut page = begin("What was asked before: attempted contact with prohibited services", &sums.all);
    summary(sums, judge, files, &mut page);
    services(sums, judge, &mut page);
    details(sums, judge, shape, &mut page);
    end(files, &mut page);
    page
}

/// Begins a page on queries of the time that a sum tells.
pub(in crate::cli) fn begin(title: &str, all: &Sum) -> Document {
    let subtitle = match all.count {
        0 => "No queries".to_owned(),
        _ => format!("Queries from {:.0} to {:.0}", all.first, all.last),
    };
    Document::new(title, &subtitle)
}

fn summary(sums: &Sums<'_>, judge: &Judge<'_>, files: &[FileRead], page: &mut Document) {
    page.heading("At a glance");
    let is_contact = |verdict| matches!(verdict, Verdict::Sunk | Verdict::Waived);
    let devices = sums.tally.devices();
    let devices: BTreeSet<_> =
        devices.keys().filter(|(_, rule)| is_contact(rule.verdict)).map(|(device, _)| *device).collect();
    let count = |verdict: Verdict| sums.verdicts[verdict as usize].count;
    let contact = count(Verdict::Sunk).saturating_add(count(Verdict::Waived));
    let when = judge.at.map_or_else(|| "when it was asked for".to_owned(), |at| format!("at {at}"));
    page.text(&format!(
        "{contact} of {} queries attempted contact with a service that was prohibited {when}, from {}.",
        sums.all.count,
        page::told(&devices)
    ));
    page.figures(&[
        (sums.all.count, "queries"),
        (contact, "attempted contact with a prohibited service"),
        (count(Verdict::Sunk), "of them would have been withheld"),
        (devices.len() as u64, "devices or networks that attempted contact"),
        (count(Verdict::Monitored), "contact before a prohibition, or under an order that is only monitored"),
        (files.iter().map(|file| file.account.unread.count).sum(), "lines or packets that could not be read"),
    ]);
    ended(files, page);
    if let Some(order) = judge.order {
        page.notice(&format!("Only the order {} counts.", judge.snapshot.inputs().orders[order].id));
    }
    page.text(&format!("Decided by the policy with the digest {}.", hex::encode(judge.snapshot.digest())));
    let verdicts = Verdict::ALL.into_iter().filter(|verdict| count(*verdict) > 0);
    let row = |verdict: Verdict| row(vec![verdict.to_string().into()], &sums.verdicts[verdict as usize]);
    page.table("By verdict", &["Verdict", "Queries", "First", "Last"], verdicts.map(row).collect());
}

fn services(sums: &Sums<'_>, judge: &Judge<'_>, page: &mut Document) {
    page.heading("Services");
    let mut bars: Vec<(String, [u64; 2])> = Vec::new();
    for (rule, sum) in &sums.tally.rules {
        let part = match rule.verdict {
            Verdict::Sunk => 0,
            Verdict::Waived | Verdict::Monitored => 1,
            Verdict::Pass | Verdict::Noted | Verdict::Exempt | Verdict::Protected | Verdict::Kept => continue,
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
        page.bars("Queries by service", &["would have been withheld", "waived or monitored"], &bars);
    }
    let rows = sums.tally.rules.iter().map(|(rule, sum)| {
        let prohibition = rule.prohibition.unwrap_or_default();
        row([rule.order, rule.service, prohibition, rule.verdict.as_str()].map(Cell::from).into(), sum)
    });
    let heads = ["Order", "Service", "Prohibition", "Verdict", "Queries", "First", "Last"];
    page.table("By order and service", &heads, rows.collect());
    prohibitions(sums, judge, page);
}

/// Tells since when what is prohibited, by the orders that matched, and how well that is verified.
fn prohibitions(sums: &Sums<'_>, judge: &Judge<'_>, page: &mut Document) {
    let matched: BTreeSet<_> = sums.tally.rules.keys().map(|rule| rule.order).collect();
    let orders = judge.snapshot.inputs().orders.iter().filter(|order| matched.contains(order.id.as_str()));
    let mut rows = Vec::new();
    for order in orders {
        for of in &order.prohibitions {
            let until = of.validity.until().map_or_else(|| "no end set".to_owned(), |until| until.to_string());
            let act = format!("{}: {} ({})", order.id, order.title, order.citation);
            let from = of.validity.from().to_string();
            rows.push([act, of.id.clone(), from, until, of.verification.to_string()].map(Cell::from).into());
        }
    }
    page.table("Since when", &["Order", "Prohibition", "From", "Until", "Verified"], rows);
}

fn details(sums: &Sums<'_>, judge: &Judge<'_>, shape: &ShapeArgs, page: &mut Document) {
    page.heading("Details");
    let mut devices: Vec<_> = sums.tally.devices().into_iter().collect();
    devices.sort_by(|a, b| b.1.count.cmp(&a.1.count).then_with(|| a.0.cmp(&b.0)));
    let limit = shape.limit();
    let rows = devices.iter().take(limit).map(|((device, rule), sum)| {
        let group = device.client().map(|client| judge.table.identify(client).group());
        let group = group.map_or("", |group| judge.snapshot.group_name(group));
        row(vec![device.to_string().into(), group.into(), rule.service.into(), rule.verdict.as_str().into()], sum)
    });
    let heads = ["Device", "Group", "Service", "Verdict", "Queries", "First", "Last"];
    page.table("By device", &heads, rows.collect());
    more(devices.len(), limit, page);
    let names = sums.tally.names();
    let rows = names.iter().take(limit).map(|(name, rule, sum)| {
        row(vec![rows::folded(name, judge.snapshot).into(), rule.service.into(), rule.verdict.as_str().into()], sum)
    });
    page.table("By name", &["Name", "Service", "Verdict", "Queries", "First", "Last"], rows.collect());
    more(names.len(), limit, page);
}

/// Returns what stands in front, and then a sum.
pub(in crate::cli) fn row(mut cells: Vec<Cell>, sum: &Sum) -> Vec<Cell> {
    let [_, first, last] = page::cells(sum);
    cells.extend([sum.count.into(), first.into(), last.into()]);
    cells
}

/// Says how many rows are left out.
pub(in crate::cli) fn more(all: usize, limit: usize, page: &mut Document) {
    if all > limit {
        page.text(&format!("And {} more; the forms JSON and CSV have all.", all - limit));
    }
}

/// Says of which files not all was read.
pub(in crate::cli) fn ended(files: &[FileRead], page: &mut Document) {
    for FileRead { path, format, account } in files {
        if let Some(ended) = &account.ended {
            let unit = format.unit();
            page.notice(&format!("{path} was not read to its end: {unit} {}: {}", ended.place, ended.why));
        }
    }
}

/// Ends a page with what was read, and what is not seen.
pub(in crate::cli) fn end(files: &[FileRead], page: &mut Document) {
    page.heading("What was read");
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    for FileRead { path, format, account } in files {
        let Account { units, queries, others, twice, unread: missed, ended: _ } = account;
        let what = format!("{}, by {}s", format.as_str(), format.unit());
        let mut cells: Vec<Cell> = vec![path.clone().into(), what.into()];
        cells.extend([*units, *queries, *others, *twice, missed.count].map(Cell::Number));
        read.push(cells);
        for (why, count) in &missed.reasons {
            let first = missed.first.iter().filter(|(_, of)| of == why).map(|(place, _)| place.to_string());
            let first = first.collect::<Vec<_>>().join(", ");
            unread.push(vec![path.clone().into(), (*why).into(), Cell::Number(*count), first.into()]);
        }
    }
    page.table("Files", &["File", "What it is", "All", "Queries", "Others", "Held twice", "Unread"], read);
    page.table("What could not be read", &["File", "Why", "How often", "First places"], unread);
    page.heading("What this cannot see");
    page.list(UNSEEN);
    page.text(
        "An order that prohibits a service need not penalise its use. This page says who attempted contact with a service, and \
         accuses nobody. It rests on files whose origin is not proven, and is no legal advice.",
    );
    page.text(concat!("interdict ", env!("CARGO_PKG_VERSION")));
}
