//! Orders: legal acts with dated prohibitions of services, and what the operator made of them.

use std::fmt;

use jiff::Timestamp;

use super::application::{Apply, Mode};
use super::waiver::Waiver;
use crate::client::Group;

/// A legal act. Knows services, never names.
#[derive(Debug, Clone)]
pub struct Order {
    /// Short name, such as `us-commerce-2024`.
    pub id: String,
    pub title: String,
    pub issuer: String,
    /// Where the act is published, such as `89 FR 52434`. Shown to clients as the reference of a block.
    pub citation: String,
    /// The rules that the act rests on, under every number that they have had.
    pub rules: Vec<String>,
    /// The catalogue whose services the order names.
    pub catalogue: String,
    /// The day on which the act was published.
    pub published: jiff::civil::Date,
    pub sources: Vec<Source>,
    pub facts: Vec<Fact>,
    pub prohibitions: Vec<Prohibition>,
    pub protected: Vec<Protected>,
    pub exempt: Vec<Exempt>,
    pub kept: Vec<Kept>,
    pub noted: Vec<Noted>,
}

/// A text that the order was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub title: String,
    /// Address or printed citation.
    pub at: String,
    /// The day on which it was read.
    pub read: jiff::civil::Date,
}

/// One statement about the act, with how well it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub text: String,
    pub verification: Verification,
}

/// How well a legal fact is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verification {
    /// Not seen in any source that was read.
    Unverified,
    /// Concluded from other facts.
    Inferred,
    /// Seen in a secondary source only, such as a law firm's note or the press.
    Secondary,
    /// Seen in the act itself or in a copy of its issuer's text.
    Primary,
}

impl Verification {
    /// Returns the word that files and records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Inferred => "inferred",
            Self::Secondary => "secondary",
            Self::Primary => "primary",
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The period in which a rule is in force: `from <= at < until`, in UTC.
/// An absent `until` means that no end has been set, not "for ever".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    from: Timestamp,
    until: Option<Timestamp>,
}

/// A period that ends before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it ends before it begins")]
pub struct ValidityError;

impl Validity {
    /// Returns the period from `from` to `until`.
    ///
    /// # Errors
    /// `ValidityError` where the period is empty.
    pub fn new(from: Timestamp, until: Option<Timestamp>) -> Result<Self, ValidityError> {
        if until.is_some_and(|until| until <= from) { Err(ValidityError) } else { Ok(Self { from, until }) }
    }

    /// Returns the first instant at which the rule is in force.
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// Returns the first instant at which the rule is no longer in force.
    pub const fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Returns whether the rule is in force at `at`.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// A dated prohibition of services.
#[derive(Debug, Clone)]
pub struct Prohibition {
    /// Unique inside its order.
    pub id: String,
    pub title: String,
    pub validity: Validity,
    /// What this prohibition rests on, such as a citation with its paragraph.
    pub basis: String,
    /// How well the instant and the list of acts are verified: the weakest of both.
    pub verification: Verification,
    /// Identifiers of services.
    pub services: Vec<String>,
}

/// Services that the act itself leaves lawful.
#[derive(Debug, Clone)]
pub struct Protected {
    pub services: Vec<String>,
    pub reason: String,
    pub basis: String,
    pub verification: Verification,
}

/// Services that the order must not touch although the act does not name them.
#[derive(Debug, Clone)]
pub struct Exempt {
    pub services: Vec<String>,
    pub reason: String,
    pub exemption: Exemption,
    /// Whether a look-up is a sign of a threat (a sinkholed or a look-alike name) and counted as such.
    pub threat: bool,
}

/// Why a service is exempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// The act does not cover it.
    NotCovered,
    /// Withholding it would break resolution, mail or security work.
    Operational,
    /// It only looks like the vendor's.
    LookAlike,
}

impl Exemption {
    /// Returns the word that files and records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotCovered => "not-covered",
            Self::Operational => "operational",
            Self::LookAlike => "look-alike",
        }
    }
}

/// Services that are left while the products are being removed.
#[derive(Debug, Clone)]
pub struct Kept {
    pub services: Vec<String>,
    pub reason: String,
    /// Whether each contact is recorded with its client (consoles and identity) or only counted (support).
    pub record: bool,
    /// When removal is taken to be over by the order itself; the operator can set an earlier instant.
    pub until: Option<Timestamp>,
    /// How the services are treated afterwards.
    pub then: Then,
}

/// What comes after removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Noted,
    /// Index into [`Order::prohibitions`].
    Prohibited(usize),
}

/// Services whose look-ups are only counted.
#[derive(Debug, Clone)]
pub struct Noted {
    pub services: Vec<String>,
    pub reason: String,
}

/// What the operator decided about the orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator {
    pub mode: Mode,
    pub demand: Demand,
    pub removal: Removal,
    /// A later one of the same order and service replaces an earlier one.
    pub treatments: Vec<OperatorTreatment>,
    /// Groups of clients besides the default one; the place in this list, counted from 1, is the group's number.
    pub groups: Vec<Group>,
    /// A later one of the same order and group replaces an earlier one.
    pub applies: Vec<Apply>,
    pub waivers: Vec<Waiver>,
}

/// On whose demand the network blocks (RFC 8914, sections 4.16 and 4.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Demand {
    /// The operator chose to apply the order.
    #[default]
    Own,
    /// The operator is bound by the order.
    External,
}

/// Whether the vendor's products are still being removed from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Removal {
    #[default]
    Running,
    /// Runs until this instant.
    Until(Timestamp),
    Finished,
}

/// The operator's own treatment of one service of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorTreatment {
    pub order: String,
    pub service: String,
    pub choice: TreatmentChoice,
}

/// What an operator can choose for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreatmentChoice {
    Noted,
    Exempt,
    Kept,
    /// Under the prohibition with this identifier.
    Prohibited(String),
}
