//! Who asks: a client is known by its address, and belongs to one group. Reads nothing but its arguments.

mod networks;
mod strangers;
mod table;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

pub use strangers::Strangers;
pub use table::{Clients, Device, Known, MAX_DEVICES, Table};

use crate::query::{NamePattern, Via};

/// The requester of a query, as policy and records see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    address: IpAddr,
    group: GroupId,
    identification: Identification,
    device: Option<Hardware>,
    via: Via,
    /// The length of the prefix, where no more than a network is known.
    prefix: Option<u8>,
}

/// Who says which device or name is at an address, the most credible first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The table of devices in the configuration.
    Static,
    /// A lease file of a DHCP server.
    Lease,
    /// The neighbour table of the kernel (ARP, NDP).
    Neighbour,
    /// A PTR record.
    Ptr,
}

impl Source {
    /// Every source, the most credible first.
    pub const ALL: [Self; 4] = [Self::Static, Self::Lease, Self::Neighbour, Self::Ptr];

    /// Returns the word that metrics and records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Lease => "lease",
            Self::Neighbour => "neighbour",
            Self::Ptr => "ptr",
        }
    }
}

/// By what a client came into its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identification {
    /// By nothing: no group takes it.
    Nothing,
    /// By the longest network that its address is in.
    Network,
    /// By its hardware address, which this source told. A PTR record tells none.
    Device(Source),
    /// By its name, which this source told. The kernel tells none.
    Name(Source),
}

impl Identification {
    /// Returns the word that records and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Network => "network",
            Self::Device(Source::Static) => "device-static",
            Self::Device(Source::Lease) => "device-lease",
            Self::Device(Source::Neighbour) => "device-neighbour",
            Self::Device(Source::Ptr) => "device-ptr",
            Self::Name(Source::Static) => "name-static",
            Self::Name(Source::Lease) => "name-lease",
            Self::Name(Source::Neighbour) => "name-neighbour",
            Self::Name(Source::Ptr) => "name-ptr",
        }
    }
}

impl Identification {
    /// Returns its place among those that can be, for counters; one that cannot be comes after all of them.
    pub const fn place(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Network => 1,
            Self::Device(Source::Static) => 2,
            Self::Device(Source::Lease) => 3,
            Self::Device(Source::Neighbour) => 4,
            Self::Name(Source::Static) => 5,
            Self::Name(Source::Lease) => 6,
            Self::Name(Source::Ptr) => 7,
            Self::Device(Source::Ptr) | Self::Name(Source::Neighbour) => 8,
        }
    }
}

impl fmt::Display for Identification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
    /// Returns the client at `address`, in the group of those that no other group takes.
    pub fn at(address: IpAddr) -> Self {
        Self::member(address, GroupId::DEFAULT)
    }

    /// Returns the client at `address` as a member of `group`, by its network where that is a group of its own. An
    /// IPv4-mapped IPv6 address is the IPv4 address.
    pub fn member(address: IpAddr, group: GroupId) -> Self {
        let identification = match group {
            GroupId::DEFAULT => Identification::Nothing,
            _ => Identification::Network,
        };
        Self { address: address.to_canonical(), group, identification, device: None, via: Via::Direct, prefix: None }
    }

    /// Returns the address; the first of its network where [`Via::Subnet`] told no more than a network.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the length of the prefix of the network that the client is somewhere in, where no more is known of it.
    pub const fn prefix(&self) -> Option<u8> {
        self.prefix
    }

    /// Returns the client as one of which only its network is known, by the length of its prefix.
    pub fn within(self, prefix: Option<u8>) -> Self {
        Self { prefix, ..self }
    }

    /// Returns whether the client is in `network`, wherever in its own it is.
    pub fn is_in(&self, network: &IpNet) -> bool {
        match self.prefix {
            None => network.contains(&self.address),
            Some(prefix) => IpNet::new(self.address, prefix).is_ok_and(|own| network.contains(&own)),
        }
    }

    /// Returns the group that the client belongs to.
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// Returns by what the client came into its group.
    pub const fn identification(&self) -> Identification {
        self.identification
    }

    /// Returns the hardware address, where a source tells it.
    pub const fn device(&self) -> Option<Hardware> {
        self.device
    }

    /// Returns who told the address.
    pub const fn via(&self) -> Via {
        self.via
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
        let mapped = Client::at("::ffff:192.0.2.7".parse().unwrap());
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
