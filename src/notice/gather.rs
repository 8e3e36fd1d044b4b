//! From the index to what a notice says: the devices that attempted contact with the services of a prohibition.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::facts::{Facts, Group, Listed, Subject, clean, whole};
use super::plan::{Mark, Notice};
use crate::client::{DEFAULT_GROUP, GroupId};
use crate::devices::State;
use crate::ledger::KeyRing;
use crate::policy::{Application, Mode, Order, Phase, Prohibition, Snapshot};
use crate::report::{self, Basis, Device, DeviceList, Format, Gatherer, Node, NodeBasis, QUIET, Source};
use crate::store::{Seen, Store};

pub use crate::report::GatherError;

/// The most devices that are listed.
const MAX_LISTED: usize = 1000;

/// What a notice is made from.
pub struct Wanted<'a> {
    pub store: &'a Store,
    /// Policies by their digests, the one in use at the end.
    pub policies: &'a [(String, Snapshot)],
    pub keys: KeyRing,
    /// Tells what a device is called now, by what records tell it by.
    pub names: &'a dyn Fn(&str) -> Option<String>,
    pub list_devices: bool,
}

impl std::fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("list_devices", &self.list_devices).finish_non_exhaustive()
    }
}

/// Returns the instants at which prohibitions begin, of all orders that apply to anybody.
pub fn marks(snapshot: &Snapshot) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (place, order) in snapshot.inputs().orders.iter().enumerate() {
        let applies = groups(snapshot).any(|group| !matches!(application(snapshot, place, group).phase, Phase::Off));
        marks.extend(order.prohibitions.iter().filter(|_| applies).map(|of| Mark {
            order: order.id.clone(),
            prohibition: of.id.clone(),
            at: of.validity.from(),
            until: of.validity.until(),
        }));
    }
    marks
}

/// Fills in what records tell of the subjects of a notice: of its one prohibition, or, for a digest, of all.
///
/// # Errors
/// Where index or keys cannot be read.
pub fn gather(of: &mut Wanted<'_>, notice: &Notice, mut facts: Facts) -> Result<Facts, GatherError> {
    let Some((_, snapshot)) = of.policies.last() else { return Ok(facts) };
    let is_dry_run = snapshot.inputs().operator.mode == Mode::Monitor;
    let lifted = snapshot.only_monitors_until(facts.at);
    facts.only_monitored = is_dry_run || lifted.is_some();
    facts.only_monitored_until = lifted.filter(|_| !is_dry_run).map(whole);
    let marks = match &notice.mark {
        Some(mark) => vec![mark.clone()],
        None => marks(snapshot).into_iter().filter(|mark| mark.until.is_none_or(|until| facts.at < until)).collect(),
    };
    let mut lists: BTreeMap<String, DeviceList> = BTreeMap::new();
    for mark in marks {
        let Some((place, order)) =
            snapshot.inputs().orders.iter().enumerate().find(|(_, order)| order.id == mark.order)
        else {
            continue;
        };
        let Some(prohibition) = order.prohibitions.iter().find(|of| of.id == mark.prohibition) else { continue };
        if !lists.contains_key(&order.id) {
            let list = devices(of, &order.id, (facts.at, facts.look_back_days))?;
            facts.until = facts.until.max(list.until.map(whole));
            lists.insert(order.id.clone(), list);
        }
        let devices = lists[&order.id].devices.iter();
        let devices = devices.filter(|device| device.services.iter().any(|of| prohibition.services.contains(of)));
        facts.subjects.push(subject((order, prohibition), (snapshot, place), devices.collect(), of, facts.at));
    }
    Ok(facts)
}

fn devices(of: &mut Wanted<'_>, order: &str, (at, days): (Timestamp, u16)) -> Result<DeviceList, GatherError> {
    let node =
        NodeBasis { first: 0, last: u64::MAX, logs: Vec::new(), keys: Vec::new(), anchor: None, verified: false };
    let basis = Basis {
        version: report::VERSION,
        format: Format::Json,
        lang: String::new(),
        from: at.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN),
        // A notice tells its instant in whole seconds: what was attempted in that second belongs to it.
        to: whole(at).checked_add(SignedDuration::from_secs(1)).unwrap_or(at),
        order: Some(order.to_owned()),
        group: None,
        duty: None,
        nodes: vec![node.clone()],
    };
    let mut gatherer = Gatherer::new(basis, of.policies);
    let keys = &mut of.keys;
    let mut reveal = |seen: &Seen| report::reveal(seen, keys);
    gatherer.add_devices(Source { store: of.store, basis: &node, node: Node::default(), reveal: &mut reveal })?;
    Ok(gatherer.devices(QUIET, false))
}

