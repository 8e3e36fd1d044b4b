//! Waivers: exceptions that someone answers for, each with a scope and an end.

use std::fmt;

use ipnet::IpNet;
use jiff::Timestamp;

use super::order::{Validity, ValidityError};
use crate::query::NamePattern;

/// An exception to prohibitions. It lifts the rules that it names and no others, and lapses by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Never given twice by one resolver, such as `W-17`.
    pub id: String,
    pub scope: Scope,
    pub term: Term,
    /// Why the exception is made.
    pub reason: String,
    /// Who answers for it, as written by whoever added it.
    pub approver: String,
    /// Where the matter is tracked.
    pub ticket: Option<String>,
}

/// What a waiver lifts, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Empty for everyone.
    pub clients: Vec<Party>,
    pub rules: Rules,
    /// Names that are looked up, or found in an answer; empty for every name under those rules.
    pub names: Vec<NamePattern>,
}

/// Clients that a waiver is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The group with this name.
    Group(String),
    /// The clients of this network; a network of one address is one client.
    Network(IpNet),
}

/// Which prohibitions a waiver lifts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// Those of one order, for these services of its catalogue; all where none is named.
    Order { order: String, services: Vec<String> },
    /// Those of every order, for one service of a catalogue.
    Service { catalogue: String, service: String },
    /// All of them: an emergency in which the installation only monitors.
    Everything,
}

/// When a waiver is in force: `from <= at < until`. There is always an end.
///
/// What it lifts comes back by any clock, and is lifted only by one that is trusted: it begins by [`When::ends`] and is over
/// by [`When::at`].
///
/// [`When::ends`]: super::When::ends
/// [`When::at`]: super::When::at
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Term {
    /// Returns the term from `from` to `until`.
    ///
    /// # Errors
    /// `ValidityError` where it is empty.
    pub fn new(from: Timestamp, until: Timestamp) -> Result<Self, ValidityError> {
        Validity::new(from, Some(until)).map(|_| Self { from, until })
    }

    /// Returns the first instant at which the waiver is in force.
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// Returns the instant at which it has lapsed.
    pub const fn until(&self) -> Timestamp {
        self.until
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group {name}"),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => network.addr().fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { order, services } if services.is_empty() => f.write_str(order),
            Self::Order { order, services } => write!(f, "{order} ({})", services.join(", ")),
            Self::Service { catalogue, service } => write!(f, "every order on {catalogue}/{service}"),
            Self::Everything => f.write_str("every order"),
        }
    }
}
