//! What can happen to a query, as counters tell it apart.

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// From a rule, or from the question alone.
    Policy,
    Cache,
    /// From the cache, past its lifetime, since no upstream answered.
    Stale,
    Local,
    Upstream,
    /// From nowhere: there was none.
    Failure,
}

impl Served {
    pub(super) const ALL: [Self; 6] =
        [Self::Policy, Self::Cache, Self::Stale, Self::Local, Self::Upstream, Self::Failure];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Cache => "cache",
            Self::Stale => "stale",
            Self::Local => "local",
            Self::Upstream => "upstream",
            Self::Failure => "failure",
        }
    }
}

/// Why something was not answered as a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// From an address that is not allowed: no answer.
    NotAllowed,
    /// More than the client may ask: no answer.
    RateLimited,
    /// More than the client may ask: an answer that says to come back over TCP, and nothing else.
    RateSlipped,
    /// A response, or shorter than a header: no answer.
    Unanswerable,
    /// An opcode other than QUERY: NOTIMP.
    Opcode,
    /// Broken: FORMERR.
    Malformed,
    /// Too many queries under way: SERVFAIL.
    Busy,
    /// The system did not take the answer.
    Unsent,
    /// Too many connections: closed.
    ConnectionLimit,
    /// The system gave no socket for a connection, which waits; counted at each try.
    NotAccepted,
    /// A PROXY header from somebody who is no trusted proxy: no answer.
    ProxyIgnored,
    /// From a trusted proxy without a PROXY header, or with a broken one: no answer.
    ProxyMalformed,
    /// Too many answers waited for their records: sent without waiting, or SERVFAIL.
    Unheld,
    /// A fault of this program.
    Fault,
}

impl Dropped {
    pub(super) const ALL: [Self; 14] = [
        Self::NotAllowed,
        Self::RateLimited,
        Self::RateSlipped,
        Self::Unanswerable,
        Self::Opcode,
        Self::Malformed,
        Self::Busy,
        Self::Unsent,
        Self::ConnectionLimit,
        Self::NotAccepted,
        Self::ProxyIgnored,
        Self::ProxyMalformed,
        Self::Unheld,
        Self::Fault,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::RateLimited => "rate_limited",
            Self::RateSlipped => "rate_slipped",
            Self::Unanswerable => "unanswerable",
            Self::Opcode => "opcode",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
            Self::Unsent => "unsent",
            Self::ConnectionLimit => "connection_limit",
            Self::NotAccepted => "not_accepted",
            Self::ProxyIgnored => "proxy_ignored",
            Self::ProxyMalformed => "proxy_malformed",
            Self::Unheld => "unheld",
            Self::Fault => "fault",
        }
    }
}

/// What is withheld by the operator's own choice, without any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// An answer with a private address for a name that must have none.
    PrivateAddress,
    /// The keys for Encrypted ClientHello in an answer.
    Ech,
}

impl Withheld {
    pub(super) const ALL: [Self; 2] = [Self::PrivateAddress, Self::Ech];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateAddress => "private_address",
            Self::Ech => "ech",
        }
    }
}

/// What happened with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamEvent {
    /// A question was sent.
    Query,
    /// A truncated answer was asked for again over TCP.
    RetryTcp,
    /// No answer came in time.
    Timeout,
    /// The network failed, or the answer was a refusal.
    Failure,
    /// An answer did not hold against its signatures, or lacked them (RFC 4035, section 4.3).
    Bogus,
}

impl UpstreamEvent {
    pub(super) const ALL: [Self; 5] = [Self::Query, Self::RetryTcp, Self::Timeout, Self::Failure, Self::Bogus];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::RetryTcp => "retry_tcp",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
            Self::Bogus => "bogus",
        }
    }
}
