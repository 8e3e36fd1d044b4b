//! Folding: inside a commit window, look-ups of one key become one leaf; beyond bounds, keys become coarser.

use std::hash::{BuildHasher as _, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::hash_map::Entry;
use hashbrown::{Equivalent, HashMap};

use super::attempt::{Alike, Rule};
use super::counts::rule_text;
use super::device::address_of;
use super::estimate::Estimate;
use super::folded::Folded;
use super::keys::KeyRing;
use super::leaf::{Record, bounded};
use crate::client::{Client, GroupId, Identification};
use crate::clock::Reading;
use crate::message::{Name, RecordType, ResponseCode};
use crate::policy::{Epoch, Match, Snapshot, When};
use crate::query::{Target, Through, Transport, Via};

/// How much of a minute's look-ups is told apart. Beyond it they are put together, first by network, then by rule; sums
/// by rule and verdict stay exact. A leaf takes about 600 octets, so that these bound what a flood can write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// How many clients get leaves of their own in a minute.
    pub clients: usize,
    /// How many leaves of its own one client gets in a minute.
    pub leaves_per_client: u32,
    /// How many leaves of single clients there are in a minute, over all clients.
    pub leaves: u32,
    /// How many leaves of networks there are in a minute.
    pub network_leaves: u32,
    /// Whether records hold the network of a client (/24 or /56) in place of its address, and no hardware address.
    pub networks_only: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { clients: 4096, leaves_per_client: 2000, leaves: 20_000, network_leaves: 2000, networks_only: false }
    }
}

/// Look-ups that wait for the next commit.
#[derive(Debug)]
pub(super) struct Window {
    bounds: Bounds,
    single: HashMap<Single, Run, RandomState>,
    networks: HashMap<Network, Crowd, RandomState>,
    rules: HashMap<Rule, Crowd, RandomState>,
    counters: HashMap<Rule, Run, RandomState>,
    policies: HashMap<u64, Arc<Snapshot>, RandomState>,
    spent: Spent,
    /// Keyed, because clients choose the names that are hashed.
    hasher: RandomState,
    arrivals: u64,
}

/// What was used of the bounds in this minute.
#[derive(Debug, Default)]
struct Spent {
    clients: HashMap<IpAddr, u32, RandomState>,
    leaves: u32,
    network_leaves: u32,
}

/// What makes look-ups of one client the same: with the name in wire form, and what the rule matched elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key<N, S> {
    /// Of the name and the client, which differ most.
    hash: u64,
    client: Client,
    transport: Transport,
    name: N,
    record_type: RecordType,
    subject: Option<S>,
    through: Through,
    rcode: u16,
    rule: Rule,
    /// So that no leaf spans an instant of the policy.
    epoch: Epoch,
    /// Whether the answers are others where the disk does not take the leaf, so that no leaf tells of both.
    binding: bool,
}

type Single = Key<Box<[u8]>, Target>;

/// A key that is looked for; it hashes as the one that is kept.
type Sought<'a> = Key<&'a [u8], &'a Target>;

impl Sought<'_> {
    fn kept(self) -> Single {
        let Key { hash, client, transport, name, record_type, subject, through, rcode, rule, epoch, binding } = self;
        let (name, subject) = (name.into(), subject.cloned());
        Key { hash, client, transport, name, record_type, subject, through, rcode, rule, epoch, binding }
    }
}

impl<N, S> Hash for Key<N, S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.hash, self.record_type).hash(state);
    }
}

impl Equivalent<Single> for Sought<'_> {
    fn equivalent(&self, kept: &Single) -> bool {
        let Key { hash, client, transport, name, record_type, subject, through, rcode, rule, epoch, binding } = kept;
        (self.hash, self.name) == (*hash, name)
            && (self.client, self.transport, self.record_type) == (*client, *transport, *record_type)
            && (self.subject, self.through, self.rcode) == (subject.as_ref(), *through, *rcode)
            && (self.rule, self.epoch, self.binding) == (*rule, *epoch, *binding)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network {
    address: IpAddr,
    prefix: u8,
    rule: Rule,
    epoch: Epoch,
}

/// Look-ups from the first to the last.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// When it came, among all runs of the window.
    place: u64,
    first: Reading,
    last: Reading,
    count: u64,
}

#[derive(Debug, Clone)]
struct Crowd {
    run: Run,
    names: Estimate,
    clients: Estimate,
}

/// One leaf to be, with what sums are kept by in case it cannot be written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) rule: Rule,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) record: Record,
    /// Whether its answers are others where the disk does not take it.
    pub(super) binding: bool,
}

impl Run {
    fn add(&mut self, readings: [Reading; 2], count: u64) {
        // Workers read the clock on their own, so that look-ups do not arrive in the order of their instants.
        for reading in readings {
            if reading.at < self.first.at {
                self.first = reading;
            }
            if reading.at > self.last.at {
                self.last = reading;
            }
        }
        self.count += count;
    }
}

