//! Hosts files: an address and the names that it shall have. An address that stands for no host means that the names are
//! blocked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::gather::Gathered;
use super::super::index::Scope;
use super::super::rule::{Action, Choice};

/// What systems write into their own hosts files; lists repeat it, and mean no rule.
pub(in crate::lists) const OWN: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "local",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "0.0.0.0",
];

pub(super) fn line(line: &str, gathered: &mut Gathered) -> Result<(), String> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    let Some(address) = words.next() else { return Ok(()) };
    // A link-local address may name its interface.
    let address = address.split('%').next().unwrap_or_default();
    let address: IpAddr = address.parse().map_err(|_| "a line of a hosts file begins with an address")?;
    let mut names = words.peekable();
    names.peek().ok_or("no name follows the address")?;
    let mut wrong = None;
    for text in names.filter(|text| !OWN.contains(text)) {
        match super::name(text) {
            Ok(name) if is_null(address) => gathered.rule(&name, Scope::Exact, Choice::plain(Action::Block))?,
            Ok(name) => gathered.addresses(&name, Scope::Exact, &[address])?,
            Err(reason) => wrong = Some(format!("`{text}`: {reason}")),
        }
    }
    wrong.map_or(Ok(()), Err)
}

/// Returns whether an address stands for no host, or for the client itself.
pub(in crate::lists) fn is_null(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4 == Ipv4Addr::UNSPECIFIED || v4.is_loopback(),
        IpAddr::V6(v6) => v6 == Ipv6Addr::UNSPECIFIED || v6.is_loopback(),
    }
}
