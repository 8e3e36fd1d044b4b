//! Addresses that mean something else in each network, and the names that may have them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::Name;
use crate::query::{Subject, Target};

/// Returns whether an answer tells an address of a private network or of the machine that asks: a public name with one
/// makes a browser or a tool talk to what stands behind the firewall (DNS rebinding).
pub fn leads_inside(subjects: &[Subject]) -> bool {
    subjects.iter().any(|subject| match subject.target {
        Target::Address(address) => is_private(address),
        Target::Name(_) => false,
    })
}

/// Whose names may have private addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebinding {
    /// Zones whose names may.
    pub allow: Vec<Name>,
}

impl Rebinding {
    /// Returns whether `name` must not have a private address.
    pub fn protects(&self, name: &Name) -> bool {
        !self.allow.iter().any(|zone| name.is_at_or_below(zone))
    }
}

/// Returns whether an address is private, shared (RFC 6598), link-local, loopback or unspecified, also where IPv6 only
/// carries such an IPv4 address.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_private_v4(four),
        IpAddr::V6(six) => {
            let segments = six.segments();
            let within = |first: u16, bits: u32| segments[0] >> (16 - bits) == first >> (16 - bits);
            six == Ipv6Addr::UNSPECIFIED
                || six == Ipv6Addr::LOCALHOST
                // Unique local (RFC 4193), link-local and the old site-local addresses.
                || within(0xfc00, 7)
                || within(0xfe80, 10)
                || within(0xfec0, 10)
                || carried(six).is_some_and(is_private_v4)
        }
    }
}

fn is_private_v4(four: Ipv4Addr) -> bool {
    let [first, second, ..] = four.octets();
    four.is_private()
        || four.is_loopback()
        || four.is_link_local()
        || four.is_broadcast()
        || first == 0
        || first == 100 && second & 0xC0 == 64
}

/// Returns the IPv4 address that an IPv6 address carries: mapped (RFC 4291), translated (RFC 6052) or by 6to4 (RFC 3056).
fn carried(six: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = six.octets();
    let at = |start: usize| Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3]);
    match six.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1918, 3927, 4193, 4291, 5735, 6052, 6598.
    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for (address, private) in [
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("10.0.0.1", true),
            ("11.0.0.1", false),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("127.0.0.1", true),
            ("127.83.5.9", true),
            ("169.254.169.254", true),
            ("172.15.255.255", false),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("192.0.2.1", false),
            ("255.255.255.255", true),
            ("::", true),
            ("::1", true),
            ("::127.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::192.168.0.1", true),
            ("64:ff9b::8.8.8.8", false),
            ("2002:a00:1::1", true),
            ("2002:808:808::1", false),
            ("fc00::1", true),
            ("fdff::1", true),
            ("fe00::1", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", true),
            ("ff02::1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
