//! Waivers compiled for deciding: which of them lift a prohibition for a client and a name.

use jiff::Timestamp;

use super::application::group_named;
use super::catalogue::Catalogue;
use super::contradiction::CompileError;
use super::decision::When;
use super::order::Order;
use super::snapshot::Inputs;
use super::waiver::{Party, Rules, Scope, Term, Waiver};
use crate::client::{Client, GroupId};
use crate::message::Name;
use crate::query::{NamePattern, TargetRef};

/// Waivers by the orders that they concern.
#[derive(Debug)]
pub(super) struct Lifts {
    by_order: Vec<Vec<Lift>>,
    /// When nothing at all is enforced for anybody.
    idle: Vec<Term>,
}

/// What one waiver lifts of one order.
#[derive(Debug)]
struct Lift {
    /// Index into the waivers of the operator.
    waiver: usize,
    term: Term,
    /// Empty for everyone.
    clients: Vec<Member>,
    /// Indexes of services in the catalogue of the order; `None` for all.
    services: Option<Vec<usize>>,
    /// Empty for every name.
    names: Vec<NamePattern>,
    /// Whether it lifts every rule alike, so that no name is let through beside another.
    levels: bool,
}

#[derive(Debug)]
enum Member {
    Group(GroupId),
    Network(ipnet::IpNet),
}

/// What waivers make of a prohibition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifted {
    /// The waiver in force, by its place among the operator's.
    pub(super) waiver: Option<usize>,
    /// When that may become another, if it is set.
    pub(super) until: Option<Timestamp>,
}

impl Lifts {
    /// Returns no waivers.
    pub(super) const fn none() -> Self {
        Self { by_order: Vec::new(), idle: Vec::new() }
    }

    /// Compiles the waivers of the operator.
    pub(super) fn compile(inputs: &Inputs, errors: &mut Vec<CompileError>) -> Self {
        let waivers = &inputs.operator.waivers;
        for (place, waiver) in waivers.iter().enumerate() {
            check(waiver, inputs, errors);
            if waivers[..place].iter().any(|earlier| earlier.id == waiver.id) {
                errors.push(CompileError::DuplicateWaiver(waiver.id.clone()));
            }
        }
        let of_order = |order: &Order| {
            let catalogue = inputs.catalogues.iter().find(|catalogue| catalogue.id == order.catalogue);
            let lift = |(place, waiver): (usize, &Waiver)| {
                let services = services(&waiver.scope.rules, order, catalogue?)?;
                let clients = waiver.scope.clients.iter().filter_map(|party| match party {
                    Party::Group(name) => group_named(&inputs.operator, name).map(Member::Group),
                    Party::Network(network) => Some(Member::Network(*network)),
                });
                let Scope { rules, names, .. } = &waiver.scope;
                Some(Lift {
                    waiver: place,
                    term: waiver.term,
                    clients: clients.collect(),
                    services,
                    names: names.clone(),
                    levels: *rules == Rules::Everything && names.is_empty(),
                })
            };
            waivers.iter().enumerate().filter_map(lift).collect()
        };
        let of_all = |waiver: &&Waiver| {
            let Scope { clients, rules, names } = &waiver.scope;
            *rules == Rules::Everything && clients.is_empty() && names.is_empty()
        };
        let idle = waivers.iter().filter(of_all).map(|waiver| waiver.term).collect();
        Self { by_order: inputs.orders.iter().map(of_order).collect(), idle }
    }

    /// Says whether nothing at all is enforced for anybody.
    pub(super) fn is_idle(&self, at: When) -> bool {
        self.idle.iter().any(|Term { from, until }| *from <= at.ends && at.at < *until)
    }

    /// Returns until when nothing at all is enforced for anybody; none where something is.
    pub(super) fn idle_until(&self, at: When) -> Option<Timestamp> {
        let in_force = |at: When| {
            let terms = self.idle.iter().filter(|Term { from, until }| *from <= at.ends && at.at < *until);
            terms.map(|term| term.until).max()
        };
        let mut end = in_force(at)?;
        // One may follow upon another.
        while let Some(later) = in_force(end.into()) {
            end = later;
        }
        Some(end)
    }