impl Window {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            single: HashMap::default(),
            networks: HashMap::default(),
            rules: HashMap::default(),
            counters: HashMap::default(),
            policies: HashMap::default(),
            spent: Spent::default(),
            hasher: RandomState::default(),
            arrivals: 0,
        }
    }

    /// Starts a new minute of the bounds.
    pub(super) fn start_minute(&mut self) {
        self.spent.clients.clear();
        self.spent.leaves = 0;
        self.spent.network_leaves = 0;
    }

    /// Takes look-ups in. `binding` says whether their answer is another where the disk does not take them.
    pub(super) fn add(&mut self, alike: &Alike, binding: bool) {
        let Alike { first, last, count, client, transport, name, record_type, subject, through, rcode, .. } = *alike;
        let rule = Rule::new(alike.snapshot.number(), alike.matched);
        let epoch = alike.snapshot.epoch(When { at: first.at, ends: first.ends });
        self.policies.entry(rule.snapshot).or_insert_with(|| Arc::clone(alike.snapshot));
        let (of_name, of_client) = (self.hasher.hash_one(name), self.hasher.hash_one(client));
        let (hash, client) = (of_name ^ of_client.rotate_left(32), *client);
        let key = Key { hash, client, transport, name, record_type, subject, through, rcode, rule, epoch, binding };
        if let Some(run) = self.single.get_mut(&key) {
            run.add([first, last], count);
            return;
        }
        let mut run = Run { place: self.arrivals, first, last: first, count: 0 };
        self.arrivals += 1;
        if self.spent.take_single(&self.bounds, client.address()) {
            run.add([first, last], count);
            self.single.insert(key.kept(), run);
            return;
        }
        let (address, prefix) = network_of(client.address());
        let network = Network { address, prefix, rule, epoch };
        let crowd = match self.networks.entry(network) {
            Entry::Occupied(of) => of.into_mut(),
            Entry::Vacant(of) if self.spent.take_network(&self.bounds) => of.insert(Crowd::new(run)),
            Entry::Vacant(_) => self.rules.entry(rule).or_insert_with(|| Crowd::new(run)),
        };
        crowd.run.add([first, last], count);
        crowd.names.add(of_name);
        crowd.clients.add(of_client);
    }

    /// Takes look-ups in that were counted between two readings of the clock, because a ring was full.
    pub(super) fn add_counted(&mut self, snapshot: &Arc<Snapshot>, matched: &Match, count: u64, between: [Reading; 2]) {
        let rule = Rule::new(snapshot.number(), matched);
        self.policies.entry(rule.snapshot).or_insert_with(|| Arc::clone(snapshot));
        let run = Run { place: self.arrivals, first: between[0], last: between[1], count: 0 };
        self.arrivals += 1;
        self.counters.entry(rule).or_insert(run).count += count;
    }

    /// Returns the leaves of the window in the order in which their first look-ups arrived, those that are binding behind
    /// all others, and starts a new window.
    pub(super) fn take(&mut self, keys: &mut KeyRing, rehearsal: bool) -> Vec<Draft> {
        let mut drafts = Vec::with_capacity(self.single.len());
        let policies = std::mem::take(&mut self.policies);
        let draft = |rule: Rule, run: Run| {
            let snapshot = Arc::clone(&policies[&rule.snapshot]);
            (run.place, Draft { rule, record: record(&snapshot, rule, run, rehearsal), snapshot, binding: false })
        };
        for (key, run) in self.single.drain() {
            let Key { client, transport, name, record_type, subject, through, rcode, rule, binding, .. } = key;
            let (place, mut of) = draft(rule, run);
            of.binding = binding;
            let record = &mut of.record;
            describe(record, &client, &of.snapshot);
            if self.bounds.networks_only {
                let (address, prefix) = stored_network_of(client.address());
                seal(record, address, run.first, keys);
                // One that was told shorter stays so.
                record.prefix = Some(record.prefix.map_or(prefix, |told| told.min(prefix)));
            } else {
                seal(record, client.address(), run.first, keys);
                record.device = client.device().map(|device| keys.seal(address_of(device), run.first.raw).0);
            }
            record.transport = Some(transport.as_str().to_owned());
            record.name = Name::from_wire(&name).ok().map(|name| name.to_string());
            record.r#type = Some(record_type.to_string());
            record.subject = subject.map(|subject| subject.to_string());
            record.through = Some(through.as_str().to_owned());
            record.rcode = Some(ResponseCode(rcode).to_string());
            drafts.push((place, of));
        }
        for (Network { address, prefix, rule, epoch: _ }, crowd) in self.networks.drain() {
            let (place, mut of) = draft(rule, crowd.run);
            let (address, prefix) = match self.bounds.networks_only {
                true => stored_network_of(address),
                false => (address, prefix),
            };
            seal(&mut of.record, address, crowd.run.first, keys);
            of.record.folded = Some(Folded::Network);
            of.record.prefix = Some(prefix);
            of.record.names = Some(crowd.names.count());
            of.record.clients = Some(crowd.clients.count());
            drafts.push((place, of));
        }
        for (rule, crowd) in self.rules.drain() {
            let (place, mut of) = draft(rule, crowd.run);
            of.record.folded = Some(Folded::Rule);
            of.record.names = Some(crowd.names.count());
            of.record.clients = Some(crowd.clients.count());
            drafts.push((place, of));
        }
        for (rule, run) in self.counters.drain() {
            let (place, mut of) = draft(rule, run);
            of.record.folded = Some(Folded::Counter);
            drafts.push((place, of));
        }
        drafts.sort_unstable_by_key(|(place, draft)| (draft.binding, *place));
        drafts.into_iter().map(|(_, draft)| draft).collect()
    }
}

