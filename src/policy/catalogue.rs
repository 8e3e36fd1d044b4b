//! Catalogues: which names belong to which service of a vendor, and how that is known.

use std::fmt;

use super::pattern::Pattern;
use crate::message::Name;

/// The names of one vendor's services. Knows no date and no law.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// Short name that orders refer to, such as `acme`.
    pub id: String,
    pub vendor: String,
    pub title: String,
    /// The day on which the entries were last reviewed.
    pub revised: jiff::civil::Date,
    /// A name of a service that is well known, for people to try.
    pub example: Option<Name>,
    /// In the order of the file.
    pub services: Vec<Service>,
    /// In the order of the file.
    pub entries: Vec<Entry>,
}

/// A service of the vendor, as fine as the orders need to tell services apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unique inside its catalogue, such as `update`.
    pub id: String,
    pub title: String,
}

/// Names that belong to one service.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name or pattern as the file writes it.
    pub text: String,
    pub pattern: Pattern,
    /// Index of the service in [`Catalogue::services`].
    pub service: usize,
    pub confidence: Confidence,
    /// Where the name was seen: addresses or descriptions of sources; at least one.
    pub evidence: Vec<String>,
    pub note: Option<String>,
}

/// How sure it is that the name exists and belongs to its service. Says nothing about law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    Low,
    Medium,
    High,
}

impl Confidence {
    /// Returns the word that files and records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
