//! Sums over queries, in bounded memory: beyond a bound clients are summed up by network, and names by the entry that they
//! match, so that every sum stays exact.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::Seen;
use crate::message::Name;

/// How many clients, each with a rule, are told apart.
const MAX_DEVICES: usize = 131_072;

/// How many networks, each with a rule, are told apart where there are more clients.
const MAX_NETWORKS: usize = 65_536;

/// How many names, each with a rule, are told apart.
const MAX_NAMES: usize = 65_536;

/// How many queries there were, when first and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Sum {
    /// Returns the sum over no query.
    pub const NONE: Self = Self { count: 0, first: Timestamp::MAX, last: Timestamp::MIN };

    /// Adds what was seen.
    pub fn add(&mut self, seen: &Seen) {
        self.join(&Self { count: seen.count, first: seen.at, last: seen.last });
    }

    /// Adds another sum.
    pub fn join(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// A client, or all of a network, or all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Device {
    Client(IpAddr),
    Network(IpNet),
    Others,
}

impl Device {
    /// Returns the address, where it is one client's.
    pub const fn client(&self) -> Option<IpAddr> {
        match self {
            Self::Client(address) => Some(*address),
            Self::Network(_) | Self::Others => None,
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client(address) if address.is_unspecified() => f.write_str("(not told)"),
            Self::Client(address) => address.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Others => f.write_str("(others)"),
        }
    }
}

/// A name, or all others that match an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Folded {
    Name(Box<Name>),
    /// The number of the entry over all catalogues.
    Entry(usize),
}

/// Sums by `K`, which stands for what policy says; there are few of these, since they come from policy alone.
#[derive(Debug)]
pub struct Tally<K> {
    pub rules: BTreeMap<K, Sum>,
    devices: HashMap<(IpAddr, K), Sum>,
    networks: HashMap<(IpNet, K), Sum>,
    others: BTreeMap<K, Sum>,
    names: HashMap<(Name, K), Sum>,
    entries: BTreeMap<(usize, K), Sum>,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self {
            rules: BTreeMap::new(),
            devices: HashMap::new(),
            networks: HashMap::new(),
            others: BTreeMap::new(),
            names: HashMap::new(),
            entries: BTreeMap::new(),
        }
    }
}

impl<K: Copy + Ord + Hash> Tally<K> {
    /// Counts a query; who asked for what only where `named`.
    pub fn add(&mut self, key: K, seen: &Seen, entry: usize, named: bool) {
        self.rules.entry(key).or_insert(Sum::NONE).add(seen);
        if !named {
            return;
        }
        self.device(key, seen).add(seen);
        let name = (seen.name.clone(), key);
        let full = self.names.len() >= MAX_NAMES && !self.names.contains_key(&name);
        let sum = match full {
            true => self.entries.entry((entry, key)).or_insert(Sum::NONE),
            false => self.names.entry(name).or_insert(Sum::NONE),
        };
        sum.add(seen);
    }

    fn device(&mut self, key: K, seen: &Seen) -> &mut Sum {
        let client = (seen.client, key);
        if self.devices.len() < MAX_DEVICES || self.devices.contains_key(&client) {
            return self.devices.entry(client).or_insert(Sum::NONE);
        }
        let length = if seen.client.is_ipv4() { 24 } else { 64 };
        let network = IpNet::new(seen.client, length).map_or_else(|_| seen.client.into(), |network| network.trunc());
        let network = (network, key);
        if self.networks.len() < MAX_NETWORKS || self.networks.contains_key(&network) {
            return self.networks.entry(network).or_insert(Sum::NONE);
        }
        self.others.entry(key).or_insert(Sum::NONE)
    }

    /// Returns the sums by client and rule, in order.
    pub fn devices(&self) -> BTreeMap<(Device, K), Sum> {
        let clients = self.devices.iter().map(|((client, key), sum)| ((Device::Client(*client), *key), *sum));
        let networks = self.networks.iter().map(|((network, key), sum)| ((Device::Network(*network), *key), *sum));
        let others = self.others.iter().map(|(key, sum)| ((Device::Others, *key), *sum));
        clients.chain(networks).chain(others).collect()
    }

    /// Returns the sums by name and rule, the largest first.
    pub fn names(&self) -> Vec<(Folded, K, Sum)> {
        let names = self.names.iter().map(|((name, key), sum)| (Folded::Name(Box::new(name.clone())), *key, *sum));
        let entries = self.entries.iter().map(|((entry, key), sum)| (Folded::Entry(*entry), *key, *sum));
        let mut all: Vec<_> = names.chain(entries).collect();
        all.sort_by(|a, b| b.2.count.cmp(&a.2.count).then_with(|| (&a.0, a.1).cmp(&(&b.0, b.1))));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_clients_and_names_is_folded_and_every_sum_stays_exact() {
        let mut tally = Tally::<u8>::default();
        let at = Timestamp::UNIX_EPOCH;
        for number in 0..400_000u32 {
            let client = if number % 2 == 0 {
                IpAddr::from((0x0A00_0000 + number).to_be_bytes())
            } else {
                IpAddr::from((u128::from(number) << 64).to_be_bytes())
            };
            let name = format!("n{number}.example").parse().unwrap();
            tally.add(0, &Seen::once(at, client, name), 7, true);
        }
        let (devices, names) = (tally.devices(), tally.names());
        assert_eq!(tally.rules[&0].count, 400_000);
        assert_eq!(devices.values().map(|sum| sum.count).sum::<u64>(), 400_000);
        assert_eq!(names.iter().map(|(_, _, sum)| sum.count).sum::<u64>(), 400_000);
        assert_eq!(devices.len(), MAX_DEVICES + MAX_NETWORKS + 1);
        assert_eq!(names.len(), MAX_NAMES + 1);
        assert_eq!((&names[0].0, names[0].2.count), (&Folded::Entry(7), 400_000 - MAX_NAMES as u64));
    }
}
