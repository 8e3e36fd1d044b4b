//! The last step of a report: everything is put in an order of its own, and what is too long is cut, with its sums.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::devices::{self, Devices};
use super::gather::{self, Gatherer, Named};
use super::list::{Judged, QUIET};
use super::sums::Sums;
use super::value::{
    Around, DeviceKind, DeviceRow, Listed, NameRow, OrderShown, PolicyUse, Report, ServiceRow, Side, Totals, WaiverUse,
};

/// The most devices and names that are listed: those with the most attempted contact.
const MAX_DEVICES: usize = 200;
const MAX_NAMES: usize = 200;

pub(super) fn finish(mut of: Gatherer<'_>) -> Report {
    let totals = totals(&of);
    of.told.shorten();
    let policies = policies(&of);
    let (services, orders, waivers, around) = (services(&of), orders(&of), waivers(&of), around(&of));
    let devices = std::mem::take(&mut of.devices);
    let devices = list_devices(&of, devices);
    let names = list_names(std::mem::take(&mut of.names), &of.services);
    let marks = of.titles.keys().cloned().collect();
    Report {
        made_from: of.basis.to_word(),
        program: concat!("Interdict ", env!("CARGO_PKG_VERSION")).to_owned(),
        nodes: of.nodes,
        orders,
        policies,
        totals,
        services,
        trend: of.bins.finish(marks),
        around,
        waivers,
        devices,
        names,
        changes: of.told.changes,
        gaps: of.told.gaps,
        basis: of.basis,
    }
}

fn totals(of: &Gatherer<'_>) -> Totals {
    let mut sums = Sums::default();
    of.nodes.iter().for_each(|node| sums.add_all(node.sums));
    let attempting = || of.devices.iter().filter(|(_, used)| used.sums.attempted() > 0);
    let of_kind = |kind| attempting().filter(|(person, _)| person.kind == kind).count() as u64;
    Totals {
        sums,
        attempted: sums.attempted(),
        let_through: sums.let_through(),
        devices: attempting().count() as u64,
        networks: of_kind(DeviceKind::Network),
        anonymous: of_kind(DeviceKind::Anonymous),
        unattributed: of.unattributed,
        unrecorded: of.unrecorded,
        threats: of.threats,
    }
}

fn policies(of: &Gatherer<'_>) -> Vec<PolicyUse> {
    let shown = |(digest, (from, until)): (&String, &(Timestamp, Timestamp))| PolicyUse {
        digest: digest.clone(),
        from: *from,
        until: *until,
        known: of.known.contains(digest),
    };
    let mut policies: Vec<_> = of.told.policies.iter().map(shown).collect();
    policies.sort_by(|one, other| (one.from, &one.digest).cmp(&(other.from, &other.digest)));
    policies
}

fn services(of: &Gatherer<'_>) -> Vec<ServiceRow> {
    let devices = devices::count(&of.devices, of.services.len(), |used| &used.services);
    let rows = of.services.iter().zip(&of.service_sums).zip(devices);
    let mut rows: Vec<_> = rows
        .map(|(((order, service), sums), devices)| ServiceRow {
            order: order.clone(),
            service: service.clone(),
            title: of.legal.service(order, service),
            sums: *sums,
            attempted: sums.attempted(),
            devices,
        })
        .filter(|row| row.sums != Sums::default())
        .collect();
    rows.sort_by_cached_key(|row| (Reverse(row.attempted), row.order.clone(), row.service.clone()));
    rows
}

fn orders(of: &Gatherer<'_>) -> Vec<OrderShown> {
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    let wanted = of.basis.order.as_deref();
    let known: BTreeSet<_> = of.legal.orders().filter(|id| wanted.is_none_or(|order| order == *id)).collect();
    for id in known.into_iter().chain(wanted) {
        sums.entry(id.to_owned()).or_default();
    }
    for ((order, _), of) in of.services.iter().zip(&of.service_sums).filter(|((order, _), _)| !order.is_empty()) {
        sums.entry(order.clone()).or_default().add_all(*of);
    }
    let shown =
        |(id, sums): (String, Sums)| OrderShown { act: of.legal.act(&id), id, sums, attempted: sums.attempted() };
    let mut orders: Vec<_> = sums.into_iter().map(shown).collect();
    orders.sort_by_cached_key(|order| (Reverse(order.attempted), order.id.clone()));
    orders
}

