//! What archived policies tell of orders: titles, dates, how well they are verified, and to whom they are applied.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::list::Help;
use super::sums::Class;
use super::value::{Act, Applied, FactShown, Mark, Phase, ProhibitionShown, ProtectedShown};
use crate::client::DEFAULT_GROUP;
use crate::devices::{Kind, Rules};
use crate::policy::{self, Demand, Entry, Order, Prohibition, Snapshot, Waiver};
use crate::store::Ruled;

/// Policies in use, the newest last; those whose archive is not there are left out.
#[derive(Debug)]
pub(super) struct Legal<'a> {
    policies: Vec<&'a Snapshot>,
    /// The digest of each.
    digests: Vec<&'a str>,
}

impl<'a> Legal<'a> {
    pub(super) fn new(policies: &'a [(String, Snapshot)]) -> Self {
        Self {
            policies: policies.iter().map(|(_, policy)| policy).collect(),
            digests: policies.iter().map(|(digest, _)| digest.as_str()).collect(),
        }
    }

    /// Returns an order by the newest policy that has it.
    fn order(&self, id: &str) -> Option<(&'a Snapshot, &'a Order)> {
        let found = |policy: &&'a Snapshot| {
            let policy: &'a Snapshot = policy;
            policy.inputs().orders.iter().find(|order| order.id == id).map(|order| (policy, order))
        };
        self.policies.iter().rev().find_map(found)
    }

    pub(super) fn orders(&self) -> impl Iterator<Item = &'a str> {
        self.policies.iter().flat_map(|policy| policy.inputs().orders.iter().map(|order| order.id.as_str()))
    }

    pub(super) fn waiver(&self, id: &str) -> Option<&'a Waiver> {
        let waivers = |policy: &&'a Snapshot| {
            let policy: &'a Snapshot = policy;
            policy.inputs().operator.waivers.iter().find(|waiver| waiver.id == id)
        };
        self.policies.iter().rev().find_map(waivers)
    }

    /// Returns since when a waiver is in force at an instant; none where no policy of `in_use`, by their digests, has it, or it is
    /// over.
    pub(super) fn in_force<'i>(
        &self,
        id: &str,
        in_use: impl Iterator<Item = &'i str>,
        at: Timestamp,
    ) -> Option<Timestamp> {
        let policies = in_use.filter_map(|digest| self.digests.iter().position(|of| *of == digest));
        let mut waivers = policies.flat_map(|place| &self.policies[place].inputs().operator.waivers);
        let term = waivers.find(|waiver| waiver.id == id)?.term;
        (term.from() <= at && at < term.until()).then(|| term.from())
    }

    /// Returns the names by which products are removed, of each order that keeps or notes them.
    pub(super) fn help(&self, wanted: impl Fn(&str) -> bool) -> Vec<Help> {
        let mut help = BTreeSet::new();
        for (policy, order) in self.orders().filter(|id| wanted(id)).filter_map(|id| self.order(id)) {
            let left = order.kept.iter().flat_map(|of| &of.services);
            let left: Vec<_> = left.chain(order.noted.iter().flat_map(|of| &of.services)).collect();
            let Some(of) = policy.inputs().catalogues.iter().find(|of| of.id == order.catalogue) else { continue };
            let is_help = |entry: &&Entry| {
                let service = of.services.get(entry.service).map(|service| &service.id);
                service.is_some_and(|id| Rules::shipped().kind(id) == Kind::Removal && left.contains(&id))
            };
            let exact = |entry: &&Entry| entry.pattern.matching().to_string() == "exact";
            help.extend(of.entries.iter().filter(is_help).filter(exact).map(|entry| Help {
                order: order.id.clone(),
                name: entry.text.clone(),
                note: entry.note.clone(),
            }));
        }
        help.into_iter().collect()
    }

    /// Returns what the catalogue of an order calls a service.
    pub(super) fn service(&self, order: &str, service: &str) -> Option<String> {
        let (policy, order) = self.order(order)?;
        let catalogue = policy.inputs().catalogues.iter().find(|catalogue| catalogue.id == order.catalogue)?;
        catalogue.services.iter().find(|of| of.id == service).map(|of| of.title.clone())
    }

    /// Returns every instant at which what a report may claim of look-ups changes.
    pub(super) fn cuts(&self) -> Vec<Timestamp> {
        let orders = || self.policies.iter().flat_map(|policy| &policy.inputs().orders);
        let published = orders().filter_map(published);
        let terms = orders().flat_map(|order| &order.prohibitions).map(|of| of.validity);
        published.chain(terms.flat_map(|term| [Some(term.from()), term.until()].into_iter().flatten())).collect()
    }

    /// Returns the instants at which prohibitions begin and end, each once, with their titles.
    pub(super) fn marks(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<Mark, String> {
        let mut marks = BTreeMap::new();
        for id in self.orders().filter(|id| wanted(id)) {
            let Some((_, order)) = self.order(id) else { continue };
            for of in &order.prohibitions {
                let ends = [(Some(of.validity.from()), true), (of.validity.until(), false)];
                for (at, begins) in ends.into_iter().filter_map(|(at, begins)| Some((at?, begins))) {
                    let mark = Mark { at, order: id.to_owned(), prohibition: of.id.clone(), begins };
                    marks.insert(mark, of.title.clone());
                }
            }
        }
        marks
    }

    /// Returns what became of look-ups that a rule matched, at an instant from which on nothing changes.
    pub(super) fn class(&self, ruled: &Ruled, at: Timestamp) -> Class {
        match ruled.verdict.as_str() {
            "sunk" => Class::Withheld,
            "waived" => Class::Waived,
            "kept" => Class::Kept,
            "monitored" => self.monitored(ruled, at),
            _ => Class::Other,
        }
    }

    fn monitored(&self, ruled: &Ruled, at: Timestamp) -> Class {
        let Some((_, order)) = self.order(&ruled.order) else { return Class::Early };
        if published(order).is_none_or(|published| at < published) {
            return Class::Early;
        }
        // Look-ups that are only counted name no prohibition.
        let named = |of: &&Prohibition| match &ruled.prohibition {
            Some(id) => of.id == *id,
            None => of.services.contains(&ruled.service),
        };
        match order.prohibitions.iter().filter(named).map(|of| of.validity.from()).min() {
            Some(from) if at < from => Class::Pending,
            Some(_) | None => Class::Watched,
        }
    }

    pub(super) fn act(&self, id: &str) -> Option<Act> {
        let (policy, order) = self.order(id)?;
        Some(Act {
            title: order.title.clone(),
            issuer: order.issuer.clone(),
            citation: order.citation.clone(),
            rules: order.rules.clone(),
            published: order.published,
            prohibitions: order.prohibitions.iter().map(prohibition).collect(),
            protected: order.protected.iter().map(protected).collect(),
            facts: order.facts.iter().map(fact).collect(),
            applied: applied(policy, id),
        })
    }
}

