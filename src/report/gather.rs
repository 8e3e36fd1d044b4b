//! From records, verification and archived policy to a report: each resolver is taken in once, and only sums are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;

use jiff::{SignedDuration, Timestamp};

use super::basis::{Basis, NodeBasis};
use super::confirmed::Confirmed;
use super::devices::{Devices, Person, Revealed, Use};
use super::legal::Legal;
use super::node;
use super::sums::{Class, Sums};
use super::trend::Bins;
use super::value::{Mark, Node, Report};
use crate::client::DEFAULT_GROUP;
use crate::devices::{Kind, Rules};
use crate::policy::Snapshot;
use crate::store::{By, Manner, Ruled, Seen, Slice, Store, StoreError, Sum, SumSource, Tally};

/// How many days before and after an instant are compared.
const AROUND: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Reveal(Box<dyn Error + Send + Sync>),
}

/// Tells whose the records of a client are, as far as the key ring does.
pub type Reveal<'a> = dyn FnMut(&Seen) -> Result<Revealed, Box<dyn Error + Send + Sync>> + 'a;

/// One resolver.
pub struct Source<'a> {
    pub store: &'a Store,
    pub basis: &'a NodeBasis,
    /// What verification says; what the records say is filled in.
    pub node: Node,
    pub reveal: &'a mut Reveal<'a>,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What is summed up over all resolvers.
#[derive(Debug)]
pub struct Gatherer<'a> {
    pub(super) basis: Basis,
    pub(super) legal: Legal<'a>,
    pub(super) known: BTreeSet<String>,
    /// Instants at which what a report may claim changes, the ends of the period among them.
    cuts: Vec<Timestamp>,
    pub(super) bins: Bins,
    pub(super) nodes: Vec<Node>,
    /// Orders with services, by their places.
    pub(super) services: Vec<(String, String)>,
    pub(super) service_sums: Vec<Sums>,
    pub(super) waivers: Vec<(String, String)>,
    pub(super) waiver_sums: Vec<u64>,
    pub(super) devices: Devices,
    pub(super) names: BTreeMap<(String, u16), Named>,
    pub(super) around: BTreeMap<Mark, [Around; 2]>,
    pub(super) titles: BTreeMap<Mark, String>,
    pub(super) unattributed: u64,
    pub(super) unrecorded: u64,
    pub(super) threats: u64,
    pub(super) told: node::Told,
    /// How devices were known when they were seen last; only where devices alone are gathered.
    pub(super) manners: BTreeMap<Person, (i64, Manner)>,
    pub(super) confirmed: Confirmed,
    /// The instant up to which coverage leaves of the period tell.
    pub(super) until: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) sums: Sums,
    pub(super) devices: BTreeSet<Person>,
}

/// Look-ups of one name.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub(super) confidence: String,
    pub(super) sums: Sums,
    pub(super) span: Option<(i64, i64)>,
}

impl Named {
    fn add(&mut self, sums: Sums, (first, last): (i64, i64)) {
        self.sums.add_all(sums);
        let span = self.span.get_or_insert((first, last));
        *span = (span.0.min(first), span.1.max(last));
    }
}

/// What is known of a rule during a stretch without cuts.
#[derive(Debug, Clone, Copy)]
struct Known {
    class: Class,
    service: u16,
    waiver: Option<u16>,
    threat: bool,
    kind: Kind,
}

/// By numbers that the index itself gives away, so that nobody can choose those that collide.
type ById<T> = HashMap<i64, T, foldhash::fast::RandomState>;

/// What is summed up of one resolver, by the numbers of its index.
#[derive(Debug, Default)]
struct Local {
    sums: Sums,
    clients: ById<Use>,
    /// By name and rule.
    names: HashMap<(i64, i64), (u16, Named)>,
}

impl Local {
    fn name(&mut self, known: Known, tally: &Tally) {
        let key = (tally.whose.unwrap_or_default(), tally.rule);
        let (_, named) = self.names.entry(key).or_insert_with(|| (known.service, Named::default()));
        named.add(Sums::of(known.class, tally.count), (tally.first, tally.last));
    }
}