fn subject(
    (order, prohibition): (&Order, &Prohibition),
    (snapshot, place): (&Snapshot, usize),
    devices: Vec<&Device>,
    wanted: &Wanted<'_>,
    at: Timestamp,
) -> Subject {
    let begins = prohibition.validity.from();
    let left = begins.duration_since(at).as_secs();
    let mut subject = Subject {
        order: clean(&order.id),
        title: clean(&order.title),
        citation: clean(&order.citation),
        prohibition: clean(&prohibition.id),
        what: clean(&prohibition.title),
        begins: whole(begins),
        in_force: begins <= at,
        days_left: if left > 0 { (left + 86_399) / 86_400 } else { 0 },
        verified: prohibition.verification.to_string(),
        devices: 0,
        active: 0,
        gone_quiet: 0,
        waived: 0,
        removed: 0,
        groups: Vec::new(),
        listed: wanted.list_devices.then(Vec::new),
        unlisted: 0,
    };
    let mut by_group: BTreeMap<&str, Group> = BTreeMap::new();
    for device in devices {
        let Some(standing) = &device.standing else { continue };
        if standing.state == State::Removed {
            subject.removed += 1;
            continue;
        }
        let name = device.group.as_deref().unwrap_or(DEFAULT_GROUP);
        let group = by_group.entry(name).or_insert_with(|| Group {
            group: clean(name),
            treatment: treatment(application(snapshot, place, name), snapshot.only_monitors_until(at), at),
            devices: 0,
            active: 0,
            gone_quiet: 0,
            waived: 0,
        });
        let (of_all, of_group) = match standing.state {
            State::Active | State::Removed => (&mut subject.active, &mut group.active),
            State::GoneQuiet => (&mut subject.gone_quiet, &mut group.gone_quiet),
            State::Waived => (&mut subject.waived, &mut group.waived),
        };
        (*of_all, *of_group) = (*of_all + 1, *of_group + 1);
        (subject.devices, group.devices) = (subject.devices + 1, group.devices + 1);
        match &mut subject.listed {
            Some(listed) if listed.len() < MAX_LISTED => {
                listed.push(row(device, name, standing.state, prohibition, wanted))
            }
            Some(_) => subject.unlisted += 1,
            None => {}
        }
    }
    subject.groups = by_group.into_values().collect();
    subject
}

fn row(device: &Device, group: &str, state: State, prohibition: &Prohibition, wanted: &Wanted<'_>) -> Listed {
    let services = device.services.iter().filter(|service| prohibition.services.contains(service));
    Listed {
        device: clean(&device.label),
        name: (wanted.names)(&device.label).map(|name| clean(&name)),
        group: clean(group),
        state: state.as_str(),
        services: services.map(|service| clean(service)).collect(),
        last: whole(device.last),
        next: device.next.words(),
    }
}

fn groups(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    let own = snapshot.inputs().operator.groups.iter().map(|group| group.name.as_str());
    std::iter::once(DEFAULT_GROUP).chain(own)
}

/// A group that the policy has no more is treated as the default one.
fn application(snapshot: &Snapshot, order: usize, group: &str) -> Application {
    *snapshot.application(order, snapshot.group_named(group).unwrap_or(GroupId::DEFAULT))
}

/// `lifted`: until when all prohibitions are lifted, where somebody has lifted them for a while.
fn treatment(of: Application, lifted: Option<Timestamp>, at: Timestamp) -> String {
    let until = match of.phase {
        Phase::Off => return "the order does not apply".to_owned(),
        Phase::Monitor { until: None } => return "only monitored".to_owned(),
        Phase::Monitor { until } => until.max(lifted),
        Phase::Enforce => lifted,
    };
    match until.filter(|until| at < *until) {
        Some(until) => format!("only monitored until {until:.0}"),
        None => "withheld while in force".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_to_be_withheld_where_a_resolver_only_monitors() {
        let at: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-10-01T00:15:00Z".parse().unwrap();
        let latest: Timestamp = "2026-10-02T00:00:00Z".parse().unwrap();
        let of = |phase| Application { phase, ..Application::default() };
        let until = |until| Phase::Monitor { until: Some(until) };
        for (phase, lifted, words) in [
            (Phase::Enforce, None, "withheld while in force"),
            (until(at), None, "withheld while in force"),
            (until(latest), None, "only monitored until 2026-10-02T00:00:00Z"),
            (Phase::Enforce, Some(later), "only monitored until 2026-10-01T00:15:00Z"),
            (until(at), Some(later), "only monitored until 2026-10-01T00:15:00Z"),
            (until(latest), Some(later), "only monitored until 2026-10-02T00:00:00Z"),
            (Phase::Monitor { until: None }, None, "only monitored"),
            (Phase::Monitor { until: None }, Some(later), "only monitored"),
            (Phase::Off, Some(later), "the order does not apply"),
        ] {
            assert_eq!(treatment(of(phase), lifted, at), words, "{phase:?} {lifted:?}");
        }
    }
}
