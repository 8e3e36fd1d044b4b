//! What is told of a leaf, and how much of who asked.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::ledger::{Body, GapReason, KeyError, KeyId, KeyRing, Leaf, Record, hardware_of, network_of};

/// How much of who asked leaves this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Nothing but the group.
    None,
    /// The network: 24 bits of an IPv4 address, 64 of an IPv6 address.
    Network,
    /// What the leaf holds: the address under the key of the month, which stays here. The same client has the same text
    /// for a month.
    Encrypted,
    /// The address, and the hardware address where it is known.
    Plain,
}

impl Clients {
    /// The words for it.
    pub const WORDS: &'static [&'static str] = &["encrypted", "network", "plain", "none"];
}

impl FromStr for Clients {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "none" => Ok(Self::None),
            "network" => Ok(Self::Network),
            "encrypted" => Ok(Self::Encrypted),
            "plain" => Ok(Self::Plain),
            _ => Err(()),
        }
    }
}

/// Where an event comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The name of the log; with the number of the leaf, it names an event for good.
    pub log: String,
    /// The name of the machine.
    pub host: String,
}

impl Origin {
    /// Returns the origin on this machine.
    pub fn here(log: Option<String>) -> Self {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self { log: log.unwrap_or_default(), host }
    }
}

/// One thing that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Leaf(Box<Leaf>),
    /// Leaves that were removed or lost before they were exported.
    Missed {
        first: u64,
        last: u64,
        /// The policy instant of the leaf behind them.
        before: Option<Timestamp>,
    },
}

/// How much something matters, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    Informational,
    Notice,
    Warning,
    Error,
}

/// One thing that is told, with what is told of who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) told: Told,
    pub(super) client: Client,
}

/// What is told of who asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: Option<IpAddr>,
    pub(super) network: Option<IpNet>,
    pub(super) hardware: Option<String>,
    /// The encrypted address, and the name of its key.
    pub(super) sealed: Option<(String, String)>,
    /// The encrypted hardware address.
    pub(super) device: Option<String>,
}

impl Client {
    /// Decides what is told of the client of a record. Where its key cannot be read, that is less, and the reason is returned.
    fn of(record: &Record, clients: Clients, keys: &mut KeyRing) -> (Self, Option<KeyError>) {
        let mut shown = Self::default();
        let unreadable = shown.tell(record, clients, keys).err();
        (shown, unreadable)
    }

    fn tell(&mut self, record: &Record, clients: Clients, keys: &mut KeyRing) -> Result<(), KeyError> {
        let shown = self;
        let key = record.key.as_deref().and_then(KeyId::parse);
        if matches!(clients, Clients::Encrypted | Clients::Plain) {
            shown.sealed = record.client.clone().zip(record.key.clone());
            shown.device.clone_from(&record.device);
        }
        if matches!(clients, Clients::Network | Clients::Plain)
            && let (Some(text), Some(key)) = (&record.client, &key)
            && let Some(address) = keys.decrypt(text, key)?
        {
            match (record.prefix, clients) {
                (Some(prefix), _) => shown.network = IpNet::new(address, prefix).ok(),
                (None, Clients::Plain) => shown.address = Some(address),
                (None, _) => {
                    let (network, bits) = network_of(address);
                    shown.network = IpNet::new(network, bits).ok();
                }
            }
        }
        if clients == Clients::Plain
            && let (Some(text), Some(key)) = (&record.device, &key)
        {
            shown.hardware = keys.decrypt(text, key)?.and_then(hardware_of).map(|hardware| hardware.to_string());
        }
        Ok(())
    }

    /// Returns the one text that tells most of the client.
    pub(super) fn text(&self) -> Option<String> {
        let clear = self.address.map(|address| address.to_string());
        let clear = clear.or_else(|| self.network.map(|network| network.to_string()));
        clear.or_else(|| self.sealed.as_ref().map(|(text, _)| text.clone()))
    }
}

impl Event {
    /// Returns what is told of a leaf, and why less is told of its client than was asked for, where its key cannot be read.
    pub(super) fn of_leaf(leaf: Leaf, clients: Clients, keys: &mut KeyRing) -> (Self, Option<KeyError>) {
        let (client, unreadable) = match &leaf.body {
            Body::Attempt(record) => Client::of(record, clients, keys),
            Body::Coverage(_) | Body::Change(_) | Body::Gap(_) | Body::Unknown => (Client::default(), None),
        };
        (Self { told: Told::Leaf(Box::new(leaf)), client }, unreadable)
    }

    pub(super) fn missed(first: u64, last: u64, before: Option<Timestamp>) -> Self {
        Self { told: Told::Missed { first, last, before }, client: Client::default() }
    }

    /// Returns the look-ups that the event tells of, if it does.
    pub(super) fn record(&self) -> Option<&Record> {
        match &self.told {
            Told::Leaf(leaf) => match &leaf.body {
                Body::Attempt(record) => Some(record),
                Body::Coverage(_) | Body::Change(_) | Body::Gap(_) | Body::Unknown => None,
            },
            Told::Missed { .. } => None,
        }
    }