impl<'a> Gatherer<'a> {
    /// Begins a report. `policies` are the archived ones by their digests, those used last at the end.
    pub fn new(basis: Basis, policies: &'a [(String, Snapshot)]) -> Self {
        let legal = Legal::new(policies);
        let (from, to) = (basis.from, basis.to);
        let mut cuts: Vec<_> = legal.cuts().into_iter().filter(|at| from < *at && *at < to).collect();
        cuts.extend([from, to]);
        cuts.sort_unstable();
        cuts.dedup();
        let order = basis.order.clone();
        let mut titles = legal.marks(|id| order.as_deref().is_none_or(|order| order == id));
        titles.retain(|mark, _| from < mark.at && mark.at < to);
        Self {
            bins: Bins::new(from, to),
            legal,
            known: policies.iter().map(|(digest, _)| digest.clone()).collect(),
            cuts,
            nodes: Vec::new(),
            services: Vec::new(),
            service_sums: Vec::new(),
            waivers: Vec::new(),
            waiver_sums: Vec::new(),
            devices: Devices::new(),
            names: BTreeMap::new(),
            around: BTreeMap::new(),
            titles,
            unattributed: 0,
            unrecorded: 0,
            threats: 0,
            told: node::Told::default(),
            manners: BTreeMap::new(),
            confirmed: Confirmed::default(),
            until: None,
            basis,
        }
    }

    /// Takes one resolver in.
    ///
    /// # Errors
    /// Where its index or its keys cannot be read.
    pub fn add(&mut self, of: Source<'_>) -> Result<(), GatherError> {
        let Source { store, basis, node: mut of, reveal } = of;
        let rules = store.rules()?;
        let group = self.group(store)?;
        let mut local = Local::default();
        for slice in self.slices(self.basis.from, self.basis.to, basis) {
            self.tally_clients((store, slice), (&rules, &group), &mut local)?;
            self.tally((store, slice, By::Name), (&rules, &group), |_, known, tally| local.name(known, tally))?;
            self.count(store, slice, &mut local.sums)?;
        }
        self.around(store, basis, &rules, &group, (reveal, &of.name))?;
        self.confirmations(store, basis, (reveal, &of.name))?;
        self.people(store, std::mem::take(&mut local.clients), (reveal, &of.name))?;
        for ((id, rule), (service, named)) in local.names {
            let name = if id == 0 { None } else { store.name(id)? };
            let confidence = rules.get(&rule).map(|rule| rule.confidence.as_str()).unwrap_or_default();
            let entry = self.names.entry((name.unwrap_or_default(), service)).or_default();
            // Of two entries of a catalogue that match one name, the surer one.
            if rank(confidence) > rank(&entry.confidence) {
                confidence.clone_into(&mut entry.confidence);
            }
            if let Some(span) = named.span {
                entry.add(named.sums, span);
            }
        }
        of.sums = local.sums;
        of.attempted = local.sums.attempted();
        node::read(&mut self.told, store, basis, (self.basis.from, self.basis.to), (self.nodes.len(), &mut of))?;
        self.nodes.push(of);
        Ok(())
    }

    /// Takes in what one resolver tells of devices, and nothing else.
    ///
    /// # Errors
    /// Where its index or its keys cannot be read.
    pub fn add_devices(&mut self, of: Source<'_>) -> Result<(), GatherError> {
        let Source { store, basis, node, reveal } = of;
        let (rules, group) = (store.rules()?, self.group(store)?);
        let mut local = Local::default();
        for slice in self.slices(self.basis.from, self.basis.to, basis) {
            self.tally_clients((store, slice), (&rules, &group), &mut local)?;
        }
        self.confirmations(store, basis, (reveal, &node.name))?;
        let newest = self.people(store, std::mem::take(&mut local.clients), (reveal, &node.name))?;
        for (person, (_, client)) in newest {
            let last = self.devices.get(&person).map_or(i64::MIN, |used| used.last);
            if let Some(manner) = store.manner(client, basis.last)? {
                let known = self.manners.entry(person).or_insert_with(|| (i64::MIN, manner.clone()));
                if known.0 < last {
                    *known = (last, manner);
                }
            }
        }
        Ok(())
    }