/// The day of publication begins in UTC; no hour of it is known.
fn published(order: &Order) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(order.published.to_datetime(Time::midnight())).ok()
}

fn prohibition(of: &Prohibition) -> ProhibitionShown {
    ProhibitionShown {
        id: of.id.clone(),
        title: of.title.clone(),
        from: of.validity.from(),
        until: of.validity.until(),
        basis: of.basis.clone(),
        verified: of.verification.to_string(),
        services: of.services.clone(),
    }
}

fn protected(of: &policy::Protected) -> ProtectedShown {
    ProtectedShown { services: of.services.clone(), reason: of.reason.clone(), verified: of.verification.to_string() }
}

fn fact(of: &policy::Fact) -> FactShown {
    FactShown { text: of.text.clone(), verified: of.verification.to_string() }
}

fn applied(policy: &Snapshot, order: &str) -> Vec<Applied> {
    let operator = &policy.inputs().operator;
    let groups = std::iter::once(DEFAULT_GROUP).chain(operator.groups.iter().map(|group| group.name.as_str()));
    let place = policy.inputs().orders.iter().position(|of| of.id == order);
    let of = |group: &str| {
        let application = policy.application(place?, policy.group_named(group)?);
        let (phase, until) = match application.phase {
            policy::Phase::Enforce => (Phase::Enforce, None),
            policy::Phase::Monitor { until } => (Phase::Monitor, until),
            policy::Phase::Off => (Phase::Off, None),
        };
        Some(Applied { group: group.to_owned(), phase, until, binding: application.demand == Demand::External })
    };
    groups.filter_map(of).collect()
}
