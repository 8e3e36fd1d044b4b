//! What a device may be, and how sure that is.

use std::fmt;

use serde::Serialize;

/// What a device may be, judged by its look-ups alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Asks as a machine with an installed product does.
    Endpoint,
    /// Speaks for others: a management server, a proxy, a forwarder, a network.
    Many,
    /// Asks as another maker's product with the vendor's engine does.
    WhiteLabel,
    /// Somebody fetched an installer or used a portable scanner.
    Download,
    /// Somebody opened web pages or a shop.
    Visitor,
    /// A name that stands in a saved page; says nothing of the device.
    Leak,
    /// Somebody opened a console.
    Administrator,
    /// No rule holds.
    Unclear,
}

impl Role {
    pub const ALL: [Self; 8] = [
        Self::Endpoint,
        Self::Many,
        Self::WhiteLabel,
        Self::Download,
        Self::Visitor,
        Self::Leak,
        Self::Administrator,
        Self::Unclear,
    ];

    /// Returns the word that the table of rules and outputs use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Many => "many",
            Self::WhiteLabel => "white-label",
            Self::Download => "download",
            Self::Visitor => "visitor",
            Self::Leak => "leak",
            Self::Administrator => "administrator",
            Self::Unclear => "unclear",
        }
    }

    /// Returns the role of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How sure a rule is of its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    Low,
    Medium,
    High,
}

impl Confidence {
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// Returns the word that the table of rules and outputs use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Returns the confidence of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|confidence| confidence.as_str() == word)
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