    /// Attributes what clients looked up to devices. Returns of each device the client that was seen last, and when.
    fn people(
        &mut self,
        store: &Store,
        clients: ById<Use>,
        (reveal, node): (&mut Reveal<'_>, &str),
    ) -> Result<BTreeMap<Person, (i64, i64)>, GatherError> {
        let mut newest = BTreeMap::new();
        for (id, mut used) in clients {
            let seen = store.client(id)?.expect("a tally names clients of its own index");
            let revealed = reveal(&seen).map_err(GatherError::Reveal)?;
            used.facts.many = seen.prefix.is_some();
            used.addresses.extend(revealed.address.clone().map(|address| (used.last, address)));
            let person = Person::of(revealed, &seen, node);
            let last = newest.entry(person.clone()).or_insert((used.last, id));
            *last = (*last).max((used.last, id));
            self.devices.entry(person).or_default().merge(used);
        }
        Ok(newest)
    }

    /// Has `each` take in the sums of a stretch that are wanted, with what is known of their rule.
    fn tally(
        &mut self,
        (store, slice, by): (&Store, Slice, By),
        (rules, group): (&BTreeMap<i64, Ruled>, &Wanted),
        mut each: impl FnMut(&mut Self, Known, &Tally),
    ) -> Result<(), GatherError> {
        let known = self.known(rules, slice.from);
        store.tally(slice, by, |tally| {
            if let Some(known) = known.get(&tally.rule).filter(|_| is_of(group, &tally)) {
                each(self, *known, &tally);
            }
        })?;
        Ok(())
    }

    fn tally_clients(
        &mut self,
        (store, slice): (&Store, Slice),
        wanted: (&BTreeMap<i64, Ruled>, &Wanted),
        local: &mut Local,
    ) -> Result<(), GatherError> {
        self.tally((store, slice, By::Client), wanted, |of, known, tally| of.take(local, known, tally))?;
        self.until = self.until.max(store.covered_until(slice)?);
        Ok(())
    }

    /// Returns the report.
    pub fn finish(self) -> Report {
        super::finish::finish(self)
    }

    /// Returns the period in stretches during which what may be claimed of look-ups stays the same.
    fn slices(&self, from: Timestamp, to: Timestamp, basis: &NodeBasis) -> Vec<Slice> {
        let inner = self.cuts.iter().copied().filter(|at| from < *at && *at < to);
        let ends: Vec<_> = std::iter::once(from).chain(inner).chain(std::iter::once(to)).collect();
        let slice = |ends: &[Timestamp]| Slice { from: ends[0], to: ends[1], first: basis.first, last: basis.last };
        ends.windows(2).map(slice).filter(|slice| slice.from < slice.to).collect()
    }

    fn known(&mut self, rules: &BTreeMap<i64, Ruled>, at: Timestamp) -> ById<Known> {
        let mut known = ById::default();
        for (id, ruled) in rules {
            if !self.is_wanted(&ruled.order) {
                continue;
            }
            let service = place(&mut self.services, (&ruled.order, &ruled.service));
            let waiver = ruled.waiver.as_deref().map(|waiver| place(&mut self.waivers, (waiver, &ruled.order)));
            let (class, kind) = (self.legal.class(ruled, at), Rules::shipped().kind(&ruled.service));
            known.insert(*id, Known { class, service, waiver, threat: ruled.threat, kind });
        }
        self.service_sums.resize(self.services.len(), Sums::default());
        self.waiver_sums.resize(self.waivers.len(), 0);
        known
    }

    pub(super) fn is_wanted(&self, order: &str) -> bool {
        self.basis.order.as_deref().is_none_or(|wanted| wanted == order)
    }

    fn take(&mut self, local: &mut Local, known: Known, tally: &Tally) {
        let Known { class, service, waiver, threat, kind } = known;
        let sums = Sums::of(class, tally.count);
        local.sums.add_all(sums);
        self.bins.add(tally.day, class, tally.count);
        self.service_sums[usize::from(service)].add_all(sums);
        if threat {
            self.threats = self.threats.saturating_add(tally.count);
        }
        if let Some(waiver) = waiver {
            let sum = &mut self.waiver_sums[usize::from(waiver)];
            *sum = sum.saturating_add(tally.count);
        }
        match tally.whose {
            None => self.unattributed = self.unattributed.saturating_add(sums.attempted()),
            Some(client) => {
                local.clients.entry(client).or_default().add((class, kind), service, waiver, tally);
            }
        }
    }

    /// Adds look-ups that are known by their sums alone. They tell no group.
    fn count(&mut self, store: &Store, slice: Slice, local: &mut Sums) -> Result<(), GatherError> {
        if self.basis.group.is_some() {
            return Ok(());
        }
        let mut found = Vec::new();
        store.counted(slice, |day, sum| found.push((day, sum)))?;
        for (day, Sum { source, order, rule, service, verdict, count }) in found {
            if !self.is_wanted(&order) {
                continue;
            }
            let (prohibition, waiver, confidence) = (None, None, String::new());
            let ruled = Ruled { order, service, rule, verdict, prohibition, waiver, confidence, threat: false };
            let class = self.legal.class(&ruled, slice.from);
            let service = place(&mut self.services, (&ruled.order, &ruled.service));
            self.service_sums.resize(self.services.len(), Sums::default());
            self.service_sums[usize::from(service)].add(class, count);
            self.bins.add(day, class, count);
            local.add(class, count);
            let attempted = Sums::of(class, count).attempted();
            match source {
                SumSource::Threat => self.threats = self.threats.saturating_add(count),
                SumSource::Missed | SumSource::Counted | SumSource::Recorded => {
                    self.unrecorded = self.unrecorded.saturating_add(attempted);
                }
            }
        }
        Ok(())
    }

    /// Sums up the days before and after each instant of a prohibition, of its own look-ups alone.
    fn around(
        &mut self,
        store: &Store,
        basis: &NodeBasis,
        rules: &BTreeMap<i64, Ruled>,
        group: &Wanted,
        (reveal, node): (&mut Reveal<'_>, &str),
    ) -> Result<(), GatherError> {
        for mark in self.titles.keys().cloned().collect::<Vec<_>>() {
            let sides = sides(&mark, self.basis.from, self.basis.to);
            for (side, (from, to)) in sides.into_iter().enumerate() {
                let (mut sums, mut clients) = (Sums::default(), BTreeSet::new());
                for slice in self.slices(from, to, basis) {
                    let is_under = |ruled: &Ruled| {
                        ruled.order == mark.order && ruled.prohibition.as_deref() == Some(&*mark.prohibition)
                    };
                    let under = rules.iter().filter(|(_, ruled)| is_under(ruled));
                    let known: HashMap<_, _> =
                        under.map(|(id, ruled)| (*id, self.legal.class(ruled, slice.from))).collect();
                    store.tally(slice, By::Client, |tally| {
                        let Some(class) = known.get(&tally.rule).filter(|_| is_of(group, &tally)) else { return };
                        sums.add(*class, tally.count);
                        if Sums::of(*class, 1).attempted() > 0 {
                            clients.extend(tally.whose);
                        }
                    })?;
                }
                let mut people = BTreeSet::new();
                for id in clients {
                    let seen = store.client(id)?.expect("a tally names clients of its own index");
                    people.insert(Person::of(reveal(&seen).map_err(GatherError::Reveal)?, &seen, node));
                }
                let of = &mut self.around.entry(mark.clone()).or_default()[side];
                of.sums.add_all(sums);
                of.devices.extend(people);
            }
        }
        Ok(())
    }

    fn group(&self, store: &Store) -> Result<Wanted, GatherError> {
        Ok(match self.basis.group.as_deref() {
            None => Wanted::All,
            Some(DEFAULT_GROUP) => Wanted::Default,
            Some(name) => store.group(name)?.map_or(Wanted::None, Wanted::Group),
        })
    }
}

/// Returns the days before and after an instant, inside the period.
pub(super) fn sides(mark: &Mark, from: Timestamp, to: Timestamp) -> [(Timestamp, Timestamp); 2] {
    let before = mark.at.checked_sub(AROUND).unwrap_or(Timestamp::MIN).max(from);
    let after = mark.at.checked_add(AROUND).unwrap_or(Timestamp::MAX).min(to);
    [(before, mark.at), (mark.at, after)]
}

/// Which group is asked for, by its number in one index.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    All,
    Default,
    Group(i64),
    /// No record is of the group.
    None,
}

fn is_of(wanted: &Wanted, tally: &Tally) -> bool {
    match wanted {
        Wanted::All => true,
        // Where look-ups of many were put together, their groups are not told.
        Wanted::Default => tally.group.is_none() && tally.folded.is_none(),
        Wanted::Group(id) => tally.group == Some(*id),
        Wanted::None => false,
    }
}

/// Returns how sure a word of catalogues is; none is the least.
fn rank(confidence: &str) -> u8 {
    match confidence {
        "high" => 3,
        "medium" => 2,
        "low" => 1,
        _ => 0,
    }
}

/// Returns the place of a pair, which is added where it is new.
fn place(list: &mut Vec<(String, String)>, (one, other): (&str, &str)) -> u16 {
    let found = list.iter().position(|of| of.0 == one && of.1 == other);
    let place = found.unwrap_or_else(|| {
        list.push((one.to_owned(), other.to_owned()));
        list.len() - 1
    });
    // So many services no policy has; what comes behind shares the last place.
    u16::try_from(place).unwrap_or(u16::MAX)
}
