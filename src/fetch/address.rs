//! Which addresses nobody may lead us to.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

use crate::inspect::is_private;

/// Returns whether an address is private, no address of a host, or one of this machine, under whatever name it is called.
pub fn forbids(address: IpAddr) -> bool {
    let address = address.to_canonical();
    is_private(address) || address.is_multicast() || is_reserved(address) || is_own(address)
}

/// 240.0.0.0/4 is for later use (RFC 1112, section 4), and routed inside some networks.
fn is_reserved(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(four) if four.octets()[0] >= 240)
}

/// Where the system does not tell its addresses, none is taken for another's.
fn is_own(address: IpAddr) -> bool {
    let Ok(interfaces) = getifaddrs() else { return true };
    interfaces.filter_map(|interface| interface.address).any(|own| {
        let four = own.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        four.or_else(|| own.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip()))) == Some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_others_in_the_internet_are_led_to() {
        for (address, forbidden) in [
            ("127.0.0.1", true),
            ("10.0.0.1", true),
            ("169.254.169.254", true),
            ("::ffff:127.0.0.1", true),
            ("fe80::1", true),
            ("224.0.0.1", true),
            ("ff02::1", true),
            ("240.0.0.1", true),
            ("8.8.8.8", false),
            ("2001:4860::1", false),
        ] {
            assert_eq!(forbids(address.parse().unwrap()), forbidden, "{address}");
        }
    }
}