fn waivers(of: &Gatherer<'_>) -> Vec<WaiverUse> {
    let devices = devices::count(&of.devices, of.waivers.len(), |used| &used.waivers);
    let rows = of.waivers.iter().zip(&of.waiver_sums).zip(devices).filter(|((_, lookups), _)| **lookups > 0);
    let mut rows: Vec<_> = rows
        .map(|(((id, order), lookups), devices)| {
            let known = of.legal.waiver(id);
            WaiverUse {
                id: id.clone(),
                order: order.clone(),
                lookups: *lookups,
                devices,
                from: known.map(|of| of.term.from()),
                until: known.map(|of| of.term.until()),
                reason: known.map(|of| of.reason.clone()),
                approver: known.map(|of| of.approver.clone()),
                ticket: known.and_then(|of| of.ticket.clone()),
            }
        })
        .collect();
    rows.sort_by_cached_key(|row| (Reverse(row.lookups), row.id.clone(), row.order.clone()));
    rows
}

fn around(of: &Gatherer<'_>) -> Vec<Around> {
    let shown = |(mark, title): (&super::value::Mark, &String)| {
        let [before, after] = gather::sides(mark, of.basis.from, of.basis.to);
        let found = of.around.get(mark);
        let side = |place: usize, (from, to)| Side {
            from,
            to,
            sums: found.map(|sides| sides[place].sums).unwrap_or_default(),
            devices: found.map_or(0, |sides| sides[place].devices.len() as u64),
        };
        Around { mark: mark.clone(), title: title.clone(), before: side(0, before), after: side(1, after) }
    };
    of.titles.iter().map(shown).collect()
}

fn list_devices(of: &Gatherer<'_>, devices: Devices) -> Listed<DeviceRow> {
    let rows = devices.into_iter().filter(|(_, used)| used.sums != Sums::default());
    let mut rows: Vec<_> = rows.map(|(person, used)| (Reverse(used.sums.attempted()), person, used)).collect();
    rows.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let (more, more_sums) = cut(&mut rows, MAX_DEVICES, |row| row.2.sums);
    let confirmed = of.confirmed.before(of.basis.to);
    let shown = |(_, person, used): (_, devices::Person, devices::Use)| {
        let named = used.services.iter().filter_map(|place| of.services.get(usize::from(*place)));
        let named: BTreeSet<_> = named.map(|(_, service)| service.clone()).collect();
        let Judged { finding, standing, next } = of.judge(&used, confirmed.get(&person).copied(), QUIET);
        DeviceRow {
            label: person.label,
            kind: person.kind,
            sums: used.sums,
            attempted: used.sums.attempted(),
            services: named.into_iter().collect(),
            first: instant(used.first),
            last: instant(used.last),
            role: finding.role,
            confidence: finding.confidence,
            standing,
            next,
        }
    };
    Listed { rows: rows.into_iter().map(shown).collect(), more, more_sums }
}

fn list_names(names: BTreeMap<(String, u16), Named>, services: &[(String, String)]) -> Listed<NameRow> {
    let shown = |((name, place), of): ((String, u16), Named)| {
        let (order, service) = services.get(usize::from(place)).cloned().unwrap_or_default();
        let (first, last) = of.span.unwrap_or_default();
        NameRow {
            name,
            order,
            service,
            confidence: of.confidence,
            sums: of.sums,
            attempted: of.sums.attempted(),
            first: instant(first),
            last: instant(last),
        }
    };
    let mut rows: Vec<_> = names.into_iter().map(shown).collect();
    rows.sort_by(|one, other| {
        let key = |row: &NameRow| (Reverse(row.attempted), Reverse(row.sums.kept));
        (key(one), &one.name, &one.order, &one.service).cmp(&(key(other), &other.name, &other.order, &other.service))
    });
    let (more, more_sums) = cut(&mut rows, MAX_NAMES, |row| row.sums);
    Listed { rows, more, more_sums }
}

/// Leaves the first rows, and returns how many are gone and what they come to.
fn cut<T>(rows: &mut Vec<T>, most: usize, sums: impl Fn(&T) -> Sums) -> (u64, Sums) {
    let mut total = Sums::default();
    let rest = rows.split_off(rows.len().min(most));
    rest.iter().for_each(|row| total.add_all(sums(row)));
    (rest.len() as u64, total)
}

pub(super) fn instant(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}