impl Spent {
    fn take_single(&mut self, bounds: &Bounds, client: IpAddr) -> bool {
        if self.leaves >= bounds.leaves {
            return false;
        }
        if !self.clients.contains_key(&client) && self.clients.len() >= bounds.clients {
            return false;
        }
        let spent = self.clients.entry(client).or_default();
        if *spent >= bounds.leaves_per_client {
            return false;
        }
        *spent += 1;
        self.leaves += 1;
        true
    }

    fn take_network(&mut self, bounds: &Bounds) -> bool {
        let room = self.network_leaves < bounds.network_leaves;
        self.network_leaves += u32::from(room);
        room
    }
}

impl Crowd {
    fn new(run: Run) -> Self {
        Self { run, names: Estimate::new(), clients: Estimate::new() }
    }
}

/// Returns the network that a client's look-ups are put together by, and the length of its prefix.
pub fn network_of(client: IpAddr) -> (IpAddr, u8) {
    match client {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            (IpAddr::from([a, b, c, 0]), 24)
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            (IpAddr::from([a, b, c, d, 0, 0, 0, 0]), 64)
        }
    }
}

/// Returns the network that is recorded in place of a client's address where the operator wants no more, and the length of
/// its prefix.
fn stored_network_of(client: IpAddr) -> (IpAddr, u8) {
    match network_of(client) {
        (IpAddr::V6(address), _) => {
            let [a, b, c, d, ..] = address.segments();
            (IpAddr::from([a, b, c, d & 0xFF00, 0, 0, 0, 0]), 56)
        }
        network => network,
    }
}

fn seal(record: &mut Record, address: IpAddr, first: Reading, keys: &mut KeyRing) {
    let (client, key) = keys.seal(address, first.raw);
    record.client = Some(client);
    record.key = Some(key.as_str().to_owned());
}

/// Says which group the client is in, by what, and who told its address; what says nothing is left out.
fn describe(record: &mut Record, client: &Client, snapshot: &Snapshot) {
    if client.group() != GroupId::DEFAULT {
        record.group = Some(snapshot.group_name(client.group()).to_owned());
    }
    if client.identification() != Identification::Nothing {
        record.identified = Some(client.identification().as_str().to_owned());
    }
    record.prefix = client.prefix();
    if client.via() != Via::Direct {
        record.via = Some(client.via().as_str().to_owned());
    }
}

fn record(snapshot: &Snapshot, rule: Rule, run: Run, rehearsal: bool) -> Record {
    let order = &snapshot.inputs().orders[rule.order];
    Record {
        at: run.first.at,
        last: run.last.at,
        ends: Some(run.first.ends).filter(|ends| *ends != run.first.at),
        raw: run.first.raw,
        raw_last: run.last.raw,
        count: bounded(run.count),
        folded: None,
        client: None,
        key: None,
        prefix: None,
        group: None,
        identified: None,
        via: None,
        device: None,
        transport: None,
        name: None,
        r#type: None,
        names: None,
        clients: None,
        verdict: rule.verdict.as_str().to_owned(),
        order: order.id.clone(),
        prohibition: rule.prohibition.map(|prohibition| order.prohibitions[prohibition].id.clone()),
        waiver: rule.waiver.map(|waiver| snapshot.inputs().operator.waivers[waiver].id.clone()),
        rule: rule_text(snapshot, rule.entry),
        service: snapshot.service_of(rule.entry).id.clone(),
        confidence: snapshot.entry(rule.entry).confidence.as_str().to_owned(),
        threat: rule.threat,
        subject: None,
        through: None,
        policy: hex::encode(snapshot.digest()),
        rcode: None,
        rehearsal,
    }
}
