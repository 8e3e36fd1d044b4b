//! Hardware addresses, written as addresses so that they are encrypted with the same keys.

use std::net::{IpAddr, Ipv6Addr};

use super::Whose;
use crate::client::Hardware;

/// What stands before the six octets. No client has such an address: this space was never given out.
const PREFIX: [u8; 10] = *b"hardware\0\0";

/// Returns the address that stands for a hardware address.
pub(super) fn address_of(hardware: Hardware) -> IpAddr {
    let mut octets = [0; 16];
    octets[..PREFIX.len()].copy_from_slice(&PREFIX);
    octets[PREFIX.len()..].copy_from_slice(&hardware.0);
    IpAddr::V6(Ipv6Addr::from(octets))
}

impl Whose {
    /// Returns the address that is encrypted for it.
    pub(super) fn address(self) -> IpAddr {
        match self {
            Self::Address(address) => address,
            Self::Hardware(hardware) => address_of(hardware),
        }
    }
}

/// Returns the hardware address that a decrypted address stands for; `None` where it is another address.
pub fn hardware_of(address: IpAddr) -> Option<Hardware> {
    let IpAddr::V6(address) = address else { return None };
    let octets = address.octets();
    let hardware = octets.strip_prefix(&PREFIX)?;
    hardware.try_into().ok().map(Hardware)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_comes_back_and_no_other_does() {
        let hardware = "00:00:5e:00:53:01".parse().unwrap();
        assert_eq!(hardware_of(address_of(hardware)), Some(hardware));
        for address in ["192.0.2.1", "2001:db8::1", "::", "6861:7264:7761:7265:1::"] {
            assert_eq!(hardware_of(address.parse().unwrap()), None, "{address}");
        }
    }
}
