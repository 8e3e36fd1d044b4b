//! Which names stay open below names that are sunk, so that an answer denies no more than is prohibited (RFC 8020).

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;

use super::decision::{Verdict, When};
use super::lift::Lifts;
use super::snapshot::Snapshot;
use crate::client::Client;
use crate::message::Name;
use crate::query::NamePattern;

/// Names below a listed name that may not be sunk while it is, for some client at some instant; a sample stands for each
/// glob. There may be more than are ever open: whoever asks decides on each.
#[derive(Debug, Default)]
pub(super) struct OpenBelow(HashMap<Name, Vec<Name>, foldhash::fast::RandomState>);

/// What the catalogues list below a name, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Below {
    /// Whether a name is not sunk, so that NXDOMAIN for the name above would say too much (RFC 8020).
    pub is_open: bool,
    /// The first instant at which that may change, if any is set.
    pub until: Option<Timestamp>,
}

impl Snapshot {
    /// Says whether a listed name below `name` is open to a client.
    pub fn below(&self, name: &Name, client: &Client, at: impl Into<When>) -> Below {
        let at = at.into();
        let mut found = Below { is_open: false, until: None };
        for name in self.open_below.of(name) {
            let decision = self.decide(name, client, at);
            found.is_open |= decision.verdict != Verdict::Sunk;
            found.until = [found.until, decision.until].into_iter().flatten().min();
        }
        found
    }
}

impl OpenBelow {
    /// Returns the names below `name`.
    pub(super) fn of(&self, name: &Name) -> &[Name] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Looks at every listed name, at each instant at which orders change, for each way in which groups are treated; and
    /// at all that waivers name, whenever they do.
    /// `snapshot` has no waivers yet.
    pub(super) fn find(snapshot: &Snapshot, instants: &[Timestamp], waivers: &Lifts) -> Self {
        let mut open: HashMap<Name, BTreeSet<Name>, foldhash::fast::RandomState> = HashMap::default();
        let probes = probes(snapshot, instants);
        let anyone = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let clients: Vec<_> =
            snapshot.distinct_groups().into_iter().map(|group| Client::member(anyone, group)).collect();
        for entry in 0..snapshot.entry_count() {
            for name in snapshot.entry(entry).pattern.samples() {
                let waivable = may_be_waived(snapshot, waivers, &name);
                for above in listed_above(snapshot, &name) {
                    let differs = |client: &Client| {
                        let sunk = |name: &Name, at| snapshot.decide(name, client, at).verdict == Verdict::Sunk;
                        probes.iter().any(|at| sunk(&above, *at) && !sunk(&name, *at))
                    };
                    if waivable || clients.iter().any(differs) {
                        open.entry(above).or_default().insert(name.clone());
                    }
                }
            }
        }
        for name in snapshot.inputs().operator.waivers.iter().flat_map(|waiver| &waiver.scope.names) {
            let Some(name) = sample(name).filter(|name| may_be_waived(snapshot, waivers, name)) else { continue };
            for above in listed_above(snapshot, &name) {
                open.entry(above).or_default().insert(name.clone());
            }
        }
        Self(open.into_iter().map(|(above, below)| (above, below.into_iter().collect())).collect())
    }
}

/// Returns whether some waiver could ever lift a rule that matches `name`.
fn may_be_waived(snapshot: &Snapshot, waivers: &Lifts, name: &Name) -> bool {
    let orders = 0..snapshot.inputs().orders.len();
    let mut found = false;
    snapshot.entries_of(name, |entry| {
        let service = snapshot.entry(entry).service;
        found |= orders.clone().any(|order| waivers.may_lift(order, service, name));
    });
    found
}

/// Returns the names above `name` that any entry matches.
fn listed_above(snapshot: &Snapshot, name: &Name) -> Vec<Name> {
    std::iter::successors(name.parent(), Name::parent).filter(|above| snapshot.is_listed(above)).collect()
}

/// Returns every instant, with what ends lagging behind: not at all, as far as nothing having ended, or as far as some
/// prohibition being the last that has.
fn probes(snapshot: &Snapshot, instants: &[Timestamp]) -> Vec<When> {
    let prohibitions = snapshot.inputs().orders.iter().flat_map(|order| &order.prohibitions);
    let ended: BTreeSet<Timestamp> = prohibitions.filter_map(|of| of.validity.until()).collect();
    let lags = |at: Timestamp| {
        let earlier = ended.range(..at).copied();
        [at, Timestamp::MIN].into_iter().chain(earlier).map(move |ends| When { at, ends })
    };
    instants.iter().copied().flat_map(lags).collect()
}

/// Returns a name that a pattern stands for, which nobody uses; `None` where it would be too long.
pub(super) fn sample(pattern: &NamePattern) -> Option<Name> {
    match pattern {
        NamePattern::Exact(name) => Some(name.clone()),
        NamePattern::Below(above) => {
            let wire = [b"\x01*", above.as_wire()].concat();
            Name::from_wire(&wire).ok()
        }
    }
}
