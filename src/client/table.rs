//! The table by which addresses become clients: built aside, never changed, swapped whole.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::networks::Networks;
use super::{Client, Group, GroupId, Hardware, Identification, Source, Strangers};
use crate::message::Name;
use crate::query::{Claim, NamePattern, Peer, Via};

/// The addresses of which more is known than the address, at most. Further ones belong to groups by network only.
pub const MAX_DEVICES: usize = 65_536;

/// What one source tells of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub address: IpAddr,
    pub hardware: Option<Hardware>,
    pub name: Option<Name>,
    pub source: Source,
}

/// Everything that is known of clients besides their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// What sources tell; where two disagree, the more credible counts, and of one source what stands last.
    pub devices: Vec<Device>,
    /// The names of devices wherever they are, from the configuration.
    pub names: BTreeMap<Hardware, Name>,
}

/// Which client is at an address.
#[derive(Debug, Default)]
pub struct Table {
    networks: Networks,
    /// By canonical address. Clients choose their addresses, so that the hash has to be one that cannot be foreseen.
    devices: HashMap<IpAddr, Entry>,
    left_out: usize,
}

/// What is known of one address.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hardware: Option<Hardware>,
    /// The group that its hardware address or its name is in, and which of them.
    group: Option<(GroupId, Identification)>,
    /// Whether a PTR record would change nothing: a more credible source tells a name, or the device decides.
    settled: bool,
}

/// The hardware addresses and names of all groups.
#[derive(Debug)]
struct Members<'g> {
    hardware: HashMap<Hardware, GroupId>,
    exact: HashMap<&'g Name, GroupId>,
    below: HashMap<&'g [u8], GroupId>,
}

impl<'g> Members<'g> {
    fn new(groups: &'g [Group]) -> Self {
        let mut members = Self { hardware: HashMap::new(), exact: HashMap::new(), below: HashMap::new() };
        for (id, group) in numbered(groups) {
            for hardware in &group.devices {
                members.hardware.entry(*hardware).or_insert(id);
            }
            for pattern in &group.names {
                match pattern {
                    NamePattern::Exact(name) => members.exact.entry(name).or_insert(id),
                    NamePattern::Below(name) => members.below.entry(name.as_wire()).or_insert(id),
                };
            }
        }
        members
    }

    /// Returns the group of a name: by the name itself, else by the longest name above it.
    fn by_name(&self, name: &Name) -> Option<GroupId> {
        let above = || name.suffixes().skip(1).find_map(|suffix| self.below.get(suffix));
        self.exact.get(name).or_else(above).copied()
    }
}

/// Returns the groups with the ids that they have in this order.
fn numbered(groups: &[Group]) -> impl Iterator<Item = (GroupId, &Group)> {
    (1..=u16::MAX).map(GroupId).zip(groups)
}

/// What the most credible sources tell of one address.
#[derive(Debug, Default)]
struct Facts<'k> {
    hardware: Option<(Source, Hardware)>,
    name: Option<(Source, &'k Name)>,
}

