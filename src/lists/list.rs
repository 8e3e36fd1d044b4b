//! One list, compiled: its index, and what the rules in it say.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::gather::{Gathered, Networks};
use super::index::{BuildError, Hit, Index, Key, Scope};
use super::parse::Format;
use super::print::Trigger;
use super::rule::{Action, Choice};
use crate::client::Client;
use crate::message::{Name, RecordType};

/// What is kept behind the index of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    /// The SHA-256 of the file that the list was read from.
    #[serde(with = "hex::serde")]
    source: [u8; 32],
    format: String,
    /// Lines that were not understood.
    refused: usize,
    choices: Vec<Choice>,
    /// Networks of clients, each with the number of its choice.
    clients: Vec<(String, u32)>,
    answers: Vec<(String, u32)>,
}

/// A list that decides.
pub struct List {
    index: Index,
    table: Table,
    clients: Prefixes,
    answers: Prefixes,
    /// The first turn of all choices: what is found in it needs no further search.
    first_turn: u8,
}

/// Why octets are no compiled list, though they are an index.
#[derive(Debug, thiserror::Error)]
#[error("what its rules say cannot be read")]
pub struct TableError(#[source] Option<serde_json::Error>);

/// What of a list matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A name: that asked for without its first labels.
    Name { labels_before: usize, scope: Scope },
    /// A network of clients.
    Client(IpNet),
    /// A network that an address of the answer is in.
    Answer(IpNet),
}

impl Rule {
    /// Returns the rule in words, where it matched `name`: `NAME`, `*.NAME`, or both.
    pub fn describe(&self, name: &Name) -> String {
        match self {
            Self::Name { labels_before, scope } => {
                let own = name.suffixes().nth(*labels_before).and_then(|wire| Name::from_wire(wire).ok());
                let own = own.unwrap_or_else(Name::root);
                match scope {
                    Scope::Exact | Scope::Node => own.to_string(),
                    Scope::Below => format!("*.{own}"),
                    Scope::Both => format!("{own} and *.{own}"),
                }
            }
            Self::Client(network) => format!("client {network}"),
            Self::Answer(network) => format!("address {network}"),
        }
    }
}

/// Makes the octets of a list from what was gathered. `source` is the SHA-256 of the file that it was read from.
///
/// # Errors
/// Where there are too many rules.
pub fn compile(
    gathered: &mut Gathered,
    (source, format): ([u8; 32], Format),
    keys: impl FnMut() -> Key,
) -> Result<Vec<u8>, BuildError> {
    let (clients, answers) = (std::mem::take(&mut gathered.clients), std::mem::take(&mut gathered.answers));
    let mut numbered = |networks: Networks| -> Result<Vec<(String, u32)>, BuildError> {
        let numbers = networks.into_iter().map(|(network, choice)| {
            gathered.number(choice).map(|number| (network.to_string(), number)).map_err(|_| BuildError::TooLarge)
        });
        numbers.collect()
    };
    let (clients, answers) = (numbered(clients)?, numbered(answers)?);
    let table = Table {
        source,
        format: format.as_str().to_owned(),
        refused: gathered.refusals.count,
        choices: gathered.choices.clone(),
        clients,
        answers,
    };
    let table = serde_json::to_vec(&table).expect("a table of texts and numbers can be written");
    gathered.builder.finish(keys, &table)
}

impl List {
    /// Returns the list that an index and its table are.
    ///
    /// # Errors
    /// Where the table is none.
    pub fn new(index: Index) -> Result<Self, TableError> {
        let table: Table = serde_json::from_slice(index.table()).map_err(|error| TableError(Some(error)))?;
        let clients = Prefixes::read(&table.clients).ok_or(TableError(None))?;
        let answers = Prefixes::read(&table.answers).ok_or(TableError(None))?;
        let first_turn = table.choices.iter().map(|choice| choice.turn).min().unwrap_or_default();
        Ok(Self { index, table, clients, answers, first_turn })
    }

    /// Says what the list makes of a question: by its client before by its name (RPZ's precedence); of the rules for names
    /// the exact one before those above, the longest first.
    pub fn decide(&self, name: &Name, record_type: RecordType, client: &Client) -> Option<(&Action, Rule)> {
        if let Some((network, choice)) = self.clients.longest(client.address(), &self.table.choices) {
            return Some((&choice.action, Rule::Client(network)));
        }
        let mut later: Option<(u8, Hit)> = None;
        let first = self.index.find(name, |hit| {
            let choice = self.table.choices.get(hit.payload as usize)?;
            if !choice.condition.is_empty() && !choice.condition.holds(name, record_type, client) {
                return None;
            }
            if choice.turn == self.first_turn {
                return Some(hit);
            }
            if later.is_none_or(|(turn, _)| choice.turn < turn) {
                later = Some((choice.turn, hit));
            }
            None
        });
        let hit = first.or(later.map(|(_, hit)| hit))?;
        let Hit { payload, labels_before, scope } = hit;
        Some((&self.table.choices.get(payload as usize)?.action, Rule::Name { labels_before, scope }))
    }

