//! What a decision says.

use std::fmt;

use jiff::Timestamp;

use super::order::Validity;

/// The time of a decision, told by a clock that may not be right: a prohibition begins by the one instant, and is over
/// by the other. Both are in the record, so that a decision can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    pub at: Timestamp,
    /// Never after `at`; before it while a leap of the clock is not borne out.
    pub ends: Timestamp,
}

impl When {
    /// Returns whether a prohibition is in force.
    pub fn is_within(self, validity: Validity) -> bool {
        validity.from() <= self.at && validity.until().is_none_or(|until| self.ends < until)
    }

    /// Returns the policy instant at which a prohibition will be over that ends at `end`.
    pub(super) fn reaches(self, end: Timestamp) -> Timestamp {
        self.at.checked_add(end.duration_since(self.ends)).unwrap_or(Timestamp::MAX)
    }
}

impl From<Timestamp> for When {
    /// The time by a clock that is trusted.
    fn from(at: Timestamp) -> Self {
        Self { at, ends: at }
    }
}

/// What policy says of a name for a client at an instant, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// No rule matches.
    Pass,
    /// A rule names it, and asks for nothing but a count.
    Noted,
    /// The order must not touch it, for a reason outside the act.
    Exempt,
    /// The act itself leaves it lawful.
    Protected,
    /// Left while the products are being removed.
    Kept,
    /// Prohibited from a later instant on, or only watched by the operator's choice: resolved and recorded.
    Monitored,
    /// Prohibited, and let through by a waiver.
    Waived,
    /// Prohibited and withheld.
    Sunk,
}

impl Verdict {
    /// Every verdict, mildest first.
    pub const ALL: [Self; 8] =
        [Self::Pass, Self::Noted, Self::Exempt, Self::Protected, Self::Kept, Self::Monitored, Self::Waived, Self::Sunk];

    /// Returns the word that records, metrics and scenario files use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Noted => "noted",
            Self::Exempt => "exempt",
            Self::Protected => "protected",
            Self::Kept => "kept",
            Self::Monitored => "monitored",
            Self::Waived => "waived",
            Self::Sunk => "sunk",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text).ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|verdict| verdict.as_str()).collect();
            format!("`{text}` is not one of {}", words.join(", "))
        })
    }
}

/// What one order says of a name. Indexes into the snapshot that made it; see the accessors of `Snapshot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Index of the order.
    pub order: usize,
    /// Index of the entry over all catalogues.
    pub entry: usize,
    pub verdict: Verdict,
    /// Index into the order's prohibitions, where the verdict rests on one.
    pub prohibition: Option<usize>,
    /// Index into the operator's waivers, where one lifts the prohibition.
    pub waiver: Option<usize>,
    /// Whether the operator wants the attempt recorded with its client, rather than counted by rule.
    pub recorded: bool,
    /// Whether the look-up is a sign of a threat.
    pub threat: bool,
}

impl Match {
    /// Returns whether the order leaves alone what the name is an alias of. A name that only looks like the vendor's is
    /// anybody's, and shields nothing.
    pub const fn is_shield(&self) -> bool {
        matches!(self.verdict, Verdict::Protected | Verdict::Exempt | Verdict::Kept) && !self.threat
    }
}

/// What all orders together say of a name, for one client at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    /// The match that the verdict rests on; none for `Verdict::Pass`.
    pub deciding: Option<Match>,
    /// The first instant after this one at which the decision may become another, if any is set.
    pub until: Option<Timestamp>,
}

impl Decision {
    /// The decision on a name that no rule matches.
    pub const PASS: Self = Self { verdict: Verdict::Pass, deciding: None, until: None };
}

/// Which snapshot is in use, and how many of its instants have passed for what begins and for what ends, as one number.
/// Two decisions of the same question in the same epoch are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Returns the epoch of snapshot `snapshot` after `instants` of its instants. A process never makes 2^32 snapshots,
    /// nor has one 2^16 instants.
    pub(super) const fn new(snapshot: u64, instants: usize, ends: usize) -> Self {
        Self(snapshot << 32 | (instants as u64) << 16 | ends as u64)
    }
}

/// The entry that comes nearest to a name which nothing matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    /// Index of the entry over all catalogues.
    pub entry: usize,
    /// Why it does not match, as a clause.
    pub reason: &'static str,
}
