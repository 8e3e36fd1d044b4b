//! Who asks. A client is known by its address; this module reads nothing but its arguments.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The requester of a query, as policy and records see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    address: IpAddr,
}

impl Client {
    /// Identifies the client by the address that the query came from; an IPv4-mapped IPv6 address is the IPv4 address.
    pub fn identify(remote: SocketAddr) -> Self {
        Self::at(remote.ip())
    }

    /// Returns the client at `address`.
    pub fn at(address: IpAddr) -> Self {
        Self { address: address.to_canonical() }
    }

    /// Returns the address.
    pub const fn address(&self) -> IpAddr {
        self.address
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
}
