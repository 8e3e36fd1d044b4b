//! Catalogues and orders compiled for deciding.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::application::{Application, Applications, Phase, group_name, group_named};
use super::below::OpenBelow;
use super::catalogue::{Catalogue, Entry, Service};
use super::contradiction::CompileError;
use super::decision::{Decision, Epoch, Match, Nearest, Verdict, When};
use super::index::Index;
use super::lift::{Lifted, Lifts};
use super::nearest::distance;
use super::order::{Operator, OperatorTreatment, Order, Prohibition, Removal, Then, Verification};
use super::pattern::{Pattern, Specificity};
use super::treatment::{Treatment, treat};
use super::waiver::Waiver;
use crate::client::{Client, GroupId};
use crate::message::Name;
use crate::query::TargetRef;

/// What a snapshot is made of.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    pub catalogues: Vec<Catalogue>,
    pub orders: Vec<Order>,
    pub operator: Operator,
}

/// Catalogues, orders and the operator's choices, compiled. Never changes; a reload makes another one.
#[derive(Debug)]
pub struct Snapshot {
    number: u64,
    digest: [u8; 32],
    inputs: Inputs,
    /// Position of each entry: its catalogue and its place there. Entries are numbered over all catalogues.
    entries: Vec<(usize, usize)>,
    pub(super) index: Index,
    /// For each order, the treatments of each entry's service, by entry.
    treatments: Vec<Vec<Vec<Treatment>>>,
    /// Orders in the sequence in which they decide between equal verdicts.
    pub(super) sequence: Vec<usize>,
    pub(super) applications: Applications,
    lifts: Lifts,
    /// Every instant at which some decision may change, ascending.
    instants: Vec<Timestamp>,
    pub(super) open_below: OpenBelow,
}

impl Snapshot {
    /// Compiles `inputs`. `number` is unique in this process; `digest` is that of the files the inputs were read from.
    ///
    /// # Errors
    /// Every contradiction between the inputs, not only the first.
    pub fn compile(number: u64, digest: [u8; 32], inputs: Inputs) -> Result<Self, Vec<CompileError>> {
        let mut errors = Vec::new();
        let mut catalogues = BTreeMap::new();
        for (position, catalogue) in inputs.catalogues.iter().enumerate() {
            if catalogues.insert(catalogue.id.as_str(), position).is_some() {
                errors.push(CompileError::DuplicateCatalogue(catalogue.id.clone()));
            }
        }
        let orders: Vec<_> = inputs.orders.iter().map(|order| order.id.as_str()).collect();
        errors.extend(CompileError::of_orders(&inputs.operator, &orders));
        errors.extend(CompileError::of_groups(&inputs.operator));
        let mut entries = Vec::new();
        let mut index = Index::default();
        for (catalogue, of) in inputs.catalogues.iter().enumerate() {
            for (place, entry) in of.entries.iter().enumerate() {
                index.insert(&entry.pattern, entries.len());
                entries.push((catalogue, place));
            }
        }
        let mut treatments = Vec::new();
        for (position, order) in inputs.orders.iter().enumerate() {
            if inputs.orders[..position].iter().any(|earlier| earlier.id == order.id) {
                errors.push(CompileError::DuplicateOrder(order.id.clone()));
            }
            let Some(catalogue) = catalogues.get(order.catalogue.as_str()).copied() else {
                errors.push(CompileError::UnknownCatalogue {
                    order: order.id.clone(),
                    catalogue: order.catalogue.clone(),
                });
                continue;
            };
            let by_service = treat(order, &inputs.catalogues[catalogue], &inputs.operator, &mut errors);
            let by_entry = entries.iter().map(|(of, place)| match *of == catalogue {
                true => by_service[inputs.catalogues[*of].entries[*place].service].clone(),
                false => Vec::new(),
            });
            treatments.push(by_entry.collect());
        }
        let applications = Applications::compile(&inputs);
        let lifts = Lifts::compile(&inputs, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let sequence = sequence(&inputs.orders);
        let instants = of_orders(&inputs);
        let mut snapshot = Self {
            number,
            digest,
            inputs,
            entries,
            index,
            treatments,
            sequence,
            applications,
            // Left out until it is known what stays open without them.
            lifts: Lifts::none(),
            instants,
            open_below: OpenBelow::default(),
        };
        snapshot.open_below = OpenBelow::find(&snapshot, &snapshot.instants, &lifts);
        snapshot.lifts = lifts;
        let terms = snapshot.inputs.operator.waivers.iter().map(|waiver| waiver.term);
        snapshot.instants.extend(terms.flat_map(|term| [term.from(), term.until()]));
        snapshot.instants.sort_unstable();
        snapshot.instants.dedup();
        match snapshot.instants.len() {
            // What the number of an epoch has room for.
            0..=0xFFFF => Ok(snapshot),
            many => Err(vec![CompileError::TooManyInstants(many)]),
        }
    }

    /// Decides, for one name and one client at one instant, what the rules require.
    /// Pure: the same arguments always give the same decision, so a logged one can be replayed.
    pub fn decide(&self, name: &Name, client: &Client, at: impl Into<When>) -> Decision {
        let at = at.into();
        if !self.index.matches(name) {
            return Decision::PASS;
        }
        let mut decision = Decision::PASS;
        for order in self.sequence.iter().copied() {
            let Some(found) = self.decide_by(order, name, client, at, &mut decision.until) else { continue };
            // The first of two equal verdicts decides: that of the act that was published first.
            if found.verdict > decision.verdict {
                decision.verdict = found.verdict;
                decision.deciding = Some(found);
            }
        }
        decision
    }

    /// Returns whether any entry matches `target`, whatever the orders make of it.
    pub fn is_listed<'t>(&self, target: impl Into<TargetRef<'t>>) -> bool {
        self.index.matches(target)
    }

