//! Clients whom policies may treat apart: each group, and the clients of each network that waivers name.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::Serialize;

use crate::client::{Client, DEFAULT_GROUP, GroupId};
use crate::policy::{Party, Snapshot};

/// Clients that both policies treat alike among themselves.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Audience {
    pub(super) group: String,
    /// The network inside the group, where a waiver names it.
    pub(super) network: Option<IpNet>,
    /// Which of the policies does not have the group, and is asked for its default one.
    pub(super) missing: Option<&'static str>,
    /// Whether both policies have the group, and put other clients into it.
    pub(super) other_members: bool,
    /// The client as the old policy sees it, and as the new one does.
    #[serde(skip)]
    pub(super) clients: [Client; 2],
    /// Where the group itself stands, for a network inside it.
    #[serde(skip)]
    pub(super) within: Option<usize>,
}

impl Audience {
    /// Returns the name that people and programs see.
    pub(super) fn label(&self) -> String {
        match self.network {
            None => self.group.clone(),
            Some(network) if self.group == DEFAULT_GROUP => network.to_string(),
            Some(network) => format!("{} in {network}", self.group),
        }
    }
}

/// Returns every audience of two policies: groups first, the default one on top.
pub(super) fn of(policies: [&Snapshot; 2]) -> Vec<Audience> {
    let named = |policy: &Snapshot| policy.inputs().operator.groups.iter().map(|group| group.name.clone()).collect();
    let [old, new]: [BTreeSet<String>; 2] = policies.map(named);
    let groups: Vec<&str> = std::iter::once(DEFAULT_GROUP).chain(old.union(&new).map(String::as_str)).collect();
    let networks = networks(policies);
    let inside = |group: &str, address: IpAddr| {
        let id = |policy: &Snapshot| policy.group_named(group).unwrap_or(GroupId::DEFAULT);
        policies.map(|policy| Client::member(address, id(policy)))
    };
    let missing = |group: &str| match policies.map(|policy| policy.group_named(group).is_some()) {
        [false, _] => Some("old"),
        [true, false] => Some("new"),
        [true, true] => None,
    };
    let members = |policy: &Snapshot, name: &str| {
        policy.inputs().operator.groups.iter().find(|group| group.name == name).cloned()
    };
    let differs = |name: &str| match policies.map(|policy| members(policy, name)) {
        [Some(old), Some(new)] => old != new,
        [None, _] | [_, None] => false,
    };
    let outside = outside(&networks);
    let audience = |group: &str, network, address, within| Audience {
        group: group.to_owned(),
        network,
        missing: missing(group),
        other_members: differs(group),
        clients: inside(group, address),
        within,
    };
    let whole: Vec<_> = groups.iter().map(|group| audience(group, None, outside, None)).collect();
    let parts = groups.iter().enumerate().flat_map(|(at, group)| {
        let part = |network: &IpNet| Some(audience(group, Some(*network), alone(network, &networks)?, Some(at)));
        networks.iter().filter_map(part).collect::<Vec<_>>()
    });
    let parts: Vec<_> = parts.collect();
    [whole, parts].concat()
}

/// Returns the networks that waivers of either policy name.
fn networks(policies: [&Snapshot; 2]) -> BTreeSet<IpNet> {
    let parties = policies.into_iter().flat_map(|policy| &policy.inputs().operator.waivers);
    let parties = parties.flat_map(|waiver| &waiver.scope.clients);
    let network = |party: &Party| match party {
        Party::Network(network) => Some(network.trunc()),
        Party::Group(_) => None,
    };
    parties.filter_map(network).collect()
}

/// Returns an address of `network` that no narrower one of `networks` has; `None` where those are all of it.
fn alone(network: &IpNet, networks: &BTreeSet<IpNet>) -> Option<IpAddr> {
    let narrower: Vec<_> = networks.iter().filter(|of| *of != network && network.contains(*of)).collect();
    let beside = narrower.iter().flat_map(|of| [before(of.network()), after(of.broadcast())]).flatten();
    let mut candidates = [network.network(), network.broadcast()].into_iter().chain(beside);
    candidates.find(|at| network.contains(at) && !narrower.iter().any(|of| of.contains(at)))
}

/// Returns an address that none of `networks` has; any where there is none such.
fn outside(networks: &BTreeSet<IpNet>) -> IpAddr {
    let anyone = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let beside = networks.iter().flat_map(|of| [before(of.network()), after(of.broadcast())]).flatten();
    let mut candidates = [anyone, IpAddr::V6(Ipv6Addr::UNSPECIFIED)].into_iter().chain(beside);
    candidates.find(|at| !networks.iter().any(|of| of.contains(at))).unwrap_or(anyone)
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(of) => of.to_bits().checked_sub(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(of) => of.to_bits().checked_sub(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(of) => of.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(of) => of.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_asked_where_no_narrower_one_is() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<IpNet>>();
        for (network, others, expected) in [
            ("10.0.0.0/8", &["10.0.0.0/8"][..], Some("10.0.0.0")),
            ("10.0.0.0/8", &["10.0.0.0/8", "10.0.0.0/24"], Some("10.255.255.255")),
            ("10.0.0.0/8", &["10.0.0.0/8", "10.0.0.0/9", "10.255.0.0/16"], Some("10.128.0.0")),
            ("10.0.0.0/8", &["10.0.0.0/9", "10.128.0.0/9"], None),
            ("fd00::/8", &["fd00::/8", "10.0.0.0/8"], Some("fd00::")),
            ("10.0.0.7/32", &["10.0.0.0/8", "10.0.0.7/32"], Some("10.0.0.7")),
        ] {
            let found = alone(&network.parse().unwrap(), &networks(others));
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{network} beside {others:?}");
        }
        for (others, expected) in [
            (&[][..], "0.0.0.0"),
            (&["0.0.0.0/0"], "::"),
            (&["0.0.0.0/0", "::/1"], "8000::"),
            (&["0.0.0.0/8", "::/0"], "1.0.0.0"),
        ] {
            assert_eq!(outside(&networks(others)), expected.parse::<IpAddr>().unwrap(), "{others:?}");
        }
    }
}
