//! What was answered lately: to the same octets the same answer is given, where nothing but its age tells them apart.
//!
//! Most queries ask for what was asked for a moment ago. Each worker has its own memory of it, so that nobody waits for anybody.
//! No rule is applied a second time here. An answer goes in on which no order and no list could say otherwise for anybody, and
//! of which there is nothing to record; or one that an order withholds, for the one client that got it, and then each repeat is
//! recorded. Whatever may change an answer, such as a reload, an instant at which anything changes or the flushing of the cache,
//! makes all of them void at once.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::quality::RandomState;

use super::{Moment, Pipeline, State};
use crate::client::Client;
use crate::datagram::{BATCH, Incoming};
use crate::ledger::{Recorder, Repeats};
use crate::message::{HEADER, Name, RecordType, ResponseCode, ResponseView};
use crate::observe::{ListMatch, Served};
use crate::policy::{Match, Verdict};
use crate::prefetch;
use crate::query::{Peer, Transport};

/// Answers that may hash to the same place: as many as one cache line has tags.
const WAYS: usize = 8;
/// The most places of one worker; a power of two.
const PLACES: usize = 2048;
/// The most answers of all workers together; with more workers than that allows for, each has less.
const ALL: usize = 16 * WAYS * PLACES;
/// One in so many repeats is answered from the cache, which otherwise took what is asked for most for what nobody asks for.
const TOUCHES: u32 = 64;
/// The longest query and the answer to it that are kept, in octets together.
const ROOM: usize = 320;
/// The longest query.
const MOST_QUERY: usize = 128;
/// The most records of an answer.
const MOST_RECORDS: usize = 12;
/// Where everything that could be displaced is of use still, one in so many answers displaces another.
const ADMITTED: u32 = 8;

/// Why an answer may be given again to the same octets, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It is kept, and need not be asked for anew until then (since boot).
    Kept { until: Duration },
    /// The list at this place of the chain withholds the name.
    Listed { place: usize },
    /// An order withholds the name from this client.
    Sunk { matched: Match, code: ResponseCode },
}

/// The same, as it is kept.
enum Given {
    Kept { until: Duration },
    Listed { place: usize },
    Sunk(Arc<Repeats>),
}

/// One answer. In this order, so that what it is compared by comes from memory at once.
#[repr(C)]
struct Slot {
    given: Given,
    /// When it was answered, since boot.
    born: Duration,
    /// To whom.
    client: Client,
    generation: u32,
    query: u16,
    answer: u16,
    /// Where the TTLs stand in the answer.
    ttls: [u16; MOST_RECORDS],
    records: u8,
    /// The query without its id, and the answer.
    octets: [u8; ROOM],
}

impl Slot {
    fn query(&self) -> &[u8] {
        &self.octets[..usize::from(self.query)]
    }

    fn answer(&self) -> &[u8] {
        &self.octets[usize::from(self.query)..usize::from(self.query + self.answer)]
    }

    fn is_over(&self, boot: Duration) -> bool {
        matches!(self.given, Given::Kept { until } if boot >= until)
    }

    /// Returns whether it is for everybody, or for this client.
    fn is_for(&self, client: &Client) -> bool {
        match &self.given {
            Given::Kept { .. } | Given::Listed { .. } => true,
            Given::Sunk(_) => self.client == *client,
        }
    }
}

/// A part of a hash, and where the answer is; the latter counted from 1.
#[derive(Debug, Clone, Copy, Default)]
struct Tag {
    hash: u32,
    slot: u32,
}

/// What everything that is remembered was answered by.
#[derive(Debug, Clone)]
struct By {
    state: Weak<State>,
    epoch: (u64, u64),
    only_monitors: bool,
    flushes: u64,
}

/// The answers of one worker. Takes 10 MiB at most, and only for as many as there are.
pub struct Recent {
    tags: Box<[[Tag; WAYS]]>,
    slots: Vec<Slot>,
    hasher: RandomState,
    by: Option<By>,
    /// Whether any is for one client alone.
    has_sunk: bool,
    /// How many answers found no place that was free.
    crowded: u32,
    /// How many answers were looked for.
    sought: u32,
}

impl Recent {
    /// Returns the memory of one of so many workers.
    pub fn of_one(workers: usize) -> Self {
        let share = ALL / WAYS / workers.max(1);
        let places = (share + 1).next_power_of_two() / 2;
        let places = places.clamp(64, PLACES);
        // Only what is written takes memory.
        let slots = Vec::with_capacity(WAYS * places);
        let tags = vec![[Tag::default(); WAYS]; places].into();
        Self { tags, slots, hasher: RandomState::default(), by: None, has_sunk: false, crowded: 0, sought: 0 }
    }

    /// Begins with a batch: where anything has changed since the one before, nothing of before is given any more.
    pub fn turn(&mut self, pipeline: &Pipeline, moment: &Moment) {
        let now = By {
            state: Arc::downgrade(&moment.state),
            epoch: moment.epoch(),
            only_monitors: moment.state.snapshot.only_monitors(moment.when()),
            flushes: pipeline.cache.flushes(),
        };
        let is_same = self.by.as_ref().is_some_and(|by| {
            by.state.ptr_eq(&now.state)
                && (by.epoch, by.only_monitors, by.flushes) == (now.epoch, now.only_monitors, now.flushes)
        });
        if !is_same {
            self.slots.clear();
            self.tags.fill_with(Default::default);
            self.has_sunk = false;
            self.by = Some(now);
        }
    }

