//! What workers hand over: one look-up that a rule matched.

use std::sync::Arc;

use crate::client::Client;
use crate::clock::Reading;
use crate::message::{Name, RecordType};
use crate::policy::{Match, Snapshot, Verdict};
use crate::query::{Target, Through, Transport};

/// One look-up that a rule matched, whatever became of it. Holds nothing on the heap but the snapshot, which is shared.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The reading that the look-up was decided by.
    pub reading: Reading,
    pub client: Client,
    pub transport: Transport,
    /// The name that was asked for.
    pub name: Name,
    pub record_type: RecordType,
    /// What the rule matched, where it is not the name that was asked for.
    pub subject: Option<Target>,
    /// What led from the question to the subject.
    pub through: Through,
    pub matched: Match,
    /// The response code that the client got, extended bits included (RFC 6891, section 6.1.3).
    pub rcode: u16,
    /// The snapshot that `matched` has its indexes into.
    pub snapshot: Arc<Snapshot>,
}

/// Look-ups that are alike, from the first to the last of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Alike<'a> {
    pub(super) first: Reading,
    pub(super) last: Reading,
    pub(super) count: u64,
    pub(super) client: &'a Client,
    pub(super) transport: Transport,
    /// The name that was asked for, in wire form.
    pub(super) name: &'a [u8],
    pub(super) record_type: RecordType,
    pub(super) subject: Option<&'a Target>,
    pub(super) through: Through,
    pub(super) matched: &'a Match,
    pub(super) rcode: u16,
    pub(super) snapshot: &'a Arc<Snapshot>,
}

impl<'a> From<&'a Attempt> for Alike<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            first: attempt.reading,
            last: attempt.reading,
            count: 1,
            client: &attempt.client,
            transport: attempt.transport,
            name: attempt.name.as_wire(),
            record_type: attempt.record_type,
            subject: attempt.subject.as_ref(),
            through: attempt.through,
            matched: &attempt.matched,
            rcode: attempt.rcode,
            snapshot: &attempt.snapshot,
        }
    }
}

/// What is kept of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Keeping {
    /// A count by rule.
    Counted,
    /// A record with its client.
    Recorded,
    /// A count by rule, apart from the others: a sign of a threat.
    Threat,
}

impl Keeping {
    pub(super) const ALL: [Self; 3] = [Self::Counted, Self::Recorded, Self::Threat];

    pub(super) const fn of(matched: &Match) -> Self {
        match (matched.threat, matched.recorded, matched.verdict) {
            (true, _, _) => Self::Threat,
            (false, true, _) | (false, false, Verdict::Monitored | Verdict::Waived | Verdict::Sunk) => Self::Recorded,
            (false, false, Verdict::Pass | Verdict::Noted | Verdict::Exempt | Verdict::Protected | Verdict::Kept) => {
                Self::Counted
            }
        }
    }
}

/// A rule as sums are kept by it: an entry under an order, with what was said of it.
/// Takes the place of the snapshot by its number, so that keys are small and cheap to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Rule {
    pub(super) snapshot: u64,
    pub(super) order: usize,
    pub(super) entry: usize,
    pub(super) verdict: Verdict,
    pub(super) prohibition: Option<usize>,
    pub(super) waiver: Option<usize>,
    pub(super) threat: bool,
}

impl Rule {
    pub(super) const fn new(snapshot: u64, matched: &Match) -> Self {
        let Match { order, entry, verdict, prohibition, waiver, recorded: _, threat } = *matched;
        Self { snapshot, order, entry, verdict, prohibition, waiver, threat }
    }
}
