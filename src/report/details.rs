//! The details of a page: devices, names, changes, gaps and legal facts.

use super::layout::{Writer, cells, sums, when};
use super::list::QUIET;
use super::page::{Block, Cell};
use super::texts::fill;
use super::value::{DeviceKind, Listed};
use crate::devices::Confirmation;

pub(super) fn write(of: &mut Writer<'_>) {
    of.heading(of.texts.details);
    devices(of);
    names(of);
    changes(of);
    coverage(of);
    facts(of);
}

fn more<T>(of: &mut Writer<'_>, list: &Listed<T>) {
    if list.more > 0 {
        let (more, lookups) = (of.texts.number(list.more), of.texts.number(list.more_sums.attempted()));
        of.text(of.texts.more_rows, &[&more, &lookups]);
    }
}

fn devices(of: &mut Writer<'_>) {
    let (texts, report) = (of.texts, of.report);
    let mut rows = Vec::new();
    for row in &report.devices.rows {
        let kind = match row.kind {
            DeviceKind::Hardware => texts.kind_hardware,
            DeviceKind::Address => texts.kind_address,
            DeviceKind::Network => texts.kind_network,
            DeviceKind::Anonymous => texts.kind_anonymous,
        };
        let mut cells = vec![Cell::Text(row.label.clone()), kind.into(), row.services.join(", ").into()];
        cells.extend(sums(&row.sums));
        cells.extend([when(row.first).into(), when(row.last).into()]);
        rows.push(cells);
    }
    let heads = [texts.col_device, texts.col_told, texts.col_services];
    let heads = [heads.as_slice(), &of.sum_heads(), &[texts.col_first, texts.col_last]].concat();
    of.table(texts.by_device, &heads, rows);
    more(of, &report.devices);
    next(of);
}

/// What devices may be, how they stand and what to do.
fn next(of: &mut Writer<'_>) {
    let (texts, report) = (of.texts, of.report);
    let mut rows = Vec::new();
    for row in &report.devices.rows {
        let role = match row.confidence {
            None => texts.role(row.role).to_owned(),
            Some(confidence) => format!("{} ({})", texts.role(row.role), texts.confidence(confidence)),
        };
        let (state, silent, confirmed) = match &row.standing {
            None => (texts.no_contact.to_owned(), String::new(), String::new()),
            Some(standing) => {
                let state = texts.state(standing.state);
                let again = fill(texts.seen_again, &[state]);
                let state = if standing.seen_again { again } else { state.to_owned() };
                let confirmed = standing.confirmation.as_ref().map(|of| {
                    let Confirmation { at, actor, what } = of;
                    fill(texts.confirmed_at, &[&when(*at), actor, what])
                });
                (state, standing.silent_since.map(when).unwrap_or_default(), confirmed.unwrap_or_default())
            }
        };
        rows.push(cells([row.label.clone(), role, state, silent, confirmed, texts.step(row.next).to_owned()]));
    }
    let heads =
        [texts.col_device, texts.col_role, texts.col_state, texts.col_silent, texts.col_confirmed, texts.col_next];
    of.table(texts.by_next, &heads, rows);
    of.text(texts.next_note, &[&(QUIET.as_hours() / 24).to_string()]);
}

fn names(of: &mut Writer<'_>) {
    let (texts, report) = (of.texts, of.report);
    let mut rows = Vec::new();
    for row in &report.names.rows {
        let name = if row.name.is_empty() { texts.several_names.to_owned() } else { row.name.clone() };
        let mut cells = cells([name, row.order.clone(), row.service.clone(), row.confidence.clone()]);
        cells.extend(sums(&row.sums));
        cells.extend([when(row.first).into(), when(row.last).into()]);
        rows.push(cells);
    }
    let heads = [texts.col_name, texts.col_order, texts.col_service, texts.col_confidence];
    let heads = [heads.as_slice(), &of.sum_heads(), &[texts.col_first, texts.col_last]].concat();
    of.table(texts.by_name, &heads, rows);
    more(of, &report.names);
}

fn changes(of: &mut Writer<'_>) {
    let (texts, report) = (of.texts, of.report);
    let mut rows = Vec::new();
    for row in &report.changes.rows {
        let done = if row.accepted { texts.yes } else { texts.refused };
        let mut cells = cells([node(of, row.node), when(row.at), row.act.clone(), done.to_owned()]);
        cells.extend([row.by.clone().into(), row.what.clone().into(), row.seq.into()]);
        rows.push(cells);
    }
    let heads = [
        texts.col_node,
        texts.col_instant,
        texts.col_act,
        texts.col_done,
        texts.col_by,
        texts.col_what,
        texts.col_record,
    ];
    of.table(texts.changes, &heads, rows);
    if report.changes.more > 0 {
        of.text(texts.more_plain, &[&texts.number(report.changes.more)]);
    }
}

fn coverage(of: &mut Writer<'_>) {
    let (texts, report) = (of.texts, of.report);
    let holes = report.nodes.iter().flat_map(|node| node.coverage.holes.iter().map(move |hole| (node, hole)));
    let rows = holes.map(|(node, (from, until))| cells([node.name.clone(), when(*from), when(*until)])).collect();
    of.table(texts.holes, &[texts.col_node, texts.col_from, texts.col_until], rows);
    let more_holes: u64 = report.nodes.iter().map(|node| node.coverage.more_holes).sum();
    if more_holes > 0 {
        of.text(texts.more_holes, &[&texts.number(more_holes)]);
    }
    let mut rows = Vec::new();
    for row in &report.gaps.rows {
        let (from, until) = (row.from.map(when).unwrap_or_default(), row.until.map(when).unwrap_or_default());
        let mut cells = cells([node(of, row.node), when(row.at), row.reason.clone(), from, until]);
        cells.push(row.count.map_or_else(|| texts.unknown.into(), Cell::Number));
        cells.extend([row.found.clone().into(), row.seq.into()]);
        rows.push(cells);
    }
    let heads = [
        texts.col_node,
        texts.col_instant,
        texts.col_reason,
        texts.col_from,
        texts.col_until,
        texts.col_count,
        texts.col_found,
        texts.col_record,
    ];
    of.table(texts.gaps, &heads, rows);
    if report.gaps.more > 0 {
        of.text(texts.more_plain, &[&texts.number(report.gaps.more)]);
    }
}

fn facts(of: &mut Writer<'_>) {
    let (texts, report) = (of.texts, of.report);
    let (mut facts, mut lawful) = (Vec::new(), Vec::new());
    for order in &report.orders {
        if let Some(act) = &order.act {
            let fact = |of: &super::value::FactShown| cells([order.id.clone(), of.text.clone(), of.verified.clone()]);
            facts.extend(act.facts.iter().map(fact));
            let protected = |of: &super::value::ProtectedShown| {
                cells([order.id.clone(), of.services.join(", "), of.reason.clone(), of.verified.clone()])
            };
            lawful.extend(act.protected.iter().map(protected));
        }
    }
    of.table(texts.facts, &[texts.col_order, texts.col_fact, texts.col_verified], facts);
    of.push(Block::Text(fill(texts.facts_note, &[])));
    let heads = [texts.col_order, texts.col_services, texts.col_reason, texts.col_verified];
    of.table(texts.protected, &heads, lawful);
}

fn node(of: &Writer<'_>, place: usize) -> String {
    of.report.nodes.get(place).map(|node| node.name.clone()).unwrap_or_default()
}