impl Table {
    /// Builds the table of these groups, in their order, from what is known. Takes no more than [`MAX_DEVICES`].
    pub fn new(groups: &[Group], known: &Known) -> Self {
        let networks = numbered(groups).flat_map(|(id, group)| group.networks.iter().map(move |net| (*net, id)));
        let networks = Networks::new(networks);
        let mut facts: HashMap<IpAddr, Facts<'_>> = HashMap::new();
        let mut left_out = 0;
        for source in Source::ALL {
            // Of one source the last word counts, and no less credible one after it.
            for device in known.devices.iter().rev().filter(|device| device.source == source) {
                let address = device.address.to_canonical();
                if facts.len() >= MAX_DEVICES && !facts.contains_key(&address) {
                    left_out += 1;
                    continue;
                }
                let facts = facts.entry(address).or_default();
                facts.hardware = facts.hardware.or(device.hardware.map(|hardware| (source, hardware)));
                facts.name = facts.name.or(device.name.as_ref().map(|name| (source, name)));
            }
        }
        let members = Members::new(groups);
        let entry = |Facts { hardware, name }: Facts<'_>| {
            // What the configuration says of the address comes before what it says of the device there.
            let of_device = hardware.and_then(|(_, hardware)| Some((Source::Static, known.names.get(&hardware)?)));
            let name = name.filter(|(source, _)| *source == Source::Static).or(of_device).or(name);
            let by_hardware = hardware.and_then(|(source, hardware)| {
                Some((*members.hardware.get(&hardware)?, Identification::Device(source)))
            });
            let by_name =
                || name.and_then(|(source, name)| Some((members.by_name(name)?, Identification::Name(source))));
            let settled = by_hardware.is_some() || name.is_some_and(|(source, _)| source != Source::Ptr);
            let hardware = hardware.map(|(_, hardware)| hardware);
            Entry { hardware, group: by_hardware.or_else(by_name), settled }
        };
        let devices = facts.into_iter().map(|(address, facts)| (address, entry(facts))).collect();
        Self { networks, devices, left_out }
    }

    /// Returns the client at `address`. Allocates nothing.
    pub fn identify(&self, address: IpAddr) -> Client {
        let client = self.within(address.to_canonical().into());
        let Some(entry) = self.devices.get(&client.address) else { return client };
        let (group, identification) = entry.group.unwrap_or((client.group, client.identification));
        Client { group, identification, device: entry.hardware, ..client }
    }

    /// Returns the client that a peer asks for: itself, or the one that it is believed to speak for. Of one that is
    /// known by its network alone, only a network that holds it all decides the group.
    pub fn identify_peer(&self, peer: &Peer) -> Client {
        match peer.claimed {
            None => self.identify(peer.remote.ip()),
            Some(Claim::Proxy(address)) => Client { via: Via::Proxy, ..self.identify(address) },
            Some(Claim::Subnet(network)) if network.prefix_len() == network.max_prefix_len() => {
                Client { via: Via::Subnet, ..self.identify(network.addr()) }
            }
            Some(Claim::Subnet(network)) => {
                Client { via: Via::Subnet, prefix: Some(network.prefix_len()), ..self.within(network) }
            }
        }
    }

    fn within(&self, network: IpNet) -> Client {
        Client::member(network.addr(), self.networks.group_of(&network).unwrap_or_default())
    }

    /// Returns whether a PTR record for `address` could change its group.
    pub fn lacks_name(&self, address: IpAddr) -> bool {
        self.devices.get(&address.to_canonical()).is_none_or(|entry| !entry.settled)
    }

    /// Returns how many addresses have a device or a name.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Returns whether no address has a device or a name.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Returns how many words of sources found no place any more, [`MAX_DEVICES`] being reached.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}

/// The groups of one policy, and the table of who belongs to them at present.
#[derive(Debug)]
pub struct Clients {
    groups: Vec<Group>,
    table: ArcSwap<Table>,
    strangers: Option<Strangers>,
    /// Groups of others, that learn what these learn.
    follower: Option<Arc<Clients>>,
}

impl Clients {
    /// Returns groups whose members are known by their networks alone so far. Whoever asks is noted where PTR records
    /// are looked up, and a group has names.
    pub fn new(groups: Vec<Group>, ptr: bool) -> Self {
        let table = Table::new(&groups, &Known::default());
        let wanted = ptr && groups.iter().any(|group| !group.names.is_empty());
        Self { groups, table: ArcSwap::from_pointee(table), strangers: wanted.then(Strangers::new), follower: None }
    }

    /// Lets `follower` learn all that these learn, of its own groups.
    pub fn followed_by(self, follower: Arc<Self>) -> Self {
        Self { follower: Some(follower), ..self }
    }

    /// Returns where those are noted whose names are to be looked up; `None` where no name is.
    pub const fn strangers(&self) -> Option<&Strangers> {
        self.strangers.as_ref()
    }

    /// Builds the table anew from what is known now, and swaps it in.
    pub fn learn(&self, known: &Known) {
        self.table.store(Arc::new(Table::new(&self.groups, known)));
        if let Some(follower) = &self.follower {
            follower.learn(known);
        }
    }

    /// Returns the client that a peer asks for, by the table at present. Takes no lock, and allocates nothing.
    pub fn identify_peer(&self, peer: &Peer) -> Client {
        self.table.load().identify_peer(peer)
    }

    /// Returns the table at present.
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Returns the groups, in the order of their ids from 1 on.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }
}
