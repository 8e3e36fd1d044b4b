//! What was asked, by which peer, over what. Holds values only; it neither parses nor answers.

mod subject;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
pub use subject::{Place, Subject, Subjects, Target, TargetRef, Through};

use crate::message::{Capitals, Class, Name, NameError, QueryView, RecordType, flag};

/// The question of a query (RFC 1035, section 4.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    pub name: Name,
    pub record_type: RecordType,
    pub class: Class,
}

/// What carried the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// DNS over UDP, unencrypted (Do53).
    Udp,
    /// DNS over TCP, unencrypted (RFC 7766).
    Tcp,
}

impl Transport {
    /// Returns the word that records, logs and scenario files use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names that belong together: one, or all below one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamePattern {
    /// This name.
    Exact(Name),
    /// Every name below this one, but not itself; written `*.NAME`.
    Below(Name),
}

impl NamePattern {
    /// Returns whether `name` is one of the names.
    pub fn matches(&self, name: &Name) -> bool {
        match self {
            Self::Exact(own) => own == name,
            Self::Below(above) => name != above && name.is_at_or_below(above),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl std::str::FromStr for NamePattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("*.") {
            Some(above) => above.parse().map(Self::Below),
            None => text.parse().map(Self::Exact),
        }
    }
}

/// The two ends of the exchange with the stub resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where the query came from and the answer goes to.
    pub remote: SocketAddr,
    /// The address of ours that was asked, and the interface it was asked on, where the transport tells them.
    pub local: Option<LocalEnd>,
    /// For whom the peer says that it asks, where it is believed.
    pub claimed: Option<Claim>,
    /// Whether the EDNS Client Subnet option of its queries is believed (RFC 7871).
    pub tells_subnets: bool,
}

impl Peer {
    /// Returns a peer that asks for itself.
    pub const fn direct(remote: SocketAddr, local: Option<LocalEnd>) -> Self {
        Self { remote, local, claimed: None, tells_subnets: false }
    }

    /// Returns whether it may ask for somebody else.
    pub const fn speaks_for_others(&self) -> bool {
        self.claimed.is_some() || self.tells_subnets
    }
}

/// For whom a peer says that it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The source address in a PROXY header.
    Proxy(IpAddr),
    /// The network in an EDNS Client Subnet option (RFC 7871), which may be one address.
    Subnet(IpNet),
}

/// Who told the address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// The network: the query came from that address.
    Direct,
    /// A trusted proxy, in a PROXY header.
    Proxy,
    /// A trusted forwarder, in an EDNS Client Subnet option.
    Subnet,
}

impl Via {
    /// Returns the word that records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Proxy => "proxy",
            Self::Subnet => "subnet",
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The end of ours that a datagram was sent to, so that the answer can leave from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalEnd {
    pub address: IpAddr,
    /// Index of the interface; 0 where it is not known.
    pub interface: u32,
}

/// The largest UDP payload that is asked for, and sent unless the operator says otherwise, in octets: no path that is still in
/// use fragments it.
pub const MAX_PAYLOAD: u16 = 1232;

/// What EDNS(0) says of the requester (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP payload that the requester takes, in octets; values below 512 count as 512.
    pub payload: u16,
    /// DNSSEC OK: the requester wants DNSSEC records (RFC 3225).
    pub dnssec_ok: bool,
}

/// One well-formed query of opcode QUERY.
#[derive(Debug, Clone)]
pub struct Query {
    pub question: Question,
    /// How the stub spelled the name.
    pub capitals: Capitals,
    pub peer: Peer,
    pub transport: Transport,
    pub id: u16,
    /// RD: the stub wants recursion (RFC 1035, section 4.1.1).
    pub recursion_desired: bool,
    /// AD: the stub understands the AD bit of an answer (RFC 6840, section 5.7).
    pub authentic_data: bool,
    /// CD: the stub validates for itself (RFC 4035, section 3.2.2).
    pub checking_disabled: bool,
    pub edns: Option<Edns>,
}

impl Query {
    /// Returns what a message asks that came from `peer`.
    #[inline]
    pub fn of(view: QueryView, peer: Peer, transport: Transport) -> Self {
        // Taken apart field by field, so that a field added to the view has to be dealt with here.
        let QueryView { id, flags, name, capitals, record_type, class, opt } = view;
        Self {
            question: Question { name, record_type, class },
            capitals,
            peer,
            transport,
            id,
            recursion_desired: flags & flag::RECURSION_DESIRED != 0,
            authentic_data: flags & flag::AUTHENTIC_DATA != 0,
            checking_disabled: flags & flag::CHECKING_DISABLED != 0,
            edns: opt.map(|opt| Edns { payload: opt.payload, dnssec_ok: opt.dnssec_ok }),
        }
    }

    /// Returns how long the response may be, in octets, where none over UDP is longer than `most`.
    pub fn limit(&self, most: u16) -> usize {
        match self.transport {
            Transport::Udp => usize::from(self.edns.map_or(512, |edns| edns.payload.min(most).max(512))),
            Transport::Tcp => usize::from(u16::MAX),
        }
    }

    /// Returns whether the requester set DNSSEC OK.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}
