//! Who asks: a client is known by its address, and belongs to one group. Reads nothing but its arguments.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::query::NamePattern;

/// The requester of a query, as policy and records see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    address: IpAddr,
    group: GroupId,
}

/// A group of clients: its place among the groups of the policy in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct GroupId(pub u16);

impl GroupId {
    /// The clients that no group takes. Its name is [`DEFAULT_GROUP`].
    pub const DEFAULT: Self = Self(0);
}

/// The name of the group of all clients that no other group takes.
pub const DEFAULT_GROUP: &str = "default";

/// Which clients belong together. A hardware address outranks a name, and that the longest network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub networks: Vec<IpNet>,
    pub devices: Vec<Hardware>,
    /// Names by which leases, PTR records or the table of devices know a client.
    pub names: Vec<NamePattern>,
}

/// The hardware address of a network interface (EUI-48).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hardware(pub [u8; 6]);

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text that is no hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no hardware address such as 00:00:5e:00:53:01")]
pub struct HardwareError;

impl FromStr for Hardware {
    type Err = HardwareError;

    fn from_str(text: &str) -> Result<Self, HardwareError> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| (1..=2).contains(&part.len())).ok_or(HardwareError)?;
            let digits = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *octet = u8::from_str_radix(part, 16).ok().filter(|_| digits).ok_or(HardwareError)?;
        }
        if parts.next().is_some() { Err(HardwareError) } else { Ok(Self(octets)) }
    }
}

impl Client {
    /// Identifies the client by the address that the query came from; an IPv4-mapped IPv6 address is the IPv4 address.
    pub fn identify(remote: SocketAddr) -> Self {
        Self::at(remote.ip())
    }

    /// Returns the client at `address`, in the group of those that no other group takes.
    pub fn at(address: IpAddr) -> Self {
        Self::member(address, GroupId::DEFAULT)
    }

    /// Returns the client at `address` as a member of `group`.
    pub fn member(address: IpAddr, group: GroupId) -> Self {
        Self { address: address.to_canonical(), group }
    }

    /// Returns the address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the group that the client belongs to.
    pub const fn group(&self) -> GroupId {
        self.group
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_the_same_client() {
        let mapped = Client::identify("[::ffff:192.0.2.7]:53".parse().unwrap());
        assert_eq!(mapped, Client::at("192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn hardware_addresses_are_read_as_people_write_them() {
        let of = |text: &str| text.parse::<Hardware>().map(|of| of.to_string());
        for text in ["00:00:5e:00:53:0a", "00-00-5E-00-53-0A", "0:0:5e:0:53:a"] {
            assert_eq!(of(text).as_deref(), Ok("00:00:5e:00:53:0a"), "{text}");
        }
        for text in
            ["", "00:00:5e:00:53", "00:00:5e:00:53:0a:01", "00:00:5e:00:53:+a", "00:00:5e:00:53:1ff", "é:0:0:0:0:0"]
        {
            assert_eq!(of(text), Err(HardwareError), "{text}");
        }
    }
}
