//! What look-ups are put together by where there are too many to tell them apart.

use serde::{Deserialize, Serialize};

/// What look-ups were put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Folded {
    /// By the client's network (/24 or /64) and the rule.
    Network,
    /// By the rule.
    Rule,
    /// By the rule, in counters that stood in for a full ring: neither names nor clients were looked at, and the
    /// instants are those between which the counters were read.
    Counter,
}

impl Folded {
    /// Returns the word that records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Rule => "rule",
            Self::Counter => "counter",
        }
    }
}
