//! How orders apply to groups of clients: enforced, only monitored, or not at all; by what demand, and how a block looks.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;

use super::decision::When;
use super::order::{Demand, Operator};
use super::snapshot::{Inputs, Snapshot};
use crate::client::{DEFAULT_GROUP, GroupId};

/// What a sunk name is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Sink {
    #[default]
    Nxdomain,
    Nodata,
    Refused,
    /// These addresses; a type without one is answered with NODATA.
    Address {
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
    },
}

impl Sink {
    /// Returns the word that the configuration uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nxdomain => "nxdomain",
            Self::Nodata => "nodata",
            Self::Refused => "refused",
            Self::Address { .. } => "address",
        }
    }
}

/// Whether the installation enforces at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Enforce,
    /// A dry run: whatever would be sunk is resolved and recorded as monitored.
    Monitor,
}

/// What an order comes to for some clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    #[default]
    Enforce,
    /// What is prohibited is resolved and recorded: until this instant, or with no end set.
    Monitor { until: Option<Timestamp> },
    /// The order says nothing of what these clients ask for.
    Off,
}

/// What the operator sets for an order and groups of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apply {
    pub order: String,
    /// Names of groups; empty for every group.
    pub groups: Vec<String>,
    pub phase: Phase,
    /// On whose demand; `None` as for all orders.
    pub demand: Option<Demand>,
    /// How a sunk name is answered; `None` as everywhere else.
    pub sink: Option<Sink>,
}

/// How one order applies to one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Application {
    pub phase: Phase,
    pub demand: Demand,
    pub sink: Option<Sink>,
}

impl Application {
    /// Returns whether what is prohibited is only monitored at `at`, and until when if that is set.
    pub(super) fn monitors(&self, at: When) -> Option<Option<Timestamp>> {
        match self.phase {
            Phase::Monitor { until } if until.is_none_or(|until| at.at < until) => Some(until),
            Phase::Enforce | Phase::Monitor { .. } | Phase::Off => None,
        }
    }
}

/// How every order applies to every group.
#[derive(Debug, Default)]
pub(super) struct Applications {
    /// By order, then by group; the default group comes first.
    by_order: Vec<Vec<Application>>,
}

impl Applications {
    /// Works out what holds for each order and group: of two settings for the same, the later one.
    pub(super) fn compile(inputs: &Inputs) -> Self {
        let operator = &inputs.operator;
        let groups = || (0..=operator.groups.len()).map(|group| group_name(operator, GroupId(group as u16)));
        let by_order = inputs.orders.iter().map(|order| groups().map(|group| application(operator, &order.id, group)));
        Self { by_order: by_order.map(Iterator::collect).collect() }
    }

    /// Returns how `order` applies to `group`; a group that the policy does not know is treated as the default one.
    pub(super) fn of(&self, order: usize, group: GroupId) -> &Application {
        let by_group = &self.by_order[order];
        by_group.get(usize::from(group.0)).unwrap_or(&by_group[0])
    }

    /// Returns a group for each way in which groups are told apart.
    pub(super) fn distinct_groups(&self) -> Vec<GroupId> {
        let count = self.by_order.first().map_or(1, Vec::len);
        let column = |group: usize| self.by_order.iter().map(move |by_group| by_group[group]).collect::<Vec<_>>();
        let mut seen: Vec<Vec<Application>> = Vec::new();
        let mut distinct = Vec::new();
        for group in 0..count {
            let column = column(group);
            if !seen.contains(&column) {
                seen.push(column);
                distinct.push(GroupId(group as u16));
            }
        }
        distinct
    }
}

fn application(operator: &Operator, order: &str, group: &str) -> Application {
    let concerns = |apply: &&Apply| {
        apply.order == order && (apply.groups.is_empty() || apply.groups.iter().any(|named| named == group))
    };
    let set = operator.applies.iter().rfind(concerns);
    let phase = match operator.mode {
        Mode::Enforce => set.map_or(Phase::Enforce, |set| set.phase),
        // What does not apply does not apply in a dry run either.
        Mode::Monitor => match set.map(|set| set.phase) {
            Some(Phase::Off) => Phase::Off,
            Some(Phase::Enforce | Phase::Monitor { .. }) | None => Phase::Monitor { until: None },
        },
    };
    let demand = set.and_then(|set| set.demand).unwrap_or(operator.demand);
    Application { phase, demand, sink: set.and_then(|set| set.sink) }
}

impl Snapshot {
    /// Returns the orders that do not apply to a group.
    pub fn orders_off(&self, group: GroupId) -> Vec<&str> {
        let orders = self.inputs().orders.iter().enumerate();
        let off = orders.filter(|(order, _)| self.applications.of(*order, group).phase == Phase::Off);
        off.map(|(_, order)| order.id.as_str()).collect()
    }
}

/// Returns the name of a group.
pub(super) fn group_name(operator: &Operator, group: GroupId) -> &str {
    let listed = usize::from(group.0).checked_sub(1).and_then(|place| operator.groups.get(place));
    listed.map_or(DEFAULT_GROUP, |group| &group.name)
}

/// Returns the group with this name.
pub(super) fn group_named(operator: &Operator, name: &str) -> Option<GroupId> {
    if name == DEFAULT_GROUP {
        return Some(GroupId::DEFAULT);
    }
    let place = operator.groups.iter().position(|group| group.name == name)?;
    u16::try_from(place + 1).ok().map(GroupId)
}