    /// Returns the policy instants from which and until which the event speaks; none where nothing tells them.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        match &self.told {
            Told::Leaf(leaf) => match &leaf.body {
                Body::Attempt(record) => Some((record.at, record.last)),
                Body::Coverage(coverage) => Some((coverage.from, coverage.at)),
                Body::Change(change) => Some((change.at, change.at)),
                Body::Gap(gap) => Some((gap.from.unwrap_or(gap.at), gap.until.unwrap_or(gap.at))),
                Body::Unknown => None,
            },
            Told::Missed { before, .. } => before.map(|before| (before, before)),
        }
    }

    /// Returns the policy instant that the event has in time; none where nothing tells it.
    pub(super) fn at(&self) -> Option<Timestamp> {
        match &self.told {
            Told::Leaf(leaf) => Self::instant_of(leaf),
            Told::Missed { before, .. } => *before,
        }
    }

    /// Returns the policy instant of a leaf; none for one of a later version.
    pub(super) fn instant_of(leaf: &Leaf) -> Option<Timestamp> {
        match &leaf.body {
            Body::Attempt(record) => Some(record.at),
            Body::Coverage(coverage) => Some(coverage.at),
            Body::Change(change) => Some(change.at),
            Body::Gap(gap) => Some(gap.at),
            Body::Unknown => None,
        }
    }

    /// Returns how many leaves were gone before they were exported, where that is what is told.
    pub(super) fn missed_leaves(&self) -> Option<u64> {
        match self.told {
            Told::Leaf(_) => None,
            Told::Missed { first, last, .. } => Some(last - first + 1),
        }
    }

    /// Returns the number of the leaf, or of the first that is missing.
    pub(super) fn seq(&self) -> u64 {
        match &self.told {
            Told::Leaf(leaf) => leaf.seq,
            Told::Missed { first, .. } => *first,
        }
    }

    /// Returns the text that names the event for good: the same one each time it is exported.
    pub(super) fn id(&self, origin: &Origin) -> String {
        match &self.told {
            Told::Leaf(leaf) => format!("{}#{}", origin.log, leaf.seq),
            Told::Missed { first, last, .. } => format!("{}#{first}-{last}", origin.log),
        }
    }

    /// Returns the word for what is told: that of the leaf, or `missed`.
    pub(super) fn kind(&self) -> &'static str {
        match &self.told {
            Told::Leaf(leaf) => match leaf.body {
                Body::Attempt(_) => "attempt",
                Body::Coverage(_) => "coverage",
                Body::Change(_) => "change",
                Body::Gap(_) => "gap",
                Body::Unknown => "unknown",
            },
            Told::Missed { .. } => "missed",
        }
    }

    pub(super) fn weight(&self) -> Weight {
        match &self.told {
            Told::Leaf(leaf) => match &leaf.body {
                Body::Attempt(record) if record.threat => Weight::Warning,
                Body::Attempt(record) => match record.verdict.as_str() {
                    "sunk" | "waived" | "monitored" => Weight::Notice,
                    _ => Weight::Informational,
                },
                Body::Coverage(_) | Body::Unknown => Weight::Informational,
                Body::Change(change) if change.accepted => Weight::Notice,
                Body::Change(_) => Weight::Warning,
                Body::Gap(_) => Weight::Error,
            },
            Told::Missed { .. } => Weight::Error,
        }
    }

    /// Says in one sentence what is told; holds nothing that a client chose.
    pub(super) fn sentence(&self) -> String {
        match &self.told {
            Told::Leaf(leaf) => match &leaf.body {
                Body::Attempt(record) => match record.verdict.as_str() {
                    _ if record.threat => "Look-up of a name that is a sign of a threat",
                    "sunk" | "waived" | "monitored" => "Attempted contact with a prohibited service",
                    _ => "Look-up of a name that an order tells of",
                }
                .to_owned(),
                Body::Coverage(_) => "Time that the records cover".to_owned(),
                Body::Change(change) if change.accepted => format!("Change: {}", change.act.as_str()),
                Body::Change(change) => format!("Change refused: {}", change.act.as_str()),
                Body::Gap(gap) => match gap.reason {
                    GapReason::Unwritten => "Look-ups could not be recorded",
                    GapReason::Damaged => "A record is damaged",
                    GapReason::Missing => "Records are not there",
                }
                .to_owned(),
                Body::Unknown => "Record of a later version".to_owned(),
            },
            Told::Missed { .. } => "Records were gone before they were exported".to_owned(),
        }
    }

    /// Returns everything as one object: the fields of the leaf, the log, and what is told of who asked.
    pub(super) fn value(&self, origin: &Origin) -> Map<String, Value> {
        let mut value = match &self.told {
            Told::Leaf(leaf) => serde_json::to_value(leaf).unwrap_or_default(),
            Told::Missed { first, last, before } => json!({
                "kind": "missed", "first_seq": first, "last_seq": last, "count": last - first + 1,
                "at": before.map(|at| format!("{at:.6}")),
            }),
        };
        let mut value = value.as_object_mut().map(std::mem::take).unwrap_or_default();
        value.insert("log".to_owned(), origin.log.clone().into());
        value.insert("host".to_owned(), origin.host.clone().into());
        if self.record().is_some() {
            let Client { address, network, hardware, sealed, device } = &self.client;
            if sealed.is_none() {
                value.retain(|key, _| !["client", "key", "prefix"].contains(&key.as_str()));
            }
            if device.is_none() {
                value.remove("device");
            }
            let address = address.map(|address| ("address", address.to_string()));
            let network = network.map(|network| ("network", network.to_string()));
            let hardware = hardware.clone().map(|hardware| ("hardware", hardware));
            value.extend(
                [address, network, hardware].into_iter().flatten().map(|(key, text)| (key.to_owned(), text.into())),
            );
        }
        value
    }
}