    /// Returns what each order says of `target`, that of the act published first on top; orders that do not match are left
    /// out.
    pub fn matches<'t>(&self, target: impl Into<TargetRef<'t>>, client: &Client, at: impl Into<When>) -> Vec<Match> {
        let (target, at) = (target.into(), at.into());
        let orders = self.sequence.iter().copied();
        orders.filter_map(|order| self.decide_by(order, target, client, at, &mut None)).collect()
    }

    /// Inside an order: protected or exempt before kept before the prohibition of the most specific entry before noted.
    pub(super) fn decide_by<'t>(
        &self,
        order: usize,
        target: impl Into<TargetRef<'t>>,
        client: &Client,
        at: When,
        until: &mut Option<Timestamp>,
    ) -> Option<Match> {
        let application = self.applications.of(order, client.group());
        if application.phase == Phase::Off {
            return None;
        }
        let target = target.into();
        let asked = Asked { target, client, application, at };
        let mut best: Option<(Rank, Specificity, Match)> = None;
        self.index.visit(target, |entry, specificity| {
            for treatment in &self.treatments[order][entry] {
                let (rank, found) = self.treat(order, entry, *treatment, &asked, until);
                // Entries may match equally well and an entry may have several prohibitions; then the sternest verdict
                // decides, so that a prohibition in force outranks one to come wherever it stands in the file.
                if best.is_none_or(|(top, most, of)| (rank, specificity, found.verdict) > (top, most, of.verdict)) {
                    best = Some((rank, specificity, found));
                }
            }
        });
        best.map(|(_, _, found)| found)
    }

    fn treat(
        &self,
        order: usize,
        entry: usize,
        treatment: Treatment,
        asked: &Asked<'_>,
        until: &mut Option<Timestamp>,
    ) -> (Rank, Match) {
        let of = &self.inputs.orders[order];
        let at = asked.at;
        let plain =
            |verdict| Match { order, entry, verdict, prohibition: None, waiver: None, recorded: false, threat: false };
        match treatment {
            Treatment::Protected(_) => (Rank::Untouched, plain(Verdict::Protected)),
            Treatment::Exempt(group) => {
                let threat = group.is_some_and(|group| of.exempt[group].threat);
                (Rank::Untouched, Match { threat, ..plain(Verdict::Exempt) })
            }
            Treatment::Kept(group) => {
                let end = kept_until(group.and_then(|group| of.kept[group].until), self.inputs.operator.removal);
                // What follows lets no more through, so that no trusted clock is asked for.
                if end.is_none_or(|end| at.at < end) {
                    soonest(until, end);
                    let recorded = group.is_some_and(|group| of.kept[group].record);
                    return (Rank::Kept, Match { recorded, ..plain(Verdict::Kept) });
                }
                match group.map_or(Then::Noted, |group| of.kept[group].then) {
                    Then::Noted => (Rank::Noted, plain(Verdict::Noted)),
                    Then::Prohibited(prohibition) => {
                        self.treat(order, entry, Treatment::Prohibited(prohibition), asked, until)
                    }
                }
            }
            Treatment::Prohibited(prohibition) => {
                let validity = of.prohibitions[prohibition].validity;
                let prohibited = |verdict| Match { prohibition: Some(prohibition), recorded: true, ..plain(verdict) };
                if at.is_within(validity) {
                    soonest(until, validity.until().map(|end| at.reaches(end)));
                    (Rank::Prohibited, self.enforce(prohibited(Verdict::Sunk), asked, until))
                } else if at.at < validity.from() {
                    soonest(until, Some(validity.from()));
                    (Rank::Prohibited, prohibited(Verdict::Monitored))
                } else {
                    (Rank::Noted, plain(Verdict::Noted))
                }
            }
            Treatment::Noted => (Rank::Noted, plain(Verdict::Noted)),
        }
    }

    /// Says what becomes of a prohibition in force: the operator may only monitor for this client, or have waived it.
    fn enforce(&self, sunk: Match, asked: &Asked<'_>, until: &mut Option<Timestamp>) -> Match {
        if let Some(end) = asked.application.monitors(asked.at) {
            soonest(until, end);
            return Match { verdict: Verdict::Monitored, ..sunk };
        }
        let service = self.entry(sunk.entry).service;
        let Lifted { waiver, until: end } = self.lifts.lift(sunk.order, service, asked.target, asked.client, asked.at);
        soonest(until, end);
        match waiver {
            Some(_) => Match { verdict: Verdict::Waived, waiver, ..sunk },
            None => sunk,
        }
    }

    /// Returns the epoch of decisions taken at `at`.
    pub fn epoch(&self, at: impl Into<When>) -> Epoch {
        let When { at, ends } = at.into();
        let passed = |at| self.instants.partition_point(|instant| *instant <= at);
        Epoch::new(self.number, passed(at), passed(ends))
    }

    /// Returns the first instant after `at` at which any decision may change.
    pub fn next_instant(&self, at: Timestamp) -> Option<Timestamp> {
        self.instants.get(self.instants.partition_point(|instant| *instant <= at)).copied()
    }

    /// Returns the number of the snapshot, unique in this process.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the SHA-256 of the inputs, which records carry.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns what the snapshot was compiled from.
    pub const fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Returns how many entries the catalogues have together.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }

    /// Returns the entry with this number over all catalogues.
    pub fn entry(&self, entry: usize) -> &Entry {
        let (catalogue, place) = self.entries[entry];
        &self.inputs.catalogues[catalogue].entries[place]
    }

    /// Returns the catalogue that has the entry with this number.
    pub fn catalogue_of(&self, entry: usize) -> &Catalogue {
        &self.inputs.catalogues[self.entries[entry].0]
    }

    /// Returns the service of the entry with this number.
    pub fn service_of(&self, entry: usize) -> &Service {
        &self.catalogue_of(entry).services[self.entry(entry).service]
    }

    /// Returns the order that a match is by.
    pub fn order_of(&self, of: &Match) -> &Order {
        &self.inputs.orders[of.order]
    }

    /// Returns the prohibition that a match rests on.
    pub fn prohibition_of(&self, of: &Match) -> Option<&Prohibition> {
        of.prohibition.map(|prohibition| &self.inputs.orders[of.order].prohibitions[prohibition])
    }

    /// Returns the waiver that lifts the prohibition of a match.
    pub fn waiver_of(&self, of: &Match) -> Option<&Waiver> {
        of.waiver.map(|waiver| &self.inputs.operator.waivers[waiver])
    }

    /// Returns whether the installation only monitors, by a waiver of everything for everybody.
    pub fn only_monitors(&self, at: impl Into<When>) -> bool {
        self.lifts.is_idle(at.into())
    }

    /// Returns until when it does; none where it does not.
    pub fn only_monitors_until(&self, at: impl Into<When>) -> Option<Timestamp> {
        self.lifts.idle_until(at.into())
    }

    /// Returns how the order of a match applies to a group.
    pub fn application_of(&self, of: &Match, group: GroupId) -> &Application {
        self.applications.of(of.order, group)
    }

    /// Returns how the order at this place applies to a group.
    pub fn application(&self, order: usize, group: GroupId) -> &Application {
        self.applications.of(order, group)
    }

    /// Returns a group for each way in which orders apply to groups.
    pub(super) fn distinct_groups(&self) -> Vec<GroupId> {
        self.applications.distinct_groups()
    }

    /// Calls `visitor` with the number of each entry that matches `name`.
    pub(super) fn entries_of(&self, name: &Name, mut visitor: impl FnMut(usize)) {
        self.index.visit(name.into(), |entry, _| visitor(entry));
    }

    /// Returns the name of a group; that of the default one for a group that this policy does not have.
    pub fn group_name(&self, group: GroupId) -> &str {
        group_name(&self.inputs.operator, group)
    }

    /// Returns the group with this name.
    pub fn group_named(&self, name: &str) -> Option<GroupId> {
        group_named(&self.inputs.operator, name)
    }

    /// Returns on what a match rests, and how well that is verified.
    pub fn basis_of(&self, of: &Match) -> (&str, Option<Verification>) {
        let order = self.order_of(of);
        let service = &self.service_of(of.entry).id;
        let own = |own: &&OperatorTreatment| own.order == order.id && own.service == *service;
        if self.inputs.operator.treatments.iter().any(|of| own(&of)) {
            return ("the operator's own treatment of this service, not the act", None);
        }
        if let Some(prohibition) = self.prohibition_of(of) {
            return (&prohibition.basis, Some(prohibition.verification));
        }
        for treatment in &self.treatments[of.order][of.entry] {
            match (treatment, of.verdict) {
                (Treatment::Protected(group), Verdict::Protected) => {
                    return (&order.protected[*group].basis, Some(order.protected[*group].verification));
                }
                (Treatment::Exempt(Some(group)), Verdict::Exempt) => return (&order.exempt[*group].reason, None),
                (Treatment::Kept(Some(group)), Verdict::Kept) => return (&order.kept[*group].reason, None),
                _ => {}
            }
        }
        let noted = order.noted.iter().find(|noted| noted.services.contains(service));
        match (of.verdict, noted) {
            (Verdict::Noted, Some(noted)) => (&noted.reason, None),
            _ => ("what the order says after removal or after its end", None),
        }
    }

    /// Returns the name that a synthetic SOA for `name` hangs on: the name of the deciding entry, or `name` itself where
    /// the entry is a pattern with a star. Always `name` or a name above it.
    pub fn owner(&self, of: &Match, name: &Name) -> Name {
        match &self.entry(of.entry).pattern {
            Pattern::Suffix(apex) if name.is_at_or_below(apex) => apex.clone(),
            Pattern::Exact(_) | Pattern::Suffix(_) | Pattern::Pattern { .. } | Pattern::Network(_) => name.clone(),
        }
    }

    /// Returns the entry that comes nearest to a name which nothing matches, if any comes near.
    pub fn nearest(&self, name: &Name) -> Option<Nearest> {
        let mut best: Option<(usize, Nearest)> = None;
        for entry in 0..self.entries.len() {
            let pattern = &self.entry(entry).pattern;
            for listed in pattern.names() {
                let Some((distance, reason)) = distance(listed, pattern, name) else { continue };
                if best.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
                    best = Some((distance, Nearest { entry, reason }));
                }
            }
        }
        best.map(|(_, nearest)| nearest)
    }
}

