//! Catalogues and orders compiled for deciding.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::catalogue::{Catalogue, Entry, Service};
use super::decision::{Decision, Epoch, Match, Nearest, Verdict, When};
use super::index::Index;
use super::nearest::distance;
use super::order::{Operator, OperatorTreatment, Order, Prohibition, Removal, Then, Verification};
use super::pattern::{Glob, Pattern, Specificity};
use super::treatment::{Treatment, treat};
use crate::client::Client;
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
    index: Index,
    /// For each order, the treatments of each entry's service, by entry.
    treatments: Vec<Vec<Vec<Treatment>>>,
    /// Every instant at which some decision may change, ascending.
    instants: Vec<Timestamp>,
    /// Listed names below a listed name that are at some instant not sunk while it is; a sample stands for each glob.
    open_below: HashMap<Name, Vec<Name>, foldhash::fast::RandomState>,
}

/// Why inputs do not make a snapshot. Each names the faulty order or catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("two catalogues have the id `{0}`")]
    DuplicateCatalogue(String),
    #[error("two orders have the id `{0}`")]
    DuplicateOrder(String),
    #[error("order `{order}` is about catalogue `{catalogue}`, which is not loaded")]
    UnknownCatalogue { order: String, catalogue: String },
    #[error("order `{order}` names service `{service}`, which catalogue `{catalogue}` does not have")]
    UnknownService { order: String, service: String, catalogue: String },
    #[error("order `{order}` says nothing of service `{service}`; protect, exempt, keep, prohibit or note it")]
    Untreated { order: String, service: String },
    #[error("order `{order}` treats service `{service}` in two ways that exclude each other")]
    Contradiction { order: String, service: String },
    #[error("a treatment names order `{order}`, which is not loaded")]
    TreatmentOfUnknownOrder { order: String },
    #[error("a treatment prohibits under `{prohibition}`, which order `{order}` does not have")]
    UnknownProhibition { order: String, prohibition: String },
    #[error("order `{order}` protects service `{service}`; to prohibit it, write an order of your own")]
    ProhibitsProtected { order: String, service: String },
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
        for treatment in &inputs.operator.treatments {
            if !inputs.orders.iter().any(|order| order.id == treatment.order) {
                errors.push(CompileError::TreatmentOfUnknownOrder { order: treatment.order.clone() });
            }
        }
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
        if !errors.is_empty() {
            return Err(errors);
        }
        let instants = instants(&inputs);
        let open_below = HashMap::default();
        let mut snapshot = Self { number, digest, inputs, entries, index, treatments, instants, open_below };
        snapshot.open_below = snapshot.find_open_below();
        Ok(snapshot)
    }

    /// Decides, for one name and one client at one instant, what the rules require.
    /// Pure: the same arguments always give the same decision, so a logged one can be replayed.
    pub fn decide(&self, name: &Name, client: &Client, at: impl Into<When>) -> Decision {
        let at = at.into();
        if !self.index.matches(name) {
            return Decision::PASS;
        }
        let mut decision = Decision::PASS;
        for order in 0..self.inputs.orders.len() {
            let Some(found) = self.decide_by(order, name, client, at, &mut decision.until) else { continue };
            // The first of two equal verdicts decides, so that the order of the configuration breaks ties.
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

    /// Decides on a name or an address found in the answer to `question`. An order that protects, exempts or keeps the question does
    /// not reach behind it: the carve-outs and the removal tools work wherever they are hosted.
    pub fn decide_subject<'t>(
        &self,
        question: &Name,
        subject: impl Into<TargetRef<'t>>,
        client: &Client,
        at: impl Into<When>,
    ) -> Decision {
        let (subject, at) = (subject.into(), at.into());
        if !self.index.matches(subject) {
            return Decision::PASS;
        }
        let mut decision = Decision::PASS;
        for order in 0..self.inputs.orders.len() {
            let shielded =
                self.decide_by(order, question, client, at, &mut decision.until).is_some_and(|of| of.is_shield());
            let found = match shielded {
                true => None,
                false => self.decide_by(order, subject, client, at, &mut decision.until),
            };
            if let Some(found) = found.filter(|found| found.verdict > decision.verdict) {
                decision.verdict = found.verdict;
                decision.deciding = Some(found);
            }
        }
        decision
    }

    /// Returns what each order says of `target`, in the order of the configuration; orders that do not match are left out.
    pub fn matches<'t>(&self, target: impl Into<TargetRef<'t>>, client: &Client, at: impl Into<When>) -> Vec<Match> {
        let (target, at) = (target.into(), at.into());
        (0..self.inputs.orders.len()).filter_map(|order| self.decide_by(order, target, client, at, &mut None)).collect()
    }

    /// Inside an order: protected or exempt before kept before the prohibition of the most specific entry before noted.
    fn decide_by<'t>(
        &self,
        order: usize,
        target: impl Into<TargetRef<'t>>,
        _client: &Client,
        at: When,
        until: &mut Option<Timestamp>,
    ) -> Option<Match> {
        let mut best: Option<(Rank, Specificity, Match)> = None;
        self.index.visit(target.into(), |entry, specificity| {
            for treatment in &self.treatments[order][entry] {
                let (rank, found) = self.treat(order, entry, *treatment, at, until);
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
        at: When,
        until: &mut Option<Timestamp>,
    ) -> (Rank, Match) {
        let of = &self.inputs.orders[order];
        let plain = |verdict| Match { order, entry, verdict, prohibition: None, recorded: false, threat: false };
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
                        self.treat(order, entry, Treatment::Prohibited(prohibition), at, until)
                    }
                }
            }
            Treatment::Prohibited(prohibition) => {
                let validity = of.prohibitions[prohibition].validity;
                let prohibited = |verdict| Match { prohibition: Some(prohibition), recorded: true, ..plain(verdict) };
                if at.is_within(validity) {
                    soonest(until, validity.until().map(|end| at.reaches(end)));
                    (Rank::Prohibited, prohibited(Verdict::Sunk))
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

    /// Returns whether the catalogues list a name below `name` that is not sunk, so that NXDOMAIN would say too much
    /// (RFC 8020).
    pub fn has_open_name_below(&self, name: &Name, client: &Client, at: impl Into<When>) -> bool {
        let at = at.into();
        self.open_below
            .get(name)
            .is_some_and(|below| below.iter().any(|name| self.decide(name, client, at).verdict != Verdict::Sunk))
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

    fn find_open_below(&self) -> HashMap<Name, Vec<Name>, foldhash::fast::RandomState> {
        // Groups of clients do not change decisions, so that any client stands for all.
        let anyone = Client::at(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let probes = || {
            // Ends may lag behind: nothing has ended at all, or what ends until an earlier instant.
            let lags = |at: Timestamp| {
                let earlier = self.instants.iter().copied().filter(move |ends| *ends < at);
                [at, Timestamp::MIN].into_iter().chain(earlier).map(move |ends| When { at, ends })
            };
            self.instants.iter().copied().flat_map(lags)
        };
        let sunk = |name: &Name, at| self.decide(name, &anyone, at).verdict == Verdict::Sunk;
        let mut open = HashMap::<_, Vec<_>, _>::default();
        for entry in 0..self.entries.len() {
            let pattern = &self.entry(entry).pattern;
            let samples: Vec<_> = pattern.globs().iter().map(Glob::sample).collect();
            for name in pattern.names().iter().chain(&samples) {
                let above = std::iter::successors(name.parent(), Name::parent);
                for above in above.filter(|above| self.index.matches(above)) {
                    if probes().any(|at| sunk(&above, at) && !sunk(name, at)) {
                        open.entry(above).or_default().push(name.clone());
                    }
                }
            }
        }
        open
    }
}

/// What outranks what inside an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Noted,
    Prohibited,
    Kept,
    Untouched,
}

/// Every instant at which a decision may change, ascending.
fn instants(inputs: &Inputs) -> Vec<Timestamp> {
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
