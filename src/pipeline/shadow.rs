//! A candidate policy that decides every query beside the one in use: where the two differ is counted, and nothing else is
//! done. No record, no change of any answer, no allocation, no lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::Serialize;

use super::judgement::{Judgement, judge};
use crate::client::Clients;
use crate::policy::{Decision, Match, Snapshot, Verdict, When};
use crate::query::{Query, Subjects};

const VERDICTS: usize = Verdict::ALL.len();
/// Counters for one order: by the verdict of the policy in use, then by that of the candidate.
const PAIRS: usize = VERDICTS * VERDICTS;
/// The most rules and pairs of verdicts that are told apart; differences beyond them are counted by order alone.
const MOST_RULES: usize = 1 << 16;
/// How many places are tried for one rule.
const PROBES: usize = 32;

/// A candidate, compiled, with the counters of where it differs.
pub struct Shadow {
    live: Arc<Snapshot>,
    candidate: Arc<Snapshot>,
    /// Who belongs to the groups of the candidate, where they are not those of the policy in use.
    clients: Option<Arc<Clients>>,
    /// When the counting began.
    since: Timestamp,
    counters: Arc<Counters>,
}

/// The counters of two policies: they hold for as long as neither changes.
struct Counters {
    /// Every order of either policy, by its identifier.
    orders: Box<[String]>,
    /// By order, then by pair of verdicts: exact.
    by_order: Box<[AtomicU64]>,
    /// By rule and pair of verdicts, as long as there is room: places by hash, taken once and never given up.
    by_rule: Box<[Place]>,
}

/// One rule with a pair of verdicts, and how often they met. A key of 0 means that the place is free.
#[derive(Default)]
struct Place {
    key: AtomicU64,
    count: AtomicU64,
}

/// Whose rule a difference is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Live,
    Candidate,
}

/// How often the two policies differed under one order, with one pair of verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderDifference {
    /// The order of the candidate's deciding rule; where it has none, that of the policy in use.
    pub order: String,
    pub live: &'static str,
    pub candidate: &'static str,
    pub count: u64,
}

/// How often the two policies differed under one rule, with one pair of verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleDifference {
    /// Of the candidate's deciding rule; where it has none, of that of the policy in use.
    pub order: String,
    pub service: String,
    /// The entry as the catalogue writes it.
    pub entry: String,
    pub live: &'static str,
    pub candidate: &'static str,
    pub count: u64,
}

/// What a shadow has counted.
#[derive(Debug, Clone, Serialize)]
pub struct ShadowReport {
    pub live: String,
    pub candidate: String,
    pub since: Timestamp,
    /// How many queries were decided otherwise.
    pub differing: u64,
    pub orders: Vec<OrderDifference>,
    /// The rules, most frequent first; what found no room among them is in `orders` only.
    pub rules: Vec<RuleDifference>,
}

impl Shadow {
    /// Makes the counters for `candidate` beside `live`, which begin at `since`.
    pub fn new(live: Arc<Snapshot>, candidate: Snapshot, since: Timestamp) -> Self {
        let groups = &candidate.inputs().operator.groups;
        let clients = (*groups != live.inputs().operator.groups).then(|| Arc::new(Clients::new(groups.clone(), false)));
        let orders = [live.as_ref(), &candidate].into_iter().flat_map(|policy| &policy.inputs().orders);
        let mut orders: Vec<_> = orders.map(|order| order.id.clone()).collect();
        orders.sort_unstable();
        orders.dedup();
        let by_order = (0..orders.len() * PAIRS).map(|_| AtomicU64::new(0)).collect();
        let rules = [live.as_ref(), &candidate].map(|policy| policy.inputs().orders.len() * policy.entry_count());
        let places = (rules.iter().sum::<usize>() * 2).next_power_of_two().clamp(PROBES, MOST_RULES);
        let by_rule = (0..places).map(|_| Place::default()).collect();
        let counters = Arc::new(Counters { orders: orders.into(), by_order, by_rule });
        Self { live, candidate: Arc::new(candidate), clients, since, counters }
    }

    /// Returns this with the counters of an earlier one, where that was of the same two policies.
    pub fn going_on(&self, earlier: &Self) -> Option<Self> {
        let is_same =
            self.live.digest() == earlier.live.digest() && self.candidate.digest() == earlier.candidate.digest();
        is_same.then(|| Self {
            live: Arc::clone(&self.live),
            candidate: Arc::clone(&self.candidate),
            clients: self.clients.clone(),
            since: earlier.since,
            counters: Arc::clone(&earlier.counters),
        })
    }

    /// Returns this with the members that an earlier one's groups have learnt; its groups have to be the same.
    pub fn with_clients_of(self, earlier: &Self) -> Self {
        let groups =
            |shadow: &Self| shadow.candidate.inputs().operator.groups == self.candidate.inputs().operator.groups;
        let clients = if groups(earlier) { earlier.clients.clone() } else { self.clients.clone() };
        Self { clients, ..self }
    }

    /// Returns who belongs to the groups of the candidate, where they are not those of the policy in use. They have to
    /// learn what those learn.
    pub const fn clients(&self) -> Option<&Arc<Clients>> {
        self.clients.as_ref()
    }

    /// Decides by the candidate what was decided as `live`, with what is known of the answer, and counts a difference.
    pub(super) fn compare(&self, query: &Query, live: &Judgement, subjects: Option<&Subjects>, when: When) {
        let client = self.clients.as_ref().map_or(live.client, |clients| clients.identify_peer(&query.peer));
        let decision = self.candidate.decide(&query.question.name, &client, when);
        let mut judged = Judgement { client, decision, subject: None, shields: Vec::new() };
        if let Some(subjects) = subjects {
            judge(query, &mut judged, subjects, (&self.candidate, when));
        }
        let candidate = judged.decision;
        if let Some((side, of)) = self.difference(&live.decision, &candidate) {
            let (live, candidate) = (live.decision.verdict, candidate.verdict);
            self.counters.count((side, &of), &self.policy(side).order_of(&of).id, (live, candidate));
        }
    }