/// What is asked of one order.
struct Asked<'a> {
    target: TargetRef<'a>,
    client: &'a Client,
    application: &'a Application,
    at: When,
}

/// What outranks what inside an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Noted,
    Prohibited,
    Kept,
    Untouched,
}

/// Orders by the day on which they were published, then by their ids: an order that does not depend on that of files.
fn sequence(orders: &[Order]) -> Vec<usize> {
    let mut sequence: Vec<usize> = (0..orders.len()).collect();
    sequence.sort_by_key(|order| (orders[*order].published, &orders[*order].id));
    sequence
}

/// Every instant at which a decision may change but for waivers, ascending.
fn of_orders(inputs: &Inputs) -> Vec<Timestamp> {
    let mut instants = Vec::new();
    for order in &inputs.orders {
        for prohibition in &order.prohibitions {
            instants.push(prohibition.validity.from());
            instants.extend(prohibition.validity.until());
        }
        for kept in &order.kept {
            instants.extend(kept_until(kept.until, inputs.operator.removal));
        }
    }
    instants.extend(kept_until(None, inputs.operator.removal));
    for apply in &inputs.operator.applies {
        if let Phase::Monitor { until } = apply.phase {
            instants.extend(until);
        }
    }
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// When services that are kept for removal stop being kept: the earlier of what order and operator say.
fn kept_until(order: Option<Timestamp>, removal: Removal) -> Option<Timestamp> {
    let operator = match removal {
        Removal::Running => None,
        Removal::Until(until) => Some(until),
        Removal::Finished => Some(Timestamp::MIN),
    };
    match (order, operator) {
        (Some(order), Some(operator)) => Some(order.min(operator)),
        (order, operator) => order.or(operator),
    }
}

fn soonest(until: &mut Option<Timestamp>, candidate: Option<Timestamp>) {
    if let Some(candidate) = candidate {
        *until = Some(until.map_or(candidate, |until| until.min(candidate)));
    }
}
