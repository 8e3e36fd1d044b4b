//! Entries that match addresses, by the longest prefix.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::pattern::Specificity;

/// The shortest prefixes that an entry may have, so that no slip of the pen withholds the internet.
const LEAST_V4: u8 = 8;
const LEAST_V6: u8 = 16;

/// Why a text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("it is not an address, nor a network such as 192.0.2.0/24 or 2001:db8::/32")]
    Form,
    #[error("it has bits behind its prefix; the network is {0}")]
    Host(IpNet),
    #[error("it is too wide; name at least /{0}")]
    TooWide(u8),
    #[error("it carries an IPv4 address; write {0}, which matches that form of it too")]
    Carried(Ipv4Addr),
}

/// Reads an address, which stands for itself alone, or a network.
///
/// # Errors
/// Says what is wrong with the text.
pub(super) fn parse_network(text: &str) -> Result<IpNet, NetworkError> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| NetworkError::Form)?,
    };
    let least = if network.addr().is_ipv4() { LEAST_V4 } else { LEAST_V6 };
    if network.prefix_len() < least {
        return Err(NetworkError::TooWide(least));
    }
    if network.trunc() != network {
        return Err(NetworkError::Host(network.trunc()));
    }
    match (network.addr(), plain(network.addr())) {
        (IpAddr::V6(_), IpAddr::V4(carried)) if network.prefix_len() >= 96 => Err(NetworkError::Carried(carried)),
        _ => Ok(network),
    }
}

/// Returns the IPv4 address that an IPv6 address stands for, mapped (RFC 4291, section 2.5.5.2) or translated by the
/// well-known prefix (RFC 6052, section 2.1); else the address itself.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => match six.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)).into()
            }
            _ => address,
        },
        IpAddr::V4(_) => address,
    }
}

/// Entries by network.
#[derive(Debug, Default)]
pub(super) struct Networks {
    entries: HashMap<IpNet, Vec<usize>, foldhash::fast::RandomState>,
    /// The lengths of the prefixes that there are, longest first, for IPv4 and for IPv6.
    lengths: [Vec<u8>; 2],
}

impl Networks {
    pub(super) fn insert(&mut self, network: IpNet, entry: usize) {
        self.entries.entry(network).or_default().push(entry);
        let lengths = &mut self.lengths[usize::from(network.addr().is_ipv6())];
        if let Err(at) = lengths.binary_search_by(|length| network.prefix_len().cmp(length)) {
            lengths.insert(at, network.prefix_len());
        }
    }

    /// Calls `visitor` with each entry whose network has `address`. Allocates nothing.
    pub(super) fn visit(&self, address: IpAddr, mut visitor: impl FnMut(usize, Specificity)) {
        let address = plain(address);
        for length in &self.lengths[usize::from(address.is_ipv6())] {
            let Ok(network) = IpNet::new(address, *length) else { continue };
            for entry in self.entries.get(&network.trunc()).into_iter().flatten() {
                visitor(*entry, Specificity::Network(*length));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_or_told_what_is_wrong() {
        for (text, expected) in [
            ("192.0.2.7", Ok("192.0.2.7/32")),
            ("192.0.2.0/24", Ok("192.0.2.0/24")),
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("2001:db8::1", Ok("2001:db8::1/128")),
            ("2001:DB8::/32", Ok("2001:db8::/32")),
            ("2001::/16", Ok("2001::/16")),
            ("192.0.2.1/24", Err(NetworkError::Host("192.0.2.0/24".parse().unwrap()))),
            ("0.0.0.0/0", Err(NetworkError::TooWide(8))),
            ("10.0.0.0/7", Err(NetworkError::TooWide(8))),
            ("::/0", Err(NetworkError::TooWide(16))),
            ("2000::/15", Err(NetworkError::TooWide(16))),
            ("::ffff:8.8.8.8", Err(NetworkError::Carried([8, 8, 8, 8].into()))),
            ("64:ff9b::8.8.8.8", Err(NetworkError::Carried([8, 8, 8, 8].into()))),
            ("192.0.2.0/33", Err(NetworkError::Form)),
            ("192.0.2", Err(NetworkError::Form)),
            ("a.example", Err(NetworkError::Form)),
            ("", Err(NetworkError::Form)),
        ] {
            let expected = expected.map(|network| network.parse::<IpNet>().unwrap());
            assert_eq!(parse_network(text), expected, "{text}");
        }
    }

    /// The index finds what going through all networks finds.
    #[test]
    fn every_network_of_an_address_is_found_longest_first() {
        let texts =
            ["192.0.0.0/8", "192.0.2.0/24", "192.0.2.0/25", "192.0.2.7", "8.8.8.8", "2001:db8::/32", "2001::/16"];
        let networks: Vec<IpNet> = texts.iter().map(|text| parse_network(text).unwrap()).collect();
        let mut index = Networks::default();
        networks.iter().enumerate().for_each(|(entry, network)| index.insert(*network, entry));
        for (address, expected) in [
            ("192.0.2.7", vec!["192.0.2.7", "192.0.2.0/25", "192.0.2.0/24", "192.0.0.0/8"]),
            ("::ffff:192.0.2.7", vec!["192.0.2.7", "192.0.2.0/25", "192.0.2.0/24", "192.0.0.0/8"]),
            ("192.0.2.200", vec!["192.0.2.0/24", "192.0.0.0/8"]),
            ("64:ff9b::808:808", vec!["8.8.8.8"]),
            ("8.8.8.9", vec![]),
            ("2001:db8::9", vec!["2001:db8::/32", "2001::/16"]),
            ("2002::1", vec![]),
        ] {
            let mut found = Vec::new();
            index.visit(address.parse().unwrap(), |entry, of| found.push((texts[entry], of)));
            assert!(found.is_sorted_by_key(|(_, of)| std::cmp::Reverse(*of)), "{address}: {found:?}");
            assert_eq!(found.iter().map(|(text, _)| *text).collect::<Vec<_>>(), expected, "{address}");
        }
    }
}
