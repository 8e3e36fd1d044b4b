//! Which group the longest network around an address belongs to.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::GroupId;

/// Networks in the order of their first addresses, outer ones before those inside them.
#[derive(Debug, Default)]
pub(super) struct Networks(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    first: IpAddr,
    network: IpNet,
    group: GroupId,
    /// The place of the longest network that this one lies in.
    outer: Option<usize>,
}

impl Networks {
    /// Of a network that is listed twice, the first counts.
    pub(super) fn new(networks: impl IntoIterator<Item = (IpNet, GroupId)>) -> Self {
        let networks = networks.into_iter().map(|(network, group)| (canonical(network.trunc()), group));
        let mut networks: Vec<_> = networks.collect();
        networks.sort_by_key(|(network, _)| (network.network(), network.prefix_len()));
        networks.dedup_by_key(|(network, _)| *network);
        let mut entries: Vec<Entry> = Vec::with_capacity(networks.len());
        for (place, (network, group)) in networks.into_iter().enumerate() {
            // Networks lie inside each other or apart: what surrounds this one is the one before, or surrounds that.
            let mut outer = place.checked_sub(1);
            while let Some(around) = outer.filter(|around| !entries[*around].network.contains(&network)) {
                outer = entries[around].outer;
            }
            entries.push(Entry { first: network.network(), network, group, outer });
        }
        Self(entries)
    }

    /// Returns the group of the longest network that holds all of `network`.
    pub(super) fn group_of(&self, network: &IpNet) -> Option<GroupId> {
        let network = &canonical(*network);
        let first = network.network();
        let mut place = self.0.partition_point(|entry| entry.first <= first).checked_sub(1);
        while let Some(entry) = place.and_then(|place| self.0.get(place)) {
            if entry.network.contains(network) {
                return Some(entry.group);
            }
            place = entry.outer;
        }
        None
    }
}

/// Returns the IPv4 network that an IPv6 network of mapped addresses stands for, and any other as it is.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Few distinct bits, so that networks lie inside each other often.
    fn address() -> impl Strategy<Value = IpAddr> {
        let bits = || prop_oneof![Just(0_u32), Just(u32::MAX), Just(0x0A00_0000), 0..8_u32, any::<u32>()];
        prop_oneof![
            bits().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
            (bits(), bits())
                .prop_map(|(high, low)| { IpAddr::V6(Ipv6Addr::from(u128::from(high) << 96 | u128::from(low))) }),
        ]
    }

    fn network() -> impl Strategy<Value = IpNet> {
        (address(), 0..=128_u8).prop_map(|(address, length)| {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, length.min(longest)).unwrap().trunc()
        })
    }

    #[test]
    fn mapped_networks_are_what_they_stand_for() {
        let table = Networks::new([("::ffff:10.0.0.0/104".parse().unwrap(), GroupId(1))]);
        for (network, group) in [("10.1.2.3/32", Some(1)), ("::ffff:10.1.0.0/112", Some(1)), ("::ffff:0:0/96", None)] {
            assert_eq!(table.group_of(&network.parse().unwrap()), group.map(GroupId), "{network}");
        }
    }

    proptest! {
        #[test]
        fn the_longest_network_is_found_as_a_plain_list_finds_it(
            networks in proptest::collection::vec(network(), 0..40),
            asked in proptest::collection::vec(network(), 1..20),
            near in any::<prop::sample::Index>(),
        ) {
            let mut list: Vec<(IpNet, GroupId)> = Vec::new();
            for (number, network) in networks.into_iter().enumerate() {
                if list.iter().all(|(known, _)| *known != network) {
                    list.push((network, GroupId(number as u16 + 1)));
                }
            }
            let table = Networks::new(list.iter().copied());
            let own = list.get(near.index(list.len().max(1))).map(|(network, _)| *network);
            let ends = own.into_iter().flat_map(|of| [of, of.network().into(), of.broadcast().into()]);
            for of in asked.into_iter().chain(ends) {
                // The last address of ::/80 is a mapped one.
                let asked = canonical(of);
                let around = list.iter().filter(|(network, _)| network.contains(&asked));
                let longest = around.max_by_key(|(network, _)| network.prefix_len()).map(|(_, group)| *group);
                prop_assert_eq!(table.group_of(&of), longest, "{}", of);
            }
        }
    }
}
