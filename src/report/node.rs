//! What leaves other than records tell of one resolver: the time that is covered, clocks, policies, changes and gaps.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::basis::NodeBasis;
use super::coverage::Covering;
use super::value::{ChangeRow, GapRow, Listed, Node};
use crate::ledger::{Act, Body, Changed, Gap, GapReason, Leaf};
use crate::store::{Cover, Store, StoreError};

/// The most changes that are listed: the newest.
const MAX_CHANGES: usize = 200;
/// The most gaps that are listed: the newest.
const MAX_GAPS: usize = 100;

/// What all resolvers tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// When a policy was in use.
    pub(super) policies: BTreeMap<String, (Timestamp, Timestamp)>,
    pub(super) changes: Listed<ChangeRow>,
    pub(super) gaps: Listed<GapRow>,
}

type Span = (Timestamp, Timestamp);

/// Returns the digests of the policies in use during a period, those used last at the end.
///
/// # Errors
/// Where the index cannot be read.
pub fn policies(store: &Store, basis: &NodeBasis, period: Span) -> Result<Vec<(Timestamp, String)>, StoreError> {
    let mut used: BTreeMap<String, Timestamp> = BTreeMap::new();
    store.covers(basis.first, basis.last, |cover| {
        if is_within(&cover, period) {
            used.extend(cover.policies.into_iter().map(|digest| (digest, cover.at)));
        }
    })?;
    Ok(used.into_iter().map(|(digest, at)| (at, digest)).collect())
}

fn is_within(cover: &Cover, (from, to): Span) -> bool {
    match cover.span {
        // A leaf of a minute that ends as the period begins says nothing of it.
        Some((begin, end)) if begin < end => begin < to && from < end,
        Some(_) | None => (from..to).contains(&cover.at),
    }
}

pub(super) fn read(
    told: &mut Told,
    store: &Store,
    basis: &NodeBasis,
    period: Span,
    (place, node): (usize, &mut Node),
) -> Result<(), StoreError> {
    let (mut covering, mut clocks) = (Covering::default(), BTreeMap::<String, u64>::new());
    // Policies of minutes that lie inside the period in part, and those that changes say were in use in it.
    let (mut partly, mut used) = (Vec::new(), BTreeSet::new());
    store.covers(basis.first, basis.last, |cover| {
        let begins = cover.span.map_or(cover.at, |(from, _)| from);
        node.since = Some(node.since.map_or(begins, |since| since.min(begins)));
        node.until = node.until.max(Some(cover.at));
        if !is_within(&cover, period) {
            return;
        }
        if let Some(span) = cover.span {
            covering.cover(span);
        }
        node.queries = node.queries.saturating_add(cover.queries);
        if !is_whole(&cover, period) {
            partly.extend(cover.policies.into_iter().map(|digest| (digest, cover.at)));
            return;
        }
        *clocks.entry(cover.clock.unwrap_or_else(|| "unknown".to_owned())).or_default() += 1;
        cover.policies.into_iter().for_each(|digest| told.used(digest, cover.at));
    })?;
    store.told(basis.first, basis.last, |Leaf { seq, body, .. }| match body {
        Body::Change(change) if change.at < period.1 => {
            if let Some(policy) = change.policy.as_ref().filter(|_| change.accepted) {
                if change.at <= period.0 {
                    used.clear();
                }
                used.insert(policy.clone());
            }
            if period.0 <= change.at && is_told(&change) {
                told.changes.rows.push(changed(place, seq, *change));
            }
        }
        Body::Gap(gap) => {
            if let (Some(from), Some(until)) = (gap.from, gap.until) {
                covering.lose((from, until));
            }
            if (period.0..period.1).contains(&gap.from.unwrap_or(gap.at)) {
                told.gaps.rows.push(missing(place, seq, *gap));
            }
        }
        Body::Change(_) | Body::Attempt(_) | Body::Coverage(_) | Body::Unknown => {}
    })?;
    for (digest, at) in partly.into_iter().filter(|(digest, _)| used.is_empty() || used.contains(digest)) {
        told.used(digest, at.clamp(period.0, period.1));
    }
    node.coverage = covering.of(period);
    node.clock = clocks.into_iter().collect();
    Ok(())
}

/// Returns whether all of the time that a leaf speaks for lies inside a period.
fn is_whole(cover: &Cover, (from, to): Span) -> bool {
    cover.span.is_none_or(|(begin, end)| from <= begin && end <= to)
}

/// Returns the instant up to which leaves that speak of time do; none where there is no such leaf.
///
/// # Errors
/// Where the index cannot be read.
pub fn until(store: &Store, basis: &NodeBasis) -> Result<Option<Timestamp>, StoreError> {
    let mut until = None;
    store.covers(basis.first, basis.last, |cover| until = until.max(Some(cover.at)))?;
    Ok(until)
}

/// Lists that the operator brings change daily, and no order follows from them.
fn is_told(change: &Changed) -> bool {
    change.act != Act::List
}

fn changed(node: usize, seq: u64, change: Changed) -> ChangeRow {
    let Changed { at, act, accepted, by, why, what, .. } = change;
    let what = what.map_or(why.clone(), |what| format!("{what}: {why}"));
    ChangeRow { node, seq, at, act: act.as_str().to_owned(), accepted, by, what }
}

fn missing(node: usize, seq: u64, gap: Gap) -> GapRow {
    let Gap { at, reason, from, until, count, found, .. } = gap;
    let reason = match reason {
        GapReason::Unwritten => "unwritten",
        GapReason::Damaged => "damaged",
        GapReason::Missing => "missing",
    };
    GapRow { node, seq, at, reason: reason.to_owned(), from, until, count, found }
}

impl Told {
    fn used(&mut self, digest: String, at: Timestamp) {
        let span = self.policies.entry(digest).or_insert((at, at));
        *span = (span.0.min(at), span.1.max(at));
    }

    /// Leaves the newest of each, in the order of their instants.
    pub(super) fn shorten(&mut self) {
        self.changes.rows.sort_by_key(|row| (row.at, row.node, row.seq));
        self.gaps.rows.sort_by_key(|row| (row.at, row.node, row.seq));
        shorten(&mut self.changes, MAX_CHANGES);
        shorten(&mut self.gaps, MAX_GAPS);
    }
}

fn shorten<T>(list: &mut Listed<T>, most: usize) {
    let surplus = list.rows.len().saturating_sub(most);
    list.rows.drain(..surplus);
    list.more = surplus as u64;
}
