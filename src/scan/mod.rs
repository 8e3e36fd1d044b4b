//! What a network asked before Interdict was there: queries, read from captures and logs of other programs.
//!
//! A file is known by its content, never by its name. Whatever stands in it, memory stays bounded, and what cannot be read is
//! counted with the place of the first ones. Nothing here decides by a clock: each query carries its own instant.

mod account;
mod calendar;
mod detect;
mod dnstap;
mod input;
mod judge;
mod link;
mod packet;
mod pcap;
mod pihole;
mod stream;
mod tally;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod twice;
mod window;

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use account::{Account, Ended, Unread};
pub use input::{Input, OpenError};
pub use judge::{Change, Effect, Judge, Rule, Verdicts};
pub use tally::{Device, Folded, Sum, Tally};
pub use timeline::{Bins, Timeline};

use crate::message::{Name, RecordType};
use crate::query::Transport;

/// One query that a capture or a log tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub at: Timestamp,
    /// The last instant, where several queries are told of as one.
    pub last: Timestamp,
    /// Who asked; the unspecified address where that is not told.
    pub client: IpAddr,
    pub name: Name,
    /// Absent where a proxy was asked, and no name server.
    pub record_type: Option<RecordType>,
    /// Absent where it is not told, or is another than Do53.
    pub transport: Option<Transport>,
    /// How many queries this stands for.
    pub count: u64,
}

impl Seen {
    /// One query of which nothing is known but when, who and what.
    fn once(at: Timestamp, client: IpAddr, name: Name) -> Self {
        Self { at, last: at, client: client.to_canonical(), name, record_type: None, transport: None, count: 1 }
    }
}

/// What files do not say of themselves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The format, where it is not to be found out.
    pub format: Option<Format>,
    /// The ports at which packets of a capture are queries.
    pub ports: Vec<u16>,
    /// The year of the first line, for times without one.
    pub year: Option<i16>,
    /// The zone of times that tell none.
    pub zone: Option<TimeZone>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: None, ports: vec![53], year: None, zone: None }
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// A capture of libpcap.
    Pcap,
    /// A capture of Wireshark.
    Pcapng,
    /// Frame Streams of dnstap.
    Dnstap,
    /// The database of Pi-hole's FTL.
    PiHole,
    /// The query log of BIND.
    Bind,
    Unbound,
    /// That of dnsmasq, and so of Pi-hole.
    Dnsmasq,
    /// That of the PowerDNS Recursor.
    PowerDns,
    /// `dns.log` of Zeek, in either form.
    Zeek,
    /// Events of Suricata (EVE).
    Suricata,
    AdGuard,
    /// The access log of a proxy.
    Squid,
    /// What Interdict exports as JSON, ECS or OCSF.
    Interdict,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 13] = [
        Self::Pcap,
        Self::Pcapng,
        Self::Dnstap,
        Self::PiHole,
        Self::Bind,
        Self::Unbound,
        Self::Dnsmasq,
        Self::PowerDns,
        Self::Zeek,
        Self::Suricata,
        Self::AdGuard,
        Self::Squid,
        Self::Interdict,
    ];

    /// Returns the word by which it is chosen and told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
            Self::Dnstap => "dnstap",
            Self::PiHole => "pihole",
            Self::Bind => "bind",
            Self::Unbound => "unbound",
            Self::Dnsmasq => "dnsmasq",
            Self::PowerDns => "powerdns",
            Self::Zeek => "zeek",
            Self::Suricata => "suricata",
            Self::AdGuard => "adguard",
            Self::Squid => "squid",
            Self::Interdict => "interdict",
        }
    }

    /// Returns what is counted where something cannot be read.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Pcap | Self::Pcapng => "packet",
            Self::Dnstap => "frame",
            Self::PiHole => "row",
            Self::Bind
            | Self::Unbound
            | Self::Dnsmasq
            | Self::PowerDns
            | Self::Zeek
            | Self::Suricata
            | Self::AdGuard
            | Self::Squid
            | Self::Interdict => "line",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|format| format.as_str()).collect();
            format!("`{text}` is not one of {}", words.join(", "))
        })
    }
}