    /// Says what the list makes of an address in an answer.
    pub fn decide_address(&self, address: IpAddr) -> Option<(&Action, Rule)> {
        let (network, choice) = self.answers.longest(address, &self.table.choices)?;
        Some((&choice.action, Rule::Answer(network)))
    }

    /// Returns whether any rule matches `name`, whatever its conditions.
    pub fn is_listed(&self, name: &Name) -> bool {
        self.index.find(name, Some).is_some()
    }

    /// Returns whether what the list says of questions for `name` is the same whoever asks: no rule is for some clients, and none
    /// that matches the name has a condition.
    pub fn says_the_same_to_all(&self, name: &Name) -> bool {
        let is_bound = |hit: Hit| {
            let choice = self.table.choices.get(hit.payload as usize);
            choice.is_none_or(|choice| !choice.condition.is_empty()).then_some(())
        };
        self.clients.0.is_empty() && self.index.find(name, is_bound).is_none()
    }

    /// Returns whether the list says anything of addresses in answers.
    pub const fn has_answers(&self) -> bool {
        !self.answers.0.is_empty()
    }

    /// Returns every rule for names with its action.
    pub fn rules(&self) -> impl Iterator<Item = (Name, Scope, &Choice)> {
        let choice = |number: u32| self.table.choices.get(number as usize);
        self.index.rules().filter_map(move |(name, scope, number)| Some((name, scope, choice(number)?)))
    }

    /// Returns every rule for networks with its action: those of clients, then those of addresses in answers.
    pub fn network_rules(&self) -> impl Iterator<Item = (Trigger, &Choice)> {
        let rules = |of: &'static dyn Fn(IpNet) -> Trigger, prefixes: &'_ Prefixes| -> Vec<(Trigger, u32)> {
            prefixes
                .0
                .iter()
                .flat_map(|(_, _, networks)| networks)
                .map(|(network, number)| (of(*network), *number))
                .collect()
        };
        let (clients, answers) = (rules(&Trigger::Client, &self.clients), rules(&Trigger::Answer, &self.answers));
        let choice = |number: u32| self.table.choices.get(number as usize);
        clients.into_iter().chain(answers).filter_map(move |(trigger, number)| Some((trigger, choice(number)?)))
    }

    /// Returns how many rules there are, for names and for addresses.
    pub fn len(&self) -> u64 {
        self.index.len() + (self.table.clients.len() + self.table.answers.len()) as u64
    }

    /// Returns whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many lines were not understood.
    pub const fn refused(&self) -> usize {
        self.table.refused
    }

    /// Returns the SHA-256 of the file that the list was read from.
    pub const fn source(&self) -> &[u8; 32] {
        &self.table.source
    }

    /// Returns whether the list was read from a file with this SHA-256, in this format.
    pub fn is_from(&self, source: &[u8; 32], format: Option<Format>) -> bool {
        self.table.source == *source && format.is_none_or(|format| format.as_str() == self.table.format)
    }

    /// Returns the compiled list as octets that may be kept.
    pub fn octets(&self) -> &[u8] {
        self.index.octets()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("rules", &self.len()).field("format", &self.table.format).finish_non_exhaustive()
    }
}

/// Networks by the length of their prefix, the longest first, and the number of the choice of each.
#[derive(Debug, Default)]
struct Prefixes(Vec<(u8, bool, BTreeMap<IpNet, u32>)>);

impl Prefixes {
    fn read(networks: &[(String, u32)]) -> Option<Self> {
        let mut lengths: BTreeMap<(u8, bool), BTreeMap<IpNet, u32>> = BTreeMap::new();
        for (text, number) in networks {
            let network: IpNet = text.parse().ok()?;
            lengths
                .entry((network.prefix_len(), network.addr().is_ipv4()))
                .or_default()
                .insert(network.trunc(), *number);
        }
        Some(Self(lengths.into_iter().rev().map(|((length, v4), of)| (length, v4, of)).collect()))
    }

    fn longest<'c>(&self, address: IpAddr, choices: &'c [Choice]) -> Option<(IpNet, &'c Choice)> {
        let address = address.to_canonical();
        self.0.iter().filter(|(_, v4, _)| *v4 == address.is_ipv4()).find_map(|(length, _, networks)| {
            let network = IpNet::new(address, *length).ok()?.trunc();
            let number = networks.get(&network)?;
            Some((network, choices.get(*number as usize)?))
        })
    }
}
