//! The EDNS Client Subnet option (RFC 7871): for whom a forwarder asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Malformed, u16_at};

/// The code of the option (RFC 7871, section 6).
pub(super) const CLIENT_SUBNET: u16 = 8;

/// Reads the data of the option in a query (RFC 7871, section 6): no octet more than the prefix takes, no bit behind it,
/// and no scope.
pub(super) fn read(data: &[u8]) -> Result<IpNet, Malformed> {
    let (family, [source, scope]) = (u16_at(data, 0).ok_or(Malformed)?, [2, 3].map(|at| data.get(at).copied()));
    let (Some(length), Some(0)) = (source, scope) else { return Err(Malformed) };
    let octets = &data[4..];
    let mut whole = [0; 16];
    whole.get_mut(..octets.len()).ok_or(Malformed)?.copy_from_slice(octets);
    let address: IpAddr = match family {
        1 => Ipv4Addr::from_octets([whole[0], whole[1], whole[2], whole[3]]).into(),
        2 => Ipv6Addr::from_octets(whole).into(),
        // Who says nothing of the client may name no family either.
        0 if length == 0 => Ipv4Addr::UNSPECIFIED.into(),
        _ => return Err(Malformed),
    };
    let network = IpNet::new(address, length).map_err(|_| Malformed)?;
    if octets.len() != usize::from(length).div_ceil(8) || network.addr() != network.network() {
        return Err(Malformed);
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 7871, section 6.
    #[test]
    fn a_prefix_has_the_octets_that_it_takes_and_no_others() {
        for (data, network) in [
            (&b"\x00\x01\x18\x00\xC0\x00\x02"[..], Some("192.0.2.0/24")),
            (b"\x00\x01\x20\x00\xC0\x00\x02\x07", Some("192.0.2.7/32")),
            (b"\x00\x02\x20\x00\x20\x01\x0D\xB8", Some("2001:db8::/32")),
            (b"\x00\x01\x00\x00", Some("0.0.0.0/0")),
            (b"\x00\x00\x00\x00", Some("0.0.0.0/0")),
            (b"\x00\x01\x18\x00\xC0\x00\x02\x07", None),
            (b"\x00\x01\x18\x00\xC0\x00", None),
            (b"\x00\x01\x17\x00\xC0\x00\x03", None),
            (b"\x00\x01\x18\x18\xC0\x00\x02", None),
            (b"\x00\x01\x21\x00\xC0\x00\x02\x07\x00", None),
            (b"\x00\x03\x08\x00\x0A", None),
            (b"\x00\x00\x08\x00\x0A", None),
            (b"\x00\x01\x20", None),
            (b"", None),
        ] {
            assert_eq!(read(data).ok().map(|network| network.to_string()).as_deref(), network, "{data:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(network) = read(&data) {
                prop_assert_eq!(network.addr(), network.network());
            }
        }
    }
}