    /// Has fetched from memory what may be the answers to a batch, all at the same time: to find them one by one takes
    /// twice as long.
    pub fn prefetch(&self, batch: &[Incoming]) {
        let mut hashes = [None; 2 * BATCH];
        for (hashes, incoming) in hashes.chunks_exact_mut(2).zip(batch) {
            let Some(asked) = asked_by(incoming.octets()) else { continue };
            let hash = self.hasher.hash_one(asked);
            let peer = self.has_sunk.then(|| incoming.peer()).flatten();
            hashes[0] = Some(hash);
            hashes[1] = peer.map(|peer| self.of_one_client(hash, peer.remote.ip()));
            hashes.iter().flatten().for_each(|hash| prefetch::value(&self.tags[self.place(*hash).0]));
        }
        let mut slots = [None; BATCH];
        for (slot, hashes) in slots.iter_mut().zip(hashes.chunks_exact(2)) {
            *slot = hashes.iter().flatten().find_map(|hash| self.candidates(*hash).next());
            slot.iter().for_each(|slot| prefetch::value::<Slot>(slot));
        }
        for slot in slots.into_iter().flatten() {
            if let Given::Sunk(repeats) = &slot.given {
                repeats.prefetch();
            }
        }
    }

    /// Returns the answers to queries that have the same part of a hash.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = &Slot> {
        let (place, hash) = self.place(hash);
        let tags = self.tags[place].iter().filter(move |tag| tag.hash == hash);
        tags.filter_map(|tag| self.slots.get((tag.slot as usize).checked_sub(1)?))
    }

    fn find(
        &mut self,
        packet: &[u8],
        (peer, client): (&Peer, &Client),
        generation: u32,
        boot: Duration,
    ) -> Option<&Slot> {
        let asked = asked_by(packet)?;
        self.sought = self.sought.wrapping_add(1);
        if self.sought.is_multiple_of(TOUCHES) {
            return None;
        }
        let hash = self.hasher.hash_one(asked);
        let is_it = |slot: &&Slot| {
            slot.generation == generation && !slot.is_over(boot) && slot.query() == asked && slot.is_for(client)
        };
        let own = || self.of_one_client(hash, peer.remote.ip());
        let found = self.candidates(hash).find(is_it);
        found.or_else(|| self.candidates(self.has_sunk.then(own)?).find(is_it))
    }

    /// Returns the place of a hash, and the part of it that is compared.
    fn place(&self, hash: u64) -> (usize, u32) {
        ((hash >> 32) as usize & (self.tags.len() - 1), hash as u32)
    }

    /// Returns the hash of what is for one client alone, so that a name that many ask for fills no place.
    fn of_one_client(&self, hash: u64, address: IpAddr) -> u64 {
        let address = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        self.hasher.hash_one(address ^ u128::from(hash))
    }

    /// Notes what was answered to a query that came over UDP and may be answered so again.
    pub fn note(&mut self, packet: &[u8], answer: &[u8], (repeat, peer): (Repeat, &Peer), moment: &Moment) {
        let Some(asked) = asked_by(packet) else { return };
        if asked.len() + answer.len() > ROOM || peer.speaks_for_others() || !is_plain(packet) {
            return;
        }
        let (client, boot) = (moment.clients.identify_peer(peer), moment.now.boot);
        let hash = self.hasher.hash_one(asked);
        let is_sunk = matches!(repeat, Repeat::Sunk { .. });
        let (place, hash) = self.place(if is_sunk { self.of_one_client(hash, peer.remote.ip()) } else { hash });
        let is_free = |tag: &Tag| {
            let slot = (tag.slot as usize).checked_sub(1).and_then(|at| self.slots.get(at));
            slot.is_none_or(|slot| slot.is_over(boot) || (slot.query() == asked && slot.is_for(&client)))
        };
        let way = match self.tags[place].iter().position(is_free) {
            Some(way) => way,
            None => {
                self.crowded = self.crowded.wrapping_add(1);
                if !self.crowded.is_multiple_of(ADMITTED) {
                    return;
                }
                (self.crowded / ADMITTED) as usize % WAYS
            }
        };
        let Some(slot) = slot(asked, answer, repeat, (&client, moment)) else { return };
        self.has_sunk |= is_sunk;
        let tag = &mut self.tags[place][way];
        match (tag.slot as usize).checked_sub(1).and_then(|at| self.slots.get_mut(at)) {
            Some(own) => *own = slot,
            None => {
                self.slots.push(slot);
                tag.slot = self.slots.len() as u32;
            }
        }
        tag.hash = hash;
    }
}

/// Returns a query without its id, unless it is too long to be kept.
fn asked_by(packet: &[u8]) -> Option<&[u8]> {
    packet.get(2..).filter(|asked| asked.len() <= MOST_QUERY)
}