    /// Says whether a waiver lets `client` through to `target`, which `order` prohibits as one of `service`. Of several,
    /// the one that lasts longest counts. One that is for certain names lets through no addresses.
    pub(super) fn lift(
        &self,
        order: usize,
        service: usize,
        target: TargetRef<'_>,
        client: &Client,
        at: When,
    ) -> Lifted {
        let mut in_force: Option<&Lift> = None;
        let mut next: Option<Timestamp> = None;
        let waivers = self.by_order.get(order).map_or(&[][..], Vec::as_slice);
        for lift in waivers.iter().filter(|lift| lift.covers(service, target, client)) {
            let Term { from, until } = lift.term;
            // What lifts a prohibition begins by the clock that is borne out, and is over by any.
            if at.at >= until {
                continue;
            }
            if from <= at.ends {
                if in_force.is_none_or(|other| until > other.term.until()) {
                    in_force = Some(lift);
                }
            } else {
                let begins = at.reaches(from);
                next = Some(next.map_or(begins, |next| next.min(begins)));
            }
        }
        match in_force {
            // One that begins later matters only if this one ends first, and then the decision is due again anyway.
            Some(lift) => Lifted { waiver: Some(lift.waiver), until: Some(lift.term.until()) },
            None => Lifted { waiver: None, until: next },
        }
    }

    /// Returns whether any waiver could ever lift what `order` prohibits of `name` as one of `service`.
    pub(super) fn may_lift(&self, order: usize, service: usize, name: &Name) -> bool {
        let fits = |lift: &Lift| !lift.levels && lift.has_service(service) && lift.has_target(name.into());
        self.by_order[order].iter().any(fits)
    }
}

impl Lift {
    fn covers(&self, service: usize, target: TargetRef<'_>, client: &Client) -> bool {
        self.has_service(service) && self.has_client(client) && self.has_target(target)
    }

    fn has_service(&self, service: usize) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(&service))
    }

    fn has_target(&self, target: TargetRef<'_>) -> bool {
        self.names.is_empty()
            || match target {
                TargetRef::Name(name) => self.names.iter().any(|pattern| pattern.matches(name)),
                TargetRef::Address(_) => false,
            }
    }

    fn has_client(&self, client: &Client) -> bool {
        let is_member = |member: &Member| match member {
            Member::Group(group) => client.group() == *group,
            Member::Network(network) => client.is_in(network),
        };
        self.clients.is_empty() || self.clients.iter().any(is_member)
    }
}

/// Returns the services of an order that rules name: all of them for `Some(None)`, and `None` where they do not
/// concern the order.
fn services(rules: &Rules, order: &Order, catalogue: &Catalogue) -> Option<Option<Vec<usize>>> {
    let place = |id: &String| catalogue.services.iter().position(|service| service.id == *id);
    match rules {
        Rules::Everything => Some(None),
        Rules::Order { order: id, .. } if *id != order.id => None,
        Rules::Order { services, .. } if services.is_empty() => Some(None),
        Rules::Order { services, .. } => Some(Some(services.iter().filter_map(place).collect())),
        Rules::Service { catalogue: id, service } if *id == catalogue.id => {
            Some(Some(place(service).into_iter().collect()))
        }
        Rules::Service { .. } => None,
    }
}

fn check(waiver: &Waiver, inputs: &Inputs, errors: &mut Vec<CompileError>) {
    let id = || waiver.id.clone();
    let catalogue = |wanted: &str| inputs.catalogues.iter().find(|catalogue| catalogue.id == wanted);
    let mut lacks = |of: &Catalogue, service: &String| {
        if !of.services.iter().any(|known| known.id == *service) {
            let (service, catalogue) = (service.clone(), of.id.clone());
            errors.push(CompileError::WaiverOfUnknownService { waiver: id(), service, catalogue });
        }
    };
    match &waiver.scope.rules {
        Rules::Everything => {}
        Rules::Order { order, services } => match inputs.orders.iter().find(|of| of.id == *order) {
            Some(order) => {
                if let Some(of) = catalogue(&order.catalogue) {
                    services.iter().for_each(|service| lacks(of, service));
                }
            }
            None => errors.push(CompileError::WaiverOfUnknownOrder { waiver: id(), order: order.clone() }),
        },
        Rules::Service { catalogue: wanted, service } => match catalogue(wanted) {
            Some(of) => lacks(of, service),
            None => errors.push(CompileError::WaiverOfUnknownCatalogue { waiver: id(), catalogue: wanted.clone() }),
        },
    }
}