    /// Returns the rule that a difference is counted under; `None` where both policies say the same by the same rule.
    fn difference(&self, live: &Decision, candidate: &Decision) -> Option<(Side, Match)> {
        let is_same = match (&live.deciding, &candidate.deciding) {
            (None, None) => true,
            (Some(live), Some(candidate)) => self.is_same_rule(live, candidate),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_same {
            return None;
        }
        candidate.deciding.map(|of| (Side::Candidate, of)).or(live.deciding.map(|of| (Side::Live, of)))
    }

    /// Compares by what people call the rules: places in one policy say nothing of those in another.
    fn is_same_rule(&self, live: &Match, candidate: &Match) -> bool {
        let (a, b) = (&self.live, &self.candidate);
        let (entry, other) = (a.entry(live.entry), b.entry(candidate.entry));
        live.verdict == candidate.verdict
            && a.order_of(live).id == b.order_of(candidate).id
            && entry.text == other.text
            && entry.pattern.matching() == other.pattern.matching()
            && a.prohibition_of(live).map(|of| &of.id) == b.prohibition_of(candidate).map(|of| &of.id)
            && a.waiver_of(live).map(|of| &of.id) == b.waiver_of(candidate).map(|of| &of.id)
    }

    fn policy(&self, side: Side) -> &Snapshot {
        match side {
            Side::Live => &self.live,
            Side::Candidate => &self.candidate,
        }
    }

    /// Returns what was counted by order and pair of verdicts.
    pub fn by_order(&self) -> Vec<OrderDifference> {
        let counts = self.counters.by_order.iter().enumerate().map(|(at, count)| (at, count.load(Ordering::Relaxed)));
        let counted = counts.filter(|(_, count)| *count > 0).map(|(at, count)| {
            let (live, candidate) = verdicts(at % PAIRS);
            OrderDifference { order: self.counters.orders[at / PAIRS].clone(), live, candidate, count }
        });
        counted.collect()
    }

    /// Returns all that was counted.
    pub fn report(&self) -> ShadowReport {
        let orders = self.by_order();
        let rules = self.counters.by_rule.iter().filter_map(|place| {
            let (key, count) = (place.key.load(Ordering::Relaxed), place.count.load(Ordering::Relaxed));
            if key == 0 || count == 0 {
                return None;
            }
            let (side, order, entry, pair) = rule_of(key);
            let policy = self.policy(side);
            let (live, candidate) = verdicts(pair);
            Some(RuleDifference {
                order: policy.inputs().orders[order].id.clone(),
                service: policy.service_of(entry).id.clone(),
                entry: policy.entry(entry).text.clone(),
                live,
                candidate,
                count,
            })
        });
        let mut rules: Vec<_> = rules.collect();
        rules.sort_by(|a, b| (b.count, &a.order, &a.entry, a.live).cmp(&(a.count, &b.order, &b.entry, b.live)));
        ShadowReport {
            live: hex::encode(self.live.digest()),
            candidate: hex::encode(self.candidate.digest()),
            since: self.since,
            differing: orders.iter().map(|of| of.count).sum(),
            orders,
            rules,
        }
    }
}

impl Counters {
    fn count(&self, (side, of): (Side, &Match), order: &str, (live, candidate): (Verdict, Verdict)) {
        let pair = live as usize * VERDICTS + candidate as usize;
        if let Ok(order) = self.orders.binary_search_by(|id| id.as_str().cmp(order)) {
            self.by_order[order * PAIRS + pair].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(place) = self.place(key(side, of, pair)) {
            place.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the place of a key, which is taken where it has none yet; `None` where there is no room.
    fn place(&self, key: u64) -> Option<&Place> {
        // The length is a power of two; the constant is 2^64 over the golden ratio (Fibonacci hashing).
        let mask = self.by_rule.len() - 1;
        let start = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize;
        (0..PROBES).map(|step| &self.by_rule[(start + step) & mask]).find(|place| {
            // Read first: an exchange would take the line from every other worker.
            let taken = match place.key.load(Ordering::Relaxed) {
                0 => place.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed).err().unwrap_or(key),
                taken => taken,
            };
            taken == key
        })
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").field("candidate", &hex::encode(self.candidate.digest())).finish_non_exhaustive()
    }
}

/// Packs a rule and a pair of verdicts into a number that is never 0. A policy of more than 2^16 orders or 2^32 entries
/// fits into no memory.
fn key(side: Side, of: &Match, pair: usize) -> u64 {
    let side = match side {
        Side::Live => 1,
        Side::Candidate => 2,
    };
    side << 62 | (of.order as u64 & 0xFFFF) << 40 | (of.entry as u64 & 0xFFFF_FFFF) << 8 | pair as u64
}

fn rule_of(key: u64) -> (Side, usize, usize, usize) {
    let side = if key >> 62 == 1 { Side::Live } else { Side::Candidate };
    (side, (key >> 40 & 0xFFFF) as usize, (key >> 8 & 0xFFFF_FFFF) as usize, (key & 0xFF) as usize)
}

fn verdicts(pair: usize) -> (&'static str, &'static str) {
    (Verdict::ALL[pair / VERDICTS].as_str(), Verdict::ALL[pair % VERDICTS].as_str())
}

#[cfg(test)]
mod tests;