/// Returns how it is kept; `None` where it may differ for others.
fn slot(asked: &[u8], answer: &[u8], repeat: Repeat, (client, moment): (&Client, &Moment)) -> Option<Slot> {
    let response = ResponseView::read(answer).ok()?;
    let (name, end) = Name::read(answer, HEADER).ok()?;
    let given = match repeat {
        Repeat::Sunk { matched, code } => {
            let record_type = RecordType(u16::from_be_bytes(*answer.get(end..)?.first_chunk()?));
            let snapshot = Arc::clone(&moment.state.snapshot);
            Given::Sunk(Arc::new(Repeats::new(*client, (&name, record_type), (matched, code.0), snapshot)))
        }
        Repeat::Kept { until } if is_for_all(&name, moment) && !moment.state.lists.chain.is_listed(&name) => {
            // What a list says of a name that is answered is counted each time, so that none may say anything.
            Given::Kept { until }
        }
        Repeat::Listed { place } if is_for_all(&name, moment) => Given::Listed { place },
        Repeat::Kept { .. } | Repeat::Listed { .. } => return None,
    };
    let (mut ttls, mut records) = ([0; MOST_RECORDS], 0);
    if let Given::Kept { .. } = given {
        for record in response.records() {
            let record = record.ok()?;
            if record.record_type != RecordType::OPT {
                *ttls.get_mut(usize::from(records))? = u16::try_from(record.ttl_at).ok()?;
                records += 1;
            }
        }
    }
    let mut octets = [0; ROOM];
    octets[..asked.len()].copy_from_slice(asked);
    octets[asked.len()..asked.len() + answer.len()].copy_from_slice(answer);
    Some(Slot {
        generation: moment.state.routes.view(client.group()).generation,
        given,
        client: *client,
        born: moment.now.boot,
        query: asked.len() as u16,
        answer: answer.len() as u16,
        ttls,
        records,
        octets,
    })
}

/// Returns whether orders and lists say the same of a name to everybody.
fn is_for_all(name: &Name, moment: &Moment) -> bool {
    !moment.state.snapshot.is_listed(name) && moment.state.lists.chain.says_the_same_to_all(name)
}

/// Returns whether the only thing that tells this query from others of its kind is its question: no letter of it is a capital, and
/// no option follows.
fn is_plain(packet: &[u8]) -> bool {
    let end = packet.iter().skip(12).position(|octet| *octet == 0).map_or(packet.len(), |end| end + 12);
    let has_no_option = packet.len() == end + 5 || (packet.len() == end + 16 && packet.ends_with(&[0, 0]));
    has_no_option && !packet[12..end].iter().any(u8::is_ascii_uppercase)
}

impl Pipeline {
    /// Gives the answer that was given to the same octets before, if there is one; counts and records it as it was then.
    pub fn repeat(
        &self,
        packet: &[u8],
        peer: &Peer,
        moment: &Moment,
        (recent, recorder): (&mut Recent, &Recorder),
        out: &mut Vec<u8>,
    ) -> bool {
        if peer.speaks_for_others() || moment.state.shadow.is_some() {
            return false;
        }
        let client = moment.clients.identify_peer(peer);
        let boot = moment.now.boot;
        let generation = moment.state.routes.view(client.group()).generation;
        let Some(slot) = recent.find(packet, (peer, &client), generation, boot) else { return false };
        if matches!(slot.given, Given::Sunk(_)) && !recorder.takes_repeats() {
            return false;
        }
        self.metrics.count_query(Transport::Udp as usize);
        self.metrics.count_identified(client.identification().place());
        if let Some(strangers) = moment.state.clients.strangers() {
            strangers.note(client.address());
        }
        out.clear();
        out.extend_from_slice(slot.answer());
        out[..2].copy_from_slice(&packet[..2]);
        let (verdict, served) = match &slot.given {
            Given::Kept { .. } => {
                self.metrics.count_cache(true);
                // Rounded up: nobody keeps it for longer than it has left.
                let age = boot.saturating_sub(slot.born);
                let age =
                    u32::try_from(age.as_secs()).unwrap_or(u32::MAX).saturating_add(u32::from(age.subsec_nanos() > 0));
                for at in &slot.ttls[..usize::from(slot.records)] {
                    if let Some(ttl) = out[usize::from(*at)..].first_chunk_mut() {
                        *ttl = u32::from_be_bytes(*ttl).saturating_sub(age).to_be_bytes();
                    }
                }
                (Verdict::Pass, Served::Cache)
            }
            Given::Listed { place } => {
                if let Some(counters) = moment.state.lists.counters.get(*place) {
                    counters.count(ListMatch::Withheld);
                }
                (Verdict::Pass, Served::Policy)
            }
            Given::Sunk(repeats) => {
                if repeats.is_threat() {
                    self.metrics.count_threat();
                }
                recorder.repeat(repeats, &moment.now);
                (Verdict::Sunk, Served::Policy)
            }
        };
        self.metrics.count_verdict(verdict as usize);
        self.metrics.count_response(served, u16::from(out[3] & 15));
        true
    }
}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").field("answers", &self.slots.len()).finish_non_exhaustive()
    }
}
