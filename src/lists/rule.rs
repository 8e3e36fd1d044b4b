//! What a list says of a name: an action, under which conditions, and in which turn.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::message::{Name, RecordType};

/// What becomes of a question that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing, and no later list is asked (RPZ: PASSTHRU).
    Pass,
    /// Withheld, and answered as everything that is withheld here.
    Block,
    /// The name does not exist.
    Nxdomain,
    /// The name exists, and has no such records.
    Nodata,
    /// REFUSED.
    Refused,
    /// No answer at all.
    Drop,
    /// Over UDP the stub is sent to TCP, over TCP nothing happens (RPZ: TCP-ONLY).
    TcpOnly,
    /// The records of the list instead of the true ones.
    Local(Box<Local>),
}

impl Action {
    /// The addresses that stand for no host: `0.0.0.0` and `::`.
    pub fn null() -> Self {
        Self::Local(Box::new(Local::addresses(&[Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()])))
    }

    /// Returns the word that configuration, reports and metrics use.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Block => "block",
            Self::Nxdomain => "nxdomain",
            Self::Nodata => "nodata",
            Self::Refused => "refused",
            Self::Drop => "drop",
            Self::TcpOnly => "tcp-only",
            Self::Local(_) => "local",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Records of a list, in place of the true ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Local {
    pub records: Vec<LocalRecord>,
    /// An alias that stands in place of records of all types.
    pub alias: Option<Alias>,
}

/// TTL of records that a list gives without one, in seconds.
pub const LOCAL_TTL: u32 = 300;

impl Local {
    /// Returns the A and AAAA records for these addresses.
    pub fn addresses(addresses: &[IpAddr]) -> Self {
        let records = addresses.iter().map(|address| LocalRecord::address(*address, LOCAL_TTL));
        Self { records: records.collect(), alias: None }
    }
}

/// One record, but for its owner, which is the name asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalRecord {
    #[serde(rename = "type")]
    pub record_type: u16,
    pub ttl: u32,
    /// The data in wire form, without compression.
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
}

impl LocalRecord {
    /// Returns the A or AAAA record of an address.
    pub fn address(address: IpAddr, ttl: u32) -> Self {
        match address {
            IpAddr::V4(v4) => Self { record_type: RecordType::A.0, ttl, data: v4.octets().into() },
            IpAddr::V6(v6) => Self { record_type: RecordType::AAAA.0, ttl, data: v6.octets().into() },
        }
    }
}

/// A CNAME record of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Alias {
    pub ttl: u32,
    #[serde(with = "as_text")]
    pub target: Name,
    /// Whether the name asked for is put in front of the target (RPZ: a wildcard CNAME).
    pub prepend: bool,
}

impl Alias {
    /// Returns where the alias leads for a name; `None` where the two together are too long.
    pub fn target_for(&self, name: &Name) -> Option<Name> {
        if !self.prepend {
            return Some(self.target.clone());
        }
        let front = name.as_wire();
        Name::from_wire(&[&front[..front.len() - 1], self.target.as_wire()].concat()).ok()
    }
}

/// One thing that a list says, of as many names as it likes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Choice {
    pub action: Action,
    /// Rules of a lower turn are asked before all those of a higher one, however specific they are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turn: u8,
    #[serde(default, skip_serializing_if = "Condition::is_empty")]
    pub condition: Condition,
}

fn is_zero(turn: &u8) -> bool {
    *turn == 0
}

impl Choice {
    /// Returns a choice without conditions, whose turn is the first.
    pub fn plain(action: Action) -> Self {
        Self { action, turn: 0, condition: Condition::default() }
    }
}

/// When a rule holds. An empty condition always does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Record types that it is about; all where there are none.
    pub types: Vec<u16>,
    /// Record types that it is not about.
    pub other_types: Vec<u16>,
    /// Networks of clients that it is about; all where there are none.
    #[serde(with = "as_texts")]
    pub clients: Vec<IpNet>,
    #[serde(with = "as_texts")]
    pub other_clients: Vec<IpNet>,
    /// Names that are left out with all below them.
    #[serde(with = "as_texts")]
    pub except: Vec<Name>,
}

impl Condition {
    /// Returns whether it always holds.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether it holds for a question of a client.
    pub fn holds(&self, name: &Name, record_type: RecordType, client: &Client) -> bool {
        let has = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client.address()));
        (self.types.is_empty() || self.types.contains(&record_type.0))
            && !self.other_types.contains(&record_type.0)
            && (self.clients.is_empty() || has(&self.clients))
            && !has(&self.other_clients)
            && !self.except.iter().any(|above| name.is_at_or_below(above))
    }
}

/// Names as their presentation form.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::fmt::Display;
    use std::str::FromStr;

    pub(super) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Lists of such values.
mod as_texts {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::fmt::Display;
    use std::str::FromStr;

    pub(super) fn serialize<S: Serializer>(values: &[impl Display], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}
