//! Two policies side by side: what each makes of a name, for a client, from an instant on.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use super::application::Sink;
use super::below::sample;
use super::decision::{Decision, Verdict, When};
use super::order::Demand;
use super::pattern::Pattern;
use super::snapshot::Snapshot;
use crate::client::{Client, DEFAULT_GROUP, GroupId};
use crate::message::Name;
use crate::query::{NamePattern, Target, TargetRef};

/// What a policy makes of a name, in words that another policy has too: identifiers, not places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ruling<'a> {
    pub verdict: Verdict,
    /// The order, the service and the rest are those of the deciding rule; there is none for `Verdict::Pass`.
    pub order: Option<&'a str>,
    pub prohibition: Option<&'a str>,
    pub service: Option<&'a str>,
    pub waiver: Option<&'a str>,
    /// How a sunk name is answered: by whose demand, and in which way where the order has one of its own.
    pub answer: Option<(Demand, Option<Sink>)>,
}

/// A period in which two policies differ on a name: `from <= at < until`. An absent `until` means that no end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference<'a> {
    pub from: Timestamp,
    pub until: Option<Timestamp>,
    pub old: Ruling<'a>,
    pub new: Ruling<'a>,
}

/// How many names another policy treats otherwise, now or at a later instant, for any group of clients. A name may count
/// as both sunk and freed, where it is one after the other or for different groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// Withheld, and were not.
    pub sunk: u64,
    /// Neither withheld any longer nor told of as attempted contacts.
    pub freed: u64,
    /// Otherwise in any other way.
    pub other: u64,
}

/// How many instants an effect looks at, the present one included.
const INSTANTS: usize = 64;

/// Returns what putting `new` in the place of `old` does to the names that either lists, from `at` on.
pub fn effect(old: &Snapshot, new: &Snapshot, at: Timestamp) -> Effect {
    let mut instants = BTreeSet::from([at]);
    for policy in [old, new] {
        let later = std::iter::successors(policy.next_instant(at), |at| policy.next_instant(*at));
        instants.extend(later.take(INSTANTS));
    }
    let groups = new.inputs().operator.groups.iter().map(|group| group.name.as_str());
    let clients: Vec<[Client; 2]> = std::iter::once(DEFAULT_GROUP)
        .chain(groups)
        .map(|group| {
            let id = |policy: &Snapshot| policy.group_named(group).unwrap_or(GroupId::DEFAULT);
            [old, new].map(|policy| Client::member(Ipv4Addr::UNSPECIFIED.into(), id(policy)))
        })
        .collect();
    let mut effect = Effect::default();
    for target in &old.listed() | &new.listed() {
        let instants = || instants.iter().copied().take(INSTANTS);
        let found =
            clients.iter().flat_map(|[before, after]| differences((old, before), (new, after), &target, instants()));
        let (mut sunk, mut freed, mut other) = (false, false, false);
        for Difference { old, new, .. } in found {
            match (old.verdict, new.verdict) {
                (old, Verdict::Sunk) if old != Verdict::Sunk => sunk = true,
                (
                    Verdict::Sunk | Verdict::Monitored | Verdict::Waived,
                    Verdict::Pass | Verdict::Noted | Verdict::Exempt | Verdict::Protected | Verdict::Kept,
                ) => freed = true,
                (_, _) => other = true,
            }
        }
        effect.sunk += u64::from(sunk);
        effect.freed += u64::from(freed);
        effect.other += u64::from(other && !sunk && !freed);
    }
    effect
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sunk, freed, other } = self;
        write!(f, "{sunk} listed names newly sunk, {freed} freed, {other} treated otherwise")
    }
}

impl Snapshot {
    /// Returns what stands for all that this policy tells apart: the names that entries write out, a sample for each
    /// glob, one below each suffix, the first address of each network, and the names of waivers. In order, each once.
    pub fn listed(&self) -> BTreeSet<Target> {
        let mut listed = BTreeSet::new();
        for entry in self.inputs().catalogues.iter().flat_map(|catalogue| &catalogue.entries) {
            let below = entry.pattern.covers_below().and_then(|above| sample(&NamePattern::Below(above.clone())));
            listed.extend(entry.pattern.samples().chain(below).map(Target::Name));
            if let Pattern::Network(network) = &entry.pattern {
                listed.insert(Target::Address(network.addr()));
            }
        }
        let waivers = &self.inputs().operator.waivers;
        let named = waivers.iter().flat_map(|waiver| &waiver.scope.names).filter_map(sample);
        listed.extend(named.map(Target::Name));
        listed
    }

    /// Returns what this policy makes of a name that is asked for, or of an address that an answer tells.
    pub fn rule<'t>(&self, target: impl Into<TargetRef<'t>>, client: &Client, at: impl Into<When>) -> Ruling<'_> {
        let Decision { verdict, deciding, until: _ } = match target.into() {
            TargetRef::Name(name) => self.decide(name, client, at),
            address @ TargetRef::Address(_) => self.decide_subject(&Name::root(), address, client, at),
        };
        match deciding {
            None => Ruling { verdict, order: None, prohibition: None, service: None, waiver: None, answer: None },
            Some(of) => {
                let application = self.application_of(&of, client.group());
                Ruling {
                    verdict,
                    order: Some(&self.order_of(&of).id),
                    prohibition: self.prohibition_of(&of).map(|of| of.id.as_str()),
                    service: Some(&self.service_of(of.entry).id),
                    waiver: self.waiver_of(&of).map(|of| of.id.as_str()),
                    answer: (verdict == Verdict::Sunk).then_some((application.demand, application.sink)),
                }
            }
        }
    }
}

/// Returns the periods in which `old` and `new` differ on `target`, each for its own idea of the same client. `instants` are
/// those that are looked at, ascending: between two of them neither policy may change. Periods that meet differ.
pub fn differences<'a, 't>(
    (old, old_client): (&'a Snapshot, &Client),
    (new, new_client): (&'a Snapshot, &Client),
    target: impl Into<TargetRef<'t>>,
    instants: impl IntoIterator<Item = Timestamp>,
) -> Vec<Difference<'a>> {
    let mut found: Vec<Difference<'a>> = Vec::new();
    let target = target.into();
    if !old.is_listed(target) && !new.is_listed(target) {
        return found;
    }
    for at in instants {
        let (by_old, by_new) = (old.rule(target, old_client, at), new.rule(target, new_client, at));
        let open = found.last_mut().filter(|before| before.until.is_none());
        match open {
            Some(before) if (before.old, before.new) == (by_old, by_new) => continue,
            Some(before) => before.until = Some(at),
            None => {}
        }
        if by_old != by_new {
            found.push(Difference { from: at, until: None, old: by_old, new: by_new });
        }
    }
    found
}
